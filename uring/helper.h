/* uring/helper.h: a few threads for what may block and has no io_uring operation (names, truncation, spawning), and
 * where there is no io_uring at all for storage and locks.
 *
 * A thread is made when a task finds none idle, up to the caller's bound, those in tasks that were given up not counted (but
 * for four times as many); further tasks queue, one an operation. Nobody can interrupt getaddrinfo (30 s for a name
 * server that is not there) or open (a FIFO that nobody else opens): such a task takes what it names along and is left
 * behind, its operation is completed with -ECANCELED at once, and the thread undoes what it made and ends by itself. */
#ifndef SLUICE_URING_HELPER_H
#define SLUICE_URING_HELPER_H

#include "op.h"

enum {
        HELPER_THREADS = 4, /* beside a ring */
        POOL_THREADS = 16,  /* without one: storage and pipes that processes may hold the lock of, too */
};

struct helper;

/* wake is called from the helper's thread when something is done. */
int helper_new(struct helper **ret, void (*wake)(void *), void *arg);
/* Waits for all threads but those in an abandoned task. NULL is allowed. */
void helper_free(struct helper *h);
/* -ENOMEM, -EUSERS (no thread to be had). The operation stays in the caller's list. */
int helper_submit(struct helper *h, struct op *op, unsigned threads_max);
/* True: completed (res -ECANCELED) without the thread, the caller owns it again. False: it runs and will be reaped. */
bool helper_cancel(struct helper *h, struct op *op);
/* For one that is stuck (a dead NFS server): the operation keeps what it names until it ends after all and is reaped, and
 * helper_free() does not wait for it. */
void helper_abandon(struct helper *h, struct op *op);
/* The next finished operation, its raw result in res; NULL when there is none. */
struct op *helper_reap(struct helper *h);

/* What a task of this kind does, for running it inline as well. */
int helper_perform(struct op *op);

#endif
