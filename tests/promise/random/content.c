/* content.c: numbers from a seed, and what sources give. See random.h. */
#include "random.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { NOISE_BYTES = 1 << 17, LINE_MAX_BYTES = 20000, HEAD_MAX_BYTES = 32 };

uint64_t rnd_next(struct rnd *r)
{
        uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

uint64_t rnd_below(struct rnd *r, uint64_t n)
{
        return n ? rnd_next(r) % n : 0;
}

/* Any bytes but newlines: lines are cut out of it. */
static const uint8_t *noise(void)
{
        static uint8_t data[NOISE_BYTES];
        struct rnd r = { 1 };

        if (data[0] == 0)
                for (size_t i = 0; i < NOISE_BYTES; i++) {
                        data[i] = (uint8_t)rnd_next(&r);
                        data[i] = data[i] == '\n' || i == 0 ? 'x' : data[i];
                }
        return data;
}

static void allocate(struct content *c, size_t bytes)
{
        c->bytes = bytes;
        c->data = malloc(bytes + 1);
        assert_non_null(c->data);
        c->data[bytes] = '\n';
}

static void find_lines(struct content *c)
{
        size_t nr = 0;

        for (size_t i = 0; i < c->bytes; i++)
                nr += c->data[i] == '\n' || i + 1 == c->bytes;
        c->lines = malloc((nr + 1) * sizeof(*c->lines));
        assert_non_null(c->lines);
        c->lines_nr = nr;
        nr = 0;
        for (size_t i = 0; i < c->bytes; i++)
                if (i == 0 || c->data[i - 1] == '\n')
                        c->lines[nr++] = (uint32_t)i;
        c->cut = c->bytes && c->data[c->bytes - 1] != '\n';
        c->lines[nr] = (uint32_t)(c->bytes + c->cut);
}

static size_t line_length(struct rnd *r)
{
        if (rnd_one_in(r, 200))
                return rnd_below(r, LINE_MAX_BYTES);
        return rnd_below(r, rnd_one_in(r, 4) ? 8 : 300);
}

/* Every line's head is whole, so that it can be told whose it is; bytes that are too few for one are no line. */
void content_text(struct content *c, struct rnd *r, unsigned source, size_t bytes)
{
        size_t at = 0;

        allocate(c, bytes);
        for (unsigned i = 0; at < bytes; i++) {
                char head[HEAD_MAX_BYTES];
                size_t n = (size_t)snprintf(head, sizeof(head), "%u %u ", source, i), pad = line_length(r);

                c->binary |= n >= bytes - at;
                n = n < bytes - at ? n : bytes - at;
                memcpy(c->data + at, head, n);
                at += n;
                if (pad + 1 + HEAD_MAX_BYTES > bytes - at)
                        pad = bytes - at;
                memcpy(c->data + at, noise() + rnd_below(r, NOISE_BYTES - LINE_MAX_BYTES - HEAD_MAX_BYTES), pad);
                at += pad;
                if (at < bytes)
                        c->data[at++] = '\n';
        }
        if (bytes && rnd_one_in(r, 2))
                c->data[bytes - 1] = '\n'; /* else the last line is cut */
        find_lines(c);
}

void content_seq(struct content *c, unsigned last)
{
        size_t at = 0;

        allocate(c, (size_t)last * 11 + 16);
        for (unsigned i = 1; i <= last; i++)
                at += (size_t)sprintf((char *)c->data + at, "%u\n", i);
        c->bytes = at;
        c->data[at] = '\n';
        c->binary = true;
        find_lines(c);
}

void content_pattern(struct content *c, size_t bytes)
{
        allocate(c, bytes);
        t_pattern(c->data, bytes, 0);
        c->binary = true;
        find_lines(c);
}

void content_free(struct content *c)
{
        free(c->data);
        free(c->lines);
}

void bytes_add(struct bytes *b, const void *data, size_t len)
{
        if (b->len + len + 1 > b->cap) {
                b->cap = (b->len + len + 1) * 2;
                b->data = realloc(b->data, b->cap);
                assert_non_null(b->data);
        }
        memcpy(b->data + b->len, data, len);
        b->len += len;
        b->data[b->len] = '\0';
}

void bytes_read_file(struct bytes *b, const char *path)
{
        static char data[1 << 16];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        while (fd >= 0 && (n = read(fd, data, sizeof(data))) > 0)
                bytes_add(b, data, (size_t)n);
        if (fd >= 0)
                close(fd);
}
