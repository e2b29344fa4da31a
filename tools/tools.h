/* tools/tools.h: the table of subcommands and what they share. */
#ifndef SLUICE_TOOLS_H
#define SLUICE_TOOLS_H

#include <stdbool.h>
#include <stdio.h>

#include <sluice/stages.h>

enum exit_status {
        EXIT_OK = 0,
        EXIT_STAGE = 1, /* a stage of ours failed */
        EXIT_USAGE = 2,
        EXIT_DEADLINE = 124,
        EXIT_MEMORY = 125,
        EXIT_NOT_EXECUTABLE = 126,
        EXIT_NOT_FOUND = 127,
        EXIT_SIGNAL = 128, /* plus the signal */
};

struct subcommand {
        const char *name, *summary;
        int (*main)(int argc, char **argv);
};

int run_main(int argc, char **argv);
int exec_main(int argc, char **argv);
int explain_main(int argc, char **argv);
int bench_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int relay_main(int argc, char **argv);

/* "sluice: MESSAGE", and how to get help; returns EXIT_USAGE. */
int usage_error(const char *subcommand, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Not one pipeline but `nr` words: says what is wrong with them; returns EXIT_USAGE. */
int wrong_words(const char *subcommand, int nr, char **words);
/* Whether the next word is a pipeline though it begins like an option: "- | cat". */
bool is_pipeline(int argc, char **argv, int index);
/* Whether this process was started with that standard stream. */
bool standard_is_open(int fd);
int size_text(unsigned long long bytes, char *buf, size_t cap);

/* report.c: what happened, as a table for people and as JSON for programs */
void report_stages(FILE *out, const struct sluice_pipeline *p);
void report_reports(FILE *out, const struct sluice_pipeline *p);
void report_processes(FILE *out, const struct sluice_pipeline *p);
void report_backend(FILE *out, const struct sluice_pipeline *p);
void report_links(FILE *out, const struct sluice_pipeline *p);
/* Nothing for a chain. */
void draw_graph(FILE *out, const struct sluice_pipeline *p);
void report_json(FILE *out, const struct sluice_pipeline *p, int exit_status);
/* File names are bytes, JSON is UTF-8: what is not is shown with '?'. */
struct json_t *text_json(const char *text);
void explain_dot(FILE *out, const struct sluice_pipeline *p);
void explain_json(FILE *out, const struct sluice_pipeline *p);

/* progress.c: one line on a terminal */
struct progress;
struct progress *progress_new(const struct sluice_pipeline *p, bool wanted);
void progress_tick(struct progress *g);
void progress_end(struct progress *g, bool success);

/* job.c: signals and the terminal */
void job_begin(struct sluice_loop *loop, struct sluice_cancel *cancel, bool has_guard);
void job_step(const struct sluice_pipeline *p);
int job_signal(void);
void job_end(void);

#endif
