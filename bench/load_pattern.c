/* bench/load_pattern.c: bytes that know where they belong: of which connection they are, and at which place of it. Bytes that
 * are lost, doubled, swapped or another connection's are seen for what they are. Calls nobody. */
#include "load.h"

#include <string.h>

enum { WORD_BYTES = sizeof(uint64_t) };

static uint64_t word_at(uint32_t id, uint64_t index)
{
        uint64_t word = (index + 1) * UINT64_C(0x9e3779b97f4a7c15) + id * UINT64_C(0xd1342543de82ef95);

        return word ^ word >> 29;
}

/* The piece of word `index` that begins at byte `at` of it, no longer than `bytes`. */
static size_t word_piece(unsigned char *ret, size_t bytes, uint32_t id, uint64_t index, size_t at)
{
        uint64_t word = word_at(id, index);
        size_t n = WORD_BYTES - at < bytes ? WORD_BYTES - at : bytes;

        memcpy(ret, (unsigned char *)&word + at, n);
        return n;
}

void pattern_fill(unsigned char *buffer, size_t bytes, uint32_t id, uint64_t from)
{
        size_t done = from % WORD_BYTES ? word_piece(buffer, bytes, id, from / WORD_BYTES, from % WORD_BYTES) : 0;
        uint64_t index = (from + done) / WORD_BYTES;

        for (; done + WORD_BYTES <= bytes; done += WORD_BYTES) {
                uint64_t word = word_at(id, index++);

                memcpy(buffer + done, &word, WORD_BYTES);
        }
        word_piece(buffer + done, bytes - done, id, index, 0);
}

bool pattern_holds(const unsigned char *buffer, size_t bytes, uint32_t id, uint64_t from)
{
        unsigned char want[WORD_BYTES];
        size_t done = from % WORD_BYTES ? word_piece(want, bytes, id, from / WORD_BYTES, from % WORD_BYTES) : 0;
        bool same = !memcmp(buffer, want, done);
        uint64_t index = (from + done) / WORD_BYTES, differ = 0;

        for (; done + WORD_BYTES <= bytes; done += WORD_BYTES) {
                uint64_t word;

                memcpy(&word, buffer + done, WORD_BYTES);
                differ |= word ^ word_at(id, index++);
        }
        word_piece(want, bytes - done, id, index, 0);
        return same && !differ && !memcmp(buffer + done, want, bytes - done);
}

/* The id, twice, between what a stranger would not send. */
void hello_write(unsigned char *ret, uint32_t id)
{
        uint32_t words[HELLO_BYTES / 4] = { 0x6c6f6164, id, ~id, 0x0a0d0a21 };

        memcpy(ret, words, HELLO_BYTES);
}

bool hello_read(const unsigned char *hello, uint32_t *ret_id)
{
        unsigned char want[HELLO_BYTES];

        memcpy(ret_id, hello + 4, sizeof(*ret_id));
        hello_write(want, *ret_id);
        return !memcmp(hello, want, HELLO_BYTES);
}
