/* stages/memory.c: a source that is a buffer of the host's. Owns nothing: the buffer stays while a run lasts. */
#include <errno.h>
#include <string.h>

#include <sluice/stages.h>

struct memory_config {
        const char *data;
        size_t bytes;
};

struct memory_self {
        size_t at;
};

static int memory_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)ctx;
        (void)self;
        if (dir == SLUICE_INPUT)
                return 0;
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static int memory_open(struct sluice_ctx *ctx, void *self)
{
        (void)ctx;
        (void)self;
        return 0;
}

static int memory_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct memory_config *c = sluice_ctx_config(ctx);
        struct memory_self *self = self_;
        size_t bytes = c->bytes - self->at < out->cap ? c->bytes - self->at : out->cap;

        (void)in;
        if (bytes)
                memcpy(out->data, c->data + self->at, bytes);
        self->at += bytes;
        out->len = bytes;
        return self->at == c->bytes ? SLUICE_END : 0;
}

static void memory_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

static const struct sluice_stage_ops memory_ops = {
        .size = sizeof(memory_ops),
        .name = "memory",
        .instance_size = sizeof(struct memory_self),
        .config_size = sizeof(struct memory_config),
        .describe = memory_describe,
        .open = memory_open,
        .process = memory_process,
        .close = memory_close,
};

int sluice_add_memory(struct sluice_pipeline *p, const void *data, size_t bytes)
{
        const struct memory_config c = { .data = data, .bytes = bytes };

        return !data && bytes ? -EINVAL : sluice_pipeline_add(p, &memory_ops, &c, "memory");
}
