/* engine/plan.h: the graph, and what was decided about it. Frozen by build(), then shared by all its runs. */
#ifndef SLUICE_ENGINE_PLAN_H
#define SLUICE_ENGINE_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include <sluice/sluice.h>

#include "negotiate.h"

struct stage_def {
        const struct sluice_stage_ops *ops;
        void *config;
        char *name;
        int in_link, out_link; /* -1: none; with several outputs the first */
        unsigned outputs;
};

struct link_plan {
        int from, to;
        unsigned branch; /* which of from's outputs */
        enum sluice_link_mode mode;
        struct link_words words;
};

struct ignore {
        int stage, value;
        enum sluice_ignore what;
};

struct sluice_plan {
        unsigned refs;
        bool frozen;
        struct stage_def *stages;
        size_t stages_nr;
        struct link_plan *links;
        size_t links_nr;
        struct ignore *ignores;
        size_t ignores_nr;
        struct sluice_options opt; /* cancel: held; env, directory and cgroup: ours */
};

int plan_new(struct sluice_plan **ret, const struct sluice_options *opt);
struct sluice_plan *plan_ref(struct sluice_plan *p);
void plan_unref(struct sluice_plan *p);
int plan_add_stage(struct sluice_plan *p, const struct sluice_stage_ops *ops, const void *config, const char *name);
int plan_add_link(struct sluice_plan *p, int from, int to);

/* Takes the last `nr` links back. */
void plan_drop_links(struct sluice_plan *p, size_t nr);
int plan_add_ignore(struct sluice_plan *p, int stage, enum sluice_ignore what, int value);

/* Asks every stage for its sides and negotiates every link. On failure *ret_stage is the stage or -1, and `text` says
 * it in words; nothing is frozen. */
int plan_build(struct sluice_plan *p, int *ret_stage, char *text, size_t cap);

/* One side as its stage describes it: before anything is open with self NULL. */
struct sluice_ctx;
int plan_describe(const struct stage_def *d, struct sluice_ctx *ctx, void *self, enum sluice_direction dir,
                  struct sluice_side *ret);

/* A configuration of its own. */
int config_dup(const struct sluice_stage_ops *ops, const void *config, void **ret);
void config_drop(const struct sluice_stage_ops *ops, void *config);

#endif
