/* engine/prepare.c: what a command's options name is looked up and opened before anything of the run starts.
 *
 *      environment -> directory -> program, or a function's object -> stderr file -> user and group -> cgroup -> extra fds
 *
 * Each step is a call that may take its time (a name service, a dead NFS server), so the loop is not stopped; the last
 * one answers the stage. What is opened belongs to the stage's list of fds, which closes it. Called by stages with a
 * command(); calls ctx.c's calls. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

extern char **environ;

typedef int step_fn(struct sluice_ctx *c);

static void answered(struct sluice_ctx *c, int64_t error);

static int failed(struct sluice_ctx *c, const char *operation, const char *what, const char *name, int64_t error)
{
        sluice_ctx_note(c, operation, "%s %s: %s", what, name, strerror((int)-error));
        return (int)error;
}

/* ---- steps: 1 goes on at once, 0 when a call was started, or an error ---- */

static int make_environment(struct sluice_ctx *c)
{
        const struct sluice_options *all = c->run->opt;
        struct prepared *p = &c->child->prep;
        const struct sluice_command_options *o = p->options;
        int r;

        p->env = o && o->env ? o->env : environ;
        if (all->env_nr == 0 && (!o || o->changes_nr == 0))
                return 1;
        r = environ_init(&p->environ, p->env);
        r = r < 0 ? r : environ_apply(&p->environ, all->env, all->env_nr);
        r = r < 0 ? r : o ? environ_apply(&p->environ, o->changes, o->changes_nr) : 0;
        if (r < 0)
                return failed(c, "environment", "a change of the", "environment", r);
        p->env = p->environ.v;
        return 1;
}

static const char *directory_of(const struct sluice_ctx *c)
{
        const struct sluice_command_options *o = c->child->prep.options;

        return o && o->directory ? o->directory : c->run->opt->directory;
}

static void directory_opened(struct sluice_ctx *c, void *self, int64_t fd)
{
        (void)self;
        if (fd < 0)
                failed(c, "chdir", "directory", directory_of(c), fd);
        c->child->prep.directory = (int)fd;
        answered(c, fd);
}

static int open_directory(struct sluice_ctx *c)
{
        const char *path = directory_of(c);

        return path ? sluice_ctx_open(c, path, O_PATH | O_DIRECTORY, 0, directory_opened) : 1;
}

static const char *path_of(const struct prepared *p)
{
        for (size_t i = 0; p->env[i]; i++)
                if (strncmp(p->env[i], "PATH=", 5) == 0)
                        return p->env[i] + 5;
        return getenv("PATH");
}

static void say_not_found(struct sluice_ctx *c, int64_t result)
{
        if (result == -ENOENT)
                sluice_ctx_note(c, "find", strchr(c->child->prep.name, '/') ? "no such file" : "command not found in PATH");
        else if (result == -EACCES)
                sluice_ctx_note(c, "find", "not executable");
}

static bool looks_for_the_same(const struct sluice_ctx *a, const struct sluice_ctx *b)
{
        return is_command(a) && a->child->prep.name && a->child->prep.env == b->child->prep.env && a->child->prep.directory < 0 &&
               b->child->prep.directory < 0 && strcmp(a->child->prep.name, b->child->prep.name) == 0;
}

/* Who looked for the same thing has it found by the first. */
static void program_found(struct sluice_ctx *c, void *self, int64_t result)
{
        struct run *r = c->run;

        (void)self;
        c->child->prep.finds = false;
        for (size_t i = (size_t)c->index + 1; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *other = &r->stages[i];

                if (!other->child->prep.waits || !looks_for_the_same(other, c))
                        continue;
                other->child->prep.waits = false;
                other->found = result < 0 ? NULL : strdup(c->found);
                say_not_found(other, result);
                answered(other, result < 0 || other->found ? result : -ENOMEM);
        }
        say_not_found(c, result);
        answered(c, result);
}

static void symbol_found(struct sluice_ctx *c, void *self, int64_t result)
{
        const struct prepared *p = &c->child->prep;

        (void)self;
        if (result == -ENOENT)
                sluice_ctx_note(c, "load", "%s: no function '%s'", p->name, p->symbol);
        else if (result == -ENOEXEC)
                sluice_ctx_note(c, "load", "%s: no shared object of this machine", p->name);
        else if (result < 0)
                sluice_ctx_note(c, "load", "%s: %s", p->name, strerror((int)-result));
        answered(c, result);
}

/* What the loader itself will say is heard only from the worker, when sinks have been truncated: what can be known without
 * loading is. */
static int find_symbol(struct sluice_ctx *c)
{
        const struct prepared *p = &c->child->prep;

        return p->symbol ? ctx_symbol(c, p->object, p->symbol, symbol_found) : 1;
}

/* Where the host is, not where the function will be: as the host itself would load it. */
static void object_opened(struct sluice_ctx *c, void *self, int64_t fd)
{
        (void)self;
        if (fd < 0)
                sluice_ctx_note(c, "load", "%s: %s", c->child->prep.name, strerror((int)-fd));
        c->child->prep.object = (int)fd;
        answered(c, fd);
}

static int open_object(struct sluice_ctx *c)
{
        const struct prepared *p = &c->child->prep;

        return p->symbol ? sluice_ctx_open(c, p->name, O_RDONLY | O_NONBLOCK, 0, object_opened) : 1;
}

/* Ten cats are one search: PATH has a dozen directories on many machines, and each miss is a system call. */
static int find_program(struct sluice_ctx *c)
{
        if (!c->child->prep.name || c->child->prep.symbol)
                return 1;
        for (int i = 0; i < c->index; i++)
                if (c->run->stages[i].child->prep.finds && looks_for_the_same(&c->run->stages[i], c)) {
                        c->child->prep.waits = true;
                        return 0;
                }
        c->child->prep.finds = true;
        return ctx_find(c, c->child->prep.name, path_of(&c->child->prep), c->child->prep.directory, program_found);
}

static void stderr_opened(struct sluice_ctx *c, void *self, int64_t fd)
{
        (void)self;
        if (fd < 0)
                failed(c, "stderr", "stderr to", c->child->prep.options->stderr_path, fd);
        c->child->prep.stderr_file = (int)fd;
        answered(c, fd);
}

/* Not truncated before everything else is open: like any sink. Several commands may share it, hence O_APPEND. */
static int open_stderr(struct sluice_ctx *c)
{
        const struct sluice_command_options *o = c->child->prep.options;

        if (!o || (o->stderr_to != SLUICE_STDERR_FILE && o->stderr_to != SLUICE_STDERR_APPEND))
                return 1;
        return sluice_ctx_open(c, o->stderr_path, O_WRONLY | O_CREAT | O_APPEND, 0666, stderr_opened);
}

static void ids_found(struct sluice_ctx *c, void *self, int64_t result)
{
        const struct sluice_command_options *o = c->child->prep.options;
        bool group = c->child->prep.ids->group_unknown;

        (void)self;
        if (result == -ENOENT)
                sluice_ctx_note(c, "user", group ? "no group '%s'" : "no user '%s'", group ? o->group : o->user);
        else if (result < 0)
                failed(c, "user", "user", o->user ? o->user : o->group, result);
        answered(c, result);
}

static int find_ids(struct sluice_ctx *c)
{
        const struct sluice_command_options *o = c->child->prep.options;

        if (!o || (!o->user && !o->group))
                return 1;
        if (ids_may_change() < 0) {
                sluice_ctx_note(c, "user", "only a process with CAP_SETUID and CAP_SETGID may start others as another user");
                return -EPERM;
        }
        c->child->prep.ids = calloc(1, sizeof(*c->child->prep.ids));
        return c->child->prep.ids ? ctx_ids(c, o->user, o->group, c->child->prep.ids, ids_found) : -ENOMEM;
}

static void cgroup_opened(struct sluice_ctx *c, void *self, int64_t fd)
{
        (void)self;
        if (fd < 0)
                failed(c, "cgroup", "cgroup", c->child->prep.options->cgroup, fd);
        c->child->prep.cgroup = (int)fd;
        answered(c, fd);
}

static int open_cgroup(struct sluice_ctx *c)
{
        const struct sluice_command_options *o = c->child->prep.options;

        return o && o->cgroup ? sluice_ctx_open(c, o->cgroup, O_RDONLY | O_DIRECTORY, 0, cgroup_opened) : 1;
}

static int take_extra_fds(struct sluice_ctx *c)
{
        const struct sluice_command_options *o = c->child->prep.options;

        for (size_t i = 0; o && i < o->fds_nr; i++) {
                int fd = sluice_ctx_dup(c, o->fds[i].fd);

                if (fd < 0) {
                        sluice_ctx_note(c, "dup", "file descriptor %d, to be its %d: %s", o->fds[i].fd, o->fds[i].as,
                                        strerror(-fd));
                        return fd;
                }
                c->child->prep.extra[i] = (struct spawn_fd){ fd, o->fds[i].as };
        }
        return 1;
}

static step_fn *const steps[] = {
        make_environment, open_directory, find_program, open_object,    find_symbol,
        open_stderr,      find_ids,       open_cgroup,  take_extra_fds,
};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

/* 0: a call was started, 1: all is done, or the error of a step. */
static int advance(struct sluice_ctx *c)
{
        struct prepared *p = &c->child->prep;
        int r = 1;

        while (r > 0 && p->step < STEPS)
                r = steps[p->step++](c);
        return r;
}

static void answered(struct sluice_ctx *c, int64_t error)
{
        int r = error < 0 ? (int)error : advance(c);

        if (r != 0)
                c->child->prep.then(c, c->self, r < 0 ? r : 0);
}

static int prepare(struct sluice_ctx *c, const char *name, const char *symbol, const struct sluice_command_options *o,
                   sluice_then_fn *then)
{
        if (!is_command(c))
                return -EINVAL;
        c->child->prep = (struct prepared){ .options = o,
                                            .directory = -1,
                                            .cgroup = -1,
                                            .stderr_file = -1,
                                            .object = -1,
                                            .name = name,
                                            .symbol = symbol,
                                            .then = then };
        return advance(c);
}

/* Looking for the program is a call, or another's: what comes before it fails here, what comes after it in the callback. */
int sluice_ctx_prepare(struct sluice_ctx *c, const char *command, const struct sluice_command_options *o, sluice_then_fn *then)
{
        int r = prepare(c, command, NULL, o, then);

        return r < 0 ? r : 0;
}

int sluice_ctx_prepare_function(struct sluice_ctx *c, const char *object, const char *symbol,
                                const struct sluice_command_options *o, sluice_then_fn *then)
{
        return prepare(c, object, symbol, o, then);
}

static void stderr_truncated(struct sluice_ctx *c, void *self, int64_t error)
{
        (void)self;
        /* A FIFO or a terminal has no length. */
        sluice_ctx_committed(c, error == -EINVAL ? 0 : (int)error);
}

int prepared_commit(struct sluice_ctx *c)
{
        const struct sluice_command_options *o = c->child->prep.options;

        if (!o || o->stderr_to != SLUICE_STDERR_FILE)
                return 0;
        return sluice_ctx_truncate(c, c->child->prep.stderr_file, 0, stderr_truncated) < 0 ? 0 : -EINPROGRESS;
}

void prepared_fini(struct prepared *p)
{
        environ_fini(&p->environ);
        free(p->ids);
        p->ids = NULL;
}
