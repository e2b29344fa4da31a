/* tests/sim/backend_sim.c: struct backend over the simulated kernel.
 *
 * The engine's thread is not alone: between any two of its calls others run, as they would on another core. Its wait is where
 * time passes. A call that would keep the thread waiting (a pipe whose lock is another's, a blocking socket) is a broken law on
 * a loop that is shared. Called through struct backend; calls sim_kernel.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sim_kernel.h"

enum { PIPE_BYTES_LARGE_ASKED = 1 << 20, PIPE_SLOTS_LARGE = 16, PIPE_SLOTS_QUOTA = 2, BESIDE_ONE_IN = 3, LINGER_STEPS = 5 };

struct backend_sim {
        struct backend base;
        struct sim *sim;
        struct list in_kernel;
};

static struct sim *sim_of(struct backend *b)
{
        return container_of(b, struct backend_sim, base)->sim;
}

/* ---- the engine's thread among others ---- */

/* Before a call of the engine's: others go on. */
static struct sim *enter(struct backend *b)
{
        struct sim *k = sim_of(b);

        while (!k->config.manual && sim_below(k, BESIDE_ONE_IN) == 0)
                if (!sim_run_beside(k))
                        break;
        sim_step(k);
        return k;
}

static void wait_for_lock(struct backend *b, struct sim_desc *d)
{
        struct sim *k = sim_of(b);

        if (!sim_locked(d, b))
                return;
        if (!b->exclusive)
                sim_fail(k, "a shared loop waits for the lock of pipe %u", d->pipe->id);
        while (sim_locked(d, b))
                if (!sim_run_beside(k) && !sim_skip_time(k, UINT64_MAX))
                        sim_fail(k, "the loop waits for the lock of pipe %u for ever", d->pipe->id);
}

static struct sim_desc *open_desc(struct sim *k, int fd)
{
        struct sim_desc *d = sim_fd(k, fd);

        if (!d)
                sim_fail(k, "fd %d is used and not open", fd);
        return d;
}

/* ---- tries ---- */

static ssize_t try_move(struct backend *b, struct slot *in, int64_t at_in, struct slot *out, int64_t at_out, size_t bytes, bool tee)
{
        struct sim *k = enter(b);
        struct sim_move m = { .in = open_desc(k, in->fd), .out = open_desc(k, out->fd), .bytes = bytes };
        int r;

        m.at_in = at_in < 0 ? NULL : &at_in;
        m.at_out = at_out < 0 ? NULL : &at_out;
        wait_for_lock(b, m.in);
        wait_for_lock(b, m.out);
        r = sim_hurt(k, m.in, m.out, !tee);
        m.bytes = sim_some(k, bytes);
        if (r == 0)
                r = (int)(tee ? sim_do_tee(k, &m) : sim_do_splice(k, &m));
        sim_trace(k, "try %s %d -> %d, %zu: %d", tee ? "tee" : "splice", in->fd, out->fd, bytes, r);
        if (!tee && r == -EAGAIN && sim_locks_while_waiting(&m) && sim_waits_in_socket(&m))
                sim_fail(k, "a splice waits in a blocking socket on the loop's thread");
        return r;
}

static ssize_t try_splice(struct backend *b, struct slot *in, int64_t at_in, struct slot *out, int64_t at_out, size_t bytes,
                          bool more)
{
        (void)more;
        return try_move(b, in, at_in, out, at_out, bytes, false);
}

static ssize_t try_tee(struct backend *b, struct slot *in, struct slot *out, size_t bytes)
{
        return try_move(b, in, -1, out, -1, bytes, true);
}

static ssize_t try_read(struct backend *b, struct slot *s, void *data, size_t bytes)
{
        struct sim *k = enter(b);
        struct sim_desc *d = open_desc(k, s->fd);

        wait_for_lock(b, d);
        return sim_do_read(k, d, -1, data, sim_some(k, bytes));
}

static ssize_t try_write(struct backend *b, struct slot *s, const void *data, size_t bytes)
{
        struct sim *k = enter(b);
        struct sim_desc *d = open_desc(k, s->fd);

        wait_for_lock(b, d);
        return sim_do_write(k, d, -1, data, sim_some(k, bytes));
}

static int ready(struct backend *b, struct slot *s, unsigned events)
{
        struct sim *k = enter(b);
        int r = (int)(sim_do_poll(open_desc(k, s->fd)) & (events | POLLERR | POLLHUP));

        sim_trace(k, "ready %d for %u: %d", s->fd, events, r);
        return r;
}

static enum fd_kind kind_of(const struct sim_desc *d)
{
        switch (d->kind) {
        case SIM_PIPE:
                return FD_PIPE;
        case SIM_SOCKET:
                return d->socket->listening ? FD_LISTENER : FD_SOCKET;
        case SIM_FILE:
                return FD_FILE;
        case SIM_NULL:
        case SIM_ZERO:
                return FD_DEVICE;
        case SIM_DIRECTORY:
                return FD_DIRECTORY;
        default:
                return FD_OTHER;
        }
}

static int inspect(struct backend *b, int fd, struct fd_info *ret)
{
        struct sim_desc *d = sim_fd(sim_of(b), fd);
        int access;

        if (!d)
                return -EBADF;
        access = d->reads && d->writes ? O_RDWR : d->writes ? O_WRONLY : O_RDONLY;
        *ret = (struct fd_info){ .kind = kind_of(d), .size = -1, .family = AF_INET, .device = (uint64_t)d->kind };
        ret->flags = access | (d->nonblock ? O_NONBLOCK : 0) | (d->append ? O_APPEND : 0);
        if (d->kind == SIM_FILE) {
                ret->size = d->inode->size;
                ret->inode = d->inode->number;
                ret->names = d->inode->name[0] != '\0';
                ret->mode = d->inode->mode;
        } else if (d->kind == SIM_PIPE) {
                ret->inode = d->pipe->id;
        }
        return 0;
}

static int64_t position(struct backend *b, int fd)
{
        struct sim_desc *d = sim_fd(sim_of(b), fd);

        return d && d->kind == SIM_FILE ? d->position : -1;
}

/* ---- fds ---- */

/* A user beyond his quota gets two slots, or nothing. */
static int make_pipe(struct backend *b, int ret[2], size_t bytes, size_t *ret_bytes)
{
        struct sim *k = enter(b);
        unsigned slots = PIPE_SLOTS_LARGE;
        struct sim_desc *ends[2];

        while (bytes < PIPE_BYTES_LARGE_ASKED && slots > PIPE_SLOTS_QUOTA) {
                bytes *= 4;
                slots /= 2;
        }
        if (sim_strikes(k, SIM_QUOTA))
                slots = PIPE_SLOTS_QUOTA;
        if (sim_strikes(k, SIM_NOFILE))
                return -EMFILE;
        sim_make_pipe(k, ends, slots);
        ret[0] = sim_fd_new(k, ends[0]);
        ret[1] = sim_fd_new(k, ends[1]);
        sim_trace(k, "pipe %d, %d of %u slots", ret[0], ret[1], slots);
        *ret_bytes = (size_t)slots * k->config.page_bytes;
        return 0;
}

static int grow_pipe(struct backend *b, int fd, size_t bytes)
{
        struct sim_pipe *p = open_desc(sim_of(b), fd)->pipe;
        unsigned slots = (unsigned)(bytes / sim_of(b)->config.page_bytes);

        return slots > p->max ? sim_pipe_resize(p, slots) : 0;
}

static int set_nonblock(struct backend *b, int fd, bool on)
{
        open_desc(sim_of(b), fd)->nonblock = on;
        sim_changed(sim_of(b));
        return 0;
}

static int set_direct(struct backend *b, int fd, bool on)
{
        open_desc(sim_of(b), fd)->direct = on;
        sim_changed(sim_of(b));
        return 0;
}

/* Numbers below ours are the host's: a token that the world can fire, or its standard streams. */
static int dup_host(struct sim *k, int fd)
{
        struct sim_desc *d;

        for (unsigned i = 0; i < k->host_nr; i++)
                if (k->host_fds[i] == fd) {
                        d = sim_desc_new(k, SIM_EVENT);
                        d->event = &k->host_events[i];
                        return sim_fd_new(k, d);
                }
        return fd >= 0 && fd <= 2 ? sim_fd_new(k, sim_desc_new(k, SIM_NULL)) : -EBADF;
}

static int dup_fd(struct backend *b, int fd)
{
        struct sim *k = enter(b);
        struct sim_desc *d = sim_fd(k, fd);

        if (!d)
                return dup_host(k, fd);
        return sim_fd_new(k, sim_desc_ref(d));
}

static void close_fd(struct backend *b, int fd)
{
        struct sim *k = enter(b);
        struct sim_desc *d = open_desc(k, fd);

        sim_trace(k, "close %d", fd);
        if (d->refs == 1) /* the last one takes the lock too */
                wait_for_lock(b, d);
        sim_fd_close(k, fd);
}

static int open_null(struct backend *b, bool write)
{
        struct sim_desc *d = sim_desc_new(sim_of(b), SIM_NULL);

        d->reads = !write;
        d->writes = write;
        return sim_fd_new(sim_of(b), d);
}

static int make_socket(struct backend *b, int family, int type)
{
        struct sim_desc *d;

        if (sim_strikes(enter(b), SIM_NOFILE))
                return -EMFILE;
        d = sim_desc_new(sim_of(b), SIM_SOCKET);
        d->socket = sim_socket_new(sim_of(b), family == AF_UNIX);
        d->nonblock = type & SOCK_NONBLOCK;
        return sim_fd_new(sim_of(b), d);
}

static int do_listen(struct backend *b, int fd, const struct sockaddr *address, socklen_t bytes, int backlog)
{
        unsigned port = 0;

        (void)bytes;
        memcpy(&port, (const uint8_t *)address + 2, 2);
        return sim_socket_listen(open_desc(sim_of(b), fd)->socket, port, (unsigned)backlog);
}

static int option(struct backend *b, int fd, int level, int name, int value)
{
        struct sim_desc *d = open_desc(sim_of(b), fd);

        if (level == SOL_SOCKET && name == SO_LINGER && d->kind == SIM_SOCKET)
                d->socket->reset_on_close = value == 0;
        return 0;
}

static int do_shutdown(struct backend *b, int fd, int how)
{
        struct sim_desc *d = open_desc(enter(b), fd);

        sim_trace(sim_of(b), "shutdown %d %d", fd, how);
        return d->kind == SIM_SOCKET ? sim_socket_shutdown(d->socket, how) : -ENOTSOCK;
}

static int do_reset(struct backend *b, int fd)
{
        struct sim_desc *d = open_desc(sim_of(b), fd);

        if (d->kind == SIM_SOCKET)
                d->socket->reset_on_close = true;
        return 0;
}

static int do_chmod(struct backend *b, int fd, const char *path, mode_t mode)
{
        struct sim_desc *d = path ? NULL : sim_fd(sim_of(b), fd);

        if (d && d->kind == SIM_FILE)
                d->inode->mode = mode;
        return 0;
}

/* What the peer's kernel has not acknowledged: some, as long as somebody still reads. */
static int unsent(struct backend *b, int fd)
{
        struct sim_desc *d = open_desc(sim_of(b), fd);

        return d->kind == SIM_SOCKET && d->socket->peer ? (int)sim_below(sim_of(b), d->socket->peer->bytes + 1) : 0;
}

static int seek(struct backend *b, int fd, int64_t relative)
{
        struct sim_desc *d = open_desc(sim_of(b), fd);

        if (d->position + relative < 0)
                sim_fail(sim_of(b), "fd %d: more is given back than was taken", fd);
        d->position += relative;
        return 0;
}

/* Some windows are, as the seed has it. A worker that has to read waits; what is inline never does here. */
static int cached(struct backend *b, struct slot *s, int64_t offset, uint32_t bytes)
{
        (void)s;
        (void)offset;
        (void)bytes;
        return sim_of(b)->config.manual || sim_below(sim_of(b), 2);
}

static int watch(struct backend *b, int fd, uint32_t mask)
{
        (void)b;
        (void)fd;
        (void)mask;
        return -ENOSYS;
}

/* ---- children ---- */

static int wait_child(struct backend *b, int pidfd, bool reap, struct child_status *ret)
{
        struct sim_task *t = open_desc(enter(b), pidfd)->task;

        if (t->state < SIM_DEAD)
                return -EAGAIN;
        *ret = (struct child_status){ .known = true, .exit_status = t->exit_status, .signal = t->signal };
        if (reap)
                t->state = SIM_REAPED;
        return 0;
}

static int kill_child(struct backend *b, int pidfd, int signal)
{
        struct sim_task *t = open_desc(enter(b), pidfd)->task;

        if (t->state >= SIM_DEAD)
                return -ESRCH;
        sim_task_signal(t, signal);
        return 0;
}

static int kill_group(struct backend *b, pid_t group, int signal)
{
        (void)b;
        (void)group;
        (void)signal;
        return -ESRCH;
}

static int stopped_child(struct backend *b, int pidfd)
{
        (void)b;
        (void)pidfd;
        return 0;
}

static bool process_is_stopped(struct backend *b, pid_t pid)
{
        (void)b;
        (void)pid;
        return false;
}

static int probable_error(struct backend *b, int fd)
{
        struct sim_desc *d = open_desc(sim_of(b), fd);

        if (d->kind == SIM_FILE)
                return sim_of(b)->config.disk_bytes == 0 ? -ENOSPC : 0;
        return sim_do_poll(d) & (POLLERR | POLLHUP) ? -EPIPE : 0;
}

static bool process_holds(struct backend *b, pid_t pid, int fd, uint64_t inode)
{
        for (struct sim_task *t = sim_of(b)->tasks; t; t = t->next)
                if (t->pid == pid)
                        return t->state < SIM_DEAD && t->fd[fd] && t->fd[fd]->kind == SIM_PIPE && t->fd[fd]->pipe->id == inode;
        return false;
}

/* ---- operations ---- */

static void submit(struct backend *b, struct op *op)
{
        list_push(&b->queued, &op->node);
}

static void cancel(struct backend *b, struct op *op)
{
        if (op->state == OP_QUEUED)
                backend_complete(b, op, -ECANCELED);
        else
                sim_op_cancel(sim_of(b), op);
}

static void hand_over(struct backend *b)
{
        struct list *node;

        while ((node = list_pop(&b->queued))) {
                struct op *op = container_of(node, struct op, node);

                op_to(op, OP_IN_KERNEL);
                list_push(&container_of(b, struct backend_sim, base)->in_kernel, node);
                sim_op_submit(sim_of(b), op);
        }
}

/* Others run until something has completed, and a little longer: completions come in batches. */
static int wait(struct backend *b, struct list *done, int64_t timeout_ns)
{
        struct sim *k = sim_of(b);
        uint64_t until = timeout_ns < 0 ? UINT64_MAX : k->now_ns + (uint64_t)timeout_ns;
        uint64_t more = sim_below(k, LINGER_STEPS);

        (void)done;
        hand_over(b);
        b->counts.waits++;
        while (!k->config.manual && !k->woken) {
                if ((timeout_ns == 0 || !list_empty(&b->finished)) && more-- == 0)
                        break;
                if (k->now_ns >= until && timeout_ns > 0)
                        break;
                if (sim_run_one(k))
                        continue;
                if (timeout_ns == 0 || !list_empty(&b->finished))
                        break;
                if (!sim_skip_time(k, until))
                        sim_fail(k, "nothing can happen any more");
        }
        k->woken = false;
        return 0;
}

static void wake(struct backend *b)
{
        sim_of(b)->woken = true;
}

static int poll_fd(struct backend *b)
{
        (void)b;
        return -ENOSYS;
}

static uint64_t now_ns(struct backend *b)
{
        return sim_of(b)->now_ns;
}

/* What slots let go of late (foreign pipes) is still under way. */
static void free_backend(struct backend *b)
{
        struct sim *k = sim_of(b);

        k->calm = true;
        while (b->ops_lent > b->ops_abandoned) {
                struct list done, *node;

                list_init(&done);
                backend_wait(b, &done, -1);
                while ((node = list_pop(&done)))
                        op_discard(container_of(node, struct op, node));
        }
        if (b->ops_lent)
                sim_fail(k, "%u operations left at the end", b->ops_lent);
        backend_fini(b);
        free(container_of(b, struct backend_sim, base));
}

static const struct backend_ops ops = {
        .name = "sim",
        .free = free_backend,
        .submit = submit,
        .cancel = cancel,
        .wait = wait,
        .wake = wake,
        .poll_fd = poll_fd,
        .now_ns = now_ns,
        .try_splice = try_splice,
        .try_tee = try_tee,
        .try_read = try_read,
        .try_write = try_write,
        .ready = ready,
        .inspect = inspect,
        .position = position,
        .pipe = make_pipe,
        .grow_pipe = grow_pipe,
        .set_nonblock = set_nonblock,
        .set_direct = set_direct,
        .dup = dup_fd,
        .close = close_fd,
        .open_null = open_null,
        .socket = make_socket,
        .listen = do_listen,
        .option = option,
        .shutdown = do_shutdown,
        .reset = do_reset,
        .chmod = do_chmod,
        .unsent = unsent,
        .seek = seek,
        .cached = cached,
        .watch = watch,
        .wait_child = wait_child,
        .kill_child = kill_child,
        .kill_group = kill_group,
        .stopped_child = stopped_child,
        .process_is_stopped = process_is_stopped,
        .probable_error = probable_error,
        .process_holds = process_holds,
};

int backend_sim_new(struct backend **ret, struct sim *k, bool exclusive)
{
        struct backend_sim *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        backend_init(&s->base, &ops, exclusive);
        list_init(&s->in_kernel);
        s->sim = k;
        k->backend = &s->base;
        *ret = &s->base;
        return 0;
}
