/* uring/attempt.c: see attempt.h. Called by uring/ringless.c and by helper threads; calls the kernel. */
#include "attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "syscalls.h"

static int answer(ssize_t r)
{
        return r < 0 ? -errno : (int)r;
}

/* ---- never waiting ---- */

static int try_read(const struct op *op)
{
        const struct iovec v = { op->io.data, op->io.bytes };
        int fd = op->in->fd, r;

        r = answer(preadv2(fd, &v, 1, op->io.offset < 0 ? -1 : op->io.offset, RWF_NOWAIT));
        if (r == -EOPNOTSUPP && op->in->nature == SLOT_SOCKET)
                r = answer(recv(fd, op->io.data, op->io.bytes, MSG_DONTWAIT));
        else if (r == -EOPNOTSUPP && op->io.offset < 0 && sys_never_waits(fd))
                r = answer(read(fd, op->io.data, op->io.bytes));
        return r;
}

static int try_write(const struct op *op)
{
        const struct iovec v = { op->io.data, op->io.bytes };
        int fd = op->in->fd, r;

        if (op->in->nature == SLOT_SOCKET)
                return answer(send(fd, op->io.data, op->io.bytes, MSG_DONTWAIT | MSG_NOSIGNAL));
        r = answer(pwritev2(fd, &v, 1, op->io.offset < 0 ? -1 : op->io.offset, RWF_NOWAIT));
        if (r == -EOPNOTSUPP && op->io.offset < 0 && sys_never_waits(fd))
                r = answer(write(fd, op->io.data, op->io.bytes));
        return r;
}

static void make_nonblock(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        if (flags >= 0 && !(flags & O_NONBLOCK))
                fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int try_connect(struct op *op)
{
        int r;

        if (op->begun)
                return sys_socket_error(op->in->fd);
        make_nonblock(op->in->fd);
        r = answer(connect(op->in->fd, op->net.address, op->net.bytes));
        op->begun = r == -EINPROGRESS || r == -EINTR;
        return op->begun ? -EAGAIN : r;
}

int attempt(struct op *op)
{
        int fd = op->in->fd;

        switch (op->kind) {
        case OP_READ:
                return try_read(op);
        case OP_WRITE:
                return try_write(op);
        case OP_RECV:
                return answer(recv(fd, op->io.data, op->io.bytes, MSG_DONTWAIT));
        case OP_SEND:
                return answer(send(fd, op->io.data, op->io.bytes, MSG_DONTWAIT | MSG_NOSIGNAL));
        case OP_ACCEPT:
                make_nonblock(fd); /* it was ready, but another process may have taken the connection */
                return answer(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        case OP_CONNECT:
                return try_connect(op);
        default:
                return -EOPNOTSUPP;
        }
}

/* ---- by a thread ---- */

/* A description of our own, and with it an O_NONBLOCK of our own. Not of a pty's master: opened again it is another. */
static int reopen(const struct op *op, int flags)
{
        enum slot_nature nature = op->in->nature;
        char path[48];
        int number;

        if (nature != SLOT_PIPE && (nature != SLOT_TTY || ioctl(op->in->fd, TIOCGPTN, &number) == 0))
                return -1;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", op->in->fd);
        return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* One that may not be opened again (another user's pipe) was ready a moment ago: it waits only when somebody else was
 * faster. A write of PIPE_BUF has room wherever there is room at all. */
static int read_when_ready(const struct op *op)
{
        int fd = reopen(op, O_RDONLY), r;

        r = answer(read(fd >= 0 ? fd : op->in->fd, op->io.data, op->io.bytes));
        if (fd >= 0)
                close(fd);
        return r;
}

static int write_when_ready(const struct op *op)
{
        int fd = reopen(op, O_WRONLY), r;
        size_t bytes = fd < 0 && op->io.bytes > PIPE_BUF ? PIPE_BUF : op->io.bytes;

        r = answer(write(fd >= 0 ? fd : op->in->fd, op->io.data, bytes));
        if (fd >= 0)
                close(fd);
        return r;
}

static int read_slowly(const struct op *op)
{
        int r;

        if (op->in->nature != SLOT_STORAGE) {
                r = try_read(op);
                if (r != -EOPNOTSUPP || op->io.offset >= 0)
                        return r == -EOPNOTSUPP ? answer(pread(op->in->fd, op->io.data, op->io.bytes, op->io.offset)) : r;
                return read_when_ready(op);
        }
        return answer(op->io.offset < 0 ? read(op->in->fd, op->io.data, op->io.bytes)
                                        : pread(op->in->fd, op->io.data, op->io.bytes, op->io.offset));
}

static int write_slowly(const struct op *op)
{
        int r;

        if (op->in->nature != SLOT_STORAGE) {
                r = try_write(op);
                if (r != -EOPNOTSUPP || op->io.offset >= 0)
                        return r == -EOPNOTSUPP ? answer(pwrite(op->in->fd, op->io.data, op->io.bytes, op->io.offset)) : r;
                return write_when_ready(op);
        }
        return answer(op->io.offset < 0 ? write(op->in->fd, op->io.data, op->io.bytes)
                                        : pwrite(op->in->fd, op->io.data, op->io.bytes, op->io.offset));
}

static int splice_slowly(const struct op *op)
{
        loff_t in = op->move.offset_in, out = op->move.offset_out;

        return answer(splice(op->in->fd, in < 0 ? NULL : &in, op->out->fd, out < 0 ? NULL : &out, op->move.bytes,
                             op->move.flags | SPLICE_F_NONBLOCK));
}

int attempt_slowly(const struct op *op)
{
        switch (op->kind) {
        case OP_READ:
                return read_slowly(op);
        case OP_WRITE:
                return write_slowly(op);
        case OP_SPLICE:
                return splice_slowly(op);
        case OP_TEE:
                return answer(tee(op->in->fd, op->out->fd, op->move.bytes, SPLICE_F_NONBLOCK));
        default:
                return -ENOSYS;
        }
}
