/* uring/spawn.h: starting a process, without copying the page tables of the one that starts it.
 *
 * One struct says what to start. spawn_direct() makes the caller its parent; guard.h's guard_spawn() makes the guard the
 * parent. Both end in spawn_begin(), here or there, and know nothing of what is started. */
#ifndef SLUICE_URING_SPAWN_H
#define SLUICE_URING_SPAWN_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Of a host's 32 fds, and three of a worker's. */
enum { SPAWN_EXTRA_MAX = 35, SPAWN_RLIMITS_MAX = 16, SPAWN_GROUPS_MAX = 256 };

enum spawn_group {
        SPAWN_GROUP_KEEP, /* stays in the caller's process group */
        SPAWN_GROUP_NEW,  /* leads a new one */
        SPAWN_GROUP_JOIN, /* joins `group`; by a guard, and 0: that of the first of its batch that leads one */
};

/* Which step failed; spawn_step_name() has the word. */
enum spawn_step {
        SPAWN_OK,
        SPAWN_CLONE,
        SPAWN_SETPGID,
        SPAWN_DUP,
        SPAWN_NICE,
        SPAWN_IOPRIO,
        SPAWN_RLIMIT,
        SPAWN_USER,
        SPAWN_CHDIR,
        SPAWN_PRCTL,
        SPAWN_EXEC,
        SPAWN_GUARD,
        SPAWN_STEPS,
};

struct spawn_fd {
        int fd, as;
};

struct spawn_rlimit {
        int resource;
        uint64_t soft, hard;
};

struct guard;

struct spawn {
        /* What to start; all borrowed until the spawn is done. */
        const char *path; /* found before: no search here; relative to `directory` */
        char *const *argv;
        char *const *env;
        int directory;                /* an fd (O_PATH will do); -1: the caller's */
        int fds[3];                   /* become 0, 1 and 2; all >= 3; everything else is closed in the child */
        const struct spawn_fd *extra; /* >= 3 on both sides, the numbers in the child distinct */
        uint32_t extra_nr;
        enum spawn_group group_mode;
        pid_t group;
        int terminal;         /* >= 0: its foreground goes to the group before the program runs */
        bool die_with_parent; /* SIGKILL when the starting thread ends (PR_SET_PDEATHSIG) */
        bool hold_term;       /* SIGTERM is blocked in the program, which unblocks it when it can answer */
        bool hold_all;        /* every signal is: the terminal's keys are not for the guard, whose group is still ours */
        bool set_umask, set_ids;
        mode_t umask;
        int nice;   /* added */
        int ioprio; /* 0: unchanged */
        const struct spawn_rlimit *rlimits;
        uint32_t rlimits_nr;
        uid_t uid;
        gid_t gid;
        const gid_t *groups; /* supplementary, with set_ids */
        uint32_t groups_nr;
        int cgroup;            /* the directory of a cgroup v2 to start in; -1: the caller's */
        const cpu_set_t *cpus; /* where it may run: coming into a cgroup forgets it before Linux 6.2. NULL: as the caller */
        bool new_pid_namespace;
        bool async; /* only begin: spawn_confirm(), or guard_confirm(), says what came of it */

        struct guard *guard; /* whose child it becomes; NULL: the caller's */
        uint64_t id;         /* what the guard's events call it */

        /* Written on success. */
        pid_t pid;
        int pidfd;
        enum spawn_step failed;  /* on failure: the step that failed */
        bool stopped;            /* it was stopped before its exec; it has been let on to that, and stopped again */
        int error;               /* begun by a guard: -errno when even that failed */
        struct spawn_room *room; /* begun and not confirmed: where the child still runs */
};

/* Starts it and waits until the program has been exec'd (~0.3 ms whatever the caller's size), or with `async` does not
 * wait: several that are begun before the first is confirmed exec side by side. 0, or -errno of the step named in
 * `failed`; then nothing is left running. Any thread. */
int spawn_direct(struct spawn *s);
/* What came of one that was begun. The same answers; once. */
int spawn_confirm(struct spawn *s);
const char *spawn_step_name(enum spawn_step step);

/* Whether the caller is its process's only thread, io_uring's own aside. 0; -ENOTSUP. */
int spawn_may_fork(void);
/* A fork of the caller, which has to be alone, goes on in fn(arg, error) and exits with what that returns. Of *s count the
 * fds, the group, the terminal, the directory, the cgroup, the CPUs and die_with_parent; every other fd is closed, handlers are reset.
 * `error` is -errno of what of that failed. 0, or -errno. */
typedef int spawn_fork_fn(void *arg, int error);
int spawn_fork(struct spawn *s, spawn_fork_fn *fn, void *arg);

/* ---- the common core, without libc ---- */

/* A child shares our memory until it execs, and runs beside us: here. The stack grows down, away from the rest: what is used
 * of all this is mostly one page. Behind it lie pointers for the argv of a shell, to which a script without "#!" is given, as
 * execvp() does. */
enum { SPAWN_STACK_BYTES = 16 << 10 };
struct spawn_room {
        _Alignas(64) char stack[SPAWN_STACK_BYTES];
        volatile int busy;  /* the kernel clears it, and wakes who waits, when the child has exec'd or ended */
        volatile int error; /* the child's: errno of the step in spec->failed */
        struct spawn *spec;
        int parent;
        const char *shell_argv[];
};
static inline size_t spawn_room_bytes(size_t argc)
{
        return sizeof(struct spawn_room) + (argc + 3) * sizeof(char *);
}
/* The caller has blocked all signals. Nothing that *s points to may change before spawn_wait() is over. */
int spawn_begin(struct spawn *s, struct spawn_room *room);
/* 0, or -errno: then the child is reaped and its pidfd closed. A child that a signal has stopped before its exec holds our
 * memory, and nobody could send it SIGCONT while we wait: it is sent on, and SIGTSTP after the exec. */
int spawn_wait(struct spawn *s, struct spawn_room *room);

#endif
