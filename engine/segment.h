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
enum { SEGMENTS_MAX = 8 };

struct segment {
        enum segment_kind kind;
        int64_t offset;        /* FD: of the next byte to take, -1 for the fd's own position */
        int64_t length;        /* FD: bytes still to take, -1 without end. MEM: bytes still to give */
        bool exact;            /* FD: an end before `length` is -ESTALE */
        struct buffer *buffer; /* MEM: held */
        uint32_t at;           /* MEM: of the next byte in it */
};

/* Law: the queue never holds more than SEGMENTS_MAX; who wants to add looks first. */
struct segments {
        struct segment ring[SEGMENTS_MAX];
        unsigned head, nr;
};

static inline bool segments_full(const struct segments *q)
{
        return q->nr == SEGMENTS_MAX;
}

/* NULL when there is none. */
struct segment *segments_first(struct segments *q);
/* False when full: nothing was added. */
bool segments_add(struct segments *q, struct segment s);
/* Drops the first; a MEM segment lets its buffer go. */
void segments_pop(struct segments *q);
void segments_clear(struct segments *q);

#endif
