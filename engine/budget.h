/* engine/budget.h: how much memory a plan's buffers may hold at most, and how deep its queues may be for that. Pure.
 *
 *      term                                  at least              at most
 *      a link that a function writes to      2 buffers             depth_max + 1           one is filled, the others wait
 *      a link from an fd to a function       1                     1                       it is read into
 *      a ring between functions on threads   3                     depth_max + 2           one is filled, one is leased
 *      runs that are parts of a stage        what their plan says, for as many as there may be at once (ops->runs)
 *      what a stage says it holds itself     so much               so much                 (ops->holds)
 *
 * A link between two fds needs one when it copies, and never waits for another while it has it: such links cannot stand in each
 * other's way and are left out. A run that has all of its sum reserved never waits for memory, so nothing stands still. */
#ifndef SLUICE_ENGINE_BUDGET_H
#define SLUICE_ENGINE_BUDGET_H

#include <stddef.h>
#include <stdint.h>

struct budget_terms {
        uint64_t written_nr, read_nr; /* links from functions; from fds to functions */
        uint64_t inner_nr;            /* buffers of runs that are parts of it */
        uint64_t rings_nr;            /* links with a function on a thread at one end */
        uint64_t held_bytes;          /* by stages */
        uint64_t buffer_bytes;        /* of one */
};

struct budget {
        uint64_t bytes;       /* the sum at that depth */
        uint64_t buffers_nr;  /* ... of which are buffers */
        unsigned queue_depth; /* buffers that may wait in a link */
};

/* The deepest queues, up to depth_max, that fit into `allowed` bytes. -E2BIG: not even queues of one do; ret->bytes is what these
 * would need. */
int budget_fit(const struct budget_terms *t, uint64_t allowed, unsigned depth_max, struct budget *ret);
/* The refusal in words, the sum shown. */
int budget_words(const struct budget_terms *t, uint64_t allowed, char *buf, size_t cap);

#endif
