/* tests/unit/spawn_fork.c: a fork hears of what of its start failed, has the fds that it was given and no other, and its
 * caller has a pidfd; who has a second thread may not fork. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

/* Its answer is its exit status: 1 for an error of its start that is not the expected one. */
static int expects(void *arg, int error)
{
        return error == *(const int *)arg ? 0 : 1;
}

static int copies_a_byte(void *arg, int error)
{
        char c;

        (void)arg;
        if (error < 0 || read(STDIN_FILENO, &c, 1) != 1 || write(STDOUT_FILENO, &c, 1) != 1)
                return 1;
        for (int fd = 3; fd < 256; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        return 2;
        return 0;
}

static int says_group(void *arg, int error)
{
        (void)arg;
        return error == 0 && getpgrp() == getpid() ? 0 : 1;
}

static struct spawn spec(void)
{
        struct spawn s = { .directory = -1, .terminal = -1, .cgroup = -1, .group_mode = SPAWN_GROUP_KEEP, .pidfd = -1 };

        for (int i = 0; i < 3; i++)
                s.fds[i] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        return s;
}

static int status_of(struct spawn *s)
{
        siginfo_t info = { 0 };

        assert_int_equal(waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED), 0);
        assert_int_equal(info.si_pid, s->pid);
        assert_int_equal(info.si_code, CLD_EXITED);
        close(s->pidfd);
        for (int i = 0; i < 3; i++)
                close(s->fds[i]);
        return info.si_status;
}

static void errors_are_told(void **state)
{
        int none = 0, bad = -EBADF, not_a_directory = -ENOTDIR, no_group = -EPERM;
        struct spawn s = spec();

        (void)state;
        assert_int_equal(spawn_fork(&s, expects, &none), 0);
        assert_int_equal(status_of(&s), 0);
        s = spec();
        s.directory = s.fds[0]; /* whatever stderr is, it is no directory */
        assert_int_equal(spawn_fork(&s, expects, &not_a_directory), 0);
        assert_int_equal(status_of(&s), 0);
        s = spec();
        close(s.fds[1]);
        assert_int_equal(spawn_fork(&s, expects, &bad), 0);
        assert_int_equal(status_of(&s), 0);
        s = spec();
        s.group_mode = SPAWN_GROUP_JOIN;
        s.group = 0x3fffffff;
        assert_int_equal(spawn_fork(&s, expects, &no_group), 0);
        assert_int_equal(status_of(&s), 0);
}

static void fds_are_its_own(void **state)
{
        int in[2], out[2];
        struct spawn s = spec();
        char c = 0;

        (void)state;
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, 0), 0);
        close(s.fds[0]);
        close(s.fds[1]);
        s.fds[0] = in[0];
        s.fds[1] = out[1];
        assert_int_equal(write(in[1], "x", 1), 1);
        assert_int_equal(spawn_fork(&s, copies_a_byte, NULL), 0);
        assert_int_equal(status_of(&s), 0);
        assert_int_equal(read(out[0], &c, 1), 1);
        assert_int_equal(c, 'x');
        assert_int_equal(read(out[0], &c, 1), 0);
        close(in[1]);
        close(out[0]);
}

static void it_leads_a_group(void **state)
{
        struct spawn s = spec();

        (void)state;
        s.group_mode = SPAWN_GROUP_NEW;
        assert_int_equal(spawn_fork(&s, says_group, NULL), 0);
        assert_int_equal(status_of(&s), 0);
}

/* The caller's mask is as it was. */
static void the_mask_comes_back(void **state)
{
        sigset_t before, after;
        struct spawn s = spec();
        int none = 0;

        (void)state;
        sigprocmask(SIG_BLOCK, NULL, &before);
        assert_int_equal(spawn_fork(&s, expects, &none), 0);
        assert_int_equal(status_of(&s), 0);
        sigprocmask(SIG_BLOCK, NULL, &after);
        for (int i = 1; i < 32; i++)
                assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

static void *waits(void *arg)
{
        char c;

        return read(*(const int *)arg, &c, 1) < 0 ? arg : NULL;
}

static void a_second_thread_is_seen(void **state)
{
        int fds[2];
        pthread_t thread;

        (void)state;
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(pthread_create(&thread, NULL, waits, &fds[0]), 0);
        assert_int_equal(spawn_may_fork(), -ENOTSUP);
        close(fds[1]);
        pthread_join(thread, NULL);
        close(fds[0]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(errors_are_told),         cmocka_unit_test(fds_are_its_own),
                cmocka_unit_test(it_leads_a_group),        cmocka_unit_test(the_mask_comes_back),
                cmocka_unit_test(a_second_thread_is_seen),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
