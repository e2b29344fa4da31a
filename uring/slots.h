/* uring/slots.h: which fd is held, by how many, and until when.
 *
 * A slot is the only name the code above has for an fd. It is held by its owner and by every operation in flight that
 * names it; the last holder closes the fd. So a number cannot be closed, and reused by a stranger, while the kernel
 * still has to look it up: io-wq resolves the fds of a splice only when a worker gets to it (kernel: io_uring/splice.c).
 * The generation tells two lives of one address apart; an operation notes it when submitted and asserts it when done. */
#ifndef SLUICE_URING_SLOTS_H
#define SLUICE_URING_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "list.h"

struct backend;

/* What is behind an fd, as far as waiting goes. */
enum slot_nature { SLOT_UNSEEN, SLOT_STORAGE, SLOT_PIPE, SLOT_SOCKET, SLOT_TTY, SLOT_OTHER };

struct slot {
        struct backend *backend;
        int fd;
        uint32_t refs; /* owner + operations in flight; one thread's, so not atomic */
        uint32_t generation;
        bool foreign;            /* a pipe whose other end a process holds: even close() may wait for its lock */
        bool direct;             /* a file of ours that is written past the page cache, whole blocks only */
        enum slot_nature nature; /* seen by slot_nature() */

        /* ready.h's own */
        struct list node;    /* in struct ready, while an operation waits */
        struct list waiting; /* operations that wait for this fd */
        uint32_t armed;      /* for these events */
        bool known_to_epoll, always_ready;
};

/* Takes `fd` over on success. -ENOMEM leaves it with the caller. */
int slot_new(struct slot **ret, struct backend *b, int fd);
/* One whose fd (-1 until then) its maker fills in: for fds that must not be without one for a moment. -ENOMEM. */
int slot_reserve(struct slot **ret, struct backend *b);
struct slot *slot_ref(struct slot *s);
/* One fstat(), the first time. */
enum slot_nature slot_nature(struct slot *s);
/* Lets go; the last one closes. NULL is allowed. Returns NULL, for `x = slot_unref(x)`. */
struct slot *slot_unref(struct slot *s);

#endif
