/* engine/arena.c: the memory of one node, in chunks cut into buffers, and those of them that are at home.
 *
 * The first chunk is small and costs nothing before it is touched: most runs take a buffer or two. Later ones are of 2 MiB, in
 * large pages where they are granted. A chunk is bound to its node before anything touches it, and where it could not be
 * bound, or is asked for from elsewhere, a thread on that node touches it first.
 *
 * Buffers are not registered with the ring: on pipes READ_FIXED and WRITE_FIXED gained nothing (13.9 against 15.2 us per 64
 * KiB, noise), and what would gain (O_DIRECT, SEND_ZC) is not in use here.
 *
 * Called by pool.c and cache.c; calls pages.h and numa.h. */
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "poison.h"
#include "pool.h"

enum { FIRST_CHUNK_BYTES = 1 << 20 };

/* ---- which nodes ---- */

static void arena_init(struct arena *a, int node)
{
        *a = (struct arena){ .node = node };
        pthread_mutex_init(&a->lock, NULL);
        list_init(&a->free);
        list_init(&a->chunks);
}

static unsigned arena_of_node(const struct numa_place *all, unsigned node)
{
        for (unsigned i = 0; i < all->nr; i++)
                if (all->order[i] == node)
                        return i;
        return 0;
}

/* Every node's order of all arenas; and for each CPU the arena that is nearest. */
static void order_arenas(struct sluice_pool *p, const struct numa_place *all)
{
        struct numa_place from;

        for (unsigned i = 0; i < all->nr; i++) {
                const struct numa_node *node = &p->machine->nodes[all->order[i]];
                int cpu = 0;

                while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &node->cpus))
                        cpu++;
                numa_place(p->machine, NUMA_AUTO, cpu < CPU_SETSIZE ? cpu : -1, &from);
                p->nearest[i][0] = (uint8_t)i;
                for (unsigned j = 0, at = 1; j < from.nr; j++)
                        if (from.order[j] != all->order[i])
                                p->nearest[i][at++] = (uint8_t)arena_of_node(all, from.order[j]);
        }
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (numa_place(p->machine, NUMA_AUTO, cpu, &from) == 0 && from.nr)
                        p->arena_of_cpu[cpu] = (uint8_t)arena_of_node(all, from.order[0]);
}

void arenas_place(struct sluice_pool *p)
{
        struct numa_place all;

        if (!p->machine)
                p->machine = numa_machine();
        if (numa_place(p->machine, p->policy, -1, &all) < 0)
                all.nr = 0; /* it was there when the pool was made */
        for (unsigned i = 0; i < all.nr; i++)
                arena_init(&p->arenas[i], all.order[i]);
        if (all.nr == 0)
                arena_init(&p->arenas[0], -1);
        if (all.nr > 1)
                order_arenas(p, &all);
        atomic_store_explicit(&p->arenas_nr, all.nr ? all.nr : 1, memory_order_release);
}

unsigned arena_here(const struct sluice_pool *p)
{
        int cpu;

        if (atomic_load_explicit(&p->arenas_nr, memory_order_acquire) < 2)
                return 0;
        cpu = p->cpu();
        return cpu >= 0 && cpu < CPU_SETSIZE ? p->arena_of_cpu[cpu] : 0;
}

/* ---- chunks ---- */

static uint64_t less(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* As much as the budget has left, in whole buffers; it is taken from it here. */
static uint64_t claim(struct sluice_pool *p, uint64_t want)
{
        uint64_t had = atomic_load(&p->total_bytes), got;

        do
                got = less(want, p->budget_bytes - had) / p->buffer_bytes * p->buffer_bytes;
        while (got && !atomic_compare_exchange_weak(&p->total_bytes, &had, had + got));
        return got;
}

static void place_pages(struct sluice_pool *p, struct arena *a, const struct pages *pages)
{
        const struct numa_node *node = a->node >= 0 ? &p->machine->nodes[a->node] : NULL;

        if (!node)
                return;
        if (pages->bind_error)
                atomic_fetch_add(&p->unbound, 1);
        if (node->cpus_some && (pages->bind_error || numa_node_of_cpu(p->machine, p->cpu()) != a->node))
                pages_touch_on(pages, &node->cpus); /* no such thread: it is touched where it is used */
}

static struct chunk *chunk_new(struct sluice_pool *p, struct arena *a, uint64_t bytes, bool small)
{
        unsigned nr = (unsigned)(bytes / p->buffer_bytes);
        size_t header = sizeof(struct chunk) + nr * sizeof(struct buffer);
        struct chunk *k = aligned_alloc(64, (header + 63) / 64 * 64);
        int node = a->node >= 0 ? p->machine->nodes[a->node].os : -1;

        if (!k)
                return NULL;
        if (pages_map(&k->pages, bytes, node, small) < 0) {
                free(k);
                return NULL;
        }
        place_pages(p, a, &k->pages);
        k->buffers_nr = nr;
        return k;
}

/* Arena locked. */
static void add_chunk(struct sluice_pool *p, struct arena *a, struct chunk *k)
{
        for (unsigned i = 0; i < k->buffers_nr; i++) {
                struct buffer *b = &k->buffers[i];

                *b = (struct buffer){ .pin.drop = pool_drop,
                                      .pool = p,
                                      .data = (uint8_t *)k->pages.data + i * p->buffer_bytes,
                                      .arena = (uint8_t)(a - p->arenas),
                                      .free = true };
                poison(b->data, p->buffer_bytes);
                list_push(&a->free, &b->node);
        }
        a->free_nr += k->buffers_nr;
        list_push(&a->chunks, &k->node);
        a->chunks_nr++;
        atomic_fetch_add(&p->kind_bytes[k->pages.kind], k->pages.bytes);
}

int arena_grow(struct sluice_pool *p, struct arena *a)
{
        struct chunk *k;
        uint64_t bytes;
        bool first;
        int r = 0;

        pthread_mutex_lock(&a->lock);
        first = a->chunks_nr == 0;
        if (a->free_nr > 0)
                goto out; /* somebody else was here */
        bytes = claim(p, first && p->buffer_bytes < FIRST_CHUNK_BYTES ? FIRST_CHUNK_BYTES : PAGES_HUGE_BYTES);
        r = bytes ? 0 : -ENOBUFS;
        if (r < 0)
                goto out;
        k = chunk_new(p, a, bytes, first);
        if (k) {
                add_chunk(p, a, k);
        } else {
                atomic_fetch_sub(&p->total_bytes, bytes);
                r = -ENOMEM;
        }
out:
        pthread_mutex_unlock(&a->lock);
        return r;
}

static void arena_fini(struct arena *a)
{
        struct list *node;

        while ((node = list_pop(&a->chunks))) {
                struct chunk *k = container_of(node, struct chunk, node);

                for (unsigned i = 0; i < k->buffers_nr; i++)
                        ASSERT(k->buffers[i].free);
                unpoison(k->pages.data, k->pages.bytes);
                pages_unmap(&k->pages);
                free(k);
        }
        pthread_mutex_destroy(&a->lock);
}

void arenas_fini(struct sluice_pool *p)
{
        for (unsigned i = 0; i < p->arenas_nr; i++)
                arena_fini(&p->arenas[i]);
}

/* ---- buffers at home ---- */

static void note_peak(struct sluice_pool *p, uint64_t away)
{
        uint64_t peak = atomic_load_explicit(&p->away_peak, memory_order_relaxed);

        while (away > peak && !atomic_compare_exchange_weak(&p->away_peak, &peak, away))
                continue;
}

struct buffer *arena_pop_locked(struct sluice_pool *p, struct arena *a)
{
        struct buffer *b;

        if (a->free_nr == 0)
                return NULL;
        b = container_of(a->free.prev, struct buffer, node);
        list_unlink(&b->node);
        a->free_nr--;
        note_peak(p, atomic_fetch_add(&p->away, 1) + 1);
        return b;
}

struct buffer *arena_pop(struct sluice_pool *p, struct arena *a)
{
        struct buffer *b;

        pthread_mutex_lock(&a->lock);
        b = arena_pop_locked(p, a);
        pthread_mutex_unlock(&a->lock);
        return b;
}

void arena_push(struct sluice_pool *p, struct buffer *b)
{
        struct arena *a = &p->arenas[b->arena];

        pthread_mutex_lock(&a->lock);
        list_push(&a->free, &b->node);
        a->free_nr++;
        atomic_fetch_sub(&p->away, 1);
        pthread_mutex_unlock(&a->lock);
}
