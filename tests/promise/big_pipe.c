/* big_pipe.c: a pipe between two commands, and the one a link splices through, is larger than the kernel's 64 KiB. */
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { BIG = 256 << 10 };

static void test_between_commands(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_stats s;
        char text[512];

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("head", "-c", "1M", "/dev/zero"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("wc", "-c"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        s = t_stats(p, 0);
        assert_int_equal(s.mode, SLUICE_LINK_PIPE);
        assert_in_range(s.pipe_bytes, BIG, SIZE_MAX);
        assert_true(sluice_pipeline_explain(p, 0, text, sizeof(text)) > 0);
        assert_non_null(strstr(text, "pipe"));
        assert_null(strstr(text, "small"));
        sluice_pipeline_free(p);
        t_check_text(t_path("b"), "1048576\n");
}

/* What a command writes without a reader fits: F_GETPIPE_SZ from inside. */
static void test_as_the_command_sees_it(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("cat", "/dev/null"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("perl", "-e", "printf \"%s\\n\", fcntl(STDIN, 1032, 0) >= 262144 ? 'big' : 'small'"),
                                NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        if (sluice_pipeline_run(p) != 0) {
                sluice_pipeline_free(p);
                skip();
        }
        sluice_pipeline_free(p);
        t_check_text(t_path("b"), "big\n");
}

static void test_spliced_through(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), 4 * T_MIB);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_in_range(t_stats(p, 0).pipe_bytes, BIG, SIZE_MAX);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_between_commands), T_TEST(test_as_the_command_sees_it),
                                            T_TEST(test_spliced_through) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
