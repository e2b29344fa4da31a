/* engine/segment.c: see segment.h. Called by links and by the run; calls buffer.c. */
#include "segment.h"

#include <stddef.h>

#include "check.h"

struct segment *segments_first(struct segments *q)
{
        return q->nr ? &q->ring[q->head] : NULL;
}

bool segments_add(struct segments *q, struct segment s)
{
        if (segments_full(q))
                return false;
        q->ring[(q->head + q->nr) % SEGMENTS_MAX] = s;
        q->nr++;
        return true;
}

void segments_pop(struct segments *q)
{
        struct segment *s = segments_first(q);

        ASSERT(s);
        if (s->kind == SEGMENT_MEM)
                buffer_unref(s->buffer);
        q->head = (q->head + 1) % SEGMENTS_MAX;
        q->nr--;
}

void segments_clear(struct segments *q)
{
        while (q->nr)
                segments_pop(q);
}
