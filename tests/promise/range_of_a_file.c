/* range_of_a_file.c: offset and length mean exactly those bytes; a sink's offset leaves what is before and after. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { WHOLE = 200000 };

static void read_range(enum sluice_driver driver, int64_t offset, int64_t length, uint64_t expected, bool command)
{
        struct sluice_pipeline *p = t_new_driver(driver);

        t_ok(sluice_add_file(
                p, t_path("a"),
                T_FILE(.flags = length >= 0 ? SLUICE_FILE_RANGE : 0, .offset = offset, .length = length >= 0 ? length : 0)));
        if (command)
                t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(t_stats(p, 0).bytes.value, expected);
        sluice_pipeline_free(p);
        t_check_file(t_path("b"), expected, (uint64_t)offset);
}

static void test_source(void **state)
{
        static const struct {
                int64_t offset, length;
                uint64_t expected;
        } ranges[] = {
                { 0, 0, 0 },         { 0, 1, 1 },          { 0, WHOLE, WHOLE },    { 0, WHOLE + 1, WHOLE },
                { 1, 4096, 4096 },   { 4096, 4097, 4097 }, { 4097, 65536, 65536 }, { 65535, -1, WHOLE - 65535 },
                { WHOLE - 1, 1, 1 }, { WHOLE - 1, 9, 1 },  { WHOLE, 10, 0 },       { WHOLE + 5, -1, 0 },
        };

        (void)state;
        t_make(t_path("a"), WHOLE);
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (size_t i = 0; i < T_NR(ranges); i++)
                        for (int command = 0; command < 2; command++)
                                read_range(t_drivers[d], ranges[i].offset, ranges[i].length, ranges[i].expected, command);
}

/* A sink's offset: written there, nothing truncated. */
static void test_sink(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int command = 0; command < 2; command++) {
                        struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                        int fd;

                        t_make(t_path("a"), WHOLE);
                        t_make(t_path("b"), WHOLE);
                        fd = open(t_path("b"), O_WRONLY | O_CLOEXEC); /* a hole in the pattern, to be mended */
                        for (int i = 5000; i < 105000; i += 100)
                                assert_int_equal(pwrite(fd, "                                                  ", 50, i), 50);
                        close(fd);
                        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.flags = SLUICE_FILE_RANGE, .offset = 4999, .length = 100001)));
                        if (command)
                                t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
                        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.offset = 4999)));
                        t_chain(p);
                        t_run_free(p, 0);
                        t_check_file(t_path("b"), WHOLE, 0);
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_source), T_TEST(test_sink) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
