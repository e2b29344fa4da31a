/* tools/exec.c: `sluice exec`: one command, with all that descends from it, as a tree that ends as one. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "supervise.h"

enum { ASKED_FOR_HELP = -1 };

struct exec_options {
        struct supervise common;
        bool keepalive, json;
        char **argv;
};

static void help(void)
{
        fputs("Usage: sluice exec [OPTIONS] -- COMMAND [ARGUMENT...]\n"
              "\n"
              "Runs a command as a supervised tree: when it ends, or is ended, nothing of it lives on, whatever\n"
              "its descendants do to hide. It has this process's standard streams.\n"
              "\n"
              "  --keepalive-stdin           read and discard standard input; its end ends the tree. The command's own\n"
              "                              is /dev/null. Whoever starts us cancels by closing a pipe, or by dying\n"
              "  --deadline=DURATION         end the tree after 500ms, 2s, 1.5m, ...: exit status 124\n"
              "  --max-memory=SIZE           kill the tree beyond SIZE (of all its processes): exit status 125\n",
              stdout);
        fputs(supervise_help, stdout);
        puts("  --json                      one JSON object on stderr at the end\n"
             "  -h, --help                  this text\n"
             "\n"
             "Exit status: the command's own, also when it was told to end; 128+N when signal N ended it;\n"
             "124 deadline; 125 memory limit; 126 not executable; 127 not found; 1 anything else failed; 2 usage.");
}

static int read_options(int argc, char **argv, struct exec_options *o)
{
        enum { OPT_KEEPALIVE = 256, OPT_DEADLINE, OPT_JSON };
        static const struct option table[] = {
                { "keepalive-stdin", no_argument, NULL, OPT_KEEPALIVE },
                { "deadline", required_argument, NULL, OPT_DEADLINE },
                { "json", no_argument, NULL, OPT_JSON },
                { "help", no_argument, NULL, 'h' },
                SUPERVISE_OPTIONS,
                { 0 },
        };
        int c, r = supervise_environment(&o->common, "exec");

        opterr = 0;
        while (r == 0 && (c = getopt_long(argc, argv, "+:h", table, NULL)) != -1) {
                switch (c) {
                case OPT_KEEPALIVE:
                        o->keepalive = true;
                        break;
                case OPT_DEADLINE:
                        if (sluice_parse_duration(optarg, &o->common.pipeline.timeout_ms) < 0 || o->common.pipeline.timeout_ms == 0)
                                r = usage_error("exec", "--deadline= is a duration (500ms, 2s, 1.5m), not '%s'", optarg);
                        break;
                case OPT_JSON:
                        o->json = true;
                        break;
                case 'h':
                        help();
                        return ASKED_FOR_HELP;
                case ':':
                        r = usage_error("exec", "option '%s' needs a value", argv[optind - 1]);
                        break;
                default:
                        r = supervise_option(&o->common, "exec", c, optarg, true);
                        if (r < 0)
                                r = usage_error("exec", "no option '%s' (the command's own options come after '--')",
                                                argv[optind - 1]);
                        break;
                }
        }
        if (r)
                return r;
        if (optind == argc)
                return usage_error("exec", "no command: sluice exec [OPTIONS] -- COMMAND [ARGUMENT...]");
        o->argv = argv + optind;
        return 0;
}

/* Standard input and output are lent, not moved; what is closed here the command has as /dev/null. */
static int build(struct sluice_pipeline *p, const struct exec_options *o, int *ret_command)
{
        int r = 0;

        if (!o->keepalive && standard_is_open(STDIN_FILENO))
                r = sluice_add_fd(p, STDIN_FILENO, SLUICE_REPLACE);
        if (r >= 0)
                r = *ret_command = sluice_add_command(p, o->argv, &o->common.command);
        if (r >= 0 && standard_is_open(STDOUT_FILENO))
                r = sluice_add_fd(p, STDOUT_FILENO, SLUICE_REPLACE);
        return r < 0 ? r : sluice_pipeline_chain(p);
}

/* However it was ended, its own answer is the answer; where it gave none, or is not asked for it, what we did. */
static int status_of(const struct sluice_pipeline *p, int command, int result)
{
        struct sluice_stage_result s = { .size = sizeof(s) };
        int status = supervise_status(p, result);

        if (status == EXIT_DEADLINE || job_signal() || result != -ECANCELED)
                return status;
        if (sluice_pipeline_stage_result(p, command, &s) < 0 || !s.known)
                return status;
        return s.signal ? EXIT_SIGNAL + s.signal : s.exit_status;
}

static int supervise(struct sluice_pipeline *p, const struct exec_options *o)
{
        int command, result = 0, status, r = build(p, o, &command);

        if (r >= 0)
                r = supervise_run(p, &o->common, false, &result);
        if (r < 0) {
                fprintf(stderr, "sluice: %s\n", sluice_pipeline_error(p)[0] ? sluice_pipeline_error(p) : strerror(-r));
                return EXIT_STAGE;
        }
        status = status_of(p, command, result);
        /* What the command says of itself by its status is its own business. */
        if (result < 0 && result != -ECHILD && result != -ECANCELED && !job_signal())
                fprintf(stderr, "sluice: %s\n", sluice_pipeline_error(p));
        if (o->json)
                report_json(stderr, p, status);
        return status;
}

int exec_main(int argc, char **argv)
{
        struct exec_options o = { 0 };
        struct sluice_pipeline *p = NULL;
        int r;

        supervise_init(&o.common, SLUICE_PROCESS_GROUP | SLUICE_TERMINAL | SLUICE_STDERR_INHERIT | SLUICE_EARLY_EXIT_OK);
        r = read_options(argc, argv, &o);
        if (r)
                return r == ASKED_FOR_HELP ? EXIT_OK : r;
        r = sluice_cancel_new(&o.common.pipeline.cancel);
        if (r == 0 && o.keepalive && standard_is_open(STDIN_FILENO))
                r = sluice_cancel_on_fd_eof(o.common.pipeline.cancel, STDIN_FILENO);
        else if (r == 0 && o.keepalive)
                return usage_error("exec", "--keepalive-stdin: standard input is closed");
        if (r == 0)
                r = sluice_pipeline_new(&p, &o.common.pipeline);
        if (r < 0) {
                fprintf(stderr, "sluice: %s\n", strerror(-r));
                return EXIT_STAGE;
        }
        r = supervise(p, &o);
        sluice_pipeline_free(p);
        sluice_cancel_unref(o.common.pipeline.cancel);
        return r;
}
