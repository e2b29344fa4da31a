/* stages/cutter.c: see cutter.h. Called by lines.c, merge.c and drop.c. */
#include "cutter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int cutter_init(struct cutter *c, size_t max)
{
        *c = (struct cutter){ .max = max ? max : LINE_MAX_DEFAULT, .line = 1 };
        c->held = malloc(c->max + 1);
        return c->held ? 0 : -ENOMEM;
}

void cutter_fini(struct cutter *c)
{
        free(c->held);
        c->held = NULL;
}

int cutter_too_long(struct sluice_ctx *ctx, const struct cutter *c)
{
        sluice_ctx_note(ctx, "read", "line %" PRIu64 " is longer than %zu bytes (max=)", c->line, c->max);
        return -EMSGSIZE;
}

int cutter_hold(struct sluice_ctx *ctx, struct cutter *c, struct sluice_buf *in, size_t bytes)
{
        if (bytes > c->max + 1 - c->held_bytes)
                return cutter_too_long(ctx, c);
        if (bytes)
                memcpy(c->held + c->held_bytes, in->data + in->consumed, bytes);
        c->held_bytes += bytes;
        in->consumed += bytes;
        return 0;
}

int cutter_complete(struct sluice_ctx *ctx, struct cutter *c, struct sluice_buf *in)
{
        const uint8_t *newline = in->len ? memchr(in->data, '\n', in->len) : NULL;
        int r = cutter_hold(ctx, c, in, newline ? (size_t)(newline - in->data) + 1 : in->len);

        if (r < 0 || (!newline && !in->end))
                return r;
        if (c->held[c->held_bytes - 1] != '\n' && c->held_bytes > c->max)
                return cutter_too_long(ctx, c);
        if (c->held[c->held_bytes - 1] != '\n' && c->adds_newlines)
                c->held[c->held_bytes++] = '\n';
        c->line++;
        return 1;
}

/* The whole lines at the beginning of `in`, in bytes; all of it at its end. */
static int64_t whole_lines(struct sluice_ctx *ctx, struct cutter *c, const struct sluice_buf *in)
{
        const uint8_t *last = in->len ? memrchr(in->data, '\n', in->len) : NULL;
        size_t bytes = in->end && !c->adds_newlines ? in->len : last ? (size_t)(last - in->data) + 1 : 0;

        for (const uint8_t *at = in->data, *end = in->data + bytes; at < end; c->line++) {
                const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
                size_t line = newline ? (size_t)(newline - at) + 1 : (size_t)(end - at);

                if (line > c->max + (newline != NULL))
                        return cutter_too_long(ctx, c);
                at += line;
        }
        return (int64_t)bytes;
}

int cutter_pass(struct sluice_ctx *ctx, struct cutter *c, struct sluice_buf *in, struct sluice_buf *out)
{
        int64_t bytes;

        if (c->held_bytes) {
                int r = cutter_complete(ctx, c, in);

                if (r <= 0)
                        return r;
                if (out)
                        memcpy(out->data, c->held, c->held_bytes);
                if (out)
                        out->len = c->held_bytes;
                c->held_bytes = 0;
                return 0;
        }
        bytes = whole_lines(ctx, c, in);
        if (bytes < 0)
                return (int)bytes;
        if (bytes == 0)
                return cutter_hold(ctx, c, in, in->len);
        if (out)
                return sluice_forward(ctx, (size_t)bytes);
        in->consumed = (size_t)bytes;
        return 0;
}

int64_t cutter_skip(struct sluice_ctx *ctx, struct cutter *c, struct sluice_buf *in)
{
        uint64_t before = c->line;
        int64_t bytes;

        if (c->held_bytes) {
                int r = cutter_complete(ctx, c, in);

                if (r > 0)
                        c->held_bytes = 0;
                return r;
        }
        bytes = whole_lines(ctx, c, in);
        if (bytes < 0)
                return bytes;
        if (bytes == 0)
                return cutter_hold(ctx, c, in, in->len);
        in->consumed = (size_t)bytes;
        return (int64_t)(c->line - before);
}
