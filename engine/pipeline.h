/* engine/pipeline.h: the graph while it is built, and its last run. */
#ifndef SLUICE_ENGINE_PIPELINE_H
#define SLUICE_ENGINE_PIPELINE_H

#include "plan.h"
#include "run.h"

enum { ERROR_BYTES = MESSAGE_BYTES + 64 };

struct sluice_pipeline {
        struct sluice_plan *plan;
        struct run *run;      /* the last one; NULL: never started */
        sluice_done_fn *done; /* of the run under way */
        void *arg;
        bool view; /* of what a stage runs copies of: only to be looked at */
        int error_stage;
        char *error; /* ERROR_BYTES */
};

/* NULL: no such link, or never started. */
struct run_link *pipeline_run_link(const struct sluice_pipeline *p, int link);

#endif
