/* uring/op.c: the life of an operation and the meaning of its result. Calls nothing. */
#include "op.h"

#include <errno.h>

#include "check.h"
#include "uapi.h"

static const uint8_t next_of[] = {
        [OP_FREE] = 1u << OP_NEW,
        [OP_NEW] = 1u << OP_QUEUED | 1u << OP_FREE,
        [OP_QUEUED] = 1u << OP_IN_KERNEL | 1u << OP_DONE,
        [OP_IN_KERNEL] = 1u << OP_DONE | 1u << OP_QUEUED, /* back to the queue: another way */
        [OP_DONE] = 1u << OP_FREE,
};

void op_to(struct op *op, enum op_state to)
{
        ASSERT(next_of[op->state] & 1u << to);
        op->state = to;
}

int op_result(const struct op *op)
{
        /* -512 and its kin leak out of io-wq when a running splice is cancelled (seen on 6.18; kernels since July
         * 2026 give -EINTR). Without a cancel of ours they mean: a signal came by, ask again. */
        if (op->res == -EINTR || (op->res <= -KERNEL_ERESTARTSYS && op->res >= -KERNEL_ERESTART_RESTARTBLOCK))
                return op->cancel_sent ? -ECANCELED : -EINTR;
        return op->res;
}

const char *op_kind_name(enum op_kind kind)
{
        static const char *const names[OP_KINDS] = {
                [OP_POLL] = "poll",         [OP_SPLICE] = "splice", [OP_TEE] = "tee",       [OP_READ] = "read",
                [OP_WRITE] = "write",       [OP_RECV] = "recv",     [OP_SEND] = "send",     [OP_ACCEPT] = "accept",
                [OP_CONNECT] = "connect",   [OP_FSYNC] = "fsync",   [OP_OPEN] = "open",     [OP_CLOSE] = "close",
                [OP_TRUNCATE] = "truncate", [OP_RENAME] = "rename", [OP_UNLINK] = "unlink", [OP_LINK] = "link",
                [OP_RESOLVE] = "resolve",   [OP_FIND] = "find",     [OP_IDS] = "ids",       [OP_SYMBOL] = "symbol",
                [OP_SPAWN] = "spawn",       [OP_TIMER] = "timer",
        };

        ASSERT(kind < OP_KINDS);
        return names[kind];
}
