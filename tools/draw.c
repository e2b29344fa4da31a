/* tools/draw.c: a graph as text: every way without a branch is a line, and what joins or parts begins a new one.
 *
 *      file:a --cross--> merge
 *      seq --pipe--> grep --cross--> merge
 *      merge --handover--> tee
 *        tee --cross--> file:b
 *        tee --handover--> par --cross--> file:c
 *
 * Two of one name are told apart by their number. A chain needs no drawing: its table is one. Called by explain.c. */
#include <stdlib.h>
#include <string.h>

#include "tools.h"

struct graph {
        const struct sluice_pipeline *p;
        int links;
        int *in, *out; /* of each stage, how many */
};

static void draw_name(FILE *out, const struct graph *g, int stage)
{
        const char *name = sluice_pipeline_stage_name(g->p, stage);
        bool alone = true;

        for (int i = 0; i < sluice_pipeline_stages(g->p); i++)
                alone &= i == stage || strcmp(sluice_pipeline_stage_name(g->p, i), name) != 0;
        if (alone)
                fputs(name, out);
        else
                fprintf(out, "%s#%d", name, stage);
}

static void draw_arrow(FILE *out, const struct graph *g, int link)
{
        int from, to;

        sluice_pipeline_link_ends(g->p, link, &from, &to);
        fprintf(out, " --%s--> ", sluice_link_mode_name(sluice_pipeline_link_mode(g->p, link)));
        draw_name(out, g, to);
}

/* The only link that leaves it; -1: none, or several. */
static int way_on(const struct graph *g, int stage)
{
        int from, to;

        for (int i = 0; i < g->links && g->out[stage] == 1; i++) {
                sluice_pipeline_link_ends(g->p, i, &from, &to);
                if (from == stage)
                        return i;
        }
        return -1;
}

/* From the link on, up to where ways join or part. */
static void draw_line(FILE *out, const struct graph *g, int link)
{
        int from, to;

        sluice_pipeline_link_ends(g->p, link, &from, &to);
        fputs(g->out[from] > 1 ? "  " : "", out);
        draw_name(out, g, from);
        while (link >= 0) {
                draw_arrow(out, g, link);
                sluice_pipeline_link_ends(g->p, link, &from, &to);
                link = g->in[to] > 1 ? -1 : way_on(g, to);
        }
        fputc('\n', out);
}

static bool begins_line(const struct graph *g, int stage)
{
        return g->in[stage] != 1 || g->out[stage] > 1;
}

static bool count_ends(struct graph *g, int stages)
{
        bool chain = true;

        for (int i = 0; i < g->links; i++) {
                int from, to;

                sluice_pipeline_link_ends(g->p, i, &from, &to);
                g->out[from]++;
                g->in[to]++;
        }
        for (int i = 0; i < stages; i++)
                chain &= g->in[i] <= 1 && g->out[i] <= 1;
        return chain;
}

void draw_graph(FILE *out, const struct sluice_pipeline *p)
{
        int stages = sluice_pipeline_stages(p);
        struct graph g = { .p = p,
                           .links = sluice_pipeline_links(p),
                           .in = calloc((size_t)stages + 1, sizeof(int)),
                           .out = calloc((size_t)stages + 1, sizeof(int)) };

        if (!g.in || !g.out || count_ends(&g, stages))
                goto out;
        for (int i = 0; i < g.links; i++) {
                int from, to;

                sluice_pipeline_link_ends(p, i, &from, &to);
                if (begins_line(&g, from))
                        draw_line(out, &g, i);
        }
        fputc('\n', out);
out:
        free(g.in);
        free(g.out);
}
