/* tests/unit/pool_nodes.c: a pool on machines with several nodes: near memory first, far frees go home and are counted, a node
 * that cannot be had is no failure. The machines are made up, and so is the CPU that a thread runs on; the memory is real. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>

#include "lent.h"
#include "topology.h"

enum { BIG = 256 << 10 };

static _Thread_local int on_cpu;

static int fake_cpu(void)
{
        return on_cpu;
}

static struct sluice_pool *pool_on(const struct numa *n, uint64_t budget, size_t bytes, int policy)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .budget_bytes = budget, .buffer_bytes = bytes, .numa = policy };
        struct sluice_pool *p;

        assert_int_equal(pool_new_on(&p, &o, n, fake_cpu), 0);
        return p;
}

static struct sluice_pool_stats stats_of(struct sluice_pool *p)
{
        struct sluice_pool_stats s = { .size = sizeof(s) };

        pool_check(p);
        assert_int_equal(sluice_pool_stats(p, &s), 0);
        return s;
}

/* The kernel's number of the node whose arena a buffer is of. */
static int node_of(const struct sluice_pool *p, const struct buffer *b)
{
        return p->machine->nodes[p->arenas[b->arena].node].os;
}

static int get_on(struct sluice_pool *p, int cpu, struct buffer **ret)
{
        on_cpu = cpu;
        return pool_take(p, ret);
}

static void put_on(int cpu, struct buffer *b)
{
        on_cpu = cpu;
        buffer_unref(b);
}

static void each_thread_gets_what_is_near(void **state)
{
        static const struct {
                const char *machine;
                int cpus[4], nodes[4];
                unsigned arenas;
        } rows[] = {
                { "node:2 core:2 pu:1", { 0, 3, 1, 2 }, { 0, 1, 0, 1 }, 2 }, { "ring_of_four", { 3, 2, 1, 0 }, { 3, 2, 1, 0 }, 4 },
                { "sparse_numbers", { 0, 4, 7, 3 }, { 0, 8, 8, 0 }, 2 },     { "no_memory", { 0, 3, 2, 1 }, { 0, 0, 0, 0 }, 1 },
                { "memory_beside", { 0, 3, 2, 1 }, { 0, 1, 1, 0 }, 3 },      { "restricted", { 1, 3, 2, 7 }, { 0, 1, 1, 0 }, 3 },
        };

        (void)state;
        for (unsigned i = 0; i < COUNT(rows); i++) {
                struct numa *n = machine_of(rows[i].machine);
                struct sluice_pool *p;
                struct buffer *b[4];

                if (!n)
                        skip();
                p = pool_on(n, 64 << 20, BIG, SLUICE_NUMA_AUTO);
                for (unsigned j = 0; j < 4; j++) {
                        assert_int_equal(get_on(p, rows[i].cpus[j], &b[j]), 0);
                        if (node_of(p, b[j]) != rows[i].nodes[j])
                                fail_msg("%s, CPU %d: memory of node %d, not %d", rows[i].machine, rows[i].cpus[j],
                                         node_of(p, b[j]), rows[i].nodes[j]);
                        memset(b[j]->data, 1, BIG);
                }
                assert_int_equal(stats_of(p).nodes, rows[i].arenas);
                for (unsigned j = 0; j < 4; j++)
                        put_on(rows[i].cpus[j], b[j]);
                assert_int_equal(stats_of(p).frees_local, 4);
                assert_int_equal(stats_of(p).frees_remote, 0);
                assert_int_equal(lent(p), 0);
                sluice_pool_unref(p);
                free(n);
        }
}

static void what_is_freed_elsewhere_goes_home(void **state)
{
        struct numa *n = machine_of("node:2 core:2 pu:1");
        struct sluice_pool *p;
        struct buffer *b, *near;

        (void)state;
        if (!n)
                skip();
        p = pool_on(n, 64 << 20, BIG, SLUICE_NUMA_AUTO);
        assert_int_equal(get_on(p, 0, &b), 0);
        put_on(2, b);
        assert_int_equal(stats_of(p).frees_remote, 1);
        assert_int_equal(stats_of(p).frees_local, 0);
        assert_int_equal(get_on(p, 2, &near), 0);
        assert_int_equal(node_of(p, near), 1); /* not the one it gave back */
        put_on(2, near);
        assert_int_equal(get_on(p, 0, &near), 0); /* moved: its cache holds far memory now, and is not taken from */
        assert_int_equal(node_of(p, near), 0);
        put_on(0, near);
        assert_int_equal(stats_of(p).frees_local, 2);
        assert_int_equal(lent(p), 0);
        sluice_pool_unref(p);
        free(n);
}

/* The budget is for all nodes together: what is left is found, nearest first, before a get is refused. */
static void far_memory_is_better_than_none(void **state)
{
        struct numa *n = machine_of("ring_of_four");
        struct sluice_pool *p;
        struct buffer *b[24], *one;
        int last = -1, changes = 0;

        (void)state;
        if (!n)
                skip();
        p = pool_on(n, (uint64_t)COUNT(b) * BIG, BIG, SLUICE_NUMA_AUTO);
        for (int cpu = 0; cpu < 4; cpu++) { /* each arena has its first chunk, of four */
                assert_int_equal(get_on(p, cpu, &b[0]), 0);
                put_on(cpu, b[0]);
        }
        for (unsigned i = 0; i < COUNT(b); i++) {
                assert_int_equal(get_on(p, 2, &b[i]), 0);
                changes += node_of(p, b[i]) != last;
                last = node_of(p, b[i]);
                if (i == 0)
                        assert_int_equal(last, 2);
        }
        assert_int_equal(changes, 4);
        assert_int_equal(last, 0); /* the farthest from 2 */
        assert_int_equal(get_on(p, 2, &one), -ENOBUFS);
        for (unsigned i = 0; i < COUNT(b); i++)
                put_on(2, b[i]);
        assert_true(stats_of(p).frees_remote > 0);
        assert_int_equal(stats_of(p).frees_remote + stats_of(p).frees_local, COUNT(b) + 4);
        sluice_pool_unref(p);
        free(n);
}

/* Node 1 is not there, whatever the topology says: mbind() refuses it, which is counted, and the memory is given all the same. */
static void a_node_that_cannot_be_bound_is_counted(void **state)
{
        struct numa *n = machine_of("node:2 core:2 pu:1");
        struct sluice_pool *p;
        struct buffer *b[16];

        (void)state;
        if (!n)
                skip();
        if (numa_several()) {
                free(n);
                skip();
        }
        p = pool_on(n, 64 << 20, BIG, SLUICE_NUMA_NODE(1));
        for (unsigned i = 0; i < COUNT(b); i++) {
                assert_int_equal(get_on(p, 0, &b[i]), 0);
                memset(b[i]->data, 1, BIG);
        }
        assert_int_equal(stats_of(p).nodes, 1);
        assert_int_equal(stats_of(p).unbound, 3); /* 1 MiB, 2 MiB, 2 MiB */
        for (unsigned i = 0; i < COUNT(b); i++)
                put_on(0, b[i]);
        sluice_pool_unref(p);
        p = pool_on(n, 64 << 20, BIG, SLUICE_NUMA_NODE(0));
        assert_int_equal(get_on(p, 0, &b[0]), 0);
        assert_int_equal(stats_of(p).unbound, 0);
        put_on(3, b[0]);
        sluice_pool_unref(p);
        free(n);
}

static void a_node_that_may_not_be_used_is_refused(void **state)
{
        static const struct {
                const char *machine;
                int node, result;
        } rows[] = {
                { "restricted", 2, -EACCES },
                { "no_memory", 1, -EADDRNOTAVAIL },
                { "node:2 core:2 pu:1", 7, -ENODEV },
                { "node:1 core:2 pu:1", 1, -ENODEV },
        };

        (void)state;
        for (unsigned i = 0; i < COUNT(rows); i++) {
                const struct sluice_pool_options o = { .size = sizeof(o), .numa = SLUICE_NUMA_NODE(rows[i].node) };
                struct numa *n = machine_of(rows[i].machine);
                struct sluice_pool *p = NULL;

                if (!n)
                        skip();
                assert_int_equal(pool_new_on(&p, &o, n, fake_cpu), rows[i].result);
                assert_null(p);
                free(n);
        }
}

/* Off: one arena, no node's, and nobody asks where a thread is. */
static int nobody_asks(void)
{
        fail();
        return 0;
}

static void off_is_off(void **state)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .numa = SLUICE_NUMA_OFF };
        struct numa *n = machine_of("node:4 core:1 pu:2");
        struct sluice_pool *p;
        struct buffer *b;

        (void)state;
        if (!n)
                skip();
        assert_int_equal(pool_new_on(&p, &o, n, nobody_asks), 0);
        assert_int_equal(pool_take(p, &b), 0);
        assert_int_equal(p->arenas[0].node, -1);
        buffer_unref(b);
        assert_int_equal(stats_of(p).frees_remote, 0);
        sluice_pool_unref(p);
        free(n);
}

/* Threads that wander from node to node. */
struct wanderer {
        struct sluice_pool *pool;
        uint32_t seed;
};

static void *wander(void *arg)
{
        struct wanderer *w = arg;
        struct buffer *held[8] = { 0 };

        for (unsigned i = 0; i < 3000; i++) {
                struct buffer **at;

                w->seed = w->seed * 1103515245 + 12345;
                at = &held[w->seed >> 8 & 7];
                on_cpu = (int)(w->seed >> 16 & 7);
                buffer_unref(*at);
                *at = NULL;
                if (pool_take(w->pool, at) == 0)
                        (*at)->data[0] = 1;
                if (i % 64 == 0)
                        pool_check(w->pool);
        }
        for (unsigned i = 0; i < COUNT(held); i++)
                buffer_unref(held[i]);
        return NULL;
}

static void the_law_holds_while_threads_wander(void **state)
{
        struct numa *n = machine_of("node:4 core:1 pu:2");
        struct sluice_pool_stats s;
        struct sluice_pool *p;
        struct wanderer w[3];
        pthread_t id[3];

        (void)state;
        if (!n)
                skip();
        p = pool_on(n, 20 * 4096, 4096, SLUICE_NUMA_AUTO);
        for (unsigned i = 0; i < COUNT(id); i++) {
                w[i] = (struct wanderer){ p, i * 77 + 1 };
                assert_int_equal(pthread_create(&id[i], NULL, wander, &w[i]), 0);
        }
        for (unsigned i = 0; i < COUNT(id); i++)
                pthread_join(id[i], NULL);
        s = stats_of(p);
        assert_int_equal(s.free_bytes, s.total_bytes);
        assert_int_equal(s.gets, s.frees_local + s.frees_remote);
        assert_true(s.frees_remote > 0);
        sluice_pool_unref(p);
        free(n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_thread_gets_what_is_near),          cmocka_unit_test(what_is_freed_elsewhere_goes_home),
                cmocka_unit_test(far_memory_is_better_than_none),         cmocka_unit_test(a_node_that_cannot_be_bound_is_counted),
                cmocka_unit_test(a_node_that_may_not_be_used_is_refused), cmocka_unit_test(off_is_off),
                cmocka_unit_test(the_law_holds_while_threads_wander),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
