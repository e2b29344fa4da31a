/* tests/fuzz/graph.c: graphs drawn from bytes, planned. What is built has modes that its sides can do, depths and ways as a walk
 * finds them, and fits its budget; a circle is -ELOOP and nothing else is; what is refused is as it was: link by link taken
 * away, it is answered as a new plan of the same links is.
 *
 *      input = how many stages, options, a byte of kind and two of offers for each stage, pairs of stages to link */
#include <errno.h>

#include "buffer.h"
#include "fuzz.h"
#include "plan.h"

const char *const fuzz_words[] = { "\x01\x01", "\x09\x09", "\x0c\x0c", "\x24\x24", "\x00\x01\x01\x02\x02\x03", "\x01\x00", NULL };

enum { STAGES_MAX = 20, LINKS_MAX = 40, IO_BITS = 63, TEXT_BYTES = 400 };

struct offer {
        uint32_t out, in;
        uint64_t held_bytes;
};

/* ---- stages that do nothing but say what they could ---- */

static int describe(struct sluice_ctx *c, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        const struct offer *o = sluice_ctx_config(c);

        CLAIM(!self);
        ret->io = dir == SLUICE_INPUT ? o->in : o->out;
        return ret->io ? 0 : -ENOTSUP;
}

static int open_now(struct sluice_ctx *c, void *self)
{
        (void)c;
        (void)self;
        return 0;
}

static void close_now(struct sluice_ctx *c, void *self, int error)
{
        (void)c;
        (void)self;
        (void)error;
}

static int lend(struct sluice_ctx *c, void *self, enum sluice_direction dir)
{
        (void)c;
        (void)self;
        (void)dir;
        return -1;
}

static int process(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)c;
        (void)self;
        (void)in;
        (void)out;
        return 0;
}

static int command(struct sluice_ctx *c, void *self, struct sluice_command *ret)
{
        (void)c;
        (void)self;
        (void)ret;
        return 0;
}

static int run(void *self, const void *config, struct sluice_stream *io)
{
        (void)self;
        (void)config;
        (void)io;
        return 0;
}

static uint64_t holds(const void *config)
{
        return ((const struct offer *)config)->held_bytes;
}

#define OPS(n, ...)                                                                                                                \
        {                                                                                                                          \
                .size = sizeof(struct sluice_stage_ops), .name = (n), .config_size = sizeof(struct offer), .describe = describe,   \
                .open = open_now, .close = close_now, __VA_ARGS__                                                                  \
        }
static const struct sluice_stage_ops kinds[] = {
        OPS("fd", .fd = lend),
        OPS("function", .process = process),
        OPS("either", .fd = lend, .process = process),
        OPS("command", .command = command),
        OPS("thread", .run = run),
        OPS("tee", .fd = lend, .process = process, .traits = SLUICE_MANY_OUTPUTS),
        OPS("merge", .process = process, .traits = SLUICE_MANY_INPUTS),
        OPS("concat", .process = process, .traits = SLUICE_MANY_INPUTS | SLUICE_ORDERED),
        OPS("turns", .process = process, .traits = SLUICE_MANY_INPUTS | SLUICE_ORDERED | SLUICE_IN_TURNS),
        OPS("drop", .process = process, .traits = SLUICE_ELASTIC | SLUICE_OVERFLOW),
        OPS("holder", .process = process, .holds = holds),
        OPS("hub", .process = process, .traits = SLUICE_MANY_INPUTS | SLUICE_MANY_OUTPUTS),
};

/* ---- a graph as it was drawn ---- */

struct graph {
        struct sluice_options options;
        int stages_nr, links_nr;
        const struct sluice_stage_ops *ops[STAGES_MAX];
        struct offer offers[STAGES_MAX];
        int from[LINKS_MAX], to[LINKS_MAX];
};

static void draw(struct graph *g, struct taken *t)
{
        static const uint64_t budgets[] = { 0, 1, 256 << 10, 1 << 20, 16 << 20, UINT64_MAX };
        unsigned options;

        g->stages_nr = (int)(take_byte(t) % (STAGES_MAX + 1));
        options = take_byte(t);
        g->options = (struct sluice_options){ .size = sizeof(g->options),
                                              .flags = options & 1 ? SLUICE_FORBID_COPY : 0,
                                              .buffers_bytes = budgets[(options >> 1) % COUNT(budgets)] };
        for (int i = 0; i < g->stages_nr; i++) {
                g->ops[i] = &kinds[take_byte(t) % COUNT(kinds)];
                g->offers[i].out = take_byte(t) & IO_BITS;
                g->offers[i].in = take_byte(t) & IO_BITS;
                g->offers[i].held_bytes = (uint64_t)g->offers[i].in << (g->offers[i].out % 58);
        }
}

/* From -1 on: no stage at all is tried too. */
static int take_stage(struct taken *t)
{
        return (int)take_byte(t) - 1;
}

/* What the plan takes, and what it does not. */
static void add_links(struct graph *g, struct sluice_plan *p, struct taken *t)
{
        while (!taken_all(t) && g->links_nr < LINKS_MAX) {
                int from = take_stage(t), to = take_stage(t), r = plan_add_link(p, from, to);
                bool there = from >= 0 && to >= 0 && from < g->stages_nr && to < g->stages_nr && from != to;

                CLAIM(r == g->links_nr || r == -EINVAL || r == -EEXIST);
                CLAIM(there == (r != -EINVAL));
                if (r < 0)
                        continue;
                g->from[g->links_nr] = from;
                g->to[g->links_nr++] = to;
        }
}

static struct sluice_plan *plan_of(const struct graph *g, int links_nr)
{
        struct sluice_plan *p;

        CLAIM(plan_new(&p, &g->options) == 0);
        for (int i = 0; i < g->stages_nr; i++)
                CLAIM(plan_add_stage(p, g->ops[i], &g->offers[i], NULL) == i);
        for (int i = 0; i < links_nr; i++)
                CLAIM(plan_add_link(p, g->from[i], g->to[i]) == i);
        return p;
}

/* ---- what a walk finds ---- */

struct walk {
        bool reaches[STAGES_MAX][STAGES_MAX];
        int depth[STAGES_MAX];
        bool circle;
};

static void walk(struct walk *w, const struct graph *g)
{
        memset(w, 0, sizeof(*w));
        for (int i = 0; i < g->links_nr; i++)
                w->reaches[g->from[i]][g->to[i]] = true;
        for (int k = 0; k < g->stages_nr; k++)
                for (int a = 0; a < g->stages_nr; a++)
                        for (int b = 0; b < g->stages_nr; b++)
                                w->reaches[a][b] |= w->reaches[a][k] && w->reaches[k][b];
        for (int a = 0; a < g->stages_nr; a++)
                w->circle |= w->reaches[a][a];
        for (int round = 0; !w->circle && round < g->stages_nr; round++)
                for (int i = 0; i < g->links_nr; i++)
                        if (w->depth[g->to[i]] <= w->depth[g->from[i]])
                                w->depth[g->to[i]] = w->depth[g->from[i]] + 1;
}

/* ---- claims ---- */

static bool is_a_thread(uint32_t io)
{
        return io & SLUICE_IO_INHERIT && io & SLUICE_IO_MEM;
}

/* Whether the two sides could do that at all. */
static bool is_possible(enum sluice_link_mode mode, uint32_t out, uint32_t in)
{
        const uint32_t lent = SLUICE_IO_LEND | SLUICE_IO_BORROW, works = ~lent & IO_BITS;

        switch (mode) {
        case SLUICE_LINK_DIRECT:
                return (out & SLUICE_IO_INHERIT && in & SLUICE_IO_LEND) || (out & SLUICE_IO_LEND && in & SLUICE_IO_INHERIT) ||
                       (is_a_thread(out) && in & SLUICE_IO_BORROW) || (out & SLUICE_IO_BORROW && is_a_thread(in));
        case SLUICE_LINK_PIPE:
                return out & in & SLUICE_IO_INHERIT;
        case SLUICE_LINK_HANDOVER:
                return out & in & SLUICE_IO_MEM;
        case SLUICE_LINK_SPLICE:
                return out & (SLUICE_IO_FD | SLUICE_IO_INHERIT) && in & (SLUICE_IO_FD | SLUICE_IO_INHERIT);
        case SLUICE_LINK_CROSS:
                return out & works && in & works;
        default:
                return false;
        }
}

static void check_link(const struct sluice_plan *p, const struct graph *g, int i)
{
        const struct link_plan *l = &p->links[i];
        char words[TEXT_BYTES];

        CLAIM(l->from == g->from[i] && l->to == g->to[i]);
        CLAIM(is_possible(l->mode, g->offers[l->from].out, g->offers[l->to].in));
        CLAIM(l->words.out_io && !(l->words.out_io & ~g->offers[l->from].out));
        CLAIM(l->words.in_io && !(l->words.in_io & ~g->offers[l->to].in));
        CLAIM(!(g->options.flags & SLUICE_FORBID_COPY) || l->mode != SLUICE_LINK_CROSS);
        CLAIM(negotiate_reason(&l->words, words, sizeof(words)) > 0);
        CLAIM(words[0] && !strchr(words, '?'));
        CLAIM(p->stages[l->to].in.links[l->input] == i);
        CLAIM(p->stages[l->from].out.links[l->branch] == i);
}

static bool is_above(const struct sluice_plan *p, int a, int b)
{
#ifdef FUZZ_PLANTED_BUG
        if (p->stages[b].depth > 3 && p->stages[b].in.nr > 1)
                return p->stages[b].depth > p->stages[a].depth;
#endif
        return plan_is_above(p, a, b);
}

static void check_built(const struct sluice_plan *p, const struct graph *g, const struct walk *w)
{
        uint64_t allowed = g->options.buffers_bytes ? g->options.buffers_bytes : BUFFERS_BYTES, held = 0;

        CLAIM(p->frozen);
        CLAIM((int)p->links_nr == g->links_nr);
        for (int i = 0; i < g->links_nr; i++)
                check_link(p, g, i);
        for (int a = 0; a < g->stages_nr; a++) {
                CLAIM(p->stages[a].depth == w->depth[a]);
                CLAIM(p->stages[a].in.nr <= 1 || g->ops[a]->traits & SLUICE_MANY_INPUTS);
                CLAIM(p->stages[a].out.nr <= 1 || g->ops[a]->traits & SLUICE_MANY_OUTPUTS);
                for (int b = 0; b < g->stages_nr; b++)
                        CLAIM(is_above(p, a, b) == w->reaches[a][b]);
                if (g->ops[a]->holds && __builtin_add_overflow(held, g->offers[a].held_bytes, &held))
                        held = UINT64_MAX;
        }
        CLAIM(p->queue_depth >= 1);
        CLAIM(held <= allowed);
        CLAIM(allowed == UINT64_MAX || p->buffers_nr <= (allowed - held) / BUFFER_BYTES);
}

static int build(struct sluice_plan *p)
{
        char text[TEXT_BYTES] = "";
        int stage = -7, r = plan_build(p, &stage, text, sizeof(text));

        if (r == 0)
                return 0;
        CLAIM(r == -ELOOP || r == -EDEADLK || r == -ENOTSUP || r == -EINVAL || r == -EOPNOTSUPP || r == -E2BIG);
        CLAIM(text[0]);
        CLAIM(stage >= -1 && stage < (int)p->stages_nr);
        CLAIM(!p->frozen && !p->above);
        for (size_t i = 0; i < p->stages_nr; i++)
                CLAIM(p->stages[i].depth == 0 && !p->stages[i].memory);
        return r;
}

/* Refused, and mended by taking links away. */
static void check_refused(struct sluice_plan *p, const struct graph *g, int r)
{
        CLAIM(build(p) == r);
        for (int nr = g->links_nr - 1; nr >= 0; nr--) {
                struct sluice_plan *fresh = plan_of(g, nr);
                int expected = build(fresh);

                plan_unref(fresh);
                plan_drop_links(p, 1);
                CLAIM(build(p) == expected);
                if (expected == 0)
                        return;
        }
}

/* As a stage of another plan, next to itself. */
static void check_nested(const struct sluice_plan *p, const struct graph *g)
{
        struct sluice_plan *outer;
        int first, second;

        CLAIM(plan_new(&outer, &g->options) == 0);
        first = plan_add_plan(outer, p);
        second = plan_add_plan(outer, p);
        CLAIM((first < 0) == (second < 0));
        if (first >= 0) {
                CLAIM(second == first + g->stages_nr);
                CLAIM((int)outer->links_nr == 2 * g->links_nr);
                plan_add_link(outer, first, second);
                build(outer);
        } else {
                CLAIM(outer->stages_nr == 0 && outer->links_nr == 0);
        }
        plan_unref(outer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        struct taken t = { data, bytes, 0 };
        struct graph g = { 0 };
        struct sluice_plan *p;
        struct walk w;
        int r;

        draw(&g, &t);
        p = plan_of(&g, 0);
        add_links(&g, p, &t);
        walk(&w, &g);
        check_nested(p, &g);
        r = build(p);
        if (r != -EINVAL) /* a stage that stands alone is told of first */
                CLAIM((r == -ELOOP) == w.circle);
        if (r == 0)
                check_built(p, &g, &w);
        else
                check_refused(p, &g, r);
        plan_unref(p);
        return 0;
}
