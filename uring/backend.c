/* uring/backend.c: what every backend shares: the operations' memory, the timers, the hand-over of what is done.
 *
 * Law: ops_lent == operations that op_new() gave and op_free() has not taken back. At the end it is the number of
 * abandoned ones, which own what they name and are never reused. */
#include "backend.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "helper.h"

enum { CHUNK_OPS = 32 };

int backend_init(struct backend *b, const struct backend_ops *ops, bool exclusive)
{
        *b = (struct backend){ .ops = ops, .exclusive = exclusive };
        list_init(&b->free_ops);
        list_init(&b->queued);
        list_init(&b->finished);
        list_init(&b->timers);
        list_init(&b->tasks);
        return 0;
}

static bool any_abandoned(const struct op *chunk)
{
        for (int i = 0; i < CHUNK_OPS; i++)
                if (chunk[i].abandoned)
                        return true;
        return false;
}

void backend_fini(struct backend *b)
{
        helper_free(b->helper);
        for (uint32_t i = 0; i < b->chunks_nr; i++)
                if (!any_abandoned(b->chunks[i])) /* the kernel still writes to what an abandoned one names */
                        free(b->chunks[i]);
        free(b->chunks);
}

void backend_free(struct backend *b)
{
        if (b)
                b->ops->free(b);
}

static int add_chunk(struct backend *b)
{
        struct op **chunks = realloc(b->chunks, (b->chunks_nr + 1) * sizeof(*chunks));
        struct op *chunk;

        if (!chunks)
                return -ENOMEM;
        b->chunks = chunks;
        chunk = calloc(CHUNK_OPS, sizeof(*chunk));
        if (!chunk)
                return -ENOMEM;
        for (uint32_t i = 0; i < CHUNK_OPS; i++) {
                chunk[i].index = b->chunks_nr * CHUNK_OPS + i;
                list_push(&b->free_ops, &chunk[i].node);
        }
        b->chunks[b->chunks_nr++] = chunk;
        return 0;
}

/* Never 0, which user_data of our own and freed slots have. */
uint32_t backend_next_generation(struct backend *b)
{
        if (++b->next_generation == 0)
                b->next_generation = 1;
        return b->next_generation;
}

struct op *op_new(struct backend *b, enum op_kind kind, op_done_fn *done, void *owner)
{
        struct list *node;
        struct op *op;
        uint32_t index;

        if (list_empty(&b->free_ops) && add_chunk(b) < 0)
                return NULL;
        node = list_pop(&b->free_ops);
        op = container_of(node, struct op, node);
        index = op->index;
        *op = (struct op){ .kind = kind,
                           .index = index,
                           .generation = backend_next_generation(b),
                           .done = done,
                           .owner = owner,
                           .owner_backend = b };
        list_init(&op->node);
        op_to(op, OP_NEW);
        b->ops_lent++;
        return op;
}

void op_pin(struct op *op, struct slot *in, struct slot *out, struct pin *mem)
{
        ASSERT(op->state == OP_NEW);
        if (in) {
                op->in = slot_ref(in);
                op->in_generation = in->generation;
        }
        if (out) {
                op->out = slot_ref(out);
                op->out_generation = out->generation;
        }
        if (mem) {
                op->mem = pin_ref(mem);
                atomic_fetch_add_explicit(&mem->in_kernel, 1, memory_order_relaxed);
        }
}

int op_set_address(struct op *op, const struct sockaddr *address, socklen_t bytes)
{
        ASSERT(op->state == OP_NEW && op->kind == OP_CONNECT && !op->owned);
        op->owned = malloc(bytes);
        if (!op->owned)
                return -ENOMEM;
        memcpy(op->owned, address, bytes);
        op->net.address = op->owned;
        op->net.bytes = bytes;
        return 0;
}

static void unpin_memory(struct pin *mem)
{
        if (!mem)
                return;
        atomic_fetch_sub_explicit(&mem->in_kernel, 1, memory_order_relaxed);
        pin_unref(mem);
}

/* An OP_CLOSE owns its fd: one that was cancelled, or found no thread, has not closed it. close() itself never says so. */
static bool never_ran(const struct op *op)
{
        return op->state == OP_NEW || op->res == -ECANCELED || op->res == -ENOMEM || op->res == -EAGAIN || op->res == -EUSERS;
}

void op_free(struct op *op)
{
        struct slot *in = op->in, *out = op->out;
        struct backend *b = op->owner_backend;

        ASSERT(op->state == OP_DONE || op->state == OP_NEW);
        ASSERT(!in || in->generation == op->in_generation);
        ASSERT(!out || out->generation == op->out_generation);
        list_unlink(&op->node);
        if (op->kind == OP_CLOSE && op->close.fd >= 0 && never_ran(op))
                b->ops->close(b, op->close.fd);
        op_to(op, OP_FREE);
        unpin_memory(op->mem);
        free(op->owned);
        op->mem = NULL;
        op->owned = NULL;
        op->in = op->out = NULL;
        b->ops_abandoned -= op->abandoned;
        op->abandoned = false;
        list_push(&b->free_ops, &op->node);
        b->ops_lent--;
        slot_unref(in);
        slot_unref(out);
}

uint64_t backend_op_data(const struct op *op)
{
        return (uint64_t)op->generation << 32 | op->index;
}

struct op *backend_op_by_data(struct backend *b, uint64_t user_data)
{
        uint32_t index = (uint32_t)user_data, generation = (uint32_t)(user_data >> 32);
        struct op *op;

        ASSERT(index / CHUNK_OPS < b->chunks_nr);
        op = &b->chunks[index / CHUNK_OPS][index % CHUNK_OPS];
        ASSERT(op->generation == generation); /* else a completion came twice, or after its operation was freed */
        return op;
}

static void timer_insert(struct backend *b, struct op *op)
{
        struct list *at = b->timers.prev;

        while (at != &b->timers && container_of(at, struct op, node)->timer.at_ns > op->timer.at_ns)
                at = at->prev;
        list_push(at->next, &op->node);
}

void backend_submit(struct backend *b, struct op *op)
{
        op_to(op, OP_QUEUED);
        if (op->kind == OP_TIMER)
                timer_insert(b, op);
        else
                b->ops->submit(b, op);
}

void backend_complete(struct backend *b, struct op *op, int res)
{
        list_unlink(&op->node);
        op->res = res;
        op_to(op, OP_DONE);
        b->counts.ops[op->kind]++;
        list_push(&b->finished, &op->node);
}

void backend_cancel(struct backend *b, struct op *op)
{
        if (op->state == OP_DONE || op->cancel_sent)
                return;
        ASSERT(op->state == OP_QUEUED || op->state == OP_IN_KERNEL);
        op->cancel_sent = true;
        if (op->kind == OP_TIMER)
                backend_complete(b, op, -ECANCELED);
        else
                b->ops->cancel(b, op);
}

void backend_abandon(struct backend *b, struct op *op)
{
        ASSERT(op->state == OP_QUEUED || op->state == OP_IN_KERNEL);
        op->abandoned = true;
        op->done = NULL;
        op->owner = NULL;
        b->counts.abandoned++;
        b->ops_abandoned++;
        if (op->place == OP_AT_HELPER)
                helper_abandon(b->helper, op);
}

void op_discard(struct op *op)
{
        struct backend *b = op->owner_backend;

        if ((op->kind == OP_OPEN || op->kind == OP_ACCEPT) && op->res >= 0)
                b->ops->close(b, op->res);
        if (op->kind == OP_RESOLVE && op->res == 0)
                freeaddrinfo(op->resolve.ret);
        if (op->kind == OP_FIND && op->res == 0)
                free(op->find.ret);
        op_free(op);
}

void backend_expire_timers(struct backend *b)
{
        uint64_t now = list_empty(&b->timers) ? 0 : backend_now_ns(b);

        while (!list_empty(&b->timers)) {
                struct op *op = container_of(b->timers.next, struct op, node);

                if (op->timer.at_ns > now)
                        break;
                backend_complete(b, op, 0);
        }
}

static int64_t next_timeout_ns(struct backend *b, int64_t timeout_ns)
{
        uint64_t now, at;
        int64_t left;

        if (!list_empty(&b->finished))
                return 0;
        if (list_empty(&b->timers))
                return timeout_ns;
        now = backend_now_ns(b);
        at = container_of(b->timers.next, struct op, node)->timer.at_ns;
        left = at <= now ? 0 : at - now > INT64_MAX ? INT64_MAX : (int64_t)(at - now);
        return timeout_ns < 0 || left < timeout_ns ? left : timeout_ns;
}

int backend_wait(struct backend *b, struct list *done, int64_t timeout_ns)
{
        int r;

        backend_expire_timers(b);
        r = b->ops->wait(b, &b->finished, next_timeout_ns(b, timeout_ns));
        backend_expire_timers(b);
        list_splice(done, &b->finished);
        return r;
}
