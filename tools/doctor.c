/* tools/doctor.c: `sluice doctor`: what this machine allows, and the cure where something is amiss. */
#include <getopt.h>
#include <jansson.h>
#include <string.h>

#include "tools.h"

static void help(void)
{
        puts("Usage: sluice doctor [--json]\n"
             "\n"
             "Says what this kernel, its limits and seccomp allow: io_uring and its features, pipe sizes and quota,\n"
             "whether splice shares pages, how processes are held together, locked memory, NUMA nodes, large\n"
             "pages. Each with the cure where something is amiss.\n"
             "\n"
             "  --json       one JSON object\n"
             "  -h, --help   this text\n"
             "\n"
             "Exit status: 0; 1 when something is amiss.");
}

struct findings {
        json_t *list; /* NULL: print */
        bool amiss;
};

static const char *const marks[] = { [SLUICE_GOOD] = "ok", [SLUICE_NOTE] = "note", [SLUICE_AMISS] = "AMISS" };

static void finding(void *arg, const struct sluice_finding *f)
{
        struct findings *all = arg;

        all->amiss |= f->health == SLUICE_AMISS;
        if (all->list) {
                json_array_append_new(all->list, json_pack("{s:s,s:s,s:s,s:s}", "subject", f->subject, "health", marks[f->health],
                                                           "value", f->value, "cure", f->cure));
                return;
        }
        printf("%-6s %-20s %s\n", marks[f->health], f->subject, f->value);
        if (f->cure[0])
                printf("%-6s %-20s cure: %s\n", "", "", f->cure);
}

int doctor_main(int argc, char **argv)
{
        static const struct option table[] = { { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 } };
        struct findings all = { 0 };
        int c;

        opterr = 0;
        while ((c = getopt_long(argc, argv, "+h", table, NULL)) != -1) {
                if (c == 'h') {
                        help();
                        return EXIT_OK;
                }
                if (c != 'j')
                        return usage_error("doctor", "no option '%s'", argv[optind - 1]);
                all.list = json_array();
        }
        if (argc != optind)
                return usage_error("doctor", "doctor takes no arguments");
        sluice_doctor(finding, &all);
        if (all.list) {
                json_t *j = json_pack("{s:b,s:o}", "amiss", all.amiss, "findings", all.list);

                json_dumpf(j, stdout, JSON_COMPACT);
                putchar('\n');
                json_decref(j);
        }
        return all.amiss ? EXIT_STAGE : EXIT_OK;
}
