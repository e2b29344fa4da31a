/* tools/supervise.h: what `run`, `exec` and `bench` share: how commands are started, limited and ended. */
#ifndef SLUICE_SUPERVISE_H
#define SLUICE_SUPERVISE_H

#include <getopt.h>

#include "language.h"
#include "tools.h"

enum { SUPERVISE_MAX = 64 };

struct supervise {
        struct sluice_options pipeline;
        struct sluice_command_options command; /* of every command */
        struct sluice_env env[SUPERVISE_MAX];
        struct language_limit limits[SUPERVISE_MAX];
        size_t limits_nr;
};

/* Values of options that getopt_long() gives back, above any character. */
enum supervise_option {
        OPT_GRACE = 512,
        OPT_ENV,
        OPT_CHDIR,
        OPT_STDERR,
        OPT_MAX_MEMORY,
        OPT_NO_GUARD,
        OPT_CONTAIN,
        OPT_NUMA,
        OPT_BACKEND,
};
#define SUPERVISE_OPTIONS                                                                                                          \
        { "grace", required_argument, NULL, OPT_GRACE }, { "env", required_argument, NULL, OPT_ENV },                              \
                { "chdir", required_argument, NULL, OPT_CHDIR }, { "stderr", required_argument, NULL, OPT_STDERR },                \
                { "max-memory", required_argument, NULL, OPT_MAX_MEMORY }, { "no-guard", no_argument, NULL, OPT_NO_GUARD },        \
                { "numa", required_argument, NULL, OPT_NUMA }, { "backend", required_argument, NULL, OPT_BACKEND },                \
        {                                                                                                                          \
                "contain", required_argument, NULL, OPT_CONTAIN                                                                    \
        }
extern const char supervise_help[];

void supervise_init(struct supervise *s, unsigned flags);
/* What the environment says (SLUICE_BACKEND), before options are read. 0, or EXIT_USAGE (said already). */
int supervise_environment(struct supervise *s, const char *subcommand);
/* 0, EXIT_USAGE (said already), or -1: not an option of these. `value` is a word of the command line, and may be cut. `one_command`: --max-memory names no stage. */
int supervise_option(struct supervise *s, const char *subcommand, int option, char *value, bool one_command);
/* The value of --driver=. 0, or EXIT_USAGE (said already). */
int supervise_driver(const char *subcommand, const char *name, enum sluice_driver *ret);
/* Runs a built pipeline to its end, signals and terminal minded. *ret_result: the pipeline's. 0, or what kept it from
 * starting. */
int supervise_run(struct sluice_pipeline *p, const struct supervise *s, bool show_progress, int *ret_result);
/* The exit status that a pipeline's result stands for. */
int supervise_status(const struct sluice_pipeline *p, int result);

#endif
