/* engine/admit.c: a run's memory: all that its functions can hold at most is reserved in the loop's pool before anything is opened,
 * so that none of them waits for a buffer in the middle; and given back at the end.
 *
 *      NONE --nothing needed--> OPEN
 *           --there is room--> OPEN
 *           --others hold it--> WAITING --granted, posted to the loop--> OPEN
 *                                       --stopped before--> NONE
 *
 * Runs that wait are served in the order in which they came (reserve.h). Called by run.c and end.c; calls reserve.c. */
#include <errno.h>
#include <inttypes.h>

#include "check.h"
#include "pool.h"
#include "run.h"

static void open_stages(struct run *r)
{
        r->admission = ADMISSION_OPEN;
        run_open_stages(r);
}

/* From whoever gave back, on any thread. */
static void granted(struct pool_waiter *w)
{
        struct run *r = container_of(w, struct run, waiter);

        loop_post(r->loop, &r->admitted);
}

static void admitted(void *arg)
{
        struct run *r = arg;

        ASSERT(r->admission == ADMISSION_WAITING);
        open_stages(r);
        run_wake(r);
}

static void too_much(struct run *r, uint64_t bytes)
{
        run_fail(r, failure_new(r, FAILURE_ENGINE, -1, -1, -E2BIG, "admit",
                                "its buffers may need %" PRIu64 " MiB (%" PRIu64 " of %zu KiB), and the pool's budget is %" PRIu64
                                " MiB",
                                bytes >> 20, r->plan->buffers_nr, r->loop->pool->buffer_bytes >> 10,
                                r->loop->pool->budget_bytes >> 20));
}

/* What the parts of a run need is in its own sum: they have no reservation of theirs, for which they would wait while it holds
 * one. */
void admit_begin(struct run *r)
{
        uint64_t bytes = r->plan->buffers_nr * r->loop->pool->buffer_bytes;
        int e;

        r->waiter = (struct pool_waiter){ .granted = granted };
        list_init(&r->waiter.node);
        r->admitted = (struct post){ .fn = admitted, .arg = r };
        list_init(&r->admitted.node);
        e = bytes && !r->outer ? pool_reserve(r->loop->pool, bytes, &r->waiter) : 0;
        if (e == -EINPROGRESS) {
                r->reserved_bytes = bytes;
                r->admission = ADMISSION_WAITING;
                return;
        }
        if (e < 0) {
                too_much(r, bytes);
                return;
        }
        r->reserved_bytes = r->outer ? 0 : bytes;
        open_stages(r);
}

/* One that has been granted meanwhile is told of it yet. */
void admit_cancel(struct run *r)
{
        if (r->admission != ADMISSION_WAITING || !pool_wait_cancel(r->loop->pool, &r->waiter))
                return;
        r->admission = ADMISSION_NONE;
        r->reserved_bytes = 0;
}

bool admit_is_waiting(const struct run *r)
{
        return r->admission == ADMISSION_WAITING;
}

/* Buffers that abandoned operations still name keep their part. */
void admit_end(struct run *r)
{
        struct run *holder = r->outer ? r->outer : r;

        for (size_t i = 0; i < r->plan->links_nr; i++)
                holder->reserved_bytes -= r->links[i].link.buffers_abandoned * r->loop->pool->buffer_bytes;
        if (r->reserved_bytes)
                pool_unreserve(r->loop->pool, r->reserved_bytes);
        r->reserved_bytes = 0;
}
