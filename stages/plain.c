/* stages/plain.c: see plain.h. Called by the engine as the hooks that they are. */
#include "plain.h"

#include <errno.h>

static int works_on_memory(struct sluice_side *ret)
{
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

int plain_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)self;
        (void)dir;
        if (!sluice_ctx_linked(ctx, SLUICE_INPUT)) {
                sluice_ctx_note(ctx, "describe", "has no input: a pipeline does not begin with it");
                return -ENOTSUP;
        }
        return works_on_memory(ret);
}

int plain_describe_source(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)ctx;
        (void)self;
        return dir == SLUICE_INPUT ? 0 : works_on_memory(ret);
}

int plain_open(struct sluice_ctx *ctx, void *self)
{
        (void)ctx;
        (void)self;
        return 0;
}

void plain_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}
