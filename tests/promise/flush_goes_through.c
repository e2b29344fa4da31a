/* flush_goes_through.c: when a source says that nothing more is at hand, all it gave so far comes out at the other end before it
 * gives more, whatever stands in between and holds back for better batches; the flush itself arrives behind the last of it. */
#include "flow.h"

enum { ROUNDS = 4 };

/* ---- a source that gives a piece, says so, and waits to be asked for the next ---- */

struct spurts {
        const char *text;
        size_t bytes; /* of a piece */
        int rounds, given;
        int events[ROUNDS]; /* piece i is given when it is up */
        bool apart;         /* the flush is said in a call of its own, behind the bytes */
        bool owes;
};

static void spurt_woken(struct sluice_ctx *c, void *self, int64_t result)
{
        (void)self;
        if (result != -ECANCELED)
                sluice_ctx_ready(c);
}

static int spurt(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct spurts *s = t_arg(c);

        (void)self;
        (void)in;
        if (s->owes) {
                s->owes = false;
                out->flush = 1;
                return 0;
        }
        if (s->given == s->rounds)
                return SLUICE_END;
        if (!flow_is_up(s->events[s->given])) {
                int r = sluice_ctx_wait(c, s->events[s->given], POLLIN, 0, spurt_woken);

                return r < 0 ? r : -EAGAIN;
        }
        memcpy(out->data, s->text + (size_t)s->given++ * s->bytes, s->bytes);
        out->len = s->bytes;
        out->flush = !s->apart;
        s->owes = s->apart;
        return 0;
}

static int spurt_open(struct sluice_ctx *c, void *self)
{
        (void)self;
        for (int i = 0; i < ROUNDS; i++)
                sluice_ctx_adopt(c, ((struct spurts *)t_arg(c))->events[i]);
        return 0;
}

static int spurt_describe(struct sluice_ctx *c, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        return dir == SLUICE_INPUT ? 0 : t_function_describe(c, self, dir, ret);
}

static const struct sluice_stage_ops spurt_ops = {
        .size = sizeof(spurt_ops),
        .name = "spurt",
        .instance_size = sizeof(int),
        .describe = spurt_describe,
        .open = spurt_open,
        .process = spurt,
        .close = t_function_close,
};

/* ---- the last one: keeps what comes, and counts what it had at each flush ---- */

struct tail {
        struct flow_sink sink;
        size_t flushes, at_flush;
};

static int watch(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct tail *t = t_arg(c);

        (void)self;
        (void)out;
        if (in->flush) {
                assert_int_equal(in->len, 0);
                t->flushes++;
                t->at_flush = t->sink.bytes;
        }
        if (in->len)
                flow_keep(&t->sink, in->data, in->len);
        in->consumed = in->len;
        return 0;
}
static const struct sluice_stage_ops watch_ops = T_FUNCTION(watch);

/* ---- what is between; returns the last stage ---- */

static int behind(struct sluice_pipeline *p, int from, int stage)
{
        t_ok(sluice_pipeline_link(p, from, t_ok(stage)));
        return stage;
}

static int all(void *arg, const char *line, size_t bytes)
{
        (void)arg;
        (void)line;
        (void)bytes;
        return 1;
}

static int par_of(struct sluice_pipeline *p, int from, struct sluice_pipeline *inner, int unordered)
{
        const struct sluice_par_options o = { .size = sizeof(o), .part_bytes = 4096, .unordered = unordered };
        int stage = t_ok(sluice_add_par(p, 2, inner, &o, NULL, 0));

        sluice_pipeline_free(inner);
        return behind(p, from, stage);
}

static int nothing(struct sluice_pipeline *p, int from)
{
        (void)p;
        return from;
}

static int zstd(struct sluice_pipeline *p, int from)
{
        return behind(p, behind(p, from, sluice_add_compress(p, 3)), sluice_add_decompress(p));
}

static int line_stages(struct sluice_pipeline *p, int from)
{
        from = behind(p, from, sluice_add_lines(p, 0));
        from = behind(p, from, sluice_add_filter(p, all, NULL, 0));
        from = behind(p, from, sluice_add_count(p));
        return behind(p, from, sluice_add_drop(p, NULL));
}

static int tees(struct sluice_pipeline *p, int from)
{
        int tee = behind(p, from, sluice_add_tee(p, 0));

        behind(p, zstd(p, tee), sluice_add_count(p));
        return tee;
}

static int merged(struct sluice_pipeline *p, int from)
{
        return behind(p, from, sluice_add_merge(p, SLUICE_MERGE_LINES, 0));
}

static int concatenated(struct sluice_pipeline *p, int from)
{
        return behind(p, zstd(p, from), sluice_add_merge(p, SLUICE_MERGE_CONCAT, 0));
}

static int in_turns(struct sluice_pipeline *p, int from)
{
        return behind(p, from, sluice_add_merge(p, SLUICE_MERGE_TURNS, 0));
}

static int copies_filter(struct sluice_pipeline *p, int from)
{
        struct sluice_pipeline *inner = t_new(NULL);

        t_ok(sluice_add_filter(inner, all, NULL, 0));
        return par_of(p, from, inner, 0);
}

static int copies_in_any_order(struct sluice_pipeline *p, int from)
{
        struct sluice_pipeline *inner = t_new(NULL);

        t_ok(sluice_add_filter(inner, all, NULL, 0));
        return par_of(p, from, inner, 1);
}

static int copies_compress(struct sluice_pipeline *p, int from)
{
        struct sluice_pipeline *inner = t_new(NULL);

        t_ok(sluice_add_compress(inner, 1));
        return behind(p, par_of(p, from, inner, 0), sluice_add_decompress(p));
}

static int everything(struct sluice_pipeline *p, int from)
{
        return copies_compress(p, merged(p, tees(p, zstd(p, line_stages(p, from)))));
}

typedef int between_fn(struct sluice_pipeline *p, int from);

static const struct {
        const char *name;
        between_fn *add;
        bool orders; /* where it does not, pieces of several parts may be in any order */
} betweens[] = {
        { "nothing", nothing, true },
        { "zstd", zstd, true },
        { "lines", line_stages, true },
        { "tee", tees, true },
        { "merge", merged, true },
        { "concat", concatenated, true },
        { "turns", in_turns, true },
        { "par", copies_filter, true },
        { "par, in any order", copies_in_any_order, false },
        { "par of compress", copies_compress, true },
        { "everything", everything, true },
};

/* ---- runs ---- */

static void begin(struct spurts *s, const char *text, size_t bytes, bool apart)
{
        *s = (struct spurts){ .text = text, .bytes = bytes, .rounds = ROUNDS, .apart = apart };
        for (int i = 0; i < ROUNDS; i++)
                s->events[i] = flow_event();
}

static void pass(size_t which, const char *text, size_t bytes, bool apart)
{
        const char *name = betweens[which].name;
        struct sluice_pipeline *p = t_new(NULL);
        struct tail t = { 0 };
        struct spurts s;
        struct flow_run r;

        begin(&s, text, bytes, apart);
        behind(p, betweens[which].add(p, t_ok(sluice_pipeline_add(p, &spurt_ops, &s, NULL))),
               sluice_pipeline_add(p, &watch_ops, &t, NULL));
        flow_start(&r, p);
        for (int i = 0; i < ROUNDS; i++) {
                size_t so_far = (size_t)(i + 1) * bytes;

                flow_settle(&r);
                flow_raise(s.events[i]);
                if (i == ROUNDS - 1)
                        break; /* behind the last one the source ends */
                flow_settle(&r);
                if (t.sink.bytes != so_far)
                        fail_msg("%s: %zu of %zu bytes came in round %d", name, t.sink.bytes, so_far, i);
                if (t.flushes != (size_t)i + 1 || t.at_flush != so_far)
                        fail_msg("%s: %zu flushes in round %d, the last behind %zu of %zu bytes", name, t.flushes, i, t.at_flush,
                                 so_far);
        }
        flow_finish(&r, 0);
        if (betweens[which].orders)
                flow_check(&t.sink, text, ROUNDS * bytes);
        else
                assert_int_equal(t.sink.bytes, ROUNDS * bytes);
        free(t.sink.data);
        sluice_pipeline_free(p);
}

static void test_small_pieces(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(betweens); i++)
                for (int apart = 0; apart < 2; apart++)
                        pass(i, "one\ntwo\nsix\nten\n", 4, apart);
}

/* More than a part, less than a buffer. */
static void test_large_pieces(void **state)
{
        enum { BYTES = 50000 };
        unsigned seed = 3;
        char *text = flow_lines('x', ROUNDS * BYTES, 300, &seed);

        (void)state;
        for (int i = 1; i <= ROUNDS; i++)
                text[i * BYTES - 1] = '\n';
        for (size_t i = 0; i < T_NR(betweens); i++)
                for (int apart = 0; apart < 2; apart++)
                        pass(i, text, BYTES, apart);
        free(text);
}

/* What is behind need not be a function: a command has what was flushed, and answers, before there is more. */
static void test_to_a_command_and_back(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct tail t = { 0 };
        struct spurts s;
        struct flow_run r;
        int cat;

        (void)state;
        begin(&s, "one\ntwo\nsix\nten\n", 4, false);
        cat = behind(p, zstd(p, t_ok(sluice_pipeline_add(p, &spurt_ops, &s, NULL))), sluice_add_command(p, T_ARGV("cat"), NULL));
        behind(p, cat, sluice_pipeline_add(p, &watch_ops, &t, NULL));
        flow_start(&r, p);
        for (int i = 0; i < ROUNDS; i++) {
                flow_raise(s.events[i]);
                while (r.result == 1 && t.sink.bytes < 4 * ((size_t)i + 1))
                        assert_true(sluice_loop_turn(r.loop, -1) >= 0);
        }
        flow_finish(&r, 0);
        flow_check(&t.sink, s.text, ROUNDS * 4);
        sluice_pipeline_free(p);
}

/* Without a word of it nothing is given early: else none of this would show anything. */
static void test_compress_holds_back(void **state)
{
        struct flow_text from = { .data = "one\n", .bytes = 4, .hold = flow_event(), .hold_at = 4 };
        struct sluice_pipeline *p = t_new(NULL);
        struct tail t = { 0 };
        struct flow_run r;

        (void)state;
        behind(p, zstd(p, flow_add_text(p, &from)), sluice_pipeline_add(p, &watch_ops, &t, NULL));
        flow_start(&r, p);
        flow_settle(&r);
        assert_int_equal(t.sink.bytes, 0);
        flow_raise(from.hold);
        flow_finish(&r, 0);
        flow_check(&t.sink, "one\n", 4);
        sluice_pipeline_free(p);
        close(from.hold);
}

/* A source that says so behind every byte, many times over, to a reader that takes nothing: the queue of a link is bounded. */
static int mutter(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        unsigned *left = t_arg(c);

        (void)self;
        (void)in;
        if ((*left)-- == 0)
                return SLUICE_END;
        out->flush = 1;
        out->data[0] = 'm';
        out->len = *left % 3 == 0;
        return 0;
}
static const struct sluice_stage_ops mutter_ops = {
        .size = sizeof(mutter_ops),
        .name = "mutter",
        .instance_size = sizeof(int),
        .describe = spurt_describe,
        .open = t_function_open,
        .process = mutter,
        .close = t_function_close,
};

static void test_many_flushes_are_bounded(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(betweens); i++) {
                unsigned left = 3000;
                struct flow_sink k = { .hold = flow_event(), .hold_at = 1 };
                struct sluice_pipeline *p = t_new(NULL);
                struct flow_run r;

                behind(p, betweens[i].add(p, t_ok(sluice_pipeline_add(p, &mutter_ops, &left, NULL))), flow_add_sink(p, &k));
                flow_start(&r, p);
                flow_settle(&r);
                if (r.result == 1)
                        flow_raise(k.hold);
                flow_finish(&r, 0);
                if (betweens[i].add != line_stages && betweens[i].add != everything) /* a drop may drop */
                        assert_true(k.bytes >= 1000);
                sluice_pipeline_free(p);
                free(k.data);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_small_pieces),
                T_TEST(test_large_pieces),
                T_TEST(test_to_a_command_and_back),
                T_TEST(test_compress_holds_back),
                T_TEST(test_many_flushes_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
