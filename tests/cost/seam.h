/* tests/cost/seam.h: the seam with a turnstile: struct backend over the simulated kernel, in which every call of the engine's is
 * counted, and callgrind collects only while the engine runs.
 *
 * Nothing is left to chance: the kernel is a manual one. Its operations run inside the engine's waits, in the order of their
 * indices, until none can; then, when nothing has completed, the peers do, until something has. So what is counted depends on
 * the engine and on the worlds in cases.c alone, and not on the simulator's dice, nor on what a step of it costs. */
#ifndef SLUICE_TESTS_COST_SEAM_H
#define SLUICE_TESTS_COST_SEAM_H

#include "sim_kernel.h"

struct seam_counts {
        uint64_t calls;      /* that the real backends answer by a system call, waits included */
        uint64_t operations; /* handed to the ring */
};

/* Whoever is at the far ends. True: something changed. */
typedef bool seam_peers_fn(void *arg);

/* Puts the turnstile before a backend of backend_sim_new(). One at a time in a process; until the loop that has it is freed.
 * `wasteful`: every move is offered half of its bytes, as if the engine asked for so little; the self-test's. */
void seam_install(struct backend *b, struct sim *k, seam_peers_fn *peers, void *arg, bool wasteful);

/* What lies between the two is counted and collected. */
void seam_begin(void);
struct seam_counts seam_end(void);

/* Gives what was collected to a file of callgrind's, by this name, and begins from 0. Does nothing without valgrind. */
void seam_dump(const char *name);
/* Whether this program was built with valgrind's headers. */
bool seam_can_collect(void);

#endif
