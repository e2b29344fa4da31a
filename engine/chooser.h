/* engine/chooser.h: copy or splice, for a link between two sockets, from what it sees while it moves. Pure.
 *
 *              BULK_MOVES moves in a row of bulk_bytes or more
 *      COPY -----------------------------------------------------------------------> INLINE
 *           <-----------------------------------------------------------------------
 *              SMALL_MOVES moves in a row of less than small_bytes, or a splice that is refused
 *
 * Between the two bounds it stays what it is: a link that changes its ways with every packet pays for both. */
#ifndef SLUICE_ENGINE_CHOOSER_H
#define SLUICE_ENGINE_CHOOSER_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/sluice.h>

enum { BULK_MOVES = 8, SMALL_MOVES = 8 };

struct chooser {
        enum sluice_driver now; /* INLINE or COPY */
        bool fixed;             /* it was forced, or splicing is refused */
        uint8_t streak;         /* moves in a row that speak for the other */
        uint16_t changes;
        uint32_t bulk_bytes, small_bytes;
};

void chooser_init(struct chooser *c, enum sluice_driver forced, enum sluice_prefer prefer);
/* One move of so many bytes into the link. */
void chooser_saw(struct chooser *c, uint32_t bytes);
/* Splicing was refused, or no pipe is to be had: it copies from now on. */
void chooser_refused(struct chooser *c);

#endif
