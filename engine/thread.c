/* engine/thread.c: stages that may block, each on a thread of its own. To its links such a stage is a process: it is handed
 * fds (a file, a socket, a pipe), is RUNNING, and ends with a status; only that a thread cannot be killed: it is told, and
 * waited for. To another function it is memory: a ring joins the two (handover.c).
 *
 *      child: NONE --pthread_create--> RUNNING --run() returns, posted to the loop--> EXITED
 *
 * The thread touches its struct sluice_stream (stream.c) and nothing else of the run.
 * Called by child.c and end.c. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "handover.h"
#include "run.h"
#include "stream_ring.h"
#include "syscalls.h"

enum { STACK_BYTES = 512 << 10 };

/* A function's thread: its stream is the thread's, the rest the loop's. */
struct thread {
        struct sluice_stream *io;
        struct sluice_ctx *ctx;
        pthread_t id;
        int result;
};

bool is_thread(const struct sluice_ctx *c)
{
        return c->def->ops->run && !c->def->ops->command;
}

/* ---- life, on the loop's thread ---- */

static void thread_free(struct thread *t)
{
        stream_free(t->io);
        free(t);
}

static void joined(void *arg)
{
        struct sluice_ctx *c = arg;
        struct thread *t = c->child->thread;
        struct child_status s = { .known = true };

        pthread_join(t->id, NULL);
        c->child->result = function_result(t->result);
        c->child->long_line = t->io->mid_line ? t->io->line : 0;
        c->child->thread = NULL;
        thread_free(t);
        child_ended(c, &s);
}

/* Its fds are let go of here, so that others see the end without waiting for the loop. */
static void *thread_main(void *arg)
{
        struct thread *t = arg;
        struct sluice_ctx *c = t->ctx;

        t->result = c->def->ops->run(c->self, c->config, t->io);
        stream_close(t->io);
        while (sluice_loop_post(c->run->loop, joined, c) < 0) /* no memory for a moment: the loop waits for this alone */
                sched_yield();
        return NULL;
}

static int take_side(struct thread *t, int i, int link)
{
        struct run *r = t->ctx->run;
        int fd;

        if (link < 0)
                return 0;
        if (r->links[link].link.ring) {
                stream_join(t->io, i, r->links[link].link.ring, r->loop->pool);
                return 0;
        }
        fd = sys_dup(NULL, t->ctx->child->fds[i]->fd);
        return fd < 0 ? fd : stream_take(t->io, i, fd, run_link_is_our_pipe(r, link));
}

static int start(struct thread *t)
{
        pthread_attr_t attr;
        sigset_t all, old;
        int r;

        sigfillset(&all);
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, STACK_BYTES);
        pthread_sigmask(SIG_BLOCK, &all, &old); /* a handler of the host's runs on the host's threads */
        r = pthread_create(&t->id, &attr, thread_main, t);
        if (r == EINVAL) /* the host's thread-local data does not fit into so small a stack */
                r = pthread_create(&t->id, NULL, thread_main, t);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
        return -r;
}

int thread_start(struct sluice_ctx *c)
{
        struct thread *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        t->ctx = c;
        t->io = stream_new();
        r = t->io ? 0 : -ENOMEM;
        if (r == 0) {
                t->io->cancel_fd = sys_above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
                r = t->io->cancel_fd < 0 ? -EMFILE : 0;
        }
        r = r < 0 ? r : take_side(t, 0, c->def->in_link);
        r = r < 0 ? r : take_side(t, 1, c->def->out_link);
        c->child->thread = t;
        r = r < 0 ? r : start(t);
        if (r < 0) {
                c->child->thread = NULL;
                thread_free(t);
        }
        return r;
}

static void leave_link(struct run *r, int link, bool reads)
{
        if (link >= 0 && r->links[link].link.ring)
                handover_leave_side(&r->links[link].link, reads);
}

/* It has ended, or was never started: whoever is at the other end of its rings is not kept waiting. */
void thread_fini(struct sluice_ctx *c)
{
        leave_link(c->run, c->def->in_link, true);
        leave_link(c->run, c->def->out_link, false);
}

void threads_mark(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (r->stages[i].child->thread)
                        stream_mark(r->stages[i].child->thread->io);
}

void thread_cancel(struct sluice_ctx *c)
{
        if (c->child->thread)
                stream_cancel(c->child->thread->io);
}
