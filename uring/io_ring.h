/* uring/io_ring.h: the io_uring way: hand operations over, reap them, and survive what can go wrong with the queues: a full
 * submission queue, a completion queue that overflows, EBUSY, EINTR, an operation that this kernel does not know.
 *
 *      NONE --io_ring_setup()--> UP
 *                        \--> NONE, and the error: io_uring is refused here
 *
 * An operation that the kernel does not know comes back in `unknown`, and its kind is in `lacks` from then on; so does one
 * for which the kernel should wait and does not, marked `aside`. */
#ifndef SLUICE_URING_IO_RING_H
#define SLUICE_URING_IO_RING_H

#include "backend.h"
#include "uapi.h"

struct io_ring {
        struct backend *backend;
        struct io_uring uring;
        bool up;
        int wake_fd;       /* polled while it waits */
        bool wake_armed;   /* ... by an operation in the kernel */
        bool wake_seen;    /* since the last look */
        bool wake_denied;  /* this kernel cannot poll: wait by epoll */
        bool cancels_wait; /* some operation in the kernel has cancel_waiting */
        struct list in_kernel;
        struct list unknown; /* operations that came back: QUEUED */
        int event_fd;        /* tells epoll of completions; -1 until asked */
        uint32_t lacks;      /* kinds, as bits, that this kernel was seen not to know */
        uint32_t known;      /* kinds that it says it knows */
        bool known_is_asked;
        uint8_t unasked[OP_KINDS]; /* cancellations in a row that nobody had asked for */
};

void io_ring_init(struct io_ring *r, struct backend *b, int wake_fd);
void io_ring_fini(struct io_ring *r);
/* 0, or the -errno with which the kernel refuses. */
int io_ring_setup(struct io_ring *r);
/* Whether an operation of this kind has an io_uring form, and this kernel knows it as far as was seen. */
bool io_ring_takes(const struct io_ring *r, enum op_kind kind);
/* Hands over what is in the backend's queue, waits, reaps. 0, or -errno of a ring that cannot be used any more. */
int io_ring_enter(struct io_ring *r, int64_t timeout_ns);
void io_ring_cancel(struct io_ring *r, struct op *op);
/* An eventfd that counts completions, registered now if it was not. Or -errno. */
int io_ring_event_fd(struct io_ring *r);
/* Whether completions were announced there since the last look. */
bool io_ring_clear_event(struct io_ring *r);

#endif
