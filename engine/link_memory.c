/* engine/link_memory.c: a link with a function at one of its ends, as the function sees it: what is there to take, and room to
 * give. It lies in the link's buffer (from an fd), in its segments (between functions on the loop), or in a ring (handover.c).
 * Called by function.c; calls the loop, handover.c and ring.c. */
#include "check.h"
#include "handover.h"
#include "link.h"
#include "ring.h"

/* Between two functions the first segment's own memory is what the reader sees. */
static struct segment *handed_over(struct link *l)
{
        struct segment *s = l->source.slot ? NULL : segments_first(&l->segments);

        return s && s->kind == SEGMENT_MEM ? s : NULL;
}

uint32_t link_peek(struct link *l, uint8_t **ret)
{
        struct segment *s = handed_over(l);

        if (l->ring)
                return handover_peek(l, ret);
        if (!l->source.slot) {
                *ret = s ? s->buffer->data + s->at : NULL;
                return s ? (uint32_t)s->length : 0;
        }
        *ret = l->buffer ? l->buffer->data + l->buffer_at : NULL;
        return l->fill.state == MOVER_BUSY ? 0 : l->buffer_bytes;
}

void link_consume(struct link *l, uint32_t bytes)
{
        struct segment *s = handed_over(l);

        if (l->ring) {
                ring_release(l->ring, bytes);
        } else if (s) {
                ASSERT(bytes <= s->length);
                s->length -= bytes;
                s->at += bytes;
                l->counts.delivered += bytes;
        } else {
                ASSERT(bytes <= l->buffer_bytes);
                l->buffer_bytes -= bytes;
                l->buffer_at = l->buffer_bytes ? l->buffer_at + bytes : 0;
                l->counts.delivered += bytes;
                l->counts.copied += bytes;
        }
        if (l->state == LINK_MOVING)
                loop_ready(l->loop, l);
}

struct buffer *link_lend(struct link *l, uint32_t *ret_at)
{
        struct segment *s = handed_over(l);
        struct buffer *b = s ? s->buffer : l->buffer;

        if (l->ring)
                return handover_lend(l, ret_at);
        *ret_at = s ? s->at : l->buffer_at;
        pin_ref(&b->pin);
        return b;
}

bool link_has_room(struct link *l)
{
        return l->ring ? ring_has_room(l->ring) : l->segments.mem_nr < l->queue_depth;
}

static void give_to_ring(struct link *l, struct buffer *b, uint32_t at, uint32_t bytes)
{
        ring_put(l->ring, b, at, bytes);
        buffer_unref(b);
        loop_ready(l->loop, l);
}

static void give_segment(struct link *l, struct segment s)
{
        bool added = segments_add(&l->segments, s);

        ASSERT(added);
        loop_ready(l->loop, l);
}

void link_give_memory(struct link *l, struct buffer *b, uint32_t at, uint32_t bytes)
{
        if (l->ring) {
                give_to_ring(l, b, at, bytes);
                return;
        }
        give_segment(l, (struct segment){ .kind = SEGMENT_MEM, .buffer = b, .at = at, .length = bytes });
        l->counts.taken += bytes;
}

void link_give_end(struct link *l)
{
        l->function_ended = l->ring != NULL;
        if (l->ring)
                loop_ready(l->loop, l);
        else
                give_segment(l, (struct segment){ .kind = SEGMENT_END });
}

void link_give_flush(struct link *l)
{
        if (!l->ring) {
                give_segment(l, (struct segment){ .kind = SEGMENT_BARRIER });
                return;
        }
        ring_flush(l->ring);
        loop_ready(l->loop, l);
}

bool link_flush_is_next(struct link *l)
{
        struct segment *s = segments_first(&l->segments);

        return l->ring ? handover_flush_is_next(l) : s && s->kind == SEGMENT_BARRIER;
}

void link_flush_passed(struct link *l)
{
        if (l->ring)
                ring_pass_flush(l->ring);
        else
                segments_pop(&l->segments);
        loop_ready(l->loop, l);
}
