/* stages/function.c: a function of the host's that may block: the engine gives it a thread and fds. Owns nothing. */
#include <errno.h>
#include <stdlib.h>

#include "plain.h"

struct function_config {
        sluice_function_fn *fn;
        void *arg;
};

static int function_config_copy(void **ret, const void *config)
{
        struct function_config *c = malloc(sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = *(const struct function_config *)config;
        *ret = c;
        return 0;
}

static int function_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)ctx;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_INHERIT;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static int function_run(void *self, const void *config, struct sluice_stream *io)
{
        const struct function_config *c = config;

        (void)self;
        return c->fn(c->arg, io);
}

static const struct sluice_stage_ops function_ops = {
        .size = sizeof(function_ops),
        .name = "function",
        .config_copy = function_config_copy,
        .config_free = free,
        .describe = function_describe,
        .open = plain_open,
        .close = plain_close,
        .run = function_run,
};

int sluice_add_function(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg, const char *name)
{
        const struct function_config c = { .fn = fn, .arg = arg };

        return fn ? sluice_pipeline_add(p, &function_ops, &c, name) : -EINVAL;
}
