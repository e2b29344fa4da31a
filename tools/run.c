/* tools/run.c: `sluice run`: a pipeline, its progress, its report, its exit status. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervise.h"

enum { ASKED_FOR_HELP = -1 };

struct run_options {
        struct supervise common;
        bool json, verbose;
        int progress; /* -1: as it seems fit */
        const char *text;
};

static void help(void)
{
        fputs("Usage: sluice run [OPTIONS] 'PIPELINE'\n"
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
              "  --buffers=SIZE              what buffers between functions may hold, 1G unless said otherwise\n"
              "  --timeout=DURATION          end everything after 500ms, 2s, 1.5m, ...: exit status 124\n"
              "  --pipefail                  a command that SIGPIPE ends counts, though its reader had enough: 141\n"
              "  --fail-fast                 the first failure ends the rest\n"
              "  --max-memory=STAGE:SIZE     kill a command (its number among the stages from 1, or its name) with its\n"
              "                              descendants beyond SIZE: exit status 125; may be repeated",
              stdout);
        puts("");
        fputs(supervise_help, stdout);
        puts("  -v, --verbose               afterwards, how each stage ended and each link moved its bytes\n"
             "  -h, --help                  this text\n"
             "\n"
             "Exit status: 0; a failing command's own; 1 a stage of sluice failed; 2 usage; 124 deadline;\n"
             "125 memory limit; 126 not executable; 127 command not found; 128+N ended by signal N.");
}

static int read_buffers(const char *text, uint64_t *ret)
{
        int64_t bytes;

        if (sluice_parse_bytes(text, &bytes) < 0 || bytes == 0)
                return usage_error("run", "--buffers= is a number of bytes (64M, 1.5G), not '%s'", text);
        *ret = (uint64_t)bytes;
        return 0;
}

static int read_options(int argc, char **argv, struct run_options *o)
{
        struct sluice_options *pipeline = &o->common.pipeline;
        enum {
                OPT_PROGRESS = 256,
                OPT_NO_PROGRESS,
                OPT_JSON,
                OPT_DRIVER,
                OPT_NO_SPLICE,
                OPT_FORBID,
                OPT_TIMEOUT,
                OPT_BUFFERS,
                OPT_PIPEFAIL,
                OPT_FAIL_FAST
        };
        static const struct option table[] = {
                { "progress", no_argument, NULL, OPT_PROGRESS },
                { "no-progress", no_argument, NULL, OPT_NO_PROGRESS },
                { "json", no_argument, NULL, OPT_JSON },
                { "driver", required_argument, NULL, OPT_DRIVER },
                { "no-splice", no_argument, NULL, OPT_NO_SPLICE },
                { "forbid-copy", no_argument, NULL, OPT_FORBID },
                { "timeout", required_argument, NULL, OPT_TIMEOUT },
                { "buffers", required_argument, NULL, OPT_BUFFERS },
                { "pipefail", no_argument, NULL, OPT_PIPEFAIL },
                { "fail-fast", no_argument, NULL, OPT_FAIL_FAST },
                SUPERVISE_OPTIONS,
                { "verbose", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        int c, r = supervise_environment(&o->common, "run");

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
                        r = supervise_driver("run", optarg, &pipeline->driver);
                        break;
                case OPT_NO_SPLICE:
                        pipeline->driver = SLUICE_DRIVER_COPY;
                        break;
                case OPT_FORBID:
                        pipeline->flags |= SLUICE_FORBID_COPY;
                        break;
                case OPT_TIMEOUT:
                        if (sluice_parse_duration(optarg, &pipeline->timeout_ms) < 0 || pipeline->timeout_ms == 0)
                                r = usage_error("run", "--timeout= is a duration (500ms, 2s, 1.5m), not '%s'", optarg);
                        break;
                case OPT_BUFFERS:
                        r = read_buffers(optarg, &pipeline->buffers_bytes);
                        break;
                case OPT_PIPEFAIL:
                        pipeline->flags &= ~(unsigned)SLUICE_EARLY_EXIT_OK;
                        break;
                case OPT_FAIL_FAST:
                        pipeline->flags |= SLUICE_FAIL_FAST;
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
                        r = supervise_option(&o->common, "run", c, optarg, false);
                        if (r < 0)
                                r = usage_error("run", "no option '%s'", argv[optind - 1]);
                        break;
                }
        }
        if (r)
                return r;
        if (argc - optind != 1)
                return wrong_words("run", argc - optind, argv + optind);
        o->text = argv[optind];
        if (pipeline->flags & SLUICE_FORBID_COPY && pipeline->driver == SLUICE_DRIVER_COPY)
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

/* A line that is redrawn belongs on a terminal, but not on one that the pipeline itself writes or is typed into. */
static bool wants_progress(const struct run_options *o, const struct language_result *where)
{
        if (o->progress >= 0)
                return o->progress;
        return isatty(STDERR_FILENO) && !(where->uses_stdin && isatty(STDIN_FILENO)) &&
               !(where->uses_stdout && isatty(STDOUT_FILENO));
}

static int run_pipeline(struct sluice_pipeline *p, const struct run_options *o)
{
        const struct language_commands commands = { &o->common.command, o->common.limits, o->common.limits_nr };
        struct language_result where;
        struct language_error e = { 0 };
        struct sluice_failure first;
        int r, result = 0, status;

        r = language_build(p, o->text, &commands, &where, &e);
        if (r == -ENOENT)
                return usage_error("run", "%s", e.message);
        if (r == -EINVAL && e.message[0]) {
                language_print_error(o->text, &e);
                return EXIT_USAGE;
        }
        if (r == 0)
                r = sluice_pipeline_build(p);
        if (r < 0 && sluice_pipeline_error(p)[0])
                return build_failed(p, o->text, &where);
        if (r == 0)
                r = supervise_run(p, &o->common, wants_progress(o, &where), &result);
        if (r < 0) {
                fprintf(stderr, "sluice: %s\n", strerror(-r));
                return EXIT_STAGE;
        }
        status = supervise_status(p, result);
        if (status == EXIT_USAGE && sluice_pipeline_failures(p, &first, 1) > 0 && strcmp(first.operation, "port") == 0)
                build_failed(p, o->text, &where);
        else if (result < 0 && !job_signal())
                fprintf(stderr, "sluice: %s\n", sluice_pipeline_error(p));
        if (!o->json)
                report_reports(stderr, p);
        if (o->verbose) {
                report_stages(stderr, p);
                report_links(stderr, p);
                report_processes(stderr, p);
                report_backend(stderr, p);
        }
        if (o->json)
                report_json(where.uses_stdout ? stderr : stdout, p, status);
        return status;
}

int run_main(int argc, char **argv)
{
        struct run_options o = { .progress = -1 };
        struct sluice_pipeline *p = NULL;
        int r;

        supervise_init(&o.common, SLUICE_PROCESS_GROUP | SLUICE_TERMINAL | SLUICE_STDERR_FORWARD | SLUICE_EARLY_EXIT_OK);
        r = read_options(argc, argv, &o);
        if (r)
                return r == ASKED_FOR_HELP ? EXIT_OK : r;
        r = sluice_cancel_new(&o.common.pipeline.cancel);
        if (r == 0)
                r = sluice_pipeline_new(&p, &o.common.pipeline);
        if (r < 0) {
                fprintf(stderr, "sluice: %s\n", strerror(-r));
                return EXIT_STAGE;
        }
        r = run_pipeline(p, &o);
        sluice_pipeline_free(p);
        sluice_cancel_unref(o.common.pipeline.cancel);
        return r;
}
