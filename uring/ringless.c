/* uring/ringless.c: see ringless.h. Called by uring/backend_kernel.c; calls attempt.c, ready.c and the helper. */
#include "ringless.h"

#include <errno.h>
#include <poll.h>

#include "attempt.h"
#include "check.h"
#include "helper.h"

enum { LATER_NS = 5000000 };

void ringless_init(struct ringless *w, struct backend *b, struct ready *r, void (*wake)(void *))
{
        *w = (struct ringless){ .backend = b, .ready = r, .wake = wake };
        list_init(&w->later);
}

/* ---- the three ways ---- */

static void go_to(struct op *op, enum op_place place)
{
        if (op->state == OP_QUEUED)
                op_to(op, OP_IN_KERNEL);
        op->place = place;
}

/* A task for a thread: the operation is QUEUED, or was ready. */
static void to_thread(struct ringless *w, struct op *op)
{
        struct backend *b = w->backend;
        int r = b->helper ? 0 : helper_new(&b->helper, w->wake, b);

        go_to(op, OP_AT_HELPER);
        list_push(&b->tasks, &op->node);
        if (op->in)
                slot_nature(op->in); /* the thread only looks it up */
        r = r < 0 ? r : helper_submit(b->helper, op, b->kind == BACKEND_EPOLL ? POOL_THREADS : HELPER_THREADS);
        if (r < 0)
                backend_complete(b, op, r);
}

static uint32_t events_of(const struct op *op)
{
        switch (op->kind) {
        case OP_POLL:
                return op->poll.events;
        case OP_WRITE:
        case OP_SEND:
        case OP_CONNECT:
                return POLLOUT;
        default:
                return POLLIN;
        }
}

/* What is always ready and yet would wait is asked by a thread. */
static void wait_until_ready(struct ringless *w, struct op *op)
{
        uint32_t events = events_of(op);
        int r;

        r = ready_add(w->ready, op, events);
        if (r < 0)
                backend_complete(w->backend, op, r);
        else if (r == 0)
                go_to(op, OP_AT_READY);
        else if (op->kind == OP_POLL)
                backend_complete(w->backend, op, (int)(events & (POLLIN | POLLOUT)));
        else
                to_thread(w, op);
}

/* A listener on a unix socket whose queue is full: no event tells when it has room. */
static bool is_stubborn(const struct op *op, int r)
{
        return r == -EAGAIN && op->kind == OP_CONNECT && !op->begun && op->net.address->sa_family == AF_UNIX;
}

static void ask_later(struct ringless *w, struct op *op)
{
        go_to(op, OP_AT_LATER);
        if (list_empty(&w->later))
                w->later_at_ns = backend_now_ns(w->backend) + LATER_NS;
        list_push(&w->later, &op->node);
}

/* ---- */

static bool is_plain(const struct op *op)
{
        return op->kind == OP_READ || op->kind == OP_WRITE;
}

static bool is_storage(const struct op *op)
{
        return is_plain(op) && slot_nature(op->in) == SLOT_STORAGE;
}

/* 0 from a file that was only asked for what is cached is asked again by one that may wait: an end is said once. */
static bool needs_thread(const struct op *op, int r)
{
        return is_storage(op) && (r == 0 || r == -EAGAIN || r == -EOPNOTSUPP);
}

static void try_now(struct ringless *w, struct op *op)
{
        int r;

        if (op->in)
                slot_nature(op->in);
        r = attempt(op);

        if (needs_thread(op, r)) {
                to_thread(w, op);
        } else if (is_stubborn(op, r)) {
                ask_later(w, op);
        } else if (r == -EAGAIN || (r == -EOPNOTSUPP && is_plain(op))) {
                op->slow = r == -EOPNOTSUPP;
                wait_until_ready(w, op);
        } else {
                backend_complete(w->backend, op, r);
        }
}

/* Its fd is ready. */
static void proceed(struct ringless *w, struct op *op, uint32_t events)
{
        if (op->kind == OP_POLL)
                backend_complete(w->backend, op, (int)events);
        else if (op->slow)
                to_thread(w, op);
        else
                try_now(w, op);
}

void ringless_begin(struct ringless *w, struct op *op)
{
        switch (op->kind) {
        case OP_POLL:
                wait_until_ready(w, op);
                break;
        case OP_READ:
        case OP_WRITE:
                op->slow = op->force_async;
                if (is_storage(op) && (op->slow || op->kind == OP_WRITE))
                        to_thread(w, op);
                else if (op->slow)
                        wait_until_ready(w, op);
                else
                        try_now(w, op);
                break;
        case OP_RECV:
        case OP_SEND:
        case OP_ACCEPT:
        case OP_CONNECT:
                try_now(w, op);
                break;
        default:
                to_thread(w, op);
        }
}

void ringless_cancel(struct ringless *w, struct op *op)
{
        if (op->place == OP_AT_HELPER && !helper_cancel(w->backend->helper, op))
                return; /* it runs: its completion follows */
        if (op->place == OP_AT_READY)
                ready_remove(w->ready, op);
        backend_complete(w->backend, op, -ECANCELED);
}

/* ---- what goes on ---- */

static bool may_ask_again(const struct op *op)
{
        return is_plain(op) && !is_storage(op) && !op->in->always_ready;
}

static void resume_tasks(struct ringless *w)
{
        struct backend *b = w->backend;
        struct op *op;

        while (b->helper && (op = helper_reap(b->helper))) {
                list_unlink(&op->node);
                if (op->res != -EAGAIN || !may_ask_again(op))
                        backend_complete(b, op, op->res);
                else if (op->cancel_sent)
                        backend_complete(b, op, -ECANCELED);
                else
                        wait_until_ready(w, op);
        }
}

static void resume_later(struct ringless *w)
{
        struct list todo, *node;

        if (list_empty(&w->later) || backend_now_ns(w->backend) < w->later_at_ns)
                return;
        list_init(&todo);
        list_splice(&todo, &w->later);
        while ((node = list_pop(&todo)))
                try_now(w, container_of(node, struct op, node));
}

void ringless_resume(struct ringless *w, struct list *ready)
{
        struct list *node;

        while ((node = list_pop(ready))) {
                struct op *op = container_of(node, struct op, node);

                proceed(w, op, (uint32_t)op->res);
        }
        resume_later(w);
        resume_tasks(w);
}

uint64_t ringless_next_ns(const struct ringless *w)
{
        return list_empty(&w->later) ? UINT64_MAX : w->later_at_ns;
}
