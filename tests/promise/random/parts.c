/* parts.c: callbacks, functions and a stage of the test's own, which take and give random amounts, pause, and make trouble. See
 * random.h. Each part has numbers of its own, so that what it does depends on the seed and not on the other threads. */
#include "random.h"

#include <sys/eventfd.h>
#include <time.h>

static size_t min(size_t a, size_t b)
{
        return a < b ? a : b;
}

/* Mostly much, at times a few bytes. */
static size_t some(struct rnd *r, size_t most)
{
        return min(most, 1 + rnd_below(r, rnd_one_in(r, 8) ? 9 : 1 << (6 + rnd_below(r, 12))));
}

/* ---- being woken ---- */

struct wish {
        int fd;
        bool drain; /* writable: its counter is taken away; else readable: it is counted up */
        unsigned ns;
};

static void *waker_main(void *arg)
{
        struct waker *w = arg;
        struct wish wish;
        uint64_t n = 1;

        while (read(w->pipe[0], &wish, sizeof(wish)) == sizeof(wish)) {
                const struct timespec moment = { .tv_nsec = wish.ns };

                nanosleep(&moment, NULL);
                if ((wish.drain ? read(wish.fd, &n, sizeof(n)) : write(wish.fd, &(uint64_t){ 1 }, sizeof(n))) < 0)
                        continue;
        }
        return NULL;
}

void waker_start(struct waker *w)
{
        t_pipe(w->pipe);
        assert_int_equal(pthread_create(&w->thread, NULL, waker_main, w), 0);
}

void waker_stop(struct waker *w)
{
        close(w->pipe[1]);
        pthread_join(w->thread, NULL);
        close(w->pipe[0]);
}

/* Whether it pauses here; then its wake_fd is not ready, and will be. */
static bool pauses(struct part *p, bool reads)
{
        struct wish wish = { .fd = p->wake_fd, .drain = !reads, .ns = (unsigned)rnd_below(&p->rnd, 100000) };
        uint64_t n = UINT64_C(0xfffffffffffffffe);

        if (p->told && reads && read(p->wake_fd, &n, sizeof(n)) < 0)
                return true; /* it is called before it was woken */
        p->told = false;
        if (p->wake_fd < 0 || !rnd_one_in(&p->rnd, 12))
                return false;
        n = UINT64_C(0xfffffffffffffffe);
        if (!reads && write(p->wake_fd, &n, sizeof(n)) < 0)
                return true;
        p->told = reads;
        assert_int_equal(write(p->waker, &wish, sizeof(wish)), sizeof(wish));
        return true;
}

/* ---- callbacks ---- */

static bool has_trouble(struct part *p, size_t bytes)
{
        p->seen += bytes;
        if (p->trouble == TROUBLE_NONE || p->seen < p->enough)
                return false;
        p->fired = true;
        return true;
}

ssize_t part_reader(void *arg, void *data, size_t cap)
{
        struct part *p = arg;
        size_t n = min(some(&p->rnd, cap), p->content->bytes - p->at);

        if (pauses(p, true))
                return -EAGAIN;
        if (has_trouble(p, n))
                return -EIO;
        memcpy(data, p->content->data + p->at, n);
        p->at += n;
        return (ssize_t)n;
}

ssize_t part_writer(void *arg, const void *data, size_t bytes)
{
        struct part *p = arg;
        size_t n = some(&p->rnd, bytes);

        if (bytes == 0)
                return 0;
        if (pauses(p, false))
                return -EAGAIN;
        if (has_trouble(p, n))
                return p->trouble == TROUBLE_EARLY ? SLUICE_WRITER_ENOUGH : -EIO;
        bytes_add(p->got, data, n);
        return (ssize_t)n;
}

/* ---- functions on threads ---- */

static int trouble_of(const struct part *p)
{
        return p->trouble == TROUBLE_EARLY ? SLUICE_FINISH_EARLY : -EIO;
}

int part_gives(void *arg, struct sluice_stream *io)
{
        struct part *p = arg;

        while (p->at < p->content->bytes) {
                size_t n = min(some(&p->rnd, 1 << 20), p->content->bytes - p->at);
                ssize_t r;

                if (has_trouble(p, n))
                        return trouble_of(p);
                r = sluice_write(io, p->content->data + p->at, n);
                if (r < 0)
                        return (int)r;
                p->at += n;
        }
        return 0;
}

int part_takes(void *arg, struct sluice_stream *io)
{
        struct part *p = arg;
        uint8_t data[1 << 16];
        ssize_t n;

        while ((n = sluice_read(io, data, some(&p->rnd, sizeof(data)))) > 0) {
                if (has_trouble(p, (size_t)n))
                        return trouble_of(p);
                bytes_add(p->got, data, (size_t)n);
        }
        return (int)n;
}

int part_copies(void *arg, struct sluice_stream *io)
{
        struct part *p = arg;
        uint8_t data[1 << 16];
        ssize_t n;

        while ((n = sluice_read(io, data, some(&p->rnd, sizeof(data)))) > 0) {
                if (has_trouble(p, (size_t)n))
                        return trouble_of(p);
                for (size_t done = 0, part; done < (size_t)n; done += part) {
                        ssize_t r;

                        part = some(&p->rnd, (size_t)n - done);
                        r = sluice_write(io, data + done, part);
                        if (r < 0)
                                return (int)r;
                }
        }
        return (int)n;
}

int part_copies_lines(void *arg, struct sluice_stream *io)
{
        struct part *p = arg;
        char line[70000];
        ssize_t n;

        while ((n = sluice_readline(io, line, sizeof(line))) > 0) {
                if (has_trouble(p, (size_t)n))
                        return trouble_of(p);
                n = sluice_write(io, line, (size_t)n);
                if (n < 0)
                        break;
        }
        return (int)n;
}

/* One piece of what was acquired: as it is, or by a copy into what was reserved. */
static ssize_t pass_piece(struct part *p, struct sluice_stream *io, const void *data, size_t bytes)
{
        size_t n = some(&p->rnd, bytes);
        void *room;
        ssize_t r;

        if (rnd_one_in(&p->rnd, 2)) {
                r = sluice_pass(io, n);
                return r < 0 ? r : (ssize_t)n;
        }
        r = sluice_reserve(io, &room);
        if (r < 0)
                return r;
        n = min(n, (size_t)r);
        memcpy(room, data, n);
        r = sluice_put(io, n);
        return r < 0 ? r : sluice_release(io, n);
}

int part_passes(void *arg, struct sluice_stream *io)
{
        struct part *p = arg;
        const void *data;
        ssize_t n;

        while ((n = sluice_acquire(io, &data)) > 0) {
                if (has_trouble(p, (size_t)n))
                        return trouble_of(p);
                n = pass_piece(p, io, data, (size_t)n);
                if (n < 0)
                        break;
        }
        return (int)n;
}

int part_keeps_all(void *arg, const char *line, size_t bytes)
{
        (void)arg;
        (void)line;
        return bytes > 0;
}

/* ---- on the loop ---- */

struct mangle {
        size_t held;
        bool pausing;
        uint8_t hold[4096];
};

static void mangle_slept(struct sluice_ctx *c, void *self_, int64_t result)
{
        struct mangle *self = self_;

        (void)result;
        self->pausing = false;
        sluice_ctx_ready(c);
}

/* What was held back first, then what came. */
static void mangle_copy(struct mangle *self, struct part *p, struct sluice_buf *in, struct sluice_buf *out)
{
        size_t n = min(self->held, some(&p->rnd, out->cap));

        memcpy(out->data, self->hold, n);
        memmove(self->hold, self->hold + n, self->held - n);
        self->held -= n;
        out->len = n;
        if (self->held || in->len == 0 || out->cap == n)
                return;
        n = min(in->len, some(&p->rnd, out->cap - n));
        memcpy(out->data + out->len, in->data, n);
        out->len += n;
        in->consumed = n;
}

static int mangle_process(struct sluice_ctx *c, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        struct mangle *self = self_;
        struct part *p = t_arg(c);
        size_t n;

        if (self->pausing)
                return -EAGAIN;
        if (in->len && rnd_one_in(&p->rnd, 16) && sluice_ctx_sleep(c, (int64_t)rnd_below(&p->rnd, 2), mangle_slept) == 0) {
                self->pausing = true;
                return -EAGAIN;
        }
        if (in->len && has_trouble(p, 0))
                return p->trouble == TROUBLE_EARLY ? SLUICE_FINISH_EARLY : -EIO;
        n = min(some(&p->rnd, in->len), sizeof(self->hold) - self->held);
        if (in->len && self->held == 0 && rnd_one_in(&p->rnd, 3)) {
                n = some(&p->rnd, in->len);
                p->seen += n;
                return sluice_forward(c, n);
        }
        if (in->len && n && rnd_one_in(&p->rnd, 4)) {
                memcpy(self->hold + self->held, in->data, n);
                self->held += n;
                in->consumed = n;
        } else {
                mangle_copy(self, p, in, out);
        }
        p->seen += in->consumed;
        return 0;
}

const struct sluice_stage_ops part_mangle_ops = {
        .size = sizeof(struct sluice_stage_ops),
        .name = "mangle",
        .instance_size = sizeof(struct mangle),
        .describe = t_function_describe,
        .open = t_function_open,
        .process = mangle_process,
        .close = t_function_close,
};
