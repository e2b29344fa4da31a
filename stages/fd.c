/* stages/fd.c: an fd that is open already: fd:N and standard input and output.
 * Owns a private duplicate while a run lasts, so that a host which closes or reuses its number does no harm. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

struct fd_config {
        int fd;
        unsigned flags;
};

struct fd_self {
        int fd;
};

static int fd_config_copy(void **ret, const void *config)
{
        struct fd_config *c = malloc(sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = *(const struct fd_config *)config;
        *ret = c;
        return 0;
}

/* A pipeline that was never run still owns what it was given. */
static void fd_config_free(void *config)
{
        struct fd_config *c = config;

        if (c->flags & SLUICE_OWN && c->fd >= 0)
                close(c->fd);
        free(c);
}

static int fd_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        const struct fd_config *c = sluice_ctx_config(ctx);

        (void)self;
        ret->io = SLUICE_IO_FD | SLUICE_IO_LEND;
        if (dir == SLUICE_INPUT && c->flags & SLUICE_OBSERVE) {
                ret->io = SLUICE_IO_FD;
                ret->note = "observed: the engine writes it itself, to see its errors";
        }
        return 0;
}

/* What is the pipeline's goes to its run, which closes it as soon as it is done with it: whoever reads the other end sees
 * the end then, and not when the pipeline is freed. */
static int take_over(struct sluice_ctx *ctx, struct fd_self *self)
{
        struct fd_config *c = (struct fd_config *)(uintptr_t)sluice_ctx_config(ctx); /* a copy, and ours */

        if (c->fd < 0) {
                sluice_ctx_note(ctx, "open", "the file descriptor was given away to an earlier run");
                return -EBADF;
        }
        if (c->fd <= STDERR_FILENO) { /* the engine's are above: numbers of standard streams are placed in children */
                self->fd = sluice_ctx_dup(ctx, c->fd);
                if (self->fd < 0)
                        return self->fd;
                close(c->fd);
        } else {
                self->fd = c->fd;
                sluice_ctx_adopt(ctx, self->fd);
        }
        c->fd = -1;
        return 0;
}

static int fd_open(struct sluice_ctx *ctx, void *self_)
{
        const struct fd_config *c = sluice_ctx_config(ctx);
        struct fd_self *self = self_;
        int r;

        if (c->flags & SLUICE_OWN)
                return take_over(ctx, self);
        self->fd = sluice_ctx_dup(ctx, c->fd);
        if (self->fd < 0) {
                sluice_ctx_note(ctx, "open",
                                self->fd == -EBADF ? "file descriptor %d is not open" : "file descriptor %d cannot be duplicated",
                                c->fd);
                return self->fd;
        }
        /* The number now leads nowhere: whoever wrote to the original learns of our end as soon as we let go of ours. */
        if (c->flags & SLUICE_REPLACE) {
                r = sluice_ctx_replace(ctx, c->fd);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int fd_fd(struct sluice_ctx *ctx, void *self, enum sluice_direction dir)
{
        (void)ctx;
        (void)dir;
        return ((struct fd_self *)self)->fd;
}

static void fd_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

static const struct sluice_stage_ops fd_ops = {
        .size = sizeof(fd_ops),
        .name = "fd",
        .instance_size = sizeof(struct fd_self),
        .config_copy = fd_config_copy,
        .config_free = fd_config_free,
        .describe = fd_describe,
        .open = fd_open,
        .fd = fd_fd,
        .close = fd_close,
};

int sluice_add_fd(struct sluice_pipeline *p, int fd, unsigned flags)
{
        const struct fd_config c = { .fd = fd, .flags = flags };
        char name[32];

        if (fd < 0 || flags & ~(unsigned)(SLUICE_OWN | SLUICE_REPLACE | SLUICE_OBSERVE))
                return -EINVAL;
        if (flags & SLUICE_REPLACE)
                snprintf(name, sizeof(name), "%s", fd == STDIN_FILENO ? "stdin" : fd == STDOUT_FILENO ? "stdout" : "fd");
        else
                snprintf(name, sizeof(name), "fd:%d", fd);
        return sluice_pipeline_add(p, &fd_ops, &c, name);
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        static const struct text_option table[] = { { "observe", TEXT_FLAG, 0, SLUICE_OBSERVE, NULL } };
        unsigned flags = 0;
        int r = text_options(table, 1, options, options_nr, &flags, e);
        size_t digits = strspn(argument, "0123456789");

        if (r < 0)
                return r;
        if (digits == 0 || argument[digits] || digits > 6)
                return text_fail(e, 0, "fd: takes the number of an open file descriptor, not '%.40s'", argument);
        return sluice_add_fd(p, atoi(argument), flags);
}

const struct text_type text_fd = { { "fd", "fd:N[,observe]", "a file descriptor that is open already" }, add };
