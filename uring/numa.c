/* uring/numa.c: what hwloc knows of this machine's memory nodes.
 * hwloc is opened only when asked: linking it costs every start 0.3 ms, loading a topology 6.4 ms, and a run of
 * processes joined by pipes needs neither. */
#include <dlfcn.h>
#include <errno.h>
#include <hwloc.h>
#include <string.h>

#include "probe.h"

struct hwloc_calls {
        int (*init)(hwloc_topology_t *);
        int (*load)(hwloc_topology_t);
        void (*destroy)(hwloc_topology_t);
        int (*depth)(hwloc_topology_t, hwloc_obj_type_t);
        unsigned (*nr)(hwloc_topology_t, int);
};

/* ISO C has no cast from an object pointer to a function pointer; POSIX promises that the bytes are the same. */
static int symbol(void *library, const char *name, void *ret)
{
        void *address = dlsym(library, name);

        memcpy(ret, &address, sizeof(address));
        return address ? 0 : -ENOSYS;
}

static int load_calls(void *library, struct hwloc_calls *c)
{
        int r = symbol(library, "hwloc_topology_init", &c->init);

        r = r ? r : symbol(library, "hwloc_topology_load", &c->load);
        r = r ? r : symbol(library, "hwloc_topology_destroy", &c->destroy);
        r = r ? r : symbol(library, "hwloc_get_type_depth", &c->depth);
        return r ? r : symbol(library, "hwloc_get_nbobjs_by_depth", &c->nr);
}

int numa_nodes(void)
{
        void *library = dlopen("libhwloc.so.15", RTLD_NOW | RTLD_LOCAL);
        hwloc_topology_t topology;
        struct hwloc_calls c;
        int nodes = -ENOSYS;

        if (!library)
                return -ENOSYS;
        if (load_calls(library, &c) < 0 || c.init(&topology) < 0)
                goto out;
        if (c.load(topology) == 0)
                nodes = (int)c.nr(topology, c.depth(topology, HWLOC_OBJ_NUMANODE));
        c.destroy(topology);
out:
        dlclose(library);
        return nodes;
}
