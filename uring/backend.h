/* uring/backend.h: the seam. Everything that touches the kernel on the way of a byte goes through struct backend.
 *
 * Two sorts of call:
 *  - tries (ops->try_splice, ops->pipe, ...) happen now, on the loop's thread, and never wait: >= 0 or -errno, with
 *    -EAGAIN for "would wait". errno is not part of the answer.
 *  - operations (op_new, fill in, backend_submit) end once, in the list that backend_wait() fills. Nothing is called
 *    back from inside a submit, a cancel or a wait: collect, then dispatch.
 *
 * Readiness has one meaning: an OP_POLL completes once. A backend may keep it armed inside; that is its own business.
 * OP_TIMER completes with 0 when the clock has reached timer.at_ns.
 *
 * One thread at a time, but for backend_wake(), which any thread and any signal handler may call. */
#ifndef SLUICE_URING_BACKEND_H
#define SLUICE_URING_BACKEND_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "op.h"

struct backend;
struct helper;

/* What moves bytes. AUTO: io_uring, and epoll where the kernel refuses it, seccomp or a limit. */
enum backend_kind { BACKEND_AUTO, BACKEND_URING, BACKEND_EPOLL };

enum fd_kind { FD_FILE, FD_PIPE, FD_SOCKET, FD_LISTENER, FD_TTY, FD_DEVICE, FD_DIRECTORY, FD_OTHER };

/* What the kernel says of an fd. */
struct fd_info {
        enum fd_kind kind;
        int flags; /* F_GETFL */
        uint64_t device, inode;
        int64_t size;   /* regular files, else -1 */
        unsigned mode;  /* permission bits */
        unsigned names; /* hard links: 0 when the last was removed */
        int family;     /* sockets */
        bool in_memory; /* a file that no storage is behind: tmpfs, memfd */
        bool local;     /* a socket whose peer is on this host: unix or loopback */
};

/* What a child left behind. */
struct child_status {
        bool known;      /* false: somebody else reaped it (SIGCHLD ignored, waitpid(-1)); never taken for 0 */
        int exit_status; /* when signal == 0 */
        int signal;
        double cpu_s;           /* user and system, its own reaped children included */
        uint64_t max_rss_bytes; /* the largest of it and its reaped children, shared pages included */
};

struct backend_counts {
        uint64_t ops[OP_KINDS];  /* operations completed, by kind */
        uint64_t waits;          /* calls that could wait */
        uint64_t waits_for_ring; /* an operation found the submission queue full and waited its turn */
        uint64_t overflows;      /* completions the kernel had to keep for us: stays 0 when the ring is sized right */
        uint64_t busy;           /* EBUSY or EAGAIN from enter: reaped, then tried again */
        uint64_t interrupted;    /* EINTR from enter */
        uint64_t abandoned;      /* operations whose owner could not wait for them any longer */
};

struct backend_ops {
        const char *name;
        void (*free)(struct backend *b);
        void (*submit)(struct backend *b, struct op *op);
        void (*cancel)(struct backend *b, struct op *op);
        int (*wait)(struct backend *b, struct list *done, int64_t timeout_ns);
        void (*wake)(struct backend *b);
        int (*poll_fd)(struct backend *b);
        uint64_t (*now_ns)(struct backend *b);

        ssize_t (*try_splice)(struct backend *b, struct slot *in, int64_t offset_in, struct slot *out, int64_t offset_out,
                              size_t bytes, bool more);
        ssize_t (*try_tee)(struct backend *b, struct slot *in, struct slot *out, size_t bytes);
        ssize_t (*try_read)(struct backend *b, struct slot *s, void *data, size_t bytes);
        ssize_t (*try_write)(struct backend *b, struct slot *s, const void *data, size_t bytes);
        int (*ready)(struct backend *b, struct slot *s, unsigned events);
        int (*inspect)(struct backend *b, int fd, struct fd_info *ret);
        /* Of a regular file, from fdinfo: lseek() would wait for a child's write. -1: not known. Costs 8 us, so that
         * inspect() does without. */
        int64_t (*position)(struct backend *b, int fd);

        int (*pipe)(struct backend *b, int ret[2], size_t bytes, size_t *ret_bytes);
        int (*grow_pipe)(struct backend *b, int fd, size_t bytes); /* somebody else's: to at least that, or as far as allowed */
        int (*set_nonblock)(struct backend *b, int fd, bool on);
        int (*set_direct)(struct backend *b, int fd, bool on); /* O_DIRECT, of a regular file */
        int (*dup)(struct backend *b, int fd);
        void (*close)(struct backend *b, int fd);
        int (*open_null)(struct backend *b, bool write);
        int (*socket)(struct backend *b, int family, int type);
        int (*listen)(struct backend *b, int fd, const struct sockaddr *address, socklen_t bytes, int backlog);
        int (*option)(struct backend *b, int fd, int level, int name, int value);
        int (*shutdown)(struct backend *b, int fd, int how);
        int (*reset)(struct backend *b, int fd);
        int (*chmod)(struct backend *b, int fd, const char *path, mode_t mode);
        int (*unsent)(struct backend *b, int fd);
        int (*seek)(struct backend *b, int fd, int64_t relative);
        int (*cached)(struct backend *b, struct slot *s, int64_t offset, uint32_t bytes);
        int (*watch)(struct backend *b, int fd, uint32_t mask); /* inotify of what `fd` names: an fd, O_NONBLOCK */

        int (*wait_child)(struct backend *b, int pidfd, bool reap, struct child_status *ret);
        int (*kill_child)(struct backend *b, int pidfd, int signal);
        int (*kill_group)(struct backend *b, pid_t group, int signal);
        int (*stopped_child)(struct backend *b, int pidfd); /* the signal that stopped it; 0: it is not stopped */
        bool (*process_is_stopped)(struct backend *b, pid_t pid);
        int (*probable_error)(struct backend *b, int fd);
        bool (*process_holds)(struct backend *b, pid_t pid, int fd, uint64_t inode);
};

struct backend {
        const struct backend_ops *ops;
        bool exclusive;           /* the loop's thread serves nothing else: short blocking calls may be made inline */
        const cpu_set_t *workers; /* CPUs of the kernel threads that work for it; NULL: any. Before the first operation */
        enum backend_kind kind;   /* what works: AUTO until an operation needed either */
        int refused;              /* -errno with which the kernel refused io_uring; 0: it did not, or was not asked */
        struct backend_counts counts;

        /* Operations: chunks of a fixed size, so that an index finds one and none ever moves. */
        struct op **chunks;
        uint32_t chunks_nr;
        struct list free_ops;
        uint32_t ops_lent;      /* lent == queued + in kernel + done but not yet freed; at the end == ops_abandoned */
        uint32_t ops_abandoned; /* of those: abandoned, and not freed since (counts.abandoned only grows) */
        uint32_t next_generation;

        struct list queued;    /* submitted, not yet handed to the kernel */
        struct list finished;  /* done without the kernel's help; given out by the next wait */
        struct list timers;    /* OP_TIMER, soonest first */
        struct helper *helper; /* made by the first task that needs a thread */
        struct list tasks;     /* ops a helper thread is working on */
};

/* Makes the backend on this kernel. No ring is set up before an operation needs one: it costs 0.5 ms, and a run in which
 * only processes move bytes needs none. So it is then that a refusal is met, and AUTO goes on by epoll; for URING every
 * operation that needs the ring ends with the refusal. -ENOMEM, -EMFILE. */
int backend_new(struct backend **ret, bool exclusive, enum backend_kind wanted);
/* Every operation must have completed or been abandoned. */
void backend_free(struct backend *b);

/* NULL without memory. The kind's own fields are zero. */
struct op *op_new(struct backend *b, enum op_kind kind, op_done_fn *done, void *owner);
/* Pins; call before submit. */
void op_pin(struct op *op, struct slot *in, struct slot *out, struct pin *mem);
/* Where an OP_CONNECT is to go; copied. -ENOMEM. */
int op_set_address(struct op *op, const struct sockaddr *address, socklen_t bytes);
/* Only a DONE operation, or one never submitted. Lets go of all that it pinned. */
void op_free(struct op *op);
/* For a completion whose owner is gone: what it made is unmade, then as op_free(). */
void op_discard(struct op *op);
/* Cannot fail: what goes wrong is the operation's result. */
void backend_submit(struct backend *b, struct op *op);
/* Marks, and asks the kernel; the completion comes later, with -ECANCELED or with what the operation did before. */
void backend_cancel(struct backend *b, struct op *op);
/* For an operation that a cancel does not end (uninterruptible sleep): its owner forgets it. It keeps all it pins. */
void backend_abandon(struct backend *b, struct op *op);
/* Appends completed operations to `done`. timeout_ns < 0 waits for ever, 0 not at all. 0, or -errno of a ring that
 * cannot be used any more. */
int backend_wait(struct backend *b, struct list *done, int64_t timeout_ns);

/* Whether operations wait for the next backend_wait() to be handed over or given out. */
static inline bool backend_has_work(const struct backend *b)
{
        return !list_empty(&b->queued) || !list_empty(&b->finished);
}
static inline void backend_wake(struct backend *b)
{
        b->ops->wake(b);
}
static inline uint64_t backend_now_ns(struct backend *b)
{
        return b->ops->now_ns(b);
}
/* When `ms` from now is over: at once for less than none, in a century for more than that, which a host that means "for ever"
 * passes (INT64_MAX would overflow the clock). */
static inline uint64_t backend_after_ms(struct backend *b, int64_t ms)
{
        const int64_t century_ms = INT64_C(1000) * 86400 * 365 * 100;

        return backend_now_ns(b) + (uint64_t)(ms < 0 ? 0 : ms > century_ms ? century_ms : ms) * 1000000u;
}

/* For implementations (uring/backend.c). */
int backend_init(struct backend *b, const struct backend_ops *ops, bool exclusive);
void backend_fini(struct backend *b);
uint32_t backend_next_generation(struct backend *b);
struct op *backend_op_by_data(struct backend *b, uint64_t user_data);
uint64_t backend_op_data(const struct op *op);
void backend_complete(struct backend *b, struct op *op, int res); /* to b->finished */
void backend_expire_timers(struct backend *b);

#endif
