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
 *      pipe       source --fill--> pipe --drain--> sink        neither is; given back while it waits for the source, empty
 *      buffer     source --fill--> buffer --drain--> sink      one of them cannot be spliced
 *      lent       pipe or buffer, held while bytes are inside  both are sockets (link_lend.c)
 *
 *      mover:  IDLE --try--> IDLE (moved, or ended)
 *              IDLE --EAGAIN--> ARMED (poll in the kernel) --ready--> IDLE
 *              IDLE --ring--> BUSY (move in the kernel) --done--> IDLE
 *
 *  A source that grows has no end of its own. What it says of it is asked for when all before it is delivered:
 *
 *      source says 0, nothing inside --hooks->more()--> 1: read on    0: that was the end    -EAGAIN: quiet
 *      quiet: no mover works; link_step() asks again; a reader that goes away meanwhile is seen (watch)
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
#include "chooser.h"
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
        /* For a source that grows: its end was met at *offset. 1: read on from *offset, which may be another; 0: that was
         * its end; -EAGAIN: not yet, loop_ready() follows; or its error. */
        int (*more)(struct link *l, int64_t *offset);
};

struct link_counts {
        uint64_t spliced, copied, taken, delivered;
        uint64_t uncached; /* of delivered: past the page cache */
        uint64_t ops[OP_SEND + 1], ops_inline, ops_ring, ops_short, ops_retried;
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
        struct ring *ring;            /* between functions of which one or both have a thread (handover.c); NULL: the segments do */
        bool reads_ring, writes_ring; /* the loop's own side of it */
        bool function_ended;          /* ... which gives no more */
        struct post ring_post;        /* wakes the loop for it */
        enum sluice_driver driver;    /* decided by the owner before the start; AUTO between sockets alone: by chooser */
        enum sluice_prefer prefer;
        bool forbid_copy;
        unsigned queue_depth; /* buffers that a function may have given and nobody has taken */

        enum link_state state;
        bool straight; /* no vessel: one end is a pipe */
        bool lends;    /* a vessel only while bytes are inside (link_lend.c) */
        bool emptied;  /* ... and the source had no more when it was read last */
        struct chooser chooser;
        bool cold;            /* link_cold.c: what is next is not in the page cache, as far as is known; ... */
        int64_t known_until;  /* ... up to here */
        int64_t source_bytes; /* of a file, when it was opened */
        unsigned cache_changes;
        bool source_end;      /* the first segment's source has said 0 */
        bool grows;           /* ... which is not its end before hooks->more() says so */
        bool quiet;           /* ... and it said: not yet */
        bool vessel_full;     /* fill met EAGAIN with bytes inside: drain first, ask again */
        const char *copy_why; /* not NULL: switch to copying as soon as no move is in the kernel */
        struct pipe *pipe;
        struct buffer *buffer;
        uint32_t buffer_at, buffer_bytes;
        struct buffer_wait *waits_buffer; /* for one to be given back (link_buffer.c): nothing moves meanwhile; NULL: it does not */
        unsigned buffers_abandoned;       /* that were the run's */
        struct mover fill, drain;         /* straight: fill alone */
        struct op *watch;                 /* of a quiet link: a poll for the end of whoever reads */

        int result; /* 0 or negative errno */
        bool early; /* the sink wanted no more */
        enum link_side failed_side;
        const char *operation;
        const char *fallback; /* why it was copied in the end; NULL: it was not a fallback */
        size_t pipe_bytes;    /* of the pipe it used */
        unsigned abandoned;
        struct link_counts counts;
};

/* Between the files of a link. */
void link_fail(struct link *l, enum link_side side, int error, const char *operation);
void link_stop(struct link *l, int result);
void link_finish_early(struct link *l); /* the sink's process wants no more */
void link_end_if_idle(struct link *l);
void link_cancel_ops(struct link *l);
bool link_busy(const struct link *l);    /* a move is in the kernel */
bool link_has_ops(const struct link *l); /* or a wait is */
int link_take_vessel(struct link *l);    /* a pipe; of a link that copies a buffer, or a place in the line for one */
int link_buffer_take(struct link *l);
void link_buffer_cancel(struct link *l);
void link_buffer_abandon(struct link *l, const struct op *op);

void link_init(struct link *l, struct sluice_loop *loop, const struct link_hooks *hooks, void *owner, int index);
/* Ends, driver and segments are set: begin to move. Errors end the link in a turn. */
void link_start(struct link *l);
/* In a turn: move within the budget. */
void link_step(struct link *l);
/* Whether a step runs nobody else's code: no function is at an end, no stage is asked for more. */
static inline bool link_moves_alone(const struct link *l)
{
        return l->source.slot && l->sink.slot && !l->ring && !l->grows;
}
/* Asks it to end with `result`; ended() follows when nothing in the kernel names its fds and memory any more. */
void link_cancel(struct link *l, int result);
/* The sink wants no more, as it says itself. */
void link_enough(struct link *l);
/* The sink's process has gone: if the pipe has no reader left, no more input is wanted. */
void link_poke_sink(struct link *l);
/* Operations that outlive all patience: they keep what they name; the link ends now. */
void link_abandon(struct link *l);
/* The function's view of the buffer: `ret` points at what is there. */
uint32_t link_peek(struct link *l, uint8_t **ret);
void link_consume(struct link *l, uint32_t bytes);
/* A function's output: takes the reference over. Look at link_has_room() first. */
void link_give_memory(struct link *l, struct buffer *b, uint32_t at, uint32_t bytes);
/* The buffer that link_peek() shows, with a reference for whoever passes it on, and where in it. */
struct buffer *link_lend(struct link *l, uint32_t *ret_at);
void link_give_end(struct link *l);
/* A function's output: whoever holds something back behind it is to give it now. */
void link_give_flush(struct link *l);
/* The function's view: a flush is next. Then it has passed. */
bool link_flush_is_next(struct link *l);
void link_flush_passed(struct link *l);
/* Whether link_give_memory() may be called, and link_give_flush() and link_give_end() behind it. */
bool link_has_room(struct link *l);
/* All of it was moved. */
void link_over(struct link *l);
uint64_t link_inside(const struct link *l);
/* Who moves it now, or did last; and how often that was another than before. */
enum sluice_driver link_driver(const struct link *l);
unsigned link_driver_changes(const struct link *l);
/* Asserts the laws. */
void link_check(const struct link *l);
/* Gives up whatever it still holds; after ENDED, or before the start. */
void link_fini(struct link *l);

#endif
