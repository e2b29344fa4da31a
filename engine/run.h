/* engine/run.h: one run of a plan: its stages, links and children, and the order of effects.
 *
 *   OPENING     every stage opens at once; nothing is destroyed yet (file:missing | file:precious leaves precious)
 *      |        all open: each link is confirmed on what the fds really are; it may only go down
 *   COMMITTING  now old contents may go (truncate)
 *      |
 *   STARTING    pipes are made, commands started one by one, each fd closed here as soon as its process has it
 *      |
 *   MOVING      links move; children run; a stage whose input has ended drains (fsync, shutdown, rename)
 *      |
 *   CLOSING     every stage is closed, exactly once, after the last completion that concerns it
 *      |
 *   DONE        the result is known; nothing in the kernel names anything of the run
 *
 * From any phase, a failure, the deadline or a cancel leads to CLOSING by way of run->stopping: calls and links are
 * cancelled, children ended (TERM, grace, KILL), and only their own completions let it go on. */
#ifndef SLUICE_ENGINE_RUN_H
#define SLUICE_ENGINE_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/sluice.h>

#include "backend.h"
#include "driver.h"
#include "link.h"
#include "list.h"
#include "plan.h"
#include "spawn.h"

enum { STDERR_TAIL_BYTES = 4096, STDERR_LATE_BYTES = 1 << 20, NOTE_BYTES = 256, MESSAGE_BYTES = 512 };

/* ---- failures ---- */

/* Which failures explain others: a lower class wins; in a class the earliest stage. */
enum failure_class { FAILURE_ENGINE, FAILURE_COMMAND, FAILURE_PIPE };

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

struct child {
        enum child_state state;
        struct spawn spec;
        struct sluice_command command;
        pid_t pid;
        struct slot *pidfd;
        struct op *exit_op, *spawn_op;
        bool reaped, leader; /* the group's leader is reaped last: its number must not be reused before */
        struct child_status status;
        double cpu_s;

        struct slot *fds[3]; /* what it will inherit; let go once it has them */
        struct slot *stderr_read;
        struct op *stderr_op;
        char *tail;          /* STDERR_TAIL_BYTES, a ring */
        uint64_t tail_bytes; /* ever said */
        uint64_t late_bytes; /* read after it had exited */
        bool stderr_deaf;    /* ours takes no more */
        bool reader_held;    /* ended by SIGPIPE while the reader of its output still had the pipe */
};

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
        struct list fds;   /* struct ctx_fd, the engine's to close */

        const char *note_operation;
        char note[NOTE_BYTES];

        /* results of calls */
        char *found;
        struct addrinfo *addresses;

        struct child child;
        /* functions */
        bool in_end, in_end_told, function_done;
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
};

/* Whatever was planned: from here on its bytes go through a buffer, and it says so. */
static inline void run_link_is_copied(struct run_link *l)
{
        l->mode = l->words.mode = SLUICE_LINK_CROSS;
}

enum run_phase { RUN_NEW, RUN_OPENING, RUN_COMMITTING, RUN_STARTING, RUN_MOVING, RUN_CLOSING, RUN_DONE };

struct run {
        struct list node; /* in the loop's advance list */
        struct sluice_loop *loop;
        struct sluice_plan *plan;
        enum run_phase phase;
        struct sluice_ctx *stages;
        struct run_link *links;

        bool stopping; /* on its way to CLOSING */
        bool cancelled, timed_out;
        int kill_step; /* 0 none, 1 TERM sent, 2 KILL sent, 3 operations abandoned */
        struct op *deadline_op, *grace_op, *cancel_op;
        struct slot *cancel_fd;
        struct failure *failures; /* in order of appearance */
        unsigned late_ops;        /* calls without callback, still under way */

        pid_t group;
        bool terminal_taken;
        int terminal_fd;
        size_t next_spawn;

        int result;
        uint64_t started_ns, ended_ns;
        double cpu_start_s, cpu_self_s, cpu_children_s;
        unsigned abandoned;
        struct backend_counts counts_start, counts_end;

        sluice_done_fn *done;
        void *arg;
        bool done_called;
        bool free_when_done;
};

int run_new(struct run **ret, struct sluice_plan *plan, struct sluice_loop *loop, const struct sluice_binding *b, size_t n);
void run_start(struct run *r, sluice_done_fn *done, void *arg);
/* From the loop: something happened. */
void run_advance(struct run *r);
void run_stop(struct run *r);
void run_free(struct run *r);

/* Between the files of a run: */
void run_wake(struct run *r);                    /* look at it in this turn */
void run_fail(struct run *r, struct failure *f); /* takes f; an engine failure stops the run */
struct failure *failure_new(struct run *r, enum failure_class c, int stage, int link, int error, const char *operation,
                            const char *format, ...) __attribute__((format(printf, 7, 8)));
void stage_fail(struct sluice_ctx *c, int error, const char *operation); /* with the stage's note */
void failures_free(struct run *r);
struct failure *failures_first(const struct run *r); /* the one that explains the others */
int failures_result(const struct run *r);

/* wire.c */
bool wire_confirm(struct run *r); /* false: failed */
bool wire_links(struct run *r);
void wire_start_links(struct run *r);

/* child.c */
void child_spawn_next(struct run *r);
void children_signal(struct run *r, int signal);
void children_reap(struct run *r);
bool children_running(const struct run *r);
bool stage_upstream_exited(const struct run *r, int stage);
bool stage_upstream_failed(const struct run *r, int stage);
void child_stderr_finish(struct sluice_ctx *c);
void child_stderr_abandon(struct sluice_ctx *c);
char *child_tail(const struct child *c);
void child_fini(struct sluice_ctx *c);
void child_judge(struct run *r);

/* ctx.c */
void ctx_cancel_calls(struct sluice_ctx *c);
void ctx_abandon_calls(struct sluice_ctx *c);
bool ctx_has_calls(const struct sluice_ctx *c);
void ctx_fini(struct sluice_ctx *c);
struct slot *ctx_slot(struct sluice_ctx *c, int fd); /* NULL: not the engine's */
void ctx_forget_fd(struct sluice_ctx *c, int fd);

/* function.c */
bool function_step(struct sluice_ctx *c);

/* meter.c */
void meter_read(struct run_link *l);

#endif
