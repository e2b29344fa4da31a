/* bench/measure.h: what chain.c, handover.c, links.c, pairs.c and start_cost.c share: subjects that are measured in turn, and what
 * their figures say.
 *
 * A round measures every subject once, in an order that is shuffled anew each time, so that neither the machine's mood nor
 * the neighbour before it favours one. Two subjects are compared pair by pair, within rounds. */
#ifndef SLUICE_BENCH_MEASURE_H
#define SLUICE_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>

#include "statistics.h"

struct sample {
        double wall_ms, cpu_ms;
};

struct subject {
        const char *name;
        int base; /* the subject it is compared with; -1: none */
};

struct rounds {
        const struct subject *subjects;
        size_t subjects_nr, rounds_nr;
        struct sample *samples; /* [round * subjects_nr + subject]; the caller's to free() */
};

/* Measures one subject once. Negative: it cannot be, and has said why. */
typedef int measure_fn(void *arg, size_t subject, struct sample *ret);

/* Some rounds that do not count, then those that do. -1: one could not be measured. */
int rounds_run(struct rounds *r, measure_fn *fn, void *arg);

enum figure {
        WALL,
        CPU,
        WALL_RATIO, /* to the base, of the same round */
        CPU_RATIO,
        WALL_DIFFERENCE,
};
struct estimate rounds_estimate(const struct rounds *r, size_t subject, enum figure what);
void rounds_print(const struct rounds *r);

double clock_ms(void);
double cpu_ms(const struct rusage *used);
/* The first executable of that name in PATH; a name with a slash as it is. False: none. */
bool find_program(const char *name, char *ret, size_t cap);
/* A whole number from `least` on, in ret. False: it is not one. */
bool parse_count(const char *text, size_t least, size_t *ret);

#endif
