/* failing_calls_change_nothing.c: a call that fails says why, writes no *ret, and leaves the object as it was. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sluice/stage.h>

#include "fixture.h"

static void *const untouched = (void *)0x5a5a5a;

static void test_pipeline_new(void **state)
{
        struct sluice_pipeline *p = untouched;

        (void)state;
        errno = 0;
        assert_int_equal(sluice_pipeline_new(&p, &(struct sluice_options){ .size = 1 }), -EINVAL);
        assert_int_equal(sluice_pipeline_new(&p, T_OPTIONS(.flags = 1u << 31)), -EINVAL);
        assert_int_equal(sluice_pipeline_new(&p, T_OPTIONS(.driver = (enum sluice_driver)17)), -EINVAL);
        assert_int_equal(sluice_pipeline_new(&p, T_OPTIONS(.timeout_ms = -1)), -EINVAL);
        assert_int_equal(sluice_pipeline_new(&p, T_OPTIONS(.grace_ms = -1)), -EINVAL);
        assert_ptr_equal(p, untouched);
        assert_int_equal(errno, 0);
        sluice_pipeline_free(NULL);
}

static void test_add(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        static const struct sluice_stage_ops hollow = { .size = sizeof(hollow), .name = "hollow" };
        static const struct sluice_stage_ops strange = { .size = 3, .name = "strange" };
        char *const no_argv[] = { NULL };
        const struct sluice_socket_options negative = { .size = sizeof(negative), .timeout_ms = -1 };

        (void)state;
        assert_int_equal(sluice_pipeline_add(p, NULL, NULL, NULL), -EINVAL);
        assert_int_equal(sluice_pipeline_add(p, &hollow, NULL, NULL), -EINVAL);
        assert_int_equal(sluice_pipeline_add(p, &strange, NULL, NULL), -EINVAL);
        assert_int_equal(sluice_add_fd(p, -1, 0), -EINVAL);
        assert_int_equal(sluice_add_fd(p, 0, 1u << 30), -EINVAL);
        assert_int_equal(sluice_add_zero(p, -2), -EINVAL);
        assert_int_equal(sluice_add_command(p, no_argv, NULL), -EINVAL);
        assert_int_equal(sluice_add_command(p, NULL, NULL), -EINVAL);
        assert_int_equal(sluice_add_command(p, T_ARGV(""), NULL), -EINVAL);
        assert_int_equal(sluice_add_command(p, T_ARGV("true"), &(struct sluice_command_options){ .size = 1 }), -EINVAL);
        assert_int_equal(sluice_add_tcp(p, "no port", NULL), -EINVAL);
        assert_int_equal(sluice_add_tcp(p, "host:", NULL), -EINVAL);
        assert_int_equal(sluice_add_tcp(p, "host:1", &negative), -EINVAL);
        assert_int_equal(sluice_add_tcp_listen(p, "nothing", NULL), -EINVAL);
        assert_int_equal(sluice_add_unix(p, "/a", &negative), -EINVAL);
        assert_int_equal(sluice_add_file(p, "a", &(struct sluice_file_options){ .size = 1 }), -EINVAL);
        assert_int_equal(sluice_add_file(p, "a", T_FILE(.offset = -1)), -EINVAL);
        assert_int_equal(sluice_add_file(p, "a", T_FILE(.flags = 1u << 30)), -EINVAL);
        assert_int_equal(sluice_add_file(p, "a", T_FILE(.flags = SLUICE_FILE_RANGE, .length = -1)), -EINVAL);
        assert_int_equal(sluice_add_file(p, "a", T_FILE(.flags = SLUICE_FILE_APPEND, .offset = 1)), -EINVAL);
        assert_int_equal(sluice_add_file(p, "a", T_FILE(.flags = SLUICE_FILE_APPEND | SLUICE_FILE_ATOMIC)), -EINVAL);
        assert_int_equal(sluice_add_file(p, "", NULL), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
}

/* An fd that was not taken over is still the caller's. */
static void test_add_fd_takes_nothing(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int fds[2];

        (void)state;
        t_pipe(fds);
        t_ok(sluice_add_zero(p, 0));
        t_ok(sluice_add_null(p));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_int_equal(sluice_add_fd(p, fds[0], SLUICE_OWN), -EBUSY);
        assert_int_equal(sluice_add_fd(p, fds[1], SLUICE_OWN | 1u << 30), -EINVAL);
        sluice_pipeline_free(p);
        assert_return_code(fcntl(fds[0], F_GETFD), errno);
        assert_return_code(fcntl(fds[1], F_GETFD), errno);
        close(fds[0]);
        close(fds[1]);
}

/* One that was is closed, run or not. */
static void test_owned_fd_is_closed(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int fds[2];

        (void)state;
        t_pipe(fds);
        t_ok(sluice_add_fd(p, fds[0], SLUICE_OWN));
        t_ok(sluice_add_fd(p, fds[1], SLUICE_OWN));
        sluice_pipeline_free(p);
        assert_int_equal(fcntl(fds[0], F_GETFD), -1);
        assert_int_equal(fcntl(fds[1], F_GETFD), -1);
}

static void test_link(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int a, b;

        (void)state;
        a = t_ok(sluice_add_zero(p, 1));
        b = t_ok(sluice_add_null(p));
        assert_int_equal(sluice_pipeline_link(p, a, a), -EINVAL);
        assert_int_equal(sluice_pipeline_link(p, -1, b), -EINVAL);
        assert_int_equal(sluice_pipeline_link(p, a, 2), -EINVAL);
        assert_int_equal(sluice_pipeline_links(p), 0);
        assert_int_equal(sluice_pipeline_link(p, a, b), 0);
        assert_int_equal(sluice_pipeline_link(p, a, b), -EEXIST);
        assert_int_equal(sluice_pipeline_links(p), 1);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_int_equal(sluice_pipeline_link(p, a, b), -EBUSY);
        assert_int_equal(sluice_add_null(p), -EBUSY);
        assert_int_equal(sluice_add_command(p, T_ARGV("true"), NULL), -EBUSY);
        assert_int_equal(sluice_pipeline_stages(p), 2);
        t_run_free(p, 0);
}

static void refused(struct sluice_pipeline *p, int error, int stage)
{
        assert_int_equal(sluice_pipeline_build(p), error);
        assert_int_equal(sluice_pipeline_run(p), error);
        assert_int_not_equal(strlen(sluice_pipeline_error(p)), 0);
        assert_int_equal(sluice_pipeline_error_stage(p), stage);
        sluice_pipeline_free(p);
}

static void test_build(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_null(p));
        refused(p, -EINVAL, 0);
        p = t_new(NULL); /* zero: takes no input */
        t_ok(sluice_add_zero(p, 1));
        t_ok(sluice_add_zero(p, 1));
        t_chain(p);
        refused(p, -ENOTSUP, 1);
        p = t_new(NULL); /* a file in the middle */
        t_ok(sluice_add_zero(p, 1));
        t_ok(sluice_add_file(p, t_path("x"), NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        refused(p, -ENOTSUP, 1);
        p = t_new(NULL); /* sink's options on a source */
        t_ok(sluice_add_file(p, t_path("x"), T_FILE(.flags = SLUICE_FILE_APPEND)));
        t_ok(sluice_add_null(p));
        t_chain(p);
        refused(p, -ENOTSUP, 0);
        p = t_new(NULL); /* a circle */
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_chain(p);
        t_ok(sluice_pipeline_link(p, 1, 0));
        assert_int_equal(sluice_pipeline_build(p), -ELOOP);
        assert_int_not_equal(strlen(sluice_pipeline_error(p)), 0);
        sluice_pipeline_free(p);
        assert_int_equal(t_files(), 0);
}

/* A pipeline that could not be built can be completed. */
static void test_build_again(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_zero(p, 10));
        assert_int_equal(sluice_pipeline_build(p), -EINVAL);
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_string_equal(sluice_pipeline_error(p), "");
        assert_int_equal(sluice_pipeline_error_stage(p), -1);
        sluice_pipeline_free(p);
}

static void test_looking(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_stats s = { .size = sizeof(s), .bytes_taken = 77 }, wrong = { .size = 3, .bytes_taken = 77 };
        struct sluice_usage u = { .size = sizeof(u), .wall_s = 77 };
        int from = 77, to = 77;
        char text[8] = "kept";

        (void)state;
        t_ok(sluice_add_zero(p, 10));
        t_ok(sluice_add_null(p));
        t_chain(p);
        assert_int_equal(sluice_pipeline_explain(p, 0, text, sizeof(text)), -EINVAL);
        assert_int_equal(sluice_pipeline_stats(p, 0, &s), -EINVAL);
        assert_true(sluice_pipeline_usage(p, &u) < 0);
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_stats(p, 1, &s), -EINVAL);
        assert_int_equal(sluice_pipeline_stats(p, -1, &s), -EINVAL);
        assert_int_equal(sluice_pipeline_stats(p, 0, &wrong), -EINVAL);
        assert_int_equal(sluice_pipeline_link_ends(p, 1, &from, &to), -EINVAL);
        assert_int_equal(sluice_pipeline_link_mode(p, 1), -EINVAL);
        assert_int_equal(sluice_pipeline_explain(p, 1, text, sizeof(text)), -EINVAL);
        assert_int_equal(sluice_pipeline_group(p), -ESRCH);
        assert_int_equal(sluice_pipeline_stage_pid(p, 0), -ESRCH);
        assert_int_equal(sluice_pipeline_stage_pid(p, 9), -ESRCH);
        assert_true(s.bytes_taken == 77 && wrong.bytes_taken == 77 && u.wall_s == 77 && from == 77 && to == 77);
        assert_string_equal(text, "kept");
        assert_int_equal(sluice_pipeline_failures(p, NULL, 0), 0);
        sluice_pipeline_free(p);
}

static void ignore(void *arg, int result)
{
        *(int *)arg = result;
}

static void test_start(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_plan *plan = untouched;
        struct sluice_loop *l;
        const struct sluice_binding outside = { .stage = 2 };
        int result = 1;

        (void)state;
        t_ok(sluice_add_null(p));
        assert_int_equal(sluice_plan_new(&plan, p), -EINVAL);
        assert_ptr_equal(plan, untouched);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, l, ignore, &result), -EINVAL);
        sluice_pipeline_free(p);
        p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        assert_int_equal(sluice_pipeline_start(p, l, ignore, &result), 0);
        assert_int_equal(sluice_pipeline_start(p, l, ignore, &result), -EBUSY);
        assert_int_equal(sluice_pipeline_run(p), -EBUSY);
        assert_int_equal(sluice_plan_new(&plan, p), 0);
        assert_int_equal(sluice_plan_start(plan, l, &outside, 1, ignore, &result), -EINVAL);
        sluice_pipeline_stop(p);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, -ECANCELED);
        sluice_plan_free(plan);
        sluice_pipeline_free(p);
        sluice_loop_free(l);
}

static void ignore_transfer(void *arg, int64_t result)
{
        (void)arg;
        (void)result;
        fail();
}

static void test_transfer(void **state)
{
        struct sluice_loop *l;
        struct sluice_transfer t = { .size = sizeof(t), .from = -1, .to = -1, .offset_from = -1, .offset_to = -1, .length = -1 };
        int fds = 0;

        (void)state;
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        fds = t_fds();
        assert_int_equal(sluice_transfer(l, &t, ignore_transfer, NULL), -EINVAL);
        t.from = 0;
        t.to = 1;
        t.length = -2;
        assert_int_equal(sluice_transfer(l, &t, ignore_transfer, NULL), -EINVAL);
        t.length = 1;
        t.timeout_ms = -1;
        assert_int_equal(sluice_transfer(l, &t, ignore_transfer, NULL), -EINVAL);
        t.timeout_ms = 0;
        t.size = 1;
        assert_int_equal(sluice_transfer(l, &t, ignore_transfer, NULL), -EINVAL);
        t.size = sizeof(t);
        t.from = 1000;
        assert_int_equal(sluice_transfer(l, &t, ignore_transfer, NULL), -EBADF);
        assert_int_equal(t_fds(), fds);
        sluice_loop_free(l);
        sluice_loop_free(NULL);
        sluice_cancel_unref(NULL);
        sluice_plan_free(NULL);
}

static void refused_transfer(const struct sluice_transfer *t)
{
        struct sluice_loop *l;
        int r;

        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        r = sluice_transfer(l, t, ignore_transfer, NULL);
        if (r == 0)
                fail_msg("it was taken"); /* and the loop cannot be freed */
        sluice_loop_free(l);
        assert_int_equal(r, -EINVAL);
}

static void test_transfer_driver(void **state)
{
        (void)state;
        refused_transfer(&(struct sluice_transfer){ .size = sizeof(struct sluice_transfer),
                                                    .from = 0,
                                                    .to = 1,
                                                    .offset_from = -1,
                                                    .offset_to = -1,
                                                    .driver = (enum sluice_driver)9 });
}

static void test_transfer_offset(void **state)
{
        (void)state;
        refused_transfer(&(struct sluice_transfer){
                .size = sizeof(struct sluice_transfer), .from = 0, .to = 1, .offset_from = -2, .offset_to = -1 });
}

static void test_parse(void **state)
{
        int64_t n = 77;

        (void)state;
        assert_int_equal(sluice_parse_bytes("", &n), -EINVAL);
        assert_int_equal(sluice_parse_bytes("-1", &n), -EINVAL);
        assert_int_equal(sluice_parse_bytes("1x", &n), -EINVAL);
        assert_int_equal(sluice_parse_bytes("99999999999999999999", &n), -ERANGE);
        assert_int_equal(sluice_parse_duration("1y", &n), -EINVAL);
        assert_int_equal(sluice_parse_duration("-1s", &n), -EINVAL);
        assert_int_equal(n, 77);
        assert_int_equal(sluice_parse_bytes("1.5k", &n), 0);
        assert_int_equal(n, 1536);
        assert_int_equal(sluice_parse_duration("1.5", &n), 0);
        assert_int_equal(n, 1500);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_pipeline_new),       T_TEST(test_add),     T_TEST(test_add_fd_takes_nothing),
                T_TEST(test_owned_fd_is_closed), T_TEST(test_link),    T_TEST(test_build),
                T_TEST(test_build_again),        T_TEST(test_looking), T_TEST(test_start),
                T_TEST(test_transfer),           T_TEST(test_parse),   T_TEST(test_transfer_driver),
                T_TEST(test_transfer_offset),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
