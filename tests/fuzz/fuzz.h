/* tests/fuzz/fuzz.h: what a fuzz target is: one function from bytes to nothing, which ends the program when a claim of its does
 * not hold. libFuzzer calls it (tools/fuzz), or driver.c does, over the corpus and what it makes of that.
 *
 * A target's planted bug (FUZZ_PLANTED_BUG) stands between the product and the claims, in the target's own file: one that is
 * not found means that the target can find nothing. */
#ifndef SLUICE_TESTS_FUZZ_H
#define SLUICE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Words of the target's language: driver.c puts them where they may hurt. Ends with NULL. */
extern const char *const fuzz_words[];

#define CLAIM(holds)                                                                                                               \
        do {                                                                                                                       \
                if (!(holds)) {                                                                                                    \
                        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);                                 \
                        abort();                                                                                                   \
                }                                                                                                                  \
        } while (0)

/* The bytes as a source of small decisions; zeros behind their end. */
struct taken {
        const uint8_t *data;
        size_t bytes, at;
};

static inline unsigned take_byte(struct taken *t)
{
        return t->at < t->bytes ? t->data[t->at++] : 0;
}

static inline bool taken_all(const struct taken *t)
{
        return t->at >= t->bytes;
}

/* A string of its own, up to the first zero; the caller's to free. */
static inline char *text_of(const uint8_t *data, size_t bytes)
{
        char *text = malloc(bytes + 1);

        CLAIM(text);
        if (bytes)
                memcpy(text, data, bytes);
        text[bytes] = '\0';
        return text;
}

#endif
