/* loop_rules.c: a loop belongs to a thread and a process, can be posted to and woken from any, tells a foreign poll()
 * when it has work, and gives every pipeline on it its turn. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

static struct sluice_loop *loop;

static void set_up(void)
{
        const struct sluice_loop_options opt = { .size = sizeof(opt) };

        assert_int_equal(sluice_loop_new(&loop, &opt), 0);
}

static void tear_down(void)
{
        sluice_loop_free(loop);
}

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

static void turn_until(const int *result)
{
        while (*result == 1)
                assert_true(sluice_loop_turn(loop, -1) >= 0);
}

static void *turn_elsewhere(void *arg)
{
        *(int *)arg = sluice_loop_turn(loop, 0);
        return NULL;
}

static void test_another_thread(void **state)
{
        pthread_t thread;
        int r = 1;

        (void)state;
        set_up();
        assert_int_equal(sluice_loop_turn(loop, 0), 0);
        pthread_create(&thread, NULL, turn_elsewhere, &r);
        pthread_join(thread, NULL);
        assert_int_equal(r, -EXDEV);
        tear_down();
}

static void test_after_fork(void **state)
{
        int status;
        pid_t pid;

        (void)state;
        set_up();
        assert_int_equal(sluice_loop_turn(loop, 0), 0);
        pid = fork();
        if (pid == 0)
                _exit(sluice_loop_turn(loop, 0) == -ECHILD ? 7 : 8);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 7);
        tear_down();
}

static void turn_inside(void *arg)
{
        *(int *)arg = sluice_loop_turn(loop, 0);
}

static void test_turn_in_a_callback(void **state)
{
        int r = 1;

        (void)state;
        set_up();
        assert_int_equal(sluice_loop_post(loop, turn_inside, &r), 0);
        assert_int_equal(sluice_loop_turn(loop, 0), 1);
        assert_int_equal(r, -EDEADLK);
        tear_down();
}

static void test_nothing_to_do(void **state)
{
        (void)state;
        set_up();
        assert_int_equal(sluice_loop_turn(loop, 0), 0);
        assert_int_equal(sluice_loop_turn(loop, 1), 0);
        tear_down();
}

enum { POSTERS = 4, POSTS = 500 };

static int counted;
static pthread_t loop_thread;

static void count(void *arg)
{
        (void)arg;
        assert_true(pthread_equal(loop_thread, pthread_self()));
        counted++;
}

static void *post_many(void *arg)
{
        for (int i = 0; i < POSTS; i++)
                if (sluice_loop_post(loop, count, NULL) < 0)
                        *(int *)arg = -1;
        return NULL;
}

static void test_posts(void **state)
{
        pthread_t threads[POSTERS];
        int bad = 0;

        (void)state;
        set_up();
        counted = 0;
        loop_thread = pthread_self();
        for (int i = 0; i < POSTERS; i++)
                pthread_create(&threads[i], NULL, post_many, &bad);
        while (counted < POSTERS * POSTS)
                assert_true(sluice_loop_turn(loop, -1) >= 0);
        for (int i = 0; i < POSTERS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(counted, POSTERS * POSTS);
        assert_int_equal(bad, 0);
        tear_down();
}

static void post_again(void *arg)
{
        if (++*(int *)arg < 3)
                assert_int_equal(sluice_loop_post(loop, post_again, arg), 0);
}

/* A post from a post runs in a later turn, without a wait in between. */
static void test_post_from_a_post(void **state)
{
        int n = 0;

        (void)state;
        set_up();
        assert_int_equal(sluice_loop_post(loop, post_again, &n), 0);
        while (n < 3)
                assert_int_equal(sluice_loop_turn(loop, -1), 1);
        tear_down();
}

static void test_free_with_a_post_waiting(void **state)
{
        int n = 0;

        (void)state;
        set_up();
        assert_int_equal(sluice_loop_post(loop, post_again, &n), 0);
        tear_down();
        assert_int_equal(n, 0);
}

static void *wake(void *arg)
{
        (void)arg;
        sluice_loop_wake(loop);
        return NULL;
}

static void test_wake_ends_a_wait(void **state)
{
        pthread_t thread;

        (void)state;
        set_up();
        pthread_create(&thread, NULL, wake, NULL);
        assert_true(sluice_loop_turn(loop, -1) >= 0);
        pthread_join(thread, NULL);
        tear_down();
}

static void turn_by_poll(int *result)
{
        struct pollfd p = { .fd = sluice_loop_fd(loop), .events = POLLIN };

        assert_true(p.fd >= 0);
        while (*result == 1) {
                assert_int_equal(poll(&p, 1, 5000), 1);
                assert_true(sluice_loop_turn(loop, 0) >= 0);
        }
}

/* A host with a loop of its own: only poll() waits. */
static void test_fd_under_poll(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                struct t_peer peer = { 0 };
                char address[32];
                int result = 1;

                set_up();
                t_make(t_path("a"), 2 * T_MIB);
                t_reader(&peer, -1, t_listen(address, sizeof(address)));
                t_ok(sluice_add_command(p, T_ARGV("cat", (char *)(uintptr_t)t_path("a")), NULL));
                t_ok(sluice_add_tcp(p, address, NULL));
                t_chain(p);
                assert_int_equal(sluice_pipeline_start(p, loop, store, &result), 0);
                turn_by_poll(&result);
                assert_int_equal(result, 0);
                sluice_pipeline_free(p);
                tear_down();
                t_join_exact(&peer, 2 * T_MIB);
        }
}

/* The fd was asked for before anything was started, or late, when polls are under way already. */
static void test_fd_asked_early_or_late(void **state)
{
        (void)state;
        for (int late = 0; late < 2; late++) {
                struct sluice_pipeline *p = t_new(NULL);
                struct t_peer peer = { 0 };
                int out[2], result = 1;

                set_up();
                t_make(t_path("a"), 2 * T_MIB);
                t_pipe(out);
                t_reader(&peer, out[0], -1);
                if (!late)
                        assert_true(sluice_loop_fd(loop) >= 0);
                t_ok(sluice_add_command(p, T_ARGV("cat", (char *)(uintptr_t)t_path("a")), NULL));
                t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
                t_chain(p);
                if (!late)
                        assert_true(sluice_loop_turn(loop, 0) >= 0);
                assert_int_equal(sluice_pipeline_start(p, loop, store, &result), 0);
                for (int i = 0; late && i < 3 && result == 1; i++)
                        assert_true(sluice_loop_turn(loop, 0) >= 0);
                turn_by_poll(&result);
                assert_int_equal(result, 0);
                sluice_pipeline_free(p);
                tear_down();
                t_join_exact(&peer, 2 * T_MIB);
        }
}

/* A start, a stop and a transfer between two turns are work. */
static void check_readable(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&p, 1, 5000), 1);
}

static int quiet_fd(void)
{
        struct pollfd p = { .fd = sluice_loop_fd(loop), .events = POLLIN };

        while (poll(&p, 1, T_GRACE_MS) > 0)
                assert_true(sluice_loop_turn(loop, 0) >= 0);
        return p.fd;
}

static void store_moved(void *arg, int64_t moved)
{
        *(int *)arg = (int)moved;
}

static void test_fd_tells_of_calls_between_turns(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_transfer t = { .size = sizeof(t), .offset_from = -1, .offset_to = -1, .length = 5 };
        int result = 1, moved = 1, in[2], out[2], fd;

        (void)state;
        t_pipe(in);
        t_pipe(out);
        set_up();
        fd = quiet_fd();
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        assert_int_equal(sluice_pipeline_start(p, loop, store, &result), 0);
        check_readable(fd);
        while (sluice_pipeline_stage_pid(p, 0) < 0)
                assert_true(sluice_loop_turn(loop, -1) >= 0);
        quiet_fd();
        sluice_pipeline_stop(p);
        check_readable(fd);
        turn_until(&result);
        assert_int_equal(result, -ECANCELED);
        quiet_fd();
        t.from = in[0];
        t.to = out[1];
        assert_int_equal(write(in[1], "bytes", 5), 5);
        assert_int_equal(sluice_transfer(loop, &t, store_moved, &moved), 0);
        check_readable(fd);
        turn_until(&moved);
        assert_int_equal(moved, 5);
        sluice_pipeline_free(p);
        tear_down();
        for (int i = 0; i < 2; i++) {
                close(in[i]);
                close(out[i]);
        }
}

/* Posts and a fired token, too. */
static void test_fd_tells_of_posts(void **state)
{
        struct sluice_cancel *token;
        struct sluice_pipeline *p;
        struct pollfd poller = { .events = POLLIN };
        int result = 1, n = 5;

        (void)state;
        set_up();
        assert_int_equal(sluice_cancel_new(&token), 0);
        p = t_new(T_OPTIONS(.cancel = token, .grace_ms = T_GRACE_MS));
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        assert_int_equal(sluice_pipeline_start(p, loop, store, &result), 0);
        poller.fd = sluice_loop_fd(loop);
        while (sluice_pipeline_stage_pid(p, 0) < 0) {
                assert_int_equal(poll(&poller, 1, 5000), 1);
                sluice_loop_turn(loop, 0);
        }
        while (poll(&poller, 1, T_GRACE_MS) > 0)
                sluice_loop_turn(loop, 0);
        assert_int_equal(sluice_loop_post(loop, post_again, &n), 0);
        assert_int_equal(poll(&poller, 1, 5000), 1);
        sluice_loop_turn(loop, 0);
        assert_int_equal(n, 6);
        sluice_cancel_fire(token);
        turn_by_poll(&result);
        assert_int_equal(result, -ECANCELED);
        sluice_pipeline_free(p);
        sluice_cancel_unref(token);
        tear_down();
}

/* A finite pipeline ends beside an endless one. */
static void fair(enum sluice_driver driver)
{
        struct sluice_pipeline *endless = t_new_driver(driver), *finite = t_new_driver(driver);
        int endless_result = 1, finite_result = 1;

        set_up();
        t_ok(sluice_add_zero(endless, -1));
        t_ok(sluice_add_null(endless));
        t_chain(endless);
        t_make(t_path("a"), 4 * T_MIB + 5);
        t_ok(sluice_add_file(finite, t_path("a"), NULL));
        t_ok(sluice_add_file(finite, t_path("b"), NULL));
        t_chain(finite);
        assert_int_equal(sluice_pipeline_start(endless, loop, store, &endless_result), 0);
        assert_int_equal(sluice_pipeline_start(finite, loop, store, &finite_result), 0);
        turn_until(&finite_result);
        assert_int_equal(finite_result, 0);
        assert_int_equal(endless_result, 1);
        sluice_pipeline_stop(endless);
        turn_until(&endless_result);
        assert_int_equal(endless_result, -ECANCELED);
        t_check_law(endless);
        sluice_pipeline_free(endless);
        sluice_pipeline_free(finite);
        tear_down();
        t_check_file(t_path("b"), 4 * T_MIB + 5, 0);
}

static void test_fairness(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                fair(t_drivers[d]);
}

/* Many at once. */
static void test_many(void **state)
{
        enum { MANY = 40 };
        struct sluice_pipeline *p[MANY];
        int result[MANY];
        char name[16];

        (void)state;
        set_up();
        t_make(t_path("a"), 50001);
        for (int i = 0; i < MANY; i++) {
                snprintf(name, sizeof(name), "b%d", i);
                result[i] = 1;
                p[i] = t_new_driver(t_drivers[i % 4]);
                t_ok(sluice_add_file(p[i], t_path("a"), NULL));
                t_ok(sluice_add_command(p[i], T_ARGV("cat"), NULL));
                t_ok(sluice_add_file(p[i], t_path(name), T_FILE(.flags = SLUICE_FILE_OBSERVE)));
                t_chain(p[i]);
                assert_int_equal(sluice_pipeline_start(p[i], loop, store, &result[i]), 0);
        }
        for (int i = 0; i < MANY; i++) {
                turn_until(&result[i]);
                assert_int_equal(result[i], 0);
                snprintf(name, sizeof(name), "b%d", i);
                t_check_file(t_path(name), 50001, 0);
                sluice_pipeline_free(p[i]);
        }
        tear_down();
}

static void free_it(void *arg, int result)
{
        struct sluice_pipeline **p = arg;

        (void)result;
        sluice_pipeline_free(*p);
        *p = NULL;
}

/* done() may free its own pipeline, as a host without a list of them does. */
static void test_free_in_done(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        set_up();
        t_ok(sluice_add_zero(p, 10));
        t_ok(sluice_add_null(p));
        t_chain(p);
        assert_int_equal(sluice_pipeline_start(p, loop, free_it, &p), 0);
        while (p)
                assert_true(sluice_loop_turn(loop, -1) >= 0);
        tear_down();
}

struct again {
        struct sluice_pipeline *p;
        int left, result;
};

static void start_again(void *arg, int result)
{
        struct again *a = arg;

        assert_int_equal(result, 0);
        if (--a->left > 0)
                assert_int_equal(sluice_pipeline_start(a->p, loop, start_again, a), 0);
        else
                a->result = 0;
}

/* ... or start it again. */
static void test_start_in_done(void **state)
{
        struct again a = { .p = t_new(NULL), .left = 5, .result = 1 };

        (void)state;
        set_up();
        t_ok(sluice_add_zero(a.p, 10));
        t_ok(sluice_add_null(a.p));
        t_chain(a.p);
        assert_int_equal(sluice_pipeline_start(a.p, loop, start_again, &a), 0);
        turn_until(&a.result);
        sluice_pipeline_free(a.p);
        tear_down();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_another_thread),
                T_TEST(test_after_fork),
                T_TEST(test_turn_in_a_callback),
                T_TEST(test_nothing_to_do),
                T_TEST(test_posts),
                T_TEST(test_post_from_a_post),
                T_TEST(test_free_with_a_post_waiting),
                T_TEST(test_wake_ends_a_wait),
                T_TEST(test_fd_under_poll),
                T_TEST(test_fd_tells_of_posts),
                T_TEST(test_fd_asked_early_or_late),
                T_TEST(test_fd_tells_of_calls_between_turns),
                T_TEST(test_fairness),
                T_TEST(test_many),
                T_TEST(test_free_in_done),
                T_TEST(test_start_in_done),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
