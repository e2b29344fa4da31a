/* uring/attempt.h: one operation on an fd, made by plain system calls.
 *
 * Whether a call would wait is a question with a different answer for each kind of fd: sockets have MSG_DONTWAIT, pipes
 * and files RWF_NOWAIT (pipes since 6.4, and not once splice(2) has touched them), whoever opened it may have set
 * O_NONBLOCK. O_NONBLOCK is never set on an fd that others share. */
#ifndef SLUICE_URING_ATTEMPT_H
#define SLUICE_URING_ATTEMPT_H

#include "op.h"

/* Never waits: READ, WRITE, RECV, SEND, ACCEPT, CONNECT. -EAGAIN: when its fd is ready, again. -EOPNOTSUPP: this fd
 * cannot say whether it would wait. A socket that connects or listens becomes O_NONBLOCK. */
int attempt(struct op *op);
/* By a thread that may wait, for storage or for a pipe's lock: READ, WRITE, SPLICE, TEE. Not for a peer, which could be
 * for ever: a pipe, a socket or a terminal was seen to be ready just before, and gives -EAGAIN when it is not any more. */
int attempt_slowly(const struct op *op);

#endif
