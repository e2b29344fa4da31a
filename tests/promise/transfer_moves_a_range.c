/* transfer_moves_a_range.c: sluice_transfer(): one range, fd to fd, at offsets or at the fds' own positions; the fds stay
 * the caller's, and what was not delivered was not taken. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

enum { WHOLE = 300000 };

static struct sluice_loop *loop;
static int64_t result;

static void store(void *arg, int64_t r)
{
        (void)arg;
        result = r;
}

static int64_t move(const struct sluice_transfer *t)
{
        result = INT64_MIN;
        assert_int_equal(sluice_transfer(loop, t, store, NULL), 0);
        while (result == INT64_MIN)
                assert_true(sluice_loop_turn(loop, -1) >= 0);
        return result;
}

static struct sluice_transfer transfer(int from, int64_t offset_from, int to, int64_t offset_to, int64_t length)
{
        return (struct sluice_transfer){ .size = sizeof(struct sluice_transfer),
                                         .from = from,
                                         .to = to,
                                         .offset_from = offset_from,
                                         .offset_to = offset_to,
                                         .length = length };
}

static void set_up(void)
{
        assert_int_equal(sluice_loop_new(&loop, NULL), 0);
}

static int open_file(const char *name, int flags)
{
        int fd = open(t_path(name), flags | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        return fd;
}

static void test_files_at_offsets(void **state)
{
        (void)state;
        t_make(t_path("a"), WHOLE);
        set_up();
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                int from = open_file("a", O_RDONLY), to = open_file("b", O_RDWR | O_CREAT | O_TRUNC);
                struct sluice_transfer t = transfer(from, 100001, to, 0, 100000);

                t.driver = t_drivers[d];
                assert_int_equal(move(&t), 100000);
                t_check_file(t_path("b"), 100000, 100001);
                assert_int_equal(lseek(from, 0, SEEK_CUR), 0); /* positions were not used */
                assert_int_equal(lseek(to, 0, SEEK_CUR), 0);
                t.length = -1;
                assert_int_equal(move(&t), WHOLE - 100001);
                t_check_file(t_path("b"), WHOLE - 100001, 100001);
                t.length = 0;
                assert_int_equal(move(&t), 0);
                close(from);
                close(to);
        }
        sluice_loop_free(loop);
}

static void test_files_at_their_positions(void **state)
{
        (void)state;
        t_make(t_path("a"), WHOLE);
        set_up();
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                int from = open_file("a", O_RDONLY), to = open_file("b", O_RDWR | O_CREAT | O_TRUNC);
                struct sluice_transfer t = transfer(from, -1, to, -1, 70001);
                int64_t at = 0;

                t.driver = t_drivers[d];
                lseek(from, 1000, SEEK_SET);
                for (int i = 0; i < 3; i++, at += 70001) {
                        assert_int_equal(move(&t), 70001);
                        assert_int_equal(lseek(from, 0, SEEK_CUR), 1000 + at + 70001);
                        assert_int_equal(lseek(to, 0, SEEK_CUR), at + 70001);
                }
                t_check_file(t_path("b"), 3 * 70001, 1000);
                close(from);
                close(to);
        }
        sluice_loop_free(loop);
}

/* No byte more is taken from a stream than was asked for. */
static void test_stream_keeps_the_rest(void **state)
{
        (void)state;
        set_up();
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int socket = 0; socket < 2; socket++) {
                        struct sluice_transfer t;
                        struct t_peer from = { 0 };
                        uint8_t rest[5000];
                        int in[2], to = open_file("b", O_RDWR | O_CREAT | O_TRUNC);
                        size_t n = 0;

                        if (socket)
                                assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), errno);
                        else
                                t_pipe(in);
                        t_writer(&from, in[1], -1, 205000);
                        t = transfer(in[0], -1, to, 0, 200000);
                        t.driver = t_drivers[d];
                        assert_int_equal(move(&t), 200000);
                        t_join(&from);
                        while (n < sizeof(rest)) {
                                ssize_t r = read(in[0], rest + n, sizeof(rest) - n);

                                assert_true(r > 0);
                                n += (size_t)r;
                        }
                        assert_int_equal(t_mismatch(rest, n, 200000), -1);
                        assert_int_equal(read(in[0], rest, 1), 0);
                        t_check_file(t_path("b"), 200000, 0);
                        close(in[0]);
                        close(to);
                }
        sluice_loop_free(loop);
}

static void test_failures(void **state)
{
        int in[2], out[2], directory;
        struct sluice_transfer t;
        struct sluice_cancel *token;

        (void)state;
        set_up();
        t_pipe(in);
        t_pipe(out);
        t = transfer(in[0], -1, out[1], -1, 100);
        t.timeout_ms = 20;
        assert_int_equal(move(&t), -ETIMEDOUT);
        t.timeout_ms = 0;
        assert_int_equal(sluice_cancel_new(&token), 0);
        sluice_cancel_fire(token);
        t.cancel = token;
        assert_int_equal(move(&t), -ECANCELED);
        sluice_cancel_unref(token);
        t.cancel = NULL;
        assert_int_equal(write(in[1], "x", 1), 1);
        close(out[0]);
        assert_int_equal(move(&t), -EPIPE);
        directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        t = transfer(directory, -1, out[1], -1, 100);
        assert_true(move(&t) < 0);
        close(directory);
        close(in[0]);
        close(in[1]);
        close(out[1]);
        sluice_loop_free(loop);
}

/* The caller may close both as soon as it has begun. */
static void test_closed_meanwhile(void **state)
{
        int from, to;
        struct sluice_transfer t;

        (void)state;
        t_make(t_path("a"), WHOLE);
        set_up();
        from = open_file("a", O_RDONLY);
        to = open_file("b", O_WRONLY | O_CREAT);
        t = transfer(from, 0, to, 0, -1);
        result = INT64_MIN;
        assert_int_equal(sluice_transfer(loop, &t, store, NULL), 0);
        close(from);
        close(to);
        while (result == INT64_MIN)
                assert_true(sluice_loop_turn(loop, -1) >= 0);
        assert_int_equal(result, WHOLE);
        t_check_file(t_path("b"), WHOLE, 0);
        sluice_loop_free(loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_files_at_offsets), T_TEST(test_files_at_their_positions), T_TEST(test_stream_keeps_the_rest),
                T_TEST(test_failures),         T_TEST(test_closed_meanwhile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
