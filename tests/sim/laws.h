/* tests/sim/laws.h: what holds in every world, and how a world is hurt. */
#ifndef SLUICE_TESTS_SIM_LAWS_H
#define SLUICE_TESTS_SIM_LAWS_H

#include "loop.h"
#include "sim_kernel.h"
#include "world.h"

struct link;

/* taken == delivered + inside, and its pipe holds in the kernel what it thinks it holds. After a turn. */
void law_link(struct sim *k, const struct link *l);
/* Cached pipes are empty: the next user would send what somebody left there. */
void law_cache(struct sim *k, struct sluice_loop *loop);
/* A swarm: some kinds of fault, each at a rate of its own; chance decides, within what is allowed. */
void laws_faults(struct sim *k, const struct world_limits *limits);

#endif
