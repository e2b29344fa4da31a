/* engine/cancel.c: see cancel.h. Any thread; fire is an atomic and one write, so a signal handler may. */
#include "cancel.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "syscalls.h"

struct sluice_cancel {
        _Atomic unsigned refs;
        _Atomic int fired;
        int fd;
        int alive_fd; /* -1: none */
};

int sluice_cancel_new(struct sluice_cancel **ret)
{
        struct sluice_cancel *c = malloc(sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (c->fd >= 0)
                c->fd = sys_above_stdio(c->fd);
        if (c->fd < 0) {
                free(c);
                return -EMFILE;
        }
        c->alive_fd = -1;
        atomic_init(&c->refs, 1);
        atomic_init(&c->fired, 0);
        *ret = c;
        return 0;
}

void sluice_cancel_fire(struct sluice_cancel *c)
{
        if (atomic_exchange(&c->fired, 1) == 0)
                sys_raise_event(c->fd);
}

int sluice_cancel_on_fd_eof(struct sluice_cancel *c, int fd)
{
        int copy;

        if (c->alive_fd >= 0)
                return -EEXIST;
        copy = sys_dup(NULL, fd);
        if (copy < 0)
                return copy == -EBADF ? -EBADF : -EMFILE;
        c->alive_fd = copy;
        return 0;
}

int sluice_cancel_fired(const struct sluice_cancel *c)
{
        return atomic_load(&c->fired);
}

void sluice_cancel_unref(struct sluice_cancel *c)
{
        if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
                return;
        close(c->fd);
        if (c->alive_fd >= 0)
                close(c->alive_fd);
        free(c);
}

struct sluice_cancel *cancel_ref(struct sluice_cancel *c)
{
        atomic_fetch_add(&c->refs, 1);
        return c;
}

int cancel_alive_fd(const struct sluice_cancel *c)
{
        return c->alive_fd;
}

int cancel_fd(const struct sluice_cancel *c)
{
        return c->fd;
}
