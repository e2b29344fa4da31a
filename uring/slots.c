/* uring/slots.c: see slots.h. Called by everything that has an fd; calls the backend to close. */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>

#include "backend.h"
#include "check.h"

int slot_reserve(struct slot **ret, struct backend *b)
{
        struct slot *s;

        s = malloc(sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = (struct slot){ .backend = b, .fd = -1, .refs = 1, .generation = backend_next_generation(b) };
        *ret = s;
        return 0;
}

int slot_new(struct slot **ret, struct backend *b, int fd)
{
        int r;

        ASSERT(fd >= 0);
        r = slot_reserve(ret, b);
        if (r == 0)
                (*ret)->fd = fd;
        return r;
}

struct slot *slot_ref(struct slot *s)
{
        ASSERT(s->refs > 0);
        s->refs++;
        return s;
}

/* close() of a foreign pipe takes the pipe's lock, which a process blocked in a splice may hold for as long as it
 * likes (3 s in a test). On a shared loop it is done where it stops nobody. */
static bool close_elsewhere(struct slot *s)
{
        struct op *op;

        if (!s->foreign || s->backend->exclusive)
                return false;
        op = op_new(s->backend, OP_CLOSE, NULL, NULL);
        if (!op)
                return false;
        op->close.fd = s->fd;
        op->force_async = true;
        backend_submit(s->backend, op);
        return true;
}

struct slot *slot_unref(struct slot *s)
{
        if (!s)
                return NULL;
        ASSERT(s->refs > 0);
        if (--s->refs > 0)
                return NULL;
        if (s->fd >= 0 && !close_elsewhere(s))
                s->backend->ops->close(s->backend, s->fd);
        s->generation = 0;
        free(s);
        return NULL;
}
