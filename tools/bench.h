/* tools/bench.h: what the files of `sluice bench` share: bench.c asks; bench_rounds.c leads through the rounds; bench_run.c starts one side
 * and waits for it; bench_files.c knows the files that a side makes; bench_report.c says what came out. */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "statistics.h"

/* The pipeline twice: what the second differs from the first is noise. */
enum bench_side { SIDE_SLUICE, SIDE_AGAIN, SIDE_PEER, SIDES_MAX };
enum { BENCH_FILES_MAX = 64, ERROR_BYTES = 1024, SAID_BYTES = 4096 };

struct digest {
        bool known; /* false: there is no such file, or nothing was hashed */
        uint64_t bytes;
        char xxh3[40];
};

struct bench_sample {
        size_t place;          /* in its round */
        double wall_s, cpu_s;  /* CPU: of everything that it started */
        uint64_t peak_bytes;   /* of its largest process */
        uint64_t switches;     /* of context */
        uint64_t output_bytes; /* of standard output */
        bool strays;           /* something lived on, and was ended */
};

struct bench_file {
        char *path;
        bool compared;
        struct digest first[SIDES_MAX]; /* what the warm-up of each side made of it */
};

struct bench {
        const char *pipeline, *peer, *input;
        char driver[32], backend[32]; /* options for `run`; empty: none */
        size_t pairs;
        uint64_t bytes; /* 0: not known */
        bool json, verify, overwrite, uses_stdout;

        size_t sides_nr;
        struct digest output[SIDES_MAX];
        struct bench_file files[BENCH_FILES_MAX];
        size_t files_nr;
        bool verified;
        size_t rounds_nr;                          /* complete ones */
        struct bench_sample *samples;              /* [round * sides_nr + side] */
        char error[ERROR_BYTES], said[SAID_BYTES]; /* said: on standard error, by the run that failed; the last of it */
};

/* ---- bench_rounds.c ---- */

/* Runs, compares and measures. The exit status; 0 or what has been said. */
int bench_rounds(struct bench *b);
/* "sluice: MESSAGE", which is kept for the JSON object, too; returns EXIT_STAGE. */
int bench_fail(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What people call it. */
const char *bench_side_name(enum bench_side side);

/* ---- bench_run.c ---- */

enum bench_stdout {
        STDOUT_DISCARD, /* read, counted, and thrown away by reference */
        STDOUT_HASH,
        STDOUT_KEEP, /* the last of it */
};
/* The last of what came, with a zero behind it. */
struct tail {
        size_t bytes, cap;
        char *text;
};
struct bench_run {
        char *const *argv; /* argv[0] is a path */
        const char *input;
        enum bench_stdout use;

        int status; /* as of wait4() */
        struct bench_sample sample;
        struct digest output;
        struct tail said, kept; /* on standard error; on standard output */
};

/* From here on, signals that end a process end the run under way, and orphans become children of this process. 0 or -errno. */
int bench_run_begin(void);
/* Starts it and returns when all of it has ended. 0; -EINTR: by a signal (bench_run_signal()); -EBUSY: something of it could not
 * be ended; another -errno: it could not be started or hashed. bench_run_free() in any case. */
int bench_run(struct bench_run *r);
void bench_run_free(struct bench_run *r);
/* The one that ended it; 0: none. */
int bench_run_signal(void);
/* Of a regular file. 0, or as bench_run(). */
int bench_hash_file(const char *path, struct digest *ret);

/* ---- bench_files.c ---- */

/* Of the pipeline: that it is one, and what files it makes. 0 or EXIT_USAGE (said). */
int bench_files_find(struct bench *b);
/* Another one to compare, instead of those of the pipeline. 0 or EXIT_USAGE (said). */
int bench_files_add(struct bench *b, const char *path);
/* Before the first run: nothing that is there may be lost. 0 or EXIT_USAGE (said). */
int bench_files_protect(const struct bench *b);
/* Before a run: none of them is there. 0 or EXIT_STAGE (said). */
int bench_files_clear(struct bench *b);
/* After a run: hashed, or with `quick` compared by their lengths with the warm-up's. 0, -EINTR, or EXIT_STAGE (said). */
int bench_files_take(struct bench *b, enum bench_side side, bool quick);
/* After a run, however it ended: what it made goes, but with --overwrite. */
void bench_files_drop(const struct bench *b);
void bench_files_free(struct bench *b);

/* ---- bench_report.c ---- */

void bench_report(FILE *out, const struct bench *b);
void bench_report_json(FILE *out, const struct bench *b, int exit_status);

#endif
