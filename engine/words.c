/* engine/words.c: see words.h. Called by everything in a run and around it. */
#include "words.h"

#include <stdio.h>
#include <stdlib.h>

void words_say_args(char **words, size_t cap, const char *format, va_list args)
{
        if (!*words)
                *words = malloc(cap);
        if (*words)
                vsnprintf(*words, cap, format, args);
}

void words_say(char **words, size_t cap, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        words_say_args(words, cap, format, args);
        va_end(args);
}
