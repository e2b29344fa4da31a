/* functions_cross.c: a stage of the host's own, working on memory, as source, sink and in the middle: every byte exact,
 * one copy, and one that does nothing fails rather than spins. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sluice/stage.h>

#include "fixture.h"

/* What all functions here share: how much, and how they were treated. */
struct task {
        uint64_t bytes, limit;
        size_t step; /* bytes per call at most; 0: all there is room for */
        int64_t mismatch;
        unsigned closes, ends;
        int error, fail_with;
};

struct self {
        struct task *task;
};

static int describe(struct sluice_ctx *c, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)c;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static int open_task(struct sluice_ctx *c, void *self)
{
        ((struct self *)self)->task = *(struct task *const *)sluice_ctx_config(c);
        return 0;
}

static void close_task(struct sluice_ctx *c, void *self, int error)
{
        struct task *t = ((struct self *)self)->task;

        (void)c;
        t->closes++;
        t->error = error;
}

static size_t less(const struct task *t, size_t bytes)
{
        return t->step && bytes > t->step ? t->step : bytes;
}

static int make(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct task *t = ((struct self *)self)->task;
        size_t n = less(t, out->cap);

        (void)c;
        assert_null(in);
        if (n > t->limit - t->bytes)
                n = (size_t)(t->limit - t->bytes);
        t_pattern(out->data, n, t->bytes);
        t->bytes += n;
        out->len = n;
        out->end = t->bytes == t->limit;
        return 0;
}

static int take(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct task *t = ((struct self *)self)->task;
        size_t n = less(t, in->len);

        (void)c;
        assert_null(out);
        t->ends += in->end && n == in->len;
        if (t->fail_with && t->bytes >= 5000)
                return t->fail_with;
        if (t->mismatch < 0)
                t->mismatch = t_mismatch(in->data, n, t->bytes);
        t->bytes += n;
        in->consumed = n;
        return t->limit && t->bytes >= t->limit ? SLUICE_END : 0;
}

/* Every bit turned over. */
static int turn(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct task *t = ((struct self *)self)->task;
        size_t n = less(t, in->len < out->cap ? in->len : out->cap);

        (void)c;
        t->ends += in->end && n == in->len;
        for (size_t i = 0; i < n; i++)
                out->data[i] = (uint8_t)~in->data[i];
        t->bytes += n;
        in->consumed = out->len = n;
        return 0;
}

static int idle(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)c;
        (void)self;
        (void)in;
        (void)out;
        return 0;
}

#define OPS(what, fn)                                                                                                              \
        static const struct sluice_stage_ops what##_ops = {                                                                        \
                .size = sizeof(struct sluice_stage_ops),                                                                           \
                .name = #what,                                                                                                     \
                .instance_size = sizeof(struct self),                                                                              \
                .describe = describe,                                                                                              \
                .open = open_task,                                                                                                 \
                .process = fn,                                                                                                     \
                .close = close_task,                                                                                               \
        }
OPS(make, make);
OPS(take, take);
OPS(turn, turn);
OPS(idle, idle);

static const size_t steps[] = { 0, 1000, 4096 };
static const uint64_t sizes[] = { 0, 1, 65536, 65537, 3 * T_MIB + 7 };

static void check_link(const struct sluice_pipeline *p, int link, uint64_t bytes)
{
        struct sluice_stats s = t_stats(p, link);

        assert_int_equal(s.mode, SLUICE_LINK_CROSS);
        assert_int_equal(s.bytes.value, bytes);
        assert_int_equal(s.bytes_copied.value, bytes);
        assert_int_equal(s.bytes_spliced.value, 0);
}

static void test_source(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(sizes) * T_NR(steps); i++) {
                struct task t = { .limit = sizes[i / T_NR(steps)], .step = steps[i % T_NR(steps)] }, *config = &t;
                struct sluice_pipeline *p = t_new(NULL);

                t_ok(sluice_pipeline_add(p, &make_ops, &config, NULL));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run(p, 0);
                check_link(p, 0, t.limit);
                sluice_pipeline_free(p);
                t_check_file(t_path("b"), t.limit, 0);
                assert_int_equal(t.closes, 1);
                assert_int_equal(t.error, 0);
        }
}

static void test_sink(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(sizes) * T_NR(steps); i++) {
                struct task t = { .mismatch = -1, .step = steps[i % T_NR(steps)] }, *config = &t;
                struct sluice_pipeline *p = t_new(NULL);
                uint64_t bytes = sizes[i / T_NR(steps)];

                t_make(t_path("a"), bytes);
                t_ok(sluice_add_file(p, t_path("a"), NULL));
                t_ok(sluice_pipeline_add(p, &take_ops, &config, NULL));
                t_chain(p);
                t_run(p, 0);
                check_link(p, 0, bytes);
                sluice_pipeline_free(p);
                assert_int_equal(t.mismatch, -1);
                assert_int_equal(t.bytes, bytes);
                assert_int_equal(t.ends, 1);
                assert_int_equal(t.closes, 1);
        }
}

/* Twice over makes the same again: file | turn | cat | turn | file. */
static void test_transform(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(sizes) * T_NR(steps); i++) {
                struct task t = { .step = steps[i % T_NR(steps)] }, u = t, *first = &t, *second = &u;
                struct sluice_pipeline *p = t_new(NULL);
                uint64_t bytes = sizes[i / T_NR(steps)];

                t_make(t_path("a"), bytes);
                t_ok(sluice_add_file(p, t_path("a"), NULL));
                t_ok(sluice_pipeline_add(p, &turn_ops, &first, NULL));
                t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
                t_ok(sluice_pipeline_add(p, &turn_ops, &second, NULL));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run_free(p, 0);
                t_check_file(t_path("b"), bytes, 0);
                assert_int_equal(t.bytes, bytes);
                assert_int_equal(u.bytes, bytes);
                assert_int_equal(t.closes + u.closes, 2);
        }
}

static void test_transform_turns(void **state)
{
        struct task t = { 0 }, *config = &t;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make_text(t_path("a"), "\x9e\x9d\x9c");
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_pipeline_add(p, &turn_ops, &config, NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_check_text(t_path("b"), "abc");
}

static void test_idle_is_a_protocol_error(void **state)
{
        (void)state;
        for (int i = 0; i < 3; i++) {
                struct task t = { 0 }, *config = &t;
                struct sluice_pipeline *p = t_new(NULL);
                int stage;

                if (i > 0)
                        t_ok(sluice_add_zero(p, 100));
                stage = t_ok(sluice_pipeline_add(p, &idle_ops, &config, "lazy"));
                if (i < 2)
                        t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run(p, -EPROTO);
                assert_int_equal(sluice_pipeline_error_stage(p), stage);
                assert_non_null(strstr(sluice_pipeline_error(p), "lazy"));
                sluice_pipeline_free(p);
                assert_int_equal(t.closes, 1);
                assert_int_equal(t.error, -EPROTO);
        }
}

/* A sink that wants no more ends the source, and that is no failure. */
static void test_sink_that_has_enough(void **state)
{
        struct task t = { .limit = 5000, .mismatch = -1, .step = 1000 }, *config = &t;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_pipeline_add(p, &take_ops, &config, NULL));
        t_chain(p);
        t_run_free(p, 0);
        assert_int_equal(t.bytes, 5000);
        assert_int_equal(t.closes, 1);
        assert_int_equal(t_children(), 0);
}

static void test_sink_that_fails(void **state)
{
        struct task t = { .fail_with = -EILSEQ, .mismatch = -1, .step = 1000 }, *config = &t;
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_pipeline_add(p, &take_ops, &config, NULL));
        t_chain(p);
        t_run(p, -EILSEQ);
        assert_int_equal(sluice_pipeline_error_stage(p), 1);
        sluice_pipeline_free(p);
        assert_int_equal(t.error, -EILSEQ);
        assert_int_equal(t.closes, 1);
}

static void test_forbidden_copy(void **state)
{
        struct task t = { .limit = 1 }, *config = &t;
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_FORBID_COPY));

        (void)state;
        t_ok(sluice_pipeline_add(p, &make_ops, &config, NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, -EOPNOTSUPP);
        assert_int_equal(t.closes, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_source),
                T_TEST(test_sink),
                T_TEST(test_transform),
                T_TEST(test_transform_turns),
                T_TEST(test_idle_is_a_protocol_error),
                T_TEST(test_sink_that_has_enough),
                T_TEST(test_sink_that_fails),
                T_TEST(test_forbidden_copy),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
