/* tests/sim/world.h: one simulated run: a graph, its peers and its faults, all from one seed. */
#ifndef SLUICE_TESTS_SIM_WORLD_H
#define SLUICE_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* What a seed may use: the shrinker takes away from it. With the seed it says everything. */
struct world_limits {
        uint32_t faults;   /* bits of enum sim_fault */
        unsigned middles;  /* stages between a source and a sink, at most */
        unsigned branches; /* of a tee, or inputs of a merge, at most */
        uint64_t bytes;    /* of a stream, at most */
        unsigned mutation; /* enum sim_mutation: to see that a broken kernel is noticed */
};

struct world_result {
        uint64_t steps;
        int result; /* of the run */
        uint32_t struck;
};

#define WORLD_LIMITS_ALL ((struct world_limits){ .faults = UINT32_MAX, .middles = 2, .branches = 3, .bytes = 6000 })

enum world_tell { WORLD_SILENT, WORLD_GRAPH, WORLD_TRACE };

/* Builds, runs and checks one; a law that does not hold ends the process (sim_fail()). */
void world_run(uint64_t seed, const struct world_limits *limits, enum world_tell tell, struct world_result *ret);
/* Whether that seed's world is a relay (world_relay.h), and no graph. */
bool world_is_relay(uint64_t seed);
/* What is shared by worlds, to be freed at the end. */
void world_done(void);

#endif
