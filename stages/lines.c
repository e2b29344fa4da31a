/* stages/lines.c: record-aligned batches: whatever the input's pieces were, what goes on ends with a whole line. The base of
 * stages that must not meet half a record; and a filter by callback on top of it.
 *
 *      whole lines of a piece go on uncopied (no filter); a line cut by the end of a piece waits in `held` until the rest
 *      has come, and is at most `max` long: longer is an error that says where. The last line may lack its newline. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"
#include "text.h"

enum { MAX_DEFAULT = 64 << 10, MAX_MAX = 128 << 10 }; /* a held line and its end fit into one output buffer */

struct lines_config {
        size_t max;
        sluice_line_fn *keep; /* NULL: all */
        void *arg;
};

struct lines_self {
        uint8_t *held;
        size_t held_bytes;
        uint64_t line; /* of the one being read, from 1 */
        uint64_t kept, dropped;
};

static int lines_open(struct sluice_ctx *ctx, void *self_)
{
        const struct lines_config *c = sluice_ctx_config(ctx);
        struct lines_self *self = self_;

        self->line = 1;
        self->held = malloc(c->max + 1);
        return self->held ? 0 : -ENOMEM;
}

static void lines_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)error;
        free(((struct lines_self *)self)->held);
}

static int too_long(struct sluice_ctx *ctx, const struct lines_config *c, const struct lines_self *self)
{
        sluice_ctx_note(ctx, "read", "line %" PRIu64 " is longer than %zu bytes (max=)", self->line, c->max);
        return -EMSGSIZE;
}

/* One line, its newline included unless the input ends without. */
static void take_line(const struct lines_config *c, struct lines_self *self, const uint8_t *line, size_t bytes,
                      struct sluice_buf *out)
{
        self->line++;
        if (c->keep && !c->keep(c->arg, (const char *)line, bytes)) {
                self->dropped++;
                return;
        }
        self->kept++;
        if (out) {
                memcpy(out->data + out->len, line, bytes);
                out->len += bytes;
        }
}

static int hold(struct sluice_ctx *ctx, const struct lines_config *c, struct lines_self *self, struct sluice_buf *in, size_t bytes)
{
        if (bytes > c->max + 1 - self->held_bytes)
                return too_long(ctx, c, self);
        if (bytes)
                memcpy(self->held + self->held_bytes, in->data + in->consumed, bytes);
        self->held_bytes += bytes;
        in->consumed += bytes;
        return 0;
}

/* The rest of a line that was begun in an earlier piece. */
static int finish_held(struct sluice_ctx *ctx, const struct lines_config *c, struct lines_self *self, struct sluice_buf *in,
                       struct sluice_buf *out)
{
        const uint8_t *newline = in->len ? memchr(in->data, '\n', in->len) : NULL;
        int r = hold(ctx, c, self, in, newline ? (size_t)(newline - in->data) + 1 : in->len);

        if (r < 0 || (!newline && !in->end))
                return r;
        if (self->held[self->held_bytes - 1] != '\n' && self->held_bytes > c->max)
                return too_long(ctx, c, self);
        take_line(c, self, self->held, self->held_bytes, out);
        self->held_bytes = 0;
        return 0;
}

static int filter_lines(struct sluice_ctx *ctx, const struct lines_config *c, struct lines_self *self, struct sluice_buf *in,
                        struct sluice_buf *out)
{
        while (in->consumed < in->len) {
                const uint8_t *at = in->data + in->consumed;
                size_t left = in->len - in->consumed;
                const uint8_t *newline = memchr(at, '\n', left);
                size_t bytes = newline ? (size_t)(newline - at) + 1 : left;

                if (!newline && !in->end)
                        return hold(ctx, c, self, in, left);
                if (bytes > c->max + (newline != NULL))
                        return too_long(ctx, c, self);
                if (out && bytes > out->cap - out->len)
                        return 0; /* the next call has room */
                take_line(c, self, at, bytes, out);
                in->consumed += bytes;
        }
        return 0;
}

/* Without a filter the whole lines of a piece are one piece: it is passed on as it is. */
static int forward_lines(struct sluice_ctx *ctx, const struct lines_config *c, struct lines_self *self, struct sluice_buf *in)
{
        const uint8_t *last = memrchr(in->data, '\n', in->len);
        size_t bytes = in->end ? in->len : last ? (size_t)(last - in->data) + 1 : 0;

        for (const uint8_t *at = in->data, *end = in->data + bytes; at < end; self->line++) {
                const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
                size_t line = newline ? (size_t)(newline - at) + 1 : (size_t)(end - at);

                if (line > c->max + (newline != NULL))
                        return too_long(ctx, c, self);
                at += line;
        }
        return bytes ? sluice_forward(ctx, bytes) : hold(ctx, c, self, in, in->len);
}

static int lines_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct lines_config *c = sluice_ctx_config(ctx);
        struct lines_self *self = self_;

        if (self->held_bytes)
                return finish_held(ctx, c, self, in, out);
        if (in->len == 0)
                return 0;
        return c->keep || !out ? filter_lines(ctx, c, self, in, out) : forward_lines(ctx, c, self, in);
}

static int config_copy(void **ret, const void *config)
{
        struct lines_config *c = malloc(sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = *(const struct lines_config *)config;
        *ret = c;
        return 0;
}

static const struct sluice_stage_ops lines_ops = {
        .size = sizeof(lines_ops),
        .name = "lines",
        .instance_size = sizeof(struct lines_self),
        .config_copy = config_copy,
        .config_free = free,
        .describe = plain_describe,
        .open = lines_open,
        .process = lines_process,
        .close = lines_close,
};

static int add_lines(struct sluice_pipeline *p, size_t max, sluice_line_fn *keep, void *arg)
{
        const struct lines_config c = { .max = max ? max : MAX_DEFAULT, .keep = keep, .arg = arg };

        return max > MAX_MAX ? -EINVAL : sluice_pipeline_add(p, &lines_ops, &c, keep ? "filter" : "lines");
}

int sluice_add_lines(struct sluice_pipeline *p, size_t max_bytes)
{
        return add_lines(p, max_bytes, NULL, NULL);
}

int sluice_add_filter(struct sluice_pipeline *p, sluice_line_fn *keep, void *arg, size_t max_bytes)
{
        return keep ? add_lines(p, max_bytes, keep, arg) : -EINVAL;
}

struct lines_text {
        int64_t max;
};

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        static const struct text_option table[] = { { "max", TEXT_BYTES, 0, 0, NULL } };
        struct lines_text t = { 0 };
        int r = text_options(table, 1, options, options_nr, &t, e);

        if (r < 0)
                return r;
        if (*argument)
                return text_fail(e, 0, "lines: takes no argument");
        r = t.max > MAX_MAX ? -EINVAL : sluice_add_lines(p, (size_t)t.max);
        return r == -EINVAL ? text_fail(e, 1, "max= is 128k at most") : r;
}

const struct text_type text_lines = { { "lines", "lines:[,max=SIZE]", "passes on whole lines only" }, add };
