/* tests/cost/cases.h: the cases: each a pipeline in the simulated kernel, its peers, and how much of it is run. */
#ifndef SLUICE_TESTS_COST_CASES_H
#define SLUICE_TESTS_COST_CASES_H

#include <stdbool.h>
#include <stdint.h>

#include "seam.h"

struct world;

struct cost_case {
        const char *name;
        void (*build)(struct world *w);
        unsigned message_bytes;            /* 0: a stream. Else a message is sent when the one before has arrived */
        uint64_t units_small, units_large; /* MiB, or messages */
};
extern const struct cost_case cost_cases[];
extern const unsigned cost_cases_nr;

/* Runs it over so many units, from the pipeline's making to its freeing, and sees that every byte arrived. */
struct seam_counts cost_run(const struct cost_case *c, uint64_t units, bool wasteful);

#endif
