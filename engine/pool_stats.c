/* engine/pool_stats.c: what is known of a pool, counted three ways: buffer by buffer, by the lists' own numbers, and by what
 * passed through the caches. The laws of pool.h are that they agree. Called by hosts, by runs and by tests; calls pool.c's
 * locks. */
#include <errno.h>

#include "check.h"
#include "pool.h"

struct census {
        uint64_t total, free, lent, in_kernel;
};

/* Every buffer is asked. All locked. */
static struct census census_of(const struct sluice_pool *p)
{
        struct census s = { 0 };

        for (unsigned i = 0; i < p->arenas_nr; i++)
                for (struct list *at = p->arenas[i].chunks.next; at != &p->arenas[i].chunks; at = at->next) {
                        const struct chunk *k = container_of(at, struct chunk, node);

                        for (unsigned j = 0; j < k->buffers_nr; j++) {
                                const struct buffer *b = &k->buffers[j];

                                s.free += b->free;
                                s.in_kernel += !b->free && atomic_load(&b->pin.in_kernel) > 0;
                        }
                        s.total += k->buffers_nr;
                }
        s.lent = s.total - s.free - s.in_kernel;
        return s;
}

/* By the lists' own numbers. All locked. */
static uint64_t listed_free(const struct sluice_pool *p)
{
        uint64_t nr = 0;

        EACH_CACHE (p, c)
                nr += c->nr;
        for (unsigned i = 0; i < p->arenas_nr; i++) {
                unsigned found = 0;

                for (struct list *at = p->arenas[i].free.next; at != &p->arenas[i].free; at = at->next)
                        found++;
                ASSERT(found == p->arenas[i].free_nr);
                nr += found;
        }
        return nr;
}

void pool_check(struct sluice_pool *p)
{
        struct census s;
        struct tally sum;

        pool_lock_all(p);
        s = census_of(p);
        sum = pool_sum(p);
        ASSERT(s.free == listed_free(p));
        ASSERT(s.lent + s.in_kernel == sum.gets - sum.puts);
        ASSERT(s.total * p->buffer_bytes <= p->budget_bytes);
        ASSERT(s.total * p->buffer_bytes <= atomic_load(&p->total_bytes)); /* a chunk may be on its way */
        pool_unlock_all(p);
        pthread_mutex_lock(&p->reserve.lock);
        ASSERT(p->reserve.bytes <= p->budget_bytes);
        pthread_mutex_unlock(&p->reserve.lock);
}

struct pool_counts pool_counts(struct sluice_pool *p)
{
        struct pool_counts s = { 0 };

        if (p->arenas_nr == 0)
                return s;
        pthread_mutex_lock(&p->lock);
        EACH_CACHE (p, c) {
                spin_lock(&c->lock);
                s.frees_local += c->tally.frees_local;
                s.frees_remote += c->tally.frees_remote;
                spin_unlock(&c->lock);
        }
        pthread_mutex_unlock(&p->lock);
        s.total_bytes = atomic_load(&p->total_bytes);
        s.lent_peak_bytes = atomic_load(&p->away_peak) * p->buffer_bytes;
        s.unbound = atomic_load(&p->unbound);
        return s;
}

int sluice_pool_stats(struct sluice_pool *p, struct sluice_pool_stats *ret)
{
        struct census s;
        struct tally sum;
        unsigned nodes;

        if (ret->size != sizeof(*ret))
                return -EINVAL;
        pool_lock_all(p);
        s = census_of(p);
        sum = pool_sum(p);
        nodes = p->arenas_nr;
        pool_unlock_all(p);
        *ret = (struct sluice_pool_stats){
                .size = sizeof(*ret),
                .budget_bytes = p->budget_bytes,
                .total_bytes = s.total * p->buffer_bytes,
                .free_bytes = s.free * p->buffer_bytes,
                .lent_bytes = s.lent * p->buffer_bytes,
                .in_kernel_bytes = s.in_kernel * p->buffer_bytes,
                .lent_peak_bytes = atomic_load(&p->away_peak) * p->buffer_bytes,
                .huge_bytes = atomic_load(&p->kind_bytes[PAGES_HUGE]),
                .thp_bytes = atomic_load(&p->kind_bytes[PAGES_THP]),
                .plain_bytes = atomic_load(&p->kind_bytes[PAGES_PLAIN]),
                .gets = sum.gets,
                .cache_hits = sum.hits,
                .frees_local = sum.frees_local,
                .frees_remote = sum.frees_remote,
                .nodes = nodes,
                .unbound = atomic_load(&p->unbound),
        };
        pthread_mutex_lock(&p->reserve.lock);
        ret->reserved_bytes = p->reserve.bytes;
        for (struct list *at = p->reserve.waiters.next; at != &p->reserve.waiters; at = at->next)
                ret->waiters++;
        pthread_mutex_unlock(&p->reserve.lock);
        return 0;
}
