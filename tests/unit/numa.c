/* tests/unit/numa.c: who belongs where, on machines of two and four nodes, with nodes that have no CPUs, no memory, or a cpuset
 * before them. */
#include "unit.h"

#include <errno.h>

#include "topology.h"

static const struct {
        const char *machine;
        int policy, cpu, result;
        const char *order;            /* memory nodes by the kernel's number, nearest first */
        const char *thread, *workers; /* CPUs; "any" */
} rows[] = {
        /* One node: nothing to place. */
        { "node:1 core:2 pu:1", NUMA_AUTO, 0, 0, "", "any", "any" },
        { "node:1 core:2 pu:1", 1 + 0, 0, 0, "", "any", "any" },
        { "node:1 core:2 pu:1", 1 + 1, 0, -ENODEV, "", "", "" },
        /* Two and four, without a matrix. */
        { "node:2 core:2 pu:1", NUMA_AUTO, 0, 0, "0 1", "any", "0 1" },
        { "node:2 core:2 pu:1", NUMA_AUTO, 3, 0, "1 0", "any", "2 3" },
        { "node:2 core:2 pu:1", NUMA_AUTO, -1, 0, "0 1", "any", "any" },
        { "node:2 core:2 pu:1", NUMA_AUTO, 99, 0, "0 1", "any", "any" },
        { "node:2 core:2 pu:1", NUMA_AUTO, 5000, 0, "0 1", "any", "any" },
        { "node:2 core:2 pu:1", NUMA_OFF, 3, 0, "", "any", "any" },
        { "node:2 core:2 pu:1", 1 + 1, 0, 0, "1", "2 3", "2 3" },
        { "node:2 core:2 pu:1", 1 + 2, 0, -ENODEV, "", "", "" },
        { "node:4 core:1 pu:2", NUMA_AUTO, 4, 0, "2 0 1 3", "any", "4 5" },
        { "node:4 core:1 pu:2", 1 + 3, 4, 0, "3", "6 7", "6 7" },
        /* Four in a ring: the one across is the farthest. */
        { "ring_of_four", NUMA_AUTO, 0, 0, "0 1 3 2", "any", "0" },
        { "ring_of_four", NUMA_AUTO, 1, 0, "1 0 2 3", "any", "1" },
        { "ring_of_four", NUMA_AUTO, 2, 0, "2 1 3 0", "any", "2" },
        { "ring_of_four", NUMA_AUTO, 3, 0, "3 0 2 1", "any", "3" },
        /* The kernel's numbers have gaps. */
        { "sparse_numbers", NUMA_AUTO, 5, 0, "8 0", "any", "4 5 6 7" },
        { "sparse_numbers", 1 + 8, 0, 0, "8", "4 5 6 7", "4 5 6 7" },
        { "sparse_numbers", 1 + 1, 0, -ENODEV, "", "", "" },
        /* Memory that hangs beside the nodes: added to, after those with CPUs; never a thread's home. */
        { "memory_beside", NUMA_AUTO, 0, 0, "0 1 2", "any", "0 1" },
        { "memory_beside", NUMA_AUTO, 3, 0, "1 0 2", "any", "2 3" },
        { "memory_beside", 1 + 2, 0, 0, "2", "any", "any" },
        /* CPUs without memory of their own. */
        { "no_memory", NUMA_AUTO, 2, 0, "0", "any", "2 3" },
        { "no_memory", 1 + 1, 2, -EADDRNOTAVAIL, "", "", "" },
        /* A cpuset: CPUs 1 to 3 and the memory of nodes 0, 1 and 3. */
        { "restricted", NUMA_AUTO, 1, 0, "0 1 3", "any", "1" },
        { "restricted", NUMA_AUTO, 0, 0, "0 1 3", "any", "any" },
        { "restricted", NUMA_AUTO, 2, 0, "1 0 3", "any", "2 3" },
        { "restricted", 1 + 0, 2, 0, "0", "1", "1" },
        { "restricted", 1 + 2, 2, -EACCES, "", "", "" },
        { "restricted", 1 + 3, 2, 0, "3", "any", "any" },
};

static void check(const struct numa *n, unsigned row)
{
        struct numa_place place, was;
        char order[128] = "";
        int r;

        memset(&place, 7, sizeof(place));
        was = place;
        r = numa_place(n, rows[row].policy, rows[row].cpu, &place);
        if (r != rows[row].result)
                fail_msg("%s, policy %d, CPU %d: %d, not %d", rows[row].machine, rows[row].policy, rows[row].cpu, r,
                         rows[row].result);
        if (r < 0) {
                assert_memory_equal(&place, &was, sizeof(was));
                return;
        }
        for (unsigned i = 0; i < place.nr; i++)
                snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s%d", i ? " " : "", n->nodes[place.order[i]].os);
        if (strcmp(order, rows[row].order) != 0)
                fail_msg("%s, policy %d, CPU %d: memory of %s, not of %s", rows[row].machine, rows[row].policy, rows[row].cpu,
                         order, rows[row].order);
        cpus_are(place.thread, rows[row].thread);
        cpus_are(place.workers, rows[row].workers);
}

static void everyone_is_placed_by_the_table(void **state)
{
        (void)state;
        for (unsigned i = 0; i < COUNT(rows); i++) {
                struct numa *n = machine_of(rows[i].machine);

                if (!n)
                        skip();
                check(n, i);
                free(n);
        }
}

/* Whatever its number: memory without CPUs comes after the rest that is as far. */
static void memory_alone_comes_last(void **state)
{
        struct numa *n = machine_of("node:4 core:1 pu:2");
        struct numa_place place;

        (void)state;
        if (!n)
                skip();
        CPU_ZERO(&n->nodes[0].cpus);
        n->nodes[0].cpus_some = false;
        assert_int_equal(numa_place(n, NUMA_AUTO, 4, &place), 0);
        assert_int_equal(place.nr, 4);
        assert_int_equal(place.order[0], 2);
        assert_int_equal(place.order[1], 1);
        assert_int_equal(place.order[2], 3);
        assert_int_equal(place.order[3], 0);
        free(n);
}

/* No CPU is of two nodes, and what is forbidden is not memory. */
static void nodes_do_not_overlap(void **state)
{
        (void)state;
        for (unsigned row = 0; row < COUNT(rows); row++) {
                struct numa *n = machine_of(rows[row].machine);
                cpu_set_t seen, both;

                if (!n)
                        skip();
                CPU_ZERO(&seen);
                for (unsigned i = 0; i < n->nr; i++) {
                        CPU_AND(&both, &seen, &n->nodes[i].cpus);
                        assert_int_equal(CPU_COUNT(&both), 0);
                        CPU_OR(&seen, &seen, &n->nodes[i].cpus);
                        assert_int_equal(n->nodes[i].cpus_some, CPU_COUNT(&n->nodes[i].cpus) > 0);
                        assert_false(n->nodes[i].memory && n->nodes[i].forbidden);
                }
                free(n);
        }
}

/* Every order is of each memory node once, whatever the matrix says. */
static void nonsense_in_the_matrix_is_survived(void **state)
{
        struct numa *n = machine_of("ring_of_four");
        struct numa_place place;
        uint32_t seed = 1;

        (void)state;
        if (!n)
                skip();
        for (unsigned round = 0; round < 1000; round++) {
                for (unsigned i = 0; i < 16; i++) {
                        seed = seed * 1103515245 + 12345;
                        n->distance[i / 4][i % 4] = (uint16_t)(seed >> 16) % 4;
                }
                for (int cpu = 0; cpu < 4; cpu++) {
                        unsigned seen = 0;

                        assert_int_equal(numa_place(n, NUMA_AUTO, cpu, &place), 0);
                        assert_int_equal(place.nr, 4);
                        assert_int_equal(place.order[0], cpu); /* its own first */
                        for (unsigned i = 0; i < 4; i++)
                                seen |= 1u << place.order[i];
                        assert_int_equal(seen, 15);
                        for (unsigned i = 2; i < 4; i++)
                                assert_true(n->distance[cpu][place.order[i - 1]] <= n->distance[cpu][place.order[i]]);
                }
        }
        free(n);
}

/* Neighbours in the tree share what is near them: few threads are put on different nodes, then on different cores. */
static void threads_are_as_far_apart_as_can_be(void **state)
{
        struct numa *n = machine_of("NUMANode:2 Core:2 PU:2");
        int seen[8] = { 0 };

        (void)state;
        if (!n)
                skip();
        assert_int_equal(n->cpus_nr, 8);
        assert_int_not_equal(numa_node_of_cpu(n, numa_spread(n, 2, 0)), numa_node_of_cpu(n, numa_spread(n, 2, 1)));
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(numa_spread(n, 4, i) / 2, i); /* a core each: its CPUs are 2 i and 2 i + 1 */
        for (unsigned i = 0; i < 8; i++)
                seen[numa_spread(n, 8, i)]++;
        for (unsigned i = 0; i < 8; i++)
                assert_int_equal(seen[i], 1);
        for (unsigned i = 0; i < 20; i++) /* more threads than CPUs: by turns */
                assert_int_equal(numa_spread(n, 20, i), n->cpus[i % 8]);
        n->cpus_nr = 0;
        assert_int_equal(numa_spread(n, 2, 0), -1);
        free(n);
}

static void a_thread_is_only_put_where_it_may_be(void **state)
{
        struct numa *n = machine_of("restricted");

        (void)state;
        if (!n)
                skip();
        for (unsigned i = 0; i < n->cpus_nr; i++)
                assert_true(numa_node_of_cpu(n, numa_spread(n, n->cpus_nr, i)) >= 0);
        free(n);
        assert_true(numa_spread_here(1, 0) >= 0);
}

static void this_machine_has_memory(void **state)
{
        const struct numa *n = numa_machine();
        unsigned memory = 0;

        (void)state;
        assert_ptr_equal(n, numa_machine());
        assert_true(n->nr >= 1);
        for (unsigned i = 0; i < n->nr; i++)
                memory += n->nodes[i].memory;
        assert_true(memory >= 1);
        if (!numa_several())
                assert_int_equal(n->nr, 1);
}

static void a_bad_topology_is_an_error(void **state)
{
        struct numa *n = malloc(sizeof(*n));
        int r;

        (void)state;
        setenv("HWLOC_XMLFILE", "/dev/null", 1);
        r = numa_load(n);
        unsetenv("HWLOC_XMLFILE");
        if (r != 0) /* some versions read the machine itself instead */
                assert_true(r == -EIO || r == -ENOSYS);
        free(n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(everyone_is_placed_by_the_table),
                cmocka_unit_test(memory_alone_comes_last),
                cmocka_unit_test(nodes_do_not_overlap),
                cmocka_unit_test(nonsense_in_the_matrix_is_survived),
                cmocka_unit_test(threads_are_as_far_apart_as_can_be),
                cmocka_unit_test(a_thread_is_only_put_where_it_may_be),
                cmocka_unit_test(this_machine_has_memory),
                cmocka_unit_test(a_bad_topology_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
