/* engine/stream.h: what a function on a thread of its own (or in a process of its own) reads and writes: on each side an fd
 * or a ring, and an eventfd that ends every wait. Made and freed by whoever gives the function its thread; all else is that
 * thread's alone.
 *
 *      input:   fd --read--> buffer[at, bytes) --+--> sluice_read, sluice_readline, sluice_acquire
 *               ring ----------------------------+    (what the buffer holds comes first)
 *
 *  A lease is the first bytes of what comes next, wherever they lie: releasing is reading them. Any other call that reads
 *  ends it. What rings need beside that is in stream_ring.c, behind `rings`: a program that has none does not link it. */
#ifndef SLUICE_ENGINE_STREAM_H
#define SLUICE_ENGINE_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/stage.h>

enum { STREAM_LINE_BYTES = 64 << 10, STREAM_SCRATCH_BYTES = 64 << 10 };

struct ring;
struct buffer;
struct sluice_pool;
struct sluice_stream;

/* The same calls as those of sluice/stage.h, for a side that is a ring. Neither is cancelled yet when one is made. */
struct stream_over_rings {
        ssize_t (*acquire)(struct sluice_stream *, const uint8_t **ret);
        void (*release)(struct sluice_stream *, size_t bytes);
        ssize_t (*write)(struct sluice_stream *, const void *data, size_t bytes);
        ssize_t (*reserve)(struct sluice_stream *, void **ret);
        int (*put)(struct sluice_stream *, size_t bytes);
        /* From ring to ring, of what is leased. */
        int (*pass)(struct sluice_stream *, size_t bytes);
        int (*flush)(struct sluice_stream *);
        /* Before a wait for something else: what others may be waiting for is theirs. */
        void (*settle)(struct sluice_stream *);
        void (*wake)(struct sluice_stream *); /* any thread */
        void (*close)(struct sluice_stream *);
};

struct sluice_stream {
        int fds[2];      /* -1: that side is not linked, or a ring */
        bool regular[2]; /* never waits in a way that poll(2) knows */
        bool socket[2];
        bool ours[2];  /* O_NONBLOCK was set: nobody else has it */
        int cancel_fd; /* readable once cancelled; -1: never */
        atomic_int cancelled;

        const struct stream_over_rings *rings; /* NULL: fds only */
        struct ring *in, *out;                 /* NULL: that side is not a ring */
        struct sluice_pool *pool;              /* where buffers for `out` come from */
        struct buffer *filling;                /* the last of them, full up to filled_bytes; NULL: none */
        uint32_t filled_bytes;

        const uint8_t *lease; /* of lease_bytes; and whether it lies in `buffer` */
        size_t lease_bytes, reserved_bytes;
        bool lease_is_held;
        uint8_t *scratch; /* what is reserved over an fd; made when it is asked for */

        uint64_t line;
        bool mid_line; /* the rest of one that was too long comes next */
        size_t at, bytes;
        char buffer[STREAM_LINE_BYTES];
};

/* NULL without memory. No side is linked yet. */
struct sluice_stream *stream_new(void);
/* Closes what it has. */
void stream_free(struct sluice_stream *io);
/* Takes over `fd` as side `i` (0: to read, 1: to write). `ours`: its O_NONBLOCK may be set. -errno: it is closed. */
int stream_take(struct sluice_stream *io, int i, int fd, bool ours);
/* Any thread. Every call answers -ECANCELED from the mark on; one that waits hears of it by the cancel. A whole run is marked
 * before any of it is cancelled: the end that a neighbour makes of it is not mistaken for the end of the data. */
void stream_mark(struct sluice_stream *io);
void stream_cancel(struct sluice_stream *io);
/* Both sides, so that others see the end at once. */
void stream_close(struct sluice_stream *io);

#endif
