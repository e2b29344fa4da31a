/* engine/cache.c: the few buffers that a thread gave back last, at hand for its next get.
 *
 *      thread ----slot----> cache <----list---- pool           two holders: whoever lets go last frees it
 *
 *  A thread that ends sends its buffers home and marks the cache `left`: the next thread that comes takes it over, so there
 *  are never more than threads that used the pool at one time. A pool that ends takes its buffers out and sets cache->pool
 *  NULL: a thread's slot is never mistaken for another pool's, even at the same address.
 *
 * Called by pool.c and reserve.c; calls arena.c. */
#include <stdlib.h>

#include "check.h"
#include "pool.h"

enum { SLOTS = 8 }; /* pools that a thread uses by turns without giving up a cache */

static _Thread_local struct {
        struct pool_cache *slots[SLOTS];
        unsigned next;
} mine;

/* Only for the call at a thread's end. */
static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool has_key;

void cache_init(struct pool_cache *c, struct sluice_pool *p, unsigned max)
{
        *c = (struct pool_cache){ .max = max };
        list_init(&c->node);
        atomic_init(&c->pool, p);
        atomic_init(&c->holders, 1);
}

void cache_release(struct pool_cache *c)
{
        if (atomic_fetch_sub(&c->holders, 1) > 1)
                return;
        free(c);
}

void cache_flush(struct pool_cache *c, struct sluice_pool *p, unsigned nr)
{
        ASSERT(nr <= c->nr);
        for (unsigned i = 0; i < nr; i++)
                arena_push(p, c->items[i]);
        c->nr -= nr;
        for (unsigned i = 0; i < c->nr; i++)
                c->items[i] = c->items[i + nr];
}

/* ---- a thread's caches ---- */

static void leave(struct pool_cache *c)
{
        struct sluice_pool *p;

        spin_lock(&c->lock);
        p = atomic_load_explicit(&c->pool, memory_order_relaxed);
        if (p) {
                cache_flush(c, p, c->nr); /* its credit stays: whoever needs it collects it */
                c->left = true;
        }
        spin_unlock(&c->lock);
        cache_release(c);
}

static void thread_ends(void *arg)
{
        (void)arg;
        for (unsigned i = 0; i < SLOTS; i++) {
                if (mine.slots[i])
                        leave(mine.slots[i]);
                mine.slots[i] = NULL;
        }
}

static void make_key(void)
{
        has_key = pthread_key_create(&key, thread_ends) == 0;
}

static unsigned max_of(const struct sluice_pool *p)
{
        size_t fit = CACHE_BYTES / p->buffer_bytes;

        return fit > CACHE_BUFFERS ? CACHE_BUFFERS : (unsigned)fit;
}

/* One that its thread has left, or a new one. Pool locked. */
static struct pool_cache *adopt(struct sluice_pool *p)
{
        struct pool_cache *c;

        for (struct list *at = p->caches.next; at != &p->caches; at = at->next) {
                bool left;

                c = container_of(at, struct pool_cache, node);
                spin_lock(&c->lock);
                left = c->left;
                c->left = false;
                spin_unlock(&c->lock);
                if (!left)
                        continue;
                atomic_fetch_add(&c->holders, 1);
                return c;
        }
        c = aligned_alloc(64, (sizeof(*c) + 63) / 64 * 64);
        if (!c)
                return NULL;
        cache_init(c, p, max_of(p));
        atomic_store(&c->holders, 2);
        list_push(&p->caches, &c->node);
        return c;
}

/* An empty slot, one of a pool that is gone, or, when all are in use, the next by turns. */
static struct pool_cache **slot(void)
{
        struct pool_cache **at = &mine.slots[mine.next];

        for (unsigned i = 0; i < SLOTS; i++)
                if (!mine.slots[i] || !atomic_load_explicit(&mine.slots[i]->pool, memory_order_relaxed))
                        at = &mine.slots[i];
        if (at == &mine.slots[mine.next])
                mine.next = (mine.next + 1) % SLOTS;
        return at;
}

static struct pool_cache *join(struct sluice_pool *p)
{
        struct pool_cache **at = slot(), *c;

        pthread_once(&key_once, make_key);
        if (!has_key || pthread_setspecific(key, &mine) != 0)
                return &p->shared;
        if (*at)
                leave(*at);
        *at = NULL;
        pthread_mutex_lock(&p->lock);
        c = p->closing ? NULL : adopt(p);
        pthread_mutex_unlock(&p->lock);
        *at = c;
        return c ? c : &p->shared;
}

struct pool_cache *cache_lock(struct sluice_pool *p)
{
        struct pool_cache *c = NULL;

        for (unsigned i = 0; i < SLOTS && !c; i++)
                if (mine.slots[i] && atomic_load_explicit(&mine.slots[i]->pool, memory_order_relaxed) == p)
                        c = mine.slots[i];
        if (!c)
                c = join(p);
        spin_lock(&c->lock);
        if (atomic_load_explicit(&c->pool, memory_order_relaxed) == p)
                return c;
        /* It was closed meanwhile, with this buffer out. */
        spin_unlock(&c->lock);
        spin_lock(&p->shared.lock);
        return &p->shared;
}

uint64_t caches_collect_credit(struct sluice_pool *p)
{
        uint64_t sum = 0;

        pthread_mutex_lock(&p->lock);
        for (struct list *at = p->caches.next; at != &p->caches; at = at->next) {
                struct pool_cache *c = container_of(at, struct pool_cache, node);

                spin_lock(&c->lock);
                sum += c->credit;
                c->credit = 0;
                spin_unlock(&c->lock);
        }
        pthread_mutex_unlock(&p->lock);
        return sum;
}
