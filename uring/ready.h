/* uring/ready.h: who waits for which fd, by one epoll fd.
 *
 * A slot is registered once, one-shot; the list of operations that wait for it hangs on the slot:
 *
 *      not known --first wait (ADD)--> ARMED --event--> DISARMED --next wait (MOD)--> ARMED
 *                                        \---last one cancelled (DEL)---> not known
 *
 * DISARMED never fires, errors included, so a slot may be closed in that state though a child still holds the same
 * description: what is left in epoll then is silent, and goes with the description. ARMED holds a slot's address, and
 * holds only while an operation that pins the slot waits.
 * Files have no readiness: epoll refuses them with EPERM, and they are ready at once. */
#ifndef SLUICE_URING_READY_H
#define SLUICE_URING_READY_H

#include <stdbool.h>
#include <stdint.h>

#include "list.h"
#include "op.h"

enum { READY_SLOTS_ONCE = 64 };

/* An fd of the backend's own that ends a wait: which of them, as a bit. */
enum ready_mark { READY_WAKE = 1 << 0, READY_RING = 1 << 1, READY_TIMER = 1 << 2 };

struct ready {
        int epoll_fd;
        struct list slots; /* with operations that wait */
        bool coarse;       /* no epoll_pwait2() here: waits end up to 1 ms late */
};

/* -EMFILE, -ENFILE, -ENOMEM. */
int ready_init(struct ready *r);
void ready_fini(struct ready *r);
/* Watches an fd of the backend's own, level-triggered. Once for each. */
int ready_mark(struct ready *r, int fd, enum ready_mark mark);
/* The operation, whose `in` slot (or, with `at_out`, `out`) it pins, is given out by a later ready_wait(). It is in no
 * other list. 1: the fd is always ready; it was not added. -ENOMEM (also: fs.epoll.max_user_watches). */
int ready_add(struct ready *r, struct op *op, uint32_t events);
/* Takes it back. */
void ready_remove(struct ready *r, struct op *op);
/* All of them, to `ret`. */
void ready_take_all(struct ready *r, struct list *ret);
static inline bool ready_empty(const struct ready *r)
{
        return list_empty(&r->slots);
}
/* Waits; operations whose fd is ready go to `ret`, each with its events in op->res. Returns marks; -EINTR. */
int ready_wait(struct ready *r, struct list *ret, int64_t timeout_ns);

#endif
