/* engine/link_cold.c: a file that is in the page cache is moved inline, which costs the least; what is not there by the ring, whose
 * workers may wait for storage. Asked for a window at a time, with cachestat(2) (Linux 6.5): one call for 8 MiB.
 *
 *      unknown --all of the window is cached--> HOT until its end --> unknown
 *              --not all, or nobody can say---> COLD until its end --> unknown
 *
 * While a worker has one of the two moves, the other is a worker's too: it holds the pipe's lock for as long as it waits for
 * storage, and an inline call would wait with it. Called by link_step.c; calls the backend. */
#include <errno.h>

#include "link_move.h"

enum { WINDOW_BYTES = 8 << 20 };

static bool is_cold(struct link *l, int64_t offset)
{
        struct backend *b = l->loop->backend;
        int64_t left = l->source_bytes - offset;
        uint32_t bytes = left < WINDOW_BYTES ? (uint32_t)left : WINDOW_BYTES;

        if (left <= 0)
                return true; /* it grows: who knows what is there */
        return b->ops->cached(b, l->source.slot, offset, bytes) != 1;
}

static bool next_is_cold(struct link *l, int64_t offset)
{
        bool cold;

        if (offset < l->known_until)
                return l->cold;
        cold = is_cold(l, offset);
        l->cache_changes += l->known_until > 0 && cold != l->cold;
        l->cold = cold;
        l->known_until = offset + WINDOW_BYTES;
        return cold;
}

bool link_by_ring(struct link *l, const struct segment *s)
{
        if (l->driver != SLUICE_DRIVER_AUTO)
                return l->driver == SLUICE_DRIVER_RING;
        if (l->fill.state == MOVER_BUSY || l->drain.state == MOVER_BUSY)
                return true;
        return s && next_is_cold(l, s->offset);
}
