/* stages/socket.c: a connected stream socket as source, sink or both.
 *
 *   bytes in ... drained: shutdown(SHUT_WR) ---> only a sink? wait for the peer's end of stream, discarding what it says:
 *                                                 a close with unread bytes would reset the connection and destroy
 *                                                 what is still on its way
 *                                           ---> peer silent for `linger`: enough that its kernel has everything
 *
 * A run that failed resets the connection instead: a stream that was cut off must not look like one that ended. Nor must
 * one whose process was killed, so until everything is delivered the kernel is told to reset a connection that closes. A
 * socket that may be lent is left as it is: a process that has it may close it at any time. */
#include "socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "text.h"

enum {
        CONNECT_TIMEOUT_MS = 30000,
        LINGER_MS = 100,
        DISCARD_READS = 16,      /* in one go: the loop has others to serve */
        DISCARD_BYTES = 1 << 20, /* in all: a peer that talks for ever does not keep us */
};

void socket_config_free(void *config)
{
        struct socket_config *c = config;

        free(c->text);
        free(c->host);
        free(c->port);
        free(c);
}

static char *copy_or_null(const char *s)
{
        return s ? strdup(s) : NULL;
}

int socket_config_copy(void **ret, const void *config)
{
        const struct socket_config *from = config;
        struct socket_config *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = *from;
        c->text = copy_or_null(from->text);
        c->host = copy_or_null(from->host);
        c->port = copy_or_null(from->port);
        if (!c->text || !c->host != !from->host || !c->port != !from->port) {
                socket_config_free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

int64_t socket_accept_timeout(const struct socket_config *c)
{
        return c->opt.timeout_ms;
}

int64_t socket_connect_timeout(const struct socket_config *c)
{
        return c->opt.timeout_ms ? c->opt.timeout_ms : CONNECT_TIMEOUT_MS;
}

int socket_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        const struct socket_config *c = sluice_ctx_config(ctx);

        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_FD | SLUICE_IO_BORROW | (c->opt.flags & SLUICE_SOCKET_LEND ? SLUICE_IO_LEND : 0);
        ret->kind = SLUICE_KIND_SOCKET;
        return 0;
}

int socket_fd(struct sluice_ctx *ctx, void *self, enum sluice_direction dir)
{
        (void)ctx;
        (void)dir;
        return ((struct socket_self *)self)->fd;
}

static void linger(struct sluice_ctx *ctx, const struct socket_self *self, int fd, int seconds)
{
        const struct socket_config *c = sluice_ctx_config(ctx);

        if (self->tcp && fd >= 0 && sluice_ctx_linked(ctx, SLUICE_INPUT) && !(c->opt.flags & SLUICE_SOCKET_LEND))
                sluice_ctx_option(ctx, fd, SOL_SOCKET, SO_LINGER, seconds);
}

void socket_reset_on_close(struct sluice_ctx *ctx, const struct socket_self *self, int fd)
{
        linger(ctx, self, fd, 0);
}

static void end_on_close(struct sluice_ctx *ctx, const struct socket_self *self)
{
        linger(ctx, self, self->fd, -1);
}

void socket_opened(struct sluice_ctx *ctx, struct socket_self *self, int64_t fd)
{
        self->fd = fd < 0 ? -1 : (int)fd;
        sluice_ctx_opened(ctx, fd < 0 ? (int)fd : 0);
}

/* ---- the end of the sending side ---- */

static void wait_for_peer(struct sluice_ctx *ctx, struct socket_self *self);

static void peer_is_done(struct sluice_ctx *ctx, int error)
{
        if (error)
                sluice_ctx_note(ctx, "send", "%s before everything was delivered", strerror(-error));
        sluice_ctx_drained(ctx, error);
}

static void peer_said(struct sluice_ctx *ctx, void *self_, int64_t revents)
{
        struct socket_self *self = self_;
        char discarded[4096];
        ssize_t n = 0;

        if (revents == -ETIMEDOUT) {
                if (self->tcp && sluice_ctx_unsent(ctx, self->fd) > 0)
                        wait_for_peer(ctx, self); /* still on its way: TCP itself gives up in the end */
                else
                        sluice_ctx_drained(ctx, 0);
                return;
        }
        if (revents < 0) {
                sluice_ctx_drained(ctx, (int)revents);
                return;
        }
        for (int i = 0; i < DISCARD_READS; i++) {
                n = sluice_ctx_try_read(ctx, self->fd, discarded, sizeof(discarded));
                if (n <= 0)
                        break;
                self->discarded += n;
        }
        if (self->discarded > DISCARD_BYTES && sluice_ctx_unsent(ctx, self->fd) <= 0)
                sluice_ctx_drained(ctx, 0);
        else if (n > 0 || n == -EAGAIN)
                wait_for_peer(ctx, self);
        else
                peer_is_done(ctx, n < 0 && n != -EOPNOTSUPP ? (int)n : 0);
}

static void wait_for_peer(struct sluice_ctx *ctx, struct socket_self *self)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        int r = sluice_ctx_wait(ctx, self->fd, POLLIN, c->opt.linger_ms ? c->opt.linger_ms : LINGER_MS, peer_said);

        if (r < 0)
                sluice_ctx_drained(ctx, r);
}

int socket_drained(struct sluice_ctx *ctx, void *self_)
{
        struct socket_self *self = self_;
        int r;

        end_on_close(ctx, self);
        r = sluice_ctx_shutdown(ctx, self->fd, SHUT_WR);
        self->shut = 1;
        if (r == -ENOTCONN)
                r = -ECONNRESET;
        if (r < 0 || sluice_ctx_linked(ctx, SLUICE_OUTPUT))
                return r; /* what the peer answers goes downstream */
        wait_for_peer(ctx, self);
        return -EINPROGRESS;
}

void socket_close(struct sluice_ctx *ctx, void *self_, int error)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        struct socket_self *self = self_;

        if (error && !self->shut && self->tcp && self->fd >= 0 && sluice_ctx_linked(ctx, SLUICE_INPUT))
                sluice_ctx_reset(ctx, self->fd);
        else if (!self->shut)
                end_on_close(ctx, self);
        if (self->bound)
                sluice_ctx_unlink(ctx, c->text, NULL);
}
