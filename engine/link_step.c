/* engine/link_step.c: what a link does next, in its turn of the loop.
 *
 * A ring splice is submitted only when its input is known to be ready and its output to have room, since a worker that
 * waits for another queued worker waits for ever. Called by the loop; calls link_move.c, pipes and buffers. */
#include <errno.h>
#include <poll.h>

#include "handover.h"
#include "link_move.h"

enum {
        STEP_MOVES = 16, /* moves a link may make in one turn before others have theirs */
        STRAIGHT_BYTES = 1 << 20,
};

/* ---- steps: each returns whether it got anywhere at once ---- */

static bool foreign(const struct link *l)
{
        return (l->source.foreign || l->sink.foreign) && !loop_exclusive(l->loop);
}

static bool step_straight(struct link *l, struct segment *s)
{
        struct move m = { .kind = OP_SPLICE,
                          .in = l->source.slot,
                          .out = l->sink.slot,
                          .offset_in = s->offset,
                          .offset_out = l->sink.offset,
                          .bytes = segment_at_most(s->length, STRAIGHT_BYTES) };
        ssize_t r;

        if (link_by_ring(l, s)) {
                if (!link_is_ready(l, LINK_SOURCE))
                        link_arm(l, true, LINK_SOURCE);
                else if (!link_is_ready(l, LINK_SINK))
                        link_arm(l, true, LINK_SINK);
                else
                        link_submit(l, true, &m);
                return false;
        }
        r = link_try(l, &l->fill, &m);
        if (r != -EINTR)
                link_straight_result(l, (int)r);
        return l->fill.state == MOVER_IDLE;
}

/* A link that waits for its source with nothing inside has no pipe meanwhile: there may be thousands of them. One that must not
 * copy keeps it, since there might be none when the bytes come. */
static void give_pipe_back(struct link *l)
{
        bool waits = l->quiet || l->fill.state == MOVER_ARMED;

        if (!waits || !l->pipe || l->buffer || l->pipe->bytes > 0 || l->forbid_copy || link_busy(l))
                return;
        pipe_put(&l->loop->pipes, l->pipe);
        l->pipe = NULL;
}

/* Into the pipe. Half of it at a time when the ring drives, so that fill and drain can be in flight together and the
 * fill never waits for the drain. */
static bool step_fill_pipe(struct link *l, struct segment *s)
{
        const bool by_ring = link_by_ring(l, s);
        size_t half = l->pipe->capacity_bytes / 2;
        size_t room = by_ring ? half : l->pipe->capacity_bytes - (size_t)l->pipe->bytes;
        struct move m = { .kind = OP_SPLICE,
                          .in = l->source.slot,
                          .out = l->pipe->write,
                          .offset_in = s->offset,
                          .offset_out = -1,
                          .bytes = segment_at_most(s->length, room) };
        ssize_t r;

        if (l->vessel_full || l->pipe->bytes > (int64_t)half)
                return false;
        if (by_ring) {
                if (!link_is_ready(l, LINK_SOURCE))
                        link_arm(l, true, LINK_SOURCE);
                else
                        link_submit(l, true, &m);
                return false;
        }
        r = link_try(l, &l->fill, &m);
        if (r != -EINTR)
                link_fill_result(l, OP_SPLICE, (int)r, false);
        return l->fill.state == MOVER_IDLE && !l->vessel_full;
}

/* A function may have passed the buffer on (sluice_forward()): it is read by others now. */
static bool own_buffer(struct link *l)
{
        struct buffer *fresh;

        if (l->buffer->pin.refs == 1)
                return true;
        fresh = buffer_get(l->loop->pool);
        if (!fresh) {
                link_fail(l, LINK_SOURCE, -ENOMEM, "buffer");
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
                          .bytes = residue ? segment_at_most(l->pipe->bytes, BUFFER_BYTES)
                                           : segment_at_most(s->length, BUFFER_BYTES),
                          .mem = &l->buffer->pin,
                          .async = foreign(l) };

        if (l->buffer_bytes > 0 || l->drain.state != MOVER_IDLE || !own_buffer(l))
                return false;
        m.data = l->buffer->data;
        m.mem = &l->buffer->pin;
        l->buffer_at = 0;
        if (m.async && !residue && !link_is_ready(l, LINK_SOURCE))
                link_arm(l, true, LINK_SOURCE); /* a worker that waits may be the one that its writer needs */
        else
                link_submit(l, true, &m);
        return false;
}

static bool step_drain_pipe(struct link *l)
{
        struct move m = { .kind = OP_SPLICE, .out = l->sink.slot, .offset_in = -1, .offset_out = l->sink.offset };
        ssize_t r;

        if (!l->pipe || l->pipe->bytes <= 0)
                return false;
        m.in = l->pipe->read;
        m.bytes = (uint32_t)l->pipe->bytes;
        if (link_by_ring(l, NULL)) {
                if (!link_is_ready(l, LINK_SINK))
                        link_arm(l, false, LINK_SINK);
                else
                        link_submit(l, false, &m);
                return false;
        }
        r = link_try(l, &l->drain, &m);
        if (r != -EINTR)
                link_drain_result(l, OP_SPLICE, (int)r);
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

        if (m.async && !link_is_ready(l, LINK_SINK))
                link_arm(l, false, LINK_SINK);
        else
                link_submit(l, false, &m);
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
        if (link_has_ops(l)) {
                if (!link_busy(l))
                        link_cancel_ops(l);
                return;
        }
        if (l->forbid_copy) {
                link_fail(l, LINK_SOURCE, -EOPNOTSUPP, "splice");
                return;
        }
        if (link_buffer_take(l) < 0) {
                link_fail(l, LINK_SOURCE, -ENOMEM, "buffer");
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

/* ---- a source that grows ---- */

static void watch_completed(struct op *op)
{
        struct link *l = op->owner;
        int r = op_result(op);

        op_free(op);
        l->watch = NULL;
        if (l->state == LINK_MOVING && r > 0)
                link_sink_failed(l, -EPIPE, OP_POLL);
        else
                link_after_completion(l);
}

/* Nothing will be written for long, so that no write would say that nobody reads any more. */
static void watch_reader(struct link *l)
{
        if (!l->sink.slot || !l->sink.pipe || l->watch)
                return;
        l->watch = op_new(l->loop->backend, OP_POLL, watch_completed, l);
        if (!l->watch)
                return; /* the next write will say it */
        op_pin(l->watch, l->sink.slot, NULL, NULL);
        backend_submit(l->loop->backend, l->watch);
}

static void become_quiet(struct link *l)
{
        if (l->quiet)
                return;
        l->quiet = true;
        give_pipe_back(l);
        l->counts.waits_upstream++;
        watch_reader(l);
}

/* True: there is something to do at once. */
static bool ask_for_more(struct link *l, struct segment *s)
{
        int r = l->hooks->more(l, &s->offset);

        if (r == -EAGAIN) {
                become_quiet(l);
                return false;
        }
        if (r < 0) {
                link_fail(l, LINK_SOURCE, r, "read");
                return false;
        }
        l->quiet = false;
        if (r > 0)
                l->source_end = false;
        else
                l->grows = false;
        return true;
}

static bool take_again(struct link *l)
{
        int r = link_take_vessel(l);

        if (r < 0)
                link_fail(l, LINK_SOURCE, r, "pipe");
        return r == 0;
}

static bool fill_vessel(struct link *l, struct segment *s)
{
        if (l->buffer)
                return step_fill_buffer(l, s);
        return l->pipe ? step_fill_pipe(l, s) : take_again(l);
}

static bool segment_is_done(const struct link *l, const struct segment *s)
{
        bool empty = (!l->pipe || l->pipe->bytes == 0) && l->buffer_bytes == 0;

        return (s->length == 0 || l->source_end) && empty && !link_busy(l);
}

static bool move_fd(struct link *l, struct segment *s)
{
        bool progress = false;

        if (segment_is_done(l, s)) {
                if (l->grows)
                        return ask_for_more(l, s);
                if (s->exact && s->length > 0) {
                        link_fail(l, LINK_SOURCE, -ESTALE, "read");
                        return false;
                }
                segments_pop(&l->segments);
                l->source_end = false;
                return true;
        }
        if (l->copy_why && l->lends)
                return link_lend_refused(l);
        if (l->copy_why) {
                switch_to_copy(l);
                return l->state == LINK_MOVING && !l->copy_why;
        }
        if (l->lends)
                return link_lend_step(l, s);
        if (l->buffer && l->pipe && l->pipe->bytes == 0 && !link_busy(l)) {
                pipe_put(&l->loop->pipes, l->pipe);
                l->pipe = NULL;
        }
        if (l->straight)
                return l->fill.state == MOVER_IDLE && step_straight(l, s);
        if (l->fill.state == MOVER_IDLE && ((l->buffer && l->pipe) || (!l->source_end && s->length != 0)))
                progress |= fill_vessel(l, s);
        if (l->state == LINK_MOVING && l->drain.state == MOVER_IDLE && !l->copy_why)
                progress |= l->buffer ? step_drain_buffer(l) : step_drain_pipe(l);
        if (l->state == LINK_MOVING)
                give_pipe_back(l);
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

        if (l->ring)
                return handover_step(l);
        if (!s)
                return l->hooks->memory(l);
        switch (s->kind) {
        case SEGMENT_FD:
                return move_fd(l, s);
        case SEGMENT_MEM:
                return move_memory(l, s);
        case SEGMENT_BARRIER: /* for an fd: all before it has been written */
                if (!l->sink.slot)
                        return l->hooks->memory(l);
                segments_pop(&l->segments);
                return true;
        case SEGMENT_END:
                segments_pop(&l->segments);
                link_stop(l, 0);
                return false;
        }
        return false;
}

void link_step(struct link *l)
{
        for (unsigned moves = 0; l->state == LINK_MOVING && !l->waits_buffer; moves++) {
                if (moves == STEP_MOVES) {
                        loop_ready(l->loop, l);
                        return;
                }
                if (!move_once(l))
                        return;
        }
}
