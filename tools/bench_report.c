/* tools/bench_report.c: what `sluice bench` found: a table and a sentence for people, every sample for programs. Called by bench.c.
 *
 * A ratio is one of medians of pairs, each within a round. None is given where it would say nothing: of too few pairs, or where
 * an interval is too wide, be it the noise's own. */
#include "bench.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

/* How far apart the ends of an interval may be, as a quotient: of the noise 0.88 to 1.14 around 1, of a ratio 0.82 to 1.22. */
static const double NOISE_WIDTH_MOST = 1.3, RATIO_WIDTH_MOST = 1.5;
static const double GIB = 1 << 30;

enum figure { FIGURE_WALL, FIGURE_CPU, FIGURE_PEAK, FIGURE_SWITCHES };

static double figure_of(const struct bench_sample *s, enum figure what)
{
        switch (what) {
        case FIGURE_WALL:
                return s->wall_s;
        case FIGURE_CPU:
                return s->cpu_s;
        case FIGURE_PEAK:
                return (double)s->peak_bytes;
        case FIGURE_SWITCHES:
                return (double)s->switches;
        }
        return 0;
}

/* `base`: divided by that side's in the same round; -1: as it is. */
static struct estimate estimate(const struct bench *b, enum bench_side side, int base, enum figure what)
{
        double values[b->rounds_nr];

        for (size_t i = 0; i < b->rounds_nr; i++) {
                const struct bench_sample *row = &b->samples[i * b->sides_nr];

                values[i] = figure_of(&row[side], what);
                if (base >= 0)
                        values[i] /= figure_of(&row[base], what) > 0 ? figure_of(&row[base], what) : 1e-9;
        }
        return estimate_of(values, b->rounds_nr);
}

struct verdict {
        struct estimate noise, wall, cpu;
        const char *why_not; /* no ratio is given */
        bool has_cpu, within_noise;
};

static bool is_wide(struct estimate e, double most)
{
        return e.low <= 0 || e.high / e.low > most;
}

/* Rounds that all were measured; there is one at least. */
static struct verdict judge(const struct bench *b)
{
        struct verdict v = { .noise = estimate(b, SIDE_AGAIN, SIDE_SLUICE, FIGURE_WALL) };

        if (b->peer) {
                v.wall = estimate(b, SIDE_SLUICE, SIDE_PEER, FIGURE_WALL);
                v.cpu = estimate(b, SIDE_SLUICE, SIDE_PEER, FIGURE_CPU);
                v.has_cpu = !is_wide(v.cpu, RATIO_WIDTH_MOST);
                v.within_noise = v.wall.low <= v.noise.high && v.wall.high >= v.noise.low;
        }
        if (b->rounds_nr < INTERVAL_LEAST_VALUES)
                v.why_not = "fewer than 6 pairs have no 95 % interval";
        else if (is_wide(v.noise, NOISE_WIDTH_MOST))
                v.why_not = "the pipeline differs too much from itself: use longer runs, more pairs, or a quieter machine";
        else if (b->peer && is_wide(v.wall, RATIO_WIDTH_MOST))
                v.why_not = "the ratio's interval is too wide: use longer runs, more pairs, or a quieter machine";
        return v;
}

/* ---- for people ---- */

static const char *time_text(double s, char *buf, size_t cap)
{
        if (s < 0.01)
                snprintf(buf, cap, "%.2f ms", s * 1e3);
        else if (s < 1)
                snprintf(buf, cap, "%.1f ms", s * 1e3);
        else
                snprintf(buf, cap, "%.3f s", s);
        return buf;
}

static void side_line(FILE *out, const struct bench *b, enum bench_side side)
{
        struct estimate wall = estimate(b, side, -1, FIGURE_WALL), cpu = estimate(b, side, -1, FIGURE_CPU);
        double gib = (double)b->bytes / GIB;
        char median[32], least[32], most[32], used[32], peak[32], rate[32] = "-", cost[32] = "-";

        size_text((unsigned long long)estimate(b, side, -1, FIGURE_PEAK).median, peak, sizeof(peak));
        if (b->bytes && wall.median > 0) {
                snprintf(rate, sizeof(rate), "%.3g", gib / wall.median);
                snprintf(cost, sizeof(cost), "%.3g", cpu.median / gib);
        }
        fprintf(out, "%-12s  %10s  %10s  %10s  %10s  %6s  %9s  %8s  %8.0f\n", bench_side_name(side),
                time_text(wall.median, median, sizeof(median)), time_text(wall.least, least, sizeof(least)),
                time_text(wall.most, most, sizeof(most)), time_text(cpu.median, used, sizeof(used)), rate, cost, peak,
                estimate(b, side, -1, FIGURE_SWITCHES).median);
}

static void print_outputs(FILE *out, const struct bench *b)
{
        char text[32];

        if (!b->verified) {
                fputs("outputs were not compared\n", out);
                return;
        }
        size_text(b->output[SIDE_SLUICE].bytes, text, sizeof(text));
        fprintf(out, "outputs agree: standard output %s", text);
        for (size_t i = 0; i < b->files_nr; i++) {
                const struct digest *d = &b->files[i].first[SIDE_SLUICE];

                size_text(d->bytes, text, sizeof(text));
                if (b->files[i].compared)
                        fprintf(out, ", %s %s", b->files[i].path, d->known ? text : "is made by neither");
        }
        fputc('\n', out);
}

static void print_verdict(FILE *out, const struct bench *b)
{
        const struct verdict v = judge(b);

        if (v.why_not)
                fprintf(out, "no ratio: %s", v.why_not);
        else if (b->peer && v.has_cpu)
                fprintf(out, "sluice takes %.2f x the time (%.2f to %.2f, 95 %%) and %.2f x the CPU (%.2f to %.2f)", v.wall.median,
                        v.wall.low, v.wall.high, v.cpu.median, v.cpu.low, v.cpu.high);
        else if (b->peer)
                fprintf(out, "sluice takes %.2f x the time (%.2f to %.2f, 95 %%); its CPU is too uneven to be compared",
                        v.wall.median, v.wall.low, v.wall.high);
        else
                fputs("nothing to compare with (--vs)", out);
        if (b->rounds_nr >= INTERVAL_LEAST_VALUES)
                fprintf(out, "; noise of an A/A pair: %.2f to %.2f", v.noise.low, v.noise.high);
        fputc('\n', out);
        if (!v.why_not && b->peer && v.within_noise)
                fputs("the difference in time is within the noise\n", out);
}

static size_t strays(const struct bench *b, enum bench_side side)
{
        size_t n = 0;

        for (size_t i = 0; i < b->rounds_nr; i++)
                n += b->samples[i * b->sides_nr + side].strays;
        return n;
}

void bench_report(FILE *out, const struct bench *b)
{
        print_outputs(out, b);
        fprintf(out, "%-12s  %10s  %10s  %10s  %10s  %6s  %9s  %8s  %8s\n", "SIDE", "TIME", "LEAST", "MOST", "CPU", "GiB/s",
                "CPU s/GiB", "PEAK RSS", "SWITCHES");
        for (size_t side = 0; side < b->sides_nr; side++)
                side_line(out, b, (enum bench_side)side);
        for (size_t side = 0; side < b->sides_nr; side++)
                if (strays(b, (enum bench_side)side))
                        fprintf(out, "%s left processes behind, which were ended: their CPU counts up to there\n",
                                bench_side_name((enum bench_side)side));
        fprintf(out, "medians of %zu pair%s; ", b->rounds_nr, b->rounds_nr == 1 ? "" : "s");
        print_verdict(out, b);
}

/* ---- for programs ---- */

static json_t *text_or_null(const char *text)
{
        return text && *text ? text_json(text) : json_null();
}

static json_t *estimate_json(struct estimate e)
{
        return json_pack("{s:f,s:f,s:f,s:f,s:f}", "median", e.median, "least", e.least, "most", e.most, "low", e.low, "high",
                         e.high);
}

static json_t *digest_json(const struct digest *d)
{
        if (!d->known)
                return json_null();
        return json_pack("{s:I,s:s}", "bytes", (json_int_t)d->bytes, "xxh3", d->xxh3);
}

static json_t *output_json(const struct bench *b, const char *path, const struct digest *digests)
{
        json_t *sides = json_object();

        for (size_t i = 0; i < b->sides_nr; i++)
                json_object_set_new(sides, bench_side_name((enum bench_side)i), digest_json(&digests[i]));
        return json_pack("{s:o,s:o}", "path", text_or_null(path), "sides", sides);
}

static json_t *outputs_json(const struct bench *b)
{
        json_t *list = json_array();

        json_array_append_new(list, output_json(b, NULL, b->output));
        for (size_t i = 0; i < b->files_nr; i++)
                if (b->files[i].compared)
                        json_array_append_new(list, output_json(b, b->files[i].path, b->files[i].first));
        return list;
}

static json_t *side_json(const struct bench *b, enum bench_side side)
{
        struct estimate wall = estimate(b, side, -1, FIGURE_WALL), cpu = estimate(b, side, -1, FIGURE_CPU);
        json_t *j = json_pack("{s:s,s:o,s:o,s:o,s:o,s:i}", "side", bench_side_name(side), "wall_seconds", estimate_json(wall),
                              "cpu_seconds", estimate_json(cpu), "peak_bytes", estimate_json(estimate(b, side, -1, FIGURE_PEAK)),
                              "switches", estimate_json(estimate(b, side, -1, FIGURE_SWITCHES)), "strays", (int)strays(b, side));
        double gib = (double)b->bytes / GIB;

        json_object_set_new(j, "gib_per_second", b->bytes && wall.median > 0 ? json_real(gib / wall.median) : json_null());
        json_object_set_new(j, "cpu_seconds_per_gib", b->bytes ? json_real(cpu.median / gib) : json_null());
        return j;
}

static json_t *verdict_json(const struct bench *b)
{
        const struct verdict v = judge(b);
        const bool given = b->peer && !v.why_not;

        return json_pack("{s:o,s:o,s:o,s:o,s:o}", "noise", estimate_json(v.noise), "wall",
                         given ? estimate_json(v.wall) : json_null(), "cpu",
                         given && v.has_cpu ? estimate_json(v.cpu) : json_null(), "within_noise",
                         given ? json_boolean(v.within_noise) : json_null(), "why_not", text_or_null(v.why_not));
}

static json_t *samples_json(const struct bench *b)
{
        json_t *list = json_array();

        for (size_t i = 0; i < b->rounds_nr * b->sides_nr; i++) {
                const struct bench_sample *s = &b->samples[i];

                json_array_append_new(list, json_pack("{s:I,s:I,s:s,s:f,s:f,s:I,s:I,s:I,s:b}", "round",
                                                      (json_int_t)(i / b->sides_nr), "place", (json_int_t)s->place, "side",
                                                      bench_side_name((enum bench_side)(i % b->sides_nr)), "wall_seconds",
                                                      s->wall_s, "cpu_seconds", s->cpu_s, "peak_bytes", (json_int_t)s->peak_bytes,
                                                      "switches", (json_int_t)s->switches, "output_bytes",
                                                      (json_int_t)s->output_bytes, "strays", s->strays));
        }
        return list;
}

void bench_report_json(FILE *out, const struct bench *b, int exit_status)
{
        json_t *sides = json_array(), *j;

        for (size_t i = 0; i < b->sides_nr && b->rounds_nr; i++)
                json_array_append_new(sides, side_json(b, (enum bench_side)i));
        j = json_pack("{s:i,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:o,s:b,s:o,s:o,s:o,s:o}", "exit_status", exit_status, "error",
                      text_or_null(b->error), "stderr", text_json(b->said), "pipeline", text_json(b->pipeline), "vs",
                      text_or_null(b->peer), "input", text_or_null(b->input), "pairs", (json_int_t)b->pairs, "rounds",
                      (json_int_t)b->rounds_nr, "bytes", b->bytes ? json_integer((json_int_t)b->bytes) : json_null(), "verified",
                      b->verified, "outputs", outputs_json(b), "sides", sides, "ratio",
                      b->rounds_nr ? verdict_json(b) : json_null(), "samples", samples_json(b));
        json_dumpf(j, out, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
        fputc('\n', out);
        json_decref(j);
}
