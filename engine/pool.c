/* engine/pool.c: see pool.h: life, lending and taking back.
 *
 *      get:  the thread's cache -> its arena's free list -> a new chunk there -> the other arenas, nearest first
 *            -> what lies in other threads' caches -> -ENOBUFS
 *      put:  the thread's cache, when the buffer is at home where the thread is; else home
 *
 * So a get is refused only when every buffer of the budget is out. Called by buffer.c, reserve.c and hosts; calls cache.c,
 * arena.c and reserve.c. */
#include "pool.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "poison.h"

enum { BATCH_BYTES = 64 << 10 }; /* fetched from home at once; at least a buffer */

/* ---- life ---- */

static int check_options(const struct sluice_pool_options *o, struct sluice_pool *p)
{
        if (o && o->size != sizeof(*o))
                return -EINVAL;
        p->buffer_bytes = o && o->buffer_bytes ? o->buffer_bytes : BUFFER_BYTES;
        p->budget_bytes = o && o->budget_bytes ? o->budget_bytes : POOL_DEFAULT_BYTES;
        p->policy = o ? o->numa : NUMA_AUTO;
        if (p->buffer_bytes < BUFFER_BYTES_MIN || p->buffer_bytes > BUFFER_BYTES_MAX || p->buffer_bytes & (p->buffer_bytes - 1))
                return -EINVAL;
        return p->budget_bytes < p->buffer_bytes || p->policy < NUMA_OFF ? -EINVAL : 0;
}

int pool_new_on(struct sluice_pool **ret, const struct sluice_pool_options *opt, const struct numa *machine, int (*cpu)(void))
{
        struct sluice_pool *p = calloc(1, sizeof(*p));
        struct numa_place place;
        int r = p ? check_options(opt, p) : -ENOMEM;

        if (r == 0 && p->policy > 0) {
                machine = machine ? machine : numa_machine();
                r = numa_place(machine, p->policy, -1, &place);
        }
        if (r < 0) {
                free(p);
                return r;
        }
        p->machine = machine;
        p->cpu = cpu;
        atomic_init(&p->refs, 1);
        pthread_mutex_init(&p->lock, NULL);
        list_init(&p->caches);
        cache_init(&p->shared, p, 0);
        reserve_init(&p->reserve);
        *ret = p;
        return 0;
}

int sluice_pool_new(struct sluice_pool **ret, const struct sluice_pool_options *opt)
{
        return pool_new_on(ret, opt, NULL, sched_getcpu);
}

struct sluice_pool *pool_ref(struct sluice_pool *p)
{
        atomic_fetch_add(&p->refs, 1);
        return p;
}

/* False: the pool is being closed. */
static bool try_ref(struct sluice_pool *p)
{
        unsigned refs = atomic_load(&p->refs);

        while (refs && !atomic_compare_exchange_weak(&p->refs, &refs, refs + 1))
                continue;
        return refs;
}

void pool_lock_all(struct sluice_pool *p)
{
        pthread_mutex_lock(&p->lock);
        EACH_CACHE (p, c)
                spin_lock(&c->lock);
        spin_lock(&p->shared.lock);
        for (unsigned i = 0; i < p->arenas_nr; i++)
                pthread_mutex_lock(&p->arenas[i].lock);
}

void pool_unlock_all(struct sluice_pool *p)
{
        for (unsigned i = p->arenas_nr; i-- > 0;)
                pthread_mutex_unlock(&p->arenas[i].lock);
        spin_unlock(&p->shared.lock);
        EACH_CACHE (p, c)
                spin_unlock(&c->lock);
        pthread_mutex_unlock(&p->lock);
}

struct tally pool_sum(const struct sluice_pool *p)
{
        struct tally sum = p->shared.tally;

        EACH_CACHE (p, c) {
                sum.gets += c->tally.gets;
                sum.puts += c->tally.puts;
                sum.hits += c->tally.hits;
                sum.frees_local += c->tally.frees_local;
                sum.frees_remote += c->tally.frees_remote;
        }
        return sum;
}

static void destroy(struct sluice_pool *p)
{
        arenas_fini(p);
        reserve_fini(&p->reserve);
        pthread_mutex_destroy(&p->lock);
        free(p);
}

static void orphan_gone(struct sluice_pool *p)
{
        if (atomic_fetch_sub(&p->orphans, 1) == 1)
                destroy(p);
}

/* Caches forget what they hold: it lies in the chunks, which go whole. What is out comes back through the shared one. */
static void close_pool(struct sluice_pool *p)
{
        struct list gone, *node;
        struct tally sum;

        list_init(&gone);
        pool_lock_all(p);
        sum = pool_sum(p);
        p->closing = true;
        atomic_store(&p->orphans, (unsigned)(sum.gets - sum.puts) + 1);
        EACH_CACHE (p, c) {
                c->nr = 0;
                atomic_store_explicit(&c->pool, NULL, memory_order_relaxed);
        }
        pool_unlock_all(p);
        list_splice(&gone, &p->caches); /* nobody joins any more */
        while ((node = list_pop(&gone)))
                cache_release(container_of(node, struct pool_cache, node));
        orphan_gone(p);
}

void sluice_pool_unref(struct sluice_pool *p)
{
        if (p && atomic_fetch_sub(&p->refs, 1) == 1)
                close_pool(p);
}

/* ---- lending ---- */

/* The thread may have been moved to another node since: what it holds is not near any more. Cache locked. */
static void settle(struct sluice_pool *p, struct pool_cache *c, unsigned here)
{
        if (c->arena == here)
                return;
        cache_flush(c, p, c->nr);
        c->arena = (uint8_t)here;
}

/* Out of its list, under the lock of the cache it passes through. */
static struct buffer *lend(struct pool_cache *c, struct buffer *b)
{
        if (!b)
                return NULL;
        ASSERT(b->free);
        b->free = false;
        c->tally.gets++;
        return b;
}

static struct buffer *from_cache(struct pool_cache *c)
{
        if (c->nr == 0)
                return NULL;
        c->tally.hits++;
        return lend(c, c->items[--c->nr]);
}

/* A few at once, where they are small. */
static struct buffer *from_home(struct sluice_pool *p, struct pool_cache *c, struct arena *a)
{
        struct buffer *first = arena_pop(p, a), *more;

        for (size_t bytes = p->buffer_bytes; first && bytes < BATCH_BYTES && c->nr < c->max; bytes += p->buffer_bytes) {
                more = arena_pop(p, a);
                if (!more)
                        break;
                c->items[c->nr++] = more;
        }
        return lend(c, first);
}

/* Others may take what grows here: until it is ours, or the arena cannot grow. */
static int from_arena(struct sluice_pool *p, struct arena *a, struct buffer **ret)
{
        int r = 0;

        while (r == 0) {
                struct pool_cache *c = cache_lock(p);

                *ret = lend(c, arena_pop(p, a));
                spin_unlock(&c->lock);
                if (*ret)
                        return 0;
                r = arena_grow(p, a);
        }
        return r;
}

/* The last resort: what other threads keep for themselves. With all locked, what is not found is not there. */
static struct buffer *from_anywhere(struct sluice_pool *p)
{
        struct buffer *b = NULL;

        pool_lock_all(p);
        EACH_CACHE (p, c) {
                if (!b && c->nr)
                        b = lend(c, c->items[--c->nr]);
        }
        for (unsigned i = 0; i < p->arenas_nr && !b; i++)
                b = lend(&p->shared, arena_pop_locked(p, &p->arenas[i]));
        pool_unlock_all(p);
        return b;
}

static int take_slowly(struct sluice_pool *p, struct buffer **ret)
{
        unsigned here;
        int r = 0, error = -ENOBUFS;

        pthread_mutex_lock(&p->lock);
        if (p->arenas_nr == 0)
                arenas_place(p);
        pthread_mutex_unlock(&p->lock);
        here = arena_here(p);
        *ret = NULL;
        for (unsigned i = 0; i < p->arenas_nr && !*ret; i++) {
                r = from_arena(p, &p->arenas[p->nearest[here][i]], ret);
                if (r == -ENOMEM)
                        error = r;
        }
        if (!*ret)
                *ret = from_anywhere(p);
        return *ret ? 0 : error;
}

/* Nobody else knows it. */
static struct buffer *made_ready(struct sluice_pool *p, struct buffer *b, bool own)
{
        unpoison(b->data, p->buffer_bytes);
        b->own = own;
        atomic_store_explicit(&b->pin.refs, 1, memory_order_relaxed);
        return b;
}

/* With `credit`, a buffer's reservation is looked for in the cache first. *credit: whether it was there. */
static struct buffer *take_fast(struct sluice_pool *p, bool *credit)
{
        struct pool_cache *c = cache_lock(p);
        unsigned here = arena_here(p);
        struct buffer *b = NULL;

        settle(p, c, here);
        if (credit) {
                *credit = c->credit > 0; /* while anybody waits there is none */
                c->credit -= *credit;
        }
        if (!credit || *credit) {
                b = from_cache(c);
                if (!b && p->arenas_nr)
                        b = from_home(p, c, &p->arenas[here]);
        }
        spin_unlock(&c->lock);
        return b;
}

static int take(struct sluice_pool *p, bool own, struct buffer **ret)
{
        struct buffer *b = take_fast(p, NULL);
        int r = b ? 0 : take_slowly(p, &b);

        if (r == 0)
                *ret = made_ready(p, b, own);
        return r;
}

int pool_take(struct sluice_pool *p, struct buffer **ret)
{
        return take(p, false, ret);
}

int pool_take_own(struct sluice_pool *p, struct buffer **ret)
{
        return take(p, true, ret);
}

int sluice_pool_get(struct sluice_pool *p, struct sluice_buffer **ret)
{
        bool credit;
        struct buffer *b = take_fast(p, &credit);
        int r = 0;

        if (!b) {
                r = credit ? 0 : pool_reserve(p, p->buffer_bytes, NULL);
                if (r < 0)
                        return r;
                r = take(p, true, &b);
                if (r < 0)
                        pool_unreserve(p, p->buffer_bytes);
        } else {
                made_ready(p, b, true);
        }
        if (r == 0)
                *ret = (struct sluice_buffer *)(void *)b;
        return r;
}

/* ---- taking back ---- */

static void give_back(struct sluice_pool *p, struct pool_cache *c, struct buffer *b)
{
        unsigned here = arena_here(p);
        bool local = b->arena == here;

        settle(p, c, here);
        ASSERT(!b->free);
        b->free = true;
        c->tally.puts++;
        c->tally.frees_local += local;
        c->tally.frees_remote += !local;
        if (!local || c->max == 0) {
                arena_push(p, b);
                return;
        }
        if (c->nr == c->max)
                cache_flush(c, p, (c->max + 1) / 2);
        c->items[c->nr++] = b;
}

/* Its reservation is kept as credit, or must be told to those who wait: true. Cache locked. */
static bool keeps_no_credit(struct sluice_pool *p, struct pool_cache *c, struct buffer *b)
{
        if (!b->own)
                return false;
        b->own = false;
        if (c->credit < c->max && atomic_load_explicit(&p->reserve.waiting, memory_order_relaxed) == 0) {
                c->credit++;
                return false;
        }
        return try_ref(p); /* it may be closed as soon as this buffer is back */
}

void pool_drop(struct pin *pin)
{
        struct buffer *b = container_of(pin, struct buffer, pin);
        struct sluice_pool *p = b->pool;
        struct pool_cache *c;
        bool closing, tell;

        ASSERT(atomic_load_explicit(&pin->in_kernel, memory_order_relaxed) == 0);
        poison(b->data, p->buffer_bytes);
        c = cache_lock(p);
        tell = keeps_no_credit(p, c, b);
        give_back(p, c, b);
        closing = p->closing;
        spin_unlock(&c->lock);
        if (closing)
                orphan_gone(p);
        if (!tell)
                return;
        pool_unreserve(p, p->buffer_bytes);
        sluice_pool_unref(p);
}

static struct buffer *of(struct sluice_buffer *b)
{
        return (struct buffer *)(void *)b;
}

struct sluice_buffer *sluice_buffer_ref(struct sluice_buffer *b)
{
        pin_ref(&of(b)->pin);
        return b;
}

void sluice_buffer_put(struct sluice_buffer *b)
{
        buffer_unref(of(b));
}

void *sluice_buffer_data(struct sluice_buffer *b)
{
        return of(b)->data;
}

size_t sluice_buffer_bytes(const struct sluice_buffer *b)
{
        return ((const struct buffer *)(const void *)b)->pool->buffer_bytes;
}
