/* tests/fuzz/cutter.c: lines in pieces of any length against the same lines in one: every byte goes on once and in order, no piece
 * ends within a line but at the end of the input, what is longer than max is refused with its number.
 *
 *      input = max, flags, lengths of the pieces up to a zero, then the bytes */
#include <errno.h>

#include "fuzz.h"

/* The two calls of the engine that it makes come here. */
#define sluice_forward  fuzz_forward
#define sluice_ctx_note fuzz_note
#include "../../stages/cutter.c"

const char *const fuzz_words[] = { "\n", "\n\n", "aaaaaaaaaaaaaaaa", "\x01\x01\x01", NULL };

enum { PIECES_MAX = 64, ROOM = 512 };

static struct sluice_buf in;
static uint8_t seen[1 << 20];
static size_t seen_bytes;

static void see(const uint8_t *data, size_t bytes)
{
        CLAIM(bytes <= sizeof(seen) - seen_bytes);
        memcpy(seen + seen_bytes, data, bytes);
        seen_bytes += bytes;
}

void fuzz_note(struct sluice_ctx *ctx, const char *operation, const char *format, ...)
{
        (void)ctx;
        (void)operation;
        (void)format;
}

int fuzz_forward(struct sluice_ctx *ctx, size_t bytes)
{
        (void)ctx;
        CLAIM(bytes > 0 && bytes <= in.len - in.consumed);
        see(in.data + in.consumed, bytes);
#ifdef FUZZ_PLANTED_BUG
        bytes += bytes > 3 && in.data[in.consumed + 1] == '\n' && bytes < in.len - in.consumed;
#endif
        in.consumed += bytes;
        return 0;
}

/* The number of the first line longer than max, counted from 1; 0: none. */
static uint64_t too_long(const uint8_t *data, size_t bytes, size_t max)
{
        uint64_t line = 1;
        size_t length = 0;

        for (size_t i = 0; i < bytes; i++) {
                length = data[i] == '\n' ? 0 : length + 1;
                if (length > max)
                        return line;
                line += data[i] == '\n';
        }
        return 0;
}

/* One piece, asked for until all of it was taken. */
static int pass(struct cutter *c, const uint8_t *data, size_t bytes, bool end, bool count)
{
        uint8_t room[ROOM];

        in = (struct sluice_buf){ .size = sizeof(in), .data = (uint8_t *)(uintptr_t)data, .len = bytes, .end = end };
        for (int calls = 0; c->held_bytes || in.len; calls++) {
                struct sluice_buf out = { .size = sizeof(out), .data = room, .cap = sizeof(room) };
                size_t before = seen_bytes, held = c->held_bytes, consumed = in.consumed;
                int64_t r = count ? cutter_skip(NULL, c, &in) : cutter_pass(NULL, c, &in, &out);

                CLAIM(calls < 100000);
                CLAIM(in.consumed <= in.len);
                CLAIM(out.len <= out.cap);
                see(room, out.len);
                if (r < 0)
                        return (int)r;
                if (!count) /* the law */
                        CLAIM(held + (in.consumed - consumed) + (c->adds_newlines && end) >= c->held_bytes + seen_bytes - before);
                CLAIM(c->held_bytes <= c->max + 1);
                if (!end && seen_bytes > before)
                        CLAIM(seen[seen_bytes - 1] == '\n');
                in = (struct sluice_buf){
                        .size = sizeof(in), .data = in.data + in.consumed, .len = in.len - in.consumed, .end = end
                };
                if (in.len == 0 && !(end && c->held_bytes))
                        break;
        }
        return 0;
}

static void check_end(const struct cutter *c, int r, const uint8_t *data, size_t bytes, bool count)
{
        uint64_t line = too_long(data, bytes, c->max);

        if (r == -EMSGSIZE)
                CLAIM(line == c->line);
        CLAIM(r == (line ? -EMSGSIZE : 0));
        if (count)
                return;
        CLAIM(seen_bytes <= bytes + 1);
        CLAIM(memcmp(seen, data, seen_bytes < bytes ? seen_bytes : bytes) == 0);
        if (r < 0)
                return;
        CLAIM(c->held_bytes == 0);
        CLAIM(seen_bytes == bytes + (c->adds_newlines && bytes && data[bytes - 1] != '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        struct taken t = { data, bytes, 0 };
        size_t max = 1 + take_byte(&t) % 255, pieces[PIECES_MAX], nr = 0, at = 0;
        unsigned flags = take_byte(&t);
        bool count = flags & 2;
        struct cutter c;
        int r = 0;

        while (nr < PIECES_MAX && (pieces[nr] = take_byte(&t)))
                nr++;
        data += t.at;
        bytes -= t.at;
        seen_bytes = 0;
        CLAIM(cutter_init(&c, max) == 0);
        c.adds_newlines = flags & 1 && !count;
        for (size_t i = 0; r == 0 && i < nr && bytes - at > pieces[i]; at += pieces[i++])
                r = pass(&c, data + at, pieces[i], false, count);
        r = r < 0 ? r : pass(&c, data + at, bytes - at, true, count);
        check_end(&c, r, data, bytes, count);
        cutter_fini(&c);
        return 0;
}
