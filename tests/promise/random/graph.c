/* graph.c: draws a graph from a seed, remembering what flows through every link. See random.h.
 *
 * There are open ends, each with a model of what comes out of it. A step adds something behind one of them, splits one by a tee, or
 * joins several by a merge, until there are stages enough; then every end gets a sink. What a stage cannot keep in order, or
 * needs lines for, is drawn only where the model says that it may stand. */
#include "random.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

enum { ENDS_MAX = 16 };

/* A capture builds by itself: it cannot be tried with more. */
#define CAPTURE_BUFFERS_BYTES (UINT64_C(1) << 30)

struct end {
        int stage;
        struct flow flow;
};

struct draw {
        struct graph *g;
        struct end ends[ENDS_MAX];
        unsigned nr;
};

/* ---- adding ---- */

static struct part *new_part(struct graph *g, bool wakes)
{
        struct part *p = &g->parts[g->parts_nr++];

        assert_true(g->parts_nr <= PARTS_MAX);
        p->rnd.state = rnd_next(&g->rnd);
        p->wake_fd = wakes ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
        p->waker = g->waker->pipe[1];
        return p;
}

static int added(struct graph *g, int stage, enum node node, const char *name)
{
        assert_true(t_ok(stage) < STAGES_MAX - 8);
        g->nodes[stage] = node;
        snprintf(g->names[stage], sizeof(g->names[stage]), "%s", name);
        return stage;
}

static int join(struct graph *g, int from, int to)
{
        assert_true(g->edges_nr < STAGES_MAX);
        g->edges[g->edges_nr++] = (struct edge){ from, to };
        return t_ok(sluice_pipeline_link(g->p, from, to));
}

static int behind(struct graph *g, int from, int stage, enum node node, const char *name)
{
        added(g, stage, node, name);
        join(g, from, stage);
        return stage;
}

static const char *file_name(struct graph *g, const char *what, unsigned nr, char *buf, size_t cap)
{
        snprintf(buf, cap, "%s-%llx-%u", what, (unsigned long long)(g->seed & 0xffff), nr);
        return t_path(buf);
}

static int command(struct graph *g, const char *script)
{
        return t_sh(g->p, script, NULL);
}

/* ---- sources ---- */

static const char *make_file(struct graph *g, const struct content *c, size_t before)
{
        static char junk[4096];
        char name[40];
        const char *path = file_name(g, "from", g->contents_nr, name, sizeof(name));
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_int_equal(fwrite(junk, 1, before, f), before);
        assert_int_equal(fwrite(c->data, 1, c->bytes, f), c->bytes);
        if (before)
                fputs("not this", f);
        assert_int_equal(fclose(f), 0);
        return path;
}

static int from_file(struct graph *g, const struct content *c)
{
        return sluice_add_file(g->p, make_file(g, c, 0), NULL);
}

static int from_range(struct graph *g, const struct content *c)
{
        size_t before = 1 + rnd_below(&g->rnd, 4096);

        return sluice_add_file(g->p, make_file(g, c, before),
                               T_FILE(.flags = SLUICE_FILE_RANGE, .offset = (int64_t)before, .length = (int64_t)c->bytes));
}

/* It is there as a whole, so that the end of waiting is the end of it. */
static int from_tail(struct graph *g, const struct content *c)
{
        const struct sluice_tail_options o = { .size = sizeof(o), .idle_ms = 10 };

        return sluice_add_tail(g->p, make_file(g, c, 0), &o);
}

static int from_memory(struct graph *g, const struct content *c)
{
        return sluice_add_memory(g->p, c->data, c->bytes);
}

static int from_reader(struct graph *g, const struct content *c)
{
        struct part *p = new_part(g, true);

        p->content = c;
        return sluice_add_reader(g->p, part_reader, p, p->wake_fd);
}

static int from_function(struct graph *g, const struct content *c)
{
        struct part *p = new_part(g, false);

        p->content = c;
        return sluice_add_function(g->p, part_gives, p, "gives");
}

static int from_cat(struct graph *g, const struct content *c)
{
        return sluice_add_command(g->p, T_ARGV("cat", (char *)(uintptr_t)make_file(g, c, 0)), NULL);
}

static int from_head(struct graph *g, const struct content *c)
{
        char script[300];

        snprintf(script, sizeof(script), "tail -c +17 %s | head -c %zu", make_file(g, c, 16), c->bytes);
        return command(g, script);
}

static int from_seq(struct graph *g, const struct content *c)
{
        char last[16];

        snprintf(last, sizeof(last), "%zu", c->lines_nr);
        return sluice_add_command(g->p, T_ARGV("seq", last), NULL);
}

static int from_generate(struct graph *g, const struct content *c)
{
        return sluice_add_generate(g->p, (int64_t)c->bytes);
}

static int from_null(struct graph *g, const struct content *c)
{
        (void)c;
        return sluice_add_null(g->p);
}

enum text { TEXT_LINES, TEXT_SEQ, TEXT_PATTERN, TEXT_NONE };
static const struct {
        const char *name;
        enum text text;
        int (*add)(struct graph *g, const struct content *c);
} sources[] = {
        { "file", TEXT_LINES, from_file },      { "range", TEXT_LINES, from_range },         { "memory", TEXT_LINES, from_memory },
        { "reader", TEXT_LINES, from_reader },  { "gives", TEXT_LINES, from_function },      { "cat file", TEXT_LINES, from_cat },
        { "tail|head", TEXT_LINES, from_head }, { "reader", TEXT_LINES, from_reader },       { "gives", TEXT_LINES, from_function },
        { "tail", TEXT_LINES, from_tail },      { "generate", TEXT_PATTERN, from_generate }, { "seq", TEXT_SEQ, from_seq },
        { "null", TEXT_NONE, from_null },
};

static size_t draw_size(struct graph *g)
{
        if (rnd_one_in(&g->rnd, 8))
                return rnd_below(&g->rnd, 3);
        if (rnd_one_in(&g->rnd, 4))
                return rnd_below(&g->rnd, g->bytes_max);
        return rnd_below(&g->rnd, g->bytes_max < 1 << 16 ? g->bytes_max : 1 << 16);
}

static void add_source(struct draw *d)
{
        struct graph *g = d->g;
        size_t kind = rnd_below(&g->rnd, T_NR(sources)), bytes = draw_size(g);
        struct content *c = &g->contents[g->contents_nr];
        struct end *e = &d->ends[d->nr++];

        if (sources[kind].text == TEXT_LINES)
                content_text(c, &g->rnd, g->contents_nr, bytes);
        else if (sources[kind].text == TEXT_SEQ)
                content_seq(c, 1 + (unsigned)rnd_below(&g->rnd, 20000));
        else
                content_pattern(c, sources[kind].text == TEXT_NONE ? 0 : bytes);
        memset(e, 0, sizeof(*e));
        e->flow.nr = 1;
        e->flow.pieces[0].source = (uint8_t)g->contents_nr;
        e->stage = added(g, sources[kind].add(g, c), NODE_PLAIN, sources[kind].name);
        g->contents_nr++;
}

/* ---- what stands between, and changes nothing ---- */

static int add_count(struct graph *g, struct end *e)
{
        int stage = behind(g, e->stage, sluice_add_count(g->p), NODE_PLAIN, "count");

        if (!e->flow.lossy && g->counts_nr < T_NR(g->counts)) {
                g->counts[g->counts_nr].stage = stage;
                g->counts[g->counts_nr++].flow = e->flow;
        }
        return stage;
}

static int add_checksum(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_checksum(g->p, SLUICE_CHECKSUM_XXH3), NODE_PLAIN, "checksum");
}

static int add_lines(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_lines(g->p, 0), NODE_PLAIN, "lines");
}

static int add_filter(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_filter(g->p, part_keeps_all, NULL, 0), NODE_PLAIN, "filter");
}

static int add_zstd(struct graph *g, struct end *e)
{
        int stage = behind(g, e->stage, sluice_add_compress(g->p, rnd_one_in(&g->rnd, 2) ? 1 : -3), NODE_PLAIN, "compress");

        return behind(g, stage, sluice_add_decompress(g->p), NODE_PLAIN, "decompress");
}

static int add_cat(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_command(g->p, T_ARGV("cat"), NULL), NODE_PLAIN, "cat");
}

static int add_copies(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_function(g->p, part_copies, new_part(g, false), NULL), NODE_PLAIN, "copies");
}

static int add_copies_lines(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_function(g->p, part_copies_lines, new_part(g, false), NULL), NODE_PLAIN, "copylines");
}

static int add_passes(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_function(g->p, part_passes, new_part(g, false), NULL), NODE_PLAIN, "passes");
}

static int add_isolated(struct graph *g, struct end *e)
{
        const struct sluice_function_options o = {
                .size = sizeof(o), .flags = SLUICE_ISOLATED, .object = FUNCTIONS, .symbol = "f_copy"
        };

        return behind(g, e->stage, sluice_add_function_with(g->p, NULL, NULL, &o), NODE_PLAIN, "isolated");
}

static int add_mangle(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_pipeline_add(g->p, &part_mangle_ops, new_part(g, false), NULL), NODE_PLAIN, "mangle");
}

static int add_throttle(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_throttle(g->p, INT64_C(1) << 40), NODE_PLAIN, "throttle");
}

static int add_nested(struct graph *g, struct end *e)
{
        struct sluice_pipeline *inner = t_new(NULL);

        if (rnd_one_in(&g->rnd, 2))
                t_ok(sluice_add_command(inner, T_ARGV("cat"), NULL));
        t_ok(sluice_add_count(inner));
        if (rnd_one_in(&g->rnd, 2))
                t_ok(sluice_add_lines(inner, 0));
        t_chain(inner);
        g->inner[g->inner_nr++] = inner;
        return behind(g, e->stage, sluice_pipeline_add_pipeline(g->p, inner), NODE_PLAIN, "nested");
}

static int par(struct graph *g, struct end *e, int unordered)
{
        struct sluice_pipeline *inner = t_new(NULL);
        struct sluice_par_options o = { .size = sizeof(o), .unordered = unordered };
        unsigned copies = 1 + (unsigned)rnd_below(&g->rnd, 4);
        char why[200] = "";
        int stage;

        o.part_bytes = (size_t)16384 << rnd_below(&g->rnd, 5);
        if (rnd_one_in(&g->rnd, 3))
                t_ok(sluice_add_command(inner, T_ARGV("cat"), NULL));
        else
                t_ok(sluice_add_count(inner));
        g->inner[g->inner_nr++] = inner;
        stage = sluice_add_par(g->p, copies, inner, &o, why, sizeof(why));
        if (stage < 0)
                fail_msg("par was refused: %s", why);
        return behind(g, e->stage, stage, NODE_PLAIN, unordered ? "par unordered" : "par");
}

static int add_par(struct graph *g, struct end *e)
{
        return par(g, e, 0);
}

static int add_par_unordered(struct graph *g, struct end *e)
{
        e->flow.order = FLOW_SHUFFLED;
        return par(g, e, 1);
}

static int add_drop(struct graph *g, struct end *e)
{
        int stage = behind(g, e->stage, sluice_add_drop(g->p, NULL), NODE_ELASTIC, "drop");

        if (e->flow.order == FLOW_EXACT)
                e->flow.order = FLOW_IN_ORDER;
        e->flow.lossy = true;
        e->flow.lost[stage] = 1;
        return stage;
}

static int add_spill(struct graph *g, struct end *e)
{
        return behind(g, e->stage, sluice_add_spill(g->p, t_path(""), NULL), NODE_ELASTIC, "spill");
}

static int add_merge_of_one(struct graph *g, struct end *e)
{
        enum sluice_merge how = (enum sluice_merge)rnd_below(&g->rnd, 4);

        if (how == SLUICE_MERGE_LINES || how == SLUICE_MERGE_TURNS)
                flow_end_line(&e->flow, g->contents);
        return behind(g, e->stage, sluice_add_merge(g->p, how, 0), NODE_MERGE, "merge of one");
}

enum needs { NEEDS_NOTHING, NEEDS_INNER, NEEDS_MARKED_LINES = 2 };
static const struct {
        int (*add)(struct graph *g, struct end *e); /* the new end's stage */
        unsigned needs, weight;
} middles[] = {
        { add_count, 0, 4 },
        { add_checksum, 0, 1 },
        { add_lines, 0, 3 },
        { add_filter, 0, 3 },
        { add_zstd, 0, 2 },
        { add_cat, 0, 3 },
        { add_copies, 0, 4 },
        { add_copies_lines, 0, 3 },
        { add_passes, 0, 4 },
        { add_isolated, 0, 2 },
        { add_mangle, 0, 6 },
        { add_throttle, 0, 1 },
        { add_nested, NEEDS_INNER, 3 },
        { add_par, NEEDS_INNER, 2 },
        { add_par_unordered, NEEDS_INNER | NEEDS_MARKED_LINES, 2 },
        { add_drop, NEEDS_MARKED_LINES, 2 },
        { add_spill, 0, 2 },
        { add_merge_of_one, 0, 1 },
};

/* Lines that say whose they are, the last one whole. */
static bool has_marked_lines(const struct graph *g, const struct flow *f)
{
        return !flow_is_binary(f, g->contents) && !flow_is_ragged(f, g->contents);
}

static void add_middle(struct draw *d, struct end *e)
{
        unsigned all = 0;
        size_t i = 0;

        for (size_t k = 0; k < T_NR(middles); k++)
                all += middles[k].weight;
        for (uint64_t at = rnd_below(&d->g->rnd, all); at >= middles[i].weight; i++)
                at -= middles[i].weight;
        if ((middles[i].needs & NEEDS_INNER && d->g->inner_nr == T_NR(d->g->inner)) || d->g->parts_nr >= PARTS_MAX - ENDS_MAX)
                return;
        if (middles[i].needs & NEEDS_MARKED_LINES && !has_marked_lines(d->g, &e->flow))
                return;
        e->stage = middles[i].add(d->g, e);
}

/* ---- tees and merges ---- */

static void add_tee(struct draw *d, struct end *e)
{
        unsigned nr = 1 + (unsigned)rnd_below(&d->g->rnd, 5);
        int strict = (int)rnd_below(&d->g->rnd, 2);

        e->stage = behind(d->g, e->stage, sluice_add_tee(d->g->p, strict), NODE_TEE, strict ? "tee strict" : "tee");
        for (unsigned i = 1; i < nr && d->nr < ENDS_MAX; i++)
                d->ends[d->nr++] = *e;
}

/* How ends may be merged; what cannot be is left to its own sink. */
static enum sluice_merge draw_merge(struct draw *d, unsigned nr)
{
        enum sluice_merge how = (enum sluice_merge)rnd_below(&d->g->rnd, 4);
        bool binary = false, ragged = false;

        for (unsigned i = d->nr - nr; i < d->nr; i++) {
                binary |= flow_is_binary(&d->ends[i].flow, d->g->contents);
                ragged |= flow_is_ragged(&d->ends[i].flow, d->g->contents) && i + 1 < d->nr;
                if (how == SLUICE_MERGE_BATCHES)
                        ragged |= flow_is_ragged(&d->ends[i].flow, d->g->contents);
        }
        if (binary)
                return SLUICE_MERGE_CONCAT;
        if (d->g->disturbed)
                return how == SLUICE_MERGE_TURNS ? how : SLUICE_MERGE_LINES;
        return ragged && how != SLUICE_MERGE_TURNS ? SLUICE_MERGE_LINES : how;
}

static bool may_concat(struct draw *d, unsigned nr)
{
        bool ordered = true, binary = false, ragged = false;

        for (unsigned i = d->nr - nr; i < d->nr; i++) {
                const struct flow *f = &d->ends[i].flow;

                ordered &= f->order == FLOW_EXACT;
                binary |= flow_is_binary(f, d->g->contents);
                ragged |= flow_is_ragged(f, d->g->contents);
        }
        /* Where lines are told apart later, none may be glued to the next. */
        return !d->g->disturbed && (ordered || (!binary && !ragged));
}

static bool fits(const struct draw *d, unsigned nr)
{
        unsigned pieces = 0;
        size_t bytes = 0;

        for (unsigned i = d->nr - nr; i < d->nr; i++) {
                pieces += d->ends[i].flow.nr;
                bytes += flow_bytes(&d->ends[i].flow, d->g->contents);
        }
        return pieces <= PIECES_MAX && bytes <= (d->g->bytes_max > 8 * T_MIB ? 2 * d->g->bytes_max : 8 * T_MIB);
}

/* The last `nr` ends become one. */
static void add_merge(struct draw *d, unsigned nr)
{
        static const enum node nodes[] = { NODE_MERGE, NODE_MERGE, NODE_TURNS, NODE_CONCAT };
        static const char *const names[] = { "merge", "merge-raw", "merge-turns", "concat" };
        struct graph *g = d->g;
        struct end merged = { 0 }, *first = &d->ends[d->nr - nr];
        enum sluice_merge how;

        if (!fits(d, nr))
                return;
        how = draw_merge(d, nr);
        if (how == SLUICE_MERGE_CONCAT && !may_concat(d, nr))
                return;
        merged.stage = added(g, sluice_add_merge(g->p, how, 0), nodes[how], names[how]);
        for (unsigned i = 0; i < nr; i++) {
                struct end *e = &first[i];

                if (how == SLUICE_MERGE_BATCHES)
                        e->stage = add_lines(g, e);
                if (how == SLUICE_MERGE_LINES || how == SLUICE_MERGE_TURNS)
                        flow_end_line(&e->flow, g->contents);
                join(g, e->stage, merged.stage);
                flow_append(&merged.flow, &e->flow);
        }
        if (how != SLUICE_MERGE_CONCAT && merged.flow.order == FLOW_EXACT)
                merged.flow.order = FLOW_IN_ORDER;
        d->nr -= nr;
        d->ends[d->nr++] = merged;
}

static void swap_ends(struct draw *d, unsigned a, unsigned b)
{
        struct end e = d->ends[a];

        d->ends[a] = d->ends[b];
        d->ends[b] = e;
}

static void step(struct draw *d)
{
        struct graph *g = d->g;
        unsigned what = (unsigned)rnd_below(&g->rnd, 20), nr;

        swap_ends(d, (unsigned)rnd_below(&g->rnd, d->nr), d->nr - 1);
        if (what < 11) {
                add_middle(d, &d->ends[d->nr - 1]);
        } else if (what < 14) {
                add_tee(d, &d->ends[d->nr - 1]);
        } else if (what < 18) {
                nr = 2 + (unsigned)rnd_below(&g->rnd, 3);
                for (unsigned i = 2; i <= nr && i <= d->nr; i++)
                        swap_ends(d, (unsigned)rnd_below(&g->rnd, d->nr - i + 1), d->nr - i);
                if (nr <= d->nr)
                        add_merge(d, nr);
        } else if (d->nr < ENDS_MAX && g->contents_nr < SOURCES_MAX) {
                add_source(d);
        }
}

/* ---- trouble ---- */

static int with_function(struct graph *g, struct end *e, enum trouble trouble, uint64_t enough)
{
        struct part *p = new_part(g, false);
        sluice_function_fn *const fns[] = { part_copies, part_copies_lines, part_passes };
        int stage;

        p->trouble = trouble;
        p->enough = enough;
        g->trouble_part = p;
        if (rnd_one_in(&g->rnd, 3))
                stage = sluice_pipeline_add(g->p, &part_mangle_ops, p, "troubles");
        else
                stage = sluice_add_function(g->p, fns[rnd_below(&g->rnd, 3)], p, "troubles");
        return behind(g, e->stage, stage, NODE_PLAIN, "troubles");
}

static int with_command(struct graph *g, struct end *e, const char *then, uint64_t enough)
{
        char script[100];

        snprintf(script, sizeof(script), "head -c %llu; %s", (unsigned long long)enough, then);
        return behind(g, e->stage, command(g, script), NODE_PLAIN, "troubles");
}

static void add_trouble(struct draw *d)
{
        struct graph *g = d->g;
        struct end *e = &d->ends[rnd_below(&g->rnd, d->nr)];
        uint64_t enough = 1 + rnd_below(&g->rnd, flow_bytes(&e->flow, g->contents));

        switch (g->trouble) {
        case TROUBLE_EARLY:
                e->stage = rnd_one_in(&g->rnd, 2) ? with_command(g, e, "exit 0", enough) : with_function(g, e, g->trouble, enough);
                break;
        case TROUBLE_FAILS:
                e->stage = with_function(g, e, g->trouble, enough);
                break;
        case TROUBLE_EXITS:
                e->stage = with_command(g, e, "exit 3", enough);
                break;
        case TROUBLE_KILLED:
                e->stage = with_command(g, e, "kill -9 $$", enough);
                break;
        default:
                return;
        }
        g->trouble_stage = e->stage;
}

/* ---- sinks ---- */

static void *socket_main(void *arg)
{
        struct sink *s = arg;
        static _Thread_local char data[1 << 16];
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        ssize_t n;

        while (fd >= 0 && (n = read(fd, data, sizeof(data))) > 0)
                bytes_add(&s->got, data, (size_t)n);
        if (fd >= 0)
                close(fd);
        return NULL;
}

static int to_socket(struct graph *g, struct sink *s)
{
        const char *path = t_path(s->name);
        int stage = sluice_add_unix(g->p, path, NULL);

        s->listener = t_listen_unix(path);
        assert_int_equal(pthread_create(&s->thread, NULL, socket_main, s), 0);
        return stage;
}

static int sink_stage(struct graph *g, struct sink *s)
{
        struct part *p;
        char script[200];

        switch (s->kind) {
        case SINK_FILE:
                return sluice_add_file(g->p, t_path(s->name), NULL);
        case SINK_ATOMIC:
                return sluice_add_file(g->p, t_path(s->name), T_FILE(.flags = SLUICE_FILE_ATOMIC));
        case SINK_COMMAND:
                snprintf(script, sizeof(script), "cat >%s", t_path(s->name));
                return command(g, script);
        case SINK_FUNCTION:
                p = new_part(g, false);
                p->got = &s->got;
                return sluice_add_function(g->p, part_takes, p, "takes");
        case SINK_NULL:
                return sluice_add_null(g->p);
        case SINK_SOCKET:
                return to_socket(g, s);
        case SINK_CAPTURE:
                return sluice_add_count(g->p);
        default:
                p = new_part(g, true);
                p->got = &s->got;
                return sluice_add_writer(g->p, part_writer, p, p->wake_fd);
        }
}

static void add_sink(struct graph *g, struct end *e, bool capture)
{
        static const char *const names[] = { "writer", "file", "atomic", "cat >file", "takes", "null", "socket", "capture" };
        struct sink *s = &g->sinks[g->sinks_nr];

        s->kind = capture ? SINK_CAPTURE : (enum sink_kind)rnd_below(&g->rnd, SINK_CAPTURE);
        snprintf(s->name, sizeof(s->name), "to-%llx-%u", (unsigned long long)(g->seed & 0xffff), g->sinks_nr++);
        s->flow = e->flow;
        s->stage = added(g, sink_stage(g, s), NODE_PLAIN, names[s->kind]);
        s->link = join(g, e->stage, s->stage);
}

/* ---- the whole ---- */

static void draw_options(struct graph *g, uint64_t buffers_bytes)
{
        struct sluice_options o = { .size = sizeof(o), .grace_ms = T_GRACE_MS, .timeout_ms = t_sanitized() ? 120000 : 60000 };

        g->driver = o.driver = t_drivers[rnd_below(&g->rnd, 4)];
        g->flags = o.flags = rnd_one_in(&g->rnd, 10) ? SLUICE_GUARD : 0;
        g->buffers_bytes = rnd_one_in(&g->rnd, 2) ? 0 : UINT64_C(1) << (20 + rnd_below(&g->rnd, 8));
        g->buffers_bytes = o.buffers_bytes = buffers_bytes ? buffers_bytes : g->buffers_bytes;
        g->backend = o.backend = rnd_one_in(&g->rnd, 4) ? SLUICE_BACKEND_EPOLL : SLUICE_BACKEND_AUTO;
        if (g->disturbed) {
                g->trouble = (enum trouble)(1 + rnd_below(&g->rnd, TROUBLES - 1));
                o.flags |= SLUICE_EARLY_EXIT_OK | (rnd_one_in(&g->rnd, 4) ? SLUICE_FAIL_FAST : 0);
                g->flags = o.flags;
                assert_int_equal(sluice_cancel_new(&g->cancel), 0);
                o.cancel = g->cancel;
                if (g->trouble == TROUBLE_DEADLINE)
                        o.timeout_ms = 1 + (int64_t)rnd_below(&g->rnd, 30);
        }
        g->p = t_new(&o);
}

struct graph *graph_draw(uint64_t seed, bool disturbed, bool big, uint64_t buffers_bytes, struct waker *w)
{
        struct graph *g = calloc(1, sizeof(*g));
        struct draw d = { .g = g };
        unsigned trouble_at, steps;
        bool capture;

        assert_non_null(g);
        g->seed = seed;
        g->rnd.state = seed;
        g->disturbed = disturbed;
        g->waker = w;
        g->trouble_stage = -1;
        g->result = 1;
        g->bytes_max = big ? 64 * T_MIB : 256 * 1024;
        g->stages_max = big ? 6 : 3 + (unsigned)rnd_below(&g->rnd, rnd_one_in(&g->rnd, 3) ? 48 : 12);
        capture = !disturbed && rnd_one_in(&g->rnd, 6);
        draw_options(g, capture ? CAPTURE_BUFFERS_BYTES : buffers_bytes);
        for (uint64_t n = 1 + rnd_below(&g->rnd, big ? 2 : 4); n > 0; n--)
                add_source(&d);
        trouble_at = (unsigned)rnd_below(&g->rnd, g->stages_max);
        for (steps = 0; steps < 200 && sluice_pipeline_stages(g->p) + (int)d.nr < (int)g->stages_max; steps++) {
                if (disturbed && steps == trouble_at)
                        add_trouble(&d);
                step(&d);
        }
        if (disturbed && steps <= trouble_at)
                add_trouble(&d);
        for (unsigned i = 0; i < d.nr; i++)
                add_sink(g, &d.ends[i], capture && i + 1 == d.nr);
        return g;
}

void graph_collect(struct graph *g)
{
        for (unsigned i = 0; i < g->sinks_nr; i++) {
                struct sink *s = &g->sinks[i];

                if (s->kind == SINK_FILE || s->kind == SINK_ATOMIC || s->kind == SINK_COMMAND) {
                        bytes_read_file(&s->got, t_path(s->name));
                } else if (s->kind == SINK_SOCKET && s->listener >= 0) {
                        shutdown(s->listener, SHUT_RDWR); /* it never connected */
                        pthread_join(s->thread, NULL);
                        close(s->listener);
                        s->listener = -1;
                }
        }
}

void graph_free(struct graph *g)
{
        for (unsigned i = 0; i < g->sinks_nr; i++)
                if (g->sinks[i].kind == SINK_SOCKET && g->sinks[i].listener >= 0) {
                        shutdown(g->sinks[i].listener, SHUT_RDWR);
                        pthread_join(g->sinks[i].thread, NULL);
                        close(g->sinks[i].listener);
                }
        sluice_pipeline_free(g->p);
        for (unsigned i = 0; i < g->inner_nr; i++)
                sluice_pipeline_free(g->inner[i]);
        for (unsigned i = 0; i < g->parts_nr; i++)
                if (g->parts[i].wake_fd >= 0)
                        close(g->parts[i].wake_fd);
        for (unsigned i = 0; i < g->contents_nr; i++)
                content_free(&g->contents[i]);
        for (unsigned i = 0; i < g->sinks_nr; i++) {
                free(g->sinks[i].got.data);
                unlink(t_path(g->sinks[i].name));
        }
        if (g->cancel)
                sluice_cancel_unref(g->cancel);
        free(g);
}

void graph_print(const struct graph *g)
{
        print_error("seed %llu, driver %s, backend %s, flags %#x, buffers %llu, trouble %d at stage %d, result %d: %s\n",
                    (unsigned long long)g->seed, sluice_driver_name(g->driver), sluice_backend_name(g->backend), g->flags,
                    (unsigned long long)g->buffers_bytes, (int)g->trouble, g->trouble_stage, g->result,
                    sluice_pipeline_error(g->p));
        for (unsigned i = 0; i < g->edges_nr; i++) {
                struct sluice_stats s = { .size = sizeof(s) };
                const struct edge *e = &g->edges[i];
                char words[200] = "";

                for (int l = 0; l < sluice_pipeline_links(g->p); l++) {
                        int from, to;

                        sluice_pipeline_link_ends(g->p, l, &from, &to);
                        if (from == e->from && to == e->to && sluice_pipeline_explain(g->p, l, words, sizeof(words)) >= 0)
                                sluice_pipeline_stats(g->p, l, &s);
                }
                print_error("  %3d %-12s -> %3d %-12s taken %llu delivered %llu: %s\n", e->from, g->names[e->from], e->to,
                            g->names[e->to], (unsigned long long)s.bytes_taken, (unsigned long long)s.bytes.value, words);
        }
        for (unsigned i = 0; i < g->contents_nr; i++)
                print_error("  source %u: %zu bytes, %zu lines\n", i, g->contents[i].bytes, g->contents[i].lines_nr);
}

uint64_t graph_report(const struct graph *g, int stage, const char *name)
{
        struct sluice_stage_result r = t_result(g->p, stage);

        for (unsigned i = 0; i < T_NR(r.reports) && r.reports[i].name; i++)
                if (strcmp(r.reports[i].name, name) == 0)
                        return strtoull(r.reports[i].value, NULL, 10);
        return UINT64_MAX;
}
