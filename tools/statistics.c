/* tools/statistics.c: see statistics.h. Without libm, which no other start of the command needs to load. */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>

/* The largest k for which fewer than k of n fair coins fall heads with a chance of at most 2.5 %. The chance of exactly k is
 * kept as mantissa and exponent: 0.5 to the n is no double any more beyond a thousand values. */
size_t interval_cut(size_t n)
{
        double chance = 0, mantissa = 1;
        int exponent = -(int)n, shift;
        size_t k = 0;

        for (; k < n / 2; k++) {
                chance += ldexp(mantissa, exponent);
                if (chance > 0.025)
                        break;
                mantissa = frexp(mantissa * (double)(n - k) / (double)(k + 1), &shift);
                exponent += shift;
        }
        return k;
}

static int compare(const void *a, const void *b)
{
        const double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

struct estimate estimate_of(double *values, size_t n)
{
        size_t cut = interval_cut(n);

        qsort(values, n, sizeof(*values), compare);
        return (struct estimate){
                .least = values[0],
                .low = values[cut ? cut - 1 : 0],
                .median = (values[(n - 1) / 2] + values[n / 2]) / 2,
                .high = values[cut ? n - cut : n - 1],
                .most = values[n - 1],
        };
}

/* xorshift64 */
static uint64_t next_random(uint64_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

void shuffle(size_t *order, size_t n, uint64_t *state)
{
        for (size_t i = n; i > 1; i--) {
                size_t j = next_random(state) % i, kept = order[i - 1];

                order[i - 1] = order[j];
                order[j] = kept;
        }
}
