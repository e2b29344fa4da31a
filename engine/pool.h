/* engine/pool.h: buffers of one size, out of the memory of every node, within a budget.
 *
 *      arena of node 0   arena of node 1          chunks of the kernel's memory, cut into buffers, and those at home
 *          |     \__________ / |
 *       cache     cache     cache                 one per thread: the hot end is lent first, the coldest half goes home
 *
 *  Laws: free + lent + in kernel == total <= budget          each buffer is one of the three
 *        free                    == those in arenas + those in caches
 *        lent + in kernel        == gets - puts, over all caches
 *        reserved                <= budget                   (reserve.c)
 *  pool_check() asserts them, at any time, from any thread.
 *
 *  Locks, taken in this order: reserve.lock, lock, a cache's, an arena's. The way of a buffer in its own thread takes the
 *  thread's cache's alone, which nobody else wants until the pool is dry.
 *
 *  Life: the owner's last reference closes the pool; its memory goes with the last buffer that is out. */
#ifndef SLUICE_ENGINE_POOL_H
#define SLUICE_ENGINE_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sluice/sluice.h>

#include "buffer.h"
#include "list.h"
#include "numa.h"
#include "pages.h"
#include "reserve.h"
#include "spin.h"

enum {
        CACHE_BUFFERS = 64,
        CACHE_BYTES = 4 << 20,
        POOL_DEFAULT_BYTES = 1 << 30,
        BUFFER_BYTES_MIN = 4 << 10,
        BUFFER_BYTES_MAX = 2 << 20,
};

/* What was lent and given back through one cache: under its lock every buffer passes. */
struct tally {
        uint64_t gets, puts;
        uint64_t hits; /* gets answered by the thread's own cache */
        uint64_t frees_local, frees_remote;
};

struct chunk {
        struct list node;
        struct pages pages;
        unsigned buffers_nr;
        struct buffer buffers[];
};

struct arena {
        pthread_mutex_t lock;
        struct list free; /* struct buffer; those put last at its end */
        unsigned free_nr;
        struct list chunks;
        unsigned chunks_nr;
        int node; /* index in the table; -1: no policy */
};

struct pool_cache {
        struct spin lock;
        struct list node;                 /* of the pool's; changed under the pool's lock */
        struct sluice_pool *_Atomic pool; /* NULL: it is gone. Changed under both locks */
        atomic_uint holders;              /* the thread and the pool */
        bool left;                        /* its thread has ended: the next newcomer takes it over */
        uint8_t arena;                    /* where its thread was last */
        unsigned nr, max;
        unsigned credit; /* buffers reserved and not in use: the next own get needs not ask (reserve.c) */
        struct tally tally;
        struct buffer *items[CACHE_BUFFERS]; /* [nr - 1] is the hottest */
};

#define EACH_CACHE(p, c)                                                                                                           \
        for (struct pool_cache *c = container_of((p)->caches.next, struct pool_cache, node); &c->node != &(p)->caches;             \
             c = container_of(c->node.next, struct pool_cache, node))

struct sluice_pool {
        atomic_uint refs;
        size_t buffer_bytes;
        uint64_t budget_bytes;
        int policy;
        const struct numa *machine; /* NULL: ask when it is needed */
        int (*cpu)(void);

        pthread_mutex_t lock;     /* caches, closing, the first growth */
        struct list caches;       /* struct pool_cache of threads */
        struct pool_cache shared; /* for threads that cannot have one: holds nothing */
        bool closing;             /* changed under all locks */
        atomic_uint orphans;      /* buffers out when it was closed, and one while it is being closed */

        atomic_uint arenas_nr; /* 0: nothing was ever asked for */
        struct arena arenas[NUMA_NODES_MAX];
        uint8_t arena_of_cpu[CPU_SETSIZE];
        uint8_t nearest[NUMA_NODES_MAX][NUMA_NODES_MAX]; /* [arena]: all of them, by distance */

        _Atomic uint64_t total_bytes;
        _Atomic uint64_t away, away_peak; /* buffers that left their arenas: lent, or in a cache */
        _Atomic uint64_t kind_bytes[PAGES_KINDS];
        atomic_uint unbound; /* chunks that could not be bound to their node */

        struct reserve reserve;
};

/* For tests: as sluice_pool_new() on that machine, whose threads run where cpu() says. */
int pool_new_on(struct sluice_pool **ret, const struct sluice_pool_options *opt, const struct numa *machine, int (*cpu)(void));
struct sluice_pool *pool_ref(struct sluice_pool *p);
/* 0, -ENOBUFS (all of the budget is out), -ENOMEM. Within a reservation of pool_reserve()'s, or without any. */
int pool_take(struct sluice_pool *p, struct buffer **ret);
/* The cheap part of what is known: for the end of every run. */
struct pool_counts {
        uint64_t total_bytes, lent_peak_bytes, frees_local, frees_remote;
        unsigned unbound;
};
struct pool_counts pool_counts(struct sluice_pool *p);
/* Asserts the laws; waits for every lock. */
void pool_check(struct sluice_pool *p);

/* ---- between pool.c, cache.c, arena.c and reserve.c ---- */

/* The last reference of a buffer is gone. */
void pool_drop(struct pin *pin);
/* A buffer within a reservation that the caller holds; it becomes the buffer's. */
int pool_take_own(struct sluice_pool *p, struct buffer **ret);
/* Nothing moves between the two: every lock is held. */
void pool_lock_all(struct sluice_pool *p);
void pool_unlock_all(struct sluice_pool *p);
/* Over all caches; all locked. */
struct tally pool_sum(const struct sluice_pool *p);

/* cache.c. The calling thread's cache; made, or the shared one when it cannot be. Returned locked, and of this pool. */
struct pool_cache *cache_lock(struct sluice_pool *p);
void cache_init(struct pool_cache *c, struct sluice_pool *p, unsigned max);
/* All of it, or the coldest `nr`, go home. Locked. */
void cache_flush(struct pool_cache *c, struct sluice_pool *p, unsigned nr);
void cache_release(struct pool_cache *c);
/* What all caches hold of reservations, in buffers; they hold none of it any more. */
uint64_t caches_collect_credit(struct sluice_pool *p);

/* arena.c */
void arenas_place(struct sluice_pool *p);
void arenas_fini(struct sluice_pool *p);
/* Where the calling thread is. */
unsigned arena_here(const struct sluice_pool *p);
/* Between an arena and a cache, whose lock the caller holds. NULL: nothing at home. */
struct buffer *arena_pop(struct sluice_pool *p, struct arena *a);
struct buffer *arena_pop_locked(struct sluice_pool *p, struct arena *a);
void arena_push(struct sluice_pool *p, struct buffer *b);
/* Asks the kernel for a chunk. 0, -ENOBUFS (the budget), -ENOMEM. */
int arena_grow(struct sluice_pool *p, struct arena *a);

#endif
