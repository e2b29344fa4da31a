/* engine/link_move.h: between link_step.c, which chooses the moves, and link_move.c, which makes them. */
#ifndef SLUICE_ENGINE_LINK_MOVE_H
#define SLUICE_ENGINE_LINK_MOVE_H

#include "link.h"

/* What a mover is about to do. */
struct move {
        enum op_kind kind;     /* SPLICE, READ, RECV, WRITE or SEND */
        struct slot *in, *out; /* READ and RECV: in; WRITE and SEND: in as well, as op_pin() wants it */
        int64_t offset_in, offset_out;
        void *data;
        uint32_t bytes;
        struct pin *mem;
        bool async;
};

/* By the ring: the mover is BUSY until it completes. False: the link has failed. */
bool link_submit(struct link *l, bool fill, const struct move *m);
/* At once, without waiting. The result is for one of the three below, unless it is -EINTR. */
ssize_t link_try(struct link *l, struct mover *mover, const struct move *m);
/* Waits for one side. The mover stays ARMED until the poll completes. */
void link_arm(struct link *l, bool fill, enum link_side side);
bool link_is_ready(struct link *l, enum link_side side);

/* Counts a call that was made at once and gave `r`. */
void link_count_inline(struct link *l, struct mover *mover, enum op_kind kind, int r);

/* What a result means: for a link without a vessel, for what goes into it, for what comes out of it. `residue`: it came from the
 * pipe, where it had been taken to long ago. */
void link_straight_result(struct link *l, int r);
void link_fill_result(struct link *l, enum op_kind kind, int r, bool residue);
void link_drain_result(struct link *l, enum op_kind kind, int r);
void link_sink_failed(struct link *l, int error, enum op_kind kind);
/* Of any operation: the link goes on, or comes to its end. */
void link_after_completion(struct link *l);

/* link_cold.c: whether the next move is the ring's, since storage would be waited for. */
bool link_by_ring(struct link *l, const struct segment *s);

/* link_lend.c: a link between two sockets, of which neither was to be driven by the ring. */
bool link_lends(const struct link *l);
void link_lend_init(struct link *l);
bool link_lend_step(struct link *l, struct segment *s);
/* Splicing is refused (l->copy_why): it copies from now on, and still holds nothing while it waits. */
bool link_lend_refused(struct link *l);

#endif
