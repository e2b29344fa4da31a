/* uring/ringless.h: how an operation goes without io_uring: tried at once, by readiness, or by a thread.
 *
 *      sockets, pipes          TRY --EAGAIN--> WAIT --ready--> TRY ...
 *      ... that cannot say     TRY --EOPNOTSUPP--> WAIT --ready--> THREAD --EAGAIN--> WAIT ...
 *      ... that a process may  WAIT --ready--> THREAD --EAGAIN--> WAIT ...
 *          hold the lock of
 *      files, read             TRY (what is in the page cache) --EAGAIN--> THREAD
 *      files, written; splice, tee, names, programs            THREAD
 *      polls                   WAIT
 *
 * WAIT is ready.h, or the clock where nothing tells when to ask again; THREAD is helper.h. The end of each is its result
 * in the backend's `finished` list. Polling a locked pipe takes no lock: so it is polled by the loop, moved by a thread. */
#ifndef SLUICE_URING_RINGLESS_H
#define SLUICE_URING_RINGLESS_H

#include "backend.h"
#include "ready.h"

struct ringless {
        struct backend *backend;
        struct ready *ready;
        struct list later;    /* OP_AT_LATER */
        uint64_t later_at_ns; /* when they are asked again */
        void (*wake)(void *); /* from a thread that has finished a task */
};

void ringless_init(struct ringless *w, struct backend *b, struct ready *r, void (*wake)(void *));
/* The operation is QUEUED and in no list. */
void ringless_begin(struct ringless *w, struct op *op);
/* One that begin() has taken and that has not completed. It completes, with -ECANCELED unless a thread has it. */
void ringless_cancel(struct ringless *w, struct op *op);
/* What ready_wait() gave, what threads have finished, what the clock says. */
void ringless_resume(struct ringless *w, struct list *ready);
/* When the clock has something for it to do; UINT64_MAX: never. */
uint64_t ringless_next_ns(const struct ringless *w);

#endif
