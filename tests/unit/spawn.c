/* tests/unit/spawn.c: what a started program finds (fds, signals, group, folder), and what a failed start says.
 * The program started is this one, in another role. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

static char self[4096];

/* ---- the other role: says what it finds ---- */

static const char *disposition(int sig)
{
        struct sigaction a;

        sigaction(sig, NULL, &a);
        return a.sa_handler == SIG_DFL ? "default" : a.sa_handler == SIG_IGN ? "ignored" : "caught";
}

static int report(void)
{
        sigset_t mask;

        printf("fds");
        for (int fd = 0; fd < 1024; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        printf(" %d", fd);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        printf("\nblocked");
        for (int sig = 1; sig < 32; sig++)
                if (sigismember(&mask, sig) == 1)
                        printf(" %d", sig);
        printf("\npipe %s hup %s usr1 %s term %s\n", disposition(SIGPIPE), disposition(SIGHUP), disposition(SIGUSR1),
               disposition(SIGTERM));
        printf("leads %d\n", getpgrp() == getpid());
        return 0;
}

/* ---- starting ---- */

/* Standard input from /dev/null, standard output into a pipe, errors to ours. */
struct start {
        struct spawn spec;
        char *argv[6];
        int out;
        int result;
};

static void start_prepare(struct start *s, const char *path, const char *arg)
{
        int fds[2];

        *s = (struct start){ .argv = { (char *)"name", (char *)(uintptr_t)arg } };
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        s->out = fds[0];
        s->spec = (struct spawn){
                .path = path, .argv = s->argv, .env = environ, .directory = -1, .terminal = -1, .cgroup = -1, .pidfd = -1
        };
        s->spec.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        s->spec.fds[1] = fds[1];
        s->spec.fds[2] = fcntl(2, F_DUPFD_CLOEXEC, 3);
}

static void start_now(struct start *s)
{
        s->result = spawn_direct(&s->spec);
        for (int i = 0; i < 3; i++)
                close(s->spec.fds[i]);
}

/* What it says until it ends; its exit status comes back, -1 for a signal. */
static int finish(struct start *s, char *text, size_t cap)
{
        size_t n = 0;
        ssize_t r;
        siginfo_t info = { 0 };

        assert_int_equal(s->result, 0);
        assert_int_equal(s->spec.failed, SPAWN_OK);
        while (n + 1 < cap && (r = read(s->out, text + n, cap - 1 - n)) > 0)
                n += (size_t)r;
        text[n] = '\0';
        assert_int_equal(waitid(P_PIDFD, (id_t)s->spec.pidfd, &info, WEXITED), 0);
        assert_int_equal(info.si_pid, s->spec.pid);
        assert_true(fcntl(s->spec.pidfd, F_GETFD) & FD_CLOEXEC);
        close(s->spec.pidfd);
        close(s->out);
        return info.si_code == CLD_EXITED ? info.si_status : -1;
}

static void expect_failure(struct start *s, int error, const char *step)
{
        start_now(s);
        close(s->out);
        if (s->result != error) {
                while (waitpid(-1, NULL, 0) > 0)
                        continue;
                fail_msg("%s: %d, not %d", step, s->result, error);
        }
        assert_string_equal(spawn_step_name(s->spec.failed), step);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left running, and nothing to be reaped */
        assert_int_equal(errno, ECHILD);
}

static void says(const char *text, const char *line)
{
        if (!strstr(text, line))
                fail_msg("no '%s' in:\n%s", line, text);
}

static void comes(struct start *s, int options)
{
        siginfo_t info = { 0 };

        assert_int_equal(waitid(P_PIDFD, (id_t)s->spec.pidfd, &info, options), 0);
        assert_int_equal(info.si_pid, s->spec.pid);
}

/* ---- tests ---- */

static void only_the_standard_streams_are_open(void **state)
{
        int leaked = open("/dev/null", O_RDONLY), high = fcntl(leaked, F_DUPFD, 900);
        struct start s;
        char text[1024];

        (void)state;
        start_prepare(&s, self, "report");
        start_now(&s);
        assert_int_equal(finish(&s, text, sizeof(text)), 0);
        says(text, "fds 0 1 2\n");
        assert_true(fcntl(leaked, F_GETFD) == 0); /* nothing changed here */
        close(leaked);
        close(high);
}

static void on_signal(int sig)
{
        (void)sig;
}

static void signals_are_as_a_program_expects_them(void **state)
{
        struct start s;
        char text[1024];
        sigset_t block, old, after;

        (void)state;
        sigemptyset(&block);
        sigaddset(&block, SIGTERM);
        sigaddset(&block, SIGPIPE);
        sigprocmask(SIG_BLOCK, &block, &old);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGUSR1, on_signal);
        start_prepare(&s, self, "report");
        start_now(&s);
        assert_int_equal(finish(&s, text, sizeof(text)), 0);
        says(text, "blocked\n");
        says(text, "pipe default hup ignored usr1 default term default\n");
        sigprocmask(SIG_SETMASK, NULL, &after);
        assert_true(sigismember(&after, SIGTERM) && sigismember(&after, SIGPIPE) && !sigismember(&after, SIGUSR2));
        assert_string_equal(disposition(SIGPIPE), "ignored"); /* the host's are the host's */
        assert_string_equal(disposition(SIGUSR1), "caught");
        signal(SIGPIPE, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        signal(SIGUSR1, SIG_DFL);
        sigprocmask(SIG_SETMASK, &old, NULL);
}

static void a_group_is_kept_led_or_joined(void **state)
{
        struct start leader, member;
        char text[1024];

        (void)state;
        start_prepare(&leader, "/bin/sh", "-c");
        leader.argv[2] = (char *)"exec sleep 600";
        leader.spec.group_mode = SPAWN_GROUP_NEW;
        start_now(&leader);
        assert_int_equal(leader.result, 0);
        assert_int_equal(getpgid(leader.spec.pid), leader.spec.pid);
        start_prepare(&member, "/bin/sh", "-c");
        member.argv[2] = (char *)"exec sleep 600";
        member.spec.group_mode = SPAWN_GROUP_JOIN;
        member.spec.group = leader.spec.pid;
        start_now(&member);
        assert_int_equal(member.result, 0);
        assert_int_equal(getpgid(member.spec.pid), leader.spec.pid);
        kill(-leader.spec.pid, SIGKILL);
        assert_int_equal(finish(&leader, text, sizeof(text)), -1);
        assert_int_equal(finish(&member, text, sizeof(text)), -1);
        start_prepare(&member, self, "report");
        start_now(&member);
        assert_int_equal(finish(&member, text, sizeof(text)), 0);
        says(text, "leads 0\n");
}

static void it_runs_in_its_folder_with_its_environment(void **state)
{
        char *const env[] = { (char *)"ONLY=this", NULL };
        struct start s;
        char text[1024];

        (void)state;
        start_prepare(&s, "/bin/sh", "-c");
        s.argv[2] = (char *)"pwd -P; echo $ONLY$HOME; exit 41";
        s.spec.env = env;
        s.spec.directory = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        start_now(&s);
        close(s.spec.directory);
        assert_int_equal(finish(&s, text, sizeof(text)), 41);
        says(text, "/\nthis\n");
}

static void a_script_without_an_interpreter_is_the_shells(void **state)
{
        static const char script[] = "echo \"$#-$1-$2\"\n";
        char path[] = "/tmp/sluice-script-XXXXXX", text[1024];
        int fd = mkstemp(path);
        struct start s;

        (void)state;
        assert_int_equal(write(fd, script, strlen(script)), strlen(script));
        fchmod(fd, 0700);
        close(fd);
        start_prepare(&s, path, "a b");
        s.argv[2] = (char *)"c";
        start_now(&s);
        assert_int_equal(finish(&s, text, sizeof(text)), 0);
        unlink(path);
        says(text, "2-a b-c\n");
}

static void a_script_without_arguments_is_too(void **state)
{
        char path[] = "/tmp/sluice-script-XXXXXX", text[1024];
        int fd = mkstemp(path);
        struct start s;

        (void)state;
        assert_int_equal(write(fd, "echo $#\n", 8), 8);
        fchmod(fd, 0700);
        close(fd);
        start_prepare(&s, path, NULL);
        start_now(&s);
        assert_int_equal(finish(&s, text, sizeof(text)), 0);
        unlink(path);
        says(text, "0\n");
}

static void a_failed_start_names_its_step(void **state)
{
        struct start s;

        (void)state;
        start_prepare(&s, "/nowhere/at/all", NULL);
        expect_failure(&s, -ENOENT, "exec");
        start_prepare(&s, "/etc/passwd", NULL);
        expect_failure(&s, -EACCES, "exec");
        start_prepare(&s, "/tmp", NULL);
        expect_failure(&s, -EACCES, "exec");
        start_prepare(&s, "/bin/true", NULL);
        s.spec.directory = s.spec.fds[0]; /* /dev/null */
        expect_failure(&s, -ENOTDIR, "chdir");
        start_prepare(&s, "/bin/true", NULL);
        s.spec.group_mode = SPAWN_GROUP_JOIN;
        s.spec.group = 1;
        expect_failure(&s, -EPERM, "setpgid");
        start_prepare(&s, "/bin/true", NULL);
        close(s.spec.fds[0]);
        s.spec.fds[0] = 1020;
        expect_failure(&s, -EBADF, "dup");
}

static void a_list_too_long_is_said(void **state)
{
        char *huge = malloc(4 << 20);
        struct start s;

        (void)state;
        memset(huge, 'x', (4 << 20) - 1);
        huge[(4 << 20) - 1] = '\0';
        start_prepare(&s, "/bin/true", huge);
        expect_failure(&s, -E2BIG, "exec");
        free(huge);
}

/* A grandchild whose parent, this test's child, just ends. */
/* Its mask is emptied just before its exec, and a stop that waited until then meets it while it has our memory: whoever waits
 * for the exec would wait for ever. Of twenty, some are met there. */
static void a_stop_before_its_exec_is_put_off(void **state)
{
        (void)state;
        for (int i = 0; i < 20; i++) {
                struct start s;
                char text[1024];
                int in[2];

                assert_int_equal(pipe2(in, O_CLOEXEC), 0);
                start_prepare(&s, "/bin/cat", NULL); /* one that does not end meanwhile */
                close(s.spec.fds[0]);
                s.spec.fds[0] = in[0];
                s.spec.async = true;
                s.spec.group_mode = SPAWN_GROUP_NEW; /* with a parent in another group of the session: not orphaned */
                start_now(&s);
                assert_int_equal(s.result, 0);
                assert_int_equal(kill(s.spec.pid, SIGTSTP), 0);
                s.result = spawn_confirm(&s.spec);
                assert_int_equal(s.result, 0);
                comes(&s, WSTOPPED);
                assert_int_equal(kill(s.spec.pid, SIGCONT), 0);
                close(in[1]);
                assert_int_equal(finish(&s, text, sizeof(text)), 0);
        }
}

static void all_signals_may_be_held(void **state)
{
        struct start s;
        char text[1024];

        (void)state;
        start_prepare(&s, self, "report");
        s.spec.hold_all = true;
        start_now(&s);
        assert_int_equal(finish(&s, text, sizeof(text)), 0);
        says(text, "blocked 1 2 3 4 5 6 7 8 10 ");
}

static void die_with_parent_is_kept(void **state)
{
        int said[2], pidfd, status;
        struct pollfd f;
        pid_t child, grandchild = 0;

        (void)state;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
        assert_int_equal(pipe2(said, O_CLOEXEC), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                struct start s;
                char go;

                start_prepare(&s, "/bin/sleep", "600");
                s.spec.die_with_parent = true;
                start_now(&s);
                if (s.result < 0 || write(said[1], &s.spec.pid, sizeof(s.spec.pid)) != sizeof(s.spec.pid))
                        _exit(1);
                while (read(s.out, &go, 1) < 0 && errno == EINTR) /* until somebody kills us */
                        continue;
                _exit(0);
        }
        assert_int_equal(read(said[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
        pidfd = (int)syscall(SYS_pidfd_open, grandchild, 0);
        assert_true(pidfd >= 0);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        f = (struct pollfd){ .fd = pidfd, .events = POLLIN };
        if (poll(&f, 1, PATIENCE_MS) != 1) {
                kill(grandchild, SIGKILL);
                fail_msg("it lives on");
        }
        assert_int_equal(waitpid(grandchild, &status, 0), grandchild);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(pidfd);
        close(said[0]);
        close(said[1]);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_the_standard_streams_are_open),
                cmocka_unit_test(signals_are_as_a_program_expects_them),
                cmocka_unit_test(a_group_is_kept_led_or_joined),
                cmocka_unit_test(it_runs_in_its_folder_with_its_environment),
                cmocka_unit_test(a_script_without_an_interpreter_is_the_shells),
                cmocka_unit_test(a_script_without_arguments_is_too),
                cmocka_unit_test(a_failed_start_names_its_step),
                cmocka_unit_test(a_list_too_long_is_said),
                cmocka_unit_test(a_stop_before_its_exec_is_put_off),
                cmocka_unit_test(all_signals_may_be_held),
                cmocka_unit_test(die_with_parent_is_kept),
        };
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (argc > 1 && strcmp(argv[1], "report") == 0)
                return report();
        if (n <= 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
