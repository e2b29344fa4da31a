/* sigchld_ignored_host.c: a host that ignores SIGCHLD lets the kernel reap its children: their status is unknown then, and
 * never taken for success; nor does the library touch the disposition or reap what is not its own. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

/* Either the status was seen, and is what it is; or it was not, and that is a failure. */
static void check(const char *command, int status)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_failure f;
        int r;

        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", (char *)(uintptr_t)command), NULL));
        r = sluice_pipeline_run(p);
        if (r == 0) {
                assert_int_equal(status, 0);
        } else {
                assert_int_equal(r, -ECHILD);
                assert_int_equal(sluice_pipeline_failures(p, &f, 1), 1);
                assert_int_equal(f.stage, 0);
                assert_true(f.exit_status == -1 || f.exit_status == status);
                assert_true(f.exit_status != 0);
                assert_int_not_equal(strlen(f.message), 0);
        }
        sluice_pipeline_free(p);
}

static void with(const struct sigaction *action)
{
        struct sigaction old, is;

        sigaction(SIGCHLD, action, &old);
        for (int i = 0; i < 20; i++) {
                check("exit 0", 0);
                check("exit 3", 3);
                check("cat </dev/null; exit 1", 1);
        }
        sigaction(SIGCHLD, NULL, &is);
        assert_true(is.sa_handler == action->sa_handler);
        assert_int_equal(is.sa_flags & SA_NOCLDWAIT, action->sa_flags & SA_NOCLDWAIT);
        sigaction(SIGCHLD, &old, NULL);
}

static void test_ignored(void **state)
{
        (void)state;
        with(&(struct sigaction){ .sa_handler = SIG_IGN });
}

static void test_no_wait(void **state)
{
        (void)state;
        with(&(struct sigaction){ .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT });
}

/* An atomic sink behind such a command: what may have failed does not replace what was there. */
static void test_unknown_is_not_success(void **state)
{
        struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        int r;

        (void)state;
        t_make_text(t_path("b"), "old");
        sigaction(SIGCHLD, &ignore, &old);
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "echo half; exit 1"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_ATOMIC)));
        t_chain(p);
        r = sluice_pipeline_run(p);
        sigaction(SIGCHLD, &old, NULL);
        assert_int_equal(r, -ECHILD);
        sluice_pipeline_free(p);
        t_check_text(t_path("b"), "old");
}

/* The host's own children are the host's to reap. */
static void test_own_children(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int status, hold[2];
        pid_t pid;

        (void)state;
        t_pipe(hold);
        pid = fork();
        if (pid == 0)
                _exit(42);
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        for (int i = 0; i < 5; i++)
                t_run(p, 0);
        sluice_pipeline_free(p);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 42);
        close(hold[0]);
        close(hold[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_ignored),
                T_TEST(test_no_wait),
                T_TEST(test_unknown_is_not_success),
                T_TEST(test_own_children),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
