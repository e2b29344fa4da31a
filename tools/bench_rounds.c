/* tools/bench_rounds.c: leads `sluice bench` through its rounds: one that does not count, in which outputs are compared, then those
 * that do. Called by bench.c. */
#include "bench.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools.h"

enum { SAID_LINES = 10 };

const char *bench_side_name(enum bench_side side)
{
        return side == SIDE_SLUICE ? "sluice" : side == SIDE_AGAIN ? "sluice again" : "peer";
}

static void end_progress(void)
{
        if (isatty(STDERR_FILENO))
                fputs("\r\033[K", stderr);
}

int bench_fail(struct bench *b, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(b->error, sizeof(b->error), format, args);
        va_end(args);
        end_progress();
        fprintf(stderr, "sluice: %s\n", b->error);
        return EXIT_STAGE;
}

/* ---- one run ---- */

/* On a terminal, that it is not dead. */
static void say_progress(const struct bench *b, size_t round, enum bench_side side)
{
        if (!isatty(STDERR_FILENO))
                return;
        if (round == 0)
                fprintf(stderr, "\rlooking whether outputs agree: %s\033[K", bench_side_name(side));
        else
                fprintf(stderr, "\rround %zu of %zu: %s\033[K", round, b->pairs, bench_side_name(side));
        fflush(stderr);
}

static void keep_said(struct bench *b, const struct tail *said)
{
        size_t bytes = said->bytes < SAID_BYTES - 1 ? said->bytes : SAID_BYTES - 1;

        if (bytes)
                memcpy(b->said, said->text + said->bytes - bytes, bytes);
        b->said[bytes] = '\0';
}

/* The last lines, each of them indented. */
static void print_said(const char *said)
{
        const char *at = said + strlen(said);

        for (int lines = 0; at > said; at--)
                if (at[-1] == '\n' && *at && ++lines == SAID_LINES)
                        break;
        while (*at) {
                int length = (int)strcspn(at, "\n");

                fprintf(stderr, "        %.*s\n", length, at);
                at += length + (at[length] == '\n');
        }
}

static int failed(struct bench *b, enum bench_side side, const struct bench_run *r, int e)
{
        const char *name = bench_side_name(side);

        if (e == -EINTR)
                return bench_run_signal() + EXIT_SIGNAL;
        if (e == -EBUSY)
                return bench_fail(b, "%s: something that it started cannot be ended", name);
        if (e == -EIO)
                return bench_fail(b, "%s: its output could not be hashed", name);
        if (e < 0)
                return bench_fail(b, "%s cannot be run: %s", name, strerror(-e));
        if (WIFSIGNALED(r->status))
                bench_fail(b, "%s was ended by signal %d (%s)", name, WTERMSIG(r->status), strsignal(WTERMSIG(r->status)));
        else
                bench_fail(b, "%s failed: exit status %d", name, WEXITSTATUS(r->status));
        keep_said(b, &r->said);
        print_said(b->said);
        return EXIT_STAGE;
}

static void fill_argv(const struct bench *b, enum bench_side side, bool wants_report, const char *argv[10])
{
        size_t n = 0;

        if (side == SIDE_PEER) {
                argv[n++] = "/bin/sh";
                argv[n++] = "-c";
                argv[n++] = b->peer;
                argv[n] = NULL;
                return;
        }
        argv[n++] = "/proc/self/exe";
        argv[n++] = "run";
        argv[n++] = "--no-progress";
        if (wants_report)
                argv[n++] = "--json";
        if (b->driver[0])
                argv[n++] = b->driver;
        if (b->backend[0])
                argv[n++] = b->backend;
        argv[n++] = "--";
        argv[n++] = b->pipeline;
        argv[n] = NULL;
}

/* Before it none of the files is there, and after it neither. `quick`: of those that it made the lengths are compared only. */
static int run_once(struct bench *b, enum bench_side side, struct bench_run *r, bool quick)
{
        int e = bench_files_clear(b);

        if (e)
                return e;
        e = bench_run(r);
        if (e == 0 && r->status == 0)
                e = b->verify ? bench_files_take(b, side, quick) : 0;
        else
                e = failed(b, side, r, e);
        bench_files_drop(b);
        return e == -EINTR ? EXIT_SIGNAL + bench_run_signal() : e;
}

/* ---- the round that does not count ---- */

/* What left its sources, where every one of them has counted; else what reached its end. */
static uint64_t bytes_of(json_t *report)
{
        json_t *links = json_object_get(report, "links"), *link, *other;
        json_int_t sum = 0;
        size_t i, k;

        json_array_foreach(links, i, link)
        {
                json_t *bytes = json_object_get(link, "bytes"), *from = json_object_get(link, "from_stage");
                bool is_source = true;

                json_array_foreach(links, k, other) is_source = is_source && !json_equal(json_object_get(other, "to_stage"), from);
                if (is_source && !json_is_integer(bytes))
                        return (uint64_t)json_integer_value(json_object_get(report, "bytes"));
                if (is_source)
                        sum += json_integer_value(bytes);
        }
        return (uint64_t)sum;
}

/* The report is the last line of what the pipeline has said. */
static void read_report(struct bench *b, const struct tail *t)
{
        const char *line;
        json_t *report;

        if (!t->text || b->bytes)
                return;
        if (t->bytes && t->text[t->bytes - 1] == '\n')
                t->text[t->bytes - 1] = '\0';
        line = strrchr(t->text, '\n');
        report = json_loads(line ? line + 1 : t->text, 0, NULL);
        if (report)
                b->bytes = bytes_of(report);
        json_decref(report);
}

/* The second instance of the pipeline is asked for its report; where that comes by standard output, nothing else does. */
static int warm_up(struct bench *b, enum bench_side side)
{
        const bool wants_report = side == SIDE_AGAIN, on_stdout = wants_report && !b->uses_stdout;
        const char *argv[10];
        struct bench_run r = { .argv = (char *const *)argv,
                               .input = b->input,
                               .use = on_stdout   ? STDOUT_KEEP
                                      : b->verify ? STDOUT_HASH
                                                  : STDOUT_DISCARD };
        int e;

        say_progress(b, 0, side);
        fill_argv(b, side, wants_report, argv);
        e = run_once(b, side, &r, false);
        if (e == 0) {
                b->output[side] = on_stdout ? b->output[SIDE_SLUICE] : r.output;
                if (wants_report)
                        read_report(b, on_stdout ? &r.kept : &r.said);
        }
        bench_run_free(&r);
        return e;
}

static bool agree(const struct digest *a, const struct digest *b)
{
        return a->known == b->known && a->bytes == b->bytes && strcmp(a->xxh3, b->xxh3) == 0;
}

static void print_digest(char *text, size_t cap, const struct digest *d)
{
        if (d->known)
                snprintf(text, cap, "%llu bytes, xxh3 %s", (unsigned long long)d->bytes, d->xxh3);
        else
                snprintf(text, cap, "no such file");
}

static int differ(struct bench *b, enum bench_side side, const char *what, const struct digest *mine, const struct digest *other)
{
        char one[80], two[80];

        print_digest(one, sizeof(one), mine);
        print_digest(two, sizeof(two), other);
        if (side == SIDE_AGAIN)
                return bench_fail(b,
                                  "%s differs from run to run of the pipeline: %s; then %s (--no-verify compares the time alone)",
                                  what, one, two);
        return bench_fail(b, "outputs differ: %s of sluice: %s; of the peer: %s", what, one, two);
}

/* All that differs is said, not the first alone. */
static int verify(struct bench *b, enum bench_side side)
{
        int r = 0;

        if (!agree(&b->output[SIDE_SLUICE], &b->output[side]))
                r = differ(b, side, "standard output", &b->output[SIDE_SLUICE], &b->output[side]);
        for (size_t i = 0; i < b->files_nr; i++) {
                const struct bench_file *f = &b->files[i];

                if (f->compared && !agree(&f->first[SIDE_SLUICE], &f->first[side]))
                        r = differ(b, side, f->path, &f->first[SIDE_SLUICE], &f->first[side]);
        }
        return r;
}

/* ---- the rounds that count ---- */

static int measure(struct bench *b, enum bench_side side, struct bench_sample *ret)
{
        const char *argv[10];
        struct bench_run r = { .argv = (char *const *)argv, .input = b->input, .use = STDOUT_DISCARD };
        int e;

        fill_argv(b, side, false, argv);
        e = run_once(b, side, &r, true);
        if (e == 0 && b->verify && r.sample.output_bytes != b->output[side].bytes)
                e = bench_fail(b, "%s gave another standard output than the first time: %llu bytes, and %llu before",
                               bench_side_name(side), (unsigned long long)r.sample.output_bytes,
                               (unsigned long long)b->output[side].bytes);
        *ret = r.sample;
        bench_run_free(&r);
        return e;
}

static int measure_rounds(struct bench *b)
{
        size_t order[SIDES_MAX] = { SIDE_SLUICE, SIDE_AGAIN, SIDE_PEER };
        uint64_t state = SHUFFLE_SEED;

        for (size_t round = 0; round < b->pairs; round++) {
                shuffle(order, b->sides_nr, &state);
                for (size_t i = 0; i < b->sides_nr; i++) {
                        struct bench_sample *s = &b->samples[round * b->sides_nr + order[i]];
                        int r;

                        say_progress(b, round + 1, (enum bench_side)order[i]);
                        r = measure(b, (enum bench_side)order[i], s);
                        if (r)
                                return r;
                        s->place = i;
                }
                b->rounds_nr++;
        }
        return 0;
}

static int run_rounds(struct bench *b)
{
        int r = bench_run_begin();

        if (r < 0)
                return bench_fail(b, "signals cannot be waited for: %s", strerror(-r));
        b->samples = calloc(b->pairs * b->sides_nr, sizeof(*b->samples));
        if (!b->samples)
                return bench_fail(b, "%s", strerror(ENOMEM));
        for (size_t side = 0; r == 0 && side < b->sides_nr; side++) {
                r = warm_up(b, (enum bench_side)side);
                if (r == 0 && b->verify)
                        r = verify(b, (enum bench_side)side);
        }
        if (r)
                return r;
        b->verified = b->verify;
        return measure_rounds(b);
}

int bench_rounds(struct bench *b)
{
        int r = run_rounds(b);

        end_progress();
        return r;
}
