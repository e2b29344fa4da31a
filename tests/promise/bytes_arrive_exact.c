/* bytes_arrive_exact.c: whatever the route, the size and the driver: every byte arrives, once, in its place. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static const uint64_t sizes[] = { 0, 1, 4095, 4096, 4097, 65535, 65536, 65537, T_MIB + 1 };

typedef void route_fn(uint64_t bytes, enum sluice_driver driver);

static void every(route_fn *route)
{
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (size_t i = 0; i < T_NR(sizes); i++)
                        route(sizes[i], t_drivers[d]);
}

static void file_to_file(uint64_t bytes, enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);

        t_make(t_path("a"), bytes);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("b"), bytes, 0);
}

static void file_to_tcp(uint64_t bytes, enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        struct t_peer peer = { 0 };
        char address[32];

        t_make(t_path("a"), bytes);
        t_reader(&peer, -1, t_listen(address, sizeof(address)));
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_join_exact(&peer, bytes);
}

static void tcp_to_file(uint64_t bytes, enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        struct t_peer peer = { 0 };
        char address[32];

        t_writer(&peer, -1, t_listen(address, sizeof(address)), bytes);
        t_ok(sluice_add_tcp(p, address, NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_join(&peer);
        t_check_file(t_path("b"), bytes, 0);
}

static void tcp_to_tcp(uint64_t bytes, enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        struct t_peer from = { 0 }, to = { 0 };
        char source[32], sink[32];

        t_writer(&from, -1, t_listen(source, sizeof(source)), bytes);
        t_reader(&to, -1, t_listen(sink, sizeof(sink)));
        t_ok(sluice_add_tcp(p, source, NULL));
        t_ok(sluice_add_tcp(p, sink, NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_join(&from);
        t_join_exact(&to, bytes);
}

/* Borrowed, like standard input and output. */
static void pipe_to_pipe(uint64_t bytes, enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        struct t_peer from = { 0 }, to = { 0 };
        int in[2], out[2];

        t_pipe(in);
        t_pipe(out);
        t_writer(&from, in[1], -1, bytes);
        t_reader(&to, out[0], -1);
        t_ok(sluice_add_fd(p, in[0], 0));
        t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
        t_chain(p);
        t_run_free(p, 0); /* which closes what it owns: the reader's end */
        close(in[0]);
        t_join(&from);
        t_join_exact(&to, bytes);
}

static void unix_to_unix(uint64_t bytes, enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        struct t_peer from = { 0 }, to = { 0 };

        t_writer(&from, -1, t_listen_unix(t_path("in")), bytes);
        t_reader(&to, -1, t_listen_unix(t_path("out")));
        t_ok(sluice_add_unix(p, t_path("in"), NULL));
        t_ok(sluice_add_unix(p, t_path("out"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_join(&from);
        t_join_exact(&to, bytes);
        unlink(t_path("in"));
        unlink(t_path("out"));
}

static void command_to(uint64_t bytes, enum sluice_driver driver, unsigned flags)
{
        struct sluice_pipeline *p = t_new_driver(driver);

        t_make(t_path("a"), bytes);
        t_ok(sluice_add_command(p, T_ARGV("cat", (char *)(uintptr_t)t_path("a")), NULL));
        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = flags)));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("b"), bytes, 0);
}

static void command_to_file(uint64_t bytes, enum sluice_driver driver)
{
        command_to(bytes, driver, 0);
}

static void command_to_observed_file(uint64_t bytes, enum sluice_driver driver)
{
        command_to(bytes, driver, SLUICE_FILE_OBSERVE);
}

/* A range is not lent: the engine feeds the command itself. */
static void to_command(uint64_t bytes, enum sluice_driver driver, bool fed)
{
        struct sluice_pipeline *p = t_new_driver(driver);

        t_make(t_path("a"), bytes);
        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.flags = fed ? SLUICE_FILE_RANGE : 0, .length = (int64_t)bytes)));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = fed ? SLUICE_FILE_OBSERVE : 0)));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("b"), bytes, 0);
}

static void file_to_command(uint64_t bytes, enum sluice_driver driver)
{
        to_command(bytes, driver, false);
}

static void range_to_command(uint64_t bytes, enum sluice_driver driver)
{
        to_command(bytes, driver, true);
}

static void command_to_command(uint64_t bytes, enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        struct t_peer peer = { 0 };
        char address[32];

        t_make(t_path("a"), bytes);
        t_reader(&peer, -1, t_listen(address, sizeof(address)));
        t_ok(sluice_add_command(p, T_ARGV("cat", (char *)(uintptr_t)t_path("a")), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_join_exact(&peer, bytes);
}

static void count_down(void *arg, int result)
{
        assert_int_equal(result, 0);
        --*(int *)arg;
}

/* Two pipelines on one loop, each the other's peer. */
static void file_to_unix_to_file(uint64_t bytes, enum sluice_driver driver)
{
        struct sluice_pipeline *to = t_new_driver(driver), *from = t_new_driver(driver);
        struct sluice_loop *l;
        int left = 2;

        t_make(t_path("a"), bytes);
        t_ok(sluice_add_unix_listen(from, t_path("s"), NULL));
        t_ok(sluice_add_file(from, t_path("b"), NULL));
        t_chain(from);
        t_ok(sluice_add_file(to, t_path("a"), NULL));
        t_ok(sluice_add_unix(to, t_path("s"), NULL));
        t_chain(to);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(from, l, count_down, &left), 0);
        while (!t_exists(t_path("s")))
                assert_true(sluice_loop_turn(l, 10) >= 0);
        assert_int_equal(sluice_pipeline_start(to, l, count_down, &left), 0);
        while (left > 0)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        sluice_pipeline_free(from);
        sluice_pipeline_free(to);
        sluice_loop_free(l);
        t_check_file(t_path("b"), bytes, 0);
        assert_false(t_exists(t_path("s")));
}

#define ROUTE(name)                                                                                                                \
        static void test_##name(void **state)                                                                                      \
        {                                                                                                                          \
                (void)state;                                                                                                       \
                every(name);                                                                                                       \
        }

ROUTE(file_to_file)
ROUTE(file_to_tcp)
ROUTE(tcp_to_file)
ROUTE(tcp_to_tcp)
ROUTE(pipe_to_pipe)
ROUTE(unix_to_unix)
ROUTE(command_to_file)
ROUTE(command_to_observed_file)
ROUTE(file_to_command)
ROUTE(range_to_command)
ROUTE(command_to_command)
ROUTE(file_to_unix_to_file)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_file_to_file),       T_TEST(test_file_to_tcp),
                T_TEST(test_tcp_to_file),        T_TEST(test_tcp_to_tcp),
                T_TEST(test_pipe_to_pipe),       T_TEST(test_unix_to_unix),
                T_TEST(test_command_to_file),    T_TEST(test_command_to_observed_file),
                T_TEST(test_file_to_command),    T_TEST(test_range_to_command),
                T_TEST(test_command_to_command), T_TEST(test_file_to_unix_to_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
