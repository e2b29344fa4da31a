/* append_falls_back_to_copy.c: what splice refuses is copied instead, says so, and loses nothing. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { OLD = 1000, NEW = 300001 };

static void check(struct sluice_pipeline *p)
{
        struct sluice_stats s;
        char text[512];

        t_run(p, 0);
        s = t_stats(p, 0);
        assert_int_equal(s.bytes.value, NEW);
        assert_int_equal(s.bytes_copied.value, NEW);
        assert_int_equal(s.bytes_spliced.value, 0);
        assert_int_equal(s.mode, SLUICE_LINK_CROSS);
        assert_int_equal(s.driver, SLUICE_DRIVER_COPY);
        assert_true(sluice_pipeline_explain(p, 0, text, sizeof(text)) > 0);
        assert_non_null(strstr(text, "APPEND"));
        sluice_pipeline_free(p);
}

/* The old bytes are the pattern's first, the new ones continue it. */
static void prepare(void)
{
        int fd;
        static uint8_t data[NEW];

        t_make(t_path("log"), OLD);
        fd = open(t_path("more"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        t_pattern(data, NEW, OLD);
        assert_int_equal(write(fd, data, NEW), NEW);
        close(fd);
}

static void test_append_fd(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                prepare();
                t_ok(sluice_add_file(p, t_path("more"), NULL));
                t_ok(sluice_add_fd(p, open(t_path("log"), O_WRONLY | O_APPEND | O_CLOEXEC), SLUICE_OWN));
                t_chain(p);
                check(p);
                t_check_file(t_path("log"), OLD + NEW, 0);
        }
}

static void test_append_file(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                prepare();
                t_ok(sluice_add_file(p, t_path("more"), NULL));
                t_ok(sluice_add_file(p, t_path("log"), T_FILE(.flags = SLUICE_FILE_APPEND)));
                t_chain(p);
                check(p);
                t_check_file(t_path("log"), OLD + NEW, 0);
        }
}

/* O_APPEND is set behind the engine's back, after it looked: the fallback while it moves. */
struct late {
        int fd;
};

static void set_append(void *arg)
{
        int fd = ((struct late *)arg)->fd;

        assert_return_code(fcntl(fd, F_SETFL, O_APPEND), errno);
}

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

/* The writer waits on `go`; whatever was inside when it happened is not lost. */
static void test_append_meanwhile(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                static uint8_t data[40000];
                struct sluice_loop *l;
                struct late late;
                int in[2], result = 1;

                t_pipe(in);
                late.fd = open(t_path("log"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                t_ok(sluice_add_fd(p, in[0], SLUICE_OWN));
                t_ok(sluice_add_fd(p, late.fd, 0));
                t_chain(p);
                assert_int_equal(sluice_loop_new(&l, NULL), 0);
                assert_int_equal(sluice_pipeline_start(p, l, store, &result), 0);
                t_pattern(data, sizeof(data), 0);
                assert_int_equal(write(in[1], data, sizeof(data)), sizeof(data));
                while (result == 1 && lseek(late.fd, 0, SEEK_END) < (off_t)sizeof(data))
                        assert_true(sluice_loop_turn(l, 10) >= 0);
                set_append(&late);
                t_pattern(data, sizeof(data), sizeof(data));
                assert_int_equal(write(in[1], data, sizeof(data)), sizeof(data));
                close(in[1]);
                while (result == 1)
                        assert_true(sluice_loop_turn(l, -1) >= 0);
                assert_int_equal(result, 0);
                t_check_law(p);
                sluice_pipeline_free(p);
                sluice_loop_free(l);
                close(late.fd);
                t_check_file(t_path("log"), 2 * sizeof(data), 0);
        }
}

/* A source that may be refused only when it is tried. */
static void proc_file(enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        char text[8192];
        struct sluice_stats s;
        FILE *f;
        size_t n;

        t_ok(sluice_add_file(p, "/proc/self/status", NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        s = t_stats(p, 0);
        assert_true(s.bytes.value > 500);
        assert_int_equal(s.bytes.value, s.bytes_copied.value + s.bytes_spliced.value);
        sluice_pipeline_free(p);
        f = fopen(t_path("b"), "re");
        n = fread(text, 1, sizeof(text) - 1, f);
        fclose(f);
        text[n] = '\0';
        assert_int_equal(n, s.bytes.value);
        assert_memory_equal(text, "Name:", 5);
        assert_non_null(strstr(text, "nonvoluntary_ctxt_switches:"));
        assert_int_equal(text[n - 1], '\n');
}

static void test_proc_file(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                proc_file(t_drivers[d]);
}

static void environment_file(enum sluice_driver driver)
{
        static char want[1 << 16], is[1 << 16];
        struct sluice_pipeline *p = t_new_driver(driver);
        size_t n, m;
        FILE *f;

        f = fopen("/proc/self/environ", "re");
        n = fread(want, 1, sizeof(want), f);
        fclose(f);
        t_ok(sluice_add_file(p, "/proc/self/environ", NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        f = fopen(t_path("b"), "re");
        m = fread(is, 1, sizeof(is), f);
        fclose(f);
        assert_int_equal(n, m);
        assert_memory_equal(is, want, n);
}

static void test_environment_file(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                environment_file(t_drivers[d]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_append_fd), T_TEST(test_append_file),      T_TEST(test_append_meanwhile),
                T_TEST(test_proc_file), T_TEST(test_environment_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
