/* engine/end.c: the ways to an end: cancel, deadline, a failure that stops the rest; and the ladder that ends commands with
 * all that descends from them.
 *
 *      step    cancel, deadline, fail-fast        a failure of the engine's          all ended, but something lives on
 *      close   their input ends                   everything ends                    -
 *      0       -                                  grace: EOF and EPIPE do it         -
 *      1       SIGTERM to the tree, grace         SIGTERM to the tree, grace         SIGTERM to the tree, grace
 *      2       SIGKILL to the tree, grace         the same                           the same
 *      3       what cannot be ended (uninterruptible sleep) is abandoned and counted
 *      verify  every command reaped, nothing contained lives (contain.c): only then are our ends of their outputs closed,
 *              so that a command dies of KILL and not of a pipe that breaks first
 *
 * Called by run.c; calls contain.c, child.c, link.c. */
#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "cancel.h"
#include "check.h"
#include "run.h"

enum { SETTLE_MS = 5, PATIENCE_MS = 5000 }; /* what was killed may need a moment on a busy machine, whatever the grace */

static struct backend *backend_of(const struct run *r)
{
        return r->loop->backend;
}

static void cancel_op(struct run *r, struct op *op)
{
        if (op)
                backend_cancel(backend_of(r), op);
}

void end_cancel_watches(struct run *r)
{
        cancel_op(r, r->deadline_op);
        cancel_op(r, r->grace_op);
        cancel_op(r, r->settle_op);
        cancel_op(r, r->cancel_op);
        cancel_op(r, r->alive_op);
}

bool end_is_quiet(const struct run *r)
{
        return !r->deadline_op && !r->grace_op && !r->settle_op && !r->cancel_op && !r->alive_op;
}

/* ---- signals ---- */

/* The group first, while its leader, dead or not, still holds its number; then those that left it. */
static void signal_commands(struct run *r, int signal)
{
        struct backend *b = backend_of(r);
        bool group = false;

        threads_mark(r);
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i];

                if (c->child->state != CHILD_RUNNING)
                        continue;
                c->child->told_to_end = true;
                if (is_thread(c))
                        thread_cancel(c);
                else
                        group |= !contain_reaches(c);
        }
        if (r->group > 0 && group) {
                b->ops->kill_group(b, r->group, signal);
                b->ops->kill_group(b, r->group, SIGCONT);
        }
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct child *ch = r->stages[i].child;

                if (ch->state != CHILD_RUNNING || is_thread(&r->stages[i]) || contain_reaches(&r->stages[i]))
                        continue;
                b->ops->kill_child(b, ch->pidfd->fd, signal);
                b->ops->kill_child(b, ch->pidfd->fd, SIGCONT);
        }
}

void end_signal(struct run *r, int signal)
{
        if (signal == SIGKILL && r->killed_ns == 0)
                r->killed_ns = backend_now_ns(backend_of(r));
        contain_look(r);
        signal_commands(r, signal);
        contain_signal(r, signal);
}

/* ---- grace ---- */

static void grace_over(struct op *op);

static void start_grace(struct run *r)
{
        struct op *op;

        if (r->grace_op)
                return;
        op = op_new(backend_of(r), OP_TIMER, grace_over, r);
        if (!op)
                return;
        op->timer.at_ns = backend_after_ms(backend_of(r), r->opt->grace_ms);
        r->grace_op = op;
        backend_submit(backend_of(r), op);
}

/* After KILL and one more grace, what is still in the kernel sleeps uninterruptibly (a hung NFS, a stranger's lock). It
 * keeps what it names; we go. */
static void abandon_operations(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                ctx_abandon_calls(&r->stages[i]);
                said_abandon(&r->stages[i]);
        }
        for (size_t i = 0; i < r->plan->links_nr; i++)
                if (r->links[i].driven && !r->links[i].ended)
                        link_abandon(&r->links[i].link);
}

static void grace_over(struct op *op)
{
        struct run *r = op->owner;
        bool expired = op_result(op) == 0;

        r->grace_op = NULL;
        op_free(op);
        if (!expired || r->phase >= RUN_CLOSING) {
                run_wake(r);
                return;
        }
        r->kill_step++;
        if (r->kill_step <= 2)
                end_signal(r, r->kill_step == 1 ? SIGTERM : SIGKILL);
        if (!any_child_alive(r) && r->stopping)
                abandon_operations(r);
        start_grace(r);
        run_wake(r);
}

/* ---- is anything left? ---- */

static void settle_again(struct op *op)
{
        struct run *r = op->owner;

        r->settle_op = NULL;
        op_free(op);
        if (r->kill_step >= 2 && r->phase < RUN_CLOSING)
                contain_signal(r, SIGKILL); /* what was forked just before */
        run_wake(r);
}

/* A cgroup and a pidfd say nothing of their own; the guard does, and this only asks once more. */
static void look_again(struct run *r)
{
        struct op *op = r->settle_op ? NULL : op_new(backend_of(r), OP_TIMER, settle_again, r);

        if (!op)
                return;
        op->timer.at_ns = backend_now_ns(backend_of(r)) + SETTLE_MS * UINT64_C(1000000);
        r->settle_op = op;
        backend_submit(backend_of(r), op);
}

/* What the commands left behind is asked to end at once: nobody waits for it any more. */
static void begin_ladder(struct run *r)
{
        if (r->kill_step > 0)
                return;
        r->contain.strays = true;
        r->kill_step = 1;
        contain_signal(r, SIGTERM);
        cancel_op(r, r->grace_op);
        if (!r->grace_op)
                start_grace(r);
}

void end_settle(struct run *r)
{
        bool patient = r->kill_step < 3 || backend_now_ns(backend_of(r)) < r->killed_ns + PATIENCE_MS * UINT64_C(1000000);

        if (contain_is_empty(r) || !patient) {
                r->abandoned += !patient;
                run_begin_closing(r);
                return;
        }
        if (r->contain.asked && r->kill_step == 0 && !r->contain.told) {
                r->contain.told = true; /* give the guard the time to answer that nothing is there */
                look_again(r);
                return;
        }
        begin_ladder(r);
        if (!r->grace_op)
                start_grace(r);
        look_again(r);
}

/* ---- stop ---- */

/* Our end of a command's output outlives the link, when it is to die of a signal. */
static void keep_output(struct run_link *l)
{
        if (l->link.source.child_pipe && l->link.source.slot && !l->kept)
                l->kept = slot_ref(l->link.source.slot);
}

/* A failure closes what it touches and lets the children end by themselves (end of file, SIGPIPE) for the length of
 * the grace; a cancel, a deadline and fail-fast send SIGTERM at once. */
void run_stop(struct run *r)
{
        bool at_once = r->cancelled || r->timed_out || r->failed_fast;

        if (r->stopping || r->phase >= RUN_CLOSING || r->phase == RUN_NEW)
                return;
        r->stopping = true;
        admit_cancel(r);
        if (at_once)
                threads_mark(r);
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                ctx_cancel_calls(&r->stages[i]);
        for (size_t i = 0; i < r->plan->links_nr; i++) {
                struct run_link *l = &r->links[i];

                if (!l->driven || l->ended)
                        continue;
                if (at_once)
                        keep_output(l);
                link_cancel(&l->link, -ECANCELED);
        }
        /* What was made for children that never start would keep their neighbours waiting. */
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (r->stages[i].child->state == CHILD_NONE)
                        child_fini(&r->stages[i]);
                else if (r->stages[i].child->state == CHILD_EXITED)
                        said_finish(&r->stages[i]);
        if (at_once) {
                r->kill_step = 1;
                end_signal(r, SIGTERM);
        }
        start_grace(r);
        run_wake(r);
}

/* ---- deadline, token ---- */

static void deadline_over(struct op *op)
{
        struct run *r = op->owner;
        bool expired = op_result(op) == 0;

        r->deadline_op = NULL;
        op_free(op);
        if (expired && r->phase < RUN_CLOSING) {
                r->timed_out = true;
                run_stop(r);
        }
        run_wake(r);
}

int end_watch_deadline(struct run *r)
{
        struct op *op = op_new(backend_of(r), OP_TIMER, deadline_over, r);

        if (!op)
                return -ENOMEM;
        op->timer.at_ns = backend_after_ms(backend_of(r), r->opt->timeout_ms);
        r->deadline_op = op;
        backend_submit(backend_of(r), op);
        return 0;
}

static void cancel_fired(struct op *op)
{
        struct run *r = op->owner;
        int result = op_result(op);

        r->cancel_op = NULL;
        op_free(op);
        if (result > 0 && r->phase < RUN_CLOSING) {
                r->cancelled = true;
                run_stop(r);
        }
        run_wake(r);
}

/* Polls a duplicate of `fd`, which is kept in *slot. */
static int watch(struct run *r, int fd, struct slot **slot, struct op **ret, op_done_fn *done)
{
        struct backend *b = backend_of(r);

        if (!*slot) {
                fd = b->ops->dup(b, fd);
                if (fd < 0)
                        return fd;
                if (slot_new(slot, b, fd) < 0) {
                        b->ops->close(b, fd);
                        return -ENOMEM;
                }
        }
        *ret = op_new(b, OP_POLL, done, r);
        if (!*ret)
                return -ENOMEM;
        op_pin(*ret, *slot, NULL, NULL);
        (*ret)->poll.events = POLLIN;
        backend_submit(b, *ret);
        return 0;
}

/* The keep-alive: what comes is discarded, its end fires the token. An fd that cannot be read without waiting is read by
 * an operation. */
static void alive_polled(struct op *op);
static void alive_read(struct op *op);

static void alive_ended(struct run *r)
{
        sluice_cancel_fire(r->opt->cancel);
}

static bool read_by_operation(struct run *r)
{
        struct buffer *buffer = buffer_get_own(r->loop->pool);
        struct op *op = buffer ? op_new(backend_of(r), OP_READ, alive_read, r) : NULL;

        if (op) {
                op_pin(op, r->alive_fd, NULL, &buffer->pin);
                op->io.data = buffer->data;
                op->io.bytes = BUFFER_BYTES;
                op->io.offset = -1;
                r->alive_op = op;
                backend_submit(backend_of(r), op);
        }
        buffer_unref(buffer);
        return op;
}

static void alive_on(struct run *r, int64_t n)
{
        if (r->phase >= RUN_CLOSING)
                return;
        if (n == -EOPNOTSUPP && read_by_operation(r))
                return;
        if ((n > 0 || n == -EAGAIN || n == -EINTR) && watch(r, -1, &r->alive_fd, &r->alive_op, alive_polled) == 0)
                return;
        alive_ended(r); /* its end, or an fd that cannot be watched: who cannot be seen to live counts as gone */
}

static void alive_read(struct op *op)
{
        struct run *r = op->owner;
        int n = op_result(op);

        r->alive_op = NULL;
        op_free(op);
        if (n != -ECANCELED)
                alive_on(r, n);
        run_wake(r);
}

static void alive_polled(struct op *op)
{
        struct run *r = op->owner;
        struct backend *b = backend_of(r);
        int result = op_result(op);
        uint8_t discarded[4096];

        r->alive_op = NULL;
        op_free(op);
        if (result != -ECANCELED)
                alive_on(r, result < 0 ? result : b->ops->try_read(b, r->alive_fd, discarded, sizeof(discarded)));
        run_wake(r);
}

int end_watch_cancel(struct run *r)
{
        struct sluice_cancel *token = r->opt->cancel;
        int e = watch(r, cancel_fd(token), &r->cancel_fd, &r->cancel_op, cancel_fired);

        if (e == 0 && cancel_alive_fd(token) >= 0)
                e = watch(r, cancel_alive_fd(token), &r->alive_fd, &r->alive_op, alive_polled);
        return e;
}
