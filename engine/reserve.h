/* engine/reserve.h: who may take how much of a pool, so that nobody who has begun waits for memory in the middle.
 *
 *      asks --fits, nobody before it--> HOLDS --pool_unreserve--> gone
 *        \--else--> WAITS (first come, first served) --room--^ granted() is called
 *
 * A run reserves at its admission all that it can hold at most, and takes buffers afterwards: whoever holds a reservation
 * finds its buffers, so what began comes to its end and gives back: no deadlock. Nobody overtakes, so that a large one
 * at the head of the queue is not starved by small ones. Any thread. */
#ifndef SLUICE_ENGINE_RESERVE_H
#define SLUICE_ENGINE_RESERVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "list.h"

struct sluice_pool;
struct buffer;

struct pool_waiter {
        struct list node;
        uint64_t bytes; /* rounded up to whole buffers */
        /* It holds its reservation. From whichever thread gave back, under the pool's lock: may post to a loop, and must
         * not call the pool. */
        void (*granted)(struct pool_waiter *w);
        struct buffer **buffer; /* for whoever wants one buffer: where it goes, NULL without memory */
};

struct reserve {
        pthread_mutex_t lock;
        uint64_t bytes; /* held; the credit of caches included */
        struct list waiters;
        atomic_uint waiting; /* waiters, or one who is about to be: no credit is kept meanwhile */
};

void reserve_init(struct reserve *r);
void reserve_fini(struct reserve *r);
/* 0: it holds them. -E2BIG: more than the whole budget. Else -EINPROGRESS: w->granted() follows, or, with w NULL, -ENOBUFS. */
int pool_reserve(struct sluice_pool *p, uint64_t bytes, struct pool_waiter *w);
/* `bytes` as they were reserved, or part of it in whole buffers. */
void pool_unreserve(struct sluice_pool *p, uint64_t bytes);
/* True: it waited, and is not called any more. False: it was granted (and the call has returned). */
bool pool_wait_cancel(struct sluice_pool *p, struct pool_waiter *w);

#endif
