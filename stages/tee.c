/* stages/tee.c: every branch gets every byte, and no byte is copied: tee(2) from one pipe into others; or, where a neighbour
 * works on memory, the same buffer by reference to all (the engine does that: engine/function.c).
 *
 *      what feeds it --> [in] --tee(2)--> [out 0] --> branch 0
 *                          |  --tee(2)--> [out 1] --> branch 1     links of their own move on from there
 *                          +--splice(2)--> /dev/null: what every branch has
 *
 * tee(2) always begins at the head of its source, so `ahead[i]` says how much of the head branch i has already:
 *
 *      a branch with ahead == 0 is given a tee;  then m = min(ahead) bytes of the head are dropped, and m is subtracted
 *
 * No branch need be empty, they may take different counts, and the order is exact. A branch that is gone counts as ahead
 * of all. Nothing else is kept: the pipes are the buffers, and the slowest branch rules.
 *
 *      IDLE --in readable, or an out writable--> pump --(in empty)--> wait for in, and for one branch to go away
 *                                                    --(an out full)--> wait for it
 *                                                    --(end of in)--> close all: over
 *                                                    --(no branch left)--> close in: over, and what feeds us is told
 *
 * The pump tries (inline), or, where a process could keep the loop waiting by a pipe's lock, has one operation at a time in the
 * ring (BUSY): it moves references only, a MiB in microseconds, so nothing is gained by more of them.
 *
 * Law: for every living branch, bytes given == bytes dropped + ahead; so what one has is what all have. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"

enum { PUMP_ROUNDS = 64, TEE_BYTES = 1 << 20, DROP_AGAIN_MS = 1 };

struct branch {
        int read, write; /* its pipe; -1: let go of */
        uint64_t ahead;
};

struct tee_self {
        int in_read, in_write, null;
        int over, draining;
        int by_ring, busy; /* busy: an operation is under way */
        int watching;      /* for a branch to go away, while the input is silent */
        unsigned giving;   /* busy: the branch that is given a tee; nr: the head is dropped */
        unsigned nr;
        struct branch *branches;
};

static void pump(struct sluice_ctx *ctx, struct tee_self *self);

/* ---- life ---- */

static int open_branch(struct sluice_ctx *ctx, struct branch *b)
{
        int fds[2], r = sluice_ctx_pipe(ctx, fds);

        if (r < 0)
                return r;
        b->read = fds[0];
        b->write = fds[1];
        return sluice_ctx_nonblock(ctx, b->write);
}

static void null_opened(struct sluice_ctx *ctx, void *self, int64_t fd)
{
        ((struct tee_self *)self)->null = (int)fd;
        sluice_ctx_opened(ctx, fd < 0 ? (int)fd : 0);
}

static int tee_open(struct sluice_ctx *ctx, void *self_)
{
        struct tee_self *self = self_;
        int fds[2], r;

        if (sluice_ctx_memory(ctx))
                return 0;
        r = sluice_ctx_pipe(ctx, fds);
        self->by_ring = sluice_ctx_may_block(ctx);
        self->nr = sluice_ctx_outputs(ctx);
        self->branches = calloc(self->nr + 1, sizeof(*self->branches));
        if (!self->branches)
                return -ENOMEM;
        self->in_read = fds[0];
        self->in_write = fds[1];
        r = r < 0 ? r : sluice_ctx_nonblock(ctx, self->in_read);
        for (unsigned i = 0; r >= 0 && i < self->nr; i++)
                r = open_branch(ctx, &self->branches[i]);
        r = r < 0 ? r : sluice_ctx_open(ctx, "/dev/null", O_WRONLY, 0, null_opened);
        return r < 0 ? r : -EINPROGRESS;
}

static void tee_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)error;
        free(((struct tee_self *)self)->branches);
}

static void let_go(struct sluice_ctx *ctx, int *fd)
{
        if (*fd >= 0)
                sluice_ctx_close(ctx, *fd);
        *fd = -1;
}

/* What reads a branch has its end by now; ours would hide that it went away. */
static void let_go_of_readers(struct sluice_ctx *ctx, struct tee_self *self)
{
        for (unsigned i = 0; i < self->nr; i++)
                let_go(ctx, &self->branches[i].read);
}

static void finish(struct sluice_ctx *ctx, struct tee_self *self)
{
        if (self->over)
                return;
        self->over = 1;
        sluice_ctx_cancel(ctx); /* what still waits holds the fds that it names */
        let_go_of_readers(ctx, self);
        for (unsigned i = 0; i < self->nr; i++)
                let_go(ctx, &self->branches[i].write);
        let_go(ctx, &self->in_write);
        let_go(ctx, &self->in_read);
        if (self->draining)
                sluice_ctx_drained(ctx, 0);
        else
                sluice_ctx_enough(ctx);
}

/* What is no reason to try again. Asked again and again, it would keep us busy for ever. */
static int is_trouble(int64_t result)
{
        return result < 0 && result != -EAGAIN && result != -EINTR && result != -EPIPE;
}

static void fail(struct sluice_ctx *ctx, struct tee_self *self, int error, const char *operation)
{
        if (error == -EPERM || error == -ENOSYS)
                sluice_ctx_note(ctx, operation, "%s(2) is forbidden here; behind a function ('count: | tee(...') none is needed",
                                operation);
        else
                sluice_ctx_note(ctx, operation, "%s: %s", operation, strerror(-error));
        sluice_ctx_fail(ctx, error);
        finish(ctx, self);
}

/* ---- waiting ---- */

/* Cancelled, because the branch that was waited for has gone: the others go on. Or because the run is ended: then no wait begins
 * any more, and the pump is over by that. */
static void woken(struct sluice_ctx *ctx, void *self, int64_t result)
{
        (void)result;
        pump(ctx, self);
}

static int wait_for(struct sluice_ctx *ctx, int fd, unsigned events)
{
        return sluice_ctx_wait(ctx, fd, events, 0, woken);
}

/* ---- the pump ---- */

/* Of a tee's result. -errno: it is no use to go on. */
static int given(struct sluice_ctx *ctx, struct branch *b, int64_t n)
{
        if (n > 0)
                b->ahead = (uint64_t)n;
        else if (n == -EPIPE)
                let_go(ctx, &b->write); /* it wants no more, or failed: that is its own to say */
        return is_trouble(n) ? (int)n : 0;
}

/* The least that any living branch has of the head; UINT64_MAX: none lives. */
static uint64_t least_ahead(const struct tee_self *self)
{
        uint64_t least = UINT64_MAX;

        for (unsigned i = 0; i < self->nr; i++)
                if (self->branches[i].write >= 0 && self->branches[i].ahead < least)
                        least = self->branches[i].ahead;
        return least;
}

/* Every branch has `bytes` of the head, which are gone from it. */
static void head_gone(struct tee_self *self, uint64_t bytes)
{
        for (unsigned i = 0; i < self->nr; i++)
                if (self->branches[i].write >= 0)
                        self->branches[i].ahead -= bytes;
}

/* 1: something moved; 0: not, or not all; or -errno. */
static int drop_head(struct sluice_ctx *ctx, struct tee_self *self, uint64_t bytes)
{
        uint64_t left = bytes;
        ssize_t n = 1;

        while (left > 0) {
                n = sluice_ctx_try_splice(ctx, self->in_read, self->null, left < TEE_BYTES ? (size_t)left : TEE_BYTES);
                if (n <= 0)
                        break; /* the bytes are there, and /dev/null takes all: a signal; they are dropped later */
                left -= (uint64_t)n;
        }
        head_gone(self, bytes - left);
        return is_trouble(n) ? (int)n : left < bytes;
}

/* 1: something moved; 0: not; or -errno, and we are over. */
static int round_once(struct sluice_ctx *ctx, struct tee_self *self)
{
        uint64_t least;
        int r = 0;

        for (unsigned i = 0; i < self->nr && r == 0; i++) {
                struct branch *b = &self->branches[i];

                if (b->write >= 0 && b->ahead == 0)
                        r = given(ctx, b, sluice_ctx_try_tee(ctx, self->in_read, b->write, TEE_BYTES));
        }
        if (r < 0) {
                fail(ctx, self, r, "tee");
                return r;
        }
        least = least_ahead(self);
        r = least > 0 && least < UINT64_MAX ? drop_head(ctx, self, least) : 0;
        if (r < 0)
                fail(ctx, self, r, "splice");
        return r;
}

/* While nothing comes, nobody would meet the broken pipes. One living branch at a time is watched: when it goes, the next. */
static void watch_one(struct sluice_ctx *ctx, struct tee_self *self);

static void branch_gone(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct tee_self *self = self_;

        self->watching = 0;
        if (result == -ECANCELED || self->over)
                return;
        for (unsigned i = 0; i < self->nr; i++)
                if (self->branches[i].write >= 0 && sluice_ctx_is_ready(ctx, self->branches[i].write, 0) & POLLERR)
                        let_go(ctx, &self->branches[i].write);
        if (least_ahead(self) == UINT64_MAX)
                finish(ctx, self);
        else
                watch_one(ctx, self);
}

static void watch_one(struct sluice_ctx *ctx, struct tee_self *self)
{
        for (unsigned i = 0; i < self->nr && !self->watching; i++)
                if (self->branches[i].write >= 0)
                        self->watching = sluice_ctx_wait(ctx, self->branches[i].write, 0, 0, branch_gone) == 0;
}

/* Nothing moves: for whom is it? -EAGAIN of a tee does not say. Of several full branches one is waited for: all of them are
 * needed for the head to move, and those that are ready by then are found in the same round. */
static int wait_for_somebody(struct sluice_ctx *ctx, struct tee_self *self)
{
        int ready = sluice_ctx_is_ready(ctx, self->in_read, POLLIN);

        if (!(ready & POLLIN)) {
                if (ready & (POLLHUP | POLLERR))
                        return 1;
                watch_one(ctx, self);
                return wait_for(ctx, self->in_read, POLLIN);
        }
        for (unsigned i = 0; i < self->nr; i++)
                if (self->branches[i].write >= 0 && self->branches[i].ahead == 0)
                        return wait_for(ctx, self->branches[i].write, POLLOUT);
        return sluice_ctx_sleep(ctx, DROP_AGAIN_MS,
                                woken); /* the head could not be dropped (EINTR): tried again, or bytes are lost */
}

/* ---- by the ring ---- */

static void teed(struct sluice_ctx *ctx, void *self_, int64_t n)
{
        struct tee_self *self = self_;
        int r = given(ctx, &self->branches[self->giving], n);

        self->busy = 0;
        if (n == -ECANCELED)
                finish(ctx, self);
        else if (r < 0)
                fail(ctx, self, r, "tee");
        else
                pump(ctx, self);
}

static void head_dropped(struct sluice_ctx *ctx, void *self_, int64_t n)
{
        struct tee_self *self = self_;

        self->busy = 0;
        if (n > 0)
                head_gone(self, (uint64_t)n);
        if (n == -ECANCELED)
                finish(ctx, self);
        else if (is_trouble(n))
                fail(ctx, self, (int)n, "splice");
        else
                pump(ctx, self);
}

/* The branch that can be given something; nr: none. */
static unsigned branch_to_give(struct sluice_ctx *ctx, const struct tee_self *self)
{
        unsigned i = 0;

        while (i < self->nr && (self->branches[i].write < 0 || self->branches[i].ahead > 0 ||
                                sluice_ctx_is_ready(ctx, self->branches[i].write, POLLOUT) == 0))
                i++;
        return i;
}

/* 1: an operation is under way; 0: nothing can be done now; or -errno. */
static int submit_one(struct sluice_ctx *ctx, struct tee_self *self)
{
        uint64_t least = least_ahead(self);
        int r;

        self->giving = self->nr;
        if (least == 0) {
                self->giving = branch_to_give(ctx, self);
                if (self->giving == self->nr || !(sluice_ctx_is_ready(ctx, self->in_read, POLLIN) & POLLIN))
                        return 0;
                r = sluice_ctx_tee(ctx, self->in_read, self->branches[self->giving].write, TEE_BYTES, teed);
        } else {
                r = sluice_ctx_splice(ctx, self->in_read, -1, self->null, -1, least < TEE_BYTES ? (size_t)least : TEE_BYTES,
                                      head_dropped);
        }
        self->busy = r == 0;
        return r < 0 ? r : 1;
}

/* ---- both ---- */

static void pump(struct sluice_ctx *ctx, struct tee_self *self)
{
        int r = 0;

        if (self->over || self->busy)
                return;
        let_go_of_readers(ctx, self);
        for (int i = 0; !self->by_ring && i < PUMP_ROUNDS && round_once(ctx, self) > 0; i++)
                continue;
        if (self->over)
                return;
        if (least_ahead(self) == UINT64_MAX) {
                finish(ctx, self);
                return;
        }
        if (self->by_ring)
                r = submit_one(ctx, self);
        if (r == 0)
                r = wait_for_somebody(ctx, self);
        else if (r > 0)
                return;
        if (r < 0)
                sluice_ctx_fail(ctx, r); /* no memory to wait with: what the branches have is not all */
        if (r != 0)
                finish(ctx, self); /* ... or the end of the input */
}

static void tee_started(struct sluice_ctx *ctx, void *self)
{
        if (!sluice_ctx_memory(ctx))
                pump(ctx, self);
}

static int tee_drained(struct sluice_ctx *ctx, void *self_)
{
        struct tee_self *self = self_;

        if (self->over || sluice_ctx_memory(ctx))
                return 0;
        self->draining = 1;
        let_go(ctx, &self->in_write); /* the last writer: the pump meets the end behind what is there */
        return -EINPROGRESS;
}

/* ---- sides ---- */

static int tee_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)self;
        if (!sluice_ctx_linked(ctx, SLUICE_INPUT) || !sluice_ctx_linked(ctx, SLUICE_OUTPUT)) {
                sluice_ctx_note(ctx, "describe", "has an input, and an output for every branch");
                return -ENOTSUP;
        }
        (void)dir;
        ret->io = SLUICE_IO_FD | SLUICE_IO_LEND | SLUICE_IO_MEM;
        ret->kind = sluice_ctx_memory(ctx) ? SLUICE_KIND_FUNCTION : SLUICE_KIND_PIPE;
        return 0;
}

static int tee_process(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        return in->len ? sluice_forward(ctx, in->len) : 0;
}

static int tee_fd(struct sluice_ctx *ctx, void *self, enum sluice_direction dir)
{
        (void)ctx;
        return dir == SLUICE_INPUT ? ((struct tee_self *)self)->in_write : -EBADF;
}

static int tee_output(struct sluice_ctx *ctx, void *self, unsigned index)
{
        (void)ctx;
        return index < ((struct tee_self *)self)->nr ? ((struct tee_self *)self)->branches[index].read : -EBADF;
}

static const struct sluice_stage_ops tee_ops = {
        .size = sizeof(tee_ops),
        .name = "tee",
        .instance_size = sizeof(struct tee_self),
        .describe = tee_describe,
        .open = tee_open,
        .started = tee_started,
        .fd = tee_fd,
        .process = tee_process,
        .drained = tee_drained,
        .close = tee_close,
        .output = tee_output,
        .traits = SLUICE_MANY_OUTPUTS | SLUICE_OUTPUTS_MAY_FAIL,
};

static const struct sluice_stage_ops tee_strict_ops = {
        .size = sizeof(tee_strict_ops),
        .name = "tee-strict",
        .instance_size = sizeof(struct tee_self),
        .describe = tee_describe,
        .open = tee_open,
        .started = tee_started,
        .fd = tee_fd,
        .process = tee_process,
        .drained = tee_drained,
        .close = tee_close,
        .output = tee_output,
        .traits = SLUICE_MANY_OUTPUTS,
};

int sluice_add_tee(struct sluice_pipeline *p, int strict)
{
        return sluice_pipeline_add(p, strict ? &tee_strict_ops : &tee_ops, NULL, NULL);
}
