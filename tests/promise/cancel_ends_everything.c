/* cancel_ends_everything.c: a token, fired from anywhere at any time, ends the run with -ECANCELED, children included. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static struct sluice_cancel *token;

static void fire(void *arg)
{
        sluice_cancel_fire(arg);
}

static void on_signal(int signal)
{
        int saved = errno;

        (void)signal;
        errno = 42;
        sluice_cancel_fire(token);
        if (errno != 42)
                _exit(99);
        errno = saved;
}

static struct sluice_pipeline *endless(const char *address)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.cancel = token, .grace_ms = T_GRACE_MS));

        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "while :; do echo again; done"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
        t_chain(p);
        return p;
}

static void set_up(void)
{
        assert_int_equal(sluice_cancel_new(&token), 0);
        assert_false(sluice_cancel_fired(token));
}

static void tear_down(void)
{
        assert_true(sluice_cancel_fired(token));
        sluice_cancel_unref(token);
}

static void test_from_another_thread(void **state)
{
        struct t_peer peer = { .enough = 100000, .on_enough = fire };
        struct sluice_pipeline *p;
        char address[32];

        (void)state;
        set_up();
        peer.arg = token;
        t_reader(&peer, -1, t_listen(address, sizeof(address)));
        p = endless(address);
        t_run(p, -ECANCELED);
        assert_int_equal(t_children(), 0);
        sluice_pipeline_free(p);
        t_join(&peer);
        tear_down();
}

static void raise_here(void *arg)
{
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
}

/* On the loop's own thread, while it waits or works. */
static void test_from_a_signal_handler(void **state)
{
        struct sigaction action = { .sa_handler = on_signal }, old;
        pthread_t self = pthread_self();
        struct t_peer peer = { .enough = 100000, .on_enough = raise_here, .arg = &self };
        struct sluice_pipeline *p;
        char address[32];

        (void)state;
        set_up();
        sigaction(SIGUSR1, &action, &old);
        t_reader(&peer, -1, t_listen(address, sizeof(address)));
        p = endless(address);
        t_run(p, -ECANCELED);
        assert_int_equal(t_children(), 0);
        sluice_pipeline_free(p);
        t_join(&peer);
        sigaction(SIGUSR1, &old, NULL);
        tear_down();
}

/* Nothing is destroyed then: the old contents stay. */
static void test_before_the_start(void **state)
{
        struct sluice_pipeline *p;

        (void)state;
        set_up();
        t_make_text(t_path("kept"), "old");
        sluice_cancel_fire(token);
        sluice_cancel_fire(token);
        p = t_new(T_OPTIONS(.cancel = token, .grace_ms = T_GRACE_MS));
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        t_ok(sluice_add_file(p, t_path("sink"), NULL));
        t_chain(p);
        t_run(p, -ECANCELED);
        t_run(p, -ECANCELED); /* it sticks */
        assert_int_equal(t_children(), 0);
        sluice_pipeline_free(p);
        tear_down();
}

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

/* It is given turns until there is nothing to do but wait. */
static void started_then_cancelled(struct sluice_pipeline *p)
{
        struct sluice_loop *l;
        int result = 1;

        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, l, store, &result), 0);
        while (sluice_loop_turn(l, T_GRACE_MS) > 0)
                assert_int_equal(result, 1);
        sluice_cancel_fire(token);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, -ECANCELED);
        sluice_pipeline_free(p);
        sluice_loop_free(l);
}

/* Each way of being asleep: no bytes, no room, nobody to connect, a FIFO without a writer. */
static void test_while_it_sleeps(void **state)
{
        (void)state;
        for (int i = 0; i < 3; i++) {
                struct sluice_pipeline *p;
                int in[2];

                set_up();
                t_pipe(in);
                p = t_new(T_OPTIONS(.cancel = token, .grace_ms = T_GRACE_MS));
                if (i == 0)
                        t_ok(sluice_add_fd(p, in[0], 0));
                else if (i == 1)
                        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
                else
                        t_ok(sluice_add_unix_listen(p, t_path("s"), NULL));
                t_ok(sluice_add_file(p, t_path("sink"), NULL));
                t_chain(p);
                started_then_cancelled(p);
                close(in[0]);
                close(in[1]);
                assert_false(t_exists(t_path("s")));
                tear_down();
        }
}

static void test_stop(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_loop *l;
        int result = 1;

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, l, store, &result), 0);
        while (sluice_pipeline_stage_pid(p, 0) < 0)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        sluice_pipeline_stop(p);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, -ECANCELED);
        assert_int_equal(t_children(), 0);
        sluice_pipeline_free(p);
        sluice_loop_free(l);
}

/* free() of a run under way aborts it and waits. */
static void test_free_while_it_runs(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_loop *l;
        int result = 1;

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, l, store, &result), 0);
        while (sluice_pipeline_stage_pid(p, 0) < 0)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        sluice_pipeline_free(p);
        assert_int_equal(t_children(), 0);
        sluice_loop_free(l);
}

/* One token, several runs: all of them end. */
static void test_broadcast(void **state)
{
        struct sluice_pipeline *p[3];
        struct sluice_loop *l;
        int result[3] = { 1, 1, 1 };

        (void)state;
        set_up();
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        for (int i = 0; i < 3; i++) {
                p[i] = t_new(T_OPTIONS(.cancel = token, .grace_ms = T_GRACE_MS));
                t_ok(sluice_add_command(p[i], T_ARGV("sleep", "1000"), NULL));
                assert_int_equal(sluice_pipeline_start(p[i], l, store, &result[i]), 0);
        }
        while (sluice_pipeline_stage_pid(p[2], 0) < 0)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        sluice_cancel_fire(token);
        while (result[0] == 1 || result[1] == 1 || result[2] == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(result[i], -ECANCELED);
                sluice_pipeline_free(p[i]);
        }
        sluice_loop_free(l);
        tear_down();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_from_another_thread),
                T_TEST(test_from_a_signal_handler),
                T_TEST(test_before_the_start),
                T_TEST(test_while_it_sleeps),
                T_TEST(test_stop),
                T_TEST(test_free_while_it_runs),
                T_TEST(test_broadcast),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
