/* stages/drop.c: what follows is never waited for: what it does not take at once is dropped, in whole lines (or, without
 * records, in whole buffers), and counted.
 *
 *      input --> room behind us?  yes: the whole lines go on, uncopied        no: they are dropped
 *
 * "At once" is the queue of the link behind us: so many buffers are on their way before anything is dropped. Reports "dropped"
 * (bytes) and "dropped_lines". Law: bytes in == bytes passed on + dropped + held (a line whose rest has not come). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cutter.h"
#include "plain.h"
#include "text.h"

struct drop_self {
        struct cutter cutter;
        uint64_t bytes, lines;
};

static int report(struct sluice_ctx *ctx, const struct sluice_drop_options *o, const struct drop_self *self)
{
        char text[32];
        int r;

        snprintf(text, sizeof(text), "%" PRIu64, self->bytes);
        r = sluice_ctx_report(ctx, "dropped", text);
        if (r < 0 || o->no_records)
                return r;
        snprintf(text, sizeof(text), "%" PRIu64, self->lines);
        return sluice_ctx_report(ctx, "dropped_lines", text);
}

static int drop_open(struct sluice_ctx *ctx, void *self_)
{
        const struct sluice_drop_options *o = sluice_ctx_config(ctx);
        struct drop_self *self = self_;
        int r = cutter_init(&self->cutter, o->max_bytes);

        return r < 0 ? r : report(ctx, o, self);
}

static void drop_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)error;
        cutter_fini(&((struct drop_self *)self)->cutter);
}

/* There is no room: whole lines go, the one that is cut is held on (its rest may find room). */
static int drop(struct sluice_ctx *ctx, const struct sluice_drop_options *o, struct drop_self *self, struct sluice_buf *in)
{
        size_t held = self->cutter.held_bytes;
        int64_t lines = 0;

        if (o->no_records)
                in->consumed = in->len;
        else
                lines = cutter_skip(ctx, &self->cutter, in);
        if (lines < 0)
                return (int)lines;
        self->bytes += held + in->consumed - self->cutter.held_bytes;
        self->lines += (uint64_t)lines;
        return report(ctx, o, self);
}

static int drop_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct sluice_drop_options *o = sluice_ctx_config(ctx);
        struct drop_self *self = self_;

        if (!out || out->cap == 0)
                return drop(ctx, o, self, in);
        if (o->no_records)
                return in->len ? sluice_forward(ctx, in->len) : 0;
        if (in->len == 0 && self->cutter.held_bytes == 0)
                return 0;
        return cutter_pass(ctx, &self->cutter, in, out);
}

static const struct sluice_stage_ops drop_ops = {
        .size = sizeof(drop_ops),
        .name = "drop",
        .instance_size = sizeof(struct drop_self),
        .config_size = sizeof(struct sluice_drop_options),
        .describe = plain_describe,
        .open = drop_open,
        .process = drop_process,
        .close = drop_close,
        .traits = SLUICE_ELASTIC | SLUICE_OVERFLOW,
};

int sluice_add_drop(struct sluice_pipeline *p, const struct sluice_drop_options *opt)
{
        struct sluice_drop_options o = { .size = sizeof(o) };

        if (opt && opt->size != sizeof(*opt))
                return -EINVAL;
        if (opt)
                o = *opt;
        return o.max_bytes > LINE_MAX_MAX ? -EINVAL : sluice_pipeline_add(p, &drop_ops, &o, NULL);
}

struct drop_text {
        int64_t max;
        int records;
};

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        static const char *const records[] = { "lines", "none", NULL };
        static const struct text_option table[] = {
                { "max", TEXT_BYTES, offsetof(struct drop_text, max), 0, NULL },
                { "records", TEXT_CHOICE, offsetof(struct drop_text, records), 0, records },
        };
        struct drop_text t = { 0 };
        struct sluice_drop_options o = { .size = sizeof(o) };
        int r = text_options(table, 2, options, options_nr, &t, e);

        if (r < 0)
                return r;
        if (*argument)
                return text_fail(e, 0, "drop: takes no argument");
        for (size_t i = 0; i < options_nr; i++)
                if (t.max > LINE_MAX_MAX && strcmp(options[i].name, "max") == 0)
                        return text_fail(e, (int)i + 1, "max= is 128k at most");
        o.max_bytes = (size_t)t.max;
        o.no_records = t.records == 1;
        return sluice_add_drop(p, &o);
}

const struct text_type text_drop = {
        { "drop", "drop:[,records=lines|none][,max=SIZE]", "drops what its reader cannot take at once" }, add
};
