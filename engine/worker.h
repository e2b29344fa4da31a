/* engine/worker.h: what a run and a process that runs one of its functions say to each other: a sheet, in memory that both
 * have. The host fills in its half and starts the process; the process writes its half; the host reads it when the process
 * has ended. Nobody waits for the other, and an exit status alone could not carry an errno.
 *
 *      BEGUN --the object or the symbol cannot be had--> REFUSED (exit status 127)
 *            --the function returns--------------------> RETURNED (exit status 0)
 *            --a crash, exit()-------------------------> still BEGUN: the process's status tells
 *
 * An isolated function's process is sluice-worker (worker_main.c), a forked one's a copy of the host (worker.c); both end in
 * serve() (serve.c). */
#ifndef SLUICE_ENGINE_WORKER_H
#define SLUICE_ENGINE_WORKER_H

#include <stdint.h>

enum { WORKER_WORDS_BYTES = 240, WORKER_REFUSED_STATUS = 127 };

enum worker_state { WORKER_BEGUN, WORKER_REFUSED, WORKER_RETURNED };

struct worker_sheet {
        uint32_t bytes;   /* sizeof: an installed worker may be of another release */
        uint32_t ours[2]; /* that side's fd is nobody else's: O_NONBLOCK may be set */

        uint32_t state;                 /* enum worker_state */
        int32_t result;                 /* RETURNED: what the function did. REFUSED: -errno */
        char words[WORKER_WORDS_BYTES]; /* REFUSED: why */
};

/* sluice-worker FD OBJECT SYMBOL ARGUMENT: FD is the sheet, the ones behind it the object and the worker itself. OBJECT is
 * for words only: the file is the one that the host has opened. */
enum worker_fd { WORKER_FD_SHEET, WORKER_FD_OBJECT, WORKER_FD_PROGRAM, WORKER_FDS };
enum worker_arg { WORKER_ARG_FD = 1, WORKER_ARG_OBJECT, WORKER_ARG_SYMBOL, WORKER_ARG_ARGUMENT, WORKER_ARGS };

#endif
