/* forbid_copy_refuses.c: with SLUICE_FORBID_COPY no payload byte enters userspace: -EOPNOTSUPP rather than that. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "parts.h"

static struct sluice_pipeline *strict(enum sluice_driver driver)
{
        return t_new(T_OPTIONS(.flags = SLUICE_FORBID_COPY, .driver = driver, .grace_ms = T_GRACE_MS));
}

static void test_spliced_is_fine(void **state)
{
        static const enum sluice_driver drivers[] = { SLUICE_DRIVER_AUTO, SLUICE_DRIVER_INLINE, SLUICE_DRIVER_RING };

        (void)state;
        t_make(t_path("a"), 300000);
        for (size_t d = 0; d < T_NR(drivers); d++) {
                struct sluice_pipeline *p = strict(drivers[d]);

                t_ok(sluice_add_file(p, t_path("a"), NULL));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run(p, 0);
                assert_int_equal(t_stats(p, 0).bytes_copied.value, 0);
                assert_int_equal(t_stats(p, 0).bytes_copied.certainty, SLUICE_EXACT);
                assert_int_equal(t_stats(p, 0).bytes_spliced.value, 300000);
                sluice_pipeline_free(p);
                t_check_file(t_path("b"), 300000, 0);
        }
}

static void test_copy_driver(void **state)
{
        struct sluice_pipeline *p = NULL;

        (void)state;
        assert_int_equal(sluice_pipeline_new(&p, T_OPTIONS(.flags = SLUICE_FORBID_COPY, .driver = SLUICE_DRIVER_COPY)), -EINVAL);
        assert_null(p);
}

static int swallow(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)c;
        (void)self;
        (void)out;
        in->consumed = in->len;
        return 0;
}
static const struct sluice_stage_ops swallow_ops = T_FUNCTION(swallow);

/* generate, a par of a pipeline (of a par of it), and a function: all of memory but what may be inside. */
static struct sluice_pipeline *strict_par(const struct sluice_pipeline *inner, int levels)
{
        struct sluice_pipeline *p = strict(SLUICE_DRIVER_AUTO), *outer = t_new(NULL);

        t_ok(sluice_add_generate(p, 100000));
        t_ok(sluice_add_par(outer, 2, inner, NULL, NULL, 0));
        t_ok(sluice_add_par(p, 3, levels > 1 ? outer : inner, NULL, NULL, 0));
        t_ok(sluice_pipeline_add(p, &swallow_ops, NULL, NULL));
        t_chain(p);
        sluice_pipeline_free(outer);
        return p;
}

/* What a stage runs copies of was built without the options of the pipeline around it. */
static void test_inside_a_par(void **state)
{
        (void)state;
        for (int levels = 1; levels <= 2; levels++) {
                struct sluice_pipeline *function = t_new(NULL), *command = t_new(NULL), *p;

                t_ok(sluice_add_count(function));
                p = strict_par(function, levels);
                assert_int_equal(sluice_pipeline_build(p), 0);
                sluice_pipeline_free(p);
                t_ok(sluice_add_command(command, T_ARGV("cat"), NULL));
                p = strict_par(command, levels);
                assert_int_equal(sluice_pipeline_build(p), -EOPNOTSUPP);
                assert_int_equal(sluice_pipeline_error_stage(p), 1);
                assert_non_null(strstr(sluice_pipeline_error(p), "inside it, the input of cat"));
                sluice_pipeline_free(p);
                sluice_pipeline_free(function);
                sluice_pipeline_free(command);
        }
}

/* Known before anything is opened. */
static void test_append(void **state)
{
        struct sluice_pipeline *p = strict(SLUICE_DRIVER_AUTO);

        (void)state;
        t_make_text(t_path("log"), "old");
        t_ok(sluice_add_zero(p, 10));
        t_ok(sluice_add_file(p, t_path("log"), T_FILE(.flags = SLUICE_FILE_APPEND)));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), -EOPNOTSUPP);
        assert_int_equal(sluice_pipeline_error_stage(p), 1);
        t_run_free(p, -EOPNOTSUPP);
        t_check_text(t_path("log"), "old");
}

static void test_snapshot(void **state)
{
        struct sluice_pipeline *p = strict(SLUICE_DRIVER_AUTO);

        (void)state;
        t_make_text(t_path("a"), "text");
        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.flags = SLUICE_FILE_SNAPSHOT)));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, -EOPNOTSUPP);
        assert_false(t_exists(t_path("b")));
}

/* Known once it is open: what was there stays. */
static void test_append_fd(void **state)
{
        struct sluice_pipeline *p = strict(SLUICE_DRIVER_AUTO);
        int fd;

        (void)state;
        t_make_text(t_path("log"), "old");
        t_make_text(t_path("precious"), "precious");
        fd = open(t_path("log"), O_WRONLY | O_APPEND | O_CLOEXEC);
        t_ok(sluice_add_file(p, t_path("precious"), NULL));
        t_ok(sluice_add_fd(p, fd, SLUICE_OWN));
        t_chain(p);
        t_run_free(p, -EOPNOTSUPP);
        t_check_text(t_path("log"), "old");
}

/* Known only when it is tried: this file says EINVAL to splice. */
static void test_unspliceable_file(void **state)
{
        static const enum sluice_driver drivers[] = { SLUICE_DRIVER_AUTO, SLUICE_DRIVER_INLINE, SLUICE_DRIVER_RING };

        (void)state;
        for (size_t d = 0; d < T_NR(drivers); d++) {
                struct sluice_pipeline *p = strict(drivers[d]);
                int r;

                t_ok(sluice_add_file(p, "/proc/self/environ", NULL));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                r = sluice_pipeline_run(p);
                assert_true(r == -EOPNOTSUPP || r == 0); /* newer kernels splice some of /proc */
                assert_int_equal(t_stats(p, 0).bytes_copied.value, 0);
                t_check_law(p);
                sluice_pipeline_free(p);
        }
}

/* A blocking socket that was inherited would have to be copied. */
static void test_inherited_socket(void **state)
{
        struct sluice_pipeline *p = strict(SLUICE_DRIVER_AUTO);
        int pair[2];

        (void)state;
        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), errno);
        t_ok(sluice_add_zero(p, 10));
        t_ok(sluice_add_fd(p, pair[0], 0));
        t_chain(p);
        t_run_free(p, -EOPNOTSUPP);
        close(pair[0]);
        close(pair[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_spliced_is_fine),   T_TEST(test_copy_driver),      T_TEST(test_append),
                T_TEST(test_inside_a_par),      T_TEST(test_snapshot),         T_TEST(test_append_fd),
                T_TEST(test_unspliceable_file), T_TEST(test_inherited_socket),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
