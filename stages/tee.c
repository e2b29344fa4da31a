/* stages/tee.c: every branch gets every byte, and no byte is copied: tee(2) from one pipe into others.
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
 *      IDLE --in readable, or an out writable--> pump --(in empty)--> wait for in
 *                                                    --(an out full)--> wait for it
 *                                                    --(end of in)--> close all: over
 *                                                    --(no branch left)--> close in: over, and what feeds us is told
 *
 * Law: for every living branch, bytes given == bytes dropped + ahead; so what one has is what all have. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "plain.h"

enum { PUMP_ROUNDS = 64, TEE_BYTES = 1 << 20 };

struct branch {
        int read, write; /* its pipe; -1: let go of */
        uint64_t ahead;
};

struct tee_self {
        int in_read, in_write, null;
        int over, draining;
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
        int fds[2], r = sluice_ctx_pipe(ctx, fds);

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

/* ---- waiting ---- */

static void woken(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct tee_self *self = self_;

        if (result == -ECANCELED)
                finish(ctx, self); /* the run is ended: what reads the branches need not wait for us */
        else
                pump(ctx, self);
}

static int wait_for(struct sluice_ctx *ctx, int fd, unsigned events)
{
        return sluice_ctx_wait(ctx, fd, events, 0, woken);
}

/* ---- the pump ---- */

static void give(struct sluice_ctx *ctx, struct tee_self *self, struct branch *b)
{
        ssize_t n = sluice_ctx_try_tee(ctx, self->in_read, b->write, TEE_BYTES);

        if (n > 0) {
                b->ahead = (uint64_t)n;
        } else if (n == -EPIPE) {
                let_go(ctx, &b->write); /* it wants no more, or failed: that is its own to say */
        }
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

static uint64_t drop_head(struct sluice_ctx *ctx, struct tee_self *self, uint64_t bytes)
{
        uint64_t left = bytes;

        while (left > 0) {
                ssize_t n = sluice_ctx_try_splice(ctx, self->in_read, self->null, left < TEE_BYTES ? (size_t)left : TEE_BYTES);

                if (n <= 0)
                        break; /* cannot be: the bytes are there, and /dev/null takes all; then they are dropped later */
                left -= (uint64_t)n;
        }
        for (unsigned i = 0; i < self->nr; i++)
                if (self->branches[i].write >= 0)
                        self->branches[i].ahead -= bytes - left;
        return bytes - left;
}

/* True: something moved. */
static int round_once(struct sluice_ctx *ctx, struct tee_self *self)
{
        uint64_t least;

        for (unsigned i = 0; i < self->nr; i++)
                if (self->branches[i].write >= 0 && self->branches[i].ahead == 0)
                        give(ctx, self, &self->branches[i]);
        least = least_ahead(self);
        return least > 0 && least < UINT64_MAX && drop_head(ctx, self, least) > 0;
}

/* Nothing moves: for whom is it? -EAGAIN of a tee does not say. Of several full branches one is waited for: all of them are
 * needed for the head to move, and those that are ready by then are found in the same round. */
static int wait_for_somebody(struct sluice_ctx *ctx, struct tee_self *self)
{
        int ready = sluice_ctx_is_ready(ctx, self->in_read, POLLIN);

        if (!(ready & POLLIN))
                return ready & (POLLHUP | POLLERR) ? 1 : wait_for(ctx, self->in_read, POLLIN);
        for (unsigned i = 0; i < self->nr; i++)
                if (self->branches[i].write >= 0 && self->branches[i].ahead == 0)
                        return wait_for(ctx, self->branches[i].write, POLLOUT);
        return -EIO; /* cannot be: then the head would have moved */
}

static void pump(struct sluice_ctx *ctx, struct tee_self *self)
{
        int r;

        if (self->over)
                return;
        let_go_of_readers(ctx, self);
        for (int i = 0; i < PUMP_ROUNDS && round_once(ctx, self); i++)
                continue;
        if (least_ahead(self) == UINT64_MAX) {
                finish(ctx, self);
                return;
        }
        r = wait_for_somebody(ctx, self);
        if (r != 0)
                finish(ctx, self); /* the end of the input, or no memory to wait with */
}

static int tee_commit(struct sluice_ctx *ctx, void *self)
{
        return wait_for(ctx, ((struct tee_self *)self)->in_read, POLLIN);
}

static int tee_drained(struct sluice_ctx *ctx, void *self_)
{
        struct tee_self *self = self_;

        if (self->over)
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
        ret->io = SLUICE_IO_FD | SLUICE_IO_LEND;
        ret->kind = SLUICE_KIND_PIPE;
        return 0;
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
        .commit = tee_commit,
        .fd = tee_fd,
        .drained = tee_drained,
        .close = tee_close,
        .output = tee_output,
        .outputs_may_fail = 1,
};

static const struct sluice_stage_ops tee_strict_ops = {
        .size = sizeof(tee_strict_ops),
        .name = "tee-strict",
        .instance_size = sizeof(struct tee_self),
        .describe = tee_describe,
        .open = tee_open,
        .commit = tee_commit,
        .fd = tee_fd,
        .drained = tee_drained,
        .close = tee_close,
        .output = tee_output,
};

int sluice_add_tee(struct sluice_pipeline *p, int strict)
{
        return sluice_pipeline_add(p, strict ? &tee_strict_ops : &tee_ops, NULL, NULL);
}
