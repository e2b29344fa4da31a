/* direct_files.c: a file written past the page cache has every byte, whatever pieces they came in: whole blocks go that way, the
 * rest through the cache, and it is said how many of which.
 *
 * Files are made in the working directory: a build tree is on a disk, as a rule, and memory knows no blocks. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

enum { BLOCK = 4096, WHOLE = 3 * T_MIB, ODD = WHOLE + 12345 };

static char path[64];
static bool strict; /* odd pieces are refused here, as on a disk */

static int set_up(void **state)
{
        static uint8_t odd[100];
        int fd;

        (void)state;
        snprintf(path, sizeof(path), "direct-%d", (int)getpid());
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
        if (fd < 0) {
                print_message("skipped: no O_DIRECT in the working directory\n");
                unlink(path);
                path[0] = '\0';
                return 0;
        }
        strict = write(fd, odd, sizeof(odd)) < 0;
        close(fd);
        return unlink(path);
}

/* What a failed test left. */
static int tear_down(void **state)
{
        (void)state;
        unlink(path);
        return 0;
}

#define NEEDS_DIRECT()                                                                                                             \
        do {                                                                                                                       \
                if (path[0] == '\0')                                                                                               \
                        skip();                                                                                                    \
        } while (0)

static void check(struct sluice_pipeline *p, int link, uint64_t bytes, uint64_t offset, uint64_t uncached)
{
        struct sluice_stats s = t_stats(p, link);

        assert_int_equal(s.bytes.value, bytes);
        assert_true(s.bytes_uncached <= bytes);
        if (strict)
                assert_true(s.bytes_uncached >= uncached);
        if (strict && bytes % BLOCK)
                assert_true(s.bytes_uncached < bytes);
        t_check_law(p);
        sluice_pipeline_free(p);
        t_check_file(path, bytes, offset);
        assert_return_code(unlink(path), errno);
}

static void from_file(enum sluice_driver driver, uint64_t bytes, unsigned flags)
{
        struct sluice_pipeline *p = t_new_driver(driver);

        t_make(t_path("a"), bytes);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_file(p, path, T_FILE(.flags = SLUICE_FILE_DIRECT | flags)));
        t_chain(p);
        t_run(p, 0);
        check(p, 0, bytes, 0, bytes >= WHOLE && driver != SLUICE_DRIVER_COPY ? WHOLE - T_MIB : 0);
}

static void test_files(void **state)
{
        static const uint64_t sizes[] = { 0, 1, BLOCK - 1, BLOCK, BLOCK + 1, WHOLE, ODD };

        (void)state;
        NEEDS_DIRECT();
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (size_t i = 0; i < T_NR(sizes); i++) {
                        from_file(t_drivers[d], sizes[i], 0);
                        from_file(t_drivers[d], sizes[i], SLUICE_FILE_ATOMIC);
                }
}

/* From where no block begins: at the first byte already through the cache. */
static void test_odd_offset(void **state)
{
        (void)state;
        NEEDS_DIRECT();
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_make(path, 100);
                t_make(t_path("a"), ODD);
                t_ok(sluice_add_file(p, t_path("a"), T_FILE(.offset = 100)));
                t_ok(sluice_add_file(p, path, T_FILE(.flags = SLUICE_FILE_DIRECT, .offset = 100)));
                t_chain(p);
                t_run(p, 0);
                if (strict)
                        assert_int_equal(t_stats(p, 0).bytes_uncached, 0);
                sluice_pipeline_free(p);
                t_check_file(path, ODD, 0);
                assert_return_code(unlink(path), errno);
        }
}

/* A command's pieces are what they are; the file itself it is not handed. */
static void test_command(void **state)
{
        static char *const sizes[] = { "bs=4096", "bs=1000", "bs=100000" };

        (void)state;
        NEEDS_DIRECT();
        t_make(t_path("a"), ODD);
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (size_t i = 0; i < T_NR(sizes); i++) {
                        struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                        t_ok(sluice_add_file(p, t_path("a"), NULL));
                        t_ok(sluice_add_command(p, T_ARGV("dd", "status=none", sizes[i]), NULL));
                        t_ok(sluice_add_file(p, path, T_FILE(.flags = SLUICE_FILE_DIRECT)));
                        t_chain(p);
                        t_run(p, 0);
                        assert_int_not_equal(sluice_pipeline_link_mode(p, 1), SLUICE_LINK_DIRECT);
                        check(p, 1, ODD, 0, 0);
                }
}

static void test_tee(void **state)
{
        (void)state;
        NEEDS_DIRECT();
        t_make(t_path("a"), ODD);
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                int from = t_ok(sluice_add_file(p, t_path("a"), NULL)), tee = t_ok(sluice_add_tee(p, 0)), to[2];

                to[0] = t_ok(sluice_add_file(p, path, T_FILE(.flags = SLUICE_FILE_DIRECT)));
                to[1] = t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_ok(sluice_pipeline_link(p, from, tee));
                for (int i = 0; i < 2; i++)
                        t_ok(sluice_pipeline_link(p, tee, to[i]));
                t_run(p, 0);
                t_check_file(t_path("b"), ODD, 0);
                check(p, 1, ODD, 0, t_drivers[d] != SLUICE_DRIVER_COPY ? WHOLE - T_MIB : 0);
        }
}

/* From a function's memory. */
static void test_function(void **state)
{
        (void)state;
        NEEDS_DIRECT();
        t_make(t_path("a"), ODD);
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_ok(sluice_add_file(p, t_path("a"), NULL));
                t_ok(sluice_add_count(p));
                t_ok(sluice_add_file(p, path, T_FILE(.flags = SLUICE_FILE_DIRECT)));
                t_chain(p);
                t_run(p, 0);
                check(p, 1, ODD, 0, 0);
        }
}

static void refused(const char *where, int error, const char *words)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_generate(p, 10));
        t_ok(sluice_add_file(p, where, T_FILE(.flags = SLUICE_FILE_DIRECT)));
        t_chain(p);
        t_run(p, error);
        assert_non_null(strstr(sluice_pipeline_error(p), words));
        sluice_pipeline_free(p);
}

static void test_refused(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        assert_int_equal(sluice_add_file(p, path, T_FILE(.flags = SLUICE_FILE_DIRECT | SLUICE_FILE_APPEND)), -EINVAL);
        sluice_pipeline_free(p);
        refused("/dev/null", -ESPIPE, "direct is for regular files");
        refused("/proc/self/comm", -EINVAL, "leave 'direct' out");
        p = t_new(NULL);
        t_ok(sluice_add_file(p, "/dev/null", T_FILE(.flags = SLUICE_FILE_DIRECT)));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, -ENOTSUP);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_files), T_TEST(test_odd_offset), T_TEST(test_command),
                T_TEST(test_tee),   T_TEST(test_function),   T_TEST(test_refused),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
