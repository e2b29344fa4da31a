/* uring/numa.h: the machine's memory nodes, and where threads, memory and kernel workers belong on them.
 *
 * The table is filled by hwloc, which is loaded only where there is more than one node. numa_place() is a pure function of
 * the table: it is tested over machines that nobody here has. Calls hwloc and libc. */
#ifndef SLUICE_URING_NUMA_H
#define SLUICE_URING_NUMA_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        NUMA_AUTO = 0, /* memory near the thread; the thread stays where its host put it */
        NUMA_OFF = -1, /* no policy at all */
        /* n + 1: node n, and nothing else */

        NUMA_NODES_MAX = 64,
        NUMA_OS_MAX = 1024, /* operating systems leave gaps in their numbers */
};

struct numa_node {
        int os;         /* its number as the kernel counts */
        bool memory;    /* it has some, and this process may use it */
        bool forbidden; /* it has some, and a cpuset keeps it from this process */
        bool cpus_some;
        cpu_set_t cpus; /* those of them that this process may use */
};

struct numa {
        unsigned nr; /* 1 at least; where only one is known, its CPUs are not looked at */
        struct numa_node nodes[NUMA_NODES_MAX];
        bool distances;
        uint16_t distance[NUMA_NODES_MAX][NUMA_NODES_MAX]; /* [of a thread's node][to memory] */
        const char *unknown;                               /* why nodes were not looked at; NULL: they were */
        unsigned cpus_nr;                                  /* numa_load(): that this process may use, ... */
        uint16_t cpus[CPU_SETSIZE];                        /* ... neighbours (threads of a core, cores of a node) side by side */
};

struct numa_place {
        unsigned nr; /* memory nodes to take from, nearest first; 0: any, without a policy */
        uint8_t order[NUMA_NODES_MAX];
        const cpu_set_t *thread;  /* bind the thread to these; NULL: leave it where it is */
        const cpu_set_t *workers; /* the kernel's workers belong on these; NULL: anywhere */
};

/* What is known of this machine: asked once, then for ever. Any thread. */
const struct numa *numa_machine(void);
/* Asks hwloc, now. 0; -ENOSYS (hwloc is not installed), -EIO (it cannot read this machine). For tests and the doctor. */
int numa_load(struct numa *ret);
/* Whether more than one node is to be reckoned with: without hwloc, from sysfs. */
bool numa_several(void);

/* Where a thread that runs on `cpu` (-1: unknown) and its memory belong. 0. For an explicit node: -ENODEV (no such node),
 * -EACCES (not for this process: cpuset), -EADDRNOTAVAIL (it has no memory). */
int numa_place(const struct numa *n, int policy, int cpu, struct numa_place *ret);
/* The index of the node that has the CPU; -1: none is known to. */
int numa_node_of_cpu(const struct numa *n, int cpu);
/* The CPU for the one of `nr` threads that is number `index`: as far from the others as can be. -1: none is known. */
int numa_spread(const struct numa *n, unsigned nr, unsigned index);
/* The same of this machine, now. */
int numa_spread_here(unsigned nr, unsigned index);
/* Binds the calling thread. 0 or -errno. */
int numa_bind_thread(const cpu_set_t *cpus);

#endif
