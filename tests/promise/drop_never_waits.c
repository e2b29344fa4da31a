/* drop_never_waits.c: what feeds a drop comes to its end though nobody takes anything behind it; what arrives is whole lines in
 * their order; and what arrived and what it says it dropped is together all that was sent, to the byte and the line. */
#include "flow.h"

#define T_DROP(...) (&(const struct sluice_drop_options){ .size = sizeof(struct sluice_drop_options), __VA_ARGS__ })

static uint64_t said(const struct sluice_pipeline *p, int stage, const char *name)
{
        struct sluice_stage_result r = t_result(p, stage);

        for (size_t i = 0; i < SLUICE_REPORTS_MAX && r.reports[i].name; i++)
                if (strcmp(r.reports[i].name, name) == 0)
                        return strtoull(r.reports[i].value, NULL, 10);
        fail_msg("it does not report '%s'", name);
        return 0;
}

static size_t lines_in(const char *text, size_t bytes)
{
        size_t nr = 0;

        for (size_t i = 0; i < bytes; i++)
                nr += text[i] == '\n';
        return nr + (bytes > 0 && text[bytes - 1] != '\n');
}

/* What came is lines of the text, each whole, in their order. The same line is in the text once: they are numbered. */
static void check_subsequence(const struct flow_sink *k, const char *text)
{
        const char *at = text;

        for (size_t i = 0, n; i < k->bytes; i += n) {
                const char *newline = memchr(k->data + i, '\n', k->bytes - i);

                n = newline ? (size_t)(newline - (k->data + i)) + 1 : k->bytes - i;
                while (*at && strncmp(at, k->data + i, n) != 0) {
                        at = strchr(at, '\n');
                        if (!at)
                                fail_msg("a line at %zu came that is none: %.*s", i, (int)n, k->data + i);
                        at++;
                }
                if (!*at)
                        fail_msg("a line at %zu came that is none: %.*s", i, (int)n, k->data + i);
                at += n;
        }
}

/* Numbered lines of different lengths; `newline`: also behind the last. Yours to free. */
static char *numbered(size_t bytes, bool newline, unsigned *seed)
{
        char *text = malloc(bytes + 400);
        size_t n = 0;

        assert_non_null(text);
        for (unsigned i = 0; n < bytes; i++) {
                n += (size_t)sprintf(text + n, "%u:", i);
                for (int k = rand_r(seed) % 300; k > 0; k--)
                        text[n++] = (char)('a' + k % 26);
                text[n++] = '\n';
        }
        if (!newline)
                n--;
        text[n] = '\0';
        return text;
}

/* ---- the reader takes `before` bytes, then nothing until all is sent ---- */

static void held(size_t bytes, size_t before, bool newline, size_t piece, bool records, unsigned seed)
{
        char *text = numbered(bytes, newline, &seed);
        struct flow_text from = { .data = text, .bytes = strlen(text), .piece = piece, .seed = seed | 1 };
        struct flow_sink k = { .hold = flow_event(), .hold_at = before };
        struct sluice_pipeline *p = t_new(NULL);
        struct flow_run r;
        int drop;

        flow_add_text(p, &from);
        drop = t_ok(sluice_add_drop(p, records ? NULL : T_DROP(.no_records = 1)));
        flow_add_sink(p, &k);
        t_chain(p);
        flow_start(&r, p);
        flow_settle(&r);
        assert_int_equal(from.at, from.bytes); /* nobody waited */
        if (r.result == 1)                     /* a text in a single piece is taken before anything is held */
                flow_raise(k.hold);
        flow_finish(&r, 0);
        assert_int_equal(k.bytes + said(p, drop, "dropped"), from.bytes);
        if (records) {
                check_subsequence(&k, text);
                assert_int_equal(lines_in(k.data, k.bytes) + said(p, drop, "dropped_lines"), lines_in(text, from.bytes));
                assert_int_equal(k.broken, 0);
        }
        if (bytes > 4 * T_MIB)
                assert_true(said(p, drop, "dropped") > 0);
        t_verdict(p, drop, SLUICE_VERDICT_OK);
        sluice_pipeline_free(p);
        free(k.data);
        free(text);
}

static void test_a_reader_that_takes_nothing(void **state)
{
        unsigned seed = flow_seed();

        (void)state;
        for (int i = 0; i < 16; i++)
                held(i % 4 == 3 ? 6 * T_MIB : 10000 << i % 4, i % 2 ? 5000 : 0, i & 4, i < 8 ? 700 : 262144, true,
                     seed + (unsigned)i);
        held(6 * T_MIB, 0, true, 100000, false, seed);
        held(6 * T_MIB, 5000, false, 1000, false, seed);
}

/* Small pieces: the queue is of buffers, and it fills by few bytes. */
static void test_small_pieces_are_counted(void **state)
{
        (void)state;
        for (unsigned seed = 1; seed < 30; seed++)
                held(20000, seed * 3, seed % 2, seed, true, seed);
}

/* ---- a reader that takes everything ---- */

static void test_nothing_is_dropped_for_a_quick_reader(void **state)
{
        unsigned seed = 4;
        char *text = numbered(300000, false, &seed);
        struct flow_text from = { .data = text, .bytes = strlen(text), .piece = 1000 };
        struct flow_sink k = { 0 };
        struct sluice_pipeline *p = t_new(NULL);
        int drop;

        (void)state;
        flow_add_text(p, &from);
        drop = t_ok(sluice_add_drop(p, NULL));
        flow_add_sink(p, &k);
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(k.bytes + said(p, drop, "dropped"), from.bytes);
        check_subsequence(&k, text);
        sluice_pipeline_free(p);
        free(k.data);
        free(text);
}

static void test_nothing_comes_of_nothing(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct flow_sink k = { 0 };
        int drop;

        (void)state;
        t_ok(sluice_add_memory(p, "", 0));
        drop = t_ok(sluice_add_drop(p, NULL));
        flow_add_sink(p, &k);
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(said(p, drop, "dropped"), 0);
        assert_int_equal(k.bytes, 0);
        sluice_pipeline_free(p);
}

/* ---- a command that reads nothing, until the source has ended ---- */

static void test_before_a_command_that_sleeps(void **state)
{
        unsigned seed = 6;
        char *text = numbered(12 * T_MIB, true, &seed), *out, script[400];
        struct flow_text from = { .data = text, .bytes = strlen(text), .piece = 100000 };
        struct sluice_pipeline *p = t_new(NULL);
        struct flow_run r;
        size_t n = 0;
        FILE *f;
        int drop;

        (void)state;
        snprintf(script, sizeof(script), "until [ -e %s ]; do sleep 0.01; done; exec cat >%s", t_path("go"), t_path("out"));
        flow_add_text(p, &from);
        drop = t_ok(sluice_add_drop(p, NULL));
        t_sh(p, script, NULL);
        t_chain(p);
        flow_start(&r, p);
        while (r.result == 1 && from.at < from.bytes) /* more than pipe and queue hold: it gets there because lines are dropped */
                assert_true(sluice_loop_turn(r.loop, 1000) >= 0);
        assert_int_equal(from.at, from.bytes);
        t_make_text(t_path("go"), "");
        flow_finish(&r, 0);
        f = fopen(t_path("out"), "r");
        out = malloc(from.bytes + 1);
        n = fread(out, 1, from.bytes, f);
        fclose(f);
        assert_true(said(p, drop, "dropped") > 0);
        assert_int_equal(n + said(p, drop, "dropped"), from.bytes);
        assert_int_equal(lines_in(out, n) + said(p, drop, "dropped_lines"), lines_in(text, from.bytes));
        check_subsequence(&(struct flow_sink){ .data = out, .bytes = n }, text);
        sluice_pipeline_free(p);
        free(out);
        free(text);
}

/* ---- in a branch ---- */

/* Behind a tee the other branch has everything, though this one takes nothing. */
static void test_in_a_branch(void **state)
{
        unsigned seed = 8;
        char *text = numbered(5 * T_MIB, true, &seed);
        struct flow_text from = { .data = text, .bytes = strlen(text), .piece = 50000 };
        struct flow_sink slow = { .hold = flow_event() }, quick = { 0 };
        struct sluice_pipeline *p = t_new(NULL);
        struct flow_run r;
        int source = flow_add_text(p, &from), tee = t_ok(sluice_add_tee(p, 0)), drop = t_ok(sluice_add_drop(p, NULL));

        (void)state;
        t_ok(sluice_pipeline_link(p, source, tee));
        t_ok(sluice_pipeline_link(p, tee, drop));
        t_ok(sluice_pipeline_link(p, drop, flow_add_sink(p, &slow)));
        t_ok(sluice_pipeline_link(p, tee, flow_add_sink(p, &quick)));
        flow_start(&r, p);
        flow_settle(&r);
        assert_int_equal(r.result, 1);
        assert_int_equal(quick.bytes, from.bytes);
        flow_raise(slow.hold);
        flow_finish(&r, 0);
        assert_int_equal(slow.bytes + said(p, drop, "dropped"), from.bytes);
        check_subsequence(&slow, text);
        flow_check(&quick, text, from.bytes);
        sluice_pipeline_free(p);
        free(slow.data);
        free(text);
}

/* Concatenated later, a drop lets the diamond through: the first branch is whole. */
static void test_a_diamond_with_a_drop(void **state)
{
        unsigned seed = 8;
        char *text = numbered(5 * T_MIB, true, &seed);
        struct flow_text from = { .data = text, .bytes = strlen(text), .piece = 50000 };
        struct flow_sink k = { 0 };
        struct sluice_pipeline *p = t_new(NULL);
        int source = flow_add_text(p, &from), tee = t_ok(sluice_add_tee(p, 0)), drop = t_ok(sluice_add_drop(p, NULL));
        int concat = t_ok(sluice_add_merge(p, SLUICE_MERGE_CONCAT, 0));

        (void)state;
        t_ok(sluice_pipeline_link(p, source, tee));
        t_ok(sluice_pipeline_link(p, tee, concat));
        t_ok(sluice_pipeline_link(p, tee, drop));
        t_ok(sluice_pipeline_link(p, drop, concat));
        t_ok(sluice_pipeline_link(p, concat, flow_add_sink(p, &k)));
        t_run(p, 0);
        assert_int_equal(k.bytes + said(p, drop, "dropped"), 2 * from.bytes);
        assert_memory_equal(k.data, text, from.bytes);
        sluice_pipeline_free(p);
        free(k.data);
        free(text);
}

/* ---- too long, refused ---- */

static void test_long_lines(void **state)
{
        (void)state;
        for (int line = 10; line < 13; line++)
                for (size_t piece = 1; piece < 14; piece += 4) {
                        struct flow_text from = { .data = "ok\n0123456789ab", .bytes = 3 + (size_t)line, .piece = piece };
                        struct flow_sink k = { 0 };
                        struct sluice_pipeline *p = t_new(NULL);

                        flow_add_text(p, &from);
                        t_ok(sluice_add_drop(p, T_DROP(.max_bytes = 11)));
                        flow_add_sink(p, &k);
                        t_chain(p);
                        t_run(p, line > 11 ? -EMSGSIZE : 0);
                        if (line > 11)
                                assert_non_null(strstr(sluice_pipeline_error(p), "line 2"));
                        sluice_pipeline_free(p);
                        free(k.data);
                }
}

static void test_refusals(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        assert_int_equal(sluice_add_drop(p, T_DROP(.max_bytes = (128 << 10) + 1)), -EINVAL);
        assert_int_equal(sluice_add_drop(p, &(const struct sluice_drop_options){ 0 }), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_a_reader_that_takes_nothing),
                T_TEST(test_small_pieces_are_counted),
                T_TEST(test_nothing_is_dropped_for_a_quick_reader),
                T_TEST(test_nothing_comes_of_nothing),
                T_TEST(test_before_a_command_that_sleeps),
                T_TEST(test_in_a_branch),
                T_TEST(test_a_diamond_with_a_drop),
                T_TEST(test_long_lines),
                T_TEST(test_refusals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
