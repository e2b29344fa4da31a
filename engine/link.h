/* engine/link.h: one link that the engine drives, between two fds or an fd and a function's memory.
 *
 *                   link_start             all segments moved, nothing inside
 *          IDLE ---------------> MOVING ------------------------------------+
 *                                  |  failure, early end, link_cancel        |
 *                                  v                                         v
 *                               STOPPING --(last operation completed)--> ENDED --> hooks->ended()
 *
 *  While MOVING, up to two movers work on the first segment:
 *
 *      straight   source ----splice----> sink                  one of the two is a pipe
 *      pipe       source --fill--> pipe --drain--> sink        neither is
 *      buffer     source --fill--> buffer --drain--> sink      one of them cannot be spliced
 *
 *      mover:  IDLE --try--> IDLE (moved, or ended)
 *              IDLE --EAGAIN--> ARMED (poll in the kernel) --ready--> IDLE
 *              IDLE --ring--> BUSY (move in the kernel) --done--> IDLE
 *
 *  Laws, whenever no mover is BUSY: taken == delivered + inside;
 *                                   inside == bytes in the pipe + bytes in the buffer + bytes of MEM segments queued.
 *  The pipe is empty between two segments, and is given back empty or closed. */
#ifndef SLUICE_ENGINE_LINK_H
#define SLUICE_ENGINE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/sluice.h>

#include "backend.h"
#include "buffer.h"
#include "list.h"
#include "loop.h"
#include "pipe.h"
#include "segment.h"

/* One side as the link drives it. */
struct end {
        struct slot *slot; /* held; NULL: a function's memory */
        uint32_t kind;     /* enum sluice_kind, for words */
        bool pipe, socket, regular;
        bool child_pipe;      /* a process of ours holds the other end: EPIPE there is its early end */
        bool foreign;         /* any other process may hold its lock */
        int64_t offset;       /* sink: of the next byte to give, -1 for the fd's own position */
        bool shared_position; /* source: a file read at its own position: what was not delivered is given back */
        bool local;           /* a socket whose peer is on this host */
};

enum link_state { LINK_IDLE, LINK_MOVING, LINK_STOPPING, LINK_ENDED };
enum link_side { LINK_SOURCE, LINK_SINK };
enum mover_state { MOVER_IDLE, MOVER_ARMED, MOVER_BUSY };

struct mover {
        enum mover_state state;
        struct op *op;
        uint32_t asked;    /* bytes */
        unsigned spurious; /* EAGAIN though everything was ready, in a row */
};

struct link_hooks {
        /* The link is over; its result and side are set. Called once, from a turn. */
        void (*ended)(struct link *l);
        /* The function at one of its ends may have something to do: bytes in the buffer, room in the queue.
         * Returns whether it did anything. */
        bool (*memory)(struct link *l);
};

struct link_counts {
        uint64_t spliced, copied, taken, delivered;
        uint64_t ops[OP_KINDS], ops_inline, ops_ring, ops_short, ops_retried;
        uint64_t waits_upstream, waits_downstream;
};

struct link {
        struct list node; /* in the loop's ready list */
        struct sluice_loop *loop;
        const struct link_hooks *hooks;
        void *owner;
        int index;

        struct end source, sink;
        struct segments segments;
        enum sluice_driver driver; /* decided by the owner before the start */
        bool forbid_copy;

        enum link_state state;
        bool straight;        /* no vessel: one end is a pipe */
        bool source_end;      /* the first segment's source has said 0 */
        bool vessel_full;     /* fill met EAGAIN with bytes inside: drain first, ask again */
        const char *copy_why; /* not NULL: switch to copying as soon as no move is in the kernel */
        struct pipe *pipe;
        struct buffer *buffer;
        uint32_t buffer_at, buffer_bytes;
        struct mover fill, drain; /* straight: fill alone */

        int result; /* 0 or negative errno */
        bool early; /* the sink wanted no more */
        enum link_side failed_side;
        const char *operation;
        const char *fallback; /* why it was copied in the end; NULL: it was not a fallback */
        size_t pipe_bytes;    /* of the pipe it used */
        unsigned abandoned;
        struct link_counts counts;
};

void link_init(struct link *l, struct sluice_loop *loop, const struct link_hooks *hooks, void *owner, int index);
/* Ends, driver and segments are set: begin to move. Errors end the link in a turn. */
void link_start(struct link *l);
/* In a turn: move within the budget. */
void link_step(struct link *l);
/* Asks it to end with `result`; ended() follows when nothing in the kernel names its fds and memory any more. */
void link_cancel(struct link *l, int result);
/* The sink's process has gone: if the pipe has no reader left, no more input is wanted. */
void link_poke_sink(struct link *l);
/* Operations that outlive all patience: they keep what they name; the link ends now. */
void link_abandon(struct link *l);
/* The function's view of the buffer: `ret` points at what is there. */
uint32_t link_peek(struct link *l, uint8_t **ret);
void link_consume(struct link *l, uint32_t bytes);
/* A function's output: takes the reference over. Look at segments_full() first. */
void link_give_memory(struct link *l, struct buffer *b, uint32_t at, uint32_t bytes);
/* The buffer that link_peek() shows, with a reference for whoever passes it on, and where in it. */
struct buffer *link_lend(struct link *l, uint32_t *ret_at);
void link_give_end(struct link *l);
uint64_t link_inside(const struct link *l);
/* Asserts the laws. */
void link_check(const struct link *l);
/* Gives up whatever it still holds; after ENDED, or before the start. */
void link_fini(struct link *l);

#endif
