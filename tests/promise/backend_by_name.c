/* backend_by_name.c: a host says which backend a pipeline or a loop uses; every driver moves every byte by either, two loops of
 * one process may differ, the usage says which it was, and a name that is none changes nothing. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { BYTES = 3 << 20 };

static struct sluice_pipeline *copy_of(enum sluice_driver driver, enum sluice_backend backend, const char *to)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.driver = driver, .grace_ms = T_GRACE_MS, .backend = backend));

        t_ok(sluice_add_file(p, t_path("from"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path(to), T_FILE(.flags = SLUICE_OBSERVE)));
        t_chain(p);
        return p;
}

static struct sluice_usage usage(const struct sluice_pipeline *p)
{
        struct sluice_usage u = { .size = sizeof(u) };

        assert_int_equal(sluice_pipeline_usage(p, &u), 0);
        return u;
}

static void test_epoll(void **state)
{
        (void)state;
        t_make(t_path("from"), BYTES);
        for (size_t i = 0; i < T_NR(t_drivers); i++) {
                struct sluice_pipeline *p = copy_of(t_drivers[i], SLUICE_BACKEND_EPOLL, "to");

                t_run(p, 0);
                assert_int_equal(usage(p).backend, SLUICE_BACKEND_EPOLL);
                assert_int_equal(usage(p).ring_error, 0); /* it was not asked */
                sluice_pipeline_free(p);
                t_check_file(t_path("to"), BYTES, 0);
        }
}

/* By name it is io_uring or an error that says so; by itself one or the other, and all bytes. */
static void test_uring(void **state)
{
        struct sluice_pipeline *p;
        int error;

        (void)state;
        t_make(t_path("from"), BYTES);
        p = copy_of(SLUICE_DRIVER_RING, SLUICE_BACKEND_AUTO, "to");
        t_run(p, 0);
        error = usage(p).ring_error;
        assert_int_equal(usage(p).backend, error ? SLUICE_BACKEND_EPOLL : SLUICE_BACKEND_URING);
        sluice_pipeline_free(p);
        t_check_file(t_path("to"), BYTES, 0);
        p = copy_of(SLUICE_DRIVER_RING, SLUICE_BACKEND_URING, "to");
        assert_int_equal(sluice_pipeline_run(p), error);
        assert_int_equal(usage(p).backend, SLUICE_BACKEND_URING);
        assert_int_equal(usage(p).ring_error, error);
        if (error)
                assert_non_null(strstr(sluice_pipeline_error(p), "io_uring is refused here"));
        sluice_pipeline_free(p);
}

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

/* Each polled by the host by its fd alone. */
static void test_two_loops(void **state)
{
        static const enum sluice_backend wanted[2] = { SLUICE_BACKEND_EPOLL, SLUICE_BACKEND_AUTO };
        struct sluice_pipeline *p[2];
        struct sluice_loop *l[2];
        struct pollfd fds[2];
        int result[2] = { 1, 1 };

        (void)state;
        t_make(t_path("from"), BYTES);
        for (int i = 0; i < 2; i++) {
                const struct sluice_loop_options o = { .size = sizeof(o), .backend = wanted[i] };

                assert_int_equal(sluice_loop_new(&l[i], &o), 0);
                p[i] = copy_of(SLUICE_DRIVER_AUTO, SLUICE_BACKEND_AUTO, i ? "to1" : "to0"); /* the loop's counts */
                assert_int_equal(sluice_pipeline_start(p[i], l[i], store, &result[i]), 0);
                fds[i] = (struct pollfd){ .fd = sluice_loop_fd(l[i]), .events = POLLIN };
                assert_true(fds[i].fd >= 0);
        }
        while (result[0] == 1 || result[1] == 1) {
                assert_true(poll(fds, 2, 20000) > 0); /* else a loop has work and does not say so */
                for (int i = 0; i < 2; i++)
                        if (fds[i].revents)
                                assert_true(sluice_loop_turn(l[i], 0) >= 0);
        }
        for (int i = 0; i < 2; i++) {
                assert_int_equal(result[i], 0);
                if (wanted[i])
                        assert_int_equal(usage(p[i]).backend, wanted[i]);
                t_check_file(t_path(i ? "to1" : "to0"), BYTES, 0);
                sluice_pipeline_free(p[i]);
                sluice_loop_free(l[i]);
        }
}

static void test_names(void **state)
{
        struct sluice_loop_options o = { .size = sizeof(o) };
        struct sluice_pipeline *p = (void *)1;
        struct sluice_loop *l = (void *)1;

        (void)state;
        for (int backend = -1; backend <= SLUICE_BACKEND_EPOLL + 1; backend += SLUICE_BACKEND_EPOLL + 2) {
                o.backend = (enum sluice_backend)backend;
                assert_int_equal(sluice_loop_new(&l, &o), -EINVAL);
                assert_ptr_equal(l, (void *)1);
                assert_int_equal(sluice_pipeline_new(&p, T_OPTIONS(.backend = (enum sluice_backend)backend)), -EINVAL);
                assert_ptr_equal(p, (void *)1);
        }
        assert_string_equal(sluice_backend_name(SLUICE_BACKEND_AUTO), "auto");
        assert_string_equal(sluice_backend_name(SLUICE_BACKEND_URING), "uring");
        assert_string_equal(sluice_backend_name(SLUICE_BACKEND_EPOLL), "epoll");
        assert_string_equal(sluice_backend_name((enum sluice_backend)77), "?");
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_epoll), T_TEST(test_uring), T_TEST(test_two_loops), T_TEST(test_names) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
