/* engine/reserve.c: see reserve.h. Also the queue of those who want one buffer (sluice_pool_wait()).
 *
 * A buffer that is got by itself reserves itself. So that this needs no lock that all threads want, a thread's cache keeps what
 * it gave back as credit for its next get; credit is collected from all of them before anybody is told to wait, and while
 * anybody waits none is kept.
 *
 * Called by pool.c and by runs; calls cache.c. */
#include "reserve.h"

#include <errno.h>

#include "check.h"
#include "pool.h"

void reserve_init(struct reserve *r)
{
        *r = (struct reserve){ 0 };
        pthread_mutex_init(&r->lock, NULL);
        list_init(&r->waiters);
}

void reserve_fini(struct reserve *r)
{
        ASSERT(list_empty(&r->waiters));
        pthread_mutex_destroy(&r->lock);
}

/* SIZE_MAX-proof: what does not fit is larger than any budget. */
static uint64_t whole_buffers(const struct sluice_pool *p, uint64_t bytes)
{
        uint64_t nr = bytes / p->buffer_bytes + (bytes % p->buffer_bytes != 0);

        return nr > p->budget_bytes / p->buffer_bytes ? UINT64_MAX : nr * p->buffer_bytes;
}

static bool fits(const struct sluice_pool *p, uint64_t bytes)
{
        return bytes <= p->budget_bytes - p->reserve.bytes;
}

/* Locked, with `waiting` raised: what a put does under its cache's lock afterwards is told here and not kept there. */
static bool fits_with_credit(struct sluice_pool *p, uint64_t bytes)
{
        uint64_t credit;

        if (fits(p, bytes))
                return true;
        credit = caches_collect_credit(p) * p->buffer_bytes;
        ASSERT(credit <= p->reserve.bytes);
        p->reserve.bytes -= credit;
        return fits(p, bytes);
}

/* `waiting` is raised before credit is collected, and stays so for one who is queued: between the two a put would keep its
 * credit, and nobody would tell him. Locked. */
static int hold_or_queue(struct sluice_pool *p, uint64_t bytes, struct pool_waiter *w)
{
        struct reserve *r = &p->reserve;

        atomic_fetch_add(&r->waiting, 1);
        if (list_empty(&r->waiters) && fits_with_credit(p, bytes)) {
                r->bytes += bytes;
                atomic_fetch_sub(&r->waiting, 1);
                return 0;
        }
        if (!w) {
                atomic_fetch_sub(&r->waiting, 1);
                return -ENOBUFS;
        }
        w->bytes = bytes;
        list_push(&r->waiters, &w->node);
        return -EINPROGRESS;
}

int pool_reserve(struct sluice_pool *p, uint64_t bytes, struct pool_waiter *w)
{
        struct reserve *r = &p->reserve;
        int error = 0;

        bytes = whole_buffers(p, bytes);
        if (bytes == UINT64_MAX)
                return -E2BIG;
        pthread_mutex_lock(&r->lock);
        if (list_empty(&r->waiters) && fits(p, bytes))
                r->bytes += bytes;
        else
                error = hold_or_queue(p, bytes, w);
        pthread_mutex_unlock(&r->lock);
        return error;
}

/* Locked; it is out of the queue and holds its bytes. */
static void grant(struct sluice_pool *p, struct pool_waiter *w)
{
        if (w->buffer && pool_take_own(p, w->buffer) < 0) {
                *w->buffer = NULL;
                p->reserve.bytes -= w->bytes;
        }
        w->granted(w);
}

void pool_unreserve(struct sluice_pool *p, uint64_t bytes)
{
        struct reserve *r = &p->reserve;

        bytes = whole_buffers(p, bytes);
        pthread_mutex_lock(&r->lock);
        ASSERT(bytes <= r->bytes);
        r->bytes -= bytes;
        while (!list_empty(&r->waiters)) {
                struct pool_waiter *w = container_of(r->waiters.next, struct pool_waiter, node);

                if (!fits_with_credit(p, w->bytes))
                        break;
                r->bytes += w->bytes;
                list_unlink(&w->node);
                atomic_fetch_sub(&r->waiting, 1);
                grant(p, w);
        }
        pthread_mutex_unlock(&r->lock);
}

bool pool_wait_cancel(struct sluice_pool *p, struct pool_waiter *w)
{
        struct reserve *r = &p->reserve;
        bool waited;

        pthread_mutex_lock(&r->lock);
        waited = !list_empty(&w->node);
        if (waited) {
                list_unlink(&w->node);
                atomic_fetch_sub(&r->waiting, 1);
        }
        pthread_mutex_unlock(&r->lock);
        if (waited)
                pool_unreserve(p, 0); /* those behind it may fit */
        return waited;
}

/* ---- one buffer ---- */

_Static_assert(sizeof(struct pool_waiter) <= sizeof(((struct sluice_pool_waiter *)0)->inside), "it has room for ours");

static struct pool_waiter *inner(struct sluice_pool_waiter *w)
{
        return (struct pool_waiter *)(void *)w->inside;
}

static void granted(struct pool_waiter *in)
{
        struct sluice_pool_waiter *w = container_of(in, struct sluice_pool_waiter, inside);

        w->granted(w);
}

int sluice_pool_wait(struct sluice_pool *p, struct sluice_pool_waiter *w)
{
        struct pool_waiter *in = inner(w);
        struct buffer *b;
        int r;

        if (w->size != sizeof(*w) || !w->granted)
                return -EINVAL;
        *in = (struct pool_waiter){ .granted = granted, .buffer = (struct buffer **)(void *)&w->buffer };
        list_init(&in->node);
        r = pool_reserve(p, p->buffer_bytes, in);
        if (r == -EINPROGRESS)
                return 0;
        r = pool_take_own(p, &b);
        if (r < 0) {
                pool_unreserve(p, p->buffer_bytes);
                return r;
        }
        w->buffer = (struct sluice_buffer *)(void *)b;
        return 1;
}

int sluice_pool_wait_cancel(struct sluice_pool *p, struct sluice_pool_waiter *w)
{
        return pool_wait_cancel(p, inner(w));
}
