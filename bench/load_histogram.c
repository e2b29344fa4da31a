/* bench/load_histogram.c: buckets as wide as 1/128 of what they count.
 *
 * Values below 128 have a bucket each. Above, every power of two is cut into 128 buckets of one width, so that the bucket of a
 * value is a shift away and a percentile is off by less than 1 %, from nanoseconds to centuries. Calls nobody. */
#include "load_histogram.h"

#include <math.h>
#include <stdlib.h>

enum { LINEAR = 1 << HISTOGRAM_BITS };

static unsigned shift_of(uint64_t value)
{
        return value < LINEAR ? 0 : 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
}

static size_t bucket_of(uint64_t value)
{
        unsigned shift = shift_of(value);

        if (value < LINEAR)
                return value;
        return ((size_t)(shift + 1) << HISTOGRAM_BITS) + (size_t)((value >> shift) - LINEAR);
}

static uint64_t bucket_last(size_t bucket)
{
        unsigned shift;

        if (bucket < LINEAR)
                return bucket;
        shift = (unsigned)(bucket >> HISTOGRAM_BITS) - 1;
        return ((((uint64_t)bucket & (LINEAR - 1)) + LINEAR) << shift) + ((UINT64_C(1) << shift) - 1);
}

struct histogram *histogram_new(void)
{
        struct histogram *h = calloc(1, sizeof(*h));

        if (h)
                h->least = UINT64_MAX;
        return h;
}

void histogram_add(struct histogram *h, uint64_t value)
{
        h->buckets[bucket_of(value)]++;
        h->nr++;
        h->sum += (double)value;
        if (value < h->least)
                h->least = value;
        if (value > h->most)
                h->most = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
                into->buckets[i] += from->buckets[i];
        into->nr += from->nr;
        into->sum += from->sum;
        if (from->least < into->least)
                into->least = from->least;
        if (from->most > into->most)
                into->most = from->most;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
        uint64_t want = (uint64_t)ceil((double)h->nr * percent / 100), seen = 0;

        if (!h->nr)
                return 0;
        if (want < 1)
                want = 1;
        if (want > h->nr)
                want = h->nr;
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
                seen += h->buckets[i];
                if (seen >= want)
                        return bucket_last(i) < h->most ? bucket_last(i) : h->most;
        }
        return h->most;
}

double histogram_mean(const struct histogram *h)
{
        return h->nr ? h->sum / (double)h->nr : 0;
}
