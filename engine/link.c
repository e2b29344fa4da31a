/* engine/link.c: the state machine of link.h. Called by the loop and by run.c; calls the backend, pipes and buffers.
 *
 * Rules it keeps: only completions move a mover out of BUSY; a short count is a normal edge; readiness is cleared by
 * EAGAIN alone; a ring splice is submitted only when its input is known to be ready and its output to have room, since
 * a worker that waits for another queued worker waits for ever. */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "check.h"

enum {
        STEP_MOVES = 16, /* moves a link may make in one turn before others have theirs */
        STRAIGHT_BYTES = 1 << 20,
        SPURIOUS_MAX = 3,
};

void link_init(struct link *l, struct sluice_loop *loop, const struct link_hooks *hooks, void *owner, int index)
{
        *l = (struct link){ .loop = loop, .hooks = hooks, .owner = owner, .index = index };
        list_init(&l->node);
        l->source.offset = l->sink.offset = -1;
}

uint64_t link_inside(const struct link *l)
{
        return l->counts.taken - l->counts.delivered;
}

static bool busy(const struct link *l)
{
        return l->fill.state == MOVER_BUSY || l->drain.state == MOVER_BUSY;
}

void link_check(const struct link *l)
{
        uint64_t inside = l->buffer_bytes;

        if (busy(l) || l->abandoned) /* what the kernel still moves is not counted */
                return;
        if (l->pipe) {
                ASSERT(l->pipe->bytes >= 0);
                inside += (uint64_t)l->pipe->bytes;
        }
        for (unsigned i = 0; i < l->segments.nr; i++) {
                const struct segment *s = &l->segments.ring[(l->segments.head + i) % SEGMENTS_MAX];

                if (s->kind == SEGMENT_MEM)
                        inside += (uint64_t)s->length;
        }
        ASSERT(l->counts.taken == l->counts.delivered + inside);
}

/* ---- ends ---- */

static void release_vessel(struct link *l)
{
        if (l->pipe)
                pipe_put(&l->loop->pipes, l->pipe);
        buffer_unref(l->buffer);
        l->pipe = NULL;
        l->buffer = NULL;
}

void link_fini(struct link *l)
{
        loop_unready(l);
        release_vessel(l);
        segments_clear(&l->segments);
        l->source.slot = slot_unref(l->source.slot);
        l->sink.slot = slot_unref(l->sink.slot);
}

static bool has_ops(const struct link *l)
{
        return l->fill.op || l->drain.op;
}

/* Bytes taken from a file at its own, shared position and not delivered: whoever reads on must find them. */
static void give_back(struct link *l)
{
        struct backend *b = l->loop->backend;
        uint64_t inside = link_inside(l);

        if (l->source.shared_position && inside > 0 && l->source.slot)
                b->ops->seek(b, l->source.slot->fd, -(int64_t)inside);
}

static void end_if_idle(struct link *l)
{
        if (l->state != LINK_STOPPING || has_ops(l))
                return;
        link_check(l);
        give_back(l);
        l->state = LINK_ENDED;
        link_fini(l);
        l->hooks->ended(l);
}

static void cancel_ops(struct link *l)
{
        struct mover *movers[] = { &l->fill, &l->drain };

        for (int i = 0; i < 2; i++)
                if (movers[i]->op)
                        backend_cancel(l->loop->backend, movers[i]->op);
}

static void stop(struct link *l, int result)
{
        if (l->state != LINK_MOVING)
                return;
        l->state = LINK_STOPPING;
        l->result = result;
        loop_unready(l);
        cancel_ops(l);
        end_if_idle(l);
}

static void fail(struct link *l, enum link_side side, int error, const char *operation)
{
        if (l->state != LINK_MOVING)
                return;
        l->failed_side = side;
        l->operation = operation;
        stop(l, error);
}

void link_cancel(struct link *l, int result)
{
        if (l->state == LINK_IDLE) {
                l->state = LINK_STOPPING;
                l->result = result;
                end_if_idle(l);
        } else if (l->state == LINK_MOVING) {
                l->operation = "cancel";
                stop(l, result);
        } else if (l->state == LINK_STOPPING) {
                cancel_ops(l);
        }
}

static void finish_early(struct link *l)
{
        l->early = true;
        stop(l, 0);
}

void link_poke_sink(struct link *l)
{
        struct backend *b = l->loop->backend;

        if (l->state == LINK_MOVING && l->sink.slot && l->sink.pipe && b->ops->ready(b, l->sink.slot, 0) & POLLERR)
                finish_early(l);
}

/* One that is done already ends by itself in this batch. */
void link_abandon(struct link *l)
{
        struct mover *movers[] = { &l->fill, &l->drain };

        for (int i = 0; i < 2; i++) {
                if (!movers[i]->op || movers[i]->op->state == OP_DONE)
                        continue;
                backend_abandon(l->loop->backend, movers[i]->op);
                movers[i]->op = NULL;
                movers[i]->state = MOVER_IDLE;
                l->abandoned++;
        }
        if (l->abandoned)
                end_if_idle(l);
}

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

/* What a mover is about to do. */
struct move {
        enum op_kind kind;     /* SPLICE, READ, RECV, WRITE or SEND */
        struct slot *in, *out; /* READ and RECV: in; WRITE and SEND: in as well, as op_pin() wants it */
        int64_t offset_in, offset_out;
        void *data;
        uint32_t bytes;
        struct pin *mem;
        bool async;
};

static void fill_completed(struct op *op);
static void drain_completed(struct op *op);
static void poll_completed(struct op *op);

static struct mover *mover_of(struct link *l, bool fill)
{
        return fill ? &l->fill : &l->drain;
}

static bool submit_move(struct link *l, bool fill, const struct move *m)
{
        struct mover *mover = mover_of(l, fill);
        struct op *op = op_new(l->loop->backend, m->kind, fill ? fill_completed : drain_completed, l);

        if (!op) {
                fail(l, fill ? LINK_SOURCE : LINK_SINK, -ENOMEM, operation_of(m->kind));
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

/* Waits for one side. The mover stays ARMED until the poll completes. */
static void arm(struct link *l, bool fill, enum link_side side)
{
        struct mover *mover = mover_of(l, fill);
        struct end *end = side == LINK_SOURCE ? &l->source : &l->sink;
        struct op *op = op_new(l->loop->backend, OP_POLL, poll_completed, l);

        if (!op) {
                fail(l, side, -ENOMEM, "poll");
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

static bool is_ready(struct link *l, enum link_side side)
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
                end_if_idle(l);
                return;
        }
        if (r < 0 && r != -EINTR && r != -ECANCELED) {
                fail(l, LINK_SOURCE, r, "poll");
                return;
        }
        loop_ready(l->loop, l);
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

static void count_move(struct link *l, struct mover *mover, enum op_kind kind, int r)
{
        l->counts.ops[kind]++;
        if (r > 0 && (uint32_t)r < mover->asked)
                l->counts.ops_short++;
        if (r > 0)
                mover->spurious = 0;
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
        if (spliced)
                l->counts.spliced += bytes;
        else
                l->counts.copied += bytes;
        if (l->sink.offset >= 0)
                l->sink.offset += bytes;
        l->vessel_full = false;
}

static void sink_failed(struct link *l, int error, enum op_kind kind)
{
        if (error == -EPIPE && l->sink.child_pipe)
                finish_early(l);
        else
                fail(l, LINK_SINK, error, operation_of(kind));
}

static void straight_result(struct link *l, int r)
{
        if (r > 0) {
                took(l, (uint32_t)r);
                delivered(l, (uint32_t)r, true);
        } else if (r == 0) {
                l->source_end = true;
        } else if (r == -EAGAIN) {
                /* The source is empty or the sink is full, and splice does not say which: ask both. */
                if (!is_ready(l, LINK_SOURCE))
                        arm(l, true, LINK_SOURCE);
                else if (!is_ready(l, LINK_SINK))
                        arm(l, true, LINK_SINK);
                else
                        spurious(l, &l->fill);
        } else if (unsupported(r)) {
                want_copy(l, "splice between the two is refused");
        } else if (side_of_error(l, r) == LINK_SINK) {
                sink_failed(l, r, OP_SPLICE);
        } else {
                fail(l, LINK_SOURCE, r, "splice");
        }
}

static void fill_result(struct link *l, enum op_kind kind, int r, bool residue)
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
                else if (!is_ready(l, LINK_SOURCE))
                        arm(l, true, LINK_SOURCE);
                else
                        spurious(l, &l->fill);
        } else if (kind == OP_SPLICE && unsupported(r)) {
                want_copy(l, "the source cannot be spliced");
        } else {
                fail(l, LINK_SOURCE, r, operation_of(kind));
        }
}

static void drain_result(struct link *l, enum op_kind kind, int r)
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
                if (!is_ready(l, LINK_SINK))
                        arm(l, false, LINK_SINK);
                else
                        spurious(l, &l->drain);
        } else if (r == 0) {
                spurious(l, &l->drain);
                if (l->drain.spurious > SPURIOUS_MAX)
                        fail(l, LINK_SINK, -EIO, operation_of(kind));
        } else if (kind == OP_SPLICE && unsupported(r)) {
                want_copy(l, "the sink cannot be spliced to");
        } else {
                sink_failed(l, r, kind);
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

static void after_completion(struct link *l)
{
        if (l->state == LINK_MOVING)
                loop_ready(l->loop, l);
        else
                end_if_idle(l);
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
                straight_result(l, r);
        else if (look)
                fill_result(l, kind, r, residue);
        after_completion(l);
}

static void drain_completed(struct op *op)
{
        struct link *l = op->owner;
        enum op_kind kind = op->kind;
        int r = op_result(op);
        bool look = completed(l, &l->drain, op, r);

        op_free(op);
        if (look)
                drain_result(l, kind, r);
        after_completion(l);
}

/* ---- steps: each returns whether it got anywhere at once ---- */

static uint32_t at_most(int64_t length, size_t room)
{
        return length >= 0 && (uint64_t)length < room ? (uint32_t)length : (uint32_t)room;
}

static bool foreign(const struct link *l)
{
        return (l->source.foreign || l->sink.foreign) && !loop_exclusive(l->loop);
}

static ssize_t try_move(struct link *l, struct mover *mover, const struct move *m)
{
        struct backend *b = l->loop->backend;
        ssize_t r;

        mover->asked = m->bytes;
        r = b->ops->try_splice(b, m->in, m->offset_in, m->out, m->offset_out, m->bytes, false);
        l->counts.ops_inline++;
        count_move(l, mover, OP_SPLICE, (int)r);
        return r;
}

static bool step_straight(struct link *l, struct segment *s)
{
        struct move m = { .kind = OP_SPLICE,
                          .in = l->source.slot,
                          .out = l->sink.slot,
                          .offset_in = s->offset,
                          .offset_out = l->sink.offset,
                          .bytes = at_most(s->length, STRAIGHT_BYTES) };
        ssize_t r;

        if (l->driver == SLUICE_DRIVER_RING) {
                if (!is_ready(l, LINK_SOURCE))
                        arm(l, true, LINK_SOURCE);
                else if (!is_ready(l, LINK_SINK))
                        arm(l, true, LINK_SINK);
                else
                        submit_move(l, true, &m);
                return false;
        }
        r = try_move(l, &l->fill, &m);
        if (r != -EINTR)
                straight_result(l, (int)r);
        return l->fill.state == MOVER_IDLE;
}

/* Into the pipe. Half of it at a time when the ring drives, so that fill and drain can be in flight together and the
 * fill never waits for the drain. */
static bool step_fill_pipe(struct link *l, struct segment *s)
{
        size_t half = l->pipe->capacity_bytes / 2;
        size_t room = l->driver == SLUICE_DRIVER_RING ? half : l->pipe->capacity_bytes - (size_t)l->pipe->bytes;
        struct move m = { .kind = OP_SPLICE,
                          .in = l->source.slot,
                          .out = l->pipe->write,
                          .offset_in = s->offset,
                          .offset_out = -1,
                          .bytes = at_most(s->length, room) };
        ssize_t r;

        if (l->vessel_full || l->pipe->bytes > (int64_t)half)
                return false;
        if (l->driver == SLUICE_DRIVER_RING) {
                if (!is_ready(l, LINK_SOURCE))
                        arm(l, true, LINK_SOURCE);
                else
                        submit_move(l, true, &m);
                return false;
        }
        r = try_move(l, &l->fill, &m);
        if (r != -EINTR)
                fill_result(l, OP_SPLICE, (int)r, false);
        return l->fill.state == MOVER_IDLE && !l->vessel_full;
}

/* A function may have passed the buffer on (sluice_forward()): it is read by others now. */
static bool own_buffer(struct link *l)
{
        struct buffer *fresh;

        if (l->buffer->pin.refs == 1)
                return true;
        fresh = buffer_get(&l->loop->buffers);
        if (!fresh) {
                fail(l, LINK_SOURCE, -ENOMEM, "buffer");
                return false;
        }
        buffer_unref(l->buffer);
        l->buffer = fresh;
        return true;
}

/* Into the buffer: what a pipe still holds from before comes first, then the source. */
static bool step_fill_buffer(struct link *l, struct segment *s)
{
        bool residue = l->pipe != NULL;
        struct move m = { .kind = !residue && l->source.socket ? OP_RECV : OP_READ,
                          .in = residue ? l->pipe->read : l->source.slot,
                          .offset_in = residue ? -1 : s->offset,
                          .data = l->buffer->data,
                          .bytes = residue ? at_most(l->pipe->bytes, BUFFER_BYTES) : at_most(s->length, BUFFER_BYTES),
                          .mem = &l->buffer->pin,
                          .async = foreign(l) };

        if (l->buffer_bytes > 0 || l->drain.state != MOVER_IDLE || !own_buffer(l))
                return false;
        m.data = l->buffer->data;
        m.mem = &l->buffer->pin;
        l->buffer_at = 0;
        submit_move(l, true, &m);
        return false;
}

static bool step_drain_pipe(struct link *l)
{
        struct move m = {
                .kind = OP_SPLICE, .in = l->pipe->read, .out = l->sink.slot, .offset_in = -1, .offset_out = l->sink.offset
        };
        ssize_t r;

        if (l->pipe->bytes <= 0)
                return false;
        m.bytes = (uint32_t)l->pipe->bytes;
        if (l->driver == SLUICE_DRIVER_RING) {
                if (!is_ready(l, LINK_SINK))
                        arm(l, false, LINK_SINK);
                else
                        submit_move(l, false, &m);
                return false;
        }
        r = try_move(l, &l->drain, &m);
        if (r != -EINTR)
                drain_result(l, OP_SPLICE, (int)r);
        return l->drain.state == MOVER_IDLE;
}

static bool write_memory(struct link *l, struct buffer *b, uint32_t at, uint32_t bytes)
{
        struct move m = { .kind = l->sink.socket ? OP_SEND : OP_WRITE,
                          .in = l->sink.slot,
                          .offset_out = l->sink.offset,
                          .data = b->data + at,
                          .bytes = bytes,
                          .mem = &b->pin,
                          .async = foreign(l) };

        submit_move(l, false, &m);
        return false;
}

static bool step_drain_buffer(struct link *l)
{
        if (l->buffer_bytes == 0 || l->fill.state == MOVER_BUSY)
                return false;
        if (!l->sink.slot)
                return l->hooks->memory(l);
        return write_memory(l, l->buffer, l->buffer_at, l->buffer_bytes);
}

/* Once no move is in the kernel, the link goes on through a buffer; what the pipe holds is read from it first. */
static void switch_to_copy(struct link *l)
{
        /* A wait for the source must not keep back what the pipe already holds. */
        if (has_ops(l)) {
                if (!busy(l))
                        cancel_ops(l);
                return;
        }
        if (l->forbid_copy) {
                fail(l, LINK_SOURCE, -EOPNOTSUPP, "splice");
                return;
        }
        l->buffer = buffer_get(&l->loop->buffers);
        if (!l->buffer) {
                fail(l, LINK_SOURCE, -ENOMEM, "buffer");
                return;
        }
        if (l->pipe && l->pipe->bytes == 0) {
                pipe_put(&l->loop->pipes, l->pipe);
                l->pipe = NULL;
        }
        l->straight = false;
        l->driver = SLUICE_DRIVER_COPY;
        l->fallback = l->copy_why;
        l->copy_why = NULL;
        l->fill.spurious = l->drain.spurious = 0;
}

static bool segment_is_done(const struct link *l, const struct segment *s)
{
        bool empty = (!l->pipe || l->pipe->bytes == 0) && l->buffer_bytes == 0;

        return (s->length == 0 || l->source_end) && empty && !busy(l);
}

static bool move_fd(struct link *l, struct segment *s)
{
        bool progress = false;

        if (segment_is_done(l, s)) {
                if (s->exact && s->length > 0) {
                        fail(l, LINK_SOURCE, -ESTALE, "read");
                        return false;
                }
                segments_pop(&l->segments);
                l->source_end = false;
                return true;
        }
        if (l->copy_why) {
                switch_to_copy(l);
                return l->state == LINK_MOVING && !l->copy_why;
        }
        if (l->buffer && l->pipe && l->pipe->bytes == 0 && !busy(l)) {
                pipe_put(&l->loop->pipes, l->pipe);
                l->pipe = NULL;
        }
        if (l->straight)
                return l->fill.state == MOVER_IDLE && step_straight(l, s);
        if (l->fill.state == MOVER_IDLE && ((l->buffer && l->pipe) || (!l->source_end && s->length != 0)))
                progress |= l->buffer ? step_fill_buffer(l, s) : step_fill_pipe(l, s);
        if (l->state == LINK_MOVING && l->drain.state == MOVER_IDLE && !l->copy_why)
                progress |= l->buffer ? step_drain_buffer(l) : step_drain_pipe(l);
        return progress || l->copy_why;
}

static bool move_memory(struct link *l, struct segment *s)
{
        if (s->length == 0) {
                segments_pop(&l->segments);
                return true;
        }
        if (!l->sink.slot)
                return l->hooks->memory(l);
        if (l->drain.state != MOVER_IDLE)
                return false;
        return write_memory(l, s->buffer, s->at, (uint32_t)s->length);
}

static bool move_once(struct link *l)
{
        struct segment *s = segments_first(&l->segments);

        if (!s)
                return l->hooks->memory(l);
        switch (s->kind) {
        case SEGMENT_FD:
                return move_fd(l, s);
        case SEGMENT_MEM:
                return move_memory(l, s);
        case SEGMENT_BARRIER: /* nobody adds one before acknowledged transfers exist */
                segments_pop(&l->segments);
                return true;
        case SEGMENT_END:
                segments_pop(&l->segments);
                stop(l, 0);
                return false;
        }
        return false;
}

void link_step(struct link *l)
{
        for (unsigned moves = 0; l->state == LINK_MOVING; moves++) {
                if (moves == STEP_MOVES) {
                        loop_ready(l->loop, l);
                        return;
                }
                if (!move_once(l))
                        return;
        }
}

/* ---- start ---- */

static int take_vessel(struct link *l)
{
        int r;

        if (l->driver != SLUICE_DRIVER_COPY) {
                l->straight = l->source.pipe || l->sink.pipe;
                if (l->straight)
                        return 0;
                r = pipe_get(&l->loop->pipes, &l->pipe);
                if (r == 0) {
                        l->pipe_bytes = l->pipe->capacity_bytes;
                        return 0;
                }
                if (r == -ENOMEM || l->forbid_copy)
                        return r;
                l->driver = SLUICE_DRIVER_COPY; /* never wait for a pipe */
                l->fallback = r == -EDQUOT ? "the pipe budget is used up" : "no pipe was to be had";
        }
        l->buffer = buffer_get(&l->loop->buffers);
        return l->buffer ? 0 : -ENOMEM;
}

void link_start(struct link *l)
{
        int r;

        ASSERT(l->state == LINK_IDLE);
        l->state = LINK_MOVING;
        r = l->source.slot ? take_vessel(l) : 0;
        if (r < 0)
                fail(l, LINK_SOURCE, r, "pipe");
        else
                loop_ready(l->loop, l);
}

/* ---- memory ---- */

/* Between two functions the first segment's own memory is what the reader sees. */
static struct segment *handed_over(struct link *l)
{
        struct segment *s = l->source.slot ? NULL : segments_first(&l->segments);

        return s && s->kind == SEGMENT_MEM ? s : NULL;
}

uint32_t link_peek(struct link *l, uint8_t **ret)
{
        struct segment *s = handed_over(l);

        if (!l->source.slot) {
                *ret = s ? s->buffer->data + s->at : NULL;
                return s ? (uint32_t)s->length : 0;
        }
        *ret = l->buffer ? l->buffer->data + l->buffer_at : NULL;
        return l->fill.state == MOVER_BUSY ? 0 : l->buffer_bytes;
}

void link_consume(struct link *l, uint32_t bytes)
{
        struct segment *s = handed_over(l);

        if (s) {
                ASSERT(bytes <= s->length);
                s->length -= bytes;
                s->at += bytes;
                l->counts.delivered += bytes;
        } else {
                ASSERT(bytes <= l->buffer_bytes);
                l->buffer_bytes -= bytes;
                l->buffer_at = l->buffer_bytes ? l->buffer_at + bytes : 0;
                delivered(l, bytes, false);
        }
        if (l->state == LINK_MOVING)
                loop_ready(l->loop, l);
}

struct buffer *link_lend(struct link *l, uint32_t *ret_at)
{
        struct segment *s = handed_over(l);
        struct buffer *b = s ? s->buffer : l->buffer;

        *ret_at = s ? s->at : l->buffer_at;
        pin_ref(&b->pin);
        return b;
}

void link_give_memory(struct link *l, struct buffer *b, uint32_t at, uint32_t bytes)
{
        bool added = segments_add(&l->segments, (struct segment){ .kind = SEGMENT_MEM, .buffer = b, .at = at, .length = bytes });

        ASSERT(added);
        l->counts.taken += bytes;
        loop_ready(l->loop, l);
}

void link_give_end(struct link *l)
{
        bool added = segments_add(&l->segments, (struct segment){ .kind = SEGMENT_END });

        ASSERT(added);
        loop_ready(l->loop, l);
}
