/* uring/numa.c: what hwloc knows of this machine's memory nodes.
 * hwloc is opened only when asked, and only where there is more than one node: linking it costs every start 0.3 ms, loading
 * a topology 6.4 ms, and a run of processes joined by pipes needs neither. A topology named by hwloc's environment
 * (HWLOC_SYNTHETIC, HWLOC_XMLFILE, HWLOC_FSROOT) is believed, as by every program that uses hwloc. */
#include "numa.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Order as in `names`. */
struct hwloc_calls {
        int (*init)(hwloc_topology_t *);
        int (*set_flags)(hwloc_topology_t, unsigned long);
        int (*load)(hwloc_topology_t);
        void (*destroy)(hwloc_topology_t);
        int (*depth)(hwloc_topology_t, hwloc_obj_type_t);
        unsigned (*nr)(hwloc_topology_t, int);
        hwloc_obj_t (*object)(hwloc_topology_t, int, unsigned);
        hwloc_const_cpuset_t (*cpus)(hwloc_topology_t);
        hwloc_const_nodeset_t (*nodes)(hwloc_topology_t);
        int (*is_set)(hwloc_const_bitmap_t, unsigned);
        int (*distances)(hwloc_topology_t, hwloc_obj_type_t, unsigned *, struct hwloc_distances_s **, unsigned long, unsigned long);
        void (*distances_release)(hwloc_topology_t, struct hwloc_distances_s *);
};

static const char *const names[] = {
        "hwloc_topology_init",
        "hwloc_topology_set_flags",
        "hwloc_topology_load",
        "hwloc_topology_destroy",
        "hwloc_get_type_depth",
        "hwloc_get_nbobjs_by_depth",
        "hwloc_get_obj_by_depth",
        "hwloc_topology_get_allowed_cpuset",
        "hwloc_topology_get_allowed_nodeset",
        "hwloc_bitmap_isset",
        "hwloc_distances_get_by_type",
        "hwloc_distances_release",
};

/* ISO C has no cast from an object pointer to a function pointer; POSIX promises that the bytes are the same. */
static int load_calls(void *library, struct hwloc_calls *c)
{
        char *at = (char *)c;

        _Static_assert(sizeof(*c) == sizeof(names), "a name per call");
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                void *address = dlsym(library, names[i]);

                if (!address)
                        return -ENOSYS;
                memcpy(at + i * sizeof(address), &address, sizeof(address));
        }
        return 0;
}

/* ---- from hwloc's objects to the table ---- */

static void fill_node(const struct hwloc_calls *c, hwloc_topology_t t, hwloc_obj_t object, struct numa_node *ret)
{
        bool has = object->attr->numanode.local_memory > 0;
        bool allowed = c->is_set(c->nodes(t), object->os_index);

        *ret = (struct numa_node){ .os = (int)object->os_index, .memory = has && allowed, .forbidden = has && !allowed };
        CPU_ZERO(&ret->cpus);
        for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
                if (!c->is_set(object->cpuset, cpu) || !c->is_set(c->cpus(t), cpu))
                        continue;
                CPU_SET(cpu, &ret->cpus);
                ret->cpus_some = true;
        }
}

/* Memory that hangs beside a node's own (HBM), or beside all of them (CXL), has their CPUs in its set too. A CPU belongs to the
 * smallest set that has it, and among equal ones to the first: the rest are nodes without CPUs for us. */
static void part_cpus(struct numa *n)
{
        cpu_set_t all[NUMA_NODES_MAX], both;

        for (unsigned i = 0; i < n->nr; i++)
                all[i] = n->nodes[i].cpus;
        for (unsigned i = 0; i < n->nr; i++) {
                cpu_set_t *mine = &n->nodes[i].cpus;

                for (unsigned j = 0; j < n->nr; j++) {
                        int closer = CPU_COUNT(&all[i]) - CPU_COUNT(&all[j]);

                        if (j == i || closer < 0 || (closer == 0 && j > i))
                                continue;
                        CPU_AND(&both, mine, &all[j]);
                        CPU_XOR(mine, mine, &both);
                }
                n->nodes[i].cpus_some = CPU_COUNT(mine) > 0;
        }
}

static int index_of(const struct numa *n, unsigned os)
{
        for (unsigned i = 0; i < n->nr; i++)
                if (n->nodes[i].os == (int)os)
                        return (int)i;
        return -1;
}

static void fill_distances(const struct hwloc_calls *c, hwloc_topology_t t, struct numa *n)
{
        struct hwloc_distances_s *d;
        unsigned nr = 1;

        if (c->distances(t, HWLOC_OBJ_NUMANODE, &nr, &d, HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) < 0 || nr == 0)
                return;
        if (d->nbobjs == n->nr) {
                n->distances = true;
                for (unsigned i = 0; i < d->nbobjs * d->nbobjs; i++) {
                        int from = index_of(n, d->objs[i / d->nbobjs]->os_index),
                            to = index_of(n, d->objs[i % d->nbobjs]->os_index);

                        if (from < 0 || to < 0)
                                n->distances = false;
                        else
                                n->distance[from][to] = (uint16_t)(d->values[i] > UINT16_MAX ? UINT16_MAX : d->values[i]);
                }
        }
        c->distances_release(t, d);
}

/* Logical order, which is that of the tree, and not of the kernel's numbers. */
static void fill_cpus(const struct hwloc_calls *c, hwloc_topology_t t, struct numa *n)
{
        int depth = c->depth(t, HWLOC_OBJ_PU);
        unsigned nr = c->nr(t, depth);

        for (unsigned i = 0; i < nr && n->cpus_nr < CPU_SETSIZE; i++) {
                unsigned os = c->object(t, depth, i)->os_index;

                if (os < CPU_SETSIZE && c->is_set(c->cpus(t), os))
                        n->cpus[n->cpus_nr++] = (uint16_t)os;
        }
}

static int fill(const struct hwloc_calls *c, hwloc_topology_t t, struct numa *ret)
{
        int depth = c->depth(t, HWLOC_OBJ_NUMANODE);
        unsigned nr = c->nr(t, depth);

        memset(ret, 0, sizeof(*ret));
        for (unsigned i = 0; i < nr && ret->nr < NUMA_NODES_MAX; i++) {
                hwloc_obj_t object = c->object(t, depth, i);

                if (object->os_index < NUMA_OS_MAX)
                        fill_node(c, t, object, &ret->nodes[ret->nr++]);
        }
        if (ret->nr == 0)
                return -EIO;
        part_cpus(ret);
        fill_distances(c, t, ret);
        fill_cpus(c, t, ret);
        return 0;
}

int numa_load(struct numa *ret)
{
        void *library = dlopen("libhwloc.so.15", RTLD_NOW | RTLD_LOCAL);
        hwloc_topology_t topology;
        struct hwloc_calls c;
        int r = -ENOSYS;

        if (!library)
                return -ENOSYS;
        if (load_calls(library, &c) < 0 || c.init(&topology) < 0)
                goto out;
        /* What a cpuset keeps from us is to be seen too: it is refused by name. */
        c.set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
        r = c.load(topology) == 0 ? fill(&c, topology, ret) : -EIO;
        c.destroy(topology);
out:
        dlclose(library);
        return r;
}

/* ---- this machine ---- */

bool numa_several(void)
{
        int fd;
        char text[64] = "";
        ssize_t n;

        if (secure_getenv("HWLOC_SYNTHETIC") || secure_getenv("HWLOC_XMLFILE") || secure_getenv("HWLOC_FSROOT"))
                return true;
        fd = open("/sys/devices/system/node/online", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        return n > 0 && strpbrk(text, ",-") != NULL;
}

static struct numa machine;
static pthread_once_t machine_once = PTHREAD_ONCE_INIT;

/* Into what is still all zeroes, and whose pages are not there yet: every start of a process with commands comes through here. */
static void one_node(const char *why)
{
        machine.nr = 1;
        machine.nodes[0].memory = true;
        if (why)
                machine.unknown = why;
}

static void machine_ask(void)
{
        int r;

        if (!numa_several()) {
                one_node(NULL);
                return;
        }
        r = numa_load(&machine);
        if (r < 0) {
                memset(&machine, 0, sizeof(machine));
                one_node(r == -ENOSYS ? "hwloc is not installed" : "hwloc cannot read it");
        }
}

const struct numa *numa_machine(void)
{
        pthread_once(&machine_once, machine_ask);
        return &machine;
}

/* Without hwloc, and for what a bound process may use: in the kernel's order. */
static void cpus_of_thread(struct numa *n, const cpu_set_t *mine)
{
        n->cpus_nr = 0;
        for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, mine))
                        n->cpus[n->cpus_nr++] = (uint16_t)cpu;
}

/* hwloc knows the cpuset of the process, not what taskset(1) left to this thread. */
static void keep(struct numa *n, const cpu_set_t *mine)
{
        unsigned nr = 0;

        for (unsigned i = 0; i < n->cpus_nr; i++)
                if (CPU_ISSET(n->cpus[i], mine))
                        n->cpus[nr++] = n->cpus[i];
        n->cpus_nr = nr;
}

int numa_spread_here(unsigned nr, unsigned index)
{
        struct numa *n = calloc(1, sizeof(*n));
        cpu_set_t mine;
        int cpu = -1;

        if (n && sched_getaffinity(0, sizeof(mine), &mine) == 0) {
                if (numa_load(n) == 0)
                        keep(n, &mine);
                if (n->cpus_nr == 0)
                        cpus_of_thread(n, &mine);
                cpu = numa_spread(n, nr, index);
        }
        free(n);
        return cpu;
}

int numa_bind_thread(const cpu_set_t *cpus)
{
        return sched_setaffinity(0, sizeof(*cpus), cpus) < 0 ? -errno : 0;
}
