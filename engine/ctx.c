/* engine/ctx.c: the calls that stages make, each a backend call that ends in the stage's callback.
 *
 * A call holds the operation and, where it has a deadline, a timer; whichever comes first cancels the other, and the
 * callback comes when both are over. fds that calls make belong to the stage's list here, so that a stage cannot leak
 * one. Called by stages/; calls the backend and run.c. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "run.h"

struct call {
        struct list node;
        struct sluice_ctx *ctx;
        struct op *op, *timer;
        sluice_then_fn *then;
        int64_t result;
        bool timed_out;
};

struct ctx_fd {
        struct list node;
        struct slot *slot;
};

static struct backend *backend_of(const struct sluice_ctx *c)
{
        return c->run->loop->backend;
}

/* ---- fds ---- */

static struct ctx_fd *find_fd(struct sluice_ctx *c, int fd)
{
        for (struct list *n = c->fds.next; n != &c->fds; n = n->next)
                if (container_of(n, struct ctx_fd, node)->slot->fd == fd)
                        return container_of(n, struct ctx_fd, node);
        return NULL;
}

struct slot *ctx_slot(struct sluice_ctx *c, int fd)
{
        struct ctx_fd *f = find_fd(c, fd);

        return f ? f->slot : NULL;
}

static int keep_fd(struct sluice_ctx *c, int fd)
{
        struct ctx_fd *f = calloc(1, sizeof(*f));

        if (!f)
                return -ENOMEM;
        if (slot_new(&f->slot, backend_of(c), fd) < 0) {
                free(f);
                return -ENOMEM;
        }
        list_push(&c->fds, &f->node);
        return 0;
}

/* An fd that cannot be kept is closed: nobody else knows of it. Never below 3 (see sys_dup()). */
static int64_t keep_new_fd(struct sluice_ctx *c, int64_t fd)
{
        struct backend *b = backend_of(c);

        if (fd < 0)
                return fd;
        if (fd < 3) {
                int high = b->ops->dup(b, (int)fd);

                b->ops->close(b, (int)fd);
                if (high < 0)
                        return high;
                fd = high;
        }
        if (keep_fd(c, (int)fd) < 0) {
                b->ops->close(b, (int)fd);
                return -ENOMEM;
        }
        return fd;
}

void ctx_forget_fd(struct sluice_ctx *c, int fd)
{
        struct ctx_fd *f = find_fd(c, fd);

        if (!f)
                return;
        list_unlink(&f->node);
        slot_unref(f->slot);
        free(f);
}

/* A wait holds what it waits for: others would not see it closed before the wait is over. */
void sluice_ctx_close(struct sluice_ctx *c, int fd)
{
        struct slot *s = ctx_slot(c, fd);

        for (struct list *n = c->calls.next; n != &c->calls; n = n->next) {
                struct call *k = container_of(n, struct call, node);

                if (s && k->op && k->op->kind == OP_POLL && k->op->in == s)
                        backend_cancel(backend_of(c), k->op);
        }
        ctx_forget_fd(c, fd);
}

void sluice_ctx_adopt(struct sluice_ctx *c, int fd)
{
        if (!find_fd(c, fd) && keep_fd(c, fd) < 0)
                close(fd);
}

/* ---- the life of a call ---- */

static void call_over(struct call *k)
{
        struct sluice_ctx *c = k->ctx;
        sluice_then_fn *then = k->then;
        int64_t result = k->timed_out && k->result < 0 ? -ETIMEDOUT : k->result;

        if (k->op || k->timer)
                return;
        list_unlink(&k->node);
        free(k);
        if (then)
                then(c, c->self, result);
        run_wake(c->run);
}

static void call_done(struct op *op);

static int64_t result_of(struct sluice_ctx *c, struct op *op)
{
        int r = op_result(op);

        switch (op->kind) {
        case OP_OPEN:
        case OP_ACCEPT:
                return keep_new_fd(c, r);
        case OP_CONNECT:
                /* Only now: on an O_NONBLOCK socket the ring would answer EINPROGRESS instead of waiting. */
                if (r == 0)
                        backend_of(c)->ops->set_nonblock(backend_of(c), op->in->fd, true);
                return r;
        case OP_FIND:
                if (r < 0)
                        return r;
                free(c->found);
                c->found = op->find.ret;
                return 0;
        case OP_RESOLVE: {
                int n = 0;

                if (r == -ECANCELED) /* its strings went with the thread that still looks them up */
                        return r;
                if (r < 0 && op->resolve.error == EAI_SERVICE) {
                        sluice_ctx_note(c, "port", "no service '%s': a port is a number or a name of /etc/services",
                                        op->resolve.port);
                        return r;
                }
                if (r < 0) {
                        sluice_ctx_note(c, "resolve", "%s: %s", op->resolve.host ? op->resolve.host : "",
                                        op->resolve.error ? gai_strerror(op->resolve.error) : strerror(-r));
                        return r;
                }
                if (c->addresses)
                        freeaddrinfo(c->addresses);
                c->addresses = op->resolve.ret;
                for (struct addrinfo *a = c->addresses; a; a = a->ai_next)
                        n++;
                return n;
        }
        default:
                return r;
        }
}

/* A signal, or a connection that had gone before it was taken, is no answer: the wait goes on, and its timer with it. */
static bool accept_again(struct call *k, const struct op *op)
{
        struct op *again;
        int r = op_result(op);

        if (op->kind != OP_ACCEPT || (r != -EINTR && r != -ECONNABORTED))
                return false;
        /* A cancel that came in the same turn found it done already, and would not come again. */
        if (op->cancel_sent || op->cancel_waiting || k->timed_out || k->ctx->run->stopping)
                return false;
        again = op_new(backend_of(k->ctx), OP_ACCEPT, call_done, k);
        if (!again)
                return false;
        op_pin(again, op->in, NULL, NULL);
        k->op = again;
        backend_submit(backend_of(k->ctx), again);
        return true;
}

static void call_done(struct op *op)
{
        struct call *k = op->owner;

        if (accept_again(k, op)) {
                op_free(op);
                return;
        }
        k->result = result_of(k->ctx, op);
        k->op = NULL;
        op_free(op);
        if (k->timer)
                backend_cancel(backend_of(k->ctx), k->timer);
        call_over(k);
}

static void call_timed_out(struct op *op)
{
        struct call *k = op->owner;
        bool expired = op_result(op) == 0;

        k->timer = NULL;
        op_free(op);
        if (expired && k->op) {
                k->timed_out = true;
                backend_cancel(backend_of(k->ctx), k->op);
        }
        call_over(k);
}

/* Starts `op`, filled in and pinned. Takes it over in any case. */
static int call_start(struct sluice_ctx *c, struct op *op, int64_t timeout_ms, sluice_then_fn *then)
{
        struct backend *b = backend_of(c);
        struct call *k;

        /* A run that is stopping begins nothing: a chain of calls (fsync, link, rename) ends where the stop met it. */
        if (c->run->stopping && op->kind != OP_UNLINK) {
                op_free(op);
                return -ECANCELED;
        }
        k = calloc(1, sizeof(*k));
        if (!k) {
                op_free(op);
                return -ENOMEM;
        }
        *k = (struct call){ .ctx = c, .op = op, .then = then };
        list_init(&k->node);
        op->owner = k;
        if (timeout_ms > 0) {
                k->timer = op_new(b, OP_TIMER, call_timed_out, k);
                if (!k->timer) {
                        op_free(op);
                        free(k);
                        return -ENOMEM;
                }
                k->timer->timer.at_ns = backend_after_ms(b, timeout_ms);
        }
        list_push(&c->calls, &k->node);
        backend_submit(b, op);
        if (k->timer)
                backend_submit(b, k->timer);
        return 0;
}

static struct op *call_op(struct sluice_ctx *c, enum op_kind kind, int fd)
{
        struct slot *s = fd >= 0 ? ctx_slot(c, fd) : NULL;
        struct op *op = op_new(backend_of(c), kind, call_done, NULL);

        if (op && s)
                op_pin(op, s, NULL, NULL);
        return op;
}

void ctx_cancel_calls(struct sluice_ctx *c)
{
        nested_cancel(c);
        for (struct list *n = c->calls.next; n != &c->calls; n = n->next) {
                struct call *k = container_of(n, struct call, node);

                /* Cleaning up is not cancelled: a temporary file must go. */
                if (k->op && k->op->kind != OP_UNLINK && k->op->kind != OP_CLOSE)
                        backend_cancel(backend_of(c), k->op);
        }
}

/* A call whose operation is done already ends by itself in this batch. */
void ctx_abandon_calls(struct sluice_ctx *c)
{
        struct list *n, *next;

        for (n = c->calls.next; n != &c->calls; n = next) {
                struct call *k = container_of(n, struct call, node);

                next = n->next;
                if (!k->op || k->op->state == OP_DONE)
                        continue;
                backend_abandon(backend_of(c), k->op);
                c->run->abandoned++;
                k->op = NULL;
                k->then = NULL;
                k->result = -ECANCELED;
                if (k->timer)
                        backend_cancel(backend_of(c), k->timer);
                call_over(k);
        }
}

bool ctx_has_calls(const struct sluice_ctx *c)
{
        return !list_empty(&c->calls);
}

void ctx_fini(struct sluice_ctx *c)
{
        ASSERT(list_empty(&c->calls));
        while (!list_empty(&c->fds))
                ctx_forget_fd(c, container_of(c->fds.next, struct ctx_fd, node)->slot->fd);
        free(c->found);
        c->found = NULL;
        if (c->addresses)
                freeaddrinfo(c->addresses);
        c->addresses = NULL;
        if (c->pipe_bytes)
                pipe_release_budget(c->pipe_bytes);
        c->pipe_bytes = 0;
}

/* ---- the calls ---- */

const void *sluice_ctx_config(const struct sluice_ctx *c)
{
        return c->config;
}

int sluice_ctx_linked(const struct sluice_ctx *c, enum sluice_direction dir)
{
        return (dir == SLUICE_INPUT ? c->def->in_link : c->def->out_link) >= 0;
}

void sluice_ctx_ready(struct sluice_ctx *c)
{
        c->function_waits = false;
        c->asked = true;
        function_kick(c);
}

void sluice_ctx_note(struct sluice_ctx *c, const char *operation, const char *format, ...)
{
        va_list args;

        c->note_operation = operation;
        va_start(args, format);
        words_say_args(&c->note, NOTE_BYTES, format, args);
        va_end(args);
}

static int call_path(struct sluice_ctx *c, struct op *op, const char *path, const char *second, sluice_then_fn *then)
{
        size_t bytes = strlen(path) + 1, more = second ? strlen(second) + 1 : 0;
        char *copy = op ? malloc(bytes + more) : NULL;

        if (!copy) {
                if (op)
                        op_free(op);
                return -ENOMEM;
        }
        memcpy(copy, path, bytes);
        if (second)
                memcpy(copy + bytes, second, more);
        op->owned = copy;
        switch (op->kind) {
        case OP_OPEN:
                op->open.path = copy;
                break;
        case OP_LINK:
                op->name.to = copy;
                break;
        case OP_SYMBOL:
                op->symbol.name = copy;
                break;
        case OP_FIND:
                op->find.file = copy;
                op->find.path = second ? copy + bytes : NULL;
                break;
        default:
                op->name.from = copy;
                op->name.to = second ? copy + bytes : NULL;
                break;
        }
        return call_start(c, op, 0, then);
}

int sluice_ctx_open(struct sluice_ctx *c, const char *path, int flags, mode_t mode, sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_OPEN, -1);

        if (op) {
                op->open.flags = flags;
                op->open.mode = mode;
        }
        return call_path(c, op, path, NULL, then);
}

int sluice_ctx_link(struct sluice_ctx *c, int fd, const char *path, sluice_then_fn *then)
{
        return call_path(c, call_op(c, OP_LINK, fd), path, NULL, then);
}

int sluice_ctx_rename(struct sluice_ctx *c, const char *from, const char *to, sluice_then_fn *then)
{
        return call_path(c, call_op(c, OP_RENAME, -1), from, to, then);
}

int sluice_ctx_unlink(struct sluice_ctx *c, const char *path, sluice_then_fn *then)
{
        return call_path(c, call_op(c, OP_UNLINK, -1), path, NULL, then);
}

int ctx_find(struct sluice_ctx *c, const char *command, const char *path, int directory, sluice_then_fn *then)
{
        return call_path(c, call_op(c, OP_FIND, directory), command, path, then);
}

int ctx_symbol(struct sluice_ctx *c, int fd, const char *name, sluice_then_fn *then)
{
        return call_path(c, call_op(c, OP_SYMBOL, fd), name, NULL, then);
}

/* The strings and *ret stay until close(). */
int ctx_ids(struct sluice_ctx *c, const char *user, const char *group, struct ids *ret, sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_IDS, -1);

        if (!op)
                return -ENOMEM;
        op->ids.user = user;
        op->ids.group = group;
        op->ids.ret = ret;
        return call_start(c, op, 0, then);
}

int sluice_ctx_truncate(struct sluice_ctx *c, int fd, int64_t length, sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_TRUNCATE, fd);

        if (!op)
                return -ENOMEM;
        op->truncate.length = length;
        return call_start(c, op, 0, then);
}

int sluice_ctx_sync(struct sluice_ctx *c, int fd, int data_only, sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_FSYNC, fd);

        if (!op)
                return -ENOMEM;
        op->fsync.data_only = data_only;
        return call_start(c, op, 0, then);
}

/* close() of a duplicate runs the file system's flush, which is where NFS and quotas say what they could not store. */
int sluice_ctx_flush(struct sluice_ctx *c, int fd, sluice_then_fn *then)
{
        struct backend *b = backend_of(c);
        struct op *op = ctx_slot(c, fd) ? call_op(c, OP_CLOSE, -1) : NULL;
        int copy = op ? b->ops->dup(b, fd) : ctx_slot(c, fd) ? -ENOMEM : -EBADF;

        if (op)
                op->close.fd = copy;
        if (copy < 0) {
                if (op)
                        op_free(op);
                return copy;
        }
        return call_start(c, op, 0, then);
}

int sluice_ctx_resolve(struct sluice_ctx *c, const char *host, const char *port, int flags, sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_RESOLVE, -1);
        size_t host_bytes = host ? strlen(host) + 1 : 0, port_bytes = strlen(port) + 1;
        char *copy = op ? malloc(host_bytes + port_bytes) : NULL;

        if (!copy) {
                if (op)
                        op_free(op);
                return -ENOMEM;
        }
        if (host)
                memcpy(copy, host, host_bytes);
        memcpy(copy + host_bytes, port, port_bytes);
        op->owned = copy;
        op->resolve.host = host ? copy : NULL;
        op->resolve.port = copy + host_bytes;
        op->resolve.flags = flags;
        return call_start(c, op, 0, then);
}

int sluice_ctx_connect(struct sluice_ctx *c, int fd, const struct sockaddr *address, socklen_t bytes, int64_t timeout_ms,
                       sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_CONNECT, fd);

        if (!op)
                return -ENOMEM;
        if (op_set_address(op, address, bytes) < 0) {
                op_free(op);
                return -ENOMEM;
        }
        return call_start(c, op, timeout_ms, then);
}

int sluice_ctx_accept(struct sluice_ctx *c, int fd, int64_t timeout_ms, sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_ACCEPT, fd);

        return op ? call_start(c, op, timeout_ms, then) : -ENOMEM;
}

int sluice_ctx_sleep(struct sluice_ctx *c, int64_t timeout_ms, sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_TIMER, -1);

        if (!op)
                return -ENOMEM;
        op->timer.at_ns = backend_after_ms(backend_of(c), timeout_ms);
        return call_start(c, op, 0, then);
}

int sluice_ctx_wait(struct sluice_ctx *c, int fd, unsigned events, int64_t timeout_ms, sluice_then_fn *then)
{
        struct op *op = call_op(c, OP_POLL, fd);

        if (!op)
                return -ENOMEM;
        op->poll.events = events;
        return call_start(c, op, timeout_ms, then);
}

int sluice_ctx_splice(struct sluice_ctx *c, int from, int64_t offset_from, int to, int64_t offset_to, size_t bytes,
                      sluice_then_fn *then)
{
        struct slot *in = ctx_slot(c, from), *out = ctx_slot(c, to);
        struct op *op = in && out ? op_new(backend_of(c), OP_SPLICE, call_done, NULL) : NULL;

        if (!op)
                return in && out ? -ENOMEM : -EBADF;
        op_pin(op, in, out, NULL);
        op->move.offset_in = offset_from;
        op->move.offset_out = offset_to;
        op->move.bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
        return call_start(c, op, 0, then);
}

int sluice_ctx_tee(struct sluice_ctx *c, int from, int to, size_t bytes, sluice_then_fn *then)
{
        struct slot *in = ctx_slot(c, from), *out = ctx_slot(c, to);
        struct op *op = in && out ? op_new(backend_of(c), OP_TEE, call_done, NULL) : NULL;

        if (!op)
                return in && out ? -ENOMEM : -EBADF;
        op_pin(op, in, out, NULL);
        op->move.bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
        return call_start(c, op, 0, then);
}

void sluice_ctx_cancel(struct sluice_ctx *c)
{
        ctx_cancel_calls(c);
}

int sluice_ctx_may_block(const struct sluice_ctx *c)
{
        return c->run->opt->driver == SLUICE_DRIVER_RING || !loop_exclusive(c->run->loop);
}

ssize_t sluice_ctx_try_read(struct sluice_ctx *c, int fd, void *data, size_t bytes)
{
        struct backend *b = backend_of(c);
        struct slot *s = ctx_slot(c, fd);

        return s ? b->ops->try_read(b, s, data, bytes) : -EBADF;
}

const char *sluice_ctx_found(const struct sluice_ctx *c)
{
        return c->found;
}

int sluice_ctx_address(const struct sluice_ctx *c, int index, const struct sockaddr **ret, socklen_t *ret_bytes)
{
        struct addrinfo *a = c->addresses;

        while (a && index-- > 0)
                a = a->ai_next;
        if (!a)
                return -ENOENT;
        *ret = a->ai_addr;
        *ret_bytes = a->ai_addrlen;
        return 0;
}

int sluice_ctx_socket(struct sluice_ctx *c, int family, int type)
{
        struct backend *b = backend_of(c);

        return (int)keep_new_fd(c, b->ops->socket(b, family, type));
}

int sluice_ctx_listen(struct sluice_ctx *c, int fd, const struct sockaddr *address, socklen_t bytes, int backlog)
{
        struct backend *b = backend_of(c);

        return b->ops->listen(b, fd, address, bytes, backlog);
}

int sluice_ctx_option(struct sluice_ctx *c, int fd, int level, int name, int value)
{
        struct backend *b = backend_of(c);

        return b->ops->option(b, fd, level, name, value);
}

int sluice_ctx_shutdown(struct sluice_ctx *c, int fd, int how)
{
        struct backend *b = backend_of(c);

        return b->ops->shutdown(b, fd, how);
}

int sluice_ctx_reset(struct sluice_ctx *c, int fd)
{
        struct backend *b = backend_of(c);

        return b->ops->reset(b, fd);
}

int sluice_ctx_chmod(struct sluice_ctx *c, int fd, const char *path, mode_t mode)
{
        struct backend *b = backend_of(c);

        return b->ops->chmod(b, fd, path, mode);
}

int sluice_ctx_unsent(struct sluice_ctx *c, int fd)
{
        struct backend *b = backend_of(c);

        return b->ops->unsent(b, fd);
}

int sluice_ctx_size(struct sluice_ctx *c, int fd, int64_t *ret)
{
        struct backend *b = backend_of(c);
        struct fd_info info;
        int r = b->ops->inspect(b, fd, &info);

        if (r < 0)
                return r;
        if (info.kind == FD_DIRECTORY)
                return -EISDIR;
        if (info.kind != FD_FILE)
                return -ESPIPE;
        *ret = info.size;
        return 0;
}

int sluice_ctx_names(struct sluice_ctx *c, int fd)
{
        struct backend *b = backend_of(c);
        struct fd_info info;
        int r = b->ops->inspect(b, fd, &info);

        return r < 0 ? r : (int)info.names;
}

int sluice_ctx_mode(struct sluice_ctx *c, int fd)
{
        struct backend *b = backend_of(c);
        struct fd_info info;
        int r = b->ops->inspect(b, fd, &info);

        return r < 0 ? r : (int)info.mode;
}

int sluice_ctx_watch(struct sluice_ctx *c, int fd, unsigned mask)
{
        struct backend *b = backend_of(c);

        return (int)keep_new_fd(c, b->ops->watch(b, fd, mask));
}

int sluice_ctx_kind(struct sluice_ctx *c, int fd)
{
        struct backend *b = backend_of(c);
        struct fd_info info;
        int r = b->ops->inspect(b, fd, &info);

        if (r < 0)
                return r;
        switch (info.kind) {
        case FD_FILE:
                return SLUICE_KIND_FILE;
        case FD_PIPE:
                return SLUICE_KIND_PIPE;
        case FD_SOCKET:
        case FD_LISTENER:
                return SLUICE_KIND_SOCKET;
        case FD_TTY:
                return SLUICE_KIND_TTY;
        case FD_DEVICE:
                return SLUICE_KIND_DEVICE;
        default:
                return SLUICE_KIND_OTHER;
        }
}

/* ---- pipes of a stage's own ---- */

unsigned sluice_ctx_outputs(const struct sluice_ctx *c)
{
        return c->def->out.nr;
}

unsigned sluice_ctx_inputs(const struct sluice_ctx *c)
{
        return c->def->in.nr;
}

int sluice_ctx_memory(const struct sluice_ctx *c)
{
        return is_function(c);
}

static int keep_slot(struct sluice_ctx *c, struct slot *s)
{
        struct ctx_fd *f = calloc(1, sizeof(*f));

        if (!f) {
                slot_unref(s);
                return -ENOMEM;
        }
        f->slot = s;
        list_push(&c->fds, &f->node);
        return 0;
}

int sluice_ctx_pipe(struct sluice_ctx *c, int ret[2])
{
        struct slot *rd, *wr;
        size_t granted = 0;
        int r = pipe_for_process(backend_of(c), &rd, &wr, &granted), w;

        if (r < 0)
                return r;
        c->pipe_bytes += granted;
        ret[0] = rd->fd;
        ret[1] = wr->fd;
        r = keep_slot(c, rd);
        w = keep_slot(c, wr);
        return r < 0 ? r : w;
}

int sluice_ctx_nonblock(struct sluice_ctx *c, int fd)
{
        struct backend *b = backend_of(c);

        return b->ops->set_nonblock(b, fd, true);
}

int sluice_ctx_direct(struct sluice_ctx *c, int fd)
{
        struct slot *s = ctx_slot(c, fd);
        struct backend *b = backend_of(c);
        int r = s ? b->ops->set_direct(b, fd, true) : -EBADF;

        if (r == 0)
                s->direct = true;
        return r;
}

ssize_t sluice_ctx_try_tee(struct sluice_ctx *c, int from, int to, size_t bytes)
{
        struct slot *in = ctx_slot(c, from), *out = ctx_slot(c, to);
        struct backend *b = backend_of(c);

        return in && out ? b->ops->try_tee(b, in, out, bytes) : -EBADF;
}

ssize_t sluice_ctx_try_splice(struct sluice_ctx *c, int from, int to, size_t bytes)
{
        struct slot *in = ctx_slot(c, from), *out = ctx_slot(c, to);
        struct backend *b = backend_of(c);

        return in && out ? b->ops->try_splice(b, in, -1, out, -1, bytes, false) : -EBADF;
}

int sluice_ctx_is_ready(struct sluice_ctx *c, int fd, unsigned events)
{
        struct slot *s = ctx_slot(c, fd);
        struct backend *b = backend_of(c);

        return s ? b->ops->ready(b, s, events) : -EBADF;
}

void sluice_ctx_fail(struct sluice_ctx *c, int error)
{
        stage_fail(c, error, "move");
}

void sluice_ctx_enough(struct sluice_ctx *c)
{
        c->outcome.early = true;
        for (unsigned i = 0; i < c->def->in.nr; i++)
                if (c->run->links[c->def->in.links[i]].driven)
                        link_enough(&c->run->links[c->def->in.links[i]].link);
        run_wake(c->run);
}

int sluice_ctx_dup(struct sluice_ctx *c, int fd)
{
        struct backend *b = backend_of(c);

        return (int)keep_new_fd(c, b->ops->dup(b, fd));
}

int sluice_ctx_replace(struct sluice_ctx *c, int fd)
{
        struct backend *b = backend_of(c);
        int null = b->ops->open_null(b, fd != STDIN_FILENO), r;

        if (null < 0)
                return null;
        r = dup2(null, fd) < 0 ? -errno : 0;
        b->ops->close(b, null);
        return r;
}
