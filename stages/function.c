/* stages/function.c: a function of the host's that may block: the engine gives it a thread, and fds or other functions'
 * buffers. Owns nothing. */
#include "function.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"

int function_config_copy(void **ret, const void *config)
{
        struct function_config *c = malloc(sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = *(const struct function_config *)config;
        *ret = c;
        return 0;
}

int function_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)ctx;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_INHERIT;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

/* On a thread of the host's it can have other functions' memory. */
static int thread_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        int r = function_describe(ctx, self, dir, ret);

        ret->io |= SLUICE_IO_MEM;
        return r;
}

int function_run(void *self, const void *config, struct sluice_stream *io)
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
        .describe = thread_describe,
        .open = plain_open,
        .close = plain_close,
        .run = function_run,
};

int sluice_add_function(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg, const char *name)
{
        const struct function_config c = { .fn = fn, .arg = arg };

        return fn ? sluice_pipeline_add(p, &function_ops, &c, name) : -EINVAL;
}

static int is_for_processes(const struct sluice_function_options *o)
{
        return o->object || o->symbol || o->argument || o->process;
}

int sluice_add_function_with(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg,
                             const struct sluice_function_options *opt)
{
        struct sluice_function_options o = { .size = sizeof(o) };

        if (opt && (opt->size < sizeof(o) || opt->size > sizeof(o)))
                return -EINVAL;
        if (opt)
                memcpy(&o, opt, opt->size);
        switch (o.flags) {
        case 0:
                return is_for_processes(&o) ? -EINVAL : sluice_add_function(p, fn, arg, o.name);
        case SLUICE_ISOLATED:
                return isolated_add(p, fn, arg, &o);
        case SLUICE_FORKED:
                return is_for_processes(&o) ? -EINVAL : forked_add(p, fn, arg, &o);
        default:
                return -EINVAL;
        }
}
