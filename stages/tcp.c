/* stages/tcp.c: a TCP connection made or accepted.
 *
 *   tcp:        resolve (never on the loop's thread) ---> connect to each address in turn ---> open
 *   tcp-listen: resolve ---> bind, listen ---> accept one ---> the listener closes ---> open */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "socket.h"
#include "text.h"

static void set_options(struct sluice_ctx *ctx, int fd)
{
        const struct socket_config *c = sluice_ctx_config(ctx);

        if (!(c->opt.flags & SLUICE_SOCKET_DELAY))
                sluice_ctx_option(ctx, fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/* ---- connect ---- */

static void connect_next(struct sluice_ctx *ctx, struct socket_self *self);

static void connected(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        struct socket_self *self = self_;
        int fd = self->listener;

        if (result == 0) {
                set_options(ctx, fd);
                socket_opened(ctx, self, fd);
                return;
        }
        sluice_ctx_close(ctx, fd);
        if (result == -ECANCELED) {
                sluice_ctx_opened(ctx, (int)result);
                return;
        }
        self->last_error = (int)result;
        if (result == -ETIMEDOUT)
                sluice_ctx_note(ctx, "connect", "connect: no answer from %s within %g s", c->text,
                                (double)socket_connect_timeout(c) / 1000);
        else
                sluice_ctx_note(ctx, "connect", "connect: %s", strerror((int)-result));
        connect_next(ctx, self);
}

/* A kind of address that this host does not have is no reason not to try the next one. */
static int may_try_next(int error)
{
        return error == -EAFNOSUPPORT || error == -EPROTONOSUPPORT || error == -EADDRNOTAVAIL;
}

static void connect_next(struct sluice_ctx *ctx, struct socket_self *self)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        const struct sockaddr *address;
        socklen_t bytes;
        int r;

        do {
                r = sluice_ctx_address(ctx, self->next_address++, &address, &bytes);
                if (r < 0) {
                        sluice_ctx_opened(ctx, self->last_error ? self->last_error : -ENOENT);
                        return;
                }
                r = sluice_ctx_socket(ctx, address->sa_family, SOCK_STREAM);
                if (r < 0)
                        self->last_error = r;
        } while (may_try_next(r));
        if (r >= 0) {
                self->listener = r; /* the fd under way, until it is connected */
                socket_reset_on_close(ctx, self, r);
                r = sluice_ctx_connect(ctx, r, address, bytes, socket_connect_timeout(c), connected);
        }
        if (r < 0)
                sluice_ctx_opened(ctx, r);
}

/* ---- listen ---- */

static void accepted(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        struct socket_self *self = self_;

        sluice_ctx_close(ctx, self->listener);
        if (fd == -ETIMEDOUT)
                sluice_ctx_note(ctx, "accept", "accept: nobody connected within %g s", (double)c->opt.timeout_ms / 1000);
        if (fd >= 0)
                set_options(ctx, (int)fd);
        socket_opened(ctx, self, fd);
}

static int listen_on(struct sluice_ctx *ctx, struct socket_self *self, const struct sockaddr *address, socklen_t bytes)
{
        int fd = sluice_ctx_socket(ctx, address->sa_family, SOCK_STREAM), r;

        if (fd < 0)
                return fd;
        sluice_ctx_option(ctx, fd, SOL_SOCKET, SO_REUSEADDR, 1);
        socket_reset_on_close(ctx, self, fd); /* a connection has from its listener what it was told */
        if (address->sa_family == AF_INET6)
                sluice_ctx_option(ctx, fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
        r = sluice_ctx_listen(ctx, fd, address, bytes, 1);
        if (r < 0) {
                sluice_ctx_close(ctx, fd);
                return r;
        }
        self->listener = fd;
        return 0;
}

/* The first address that can be listened on. For "every address" that is the IPv6 one, which takes IPv4 too; a host
 * without IPv6 has the other. */
static void listen_somewhere(struct sluice_ctx *ctx, struct socket_self *self)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        const struct sockaddr *address;
        int r = -ENOENT, error = -ENOENT;
        socklen_t bytes;

        for (int pass = 0; pass < 2 && r < 0; pass++)
                for (int i = 0; r < 0 && sluice_ctx_address(ctx, i, &address, &bytes) == 0; i++) {
                        if ((address->sa_family == AF_INET6) != (pass == 0))
                                continue;
                        r = listen_on(ctx, self, address, bytes);
                        error = r;
                }
        if (r == 0)
                r = sluice_ctx_accept(ctx, self->listener, socket_accept_timeout(c), accepted);
        else
                sluice_ctx_note(ctx, "listen", "listen: %s", strerror(-error));
        if (r < 0)
                sluice_ctx_opened(ctx, r);
}

static void resolved(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        const struct socket_config *c = sluice_ctx_config(ctx);

        if (result < 0)
                sluice_ctx_opened(ctx, (int)result);
        else if (c->listen)
                listen_somewhere(ctx, self_);
        else
                connect_next(ctx, self_);
}

static int tcp_open(struct sluice_ctx *ctx, void *self_)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        struct socket_self *self = self_;
        int r;

        self->fd = self->listener = -1;
        self->tcp = 1;
        r = sluice_ctx_resolve(ctx, c->host, c->port, c->listen ? AI_PASSIVE : 0, resolved);
        return r < 0 ? r : -EINPROGRESS;
}

static const struct sluice_stage_ops tcp_ops = {
        .size = sizeof(tcp_ops),
        .name = "tcp",
        .instance_size = sizeof(struct socket_self),
        .config_copy = socket_config_copy,
        .config_free = socket_config_free,
        .describe = socket_describe,
        .open = tcp_open,
        .fd = socket_fd,
        .drained = socket_drained,
        .close = socket_close,
};

static int add_tcp(struct sluice_pipeline *p, const char *address, const struct sluice_socket_options *opt, int listen,
                   const char **ret_why)
{
        char host[256], port[32], *name;
        struct socket_config c = { .text = (char *)(uintptr_t)address, .listen = listen };
        int r;

        *ret_why = "the options are of another version";
        if (opt && (opt->size != sizeof(*opt) || opt->timeout_ms < 0 || opt->linger_ms < 0))
                return -EINVAL;
        r = text_address(address, host, sizeof(host), port, sizeof(port), ret_why);
        if (r < 0)
                return r;
        if (opt)
                c.opt = *opt;
        c.host = host[0] ? host : NULL;
        c.port = port;
        if (asprintf(&name, "%s:%s", listen ? "tcp-listen" : "tcp", address) < 0)
                return -ENOMEM;
        r = sluice_pipeline_add(p, &tcp_ops, &c, name);
        free(name);
        return r;
}

int sluice_add_tcp(struct sluice_pipeline *p, const char *address, const struct sluice_socket_options *opt)
{
        const char *why;

        return add_tcp(p, address, opt, 0, &why);
}

int sluice_add_tcp_listen(struct sluice_pipeline *p, const char *address, const struct sluice_socket_options *opt)
{
        const char *why;

        return add_tcp(p, address, opt, 1, &why);
}

/* ---- by name ---- */

#define AT(field) offsetof(struct sluice_socket_options, field)
static const struct text_option options_table[] = {
        { "timeout", TEXT_DURATION_MS, AT(timeout_ms), 0, NULL },
        { "linger", TEXT_DURATION_MS, AT(linger_ms), 0, NULL },
        { "lend", TEXT_FLAG, AT(flags), SLUICE_SOCKET_LEND, NULL },
        { "delay", TEXT_FLAG, AT(flags), SLUICE_SOCKET_DELAY, NULL },
};

static int add_text(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
                    struct sluice_text_error *e, int listen)
{
        struct sluice_socket_options opt = { .size = sizeof(opt) };
        const char *why;
        int r = text_options(options_table, sizeof(options_table) / sizeof(options_table[0]), options, options_nr, &opt, e);

        if (r < 0)
                return r;
        r = add_tcp(p, argument, &opt, listen, &why);
        return r == -EINVAL ? text_fail(e, 0, "%s", why) : r;
}

static int add_connect(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
                       struct sluice_text_error *e)
{
        return add_text(p, argument, options, options_nr, e, 0);
}

static int add_listen(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
                      struct sluice_text_error *e)
{
        return add_text(p, argument, options, options_nr, e, 1);
}

const struct text_type text_tcp = {
        { "tcp", "tcp:HOST:PORT[,timeout=DURATION][,linger=DURATION][,lend][,delay]", "a TCP connection, made" }, add_connect
};
const struct text_type text_tcp_listen = { { "tcp-listen",
                                             "tcp-listen:[HOST]:PORT[,timeout=DURATION][,linger=DURATION][,lend][,delay]",
                                             "one TCP connection, accepted" },
                                           add_listen };
