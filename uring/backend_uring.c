/* uring/backend_uring.c: the io_uring backend: queue, submit, reap into a list; never calls back.
 *
 *      before the ring:  polls wait in ppoll(2), short file operations run inline or on a helper thread
 *             |  first operation that needs the ring (its set-up costs 0.5 ms)
 *             v
 *      with the ring:    operations go to the submission queue; those it has no room for wait in b->queued
 *
 * Everything that can go wrong with the queues is handled in ring_enter() and reap(), and counted: SQ full, CQ
 * overflow, EBUSY, EINTR. Called through struct backend; calls liburing, the helper and uring/syscalls.c. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backend.h"
#include "check.h"
#include "helper.h"
#include "probe.h"
#include "syscalls.h"
#include "uapi.h"

enum {
        SQ_ENTRIES = 128, /* small: ring memory is charged to RLIMIT_MEMLOCK again on recent kernels */
        CQ_ENTRIES = 1024,
        EARLY_POLLS = 64,
        REAP_ROUNDS = 4,
        DATA_WAKE = 0, /* user_data that no operation has: generations start at 1 */
        DATA_CANCEL = 1,
};

struct uring {
        struct backend base;
        struct io_uring ring;
        bool has_ring;
        int ring_error; /* set-up failed: said to every operation that needs it */
        bool wake_armed;
        int wake_fd;
        bool wake_seen;
        bool cancels_wait; /* some operation in the kernel has cancel_waiting */
        struct list early; /* polls before there is a ring */
        struct list in_kernel;
        int epoll_fd, timer_fd, event_fd; /* for a host's own loop; -1 until asked */
};

static struct uring *uring_of(struct backend *b)
{
        return container_of(b, struct uring, base);
}

/* ---- which operation goes where ---- */

struct route {
        bool ring;  /* has an io_uring operation on every kernel since 5.15 */
        bool task;  /* a helper thread can do it */
        bool brief; /* short enough to run inline on a loop that serves nothing else */
};

static const struct route routes[OP_KINDS] = {
        [OP_POLL] = { .ring = true },
        [OP_SPLICE] = { .ring = true },
        [OP_TEE] = { .ring = true },
        [OP_READ] = { .ring = true },
        [OP_WRITE] = { .ring = true },
        [OP_RECV] = { .ring = true },
        [OP_SEND] = { .ring = true },
        [OP_ACCEPT] = { .ring = true },
        [OP_CONNECT] = { .ring = true },
        [OP_FSYNC] = { .ring = true, .task = true },
        [OP_OPEN] = { .ring = true, .task = true, .brief = true },
        [OP_CLOSE] = { .ring = true, .task = true, .brief = true },
        [OP_RENAME] = { .ring = true, .task = true, .brief = true },
        [OP_UNLINK] = { .ring = true, .task = true, .brief = true },
        [OP_TRUNCATE] = { .task = true, .brief = true }, /* IORING_OP_FTRUNCATE: 6.9 */
        [OP_LINK] = { .task = true, .brief = true },
        [OP_FIND] = { .task = true, .brief = true },
        [OP_SPAWN] = { .task = true, .brief = true },
        [OP_IDS] = { .task = true },
        [OP_RESOLVE] = { .task = true }, /* may wait 30 s for a name server */
};

/* Opening a FIFO waits for its other end; what is not there yet cannot be one. */
static bool open_may_wait(const struct op *op)
{
        struct stat st;

        return stat(op->open.path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISCHR(st.st_mode);
}

static bool runs_inline(const struct uring *u, const struct op *op)
{
        if (!u->base.exclusive || !routes[op->kind].brief || (u->has_ring && routes[op->kind].ring))
                return false;
        return op->kind != OP_OPEN || !open_may_wait(op);
}

/* ---- the ring ---- */

static int ring_setup(struct uring *u)
{
        struct io_uring_params params;
        unsigned flags = probe_ring_flags();
        int r;

        for (;;) {
                memset(&params, 0, sizeof(params));
                params.flags = flags;
                params.cq_entries = CQ_ENTRIES;
                r = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &params);
                if (r != -EINVAL || !flags)
                        break;
                flags = probe_next_ring_flags(flags);
        }
        if (r < 0)
                return r;
        /* The ring is its thread's: a fork()ed child of the host must not see it. */
        io_uring_ring_dontfork(&u->ring);
        u->has_ring = true;
        return 0;
}

static struct io_uring_sqe *sqe_get(struct uring *u)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

        if (sqe)
                return sqe;
        io_uring_submit(&u->ring); /* full: hand over what is there, then there is room */
        return io_uring_get_sqe(&u->ring);
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
                io_uring_prep_connect(sqe, fd, (struct sockaddr *)&op->net.address, op->net.bytes);
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
        if (op->force_async)
                io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
        io_uring_sqe_set_data64(sqe, backend_op_data(op));
}

static void arm_wake(struct uring *u)
{
        struct io_uring_sqe *sqe = u->wake_armed ? NULL : sqe_get(u);

        if (!sqe)
                return;
        io_uring_prep_poll_multishot(sqe, u->wake_fd, POLLIN);
        io_uring_sqe_set_data64(sqe, DATA_WAKE);
        u->wake_armed = true;
}

/* Whoever sees the wake-up takes it away: left behind, it would end every wait at once, for ever. */
static void clear_wake(struct uring *u)
{
        uint64_t count;

        u->wake_seen = false;
        if (read(u->wake_fd, &count, sizeof(count)) < 0)
                return; /* taken already */
}

/* Whether completions were announced to a host's loop since the last look. */
static bool clear_event(struct uring *u)
{
        uint64_t count;

        return u->event_fd >= 0 && read(u->event_fd, &count, sizeof(count)) == sizeof(count);
}

/* Queued operations into the submission queue, in order, until it is full. */
static void hand_over(struct uring *u)
{
        struct list *node;

        while ((node = list_pop(&u->base.queued))) {
                struct op *op = container_of(node, struct op, node);
                struct io_uring_sqe *sqe = sqe_get(u);

                if (!sqe) {
                        u->base.counts.waits_for_ring++;
                        list_push(u->base.queued.next, node); /* back to the front */
                        return;
                }
                prepare(sqe, op);
                op_to(op, OP_IN_KERNEL);
                list_push(&u->in_kernel, &op->node);
        }
}

static void cancel_in_ring(struct uring *u, struct op *op)
{
        struct io_uring_sqe *sqe = sqe_get(u);

        op->cancel_waiting = !sqe;
        u->cancels_wait |= !sqe;
        if (!sqe)
                return; /* no room even after a submit (EBUSY): the next wait tries again */
        io_uring_prep_cancel64(sqe, backend_op_data(op), 0);
        io_uring_sqe_set_data64(sqe, DATA_CANCEL);
}

static void cancel_late(struct uring *u)
{
        if (!u->cancels_wait)
                return;
        u->cancels_wait = false;
        for (struct list *n = u->in_kernel.next; n != &u->in_kernel; n = n->next)
                if (container_of(n, struct op, node)->cancel_waiting)
                        cancel_in_ring(u, container_of(n, struct op, node));
}

/* Takes every completion there is. Touches no owner. */
static void reap(struct uring *u)
{
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;

        io_uring_for_each_cqe (&u->ring, head, cqe) {
                uint64_t data = io_uring_cqe_get_data64(cqe);

                n++;
                if (data == DATA_WAKE) {
                        u->wake_armed = cqe->flags & IORING_CQE_F_MORE; /* multishot ends on overflow: armed again */
                        u->wake_seen = true;
                } else if (data != DATA_CANCEL)
                        backend_complete(&u->base, backend_op_by_data(&u->base, data), cqe->res);
        }
        io_uring_cq_advance(&u->ring, n);
}

static int ring_enter(struct uring *u, int64_t timeout_ns)
{
        struct __kernel_timespec ts = { .tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000 };
        struct io_uring_cqe *cqe;
        int r;

        arm_wake(u);
        hand_over(u);
        cancel_late(u);
        /* With FEAT_NODROP the kernel keeps what did not fit and says so by a flag; koverflow stays 0. */
        if (*(volatile unsigned *)u->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW)
                u->base.counts.overflows++;
        u->base.counts.waits++;
        if (timeout_ns == 0)
                r = io_uring_submit_and_get_events(&u->ring);
        else
                r = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, timeout_ns < 0 ? NULL : &ts, NULL);
        reap(u);
        switch (r) {
        case -EINTR:
                u->base.counts.interrupted++;
                return 0;
        case -EBUSY: /* completions must be reaped before more is taken: just done */
        case -EAGAIN:
                u->base.counts.busy++;
                return 0;
        case -ETIME:
                return 0;
        default:
                return r < 0 ? r : 0;
        }
}

/* ---- before the ring ---- */

static int early_wait(struct uring *u, int64_t timeout_ns)
{
        struct timespec ts = { .tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000 };
        struct pollfd fds[EARLY_POLLS + 1];
        struct op *ops[EARLY_POLLS + 1];
        nfds_t n = 1;
        int r;

        fds[0] = (struct pollfd){ .fd = u->wake_fd, .events = POLLIN };
        for (struct list *node = u->early.next; node != &u->early && n <= EARLY_POLLS; node = node->next) {
                ops[n] = container_of(node, struct op, node);
                fds[n] = (struct pollfd){ .fd = ops[n]->in->fd, .events = (short)ops[n]->poll.events };
                n++;
        }
        u->base.counts.waits++;
        r = ppoll(fds, n, timeout_ns < 0 ? NULL : &ts, NULL);
        if (r < 0 && errno == EINTR)
                u->base.counts.interrupted++;
        u->wake_seen |= r > 0 && fds[0].revents;
        for (nfds_t i = 1; r > 0 && i < n; i++)
                if (fds[i].revents)
                        backend_complete(&u->base, ops[i], (unsigned short)fds[i].revents);
        return 0;
}

/* ---- helper tasks ---- */

static void wake_from_helper(void *arg)
{
        backend_wake(arg);
}

static int to_helper(struct uring *u, struct op *op)
{
        int r = u->base.helper ? 0 : helper_new(&u->base.helper, wake_from_helper, &u->base);

        return r < 0 ? r : helper_submit(u->base.helper, op);
}

static void reap_helper(struct uring *u)
{
        struct op *op;

        while (u->base.helper && (op = helper_reap(u->base.helper)))
                backend_complete(&u->base, op, op->res);
}

/* ---- struct backend ---- */

static void close_if_open(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static void uring_free(struct backend *b)
{
        struct uring *u = uring_of(b);

        /* Foreign pipes are closed by operations: the last ones may still be under way. */
        for (int rounds = 0; b->ops_lent > b->counts.abandoned && rounds < 1000; rounds++) {
                struct list done, *node;

                list_init(&done);
                if (backend_wait(b, &done, 1000000) < 0)
                        break;
                while ((node = list_pop(&done)))
                        op_discard(container_of(node, struct op, node));
        }
        if (u->has_ring)
                io_uring_queue_exit(&u->ring);
        backend_fini(b);
        close(u->wake_fd);
        close_if_open(&u->epoll_fd);
        close_if_open(&u->timer_fd);
        close_if_open(&u->event_fd);
        free(u);
}

/* Everything that reaches the kernel does so in the loop's turn, on its thread: here it is only sorted. */
static void uring_submit(struct backend *b, struct op *op)
{
        list_push(&b->queued, &op->node);
}

static bool early_has_room(const struct uring *u)
{
        unsigned n = 0;

        for (const struct list *node = u->early.next; node != &u->early; node = node->next)
                n++;
        return n < EARLY_POLLS;
}

static void sort_queue(struct uring *u)
{
        struct list todo, *node;

        list_init(&todo);
        list_splice(&todo, &u->base.queued);
        while ((node = list_pop(&todo))) {
                struct op *op = container_of(node, struct op, node);
                const struct route *to = &routes[op->kind];
                int r;

                if (op->kind == OP_POLL && !u->has_ring && early_has_room(u)) {
                        op_to(op, OP_IN_KERNEL);
                        list_push(&u->early, node);
                        continue;
                }
                if (runs_inline(u, op)) {
                        backend_complete(&u->base, op, helper_perform(op));
                        continue;
                }
                if (to->ring && (u->has_ring || !to->task)) {
                        list_push(&u->base.queued, node);
                        continue;
                }
                op_to(op, OP_IN_KERNEL);
                op->in_helper = true;
                list_push(&u->base.tasks, node);
                r = to_helper(u, op);
                if (r < 0)
                        backend_complete(&u->base, op, r);
        }
}

static void requeue_early(struct uring *u)
{
        struct list *node;

        while ((node = list_pop(&u->early))) {
                op_to(container_of(node, struct op, node), OP_QUEUED);
                list_push(&u->base.queued, node);
        }
}

/* The first operation that needs the ring brings the early polls along. */
static void need_ring(struct uring *u)
{
        struct list *node;

        if (list_empty(&u->base.queued) || u->has_ring)
                return;
        if (!u->ring_error)
                u->ring_error = ring_setup(u);
        if (u->ring_error < 0) {
                u->base.refused = u->ring_error;
                while ((node = list_pop(&u->base.queued)))
                        backend_complete(&u->base, container_of(node, struct op, node), u->ring_error);
                return;
        }
        requeue_early(u);
}

static void uring_cancel(struct backend *b, struct op *op)
{
        struct uring *u = uring_of(b);

        if (op->state == OP_QUEUED)
                backend_complete(b, op, -ECANCELED);
        else if (op->in_helper) {
                if (helper_cancel(b->helper, op))
                        backend_complete(b, op, -ECANCELED);
        } else if (!u->has_ring)
                backend_complete(b, op, -ECANCELED); /* an early poll */
        else
                cancel_in_ring(u, op);
}

static void update_timerfd(struct uring *u)
{
        struct itimerspec when = { 0 };
        uint64_t at;

        if (u->timer_fd < 0)
                return;
        if (!list_empty(&u->base.timers)) {
                at = container_of(u->base.timers.next, struct op, node)->timer.at_ns;
                when.it_value.tv_sec = (time_t)(at / 1000000000);
                when.it_value.tv_nsec = (long)(at % 1000000000) | 1; /* 0 would disarm */
        }
        timerfd_settime(u->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int uring_wait(struct backend *b, struct list *done, int64_t timeout_ns)
{
        struct uring *u = uring_of(b);
        int r;

        (void)done;
        sort_queue(u);
        need_ring(u);
        if (!list_empty(&b->finished))
                timeout_ns = 0;
        r = u->has_ring ? ring_enter(u, timeout_ns) : early_wait(u, timeout_ns);
        /* Cleared first, reaped after: what completes in between is announced again. */
        for (int round = 0; round < REAP_ROUNDS && r == 0 && clear_event(u); round++)
                r = ring_enter(u, 0);
        if (u->wake_seen)
                clear_wake(u);
        reap_helper(u);
        update_timerfd(u);
        return r;
}

/* Async-signal-safe: one write. A counter that is full has woken us already. */
static void uring_wake(struct backend *b)
{
        const uint64_t one = 1;
        int saved = errno;
        ssize_t r = write(uring_of(b)->wake_fd, &one, sizeof(one));

        (void)r;
        errno = saved;
}

static int watch(int epoll_fd, int fd)
{
        struct epoll_event e = { .events = EPOLLIN };

        return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* The ring's own fd would not do: epoll is not woken by completions that a DEFER_TASKRUN ring holds back (6.18), an
 * eventfd registered with the ring is. */
static int open_watched(struct uring *u)
{
        int r;

        u->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        u->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        u->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (u->event_fd < 0 || u->timer_fd < 0 || u->epoll_fd < 0)
                return -errno;
        r = io_uring_register_eventfd(&u->ring, u->event_fd);
        r = r < 0 ? r : watch(u->epoll_fd, u->event_fd);
        r = r < 0 ? r : watch(u->epoll_fd, u->wake_fd);
        return r < 0 ? r : watch(u->epoll_fd, u->timer_fd);
}

/* One fd for a host's own loop: completions, the wake-up and the next timer behind one epoll fd. */
static int uring_poll_fd(struct backend *b)
{
        struct uring *u = uring_of(b);
        int r = 0;

        if (u->epoll_fd >= 0)
                return u->epoll_fd;
        if (!u->has_ring)
                r = ring_setup(u);
        if (r < 0)
                return r;
        requeue_early(u);
        r = open_watched(u);
        if (r == 0)
                return u->epoll_fd;
        io_uring_unregister_eventfd(&u->ring);
        close_if_open(&u->epoll_fd);
        close_if_open(&u->timer_fd);
        close_if_open(&u->event_fd);
        return r;
}

static const struct backend_ops uring_ops = {
        .name = "io_uring",
        .free = uring_free,
        .submit = uring_submit,
        .cancel = uring_cancel,
        .wait = uring_wait,
        .wake = uring_wake,
        .poll_fd = uring_poll_fd,
        .now_ns = sys_now_ns,
        .try_splice = sys_try_splice,
        .try_tee = sys_try_tee,
        .try_read = sys_try_read,
        .try_write = sys_try_write,
        .ready = sys_ready,
        .inspect = sys_inspect,
        .pipe = sys_pipe,
        .set_nonblock = sys_set_nonblock,
        .dup = sys_dup,
        .close = sys_close,
        .open_null = sys_open_null,
        .socket = sys_socket,
        .listen = sys_listen,
        .option = sys_option,
        .shutdown = sys_shutdown,
        .reset = sys_reset,
        .chmod = sys_chmod,
        .unsent = sys_unsent,
        .seek = sys_seek,
        .wait_child = sys_wait_child,
        .kill_child = sys_kill_child,
        .kill_group = sys_kill_group,
        .stopped_child = sys_stopped_child,
        .process_is_stopped = sys_process_is_stopped,
        .probable_error = sys_probable_error,
        .process_holds = sys_process_holds,
};

int backend_uring_new(struct backend **ret, bool exclusive)
{
        struct uring *u = calloc(1, sizeof(*u));
        int fd;

        if (!u)
                return -ENOMEM;
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        fd = fd < 0 ? -errno : sys_above_stdio(fd);
        if (fd < 0) {
                free(u);
                return fd;
        }
        backend_init(&u->base, &uring_ops, exclusive);
        u->wake_fd = fd;
        u->epoll_fd = u->timer_fd = u->event_fd = -1;
        list_init(&u->early);
        list_init(&u->in_kernel);
        *ret = &u->base;
        return 0;
}
