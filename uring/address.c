/* uring/address.c: see address.h. Called by the engine; calls the kernel. */
#include "address.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static int name_of(int (*ask)(int, struct sockaddr *, socklen_t *), int fd, struct address *ret)
{
        *ret = (struct address){ .bytes = sizeof(ret->storage) };
        if (ask(fd, (struct sockaddr *)&ret->storage, &ret->bytes) < 0) {
                *ret = (struct address){ 0 };
                return -errno;
        }
        return 0;
}

static int ask_peer(int fd, struct sockaddr *a, socklen_t *bytes)
{
        return getpeername(fd, a, bytes);
}

static int ask_self(int fd, struct sockaddr *a, socklen_t *bytes)
{
        return getsockname(fd, a, bytes);
}

int address_of_peer(int fd, struct address *ret)
{
        return name_of(ask_peer, fd, ret);
}

int address_of_self(int fd, struct address *ret)
{
        return name_of(ask_self, fd, ret);
}

static const struct in6_addr *six(const struct address *a)
{
        return &((const struct sockaddr_in6 *)(const void *)&a->storage)->sin6_addr;
}

static const struct in_addr *four(const struct address *a)
{
        return &((const struct sockaddr_in *)(const void *)&a->storage)->sin_addr;
}

/* A unix socket, or one whose two ends have the same address. */
static bool is_local(const struct address *peer, const struct address *self)
{
        if (peer->storage.ss_family == AF_UNIX)
                return true;
        if (peer->storage.ss_family != self->storage.ss_family)
                return false;
        if (peer->storage.ss_family == AF_INET)
                return four(peer)->s_addr == four(self)->s_addr;
        return peer->storage.ss_family == AF_INET6 && memcmp(six(peer), six(self), sizeof(struct in6_addr)) == 0;
}

bool address_peer_is_local(int fd)
{
        struct address peer, self;

        return address_of_peer(fd, &peer) == 0 && address_of_self(fd, &self) == 0 && is_local(&peer, &self);
}
