/* tools/run.c: `sluice run`: a pipeline, its progress, its report, its exit status. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "language.h"
#include "tools.h"

enum { ASKED_FOR_HELP = -1 };

struct run_options {
        struct sluice_options pipeline;
        bool json, verbose;
        int progress; /* -1: as it seems fit */
        const char *text;
};

static void help(void)
{
        puts("Usage: sluice run [OPTIONS] 'PIPELINE'\n"
             "\n"
             "Runs a pipeline to its end.\n"
             "\n"
             "  --progress, --no-progress   one line on stderr while it runs; default: when stderr is a\n"
             "                              terminal that the pipeline itself neither reads nor writes\n"
             "  --json                      one JSON object at the end: on stdout, or on stderr when the pipeline\n"
             "                              itself writes to stdout\n"
             "  --driver=auto|inline|ring|copy\n"
             "                              who moves the bytes of links between two descriptors; default auto\n"
             "  --no-splice                 the same as --driver=copy: no byte is passed by reference\n"
             "  --forbid-copy               fail rather than let a byte enter userspace\n"
             "  --timeout=DURATION          end everything after 500ms, 2s, 1.5m, ...: exit status 124\n"
             "  -v, --verbose               afterwards, how each link moved its bytes\n"
             "  -h, --help                  this text\n"
             "\n"
             "Exit status: 0; a failing command's own; 1 a stage of sluice failed; 2 usage; 124 deadline;\n"
             "126 not executable; 127 command not found; 128+N ended by signal N.");
}

static int read_driver(const char *name, enum sluice_driver *ret)
{
        for (int d = SLUICE_DRIVER_AUTO; d <= SLUICE_DRIVER_COPY; d++)
                if (strcmp(name, sluice_driver_name((enum sluice_driver)d)) == 0) {
                        *ret = (enum sluice_driver)d;
                        return 0;
                }
        return usage_error("run", "--driver= is one of auto, inline, ring, copy, not '%s'", name);
}

static int read_options(int argc, char **argv, struct run_options *o)
{
        enum { OPT_PROGRESS = 256, OPT_NO_PROGRESS, OPT_JSON, OPT_DRIVER, OPT_NO_SPLICE, OPT_FORBID, OPT_TIMEOUT };
        static const struct option table[] = {
                { "progress", no_argument, NULL, OPT_PROGRESS },
                { "no-progress", no_argument, NULL, OPT_NO_PROGRESS },
                { "json", no_argument, NULL, OPT_JSON },
                { "driver", required_argument, NULL, OPT_DRIVER },
                { "no-splice", no_argument, NULL, OPT_NO_SPLICE },
                { "forbid-copy", no_argument, NULL, OPT_FORBID },
                { "timeout", required_argument, NULL, OPT_TIMEOUT },
                { "verbose", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        int c, r = 0;

        opterr = 0;
        while (r == 0 && !is_pipeline(argc, argv, optind) && (c = getopt_long(argc, argv, "+:vh", table, NULL)) != -1) {
                switch (c) {
                case OPT_PROGRESS:
                case OPT_NO_PROGRESS:
                        o->progress = c == OPT_PROGRESS;
                        break;
                case OPT_JSON:
                        o->json = true;
                        break;
                case OPT_DRIVER:
                        r = read_driver(optarg, &o->pipeline.driver);
                        break;
                case OPT_NO_SPLICE:
                        o->pipeline.driver = SLUICE_DRIVER_COPY;
                        break;
                case OPT_FORBID:
                        o->pipeline.flags |= SLUICE_FORBID_COPY;
                        break;
                case OPT_TIMEOUT:
                        if (sluice_parse_duration(optarg, &o->pipeline.timeout_ms) < 0 || o->pipeline.timeout_ms == 0)
                                r = usage_error("run", "--timeout= is a duration (500ms, 2s, 1.5m), not '%s'", optarg);
                        break;
                case 'v':
                        o->verbose = true;
                        break;
                case 'h':
                        help();
                        return ASKED_FOR_HELP;
                case ':':
                        r = usage_error("run", "option '%s' needs a value", argv[optind - 1]);
                        break;
                default:
                        r = usage_error("run", "no option '%s'", argv[optind - 1]);
                        break;
                }
        }
        if (r)
                return r;
        if (argc - optind != 1)
                return wrong_words("run", argc - optind, argv + optind);
        o->text = argv[optind];
        if (o->pipeline.flags & SLUICE_FORBID_COPY && o->pipeline.driver == SLUICE_DRIVER_COPY)
                return usage_error("run", "--forbid-copy and copying exclude each other");
        return 0;
}

/* A mistake in the pipeline's text, or in what stands where: marked under the text. */
static int build_failed(struct sluice_pipeline *p, const char *text, const struct language_result *where)
{
        int stage = sluice_pipeline_error_stage(p);
        struct language_error e = { 0 };

        snprintf(e.message, sizeof(e.message), "%s", sluice_pipeline_error(p));
        if (stage >= 0 && stage < where->stages_nr) {
                e.column = where->column[stage];
                e.width = where->width[stage];
        }
        language_print_error(text, &e);
        return EXIT_USAGE;
}

static int status_of_failure(const struct sluice_failure *f)
{
        if (f->exit_status > 0)
                return f->exit_status;
        if (f->signal)
                return EXIT_SIGNAL + f->signal;
        if (strcmp(f->operation, "port") == 0)
                return EXIT_USAGE; /* only the resolver knows the services' names */
        if (f->error == -EPIPE && strcmp(f->stage_name, "stdout") == 0)
                return EXIT_SIGNAL + SIGPIPE; /* what any filter ends with when the reader of its output has gone */
        if (strcmp(f->operation, "find") == 0 || strcmp(f->operation, "exec") == 0)
                return f->error == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
        return EXIT_STAGE;
}

static int exit_status(const struct sluice_pipeline *p, int result)
{
        struct sluice_failure f;

        if (job_signal())
                return EXIT_SIGNAL + job_signal();
        if (result == 0)
                return EXIT_OK;
        if (result == -ETIMEDOUT && sluice_pipeline_error_stage(p) < 0)
                return EXIT_DEADLINE;
        return sluice_pipeline_failures(p, &f, 1) > 0 ? status_of_failure(&f) : EXIT_STAGE;
}

struct outcome {
        bool over;
        int result;
};

static void over(void *arg, int result)
{
        *(struct outcome *)arg = (struct outcome){ true, result };
}

static int run_on_loop(struct sluice_pipeline *p, struct sluice_cancel *cancel, bool show_progress, int *ret_result)
{
        const struct sluice_loop_options lo = { .size = sizeof(lo), .exclusive = 1 };
        struct outcome outcome = { 0 };
        struct progress *progress;
        struct sluice_loop *loop;
        int r = sluice_loop_new(&loop, &lo);

        if (r < 0)
                return r;
        job_begin(loop, cancel);
        progress = progress_new(p, show_progress);
        r = sluice_pipeline_start(p, loop, over, &outcome);
        while (r >= 0 && !outcome.over) {
                job_step(p);
                r = sluice_loop_turn(loop, progress ? 100 : -1);
                progress_tick(progress);
        }
        progress_end(progress, outcome.over && outcome.result == 0);
        job_end();
        *ret_result = outcome.result;
        if (r >= 0 || outcome.over)
                sluice_loop_free(loop);
        return outcome.over ? 0 : r;
}

/* A line that is redrawn belongs on a terminal, but not on one that the pipeline itself writes or is typed into. */
static bool wants_progress(const struct run_options *o, const struct language_result *where)
{
        if (o->progress >= 0)
                return o->progress;
        return isatty(STDERR_FILENO) && !(where->uses_stdin && isatty(STDIN_FILENO)) &&
               !(where->uses_stdout && isatty(STDOUT_FILENO));
}

static int run_pipeline(struct sluice_pipeline *p, struct sluice_cancel *cancel, const struct run_options *o)
{
        struct language_result where;
        struct language_error e = { 0 };
        struct sluice_failure first;
        int r, result = 0, status;

        r = language_build(p, o->text, &where, &e);
        if (r == -EINVAL && e.message[0]) {
                language_print_error(o->text, &e);
                return EXIT_USAGE;
        }
        if (r == 0)
                r = sluice_pipeline_build(p);
        if (r < 0 && sluice_pipeline_error(p)[0])
                return build_failed(p, o->text, &where);
        if (r == 0)
                r = run_on_loop(p, cancel, wants_progress(o, &where), &result);
        if (r < 0) {
                fprintf(stderr, "sluice: %s\n", strerror(-r));
                return EXIT_STAGE;
        }
        status = exit_status(p, result);
        if (status == EXIT_USAGE && sluice_pipeline_failures(p, &first, 1) > 0 && strcmp(first.operation, "port") == 0)
                build_failed(p, o->text, &where);
        else if (result < 0 && !job_signal())
                fprintf(stderr, "sluice: %s\n", sluice_pipeline_error(p));
        if (o->verbose)
                report_links(stderr, p);
        if (o->json)
                report_json(where.uses_stdout ? stderr : stdout, p, status);
        return status;
}

int run_main(int argc, char **argv)
{
        struct run_options o = {
                .pipeline = { .size = sizeof(o.pipeline),
                              .flags = SLUICE_PROCESS_GROUP | SLUICE_TERMINAL | SLUICE_DIE_WITH_PARENT | SLUICE_STDERR_FORWARD },
                .progress = -1,
        };
        struct sluice_pipeline *p;
        int r = read_options(argc, argv, &o);

        if (r)
                return r == ASKED_FOR_HELP ? EXIT_OK : r;
        r = sluice_cancel_new(&o.pipeline.cancel);
        if (r == 0)
                r = sluice_pipeline_new(&p, &o.pipeline);
        if (r < 0) {
                fprintf(stderr, "sluice: %s\n", strerror(-r));
                return EXIT_STAGE;
        }
        r = run_pipeline(p, o.pipeline.cancel, &o);
        sluice_pipeline_free(p);
        sluice_cancel_unref(o.pipeline.cancel);
        return r;
}
