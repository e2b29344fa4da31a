/* engine/link_lend.c: a link between two sockets. It holds a pipe or a buffer only while bytes are inside, so that ten thousand
 * idle connections hold none, and by which of them it moves is chosen as it goes (chooser.h).
 *
 *      EMPTY --take--> HELD --fill--> HELD, bytes inside --drain--> HELD, nothing inside --put--> EMPTY
 *                        \--EAGAIN, end--> put                \--EAGAIN--> wait for the sink
 *
 * Everything is a call that does not wait, on the loop's thread: a recv() and a send() from a buffer that is still in the
 * cache cost less than two operations of the ring. A recv() that gave less than it was asked for has emptied the socket: the
 * next thing to do is to wait. Called by link.c and link_step.c; calls link_move.c, pipes, buffers and the backend. */
#include <errno.h>

#include "link_move.h"

bool link_lends(const struct link *l)
{
        return l->source.socket && l->sink.socket && l->driver != SLUICE_DRIVER_RING;
}

void link_lend_init(struct link *l)
{
        chooser_init(&l->chooser, l->driver, l->prefer);
        l->lends = true;
}

static bool empty(const struct link *l)
{
        return l->buffer_bytes == 0 && (!l->pipe || l->pipe->bytes == 0);
}

/* ---- the vessel ---- */

static void put(struct link *l)
{
        if (l->pipe)
                pipe_put(&l->loop->pipes, l->pipe);
        buffer_unref(l->buffer);
        l->pipe = NULL;
        l->buffer = NULL;
        l->buffer_at = 0;
}

static int take_pipe(struct link *l)
{
        int r = pipe_get(&l->loop->pipes, &l->pipe);

        if (r == 0)
                l->pipe_bytes = l->pipe->capacity_bytes;
        return r;
}

/* False: it has failed, or waits in line for a buffer. */
static bool take(struct link *l)
{
        int r = 0;

        if (l->pipe || l->buffer)
                return true;
        if (l->chooser.now == SLUICE_DRIVER_INLINE) {
                r = take_pipe(l);
                if (r == 0)
                        return true;
                if (l->forbid_copy) {
                        link_fail(l, LINK_SOURCE, r, "pipe");
                        return false;
                }
                chooser_refused(&l->chooser); /* never wait for a pipe */
                l->fallback = r == -EDQUOT ? "the pipe budget is used up" : "no pipe was to be had";
        }
        r = link_buffer_take(l);
        if (r < 0)
                link_fail(l, LINK_SOURCE, r, "buffer");
        return r == 0 && !l->waits_buffer;
}

/* ---- moves: each returns whether it got anywhere ---- */

static bool fill_pipe(struct link *l, struct segment *s)
{
        struct move m = { .kind = OP_SPLICE,
                          .in = l->source.slot,
                          .out = l->pipe->write,
                          .offset_in = -1,
                          .offset_out = -1,
                          .bytes = segment_at_most(s->length, l->pipe->capacity_bytes) };
        ssize_t r = link_try(l, &l->fill, &m);

        if (r == -EAGAIN) {
                put(l);
                link_arm(l, true, LINK_SOURCE);
                return false;
        }
        if (r != -EINTR)
                link_fill_result(l, OP_SPLICE, (int)r, false);
        return true;
}

static bool fill_buffer(struct link *l, struct segment *s)
{
        ssize_t r;

        l->fill.asked = segment_at_most(s->length, BUFFER_BYTES);
        r = l->loop->backend->ops->try_read(l->loop->backend, l->source.slot, l->buffer->data, l->fill.asked);
        link_count_inline(l, &l->fill, OP_RECV, (int)r);
        if (r == -EAGAIN) {
                put(l);
                link_arm(l, true, LINK_SOURCE);
                return false;
        }
        if (r != -EINTR)
                link_fill_result(l, OP_RECV, (int)r, false);
        l->emptied = r > 0 && (uint32_t)r < l->fill.asked;
        return true;
}

static bool fill(struct link *l, struct segment *s)
{
        uint64_t before = l->counts.taken;
        bool progress;

        if (l->emptied) {
                l->emptied = false;
                put(l);
                link_arm(l, true, LINK_SOURCE);
                return false;
        }
        if (!take(l))
                return false;
        progress = l->pipe ? fill_pipe(l, s) : fill_buffer(l, s);
        if (l->counts.taken > before)
                chooser_saw(&l->chooser, (uint32_t)(l->counts.taken - before));
        return progress;
}

static bool drain_pipe(struct link *l)
{
        struct move m = { .kind = OP_SPLICE,
                          .in = l->pipe->read,
                          .out = l->sink.slot,
                          .offset_in = -1,
                          .offset_out = -1,
                          .bytes = (uint32_t)l->pipe->bytes };
        ssize_t r = link_try(l, &l->drain, &m);

        if (r == -EAGAIN)
                link_arm(l, false, LINK_SINK);
        else if (r != -EINTR)
                link_drain_result(l, OP_SPLICE, (int)r);
        return r != -EAGAIN;
}

static bool drain_buffer(struct link *l)
{
        ssize_t r;

        l->drain.asked = l->buffer_bytes;
        r = l->loop->backend->ops->try_write(l->loop->backend, l->sink.slot, l->buffer->data + l->buffer_at, l->buffer_bytes);
        link_count_inline(l, &l->drain, OP_SEND, (int)r);
        if (r == -EAGAIN)
                link_arm(l, false, LINK_SINK);
        else if (r != -EINTR)
                link_drain_result(l, OP_SEND, (int)r);
        return r != -EAGAIN;
}

/* What a pipe holds that cannot be spliced out goes on through a buffer. */
static bool read_residue(struct link *l)
{
        ssize_t r;

        if (!l->buffer) {
                r = link_buffer_take(l);
                if (r < 0)
                        link_fail(l, LINK_SOURCE, (int)r, "buffer");
                if (r < 0 || l->waits_buffer)
                        return false;
        }
        l->fill.asked = segment_at_most(l->pipe->bytes, BUFFER_BYTES);
        r = l->loop->backend->ops->try_read(l->loop->backend, l->pipe->read, l->buffer->data, l->fill.asked);
        link_count_inline(l, &l->fill, OP_READ, (int)r);
        if (r == -EINTR)
                return true;
        if (r <= 0) {
                link_fail(l, LINK_SOURCE, r < 0 ? (int)r : -EIO, "read");
                return false;
        }
        link_fill_result(l, OP_READ, (int)r, true);
        if (l->pipe->bytes > 0)
                return true;
        pipe_put(&l->loop->pipes, l->pipe);
        l->pipe = NULL;
        return true;
}

static bool drain(struct link *l)
{
        if (l->buffer_bytes > 0)
                return drain_buffer(l);
        return l->chooser.now == SLUICE_DRIVER_COPY && l->chooser.fixed ? read_residue(l) : drain_pipe(l);
}

bool link_lend_refused(struct link *l)
{
        if (l->forbid_copy) {
                link_fail(l, LINK_SOURCE, -EOPNOTSUPP, "splice");
                return false;
        }
        chooser_refused(&l->chooser);
        l->fallback = l->copy_why;
        l->copy_why = NULL;
        return true;
}

bool link_lend_step(struct link *l, struct segment *s)
{
        if (!empty(l))
                return l->drain.state == MOVER_IDLE && drain(l);
        /* What was found to be better is begun with an empty link. */
        if (l->pipe ? l->chooser.now != SLUICE_DRIVER_INLINE : l->buffer && l->chooser.now != SLUICE_DRIVER_COPY)
                put(l);
        return l->fill.state == MOVER_IDLE && fill(l, s);
}
