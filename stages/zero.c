/* stages/zero.c: a number of zero bytes, or zero bytes without end. */
#include <errno.h>
#include <fcntl.h>

#include "text.h"

struct zero_self {
        int fd;
};

static int zero_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)self;
        if (dir == SLUICE_INPUT) {
                sluice_ctx_note(ctx, "describe", "takes no input: it can only be a source");
                return -ENOTSUP;
        }
        ret->length = *(const int64_t *)sluice_ctx_config(ctx);
        ret->kind = SLUICE_KIND_DEVICE;
        ret->io = SLUICE_IO_FD;
        if (ret->length < 0)
                ret->io |= SLUICE_IO_LEND;
        return 0;
}

static void opened(struct sluice_ctx *ctx, void *self, int64_t fd)
{
        ((struct zero_self *)self)->fd = (int)fd;
        sluice_ctx_opened(ctx, fd < 0 ? (int)fd : 0);
}

static int zero_open(struct sluice_ctx *ctx, void *self)
{
        int r = sluice_ctx_open(ctx, "/dev/zero", O_RDONLY, 0, opened);

        (void)self;
        return r < 0 ? r : -EINPROGRESS;
}

static int zero_fd(struct sluice_ctx *ctx, void *self, enum sluice_direction dir)
{
        (void)ctx;
        (void)dir;
        return ((struct zero_self *)self)->fd;
}

static void zero_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

static const struct sluice_stage_ops zero_ops = {
        .size = sizeof(zero_ops),
        .name = "zero",
        .instance_size = sizeof(struct zero_self),
        .config_size = sizeof(int64_t),
        .describe = zero_describe,
        .open = zero_open,
        .fd = zero_fd,
        .close = zero_close,
};

int sluice_add_zero(struct sluice_pipeline *p, int64_t length)
{
        if (length < -1)
                return -EINVAL;
        return sluice_pipeline_add(p, &zero_ops, &length, "zero");
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        int r = text_options(NULL, 0, options, options_nr, NULL, e);
        int64_t length = -1;

        if (r < 0)
                return r;
        if (*argument && sluice_parse_bytes(argument, &length) < 0)
                return text_fail(e, 0, "zero: takes a number of bytes (64k, 1.5G), not '%.40s'", argument);
        return sluice_add_zero(p, length);
}

const struct text_type text_zero = { { "zero", "zero:[LENGTH]", "LENGTH zero bytes, or zero bytes without end" }, add };
