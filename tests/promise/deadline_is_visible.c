/* deadline_is_visible.c: a run that is out of time says -ETIMEDOUT, whatever its victims answered. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static struct sluice_pipeline *limited(void)
{
        return t_new(T_OPTIONS(.timeout_ms = 30, .grace_ms = T_GRACE_MS));
}

static void test_command(void **state)
{
        struct sluice_pipeline *p = limited();

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        t_run(p, -ETIMEDOUT);
        assert_int_equal(t_children(), 0);
        assert_non_null(strstr(sluice_pipeline_error(p), "deadline"));
        sluice_pipeline_free(p);
}

/* The victim fails with a status of its own. */
static void test_command_that_fails_of_it(void **state)
{
        struct sluice_pipeline *p = limited();

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.01; done"), NULL));
        t_run_free(p, -ETIMEDOUT);
}

/* ... or says that all is well. */
static void test_command_that_succeeds_in_spite_of_it(void **state)
{
        struct sluice_pipeline *p = limited();

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done"), NULL));
        t_run_free(p, -ETIMEDOUT);
}

static void test_silent_pipe(void **state)
{
        struct sluice_pipeline *p = limited();
        int in[2];

        (void)state;
        t_pipe(in);
        t_ok(sluice_add_fd(p, in[0], 0));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, -ETIMEDOUT);
        close(in[0]);
        close(in[1]);
}

/* Opening counts. */
static void test_nobody_connects(void **state)
{
        struct sluice_pipeline *p = limited();

        (void)state;
        t_make_text(t_path("kept"), "old");
        t_ok(sluice_add_unix_listen(p, t_path("s"), NULL));
        t_ok(sluice_add_file(p, t_path("kept"), NULL));
        t_chain(p);
        t_run_free(p, -ETIMEDOUT);
        assert_false(t_exists(t_path("s")));
        t_check_text(t_path("kept"), "old");
}

static void test_endless_stream(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 30, .grace_ms = T_GRACE_MS, .driver = t_drivers[d]));

                t_ok(sluice_add_zero(p, -1));
                t_ok(sluice_add_null(p));
                t_chain(p);
                t_run_free(p, -ETIMEDOUT);
        }
}

static void test_enough_time_is_no_failure(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 1000000));

        (void)state;
        t_ok(sluice_add_zero(p, 100000));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_command),
                T_TEST(test_command_that_fails_of_it),
                T_TEST(test_command_that_succeeds_in_spite_of_it),
                T_TEST(test_silent_pipe),
                T_TEST(test_nobody_connects),
                T_TEST(test_endless_stream),
                T_TEST(test_enough_time_is_no_failure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
