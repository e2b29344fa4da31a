/* functions_hand_over.c: functions in a row pass buffers on without a pipe between them, every byte exact; what
 * one has made before it finished early or failed arrives. */
#include "parts.h"

enum { IN_A_ROW = 10, BYTES = 3 * T_MIB + 7 };

struct count {
        uint64_t bytes, limit;
        int64_t mismatch;
};

static int make(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct count *n = t_arg(c);

        (void)self;
        (void)in;
        out->len = out->cap < n->limit - n->bytes ? out->cap : (size_t)(n->limit - n->bytes);
        t_pattern(out->data, out->len, n->bytes);
        n->bytes += out->len;
        out->end = n->bytes == n->limit;
        return 0;
}

/* Every bit turned over: an even number of them gives back what it was. */
static int turn(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        size_t n = in->len < out->cap ? in->len : out->cap;

        (void)c;
        (void)self;
        for (size_t i = 0; i < n; i++)
                out->data[i] = (uint8_t)~in->data[i];
        in->consumed = out->len = n;
        return 0;
}

static int take(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct count *n = t_arg(c);

        (void)self;
        (void)out;
        if (n->mismatch < 0)
                n->mismatch = t_mismatch(in->data, in->len, n->bytes);
        n->bytes += in->len;
        in->consumed = in->len;
        return 0;
}

static const struct sluice_stage_ops make_ops = T_FUNCTION(make), turn_ops = T_FUNCTION(turn), take_ops = T_FUNCTION(take);

static void check_link(const struct sluice_pipeline *p, int link, uint64_t bytes)
{
        struct sluice_stats s = t_stats(p, link);

        assert_int_equal(s.mode, SLUICE_LINK_HANDOVER);
        assert_int_equal(s.bytes.value, bytes);
        assert_int_equal(s.bytes_spliced.value, 0);
        assert_int_equal(s.pipe_bytes, 0);
}

static void pass(uint64_t bytes)
{
        struct count made = { .limit = bytes }, taken = { .mismatch = -1 };
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_pipeline_add(p, &make_ops, &made, NULL));
        for (int i = 0; i < IN_A_ROW; i++)
                t_ok(sluice_pipeline_add(p, &turn_ops, NULL, NULL));
        t_ok(sluice_pipeline_add(p, &take_ops, &taken, NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        for (int i = 0; i < sluice_pipeline_links(p); i++)
                check_link(p, i, bytes);
        sluice_pipeline_free(p);
        assert_int_equal(taken.bytes, bytes);
        assert_int_equal(taken.mismatch, -1);
}

static void test_in_a_row(void **state)
{
        static const uint64_t sizes[] = { 0, 1, 65536, 65537, BYTES };

        (void)state;
        for (size_t i = 0; i < T_NR(sizes); i++)
                pass(sizes[i]);
}

/* Commands, files and memory among them. */
static void test_mixed(void **state)
{
        uint8_t *data = malloc(BYTES);
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_pattern(data, BYTES, 0);
        t_ok(sluice_add_memory(p, data, BYTES));
        for (int i = 0; i < 4; i++) {
                t_ok(sluice_pipeline_add(p, &turn_ops, NULL, NULL));
                if (i % 2)
                        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        }
        t_ok(sluice_pipeline_add(p, &turn_ops, NULL, NULL));
        t_ok(sluice_pipeline_add(p, &turn_ops, NULL, NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        t_check_file(t_path("b"), BYTES, 0);
        free(data);
}

/* ---- lines: one in each call, the numbers from 1 ---- */

struct lines {
        int nr, until;
        int result; /* of the call after that */
        char text[64];
        size_t bytes;
};

static int count_up(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct lines *l = t_arg(c);

        (void)self;
        (void)in;
        if (l->nr == l->until)
                return l->result;
        out->len = (size_t)sprintf((char *)out->data, "%d\n", ++l->nr);
        return 0;
}

/* Passes a line on; with the last of them it has had enough. */
static int pass_until(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct lines *l = t_arg(c);
        const uint8_t *end = in->len ? memchr(in->data, '\n', in->len) : NULL;

        (void)self;
        if (!end)
                return in->end ? SLUICE_END : 0;
        in->consumed = out->len = (size_t)(end - in->data) + 1;
        memcpy(out->data, in->data, out->len);
        return ++l->nr == l->until ? l->result : 0;
}

static int keep(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct lines *l = t_arg(c);
        size_t room = sizeof(l->text) - 1 - l->bytes, n = in->len < room ? in->len : room;

        (void)self;
        (void)out;
        if (n)
                memcpy(l->text + l->bytes, in->data, n);
        l->bytes += n;
        in->consumed = in->len;
        return 0;
}

static const struct sluice_stage_ops count_up_ops = T_FUNCTION(count_up), pass_until_ops = T_FUNCTION(pass_until),
                                     keep_ops = T_FUNCTION(keep);

static void test_finished_early(void **state)
{
        struct lines from = { .until = 1000000, .result = SLUICE_END }, middle = { .until = 7, .result = SLUICE_FINISH_EARLY },
                     kept = { 0 };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_pipeline_add(p, &count_up_ops, &from, NULL));
        t_ok(sluice_pipeline_add(p, &pass_until_ops, &middle, NULL));
        t_ok(sluice_pipeline_add(p, &keep_ops, &kept, NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        assert_string_equal(kept.text, "1\n2\n3\n4\n5\n6\n7\n");
        t_verdict(p, 1, SLUICE_VERDICT_EARLY);
        assert_int_equal(sluice_pipeline_failures(p, NULL, 0), 0);
        sluice_pipeline_free(p);
}

/* The same with a command that never ends of its own. */
static void test_finished_early_behind_a_command(void **state)
{
        struct lines middle = { .until = 3, .result = SLUICE_FINISH_EARLY }, kept = { 0 };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes", "line"), NULL));
        t_ok(sluice_pipeline_add(p, &pass_until_ops, &middle, NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_pipeline_add(p, &keep_ops, &kept, NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        assert_string_equal(kept.text, "line\nline\nline\n");
        t_verdict(p, 0, SLUICE_VERDICT_PIPE);
        assert_int_equal(t_result(p, 0).excused, 1);
        sluice_pipeline_free(p);
}

static void test_made_before_a_failure(void **state)
{
        struct lines from = { .until = 3, .result = -EILSEQ }, kept = { 0 };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_pipeline_add(p, &count_up_ops, &from, NULL));
        t_ok(sluice_pipeline_add(p, &keep_ops, &kept, NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -EILSEQ);
        assert_string_equal(kept.text, "1\n2\n3\n");
        assert_int_equal(t_failure(p).stage, 0);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_in_a_row),
                T_TEST(test_mixed),
                T_TEST(test_finished_early),
                T_TEST(test_finished_early_behind_a_command),
                T_TEST(test_made_before_a_failure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
