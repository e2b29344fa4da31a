/* tests/cost/main.c: runs a case twice, over fewer and over more bytes, and says what was counted at the seam; under callgrind it
 * gives the cost of each run to a file of its own, "small" and "large". guard.py takes the difference: what a MiB or a message
 * costs, without what a run costs once. A run before those two pays what the process pays once ("once"). */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cases.h"

static int usage(void)
{
        fprintf(stderr, "usage: cost [--list | [--wasteful] CASE]\n");
        return 2;
}

static int list(void)
{
        for (unsigned i = 0; i < cost_cases_nr; i++)
                printf("%s\n", cost_cases[i].name);
        return 0;
}

static const struct cost_case *find(const char *name)
{
        for (unsigned i = 0; i < cost_cases_nr; i++)
                if (strcmp(cost_cases[i].name, name) == 0)
                        return &cost_cases[i];
        return NULL;
}

static void measure(const struct cost_case *c, const char *name, uint64_t units, bool wasteful)
{
        struct seam_counts n = cost_run(c, units, wasteful);

        printf("%s %s %llu calls %llu operations %llu\n", name, c->message_bytes ? "message" : "mib", (unsigned long long)units,
               (unsigned long long)n.calls, (unsigned long long)n.operations);
        seam_dump(name);
}

int main(int argc, char **argv)
{
        static const struct option options[] = { { "list", no_argument, NULL, 'l' },
                                                 { "wasteful", no_argument, NULL, 'w' },
                                                 { 0 } };
        const struct cost_case *c;
        bool wasteful = false;
        int o;

        while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                if (o == 'l')
                        return list();
                if (o != 'w')
                        return usage();
                wasteful = true;
        }
        c = optind == argc - 1 ? find(argv[optind]) : NULL;
        if (!c)
                return usage();
        if (!seam_can_collect())
                printf("built without valgrind/callgrind.h\n");
        cost_run(c, c->units_small, wasteful);
        seam_dump("once");
        measure(c, "small", c->units_small, wasteful);
        measure(c, "large", c->units_large, wasteful);
        return 0;
}
