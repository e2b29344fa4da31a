/* cancel_on_fd_eof.c: the end of a pipe that somebody holds for us is a cancel, however he let go of it; what he writes into
 * it meanwhile is read and means nothing. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "parts.h"

/* A token that fires when the pipe's write end is closed. */
struct keepalive {
        struct sluice_cancel *token;
        int fds[2];
};

static struct keepalive keep_alive(void)
{
        struct keepalive k;

        t_pipe(k.fds);
        assert_int_equal(sluice_cancel_new(&k.token), 0);
        assert_int_equal(sluice_cancel_on_fd_eof(k.token, k.fds[0]), 0);
        return k;
}

static void let_go(struct keepalive *k)
{
        sluice_cancel_unref(k->token);
        for (int i = 0; i < 2; i++)
                if (k->fds[i] >= 0)
                        close(k->fds[i]);
}

static void run(struct keepalive *k, const char *script, int expected)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.cancel = k->token, .grace_ms = T_GRACE_MS));

        t_sh(p, script, NULL);
        t_run_free(p, expected);
        assert_int_equal(t_children(), 0);
        assert_int_equal(sluice_cancel_fired(k->token), expected == -ECANCELED);
}

static void test_end_before_the_run(void **state)
{
        struct keepalive k = keep_alive();

        (void)state;
        close(k.fds[1]);
        k.fds[1] = -1;
        run(&k, "exec sleep 1000", -ECANCELED);
        let_go(&k);
}

/* Much more than a pipe holds is written, and then comes the end. */
static void test_data_is_discarded(void **state)
{
        struct keepalive k = keep_alive();
        struct t_peer peer = { 0 };

        (void)state;
        t_writer(&peer, k.fds[1], -1, 3 * T_MIB);
        k.fds[1] = -1; /* the peer's to close */
        run(&k, "exec sleep 1000", -ECANCELED);
        t_join(&peer);
        assert_int_equal(peer.error, 0);
        let_go(&k);
}

static void test_data_is_no_end(void **state)
{
        struct keepalive k = keep_alive();

        (void)state;
        assert_int_equal(write(k.fds[1], "still here", 10), 10);
        run(&k, "sleep 0.2", 0);
        run(&k, "exit 3", -ECHILD);
        let_go(&k);
}

static void kill_holder(void *arg, const struct sluice_event *e)
{
        if (e->kind == SLUICE_EVENT_START)
                kill(*(const pid_t *)arg, SIGKILL);
}

/* Who holds it is killed, once we run: nothing has to be said for that to be seen. */
static void test_holder_is_killed(void **state)
{
        struct keepalive k = keep_alive();
        struct sluice_pipeline *p;
        pid_t holder = fork();

        (void)state;
        if (holder == 0)
                for (;;)
                        pause();
        close(k.fds[1]);
        k.fds[1] = -1;
        p = t_new(T_OPTIONS(.cancel = k.token, .event = kill_holder, .event_arg = &holder, .grace_ms = T_GRACE_MS));
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_null(p));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, -ECANCELED);
        assert_int_equal(waitpid(holder, NULL, 0), holder);
        let_go(&k);
}

/* A socket will do, and half of it: the peer says that no more comes. */
static void test_socket(void **state)
{
        struct keepalive k;

        (void)state;
        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, k.fds), errno);
        assert_int_equal(sluice_cancel_new(&k.token), 0);
        assert_int_equal(sluice_cancel_on_fd_eof(k.token, k.fds[0]), 0);
        run(&k, "exit 0", 0);
        shutdown(k.fds[1], SHUT_WR);
        run(&k, "exec sleep 1000", -ECANCELED);
        let_go(&k);
}

/* The fd stays the caller's: as it was, and to close at any time. */
static void test_fd_is_the_callers(void **state)
{
        struct keepalive k;
        int fd_flags, status_flags;

        (void)state;
        t_pipe(k.fds);
        fd_flags = fcntl(k.fds[0], F_GETFD);
        status_flags = fcntl(k.fds[0], F_GETFL);
        assert_int_equal(sluice_cancel_new(&k.token), 0);
        assert_int_equal(sluice_cancel_on_fd_eof(k.token, k.fds[0]), 0);
        run(&k, "exit 0", 0);
        assert_int_equal(fcntl(k.fds[0], F_GETFD), fd_flags);
        assert_int_equal(fcntl(k.fds[0], F_GETFL), status_flags);
        close(k.fds[0]);
        k.fds[0] = -1;
        run(&k, "sleep 0.1", 0);
        close(k.fds[1]);
        k.fds[1] = -1;
        run(&k, "exec sleep 1000", -ECANCELED);
        let_go(&k);
}

/* Whoever fires it, it is fired. */
static void test_fired_by_hand(void **state)
{
        struct keepalive k = keep_alive();

        (void)state;
        sluice_cancel_fire(k.token);
        run(&k, "exec sleep 1000", -ECANCELED);
        let_go(&k);
}

static void test_calls_that_fail(void **state)
{
        struct keepalive k = keep_alive();
        struct sluice_cancel *other;
        int fds;

        (void)state;
        fds = t_fds();
        assert_int_equal(sluice_cancel_on_fd_eof(k.token, k.fds[0]), -EEXIST);
        assert_int_equal(t_fds(), fds);
        assert_int_equal(sluice_cancel_new(&other), 0);
        fds = t_fds();
        assert_int_equal(sluice_cancel_on_fd_eof(other, -1), -EBADF);
        assert_int_equal(sluice_cancel_on_fd_eof(other, 100000), -EBADF);
        assert_int_equal(t_fds(), fds);
        assert_int_equal(sluice_cancel_on_fd_eof(other, k.fds[0]), 0); /* those took nothing */
        sluice_cancel_unref(other);
        let_go(&k);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_end_before_the_run),
                T_TEST(test_data_is_discarded),
                T_TEST(test_data_is_no_end),
                T_TEST(test_holder_is_killed),
                T_TEST(test_socket),
                T_TEST(test_fd_is_the_callers),
                T_TEST(test_fired_by_hand),
                T_TEST(test_calls_that_fail),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
