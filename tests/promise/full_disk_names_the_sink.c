/* full_disk_names_the_sink.c: a sink without room is the stage that is named, exactly where the engine writes, inferred
 * where a command does; and no byte is unaccounted for. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

enum { ROOM = 65536, MUCH = 1 << 20 };

/* A small file system where we may mount one; a small limit where not. */
static struct small {
        const char *directory;
        int error;
        struct rlimit limit;
        struct sigaction old;
} small;

static void make_small(void)
{
        struct sigaction ignore = { .sa_handler = SIG_IGN };
        struct rlimit limit;

        small.directory = strdup(t_path("small"));
        assert_return_code(mkdir(small.directory, 0700), errno);
        small.error = ENOSPC;
        if (mount("small", small.directory, "tmpfs", 0, "size=64k") == 0)
                return;
        small.error = EFBIG;
        sigaction(SIGXFSZ, &ignore, &small.old);
        getrlimit(RLIMIT_FSIZE, &small.limit);
        limit = small.limit;
        limit.rlim_cur = ROOM;
        assert_return_code(setrlimit(RLIMIT_FSIZE, &limit), errno);
}

static void end_small(void)
{
        if (small.error == ENOSPC) {
                assert_return_code(umount(small.directory), errno);
        } else {
                setrlimit(RLIMIT_FSIZE, &small.limit);
                sigaction(SIGXFSZ, &small.old, NULL);
                unlink(t_path("small/sink"));
        }
        assert_return_code(rmdir(small.directory), errno);
        free((void *)(uintptr_t)small.directory);
        small.directory = NULL;
}

/* A test that failed halfway must not leave a file system mounted. */
static int unmount_and_end(void **state)
{
        if (small.directory && small.error == ENOSPC)
                umount2(small.directory, MNT_DETACH);
        if (small.directory)
                rmdir(small.directory);
        small.directory = NULL;
        return t_end(state);
}

static void fails(struct sluice_pipeline *p, unsigned flags, bool inferred)
{
        struct sluice_failure f[4];
        struct sluice_stats s;
        int sink = t_ok(sluice_add_file(p, t_path("small/sink"), T_FILE(.flags = flags)));

        t_chain(p);
        t_run(p, -small.error);
        assert_true(sluice_pipeline_failures(p, f, 4) >= 1);
        assert_int_equal(f[0].stage, sink);
        assert_int_equal(f[0].error, -small.error);
        assert_int_equal(f[0].inferred, inferred);
        assert_non_null(strstr(f[0].message, strerror(small.error)));
        assert_non_null(strstr(f[0].message, "sink"));
        s = t_stats(p, sink - 1);
        if (!inferred) {
                assert_int_equal(s.bytes_taken, s.bytes.value + s.bytes_inside);
                assert_int_equal(s.bytes.value, ROOM);
        }
        sluice_pipeline_free(p);
        unlink(t_path("small/sink"));
}

static void test_engine_writes(void **state)
{
        (void)state;
        make_small();
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_ok(sluice_add_zero(p, MUCH));
                fails(p, 0, false);
        }
        end_small();
}

static void test_engine_writes_a_pipe(void **state)
{
        (void)state;
        make_small();
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_ok(sluice_add_command(p, T_ARGV("head", "-c", "1M", "/dev/zero"), NULL));
                fails(p, SLUICE_FILE_OBSERVE, false);
        }
        end_small();
}

static void test_command_writes(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        make_small();
        t_ok(sluice_add_zero(p, MUCH));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        fails(p, 0, true);
        end_small();
}

/* The source's position is where what was delivered ends: nothing that was only taken is lost. */
static void test_position_is_given_back(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                FILE *source;

                t_make(t_path("a"), MUCH);
                source = fopen(t_path("a"), "re");
                make_small();
                t_ok(sluice_add_fd(p, fileno(source), 0));
                fails(p, 0, false);
                assert_int_equal(lseek(fileno(source), 0, SEEK_CUR), ROOM);
                fclose(source);
                end_small();
        }
}

#define SMALL(f) cmocka_unit_test_setup_teardown(f, t_begin, unmount_and_end)

int main(void)
{
        const struct CMUnitTest tests[] = {
                SMALL(test_engine_writes),
                SMALL(test_engine_writes_a_pipe),
                SMALL(test_command_writes),
                SMALL(test_position_is_given_back),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
