/* engine/words.h: what is said for people: there is room for it once something was said. Most runs have nothing to say.
 *
 * A `char *` that begins as NULL, is said to with the same `cap` each time, and is freed with its owner. It stays where it is. */
#ifndef SLUICE_ENGINE_WORDS_H
#define SLUICE_ENGINE_WORDS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Instead of what was said before. Without memory for it, nothing is said. */
void words_say(char **words, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));
void words_say_args(char **words, size_t cap, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

static inline bool words_any(const char *words)
{
        return words && words[0];
}

/* "" when nothing was said. */
static inline const char *words_said(const char *words)
{
        return words ? words : "";
}

static inline void words_clear(char *words)
{
        if (words)
                words[0] = '\0';
}

#endif
