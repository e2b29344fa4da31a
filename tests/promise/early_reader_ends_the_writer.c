/* early_reader_ends_the_writer.c: a command that has read enough ends its writers, and that is no failure. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static void finish(struct sluice_pipeline *p, int expected, const char *text)
{
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, expected);
        if (expected == 0)
                assert_int_equal(sluice_pipeline_failures(p, NULL, 0), 0);
        sluice_pipeline_free(p);
        assert_int_equal(t_children(), 0);
        if (text)
                t_check_text(t_path("b"), text);
}

static void test_yes_head(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("head", "-1"), NULL));
        finish(p, 0, "y\n");
}

static void test_three_writers(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("head", "-1"), NULL));
        finish(p, 0, "y\n");
}

/* The engine feeds the reader. */
static void test_engine_writes(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_ok(sluice_add_zero(p, INT64_MAX / 2));
                t_ok(sluice_add_command(p, T_ARGV("head", "-c", "3"), NULL));
                t_ok(sluice_add_command(p, T_ARGV("tr", "\\0", "x"), NULL));
                finish(p, 0, "xxx");
        }
}

/* A reader that reads nothing at all. */
static void test_true(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_ok(sluice_add_zero(p, INT64_MAX / 2));
                t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
                finish(p, 0, "");
        }
}

/* What the engine passes on from a pipe, with a command at both ends. */
static void test_range_in_front(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK));

        (void)state;
        t_make(t_path("a"), 10 * T_MIB);
        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.offset = 1)));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("head", "-c", "5000"), NULL));
        finish(p, 0, NULL);
        t_check_file(t_path("b"), 5000, 1);
}

/* A writer with no output of its own left is quiet: its silence must not keep the run going. */
static void test_silent_source(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK, .grace_ms = T_GRACE_MS));
        int in[2];

        (void)state;
        t_pipe(in);
        t_ok(sluice_add_fd(p, in[0], SLUICE_OWN));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        close(in[1]);
        finish(p, 0, "");
}

/* A reader that fails is a failure; the writer's SIGPIPE is not what is reported. */
static void test_reader_fails(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK, .grace_ms = T_GRACE_MS));
        struct sluice_failure f[4];

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "head -1; exit 9"), NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, -ECHILD);
        assert_true(sluice_pipeline_failures(p, f, 4) >= 1);
        assert_int_equal(f[0].stage, 1);
        assert_int_equal(f[0].exit_status, 9);
        assert_int_equal(f[0].signal, 0);
        sluice_pipeline_free(p);
}

/* A writer that fails for a reason of its own is one, though its reader went early. */
static void test_writer_fails(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK, .grace_ms = T_GRACE_MS));
        struct sluice_failure f[4];

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "exit 5"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_chain(p);
        t_run(p, -ECHILD);
        assert_true(sluice_pipeline_failures(p, f, 4) >= 1);
        assert_int_equal(f[0].stage, 0);
        assert_int_equal(f[0].exit_status, 5);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_yes_head),       T_TEST(test_three_writers), T_TEST(test_engine_writes), T_TEST(test_true),
                T_TEST(test_range_in_front), T_TEST(test_silent_source), T_TEST(test_reader_fails),  T_TEST(test_writer_fails),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
