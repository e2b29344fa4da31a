/* big_pipe.c: a pipe between two commands, the one a link splices through, and one that was inherited by a thread that serves nothing
 * else are larger than the kernel's 64 KiB. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { BIG = 256 << 10 };

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

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

/* Whether this user may have one more pipe of that size. */
static bool is_allowed(int bytes)
{
        int fds[2];
        bool r;

        t_pipe(fds);
        r = fcntl(fds[0], F_SETPIPE_SZ, bytes) == bytes;
        close(fds[0]);
        close(fds[1]);
        return r;
}

/* Through pipes of the host's own, on a thread that serves nothing else or one that does. */
static void inherited(int exclusive, int bytes, int expected)
{
        const struct sluice_loop_options opt = { .size = sizeof(opt), .exclusive = exclusive };
        struct sluice_pipeline *p = t_new(NULL);
        int in[2], out[2], result = 1;
        struct sluice_loop *l;

        t_pipe(in);
        t_pipe(out);
        if (bytes)
                assert_int_equal(fcntl(in[0], F_SETPIPE_SZ, bytes), bytes);
        t_ok(sluice_add_fd(p, in[0], 0));
        t_ok(sluice_add_fd(p, out[1], 0));
        t_chain(p);
        assert_int_equal(write(in[1], "some", 4), 4);
        close(in[1]);
        t_ok(sluice_loop_new(&l, &opt));
        t_ok(sluice_pipeline_start(p, l, store, &result));
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, 0);
        assert_int_equal(fcntl(in[0], F_GETPIPE_SZ), expected);
        if (!bytes)
                assert_int_equal(fcntl(out[1], F_GETPIPE_SZ), expected);
        sluice_pipeline_free(p);
        sluice_loop_free(l);
        close(in[0]);
        close(out[0]);
        close(out[1]);
}

static void test_inherited(void **state)
{
        int fds[2], usual;

        (void)state;
        if (!is_allowed(T_MIB))
                skip();
        t_pipe(fds);
        usual = fcntl(fds[0], F_GETPIPE_SZ);
        close(fds[0]);
        close(fds[1]);
        inherited(1, 0, T_MIB);
        inherited(0, 0, usual); /* its lock may be held by others for long */
        inherited(1, 4096, T_MIB);
        if (is_allowed(2 * T_MIB))
                inherited(1, 2 * T_MIB, 2 * T_MIB); /* never smaller */
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_between_commands), T_TEST(test_as_the_command_sees_it),
                                            T_TEST(test_spliced_through), T_TEST(test_inherited) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
