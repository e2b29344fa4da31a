/* bench/load_net.c: addresses, sockets and limits. The only file that makes a socket. Calls the kernel. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 4096, TRY_AGAIN_MS = 20 };

int64_t clock_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void address_name(struct load_address *a)
{
        char host[64] = "?", port[8] = "?";

        getnameinfo((struct sockaddr *)&a->where, a->bytes, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
        snprintf(a->text, sizeof(a->text), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* ADDR:PORT, [ADDR]:PORT, :PORT */
int net_address(const char *text, struct load_address *ret)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
        const char *colon = strrchr(text, ':');
        char host[256];
        size_t host_bytes = colon ? (size_t)(colon - text) : 0;
        struct addrinfo *found;

        if (!colon || !colon[1] || host_bytes >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, host_bytes);
        host[host_bytes] = 0;
        if (host_bytes > 1 && host[0] == '[' && host[host_bytes - 1] == ']') {
                memmove(host, host + 1, host_bytes - 2);
                host[host_bytes - 2] = 0;
        }
        if (getaddrinfo(*host ? host : "127.0.0.1", colon + 1, &hints, &found))
                return -EINVAL;
        memcpy(&ret->where, found->ai_addr, found->ai_addrlen);
        ret->bytes = found->ai_addrlen;
        freeaddrinfo(found);
        address_name(ret);
        return 0;
}

int net_listen(struct load_address *at)
{
        int fd = socket(at->where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ret;

        if (fd < 0)
                return -errno;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
        if (bind(fd, (struct sockaddr *)&at->where, at->bytes) || listen(fd, BACKLOG) ||
            getsockname(fd, (struct sockaddr *)&at->where, &at->bytes)) {
                ret = -errno;
                close(fd);
                return ret;
        }
        address_name(at);
        return fd;
}

/* 127.0.0.1 has 28,000 ports to connect from, and one that was closed rests for a while; 127.0.0.2 has as many again. */
static int source_bind(int fd, const struct load_address *to, unsigned source)
{
        struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source) };
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&to->where;

        if (!source || to->where.ss_family != AF_INET || ntohl(v4->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
                return 0;
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
        return bind(fd, (struct sockaddr *)&from, sizeof(from)) ? -errno : 0;
}

int net_connect(const struct load_address *to, unsigned source)
{
        int fd = socket(to->where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ret;

        if (fd < 0)
                return -errno;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        ret = source_bind(fd, to, source);
        if (ret)
                goto out;
        if (connect(fd, (struct sockaddr *)&to->where, to->bytes) && errno != EINPROGRESS)
                ret = -errno;
out:
        if (!ret)
                return fd;
        close(fd);
        return ret;
}

int net_connect_result(int fd)
{
        socklen_t bytes = sizeof(int);
        int error = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes))
                return -errno;
        return -error;
}

static int connect_once(const struct load_address *at)
{
        struct pollfd p = { .fd = net_connect(at, 0), .events = POLLOUT };
        int ret = p.fd;

        if (p.fd < 0)
                return ret;
        ret = poll(&p, 1, 1000) > 0 ? net_connect_result(p.fd) : -ETIMEDOUT;
        close(p.fd);
        return ret;
}

int net_wait(const struct load_address *at, double patience_s)
{
        const int64_t until = clock_ns() + (int64_t)(patience_s * 1e9);
        int ret;

        if (patience_s <= 0)
                return 0;
        while ((ret = connect_once(at)) && clock_ns() < until)
                poll(NULL, 0, TRY_AGAIN_MS);
        return ret;
}

uint64_t net_files_max(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit))
                return 1024;
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
        return limit.rlim_cur;
}
