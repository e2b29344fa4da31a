/* stages/command.c: a command: found when the run opens, started by the engine once every other stage is open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/stages.h>

struct command_config {
        char **argv, **env;
        char *directory;
};

static void free_strings(char **v)
{
        for (size_t i = 0; v && v[i]; i++)
                free(v[i]);
        free(v);
}

static char **copy_strings(char *const *v)
{
        size_t n = 0;
        char **copy;

        while (v[n])
                n++;
        copy = calloc(n + 1, sizeof(*copy));
        for (size_t i = 0; copy && i < n; i++) {
                copy[i] = strdup(v[i]);
                if (!copy[i]) {
                        free_strings(copy);
                        return NULL;
                }
        }
        return copy;
}

static void command_config_free(void *config)
{
        struct command_config *c = config;

        free_strings(c->argv);
        free_strings(c->env);
        free(c->directory);
        free(c);
}

static int command_config_copy(void **ret, const void *config)
{
        const struct command_config *from = config;
        struct command_config *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->argv = copy_strings(from->argv);
        c->env = from->env ? copy_strings(from->env) : NULL;
        c->directory = from->directory ? strdup(from->directory) : NULL;
        if (!c->argv || (from->env && !c->env) || (from->directory && !c->directory)) {
                command_config_free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

static int command_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)ctx;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_INHERIT;
        ret->kind = SLUICE_KIND_PROCESS;
        return 0;
}

static void found(struct sluice_ctx *ctx, void *self, int64_t result)
{
        const struct command_config *c = sluice_ctx_config(ctx);

        (void)self;
        if (result == -ENOENT)
                sluice_ctx_note(ctx, "find", strchr(c->argv[0], '/') ? "no such file" : "command not found in PATH");
        else if (result == -EACCES)
                sluice_ctx_note(ctx, "find", "not executable");
        sluice_ctx_opened(ctx, (int)result);
}

static const char *path_of(const struct command_config *c)
{
        for (size_t i = 0; c->env && c->env[i]; i++)
                if (strncmp(c->env[i], "PATH=", 5) == 0)
                        return c->env[i] + 5;
        return getenv("PATH");
}

static int command_open(struct sluice_ctx *ctx, void *self)
{
        const struct command_config *c = sluice_ctx_config(ctx);
        int r = sluice_ctx_find(ctx, c->argv[0], path_of(c), found);

        (void)self;
        return r < 0 ? r : -EINPROGRESS;
}

static int command_command(struct sluice_ctx *ctx, void *self, struct sluice_command *ret)
{
        const struct command_config *c = sluice_ctx_config(ctx);

        (void)self;
        ret->path = sluice_ctx_found(ctx);
        ret->argv = c->argv;
        ret->env = c->env;
        ret->directory = c->directory;
        return 0;
}

static void command_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

static const struct sluice_stage_ops command_ops = {
        .size = sizeof(command_ops),
        .name = "command",
        .instance_size = 1,
        .config_copy = command_config_copy,
        .config_free = command_config_free,
        .describe = command_describe,
        .open = command_open,
        .command = command_command,
        .close = command_close,
};

int sluice_add_command(struct sluice_pipeline *p, char *const argv[], const struct sluice_command_options *opt)
{
        struct command_config c = { .argv = (char **)(uintptr_t)argv };

        if (!argv || !argv[0] || !argv[0][0] || (opt && opt->size != sizeof(*opt)))
                return -EINVAL;
        if (opt) {
                c.env = (char **)(uintptr_t)opt->env;
                c.directory = (char *)(uintptr_t)opt->directory;
        }
        return sluice_pipeline_add(p, &command_ops, &c, argv[0]);
}
