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
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "pool.h"
#include "run.h"

struct admit_wait {
        struct pool_waiter waiter;
        struct post post;
        struct run *run;
};

static void open_stages(struct run *r)
{
        r->admission = ADMISSION_OPEN;
        run_open_stages(r);
}

/* From whoever gave back, on any thread. */
static void granted(struct pool_waiter *w)
{
        struct admit_wait *wait = container_of(w, struct admit_wait, waiter);

        loop_post(wait->run->loop, &wait->post);
}

static void admitted(void *arg)
{
        struct admit_wait *wait = arg;
        struct run *r = wait->run;

        ASSERT(r->admission == ADMISSION_WAITING && r->admit_wait == wait);
        r->admit_wait = NULL;
        free(wait);
        open_stages(r);
        run_wake(r);
}

static void not_admitted(struct run *r, uint64_t bytes, int error)
{
        if (error != -E2BIG) {
                run_fail(r, failure_new(r, FAILURE_ENGINE, -1, -1, error, "admit", "admit: %s", strerror(-error)));
                return;
        }
        run_fail(r, failure_new(r, FAILURE_ENGINE, -1, -1, -E2BIG, "admit",
                                "its buffers may need %" PRIu64 " MiB (%" PRIu64 " of %zu KiB), and the pool's budget is %" PRIu64
                                " MiB",
                                bytes >> 20, r->plan->buffers_nr, r->loop->pool->buffer_bytes >> 10,
                                r->loop->pool->budget_bytes >> 20));
}

/* 0, -EINPROGRESS: it waits, or an error. */
static int reserve_or_wait(struct run *r, uint64_t bytes)
{
        struct admit_wait *wait = malloc(sizeof(*wait));
        int e;

        if (!wait)
                return -ENOMEM;
        *wait = (struct admit_wait){ .waiter = { .granted = granted }, .post = { .fn = admitted, .arg = wait }, .run = r };
        list_init(&wait->waiter.node);
        list_init(&wait->post.node);
        e = pool_reserve(r->loop->pool, bytes, &wait->waiter);
        if (e == -EINPROGRESS)
                r->admit_wait = wait;
        else
                free(wait);
        return e;
}

/* What the parts of a run need is in its own sum: they have no reservation of theirs, for which they would wait while it holds
 * one. */
void admit_begin(struct run *r)
{
        uint64_t bytes = r->outer ? 0 : r->plan->buffers_nr * r->loop->pool->buffer_bytes;
        int e = bytes ? reserve_or_wait(r, bytes) : 0;

        if (e < 0 && e != -EINPROGRESS) {
                not_admitted(r, bytes, e);
                return;
        }
        r->reserved_bytes = bytes;
        if (e == -EINPROGRESS) {
                r->admission = ADMISSION_WAITING;
                return;
        }
        open_stages(r);
}

/* One that has been granted meanwhile is told of it yet. */
void admit_cancel(struct run *r)
{
        if (r->admission != ADMISSION_WAITING || !pool_wait_cancel(r->loop->pool, &r->admit_wait->waiter))
                return;
        free(r->admit_wait);
        r->admit_wait = NULL;
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
