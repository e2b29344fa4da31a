/* tee_passes_references.c: between functions a tee passes the same memory to all its branches and copies nothing; where fds and
 * memory are mixed every branch has every byte all the same; who has enough or fails is left out, or with strict ends the rest;
 * and when nobody is left, what feeds the tee is told. */
#include "flow.h"

enum { PIECES = 4096, BYTES = 3 * T_MIB + 11 };

/* ---- who sees what, where ---- */

struct piece {
        const uint8_t *at;
        size_t bytes;
};

struct trail {
        struct piece pieces[PIECES];
        size_t nr;
        uint64_t bytes;
        int64_t mismatch;
};

static int follow(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct trail *t = t_arg(c);

        (void)self;
        if (in->len == 0)
                return 0;
        assert_true(t->nr < PIECES);
        t->pieces[t->nr++] = (struct piece){ in->data, in->len };
        if (t->mismatch < 0)
                t->mismatch = t_mismatch(in->data, in->len, t->bytes);
        t->bytes += in->len;
        if (out)
                return sluice_forward(c, in->len);
        in->consumed = in->len;
        return 0;
}
static const struct sluice_stage_ops follow_ops = T_FUNCTION(follow);

static struct trail *new_trail(void)
{
        struct trail *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        t->mismatch = -1;
        return t;
}

static void link_to(struct sluice_pipeline *p, int from, int to)
{
        t_ok(sluice_pipeline_link(p, from, to));
}

/* Through `depth` tees, each with a reader of its own and the next tee. */
static void test_the_same_memory(void **state)
{
        enum { DEPTH = 4 };
        struct trail *first = new_trail(), *readers[DEPTH * 2];
        struct sluice_pipeline *p = t_new(NULL);
        int from = t_ok(sluice_add_generate(p, BYTES)), tee;

        (void)state;
        link_to(p, from, t_ok(sluice_pipeline_add(p, &follow_ops, first, NULL)));
        from = 1;
        for (int i = 0; i < DEPTH * 2; i++) {
                readers[i] = new_trail();
                if (i % 2 == 0) {
                        tee = t_ok(sluice_add_tee(p, i & 2));
                        link_to(p, from, tee);
                        from = tee;
                }
                link_to(p, from, t_ok(sluice_pipeline_add(p, &follow_ops, readers[i], NULL)));
        }
        t_run(p, 0);
        for (int l = 0; l < sluice_pipeline_links(p); l++) {
                assert_int_equal(sluice_pipeline_link_mode(p, l), SLUICE_LINK_HANDOVER);
                assert_int_equal(t_stats(p, l).bytes_copied.value, 0);
                assert_int_equal(t_stats(p, l).bytes.value, BYTES);
        }
        sluice_pipeline_free(p);
        for (int i = 0; i < DEPTH * 2; i++) {
                assert_int_equal(readers[i]->nr, first->nr);
                assert_memory_equal(readers[i]->pieces, first->pieces, first->nr * sizeof(first->pieces[0]));
                assert_int_equal(readers[i]->bytes, BYTES);
                assert_int_equal(readers[i]->mismatch, -1);
                free(readers[i]);
        }
        free(first);
}

/* One consumes by bits and at its leisure, the other has all at once: the memory stays as it is until both have let go. */
static int nibble(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct trail *t = t_arg(c);
        size_t n = in->len < 777 ? in->len : 777;

        (void)self;
        (void)out;
        if (t->mismatch < 0)
                t->mismatch = t_mismatch(in->data, n, t->bytes);
        t->bytes += n;
        in->consumed = n;
        return 0;
}
static const struct sluice_stage_ops nibble_ops = T_FUNCTION(nibble);

static void test_memory_stays_until_all_let_go(void **state)
{
        struct trail *slow = new_trail(), *quick = new_trail();
        struct sluice_pipeline *p = t_new(NULL);
        int from = t_ok(sluice_add_generate(p, BYTES)), tee = t_ok(sluice_add_tee(p, 0));

        (void)state;
        link_to(p, from, tee);
        link_to(p, tee, t_ok(sluice_pipeline_add(p, &nibble_ops, slow, NULL)));
        link_to(p, tee, t_ok(sluice_pipeline_add(p, &follow_ops, quick, NULL)));
        t_run_free(p, 0);
        assert_int_equal(slow->bytes, BYTES);
        assert_int_equal(slow->mismatch, -1);
        assert_int_equal(quick->bytes, BYTES);
        assert_int_equal(quick->mismatch, -1);
        free(slow);
        free(quick);
}

/* The slowest rules: when it takes nothing, the other gets what is on the way and no more. */
static void test_the_slowest_rules(void **state)
{
        struct flow_text from = { .data = calloc(1, 16 * T_MIB), .bytes = 16 * T_MIB };
        struct flow_sink slow = { .hold = flow_event() }, quick = { 0 };
        struct sluice_pipeline *p = t_new(NULL);
        struct flow_run r;
        int source = flow_add_text(p, &from), tee = t_ok(sluice_add_tee(p, 0));

        (void)state;
        link_to(p, source, tee);
        link_to(p, tee, flow_add_sink(p, &slow));
        link_to(p, tee, flow_add_sink(p, &quick));
        flow_start(&r, p);
        flow_settle(&r);
        assert_int_equal(r.result, 1);
        assert_true(quick.bytes < from.bytes / 2);
        flow_raise(slow.hold);
        flow_finish(&r, 0);
        flow_check(&slow, from.data, from.bytes);
        flow_check(&quick, from.data, from.bytes);
        sluice_pipeline_free(p);
        free((char *)(uintptr_t)from.data);
}

/* ---- mixed ---- */

static int copy(void *arg, struct sluice_stream *io)
{
        struct trail *t = arg;
        uint8_t data[10000];
        ssize_t n;

        while ((n = sluice_read(io, data, sizeof(data))) > 0) {
                if (t->mismatch < 0)
                        t->mismatch = t_mismatch(data, (size_t)n, t->bytes);
                t->bytes += (size_t)n;
        }
        return (int)n;
}

static void test_fds_and_memory(void **state)
{
        static const uint64_t sizes[] = { 0, 1, 65536, BYTES };

        (void)state;
        t_make(t_path("source"), BYTES);
        for (size_t s = 0; s < T_NR(sizes); s++)
                for (int from_file = 0; from_file < 2; from_file++)
                        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                                struct trail *memory = new_trail(), *thread = new_trail();
                                char script[200];
                                int source, tee, file;

                                if (from_file)
                                        source = t_ok(
                                                sluice_add_file(p, t_path("source"),
                                                                T_FILE(.flags = SLUICE_FILE_RANGE, .length = (int64_t)sizes[s])));
                                else
                                        source = t_ok(sluice_add_generate(p, (int64_t)sizes[s]));
                                tee = t_ok(sluice_add_tee(p, 0));
                                link_to(p, source, tee);
                                link_to(p, tee, t_ok(sluice_pipeline_add(p, &follow_ops, memory, NULL)));
                                file = t_ok(sluice_add_file(p, t_path("file"), NULL));
                                link_to(p, tee, file);
                                snprintf(script, sizeof(script), "exec cat >%s", t_path("command"));
                                link_to(p, tee, t_sh(p, script, NULL));
                                link_to(p, tee, t_ok(sluice_add_function(p, copy, thread, NULL)));
                                t_run_free(p, 0);
                                t_check_file(t_path("file"), sizes[s], 0);
                                t_check_file(t_path("command"), sizes[s], 0);
                                assert_int_equal(memory->bytes, sizes[s]);
                                assert_int_equal(memory->mismatch, -1);
                                assert_int_equal(thread->bytes, sizes[s]);
                                assert_int_equal(thread->mismatch, -1);
                                free(memory);
                                free(thread);
                        }
}

/* ---- who has enough, who fails ---- */

static int fail_at(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct trail *t = t_arg(c);

        (void)self;
        (void)out;
        t->bytes += in->len;
        in->consumed = in->len;
        return t->bytes > 300000 ? -ENOTUNIQ : 0;
}
static const struct sluice_stage_ops fail_at_ops = T_FUNCTION(fail_at);

static void test_one_that_fails(void **state)
{
        (void)state;
        for (int strict = 0; strict < 2; strict++) {
                struct trail *bad = new_trail(), *good = new_trail();
                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
                int from = t_ok(sluice_add_generate(p, strict ? -1 : BYTES)), tee = t_ok(sluice_add_tee(p, strict)), failing;

                link_to(p, from, tee);
                failing = t_ok(sluice_pipeline_add(p, &fail_at_ops, bad, NULL));
                link_to(p, tee, failing);
                link_to(p, tee, t_ok(sluice_pipeline_add(p, strict ? &nibble_ops : &follow_ops, good, NULL)));
                t_run(p, -ENOTUNIQ);
                assert_int_equal(t_failure(p).stage, failing);
                assert_int_equal(good->mismatch, -1);
                if (!strict)
                        assert_int_equal(good->bytes, BYTES);
                sluice_pipeline_free(p);
                free(bad);
                free(good);
        }
}

static void test_one_that_has_enough(void **state)
{
        (void)state;
        for (int strict = 0; strict < 2; strict++)
                for (int at = 0; at < 3; at++) { /* which of them */
                        struct flow_sink sinks[3] = { { 0 }, { 0 }, { 0 } };
                        struct sluice_pipeline *p = t_new(NULL);
                        int from = t_ok(sluice_add_generate(p, BYTES)), tee = t_ok(sluice_add_tee(p, strict));

                        sinks[at].enough = 100;
                        link_to(p, from, tee);
                        for (int i = 0; i < 3; i++)
                                link_to(p, tee, flow_add_sink(p, &sinks[i]));
                        t_run(p, 0);
                        for (int i = 0; i < 3; i++) {
                                if (i != at)
                                        assert_int_equal(sinks[i].bytes, BYTES);
                                assert_int_equal(t_mismatch(sinks[i].data, sinks[i].bytes, 0), -1);
                                free(sinks[i].data);
                        }
                        t_verdict(p, tee, SLUICE_VERDICT_OK);
                        sluice_pipeline_free(p);
                }
}

/* Nobody is left: an endless source ends, a silent one is not waited for. */
static void test_all_have_enough(void **state)
{
        (void)state;
        for (int silent = 0; silent < 2; silent++)
                for (int strict = 0; strict < 2; strict++) {
                        struct flow_text from = { .data = "some bytes", .bytes = 10, .hold = flow_event(), .hold_at = 10 };
                        struct flow_sink a = { .enough = 1 }, b = { .enough = 5 };
                        struct sluice_pipeline *p = t_new(NULL);
                        int source = silent ? flow_add_text(p, &from) : t_ok(sluice_add_generate(p, -1));
                        int tee = t_ok(sluice_add_tee(p, strict));

                        link_to(p, source, tee);
                        link_to(p, tee, flow_add_sink(p, &a));
                        link_to(p, tee, flow_add_sink(p, &b));
                        t_run(p, 0);
                        t_verdict(p, tee, SLUICE_VERDICT_EARLY);
                        sluice_pipeline_free(p);
                        free(a.data);
                        free(b.data);
                        close(from.hold);
                }
}

/* All fail: the first failure is the run's, and an endless source ends. */
static void test_all_fail(void **state)
{
        (void)state;
        for (int strict = 0; strict < 2; strict++) {
                struct trail *a = new_trail(), *b = new_trail();
                struct sluice_pipeline *p = t_new(NULL);
                int from = t_ok(sluice_add_generate(p, -1)), tee = t_ok(sluice_add_tee(p, strict));

                link_to(p, from, tee);
                link_to(p, tee, t_ok(sluice_pipeline_add(p, &fail_at_ops, a, NULL)));
                link_to(p, tee, t_ok(sluice_pipeline_add(p, &fail_at_ops, b, NULL)));
                t_run_free(p, -ENOTUNIQ);
                free(a);
                free(b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_the_same_memory),   T_TEST(test_memory_stays_until_all_let_go),
                T_TEST(test_the_slowest_rules), T_TEST(test_fds_and_memory),
                T_TEST(test_one_that_fails),    T_TEST(test_one_that_has_enough),
                T_TEST(test_all_have_enough),   T_TEST(test_all_fail),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
