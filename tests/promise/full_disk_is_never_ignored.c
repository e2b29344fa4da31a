/* full_disk_is_never_ignored.c: a sink without room is what the run is known by, though the commands before it say nothing
 * but that their pipe broke, and though that is ignored: exactly where the sink is observed, inferred where a command has
 * it, and never success. */
#include <sys/mount.h>
#include <sys/stat.h>

#include "parts.h"

static char small[160];

static void make_small(void)
{
        snprintf(small, sizeof(small), "%s", t_path("small"));
        assert_return_code(mkdir(small, 0700), errno);
        if (mount("small", small, "tmpfs", 0, "size=1m") == 0)
                return;
        rmdir(small);
        small[0] = '\0';
        skip();
}

/* Also of a test that failed halfway. */
static int unmount_and_end(void **state)
{
        if (small[0]) {
                umount2(small, MNT_DETACH);
                rmdir(small);
        }
        small[0] = '\0';
        return t_end(state);
}

static const struct row {
        unsigned file_flags;
        unsigned flags;
        bool ignored; /* pipe errors of every stage */
} rows[] = {
        { 0, 0, false },
        { 0, 0, true },
        { 0, SLUICE_EARLY_EXIT_OK, true },
        { 0, SLUICE_FAIL_FAST, true },
        { SLUICE_FILE_OBSERVE, 0, false },
        { SLUICE_FILE_OBSERVE, 0, true },
        { SLUICE_FILE_OBSERVE, SLUICE_EARLY_EXIT_OK, true },
        { SLUICE_FILE_OBSERVE, SLUICE_FAIL_FAST, true },
        { SLUICE_FILE_ATOMIC, 0, true },
};

static void check(const struct sluice_pipeline *p, int sink, bool inferred)
{
        struct sluice_failure f = t_failure(p);
        struct sluice_stage_result r = t_result(p, sink);

        assert_int_equal(f.stage, sink);
        assert_int_equal(f.error, -ENOSPC);
        assert_int_equal(f.inferred, inferred);
        assert_non_null(strstr(f.message, strerror(ENOSPC)));
        assert_null(strchr(f.message, '\n'));
        assert_int_equal(sluice_pipeline_error_stage(p), sink);
        assert_int_equal(r.error, -ENOSPC);
        assert_int_equal(r.inferred, inferred);
        assert_int_equal(r.ignored, 0);
        assert_int_equal(r.excused, 0);
        t_verdict(p, sink, SLUICE_VERDICT_FAILED);
}

static void ignore_pipes(struct sluice_pipeline *p)
{
        for (int i = 0; i < sluice_pipeline_stages(p); i++)
                t_ok(sluice_pipeline_ignore(p, i, SLUICE_IGNORE_PIPE, 0));
}

static void run_row(const struct row *row)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = row->flags, .grace_ms = T_GRACE_MS));
        int sink;

        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("head", "-c", "1G"), NULL));
        sink = t_ok(sluice_add_file(p, t_path("small/sink"), T_FILE(.flags = row->file_flags)));
        t_ok(sluice_pipeline_chain(p));
        if (row->ignored)
                ignore_pipes(p);
        t_run(p, -ENOSPC);
        check(p, sink, sluice_pipeline_link_mode(p, sink - 1) == SLUICE_LINK_DIRECT);
        if (row->file_flags == SLUICE_FILE_OBSERVE)
                assert_int_not_equal(sluice_pipeline_link_mode(p, sink - 1), SLUICE_LINK_DIRECT);
        sluice_pipeline_free(p);
        unlink(t_path("small/sink"));
}

static void test_commands(void **state)
{
        (void)state;
        make_small();
        for (size_t i = 0; i < T_NR(rows); i++)
                run_row(&rows[i]);
}

/* A source of ours: exact as well. */
static void test_source_of_ours(void **state)
{
        (void)state;
        make_small();
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                int sink;

                t_ok(sluice_add_zero(p, 1 << 30));
                sink = t_ok(sluice_add_file(p, t_path("small/sink"), NULL));
                t_ok(sluice_pipeline_chain(p));
                ignore_pipes(p);
                t_run(p, -ENOSPC);
                check(p, sink, false);
                sluice_pipeline_free(p);
                unlink(t_path("small/sink"));
        }
}

/* ---- a sink of the host's that is full: no file system is needed ---- */

struct room {
        size_t bytes;
};

static ssize_t take_until_full(void *arg, const void *data, size_t bytes)
{
        struct room *r = arg;

        (void)data;
        if (bytes > r->bytes)
                bytes = r->bytes;
        r->bytes -= bytes;
        return bytes ? (ssize_t)bytes : -ENOSPC;
}

static void test_writer(void **state)
{
        static const unsigned flags[] = { 0, SLUICE_EARLY_EXIT_OK, SLUICE_FAIL_FAST };

        (void)state;
        for (size_t i = 0; i < T_NR(flags); i++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = flags[i], .grace_ms = T_GRACE_MS));
                struct room room = { .bytes = 300001 };
                int sink;

                t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
                t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
                sink = t_ok(sluice_add_writer(p, take_until_full, &room, -1));
                t_ok(sluice_pipeline_chain(p));
                ignore_pipes(p);
                t_run(p, -ENOSPC);
                check(p, sink, false);
                assert_int_equal(room.bytes, 0);
                sluice_pipeline_free(p);
        }
}

#define SMALL(f) cmocka_unit_test_setup_teardown(f, t_begin, unmount_and_end)

int main(void)
{
        const struct CMUnitTest tests[] = { SMALL(test_commands), SMALL(test_source_of_ours), SMALL(test_writer) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
