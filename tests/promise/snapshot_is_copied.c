/* snapshot_is_copied.c: a snapshot source passes on the bytes as they were when read: what is written to the file
 * afterwards does not show at the other end, though nobody has read there yet. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { BYTES = 40000 }; /* fits in a pipe */

/* Runs file | pipe to its end, then overwrites the file, and only then reads the pipe. */
static int64_t mismatch_after_overwrite(unsigned flags, enum sluice_driver driver, struct sluice_stats *ret)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        static uint8_t data[BYTES], zero[BYTES];
        int out[2], fd;
        size_t n = 0;

        t_make(t_path("a"), BYTES);
        t_pipe(out);
        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.flags = flags)));
        t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
        t_chain(p);
        t_run(p, 0);
        *ret = t_stats(p, 0);
        sluice_pipeline_free(p);
        fd = open(t_path("a"), O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, zero, BYTES, 0), BYTES);
        close(fd);
        while (n < BYTES) {
                ssize_t r = read(out[0], data + n, BYTES - n);

                assert_true(r > 0);
                n += (size_t)r;
        }
        close(out[0]);
        return t_mismatch(data, BYTES, 0);
}

static void test_snapshot(void **state)
{
        struct sluice_stats s;

        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                assert_int_equal(mismatch_after_overwrite(SLUICE_FILE_SNAPSHOT, t_drivers[d], &s), -1);
                assert_int_equal(s.mode, SLUICE_LINK_CROSS);
                assert_int_equal(s.bytes_copied.value, BYTES);
        }
}

/* The copying driver is the same for a whole pipeline. */
static void test_copying_driver(void **state)
{
        struct sluice_stats s;

        (void)state;
        assert_int_equal(mismatch_after_overwrite(0, SLUICE_DRIVER_COPY, &s), -1);
        assert_int_equal(s.bytes_copied.value, BYTES);
        assert_int_equal(s.bytes_spliced.value, 0);
}

/* That it is needed: a spliced page is the file's own. */
static void test_without_it_the_page_is_shared(void **state)
{
        struct sluice_stats s;

        (void)state;
        if (mismatch_after_overwrite(0, SLUICE_DRIVER_INLINE, &s) < 0)
                skip();
        assert_int_equal(s.bytes_spliced.value, BYTES);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_snapshot), T_TEST(test_copying_driver),
                                            T_TEST(test_without_it_the_page_is_shared) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
