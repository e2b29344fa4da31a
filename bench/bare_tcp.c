/* bench/bare_tcp.c: the least that a program could do with one TCP connection on 127.0.0.1: sendfile, splice, write on one
 * side; on the other a sink that discards in the kernel (tcp(7), MSG_TRUNC), one that reads, one that writes a file. */
#include "bare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in local(const char *port)
{
        return (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static int connect_to(const char *port)
{
        struct sockaddr_in to = local(port);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
                return complain("connect");
        return fd;
}

static int accept_one(const char *port)
{
        struct sockaddr_in at = local(port);
        int one = 1, fd, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 1) < 0)
                return complain("listen");
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        close(listener);
        return fd < 0 ? complain("accept") : fd;
}

/* ---- sending ---- */

static int send_by_sendfile(int in, int out)
{
        ssize_t n;

        while ((n = sendfile(out, in, NULL, PIPE_BYTES)) > 0)
                continue;
        return n < 0 ? complain("sendfile") : 0;
}

static int send_by_splice(int in, int out)
{
        int fds[2];
        ssize_t n, m;

        if (make_pipe(fds) < 0)
                return -1;
        while ((n = splice(in, NULL, fds[1], NULL, PIPE_BYTES, SPLICE_F_MOVE)) > 0)
                for (; n > 0; n -= m) {
                        m = splice(fds[0], NULL, out, NULL, (size_t)n, SPLICE_F_MOVE);
                        if (m <= 0)
                                return complain("splice");
                }
        return n < 0 ? complain("splice") : 0;
}

static int send_by_copy(int in, int out)
{
        char *block = block_new(BLOCK_BYTES);
        ssize_t n = -1;

        while (block && (n = read(in, block, BLOCK_BYTES)) > 0)
                if (write_all(out, block, (size_t)n) < 0)
                        break;
        free(block);
        return n == 0 ? 0 : complain("copy");
}

/* send sendfile|splice|copy FILE PORT: to its end, then waits until the other side has read it all and closed. */
int bare_send(int argc, char **argv)
{
        static const struct {
                const char *name;
                int (*fn)(int in, int out);
        } ways[] = { { "sendfile", send_by_sendfile }, { "splice", send_by_splice }, { "copy", send_by_copy } };
        int in = open_input(argv[2]), out;
        char byte;

        (void)argc;
        if (in < 0)
                return -1;
        out = connect_to(argv[3]);
        if (out < 0)
                return -1;
        for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
                if (strcmp(argv[1], ways[i].name) != 0)
                        continue;
                if (ways[i].fn(in, out) < 0 || shutdown(out, SHUT_WR) < 0)
                        return -1;
                return read(out, &byte, 1) == 0 ? 0 : complain("the other side");
        }
        errno = EINVAL;
        return complain(argv[1]);
}

/* ---- receiving ---- */

static int take(const char *port, const char *result, int flags)
{
        char *block = block_new(PIPE_BYTES);
        int fd = accept_one(port);
        const size_t bytes = flags & MSG_TRUNC ? PIPE_BYTES : BLOCK_BYTES;
        struct seen seen;
        ssize_t n = -1;

        if (fd >= 0 && block) {
                seen_begin(&seen);
                if (flags & MSG_TRUNC)
                        seen.sums = 0;
                while ((n = recv(fd, block, bytes, flags)) > 0)
                        seen_add(&seen, block, (size_t)n);
                n = n < 0 ? complain("recv") : seen_write(&seen, result);
        }
        free(block);
        return (int)n;
}

/* discard PORT RESULT */
int bare_discard(int argc, char **argv)
{
        (void)argc;
        return take(argv[1], argv[2], MSG_TRUNC);
}

/* receive PORT RESULT */
int bare_receive(int argc, char **argv)
{
        (void)argc;
        return take(argv[1], argv[2], 0);
}

/* receive-file PORT FILE */
int bare_receive_file(int argc, char **argv)
{
        int out = open_output(argv[2]), fd = out < 0 ? -1 : accept_one(argv[1]);

        (void)argc;
        return fd < 0 ? -1 : send_by_copy(fd, out);
}

/* fetch PORT PATH RESULT: by HTTP/1.0; the bytes after the header are counted. */
int bare_fetch(int argc, char **argv)
{
        char *block = block_new(BLOCK_BYTES), *body, request[PATH_CAP + 64];
        int fd = connect_to(argv[1]);
        struct seen seen;
        ssize_t n = -1;

        (void)argc;
        snprintf(request, sizeof(request), "GET %.4000s HTTP/1.0\r\nHost: localhost\r\n\r\n", argv[2]);
        if (fd < 0 || !block || write_all(fd, request, strlen(request)) < 0)
                goto out;
        seen_begin(&seen);
        n = recv(fd, block, BLOCK_BYTES - 1, 0);
        if (n <= 0)
                goto out;
        block[n] = 0;
        body = strstr(block, "\r\n\r\n");
        if (!body || strncmp(block, "HTTP/1.1 200", 12) != 0) {
                errno = EPROTO;
                n = complain("the answer");
                goto out;
        }
        seen_add(&seen, body + 4, (size_t)(block + n - body - 4));
        while ((n = recv(fd, block, BLOCK_BYTES, 0)) > 0)
                seen_add(&seen, block, (size_t)n);
        n = n < 0 ? complain("recv") : seen_write(&seen, argv[3]);
out:
        free(block);
        return (int)n;
}
