/* engine/proxy.c: see proxy.h. The format is that of HAProxy's doc/proxy-protocol.txt, sections 2.1 and 2.2. Called by
 * relay_connection.c; calls nothing. */
#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum {
        VERSION_COMMAND_PROXY = 0x21,
        VERSION_COMMAND_LOCAL = 0x20,
        FAMILY_UNSPEC = 0x00,
        FAMILY_TCP4 = 0x11,
        FAMILY_TCP6 = 0x21,
        FAMILY_UNIX = 0x31,
        HEAD_BYTES = 16,
};

static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

static const struct sockaddr_in *in4(const struct address *a)
{
        return (const struct sockaddr_in *)(const void *)&a->storage;
}

static const struct sockaddr_in6 *in6(const struct address *a)
{
        return (const struct sockaddr_in6 *)(const void *)&a->storage;
}

/* An IPv4 client of a socket that takes both comes as ::ffff:1.2.3.4: said as what it is. */
static struct address plain(const struct address *a)
{
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = in6(a)->sin6_port };
        struct address ret = { .bytes = sizeof(v4) };

        if (a->storage.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6(a)->sin6_addr))
                return *a;
        memcpy(&v4.sin_addr, in6(a)->sin6_addr.s6_addr + 12, 4);
        memcpy(&ret.storage, &v4, sizeof(v4));
        return ret;
}

static const void *number(const struct address *a)
{
        return a->storage.ss_family == AF_INET ? (const void *)&in4(a)->sin_addr : &in6(a)->sin6_addr;
}

static unsigned port(const struct address *a)
{
        return ntohs(a->storage.ss_family == AF_INET ? in4(a)->sin_port : in6(a)->sin6_port);
}

static size_t text(const struct address *peer, const struct address *local, uint8_t *ret)
{
        char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
        const int family = peer->storage.ss_family;

        if ((family != AF_INET && family != AF_INET6) || family != local->storage.ss_family)
                return (size_t)snprintf((char *)ret, PROXY_BYTES_MAX, "PROXY UNKNOWN\r\n");
        inet_ntop(family, number(peer), from, sizeof(from));
        inet_ntop(family, number(local), to, sizeof(to));
        return (size_t)snprintf((char *)ret, PROXY_BYTES_MAX, "PROXY TCP%c %s %s %u %u\r\n", family == AF_INET ? '4' : '6', from,
                                to, port(peer), port(local));
}

/* A path in 108 bytes, filled up with zeros. */
static void put_path(uint8_t *to, const struct address *a)
{
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&a->storage;
        size_t bytes = a->bytes > offsetof(struct sockaddr_un, sun_path) ? a->bytes - offsetof(struct sockaddr_un, sun_path) : 0;

        memset(to, 0, 108);
        memcpy(to, un->sun_path, bytes < 108 ? bytes : 108);
}

static size_t put_ip(uint8_t *at, const struct address *peer, const struct address *local)
{
        const size_t bytes = peer->storage.ss_family == AF_INET ? 4 : 16;
        const uint16_t ports[2] = { htons((uint16_t)port(peer)), htons((uint16_t)port(local)) };

        memcpy(at, number(peer), bytes);
        memcpy(at + bytes, number(local), bytes);
        memcpy(at + 2 * bytes, ports, sizeof(ports));
        return 2 * bytes + sizeof(ports);
}

static size_t binary(const struct address *peer, const struct address *local, uint8_t *ret)
{
        const int family = peer->storage.ss_family == local->storage.ss_family ? peer->storage.ss_family : AF_UNSPEC;
        size_t bytes = 0;

        memcpy(ret, signature, sizeof(signature));
        ret[12] = VERSION_COMMAND_PROXY;
        switch (family) {
        case AF_INET:
        case AF_INET6:
                ret[13] = family == AF_INET ? FAMILY_TCP4 : FAMILY_TCP6;
                bytes = put_ip(ret + HEAD_BYTES, peer, local);
                break;
        case AF_UNIX:
                ret[13] = FAMILY_UNIX;
                put_path(ret + HEAD_BYTES, peer);
                put_path(ret + HEAD_BYTES + 108, local);
                bytes = 216;
                break;
        default:
                ret[12] = VERSION_COMMAND_LOCAL;
                ret[13] = FAMILY_UNSPEC;
                break;
        }
        ret[14] = (uint8_t)(bytes >> 8);
        ret[15] = (uint8_t)bytes;
        return HEAD_BYTES + bytes;
}

size_t proxy_header(unsigned version, const struct address *peer, const struct address *local, uint8_t ret[PROXY_BYTES_MAX])
{
        const struct address from = plain(peer), to = plain(local);

        return version == 1 ? text(&from, &to, ret) : binary(&from, &to, ret);
}
