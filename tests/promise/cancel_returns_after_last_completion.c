/* cancel_returns_after_last_completion.c: when a cancelled run has returned, nothing in the kernel names its fds any
 * more: whatever gets their numbers next is not written, read or closed by it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fixture.h"

enum { NUMBERS = 24 };

static struct sluice_cancel *token;

static void fire(void *arg)
{
        (void)arg;
        sluice_cancel_fire(token);
}

static void check_untouched(int fds[NUMBERS][2])
{
        for (int i = 0; i < NUMBERS; i++) {
                int waiting = -1;
                char c = 'x';

                assert_return_code(ioctl(fds[i][0], FIONREAD, &waiting), errno);
                assert_int_equal(waiting, 0);
                assert_int_equal(write(fds[i][1], &c, 1), 1);
                c = 0;
                assert_int_equal(read(fds[i][0], &c, 1), 1);
                assert_int_equal(c, 'x');
                close(fds[i][0]);
                close(fds[i][1]);
        }
}

/* Another whole run gives anything late the time to show. */
static void another_run(enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);

        t_ok(sluice_add_zero(p, T_MIB));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, 0);
}

typedef void build_fn(struct sluice_pipeline *p, const char *address);

static void cancelled(enum sluice_driver driver, build_fn *build)
{
        struct t_peer peer = { .enough = 300000, .on_enough = fire, .stop = false };
        struct sluice_pipeline *p;
        int fds[NUMBERS][2];
        char address[32];

        assert_int_equal(sluice_cancel_new(&token), 0);
        p = t_new(T_OPTIONS(.cancel = token, .driver = driver, .grace_ms = T_GRACE_MS));
        t_reader(&peer, -1, t_listen(address, sizeof(address)));
        build(p, address);
        t_chain(p);
        t_run(p, -ECANCELED);
        for (int i = 0; i < NUMBERS; i++)
                t_pipe(fds[i]);
        another_run(driver);
        check_untouched(fds);
        assert_int_equal(t_stats(p, 0).abandoned, 0);
        sluice_pipeline_free(p);
        t_join(&peer);
        sluice_cancel_unref(token);
}

static void zero_to_tcp(struct sluice_pipeline *p, const char *address)
{
        t_ok(sluice_add_zero(p, -1));
        t_ok(sluice_add_tcp(p, address, NULL));
}

static void command_to_tcp(struct sluice_pipeline *p, const char *address)
{
        t_ok(sluice_add_command(p, T_ARGV("cat", "/dev/zero"), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
}

static void through_command(struct sluice_pipeline *p, const char *address)
{
        t_ok(sluice_add_zero(p, INT64_MAX / 2));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
}

static void every_driver(build_fn *build)
{
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int i = 0; i < 5; i++)
                        cancelled(t_drivers[d], build);
}

static void test_zero_to_tcp(void **state)
{
        (void)state;
        every_driver(zero_to_tcp);
}

static void test_command_to_tcp(void **state)
{
        (void)state;
        every_driver(command_to_tcp);
}

static void test_through_command(void **state)
{
        (void)state;
        every_driver(through_command);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_zero_to_tcp), T_TEST(test_command_to_tcp), T_TEST(test_through_command) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
