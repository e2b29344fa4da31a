/* engine/link_buffer.c: the one buffer of a link that copies.
 *
 * Next to a function it is part of what the run has reserved, and is there. Between two fds it is not: such a link asks for one,
 * and waits in line where all are out. It holds nothing meanwhile, so nobody waits for it.
 *
 *      link_buffer_take: 0, the link has it
 *                        0, waits_buffer --granted(), posted to the loop--> the link has it and goes on
 *                                        --link_buffer_cancel()--> none
 *
 * Called by link.c; calls reserve.c and pool.c. */
#include <errno.h>

#include "check.h"
#include "link.h"
#include "pool.h"

/* From whoever gave one back, on any thread. */
static void granted(struct pool_waiter *w)
{
        struct link *l = container_of(w, struct link, buffer_waiter);

        loop_post(l->loop, &l->buffer_post);
}

static void arrived(void *arg)
{
        struct link *l = arg;
        struct buffer *b = l->buffer_granted;

        l->waits_buffer = false;
        l->buffer_granted = NULL;
        if (l->state != LINK_MOVING) {
                buffer_unref(b);
                link_end_if_idle(l);
                return;
        }
        l->buffer = b;
        if (b)
                loop_ready(l->loop, l);
        else
                link_fail(l, LINK_SOURCE, -ENOMEM, "buffer");
}

static int wait_in_line(struct link *l)
{
        struct sluice_pool *pool = l->loop->pool;
        int r;

        l->buffer_waiter = (struct pool_waiter){ .granted = granted, .buffer = &l->buffer_granted };
        list_init(&l->buffer_waiter.node);
        l->buffer_post = (struct post){ .fn = arrived, .arg = l };
        list_init(&l->buffer_post.node);
        r = pool_reserve(pool, pool->buffer_bytes, &l->buffer_waiter);
        if (r == 0) {
                r = pool_take_own(pool, &l->buffer);
                if (r < 0)
                        pool_unreserve(pool, pool->buffer_bytes);
                return r;
        }
        l->waits_buffer = r == -EINPROGRESS;
        return l->waits_buffer ? 0 : r;
}

int link_buffer_take(struct link *l)
{
        if (!l->source.slot || !l->sink.slot) {
                l->buffer = buffer_get(l->loop->pool);
                return l->buffer ? 0 : -ENOMEM;
        }
        l->buffer = buffer_get_own(l->loop->pool);
        return l->buffer ? 0 : wait_in_line(l);
}

/* One that has been granted meanwhile arrives yet. */
void link_buffer_cancel(struct link *l)
{
        if (l->waits_buffer && pool_wait_cancel(l->loop->pool, &l->buffer_waiter))
                l->waits_buffer = false;
}

/* It outlives the run, and takes its reservation with it. */
void link_buffer_abandon(struct link *l, const struct op *op)
{
        struct buffer *b = op->mem ? container_of(op->mem, struct buffer, pin) : NULL;

        if (!b || b->own)
                return;
        buffer_own(b);
        l->buffers_abandoned++;
}
