/* uring/spawn_fork.c: a fork of the caller, which goes on in a function instead of a program. Unlike the child of
 * spawn_clone.c it has memory of its own, and libc, whose locks are whole because no other thread can have held one.
 *
 *      group, terminal -> cgroup -> directory -> fds -> PDEATHSIG -> signals -> the function
 *
 * Called by the engine on the loop's thread. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"
#include "syscalls.h"
#include "uapi.h"

/* ---- may it? ---- */

/* io_uring's kernel threads are listed with ours; they run none of our code and hold no lock. */
static bool is_kernels(int task, const char *id)
{
        char path[64], name[8] = "";
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "%.20s/comm", id);
        fd = openat(task, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT; /* it has just ended */
        n = read(fd, name, sizeof(name) - 1);
        close(fd);
        return n < 0 || strncmp(name, "iou-", 4) == 0;
}

int spawn_may_fork(void)
{
        DIR *d = opendir("/proc/self/task");
        unsigned threads = 0;
        struct dirent *e;

        if (!d)
                return -ENOTSUP; /* nobody can say */
        while ((e = readdir(d)))
                threads += e->d_name[0] != '.' && !is_kernels(dirfd(d), e->d_name);
        closedir(d);
        return threads == 1 ? 0 : -ENOTSUP;
}

/* ---- the child ---- */

static int join_group(const struct spawn *s)
{
        pid_t group = s->group_mode == SPAWN_GROUP_JOIN ? s->group : 0;

        if (s->group_mode == SPAWN_GROUP_KEEP)
                return 0;
        if (setpgid(0, group) < 0)
                return -errno;
        if (s->terminal >= 0)
                tcsetpgrp(s->terminal, getpgrp()); /* SIGTTOU is blocked. A terminal that is gone is no reason not to start */
        return 0;
}

static int enter_cgroup(int cgroup, pid_t pid)
{
        int fd = cgroup >= 0 ? openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC) : -1, r;

        if (fd < 0)
                return cgroup >= 0 ? -errno : 0;
        r = dprintf(fd, "%d", pid) < 0 ? -errno : 0;
        close(fd);
        return r;
}

static int place_fds(const struct spawn *s)
{
        for (int i = 0; i < 3; i++)
                if (syscall(SYS_dup3, s->fds[i], i, 0) < 0)
                        return -errno;
        return syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) < 0 ? -errno : 0;
}

static int arrange_death(const struct spawn *s, pid_t parent)
{
        if (!s->die_with_parent)
                return 0;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        return getppid() == parent ? 0 : -ESRCH;
}

/* As exec would leave them: caught ones are default again, ignored ones stay so, but for SIGPIPE. */
static void reset_signals(const struct spawn *s)
{
        struct sigaction a;
        sigset_t held;

        for (int i = 1; i < NSIG; i++) {
                if (sigaction(i, NULL, &a) < 0 || a.sa_handler == SIG_DFL || (a.sa_handler == SIG_IGN && i != SIGPIPE))
                        continue;
                a = (struct sigaction){ .sa_handler = SIG_DFL };
                sigaction(i, &a, NULL);
        }
        sigemptyset(&held);
        if (s->hold_term)
                sigaddset(&held, SIGTERM);
        sigprocmask(SIG_SETMASK, &held, NULL);
}

static int settle(const struct spawn *s, pid_t parent)
{
        int r = join_group(s);

        r = r < 0 ? r : enter_cgroup(s->cgroup, 0);
        if (s->cpus)
                sched_setaffinity(0, sizeof(*s->cpus), s->cpus);
        if (r == 0 && s->directory >= 0 && fchdir(s->directory) < 0)
                r = -errno;
        r = r < 0 ? r : place_fds(s);
        r = r < 0 ? r : arrange_death(s, parent);
        reset_signals(s);
        return r;
}

/* ---- the parent ---- */

static int watch(struct spawn *s, pid_t pid)
{
        int fd = sys_above_stdio((int)syscall(SYS_pidfd_open, pid, 0));

        if (fd < 0) {
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                return -EMFILE;
        }
        s->pid = pid;
        s->pidfd = fd;
        return 0;
}

int spawn_fork(struct spawn *s, spawn_fork_fn *fn, void *arg)
{
        pid_t parent = getpid(), pid;
        sigset_t all, old;
        int r;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &old);
        pid = fork();
        r = pid < 0 ? -errno : 0;
        if (pid == 0)
                _exit(fn(arg, settle(s, parent)));
        sigprocmask(SIG_SETMASK, &old, NULL);
        s->failed = SPAWN_CLONE;
        if (r < 0)
                return r;
        /* Both do it: whoever comes first, the next command finds the group, and a signal to the cgroup the child. */
        if (s->group_mode == SPAWN_GROUP_NEW)
                setpgid(pid, pid);
        enter_cgroup(s->cgroup, pid);
        return watch(s, pid);
}
