/* sigchld_ignored_host.c: a host that ignores SIGCHLD lets the kernel reap its children, and one with a thread that waits for
 * any child takes their status away: it is unknown then, and never taken for success; behind a guard it is known as ever.
 * Nor does the library touch the disposition or reap what is not its own. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

/* Whose children the commands are. */
struct parent {
        unsigned flags;
        enum sluice_contain contain;
};

static const struct parent ourselves[] = { { 0, SLUICE_CONTAIN_AUTO }, { 0, SLUICE_CONTAIN_WALK }, { 0, SLUICE_CONTAIN_NONE } };
static const struct parent guards[] = { { SLUICE_GUARD, SLUICE_CONTAIN_AUTO },
                                        { SLUICE_GUARD, SLUICE_CONTAIN_GUARD },
                                        { SLUICE_GUARD, SLUICE_CONTAIN_WALK },
                                        { SLUICE_GUARD, SLUICE_CONTAIN_NONE },
                                        { 0, SLUICE_CONTAIN_GUARD } };

static const struct {
        const char *command;
        int exit_status, signal;
} ends[] = { { "exit 0", 0, 0 }, { "exit 3", 3, 0 }, { "cat </dev/null; exit 1", 1, 0 }, { "kill -9 $$", -1, SIGKILL } };

/* ---- one run ---- */

static struct sluice_pipeline *command_of(const struct parent *by, const char *command)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = by->flags, .contain = by->contain, .grace_ms = T_GRACE_MS));

        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", (char *)(uintptr_t)command), NULL));
        return p;
}

static struct sluice_stage_result result_of(const struct sluice_pipeline *p)
{
        struct sluice_stage_result s = { .size = sizeof(s) };

        assert_int_equal(sluice_pipeline_stage_result(p, 0, &s), 0);
        return s;
}

static bool is_success(size_t end)
{
        return ends[end].exit_status == 0;
}

static void check_failure(const struct sluice_pipeline *p)
{
        struct sluice_failure f;

        assert_int_equal(sluice_pipeline_failures(p, &f, 1), 1);
        assert_int_equal(f.stage, 0);
        assert_int_not_equal(f.exit_status, 0);
        assert_int_not_equal(strlen(f.message), 0);
}

/* Either the status was seen, and is what it is; or it was not, and that is a failure. */
static void check_known_or_failed(const struct parent *by, size_t end)
{
        struct sluice_pipeline *p = command_of(by, ends[end].command);
        int r = sluice_pipeline_run(p);
        struct sluice_stage_result s = result_of(p);

        if (s.known) {
                assert_int_equal(r, is_success(end) ? 0 : -ECHILD);
                assert_int_equal(s.exit_status, ends[end].exit_status);
                assert_int_equal(s.signal, ends[end].signal);
        } else {
                assert_int_equal(r, -ECHILD);
                assert_int_equal(s.verdict, SLUICE_VERDICT_FAILED);
                assert_int_equal(s.exit_status, -1);
        }
        if (r < 0)
                check_failure(p);
        sluice_pipeline_free(p);
}

static void check_known(const struct parent *by, size_t end)
{
        struct sluice_pipeline *p = command_of(by, ends[end].command);
        struct sluice_stage_result s;

        t_run(p, is_success(end) ? 0 : -ECHILD);
        s = result_of(p);
        assert_true(s.known);
        assert_int_equal(s.exit_status, ends[end].exit_status);
        assert_int_equal(s.signal, ends[end].signal);
        assert_int_equal(s.verdict, is_success(end) ? SLUICE_VERDICT_OK : SLUICE_VERDICT_FAILED);
        if (!is_success(end))
                check_failure(p);
        sluice_pipeline_free(p);
}

static void check_all(void)
{
        for (int round = 0; round < 5; round++)
                for (size_t end = 0; end < T_NR(ends); end++) {
                        for (size_t i = 0; i < T_NR(ourselves); i++)
                                check_known_or_failed(&ourselves[i], end);
                        for (size_t i = 0; i < T_NR(guards); i++)
                                check_known(&guards[i], end);
                }
}

/* ---- hosts ---- */

static void with(const struct sigaction *action)
{
        struct sigaction old, is;

        sigaction(SIGCHLD, action, &old);
        check_all();
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

/* A child of the host's own: it exits 42 when `hold` is closed. */
struct own {
        pid_t pid;
        int hold;
};

static void own_start(struct own *o)
{
        int hold[2];
        char c;

        t_pipe(hold);
        o->pid = fork();
        if (o->pid == 0) {
                close(hold[1]);
                _exit(read(hold[0], &c, 1) == 0 ? 42 : 1);
        }
        assert_true(o->pid > 0);
        close(hold[0]);
        o->hold = hold[1];
}

static bool is_own_end(int status)
{
        return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

struct waiter {
        pthread_t thread;
        struct own own;
        int own_status; /* -1: somebody else has reaped it */
};

/* Takes every child there is, until it is the host's own. */
static void *wait_for_any(void *arg)
{
        struct waiter *w = arg;
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR)
                if (pid == w->own.pid) {
                        w->own_status = status;
                        break;
                }
        return NULL;
}

static void test_waited_for_by_another_thread(void **state)
{
        struct waiter w = { .own_status = -1 };

        (void)state;
        own_start(&w.own);
        assert_int_equal(pthread_create(&w.thread, NULL, wait_for_any, &w), 0);
        check_all();
        close(w.own.hold);
        pthread_join(w.thread, NULL);
        assert_true(is_own_end(w.own_status));
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

/* The host's own children are the host's to reap: one that has ended, and one that ends while commands do. */
static void check_own(const struct parent *by)
{
        struct sluice_pipeline *p = command_of(by, "exit 0");
        struct own dead, alive;
        siginfo_t info;
        int status;

        own_start(&alive);
        own_start(&dead); /* with a copy of the other's `hold`: it ends first */
        close(dead.hold);
        assert_int_equal(waitid(P_PID, (id_t)dead.pid, &info, WEXITED | WNOWAIT), 0);
        for (int i = 0; i < 5; i++) {
                if (i == 2)
                        close(alive.hold);
                t_run(p, 0);
        }
        sluice_pipeline_free(p);
        assert_int_equal(waitpid(dead.pid, &status, 0), dead.pid);
        assert_true(is_own_end(status));
        assert_int_equal(waitpid(alive.pid, &status, 0), alive.pid);
        assert_true(is_own_end(status));
}

static void test_own_children(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(ourselves); i++)
                check_own(&ourselves[i]);
        for (size_t i = 0; i < T_NR(guards); i++)
                check_own(&guards[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_ignored),
                T_TEST(test_no_wait),
                T_TEST(test_waited_for_by_another_thread),
                T_TEST(test_unknown_is_not_success),
                T_TEST(test_own_children),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
