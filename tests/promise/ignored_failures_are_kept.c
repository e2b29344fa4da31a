/* ignored_failures_are_kept.c: a failure that was said to be none is not the pipeline's, and can be looked up all the same;
 * one that does not match is one. */
#include "parts.h"

static int fail_with(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)in;
        (void)out;
        return *(const int *)t_arg(c);
}
static const struct sluice_stage_ops fail_with_ops = T_FUNCTION(fail_with);

static const struct row {
        const char *script; /* NULL: a function that fails with -EILSEQ */
        enum sluice_ignore what;
        int value;
        bool ignored;
        enum sluice_verdict verdict;
        int error, exit_status, signal;
} rows[] = {
        { "exit 3", SLUICE_IGNORE_ANY, 0, true, SLUICE_VERDICT_FAILED, -ECHILD, 3, 0 },
        { "exit 3", SLUICE_IGNORE_EXIT, 3, true, SLUICE_VERDICT_FAILED, -ECHILD, 3, 0 },
        { "exit 3", SLUICE_IGNORE_EXIT, 4, false, SLUICE_VERDICT_FAILED, -ECHILD, 3, 0 },
        { "exit 3", SLUICE_IGNORE_SIGNAL, 3, false, SLUICE_VERDICT_FAILED, -ECHILD, 3, 0 },
        { "exit 3", SLUICE_IGNORE_PIPE, 0, false, SLUICE_VERDICT_FAILED, -ECHILD, 3, 0 },
        { "exit 3", SLUICE_IGNORE_ERRNO, EILSEQ, false, SLUICE_VERDICT_FAILED, -ECHILD, 3, 0 },
        { "kill -USR1 $$", SLUICE_IGNORE_ANY, 0, true, SLUICE_VERDICT_FAILED, -ECHILD, -1, SIGUSR1 },
        { "kill -USR1 $$", SLUICE_IGNORE_SIGNAL, SIGUSR1, true, SLUICE_VERDICT_FAILED, -ECHILD, -1, SIGUSR1 },
        { "kill -USR1 $$", SLUICE_IGNORE_SIGNAL, SIGUSR2, false, SLUICE_VERDICT_FAILED, -ECHILD, -1, SIGUSR1 },
        { "kill -USR1 $$", SLUICE_IGNORE_EXIT, SIGUSR1, false, SLUICE_VERDICT_FAILED, -ECHILD, -1, SIGUSR1 },
        { "kill -USR1 $$", SLUICE_IGNORE_PIPE, 0, false, SLUICE_VERDICT_FAILED, -ECHILD, -1, SIGUSR1 },
        { "kill -PIPE $$", SLUICE_IGNORE_SIGNAL, SIGPIPE, true, SLUICE_VERDICT_PIPE, -ECHILD, -1, SIGPIPE },
        { "kill -PIPE $$", SLUICE_IGNORE_PIPE, 0, true, SLUICE_VERDICT_PIPE, -ECHILD, -1, SIGPIPE },
        { NULL, SLUICE_IGNORE_ANY, 0, true, SLUICE_VERDICT_FAILED, -EILSEQ, 0, 0 },
        { NULL, SLUICE_IGNORE_ERRNO, EILSEQ, true, SLUICE_VERDICT_FAILED, -EILSEQ, 0, 0 },
        { NULL, SLUICE_IGNORE_ERRNO, ENOSPC, false, SLUICE_VERDICT_FAILED, -EILSEQ, 0, 0 },
        { NULL, SLUICE_IGNORE_PIPE, 0, false, SLUICE_VERDICT_FAILED, -EILSEQ, 0, 0 },
};

static void check(const struct sluice_pipeline *p, const struct row *row)
{
        struct sluice_stage_result r = t_result(p, 1);

        t_verdict(p, 1, row->verdict);
        assert_int_equal(r.ignored, row->ignored);
        assert_int_equal(r.excused, 0);
        assert_int_equal(r.error, row->error);
        assert_int_equal(r.signal, row->signal);
        if (row->script)
                assert_int_equal(r.exit_status, row->exit_status);
        assert_int_not_equal(strlen(r.message), 0);
        assert_int_equal(sluice_pipeline_failures(p, NULL, 0), !row->ignored);
        if (row->ignored)
                assert_string_equal(sluice_pipeline_error(p), "");
        else
                assert_int_equal(t_failure(p).stage, 1);
}

static void run_row(const struct row *row)
{
        static const int error = -EILSEQ;
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        t_sh(p, "exit 0", NULL);
        if (row->script)
                t_sh(p, row->script, NULL);
        else
                t_ok(sluice_pipeline_add(p, &fail_with_ops, &error, NULL));
        t_sh(p, "cat >/dev/null", NULL);
        t_ok(sluice_pipeline_chain(p));
        t_ok(sluice_pipeline_ignore(p, 1, row->what, row->value));
        t_run(p, row->ignored ? 0 : row->error);
        check(p, row);
        sluice_pipeline_free(p);
}

static void test_each(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(rows); i++)
                run_row(&rows[i]);
}

/* One of several that match is enough. */
static void test_several(void **state)
{
        (void)state;
        for (int status = 1; status < 5; status++) {
                struct sluice_pipeline *p = t_new(NULL);
                char script[16];

                snprintf(script, sizeof(script), "exit %d", status);
                t_sh(p, script, NULL);
                t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_EXIT, 2));
                t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_SIGNAL, SIGHUP));
                t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_EXIT, 4));
                t_run_free(p, status == 2 || status == 4 ? 0 : -ECHILD);
        }
}

/* It is that stage's alone: the others' failures stay what they are. */
static void test_other_stages(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_sh(p, "exit 3", NULL);
        t_sh(p, "cat; exit 3", NULL);
        t_ok(sluice_pipeline_chain(p));
        t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_ANY, 0));
        t_run(p, -ECHILD);
        assert_int_equal(t_failure(p).stage, 1);
        assert_int_equal(sluice_pipeline_failures(p, NULL, 0), 1);
        assert_int_equal(t_result(p, 0).ignored, 1);
        assert_int_equal(t_result(p, 1).ignored, 0);
        sluice_pipeline_free(p);
}

/* Success is nothing to ignore, and cancelling is not the stage's failure. */
static void test_not_for_us(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 30, .grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_ANY, 0));
        t_run_free(p, -ETIMEDOUT);
        p = t_new(NULL);
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_ANY, 0));
        t_run(p, 0);
        assert_int_equal(t_result(p, 0).ignored, 0);
        sluice_pipeline_free(p);
}

static void test_calls_that_fail(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_sh(p, "exit 3", NULL);
        assert_int_equal(sluice_pipeline_ignore(p, 1, SLUICE_IGNORE_ANY, 0), -EINVAL);
        assert_int_equal(sluice_pipeline_ignore(p, -1, SLUICE_IGNORE_ANY, 0), -EINVAL);
        assert_int_equal(sluice_pipeline_ignore(p, 0, (enum sluice_ignore)99, 0), -EINVAL);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_int_equal(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_ANY, 0), -EBUSY);
        t_run_free(p, -ECHILD);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_each),       T_TEST(test_several),         T_TEST(test_other_stages),
                T_TEST(test_not_for_us), T_TEST(test_calls_that_fail),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
