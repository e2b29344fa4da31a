/* early_exit_is_a_policy.c: a command whose reader left is a failure, unless SLUICE_EARLY_EXIT_OK says that a reader which
 * exits 0 had read enough, or that failure is ignored. Either way every stage's own end is kept. */
#include "parts.h"

/* Much, more than any pipe holds; and little, after the reader has gone. */
static const char *const writers[] = { "exec seq 1000000", "sleep 0.2; echo foo" };

enum { NOTHING = -1 };

static const struct row {
        unsigned flags;
        int ignore, value; /* of the writer's failures; NOTHING: none */
        int result, excused, ignored;
} rows[] = {
        { 0, NOTHING, 0, -ECHILD, 0, 0 },
        { 0, SLUICE_IGNORE_SIGNAL, SIGTERM, -ECHILD, 0, 0 },
        { 0, SLUICE_IGNORE_EXIT, 1, -ECHILD, 0, 0 },
        { 0, SLUICE_IGNORE_SIGNAL, SIGPIPE, 0, 0, 1 },
        { 0, SLUICE_IGNORE_PIPE, 0, 0, 0, 1 },
        { 0, SLUICE_IGNORE_ANY, 0, 0, 0, 1 },
        { SLUICE_EARLY_EXIT_OK, NOTHING, 0, 0, 1, 0 },
};

static struct sluice_pipeline *into(const char *writer, const char *reader, unsigned flags)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = flags, .grace_ms = T_GRACE_MS));

        t_sh(p, writer, NULL);
        t_sh(p, reader, NULL);
        t_ok(sluice_pipeline_chain(p));
        return p;
}

static void check_reported(const struct sluice_pipeline *p, int stage)
{
        struct sluice_failure f = t_failure(p);

        assert_int_equal(f.stage, stage);
        assert_int_equal(f.signal, SIGPIPE);
        assert_int_equal(f.exit_status, -1);
        assert_non_null(strstr(f.message, "SIGPIPE"));
}

static void run_row(const char *writer, const struct row *row)
{
        struct sluice_pipeline *p = into(writer, "exit 0", row->flags);
        struct sluice_stage_result r;

        if (row->ignore != NOTHING)
                t_ok(sluice_pipeline_ignore(p, 0, (enum sluice_ignore)row->ignore, row->value));
        t_run(p, row->result);
        t_verdict(p, 0, SLUICE_VERDICT_PIPE);
        r = t_result(p, 0);
        assert_int_equal(r.signal, SIGPIPE);
        assert_int_equal(r.excused, row->excused);
        assert_int_equal(r.ignored, row->ignored);
        if (row->result < 0)
                check_reported(p, 0);
        else
                assert_int_equal(sluice_pipeline_failures(p, NULL, 0), 0);
        assert_int_equal(t_result(p, 1).error, 0);
        sluice_pipeline_free(p);
}

static void test_reader_leaves(void **state)
{
        (void)state;
        for (size_t w = 0; w < T_NR(writers); w++)
                for (size_t i = 0; i < T_NR(rows); i++)
                        run_row(writers[w], &rows[i]);
}

/* `yes | cat | true`: of two broken pipes the later is the run's; by policy both are excused. */
static void through(unsigned flags, int expected)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = flags, .grace_ms = T_GRACE_MS));

        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, expected);
        for (int i = 0; i < 2; i++) {
                t_verdict(p, i, SLUICE_VERDICT_PIPE);
                assert_int_equal(t_result(p, i).excused, expected == 0);
        }
        if (expected)
                check_reported(p, 1);
        sluice_pipeline_free(p);
}

static void test_two_writers(void **state)
{
        (void)state;
        through(0, -ECHILD);
        through(SLUICE_EARLY_EXIT_OK, 0);
}

/* A reader that leaves with a failure had not read enough: its failure is the run's. */
static void test_reader_that_fails(void **state)
{
        static const unsigned flags[] = { 0, SLUICE_EARLY_EXIT_OK };

        (void)state;
        for (size_t i = 0; i < T_NR(flags); i++) {
                struct sluice_pipeline *p = into(writers[0], "exit 9", flags[i]);

                t_run(p, -ECHILD);
                assert_int_equal(t_failure(p).stage, 1);
                assert_int_equal(t_failure(p).exit_status, 9);
                t_verdict(p, 0, SLUICE_VERDICT_PIPE);
                t_verdict(p, 1, SLUICE_VERDICT_FAILED);
                sluice_pipeline_free(p);
        }
}

/* The policy excuses broken pipes, nothing else. */
static void test_writer_that_fails(void **state)
{
        struct sluice_pipeline *p = into("exit 5", "exit 0", SLUICE_EARLY_EXIT_OK);

        (void)state;
        t_run(p, -ECHILD);
        assert_int_equal(t_failure(p).stage, 0);
        assert_int_equal(t_failure(p).exit_status, 5);
        assert_int_equal(t_result(p, 0).excused, 0);
        sluice_pipeline_free(p);
}

/* A SIGPIPE that has nothing to do with a reader who left: the reader is there to the end, and it failed nothing. */
static void test_reader_that_stays(void **state)
{
        struct sluice_pipeline *p = into("echo foo; kill -PIPE $$", "cat >/dev/null", 0);

        (void)state;
        t_run(p, -ECHILD);
        check_reported(p, 0);
        sluice_pipeline_free(p);
}

/* Shells say 141 of what died of a broken pipe inside of them. */
static void test_status_of_a_shell(void **state)
{
        for (int ignored = 0; ignored < 2; ignored++) {
                struct sluice_pipeline *p = into("seq 1000000; exit 141", "exit 0", 0);

                (void)state;
                if (ignored)
                        t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_PIPE, 0));
                t_run(p, ignored ? 0 : -ECHILD);
                assert_int_equal(t_result(p, 0).exit_status, 141);
                assert_int_equal(t_result(p, 0).ignored, ignored);
                sluice_pipeline_free(p);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_reader_leaves),     T_TEST(test_two_writers),       T_TEST(test_reader_that_fails),
                T_TEST(test_writer_that_fails), T_TEST(test_reader_that_stays), T_TEST(test_status_of_a_shell),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
