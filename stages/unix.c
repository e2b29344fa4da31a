/* stages/unix.c: a unix stream socket connected or accepted. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "socket.h"
#include "text.h"

/* It fits: add_unix() has seen to that. */
static struct sockaddr_un address_of(const struct socket_config *c)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        memcpy(a.sun_path, c->text, strlen(c->text) + 1);
        return a;
}

/* ---- connect ---- */

static void connected(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct socket_self *self = self_;

        if (result < 0)
                sluice_ctx_note(ctx, "connect", "connect: %s", strerror((int)-result));
        socket_opened(ctx, self, result < 0 ? result : self->listener);
}

static int open_connect(struct sluice_ctx *ctx, struct socket_self *self, const struct socket_config *c)
{
        const struct sockaddr_un a = address_of(c);
        int fd = sluice_ctx_socket(ctx, AF_UNIX, SOCK_STREAM);

        if (fd < 0)
                return fd;
        self->listener = fd;
        return sluice_ctx_connect(ctx, fd, (const struct sockaddr *)&a, sizeof(a), socket_connect_timeout(c), connected);
}

/* ---- listen ---- */

static void accepted(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        struct socket_self *self = self_;

        sluice_ctx_close(ctx, self->listener);
        if (fd == -ETIMEDOUT)
                sluice_ctx_note(ctx, "accept", "accept: nobody connected within %g s", (double)c->opt.timeout_ms / 1000);
        socket_opened(ctx, self, fd);
}

static int start_listening(struct sluice_ctx *ctx, struct socket_self *self, const struct socket_config *c)
{
        mode_t mode = c->opt.mode ? c->opt.mode : 0600;
        const struct sockaddr_un a = address_of(c);
        int r;

        /* bind() makes the file with the socket's own mode less the umask: never wider than asked, not for a moment. */
        sluice_ctx_chmod(ctx, self->listener, NULL, mode);
        r = sluice_ctx_listen(ctx, self->listener, (const struct sockaddr *)&a, sizeof(a), 1);
        if (r < 0)
                return r;
        self->bound = 1;
        r = sluice_ctx_chmod(ctx, -1, c->text, mode);
        return r < 0 ? r : sluice_ctx_accept(ctx, self->listener, socket_accept_timeout(c), accepted);
}

static void fail_listen(struct sluice_ctx *ctx, int r)
{
        sluice_ctx_note(ctx, "listen", "listen: %s", strerror(-r));
        sluice_ctx_opened(ctx, r);
}

static void removed(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        int r = result < 0 ? (int)result : start_listening(ctx, self_, sluice_ctx_config(ctx));

        if (r < 0)
                fail_listen(ctx, r);
}

/* Only a socket is taken for what a killed listener left behind: connect() to a plain file is refused just the same. */
static void looked_at(struct sluice_ctx *ctx, void *self, int64_t fd)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        int r = (int)fd;

        (void)self;
        if (fd >= 0) {
                r = sluice_ctx_kind(ctx, (int)fd) == SLUICE_KIND_SOCKET ? 0 : -EEXIST;
                sluice_ctx_close(ctx, (int)fd);
        }
        if (r == 0)
                r = sluice_ctx_unlink(ctx, c->text, removed);
        if (r < 0)
                fail_listen(ctx, r);
}

/* A datagram socket finds out without using up the one connection that a listener may be waiting for: EPROTOTYPE, there
 * is one; ECONNREFUSED, nobody has the socket any more. */
static void tried(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        struct socket_self *self = self_;
        int r = -EADDRINUSE;

        sluice_ctx_close(ctx, self->fd);
        self->fd = -1;
        if (result == -ECONNREFUSED)
                r = sluice_ctx_open(ctx, c->text, O_PATH | O_NOFOLLOW, 0, looked_at);
        if (r < 0)
                fail_listen(ctx, r);
}

static int open_listen(struct sluice_ctx *ctx, struct socket_self *self, const struct socket_config *c)
{
        const struct sockaddr_un a = address_of(c);
        int r;

        self->listener = sluice_ctx_socket(ctx, AF_UNIX, SOCK_STREAM);
        if (self->listener < 0)
                return self->listener;
        r = start_listening(ctx, self, c);
        if (r != -EADDRINUSE) {
                if (r < 0)
                        sluice_ctx_note(ctx, "listen", "listen: %s", strerror(-r));
                return r;
        }
        self->fd = sluice_ctx_socket(ctx, AF_UNIX, SOCK_DGRAM);
        if (self->fd < 0)
                return self->fd;
        return sluice_ctx_connect(ctx, self->fd, (const struct sockaddr *)&a, sizeof(a), 1000, tried);
}

static int unix_open(struct sluice_ctx *ctx, void *self_)
{
        const struct socket_config *c = sluice_ctx_config(ctx);
        struct socket_self *self = self_;
        int r;

        self->fd = self->listener = -1;
        r = c->listen ? open_listen(ctx, self, c) : open_connect(ctx, self, c);
        return r < 0 ? r : -EINPROGRESS;
}

static const struct sluice_stage_ops unix_ops = {
        .size = sizeof(unix_ops),
        .name = "unix",
        .instance_size = sizeof(struct socket_self),
        .config_copy = socket_config_copy,
        .config_free = socket_config_free,
        .describe = socket_describe,
        .open = unix_open,
        .fd = socket_fd,
        .drained = socket_drained,
        .close = socket_close,
};

static int add_unix(struct sluice_pipeline *p, const char *path, const struct sluice_socket_options *opt, int listen)
{
        struct socket_config c = { .text = (char *)(uintptr_t)path, .listen = listen };
        char *name;
        int r;

        if (!path || !*path || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
                return -EINVAL;
        if (opt && (opt->size != sizeof(*opt) || opt->timeout_ms < 0 || opt->linger_ms < 0))
                return -EINVAL;
        if (opt)
                c.opt = *opt;
        if (asprintf(&name, "%s:%s", listen ? "unix-listen" : "unix", path) < 0)
                return -ENOMEM;
        r = sluice_pipeline_add(p, &unix_ops, &c, name);
        free(name);
        return r;
}

int sluice_add_unix(struct sluice_pipeline *p, const char *path, const struct sluice_socket_options *opt)
{
        return add_unix(p, path, opt, 0);
}

int sluice_add_unix_listen(struct sluice_pipeline *p, const char *path, const struct sluice_socket_options *opt)
{
        return add_unix(p, path, opt, 1);
}

/* ---- by name ---- */

#define AT(field) offsetof(struct sluice_socket_options, field)
static const struct text_option options_table[] = {
        { "timeout", TEXT_DURATION_MS, AT(timeout_ms), 0, NULL },
        { "linger", TEXT_DURATION_MS, AT(linger_ms), 0, NULL },
        { "lend", TEXT_FLAG, AT(flags), SLUICE_SOCKET_LEND, NULL },
        { "mode", TEXT_MODE, AT(mode), 0, NULL }, /* unix-listen: only */
};

static int add_text(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
                    struct sluice_text_error *e, int listen)
{
        size_t known = sizeof(options_table) / sizeof(options_table[0]) - (listen ? 0 : 1);
        struct sluice_socket_options opt = { .size = sizeof(opt) };
        int r = text_options(options_table, known, options, options_nr, &opt, e);

        if (r < 0)
                return r;
        if (!*argument)
                return text_fail(e, 0, "%s: needs a path", listen ? "unix-listen" : "unix");
        r = add_unix(p, argument, &opt, listen);
        return r == -EINVAL ? text_fail(e, 0, "the path of a unix socket has at most %zu bytes",
                                        sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
                            : r;
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

const struct text_type text_unix = {
        { "unix", "unix:PATH[,timeout=DURATION][,linger=DURATION][,lend]", "a unix stream socket, connected" }, add_connect
};
const struct text_type text_unix_listen = { { "unix-listen",
                                              "unix-listen:PATH[,timeout=DURATION][,linger=DURATION][,lend][,mode=OCTAL]",
                                              "one connection on a unix stream socket, accepted" },
                                            add_listen };
