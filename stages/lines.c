/* stages/lines.c: record-aligned batches: whatever the input's pieces were, what goes on ends with a whole line (cutter.h). For
 * stages that must not meet half a record; and a filter by callback on top of it. */
#include <errno.h>
#include <string.h>

#include "cutter.h"
#include "plain.h"
#include "text.h"

struct lines_config {
        size_t max;
        sluice_line_fn *keep; /* NULL: all */
        void *arg;
};

struct lines_self {
        struct cutter cutter;
};

static int lines_open(struct sluice_ctx *ctx, void *self)
{
        const struct lines_config *c = sluice_ctx_config(ctx);

        return cutter_init(&((struct lines_self *)self)->cutter, c->max);
}

static void lines_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)error;
        cutter_fini(&((struct lines_self *)self)->cutter);
}

/* One line, its newline included unless the input ends without. */
static void take_line(const struct lines_config *c, const uint8_t *line, size_t bytes, struct sluice_buf *out)
{
        if (!c->keep(c->arg, (const char *)line, bytes) || !out)
                return;
        memcpy(out->data + out->len, line, bytes);
        out->len += bytes;
}

static int filter_lines(struct sluice_ctx *ctx, const struct lines_config *c, struct cutter *cutter, struct sluice_buf *in,
                        struct sluice_buf *out)
{
        if (cutter->held_bytes) {
                int r = cutter_complete(ctx, cutter, in);

                if (r > 0) {
                        take_line(c, cutter->held, cutter->held_bytes, out);
                        cutter->held_bytes = 0;
                }
                return r < 0 ? r : 0;
        }
        while (in->consumed < in->len) {
                const uint8_t *at = in->data + in->consumed;
                size_t left = in->len - in->consumed;
                const uint8_t *newline = memchr(at, '\n', left);
                size_t bytes = newline ? (size_t)(newline - at) + 1 : left;

                if (!newline && !in->end)
                        return cutter_hold(ctx, cutter, in, left);
                if (bytes > cutter->max + (newline != NULL))
                        return cutter_too_long(ctx, cutter);
                if (out && bytes > out->cap - out->len)
                        return 0; /* the next call has room */
                take_line(c, at, bytes, out);
                cutter->line++;
                in->consumed += bytes;
        }
        return 0;
}

static int lines_process(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct lines_config *c = sluice_ctx_config(ctx);
        struct cutter *cutter = &((struct lines_self *)self)->cutter;

        if (!cutter->held_bytes && in->len == 0)
                return 0;
        return c->keep ? filter_lines(ctx, c, cutter, in, out) : cutter_pass(ctx, cutter, in, out);
}

static const struct sluice_stage_ops lines_ops = {
        .size = sizeof(lines_ops),
        .name = "lines",
        .instance_size = sizeof(struct lines_self),
        .config_size = sizeof(struct lines_config),
        .describe = plain_describe,
        .open = lines_open,
        .process = lines_process,
        .close = lines_close,
};

static int add_lines(struct sluice_pipeline *p, size_t max, sluice_line_fn *keep, void *arg)
{
        const struct lines_config c = { .max = max ? max : LINE_MAX_DEFAULT, .keep = keep, .arg = arg };

        return max > LINE_MAX_MAX ? -EINVAL : sluice_pipeline_add(p, &lines_ops, &c, keep ? "filter" : "lines");
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
        r = t.max > LINE_MAX_MAX ? -EINVAL : sluice_add_lines(p, (size_t)t.max);
        return r == -EINVAL ? text_fail(e, 1, "max= is 128k at most") : r;
}

const struct text_type text_lines = { { "lines", "lines:[,max=SIZE]", "passes on whole lines only" }, add };
