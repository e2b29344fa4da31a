/* stderr_tail_is_kept.c: a command that fails is reported with the last of what it said, however much that was; the end
 * of what it says is never waited for from a grandchild that keeps stderr open. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static void run_script(const char *script, unsigned flags, struct sluice_pipeline **ret, struct sluice_failure *f)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = flags, .grace_ms = T_GRACE_MS));

        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", (char *)(uintptr_t)script), NULL));
        t_run(p, -ECHILD);
        assert_int_equal(sluice_pipeline_failures(p, f, 1), 1);
        assert_int_equal(f->size, sizeof(*f));
        assert_string_equal(f->stage_name, "sh");
        *ret = p;
}

static void test_few_words(void **state)
{
        struct sluice_pipeline *p;
        struct sluice_failure f;

        (void)state;
        run_script("echo first >&2; echo last words >&2; exit 4", 0, &p, &f);
        assert_int_equal(f.exit_status, 4);
        assert_int_equal(f.signal, 0);
        assert_string_equal(f.stderr_tail, "first\nlast words\n");
        assert_non_null(strstr(f.message, "last words"));
        assert_null(strchr(f.message, '\n'));
        assert_string_equal(sluice_pipeline_error(p), f.message);
        sluice_pipeline_free(p);
}

/* Much more than is kept: the end of it, whole. */
static void test_many_words(void **state)
{
        struct sluice_pipeline *p;
        struct sluice_failure f;
        size_t n;

        (void)state;
        run_script("i=0; while [ $i -lt 50000 ]; do echo \"line number $i\"; i=$((i+1)); done >&2; echo the end >&2; exit 1", 0, &p,
                   &f);
        n = strlen(f.stderr_tail);
        assert_in_range(n, 1000, 65536);
        assert_string_equal(f.stderr_tail + n - strlen("line number 49999\nthe end\n"), "line number 49999\nthe end\n");
        sluice_pipeline_free(p);
}

static void test_nothing_said(void **state)
{
        struct sluice_pipeline *p;
        struct sluice_failure f;

        (void)state;
        run_script("exit 1", 0, &p, &f);
        assert_string_equal(f.stderr_tail, "");
        sluice_pipeline_free(p);
}

static void test_killed(void **state)
{
        struct sluice_pipeline *p;
        struct sluice_failure f;

        (void)state;
        run_script("echo dying >&2; kill -SEGV $$", 0, &p, &f);
        assert_int_equal(f.signal, SIGSEGV);
        assert_int_equal(f.exit_status, -1);
        assert_string_equal(f.stderr_tail, "dying\n");
        sluice_pipeline_free(p);
}

/* This process's stderr is a file for the length of a run. */
static void with_stderr(unsigned flags, const char *tail)
{
        int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3),
            fd = open(t_path("stderr"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        struct sluice_pipeline *p;
        struct sluice_failure f;

        dup2(fd, STDERR_FILENO);
        run_script("echo said >&2; exit 1", flags, &p, &f);
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(fd);
        assert_string_equal(f.stderr_tail, tail);
        sluice_pipeline_free(p);
}

static void test_forwarded(void **state)
{
        (void)state;
        with_stderr(SLUICE_STDERR_FORWARD, "said\n");
        t_check_text(t_path("stderr"), "said\n");
}

static void test_inherited(void **state)
{
        (void)state;
        with_stderr(SLUICE_STDERR_INHERIT, "");
        t_check_text(t_path("stderr"), "said\n");
}

static void test_not_forwarded(void **state)
{
        (void)state;
        with_stderr(0, "said\n");
        t_check_text(t_path("stderr"), "");
}

/* A daemon that keeps stderr open does not keep the run from ending. It lives until the test lets go of a FIFO. */
static void test_grandchild_keeps_it_open(void **state)
{
        struct sluice_pipeline *p;
        struct sluice_failure f;
        char script[256];
        int hold;

        (void)state;
        assert_return_code(mkfifo(t_path("hold"), 0600), errno);
        hold = open(t_path("hold"), O_RDWR | O_CLOEXEC);
        snprintf(script, sizeof(script), "exec 3<%s; cat <&3 >/dev/null & echo said >&2; exit 6", t_path("hold"));
        run_script(script, 0, &p, &f);
        assert_int_equal(f.exit_status, 6);
        assert_string_equal(f.stderr_tail, "said\n");
        sluice_pipeline_free(p);
        close(hold);
}

/* Each command has its own. */
static void test_several(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_failure f[4];

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "echo one >&2; exit 1"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "cat; echo two >&2; exit 2"), NULL));
        t_chain(p);
        t_run(p, -ECHILD);
        assert_int_equal(sluice_pipeline_failures(p, NULL, 0), 2);
        assert_int_equal(sluice_pipeline_failures(p, f, 4), 2);
        assert_int_equal(f[0].stage, 0);
        assert_string_equal(f[0].stderr_tail, "one\n");
        assert_int_equal(f[1].stage, 1);
        assert_string_equal(f[1].stderr_tail, "two\n");
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_few_words), T_TEST(test_many_words), T_TEST(test_nothing_said),  T_TEST(test_killed),
                T_TEST(test_forwarded), T_TEST(test_inherited),  T_TEST(test_not_forwarded), T_TEST(test_grandchild_keeps_it_open),
                T_TEST(test_several),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
