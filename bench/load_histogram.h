/* bench/load_histogram.h: how many times took how long, within 1 %. */
#ifndef SLUICE_BENCH_LOAD_HISTOGRAM_H
#define SLUICE_BENCH_LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BITS = 7, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS };

/* The buckets' sum is `nr`. */
struct histogram {
        uint64_t nr, least, most;
        double sum;
        uint64_t buckets[HISTOGRAM_BUCKETS];
};

struct histogram *histogram_new(void);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The smallest value that is shown to be no less than `percent` of all; 0 of none. Never flatters: it is the upper end of its
 * bucket, but no more than the greatest that was seen. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);

#endif
