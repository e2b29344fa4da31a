/* engine/segment.c: see segment.h. Called by links and by the run; calls buffer.c. */
#include "segment.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "check.h"

static struct segment *place(struct segments *q, unsigned i)
{
        return (q->many ? q->many : q->few) + (q->head + i) % segments_cap(q);
}

int segments_grow(struct segments *q)
{
        ASSERT(q->nr == 0);
        if (q->many)
                return 0;
        q->many = malloc(SEGMENTS_MAX * sizeof(*q->many));
        if (!q->many)
                return -ENOMEM;
        q->head = 0;
        return 0;
}

const struct segment *segments_at(const struct segments *q, unsigned i)
{
        ASSERT(i < q->nr);
        return (q->many ? q->many : q->few) + (q->head + i) % segments_cap(q);
}

struct segment *segments_first(struct segments *q)
{
        return q->nr ? place(q, 0) : NULL;
}

bool segments_add(struct segments *q, struct segment s)
{
        if (s.kind == SEGMENT_BARRIER && q->nr && place(q, q->nr - 1)->kind == SEGMENT_BARRIER)
                return true;
        if (segments_full(q))
                return false;
        *place(q, q->nr) = s;
        q->nr++;
        q->mem_nr += s.kind == SEGMENT_MEM;
        return true;
}

void segments_pop(struct segments *q)
{
        struct segment *s = segments_first(q);

        ASSERT(s);
        if (s->kind == SEGMENT_MEM) {
                buffer_unref(s->buffer);
                q->mem_nr--;
        }
        q->head = (q->head + 1) % segments_cap(q);
        q->nr--;
}

void segments_clear(struct segments *q)
{
        while (q->nr)
                segments_pop(q);
}

void segments_fini(struct segments *q)
{
        segments_clear(q);
        free(q->many);
        q->many = NULL;
        q->head = 0;
}
