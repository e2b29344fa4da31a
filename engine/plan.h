/* engine/plan.h: the graph, and what was decided about it. Frozen by build(), then shared by all its runs. */
#ifndef SLUICE_ENGINE_PLAN_H
#define SLUICE_ENGINE_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <sluice/sluice.h>

#include "negotiate.h"

/* The links on one side of a stage, in the order in which they were made. */
struct joints {
        int *links;
        unsigned nr;
};

struct stage_def {
        const struct sluice_stage_ops *ops;
        void *config;
        atomic_uint *config_refs; /* the stages that have it */
        char *name;
        struct joints in, out;
        int in_link, out_link; /* the first of them; -1: none */
        int exit;    /* the stage that a link from this one begins at: itself, or the last of the pipeline it stands for */
        bool memory; /* it could work on fds or on memory, and a neighbour has only memory */
        int depth;   /* links between it and its farthest source */
};

struct link_plan {
        int from, to;
        unsigned branch, input; /* which of from's outputs, which of to's inputs */
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
        uint64_t *above; /* frozen: a row of bits for each stage: the stages whose bytes reach it */
        size_t row_words;
        uint64_t buffers_nr;       /* frozen: so many it holds at most */
        unsigned queue_depth;      /* ... with so many waiting in each link that a function writes to */
        struct sluice_options opt; /* cancel: held; env, directory and cgroup: ours */
};

int plan_new(struct sluice_plan **ret, const struct sluice_options *opt);
struct sluice_plan *plan_ref(struct sluice_plan *p);
void plan_unref(struct sluice_plan *p);
/* How many copies of which plan a stage runs at most; 0, and *ret NULL: it runs none. */
unsigned plan_inside(const struct sluice_plan *p, int stage, const struct sluice_plan **ret);
int plan_add_stage(struct sluice_plan *p, const struct sluice_stage_ops *ops, const void *config, const char *name);
int plan_add_link(struct sluice_plan *p, int from, int to);

/* Adds the stages and links of another, which stays as it is. The index that stands for it. */
int plan_add_plan(struct sluice_plan *p, const struct sluice_plan *inner);
/* Takes the last `nr` links back. */
void plan_drop_links(struct sluice_plan *p, size_t nr);
int plan_add_ignore(struct sluice_plan *p, int stage, enum sluice_ignore what, int value);

/* Asks every stage for its sides and negotiates every link. On failure *ret_stage is the stage or -1, and `text` says
 * it in words; nothing is frozen. */
int plan_build(struct sluice_plan *p, int *ret_stage, char *text, size_t cap);

/* Frozen plans: whether bytes of stage `upper` reach stage `lower`. */
static inline bool plan_is_above(const struct sluice_plan *p, int upper, int lower)
{
        return p->above[(size_t)lower * p->row_words + (size_t)upper / 64] >> (upper % 64) & 1;
}

/* One side as its stage describes it: before anything is open with self NULL. */
struct sluice_ctx;
int plan_describe(const struct stage_def *d, struct sluice_ctx *ctx, void *self, enum sluice_direction dir,
                  struct sluice_side *ret);

/* A configuration of its own. */
int config_dup(const struct sluice_stage_ops *ops, const void *config, void **ret);
void config_drop(const struct sluice_stage_ops *ops, void *config);

#endif
