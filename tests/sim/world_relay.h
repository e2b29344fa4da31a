/* tests/sim/world_relay.h: a world of its own kind: a relay between clients and targets. One seed in five is one (world.c). */
#ifndef SLUICE_TESTS_SIM_WORLD_RELAY_H
#define SLUICE_TESTS_SIM_WORLD_RELAY_H

#include "world.h"

/* As world_run(). The limits: `middles` more targets than one, and twice as many clients more as `branches`. */
void world_relay_run(uint64_t seed, const struct world_limits *limits, enum world_tell tell, struct world_result *ret);
void world_relay_done(void);

#endif
