/* stages/callback.c: the host as a source or a sink: its callback is asked for bytes, or given them, on the loop's thread.
 *
 *      ASKED --bytes--> ASKED          --(-EAGAIN)--> WAITING --wake_fd ready--> ASKED
 *            --0: the end--> over
 *
 * The wait is a call of the engine's, so whoever ends the run, or the command that is fed, ends it too: a source that is
 * silent for ever keeps nobody. */
#include <errno.h>
#include <poll.h>

#include <sluice/stages.h>

struct callback_config {
        sluice_reader_fn *read; /* one of the two */
        sluice_writer_fn *write;
        void *arg;
        int wake_fd;
};

struct callback_self {
        int wake_fd; /* a duplicate; -1: none */
};

static int callback_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        const struct callback_config *c = sluice_ctx_config(ctx);

        (void)self;
        if (dir == SLUICE_INPUT ? !c->write : !c->read)
                return 0;
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static int callback_open(struct sluice_ctx *ctx, void *self_)
{
        const struct callback_config *c = sluice_ctx_config(ctx);
        struct callback_self *self = self_;

        self->wake_fd = c->wake_fd >= 0 ? sluice_ctx_dup(ctx, c->wake_fd) : -1;
        if (c->wake_fd >= 0 && self->wake_fd < 0) {
                sluice_ctx_note(ctx, "open", "its wake_fd %d is not open", c->wake_fd);
                return self->wake_fd;
        }
        return 0;
}

static void woken(struct sluice_ctx *ctx, void *self, int64_t result)
{
        (void)self;
        if (result != -ECANCELED)
                sluice_ctx_ready(ctx);
}

static int wait_for_host(struct sluice_ctx *ctx, struct callback_self *self)
{
        const struct callback_config *c = sluice_ctx_config(ctx);
        int r;

        if (self->wake_fd < 0) {
                sluice_ctx_note(ctx, "process", "it said EAGAIN, and has no wake_fd to say when to ask again");
                return -EPROTO;
        }
        r = sluice_ctx_wait(ctx, self->wake_fd, c->read ? POLLIN : POLLOUT, 0, woken);
        return r < 0 ? r : -EAGAIN;
}

static int read_from_host(struct sluice_ctx *ctx, struct callback_self *self, struct sluice_buf *out)
{
        const struct callback_config *c = sluice_ctx_config(ctx);
        ssize_t n = c->read(c->arg, out->data, out->cap);

        if (n == -EAGAIN)
                return wait_for_host(ctx, self);
        if (n > 0)
                out->len = (size_t)n;
        return n < 0 ? (int)n : n == 0 ? SLUICE_END : 0;
}

static int write_to_host(struct sluice_ctx *ctx, struct callback_self *self, struct sluice_buf *in)
{
        const struct callback_config *c = sluice_ctx_config(ctx);
        ssize_t n = in->len > 0 || in->end ? c->write(c->arg, in->data, in->len) : 0;

        if (n == -EAGAIN)
                return wait_for_host(ctx, self);
        if (n == SLUICE_WRITER_ENOUGH)
                return SLUICE_END;
        if (n < 0)
                return (int)n;
        in->consumed = (size_t)n;
        return in->len == 0 && in->end ? SLUICE_END : 0;
}

static int callback_process(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        return out ? read_from_host(ctx, self, out) : write_to_host(ctx, self, in);
}

static void callback_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

static const struct sluice_stage_ops callback_ops = {
        .size = sizeof(callback_ops),
        .name = "callback",
        .instance_size = sizeof(struct callback_self),
        .config_size = sizeof(struct callback_config),
        .describe = callback_describe,
        .open = callback_open,
        .process = callback_process,
        .close = callback_close,
};

int sluice_add_reader(struct sluice_pipeline *p, sluice_reader_fn *fn, void *arg, int wake_fd)
{
        const struct callback_config c = { .read = fn, .arg = arg, .wake_fd = wake_fd };

        return fn ? sluice_pipeline_add(p, &callback_ops, &c, "reader") : -EINVAL;
}

int sluice_add_writer(struct sluice_pipeline *p, sluice_writer_fn *fn, void *arg, int wake_fd)
{
        const struct callback_config c = { .write = fn, .arg = arg, .wake_fd = wake_fd };

        return fn ? sluice_pipeline_add(p, &callback_ops, &c, "writer") : -EINVAL;
}
