/* engine/budget.c: see budget.h. Pure; called by plan.c. */
#include "budget.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static uint64_t buffers(const struct budget_terms *t, unsigned depth)
{
        return t->written_nr * (depth + 1) + t->read_nr + t->inner_nr + t->rings_nr * (depth + 2);
}

/* What stages say that they hold is theirs to say: at most all there is. */
static uint64_t sum(const struct budget_terms *t, unsigned depth)
{
        uint64_t bytes = buffers(t, depth) * t->buffer_bytes;

        return __builtin_add_overflow(bytes, t->held_bytes, &bytes) ? UINT64_MAX : bytes;
}

int budget_fit(const struct budget_terms *t, uint64_t allowed, unsigned depth_max, struct budget *ret)
{
        unsigned depth = depth_max;

        while (depth > 1 && sum(t, depth) > allowed)
                depth--;
        *ret = (struct budget){ .bytes = sum(t, depth), .buffers_nr = buffers(t, depth), .queue_depth = depth };
        return ret->bytes > allowed ? -E2BIG : 0;
}

static void size_words(uint64_t bytes, char *buf, size_t cap)
{
        if (bytes >= 10 << 20)
                snprintf(buf, cap, "%" PRIu64 " MiB", (bytes + (1 << 20) - 1) >> 20);
        else
                snprintf(buf, cap, "%" PRIu64 " KiB", (bytes + (1 << 10) - 1) >> 10);
}

int budget_words(const struct budget_terms *t, uint64_t allowed, char *buf, size_t cap)
{
        char total[32], may[32], one[32], held[32];

        size_words(sum(t, 1), total, sizeof(total));
        size_words(allowed, may, sizeof(may));
        size_words(t->buffer_bytes, one, sizeof(one));
        size_words(t->held_bytes, held, sizeof(held));
        return snprintf(buf, cap,
                        "its buffers need %s at least (%" PRIu64 " outputs of functions x 2 x %s + %" PRIu64
                        " inputs of functions x %s + %" PRIu64 " rings of threads x 3 x %s + %" PRIu64
                        " of parts x %s + %s held by stages), and %s are allowed (--buffers=)",
                        total, t->written_nr, one, t->read_nr, one, t->rings_nr, one, t->inner_nr, one, held, may);
}
