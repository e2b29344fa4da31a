/* engine/ring.c: see ring.h. Called by handover.c and stream_ring.c; calls buffer.c and futex(2).
 *
 * `written` and `read` are the only variables whose order against `state` counts; they and `state` are sequentially
 * consistent, all else is published before them. */
#include "ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

/* How long a reader waits for half a ring before any byte will do: what a writer that thinks for long keeps it waiting, at
 * most; and two thousand wake-ups a second, at most, for one that writes a little at a time. */
static const struct timespec doze = { .tv_nsec = 500000 };

int ring_new(struct ring **ret, uint32_t entries, uint64_t bytes)
{
        size_t size = sizeof(struct ring) + entries * sizeof(struct ring_entry);
        struct ring *r = aligned_alloc(RING_LINE, (size + RING_LINE - 1) / RING_LINE * RING_LINE);

        ASSERT(entries > 0);
        if (!r)
                return -ENOMEM;
        *r = (struct ring){ .entries_nr = entries, .limit_bytes = bytes };
        *ret = r;
        return 0;
}

static struct ring_entry *entry_of(struct ring *r, uint64_t index)
{
        return &r->entries[index % r->entries_nr];
}

/* ---- sleep and wake ---- */

void ring_wake(struct ring_side *s)
{
        if (atomic_exchange(&s->state, RING_AWAKE) == RING_AWAKE)
                return;
        if (s->wake)
                s->wake(s->arg);
        else
                syscall(SYS_futex, &s->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool sleeps(const struct ring_side *s)
{
        return atomic_load(&s->state) != RING_AWAKE;
}

static void sleep_as(struct ring_side *s, enum ring_state how, const _Atomic uint32_t *changes, uint32_t seen,
                     const atomic_int *stop, const struct timespec *at_most)
{
        atomic_store(&s->state, how);
        if (atomic_load(changes) == seen && !atomic_load(stop))
                syscall(SYS_futex, &s->state, FUTEX_WAIT_PRIVATE, how, at_most, NULL, 0);
        atomic_store(&s->state, RING_AWAKE);
}

static bool ask(struct ring_side *s, const _Atomic uint32_t *changes, uint32_t seen)
{
        atomic_store(&s->state, RING_ASLEEP);
        if (atomic_load(changes) == seen)
                return true;
        /* Whoever was faster has called wake() for it already: once more does no harm. */
        atomic_store(&s->state, RING_AWAKE);
        return false;
}

void ring_sleep_for_bytes(struct ring *r, const atomic_int *stop)
{
        ring_tell_writer(r);
        sleep_as(&r->reader, RING_DOZING, &r->written, r->written_seen, stop, &doze);
        if (atomic_load(&r->written) == r->written_seen && !atomic_load(stop))
                sleep_as(&r->reader, RING_ASLEEP, &r->written, r->written_seen, stop, NULL);
}

bool ring_ask_for_bytes(struct ring *r)
{
        ring_tell_writer(r);
        return ask(&r->reader, &r->written, r->written_seen);
}

/* ---- the writer ---- */

static uint64_t bytes_inside(const struct ring *r)
{
        /* In this order: the reader's number is never ahead of the writer's. */
        uint64_t gone = atomic_load(&r->released_bytes) + atomic_load(&r->dropped_bytes);

        return atomic_load(&r->put_bytes) - gone;
}

static uint64_t pieces_inside(const struct ring *r)
{
        uint64_t head = atomic_load(&r->head);

        return atomic_load(&r->tail) - head;
}

static bool is_half_full(const struct ring *r)
{
        return bytes_inside(r) >= r->limit_bytes / 2 || pieces_inside(r) > r->entries_nr / 2;
}

/* Something was published: who waits for it? */
static void changed_for_reader(struct ring *r, bool at_once)
{
        uint32_t state;

        atomic_store(&r->written, atomic_load_explicit(&r->written, memory_order_relaxed) + 1);
        state = atomic_load(&r->reader.state);
        if (state == RING_ASLEEP || (state == RING_DOZING && (at_once || is_half_full(r))))
                ring_wake(&r->reader);
}

static void seal(struct ring *r, enum ring_seal how)
{
        if (r->growing)
                atomic_store_explicit(&entry_of(r, atomic_load_explicit(&r->tail, memory_order_relaxed) - 1)->seal, how,
                                      memory_order_release);
        r->growing = false;
}

bool ring_has_room(struct ring *r)
{
        r->read_seen = atomic_load(&r->read);
        return pieces_inside(r) < r->entries_nr && bytes_inside(r) < r->limit_bytes;
}

/* A piece that is sealed now may be all that kept the reader from making room. */
static void give_all(struct ring *r)
{
        if (r->growing) {
                seal(r, RING_SEALED);
                changed_for_reader(r, true);
        }
        if (sleeps(&r->reader))
                ring_wake(&r->reader);
}

void ring_sleep_for_room(struct ring *r, const atomic_int *stop)
{
        give_all(r);
        sleep_as(&r->writer, RING_ASLEEP, &r->read, r->read_seen, stop, NULL);
}

bool ring_ask_for_room(struct ring *r)
{
        give_all(r);
        return ask(&r->writer, &r->read, r->read_seen);
}

bool ring_reader_sleeps(const struct ring *r)
{
        return sleeps(&r->reader);
}

void ring_tell_reader(struct ring *r)
{
        if (sleeps(&r->reader) && bytes_inside(r) > 0)
                ring_wake(&r->reader);
}

static void add_entry(struct ring *r, struct buffer *b, uint32_t at, uint32_t bytes)
{
        uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
        struct ring_entry *e = entry_of(r, tail);

        seal(r, RING_SEALED);
        ASSERT(pieces_inside(r) < r->entries_nr);
        e->buffer = b;
        e->at = at;
        e->taken = 0;
        atomic_store_explicit(&e->bytes, bytes, memory_order_relaxed);
        atomic_store_explicit(&e->seal, b ? RING_GROWS : RING_FLUSHED, memory_order_relaxed);
        r->growing = b != NULL;
        atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

/* Where the last piece ends is where this one begins. */
static struct ring_entry *follows(struct ring *r, const struct buffer *b, uint32_t at)
{
        struct ring_entry *e;

        if (!r->growing)
                return NULL;
        e = entry_of(r, atomic_load_explicit(&r->tail, memory_order_relaxed) - 1);
        return e->buffer == b && e->at + atomic_load_explicit(&e->bytes, memory_order_relaxed) == at ? e : NULL;
}

void ring_put(struct ring *r, struct buffer *b, uint32_t at, uint32_t bytes)
{
        struct ring_entry *e = follows(r, b, at);
        uint64_t put = atomic_load_explicit(&r->put_bytes, memory_order_relaxed);

        if (bytes == 0)
                return;
        r->unflushed = true;
        /* Counted first: the reader's count is never ahead. */
        atomic_store_explicit(&r->put_bytes, put + bytes, memory_order_release);
        if (e) {
                atomic_store_explicit(&e->bytes, atomic_load_explicit(&e->bytes, memory_order_relaxed) + bytes,
                                      memory_order_release);
        } else {
                pin_ref(&b->pin);
                add_entry(r, b, at, bytes);
        }
        changed_for_reader(r, false);
}

void ring_flush(struct ring *r)
{
        if (!r->unflushed)
                return;
        r->unflushed = false;
        if (r->growing)
                seal(r, RING_FLUSHED);
        else
                add_entry(r, NULL, 0, 0);
        changed_for_reader(r, true);
}

void ring_end(struct ring *r)
{
        if (atomic_load(&r->ended))
                return;
        seal(r, RING_SEALED);
        atomic_store(&r->ended, true);
        changed_for_reader(r, true);
}

bool ring_is_closed(const struct ring *r)
{
        return atomic_load(&r->closed);
}

/* ---- the reader ---- */

void ring_tell_writer(struct ring *r)
{
        if (sleeps(&r->writer))
                ring_wake(&r->writer);
}

static void changed_for_writer(struct ring *r)
{
        atomic_store(&r->read, atomic_load_explicit(&r->read, memory_order_relaxed) + 1);
        if (sleeps(&r->writer) && bytes_inside(r) <= r->limit_bytes / 2 && pieces_inside(r) <= r->entries_nr / 2)
                ring_wake(&r->writer);
}

static void pop(struct ring *r)
{
        uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

        buffer_unref(entry_of(r, head)->buffer);
        atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

/* What is first in the ring; NULL: nothing. Pieces that were read to their end are left behind. */
static struct ring_entry *first(struct ring *r, uint32_t *ret_bytes)
{
        for (;;) {
                uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
                struct ring_entry *e = entry_of(r, head);
                uint32_t seal;

                if (head == atomic_load_explicit(&r->tail, memory_order_acquire))
                        return NULL;
                seal = atomic_load_explicit(&e->seal, memory_order_acquire);
                *ret_bytes = atomic_load_explicit(&e->bytes, memory_order_acquire) - e->taken;
                if (*ret_bytes > 0 || seal == RING_FLUSHED)
                        return e;
                if (seal == RING_GROWS)
                        return NULL;
                pop(r);
                changed_for_writer(r);
        }
}

enum ring_item ring_acquire(struct ring *r, struct ring_lease *ret)
{
        struct ring_entry *e;
        uint32_t bytes;
        bool ended;

        r->written_seen = atomic_load(&r->written);
        ended = atomic_load(&r->ended); /* before the look: what was put before the end is seen */
        if (atomic_load_explicit(&r->closed, memory_order_relaxed))
                return RING_END;
        e = first(r, &bytes);
        if (!e)
                return ended ? RING_END : RING_NOTHING;
        if (bytes == 0)
                return RING_FLUSH;
        *ret = (struct ring_lease){ .buffer = e->buffer, .at = e->at + e->taken, .bytes = bytes };
        return RING_PIECE;
}

void ring_pass_flush(struct ring *r)
{
        pop(r);
        changed_for_writer(r);
}

void ring_release(struct ring *r, uint32_t bytes)
{
        struct ring_entry *e = entry_of(r, atomic_load_explicit(&r->head, memory_order_relaxed));
        uint64_t released = atomic_load_explicit(&r->released_bytes, memory_order_relaxed);
        uint32_t seal = atomic_load_explicit(&e->seal, memory_order_acquire);
        uint32_t all = atomic_load_explicit(&e->bytes, memory_order_relaxed);

        if (bytes == 0)
                return;
        ASSERT(bytes <= all - e->taken);
        e->taken += bytes;
        atomic_store_explicit(&r->released_bytes, released + bytes, memory_order_release);
        if (seal == RING_SEALED && e->taken == all)
                pop(r);
        changed_for_writer(r);
}

void ring_close(struct ring *r)
{
        uint64_t dropped = 0;
        uint32_t bytes;

        if (atomic_load(&r->closed))
                return;
        atomic_store(&r->closed, true);
        while (atomic_load_explicit(&r->head, memory_order_relaxed) != atomic_load_explicit(&r->tail, memory_order_acquire)) {
                struct ring_entry *e = entry_of(r, atomic_load_explicit(&r->head, memory_order_relaxed));

                bytes = atomic_load_explicit(&e->bytes, memory_order_acquire) - e->taken;
                dropped += bytes;
                pop(r);
        }
        atomic_store(&r->dropped_bytes, dropped);
        atomic_store(&r->read, atomic_load_explicit(&r->read, memory_order_relaxed) + 1);
        ring_tell_writer(r);
}

/* ---- at rest ---- */

void ring_free(struct ring *r)
{
        if (!r)
                return;
        while (pieces_inside(r) > 0)
                pop(r);
        free(r);
}

void ring_check(const struct ring *r)
{
        uint64_t inside = 0;

        ASSERT(pieces_inside(r) <= r->entries_nr);
        for (uint64_t i = atomic_load(&r->head); i != atomic_load(&r->tail); i++) {
                const struct ring_entry *e = &r->entries[i % r->entries_nr];

                ASSERT(e->taken <= atomic_load(&e->bytes));
                inside += atomic_load(&e->bytes) - e->taken;
        }
        if (!atomic_load(&r->closed)) /* a writer may have grown a piece while it was dropped */
                ASSERT(bytes_inside(r) == inside);
}

uint64_t ring_put_bytes(const struct ring *r)
{
        return atomic_load(&r->put_bytes);
}

uint64_t ring_released_bytes(const struct ring *r)
{
        return atomic_load(&r->released_bytes);
}
