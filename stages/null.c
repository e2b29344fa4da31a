/* stages/null.c: where bytes go to vanish, and, as a source, no bytes at all. */
#include <errno.h>
#include <fcntl.h>

#include "text.h"

struct null_self {
        int fd;
};

static void opened(struct sluice_ctx *ctx, void *self, int64_t fd)
{
        ((struct null_self *)self)->fd = (int)fd;
        sluice_ctx_opened(ctx, fd < 0 ? (int)fd : 0);
}

static int null_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)self;
        if (sluice_ctx_linked(ctx, SLUICE_INPUT) && sluice_ctx_linked(ctx, SLUICE_OUTPUT)) {
                sluice_ctx_note(ctx, "describe", "can only be the first or the last stage");
                return -ENOTSUP;
        }
        ret->io = SLUICE_IO_FD | SLUICE_IO_LEND;
        ret->kind = SLUICE_KIND_DEVICE;
        if (dir == SLUICE_OUTPUT)
                ret->length = 0; /* /dev/null cannot be spliced from, and need not be */
        return 0;
}

static int null_open(struct sluice_ctx *ctx, void *self)
{
        int r = sluice_ctx_open(ctx, "/dev/null", sluice_ctx_linked(ctx, SLUICE_INPUT) ? O_WRONLY : O_RDONLY, 0, opened);

        (void)self;
        return r < 0 ? r : -EINPROGRESS;
}

static int null_fd(struct sluice_ctx *ctx, void *self, enum sluice_direction dir)
{
        (void)ctx;
        (void)dir;
        return ((struct null_self *)self)->fd;
}

static void null_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

static const struct sluice_stage_ops null_ops = {
        .size = sizeof(null_ops),
        .name = "null",
        .instance_size = sizeof(struct null_self),
        .describe = null_describe,
        .open = null_open,
        .fd = null_fd,
        .close = null_close,
};

int sluice_add_null(struct sluice_pipeline *p)
{
        return sluice_pipeline_add(p, &null_ops, NULL, "null");
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        int r = text_options(NULL, 0, options, options_nr, NULL, e);

        if (r < 0)
                return r;
        return *argument ? text_fail(e, 0, "null: takes no argument") : sluice_add_null(p);
}

const struct text_type text_null = { { "null", "null:", "nothing: a sink that discards, an empty source" }, add };
