/* engine/stream_ring.c: a stream's calls over rings: what is read is the writer's own buffer, what is written goes into a
 * buffer that the reader sees grow. So nothing that was written is kept back: there is nothing to give out before a wait,
 * but to wake who dozes.
 *
 * Called by stream.c, through a table; calls ring.c and buffer.c. */
#include "stream_ring.h"

#include <errno.h>
#include <string.h>

enum {
        RESERVE_BYTES = 64 << 10,
        PASS_BYTES = 1 << 10, /* less is copied: a piece of its own costs more, and the ring has few */
};

static void settle(struct sluice_stream *io)
{
        if (io->out)
                ring_tell_reader(io->out);
        if (io->in)
                ring_tell_writer(io->in);
}

/* ---- to write ---- */

/* 0, and a piece may be put. */
static int wait_for_room(struct sluice_stream *io)
{
        for (;;) {
                if (sluice_cancelled(io))
                        return -ECANCELED;
                if (ring_is_closed(io->out))
                        return -EPIPE;
                if (ring_has_room(io->out))
                        return 0;
                settle(io);
                ring_sleep_for_room(io->out, &io->cancelled);
        }
}

/* A buffer with that much room behind what was written into it. */
static int need_buffer(struct sluice_stream *io, size_t bytes)
{
        if (io->filling && BUFFER_BYTES - io->filled_bytes >= bytes)
                return 0;
        buffer_unref(io->filling);
        io->filled_bytes = 0;
        io->filling = buffer_get(io->pool);
        return io->filling ? 0 : -ENOMEM;
}

static void put_filled(struct sluice_stream *io, size_t bytes)
{
        ring_put(io->out, io->filling, io->filled_bytes, (uint32_t)bytes);
        io->filled_bytes += (uint32_t)bytes;
}

static ssize_t over_write(struct sluice_stream *io, const void *data, size_t bytes)
{
        for (size_t at = 0; at < bytes;) {
                int r = wait_for_room(io);
                size_t room, n = bytes - at;

                r = r < 0 ? r : need_buffer(io, 1);
                if (r < 0)
                        return r;
                room = BUFFER_BYTES - io->filled_bytes;
                n = n < room ? n : room;
                memcpy(io->filling->data + io->filled_bytes, (const char *)data + at, n);
                put_filled(io, n);
                at += n;
        }
        return (ssize_t)bytes;
}

/* The wait is here, and not when it is put: a buffer that nobody can take yet is not filled. */
static ssize_t over_reserve(struct sluice_stream *io, void **ret)
{
        int r = wait_for_room(io);

        r = r < 0 ? r : need_buffer(io, RESERVE_BYTES);
        if (r < 0)
                return r;
        *ret = io->filling->data + io->filled_bytes;
        return BUFFER_BYTES - io->filled_bytes;
}

static int over_put(struct sluice_stream *io, size_t bytes)
{
        int r = wait_for_room(io); /* a read since then may have passed a flush on */

        if (r == 0)
                put_filled(io, bytes);
        return r;
}

static int over_flush(struct sluice_stream *io)
{
        int r = wait_for_room(io);

        if (r == 0)
                ring_flush(io->out);
        return r;
}

/* ---- to read ---- */

/* What was read before it has been written by now, if it will be before the next read: it goes on. */
static int pass_flush(struct sluice_stream *io)
{
        int r = io->out ? over_flush(io) : 0;

        return r == -EPIPE ? 0 : r;
}

static ssize_t over_acquire(struct sluice_stream *io, const uint8_t **ret)
{
        struct ring_lease l;

        for (;;) {
                enum ring_item item = ring_acquire(io->in, &l);
                /* After the look: a neighbour that was cancelled ends the ring too. */
                int r = item == RING_FLUSH ? pass_flush(io) : sluice_cancelled(io) ? -ECANCELED : 0;

                if (r < 0)
                        return r;
                if (item == RING_END)
                        return 0;
                if (item == RING_PIECE) {
                        *ret = l.buffer->data + l.at;
                        return l.bytes;
                }
                if (item == RING_FLUSH) {
                        ring_pass_flush(io->in);
                        continue;
                }
                settle(io);
                ring_sleep_for_bytes(io->in, &io->cancelled);
        }
}

static void over_release(struct sluice_stream *io, size_t bytes)
{
        ring_release(io->in, (uint32_t)bytes);
}

/* The ring's reference is enough: the lease is not released before the piece has one of its own. */
static int over_pass(struct sluice_stream *io, size_t bytes)
{
        struct ring_lease l;
        int r;

        if (bytes < PASS_BYTES)
                return (int)over_write(io, io->lease, bytes);
        r = wait_for_room(io);
        if (r < 0)
                return r;
        ring_acquire(io->in, &l);
        ring_put(io->out, l.buffer, l.at, (uint32_t)bytes);
        return 0;
}

/* ---- the ends ---- */

static void over_wake(struct sluice_stream *io)
{
        if (io->in)
                ring_wake(&io->in->reader);
        if (io->out)
                ring_wake(&io->out->writer);
}

static void over_close(struct sluice_stream *io)
{
        buffer_unref(io->filling);
        io->filling = NULL;
        if (io->out)
                ring_end(io->out);
        if (io->in)
                ring_close(io->in);
}

static const struct stream_over_rings over_rings = {
        .acquire = over_acquire,
        .release = over_release,
        .write = over_write,
        .reserve = over_reserve,
        .put = over_put,
        .pass = over_pass,
        .flush = over_flush,
        .settle = settle,
        .wake = over_wake,
        .close = over_close,
};

void stream_join(struct sluice_stream *io, int i, struct ring *ring, struct sluice_pool *pool)
{
        io->rings = &over_rings;
        io->pool = pool;
        if (i)
                io->out = ring;
        else
                io->in = ring;
}
