/* tools/endpoint.c: see endpoint.h. Called by relay.c; calls the resolver and the kernel. */
#include "endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
        BACKLOG = 4096,  /* the kernel takes the smaller of this and net.core.somaxconn */
        UNIX_TRIES = 20, /* the kernel tears a killed process's ring down late, and with it the socket: within a second (6.18) */
        UNIX_WAIT_US = 100000,
};

/* The words are wrong; failed(): they were right. */
static int __attribute__((format(printf, 2, 3))) refuse(char *why, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(why, ENDPOINT_WHY_BYTES, format, args);
        va_end(args);
        return -EINVAL;
}

static int failed(char *why, const char *text, int error)
{
        refuse(why, "%s: %s", text, strerror(error));
        return -error;
}

/* ---- words ---- */

struct host_port {
        char host[ENDPOINT_TEXT_BYTES], port[ENDPOINT_TEXT_BYTES];
};

static int split(const char *text, struct host_port *ret, char *why)
{
        const char *colon = strrchr(text, ':'), *host = text, *end = colon;

        if (!colon || !colon[1] || strlen(text) >= ENDPOINT_TEXT_BYTES)
                return refuse(why, "'%s' is no address: it is HOST:PORT, :PORT, [V6]:PORT or unix:PATH", text);
        if (*host == '[' && end > host && end[-1] == ']') {
                host++;
                end--;
        } else if (memchr(host, ':', (size_t)(end - host))) {
                return refuse(why, "'%s' is no address: an IPv6 host stands in brackets, as in [::1]:9000", text);
        }
        memcpy(ret->host, host, (size_t)(end - host));
        ret->host[end - host] = '\0';
        snprintf(ret->port, sizeof(ret->port), "%s", colon + 1);
        return 0;
}

static int resolve(const char *text, int flags, struct addrinfo **ret, char *why)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
        struct host_port at;
        int r = split(text, &at, why);

        if (r < 0)
                return r;
        r = getaddrinfo(at.host[0] ? at.host : NULL, at.port, &hints, ret);
        if (r == EAI_SERVICE)
                return refuse(why, "'%s': a port is a number from 1 to 65535 or a service name", text);
        if (r == 0)
                return 0;
        refuse(why, "%s: %s", text, r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
        return -EADDRNOTAVAIL; /* the words were right */
}

static const char *unix_path(const char *text)
{
        return strncmp(text, "unix:", 5) == 0 ? text + 5 : NULL;
}

static int unix_address(const char *path, struct sluice_address *ret, char *why)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };

        if (!*path || strlen(path) >= sizeof(un.sun_path))
                return refuse(why, "unix:%s: a socket's path has 1 to 107 characters", path);
        memcpy(un.sun_path, path, strlen(path));
        *ret = (struct sluice_address){ .bytes = sizeof(un) };
        memcpy(&ret->address, &un, sizeof(un));
        return 0;
}

int endpoint_addresses(const char *text, struct sluice_address **ret, char why[ENDPOINT_WHY_BYTES])
{
        const char *path = unix_path(text);
        struct sluice_address *all = calloc(1, sizeof(*all)), *more;
        struct addrinfo *list, *a;
        int nr = 0, r;

        if (!all)
                return failed(why, text, ENOMEM);
        r = path ? unix_address(path, all, why) : resolve(text, 0, &list, why);
        if (r < 0) {
                free(all);
                return r;
        }
        for (a = path ? NULL : list; a; a = a->ai_next) {
                more = realloc(all, (size_t)(nr + 1) * sizeof(*all));
                if (!more)
                        break;
                all = more;
                all[nr].bytes = a->ai_addrlen;
                memcpy(&all[nr++].address, a->ai_addr, a->ai_addrlen);
        }
        if (!path)
                freeaddrinfo(list);
        *ret = all;
        return path ? 1 : nr;
}

/* ---- listening ---- */

static void name_of(int fd, struct endpoint_listener *l)
{
        struct sockaddr_storage a;
        socklen_t bytes = sizeof(a);
        char host[ENDPOINT_TEXT_BYTES / 2], port[32];

        if (getsockname(fd, (struct sockaddr *)&a, &bytes) < 0 ||
            getnameinfo((struct sockaddr *)&a, bytes, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                return;
        snprintf(l->name, sizeof(l->name), a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* An IPv6 socket for every address takes IPv4 too. */
static int listen_at(const struct sockaddr *a, socklen_t bytes, int shared)
{
        int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, off = 0, error;

        if (fd < 0)
                return -errno;
        if (a->sa_family != AF_UNIX)
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (a->sa_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        if (shared)
                setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        if (bind(fd, a, bytes) == 0 && listen(fd, BACKLOG) == 0)
                return fd;
        error = -errno;
        close(fd);
        return error;
}

/* The IPv6 one first: for "every address" it has the others. */
static int listen_first(const struct addrinfo *list, int shared)
{
        int r = -EADDRNOTAVAIL;

        for (int pass = 0; pass < 2; pass++)
                for (const struct addrinfo *a = list; a; a = a->ai_next) {
                        if ((a->ai_family == AF_INET6) != (pass == 0))
                                continue;
                        r = listen_at(a->ai_addr, a->ai_addrlen, shared);
                        if (r >= 0)
                                return r;
                }
        return r;
}

/* The rest where the first is: its port may have been 0. */
static int listen_again(int first)
{
        struct sockaddr_storage a;
        socklen_t bytes = sizeof(a);

        if (getsockname(first, (struct sockaddr *)&a, &bytes) < 0)
                return -errno;
        return listen_at((struct sockaddr *)&a, bytes, 1);
}

/* SO_REUSEPORT would let us share a port with a stranger of the same user without a word: asked for without it first. */
static int port_is_free(const struct addrinfo *list)
{
        int fd = listen_first(list, 0);

        if (fd >= 0)
                close(fd);
        return fd;
}

static int listen_tcp(const char *text, struct endpoint_listener *l, char *why)
{
        struct addrinfo *list;
        int r = resolve(text, AI_PASSIVE, &list, why);

        if (r < 0)
                return r;
        r = l->nr > 1 ? port_is_free(list) : 0;
        for (size_t i = 0; i < l->nr && r >= 0; i++)
                r = l->fds[i] = i == 0 ? listen_first(list, l->nr > 1) : listen_again(l->fds[0]);
        freeaddrinfo(list);
        if (r < 0)
                return failed(why, text, -r);
        name_of(l->fds[0], l);
        return 0;
}

/* A file that a killed listener left behind refuses connections; only a socket is taken for one. A datagram socket finds out
 * without using up a connection of one that lives: that is another kind (EPROTOTYPE). */
static int is_left_behind(const struct sluice_address *a, const char *path)
{
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), refused;
        struct stat st;

        if (fd < 0)
                return 0;
        refused = connect(fd, (const struct sockaddr *)&a->address, a->bytes) < 0 && errno == ECONNREFUSED;
        close(fd);
        return refused && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Not even for a moment open to others: whoever is to connect must be this user. */
static int listen_unix(const char *path, struct endpoint_listener *l, char *why)
{
        struct sluice_address a;
        int r = unix_address(path, &a, why);
        mode_t mask;

        if (r < 0)
                return r;
        mask = umask(0177);
        for (int i = 0; i < UNIX_TRIES; i++) {
                r = listen_at((struct sockaddr *)&a.address, a.bytes, 0);
                if (r != -EADDRINUSE)
                        break;
                if (!is_left_behind(&a, path) || unlink(path) < 0)
                        usleep(UNIX_WAIT_US);
        }
        umask(mask);
        if (r < 0)
                return failed(why, path - strlen("unix:"), -r);
        l->fds[0] = r;
        snprintf(l->path, sizeof(l->path), "%s", path);
        return 0;
}

/* As a service manager gives one. */
static int take_fd(const char *digits, struct endpoint_listener *l, char *why)
{
        int listens = 0, fd = atoi(digits);
        socklen_t bytes = sizeof(listens);

        if (!*digits || strspn(digits, "0123456789") != strlen(digits) ||
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &bytes) < 0 || !listens)
                return refuse(why, "fd:%s: no listening socket has this number", digits);
        l->fds[0] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (l->fds[0] < 0)
                return failed(why, digits - strlen("fd:"), errno);
        if (fd > STDERR_FILENO) /* else clients would queue there while it drains */
                close(fd);
        return 0;
}

int endpoint_listen(const char *text, size_t nr, struct endpoint_listener *ret, char why[ENDPOINT_WHY_BYTES])
{
        const char *path = unix_path(text);
        int r;

        *ret = (struct endpoint_listener){ .fds = malloc(nr * sizeof(int)), .nr = nr };
        if (!ret->fds)
                return failed(why, text, ENOMEM);
        for (size_t i = 0; i < nr; i++)
                ret->fds[i] = -1;
        snprintf(ret->name, sizeof(ret->name), "%s", text);
        r = path                           ? listen_unix(path, ret, why)
            : strncmp(text, "fd:", 3) == 0 ? take_fd(text + 3, ret, why)
                                           : listen_tcp(text, ret, why);
        for (size_t i = 1; i < nr && r == 0; i++)
                if (ret->fds[i] < 0)
                        ret->fds[i] = fcntl(ret->fds[0], F_DUPFD_CLOEXEC, 3);
        if (r < 0)
                endpoint_close(ret);
        return r;
}

void endpoint_release(struct endpoint_listener *l)
{
        for (size_t i = 0; l->fds && i < l->nr; i++)
                if (l->fds[i] >= 0)
                        close(l->fds[i]);
        free(l->fds);
        l->fds = NULL;
}

void endpoint_close(struct endpoint_listener *l)
{
        endpoint_release(l);
        if (l->path[0])
                unlink(l->path);
        *l = (struct endpoint_listener){ 0 };
}
