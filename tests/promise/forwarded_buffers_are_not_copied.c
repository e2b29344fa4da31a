/* forwarded_buffers_are_not_copied.c: what a function passes on by sluice_forward() reaches the last one in the memory in
 * which the first one saw it, whole or in parts, and every byte exact; a call that may not forward is told so and has moved
 * nothing; a buffer that is lent is never read into. */
#include "parts.h"

enum { PIECES = 8192, BYTES = 3 * T_MIB + 7, MUCH = 50 * T_MIB };

struct piece {
        const uint8_t *at;
        size_t bytes;
};

/* From the first filter to the sink. */
struct trail {
        struct piece pieces[PIECES]; /* as they were passed on */
        size_t nr, seen;
        bool halves; /* never more than half of the input at a time */
        size_t strangers;
        uint64_t bytes;
        int64_t mismatch;
};

static int record(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct trail *t = t_arg(c);
        size_t n = t->halves && in->len > 1 ? in->len / 2 : in->len;

        (void)self;
        (void)out;
        if (n == 0)
                return 0;
        if (t->nr < PIECES)
                t->pieces[t->nr++] = (struct piece){ in->data, n };
        return sluice_forward(c, n);
}

static int compare(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct trail *t = t_arg(c);
        const struct piece *p = &t->pieces[t->seen];

        (void)self;
        (void)out;
        if (in->len == 0)
                return 0;
        t->strangers += t->seen >= t->nr || p->at != in->data || p->bytes != in->len;
        t->seen++;
        if (t->mismatch < 0)
                t->mismatch = t_mismatch(in->data, in->len, t->bytes);
        t->bytes += in->len;
        in->consumed = in->len;
        return 0;
}

static const struct sluice_stage_ops record_ops = T_FUNCTION(record), compare_ops = T_FUNCTION(compare);

static void check_link(const struct sluice_pipeline *p, int link, uint64_t bytes)
{
        struct sluice_stats s = t_stats(p, link);

        assert_int_equal(s.mode, SLUICE_LINK_HANDOVER);
        assert_int_equal(s.bytes.value, bytes);
        assert_int_equal(s.bytes_copied.value, 0);
        assert_int_equal(s.bytes_spliced.value, 0);
        assert_int_equal(s.bytes_inside, 0);
}

static void pass(uint64_t bytes, bool halves)
{
        struct trail *t = calloc(1, sizeof(*t));
        struct sluice_pipeline *p = t_new(NULL);

        assert_non_null(t);
        t->halves = halves;
        t->mismatch = -1;
        t_ok(sluice_add_generate(p, (int64_t)bytes));
        t_ok(sluice_pipeline_add(p, &record_ops, t, NULL));
        t_ok(sluice_add_count(p));
        t_ok(sluice_add_checksum(p, SLUICE_CHECKSUM_XXH3));
        t_ok(sluice_add_count(p));
        t_ok(sluice_pipeline_add(p, &compare_ops, t, NULL));
        t_chain(p);
        t_run(p, 0);
        for (int i = 0; i < sluice_pipeline_links(p); i++)
                check_link(p, i, bytes);
        sluice_pipeline_free(p);
        assert_int_equal(t->bytes, bytes);
        assert_int_equal(t->mismatch, -1);
        assert_int_equal(t->seen, t->nr);
        assert_int_equal(t->strangers, 0);
        free(t);
}

static const uint64_t sizes[] = { 0, 1, 7, 65537, 262144, 262145, BYTES };

static void test_the_same_memory(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(sizes); i++)
                pass(sizes[i], false);
}

static void test_parts_of_the_same_memory(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(sizes); i++)
                pass(sizes[i], true);
}

/* ---- a link that reads from an fd gets another buffer while its own is lent ---- */

static void from_file(struct sluice_pipeline *p, struct trail *t, bool halves)
{
        t->nr = 0;
        t->halves = halves;
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_pipeline_add(p, &record_ops, t, NULL));
        t_ok(sluice_add_count(p));
}

static void test_file_to_file(void **state)
{
        struct trail *t = calloc(1, sizeof(*t));

        (void)state;
        t_make(t_path("a"), MUCH);
        for (int halves = 0; halves < 2; halves++) {
                struct sluice_pipeline *p = t_new(NULL);

                from_file(p, t, halves);
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run_free(p, 0);
                t_check_file(t_path("b"), MUCH, 0);
        }
        free(t);
}

/* Whoever reads at the other end is a thread that checks as it goes: buffers wait for it. */
static void test_file_to_pipe(void **state)
{
        struct trail *t = calloc(1, sizeof(*t));

        (void)state;
        t_make(t_path("a"), MUCH);
        for (int halves = 0; halves < 2; halves++) {
                struct sluice_pipeline *p = t_new(NULL);
                struct t_peer reader = { 0 };
                int fds[2];

                t_pipe(fds);
                t_reader(&reader, fds[0], -1);
                from_file(p, t, halves);
                t_ok(sluice_add_fd(p, fds[1], SLUICE_OWN));
                t_chain(p);
                t_run_free(p, 0);
                t_join_exact(&reader, MUCH);
        }
        free(t);
}

/* ---- with the last word ---- */

struct cut {
        uint64_t left;
        int result;
};

/* Passes on so many bytes and no more. */
static int cut(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct cut *k = t_arg(c);
        size_t n = in->len < k->left ? in->len : (size_t)k->left;
        int r = n ? sluice_forward(c, n) : 0;

        (void)self;
        (void)out;
        k->left -= n;
        return r < 0 || k->left ? r : k->result;
}

static const struct sluice_stage_ops cut_ops = T_FUNCTION(cut);

static void test_passed_on_with_the_last_word(void **state)
{
        static const uint64_t lengths[] = { 1, 262143, 262144, 262145, BYTES };
        static const int results[] = { SLUICE_END, SLUICE_FINISH_EARLY };

        (void)state;
        for (size_t i = 0; i < T_NR(lengths) * T_NR(results); i++) {
                struct cut k = { .left = lengths[i / 2], .result = results[i % 2] };
                struct sluice_pipeline *p = t_new(NULL);

                t_ok(sluice_add_generate(p, -1));
                t_ok(sluice_pipeline_add(p, &cut_ops, &k, NULL));
                t_ok(sluice_add_count(p));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run(p, 0);
                t_verdict(p, 1, SLUICE_VERDICT_EARLY);
                sluice_pipeline_free(p);
                t_check_file(t_path("b"), lengths[i / 2], 0);
        }
}

/* ---- what may not be ---- */

struct answers {
        int too_much, nothing, first, again, opening, closing;
        unsigned calls;
};

/* Asks for all that is refused, in every call; what can be passed on is. */
static int misuse(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct answers *a = t_arg(c);
        size_t bytes = in ? in->len : 0;

        (void)self;
        if (bytes == 0 && in)
                return 0;
        a->calls++;
        a->too_much = sluice_forward(c, bytes + 1);
        a->nothing = sluice_forward(c, 0);
        a->first = sluice_forward(c, bytes ? bytes : 1);
        a->again = sluice_forward(c, 1);
        if (!out)
                in->consumed = bytes;
        return in ? 0 : SLUICE_END;
}

static int misuse_open(struct sluice_ctx *c, void *self)
{
        (void)self;
        ((struct answers *)t_arg(c))->opening = sluice_forward(c, 1);
        return 0;
}

static void misuse_close(struct sluice_ctx *c, void *self, int error)
{
        (void)self;
        (void)error;
        ((struct answers *)t_arg(c))->closing = sluice_forward(c, 1);
}

static const struct sluice_stage_ops misuse_ops = {
        .size = sizeof(misuse_ops),
        .name = "misuse",
        .instance_size = sizeof(int),
        .describe = t_function_describe,
        .open = misuse_open,
        .process = misuse,
        .close = misuse_close,
};

static void test_refusals(void **state)
{
        static const struct {
                bool input, output;
                int first, again;
        } places[] = { { true, true, 0, -EBUSY }, { true, false, -EINVAL, -EINVAL }, { false, true, -EINVAL, -EINVAL } };

        (void)state;
        t_make(t_path("a"), BYTES);
        for (size_t i = 0; i < T_NR(places); i++) {
                struct answers a = { 0 };
                struct sluice_pipeline *p = t_new(NULL);

                if (places[i].input)
                        t_ok(sluice_add_file(p, t_path("a"), NULL));
                t_ok(sluice_pipeline_add(p, &misuse_ops, &a, NULL));
                if (places[i].output)
                        t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run_free(p, 0);
                assert_true(a.calls > 0);
                assert_int_equal(a.too_much, -EINVAL);
                assert_int_equal(a.nothing, -EINVAL);
                assert_int_equal(a.first, places[i].first);
                assert_int_equal(a.again, places[i].again);
                assert_int_equal(a.opening, -EINVAL);
                assert_int_equal(a.closing, -EINVAL);
                if (places[i].output)
                        t_check_file(t_path("b"), places[i].input ? BYTES : 0, 0);
        }
}

/* ---- both ways at once, or less consumed than was passed on ---- */

static int forward_and_write(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        int r = in->len ? sluice_forward(c, in->len) : 0;

        (void)self;
        out->data[0] = '!';
        out->len = in->len ? 1 : 0;
        return r;
}

static int forward_and_take_back(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        int r = in->len ? sluice_forward(c, in->len) : 0;

        (void)self;
        (void)out;
        in->consumed = in->len / 2;
        return r;
}

static const struct sluice_stage_ops forward_and_write_ops = T_FUNCTION(forward_and_write),
                                     forward_and_take_back_ops = T_FUNCTION(forward_and_take_back);

static void contradict(const struct sluice_stage_ops *ops)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_generate(p, BYTES));
        t_ok(sluice_pipeline_add(p, ops, NULL, "greedy"));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, -EPROTO);
        assert_int_equal(sluice_pipeline_error_stage(p), 1);
        assert_non_null(strstr(sluice_pipeline_error(p), "greedy"));
        sluice_pipeline_free(p);
        t_check_file(t_path("b"), 0, 0);
}

static void test_forward_and_output_contradict(void **state)
{
        (void)state;
        contradict(&forward_and_write_ops);
}

static void test_what_was_passed_on_is_consumed(void **state)
{
        (void)state;
        contradict(&forward_and_take_back_ops);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_the_same_memory),
                T_TEST(test_parts_of_the_same_memory),
                T_TEST(test_file_to_file),
                T_TEST(test_file_to_pipe),
                T_TEST(test_passed_on_with_the_last_word),
                T_TEST(test_refusals),
                T_TEST(test_forward_and_output_contradict),
                T_TEST(test_what_was_passed_on_is_consumed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
