/* tools/bench.c: `sluice bench`: what is to be measured. bench_rounds.c does it. */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervise.h"
#include "tools.h"

enum { ASKED_FOR_HELP = -1, PAIRS_DEFAULT = 10, PAIRS_MAX = 1000000 };

static void help(void)
{
        fputs("Usage: sluice bench [OPTIONS] 'PIPELINE' [--vs 'SHELL COMMAND']\n"
              "\n"
              "Runs a pipeline by 'sluice run', and what you use today by 'sh -c', in turn and in an order that changes;\n"
              "looks whether they give the same; then says what each takes. The pipeline is also compared with itself:\n"
              "that is the noise.\n"
              "\n"
              "  --vs=COMMAND                what to compare with; may stand behind the pipeline\n"
              "  --pairs=N                   how often each is measured, after one run that does not count; default 10;\n"
              "                              fewer than 6 give no ratio\n"
              "  --input=FILE                standard input of both, opened anew for each run; default: /dev/null\n"
              "  --output=PATH               a file that both make, which is to be the same; may be repeated; default: the\n"
              "                              files that the pipeline ends in. It is made anew in each run, and removed\n"
              "  --overwrite                 also if it exists; it is then left as the last run has made it\n"
              "  --no-verify                 take time though outputs may differ\n"
              "  --bytes=SIZE                how much it moves, for GiB/s; default: what the pipeline itself has counted\n",
              stdout);
        fputs("  --json                      one JSON object with every sample\n"
              "  --driver=auto|inline|ring|copy, --backend=auto|uring|epoll\n"
              "                              as for 'sluice run'\n"
              "  -h, --help                  this text\n"
              "\n"
              "Standard output is a pipe that is read and thrown away, for both alike.\n"
              "\n"
              "Exit status: 0; 1 outputs differ, or a run failed; 2 usage; 128+N ended by signal N.\n",
              stdout);
}

/* ---- options ---- */

static int read_size(const char *text, uint64_t *ret)
{
        int64_t bytes;

        if (sluice_parse_bytes(text, &bytes) < 0 || bytes == 0)
                return usage_error("bench", "--bytes= is a number of bytes (64M, 1.5G), not '%s'", text);
        *ret = (uint64_t)bytes;
        return 0;
}

static int read_pairs(const char *text, size_t *ret)
{
        char *end;
        unsigned long value;

        errno = 0;
        value = strtoul(text, &end, 10);
        if (errno || *end || *text < '0' || *text > '9' || value == 0 || value > PAIRS_MAX)
                return usage_error("bench", "--pairs= is a number from 1 to %d, not '%s'", PAIRS_MAX, text);
        *ret = value;
        return 0;
}

/* The same check as in `run`, so that a mistake is found before anything is started. */
static int read_driver(struct bench *b, const char *value)
{
        enum sluice_driver driver;

        snprintf(b->driver, sizeof(b->driver), "--driver=%s", value);
        return supervise_driver("bench", value, &driver);
}

static int read_backend(struct bench *b, char *value)
{
        struct supervise checked;

        supervise_init(&checked, 0);
        snprintf(b->backend, sizeof(b->backend), "--backend=%s", value);
        return supervise_option(&checked, "bench", OPT_BACKEND, value, false);
}

static int read_input(struct bench *b, const char *path)
{
        b->input = path;
        return access(path, R_OK) == 0 ? 0 : usage_error("bench", "--input=%s: %s", path, strerror(errno));
}

enum { OPT_VS = 256, OPT_PAIRS, OPT_INPUT, OPT_OUTPUT, OPT_OVERWRITE, OPT_NO_VERIFY, OPT_BYTES, OPT_JSON, OPT_DRIVER };

static const struct option options[] = {
        { "vs", required_argument, NULL, OPT_VS },
        { "pairs", required_argument, NULL, OPT_PAIRS },
        { "input", required_argument, NULL, OPT_INPUT },
        { "output", required_argument, NULL, OPT_OUTPUT },
        { "overwrite", no_argument, NULL, OPT_OVERWRITE },
        { "no-verify", no_argument, NULL, OPT_NO_VERIFY },
        { "bytes", required_argument, NULL, OPT_BYTES },
        { "json", no_argument, NULL, OPT_JSON },
        { "driver", required_argument, NULL, OPT_DRIVER },
        { "backend", required_argument, NULL, OPT_BACKEND },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

/* `word`: as it was written. */
static int read_option(struct bench *b, int option, char *value, const char *word)
{
        switch (option) {
        case OPT_VS:
                b->peer = value;
                return 0;
        case OPT_PAIRS:
                return read_pairs(value, &b->pairs);
        case OPT_INPUT:
                return read_input(b, value);
        case OPT_OUTPUT:
                return bench_files_add(b, value);
        case OPT_OVERWRITE:
                b->overwrite = true;
                return 0;
        case OPT_NO_VERIFY:
                b->verify = false;
                return 0;
        case OPT_BYTES:
                return read_size(value, &b->bytes);
        case OPT_JSON:
                b->json = true;
                return 0;
        case OPT_DRIVER:
                return read_driver(b, value);
        case OPT_BACKEND:
                return read_backend(b, value);
        case 'h':
                help();
                return ASKED_FOR_HELP;
        case ':':
                return usage_error("bench", "option '%s' needs a value", word);
        default:
                return usage_error("bench", "no option '%s'", word);
        }
}

static int read_options(int argc, char **argv, struct bench *b)
{
        struct supervise checked = { 0 };
        int c, r = supervise_environment(&checked, "bench");

        opterr = 0;
        while (r == 0 && !is_pipeline(argc, argv, optind) && (c = getopt_long(argc, argv, "+:h", options, NULL)) != -1)
                r = read_option(b, c, optarg, argv[optind - 1]);
        if (r)
                return r;
        if (optind == argc)
                return usage_error("bench", "no pipeline");
        /* What stands behind it is read anew: getopt would go back to a pipeline that followed "--". */
        argc -= optind;
        argv += optind;
        optind = 0;
        b->pipeline = argv[0];
        while (r == 0 && (c = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
                if (c != OPT_VS && c != ':' && c != '?')
                        return usage_error("bench", "options but --vs come before the pipeline: '%s'", argv[optind - 1]);
                r = read_option(b, c, optarg, argv[optind - 1]);
        }
        if (r == 0 && optind < argc)
                return usage_error("bench", "one pipeline, in quotes: the shell took yours apart");
        b->sides_nr = b->peer ? 3 : 2;
        return r;
}

int bench_main(int argc, char **argv)
{
        struct bench b = { .pairs = PAIRS_DEFAULT, .verify = true };
        int r = read_options(argc, argv, &b);

        if (r == 0)
                r = bench_files_find(&b);
        if (r == 0)
                r = bench_files_protect(&b);
        if (r == 0) {
                r = bench_rounds(&b);
                if (b.json)
                        bench_report_json(stdout, &b, r);
                else if (r == 0)
                        bench_report(stdout, &b);
        }
        bench_files_free(&b);
        free(b.samples);
        return r == ASKED_FOR_HELP ? EXIT_OK : r;
}
