/* engine/transfer.c: one range, fd to fd: a link without a pipeline around it. Called by hosts; calls link.c. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "cancel.h"
#include "check.h"
#include "driver.h"
#include "link.h"
#include "loop.h"

struct transfer {
        struct link link;
        struct later later;
        struct sluice_loop *loop;
        struct op *deadline, *cancel;
        struct slot *cancel_slot;
        struct sluice_cancel *token;
        bool timed_out, ended;
        sluice_transfer_fn *done;
        void *arg;
};

/* Not from inside the link's own code, which still stands on it. */
static void finish(struct later *later)
{
        struct transfer *t = container_of(later, struct transfer, later);
        sluice_transfer_fn *done = t->done;
        void *arg = t->arg;
        int64_t result = t->timed_out ? -ETIMEDOUT : t->link.result < 0 ? t->link.result : (int64_t)t->link.counts.delivered;

        t->loop->runs--;
        slot_unref(t->cancel_slot);
        if (t->token)
                sluice_cancel_unref(t->token);
        free(t);
        done(arg, result);
}

static void finish_if_idle(struct transfer *t)
{
        if (t->ended && !t->deadline && !t->cancel)
                loop_later(t->loop, &t->later);
}

static void ended(struct link *l)
{
        struct transfer *t = l->owner;

        t->ended = true;
        if (t->deadline)
                backend_cancel(t->loop->backend, t->deadline);
        if (t->cancel)
                backend_cancel(t->loop->backend, t->cancel);
        finish_if_idle(t);
}

static bool no_memory(struct link *l)
{
        (void)l;
        return false;
}

static const struct link_hooks hooks = { .ended = ended, .memory = no_memory };

static void deadline_over(struct op *op)
{
        struct transfer *t = op->owner;
        bool expired = op_result(op) == 0;

        t->deadline = NULL;
        op_free(op);
        if (expired && !t->ended) {
                t->timed_out = true;
                link_cancel(&t->link, -ETIMEDOUT);
        } else {
                finish_if_idle(t);
        }
}

static void cancel_fired(struct op *op)
{
        struct transfer *t = op->owner;
        bool fired = op_result(op) > 0;

        t->cancel = NULL;
        op_free(op);
        if (fired && !t->ended)
                link_cancel(&t->link, -ECANCELED);
        else
                finish_if_idle(t);
}

static int take_end(struct sluice_loop *l, struct end *e, int fd, struct fd_info *info)
{
        struct backend *b = l->backend;
        int r = b->ops->inspect(b, fd, info), copy;

        if (r < 0)
                return r;
        copy = b->ops->dup(b, fd);
        if (copy < 0)
                return copy;
        r = slot_new(&e->slot, b, copy);
        if (r < 0) {
                b->ops->close(b, copy);
                return r;
        }
        e->pipe = e->foreign = info->kind == FD_PIPE;
        e->socket = info->kind == FD_SOCKET;
        e->regular = info->kind == FD_FILE;
        e->local = info->local;
        return 0;
}

/* Copied rather than spliced: what splice would wait in, or refuse. */
static bool copy_only(const struct fd_info *from, const struct fd_info *to)
{
        bool waits =
                (from->kind == FD_SOCKET && !(from->flags & O_NONBLOCK)) || (to->kind == FD_SOCKET && !(to->flags & O_NONBLOCK));

        return waits || from->kind == FD_TTY || to->kind == FD_TTY || (to->kind == FD_FILE && to->flags & O_APPEND);
}

static int watch(struct transfer *t, const struct sluice_transfer *opt)
{
        struct backend *b = t->loop->backend;

        if (opt->cancel) {
                int fd = b->ops->dup(b, cancel_fd(opt->cancel));

                if (fd < 0)
                        return fd;
                if (slot_new(&t->cancel_slot, b, fd) < 0) {
                        b->ops->close(b, fd);
                        return -ENOMEM;
                }
                t->cancel = op_new(b, OP_POLL, cancel_fired, t);
                if (!t->cancel)
                        return -ENOMEM;
                op_pin(t->cancel, t->cancel_slot, NULL, NULL);
                t->cancel->poll.events = POLLIN;
        }
        if (opt->timeout_ms > 0) {
                t->deadline = op_new(b, OP_TIMER, deadline_over, t);
                if (!t->deadline)
                        return -ENOMEM;
                t->deadline->timer.at_ns = backend_after_ms(b, opt->timeout_ms);
        }
        return 0;
}

static void drop(struct transfer *t)
{
        if (t->cancel)
                op_free(t->cancel);
        if (t->deadline)
                op_free(t->deadline);
        slot_unref(t->cancel_slot);
        link_fini(&t->link);
        free(t);
}

int sluice_transfer(struct sluice_loop *l, const struct sluice_transfer *opt, sluice_transfer_fn *done, void *arg)
{
        struct fd_info from, to;
        struct transfer *t;
        int r;

        if (opt->size != sizeof(*opt) || opt->from < 0 || opt->to < 0 || !done)
                return -EINVAL;
        if (opt->offset_from < -1 || opt->offset_to < -1 || opt->length < -1 || opt->timeout_ms < 0)
                return -EINVAL;
        if ((int)opt->driver < SLUICE_DRIVER_AUTO || opt->driver > SLUICE_DRIVER_COPY)
                return -EINVAL;
        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->loop = l;
        t->done = done;
        t->arg = arg;
        t->later.fn = finish;
        link_init(&t->link, l, &hooks, t, 0);
        r = take_end(l, &t->link.source, opt->from, &from);
        r = r < 0 ? r : take_end(l, &t->link.sink, opt->to, &to);
        r = r < 0 ? r : watch(t, opt);
        if (r < 0) {
                drop(t);
                return r;
        }
        const struct driver_facts facts = {
                .forced = opt->driver,
                .copy_only = copy_only(&from, &to),
                .may_block = (from.kind == FD_FILE && !from.in_memory) || (to.kind == FD_FILE && !to.in_memory),
                .may_be_cached = from.kind == FD_FILE && to.kind != FD_FILE && opt->offset_from >= 0,
                .foreign_pipe = from.kind == FD_PIPE || to.kind == FD_PIPE,
                .sockets = from.kind == FD_SOCKET && to.kind == FD_SOCKET,
                .exclusive = loop_exclusive(l),
        };
        t->link.driver = driver_choose(&facts).driver;
        t->link.source_bytes = from.size;
        t->link.sink.offset = opt->offset_to;
        t->link.source.shared_position = from.kind == FD_FILE && opt->offset_from < 0;
        segments_add(&t->link.segments, (struct segment){ .kind = SEGMENT_FD, .offset = opt->offset_from, .length = opt->length });
        segments_add(&t->link.segments, (struct segment){ .kind = SEGMENT_END });
        l->runs++;
        if (opt->cancel)
                t->token = cancel_ref(opt->cancel);
        if (t->cancel)
                backend_submit(l->backend, t->cancel);
        if (t->deadline)
                backend_submit(l->backend, t->deadline);
        link_start(&t->link);
        return 0;
}
