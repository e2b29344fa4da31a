/* same_inode_is_refused.c: a pipeline that would overwrite what it reads is refused, by whatever name, and the content
 * is as it was. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static void check(struct sluice_pipeline *p, int sink)
{
        t_chain(p);
        t_run(p, -EINVAL);
        assert_int_equal(sluice_pipeline_error_stage(p), sink);
        sluice_pipeline_free(p);
        t_check_file(t_path("a"), 100000, 0);
}

static void test_itself(void **state)
{
        (void)state;
        t_make(t_path("a"), 100000);
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_ok(sluice_add_file(p, t_path("a"), NULL));
                t_ok(sluice_add_file(p, t_path("a"), NULL));
                check(p, 1);
        }
}

static void test_through_a_command(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), 100000);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        check(p, 2);
}

static void test_by_another_name(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), 100000);
        assert_return_code(link(t_path("a"), t_path("hard")), errno);
        assert_return_code(symlink(t_path("a"), t_path("soft")), errno);
        t_ok(sluice_add_file(p, t_path("hard"), NULL));
        t_ok(sluice_add_file(p, t_path("soft"), NULL));
        check(p, 1);
}

static void test_appended(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), 100000);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.flags = SLUICE_FILE_APPEND)));
        check(p, 2);
}

static void test_by_fd(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int fd;

        (void)state;
        t_make(t_path("a"), 100000);
        fd = open(t_path("a"), O_WRONLY | O_CLOEXEC);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_fd(p, fd, SLUICE_OWN));
        check(p, 1);
}

static void test_same_pipe(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int fds[2];

        (void)state;
        t_pipe(fds);
        t_make(t_path("a"), 100000);
        t_ok(sluice_add_fd(p, fds[0], SLUICE_OWN));
        t_ok(sluice_add_fd(p, fds[1], SLUICE_OWN));
        check(p, 1);
}

/* The whole file is replaced in the end: nothing is overwritten while it is read. */
static void test_atomic_is_allowed(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), 100000);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.flags = SLUICE_FILE_ATOMIC)));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("a"), 100000, 0);
        assert_int_equal(t_files(), 1);
}

/* Two branches into one file: neither is truncated, and it is the later one that is named. What is appended, or written from
 * another place on, may share it. */
static void test_two_sinks(void **state)
{
        static const struct {
                struct sluice_file_options first, second;
                int result;
        } cases[] = {
                { { 0 }, { 0 }, -EINVAL },
                { { .flags = SLUICE_FILE_APPEND }, { 0 }, -EINVAL },
                { { .offset = 5 }, { .offset = 5 }, -EINVAL },
                { { .offset = 5 }, { .offset = 200000 }, 0 },
                { { .flags = SLUICE_FILE_APPEND }, { .flags = SLUICE_FILE_APPEND }, 0 },
        };

        (void)state;
        t_make(t_path("in"), 10);
        for (size_t i = 0; i < T_NR(cases); i++) {
                struct sluice_pipeline *p = t_new(NULL);
                struct sluice_file_options first = cases[i].first, second = cases[i].second;
                int from = t_ok(sluice_add_file(p, t_path("in"), NULL)), tee = t_ok(sluice_add_tee(p, 0)), a, b;

                first.size = second.size = sizeof(first);
                t_make(t_path("a"), 100000);
                a = t_ok(sluice_add_file(p, t_path("a"), &first));
                b = t_ok(sluice_add_file(p, t_path("a"), &second));
                t_ok(sluice_pipeline_link(p, from, tee));
                t_ok(sluice_pipeline_link(p, tee, a));
                t_ok(sluice_pipeline_link(p, tee, b));
                t_run(p, cases[i].result);
                assert_int_equal(sluice_pipeline_error_stage(p), cases[i].result ? b : -1);
                sluice_pipeline_free(p);
                if (cases[i].result)
                        t_check_file(t_path("a"), 100000, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_itself), T_TEST(test_through_a_command), T_TEST(test_by_another_name),   T_TEST(test_appended),
                T_TEST(test_by_fd),  T_TEST(test_same_pipe),         T_TEST(test_atomic_is_allowed), T_TEST(test_two_sinks),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
