/* uring/place.c: numa_place(): which node's memory a thread takes, and where it and the kernel's workers run.
 *
 *      policy      memory                                 the thread          the kernel's workers
 *      AUTO        nodes by distance from its CPU         stays               CPUs of its node
 *      OFF         any                                    stays               anywhere
 *      NODE n      n alone                                CPUs of n           CPUs of n
 *
 * A node without CPUs (memory alone, as CXL has it) gives memory but never gets a thread; among nodes equally far those with
 * CPUs come first: the others are there to be added to, and slower. One node: nothing to place. Pure; calls nothing. */
#include <errno.h>

#include "numa.h"

int numa_node_of_cpu(const struct numa *n, int cpu)
{
        if (cpu < 0 || cpu >= CPU_SETSIZE)
                return -1;
        for (unsigned i = 0; i < n->nr; i++)
                if (CPU_ISSET(cpu, &n->nodes[i].cpus))
                        return (int)i;
        return -1;
}

/* Without a matrix: the node itself, then all the others. */
static unsigned distance(const struct numa *n, int from, unsigned to)
{
        if (from < 0)
                return 0;
        if (n->distances)
                return n->distance[from][to];
        return (unsigned)from == to ? 10 : 20;
}

static bool is_nearer(const struct numa *n, int from, unsigned a, unsigned b)
{
        unsigned da = distance(n, from, a), db = distance(n, from, b);

        if ((unsigned)from == a || (unsigned)from == b)
                return (unsigned)from == a; /* whatever a firmware's matrix says of a node and itself */
        if (da != db)
                return da < db;
        if (n->nodes[a].cpus_some != n->nodes[b].cpus_some)
                return n->nodes[a].cpus_some;
        return a < b;
}

/* By insertion: a machine has few nodes, and each thread asks once. */
static void sort_memory(const struct numa *n, int from, struct numa_place *ret)
{
        for (unsigned i = 0; i < n->nr; i++) {
                unsigned at = ret->nr;

                if (!n->nodes[i].memory)
                        continue;
                while (at > 0 && is_nearer(n, from, i, ret->order[at - 1])) {
                        ret->order[at] = ret->order[at - 1];
                        at--;
                }
                ret->order[at] = (uint8_t)i;
                ret->nr++;
        }
}

static int place_on(const struct numa *n, int os, struct numa_place *ret)
{
        for (unsigned i = 0; i < n->nr; i++) {
                const struct numa_node *node = &n->nodes[i];

                if (node->os != os)
                        continue;
                if (node->forbidden)
                        return -EACCES;
                if (!node->memory)
                        return -EADDRNOTAVAIL;
                *ret = (struct numa_place){ 0 };
                if (n->nr == 1)
                        return 0;
                ret->order[ret->nr++] = (uint8_t)i;
                ret->thread = ret->workers = node->cpus_some ? &node->cpus : NULL;
                return 0;
        }
        return -ENODEV;
}

int numa_place(const struct numa *n, int policy, int cpu, struct numa_place *ret)
{
        int from;

        if (policy > 0)
                return place_on(n, policy - 1, ret);
        *ret = (struct numa_place){ 0 };
        if (policy == NUMA_OFF || n->nr == 1)
                return 0;
        from = numa_node_of_cpu(n, cpu);
        sort_memory(n, from, ret);
        if (from >= 0)
                ret->workers = &n->nodes[from].cpus;
        return 0;
}

int numa_spread(const struct numa *n, unsigned nr, unsigned index)
{
        if (n->cpus_nr == 0 || nr == 0)
                return -1;
        /* More threads than CPUs: by turns. */
        return n->cpus[nr > n->cpus_nr ? index % n->cpus_nr : index * n->cpus_nr / nr];
}
