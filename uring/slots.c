/* uring/slots.c: see slots.h. Called by everything that has an fd; calls the backend to close, and fstat(). */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"
#include "check.h"

int slot_reserve(struct slot **ret, struct backend *b)
{
        struct slot *s;

        s = malloc(sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = (struct slot){ .backend = b, .fd = -1, .refs = 1, .generation = backend_next_generation(b) };
        list_init(&s->node);
        list_init(&s->waiting);
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

static enum slot_nature nature_of(int fd)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return SLOT_OTHER;
        switch (st.st_mode & S_IFMT) {
        case S_IFREG:
        case S_IFBLK:
        case S_IFDIR:
                return SLOT_STORAGE;
        case S_IFIFO:
                return SLOT_PIPE;
        case S_IFSOCK:
                return SLOT_SOCKET;
        case S_IFCHR:
                return isatty(fd) ? SLOT_TTY : SLOT_OTHER;
        default: /* eventfd, pidfd and their kin have no type */
                return SLOT_OTHER;
        }
}

enum slot_nature slot_nature(struct slot *s)
{
        if (s->nature == SLOT_UNSEEN)
                s->nature = nature_of(s->fd);
        return s->nature;
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
        ASSERT(list_empty(&s->waiting));
        if (s->fd >= 0 && !close_elsewhere(s))
                s->backend->ops->close(s->backend, s->fd);
        s->generation = 0;
        free(s);
        return NULL;
}
