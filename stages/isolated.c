/* stages/isolated.c: a function of a shared object, in a process of its own: named here, opened when the run opens, started by
 * the engine as a command is. Owns copies of its names and options. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "function.h"
#include "library.h"
#include "plain.h"
#include "text.h"

struct isolated_config {
        const char *object, *symbol, *argument;
        struct sluice_command_options process;
};

static void isolated_config_free(void *config)
{
        struct isolated_config *c = config;

        free((char *)(uintptr_t)c->object);
        free((char *)(uintptr_t)c->symbol);
        free((char *)(uintptr_t)c->argument);
        command_options_free(&c->process);
        free(c);
}

static int isolated_config_copy(void **ret, const void *config)
{
        const struct isolated_config *from = config;
        struct isolated_config *c = malloc(sizeof(*c));
        bool whole;

        if (!c)
                return -ENOMEM;
        *c = (struct isolated_config){ strdup(from->object), strdup(from->symbol), strdup(from->argument), from->process };
        whole = command_options_own(&c->process);
        if (!whole || !c->object || !c->symbol || !c->argument) {
                isolated_config_free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

static void prepared(struct sluice_ctx *ctx, void *self, int64_t result)
{
        (void)self;
        sluice_ctx_opened(ctx, (int)result);
}

static int isolated_open(struct sluice_ctx *ctx, void *self)
{
        const struct isolated_config *c = sluice_ctx_config(ctx);
        int r = sluice_ctx_prepare_function(ctx, c->object, c->symbol, &c->process, prepared);

        (void)self;
        return r < 0 ? r : -EINPROGRESS;
}

static int isolated_command(struct sluice_ctx *ctx, void *self, struct sluice_command *ret)
{
        const struct isolated_config *c = sluice_ctx_config(ctx);

        (void)self;
        ret->symbol = c->symbol;
        ret->argument = c->argument;
        ret->options = &c->process;
        return 0;
}

static const struct sluice_stage_ops isolated_ops = {
        .size = sizeof(isolated_ops),
        .name = "isolated",
        .instance_size = 1,
        .config_copy = isolated_config_copy,
        .config_free = isolated_config_free,
        .describe = function_describe,
        .open = isolated_open,
        .command = isolated_command,
        .close = plain_close,
};

int isolated_add(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg, const struct sluice_function_options *o)
{
        struct isolated_config c = { .object = o->object, .symbol = o->symbol, .argument = o->argument ? o->argument : "" };
        int r = command_options_read(&c.process, o->process);

        if (r < 0 || arg || (fn && (o->object || o->symbol)))
                return -EINVAL;
        if (fn)
                r = library_find((const void *)(uintptr_t)fn, &c.object, &c.symbol);
        if (r < 0 || !c.object || !*c.object || !c.symbol || !*c.symbol)
                return -EINVAL;
        return sluice_pipeline_add(p, &isolated_ops, &c, o->name);
}

/* ---- text ---- */

static const struct text_option isolated_options[] = {
        { "symbol", TEXT_STRING, offsetof(struct sluice_function_options, symbol), 0, NULL },
        { "argument", TEXT_STRING, offsetof(struct sluice_function_options, argument), 0, NULL },
};

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        struct sluice_function_options o = { .size = sizeof(o), .flags = SLUICE_ISOLATED, .object = argument };
        int r = text_options(isolated_options, sizeof(isolated_options) / sizeof(isolated_options[0]), options, options_nr, &o, e);

        if (r < 0)
                return r;
        if (!*argument)
                return text_fail(e, 0, "isolated: takes the path of a shared object");
        if (!o.symbol)
                return text_fail(e, 0, "isolated: needs ',symbol=NAME': the function to run");
        return sluice_add_function_with(p, NULL, NULL, &o);
}

const struct text_type text_isolated = {
        { "isolated", "isolated:PATH,symbol=NAME[,argument=TEXT]", "a function of a shared object, in a process of its own" }, add
};
