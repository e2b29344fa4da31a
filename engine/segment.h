/* engine/segment.h: what a link consumes: a bounded queue of segments, in order.
 *
 * A plain link holds one FD segment, of the source's length or without end, and END. A stage that works on memory adds
 * MEM segments, a buffer each. BARRIER asks for all before it to be durable. A move never crosses a segment. */
#ifndef SLUICE_ENGINE_SEGMENT_H
#define SLUICE_ENGINE_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

enum segment_kind { SEGMENT_FD, SEGMENT_MEM, SEGMENT_BARRIER, SEGMENT_END };
enum {
        SEGMENTS_MAX = 16,
        SEGMENTS_FEW = 3,     /* what a link between two fds holds: bytes to go before, the source's own, END */
        MEM_SEGMENTS_MAX = 7, /* with a BARRIER between any two, one at each end, and END, the queue is full */
};

struct segment {
        enum segment_kind kind;
        int64_t offset;        /* FD: of the next byte to take, -1 for the fd's own position */
        int64_t length;        /* FD: bytes still to take, -1 without end. MEM: bytes still to give */
        bool exact;            /* FD: an end before `length` is -ESTALE */
        struct buffer *buffer; /* MEM: held */
        uint32_t at;           /* MEM: of the next byte in it */
};

/* Of so many bytes (-1: without end), what has room. */
static inline uint32_t segment_at_most(int64_t length, size_t room)
{
        return length >= 0 && (uint64_t)length < room ? (uint32_t)length : (uint32_t)room;
}

/* Laws: the queue never holds more than segments_cap(), who wants to add looks first; mem_nr counts its MEM segments; no two
 * BARRIERs follow each other. All of them would be half of an idle link's memory, so most have a few. */
struct segments {
        struct segment few[SEGMENTS_FEW];
        struct segment *many; /* SEGMENTS_MAX of them instead; NULL: few are enough */
        unsigned head, nr, mem_nr;
};

static inline unsigned segments_cap(const struct segments *q)
{
        return q->many ? SEGMENTS_MAX : SEGMENTS_FEW;
}

static inline bool segments_full(const struct segments *q)
{
        return q->nr == segments_cap(q);
}

/* Room for SEGMENTS_MAX, while it is empty. -ENOMEM. */
int segments_grow(struct segments *q);
/* The one that `i` others come before. */
const struct segment *segments_at(const struct segments *q, unsigned i);
/* Clears it, and gives its room back. */
void segments_fini(struct segments *q);

/* NULL when there is none. */
struct segment *segments_first(struct segments *q);
/* False when full: nothing was added. A BARRIER behind another is the same one. */
bool segments_add(struct segments *q, struct segment s);
/* Drops the first; a MEM segment lets its buffer go. */
void segments_pop(struct segments *q);
void segments_clear(struct segments *q);

#endif
