/* start_is_validated_first.c: whatever can be known to fail is known before anything starts: no command has run then, and
 * the failure names its stage. */
#include <sys/stat.h>
#include <unistd.h>

#include "parts.h"

static int refuse(void *arg, struct sluice_environ *e)
{
        (void)arg;
        (void)e;
        return -EILSEQ;
}
static const struct sluice_env refuse_env[] = { T_ASK(refuse, NULL) };

/* A name that begins with '@' is in the test's own directory, where `plain` is a file that cannot be executed. */
static const struct bad {
        const char *command;
        struct sluice_command_options o;
        int error; /* 0: any */
        const char *word;
} bads[] = {
        { "no-such-command-here", { 0 }, -ENOENT, "no-such-command-here" },
        { "@missing", { 0 }, -ENOENT, "missing" },
        { "@plain", { 0 }, -EACCES, "plain" },
        { "@plain/cat", { 0 }, 0, "plain" },
        { "@", { 0 }, 0, NULL }, /* a directory */
        { "cat", { .directory = "@missing" }, -ENOENT, "missing" },
        { "cat", { .directory = "@plain" }, -ENOTDIR, "plain" },
        { "cat", { .user = "no-such-user-here" }, 0, "no-such-user-here" },
        { "cat", { .group = "no-such-group-here" }, 0, "no-such-group-here" },
        { "cat", { .stderr_to = SLUICE_STDERR_FILE, .stderr_path = "@missing/log" }, -ENOENT, "missing/log" },
        { "cat", { .stderr_to = SLUICE_STDERR_APPEND, .stderr_path = "@plain/log" }, -ENOTDIR, "plain/log" },
        { "cat", { .cgroup = "@missing" }, 0, "missing" },
        { "cat", { .changes = refuse_env, .changes_nr = 1 }, -EILSEQ, NULL },
};

static const char *placed(const char *name)
{
        return name && name[0] == '@' ? t_path(name + 1) : name;
}

static int starts;

static void count_starts(void *arg, const struct sluice_event *e)
{
        (void)arg;
        starts += e->kind == SLUICE_EVENT_START || e->kind == SLUICE_EVENT_EXIT;
}

static void add_bad(struct sluice_pipeline *p, const struct bad *b)
{
        struct sluice_command_options o = b->o;

        o.size = sizeof(o);
        o.directory = placed(o.directory);
        o.stderr_path = placed(o.stderr_path);
        o.cgroup = placed(o.cgroup);
        t_ok(sluice_add_command(p, T_ARGV((char *)(uintptr_t)placed(b->command)), &o));
}

static void add_good(struct sluice_pipeline *p)
{
        char script[256];

        snprintf(script, sizeof(script), "echo ran >>%s; cat", t_path("side"));
        t_sh(p, script, NULL);
}

static void check_failure(const struct sluice_pipeline *p, int stage, const struct bad *b)
{
        struct sluice_failure f = t_failure(p);

        assert_int_equal(f.stage, stage);
        assert_int_equal(sluice_pipeline_error_stage(p), stage);
        if (b->error)
                assert_int_equal(f.error, b->error);
        assert_null(strchr(f.message, '\n'));
        assert_non_null(strstr(f.message, sluice_pipeline_stage_name(p, stage)));
        if (b->word && (geteuid() == 0 || !(b->o.user || b->o.group))) /* whoever is not root is told that first */
                assert_non_null(strstr(f.message, b->word));
}

static void run_bad(const struct bad *b, int at)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.event = count_starts, .grace_ms = T_GRACE_MS));
        int r;

        starts = 0;
        for (int i = 0; i < 3; i++) {
                if (i == at)
                        add_bad(p, b);
                else
                        add_good(p);
        }
        t_ok(sluice_add_file(p, t_path("kept"), NULL));
        t_ok(sluice_pipeline_chain(p));
        r = sluice_pipeline_run(p);
        assert_true(r < 0);
        if (b->error)
                assert_int_equal(r, b->error);
        check_failure(p, at, b);
        assert_int_equal(starts, 0);
        assert_false(t_exists(t_path("side")));
        t_check_text(t_path("kept"), "old");
        sluice_pipeline_free(p);
}

static void test_nothing_starts(void **state)
{
        (void)state;
        t_make_text(t_path("plain"), "");
        t_make_text(t_path("kept"), "old");
        for (size_t i = 0; i < T_NR(bads); i++)
                for (int at = 0; at < 3; at++)
                        run_bad(&bads[i], at);
}

/* What cannot be known before: the interpreter of a script is missing. What runs already is ended, and the start's error
 * is the run's. */
static void test_exec_fails_late(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_make_text(t_path("tool"), "#!/nonexistent/interpreter\n");
        assert_return_code(chmod(t_path("tool"), 0700), errno);
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV((char *)(uintptr_t)t_path("tool")), NULL));
        t_ok(sluice_pipeline_chain(p));
        assert_true(sluice_pipeline_run(p) < 0);
        assert_int_equal(t_failure(p).stage, 1);
        assert_int_equal(t_children(), 0);
        sluice_pipeline_free(p);
}

/* A failed start beside a source that would have been read by us: again and again nothing is left. */
static void test_failed_starts_leave_nothing(void **state)
{
        int fds;

        (void)state;
        fds = t_fds();
        for (int i = 0; i < 50; i++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = i % 2 ? SLUICE_PROCESS_GROUP : 0));
                size_t bytes = 77;

                t_ok(sluice_add_memory(p, "some bytes", 10));
                t_ok(sluice_add_command(p, T_ARGV("no-such-command-here"), NULL));
                t_ok(sluice_pipeline_chain(p));
                assert_null(t_capture(p, 0, -ENOENT, &bytes));
                sluice_pipeline_stop(p);
                sluice_pipeline_free(p);
                assert_int_equal(t_fds(), fds);
        }
}

/* ---- sides that a stage does not have ---- */

static ssize_t no_bytes(void *arg, void *data, size_t cap)
{
        (void)arg;
        (void)data;
        (void)cap;
        return 0;
}

static ssize_t all_bytes(void *arg, const void *data, size_t bytes)
{
        (void)arg;
        (void)data;
        return (ssize_t)bytes;
}

static int add_zero(struct sluice_pipeline *p)
{
        return sluice_add_zero(p, 1);
}

static int add_memory(struct sluice_pipeline *p)
{
        return sluice_add_memory(p, "x", 1);
}

static int add_reader(struct sluice_pipeline *p)
{
        return sluice_add_reader(p, no_bytes, NULL, -1);
}

static int add_writer(struct sluice_pipeline *p)
{
        return sluice_add_writer(p, all_bytes, NULL, -1);
}

static void refused(int (*first)(struct sluice_pipeline *), int (*second)(struct sluice_pipeline *), int stage)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.event = count_starts));

        starts = 0;
        add_good(p);
        t_ok(first(p));
        if (second)
                t_ok(second(p));
        t_ok(sluice_pipeline_chain(p));
        assert_int_equal(sluice_pipeline_build(p), -ENOTSUP);
        assert_int_equal(sluice_pipeline_error_stage(p), stage);
        assert_int_not_equal(strlen(sluice_pipeline_error(p)), 0);
        t_run(p, -ENOTSUP);
        assert_int_equal(starts, 0);
        assert_false(t_exists(t_path("side")));
        sluice_pipeline_free(p);
}

static void test_source_with_an_input(void **state)
{
        (void)state;
        refused(add_zero, NULL, 1);
        refused(add_memory, NULL, 1);
        refused(add_reader, NULL, 1);
        refused(add_memory, add_writer, 1);
}

static void test_sink_with_an_output(void **state)
{
        (void)state;
        refused(add_writer, sluice_add_null, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_nothing_starts),       T_TEST(test_exec_fails_late),     T_TEST(test_failed_starts_leave_nothing),
                T_TEST(test_source_with_an_input), T_TEST(test_sink_with_an_output),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
