/* engine/run.h: one run of a plan: its stages, links and children, and the order of effects.
 *
 *   OPENING     when there is memory for its buffers (admit.c) every stage opens at once; nothing is destroyed yet
 *      |        (file:missing | file:precious leaves precious)
 *      |        all open: each link is confirmed on what the fds really are; it may only go down
 *   COMMITTING  now old contents may go (truncate)
 *      |
 *   STARTING    pipes are made, commands started one by one, each fd closed here as soon as its process has it
 *      |
 *   MOVING      links move; children run; a stage whose input has ended drains (fsync, shutdown, rename)
 *      |
 *   SETTLING    all is done, but commands may have left something behind: it is ended (TERM, grace, KILL)
 *      |
 *   CLOSING     every stage is closed, exactly once, after the last completion that concerns it
 *      |
 *   DONE        the result is known; nothing in the kernel names anything of the run
 *
 * From any phase, a failure, the deadline or a cancel leads to CLOSING by way of run->stopping: calls and links are
 * cancelled, children and all that descends from them ended (TERM, grace, KILL: end.c), and only their own completions,
 * and the proof that nothing of them lives (contain.c), let it go on. */
#ifndef SLUICE_ENGINE_RUN_H
#define SLUICE_ENGINE_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/sluice.h>

#include "backend.h"
#include "contain.h"
#include "driver.h"
#include "environ.h"
#include "ids.h"
#include "link.h"
#include "list.h"
#include "plan.h"
#include "pool.h"
#include "rank.h"
#include "spawn.h"
#include "words.h"

enum {
        STDERR_TAIL_BYTES = 4096, /* kept, unless asked otherwise */
        STDERR_LATE_BYTES = 1 << 20,
        NOTE_BYTES = 256,
        MESSAGE_BYTES = 512,
        WHY_BYTES = 160,
};

/* ---- failures ---- */

/* Which failures explain others: a lower class wins (rank.h says which in a class). */
enum failure_class {
        FAILURE_ENGINE, /* seen by the engine at an end: a full disk, a refused connection */
        FAILURE_AGENT,  /* what a command or a function says of itself */
        FAILURE_PIPE,   /* a broken pipe: an effect */
};

struct failure {
        struct failure *next;
        enum failure_class class;
        int stage, link, error, exit_status, signal;
        bool inferred;
        const char *operation;
        char message[MESSAGE_BYTES];
        char *stderr_tail;
};

/* ---- children ---- */

enum child_state { CHILD_NONE, CHILD_STARTING, CHILD_RUNNING, CHILD_EXITED };

/* What its options named, looked up and opened before anything starts (prepare.c). */
struct prepared {
        const struct sluice_command_options *options; /* NULL: none */
        struct sluice_environ environ;
        char *const *env;                           /* what it starts with */
        int directory, cgroup, stderr_file, object; /* fds of the stage's; -1 */
        struct spawn_fd extra[SPAWN_EXTRA_MAX];
        struct spawn_rlimit rlimits[SPAWN_RLIMITS_MAX];
        struct ids *ids;    /* NULL: the host's */
        const char *name;   /* of the program; of the object that has `symbol`; NULL: there is none */
        const char *symbol; /* NULL: a program */
        sluice_then_fn *then;
        int step;
        bool finds, waits; /* it looks for its program; another does so for it */
};

/* Memory of a command and its descendants (memory.c). */
struct watched {
        struct list node;     /* in the loop's list while it is sampled */
        struct cgroup cgroup; /* of its own, where there are cgroups */
        uint64_t limit_bytes, peak_bytes;
        unsigned samples;
        bool on, exceeded, exact;
        bool by_kernel; /* the memory controller counts and limits */
};

struct child {
        struct sluice_ctx *ctx; /* whose it is */
        enum child_state state;
        struct spawn spec;
        struct prepared prep;
        struct sluice_command command;
        pid_t pid;
        struct slot *pidfd;
        struct op *exit_op, *spawn_op;
        bool reaped, leader; /* the group's leader is reaped last: its number must not be reused before */
        bool begun;          /* STARTING: it has a pid, and is to be confirmed */
        bool by_guard;       /* the guard is its parent, and tells of its end */
        bool early_exit;     /* ... and did so before we heard that it had started */
        int stopped_by;      /* by_guard: the signal that stopped it; 0: it is not stopped */
        struct child_status status;
        double cpu_s;
        uint64_t started_ns, ended_ns;
        struct watched memory;
        struct thread *thread;  /* of a stage that runs on a thread of ours, while it does */
        uint64_t long_line;     /* ... and when it ended: the line that was too long for it; 0: none */
        struct worker *worker;  /* of a function in a process of its own */
        bool returned, refused; /* ... which has returned; which could not be loaded */
        int result;             /* what the function returned, there or on its thread */
        bool told_to_end;       /* it lived when we sent SIGTERM or SIGKILL: how it ends then is our doing */

        struct slot *fds[3]; /* what it will inherit; let go once it has them */
        struct slot *stderr_read;
        struct op *stderr_op;
        char *tail; /* a ring of tail_cap bytes */
        size_t tail_cap;
        uint64_t tail_bytes; /* ever said */
        uint64_t late_bytes; /* read after it had exited */
        bool stderr_deaf;    /* ours takes no more */
        bool stderr_forward;
        bool reader_held; /* ended by SIGPIPE while the reader of its output still had the pipe */
};

/* Itself, or a shell that tells of a command of its own. */
static inline bool child_ended_by_pipe(const struct child *ch)
{
        return ch->status.signal == SIGPIPE || (ch->status.signal == 0 && ch->status.exit_status == 128 + SIGPIPE && !ch->worker);
}

/* ---- stages ---- */

enum stage_state {
        STAGE_NEW,
        STAGE_OPENING,
        STAGE_OPEN,
        STAGE_COMMITTING,
        STAGE_COMMITTED,
        STAGE_DRAINING,
        STAGE_DRAINED,
        STAGE_CLOSED,
};

/* What is known of a stage's end; judge.c fills in the verdict. */
struct stage_outcome {
        enum sluice_verdict verdict;
        int error, last_error;   /* the first and the last that was seen */
        int exit_status, signal; /* of a command in a part of it; -1, 0: none */
        bool early;              /* a function that wanted no more */
        bool cut_short;          /* a function whose output was not all taken */
        bool ended;              /* a function that we ended */
        bool excused, ignored, inferred;
        unsigned order; /* of its first failure among all of the run; 0: none */
        const char *operation;
        char *message; /* MESSAGE_BYTES */
        char *why;     /* WHY_BYTES; a command's: what was found at the end that it was lent */
        char *tail;    /* what a command said last, as text */
};

/* What a stage says of itself (sluice_ctx_report). */
struct report {
        const char *name;
        char *value;
};

struct sluice_ctx {
        struct run *run;
        const struct stage_def *def;
        const void *config; /* def->config, or this run's own */
        bool own_config;
        int index;
        void *self;
        enum stage_state state;
        bool opened;       /* open() was called: close() must be */
        struct list calls; /* struct call, under way */
        struct list parts; /* struct part: runs that are part of this one (nested.c) */
        struct list fds;   /* struct ctx_fd, the engine's to close */

        const char *note_operation;
        char *note; /* NOTE_BYTES */

        /* results of calls */
        char *found;
        struct addrinfo *addresses;
        size_t pipe_bytes; /* budget held by pipes of its own */

        struct child *child; /* of a stage that is no command: one that never was, and is only read */
        struct stage_outcome outcome;
        struct report *reports; /* SLUICE_REPORTS_MAX; NULL: it has none */
        /* functions */
        bool function_done;
        unsigned input;             /* which input process() was given last */
        int want;                   /* ... and which alone it wants; -1: any */
        struct sluice_buf *calling; /* process() runs: its input */
        size_t forward_bytes;       /* ... and has passed so many of it on */
        bool function_waits;        /* it said -EAGAIN, and will say when it has something to do */
        bool asked;                 /* it said so: it is called also without input */
        bool kicked;                /* ... by the run, since no link of it steps any more */
};

/* ---- links ---- */

struct run_link {
        struct link link;
        struct run *run;
        const struct link_plan *plan;
        enum sluice_link_mode mode; /* confirmed */
        struct link_words words;
        const char *driver_reason;
        bool driven; /* the engine moves it */
        bool ended;
        int64_t length;               /* expected, -1 unknown */
        uint64_t pipe_inode;          /* PIPE: which pipe it is */
        size_t process_pipe_bytes;    /* budget held by a pipe between processes */
        struct slot *meter;           /* DIRECT: a regular file whose position tells */
        struct sluice_number metered; /* last reading */
        uint64_t meter_start;
        bool writes; /* DIRECT: the process writes the file */
        /* a function at one of its ends */
        bool in_end, in_end_told; /* all it carried was delivered; the reader was told */
        bool flush;               /* its source has nothing more for now: the reader is to be told */
        bool output_gone;         /* nobody takes what the writer gives */
        struct slot *kept;        /* our end of a child's output, closed after it is dead: it dies of KILL, not of PIPE */
};

/* Whatever was planned: from here on its bytes go through a buffer, and it says so. */
static inline void run_link_is_copied(struct run_link *l)
{
        l->mode = l->words.mode = SLUICE_LINK_CROSS;
}

/* What a run says of its backend (sluice_pipeline_usage). */
struct run_counts {
        uint64_t ring_ops, waits, waits_for_ring, overflows;
};

enum admission { ADMISSION_NONE, ADMISSION_WAITING, ADMISSION_OPEN };
enum run_phase { RUN_NEW, RUN_OPENING, RUN_COMMITTING, RUN_STARTING, RUN_MOVING, RUN_SETTLING, RUN_CLOSING, RUN_DONE };

struct run {
        struct list node; /* in the loop's advance list */
        struct sluice_loop *loop;
        struct sluice_plan *plan;
        struct run *outer; /* whose part it is; NULL: nobody's */
        enum admission admission;
        struct admit_wait *admit_wait; /* WAITING, or NULL */
        uint64_t reserved_bytes;
        const struct sluice_options *opt; /* the plan's, or ... */
        struct sluice_options *inherited; /* ... a nested run's own: those of the run around it. What they point to is borrowed */
        enum run_phase phase;
        struct sluice_ctx *stages;
        struct run_link *links;

        bool began;    /* something of it was started */
        bool stopping; /* on its way to CLOSING */
        bool cancelled, timed_out, failed_fast;
        int kill_step;      /* 0 none, 1 TERM sent, 2 KILL sent, 3 what is left is abandoned */
        uint64_t killed_ns; /* when SIGKILL was sent first; 0: it was not */
        struct op *deadline_op, *grace_op, *settle_op, *cancel_op, *alive_op;
        struct slot *cancel_fd, *alive_fd; /* alive: end of file on it cancels */
        struct contain contain;
        struct failure *failures; /* in order of appearance */
        unsigned failures_nr;
        struct rank_stage *ranks; /* one for each stage: judge()'s */
        int explains;             /* the stage whose failure explains the others; -1 */

        pid_t group;
        bool has_leader; /* a command that leads the group was begun */
        bool terminal_taken;
        int terminal_fd;
        size_t next_spawn;

        int result;
        uint64_t started_ns, ended_ns;
        double cpu_start_s, cpu_self_s, cpu_children_s;
        unsigned abandoned;
        struct run_counts counts_start, counts_end;
        enum backend_kind backend_end; /* what the loop had come to by the end, and ... */
        int ring_error;                /* ... with what the kernel refused the other */
        struct pool_counts pool_end;

        sluice_done_fn *done;
        void *arg;
        bool free_when_done;
};

/* Whether a process' or a thread's end of that link (-1: none) is a pipe that we made for it. */
static inline bool run_link_is_our_pipe(const struct run *r, int link)
{
        return link >= 0 && r->links[link].mode != SLUICE_LINK_DIRECT;
}

int run_new(struct run **ret, struct sluice_plan *plan, struct sluice_loop *loop, const struct sluice_binding *b, size_t n);
/* For a part of a run: its options, before the start. -ENOMEM. */
int run_inherit(struct run *r, struct run *outer);
void run_start(struct run *r, sluice_done_fn *done, void *arg);
/* From the loop: something happened. */
void run_advance(struct run *r);
void run_stop(struct run *r);
void run_free(struct run *r);

/* Between the files of a run: */
void run_wake(struct run *r);                    /* look at it in this turn */
void run_fail(struct run *r, struct failure *f); /* takes f; an engine failure stops the run */
void run_begin_closing(struct run *r);
void run_may_fail_fast(struct sluice_ctx *c); /* a stage has ended */
struct failure *failure_new(struct run *r, enum failure_class c, int stage, int link, int error, const char *operation,
                            const char *format, ...) __attribute__((format(printf, 7, 8)));
void stage_fail(struct sluice_ctx *c, int error, const char *operation); /* with the stage's note */
bool stage_is_strict(const struct sluice_ctx *c); /* one of several branches, and its failure ends the others */
void failures_free(struct run *r);
struct failure *failures_first(const struct run *r); /* the one that explains the others */
int failures_result(const struct run *r);

/* wire.c */
int stage_fd(struct sluice_ctx *c, enum sluice_direction dir, unsigned branch);
bool wire_confirm(struct run *r); /* false: failed */
bool wire_links(struct run *r);
void wire_start_links(struct run *r);

/* child.c */
bool is_command(const struct sluice_ctx *c);
int child_init(struct sluice_ctx *c);
void child_free(struct sluice_ctx *c);
void child_spawn_next(struct run *r);
void child_ended(struct sluice_ctx *c, const struct child_status *status); /* its end was seen, by whom ever */
void child_watch(struct sluice_ctx *c);                                    /* ... by us: its guard has gone */
void children_reap(struct run *r);
bool children_running(const struct run *r);
bool any_child_alive(const struct run *r);
bool stage_upstream_exited(const struct run *r, int stage);
void child_fini(struct sluice_ctx *c);

/* said.c: what commands say on stderr */
int said_open(struct sluice_ctx *c);
void said_pump(struct sluice_ctx *c);
void said_close(struct sluice_ctx *c);
void said_finish(struct sluice_ctx *c);
void said_abandon(struct sluice_ctx *c);
char *said_text(const struct child *c);

/* end.c: the ways to an end */
void end_signal(struct run *r, int signal);
void end_settle(struct run *r); /* everything is over: is anything left? */
int end_watch_cancel(struct run *r);
int end_watch_deadline(struct run *r);
void end_cancel_watches(struct run *r);
bool end_is_quiet(const struct run *r);

/* judge.c */
void judge(struct run *r);         /* every stage's verdict, as far as it is known */
void judge_finally(struct run *r); /* ... and the failures that follow from them, and their events */
bool judge_upstream_failed(struct run *r, int stage);
bool judge_ignores(const struct sluice_ctx *c);
bool judge_has_failure(struct run *r); /* one that is nobody's effect: for fail-fast */
void stage_saw(struct sluice_ctx *c, int error, const char *operation);

/* thread.c: stages that run on a thread of their own are children too */
bool is_thread(const struct sluice_ctx *c);
int thread_start(struct sluice_ctx *c);
void threads_mark(struct run *r); /* before the first of them is cancelled */
void thread_cancel(struct sluice_ctx *c);
void thread_fini(struct sluice_ctx *c);

/* worker.c: functions in processes of their own are commands too */
bool is_function_process(const struct sluice_ctx *c);
bool has_returned(const struct sluice_ctx *c); /* from its function, there or on a thread: the result is its verdict */
int function_result(int returned);             /* no errno: -EPROTO */
int worker_begin(struct sluice_ctx *c);        /* its start is described: what a function needs is added */
int worker_fork(struct sluice_ctx *c);
void worker_started(struct sluice_ctx *c);
void worker_ended(struct sluice_ctx *c);
void worker_fini(struct sluice_ctx *c);

/* event.c */
void event_send(struct run *r, const struct sluice_event *e);

/* memory.c */
int memory_begin(struct sluice_ctx *c); /* before its start */
void memory_started(struct sluice_ctx *c);
void memory_finish(struct sluice_ctx *c);
void memory_stop(struct sluice_ctx *c);
bool memory_is_watched(const struct sluice_ctx *c);

/* prepare.c */
int prepared_commit(struct sluice_ctx *c); /* 0, or -EINPROGRESS and then the stage is committed */
void prepared_fini(struct prepared *p);

/* ctx.c */
void ctx_cancel_calls(struct sluice_ctx *c);
void ctx_abandon_calls(struct sluice_ctx *c);
bool ctx_has_calls(const struct sluice_ctx *c);
void ctx_fini(struct sluice_ctx *c);
struct slot *ctx_slot(struct sluice_ctx *c, int fd); /* NULL: not the engine's */
void ctx_forget_fd(struct sluice_ctx *c, int fd);
int ctx_find(struct sluice_ctx *c, const char *command, const char *path, int directory, sluice_then_fn *then);
int ctx_symbol(struct sluice_ctx *c, int fd, const char *name, sluice_then_fn *then);
int ctx_ids(struct sluice_ctx *c, const char *user, const char *group, struct ids *ret, sluice_then_fn *then);

/* function.c */
bool function_step(struct sluice_ctx *c);
bool is_function(const struct sluice_ctx *c);
void function_kick(struct sluice_ctx *c);
void function_cut_short(struct sluice_ctx *c, struct run_link *after); /* nobody takes that output any more */

void functions_kicked(struct run *r);

/* admit.c: memory */
void admit_begin(struct run *r);
void admit_cancel(struct run *r);
bool admit_is_waiting(const struct run *r);
void admit_end(struct run *r);
void run_open_stages(struct run *r);

/* nested.c */
bool nested_under_way(const struct run *r);
void nested_cancel(struct sluice_ctx *c);

/* meter.c */
void meter_read(struct run_link *l);

#endif
