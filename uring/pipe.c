/* uring/pipe.c: see pipe.h. Called by the engine; calls the backend to make, size and close pipes.
 * The one piece of state that is not a loop's: the quota is the user's, so the budget has to be the process's. */
#include "pipe.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend.h"
#include "check.h"
#include "probe.h"

static _Atomic size_t budget_bytes; /* 0: not known yet */
static _Atomic size_t used_bytes;

size_t pipe_budget(void)
{
        size_t known = atomic_load(&budget_bytes);

        if (known)
                return known;
        known = probe_pipe_budget();
        atomic_store(&budget_bytes, known);
        return known;
}

size_t pipe_budget_used(void)
{
        return atomic_load(&used_bytes);
}

void pipe_budget_set(size_t bytes)
{
        atomic_store(&budget_bytes, bytes);
}

static bool budget_take(size_t bytes, bool must)
{
        size_t limit = pipe_budget(), used = atomic_load(&used_bytes);

        do {
                if (!must && (used > limit || bytes > limit - used))
                        return false;
        } while (!atomic_compare_exchange_weak(&used_bytes, &used, used + bytes));
        return true;
}

void pipe_release_budget(size_t bytes)
{
        size_t before = atomic_fetch_sub(&used_bytes, bytes);

        ASSERT(before >= bytes);
}

static const size_t steps[] = { PIPE_BYTES_LARGE, PIPE_BYTES_MEDIUM, PIPE_BYTES_SMALL };

/* Makes a pipe within the budget. The size asked for may be refused by the user's quota (other processes' pipes count
 * too): what the kernel grants is read back and the difference given back to the budget. */
static int make(struct backend *b, int fds[2], size_t *ret_bytes, bool must)
{
        size_t asked = 0, granted;
        int r;

        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !asked; i++)
                if (budget_take(steps[i], false))
                        asked = steps[i];
        if (!asked) {
                if (!must)
                        return -EDQUOT;
                asked = PIPE_BYTES_SMALL;
                budget_take(asked, true);
        }
        r = b->ops->pipe(b, fds, asked, &granted);
        if (r < 0) {
                pipe_release_budget(asked);
                return r;
        }
        if (granted < asked)
                pipe_release_budget(asked - granted);
        else if (granted > asked)
                budget_take(granted - asked, true);
        *ret_bytes = granted;
        return 0;
}

static int slots_of(struct backend *b, const int fds[2], struct slot **ret_read, struct slot **ret_write)
{
        struct slot *rd;

        if (slot_new(&rd, b, fds[0]) < 0) {
                b->ops->close(b, fds[0]);
                b->ops->close(b, fds[1]);
                return -ENOMEM;
        }
        if (slot_new(ret_write, b, fds[1]) < 0) {
                slot_unref(rd);
                b->ops->close(b, fds[1]);
                return -ENOMEM;
        }
        *ret_read = rd;
        return 0;
}

void pipe_cache_init(struct pipe_cache *c, struct backend *b)
{
        *c = (struct pipe_cache){ .backend = b };
        list_init(&c->idle);
}

static void pipe_free(struct pipe *p)
{
        size_t bytes = p->capacity_bytes;

        slot_unref(p->read);
        slot_unref(p->write);
        free(p);
        pipe_release_budget(bytes);
}

void pipe_cache_fini(struct pipe_cache *c)
{
        struct list *node;

        while ((node = list_pop(&c->idle)))
                pipe_free(container_of(node, struct pipe, node));
        c->idle_nr = 0;
}

static int pipe_new(struct backend *b, struct pipe **ret)
{
        struct pipe *p = calloc(1, sizeof(*p));
        int fds[2], r;

        if (!p)
                return -ENOMEM;
        list_init(&p->node);
        r = make(b, fds, &p->capacity_bytes, false);
        if (r < 0)
                goto out;
        r = slots_of(b, fds, &p->read, &p->write);
        if (r < 0) {
                pipe_release_budget(p->capacity_bytes);
                goto out;
        }
        b->ops->set_nonblock(b, fds[0], true);
        b->ops->set_nonblock(b, fds[1], true);
        p->capacity_slots = (unsigned)(p->capacity_bytes / (size_t)getpagesize());
        *ret = p;
        return 0;
out:
        free(p);
        return r;
}

int pipe_get(struct pipe_cache *c, struct pipe **ret)
{
        struct list *node = list_pop(&c->idle);

        if (!node)
                return pipe_new(c->backend, ret);
        c->idle_nr--;
        *ret = container_of(node, struct pipe, node);
        ASSERT((*ret)->bytes == 0);
        return 0;
}

void pipe_put(struct pipe_cache *c, struct pipe *p)
{
        bool named = p->read->refs > 1 || p->write->refs > 1; /* by an operation that was abandoned */

        if (p->bytes != 0 || named || c->idle_nr >= PIPE_CACHE_MAX) {
                pipe_free(p);
                return;
        }
        list_push(&c->idle, &p->node);
        c->idle_nr++;
}

int pipe_for_process(struct backend *b, struct slot **ret_read, struct slot **ret_write, size_t *ret_bytes)
{
        int fds[2], r;

        r = make(b, fds, ret_bytes, true);
        if (r < 0)
                return r;
        r = slots_of(b, fds, ret_read, ret_write);
        if (r < 0) {
                pipe_release_budget(*ret_bytes);
                *ret_bytes = 0; /* released once */
        }
        return r;
}
