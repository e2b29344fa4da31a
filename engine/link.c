/* engine/link.c: the life of a link (link.h): its beginning, its ends and what it holds. How it moves is link_step.c's. Called by
 * the loop and by run.c; calls the backend, pipes and buffers. */
#include "link_move.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "check.h"
#include "handover.h"
#include "ring.h"

void link_init(struct link *l, struct sluice_loop *loop, const struct link_hooks *hooks, void *owner, int index)
{
        *l = (struct link){ .loop = loop, .hooks = hooks, .owner = owner, .index = index, .queue_depth = MEM_SEGMENTS_MAX };
        list_init(&l->node);
        l->source.offset = l->sink.offset = -1;
}

enum sluice_driver link_driver(const struct link *l)
{
        if (l->lends)
                return l->chooser.now;
        if (l->driver != SLUICE_DRIVER_AUTO)
                return l->driver;
        return l->cold ? SLUICE_DRIVER_RING : SLUICE_DRIVER_INLINE;
}

unsigned link_driver_changes(const struct link *l)
{
        return l->chooser.changes + l->cache_changes;
}

uint64_t link_inside(const struct link *l)
{
        return l->ring ? handover_inside(l) : l->counts.taken - l->counts.delivered;
}

bool link_busy(const struct link *l)
{
        return l->fill.state == MOVER_BUSY || l->drain.state == MOVER_BUSY;
}

void link_check(const struct link *l)
{
        uint64_t inside = l->buffer_bytes;

        if (l->ring) /* its laws are its own, and its other side is a thread that is not waited for here */
                return;
        if (link_busy(l) || l->abandoned) /* what the kernel still moves is not counted */
                return;
        if (l->pipe) {
                ASSERT(l->pipe->bytes >= 0);
                inside += (uint64_t)l->pipe->bytes;
        }
        for (unsigned i = 0; i < l->segments.nr; i++) {
                const struct segment *s = segments_at(&l->segments, i);

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
        if (l->ring)
                handover_leave(l);
        release_vessel(l);
        segments_fini(&l->segments);
        l->source.slot = slot_unref(l->source.slot);
        l->sink.slot = slot_unref(l->sink.slot);
}

bool link_has_ops(const struct link *l)
{
        return l->fill.op || l->drain.op || l->watch || l->waits_buffer;
}

/* Bytes taken from a file at its own, shared position and not delivered: whoever reads on must find them. */
static void give_back(struct link *l)
{
        struct backend *b = l->loop->backend;
        uint64_t inside = link_inside(l);

        if (l->source.shared_position && inside > 0 && l->source.slot)
                b->ops->seek(b, l->source.slot->fd, -(int64_t)inside);
}

void link_end_if_idle(struct link *l)
{
        if (l->state != LINK_STOPPING || link_has_ops(l))
                return;
        link_check(l);
        give_back(l);
        l->state = LINK_ENDED;
        link_fini(l);
        l->hooks->ended(l);
}

void link_cancel_ops(struct link *l)
{
        struct mover *movers[] = { &l->fill, &l->drain };

        for (int i = 0; i < 2; i++)
                if (movers[i]->op)
                        backend_cancel(l->loop->backend, movers[i]->op);
        if (l->watch)
                backend_cancel(l->loop->backend, l->watch);
        link_buffer_cancel(l);
}

void link_stop(struct link *l, int result)
{
        if (l->state != LINK_MOVING)
                return;
        l->state = LINK_STOPPING;
        l->result = result;
        loop_unready(l);
        link_cancel_ops(l);
        link_end_if_idle(l);
}

void link_fail(struct link *l, enum link_side side, int error, const char *operation)
{
        if (l->state != LINK_MOVING)
                return;
        l->failed_side = side;
        l->operation = operation;
        link_stop(l, error);
}

void link_cancel(struct link *l, int result)
{
        if (l->state == LINK_IDLE) {
                l->state = LINK_STOPPING;
                l->result = result;
                link_end_if_idle(l);
        } else if (l->state == LINK_MOVING) {
                l->operation = "cancel";
                link_stop(l, result);
        } else if (l->state == LINK_STOPPING) {
                link_cancel_ops(l);
        }
}

void link_finish_early(struct link *l)
{
        l->early = true;
        link_stop(l, 0);
}

void link_over(struct link *l)
{
        link_stop(l, 0);
}

void link_enough(struct link *l)
{
        if (l->state == LINK_MOVING)
                link_finish_early(l);
}

void link_poke_sink(struct link *l)
{
        struct backend *b = l->loop->backend;

        if (l->state == LINK_MOVING && l->ring && ring_is_closed(l->ring))
                link_finish_early(l);
        if (l->state == LINK_MOVING && l->sink.slot && l->sink.pipe && b->ops->ready(b, l->sink.slot, 0) & POLLERR)
                link_finish_early(l);
}

/* One that is done already ends by itself in this batch. */
void link_abandon(struct link *l)
{
        struct mover *movers[] = { &l->fill, &l->drain };

        for (int i = 0; i < 2; i++) {
                if (!movers[i]->op || movers[i]->op->state == OP_DONE)
                        continue;
                link_buffer_abandon(l, movers[i]->op);
                backend_abandon(l->loop->backend, movers[i]->op);
                movers[i]->op = NULL;
                movers[i]->state = MOVER_IDLE;
                l->abandoned++;
        }
        if (l->watch && l->watch->state != OP_DONE) {
                backend_abandon(l->loop->backend, l->watch);
                l->watch = NULL;
                l->abandoned++;
        }
        if (l->abandoned)
                link_end_if_idle(l);
}

/* ---- start ---- */

int link_take_vessel(struct link *l)
{
        int r;

        if (l->driver != SLUICE_DRIVER_COPY) {
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
        return link_buffer_take(l);
}

/* A pipe is taken when there is something to fill it with (link_step.c). Not by a link that must not copy: it has one now, or
 * fails before anything was moved. */
static int begin(struct link *l)
{
        const bool copies = l->driver == SLUICE_DRIVER_COPY;

        if (link_lends(l)) {
                link_lend_init(l);
                return 0;
        }
        l->straight = !copies && (l->source.pipe || l->sink.pipe);
        return !l->straight && (copies || l->forbid_copy) ? link_take_vessel(l) : 0;
}

void link_start(struct link *l)
{
        int r;

        ASSERT(l->state == LINK_IDLE);
        l->state = LINK_MOVING;
        r = l->source.slot ? begin(l) : 0;
        if (r < 0)
                link_fail(l, LINK_SOURCE, r, "pipe");
        else
                loop_ready(l->loop, l);
}
