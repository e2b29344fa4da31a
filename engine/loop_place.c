/* engine/loop_place.c: a loop's thread and the kernel's workers on the node whose memory its pool takes.
 *
 * Done when the loop is bound to its thread, before a ring or a command is made: both take after it. AUTO moves no thread: the
 * workers go to where it runs then. What cannot be had is counted and is no failure. Called by loop.c; calls numa.h. */
#include <sched.h>

#include "loop.h"
#include "numa.h"

static void bind_thread(struct sluice_loop *l, const cpu_set_t *cpus)
{
        if (sched_getaffinity(0, sizeof(l->affinity), &l->affinity) < 0)
                return;
        l->placed = numa_bind_thread(cpus) == 0;
        l->cpus = *cpus;
        l->unplaced = !l->placed;
}

/* One of several: before its memory is looked for, which is to be near. */
static void spread(struct sluice_loop *l)
{
        int cpu = numa_spread_here(l->spread_nr, l->spread_index);
        cpu_set_t one;

        l->unplaced = cpu < 0;
        if (cpu < 0)
                return;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        bind_thread(l, &one);
}

void loop_place(struct sluice_loop *l)
{
        const struct numa *machine;
        struct numa_place place;

        if (l->spread_nr)
                spread(l);
        if (l->numa == SLUICE_NUMA_OFF)
                return;
        machine = numa_machine();
        if (numa_place(machine, l->numa, sched_getcpu(), &place) < 0)
                return;
        l->backend->workers = place.workers;
        if (place.thread)
                bind_thread(l, place.thread);
}

/* The thread was the host's before, and is again. */
void loop_unplace(struct sluice_loop *l)
{
        if (l->placed && pthread_equal(l->thread, pthread_self()))
                numa_bind_thread(&l->affinity);
}
