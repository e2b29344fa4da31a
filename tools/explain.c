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
             "Draws the graph, where it is more than a chain, and prints a line for each link: the mode it would move\n"
             "by, and why. Nothing is opened or run:\n"
             "'sluice run -v' says afterwards what each link did.\n"
             "\n"
             "  --json       one JSON object\n"
             "  --dot        the graph, for graphviz: sluice explain --dot '...' | dot -Tsvg >graph.svg\n"
             "  -h, --help   this text\n"
             "\n"
             "Modes, cheapest first: direct (the process gets the descriptor itself), pipe (a kernel pipe joins two\n"
             "processes), splice (inside the kernel), cross (copied once through a buffer).");
}

/* Of a pipeline, and of what its stages run copies of. */
static void explain_people(FILE *out, const struct sluice_pipeline *p)
{
        draw_graph(out, p);
        report_links(out, p);
        for (int i = 0; i < sluice_pipeline_stages(p); i++) {
                struct sluice_pipeline *inside;
                int copies = sluice_pipeline_inside(p, i, &inside);

                if (copies <= 0)
                        continue;
                fprintf(out, "\ninside %s, up to %d at once:\n", sluice_pipeline_stage_name(p, i), copies);
                explain_people(out, inside);
                sluice_pipeline_free(inside);
        }
}

static int explain(struct sluice_pipeline *p, const char *text, void (*print)(FILE *, const struct sluice_pipeline *))
{
        struct language_result where;
        int r = language_build_whole(p, text, &where);

        if (r)
                return r;
        print(stdout, p);
        return EXIT_OK;
}

int explain_main(int argc, char **argv)
{
        static const struct option table[] = {
                { "json", no_argument, NULL, 'j' }, { "dot", no_argument, NULL, 'd' }, { "help", no_argument, NULL, 'h' }, { 0 }
        };
        struct sluice_pipeline *p;
        void (*print)(FILE *, const struct sluice_pipeline *) = explain_people;
        int c, r;

        opterr = 0;
        while (!is_pipeline(argc, argv, optind) && (c = getopt_long(argc, argv, "+h", table, NULL)) != -1) {
                if (c == 'h') {
                        help();
                        return EXIT_OK;
                }
                if (c != 'j' && c != 'd')
                        return usage_error("explain", "no option '%s'", argv[optind - 1]);
                if (print != explain_people && print != (c == 'j' ? explain_json : explain_dot))
                        return usage_error("explain", "--json and --dot exclude each other");
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
