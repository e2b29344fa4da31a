/* engine/worker.c: stages that are a function in a process of its own. To its links, its containment and its end such a stage
 * is a command; only that its answer is what the function returned, which is on its sheet (worker.h).
 *
 *      isolated    exec of sluice-worker, which the library carries, with the object and the sheet as fds
 *
 *      forked      a fork of the host, on the loop's thread, while the host has no other thread
 *
 * Called by child.c; calls program.h, spawn_fork() and, in the fork, serve.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "program.h"
#include "run.h"
#include "serve.h"
#include "syscalls.h"

extern char **environ;

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* 6.3 */
#endif

enum { ERRNO_MAX = 4095 };

struct worker {
        struct worker_sheet *sheet;
        int sheet_fd, program_fd; /* until it has started */
        char first[12], path[32];
        char *argv[WORKER_ARGS + 1];
};

int sluice_may_fork(void)
{
        return spawn_may_fork();
}

bool is_function_process(const struct sluice_ctx *c)
{
        return c->child->worker != NULL;
}

/* It is the host's or another process's word: strerror() and whoever negates it must be able to. */
int function_result(int returned)
{
        return returned < -ERRNO_MAX ? -EPROTO : returned;
}

bool has_returned(const struct sluice_ctx *c)
{
        return c->child->state == CHILD_EXITED && (is_thread(c) || c->child->returned);
}

/* ---- the sheet ---- */

/* Its length is sealed: whatever the worker does with it, reading it stays possible. */
static int open_sheet(void)
{
        int fd = memfd_create("sluice-sheet", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("sluice-sheet", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        if (ftruncate(fd, sizeof(struct worker_sheet)) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
                int error = errno;

                close(fd);
                return -error;
        }
        return sys_above_stdio(fd);
}

static int make_sheet(struct sluice_ctx *c, struct worker *w)
{
        struct worker_sheet *s;

        w->sheet_fd = open_sheet();
        if (w->sheet_fd < 0)
                return w->sheet_fd;
        s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, w->sheet_fd, 0);
        if (s == MAP_FAILED)
                return -errno;
        *s = (struct worker_sheet){ .bytes = sizeof(*s),
                                    .ours = { run_link_is_our_pipe(c->run, c->def->in_link),
                                              run_link_is_our_pipe(c->run, c->def->out_link) } };
        w->sheet = s;
        return 0;
}

/* ---- start ---- */

/* Its fds stand behind those that the host asked for. */
static void place_fds(struct sluice_ctx *c, struct worker *w)
{
        struct spawn *s = &c->child->spec;
        struct spawn_fd *extra = c->child->prep.extra;
        const int fds[WORKER_FDS] = {
                [WORKER_FD_SHEET] = w->sheet_fd, [WORKER_FD_OBJECT] = c->child->prep.object, [WORKER_FD_PROGRAM] = w->program_fd
        };
        int first = STDERR_FILENO + 1;

        for (uint32_t i = 0; i < s->extra_nr; i++)
                if (extra[i].as >= first)
                        first = extra[i].as + 1;
        for (int i = 0; i < WORKER_FDS; i++)
                extra[s->extra_nr++] = (struct spawn_fd){ fds[i], first + i };
        snprintf(w->first, sizeof(w->first), "%d", first);
        snprintf(w->path, sizeof(w->path), "/proc/self/fd/%d", first + WORKER_FD_PROGRAM);
}

static int prepare_exec(struct sluice_ctx *c, struct worker *w)
{
        const struct sluice_command *f = &c->child->command;

        w->program_fd = program_open(PROGRAM_WORKER);
        if (w->program_fd < 0) {
                sluice_ctx_note(c, "worker",
                                "sluice-worker can neither be run from memory (vm.memfd_noexec) nor found installed: %s",
                                strerror(-w->program_fd));
                return w->program_fd;
        }
        place_fds(c, w);
        w->argv[0] = (char *)"sluice-worker";
        w->argv[WORKER_ARG_FD] = w->first;
        w->argv[WORKER_ARG_OBJECT] = (char *)(uintptr_t)c->child->prep.name;
        w->argv[WORKER_ARG_SYMBOL] = (char *)(uintptr_t)f->symbol;
        w->argv[WORKER_ARG_ARGUMENT] = (char *)(uintptr_t)(f->argument ? f->argument : "");
        c->child->spec.path = w->path;
        c->child->spec.argv = w->argv;
        return 0;
}

/* Ours, not the guard's; a group whose leader only the guard knows yet is not to be had. */
static int prepare_fork(struct sluice_ctx *c)
{
        struct spawn *s = &c->child->spec;
        int r = spawn_may_fork();

        if (r < 0)
                sluice_ctx_note(c, "fork", "this process has another thread by now: it cannot be forked whole");
        s->guard = NULL;
        c->child->by_guard = false;
        if (s->group_mode == SPAWN_GROUP_JOIN && s->group == 0)
                s->group_mode = SPAWN_GROUP_KEEP;
        return r;
}

int worker_begin(struct sluice_ctx *c)
{
        const struct sluice_command *f = &c->child->command;
        struct worker *w;
        int r;

        if (!f->symbol && !f->forked)
                return 0;
        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->sheet_fd = w->program_fd = -1;
        c->child->worker = w;
        c->child->spec.hold_term = true; /* until serve() can answer it: asked to end at once, it ends as a function does */
        r = make_sheet(c, w);
        if (r < 0)
                return r;
        return f->forked ? prepare_fork(c) : prepare_exec(c, w);
}

static int run_forked(void *arg, struct sluice_stream *io)
{
        struct sluice_ctx *c = arg;

        return c->def->ops->run(c->self, c->config, io);
}

static int in_fork(void *arg, int error)
{
        struct sluice_ctx *c = arg;
        struct worker_sheet *sheet = c->child->worker->sheet;

        if (error < 0)
                return serve_refuse(sheet, error, "fork: %s", strerror(-error));
        environ = (char **)(uintptr_t)c->child->prep.env;
        return serve(sheet, run_forked, c);
}

int worker_fork(struct sluice_ctx *c)
{
        return spawn_fork(&c->child->spec, in_fork, c);
}

void worker_started(struct sluice_ctx *c)
{
        struct worker *w = c->child->worker;

        if (!w)
                return;
        if (w->sheet_fd >= 0)
                close(w->sheet_fd);
        if (w->program_fd >= 0)
                close(w->program_fd);
        w->sheet_fd = w->program_fd = -1;
}

/* ---- end ---- */

/* There was nothing to run: that too is an answer, in the worker's words. */
static void take_refusal(struct sluice_ctx *c, const struct worker_sheet *s)
{
        c->child->returned = c->child->refused = true;
        c->child->result = s->result < 0 ? function_result(s->result) : -ENOEXEC;
        stage_saw(c, c->child->result, "load");
        words_say(&c->outcome.message, MESSAGE_BYTES, "%s: %.*s", c->def->name, WORKER_WORDS_BYTES, s->words);
}

/* A function that has returned and then crashed, in a destructor or by exit handlers, has crashed. */
void worker_ended(struct sluice_ctx *c)
{
        const struct child_status *status = &c->child->status;
        struct worker_sheet s;

        if (!c->child->worker)
                return;
        s = *c->child->worker->sheet; /* what it has left behind may still write there */
        if (s.state == WORKER_REFUSED && !status->signal)
                take_refusal(c, &s);
        if (s.state != WORKER_RETURNED || (status->known && (status->signal || status->exit_status)))
                return;
        c->child->returned = true;
        c->child->result = function_result(s.result);
}

void worker_fini(struct sluice_ctx *c)
{
        struct worker *w = c->child->worker;

        if (!w)
                return;
        worker_started(c);
        if (w->sheet)
                munmap(w->sheet, sizeof(*w->sheet));
        free(w);
        c->child->worker = NULL;
}
