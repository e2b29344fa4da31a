/* uring/backend_kernel.c: the backend on a real kernel: sorts operations, and waits for whatever they wait for.
 *
 *      AUTO    nothing moves but processes: polls wait by epoll, short file work runs inline or on a thread
 *       |  the first operation that is worth a ring (its set-up costs 0.5 ms)
 *       +--granted--> URING   operations go to the ring (io_ring.h), the polls move there too
 *       +--refused--> EPOLL   operations go without (ringless.h), and so do those that had queued up
 *
 * In URING an operation that this kernel does not know goes the other way, alone. What waits by epoll then, waits together
 * with the ring: epoll watches the ring's eventfd.
 * Called through struct backend; calls io_ring.c, ringless.c, ready.c, the helper and uring/syscalls.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backend.h"
#include "check.h"
#include "helper.h"
#include "io_ring.h"
#include "ready.h"
#include "ringless.h"
#include "syscalls.h"

enum { REAP_ROUNDS = 4 };

struct kernel {
        struct backend base;
        enum backend_kind wanted;
        struct io_ring ring;
        struct ready ready;
        struct ringless ringless;
        int wake_fd;
        bool ring_watched; /* by epoll, as wake_fd is */
        bool for_host;     /* a host polls the epoll fd */
        int timer_fd;      /* ... which tells of timers too; -1 until asked */
};

static struct kernel *kernel_of(struct backend *b)
{
        return container_of(b, struct kernel, base);
}

/* ---- which operation goes where ---- */

struct route {
        bool task;  /* a thread can do it: no reason to set up a ring */
        bool brief; /* short enough to run inline on a loop that serves nothing else */
};

static const struct route routes[OP_KINDS] = {
        [OP_FSYNC] = { .task = true },
        [OP_OPEN] = { .task = true, .brief = true },
        [OP_CLOSE] = { .task = true, .brief = true },
        [OP_RENAME] = { .task = true, .brief = true },
        [OP_UNLINK] = { .task = true, .brief = true },
        [OP_TRUNCATE] = { .task = true, .brief = true }, /* IORING_OP_FTRUNCATE: 6.9 */
        [OP_LINK] = { .task = true, .brief = true },
        [OP_FIND] = { .task = true, .brief = true },
        [OP_SPAWN] = { .task = true, .brief = true },
        [OP_IDS] = { .task = true },
        [OP_SYMBOL] = { .task = true, .brief = true },
        [OP_RESOLVE] = { .task = true }, /* may wait 30 s for a name server */
};

/* Opening a FIFO waits for its other end; what is not there yet cannot be one. */
static bool open_may_wait(const struct op *op)
{
        struct stat st;

        return stat(op->open.path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISCHR(st.st_mode);
}

static bool ring_has(const struct kernel *k, const struct op *op)
{
        return k->ring.up && io_ring_takes(&k->ring, op->kind);
}

static bool runs_inline(const struct kernel *k, const struct op *op)
{
        if (!k->base.exclusive || !routes[op->kind].brief || ring_has(k, op))
                return false;
        return op->kind != OP_OPEN || !open_may_wait(op);
}

/* A poll is better off in a ring, but is no reason to make one. */
static bool is_worth_a_ring(const struct kernel *k, const struct op *op)
{
        return k->base.kind != BACKEND_EPOLL && op->kind != OP_POLL && !routes[op->kind].task && io_ring_takes(&k->ring, op->kind);
}

/* A ring waits for room in a pipe by a poll of its own, O_NONBLOCK or not. Without DEFER_TASKRUN (before 6.1) it writes then in
 * whatever system call comes next, outside a turn too, where SIGPIPE is not held: a reader that has gone would end the host
 * (seen on 6.18 with COOP_TASKRUN alone). Sockets have MSG_NOSIGNAL. */
static bool may_raise_outside(const struct kernel *k, const struct op *op)
{
        return k->ring.up && !(k->ring.uring.flags & IORING_SETUP_DEFER_TASKRUN) && op->kind == OP_WRITE &&
               slot_nature(op->in) == SLOT_PIPE;
}

/* Puts every queued operation where it belongs. Those for the ring stay in the queue. */
static void sort_queue(struct kernel *k)
{
        struct list todo, *node;

        list_init(&todo);
        list_splice(&todo, &k->base.queued);
        while ((node = list_pop(&todo))) {
                struct op *op = container_of(node, struct op, node);

                op->aside |= may_raise_outside(k, op);
                if (runs_inline(k, op))
                        backend_complete(&k->base, op, helper_perform(op));
                else if (!op->aside && (ring_has(k, op) || is_worth_a_ring(k, op)))
                        list_push(&k->base.queued, node);
                else
                        ringless_begin(&k->ringless, op);
        }
}

/* ---- which way ---- */

static void polls_to_ring(struct kernel *k)
{
        struct list polls, *node;

        list_init(&polls);
        ready_take_all(&k->ready, &polls);
        while ((node = list_pop(&polls))) {
                op_to(container_of(node, struct op, node), OP_QUEUED);
                list_push(&k->base.queued, node);
        }
}

/* Any error counts: a ring that cannot be had, for whatever reason, is no reason not to move the bytes. */
static int decide(struct kernel *k)
{
        int r = k->base.refused;

        if (k->base.kind == BACKEND_EPOLL || k->ring.up)
                return 0;
        r = r < 0 ? r : io_ring_setup(&k->ring);
        if (r == 0) {
                k->base.kind = BACKEND_URING;
                polls_to_ring(k);
                return 0;
        }
        k->base.refused = r;
        if (k->wanted == BACKEND_URING)
                return r;
        k->base.kind = BACKEND_EPOLL;
        return 0;
}

static void need_ring(struct kernel *k)
{
        struct list *node;
        int r;

        if (list_empty(&k->base.queued) || k->ring.up)
                return;
        r = decide(k);
        if (r == 0) {
                sort_queue(k);
                return;
        }
        while ((node = list_pop(&k->base.queued)))
                backend_complete(&k->base, container_of(node, struct op, node), r);
}

/* ---- waiting ---- */

static int watch_ring(struct kernel *k)
{
        int fd = k->ring.up && !k->ring_watched ? io_ring_event_fd(&k->ring) : 0, r = fd < 0 ? fd : 0;

        if (fd > 0)
                r = ready_mark(&k->ready, fd, READY_RING);
        k->ring_watched |= fd > 0 && r == 0;
        return r;
}

/* Whoever sees the wake-up takes it away: left behind, it would end every wait at once, for ever. */
static void clear_wake(struct kernel *k)
{
        uint64_t count;

        if (read(k->wake_fd, &count, sizeof(count)) < 0)
                return; /* taken already */
}

static int64_t until_asked_again_ns(struct kernel *k, int64_t timeout_ns)
{
        uint64_t at = ringless_next_ns(&k->ringless), now = at == UINT64_MAX ? 0 : backend_now_ns(&k->base);
        int64_t left = at <= now ? 0 : at - now > INT64_MAX ? INT64_MAX : (int64_t)(at - now);

        return at != UINT64_MAX && (timeout_ns < 0 || left < timeout_ns) ? left : timeout_ns;
}

static int wait_by_epoll(struct kernel *k, int64_t timeout_ns)
{
        struct list ready;
        int r;

        list_init(&ready);
        k->base.counts.waits++;
        r = ready_wait(&k->ready, &ready, until_asked_again_ns(k, timeout_ns));
        if (r == -EINTR || r == -EAGAIN) /* the second by a tracer's hand */
                k->base.counts.interrupted++;
        else if (r < 0)
                return r;
        if (r > 0 && r & READY_WAKE)
                clear_wake(k);
        ringless_resume(&k->ringless, &ready);
        return 0;
}

static int wait_by_ring(struct kernel *k, int64_t timeout_ns)
{
        int r = io_ring_enter(&k->ring, timeout_ns);

        /* Cleared first, reaped after: what completes in between is announced again. */
        for (int round = 0; round < REAP_ROUNDS && r == 0 && io_ring_clear_event(&k->ring); round++)
                r = io_ring_enter(&k->ring, 0);
        if (k->ring.wake_seen)
                clear_wake(k);
        k->ring.wake_seen = false;
        if (!list_empty(&k->ring.unknown)) {
                list_splice(&k->base.queued, &k->ring.unknown);
                sort_queue(k);
        }
        return r;
}

/* Some wait by epoll though there is a ring: one wait for both. */
static int wait_for_both(struct kernel *k, int64_t timeout_ns)
{
        int r = watch_ring(k);

        r = r < 0 ? r : wait_by_ring(k, 0);
        if (!list_empty(&k->base.finished))
                timeout_ns = 0;
        r = r < 0 ? r : wait_by_epoll(k, timeout_ns);
        return r < 0 ? r : wait_by_ring(k, 0);
}

static bool some_wait_by_epoll(const struct kernel *k)
{
        return !ready_empty(&k->ready) || !list_empty(&k->ringless.later) || k->ring.wake_denied;
}

static void update_timerfd(struct kernel *k)
{
        struct itimerspec when = { 0 };
        uint64_t at, timer;

        if (k->timer_fd < 0)
                return;
        backend_expire_timers(&k->base); /* else it would be set to the past, and wake the host once more */
        at = ringless_next_ns(&k->ringless);
        if (!list_empty(&k->base.timers)) {
                timer = container_of(k->base.timers.next, struct op, node)->timer.at_ns;
                at = timer < at ? timer : at;
        }
        if (at != UINT64_MAX) {
                when.it_value.tv_sec = (time_t)(at / 1000000000);
                when.it_value.tv_nsec = (long)(at % 1000000000) | 1; /* 0 would disarm */
        }
        timerfd_settime(k->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- struct backend ---- */

static int kernel_wait(struct backend *b, struct list *done, int64_t timeout_ns)
{
        struct kernel *k = kernel_of(b);
        struct list none;
        int r;

        (void)done;
        sort_queue(k);
        need_ring(k);
        if (!list_empty(&b->finished))
                timeout_ns = 0;
        if (!k->ring.up)
                r = wait_by_epoll(k, timeout_ns);
        else if (some_wait_by_epoll(k))
                r = wait_for_both(k, timeout_ns);
        else
                r = wait_by_ring(k, timeout_ns);
        list_init(&none);
        ringless_resume(&k->ringless, &none); /* what threads have finished meanwhile */
        update_timerfd(k);
        return r;
}

/* Everything that reaches the kernel does so in the loop's turn, on its thread: here it is only queued. */
static void kernel_submit(struct backend *b, struct op *op)
{
        list_push(&b->queued, &op->node);
}

static void kernel_cancel(struct backend *b, struct op *op)
{
        struct kernel *k = kernel_of(b);

        if (op->state == OP_QUEUED)
                backend_complete(b, op, -ECANCELED);
        else if (op->place == OP_AT_RING)
                io_ring_cancel(&k->ring, op);
        else
                ringless_cancel(&k->ringless, op);
}

static void kernel_wake(struct backend *b)
{
        sys_raise_event(kernel_of(b)->wake_fd);
}

static void wake_from_thread(void *arg)
{
        backend_wake(arg);
}

/* One fd for a host's own loop: what waits by epoll, completions of the ring, the wake-up and the next timer. */
static int kernel_poll_fd(struct backend *b)
{
        struct kernel *k = kernel_of(b);
        int r;

        if (k->for_host)
                return k->ready.epoll_fd;
        r = decide(k);
        r = r < 0 ? r : watch_ring(k);
        if (r < 0)
                return r;
        if (k->timer_fd < 0)
                k->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (k->timer_fd < 0)
                return -errno;
        r = ready_mark(&k->ready, k->timer_fd, READY_TIMER);
        if (r < 0)
                return r;
        k->for_host = true;
        return k->ready.epoll_fd;
}

static void kernel_free(struct backend *b)
{
        struct kernel *k = kernel_of(b);

        /* Foreign pipes are closed by operations: the last ones may still be under way. */
        for (int rounds = 0; b->ops_lent > b->ops_abandoned && rounds < 1000; rounds++) {
                struct list done, *node;

                list_init(&done);
                if (backend_wait(b, &done, 1000000) < 0)
                        break;
                while ((node = list_pop(&done)))
                        op_discard(container_of(node, struct op, node));
        }
        io_ring_fini(&k->ring);
        backend_fini(b);
        ready_fini(&k->ready);
        close(k->wake_fd);
        if (k->timer_fd >= 0)
                close(k->timer_fd);
        free(k);
}

static const struct backend_ops kernel_ops = {
        .name = "kernel",
        .free = kernel_free,
        .submit = kernel_submit,
        .cancel = kernel_cancel,
        .wait = kernel_wait,
        .wake = kernel_wake,
        .poll_fd = kernel_poll_fd,
        .now_ns = sys_now_ns,
        .try_splice = sys_try_splice,
        .try_tee = sys_try_tee,
        .try_read = sys_try_read,
        .try_write = sys_try_write,
        .ready = sys_ready,
        .inspect = sys_inspect,
        .position = sys_position,
        .pipe = sys_pipe,
        .grow_pipe = sys_grow_pipe,
        .set_nonblock = sys_set_nonblock,
        .set_direct = sys_set_direct,
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
        .cached = sys_cached,
        .watch = sys_watch,
        .wait_child = sys_wait_child,
        .kill_child = sys_kill_child,
        .kill_group = sys_kill_group,
        .stopped_child = sys_stopped_child,
        .process_is_stopped = sys_process_is_stopped,
        .probable_error = sys_probable_error,
        .process_holds = sys_process_holds,
};

static int open_fds(struct kernel *k)
{
        int r = ready_init(&k->ready);

        if (r < 0)
                return r;
        k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = k->wake_fd = k->wake_fd < 0 ? -errno : sys_above_stdio(k->wake_fd);
        r = r < 0 ? r : ready_mark(&k->ready, k->wake_fd, READY_WAKE);
        if (r == 0)
                return 0;
        if (k->wake_fd >= 0)
                close(k->wake_fd);
        ready_fini(&k->ready);
        return r;
}

int backend_new(struct backend **ret, bool exclusive, enum backend_kind wanted)
{
        struct kernel *k = calloc(1, sizeof(*k));
        int r = k ? open_fds(k) : -ENOMEM;

        if (r < 0) {
                free(k);
                return r;
        }
        backend_init(&k->base, &kernel_ops, exclusive);
        k->base.kind = wanted;
        k->wanted = wanted;
        k->timer_fd = -1;
        io_ring_init(&k->ring, &k->base, k->wake_fd);
        ringless_init(&k->ringless, &k->base, &k->ready, wake_from_thread);
        *ret = &k->base;
        return 0;
}
