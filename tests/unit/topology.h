/* tests/unit/topology.h: machines that nobody here has: a few words of hwloc's, or one that was written down (topologies/). */
#ifndef SLUICE_TESTS_UNIT_TOPOLOGY_H
#define SLUICE_TESTS_UNIT_TOPOLOGY_H

#include "numa.h"

/* NULL: hwloc is not installed. The test's to free(). */
static inline struct numa *machine_of(const char *what)
{
        struct numa *n = malloc(sizeof(*n));
        char path[512];
        int r;

        snprintf(path, sizeof(path), "%s/tests/unit/topologies/%s.xml", getenv("SOURCE") ? getenv("SOURCE") : ".", what);
        setenv(strchr(what, ':') ? "HWLOC_SYNTHETIC" : "HWLOC_XMLFILE", strchr(what, ':') ? what : path, 1);
        r = numa_load(n);
        unsetenv("HWLOC_SYNTHETIC");
        unsetenv("HWLOC_XMLFILE");
        if (r == -ENOSYS) {
                free(n);
                return NULL;
        }
        assert_int_equal(r, 0);
        return n;
}

static inline void cpus_are(const cpu_set_t *set, const char *expected)
{
        char got[256] = "";

        for (int cpu = 0; set && cpu < 64; cpu++)
                if (CPU_ISSET(cpu, set))
                        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%d", got[0] ? " " : "", cpu);
        assert_string_equal(set ? got : "any", expected);
}

#endif
