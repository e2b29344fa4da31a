/* engine/shape.h: what follows from who is linked to whom: depths, who is above whom, and the shapes that cannot run. Pure. */
#ifndef SLUICE_ENGINE_SHAPE_H
#define SLUICE_ENGINE_SHAPE_H

#include <stddef.h>

#include "plan.h"

/* Fills in every stage's depth and p->above. -ELOOP: a circle. -EDEADLK: a stage would wait for ever for what another keeps
 * back, *ret_stage is the first. -ENOMEM. `text` says it in words. */
int shape_find(struct sluice_plan *p, int *ret_stage, char *text, size_t cap);

#endif
