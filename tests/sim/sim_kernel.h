/* tests/sim/sim_kernel.h: a kernel that is a model: virtual time, one seeded generator, and the quirks that kill engines.
 *
 *      struct sim          one kernel: time, chance, the engine's fd table, workers, what must be given back
 *      struct sim_desc     an open file description: what an fd number leads to, shared by duplicates
 *      struct sim_pipe     slots that hold references to pages; merge, capacity, and a lock that a blocked splice keeps
 *      struct sim_socket   one end of a stream: fragments on their way to it, FIN, RST, half-close
 *      struct sim_inode    a file: pages that pipes may share
 *      struct sim_task     whatever is not the engine: a process it started, or the peer at the far end of an fd
 *      struct sim_op       an operation of the engine's in this kernel
 *
 * Nothing in here waits: a call that would wait says -EAGAIN, and whoever made it (a task, a worker) is asked again when the
 * kernel has changed. What may run next is chosen in sim_schedule.c, the one place where chance, or an enumeration, decides that.
 *
 * A law that is broken ends the process by sim_fail(), which says how to see it again. */
#ifndef SLUICE_TESTS_SIM_KERNEL_H
#define SLUICE_TESTS_SIM_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "backend.h"

/* ---- what may go wrong ---- */

enum sim_fault {
        SIM_SHORT,   /* fewer bytes than there could be */
        SIM_AGAIN,   /* EAGAIN though something could have moved */
        SIM_EINTR,   /* a signal came by */
        SIM_DELAY,   /* completions take their time; storage more of it */
        SIM_REORDER, /* ... and overtake each other */
        SIM_STALE,   /* readiness that is no longer true, or never was */
        SIM_LEAK,    /* -512 out of a cancelled worker, as 6.18 does it; else -EINTR */
        SIM_QUOTA,   /* small pipes */
        SIM_REFUSE,  /* EINVAL from splice: this fd, now, is not one to splice */
        SIM_WORKERS, /* one worker for everything */
        SIM_NOFILE,  /* no pipe is to be had */
        SIM_NOSPACE, /* the disk is full */
        SIM_EIO,     /* storage fails */
        SIM_RESET,   /* a peer resets its connection */
        SIM_CANCEL,  /* the host cancels */
        SIM_CRASH,   /* a process is killed */
        SIM_EARLY,   /* a reader has enough */
        SIM_LOCK,    /* a process keeps a pipe's lock while it waits */
        SIM_FAULTS,
};
/* After one of these a run may fail; after the others it must not. */
enum {
        SIM_HARD = 1 << SIM_NOFILE | 1 << SIM_NOSPACE | 1 << SIM_EIO | 1 << SIM_RESET | 1 << SIM_CANCEL | 1 << SIM_CRASH |
                   1 << SIM_EARLY
};

const char *sim_fault_name(enum sim_fault f);

/* ---- rules that the mutation test breaks, one at a time: each must be noticed ---- */

enum sim_mutation {
        SIM_RIGHT,
        SIM_BAD_TEE_CONSUMES,    /* tee takes the bytes away */
        SIM_BAD_SLOTS_ARE_BYTES, /* a pipe is full by bytes, not by slots */
        SIM_BAD_NO_MERGE,        /* a small write takes a slot of its own */
        SIM_BAD_EOF_BEFORE_FULL, /* the end is said though the pipe is full */
        SIM_BAD_SNAPSHOT,        /* a splice from a file copies */
        SIM_BAD_APPEND_SPLICES,  /* an O_APPEND file can be spliced to */
        SIM_BAD_SHORT_DROPS,     /* what a full disk did not take is lost */
        SIM_BAD_HUP_IS_IN,       /* an empty pipe without a writer is readable */
        SIM_BAD_CANCEL_RUNNING,  /* a cancelled worker's operation ends with -ECANCELED */
        SIM_BAD_LOCK_IS_DROPPED, /* a blocked splice lets the pipe's lock go */
        SIM_BAD_FRAGMENTS_JOIN,  /* small fragments of a socket share a slot */
        SIM_BAD_RESET_LOSES,     /* what came before a reset is lost */
        SIM_BAD_LATE_OPTIONS,    /* a connection has its listener's options from when it is taken */
        SIM_BAD_ERROR_STAYS,     /* a socket's error is said again and again */
        SIM_MUTATIONS,
};
const char *sim_mutation_name(enum sim_mutation m);

/* ---- objects ---- */

struct sim;
struct sim_task;

struct sim_page {
        unsigned refs;
        uint32_t bytes; /* room */
        uint8_t data[];
};

struct sim_slot {
        struct sim_page *page;
        uint32_t at, bytes;
        bool merge; /* a write may go on behind it */
};

struct sim_pipe {
        struct sim *sim;
        struct sim_slot *slots; /* a ring */
        unsigned head, nr, max, ring;
        uint64_t bytes;
        unsigned readers, writers; /* descriptions */
        const void *locked_by;     /* who waits inside a splice and keeps it; NULL: nobody */
        uint64_t taken, given;     /* law: taken == given + bytes, but for tee, which gives without taking */
        unsigned id;
};

struct sim_socket {
        struct sim *sim;
        struct sim_socket *peer; /* NULL: gone */
        struct sim_slot *queue;  /* fragments that have come: a ring of max */
        unsigned head, nr, max;
        uint64_t bytes, room; /* in the queue; at most about */
        bool fin;             /* the peer sends no more */
        bool shut;            /* we send no more */
        int error;            /* once */
        bool reset, reset_on_close, listening, connected;
        bool local;                                /* AF_UNIX: the rules differ a little from TCP's */
        struct sim_socket *backlog, *next_waiting; /* who waits to be accepted, the oldest first */
        unsigned port, waiting, waiting_max;
        uint64_t *came; /* a world counts there what is queued here, and in whoever is accepted from here */
        int tag;        /* a world's own */
};

struct sim_inode {
        struct sim_inode *next; /* in the file system */
        struct sim *sim;
        char name[96]; /* "": none (any more) */
        struct sim_page **pages;
        size_t pages_nr;
        int64_t size;
        mode_t mode;
        unsigned refs; /* descriptions, and 1 for a name */
        uint64_t number;
};

enum sim_kind { SIM_PIPE, SIM_SOCKET, SIM_FILE, SIM_NULL, SIM_ZERO, SIM_EVENT, SIM_PIDFD, SIM_DIRECTORY };

struct sim_desc {
        unsigned refs; /* fds, and operations that have looked it up */
        enum sim_kind kind;
        bool reads, writes, nonblock, append, direct;
        int64_t position;
        struct sim *sim;
        union {
                struct sim_pipe *pipe;
                struct sim_socket *socket;
                struct sim_inode *inode;
                struct sim_task *task;
                unsigned *event;
        };
};

/* ---- the kernel ---- */

struct sim_op;
struct sim_behaviour;

/* What a program's name stands for; the world says it. False: there is no such program. */
typedef bool sim_program_fn(void *arg, const char *name, struct sim_behaviour *ret);

struct sim_config {
        uint32_t page_bytes;
        unsigned workers_max;      /* io-wq's limit */
        uint32_t faults;           /* bits of enum sim_fault */
        uint16_t rate[SIM_FAULTS]; /* per thousand */
        enum sim_mutation mutation;
        int64_t disk_bytes; /* that files may grow by; -1: no limit */
        bool patient;       /* an O_NONBLOCK fd is waited for by the ring, as some kernels do */
        bool manual;        /* nothing runs by itself: the caller says who is next */
        bool trace;         /* tell every step on stdout */
        uint64_t steps_max;
};

struct sim {
        struct sim_config config;
        uint64_t random, now_ns;
        uint64_t steps, version; /* version: changes whenever something did */
        bool calm;               /* no more faults: everything must drain */
        uint32_t struck;         /* faults that did strike */

        struct sim_desc **fds; /* the engine's table, from SIM_FD_FIRST on */
        unsigned fds_nr;
        struct sim_task *tasks;
        struct sim_inode *inodes;
        struct sim_socket **listeners;
        unsigned listeners_nr;
        unsigned tasks_made, inodes_made, pipes_made;

        struct sim_op *ops; /* by the engine's index */
        unsigned ops_nr, workers;
        struct backend *backend;
        unsigned taken; /* connections that the engine has accepted */
        bool woken;
        const int *host_fds; /* numbers of the real kernel that the engine was given: tokens */
        unsigned *host_events;
        unsigned host_nr;

        sim_program_fn *program;
        void (*tick)(void *arg); /* before every step: what the world does at one */
        void *arg;

        /* What must be given back. */
        unsigned pages, descs, pipes, sockets;
        uint64_t pipe_bytes;
        char context[256]; /* for failures: what is simulated */
};

enum { SIM_FD_FIRST = 1000 };

/* ---- chance and laws (sim_kernel.c) ---- */

void sim_init(struct sim *k, const struct sim_config *c, uint64_t seed);
/* Everything but what somebody forgot; that is a failure. */
void sim_fini(struct sim *k);
uint64_t sim_random(struct sim *k);
uint64_t sim_below(struct sim *k, uint64_t n);
/* Whether this fault strikes here and now. */
bool sim_strikes(struct sim *k, enum sim_fault f);
/* How many of n: usually all. */
size_t sim_some(struct sim *k, size_t n);
/* Something has changed: who waits looks again. */
void sim_changed(struct sim *k);
/* One step is done: the clock moves a little. */
void sim_step(struct sim *k);
static inline bool sim_is(const struct sim *k, enum sim_mutation m)
{
        return k->config.mutation == m;
}
void sim_trace(const struct sim *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void sim_fail(struct sim *k, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Where failures are also written; NULL: stderr alone. */
extern char *sim_report;
enum { SIM_REPORT_BYTES = 1024 };

/* ---- pages (sim_pipe.c) ---- */

struct sim_page *sim_page_new(struct sim *k, uint32_t bytes);
struct sim_page *sim_page_ref(struct sim_page *p);
void sim_page_unref(struct sim *k, struct sim_page *p);

/* ---- pipes (sim_pipe.c): none waits ---- */

struct sim_pipe *sim_pipe_new(struct sim *k, unsigned slots);
void sim_pipe_free(struct sim_pipe *p);
bool sim_pipe_full(const struct sim_pipe *p);
/* The caller has looked for room. */
void sim_pipe_push(struct sim_pipe *p, struct sim_page *page, uint32_t at, uint32_t bytes, bool merge);
/* The first slot's bytes, `bytes` of them at most, go. */
void sim_pipe_drop(struct sim_pipe *p, uint32_t bytes);
static inline struct sim_slot *sim_pipe_first(struct sim_pipe *p)
{
        return &p->slots[p->head];
}
ssize_t sim_pipe_read(struct sim_pipe *p, void *data, size_t bytes);
ssize_t sim_pipe_write(struct sim_pipe *p, const void *data, size_t bytes);
ssize_t sim_pipe_move(struct sim_pipe *from, struct sim_pipe *to, size_t bytes);
ssize_t sim_pipe_tee(struct sim_pipe *from, struct sim_pipe *to, size_t bytes);
unsigned sim_pipe_poll(const struct sim_pipe *p, bool writes);
/* -EBUSY: below what is in it. */
int sim_pipe_resize(struct sim_pipe *p, unsigned slots);

/* ---- sockets (sim_socket.c) ---- */

void sim_socket_pair(struct sim *k, struct sim_socket *ret[2], uint64_t room, bool local);
struct sim_socket *sim_socket_new(struct sim *k, bool local);
ssize_t sim_socket_send(struct sim_socket *s, const void *data, size_t bytes);
ssize_t sim_socket_recv(struct sim_socket *s, void *data, size_t bytes);
ssize_t sim_socket_to_pipe(struct sim_socket *s, struct sim_pipe *to, size_t bytes);
ssize_t sim_socket_from_pipe(struct sim_socket *s, struct sim_pipe *from, size_t bytes);
unsigned sim_socket_poll(const struct sim_socket *s);
int sim_socket_shutdown(struct sim_socket *s, int how);
void sim_socket_reset(struct sim_socket *s);
void sim_socket_close(struct sim_socket *s);
int sim_socket_listen(struct sim_socket *s, unsigned port, unsigned backlog);
bool sim_socket_is_heard(const struct sim *k, unsigned port);   /* somebody listens */
bool sim_socket_is_awaited(const struct sim *k, unsigned port); /* somebody listens, and has room */
int sim_socket_connect(struct sim_socket *s, unsigned port, uint64_t room);
/* NULL: nobody has called. */
struct sim_socket *sim_socket_accept(struct sim_socket *listener);

/* ---- files (sim_file.c) ---- */

struct sim_inode *sim_inode_new(struct sim *k, const char *name);
struct sim_inode *sim_inode_find(struct sim *k, const char *name);
void sim_inode_unref(struct sim_inode *i);
void sim_inode_unname(struct sim_inode *i);
ssize_t sim_file_read(struct sim_inode *i, int64_t at, void *data, size_t bytes);
ssize_t sim_file_write(struct sim_inode *i, int64_t at, const void *data, size_t bytes);
ssize_t sim_file_to_pipe(struct sim_inode *i, int64_t at, struct sim_pipe *to, size_t bytes, bool direct);
ssize_t sim_file_from_pipe(struct sim_inode *i, int64_t at, struct sim_pipe *from, size_t bytes);
int sim_file_truncate(struct sim_inode *i, int64_t length);

/* ---- descriptions and calls (sim_calls.c): as the kernel's, but never waiting ---- */

struct sim_desc *sim_desc_new(struct sim *k, enum sim_kind kind);
struct sim_desc *sim_desc_ref(struct sim_desc *d);
void sim_desc_unref(struct sim_desc *d);
/* Two descriptions of one new pipe. */
void sim_make_pipe(struct sim *k, struct sim_desc *ret[2], unsigned slots);
void sim_make_sockets(struct sim *k, struct sim_desc *ret[2], uint64_t room, bool local);
struct sim_desc *sim_make_file(struct sim_inode *i, bool reads, bool writes);

int sim_fd_new(struct sim *k, struct sim_desc *d); /* takes the reference */
struct sim_desc *sim_fd(struct sim *k, int fd);    /* NULL: not open */
void sim_fd_close(struct sim *k, int fd);

/* What somebody asks for, and how far he would go for it. */
struct sim_move {
        struct sim_desc *in, *out;
        int64_t *at_in, *at_out; /* NULL: the position of its own */
        size_t bytes;
};
ssize_t sim_do_splice(struct sim *k, const struct sim_move *m);
ssize_t sim_do_tee(struct sim *k, const struct sim_move *m);
ssize_t sim_do_read(struct sim *k, struct sim_desc *d, int64_t at, void *data, size_t bytes);
ssize_t sim_do_write(struct sim *k, struct sim_desc *d, int64_t at, const void *data, size_t bytes);
unsigned sim_do_poll(const struct sim_desc *d);
/* Whether a splice of these two, when it has to wait, waits with a pipe locked: the socket's side is what it waits for. */
struct sim_pipe *sim_locks_while_waiting(const struct sim_move *m);
/* Whether one with SPLICE_F_NONBLOCK may wait all the same. */
bool sim_waits_in_socket(const struct sim_move *m);
/* The pipe of a description whose lock someone else keeps; NULL: none. */
struct sim_pipe *sim_locked(const struct sim_desc *d, const void *me);

/* ---- tasks (sim_task.c) ---- */

/* A position in a stream of bytes that say where they are. */
struct sim_stream {
        uint64_t id, at, end;
};
uint8_t sim_pattern(uint64_t id, uint64_t at);
void sim_pattern_fill(uint64_t id, uint64_t at, uint8_t *data, size_t bytes);

/* What must arrive somewhere: several streams, one after the other. */
enum { SIM_STREAMS_MAX = 8, SIM_PLACES_MAX = 32 };
struct sim_place {
        unsigned part;
        uint64_t bytes; /* of it, that were seen */
};
struct sim_check {
        const char *name;
        struct sim_stream parts[SIM_STREAMS_MAX];
        unsigned parts_nr, places_nr;
        struct sim_place places[SIM_PLACES_MAX]; /* each may be where the stream is; none before the first byte */
        uint64_t seen, total;
        bool may_skip; /* a part may have been cut off: the next one follows. Then it is no success */
        bool ended;    /* the end was seen */
};
void sim_check_bytes(struct sim *k, struct sim_check *c, const uint8_t *data, size_t bytes);

struct sim_behaviour {
        bool reads, writes; /* fd 0, fd 1 */
        bool splices;       /* from fd 0 to fd 1, keeping the lock while it waits */
        bool blocks_term;   /* survives SIGTERM */
        bool lingers;       /* goes on living when all is done, until it is ended */
        bool resets;        /* ends its socket by a reset */
        unsigned connects;  /* port, as in an address: the connection is what it reads and writes; 0: no */
        bool accepts;       /* its fd 2 listens: what it reads and writes is the first connection */
        uint64_t stream;    /* what it writes when it does not read */
        uint64_t limit;     /* bytes it reads, or writes when it does not read; then it is done */
        uint64_t crash_at;  /* bytes read or written after which it is killed; UINT64_MAX: never */
        unsigned chunk;     /* bytes it asks for at most */
        unsigned sleeps;    /* per thousand: before a step, it sleeps */
        int exit_status;
        struct sim_check *check;          /* what it reads must be this */
        void (*step)(struct sim_task *t); /* what it does instead of all that: a world's own */
        void *arg;
};

enum sim_task_state { SIM_RUNS, SIM_SLEEPS, SIM_DEAD, SIM_REAPED };
struct sim_task {
        struct sim_task *next;
        struct sim *sim;
        struct sim_behaviour does;
        enum sim_task_state state;
        struct sim_desc *fd[3];
        uint64_t wake_ns, waits_version; /* nothing has changed since: no use to ask again */
        bool waits;
        uint64_t read_bytes, written_bytes;
        uint8_t held[512]; /* read and not yet written */
        unsigned held_at, held_nr;
        bool input_ended;
        int exit_status, signal;
        pid_t pid;
        bool child; /* the engine's: its to reap */
};
struct sim_task *sim_task_new(struct sim *k, const struct sim_behaviour *b);
void sim_task_set_fd(struct sim_task *t, int as, struct sim_desc *d); /* a reference of its own */
bool sim_task_may_run(const struct sim_task *t);
void sim_task_run(struct sim_task *t);
void sim_task_signal(struct sim_task *t, int signal);
bool sim_task_is_over(const struct sim_task *t);
/* In a step: it is asked again when something has changed; later; never, and its fds are closed. */
void sim_task_wait(struct sim_task *t);
void sim_task_sleep(struct sim_task *t, uint64_t ns);
void sim_task_end(struct sim_task *t);
uint64_t sim_tasks_next_ns(const struct sim *k);
void sim_tasks_free(struct sim *k);

/* ---- operations (sim_ops.c) ---- */

enum sim_op_state {
        SIM_OP_NONE,
        SIM_OP_ISSUED,  /* the kernel has it: it will be looked at when its time has come */
        SIM_OP_ARMED,   /* waits for readiness; cancelled at once */
        SIM_OP_QUEUED,  /* wants a worker */
        SIM_OP_WORKING, /* a worker waits in it */
        SIM_OP_OVER,    /* result known, completion on its way */
};
struct sim_op {
        enum sim_op_state state;
        struct op *op;
        uint64_t ready_ns, waits_version;
        bool waits, cancelled, in_lock, slow;
        struct sim_desc *in, *out; /* looked up */
        struct sim_desc *in_at_submit, *out_at_submit;
        int result;
};
/* What may go wrong with a call: 0: nothing, or -errno. */
int sim_hurt(struct sim *k, const struct sim_desc *in, const struct sim_desc *out, bool splice);
/* What is about names, and not about bytes (sim_names.c). The result. */
int sim_name_op(struct sim *k, struct op *op);
void sim_op_submit(struct sim *k, struct op *op);
void sim_op_cancel(struct sim *k, struct op *op);
bool sim_op_may_run(const struct sim *k, const struct sim_op *o);
void sim_op_run(struct sim *k, struct sim_op *o);
uint64_t sim_ops_next_ns(const struct sim *k);
/* Whether an operation in flight names this fd. */
bool sim_fd_is_named(const struct sim *k, int fd);

/* ---- who is next (sim_schedule.c) ---- */

/* Lets one task or operation take a step. False: nobody can at this time. */
bool sim_run_one(struct sim *k);
/* The same while the engine's thread runs: completions wait for its next wait. */
bool sim_run_beside(struct sim *k);
/* The clock goes on to the next thing that waits for it, but not beyond `until_ns`. False: there is none. */
bool sim_skip_time(struct sim *k, uint64_t until_ns);

/* ---- the backend (backend_sim.c) ---- */

/* Owned by the loop it is given to; the kernel must outlive it. */
int backend_sim_new(struct backend **ret, struct sim *k, bool exclusive);
#endif
