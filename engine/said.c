/* engine/said.c: what a command says on stderr: the last of it kept up to a bound, all of it forwarded, or none of our
 * business. Called by child.c, end.c and judge.c; calls the backend.
 *
 *      IDLE --poll--> ARMED --readable--> read: keep, forward --> ARMED ... --end, or the command's--> closed */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "run.h"

static struct backend *backend_of(const struct run *r)
{
        return r->loop->backend;
}

static void tail_add(struct child *ch, const uint8_t *data, size_t bytes)
{
        for (size_t i = 0; i < bytes && ch->tail; i++)
                ch->tail[(ch->tail_bytes + i) % ch->tail_cap] = (char)data[i];
        ch->tail_bytes += bytes;
}

char *said_text(const struct child *ch)
{
        size_t kept = ch->tail_bytes < ch->tail_cap ? (size_t)ch->tail_bytes : ch->tail_cap;
        char *text = malloc(kept + 1);

        if (!text || !ch->tail) {
                free(text);
                return NULL;
        }
        for (size_t i = 0; i < kept; i++)
                text[i] = ch->tail[(ch->tail_bytes - kept + i) % ch->tail_cap];
        text[kept] = '\0';
        return text;
}

void said_close(struct sluice_ctx *c)
{
        c->child->stderr_read = slot_unref(c->child->stderr_read);
        run_wake(c->run);
}

static void polled(struct op *op)
{
        struct sluice_ctx *c = op->owner;

        c->child->stderr_op = NULL;
        op_free(op);
        said_pump(c);
}

static void written(struct op *op)
{
        struct sluice_ctx *c = op->owner;
        struct run *r = c->run;
        int n = op_result(op);
        uint32_t left = n > 0 ? op->io.bytes - (uint32_t)n : 0;
        struct op *rest = NULL;

        if (n < 0)
                c->child->stderr_deaf = true; /* nobody listens, or the run is over: keep the tail only */
        if (left > 0 && !r->stopping)
                rest = op_new(backend_of(r), OP_WRITE, written, c);
        if (rest) {
                op_pin(rest, op->in, NULL, op->mem);
                rest->io.data = (uint8_t *)op->io.data + n;
                rest->io.bytes = left;
                rest->io.offset = -1;
                backend_submit(backend_of(r), rest);
        }
        c->child->stderr_op = rest;
        op_free(op);
        if (!rest)
                said_pump(c);
        run_wake(r);
}

/* Written as an operation: whoever reads our stderr may be slow, and the loop must not wait for him. */
static bool forward(struct sluice_ctx *c, struct buffer *buffer, size_t bytes)
{
        struct backend *b = backend_of(c->run);
        struct slot *out = NULL;
        struct op *op;
        int fd = b->ops->dup(b, STDERR_FILENO);

        if (fd < 0)
                return false;
        if (slot_new(&out, b, fd) < 0) {
                b->ops->close(b, fd);
                return false;
        }
        op = op_new(b, OP_WRITE, written, c);
        if (op) {
                op_pin(op, out, NULL, &buffer->pin);
                op->io.data = buffer->data;
                op->io.bytes = (uint32_t)bytes;
                op->io.offset = -1;
                c->child->stderr_op = op;
                backend_submit(b, op);
        }
        slot_unref(out);
        return op != NULL;
}

static void arm(struct sluice_ctx *c)
{
        struct op *op = op_new(backend_of(c->run), OP_POLL, polled, c);

        if (!op) {
                said_close(c);
                return;
        }
        op_pin(op, c->child->stderr_read, NULL, NULL);
        op->poll.events = POLLIN;
        c->child->stderr_op = op;
        backend_submit(backend_of(c->run), op);
}

/* What to do with the bytes just read. True: read on at once. */
static bool took(struct sluice_ctx *c, struct buffer *buffer, size_t bytes)
{
        struct child *ch = c->child;

        tail_add(ch, buffer->data, bytes);
        if (ch->stderr_forward && !ch->stderr_deaf && forward(c, buffer, bytes))
                return false;
        if (ch->state != CHILD_EXITED) {
                arm(c);
                return false;
        }
        /* The command is gone: only what it left in the pipe is waited for, never what a grandchild that holds the pipe
         * open may still say. */
        ch->late_bytes += bytes;
        if (ch->late_bytes <= STDERR_LATE_BYTES)
                return true;
        said_close(c);
        return false;
}

void said_pump(struct sluice_ctx *c)
{
        struct backend *b = backend_of(c->run);
        struct buffer *buffer;
        bool again = true;

        if (!c->child->stderr_read || c->child->stderr_op)
                return;
        buffer = buffer_get_own(c->run->loop->pool);
        if (!buffer) {
                said_close(c);
                return;
        }
        while (again) {
                ssize_t n = b->ops->try_read(b, c->child->stderr_read, buffer->data, 16384);

                again = n == -EINTR;
                if (n > 0)
                        again = took(c, buffer, (size_t)n);
                else if (n == -EAGAIN && c->child->state != CHILD_EXITED)
                        arm(c);
                else if (!again)
                        said_close(c); /* its end, or the command's */
        }
        buffer_unref(buffer);
}

/* The command is over. What it said last is read; but a run that is stopping waits for nobody who stalls our stderr. */
void said_finish(struct sluice_ctx *c)
{
        struct op *op = c->child->stderr_op;

        if (!op)
                said_pump(c);
        else if (op->kind == OP_POLL || c->run->stopping)
                backend_cancel(backend_of(c->run), op);
}

void said_abandon(struct sluice_ctx *c)
{
        struct op *op = c->child->stderr_op;

        if (!op || op->state == OP_DONE)
                return;
        backend_abandon(backend_of(c->run), op);
        c->run->abandoned++;
        c->child->stderr_op = NULL;
        said_close(c);
}

static int take_slot(struct backend *b, struct slot **ret, int fd)
{
        int e = slot_new(ret, b, fd);

        if (e < 0)
                b->ops->close(b, fd);
        return e;
}

/* Which of them it is: the command's own word, else the pipeline's. A program that has the terminal has all of it: less and
 * vi look at their stderr too. */
static enum sluice_stderr destination(const struct sluice_ctx *c)
{
        const struct sluice_command_options *o = c->child->prep.options;
        unsigned flags = c->run->opt->flags;

        if (o && o->stderr_to != SLUICE_STDERR_DEFAULT)
                return o->stderr_to;
        if (flags & SLUICE_STDERR_INHERIT || (flags & SLUICE_TERMINAL && c->run->terminal_taken))
                return SLUICE_STDERR_OURS;
        return flags & SLUICE_STDERR_FORWARD ? SLUICE_STDERR_PASS : SLUICE_STDERR_KEEP;
}

static int open_pipe(struct sluice_ctx *c)
{
        const struct sluice_command_options *o = c->child->prep.options;
        struct backend *b = backend_of(c->run);
        size_t granted;
        int fds[2], e;

        c->child->tail_cap = o && o->stderr_bytes ? o->stderr_bytes : STDERR_TAIL_BYTES;
        c->child->tail = malloc(c->child->tail_cap);
        e = c->child->tail ? b->ops->pipe(b, fds, 64 << 10, &granted) : -ENOMEM;
        if (e < 0)
                return e;
        e = take_slot(b, &c->child->stderr_read, fds[0]);
        if (e < 0) {
                b->ops->close(b, fds[1]);
                return e;
        }
        e = take_slot(b, &c->child->fds[2], fds[1]);
        return e < 0 ? e : b->ops->set_nonblock(b, fds[0], true);
}

int said_open(struct sluice_ctx *c)
{
        struct backend *b = backend_of(c->run);
        enum sluice_stderr to = destination(c);
        int fd;

        if (to == SLUICE_STDERR_KEEP || to == SLUICE_STDERR_PASS) {
                c->child->stderr_forward = to == SLUICE_STDERR_PASS;
                return open_pipe(c);
        }
        fd = to == SLUICE_STDERR_OURS   ? b->ops->dup(b, STDERR_FILENO)
             : to == SLUICE_STDERR_NULL ? b->ops->open_null(b, true)
                                        : b->ops->dup(b, c->child->prep.stderr_file);
        if (fd < 0 && to == SLUICE_STDERR_OURS)
                fd = b->ops->open_null(b, true); /* a host without stderr */
        return fd < 0 ? fd : take_slot(b, &c->child->fds[2], fd);
}
