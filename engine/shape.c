/* engine/shape.c: see shape.h. Pure; called by plan.c.
 *
 *                +--> grep --+
 *      a --> tee |           | concat --> b       concat reads grep to its end before it reads wc, whose pipe fills; then tee
 *                +--> wc ----+                    waits for wc, grep for tee, concat for grep: nobody moves again
 */
#include "shape.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Depths, from the sources on: each round settles at least one more stage, or there is a circle. The greatest, or -ELOOP. */
static int find_depths(struct sluice_plan *p)
{
        int max = 0;

        for (size_t round = 0; round <= p->stages_nr; round++) {
                bool changed = false;

                for (size_t i = 0; i < p->links_nr; i++) {
                        const struct link_plan *l = &p->links[i];
                        int depth = p->stages[l->from].depth + 1;

                        if (p->stages[l->to].depth >= depth)
                                continue;
                        p->stages[l->to].depth = depth;
                        max = depth > max ? depth : max;
                        changed = true;
                }
                if (!changed)
                        return max;
        }
        return -ELOOP;
}

static bool find_above(struct sluice_plan *p, int max_depth)
{
        p->row_words = (p->stages_nr + 63) / 64;
        p->above = calloc(p->stages_nr * p->row_words + 1, sizeof(*p->above));
        for (int depth = 1; p->above && depth <= max_depth; depth++)
                for (size_t i = 0; i < p->links_nr; i++) {
                        const struct link_plan *l = &p->links[i];
                        uint64_t *to = p->above + (size_t)l->to * p->row_words, *from = p->above + (size_t)l->from * p->row_words;

                        if (p->stages[l->to].depth != depth)
                                continue;
                        for (size_t w = 0; w < p->row_words; w++)
                                to[w] |= from[w];
                        to[l->from / 64] |= UINT64_C(1) << (l->from % 64);
                }
        return p->above;
}

/* ---- who waits for whom ----
 *
 * The end of an input of an ordered stage needs all that comes from above it, so every tee up there must be able to go on:
 *
 *      input i of c  --needs-->  each tee above it  --needs-->  the inputs that are read before those it gives to
 *
 * Inputs that need nobody are settled, then the tees that need only those, and so on. What is left would wait for ever. */

/* The inputs of one ordered stage to which all that another gives comes back. -1: none. */
struct reach {
        int first, last;
};

struct waits {
        const struct sluice_plan *plan;
        struct reach *reach; /* a row for each ordered stage, of all stages */
        int *row;            /* of a stage, in `reach`; -1: it is not ordered */
        bool *tee_settled;   /* by stage */
        bool *input_settled; /* by link */
};

static bool is_ordered(const struct sluice_plan *p, int stage)
{
        return p->stages[stage].ops->traits & SLUICE_ORDERED && p->stages[stage].in.nr > 1;
}

static void widen(struct reach *r, struct reach by)
{
        if (by.first < 0)
                return;
        r->first = r->first < 0 || by.first < r->first ? by.first : r->first;
        r->last = by.last > r->last ? by.last : r->last;
}

/* What takes its input however slow its reader is (spill, drop) ends a way. */
static void find_reach(const struct sluice_plan *p, int ordered, struct reach *reach)
{
        for (size_t i = 0; i < p->stages_nr; i++)
                reach[i] = (struct reach){ -1, -1 };
        for (int depth = p->stages[ordered].depth - 1; depth >= 0; depth--)
                for (size_t i = 0; i < p->links_nr; i++) {
                        const struct link_plan *l = &p->links[i];
                        int input = (int)l->input;

                        if (p->stages[l->from].depth != depth || p->stages[l->from].ops->traits & SLUICE_ELASTIC)
                                continue;
                        widen(&reach[l->from], l->to == ordered ? (struct reach){ input, input } : reach[l->to]);
                }
}

/* Whether what the tee gives is kept waiting until that input has ended. */
static bool is_kept_by(const struct waits *w, int tee, const struct link_plan *l)
{
        const struct reach *r = &w->reach[(size_t)w->row[l->to] * w->plan->stages_nr + (size_t)tee];
        int input = (int)l->input;

        if (r->first < 0)
                return false;
        if (w->plan->stages[l->to].ops->traits & SLUICE_IN_TURNS)
                return r->first != input || r->last != input;
        return input < r->last;
}

static bool is_above_input(const struct sluice_plan *p, int stage, const struct link_plan *l)
{
        return l->from == stage || plan_is_above(p, stage, l->from);
}

static bool tee_may_settle(const struct waits *w, int tee)
{
        for (size_t i = 0; i < w->plan->links_nr; i++)
                if (!w->input_settled[i] && is_kept_by(w, tee, &w->plan->links[i]))
                        return false;
        return true;
}

static bool input_may_settle(const struct waits *w, const struct link_plan *l)
{
        for (size_t i = 0; i < w->plan->stages_nr; i++)
                if (!w->tee_settled[i] && is_above_input(w->plan, (int)i, l))
                        return false;
        return true;
}

static void settle(struct waits *w)
{
        const struct sluice_plan *p = w->plan;
        bool changed = true;

        for (size_t i = 0; i < p->stages_nr; i++)
                w->tee_settled[i] = p->stages[i].out.nr < 2;
        for (size_t i = 0; i < p->links_nr; i++)
                w->input_settled[i] = w->row[p->links[i].to] < 0;
        while (changed) {
                changed = false;
                for (size_t i = 0; i < p->stages_nr; i++)
                        if (!w->tee_settled[i] && tee_may_settle(w, (int)i))
                                w->tee_settled[i] = changed = true;
                for (size_t i = 0; i < p->links_nr; i++)
                        if (!w->input_settled[i] && input_may_settle(w, &p->links[i]))
                                w->input_settled[i] = changed = true;
        }
}

/* Whether the end of input `l` needs a tee that is kept waiting until input `m` has ended. */
static bool needs(const struct waits *w, const struct link_plan *l, const struct link_plan *m)
{
        for (size_t i = 0; i < w->plan->stages_nr; i++)
                if (!w->tee_settled[i] && is_above_input(w->plan, (int)i, l) && is_kept_by(w, (int)i, m))
                        return true;
        return false;
}

/* A stage reads one input at a time, so a ring of needs in which one stands with two inputs never closes: two tees that each give
 * something to the same merge by turns do no harm. With concat a shorter ring is found then; with turns each is looked for,
 * up to so many steps: beyond them it is taken to close. */
enum { RING_STEPS = 4096 };

struct ring_walk {
        const struct waits *w;
        bool *visited; /* by stage */
        size_t start;  /* link */
        unsigned steps;
};

static bool comes_round(struct ring_walk *k, size_t at)
{
        const struct sluice_plan *p = k->w->plan;

        for (size_t i = k->start; i < p->links_nr; i++) {
                const struct link_plan *l = &p->links[i];

                if (k->w->input_settled[i] || (i != k->start && k->visited[l->to]) || !needs(k->w, &p->links[at], l))
                        continue;
                if (i == k->start || ++k->steps > RING_STEPS)
                        return true;
                k->visited[l->to] = true;
                if (comes_round(k, i))
                        return true;
                k->visited[l->to] = false;
        }
        return false;
}

/* The stage to be named: the nearest case, a diamond, before those that go round several stages. -1: none waits; -ENOMEM. */
static int who_waits(const struct waits *w)
{
        const struct sluice_plan *p = w->plan;
        struct ring_walk k = { .w = w };
        int stage = -1;

        for (size_t i = 0; i < p->links_nr; i++)
                if (!w->input_settled[i] && needs(w, &p->links[i], &p->links[i]))
                        return p->links[i].to;
        k.visited = calloc(p->stages_nr, sizeof(*k.visited));
        if (!k.visited)
                return -ENOMEM;
        for (; k.start < p->links_nr && stage < 0; k.start++) {
                int to = p->links[k.start].to;

                if (w->input_settled[k.start])
                        continue;
                k.visited[to] = true;
                stage = comes_round(&k, k.start) ? to : -1;
                k.visited[to] = false;
        }
        free(k.visited);
        return stage;
}

/* -EDEADLK: *ret_stage is one that would wait for ever. */
static int check_order(const struct sluice_plan *p, int *ret_stage)
{
        struct waits w = { .plan = p };
        size_t nr = 0;
        int r = 0;

        for (size_t i = 0; i < p->stages_nr; i++)
                nr += is_ordered(p, (int)i);
        if (nr == 0)
                return 0;
        w.reach = calloc(nr * p->stages_nr, sizeof(*w.reach));
        w.row = calloc(p->stages_nr, sizeof(*w.row));
        w.tee_settled = calloc(p->stages_nr, sizeof(*w.tee_settled));
        w.input_settled = calloc(p->links_nr, sizeof(*w.input_settled));
        if (!w.reach || !w.row || !w.tee_settled || !w.input_settled) {
                r = -ENOMEM;
                goto out;
        }
        for (size_t i = p->stages_nr; i-- > 0;) {
                w.row[i] = is_ordered(p, (int)i) ? (int)--nr : -1;
                if (w.row[i] >= 0)
                        find_reach(p, (int)i, w.reach + nr * p->stages_nr);
        }
        settle(&w);
        *ret_stage = who_waits(&w);
        r = *ret_stage == -ENOMEM ? -ENOMEM : *ret_stage < 0 ? 0 : -EDEADLK;
out:
        free(w.reach);
        free(w.row);
        free(w.tee_settled);
        free(w.input_settled);
        return r;
}

int shape_find(struct sluice_plan *p, int *ret_stage, char *text, size_t cap)
{
        int max_depth = find_depths(p), r;

        if (max_depth < 0) {
                snprintf(text, cap, "the links form a circle");
                return max_depth;
        }
        if (!find_above(p, max_depth))
                return -ENOMEM;
        r = check_order(p, ret_stage);
        if (r == -EDEADLK)
                snprintf(text, cap,
                         "reads one after the other what tees before it give at once, so each would wait for the other: "
                         "put spill: (or drop:) into the later branches, or merge them as they come");
        return r;
}
