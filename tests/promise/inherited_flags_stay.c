/* inherited_flags_stay.c: a borrowed fd is shared with others: its file status flags, and the number itself, are the
 * same during and after a run. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

static void run_between(int in, int out, enum sluice_driver driver, bool command)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        int in_flags = fcntl(in, F_GETFL), out_flags = fcntl(out, F_GETFL);
        int in_fd = fcntl(in, F_GETFD), out_fd = fcntl(out, F_GETFD);

        t_ok(sluice_add_fd(p, in, 0));
        if (command)
                t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_fd(p, out, 0));
        t_chain(p);
        t_run_free(p, 0);
        assert_int_equal(fcntl(in, F_GETFL), in_flags);
        assert_int_equal(fcntl(out, F_GETFL), out_flags);
        assert_int_equal(fcntl(in, F_GETFD), in_fd);
        assert_int_equal(fcntl(out, F_GETFD), out_fd);
}

/* `far` are the test's ends; ours are set to `flags`. */
static void between(int in, int far_in, int out, int far_out, int flags, enum sluice_driver driver, bool command)
{
        struct t_peer from = { 0 }, to = { 0 };

        fcntl(in, F_SETFL, fcntl(in, F_GETFL) | flags);
        fcntl(out, F_SETFL, fcntl(out, F_GETFL) | flags);
        t_writer(&from, far_in, -1, 300001);
        t_reader(&to, far_out, -1);
        run_between(in, out, driver, command);
        close(in);
        close(out);
        t_join(&from);
        t_join_exact(&to, 300001);
}

static void test_pipes(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int i = 0; i < 4; i++) {
                        int in[2], out[2];

                        t_pipe(in);
                        t_pipe(out);
                        between(in[0], in[1], out[1], out[0], i & 1 ? O_NONBLOCK : 0, t_drivers[d], i & 2);
                }
}

static void test_sockets(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int i = 0; i < 4; i++) {
                        int in[2], out[2];

                        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), errno);
                        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), errno);
                        between(in[0], in[1], out[1], out[0], i & 1 ? O_NONBLOCK : 0, t_drivers[d], i & 2);
                }
}

/* The original may be closed, and its number used anew, while the run lasts: it has a duplicate. */
static void store(void *arg, int result)
{
        *(int *)arg = result;
}

static void test_number_is_free_again(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_loop *l;
        int in[2], other[2], result = 1, waiting;
        char c = 'x';

        (void)state;
        t_pipe(in);
        t_ok(sluice_add_fd(p, in[0], 0));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, l, store, &result), 0);
        while (sluice_loop_turn(l, T_GRACE_MS) > 0)
                continue;
        t_pipe(other);
        assert_int_equal(write(other[1], &c, 1), 1);
        waiting = in[0];
        assert_int_equal(dup3(other[0], in[0], O_CLOEXEC), waiting);
        t_make(t_path("a"), 4000);
        {
                uint8_t data[4000];

                t_pattern(data, sizeof(data), 0);
                assert_int_equal(write(in[1], data, sizeof(data)), sizeof(data));
        }
        close(in[1]);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, 0);
        t_check_file(t_path("b"), 4000, 0);
        assert_int_equal(read(in[0], &c, 1), 1);
        assert_int_equal(c, 'x');
        sluice_pipeline_free(p);
        sluice_loop_free(l);
        close(in[0]);
        close(other[0]);
        close(other[1]);
}

/* A pipe whose far end does not block must not become blocking for its holder, nor the other way round, with REPLACE. */
static void test_replace(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct t_peer from = { 0 };
        char name[64] = "", path[32];
        int in[2];

        (void)state;
        t_pipe(in);
        t_writer(&from, in[1], -1, 5000);
        t_ok(sluice_add_fd(p, in[0], SLUICE_REPLACE));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_join(&from);
        t_check_file(t_path("b"), 5000, 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", in[0]);
        assert_true(readlink(path, name, sizeof(name) - 1) > 0);
        assert_string_equal(name, "/dev/null");
        close(in[0]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_pipes),
                T_TEST(test_sockets),
                T_TEST(test_number_is_free_again),
                T_TEST(test_replace),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
