/* engine/ring.h: bytes on their way from one thread to another by reference: a bounded ring of pieces of buffers, with one
 * writer and one reader. Nothing is copied, and nobody calls the system while both sides have something to do.
 *
 *      writer    ring_has_room --> ring_put ...  ring_flush ...  ring_end
 *      reader    ring_acquire --> ring_release ...               ring_close (it wants no more)
 *
 *      the reader:  AWAKE --nothing there--> DOZING --still nothing--> ASLEEP      DOZING wakes for half a ring, or when
 *      the writer:  AWAKE --no room--> ASLEEP                                      the writer waits itself; ASLEEP for a byte
 *
 *  A side that has found nothing to do notes the other's `changes`, says that it sleeps, and sleeps only if there are none
 *  since; the other changes first and then looks who sleeps. One of the two sees the other: no wake-up is lost, and none
 *  is made for a side that is awake.
 *
 *  The last piece may grow: what follows it in the same buffer becomes part of it, as in a pipe. The reader keeps such a
 *  piece until it is sealed: by the next one, by a flush, by the end, or by a writer who finds no room.
 *
 *  Laws: put == released + dropped + bytes in the ring;    tail - head <= entries;
 *        bytes in the ring < limit + one buffer;           every piece in it holds one reference of its buffer. */
#ifndef SLUICE_ENGINE_RING_H
#define SLUICE_ENGINE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

enum { RING_BYTES = 1 << 20, RING_LINE = 64 };

enum ring_state { RING_AWAKE, RING_DOZING, RING_ASLEEP };

/* How a side sleeps. A thread sleeps on the word itself; whoever does not (a loop) is woken by a call. */
struct ring_side {
        _Atomic uint32_t state;
        void (*wake)(void *arg);
        void *arg;
};

enum ring_seal { RING_GROWS, RING_SEALED, RING_FLUSHED }; /* FLUSHED: sealed, and a flush is behind it */

struct ring_entry {
        struct buffer *buffer; /* NULL: a flush alone */
        uint32_t at;
        _Atomic uint32_t bytes;
        _Atomic uint32_t seal; /* enum ring_seal */
        uint32_t taken;        /* the reader's */
};

struct ring {
        uint32_t entries_nr;
        uint64_t limit_bytes;
        struct ring_side reader, writer;

        /* the writer writes these */
        _Alignas(RING_LINE) _Atomic uint64_t tail;
        _Atomic uint32_t written; /* changes that the reader may be waiting for */
        _Atomic uint64_t put_bytes;
        atomic_bool ended;
        bool growing;       /* its own: the last piece is not sealed */
        bool unflushed;     /* its own: something was put since the last flush */
        uint32_t read_seen; /* its own: `read`, when there was no room */
        /* the reader writes these */
        _Alignas(RING_LINE) _Atomic uint64_t head;
        _Atomic uint32_t read; /* changes that the writer may be waiting for */
        _Atomic uint64_t released_bytes, dropped_bytes;
        atomic_bool closed;
        uint32_t written_seen; /* its own: `written`, when there was nothing */

        _Alignas(RING_LINE) struct ring_entry entries[];
};

/* -ENOMEM. At most `entries` pieces (at least 1); no more are taken once there are `bytes` in it. */
int ring_new(struct ring **ret, uint32_t entries, uint64_t bytes);
/* When neither side will call again: lets go of what is left in it. NULL is allowed. */
void ring_free(struct ring *r);
/* Asserts the laws; when neither side is in a call. */
void ring_check(const struct ring *r);

/* ---- the writer ---- */

bool ring_has_room(struct ring *r);
/* There must be room. A piece holds a reference of its own; one that follows the last in its buffer makes it longer. */
void ring_put(struct ring *r, struct buffer *b, uint32_t at, uint32_t bytes);
/* The reader is asked to give out what it holds of what was put. There must be room, or something was put since there was. */
void ring_flush(struct ring *r);
/* No more follows. Again is harmless. */
void ring_end(struct ring *r);
/* The reader wants no more: what is put now is never read. */
bool ring_is_closed(const struct ring *r);

/* ---- the reader ---- */

enum ring_item { RING_NOTHING, RING_PIECE, RING_FLUSH, RING_END };

struct ring_lease {
        struct buffer *buffer;
        uint32_t at, bytes;
};

/* What comes next. A piece stays valid until so many bytes of it were released; again, it gives the same, or more; and so
 * does a flush until it was passed. */
enum ring_item ring_acquire(struct ring *r, struct ring_lease *ret);
/* At most what ring_acquire() gave. */
void ring_release(struct ring *r, uint32_t bytes);
void ring_pass_flush(struct ring *r);
/* Drops what is there. Again is harmless. */
void ring_close(struct ring *r);

/* ---- waiting: after ring_acquire() gave nothing, or ring_has_room() none ---- */

/* On the side's own thread. Return when something has changed, when *stop is set and the side was woken, or for no reason. */
void ring_sleep_for_bytes(struct ring *r, const atomic_int *stop);
void ring_sleep_for_room(struct ring *r, const atomic_int *stop);
/* For a side with a wake(): it will be called, once. False: something has changed meanwhile, and it will not. */
bool ring_ask_for_bytes(struct ring *r);
bool ring_ask_for_room(struct ring *r);
bool ring_reader_sleeps(const struct ring *r);
/* Before a side waits for something else, or has done all that it can do now: what is there is told. */
void ring_tell_reader(struct ring *r);
void ring_tell_writer(struct ring *r);
/* Any thread: whoever sleeps on it wakes up. */
void ring_wake(struct ring_side *s);

/* ---- any thread ---- */

uint64_t ring_put_bytes(const struct ring *r);
uint64_t ring_released_bytes(const struct ring *r);

#endif
