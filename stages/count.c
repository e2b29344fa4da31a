/* stages/count.c: passes everything on, uncopied, and reports how many bytes and lines it was. A last line without its
 * newline counts. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plain.h"
#include "text.h"

struct count_self {
        uint64_t bytes, lines;
        int in_line;
};

static void count_lines(struct count_self *self, const uint8_t *data, size_t bytes)
{
        const uint8_t *at = data, *end = data + bytes;

        while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
                self->lines++;
                at++;
        }
        if (bytes)
                self->in_line = data[bytes - 1] != '\n';
}

static void report(struct sluice_ctx *ctx, const struct count_self *self)
{
        char text[32];

        snprintf(text, sizeof(text), "%" PRIu64, self->bytes);
        sluice_ctx_report(ctx, "bytes", text);
        snprintf(text, sizeof(text), "%" PRIu64, self->lines + (uint64_t)self->in_line);
        sluice_ctx_report(ctx, "lines", text);
}

static int count_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        struct count_self *self = self_;

        count_lines(self, in->data, in->len);
        self->bytes += in->len;
        if (in->end)
                report(ctx, self);
        if (in->len == 0)
                return 0;
        if (out)
                return sluice_forward(ctx, in->len);
        in->consumed = in->len;
        return 0;
}

static const struct sluice_stage_ops count_ops = {
        .size = sizeof(count_ops),
        .name = "count",
        .instance_size = sizeof(struct count_self),
        .describe = plain_describe,
        .open = plain_open,
        .process = count_process,
        .close = plain_close,
};

int sluice_add_count(struct sluice_pipeline *p)
{
        return sluice_pipeline_add(p, &count_ops, NULL, "count");
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        int r = text_options(NULL, 0, options, options_nr, NULL, e);

        if (r < 0)
                return r;
        return *argument ? text_fail(e, 0, "count: takes no argument") : sluice_add_count(p);
}

const struct text_type text_count = { { "count", "count:", "passes on, and reports bytes and lines" }, add };
