/* uring/io_ring.c: see io_ring.h. Called by uring/backend_kernel.c; calls liburing and the probe. */
#include "io_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"
#include "probe.h"
#include "syscalls.h"

enum {
        SQ_ENTRIES = 128, /* small: ring memory is charged to RLIMIT_MEMLOCK again on recent kernels */
        CQ_ENTRIES = 1024,
        UNASKED_MAX = 16,
        DATA_WAKE = 0, /* user_data that no operation has: generations start at 1 */
        DATA_CANCEL = 1,
        OPCODE_NONE = 0xff, /* no kernel knows it */
};

/* All of them are in 5.11 and newer. */
static const uint8_t opcodes[OP_KINDS] = {
        [OP_POLL] = IORING_OP_POLL_ADD,   [OP_SPLICE] = IORING_OP_SPLICE,   [OP_TEE] = IORING_OP_TEE,
        [OP_READ] = IORING_OP_READ,       [OP_WRITE] = IORING_OP_WRITE,     [OP_RECV] = IORING_OP_RECV,
        [OP_SEND] = IORING_OP_SEND,       [OP_ACCEPT] = IORING_OP_ACCEPT,   [OP_CONNECT] = IORING_OP_CONNECT,
        [OP_FSYNC] = IORING_OP_FSYNC,     [OP_OPEN] = IORING_OP_OPENAT,     [OP_CLOSE] = IORING_OP_CLOSE,
        [OP_RENAME] = IORING_OP_RENAMEAT, [OP_UNLINK] = IORING_OP_UNLINKAT,
};

void io_ring_init(struct io_ring *r, struct backend *b, int wake_fd)
{
        *r = (struct io_ring){ .backend = b, .wake_fd = wake_fd, .event_fd = -1 };
        list_init(&r->in_kernel);
        list_init(&r->unknown);
}

void io_ring_fini(struct io_ring *r)
{
        /* The workers are the thread's, not the ring's: the next ring finds them where they were. */
        if (r->up && r->backend->workers)
                io_uring_unregister_iowq_aff(&r->uring);
        if (r->up)
                io_uring_queue_exit(&r->uring);
        if (r->event_fd >= 0)
                close(r->event_fd);
        r->up = false;
        r->event_fd = -1;
}

bool io_ring_takes(const struct io_ring *r, enum op_kind kind)
{
        return opcodes[kind] && !(r->lacks & 1u << kind);
}

int io_ring_setup(struct io_ring *r)
{
        struct io_uring_params params;
        unsigned flags = probe_ring_flags();
        int e = probe_ring_refused();

        while (e == 0) {
                memset(&params, 0, sizeof(params));
                params.flags = flags;
                params.cq_entries = CQ_ENTRIES;
                e = io_uring_queue_init_params(SQ_ENTRIES, &r->uring, &params);
                if (e != -EINVAL || !flags)
                        break;
                flags = probe_next_ring_flags(flags);
                e = 0;
        }
        if (e < 0)
                return e;
        /* The ring is its thread's: a fork()ed child of the host must not see it. */
        io_uring_ring_dontfork(&r->uring);
        /* A filter may allow to make a ring and not to use it. */
        e = io_uring_submit_and_get_events(&r->uring);
        if (e < 0 && e != -EINTR && e != -EAGAIN && e != -EBUSY) {
                io_uring_queue_exit(&r->uring);
                return e;
        }
        if (r->backend->workers) /* 5.14; where they cannot be told they run anywhere */
                io_uring_register_iowq_aff(&r->uring, sizeof(*r->backend->workers), r->backend->workers);
        r->up = true;
        return 0;
}

static struct io_uring_sqe *sqe_get(struct io_ring *r)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

        if (sqe)
                return sqe;
        io_uring_submit(&r->uring); /* full: hand over what is there, then there is room */
        return io_uring_get_sqe(&r->uring);
}

static int64_t offset_or_none(int64_t offset)
{
        return offset < 0 ? -1 : offset;
}

static void prepare(struct io_uring_sqe *sqe, struct op *op)
{
        int fd = op->in ? op->in->fd : -1;

        switch (op->kind) {
        case OP_POLL:
                io_uring_prep_poll_add(sqe, fd, op->poll.events);
                break;
        case OP_SPLICE:
                io_uring_prep_splice(sqe, fd, offset_or_none(op->move.offset_in), op->out->fd, offset_or_none(op->move.offset_out),
                                     op->move.bytes, op->move.flags | SPLICE_F_NONBLOCK);
                break;
        case OP_TEE:
                io_uring_prep_tee(sqe, fd, op->out->fd, op->move.bytes, SPLICE_F_NONBLOCK);
                break;
        case OP_READ:
                io_uring_prep_read(sqe, fd, op->io.data, op->io.bytes, (uint64_t)offset_or_none(op->io.offset));
                break;
        case OP_WRITE:
                io_uring_prep_write(sqe, fd, op->io.data, op->io.bytes, (uint64_t)offset_or_none(op->io.offset));
                break;
        case OP_RECV:
                io_uring_prep_recv(sqe, fd, op->io.data, op->io.bytes, 0);
                break;
        case OP_SEND:
                io_uring_prep_send(sqe, fd, op->io.data, op->io.bytes, MSG_NOSIGNAL);
                break;
        case OP_ACCEPT:
                io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                break;
        case OP_CONNECT:
                io_uring_prep_connect(sqe, fd, op->net.address, op->net.bytes);
                break;
        case OP_FSYNC:
                io_uring_prep_fsync(sqe, fd, op->fsync.data_only ? IORING_FSYNC_DATASYNC : 0);
                break;
        case OP_OPEN:
                io_uring_prep_openat(sqe, AT_FDCWD, op->open.path, op->open.flags | O_CLOEXEC, op->open.mode);
                break;
        case OP_CLOSE:
                io_uring_prep_close(sqe, op->close.fd);
                break;
        case OP_RENAME:
                io_uring_prep_renameat(sqe, AT_FDCWD, op->name.from, AT_FDCWD, op->name.to, 0);
                break;
        case OP_UNLINK:
                io_uring_prep_unlinkat(sqe, AT_FDCWD, op->name.from, 0);
                break;
        default:
                ASSERT(!"an operation that has no ring form");
        }
        if (probe_op_masked(opcodes[op->kind]))
                sqe->opcode = OPCODE_NONE;
        if (op->force_async)
                io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
        io_uring_sqe_set_data64(sqe, backend_op_data(op));
}

static void arm_wake(struct io_ring *r)
{
        struct io_uring_sqe *sqe = r->wake_armed || r->wake_denied ? NULL : sqe_get(r);

        if (!sqe)
                return;
        io_uring_prep_poll_multishot(sqe, (unsigned)r->wake_fd, POLLIN);
        if (probe_op_masked(IORING_OP_POLL_ADD))
                sqe->opcode = OPCODE_NONE;
        io_uring_sqe_set_data64(sqe, DATA_WAKE);
        r->wake_armed = true;
}

/* Queued operations into the submission queue, in order, until it is full. */
static void hand_over(struct io_ring *r)
{
        struct list *node;

        while ((node = list_pop(&r->backend->queued))) {
                struct op *op = container_of(node, struct op, node);
                struct io_uring_sqe *sqe = sqe_get(r);

                if (!sqe) {
                        r->backend->counts.waits_for_ring++;
                        list_push(r->backend->queued.next, node); /* back to the front */
                        return;
                }
                prepare(sqe, op);
                op_to(op, OP_IN_KERNEL);
                op->place = OP_AT_RING;
                list_push(&r->in_kernel, &op->node);
        }
}

void io_ring_cancel(struct io_ring *r, struct op *op)
{
        struct io_uring_sqe *sqe = sqe_get(r);

        op->cancel_waiting = !sqe;
        r->cancels_wait |= !sqe;
        if (!sqe)
                return; /* no room even after a submit (EBUSY): the next wait tries again */
        io_uring_prep_cancel64(sqe, backend_op_data(op), 0);
        io_uring_sqe_set_data64(sqe, DATA_CANCEL);
}

static void cancel_late(struct io_ring *r)
{
        if (!r->cancels_wait)
                return;
        r->cancels_wait = false;
        for (struct list *n = r->in_kernel.next; n != &r->in_kernel; n = n->next)
                if (container_of(n, struct op, node)->cancel_waiting)
                        io_ring_cancel(r, container_of(n, struct op, node));
}

/* ---- what this kernel does not know ---- */

static void ask_what_is_known(struct io_ring *r)
{
        struct io_uring_probe *p = io_uring_get_probe_ring(&r->uring);

        for (unsigned kind = 0; p && kind < OP_KINDS; kind++)
                if (io_uring_opcode_supported(p, opcodes[kind]) && !probe_op_masked(opcodes[kind]))
                        r->known |= 1u << kind;
        if (!p) /* then nobody says that it was the kernel's ignorance */
                r->known = UINT32_MAX;
        io_uring_free_probe(p);
        r->known_is_asked = true;
}

/* EINVAL has many causes, of which the kernel's ignorance is one: it is asked only then. */
static bool is_unknown(struct io_ring *r, const struct op *op, int res)
{
        if (res != -EINVAL && res != -EOPNOTSUPP && res != -ENOSYS)
                return false;
        if (!r->known_is_asked)
                ask_what_is_known(r);
        return !(r->known & 1u << op->kind);
}

static void give_back(struct io_ring *r, struct op *op)
{
        list_unlink(&op->node);
        op_to(op, OP_QUEUED);
        list_push(&r->unknown, &op->node);
}

/* On O_NONBLOCK sockets: a connect to a unix listener whose queue is full (TCP waits; so does a unix socket that blocks, but on
 * a worker thread for each), and an accept before 5.15.90 and 5.19 (REQ_F_NOWAIT in io_accept()). */
static bool did_not_wait(const struct op *op, int res)
{
        if (res != -EAGAIN)
                return false;
        return op->kind == OP_ACCEPT || (op->kind == OP_CONNECT && op->net.address->sa_family == AF_UNIX);
}

static void wake_reaped(struct io_ring *r, const struct io_uring_cqe *cqe)
{
        r->wake_armed = cqe->flags & IORING_CQE_F_MORE; /* multishot ends on overflow: armed again */
        r->wake_denied = cqe->res < 0;
        r->wake_seen |= cqe->res >= 0;
}

/* A connect that an ICMP message refuses while it is being made (no route, no port, forbidden) is sometimes reported as
 * made, on 6.18 one in ten over a veth pair. The socket knows better. */
static int connect_result(const struct op *op, int res)
{
        return res == 0 ? sys_socket_error(op->in->fd) : res;
}

/* No worker could be made for it (RLIMIT_NPROC, pids.max): the kernel then cancels it (io_uring/io-wq.c, seen on 6.18). Links
 * ask again, since a thread that ends cancels what it had submitted: but not for ever. -EUSERS is no answer of an operation. */
static int unless_unasked(struct io_ring *r, const struct op *op, int res)
{
        uint8_t *row = &r->unasked[op->kind];

        if (res != -ECANCELED || op->cancel_sent) {
                *row = 0;
                return res;
        }
        return ++*row < UNASKED_MAX ? res : -EUSERS;
}

static void op_reaped(struct io_ring *r, struct op *op, int res)
{
        res = unless_unasked(r, op, res);
        if (op->kind == OP_CONNECT)
                res = connect_result(op, res);
        if (did_not_wait(op, res)) {
                op->aside = true;
        } else if (is_unknown(r, op, res)) {
                r->lacks |= 1u << op->kind;
        } else {
                backend_complete(r->backend, op, res);
                return;
        }
        if (op->cancel_sent)
                backend_complete(r->backend, op, -ECANCELED);
        else
                give_back(r, op);
}

/* Takes every completion there is. Touches no owner. */
static void reap(struct io_ring *r)
{
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;

        io_uring_for_each_cqe (&r->uring, head, cqe) {
                uint64_t data = io_uring_cqe_get_data64(cqe);

                n++;
                if (data == DATA_WAKE)
                        wake_reaped(r, cqe);
                else if (data != DATA_CANCEL)
                        op_reaped(r, backend_op_by_data(r->backend, data), cqe->res);
        }
        io_uring_cq_advance(&r->uring, n);
}

int io_ring_enter(struct io_ring *r, int64_t timeout_ns)
{
        struct __kernel_timespec ts = { .tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000 };
        struct backend_counts *counts = &r->backend->counts;
        struct io_uring_cqe *cqe;
        int e;

        arm_wake(r);
        hand_over(r);
        cancel_late(r);
        /* With FEAT_NODROP the kernel keeps what did not fit and says so by a flag; koverflow stays 0. */
        if (*(volatile unsigned *)r->uring.sq.kflags & IORING_SQ_CQ_OVERFLOW)
                counts->overflows++;
        counts->waits++;
        if (timeout_ns == 0)
                e = io_uring_submit_and_get_events(&r->uring);
        else if (timeout_ns < 0)
                /* A signal after something was handed over: the kernel answers how much that was, and the _timeout() call
                 * without a time would go to sleep again (liburing 2.3). A host looks at what its handler has set. */
                e = io_uring_submit_and_wait(&r->uring, 1);
        else
                e = io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, &ts, NULL);
        reap(r);
        switch (e) {
        case -EINTR:
                counts->interrupted++;
                return 0;
        case -EBUSY: /* completions must be reaped before more is taken: just done */
        case -EAGAIN:
                counts->busy++;
                return 0;
        case -ETIME:
                return 0;
        default:
                return e < 0 ? e : 0;
        }
}

/* ---- telling epoll ---- */

/* The ring's own fd would not do: epoll is not woken by completions that a DEFER_TASKRUN ring holds back (6.18), an
 * eventfd registered with the ring is. */
int io_ring_event_fd(struct io_ring *r)
{
        int fd, e;

        if (r->event_fd >= 0)
                return r->event_fd;
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        e = io_uring_register_eventfd(&r->uring, fd);
        if (e < 0) {
                close(fd);
                return e;
        }
        return r->event_fd = fd;
}

bool io_ring_clear_event(struct io_ring *r)
{
        uint64_t count;

        return r->event_fd >= 0 && read(r->event_fd, &count, sizeof(count)) == sizeof(count);
}
