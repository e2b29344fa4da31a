/* tests/unit/fake.h: a backend that does nothing, and writes down what it was asked to close. */
#ifndef SLUICE_TESTS_UNIT_FAKE_H
#define SLUICE_TESTS_UNIT_FAKE_H

#include <errno.h>

#include "backend.h"

struct fake {
        struct backend base;
        int next_fd, pipe_error;
        size_t grant; /* what pipe() gives, whatever is asked for; 0: what was asked for */
        size_t asked; /* by the last pipe() */
        unsigned closed, nonblocking, submitted;
        int last_closed;
        struct list taken; /* operations submitted */
};

static inline struct fake *fake_of(struct backend *b)
{
        return container_of(b, struct fake, base);
}

static inline void fake_close(struct backend *b, int fd)
{
        fake_of(b)->closed++;
        fake_of(b)->last_closed = fd;
}

static inline void fake_submit(struct backend *b, struct op *op)
{
        fake_of(b)->submitted++;
        list_push(&fake_of(b)->taken, &op->node);
}

static inline int fake_pipe(struct backend *b, int ret[2], size_t bytes, size_t *ret_bytes)
{
        struct fake *f = fake_of(b);

        f->asked = bytes;
        if (f->pipe_error)
                return f->pipe_error;
        ret[0] = f->next_fd++;
        ret[1] = f->next_fd++;
        *ret_bytes = f->grant ? f->grant : bytes;
        return 0;
}

static inline int fake_set_nonblock(struct backend *b, int fd, bool on)
{
        (void)fd;
        fake_of(b)->nonblocking += on;
        return 0;
}

static inline uint64_t fake_now(struct backend *b)
{
        (void)b;
        return 0;
}

static inline void fake_init(struct fake *f, bool exclusive)
{
        static const struct backend_ops ops = {
                .name = "fake",
                .submit = fake_submit,
                .close = fake_close,
                .pipe = fake_pipe,
                .set_nonblock = fake_set_nonblock,
                .set_direct = fake_set_nonblock,
                .now_ns = fake_now,
        };

        *f = (struct fake){ .next_fd = 1000 };
        backend_init(&f->base, &ops, exclusive);
        list_init(&f->taken);
}

#endif
