/* tools/graphs.c: the stages of the pipeline language that hold pipelines in parentheses.
 *
 *      a | tee(b, c | d)            every branch begins at the tee; it ends its chain
 *      merge(a, b | c) | d          every branch ends at the merge; it begins its chain
 *      a | par(4, b | c) | d        what is inside is run for parts of the input
 *
 * Called by language.c; calls it for what is inside. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parser.h"
#include "tools.h"

enum { BRANCHES_MAX = 64, DEPTH_MAX = 64 /* each is some of our stack */ };

struct graph {
        const char *name; /* with its parenthesis */
        int (*read)(struct parser *p, const struct graph *g, unsigned ends);
        int how;
};

/* The rest behind the parenthesis that closes it. */
static int read_close(struct parser *p, const struct graph *g, size_t begin)
{
        if (p->text[p->at] != ')')
                return fail_at(p, begin, 1, "this %s is never closed", g->name);
        p->at++;
        p->depth--;
        skip_space(p);
        if (p->text[p->at] && p->text[p->at] != '|' && !ends_branch(p))
                return fail_at(p, p->at, 1, "after %s...) nothing follows but '|'", g->name);
        return 0;
}

/* Whether another branch follows. */
static bool next_branch(struct parser *p)
{
        if (p->text[p->at] != ',')
                return false;
        p->at++;
        return true;
}

static int read_tee(struct parser *p, const struct graph *g, unsigned ends)
{
        size_t begin = p->at;
        int tee, r;

        if (ends & CHAIN_FIRST)
                return fail_at(p, begin, strlen(g->name) - 1, "a tee takes its input from a stage before it");
        if (ends & CHAIN_GIVES)
                return fail_at(p, begin, strlen(g->name) - 1, "nothing comes out of a tee that a merge( or par( could take");
        tee = sluice_add_tee(p->pipeline, g->how);
        r = tee < 0 ? tee : keep_stage(p, tee, begin, strlen(g->name) - 1);
        p->at += strlen(g->name);
        p->depth++;
        do {
                p->last_stage = tee;
                r = r < 0 ? r : read_chain(p, ends & CHAIN_OPEN_OUT);
        } while (r == 0 && next_branch(p));
        r = r < 0 ? r : read_close(p, g, begin);
        if (r == 0 && p->text[p->at] == '|')
                return fail_at(p, p->at, 1, "nothing reads from a tee but its branches: 'tee(a, b)' ends a pipeline");
        return r;
}

static int read_merge(struct parser *p, const struct graph *g, unsigned ends)
{
        size_t begin = p->at;
        int last[BRANCHES_MAX], nr = 0, merge, r;

        if (!(ends & CHAIN_FIRST))
                return fail_at(p, begin, strlen(g->name) - 1, "it takes its input from its branches: a pipeline begins with it");
        if (p->nested)
                return fail_at(p, begin, strlen(g->name) - 1,
                               "it takes its input from its branches: what is inside a par( takes a part of the par's");
        p->at += strlen(g->name);
        p->depth++;
        do {
                p->last_stage = -1;
                r = nr < BRANCHES_MAX ? read_chain(p, CHAIN_FIRST | CHAIN_GIVES)
                                      : fail_at(p, p->at, 1, "more than %d branches", BRANCHES_MAX);
                if (r == 0)
                        last[nr++] = p->last_stage;
        } while (r == 0 && next_branch(p));
        r = r < 0 ? r : read_close(p, g, begin);
        if (r < 0)
                return r;
        merge = sluice_add_merge(p->pipeline, (enum sluice_merge)g->how, 0);
        p->last_stage = last[0];
        r = merge < 0 ? merge : keep_stage(p, merge, begin, strlen(g->name) - 1);
        for (int i = 1; r >= 0 && i < nr; i++)
                r = sluice_pipeline_link(p->pipeline, last[i], merge);
        return r < 0 ? r : 0;
}

/* "4", and its options: "4,part=256k,order=any". */
static int read_copies(struct parser *p, unsigned *ret_copies, struct sluice_par_options *o)
{
        struct parts s = { 0 };
        struct word w;
        int64_t value = 0;
        int r = read_word(p, &w);

        if (r < 0)
                return r;
        r = split_parts(&w, 0, &s);
        if (r == 0 &&
            (sluice_parse_bytes(w.text, &value) < 0 || value < 1 || value > 256 || strspn(w.text, "0123456789") != strlen(w.text)))
                r = fail_at(p, w.begin, w.end - w.begin, "par( begins with how many at once, 1 to 256: 'par(4, gzip -c)'");
        *ret_copies = (unsigned)value;
        for (size_t i = 0; r == 0 && i + 1 < s.nr; i++) {
                const char *name = s.options[i].name, *text = s.options[i].value ? s.options[i].value : "";

                if (strcmp(name, "part") == 0 && sluice_parse_bytes(text, &value) == 0 && value >= 4096 && value <= 256 << 20)
                        o->part_bytes = (size_t)value;
                else if (strcmp(name, "records") == 0 && (strcmp(text, "lines") == 0 || strcmp(text, "none") == 0))
                        o->no_records = text[0] == 'n';
                else if (strcmp(name, "order") == 0 && (strcmp(text, "input") == 0 || strcmp(text, "any") == 0))
                        o->unordered = text[0] == 'a';
                else if (!s.options[i].value)
                        r = fail_at(p, column_of(&w, s.begin[i + 1]), s.end[i + 1] - s.begin[i + 1],
                                    "an option of par( has a value; a pipeline has a blank before it: 'par(%u, %s'", *ret_copies,
                                    name);
                else
                        r = fail_at(p, column_of(&w, s.begin[i + 1]), s.end[i + 1] - s.begin[i + 1],
                                    "par( takes part=SIZE (4k to 256M), records=lines|none and order=input|any");
        }
        parts_free(&s);
        word_free(&w);
        return r;
}

/* What is inside is a pipeline of its own, with the same limits for its commands. */
static int read_inner(struct parser *p, struct sluice_pipeline *inner)
{
        struct parser outer = *p;
        int r;

        p->pipeline = inner;
        p->nested = true;
        p->last_stage = -1;
        r = read_chain(p, CHAIN_FIRST | CHAIN_GIVES);
        p->pipeline = outer.pipeline;
        p->nested = outer.nested;
        p->last_stage = outer.last_stage;
        return r;
}

static int add_par(struct parser *p, unsigned copies, const struct sluice_par_options *o, const struct sluice_pipeline *inner,
                   size_t begin)
{
        char why[200];
        int par = sluice_add_par(p->pipeline, copies, inner, o, why, sizeof(why));

        if (par < 0 && par != -ENOMEM)
                return fail_at(p, begin, p->at - begin, "par(...): %s", why[0] ? why : strerror(-par));
        return par;
}

static int read_par(struct parser *p, const struct graph *g, unsigned ends)
{
        struct sluice_par_options o = { .size = sizeof(o) };
        struct sluice_pipeline *inner;
        size_t begin = p->at;
        unsigned copies = 0;
        int par, r = sluice_pipeline_new(&inner, NULL);

        if (r < 0)
                return r;
        p->at += strlen(g->name);
        p->depth++;
        skip_space(p);
        r = read_copies(p, &copies, &o);
        skip_space(p);
        if (r == 0 && !next_branch(p))
                r = fail_at(p, p->at, 1, "par( is 'par(N, PIPELINE)', with a blank behind the comma");
        r = r < 0 ? r : read_inner(p, inner);
        if (r == 0 && p->text[p->at] == ',')
                r = fail_at(p, p->at, 1, "par( has one pipeline: a comma before a blank that belongs to it is quoted");
        r = r < 0 ? r : read_close(p, g, begin);
        if (r == 0 && ends & CHAIN_OPEN_IN)
                r = add_open_end(p, STDIN_FILENO, begin, strlen(g->name) - 1);
        par = r < 0 ? r : add_par(p, copies, &o, inner, begin);
        sluice_pipeline_free(inner);
        if (par < 0)
                return par;
        p->last_is_open = p->any_command = 1;
        return keep_stage(p, par, begin, strlen(g->name) - 1);
}

static const struct graph graphs[] = {
        { "tee(", read_tee, 0 },
        { "tee-strict(", read_tee, 1 },
        { "merge(", read_merge, SLUICE_MERGE_LINES },
        { "merge-raw(", read_merge, SLUICE_MERGE_BATCHES },
        { "merge-turns(", read_merge, SLUICE_MERGE_TURNS },
        { "concat(", read_merge, SLUICE_MERGE_CONCAT },
        { "par(", read_par, 0 },
};

static const struct graph *graph_here(const struct parser *p)
{
        for (size_t i = 0; i < sizeof(graphs) / sizeof(graphs[0]); i++)
                if (strncmp(p->text + p->at, graphs[i].name, strlen(graphs[i].name)) == 0)
                        return &graphs[i];
        return NULL;
}

bool is_graph(const struct parser *p)
{
        return graph_here(p);
}

int read_graph(struct parser *p, unsigned ends)
{
        const struct graph *g = graph_here(p);

        if (p->depth == DEPTH_MAX)
                return fail_at(p, p->at, strlen(g->name), "more than %d parentheses inside each other", DEPTH_MAX);
        return g->read(p, g, ends);
}
