/* reader_gone_is_epipe.c: a sink that nobody reads any more is -EPIPE; SIGPIPE never reaches the host, whose disposition
 * and mask are as they were. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

static volatile sig_atomic_t seen;

static void on_pipe(int signal)
{
        (void)signal;
        seen++;
}

/* SIGPIPE is at its default: it would kill this test. */
static void test_default_disposition(void **state)
{
        (void)state;
        signal(SIGPIPE, SIG_DFL);
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                struct sluice_failure f;
                int out[2];

                t_pipe(out);
                close(out[0]);
                t_ok(sluice_add_zero(p, 10 * T_MIB));
                t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
                t_chain(p);
                t_run(p, -EPIPE);
                assert_int_equal(sluice_pipeline_failures(p, &f, 1), 1);
                assert_int_equal(f.stage, 1);
                assert_false(f.inferred);
                sluice_pipeline_free(p);
        }
}

static void test_handler_sees_nothing(void **state)
{
        struct sigaction action = { .sa_handler = on_pipe }, old;

        (void)state;
        seen = 0;
        sigaction(SIGPIPE, &action, &old);
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                int pair[2];

                assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), errno);
                close(pair[1]);
                t_ok(sluice_add_zero(p, 10 * T_MIB));
                t_ok(sluice_add_fd(p, pair[0], SLUICE_OWN));
                t_chain(p);
                t_run_free(p, -EPIPE);
        }
        assert_int_equal(seen, 0);
        sigaction(SIGPIPE, &old, NULL);
}

/* The reader goes in the middle of it. */
static void test_goes_meanwhile(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                struct t_peer peer = { .enough = 200000, .stop = true };
                int out[2], r;

                t_pipe(out);
                t_reader(&peer, out[0], -1);
                t_ok(sluice_add_zero(p, -1));
                t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
                t_chain(p);
                r = sluice_pipeline_run(p);
                assert_int_equal(r, -EPIPE);
                t_check_law(p);
                sluice_pipeline_free(p);
                t_join(&peer);
        }
}

/* One that was pending before, because the host blocks it, is still pending afterwards; and none is added. */
static void test_pending_stays(void **state)
{
        sigset_t pipe_only, old, pending;
        const struct timespec now = { 0 };

        (void)state;
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
        for (int was = 0; was < 2; was++) {
                struct sluice_pipeline *p = t_new_driver(SLUICE_DRIVER_INLINE);
                int out[2];

                if (was)
                        pthread_kill(pthread_self(), SIGPIPE);
                t_pipe(out);
                close(out[0]);
                t_ok(sluice_add_zero(p, T_MIB));
                t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
                t_chain(p);
                t_run_free(p, -EPIPE);
                sigpending(&pending);
                assert_int_equal(sigismember(&pending, SIGPIPE), was);
        }
        assert_int_equal(sigtimedwait(&pipe_only, NULL, &now), SIGPIPE);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Commands get the default disposition and no blocked signal, whatever the host has. */
static void test_commands_have_the_default(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        signal(SIGPIPE, SIG_IGN);
        t_ok(sluice_add_command(p, T_ARGV("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("sort"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        signal(SIGPIPE, SIG_DFL);
        t_check_text(t_path("b"), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_default_disposition), T_TEST(test_handler_sees_nothing),      T_TEST(test_goes_meanwhile),
                T_TEST(test_pending_stays),       T_TEST(test_commands_have_the_default),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
