/* engine/handover.h: links between functions of which one or both run on a thread: a ring joins them.
 *
 *      thread ---------ring--------> thread        the engine drives nothing
 *      thread ---------ring--------> function      the link is driven: it steps when bytes have come
 *      function -------ring--------> thread        ... and here when there is room again
 *
 *  Between two functions on the loop link.c's own queue does, without atomics. Loop's thread, all of it. */
#ifndef SLUICE_ENGINE_HANDOVER_H
#define SLUICE_ENGINE_HANDOVER_H

#include "link.h"

/* An idle link becomes a ring, of `depth` pieces. 0 or -ENOMEM. */
int handover_init(struct link *l, unsigned depth, bool from_thread, bool to_thread);
/* When no thread can touch it any more: what was moved is in the link's counts. Again is harmless. */
void handover_fini(struct link *l);
/* The link's counts are what they are now. */
void handover_count(struct link *l);
uint64_t handover_inside(const struct link *l);
/* Whether it got anywhere. */
bool handover_step(struct link *l);
/* The loop's own side is over, or, of a thread that will never run, `reads` or writes. */
void handover_leave(struct link *l);
void handover_leave_side(struct link *l, bool reads);
uint32_t handover_peek(struct link *l, uint8_t **ret);
bool handover_flush_is_next(struct link *l);
struct buffer *handover_lend(struct link *l, uint32_t *ret_at);

#endif
