/* stages/forked.c: a function of the host's in a fork of the host: only while the host has one thread. Owns nothing. */
#include <errno.h>
#include <stdlib.h>

#include "function.h"
#include "plain.h"

static void prepared(struct sluice_ctx *ctx, void *self, int64_t result)
{
        (void)self;
        sluice_ctx_opened(ctx, (int)result);
}

/* Asked before a sink is truncated; the engine asks again before it forks. */
static int forked_open(struct sluice_ctx *ctx, void *self)
{
        int r = sluice_may_fork();

        (void)self;
        if (r < 0) {
                sluice_ctx_note(ctx, "fork", "this process has another thread: it cannot be forked whole");
                return r;
        }
        r = sluice_ctx_prepare_function(ctx, NULL, NULL, NULL, prepared);
        return r < 0 ? r : r > 0 ? 0 : -EINPROGRESS;
}

static int forked_command(struct sluice_ctx *ctx, void *self, struct sluice_command *ret)
{
        (void)ctx;
        (void)self;
        ret->forked = 1;
        return 0;
}

static const struct sluice_stage_ops forked_ops = {
        .size = sizeof(forked_ops),
        .name = "forked",
        .config_copy = function_config_copy,
        .config_free = free,
        .describe = function_describe,
        .open = forked_open,
        .command = forked_command,
        .close = plain_close,
        .run = function_run,
};

int forked_add(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg, const struct sluice_function_options *o)
{
        const struct function_config c = { .fn = fn, .arg = arg };
        int r = fn ? sluice_may_fork() : -EINVAL;

        return r < 0 ? r : sluice_pipeline_add(p, &forked_ops, &c, o->name);
}
