/* engine/stream.c: see stream.h; and the calls of sluice/stage.h that a function makes, from its own thread.
 *
 * Every wait watches the cancel eventfd too. A pipe's end that only the function holds is made O_NONBLOCK, so that a large
 * write can be cancelled; what others share (standard input, a terminal) keeps its flags, and is written in pieces that fit
 * once poll(2) says so (PIPE_BUF); sockets are asked not to wait call by call. Knows nothing of runs, and of rings only what
 * stream.h says. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "syscalls.h"

/* ---- life ---- */

struct sluice_stream *stream_new(void)
{
        struct sluice_stream *io = calloc(1, sizeof(*io));

        if (io)
                io->fds[0] = io->fds[1] = io->cancel_fd = -1;
        return io;
}

void stream_close(struct sluice_stream *io)
{
        if (io->rings)
                io->rings->close(io);
        for (int i = 0; i < 2; i++) {
                if (io->fds[i] >= 0)
                        close(io->fds[i]);
                io->fds[i] = -1;
        }
}

void stream_free(struct sluice_stream *io)
{
        if (!io)
                return;
        stream_close(io);
        if (io->cancel_fd >= 0)
                close(io->cancel_fd);
        free(io->scratch);
        free(io);
}

int stream_take(struct sluice_stream *io, int i, int fd, bool ours)
{
        struct stat st;
        int flags;

        io->fds[i] = fd;
        if (fstat(fd, &st) < 0)
                st.st_mode = 0;
        io->regular[i] = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
        io->socket[i] = S_ISSOCK(st.st_mode);
        io->ours[i] = ours;
        if (!ours)
                return 0;
        flags = fcntl(fd, F_GETFL);
        return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

void stream_mark(struct sluice_stream *io)
{
        atomic_store(&io->cancelled, 1);
}

void stream_cancel(struct sluice_stream *io)
{
        stream_mark(io);
        sys_raise_event(io->cancel_fd);
        if (io->rings)
                io->rings->wake(io);
}

/* ---- calls ---- */

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

        if (io->rings && !io->regular[i])
                io->rings->settle(io);
        do
                r = poll(p, 2, io->regular[i] ? 0 : -1);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        return p[1].revents ? -ECANCELED : 0;
}

static ssize_t read_some(struct sluice_stream *io, void *data, size_t bytes)
{
        /* A socket is shared with its stage, whose choice O_NONBLOCK is. */
        return io->socket[0] ? recv(io->fds[0], data, bytes, MSG_DONTWAIT) : read(io->fds[0], data, bytes);
}

static ssize_t read_fd(struct sluice_stream *io, void *data, size_t bytes)
{
        for (;;) {
                int r = wait_for(io, 0);
                ssize_t n = r < 0 ? r : read_some(io, data, bytes);

                if (r < 0 || n >= 0)
                        return n;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }
}

static ssize_t read_ring(struct sluice_stream *io, void *data, size_t bytes)
{
        const uint8_t *next;
        ssize_t n = io->rings->acquire(io, &next);

        if (n <= 0)
                return n;
        n = (size_t)n < bytes ? n : (ssize_t)bytes;
        memcpy(data, next, (size_t)n);
        io->rings->release(io, (size_t)n);
        return n;
}

/* Past the buffer. 0: the end. */
static ssize_t read_on(struct sluice_stream *io, void *data, size_t bytes)
{
        ssize_t n;

        if (io->in)
                return read_ring(io, data, bytes);
        n = io->fds[0] < 0 ? 0 : read_fd(io, data, bytes);
        return n == 0 && sluice_cancelled(io) ? -ECANCELED : n;
}

ssize_t sluice_read(struct sluice_stream *io, void *data, size_t bytes)
{
        size_t held = io->bytes - io->at;

        if (sluice_cancelled(io))
                return -ECANCELED;
        io->lease_bytes = 0;
        if (held) {
                held = held < bytes ? held : bytes;
                memcpy(data, io->buffer + io->at, held);
                io->at += held;
                return (ssize_t)held;
        }
        return bytes ? read_on(io, data, bytes) : 0;
}

static ssize_t write_some(struct sluice_stream *io, const void *data, size_t bytes)
{
        bool in_pieces = !io->ours[1] && !io->regular[1];

        if (io->socket[1])
                return send(io->fds[1], data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        return write(io->fds[1], data, in_pieces && bytes > PIPE_BUF ? PIPE_BUF : bytes);
}

static ssize_t write_fd(struct sluice_stream *io, const void *data, size_t bytes)
{
        for (size_t at = 0; io->fds[1] >= 0 && at < bytes;) {
                int r = wait_for(io, 1);
                ssize_t n = r < 0 ? r : write_some(io, (const char *)data + at, bytes - at);

                if (r < 0)
                        return r;
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                at += n > 0 ? (size_t)n : 0;
        }
        return (ssize_t)bytes;
}

ssize_t sluice_write(struct sluice_stream *io, const void *data, size_t bytes)
{
        if (sluice_cancelled(io))
                return -ECANCELED;
        io->reserved_bytes = 0;
        return io->out ? io->rings->write(io, data, bytes) : write_fd(io, data, bytes);
}

/* More of the input behind what is held. 0: the end, or no room. */
static ssize_t fill(struct sluice_stream *io)
{
        ssize_t n;

        memmove(io->buffer, io->buffer + io->at, io->bytes - io->at);
        io->bytes -= io->at;
        io->at = 0;
        if (io->bytes == STREAM_LINE_BYTES)
                return 0;
        n = read_on(io, io->buffer + io->bytes, STREAM_LINE_BYTES - io->bytes);
        io->bytes += n > 0 ? (size_t)n : 0;
        return n;
}

/* ---- without a copy ---- */

static ssize_t lease(struct sluice_stream *io, const void **data, ssize_t bytes)
{
        if (bytes <= 0)
                return bytes;
        *data = io->lease;
        io->lease_bytes = (size_t)bytes;
        return bytes;
}

ssize_t sluice_acquire(struct sluice_stream *io, const void **data)
{
        ssize_t n;

        if (sluice_cancelled(io))
                return -ECANCELED;
        io->lease_bytes = 0;
        io->lease_is_held = !io->in || io->at < io->bytes;
        if (!io->lease_is_held)
                return lease(io, data, io->rings->acquire(io, &io->lease));
        n = io->at < io->bytes ? 1 : fill(io);
        io->lease = (const uint8_t *)io->buffer + io->at;
        return lease(io, data, n <= 0 ? n : (ssize_t)(io->bytes - io->at));
}

int sluice_release(struct sluice_stream *io, size_t bytes)
{
        if (bytes > io->lease_bytes)
                return -EINVAL;
        if (io->lease_is_held)
                io->at += bytes;
        else if (bytes)
                io->rings->release(io, bytes);
        io->lease += bytes;
        io->lease_bytes -= bytes;
        return 0;
}

ssize_t sluice_reserve(struct sluice_stream *io, void **data)
{
        ssize_t n = STREAM_SCRATCH_BYTES;

        if (sluice_cancelled(io))
                return -ECANCELED;
        io->reserved_bytes = 0;
        if (io->out)
                n = io->rings->reserve(io, data);
        else if (!io->scratch && !(io->scratch = malloc(STREAM_SCRATCH_BYTES)))
                n = -ENOMEM;
        else
                *data = io->scratch;
        io->reserved_bytes = n > 0 ? (size_t)n : 0;
        return n;
}

int sluice_put(struct sluice_stream *io, size_t bytes)
{
        ssize_t n;

        if (bytes > io->reserved_bytes)
                return -EINVAL;
        if (sluice_cancelled(io))
                return -ECANCELED;
        io->reserved_bytes = 0;
        n = io->out ? io->rings->put(io, bytes) : write_fd(io, io->scratch, bytes);
        return n < 0 ? (int)n : 0;
}

int sluice_pass(struct sluice_stream *io, size_t bytes)
{
        ssize_t n;

        if (bytes > io->lease_bytes)
                return -EINVAL;
        if (!io->lease_is_held && io->out && !sluice_cancelled(io)) {
                io->reserved_bytes = 0;
                n = io->rings->pass(io, bytes);
        } else {
                n = sluice_write(io, io->lease, bytes);
        }
        return n < 0 ? (int)n : sluice_release(io, bytes);
}

int sluice_flush(struct sluice_stream *io)
{
        if (sluice_cancelled(io))
                return -ECANCELED;
        io->reserved_bytes = 0;
        return io->out ? io->rings->flush(io) : 0;
}

/* ---- lines ---- */

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
        size_t max = cap - 1 < STREAM_LINE_BYTES ? cap - 1 : STREAM_LINE_BYTES, looked = 0;
        ssize_t n = 1;

        if (cap < 2)
                return -EINVAL;
        io->lease_bytes = 0;
        while (!sluice_cancelled(io)) {
                size_t held = io->bytes - io->at;
                const char *newline = held > looked ? memchr(io->buffer + io->at + looked, '\n', held - looked) : NULL;
                size_t bytes = newline ? (size_t)(newline - io->buffer) + 1 - io->at : held;

                if ((newline || (n == 0 && held)) && bytes <= max) {
                        io->line += !io->mid_line;
                        return give_line(io, line, bytes);
                }
                if (bytes > max || held == STREAM_LINE_BYTES) {
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
