/* tools/supervise.c: see supervise.h. Called by run.c and exec.c. */
#include "supervise.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char supervise_help[] =
        "  --grace=DURATION            between SIGTERM and SIGKILL when commands are ended; default 2s\n"
        "  --env=NAME=VALUE, --env=NAME\n"
        "                              sets or unsets a variable for the commands; may be repeated\n"
        "  --chdir=DIR                 where the commands start\n"
        "  --stderr=forward|inherit|null|FILE\n"
        "                              what becomes of what commands say on stderr\n"
        "  --no-guard                  do without the process that ends the commands when sluice is killed\n"
        "  --contain=auto|cgroup|guard|pidns|walk|none\n"
        "                              how descendants of commands are found, to be ended with them\n"
        "  --numa=auto|off|NODE        whose memory buffers are of on a machine with several nodes; a number\n"
        "                              binds sluice and the commands to that node's CPUs; default auto\n"
        "  --backend=auto|uring|epoll  who moves bytes: io_uring, or epoll where that is refused; $SLUICE_BACKEND\n";

void supervise_init(struct supervise *s, unsigned flags)
{
        *s = (struct supervise){ .pipeline = { .size = sizeof(s->pipeline),
                                               .flags = flags | SLUICE_GUARD | SLUICE_DIE_WITH_PARENT },
                                 .command = { .size = sizeof(s->command) } };
        s->pipeline.env = s->env;
}

/* ---- options ---- */

/* Texts are words of the command line and stay: they are cut in place. */
static int add_env(struct supervise *s, const char *subcommand, char *text)
{
        size_t name = strcspn(text, "=");
        struct sluice_env *e;

        if (name == 0)
                return usage_error(subcommand, "--env= is NAME=VALUE, or NAME to unset it, not '%s'", text);
        if (s->pipeline.env_nr == SUPERVISE_MAX)
                return usage_error(subcommand, "more than %d --env=", SUPERVISE_MAX);
        e = &s->env[s->pipeline.env_nr++];
        e->name = text;
        e->value = text[name] ? text + name + 1 : NULL;
        text[name] = '\0';
        return 0;
}

static void set_stderr(struct supervise *s, const char *value)
{
        struct sluice_command_options *o = &s->command;

        o->stderr_path = NULL;
        if (strcmp(value, "forward") == 0) {
                o->stderr_to = SLUICE_STDERR_PASS;
        } else if (strcmp(value, "inherit") == 0) {
                o->stderr_to = SLUICE_STDERR_OURS;
        } else if (strcmp(value, "null") == 0) {
                o->stderr_to = SLUICE_STDERR_NULL;
        } else {
                o->stderr_to = SLUICE_STDERR_FILE;
                o->stderr_path = value;
        }
}

static int add_limit(struct supervise *s, const char *subcommand, char *text, bool one_command)
{
        char *colon = strrchr(text, ':');
        int64_t bytes;

        if (one_command ? colon != NULL : !colon || colon == text)
                return usage_error(subcommand,
                                   one_command ? "--max-memory= is a size (512M), not '%s'"
                                               : "--max-memory= is STAGE:SIZE (2:512M, sort:1G), not '%s'",
                                   text);
        if (sluice_parse_bytes(one_command ? text : colon + 1, &bytes) < 0 || bytes == 0)
                return usage_error(subcommand, "--max-memory=: '%s' is not a size (4096, 64k, 1.5G)",
                                   one_command ? text : colon + 1);
        if (one_command) {
                s->command.memory_bytes = (uint64_t)bytes;
                return 0;
        }
        if (s->limits_nr == SUPERVISE_MAX)
                return usage_error(subcommand, "more than %d --max-memory=", SUPERVISE_MAX);
        *colon = '\0';
        s->limits[s->limits_nr++] = (struct language_limit){ .memory_bytes = (uint64_t)bytes, .stage = text };
        return 0;
}

static int set_contain(struct supervise *s, const char *subcommand, const char *value)
{
        for (int c = SLUICE_CONTAIN_AUTO; c <= SLUICE_CONTAIN_NONE; c++)
                if (strcmp(value, sluice_contain_name((enum sluice_contain)c)) == 0) {
                        s->pipeline.contain = (enum sluice_contain)c;
                        return 0;
                }
        return usage_error(subcommand, "--contain= is one of auto, cgroup, guard, pidns, walk, none, not '%s'", value);
}

/* Asked now, so that a node that cannot be had is a mistake in the command line and not a failed run. */
static int check_node(const char *subcommand, int node)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .numa = SLUICE_NUMA_NODE(node) };
        struct sluice_pool *pool;
        int r = sluice_pool_new(&pool, &o);

        if (r == 0) {
                sluice_pool_unref(pool);
                return 0;
        }
        return usage_error(subcommand, "--numa=%d: %s", node,
                           r == -ENODEV          ? "this machine has no such node"
                           : r == -EACCES        ? "a cpuset keeps this node from this process"
                           : r == -EADDRNOTAVAIL ? "this node has no memory"
                                                 : strerror(-r));
}

static int set_numa(struct supervise *s, const char *subcommand, const char *value)
{
        size_t digits = strspn(value, "0123456789");

        if (strcmp(value, "auto") == 0) {
                s->pipeline.numa = SLUICE_NUMA_AUTO;
                return 0;
        }
        if (strcmp(value, "off") == 0) {
                s->pipeline.numa = SLUICE_NUMA_OFF;
                return 0;
        }
        if (digits == 0 || digits > 6 || value[digits])
                return usage_error(subcommand, "--numa= is auto, off or the number of a node, not '%s'", value);
        s->pipeline.numa = SLUICE_NUMA_NODE(atoi(value));
        return check_node(subcommand, atoi(value));
}

static int set_backend(struct supervise *s, const char *subcommand, const char *what, const char *value)
{
        for (int b = SLUICE_BACKEND_AUTO; b <= SLUICE_BACKEND_EPOLL; b++)
                if (strcmp(value, sluice_backend_name((enum sluice_backend)b)) == 0) {
                        s->pipeline.backend = (enum sluice_backend)b;
                        return 0;
                }
        return usage_error(subcommand, "%s is one of auto, uring, epoll, not '%s'", what, value);
}

int supervise_driver(const char *subcommand, const char *name, enum sluice_driver *ret)
{
        for (int d = SLUICE_DRIVER_AUTO; d <= SLUICE_DRIVER_COPY; d++)
                if (strcmp(name, sluice_driver_name((enum sluice_driver)d)) == 0) {
                        *ret = (enum sluice_driver)d;
                        return 0;
                }
        return usage_error(subcommand, "--driver= is one of auto, inline, ring, copy, not '%s'", name);
}

int supervise_environment(struct supervise *s, const char *subcommand)
{
        const char *backend = getenv("SLUICE_BACKEND");

        return backend && *backend ? set_backend(s, subcommand, "SLUICE_BACKEND=", backend) : 0;
}

int supervise_option(struct supervise *s, const char *subcommand, int option, char *value, bool one_command)
{
        switch (option) {
        case OPT_GRACE:
                if (sluice_parse_duration(value, &s->pipeline.grace_ms) < 0 || s->pipeline.grace_ms == 0)
                        return usage_error(subcommand, "--grace= is a duration (500ms, 2s), not '%s'", value);
                return 0;
        case OPT_ENV:
                return add_env(s, subcommand, value);
        case OPT_CHDIR:
                s->pipeline.directory = value;
                return 0;
        case OPT_STDERR:
                set_stderr(s, value);
                return 0;
        case OPT_MAX_MEMORY:
                return add_limit(s, subcommand, value, one_command);
        case OPT_NO_GUARD:
                s->pipeline.flags &= ~(unsigned)SLUICE_GUARD;
                return 0;
        case OPT_CONTAIN:
                return set_contain(s, subcommand, value);
        case OPT_NUMA:
                return set_numa(s, subcommand, value);
        case OPT_BACKEND:
                return set_backend(s, subcommand, "--backend=", value);
        default:
                return -1;
        }
}

/* ---- run ---- */

struct outcome {
        bool over;
        int result;
};

static void over(void *arg, int result)
{
        *(struct outcome *)arg = (struct outcome){ true, result };
}

/* Blocked here, they need not be in each of the loop's turns, which would take four system calls. Commands begin with none. */
static void hold_signals(sigset_t *ret_held, sigset_t *ret_before)
{
        sigemptyset(ret_held);
        sigaddset(ret_held, SIGPIPE);
        sigaddset(ret_held, SIGXFSZ);
        pthread_sigmask(SIG_BLOCK, ret_held, ret_before);
}

/* What they meant was seen as EPIPE and EFBIG. */
static void release_signals(const sigset_t *held, const sigset_t *before)
{
        const struct timespec now = { 0 };

        while (sigtimedwait(held, NULL, &now) > 0)
                continue;
        pthread_sigmask(SIG_SETMASK, before, NULL);
}

int supervise_run(struct sluice_pipeline *p, const struct supervise *s, bool show_progress, int *ret_result)
{
        const struct sluice_loop_options lo = {
                .size = sizeof(lo), .exclusive = 1, .numa = s->pipeline.numa, .backend = s->pipeline.backend
        };
        struct outcome outcome = { 0 };
        struct progress *progress;
        struct sluice_loop *loop;
        sigset_t held, before;
        int r = sluice_loop_new(&loop, &lo);

        if (r < 0)
                return r;
        hold_signals(&held, &before);
        if (lo.numa > 0)
                sluice_loop_turn(loop, 0); /* bound before anything is started from this thread */
        job_begin(loop, s->pipeline.cancel, s->pipeline.flags & SLUICE_GUARD);
        progress = progress_new(p, show_progress);
        r = sluice_pipeline_start(p, loop, over, &outcome);
        while (r >= 0 && !outcome.over) {
                job_step(p);
                r = sluice_loop_turn(loop, progress ? 100 : -1);
                progress_tick(progress);
        }
        progress_end(progress, outcome.over && outcome.result == 0);
        job_end();
        *ret_result = outcome.result;
        if (r >= 0 || outcome.over)
                sluice_loop_free(loop);
        release_signals(&held, &before);
        return outcome.over ? 0 : r;
}

/* ---- status ---- */

static int status_of_failure(const struct sluice_failure *f)
{
        if (strcmp(f->operation, "memory") == 0)
                return EXIT_MEMORY;
        if (f->exit_status > 0)
                return f->exit_status;
        if (f->signal)
                return EXIT_SIGNAL + f->signal;
        if (strcmp(f->operation, "port") == 0)
                return EXIT_USAGE; /* only the resolver knows the services' names */
        if (f->error == -EPIPE && strcmp(f->stage_name, "stdout") == 0)
                return EXIT_SIGNAL + SIGPIPE; /* what any filter ends with when the reader of its output has gone */
        if (strcmp(f->operation, "find") == 0 || strcmp(f->operation, "exec") == 0)
                return f->error == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
        return EXIT_STAGE;
}

int supervise_status(const struct sluice_pipeline *p, int result)
{
        struct sluice_failure f;

        if (job_signal())
                return EXIT_SIGNAL + job_signal();
        if (result == 0)
                return EXIT_OK;
        if (result == -ETIMEDOUT && sluice_pipeline_error_stage(p) < 0)
                return EXIT_DEADLINE;
        return sluice_pipeline_failures(p, &f, 1) > 0 ? status_of_failure(&f) : EXIT_STAGE;
}
