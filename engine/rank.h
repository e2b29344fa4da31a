/* engine/rank.h: which of several ends explains the others: a pure function of what each stage says and who reads whom.
 *
 *   an error of the engine at an end (ENOSPC, ECONNREFUSED), the first seen    explains everything: it is no effect
 *   an error of a command or function, the one nearest to the source           its missing output is what others choke on
 *   a broken pipe, the one nearest to the sink                                 an effect, unless nothing else is known
 *
 * A broken pipe is excused when its reader had enough: said so (EARLY), exited 0 where the policy takes that for enough,
 * or is itself excused; and when its reader is an end of the engine's that failed (then that is the error). */
#ifndef SLUICE_ENGINE_RANK_H
#define SLUICE_ENGINE_RANK_H

#include <stdbool.h>
#include <stddef.h>

#include <sluice/sluice.h>

struct rank_stage {
        enum sluice_verdict verdict;
        int reader;    /* the stage that takes its output; -1: none */
        int depth;     /* links between it and its source */
        bool agent;    /* a command or a function; else an end that the engine drives */
        bool exited_0; /* a command that ended with success */
        bool held;     /* broke its pipe while its reader still held it: the policy does not excuse that */
        bool ignored;
        unsigned order; /* of its failure among all; 0: it has none */
        bool excused;   /* written */
};

/* Fills in `excused`. `early_exit_ok`: exiting 0 counts as having had enough. Returns the stage that explains the others,
 * -1: nothing failed. */
int rank(struct rank_stage *stages, size_t nr, bool early_exit_ok);

#endif
