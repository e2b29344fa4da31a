/* sluice/sluice.h: for people who build pipelines.
 *
 *      struct sluice_pipeline *p;
 *      sluice_pipeline_new(&p, NULL);
 *      int from = sluice_add_file(p, "access.log", NULL);             (sluice/stages.h)
 *      int to = sluice_add_tcp(p, "127.0.0.1:9000", NULL);
 *      sluice_pipeline_link(p, from, to);
 *      int r = sluice_pipeline_run(p);
 *      sluice_pipeline_free(p);
 *
 * Conventions, true everywhere: int functions return >= 0 or a negative errno and leave errno alone. A call that fails
 * has changed nothing, taken nothing over and written no *ret. A struct that begins with `size` grows only at its tail;
 * 0 is every field's default. Nothing happens behind the host's back: no signal disposition, environment variable or
 * global of the host is changed; SIGPIPE and SIGXFSZ are blocked on the loop's thread for a turn.
 *
 * Threads: an object is used by one thread at a time; a loop by the thread of its first turn (-EXDEV from another,
 * -ECHILD after fork). sluice_cancel_fire() and sluice_loop_post() may be called from any thread, the first from a
 * signal handler too. */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include <sluice/stage.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sluice_loop;
struct sluice_pipeline;
struct sluice_plan;
struct sluice_cancel;
struct sluice_pool;
struct sluice_buffer;

/* How a link moves its bytes, cheapest first. */
enum sluice_link_mode {
        SLUICE_LINK_NONE,
        SLUICE_LINK_DIRECT,   /* the process gets the fd itself */
        SLUICE_LINK_PIPE,     /* a kernel pipe joins two processes */
        SLUICE_LINK_HANDOVER, /* a buffer passes from stage to stage */
        SLUICE_LINK_SPLICE,   /* fd to fd, inside the kernel */
        SLUICE_LINK_CROSS,    /* one copy between an fd and memory, or between two fds that cannot be spliced */
        SLUICE_LINK_TEE,      /* one output, several inputs */
};

/* Who drives a link between two fds. */
enum sluice_driver {
        SLUICE_DRIVER_AUTO,
        SLUICE_DRIVER_INLINE, /* non-blocking splice(2) on the loop's thread: least CPU per byte */
        SLUICE_DRIVER_RING,   /* IORING_OP_SPLICE, on kernel workers (by epoll: on the loop's threads): may wait for storage;
                               * two cores at work */
        SLUICE_DRIVER_COPY,   /* pooled buffers */
};

/* What `auto` saves, between two sockets. */
enum sluice_prefer {
        SLUICE_PREFER_PATH,      /* CPU of all who have a part in it: what comes in moves of 64 KiB is spliced */
        SLUICE_PREFER_RELAY_CPU, /* CPU of this process: from 32 KiB on, where who reads pays more than is saved here */
};

/* Who moves bytes and waits for them. */
enum sluice_backend {
        SLUICE_BACKEND_AUTO,  /* io_uring; epoll where it is refused (seccomp, kernel.io_uring_disabled, RLIMIT_MEMLOCK) */
        SLUICE_BACKEND_URING, /* io_uring, or -EPERM, -ENOSYS, -ENOMEM as what needed it */
        SLUICE_BACKEND_EPOLL, /* epoll, and up to 16 threads of a loop for storage and for pipes that a process may lock */
};

enum sluice_flags {
        SLUICE_FORBID_COPY = 1 << 0,     /* -EOPNOTSUPP rather than a payload byte in userspace */
        SLUICE_PROCESS_GROUP = 1 << 1,   /* the commands get a process group of their own, one for the pipeline */
        SLUICE_TERMINAL = 1 << 2,        /* ... and the terminal, when one of them reads or writes it */
        SLUICE_DIE_WITH_PARENT = 1 << 3, /* a command is killed when the thread that started it ends, however it ends */
        SLUICE_STDERR_FORWARD = 1 << 4,  /* what commands write to stderr goes on to this process's, as it comes */
        SLUICE_STDERR_INHERIT = 1 << 5,  /* commands have this process's stderr itself: no tail is kept */
        SLUICE_EARLY_EXIT_OK = 1 << 6,   /* a command that exits 0 has read all it wanted: the SIGPIPE of what feeds it is
                                          * no failure (`yes | head`). Off: it is one, with signal SIGPIPE */
        SLUICE_FAIL_FAST = 1 << 7,       /* the first failure ends the rest; without it they come to their own ends */
        SLUICE_GUARD = 1 << 8,           /* commands are children of a guard, one small process per loop: see below */
};

/* How a run finds every process that its commands made, however they tried to hide (double fork, setsid), to end them
 * with it. Whatever a run contains is gone when it has ended, on every path: SIGTERM to all, grace, SIGKILL to all, then
 * it is verified. */
enum sluice_contain {
        SLUICE_CONTAIN_AUTO,   /* the best of CGROUP, GUARD (with SLUICE_GUARD only) and WALK that can be had */
        SLUICE_CONTAIN_CGROUP, /* a cgroup v2 leaf of the run's own, ended by cgroup.kill (Linux 5.14) */
        SLUICE_CONTAIN_GUARD,  /* the guard is the subreaper of the commands; implies SLUICE_GUARD */
        SLUICE_CONTAIN_PIDNS,  /* the guard is init of a PID namespace (CAP_SYS_ADMIN); implies SLUICE_GUARD. The commands
                                * see the host's /proc with other numbers in it */
        SLUICE_CONTAIN_WALK,   /* what descends visibly from a running command when it is ended: what has lost its parent by
                                * then (a double fork; the background jobs of one that ended by itself) escapes */
        SLUICE_CONTAIN_NONE,   /* the commands alone, as a shell does: what they leave in the background stays there */
};
/* The guard (SLUICE_GUARD) is a process of 40 KiB that is started with the loop's first command and ends with the loop.
 * When the program that embeds us dies, SIGKILL included, it kills every process of its runs, removes their cgroups, and
 * ends. The host's waitpid(-1) or an ignored SIGCHLD cannot take a command's status from it. Umask, limits and ids of
 * commands are the host's as they were when the guard started, unless the command's options say otherwise. */

/* One change to the environment of commands. Changes apply in order, a pipeline's before a stage's: later wins. */
struct sluice_environ; /* the environment that is being made */
/* Called when the run starts, on the loop's thread; edits `e` by the calls below. An error fails the start. */
typedef int sluice_env_fn(void *arg, struct sluice_environ *e);
struct sluice_env {
        const char *name, *value; /* value NULL: unset */
        sluice_env_fn *fn;        /* with name NULL: a function, evaluated at start; copied is the pointer only */
        void *arg;
};
/* For functions. NULL: not set; else valid until the next change. */
const char *sluice_environ_get(const struct sluice_environ *e, const char *name);
/* value NULL unsets. -EINVAL: a name that is empty or holds '='. -ENOMEM. */
int sluice_environ_set(struct sluice_environ *e, const char *name, const char *value);

/* What happens to stages while a run lasts. */
enum sluice_event_kind {
        SLUICE_EVENT_START,   /* a command runs: pid */
        SLUICE_EVENT_EXIT,    /* it has ended: exit_status or signal */
        SLUICE_EVENT_FAILURE, /* a stage failed and nothing excuses it: error, message. After the run's last exit */
        SLUICE_EVENT_LIMIT,   /* a command and its descendants exceeded its memory limit: bytes. It is being killed */
        SLUICE_EVENT_PEAK,    /* what they used at most: bytes. At the command's end */
};
struct sluice_event {
        size_t size;
        enum sluice_event_kind kind;
        int stage; /* index; -1: the run's */
        const char *stage_name;
        pid_t pid;
        int exit_status, signal; /* EXIT; exit_status -1: did not exit */
        int error;               /* FAILURE: negative errno */
        uint64_t bytes;          /* LIMIT, PEAK */
        const char *message;     /* one line; "" */
};
/* On the loop's thread, from a turn. May fire a token or stop the pipeline; must not free it. */
typedef void sluice_event_fn(void *arg, const struct sluice_event *e);

struct sluice_options {
        size_t size;
        unsigned flags; /* enum sluice_flags */
        enum sluice_driver driver;
        int64_t timeout_ms;           /* deadline of a run, opening included; 0: none. Result: -ETIMEDOUT */
        int64_t grace_ms;             /* between SIGTERM and SIGKILL; 0: 2000 */
        struct sluice_cancel *cancel; /* borrowed while a run lasts; NULL: none */
        enum sluice_contain contain;
        const char *directory;        /* where commands start that name none; NULL: the host's. Copied */
        const struct sluice_env *env; /* changes for every command; copied, but for `arg` */
        size_t env_nr;
        const char *cgroup;     /* a cgroup v2 directory in which runs get their leaves; NULL: the host's own. Copied */
        sluice_event_fn *event; /* NULL: nobody listens */
        void *event_arg;
        struct sluice_pool *pool; /* of sluice_pipeline_run()'s private loop; borrowed while a run lasts; NULL: its own */
        int numa;                 /* ... and where it belongs: SLUICE_NUMA_... */
        uint64_t buffers_bytes;   /* that its buffers may hold; 0: 1 GiB. Queues between functions are as deep as that allows, and a
                                 * pipeline that needs more is refused by build() */
        enum sluice_backend backend; /* of sluice_pipeline_run()'s private loop */
};

/* ---- pipelines ---- */

/* An empty pipeline, yours to free. Errors: -ENOMEM, -EINVAL (unknown flag, driver, containment, backend or node, negative
 * time). */
int sluice_pipeline_new(struct sluice_pipeline **ret, const struct sluice_options *opt);
/* One that runs on a loop is stopped first: that loop is turned until the run has ended, and `done` is not called. From a callback
 * of the loop it returns at once, and the run ends in later turns. NULL is allowed. */
void sluice_pipeline_free(struct sluice_pipeline *p);

/* Adds a stage; returns its index. `ops` must outlive the pipeline, `config` only this call if ops->config_copy is set.
 * `name` is what failures call it; NULL: ops->name. Copied.
 * Errors: -EBUSY (already built), -EINVAL (a required hook is missing, an ops size we do not know), -ENOMEM, and what
 * config_copy() returns. */
int sluice_pipeline_add(struct sluice_pipeline *p, const struct sluice_stage_ops *ops, const void *config, const char *name);
/* Joins the output of stage `from` to the input of stage `to`. Returns the link's index.
 * Only a stage that is made for it (tee) can be `from` more than once.
 * Errors: -EBUSY (already built), -EINVAL (no such stage, from == to), -EEXIST (that input has a link already). */
int sluice_pipeline_link(struct sluice_pipeline *p, int from, int to);

/* Adds all that another pipeline consists of, as one stage: its index, as the target of a link, is the first stage of `inner` that
 * has no input; as the source of a link, the last that has no output. `inner` stays as it is, and may be added again; its
 * options do not count. The stages keep their names, and their order from that index on.
 * Errors: -EBUSY (already built), -EINVAL (it is p itself, has no stages, or no free end), -ENOMEM, and config_copy()'s. */
int sluice_pipeline_add_pipeline(struct sluice_pipeline *p, const struct sluice_pipeline *inner);

/* Links every stage to the next in the order in which they were added. Without stages, or with one: nothing to link.
 * Errors: as sluice_pipeline_link(); then none is linked. */
int sluice_pipeline_chain(struct sluice_pipeline *p);

/* Failures that are none. */
enum sluice_ignore {
        SLUICE_IGNORE_ANY,    /* whatever it ends with */
        SLUICE_IGNORE_ERRNO,  /* an error of the engine or of a function: value, as ENOSPC */
        SLUICE_IGNORE_EXIT,   /* a command's exit status: value */
        SLUICE_IGNORE_SIGNAL, /* the signal that ended it: value */
        SLUICE_IGNORE_PIPE,   /* SIGPIPE, EPIPE, and exit status 141 (a shell that says so of its own) */
};
/* A failure of that stage which matches is kept in its result, marked ignored, but is not the pipeline's. May be called
 * several times for a stage. Ignoring pipe errors hides nobody else's error: a full disk is the sink's.
 * Errors: -EBUSY (already built), -EINVAL (no such stage or kind), -ENOMEM. */
int sluice_pipeline_ignore(struct sluice_pipeline *p, int stage, enum sluice_ignore what, int value);

/* Describes, negotiates and freezes; nothing is opened. Errors: -EINVAL (a stage without a link where it needs one), -ENOTSUP (a
 * stage has no input or no output where it would need one, one that is no tee has several readers, or two neighbours have no way
 * in common), -EOPNOTSUPP (FORBID_COPY), -ELOOP (a circle), -EDEADLK (stages that would wait for each other), -E2BIG (more buffers
 * than buffers_bytes allows; the sum is shown), -ENOMEM. sluice_pipeline_error() says it in words. Called by start and run when
 * it was not. */
int sluice_pipeline_build(struct sluice_pipeline *p);

/* Runs it to its end on a private loop, blocking. 0, or the negative errno of the failure that explains the others: for
 * a command that failed -ECHILD, and sluice_pipeline_stage_result() has its status; -ENOMEM for one beyond its memory
 * limit. -ECANCELED, -ETIMEDOUT (whatever the commands answered to it).
 * When it has returned, on any path, nothing in the kernel names an fd or buffer of the pipeline, every child is
 * reaped, every fd it opened is closed (but for what the statistics count as abandoned). */
int sluice_pipeline_run(struct sluice_pipeline *p);

/* Runs it as sluice_pipeline_run() does, and gives what its last stage writes: a growing buffer, NUL-terminated behind
 * its `*ret_bytes`, the caller's to free(). The stage that was added last must have its output free; a pipeline without
 * stages gives nothing. `limit` bytes at most, 0: no limit but memory; more is -EFBIG and ends the run.
 * On failure too *ret is what had come so far (NULL when nothing could be started). Other errors: as run; -EEXIST (that
 * output has a link already, or the pipeline was built already). Once per pipeline. */
int sluice_run_capture(struct sluice_pipeline *p, size_t limit, char **ret, size_t *ret_bytes);

/* Starts it on a loop; `done` is called once, from a turn of that loop. Errors: as build, -EBUSY (it runs already). */
typedef void sluice_done_fn(void *arg, int result);
int sluice_pipeline_start(struct sluice_pipeline *p, struct sluice_loop *l, sluice_done_fn *done, void *arg);
/* Asks a started run to end: as if its cancel token had fired. Returns at once; `done` follows. Loop's thread. */
void sluice_pipeline_stop(struct sluice_pipeline *p);

/* What went wrong last, in words, for people: "" when nothing did. Valid until the next call on p. */
const char *sluice_pipeline_error(const struct sluice_pipeline *p);
/* The stage that the error is about, or -1. */
int sluice_pipeline_error_stage(const struct sluice_pipeline *p);
int sluice_pipeline_stages(const struct sluice_pipeline *p);
int sluice_pipeline_links(const struct sluice_pipeline *p);
const char *sluice_pipeline_stage_name(const struct sluice_pipeline *p, int stage);
/* The two ends of a link. -EINVAL: no such link. */
int sluice_pipeline_link_ends(const struct sluice_pipeline *p, int link, int *ret_from, int *ret_to);
/* The link's mode: the planned one after build, the one it used after (and while) it ran. -EINVAL: no such link. */
int sluice_pipeline_link_mode(const struct sluice_pipeline *p, int link);
/* What a stage runs copies of (par): *ret is that pipeline, built, to be looked at by the calls above and by
 * sluice_pipeline_explain(), and freed; it cannot be started. Returns how many copies there are at most; 0, and *ret NULL, for
 * a stage that runs none. -EINVAL: no such stage; -ENOMEM. */
int sluice_pipeline_inside(const struct sluice_pipeline *p, int stage, struct sluice_pipeline **ret);
const char *sluice_link_mode_name(enum sluice_link_mode mode);
const char *sluice_driver_name(enum sluice_driver driver);
/* Why, in words: "splice: file to socket, through a 1 MiB pipe (...)". After a run: what it did. Like snprintf():
 * writes at most cap bytes, returns the length it would have. -EINVAL: no such link, or not built. */
int sluice_pipeline_explain(const struct sluice_pipeline *p, int link, char *buf, size_t cap);
/* The process group of the running commands, for job control; -ESRCH when there is none. */
pid_t sluice_pipeline_group(const struct sluice_pipeline *p);
/* The process of a command stage that runs now; -ESRCH. To look at, not to signal: it may end at any time. */
pid_t sluice_pipeline_stage_pid(const struct sluice_pipeline *p, int stage);
/* The signal that stopped the command of a stage, which is stopped now (Ctrl-Z, SIGTTIN); 0: it is not; -ESRCH: it does
 * not run. */
int sluice_pipeline_stage_stopped(const struct sluice_pipeline *p, int stage);
/* Whether a command of the run was handed the terminal. */
int sluice_pipeline_has_terminal(const struct sluice_pipeline *p);

/* ---- what happened ---- */

enum sluice_certainty { SLUICE_UNKNOWN, SLUICE_ESTIMATE, SLUICE_EXACT };

struct sluice_number {
        uint64_t value;
        enum sluice_certainty certainty;
};

struct sluice_stats {
        size_t size;
        enum sluice_link_mode mode;
        enum sluice_driver driver;          /* that moved it; AUTO where the engine moved nothing */
        struct sluice_number bytes;         /* delivered, in all */
        struct sluice_number bytes_direct;  /* ... of these by an fd that a process was handed */
        struct sluice_number bytes_piped;   /* ... by a pipe between two processes */
        struct sluice_number bytes_spliced; /* ... without entering userspace */
        struct sluice_number bytes_copied;  /* ... through a buffer of ours */
        uint64_t bytes_taken;               /* taken == delivered + inside, always */
        uint64_t bytes_inside;              /* at the end of a failed run: taken and never delivered */
        uint64_t ops_splice, ops_tee, ops_read, ops_write, ops_recv, ops_send, ops_poll;
        uint64_t ops_inline, ops_ring;   /* the same operations, by who did them */
        uint64_t ops_short, ops_retried; /* fewer bytes than asked for; asked again for no reason seen */
        uint64_t waits_upstream, waits_downstream;
        uint64_t pipe_bytes;     /* size of the link's pipe; 0: none */
        int64_t length;          /* expected bytes; -1: unknown */
        uint64_t position;       /* of a DIRECT file being read or written now; as `bytes` says */
        unsigned abandoned;      /* operations that could not be waited for */
        unsigned driver_changes; /* decisions of AUTO to go on the other way: `driver` is the last */
        uint64_t bytes_uncached; /* ... of `bytes`, past the page cache (SLUICE_FILE_DIRECT) */
};

/* Numbers of one link, while it runs or after. `size` of *ret must be set. -EINVAL: no such link, or never started. */
int sluice_pipeline_stats(const struct sluice_pipeline *p, int link, struct sluice_stats *ret);

struct sluice_failure {
        size_t size;
        int stage, link; /* index; -1: none */
        const char *stage_name;
        const char *operation;   /* "open", "splice", "exit", ... */
        int error;               /* negative errno; -ECHILD for a command's own failure */
        int exit_status;         /* of a command; -1: did not exit */
        int signal;              /* that ended it; 0: none */
        int inferred;            /* the cause was concluded, not seen (DIRECT links) */
        const char *message;     /* one line, for people */
        const char *stderr_tail; /* the last of what the command said; "" */
};

/* What became of one stage. */
enum sluice_verdict {
        SLUICE_VERDICT_NONE,  /* it never started, or runs */
        SLUICE_VERDICT_OK,    /* success */
        SLUICE_VERDICT_EARLY, /* it wanted no more input: success, and those that feed it are excused */
        SLUICE_VERDICT_PIPE,  /* a broken pipe ended it: whoever it wrote to had gone */
        SLUICE_VERDICT_ENDED, /* we ended it: cancel, deadline, fail-fast */
        SLUICE_VERDICT_FAILED,
};
struct sluice_stage_result {
        size_t size;
        enum sluice_verdict verdict;
        pid_t pid;          /* a command's; 0: never started */
        int known;          /* a command's status could be had; 0 too while it runs */
        int exit_status;    /* of a command; -1: did not exit */
        int signal;         /* that ended it; 0: none */
        int error;          /* the first error seen: negative errno; -ECHILD for what a command says of itself; 0: none */
        int last_error;     /* the last one; the same where there was one only */
        int excused;        /* its broken pipe is no failure: its reader had enough */
        int ignored;        /* its failure is none: sluice_pipeline_ignore() */
        int inferred;       /* the cause was concluded, not seen (DIRECT links) */
        int limit_exceeded; /* its memory limit */
        double cpu_s;       /* of a command, its own reaped children included */
        double wall_s;      /* from its start to its end */
        struct sluice_number peak_bytes; /* with a memory limit or SLUICE_COMMAND_OBSERVE_MEMORY: of it and its descendants */
        const char *operation;           /* of the first error; "" */
        const char *message;             /* "exit status 1", "killed by SIGTERM", ...; "" for none */
        const char *stderr_tail;         /* the last of what the command said; "" */
        struct {
                const char *name, *value;
        } reports[SLUICE_REPORTS_MAX]; /* what the stage had to say: checksums, counts; name NULL ends them */
};
/* The result of one stage of the last run, or what is known of it while it runs. `size` of *ret must be set.
 * Strings are valid until the next run or free. -EINVAL: no such stage, or never started. */
int sluice_pipeline_stage_result(const struct sluice_pipeline *p, int stage, struct sluice_stage_result *ret);
const char *sluice_verdict_name(enum sluice_verdict verdict);

/* The failures of the last run, the one that explains the others first. Returns their number; writes at most `cap`.
 * ret[i].size need not be set. Strings are valid until the next run or free. */
int sluice_pipeline_failures(const struct sluice_pipeline *p, struct sluice_failure *ret, size_t cap);

/* Wall and CPU seconds of the last run; CPU of children is what they had used when reaped. */
struct sluice_usage {
        size_t size;
        double wall_s, cpu_self_s, cpu_children_s;
        uint64_t ring_ops, waits, waits_for_ring, overflows;
        unsigned abandoned;
        enum sluice_contain contain; /* what was in use: never AUTO; NONE too for a run without commands */
        int guard;                   /* commands were children of a guard */
        unsigned strays;             /* 1: when every command had ended, something of theirs lived on and was ended */
        /* Of the pool that its loop takes buffers from, since it was made: see sluice_pool_stats(). */
        uint64_t pool_total_bytes, pool_lent_peak_bytes, pool_frees_local, pool_frees_remote;
        unsigned unbound;            /* pieces of memory, and threads, that could not be bound to the node they belong on */
        enum sluice_backend backend; /* of its loop; AUTO: nothing was moved that needed one or the other */
        int ring_error;              /* -errno with which the kernel refused io_uring; 0: it did not, or was not asked */
};
int sluice_pipeline_usage(const struct sluice_pipeline *p, struct sluice_usage *ret);
const char *sluice_backend_name(enum sluice_backend backend); /* "auto", "uring", "epoll" */
const char *sluice_contain_name(enum sluice_contain contain);

/* ---- loops: many pipelines on one thread ---- */

struct sluice_loop_options {
        size_t size;
        int exclusive;            /* the thread serves this loop alone: short blocking calls may be made inline, and a turn that
                                   * moved bytes between fds may wait for more before it returns. One that has SIGPIPE and
                                   * SIGXFSZ blocked at its first turn keeps them so: turns are cheaper */
        struct sluice_pool *pool; /* its buffers are of 256 KiB at least; a reference is taken. NULL: a pool of its own */
        int numa;                 /* SLUICE_NUMA_...: where its thread, its own pool and the kernel's workers belong. An explicit
                                   * node binds the thread of the first turn, and what is started from it, to the node's CPUs
                                   * until the loop is freed */
        enum sluice_backend backend;
        unsigned spread_nr, spread_index; /* it is number `index` of `nr` loops, each on a thread of its own, which is bound to a
                                           * CPU: as far from each other as hwloc knows. nr 0: not bound. Not with an explicit
                                           * node (-EINVAL) */
};

/* Errors: -ENOMEM, -EMFILE; -EINVAL (size, unknown backend, a pool of smaller buffers, no such part), and those of `numa` as sluice_pool_new() has them. */
int sluice_loop_new(struct sluice_loop **ret, const struct sluice_loop_options *opt);
/* Every pipeline on it must have ended. NULL is allowed. */
void sluice_loop_free(struct sluice_loop *l);
/* Runs what is ready, then waits at most timeout_ms (-1: for ever) for more, and dispatches it.
 * 1: something happened, 0: nothing did. Errors: -EXDEV, -ECHILD, -EDEADLK (from inside a callback), or the ring's. */
int sluice_loop_turn(struct sluice_loop *l, int timeout_ms);
/* Readable when a turn has work: for a host with a loop of its own. Loop's thread. The loop's to close. */
int sluice_loop_fd(struct sluice_loop *l);
/* Runs fn(arg) in a turn. Any thread. -ENOMEM. */
typedef void sluice_task_fn(void *arg);
int sluice_loop_post(struct sluice_loop *l, sluice_task_fn *fn, void *arg);
/* Ends a wait. Any thread, any signal handler. */
void sluice_loop_wake(struct sluice_loop *l);

/* ---- cancel tokens: fire once, stick, broadcast ---- */

/* Errors: -ENOMEM, -EMFILE. */
int sluice_cancel_new(struct sluice_cancel **ret);
/* Every run that names it ends with -ECANCELED. Any thread, any signal handler; again is harmless. */
void sluice_cancel_fire(struct sluice_cancel *c);
int sluice_cancel_fired(const struct sluice_cancel *c);
/* End of file on `fd` fires it, while a run that names the token lasts: a liveness token, since whoever holds the other
 * end of a pipe lets go of it however he ends. What arrives is read and discarded. A private duplicate is used, the fd is
 * the caller's to close. Not while a run that names it is under way. Errors: -EBADF, -EMFILE, -EEXIST (it has one). */
int sluice_cancel_on_fd_eof(struct sluice_cancel *c, int fd);
/* The last reference frees; runs hold their own. NULL is allowed. */
void sluice_cancel_unref(struct sluice_cancel *c);

/* ---- plans: a built shape, run many times ---- */

/* What is different in one run: the configuration of one stage. */
struct sluice_binding {
        int stage;
        const void *config;
};

/* Holds the pipeline's frozen shape, whatever becomes of p. Errors: as build; -ENOMEM. */
int sluice_plan_new(struct sluice_plan **ret, struct sluice_pipeline *p);
/* Starts a run of its own; several may run at once. Configurations are copied as add() does.
 * Errors: -EINVAL (no such stage), -ENOMEM. */
int sluice_plan_start(struct sluice_plan *pl, struct sluice_loop *l, const struct sluice_binding *b, size_t n, sluice_done_fn *done,
                      void *arg);
/* The last one frees it; NULL is allowed. Of one thread at a time, as everything. */
struct sluice_plan *sluice_plan_ref(struct sluice_plan *pl);
void sluice_plan_free(struct sluice_plan *pl);

/* ---- one range, fd to fd ---- */

struct sluice_transfer {
        size_t size;
        int from, to;                   /* borrowed until done */
        int64_t offset_from, offset_to; /* -1: the fd's own position */
        int64_t length;                 /* -1: until the end */
        enum sluice_driver driver;
        int64_t timeout_ms;
        struct sluice_cancel *cancel;
};

/* `done` gets the bytes moved, or a negative errno. Errors: -EINVAL, -ENOMEM. Loop's thread. What a worker of the ring moved
 * the kernel may hold until the loop's next turn (seen on 6.18: a worker gives its last reference back by a task of the ring's
 * thread): a host that closes a socket then, and turns the loop no more, keeps its peer waiting for the end. */
typedef void sluice_transfer_fn(void *arg, int64_t result);
int sluice_transfer(struct sluice_loop *l, const struct sluice_transfer *t, sluice_transfer_fn *done, void *arg);

/* ---- memory: pools of reference-counted buffers ---- */

/* Where memory comes from on a machine with several NUMA nodes, and where the threads of a loop belong. */
enum {
        SLUICE_NUMA_AUTO = 0, /* memory of the node whose CPU asks, then of the next nearest; threads stay where they are */
        SLUICE_NUMA_OFF = -1, /* wherever the kernel puts it */
};
#define SLUICE_NUMA_NODE(n) ((n) + 1) /* memory of that node alone; a loop's thread is bound to its CPUs */

struct sluice_pool_options {
        size_t size;
        uint64_t budget_bytes; /* that can be out at one time; 0: 1 GiB. Taken from the kernel as it is needed */
        size_t buffer_bytes;   /* a power of two, 4 KiB to 2 MiB; 0: 256 KiB */
        int numa;              /* SLUICE_NUMA_... */
};

/* A pool; one reference, the caller's. Errors: -ENOMEM; -EINVAL (a size that is not allowed, a budget of less than a buffer);
 * for SLUICE_NUMA_NODE() -ENODEV (no such node), -EACCES (a cpuset keeps it from this process), -EADDRNOTAVAIL (it has no
 * memory). */
int sluice_pool_new(struct sluice_pool **ret, const struct sluice_pool_options *opt);
/* Buffers that are still out keep its memory until they are put. Nobody may be waiting. Any thread; NULL is allowed. */
void sluice_pool_unref(struct sluice_pool *p);

/* A buffer, page-aligned, of the pool's size, with the bytes of whoever had it before. One reference, the caller's. Any
 * thread. -ENOBUFS: all of the budget is out or promised, or somebody waits who came first. -ENOMEM. */
int sluice_pool_get(struct sluice_pool *p, struct sluice_buffer **ret);

/* For who waits until there is one: first come, first served, and no get overtakes. */
struct sluice_pool_waiter {
        size_t size;
        /* w->buffer is yours (NULL: -ENOMEM). Once, on the thread that gave it back, which is inside the pool: it may call
         * sluice_loop_post(), and must not call the pool. */
        void (*granted)(struct sluice_pool_waiter *w);
        void *arg;
        struct sluice_buffer *buffer;
        uintptr_t inside[8]; /* the pool's */
};
/* `w` must stay until it is granted or cancelled. 1: w->buffer is yours, and granted() is not called; 0: it waits.
 * Errors: -EINVAL (size, no function), -ENOMEM. Any thread. */
int sluice_pool_wait(struct sluice_pool *p, struct sluice_pool_waiter *w);
/* 1: it waited, and is not called any more; 0: it was granted, the call has returned, w->buffer is yours. Any thread. */
int sluice_pool_wait_cancel(struct sluice_pool *p, struct sluice_pool_waiter *w);

/* Another reference: one buffer can go to several readers, on several threads. Returns b. Any thread that holds one. */
struct sluice_buffer *sluice_buffer_ref(struct sluice_buffer *b);
/* Gives up a reference; with the last the buffer goes back. Any thread; NULL is allowed. */
void sluice_buffer_put(struct sluice_buffer *b);
void *sluice_buffer_data(struct sluice_buffer *b);
size_t sluice_buffer_bytes(const struct sluice_buffer *b);

struct sluice_pool_stats {
        size_t size;
        uint64_t budget_bytes;
        uint64_t total_bytes;                             /* taken from the kernel: free + lent + in_kernel, always */
        uint64_t free_bytes, lent_bytes, in_kernel_bytes; /* in_kernel: an operation reads or writes it now */
        uint64_t lent_peak_bytes;                         /* at most this was out at one time; with what lay in threads' caches */
        uint64_t reserved_bytes;                          /* promised: to runs, to buffers that are out, to caches */
        uint64_t huge_bytes, thp_bytes, plain_bytes;      /* of the total: 2 MiB pages reserved, asked for; ordinary pages */
        uint64_t gets, cache_hits;                        /* in all; answered by the thread's own cache */
        uint64_t frees_local, frees_remote;               /* given back on the node it is of; on another */
        unsigned nodes;                                   /* that it takes memory from; 0: none was asked for yet */
        unsigned unbound;                                 /* pieces of memory that could not be bound to their node */
        unsigned waiters;
};
/* `size` of *ret must be set, else -EINVAL. Any thread; it waits for every other that is inside the pool. */
int sluice_pool_stats(struct sluice_pool *p, struct sluice_pool_stats *ret);

/* ---- the machine ---- */

/* The process-wide budget of pipe memory, in bytes: a quarter of the user's soft quota unless set; no limit for those
 * the quota exempts. Any thread; before the first run. */
void sluice_pipe_budget(size_t bytes);

/* One finding of `sluice doctor`. */
enum sluice_health { SLUICE_GOOD, SLUICE_NOTE, SLUICE_AMISS };
struct sluice_finding {
        const char *subject, *value, *cure; /* cure: "" when nothing is amiss */
        enum sluice_health health;
};
/* Asks the kernel and its limits everything, and calls fn for each answer; strings are valid in the call. Any thread. */
typedef void sluice_finding_fn(void *arg, const struct sluice_finding *f);
void sluice_doctor(sluice_finding_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
