/* uring/op.h: one operation, queued for the kernel or in it.
 *
 *      FREE --op_new--> NEW --backend_submit--> QUEUED --(handed over)--> IN_KERNEL --(completion)--> DONE --op_free--> FREE
 *                                                 \____(cancelled before it was handed over)______/
 *
 * An operation pins every fd and all memory that it names until its own completion: cancel marks and submits, only
 * the completion moves the state. The engine never sees a raw result: op_result() has made it portable, once. */
#ifndef SLUICE_URING_OP_H
#define SLUICE_URING_OP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "list.h"
#include "slots.h"

enum op_kind {
        OP_POLL,
        OP_SPLICE,
        OP_TEE,
        OP_READ,
        OP_WRITE,
        OP_RECV,
        OP_SEND,
        OP_ACCEPT,
        OP_CONNECT,
        OP_FSYNC,
        OP_OPEN,
        OP_CLOSE,
        OP_TRUNCATE,
        OP_RENAME,
        OP_UNLINK,
        OP_LINK,
        OP_RESOLVE,
        OP_FIND,
        OP_IDS,
        OP_SYMBOL,
        OP_SPAWN,
        OP_TIMER,
        OP_KINDS,
};

enum op_state { OP_FREE, OP_NEW, OP_QUEUED, OP_IN_KERNEL, OP_DONE };

/* Who has one that is IN_KERNEL. */
enum op_place {
        OP_AT_RING,
        OP_AT_READY,  /* waits for its fd by epoll (ready.h) */
        OP_AT_HELPER, /* a thread has it (helper.h) */
        OP_AT_LATER,  /* nothing tells when to ask again: asked by the clock (ringless.h) */
};

struct addrinfo;
struct ids;
struct spawn;

/* Memory an operation keeps alive. The owner and each operation hold one count; drop() frees with the last, on the thread that
 * gave up the last. Counts may change on any thread: a buffer goes from one loop to another. */
struct pin {
        atomic_uint refs;
        atomic_uint in_kernel; /* operations among the holders, from op_pin() to op_free() */
        void (*drop)(struct pin *);
};

struct op;
typedef void op_done_fn(struct op *op);

struct op {
        struct list node; /* queued, in kernel or done list of its backend */
        enum op_kind kind;
        enum op_state state;
        bool cancel_sent;
        bool cancel_waiting; /* no room in the queue for the cancel yet */
        bool force_async;    /* may wait for a stranger's lock: never on the loop's thread */
        enum op_place place;
        bool abandoned;             /* its owner is gone; it owns what it names until it completes */
        uint32_t index, generation; /* together the kernel's user_data: a stale completion is told apart */
        int32_t res;                /* raw until op_result() */
        uint32_t wait_events;       /* AT_READY: what it waits for */
        bool waits_for_out;         /* ... of `out`, not of `in` */
        bool begun;                 /* a connect that is under way */
        bool aside;                 /* the ring answers what it should wait for: it goes the other way */
        bool slow;                  /* its fd cannot say whether it would wait: by a thread, when ready */

        struct slot *in, *out; /* pinned; for most kinds only `in` is set */
        uint32_t in_generation, out_generation;
        struct pin *mem; /* pinned; NULL for none */
        void *owned;     /* freed with the operation: paths, names */

        op_done_fn *done;
        void *owner;
        struct backend *owner_backend; /* whose memory it is */
        uint64_t tag;                  /* the owner's own */

        union {
                struct {
                        uint32_t events;
                } poll;
                struct {
                        int64_t offset_in, offset_out;
                        uint32_t bytes, flags;
                } move;
                struct {
                        void *data;
                        uint32_t bytes;
                        int64_t offset;
                } io;
                struct {
                        const char *path;
                        int flags;
                        mode_t mode;
                } open;
                struct {
                        const struct sockaddr *address; /* in `owned` */
                        socklen_t bytes;
                } net;
                struct {
                        bool data_only;
                } fsync;
                struct {
                        int64_t length;
                } truncate;
                struct {
                        const char *from, *to;
                } name;
                struct {
                        const char *host, *port;
                        int flags;
                        struct addrinfo *ret;
                        int error;
                } resolve;
                struct {
                        const char *file, *path; /* a relative one: from `in`, when that is there */
                        char *ret;
                } find;
                struct {
                        const char *user, *group; /* one may be NULL */
                        struct ids *ret;          /* the owner's; written on success */
                } ids;
                struct {
                        const char *name;
                } symbol;
                struct {
                        int fd;
                } close;
                struct {
                        struct spawn *spec;
                } spawn;
                struct {
                        uint64_t at_ns;
                } timer;
        };
};

/* The result as the engine may know it: >= 0, or a negative errno that userspace has a name for. */
int op_result(const struct op *op);
void op_to(struct op *op, enum op_state to);
const char *op_kind_name(enum op_kind kind);

static inline struct pin *pin_ref(struct pin *p)
{
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
        return p;
}

static inline void pin_unref(struct pin *p)
{
        if (!p)
                return;
        /* Whoever holds the only one is alone with it: no other can appear. */
        if (atomic_load_explicit(&p->refs, memory_order_acquire) == 1 ||
            atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
                p->drop(p);
}

#endif
