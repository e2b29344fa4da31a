/* engine/link_buffer.c: the one buffer of a link that copies.
 *
 * Next to a function it is part of what the run has reserved, and is there. Between two fds it is not: such a link asks for one,
 * and waits in line where all are out. It holds nothing meanwhile, so nobody waits for it.
 *
 *      link_buffer_take: 0, the link has it
 *                        0, waits_buffer --granted(), posted to the loop--> the link has it and goes on
 *                                        --link_buffer_cancel()--> none
 *
 * Called by link.c, link_step.c and link_lend.c; calls reserve.c and pool.c. */
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "link.h"
#include "pool.h"

struct buffer_wait {
        struct pool_waiter waiter;
        struct post post;
        struct link *link;
        struct buffer *granted;
};

/* From whoever gave one back, on any thread. */
static void granted(struct pool_waiter *w)
{
        struct buffer_wait *wait = container_of(w, struct buffer_wait, waiter);

        loop_post(wait->link->loop, &wait->post);
}

static void arrived(void *arg)
{
        struct buffer_wait *wait = arg;
        struct link *l = wait->link;
        struct buffer *b = wait->granted;

        l->waits_buffer = NULL;
        free(wait);
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

static int reserve_or_wait(struct link *l, struct buffer_wait *wait)
{
        struct sluice_pool *pool = l->loop->pool;
        int r;

        *wait = (struct buffer_wait){ .waiter = { .granted = granted, .buffer = &wait->granted },
                                      .post = { .fn = arrived, .arg = wait },
                                      .link = l };
        list_init(&wait->waiter.node);
        list_init(&wait->post.node);
        r = pool_reserve(pool, pool->buffer_bytes, &wait->waiter);
        if (r == 0) {
                r = pool_take_own(pool, &l->buffer);
                if (r < 0)
                        pool_unreserve(pool, pool->buffer_bytes);
        }
        return r;
}

static int wait_in_line(struct link *l)
{
        struct buffer_wait *wait = malloc(sizeof(*wait));
        int r = wait ? reserve_or_wait(l, wait) : -ENOMEM;

        if (r == -EINPROGRESS) {
                l->waits_buffer = wait;
                return 0;
        }
        free(wait);
        return r;
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
        if (!l->waits_buffer || !pool_wait_cancel(l->loop->pool, &l->waits_buffer->waiter))
                return;
        free(l->waits_buffer);
        l->waits_buffer = NULL;
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
