/* tools/explain.c: `sluice explain`: how each link would move, and why; nothing is opened. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "language.h"
#include "tools.h"

static void help(void)
{
        puts("Usage: sluice explain [--json | --dot] 'PIPELINE'\n"
             "\n"
             "Prints a line for each link: the mode it would move by, and why. Nothing is opened or run:\n"
             "'sluice run -v' says afterwards what each link did.\n"
             "\n"
             "  --json       one JSON object\n"
             "  --dot        the graph, for graphviz: sluice explain --dot '...' | dot -Tsvg >graph.svg\n"
             "  -h, --help   this text\n"
             "\n"
             "Modes, cheapest first: direct (the process gets the descriptor itself), pipe (a kernel pipe joins two\n"
             "processes), splice (inside the kernel), cross (copied once through a buffer).");
}

static int explain(struct sluice_pipeline *p, const char *text, void (*print)(FILE *, const struct sluice_pipeline *))
{
        struct language_result where;
        struct language_error e = { 0 };
        int r = language_build(p, text, NULL, &where, &e);

        if (r == 0) {
                r = sluice_pipeline_build(p);
                snprintf(e.message, sizeof(e.message), "%s", sluice_pipeline_error(p));
                if (r < 0 && sluice_pipeline_error_stage(p) >= 0) {
                        e.column = where.column[sluice_pipeline_error_stage(p)];
                        e.width = where.width[sluice_pipeline_error_stage(p)];
                }
        }
        if (r < 0) {
                if (!e.message[0])
                        snprintf(e.message, sizeof(e.message), "%s", strerror(-r));
                language_print_error(text, &e);
                return EXIT_USAGE;
        }
        print(stdout, p);
        return EXIT_OK;
}

int explain_main(int argc, char **argv)
{
        static const struct option table[] = {
                { "json", no_argument, NULL, 'j' }, { "dot", no_argument, NULL, 'd' }, { "help", no_argument, NULL, 'h' }, { 0 }
        };
        struct sluice_pipeline *p;
        void (*print)(FILE *, const struct sluice_pipeline *) = report_links;
        int c, r;

        opterr = 0;
        while (!is_pipeline(argc, argv, optind) && (c = getopt_long(argc, argv, "+h", table, NULL)) != -1) {
                if (c == 'h') {
                        help();
                        return EXIT_OK;
                }
                if (c != 'j' && c != 'd')
                        return usage_error("explain", "no option '%s'", argv[optind - 1]);
                print = c == 'j' ? explain_json : explain_dot;
        }
        if (argc - optind != 1)
                return usage_error("explain",
                                   argc == optind ? "no pipeline" : "one pipeline, in quotes: the shell took yours apart");
        r = sluice_pipeline_new(&p, NULL);
        if (r < 0) {
                fprintf(stderr, "sluice: %s\n", strerror(-r));
                return EXIT_STAGE;
        }
        r = explain(p, argv[optind], print);
        sluice_pipeline_free(p);
        return r;
}
