/* uring/address.h: who is at the two ends of a socket. */
#ifndef SLUICE_URING_ADDRESS_H
#define SLUICE_URING_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

struct address {
        socklen_t bytes;
        struct sockaddr_storage storage;
};

/* 0, or -errno with AF_UNSPEC in it (a descriptor that is no socket of the kernel's). */
int address_of_peer(int fd, struct address *ret);
int address_of_self(int fd, struct address *ret);
/* Whether the peer is on this host. */
bool address_peer_is_local(int fd);

#endif
