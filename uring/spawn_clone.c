/* uring/spawn_clone.c: clone3(CLONE_VM) and what the child does before exec.
 *
 * The child shares our memory and runs beside us on a stack of its own, so it may call nothing that keeps state: raw system
 * calls only (libc's setters signal other threads, sanitizers book-keep), no allocation, no return. Signals are blocked
 * while it begins: a handler of the host that ran in the child would change the host's memory. When it lets go of our
 * memory, by exec or by its end, the kernel clears room->busy (CLONE_CHILD_CLEARTID). Not vfork: ten commands exec side by
 * side while the caller goes on (10 cats: 0.9 of the time on two CPUs).
 *
 *      group, terminal -> fds -> umask, nice, ioprio, limits -> ids -> directory -> signals -> PDEATHSIG -> exec
 *
 * The ids come before the directory, so that it is the user who must be able to enter it, and PDEATHSIG after them, since
 * a change of ids clears it. Built twice: into the library, and without libc into the guard. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "raw.h"
#include "uapi.h"

/* The kernel's own sigaction, which raw rt_sigaction speaks. */
struct kernel_sigaction {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
};

struct kernel_rlimit {
        uint64_t soft, hard;
};

enum { SIGSET_BYTES = 8, FIRST_FREE_FD = 3, IOPRIO_WHO_PROCESS = 1, STOP_LOOK_MS = 20 };

/* Caught signals would be reset by exec, but must be so before the mask is emptied: CLONE_CLEAR_SIGHAND did it (5.5).
 * Ignored ones stay ignored (nohup), but for SIGPIPE: a filter that outlives its reader is what SIGPIPE is for. */
RAW void reset_signals(const struct spawn *s)
{
        const struct kernel_sigaction reset = { 0 };
        const uint64_t held = s->hold_all ? ~UINT64_C(0) : s->hold_term ? UINT64_C(1) << (SIGTERM - 1) : 0;

        raw4(SYS_rt_sigaction, SIGPIPE, &reset, NULL, SIGSET_BYTES);
        raw4(SYS_rt_sigprocmask, SIG_SETMASK, &held, NULL, SIGSET_BYTES);
}

RAW long join_group(const struct spawn *s)
{
        pid_t group = s->group_mode == SPAWN_GROUP_JOIN ? s->group : 0;
        long r;

        if (s->group_mode == SPAWN_GROUP_KEEP)
                return 0;
        r = raw2(SYS_setpgid, 0, group);
        if (r < 0)
                return r;
        if (s->terminal >= 0) {
                pid_t self = group ? group : (pid_t)raw0(SYS_getpid);

                /* From a background group this would stop us with SIGTTOU, were it not blocked. A terminal that is
                 * gone is no reason not to start. */
                raw3(SYS_ioctl, s->terminal, TIOCSPGRP, &self);
        }
        return 0;
}

/* Sources may stand on numbers that are targets of others: with extra fds, all move above the highest target first. */
RAW long move_above_targets(const struct spawn *s, int *moved, int *directory)
{
        int above = FIRST_FREE_FD;

        for (uint32_t i = 0; i < s->extra_nr; i++)
                if (s->extra[i].as >= above)
                        above = s->extra[i].as + 1;
        for (uint32_t i = 0; i < s->extra_nr; i++) {
                moved[i] = (int)raw3(SYS_fcntl, s->extra[i].fd, F_DUPFD_CLOEXEC, above);
                if (moved[i] < 0)
                        return moved[i];
        }
        if (s->extra_nr && *directory >= 0)
                *directory = (int)raw3(SYS_fcntl, *directory, F_DUPFD_CLOEXEC, above);
        return s->extra_nr && *directory < -1 ? *directory : 0;
}

RAW long place_fds(const struct spawn *s, int *directory)
{
        int moved[SPAWN_EXTRA_MAX];
        long r = move_above_targets(s, moved, directory);

        if (r < 0)
                return r;
        for (int i = 0; i < 3; i++) {
                r = raw3(SYS_dup3, s->fds[i], i, 0);
                if (r < 0)
                        return r;
        }
        /* Whatever else is open, the host's leaks included, is none of the program's business (5.11; older: the
         * engine's own fds are O_CLOEXEC anyway). */
        raw3(SYS_close_range, FIRST_FREE_FD, ~0U, CLOSE_RANGE_CLOEXEC);
        for (uint32_t i = 0; i < s->extra_nr; i++) {
                r = raw3(SYS_dup3, moved[i], s->extra[i].as, 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

RAW long add_nice(int by)
{
        long now = raw2(SYS_getpriority, PRIO_PROCESS, 0); /* the raw call answers 20 - nice */

        return now < 0 ? now : raw3(SYS_setpriority, PRIO_PROCESS, 0, 20 - now + by);
}

RAW long set_limits(const struct spawn *s)
{
        for (uint32_t i = 0; i < s->rlimits_nr; i++) {
                const struct kernel_rlimit limit = { s->rlimits[i].soft, s->rlimits[i].hard };
                long r = raw4(SYS_prlimit64, 0, s->rlimits[i].resource, &limit, NULL);

                if (r < 0)
                        return r;
        }
        return 0;
}

RAW long set_ids(const struct spawn *s)
{
        long r = raw2(SYS_setgroups, s->groups_nr, s->groups);

        if (r == 0)
                r = raw3(SYS_setresgid, s->gid, s->gid, s->gid);
        return r < 0 ? r : raw3(SYS_setresuid, s->uid, s->uid, s->uid);
}

RAW long arrange_death(const struct spawn_room *room)
{
        long r;

        if (!room->spec->die_with_parent)
                return 0;
        r = raw2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
        if (r < 0)
                return r;
        return (int)raw0(SYS_getppid) == room->parent ? 0 : -ESRCH; /* it may have died before we asked */
}

#define STEP(step, call)                                                                                                           \
        do {                                                                                                                       \
                s->failed = (step);                                                                                                \
                r = (call);                                                                                                        \
                if (r < 0)                                                                                                         \
                        goto fail;                                                                                                 \
        } while (0)

NO_SANITIZE __attribute__((noreturn, noinline)) static void child_main(struct spawn_room *room)
{
        struct spawn *s = room->spec;
        int directory = s->directory;
        long r;

        if (s->cpus) /* none of them may be its cgroup's: then it runs where that says */
                raw3(SYS_sched_setaffinity, 0, sizeof(*s->cpus), s->cpus);
        STEP(SPAWN_SETPGID, join_group(s));
        STEP(SPAWN_DUP, place_fds(s, &directory));
        if (s->set_umask)
                raw1(SYS_umask, s->umask);
        if (s->nice)
                STEP(SPAWN_NICE, add_nice(s->nice));
        if (s->ioprio)
                STEP(SPAWN_IOPRIO, raw3(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, s->ioprio));
        STEP(SPAWN_RLIMIT, set_limits(s));
        if (s->set_ids)
                STEP(SPAWN_USER, set_ids(s));
        if (directory >= 0)
                STEP(SPAWN_CHDIR, raw1(SYS_fchdir, directory));
        reset_signals(s);
        STEP(SPAWN_PRCTL, arrange_death(room));
        s->failed = SPAWN_EXEC;
        r = raw3(SYS_execve, s->path, s->argv, s->env);
        if (r == -ENOEXEC)
                r = raw3(SYS_execve, "/bin/sh", room->shell_argv, s->env);
fail:
        room->error = (int)-r;
        for (;;)
                raw1(SYS_exit_group, 127);
}

/* clone3 by hand: libc has no wrapper. In the child the stack is empty: child_main is called on it, with what was kept in
 * a register, and never returns. */
NO_SANITIZE __attribute__((noinline)) static long clone_child(struct clone_args *args, struct spawn_room *room)
{
        long r;

#if defined(__x86_64__)
        register struct spawn_room *kept __asm__("r12") = room;
        register void (*entry)(struct spawn_room *) __asm__("r13") = child_main;

        __asm__ volatile("syscall\n\t"
                         "test %%rax, %%rax\n\t"
                         "jnz 1f\n\t"
                         "xor %%ebp, %%ebp\n\t"
                         "mov %%r12, %%rdi\n\t"
                         "call *%%r13\n\t"
                         "hlt\n"
                         "1:"
                         : "=a"(r)
                         : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(kept), "r"(entry)
                         : "rcx", "r11", "memory");
#elif defined(__aarch64__)
        register long x8 __asm__("x8") = SYS_clone3;
        register long x0 __asm__("x0") = (long)args;
        register long x1 __asm__("x1") = sizeof(*args);
        register struct spawn_room *kept __asm__("x20") = room;
        register void (*entry)(struct spawn_room *) __asm__("x21") = child_main;

        __asm__ volatile("svc 0\n\t"
                         "cbnz x0, 1f\n\t"
                         "mov x29, #0\n\t"
                         "mov x0, x20\n\t"
                         "blr x21\n\t"
                         "brk #0\n"
                         "1:"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(kept), "r"(entry)
                         : "memory");
        r = x0;
#else
#error "spawn_clone.c: write the clone3 system call for this architecture"
#endif
        return r;
}

NO_SANITIZE static void fill_room(struct spawn *s, struct spawn_room *room)
{
        size_t n = 0;

        room->busy = 1;
        room->error = 0;
        room->spec = s;
        room->parent = (int)raw0(SYS_getpid);
        room->shell_argv[n++] = "/bin/sh";
        room->shell_argv[n++] = s->path;
        for (size_t i = 1; s->argv[0] && s->argv[i]; i++)
                room->shell_argv[n++] = s->argv[i];
        room->shell_argv[n] = NULL;
}

/* The leader makes its group itself as well: whoever of the two comes first, the next command finds it. */
NO_SANITIZE int spawn_begin(struct spawn *s, struct spawn_room *room)
{
        struct clone_args args = { .flags = CLONE_VM | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | CLONE_CHILD_CLEARTID,
                                   .exit_signal = SIGCHLD,
                                   .stack_size = SPAWN_STACK_BYTES };
        int pidfd = -1;
        long pid;

        fill_room(s, room);
        args.pidfd = (uint64_t)(uintptr_t)&pidfd;
        args.stack = (uint64_t)(uintptr_t)room->stack;
        args.child_tid = (uint64_t)(uintptr_t)&room->busy;
        if (s->cgroup >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)s->cgroup;
        }
        if (s->new_pid_namespace)
                args.flags |= CLONE_NEWPID;
        pid = clone_child(&args, room);
        if (pid < 0) {
                s->failed = SPAWN_CLONE;
                return (int)pid;
        }
        if (s->group_mode == SPAWN_GROUP_NEW)
                raw2(SYS_setpgid, pid, pid);
        s->pid = (pid_t)pid;
        s->pidfd = pidfd;
        return 0;
}

/* Not on suspicion: SIGCONT takes back a stop that is still before the child. Whoever waits for all children may have been
 * told of the stop already, and says so in `stopped`. */
RAW void let_stopped_on(struct spawn *s)
{
        siginfo_t info;

        info.si_pid = 0;
        raw5(SYS_waitid, P_PIDFD, s->pidfd, &info, WSTOPPED | WNOHANG | WNOWAIT, NULL);
        s->stopped |= info.si_pid != 0;
        if (s->stopped)
                raw2(SYS_kill, s->pid, SIGCONT);
}

/* The kernel's wake-up is not a private one. */
NO_SANITIZE int spawn_wait(struct spawn *s, struct spawn_room *room)
{
        const struct timespec look = { .tv_nsec = STOP_LOOK_MS * 1000000L };
        siginfo_t info;

        while (__atomic_load_n(&room->busy, __ATOMIC_ACQUIRE))
                if (raw4(SYS_futex, &room->busy, FUTEX_WAIT, 1, &look) == -ETIMEDOUT)
                        let_stopped_on(s);
        if (room->error) {
                raw5(SYS_waitid, P_PIDFD, s->pidfd, &info, WEXITED, NULL);
                raw1(SYS_close, s->pidfd);
                s->pidfd = -1;
                return -room->error;
        }
        if (s->stopped)
                raw2(SYS_kill, s->pid, SIGTSTP);
        s->failed = SPAWN_OK;
        return 0;
}
