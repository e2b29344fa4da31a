/* bench/measure.c: see measure.h. Nothing of sluice is called here. */
#include "measure.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP_ROUNDS = 5 };

double clock_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double timeval_ms(struct timeval t)
{
        return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

double cpu_ms(const struct rusage *used)
{
        return timeval_ms(used->ru_utime) + timeval_ms(used->ru_stime);
}

bool find_program(const char *name, char *ret, size_t cap)
{
        const char *at = strchr(name, '/') ? "" : getenv("PATH");

        if (at && !*at)
                return (size_t)snprintf(ret, cap, "%s", name) < cap && access(ret, X_OK) == 0;
        while (at && *at) {
                size_t bytes = strcspn(at, ":");

                if ((size_t)snprintf(ret, cap, "%.*s/%s", (int)bytes, at, name) < cap && access(ret, X_OK) == 0)
                        return true;
                at += bytes + (at[bytes] == ':');
        }
        return false;
}

bool parse_count(const char *text, size_t least, size_t *ret)
{
        unsigned long value;
        char *end;

        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno || *end || *text < '0' || *text > '9' || value < least || value > INT32_MAX)
                return false;
        *ret = value;
        return true;
}

/* ---- rounds ---- */

int rounds_run(struct rounds *r, measure_fn *fn, void *arg)
{
        uint64_t state = SHUFFLE_SEED;
        size_t order[r->subjects_nr];

        r->samples = calloc(r->rounds_nr * r->subjects_nr, sizeof(*r->samples));
        if (!r->samples)
                return -1;
        for (size_t i = 0; i < r->subjects_nr; i++)
                order[i] = i;
        for (size_t round = 0; round < WARM_UP_ROUNDS + r->rounds_nr; round++) {
                shuffle(order, r->subjects_nr, &state);
                for (size_t i = 0; i < r->subjects_nr; i++) {
                        struct sample s = { 0 };

                        if (fn(arg, order[i], &s) < 0)
                                return -1;
                        if (round >= WARM_UP_ROUNDS)
                                r->samples[(round - WARM_UP_ROUNDS) * r->subjects_nr + order[i]] = s;
                }
        }
        return 0;
}

/* ---- figures ---- */

static double figure_of(const struct sample *s, const struct sample *base, enum figure what)
{
        switch (what) {
        case WALL:
                return s->wall_ms;
        case CPU:
                return s->cpu_ms;
        case WALL_RATIO:
                return s->wall_ms / base->wall_ms;
        case CPU_RATIO:
                return base->cpu_ms > 0 ? s->cpu_ms / base->cpu_ms : 1;
        case WALL_DIFFERENCE:
                return s->wall_ms - base->wall_ms;
        }
        return 0;
}

struct estimate rounds_estimate(const struct rounds *r, size_t subject, enum figure what)
{
        const int base = r->subjects[subject].base;
        double values[r->rounds_nr];

        for (size_t i = 0; i < r->rounds_nr; i++) {
                const struct sample *row = &r->samples[i * r->subjects_nr];

                values[i] = figure_of(&row[subject], &row[base < 0 ? (int)subject : base], what);
        }
        return estimate_of(values, r->rounds_nr);
}

void rounds_print(const struct rounds *r)
{
        printf("%zu rounds; medians, and in brackets their 95 %% intervals, pair by pair\n", r->rounds_nr);
        for (size_t i = 0; i < r->subjects_nr; i++) {
                struct estimate wall = rounds_estimate(r, i, WALL), cpu = rounds_estimate(r, i, CPU);
                struct estimate ratio = rounds_estimate(r, i, WALL_RATIO), cpu_ratio = rounds_estimate(r, i, CPU_RATIO);
                struct estimate more = rounds_estimate(r, i, WALL_DIFFERENCE);
                int base = r->subjects[i].base;

                printf("%-28s %8.3f ms (least %.3f), %8.3f CPU ms\n", r->subjects[i].name, wall.median, wall.least, cpu.median);
                if (base >= 0)
                        printf("    to %s: %.3f [%.3f, %.3f], %+.3f ms [%+.3f, %+.3f], CPU %.3f [%.3f, %.3f]\n",
                               r->subjects[base].name, ratio.median, ratio.low, ratio.high, more.median, more.low, more.high,
                               cpu_ratio.median, cpu_ratio.low, cpu_ratio.high);
        }
}
