/* stages/command.c: a command: looked up with all that its options name when the run opens, started by the engine once every
 * other stage is open. Owns a copy of its options. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

enum { FDS_MAX = 32, RLIMITS_MAX = 16, STDERR_BYTES_MAX = 1 << 20 }; /* as sluice/stage.h says */

struct command_config {
        char **argv;
        struct sluice_command_options options; /* what it points to is ours */
};

static void free_strings(char *const *v)
{
        for (size_t i = 0; v && v[i]; i++)
                free(v[i]);
        free((void *)(uintptr_t)v);
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

/* Each copies what *field points to and stores the copy there; NULL stays NULL. False without memory. */
static bool own_text(const char **field)
{
        return !*field || (*field = strdup(*field));
}

static bool own_bytes(const void **field, size_t bytes)
{
        const void *from = *field;
        void *copy;

        *field = NULL;
        if (bytes == 0)
                return true;
        copy = malloc(bytes);
        if (copy)
                memcpy(copy, from, bytes);
        *field = copy;
        return copy;
}

static bool own_strings(char *const **field)
{
        return !*field || (*field = copy_strings(*field));
}

static bool own_changes(struct sluice_command_options *o)
{
        const struct sluice_env *from = o->changes;
        struct sluice_env *copy = o->changes_nr ? calloc(o->changes_nr, sizeof(*copy)) : NULL;
        bool whole = true;

        o->changes = copy;
        if (!copy)
                return o->changes_nr == 0;
        for (size_t i = 0; i < o->changes_nr; i++) {
                copy[i] = from[i];
                whole &= own_text(&copy[i].name);
                whole &= own_text(&copy[i].value);
        }
        return whole;
}

/* Every field is taken on, though one fails: then all are ours or NULL, and can be freed. */
bool command_options_own(struct sluice_command_options *o)
{
        bool whole = own_strings(&o->env);

        whole &= own_changes(o);
        whole &= own_text(&o->directory);
        whole &= own_text(&o->user);
        whole &= own_text(&o->group);
        whole &= own_text(&o->cgroup);
        whole &= own_text(&o->stderr_path);
        whole &= own_bytes((const void **)(void *)&o->fds, o->fds_nr * sizeof(*o->fds));
        whole &= own_bytes((const void **)(void *)&o->rlimits, o->rlimits_nr * sizeof(*o->rlimits));
        return whole;
}

static void free_const(const void *p)
{
        free((void *)(uintptr_t)p);
}

void command_options_free(struct sluice_command_options *o)
{
        free_strings(o->env);
        for (size_t i = 0; o->changes && i < o->changes_nr; i++) {
                free_const(o->changes[i].name);
                free_const(o->changes[i].value);
        }
        free_const(o->changes);
        free_const(o->directory);
        free_const(o->user);
        free_const(o->group);
        free_const(o->cgroup);
        free_const(o->stderr_path);
        free_const(o->fds);
        free_const(o->rlimits);
}

static void command_config_free(void *config)
{
        struct command_config *c = config;

        free_strings(c->argv);
        command_options_free(&c->options);
        free(c);
}

static int command_config_copy(void **ret, const void *config)
{
        const struct command_config *from = config;
        struct command_config *c = malloc(sizeof(*c));
        bool whole;

        if (!c)
                return -ENOMEM;
        c->options = from->options;
        c->argv = copy_strings(from->argv);
        whole = command_options_own(&c->options);
        if (!c->argv || !whole) {
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

static void prepared(struct sluice_ctx *ctx, void *self, int64_t result)
{
        (void)self;
        sluice_ctx_opened(ctx, (int)result);
}

static int command_open(struct sluice_ctx *ctx, void *self)
{
        const struct command_config *c = sluice_ctx_config(ctx);
        int r = sluice_ctx_prepare(ctx, c->argv[0], &c->options, prepared);

        (void)self;
        return r < 0 ? r : -EINPROGRESS;
}

static int command_command(struct sluice_ctx *ctx, void *self, struct sluice_command *ret)
{
        const struct command_config *c = sluice_ctx_config(ctx);

        (void)self;
        ret->path = sluice_ctx_found(ctx);
        ret->argv = c->argv;
        ret->options = &c->options;
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

static bool has_bit(unsigned flags, unsigned known)
{
        return (flags & ~known) == 0;
}

static bool fds_are_possible(const struct sluice_command_options *o)
{
        for (size_t i = 0; i < o->fds_nr; i++) {
                if (o->fds[i].fd < 0 || o->fds[i].as <= STDERR_FILENO)
                        return false;
                for (size_t k = 0; k < i; k++)
                        if (o->fds[k].as == o->fds[i].as)
                                return false;
        }
        return true;
}

static bool rlimits_are_possible(const struct sluice_command_options *o)
{
        for (size_t i = 0; i < o->rlimits_nr; i++)
                if (o->rlimits[i].soft > o->rlimits[i].hard || o->rlimits[i].resource < 0)
                        return false;
        return true;
}

static bool changes_are_possible(const struct sluice_command_options *o)
{
        for (size_t i = 0; i < o->changes_nr; i++) {
                const struct sluice_env *e = &o->changes[i];

                if (e->name ? !*e->name || strchr(e->name, '=') : !e->fn)
                        return false;
        }
        return true;
}

static bool is_possible(const struct sluice_command_options *o)
{
        bool file = o->stderr_to == SLUICE_STDERR_FILE || o->stderr_to == SLUICE_STDERR_APPEND;

        return has_bit(o->flags, SLUICE_COMMAND_UMASK | SLUICE_COMMAND_OBSERVE_MEMORY) && o->fds_nr <= FDS_MAX &&
               o->rlimits_nr <= RLIMITS_MAX && (int)o->stderr_to >= SLUICE_STDERR_DEFAULT && o->stderr_to <= SLUICE_STDERR_NULL &&
               file == (o->stderr_path != NULL) && o->stderr_bytes <= STDERR_BYTES_MAX && fds_are_possible(o) &&
               rlimits_are_possible(o) && changes_are_possible(o);
}

int command_options_read(struct sluice_command_options *ret, const struct sluice_command_options *opt)
{
        const size_t first_release = offsetof(struct sluice_command_options, flags);

        if (opt && (opt->size < first_release || opt->size > sizeof(*opt)))
                return -EINVAL;
        *ret = (struct sluice_command_options){ .size = sizeof(*ret) };
        if (opt)
                memcpy(ret, opt, opt->size);
        return is_possible(ret) ? 0 : -EINVAL;
}

int sluice_add_command(struct sluice_pipeline *p, char *const argv[], const struct sluice_command_options *opt)
{
        struct command_config c = { .argv = (char **)(uintptr_t)argv };

        if (!argv || !argv[0] || !argv[0][0])
                return -EINVAL;
        return command_options_read(&c.options, opt) < 0 ? -EINVAL : sluice_pipeline_add(p, &command_ops, &c, argv[0]);
}
