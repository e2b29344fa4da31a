/* engine/link_move.c: one move of a link's mover, by whichever driver, and what its result means.
 *
 * Rules it keeps: only completions move a mover out of BUSY; a short count is a normal edge; readiness is cleared by
 * EAGAIN alone. Called by link_step.c and by the backend's completions; calls the backend. */
#include "link_move.h"

#include <errno.h>
#include <poll.h>

enum { SPURIOUS_MAX = 3 };

/* ---- words for failures ---- */

static const char *operation_of(enum op_kind kind)
{
        return op_kind_name(kind);
}

/* A straight splice names two fds and says one error: which side is it? */
static enum link_side side_of_error(const struct link *l, int error)
{
        switch (error) {
        case -EPIPE:
        case -ENOSPC:
        case -EFBIG:
        case -EDQUOT:
                return LINK_SINK;
        case -ECONNRESET:
        case -ETIMEDOUT:
                return l->source.socket ? LINK_SOURCE : LINK_SINK;
        default:
                return l->source.pipe ? LINK_SINK : LINK_SOURCE;
        }
}

static bool unsupported(int error)
{
        /* EPERM: a sandbox that forbids splice. Nothing has moved when one of these is returned (kernel.md 2.3). */
        return error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP || error == -EPERM;
}

/* ---- one move, by whichever driver ---- */

static void fill_completed(struct op *op);
static void drain_completed(struct op *op);
static void poll_completed(struct op *op);

static struct mover *mover_of(struct link *l, bool fill)
{
        return fill ? &l->fill : &l->drain;
}

bool link_submit(struct link *l, bool fill, const struct move *m)
{
        struct mover *mover = mover_of(l, fill);
        struct op *op = op_new(l->loop->backend, m->kind, fill ? fill_completed : drain_completed, l);

        if (!op) {
                link_fail(l, fill ? LINK_SOURCE : LINK_SINK, -ENOMEM, operation_of(m->kind));
                return false;
        }
        op_pin(op, m->in, m->out, m->mem);
        op->force_async = m->async;
        if (m->kind == OP_SPLICE) {
                op->move.offset_in = m->offset_in;
                op->move.offset_out = m->offset_out;
                op->move.bytes = m->bytes;
        } else {
                op->io.data = m->data;
                op->io.bytes = m->bytes;
                op->io.offset = m->kind == OP_READ ? m->offset_in : m->offset_out;
        }
        mover->op = op;
        mover->asked = m->bytes;
        mover->state = MOVER_BUSY;
        l->counts.ops_ring++;
        backend_submit(l->loop->backend, op);
        return true;
}

void link_arm(struct link *l, bool fill, enum link_side side)
{
        struct mover *mover = mover_of(l, fill);
        struct end *end = side == LINK_SOURCE ? &l->source : &l->sink;
        struct op *op = op_new(l->loop->backend, OP_POLL, poll_completed, l);

        if (!op) {
                link_fail(l, side, -ENOMEM, "poll");
                return;
        }
        op_pin(op, end->slot, NULL, NULL);
        op->poll.events = side == LINK_SOURCE ? POLLIN : POLLOUT;
        op->tag = fill;
        mover->op = op;
        mover->state = MOVER_ARMED;
        l->counts.ops[OP_POLL]++;
        if (side == LINK_SOURCE)
                l->counts.waits_upstream++;
        else
                l->counts.waits_downstream++;
        backend_submit(l->loop->backend, op);
}

bool link_is_ready(struct link *l, enum link_side side)
{
        struct end *end = side == LINK_SOURCE ? &l->source : &l->sink;
        unsigned events = side == LINK_SOURCE ? POLLIN : POLLOUT;
        struct backend *b = l->loop->backend;

        if (end->regular)
                return true;
        return b->ops->ready(b, end->slot, events) & (int)(events | POLLHUP | POLLERR);
}

static void poll_completed(struct op *op)
{
        struct link *l = op->owner;
        struct mover *mover = mover_of(l, op->tag);
        int r = op_result(op);

        op_free(op);
        mover->op = NULL;
        mover->state = MOVER_IDLE;
        if (l->state == LINK_STOPPING) {
                link_end_if_idle(l);
                return;
        }
        if (r < 0 && r != -EINTR && r != -ECANCELED) {
                link_fail(l, LINK_SOURCE, r, "poll");
                return;
        }
        loop_ready(l->loop, l);
}

static void count_move(struct link *l, struct mover *mover, enum op_kind kind, int r)
{
        l->counts.ops[kind]++;
        if (r > 0 && (uint32_t)r < mover->asked)
                l->counts.ops_short++;
        if (r > 0)
                mover->spurious = 0;
}

ssize_t link_try(struct link *l, struct mover *mover, const struct move *m)
{
        struct backend *b = l->loop->backend;
        ssize_t r;

        mover->asked = m->bytes;
        r = b->ops->try_splice(b, m->in, m->offset_in, m->out, m->offset_out, m->bytes, false);
        link_count_inline(l, mover, OP_SPLICE, (int)r);
        return r;
}

void link_count_inline(struct link *l, struct mover *mover, enum op_kind kind, int r)
{
        l->counts.ops_inline++;
        count_move(l, mover, kind, r);
}

/* ---- what a result means ---- */

static void want_copy(struct link *l, const char *why)
{
        if (!l->copy_why)
                l->copy_why = why;
}

/* Everything seemed ready and yet nothing moved. Once or twice that is a race; then this fd is not one to splice. */
static void spurious(struct link *l, struct mover *mover)
{
        l->counts.ops_retried++;
        if (++mover->spurious >= SPURIOUS_MAX && !l->buffer)
                want_copy(l, "splice never found both sides ready");
}

static void took(struct link *l, uint32_t bytes)
{
        struct segment *s = segments_first(&l->segments);

        l->counts.taken += bytes;
        if (s->offset >= 0)
                s->offset += bytes;
        if (s->length >= 0)
                s->length -= bytes;
}

static void delivered(struct link *l, uint32_t bytes, bool spliced)
{
        l->counts.delivered += bytes;
        if (l->sink.slot->direct)
                l->counts.uncached += bytes;
        if (spliced)
                l->counts.spliced += bytes;
        else
                l->counts.copied += bytes;
        if (l->sink.offset >= 0)
                l->sink.offset += bytes;
        l->vessel_full = false;
}

/* What does not fill whole blocks: the end of a stream, and what comes in odd pieces. Nothing of it has moved. */
static bool leave_direct(struct link *l, int error)
{
        struct slot *sink = l->sink.slot;

        if (error != -EINVAL || !sink->direct)
                return false;
        sink->direct = false;
        l->counts.ops_retried++;
        return l->loop->backend->ops->set_direct(l->loop->backend, sink->fd, false) == 0;
}

void link_sink_failed(struct link *l, int error, enum op_kind kind)
{
        if (error == -EPIPE && l->sink.child_pipe)
                link_finish_early(l);
        else
                link_fail(l, LINK_SINK, error, operation_of(kind));
}

void link_straight_result(struct link *l, int r)
{
        if (r > 0) {
                took(l, (uint32_t)r);
                delivered(l, (uint32_t)r, true);
        } else if (r == 0) {
                l->source_end = true;
        } else if (r == -EAGAIN) {
                /* The source is empty or the sink is full, and splice does not say which: ask both. */
                if (!link_is_ready(l, LINK_SOURCE))
                        link_arm(l, true, LINK_SOURCE);
                else if (!link_is_ready(l, LINK_SINK))
                        link_arm(l, true, LINK_SINK);
                else
                        spurious(l, &l->fill);
        } else if (leave_direct(l, r)) {
                return; /* the next move goes through the page cache */
        } else if (unsupported(r)) {
                want_copy(l, "splice between the two is refused");
        } else if (side_of_error(l, r) == LINK_SINK) {
                link_sink_failed(l, r, OP_SPLICE);
        } else {
                link_fail(l, LINK_SOURCE, r, "splice");
        }
}

void link_fill_result(struct link *l, enum op_kind kind, int r, bool residue)
{
        if (r > 0) {
                if (residue)
                        l->pipe->bytes -= r; /* was taken long ago; goes from the pipe to the buffer */
                else
                        took(l, (uint32_t)r);
                if (l->buffer)
                        l->buffer_bytes += (uint32_t)r;
                else
                        l->pipe->bytes += r;
        } else if (r == 0) {
                l->source_end = true;
        } else if (r == -EAGAIN) {
                /* Either the source is empty or the pipe is full of slots. A pipe that holds bytes is drained first:
                 * right in the second case, harmless in the first. */
                if (!l->buffer && l->pipe->bytes > 0)
                        l->vessel_full = true;
                else if (!link_is_ready(l, LINK_SOURCE))
                        link_arm(l, true, LINK_SOURCE);
                else
                        spurious(l, &l->fill);
        } else if (kind == OP_SPLICE && unsupported(r)) {
                want_copy(l, "the source cannot be spliced");
        } else {
                link_fail(l, LINK_SOURCE, r, operation_of(kind));
        }
}

void link_drain_result(struct link *l, enum op_kind kind, int r)
{
        if (r > 0) {
                delivered(l, (uint32_t)r, kind == OP_SPLICE);
                if (kind == OP_SPLICE) {
                        l->pipe->bytes -= r;
                } else if (segments_first(&l->segments)->kind == SEGMENT_MEM) {
                        struct segment *s = segments_first(&l->segments);

                        s->length -= r;
                        s->at += (uint32_t)r;
                } else {
                        l->buffer_bytes -= (uint32_t)r;
                        l->buffer_at = l->buffer_bytes ? l->buffer_at + (uint32_t)r : 0;
                }
        } else if (r == -EAGAIN) {
                if (!link_is_ready(l, LINK_SINK))
                        link_arm(l, false, LINK_SINK);
                else
                        spurious(l, &l->drain);
        } else if (r == 0) {
                spurious(l, &l->drain);
                if (l->drain.spurious > SPURIOUS_MAX)
                        link_fail(l, LINK_SINK, -EIO, operation_of(kind));
        } else if (leave_direct(l, r)) {
                return;
        } else if (kind == OP_SPLICE && unsupported(r)) {
                want_copy(l, "the sink cannot be spliced to");
        } else {
                link_sink_failed(l, r, kind);
        }
}

/* Common to both completions. True: the result is to be looked at. */
static bool completed(struct link *l, struct mover *mover, struct op *op, int r)
{
        count_move(l, mover, op->kind, r);
        mover->op = NULL;
        mover->state = MOVER_IDLE;
        if (r == -EINTR || (r == -ECANCELED && l->state == LINK_MOVING)) {
                l->counts.ops_retried++;
                return false;
        }
        /* A move that was cancelled too late has moved its bytes: they count. */
        return l->state == LINK_MOVING || r > 0;
}

void link_after_completion(struct link *l)
{
        if (l->state == LINK_MOVING)
                loop_ready(l->loop, l);
        else
                link_end_if_idle(l);
}

static void fill_completed(struct op *op)
{
        struct link *l = op->owner;
        enum op_kind kind = op->kind;
        bool residue = l->pipe && l->buffer && op->in == l->pipe->read;
        int r = op_result(op);
        bool look = completed(l, &l->fill, op, r);

        op_free(op);
        if (look && l->straight)
                link_straight_result(l, r);
        else if (look)
                link_fill_result(l, kind, r, residue);
        link_after_completion(l);
}

static void drain_completed(struct op *op)
{
        struct link *l = op->owner;
        enum op_kind kind = op->kind;
        int r = op_result(op);
        bool look = completed(l, &l->drain, op, r);

        op_free(op);
        if (look)
                link_drain_result(l, kind, r);
        link_after_completion(l);
}
