/* deadlock.c: plays a graph with tokens, to see whether it could stop for ever. See random.h.
 *
 * Every link holds one token at most, every source has more than fit into the graph, and who reads in turns stays with one input to
 * its end: the worst that sizes and timing can be. It is another model than the engine's, which reasons without playing. */
#include "random.h"

enum { TOKENS = 400, PLAYS_MAX = 256 };

struct play {
        const struct graph *g;
        bool full[STAGES_MAX], ended[STAGES_MAX]; /* by link */
        unsigned left[STAGES_MAX];                /* of a source */
        bool over[STAGES_MAX];
        unsigned first[STAGES_MAX]; /* with which input one who reads in turns begins */
};

static unsigned inputs_of(const struct graph *g, int node, int *ret)
{
        unsigned n = 0;

        for (unsigned i = 0; i < g->edges_nr; i++)
                if (g->edges[i].to == node)
                        ret[n++] = (int)i;
        return n;
}

static bool has_room(const struct play *p, int node)
{
        for (unsigned i = 0; i < p->g->edges_nr; i++)
                if (p->g->edges[i].from == node && p->full[i])
                        return false;
        return true;
}

static void give(struct play *p, int node)
{
        for (unsigned i = 0; i < p->g->edges_nr; i++)
                if (p->g->edges[i].from == node)
                        p->full[i] = true;
}

static void end(struct play *p, int node)
{
        p->over[node] = true;
        for (unsigned i = 0; i < p->g->edges_nr; i++)
                if (p->g->edges[i].from == node)
                        p->ended[i] = true;
}

/* The link to be read next; -1: none has anything; -2: all have ended. */
static int next_input(const struct play *p, int node, const int *inputs, unsigned nr)
{
        bool one_by_one = p->g->nodes[node] == NODE_CONCAT || p->g->nodes[node] == NODE_TURNS;
        unsigned over = 0;

        for (unsigned k = 0; k < nr; k++) {
                int i = inputs[(k + p->first[node]) % nr];

                if (p->full[i])
                        return i;
                if (!p->ended[i] && one_by_one)
                        return -1;
                over += p->ended[i];
        }
        return over == nr ? -2 : -1;
}

static bool step(struct play *p, int node)
{
        int inputs[STAGES_MAX];
        unsigned nr = inputs_of(p->g, node, inputs);
        bool elastic = p->g->nodes[node] == NODE_ELASTIC;
        int i;

        if (p->over[node] || (!elastic && !has_room(p, node)))
                return false;
        if (nr == 0) {
                if (p->left[node]-- > 0)
                        give(p, node);
                else
                        end(p, node);
                return true;
        }
        i = next_input(p, node, inputs, nr);
        if (i == -1)
                return false;
        if (i == -2) {
                end(p, node);
                return true;
        }
        p->full[i] = false;
        if (!elastic || has_room(p, node))
                give(p, node);
        return true;
}

static bool stops(const struct graph *g, const unsigned *first)
{
        struct play p = { .g = g };
        bool moved = true;

        for (int i = 0; i < STAGES_MAX; i++) {
                p.left[i] = TOKENS;
                p.first[i] = first[i];
        }
        while (moved) {
                moved = false;
                for (int i = 0; i < STAGES_MAX; i++)
                        if (g->nodes[i] != NODE_NONE)
                                moved |= step(&p, i);
        }
        for (int i = 0; i < STAGES_MAX; i++)
                if (g->nodes[i] != NODE_NONE && !p.over[i])
                        return true;
        return false;
}

bool graph_may_stop(const struct graph *g)
{
        unsigned first[STAGES_MAX] = { 0 };
        int inputs[STAGES_MAX];

        for (unsigned plays = 0; plays < PLAYS_MAX; plays++) {
                int i = 0;

                if (stops(g, first))
                        return true;
                /* The next choice, counted like a number with a digit for each who reads in turns. */
                for (; i < STAGES_MAX; i++) {
                        if (g->nodes[i] != NODE_TURNS)
                                continue;
                        first[i] = (first[i] + 1) % inputs_of(g, i, inputs);
                        if (first[i])
                                break;
                }
                if (i == STAGES_MAX)
                        return false;
        }
        return false;
}
