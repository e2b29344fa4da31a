/* engine/thread.c: stages that may block, each on a thread of its own. To its links such a stage is a process: it is handed
 * fds (a file, a pipe), is RUNNING, and ends with a status; only that a thread cannot be killed: it is told, and waited for.
 *
 *      child: NONE --pthread_create--> RUNNING --run() returns, posted to the loop--> EXITED
 *
 * The thread touches its struct sluice_stream and nothing else of the run. Every wait of its watches the cancel eventfd too. A
 * pipe's end that only the thread holds is made O_NONBLOCK, so that a large write can be cancelled; what others share
 * (standard input, a terminal) keeps its flags, and is written in pieces that fit once poll(2) says so (PIPE_BUF).
 * Called by child.c and end.c; the calls at the end by run() hooks, from their threads. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "run.h"
#include "syscalls.h"

enum { LINE_BYTES = 64 << 10, STACK_BYTES = 512 << 10 };

struct sluice_stream {
        struct sluice_ctx *ctx; /* the loop's; the thread only hands it back */
        pthread_t thread;
        int fds[2];      /* -1: that side is not linked */
        bool regular[2]; /* never waits in a way that poll(2) knows */
        bool ours[2];    /* O_NONBLOCK was set */
        int cancel_fd;
        atomic_int cancelled;
        int result;

        uint64_t line;
        bool mid_line; /* the rest of one that was too long comes next */
        size_t at, bytes;
        char buffer[LINE_BYTES];
};

bool is_thread(const struct sluice_ctx *c)
{
        return c->def->ops->run && !c->def->ops->command;
}

/* ---- life, on the loop's thread ---- */

static void io_free(struct sluice_stream *io)
{
        for (int i = 0; i < 2; i++)
                if (io->fds[i] >= 0)
                        close(io->fds[i]);
        if (io->cancel_fd >= 0)
                close(io->cancel_fd);
        free(io);
}

static void joined(void *arg)
{
        struct sluice_ctx *c = arg;
        struct sluice_stream *io = c->child.io;
        struct child_status s = { .known = true };

        pthread_join(io->thread, NULL);
        c->child.thread_result = io->result;
        c->child.io = NULL;
        io_free(io);
        child_ended(c, &s);
}

/* Its fds are let go of here, so that others see the end without waiting for the loop. */
static void *thread_main(void *arg)
{
        struct sluice_stream *io = arg;
        struct sluice_ctx *c = io->ctx;
        int r = c->def->ops->run(c->self, c->config, io);

        io->result = r;
        for (int i = 0; i < 2; i++)
                if (io->fds[i] >= 0)
                        close(io->fds[i]);
        io->fds[0] = io->fds[1] = -1;
        while (sluice_loop_post(c->run->loop, joined, c) < 0) /* no memory for a moment: the loop waits for this alone */
                sched_yield();
        return NULL;
}

static int take_fd(struct sluice_stream *io, int i, struct slot *s, bool linked)
{
        struct stat st;
        int flags;

        if (!linked)
                return 0;
        io->fds[i] = sys_dup(NULL, s->fd);
        if (io->fds[i] < 0)
                return io->fds[i];
        io->regular[i] = fstat(io->fds[i], &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
        if (!io->ours[i])
                return 0;
        flags = fcntl(io->fds[i], F_GETFL);
        return fcntl(io->fds[i], F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

/* Whether the thread's end of that link is a pipe that we made for it. */
static bool is_our_pipe(const struct run *r, int link)
{
        return link >= 0 && r->links[link].mode != SLUICE_LINK_DIRECT;
}

static int start(struct sluice_stream *io)
{
        pthread_attr_t attr;
        sigset_t all, old;
        int r;

        sigfillset(&all);
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, STACK_BYTES);
        pthread_sigmask(SIG_BLOCK, &all, &old); /* a handler of the host's runs on the host's threads */
        r = pthread_create(&io->thread, &attr, thread_main, io);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
        return -r;
}

int thread_start(struct sluice_ctx *c)
{
        struct sluice_stream *io = calloc(1, sizeof(*io));
        int r;

        if (!io)
                return -ENOMEM;
        io->ctx = c;
        io->fds[0] = io->fds[1] = -1;
        io->ours[0] = is_our_pipe(c->run, c->def->in_link);
        io->ours[1] = is_our_pipe(c->run, c->def->out_link);
        io->cancel_fd = sys_above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        r = io->cancel_fd < 0 ? -EMFILE : take_fd(io, 0, c->child.fds[0], c->def->in_link >= 0);
        r = r < 0 ? r : take_fd(io, 1, c->child.fds[1], c->def->out_link >= 0);
        c->child.io = io;
        r = r < 0 ? r : start(io);
        if (r < 0) {
                c->child.io = NULL;
                io_free(io);
        }
        return r;
}

void thread_cancel(struct sluice_ctx *c)
{
        const uint64_t one = 1;
        struct sluice_stream *io = c->child.io;

        if (!io || atomic_exchange(&io->cancelled, 1))
                return;
        if (write(io->cancel_fd, &one, sizeof(one)) < 0)
                ASSERT(errno == EAGAIN); /* it is full: it wakes all the same */
}

/* ---- from the thread ---- */

int sluice_cancelled(const struct sluice_stream *io)
{
        return atomic_load(&io->cancelled);
}

uint64_t sluice_line_number(const struct sluice_stream *io)
{
        return io->line;
}

/* 0: the fd is ready, or says why not by the next call. */
static int wait_for(struct sluice_stream *io, int i)
{
        struct pollfd p[] = { { .fd = io->regular[i] ? -1 : io->fds[i], .events = i ? POLLOUT : POLLIN },
                              { .fd = io->cancel_fd, .events = POLLIN } };
        int r;

        do
                r = poll(p, 2, io->regular[i] ? 0 : -1);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        return p[1].revents ? -ECANCELED : 0;
}

static ssize_t read_fd(struct sluice_stream *io, void *data, size_t bytes)
{
        for (;;) {
                int r = wait_for(io, 0);
                ssize_t n = r < 0 ? r : read(io->fds[0], data, bytes);

                if (r < 0 || n >= 0)
                        return n;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }
}

ssize_t sluice_read(struct sluice_stream *io, void *data, size_t bytes)
{
        size_t held = io->bytes - io->at;

        if (sluice_cancelled(io))
                return -ECANCELED;
        if (held) {
                held = held < bytes ? held : bytes;
                memcpy(data, io->buffer + io->at, held);
                io->at += held;
                return (ssize_t)held;
        }
        return io->fds[0] < 0 || bytes == 0 ? 0 : read_fd(io, data, bytes);
}

ssize_t sluice_write(struct sluice_stream *io, const void *data, size_t bytes)
{
        bool in_pieces = !io->ours[1] && !io->regular[1];

        if (sluice_cancelled(io))
                return -ECANCELED;
        for (size_t at = 0; io->fds[1] >= 0 && at < bytes;) {
                size_t piece = in_pieces && bytes - at > PIPE_BUF ? PIPE_BUF : bytes - at;
                int r = wait_for(io, 1);
                ssize_t n = r < 0 ? r : write(io->fds[1], (const char *)data + at, piece);

                if (r < 0)
                        return r;
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                at += n > 0 ? (size_t)n : 0;
        }
        return (ssize_t)bytes;
}

/* More of the input behind what is held. 0: the end, or no room. */
static ssize_t fill(struct sluice_stream *io)
{
        ssize_t n;

        memmove(io->buffer, io->buffer + io->at, io->bytes - io->at);
        io->bytes -= io->at;
        io->at = 0;
        if (io->fds[0] < 0 || io->bytes == LINE_BYTES)
                return 0;
        n = read_fd(io, io->buffer + io->bytes, LINE_BYTES - io->bytes);
        io->bytes += n > 0 ? (size_t)n : 0;
        return n;
}

static ssize_t give_line(struct sluice_stream *io, char *line, size_t bytes)
{
        memcpy(line, io->buffer + io->at, bytes);
        line[bytes] = '\0';
        io->at += bytes;
        io->mid_line = bytes && line[bytes - 1] != '\n';
        return (ssize_t)bytes;
}

ssize_t sluice_readline(struct sluice_stream *io, char *line, size_t cap)
{
        size_t max = cap - 1 < LINE_BYTES ? cap - 1 : LINE_BYTES, looked = 0;
        ssize_t n = 1;

        if (cap < 2)
                return -EINVAL;
        while (!sluice_cancelled(io)) {
                size_t held = io->bytes - io->at;
                const char *newline = held > looked ? memchr(io->buffer + io->at + looked, '\n', held - looked) : NULL;
                size_t bytes = newline ? (size_t)(newline - io->buffer) + 1 - io->at : held;

                if ((newline || (n == 0 && held)) && bytes <= max) {
                        io->line += !io->mid_line;
                        return give_line(io, line, bytes);
                }
                if (bytes > max || held == LINE_BYTES) {
                        io->line += !io->mid_line;
                        io->mid_line = true;
                        return -EMSGSIZE;
                }
                if (n == 0)
                        return 0;
                looked = held;
                n = fill(io);
                if (n < 0)
                        return n;
        }
        return -ECANCELED;
}
