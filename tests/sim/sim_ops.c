/* tests/sim/sim_ops.c: the engine's operations inside this kernel, with io-wq's habits.
 *
 *      ISSUED --its time--> poll, read, write on pipes and sockets: done, or ARMED --ready--> done
 *                       --> splice, tee, whatever is forced: QUEUED --a worker is free--> WORKING --> done
 *      done = OVER: the result is known, the completion comes later
 *
 *      cancelled:  ISSUED, ARMED, QUEUED   -ECANCELED
 *                  WORKING, asleep         -512, as it leaks out of 6.18, or -EINTR
 *                  WORKING, in a lock      nothing, until the lock is had
 *                  OVER                    nothing: the result stands (-EALREADY, -ENOENT to the cancel)
 *
 * A splice looks its fds up when a worker begins it, not when it is submitted: a number that was closed and given away by then
 * would move a stranger's bytes. That it still leads where it led is a law here. Called by backend_sim.c. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "sim_kernel.h"
#include "uapi.h"

enum { DELAY_NS_MAX = 2000000, STORAGE_NS_MAX = 8000000 };

static struct sim_op *side_of(struct sim *k, const struct op *op)
{
        if (op->index >= k->ops_nr) {
                unsigned nr = op->index + 32;
                struct sim_op *more = realloc(k->ops, nr * sizeof(*more));

                if (!more)
                        sim_fail(k, "no memory");
                memset(more + k->ops_nr, 0, (nr - k->ops_nr) * sizeof(*more));
                k->ops = more;
                k->ops_nr = nr;
        }
        return &k->ops[op->index];
}

/* ---- submit ---- */

static bool needs_fd(const struct op *op)
{
        switch (op->kind) {
        case OP_OPEN:
        case OP_CLOSE:
        case OP_RENAME:
        case OP_UNLINK:
        case OP_RESOLVE:
        case OP_FIND:
        case OP_IDS:
        case OP_SYMBOL:
        case OP_SPAWN:
                return false;
        default:
                return true;
        }
}

static bool is_move(const struct op *op)
{
        return op->kind == OP_SPLICE || op->kind == OP_TEE;
}

static struct sim_desc *look_up(struct sim *k, const struct slot *s)
{
        struct sim_desc *d = s ? sim_fd(k, s->fd) : NULL;

        if (s && !d)
                sim_fail(k, "an operation names fd %d, which is not open", s->fd);
        return d;
}

void sim_op_submit(struct sim *k, struct op *op)
{
        struct sim_op *o = side_of(k, op);

        if (o->state != SIM_OP_NONE)
                sim_fail(k, "operation %u is submitted twice", op->index);
        sim_trace(k, "submitted %s #%u in %d out %d", op_kind_name(op->kind), op->index, op->in ? op->in->fd : -1,
                  op->out ? op->out->fd : -1);
        *o = (struct sim_op){ .state = SIM_OP_ISSUED, .op = op, .ready_ns = k->now_ns };
        if (sim_strikes(k, SIM_DELAY))
                o->ready_ns += sim_below(k, DELAY_NS_MAX);
        if (!needs_fd(op))
                return;
        o->in_at_submit = look_up(k, op->in);
        o->out_at_submit = look_up(k, op->out);
        if (op->mem && op->mem->refs == 0)
                sim_fail(k, "an operation names memory that is nobody's");
}

bool sim_fd_is_named(const struct sim *k, int fd)
{
        for (unsigned i = 0; i < k->ops_nr; i++) {
                const struct sim_op *o = &k->ops[i];

                if (o->state == SIM_OP_NONE || o->state == SIM_OP_OVER)
                        continue;
                if ((o->op->in && o->op->in->fd == fd) || (o->op->out && o->op->out->fd == fd))
                        return true;
        }
        return false;
}

/* ---- over ---- */

static void leave_worker(struct sim *k, struct sim_op *o)
{
        struct sim_desc *ends[] = { o->in, o->out };

        if (o->state == SIM_OP_WORKING)
                k->workers--;
        for (int i = 0; i < 2; i++) {
                if (ends[i] && ends[i]->kind == SIM_PIPE && ends[i]->pipe->locked_by == o)
                        ends[i]->pipe->locked_by = NULL;
                if (ends[i])
                        sim_desc_unref(ends[i]);
        }
        o->in = o->out = NULL;
}

static void over(struct sim *k, struct sim_op *o, int result)
{
        leave_worker(k, o);
        o->state = SIM_OP_OVER;
        o->result = result;
        o->waits = false;
        o->ready_ns = k->now_ns;
        if (sim_strikes(k, SIM_REORDER))
                o->ready_ns += sim_below(k, DELAY_NS_MAX);
        sim_changed(k);
}

static void deliver(struct sim *k, struct sim_op *o)
{
        struct op *op = o->op;
        int result = o->result;

        sim_trace(k, "completed %s #%u in %d out %d: %d", op_kind_name(op->kind), op->index, op->in ? op->in->fd : -1,
                  op->out ? op->out->fd : -1, result);
        *o = (struct sim_op){ .state = SIM_OP_NONE };
        backend_complete(k->backend, op, result);
}

static void wait(struct sim *k, struct sim_op *o)
{
        o->waits = true;
        o->waits_version = k->version;
}

/* ---- what each does ---- */

static struct sim_desc *still_there(struct sim *k, struct slot *s, struct sim_desc *then)
{
        struct sim_desc *now = look_up(k, s);

        if (now != then)
                sim_fail(k, "fd %d leads elsewhere than when its operation was submitted", s->fd);
        return now ? sim_desc_ref(now) : NULL;
}

static bool has_storage(const struct sim_desc *d)
{
        return d && d->kind == SIM_FILE;
}

/* Storage takes its time, once. */
static bool is_slow(struct sim *k, struct sim_op *o)
{
        if (o->slow || !(has_storage(o->in) || has_storage(o->out)) || !sim_strikes(k, SIM_DELAY))
                return false;
        o->slow = true;
        o->ready_ns = k->now_ns + sim_below(k, STORAGE_NS_MAX);
        return true;
}

static int64_t *offset_or_none(int64_t *at)
{
        return *at < 0 ? NULL : at;
}

/* What may go wrong with a call, whoever makes it. 0: nothing. */
int sim_hurt(struct sim *k, const struct sim_desc *in, const struct sim_desc *out, bool splice)
{
        bool pipes = in && out && in->kind == SIM_PIPE && (out->kind == SIM_PIPE || out->kind == SIM_NULL);

        if (sim_strikes(k, SIM_EINTR))
                return -EINTR;
        if (has_storage(in) && sim_strikes(k, SIM_EIO))
                return -EIO;
        if (splice && !pipes && sim_strikes(k, SIM_REFUSE))
                return -EINVAL;
        return sim_strikes(k, SIM_AGAIN) ? -EAGAIN : 0;
}

static ssize_t move_once(struct sim *k, struct sim_op *o)
{
        int64_t at_in = o->op->move.offset_in, at_out = o->op->move.offset_out;
        struct sim_move m = { .in = o->in, .out = o->out, .bytes = sim_some(k, o->op->move.bytes) };

        m.at_in = offset_or_none(&at_in);
        m.at_out = offset_or_none(&at_out);
        return o->op->kind == OP_TEE ? sim_do_tee(k, &m) : sim_do_splice(k, &m);
}

/* A blocking socket keeps the worker, and the worker the pipe's lock. */
static bool waits_in_socket(const struct sim_op *o)
{
        struct sim_move m = { .in = o->in, .out = o->out };
        struct sim_pipe *lock = o->op->kind == OP_SPLICE && sim_waits_in_socket(&m) ? sim_locks_while_waiting(&m) : NULL;

        if (!lock)
                return false;
        lock->locked_by = o;
        return true;
}

static void work_on_move(struct sim *k, struct sim_op *o)
{
        ssize_t hurt = sim_hurt(k, o->in, o->out, o->op->kind == OP_SPLICE), n = hurt ? hurt : move_once(k, o);

        if (n == -EAGAIN && !hurt && waits_in_socket(o)) {
                wait(k, o);
                return;
        }
        over(k, o, (int)n);
}

static ssize_t transfer_once(struct sim *k, struct sim_op *o)
{
        struct op *op = o->op;
        bool reads = op->kind == OP_READ || op->kind == OP_RECV;
        int r = sim_hurt(k, reads ? o->in : NULL, reads ? NULL : o->in, false);
        size_t bytes = sim_some(k, op->io.bytes);

        if (r < 0 && (r != -EAGAIN || (o->in->nonblock && !k->config.patient))) /* who would wait is not told EAGAIN */
                return r;
        if ((op->kind == OP_RECV || op->kind == OP_SEND) && o->in->kind != SIM_SOCKET)
                return -ENOTSOCK;
        return reads ? sim_do_read(k, o->in, op->io.offset, op->io.data, bytes)
                     : sim_do_write(k, o->in, op->io.offset, op->io.data, bytes);
}

/* Read and write of what can wait: an O_NONBLOCK description says so, another is armed, or keeps its worker. */
static void step_transfer(struct sim *k, struct sim_op *o)
{
        ssize_t n = transfer_once(k, o);

        if (n == -EAGAIN && (!o->in->nonblock || k->config.patient)) {
                if (o->state == SIM_OP_ISSUED)
                        o->state = SIM_OP_ARMED;
                wait(k, o);
                return;
        }
        over(k, o, (int)n);
}

static void step_poll(struct sim *k, struct sim_op *o)
{
        unsigned wanted = o->op->poll.events | POLLERR | POLLHUP, ready = sim_do_poll(o->in) & wanted;

        o->state = SIM_OP_ARMED;
        if (ready == 0 && o->in->kind != SIM_EVENT && sim_strikes(k, SIM_STALE))
                ready = o->op->poll.events; /* it was, and somebody else was quicker */
        if (ready)
                over(k, o, (int)ready);
        else
                wait(k, o);
}

static void step_socket(struct sim *k, struct sim_op *o)
{
        struct sim_socket *s;
        struct sim_desc *d;
        int r;

        if (o->op->kind == OP_CONNECT) {
                unsigned port = 0;

                memcpy(&port, (const uint8_t *)o->op->net.address + 2, 2); /* the same in IPv4 and IPv6 */
                r = sim_socket_connect(o->in->socket, port, 700);
                if (r == -EAGAIN) {
                        o->state = SIM_OP_ARMED;
                        wait(k, o);
                } else {
                        over(k, o, r);
                }
                return;
        }
        if (sim_strikes(k, SIM_EINTR)) {
                over(k, o, -EINTR);
                return;
        }
        if (o->in->socket->backlog && sim_strikes(k, SIM_NOFILE)) {
                over(k, o, -EMFILE);
                return;
        }
        s = sim_socket_accept(o->in->socket);
        if (!s) {
                o->state = SIM_OP_ARMED;
                wait(k, o);
                return;
        }
        d = sim_desc_new(k, SIM_SOCKET);
        d->socket = s;
        d->nonblock = true;
        k->taken++;
        over(k, o, sim_fd_new(k, d));
}

static bool wants_worker(const struct op *op)
{
        return is_move(op) || (op->force_async && op->kind <= OP_SEND);
}

/* Somebody else keeps the lock of a pipe that it is about: asleep, and no signal wakes it. */
static bool is_in_lock(const struct sim_op *o)
{
        return sim_locked(o->in, o) || sim_locked(o->out, o);
}

static void begin(struct sim *k, struct sim_op *o)
{
        o->in = still_there(k, o->op->in, o->in_at_submit);
        o->out = still_there(k, o->op->out, o->out_at_submit);
        o->state = SIM_OP_WORKING;
        k->workers++;
}

static void step_working(struct sim *k, struct sim_op *o)
{
        o->in_lock = is_in_lock(o);
        if (o->in_lock) {
                wait(k, o);
                return;
        }
        if (is_slow(k, o))
                return;
        if (is_move(o->op))
                work_on_move(k, o);
        else
                step_transfer(k, o);
}

static void step_issued(struct sim *k, struct sim_op *o)
{
        if (o->op->kind == OP_CLOSE && sim_locked(sim_fd(k, o->op->close.fd), o)) {
                wait(k, o); /* not even a cancel ends it */
                o->in_lock = true;
                return;
        }
        if (!needs_fd(o->op) || o->op->kind > OP_CONNECT) {
                over(k, o, sim_name_op(k, o->op));
                return;
        }
        if (wants_worker(o->op)) {
                o->state = SIM_OP_QUEUED;
                return;
        }
        if (!o->in)
                o->in = sim_desc_ref(o->in_at_submit);
        if (is_in_lock(o) && o->op->kind != OP_POLL)
                o->state = SIM_OP_QUEUED; /* it would wait: io-wq's */
        else if (o->op->kind == OP_POLL)
                step_poll(k, o);
        else if (o->op->kind == OP_CONNECT || o->op->kind == OP_ACCEPT)
                step_socket(k, o);
        else if (!is_slow(k, o))
                step_transfer(k, o);
}

/* ---- a step ---- */

bool sim_op_may_run(const struct sim *k, const struct sim_op *o)
{
        if (o->state == SIM_OP_NONE || o->ready_ns > k->now_ns)
                return false;
        if (o->state == SIM_OP_QUEUED)
                return k->workers < k->config.workers_max || o->cancelled;
        return !o->waits || o->waits_version != k->version || (o->cancelled && !o->in_lock);
}

/* The cancel has reached it. False: it does not end it. */
static bool cancel(struct sim *k, struct sim_op *o)
{
        bool leaks = k->config.faults & 1u << SIM_LEAK || !k->config.faults;

        switch (o->state) {
        case SIM_OP_ISSUED:
        case SIM_OP_ARMED:
        case SIM_OP_QUEUED:
                if (o->in_lock && o->op->kind == OP_CLOSE)
                        return false;
                over(k, o, -ECANCELED);
                return true;
        case SIM_OP_WORKING:
                if (!o->waits || is_in_lock(o))
                        return false;
                over(k, o, sim_is(k, SIM_BAD_CANCEL_RUNNING) ? -ECANCELED : leaks ? -KERNEL_ERESTARTSYS : -EINTR);
                return true;
        default:
                return false;
        }
}

void sim_op_run(struct sim *k, struct sim_op *o)
{
        if (o->cancelled && o->state != SIM_OP_OVER && cancel(k, o))
                return;
        o->waits = false;
        switch (o->state) {
        case SIM_OP_ISSUED:
                step_issued(k, o);
                break;
        case SIM_OP_ARMED:
                if (o->op->kind == OP_POLL)
                        step_poll(k, o);
                else if (o->op->kind == OP_CONNECT || o->op->kind == OP_ACCEPT)
                        step_socket(k, o);
                else
                        step_transfer(k, o);
                break;
        case SIM_OP_QUEUED:
                if (o->in) {
                        sim_desc_unref(o->in);
                        o->in = NULL;
                }
                begin(k, o);
                break;
        case SIM_OP_WORKING:
                step_working(k, o);
                break;
        case SIM_OP_OVER:
                deliver(k, o);
                break;
        case SIM_OP_NONE:
                break;
        }
}

void sim_op_cancel(struct sim *k, struct op *op)
{
        struct sim_op *o = side_of(k, op);

        if (o->state == SIM_OP_NONE)
                sim_fail(k, "a cancel names operation %u, which the kernel does not have", op->index);
        sim_trace(k, "cancel #%u", op->index);
        o->cancelled = true;
        sim_changed(k);
}

uint64_t sim_ops_next_ns(const struct sim *k)
{
        uint64_t at = UINT64_MAX;

        for (unsigned i = 0; i < k->ops_nr; i++)
                if (k->ops[i].state != SIM_OP_NONE && k->ops[i].ready_ns > k->now_ns && k->ops[i].ready_ns < at)
                        at = k->ops[i].ready_ns;
        return at;
}
