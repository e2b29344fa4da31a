/* engine/handover.c: see handover.h. Called by link.c, wire.c, thread.c and run.c; calls ring.c, and the loop to be woken.
 *
 * Every law is the ring's; the link adds when its side is over:
 *
 *      reads:   the ring's end --> the function has it all: the link ends
 *      writes:  the function's end --> the ring's end, and the link ends: the thread reads on without it
 *               the ring is closed --> the thread wants no more: the link ends early */
#include "handover.h"

#include "check.h"
#include "ring.h"

/* Any thread. */
static void wake_loop(void *arg)
{
        struct link *l = arg;

        loop_post(l->loop, &l->ring_post);
}

static void woken(void *arg)
{
        struct link *l = arg;

        if (l->state == LINK_MOVING)
                loop_ready(l->loop, l);
}

int handover_init(struct link *l, unsigned depth, bool from_thread, bool to_thread)
{
        int r = ring_new(&l->ring, depth, RING_BYTES);

        if (r < 0)
                return r;
        l->ring_post = (struct post){ .fn = woken, .arg = l };
        list_init(&l->ring_post.node);
        l->reads_ring = !to_thread;
        l->writes_ring = !from_thread;
        if (l->reads_ring)
                l->ring->reader = (struct ring_side){ .wake = wake_loop, .arg = l };
        if (l->writes_ring)
                l->ring->writer = (struct ring_side){ .wake = wake_loop, .arg = l };
        return 0;
}

void handover_count(struct link *l)
{
        /* In this order: taken is never less than delivered. */
        l->counts.delivered = ring_released_bytes(l->ring);
        l->counts.taken = ring_put_bytes(l->ring);
}

uint64_t handover_inside(const struct link *l)
{
        uint64_t delivered = ring_released_bytes(l->ring);

        return ring_put_bytes(l->ring) - delivered;
}

void handover_fini(struct link *l)
{
        if (!l->ring)
                return;
        ring_check(l->ring);
        handover_count(l);
        loop_unpost(l->loop, &l->ring_post);
        ring_free(l->ring);
        l->ring = NULL;
}

void handover_leave_side(struct link *l, bool reads)
{
        if (reads)
                ring_close(l->ring);
        else
                ring_end(l->ring);
}

void handover_leave(struct link *l)
{
        if (l->reads_ring || l->writes_ring)
                handover_leave_side(l, l->reads_ring);
}

/* ---- the loop's side ---- */

static bool step_reader(struct link *l)
{
        struct ring_lease lease;

        switch (ring_acquire(l->ring, &lease)) {
        case RING_PIECE:
        case RING_FLUSH:
                return l->hooks->memory(l);
        case RING_END:
                link_over(l);
                return false;
        default:
                return !ring_ask_for_bytes(l->ring);
        }
}

static bool step_writer(struct link *l)
{
        if (ring_is_closed(l->ring)) {
                link_enough(l);
                return false;
        }
        if (l->function_ended) {
                link_over(l);
                return false;
        }
        ring_tell_reader(l->ring);
        if (!ring_has_room(l->ring))
                return !ring_ask_for_room(l->ring);
        return l->hooks->memory(l);
}

bool handover_step(struct link *l)
{
        return l->reads_ring ? step_reader(l) : step_writer(l);
}

uint32_t handover_peek(struct link *l, uint8_t **ret)
{
        struct ring_lease lease;

        enum ring_item item = ring_acquire(l->ring, &lease);

        if ((item == RING_NOTHING || item == RING_END) && !ring_reader_sleeps(l->ring) && l->state == LINK_MOVING)
                loop_ready(l->loop, l); /* nobody may have asked to be woken */
        if (item != RING_PIECE)
                return 0;
        *ret = lease.buffer->data + lease.at;
        return lease.bytes;
}

bool handover_flush_is_next(struct link *l)
{
        struct ring_lease lease;

        return ring_acquire(l->ring, &lease) == RING_FLUSH;
}

struct buffer *handover_lend(struct link *l, uint32_t *ret_at)
{
        struct ring_lease lease;
        enum ring_item item = ring_acquire(l->ring, &lease);

        ASSERT(item == RING_PIECE);
        *ret_at = lease.at;
        pin_ref(&lease.buffer->pin);
        return lease.buffer;
}
