/* uring/spawn_direct.c: clone3(CLONE_VM | CLONE_VFORK | CLONE_PIDFD) and what the child does before exec.
 *
 * The child shares our memory and runs on our stack while we are stopped, so it may call nothing that keeps state:
 * raw system calls only (libc's setters signal other threads, sanitizers book-keep), no allocation, no return.
 * Signals are blocked across it: a handler of the host that ran in the child would change the host's memory. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi.h"

#if defined(__SANITIZE_THREAD__)
#define NO_SANITIZE __attribute__((no_sanitize("thread", "undefined")))
#elif defined(__clang__)
#define NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define NO_SANITIZE __attribute__((no_sanitize("address", "undefined")))
#endif

/* The kernel's own sigaction, which raw rt_sigaction speaks. */
struct kernel_sigaction {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
};

enum { SIGNALS = 64, SIGSET_BYTES = 8 };

struct child_args {
        struct spawn *spec;
        char *const *shell_argv; /* for a script without "#!", as execvp() does */
        pid_t parent;
        volatile int error; /* the child writes it, in our memory and behind the compiler's back */
};

static void *const HANDLER_DEFAULT = NULL, *const HANDLER_IGNORE = (void *)1;

/* Caught signals would be reset by exec, but must be so before the mask is emptied. Ignored ones stay ignored (nohup),
 * but for SIGPIPE: a filter that outlives its reader is what SIGPIPE is for. */
NO_SANITIZE static inline void reset_signals(void)
{
        const struct kernel_sigaction reset = { .handler = HANDLER_DEFAULT };
        const uint64_t none = 0;

        for (int sig = 1; sig <= SIGNALS; sig++) {
                struct kernel_sigaction now;

                if (syscall(SYS_rt_sigaction, sig, NULL, &now, SIGSET_BYTES) < 0)
                        continue;
                if (sig != SIGPIPE && (now.handler == HANDLER_DEFAULT || now.handler == HANDLER_IGNORE))
                        continue;
                syscall(SYS_rt_sigaction, sig, &reset, NULL, SIGSET_BYTES);
        }
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SIGSET_BYTES);
}

NO_SANITIZE static inline int join_group(const struct spawn *s)
{
        pid_t group = s->group_mode == SPAWN_GROUP_JOIN ? s->group : 0;

        if (s->group_mode == SPAWN_GROUP_KEEP)
                return 0;
        if (syscall(SYS_setpgid, 0, group) < 0)
                return -1;
        if (s->terminal >= 0) {
                pid_t self = group ? group : (pid_t)syscall(SYS_getpid);

                /* From a background group this would stop us with SIGTTOU, were it not blocked. A terminal that is
                 * gone is no reason not to start. */
                syscall(SYS_ioctl, s->terminal, TIOCSPGRP, &self);
        }
        return 0;
}

NO_SANITIZE static inline int place_fds(const struct spawn *s)
{
        for (int i = 0; i < 3; i++)
                if (syscall(SYS_dup3, s->fds[i], i, 0) < 0)
                        return -1;
        /* Whatever else is open, the host's leaks included, is none of the program's business (5.11; older: the
         * engine's own fds are O_CLOEXEC anyway). */
        syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
        return 0;
}

NO_SANITIZE static inline int arrange_death(const struct child_args *a)
{
        if (!a->spec->die_with_parent)
                return 0;
        if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -1;
        return syscall(SYS_getppid) == a->parent ? 0 : -1; /* it may have died before we asked */
}

NO_SANITIZE __attribute__((noreturn, noinline)) static void child_main(struct child_args *a)
{
        struct spawn *s = a->spec;

        s->failed = "setpgid";
        if (join_group(s) < 0)
                goto fail;
        s->failed = "chdir";
        if (s->directory && syscall(SYS_chdir, s->directory) < 0)
                goto fail;
        s->failed = "dup";
        if (place_fds(s) < 0)
                goto fail;
        reset_signals();
        s->failed = "prctl";
        if (arrange_death(a) < 0)
                goto fail;
        s->failed = "exec";
        syscall(SYS_execve, s->path, s->argv, s->env);
        if (errno == ENOEXEC)
                syscall(SYS_execve, "/bin/sh", a->shell_argv, s->env);
fail:
        a->error = errno;
        for (;;)
                syscall(SYS_exit_group, 127);
}

/* clone3 by hand: libc's clone() wants a second stack, and its vfork() gives no pidfd, without which a host that
 * ignores SIGCHLD could have the pid reused before we look. The child must not return from this frame, hence noinline
 * child_main, which never does. `child` is an operand though the call does not take it: gcc 12 concludes from the
 * noreturn that nothing in here writes *child, and drops the caller's look at its error (-fipa-modref). */
NO_SANITIZE __attribute__((noinline)) static long clone_child(struct clone_args *args, struct child_args *child)
{
        long r;

#if defined(__x86_64__)
        __asm__ volatile("syscall" : "=a"(r) : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
        register long x8 __asm__("x8") = SYS_clone3;
        register long x0 __asm__("x0") = (long)args;
        register long x1 __asm__("x1") = sizeof(*args);
        __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(child) : "memory");
        r = x0;
#else
#error "spawn_direct.c: write the clone3 system call for this architecture"
#endif
        if (r == 0)
                child_main(child);
        return r;
}

static size_t count(char *const *argv)
{
        size_t n = 0;

        while (argv[n])
                n++;
        return n;
}

int spawn_direct(struct spawn *s)
{
        size_t argc = count(s->argv);
        char *shell_argv[argc + 3];
        struct child_args child = { .spec = s, .shell_argv = shell_argv, .parent = getpid() };
        int pidfd = -1;
        struct clone_args args = {
                .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
        };
        sigset_t all, old;
        long pid;

        shell_argv[0] = (char *)"/bin/sh";
        shell_argv[1] = (char *)s->path;
        for (size_t i = 1; i <= argc; i++)
                shell_argv[i + 1] = s->argv[i];
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        pid = clone_child(&args, &child);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (pid < 0) {
                s->failed = "clone";
                return (int)pid;
        }
        if (child.error) {
                waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED);
                close(pidfd);
                return -child.error;
        }
        s->failed = NULL;
        s->pid = (pid_t)pid;
        s->pidfd = pidfd;
        return 0;
}
