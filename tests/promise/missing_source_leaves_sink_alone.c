/* missing_source_leaves_sink_alone.c: nothing is destroyed before everything is open; a file made for nothing goes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static void fails(struct sluice_pipeline *p, const struct sluice_file_options *opt, int error, int stage)
{
        t_make_text(t_path("precious"), "precious");
        t_ok(sluice_add_file(p, t_path("precious"), opt));
        t_chain(p);
        t_run(p, error);
        assert_int_equal(sluice_pipeline_error_stage(p), stage);
        sluice_pipeline_free(p);
        t_check_text(t_path("precious"), "precious");
        assert_int_equal(t_files(), 1);
}

static void test_missing_file(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_file(p, t_path("missing"), NULL));
        fails(p, NULL, -ENOENT, 0);
}

static void test_missing_file_atomic(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_file(p, t_path("missing"), NULL));
        fails(p, T_FILE(.flags = SLUICE_FILE_ATOMIC), -ENOENT, 0);
}

static void test_missing_command(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("no-such-command-anywhere"), NULL));
        fails(p, NULL, -ENOENT, 0);
}

static void test_directory(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_file(p, "/", NULL));
        fails(p, NULL, -EISDIR, 0);
}

static void test_refused_connection(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        char address[32];

        (void)state;
        close(t_listen(address, sizeof(address)));
        t_ok(sluice_add_tcp(p, address, NULL));
        fails(p, NULL, -ECONNREFUSED, 0);
}

static void test_missing_socket(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_unix(p, t_path("missing"), NULL));
        fails(p, NULL, -ENOENT, 0);
}

/* The other way round: a sink that cannot be opened keeps commands from starting. */
static void test_missing_sink_starts_nothing(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("touch", (char *)(uintptr_t)t_path("touched")), NULL));
        t_ok(sluice_add_file(p, t_path("no/such"), NULL));
        t_chain(p);
        t_run(p, -ENOENT);
        assert_int_equal(sluice_pipeline_error_stage(p), 1);
        sluice_pipeline_free(p);
        assert_int_equal(t_files(), 0);
}

/* A sink that is made, and then not needed, is gone again. */
static void test_made_for_nothing(void **state)
{
        (void)state;
        for (int i = 0; i < 2; i++) {
                struct sluice_pipeline *p = t_new(NULL);

                t_ok(sluice_add_file(p, t_path("missing"), NULL));
                t_ok(sluice_add_file(p, t_path("new"), T_FILE(.flags = i ? SLUICE_FILE_APPEND : 0)));
                t_chain(p);
                t_run_free(p, -ENOENT);
                assert_int_equal(t_files(), 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_missing_file),
                T_TEST(test_missing_file_atomic),
                T_TEST(test_missing_command),
                T_TEST(test_directory),
                T_TEST(test_refused_connection),
                T_TEST(test_missing_socket),
                T_TEST(test_missing_sink_starts_nothing),
                T_TEST(test_made_for_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
