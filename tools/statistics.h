/* tools/statistics.h: what a row of measured values says, and fair orders to measure in. Nothing of sluice is called here:
 * `sluice bench` (bench_report.c) and the programs of bench/ share it. */
#ifndef SLUICE_STATISTICS_H
#define SLUICE_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* Of fewer values no interval holds the median in 95 of 100 cases: estimate_of() then gives all of them. */
enum { INTERVAL_LEAST_VALUES = 6 };

/* [low, high] holds the true median in 95 of 100 cases, whatever the distribution: it is the interval of the sign test. */
struct estimate {
        double least, low, median, high, most;
};
/* n > 0 values, which are sorted. */
struct estimate estimate_of(double *values, size_t n);
/* How many values the interval leaves off at either end, and one more; 0: n is too small. */
size_t interval_cut(size_t n);

/* Always the same orders after the same seed, so that a run can be repeated. */
#define SHUFFLE_SEED UINT64_C(0x9e3779b97f4a7c15)
void shuffle(size_t *order, size_t n, uint64_t *state);

#endif
