/* tools/main.c: the sluice command: a table of subcommands. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools.h"

static const struct subcommand subcommands[] = {
        { "run", "run a pipeline", run_main },
        { "exec", "run one command as a supervised tree, of which nothing is left behind", exec_main },
        { "relay", "pass connections on to an address", relay_main },
        { "explain", "say how each link of a pipeline would move its bytes, and why", explain_main },
        { "bench", "measure a pipeline, and compare it with the shell's way to do the same", bench_main },
        { "doctor", "say what this kernel and its limits allow, with the cure where something is amiss", doctor_main },
};

int usage_error(const char *subcommand, const char *format, ...)
{
        va_list args;

        fputs("sluice: ", stderr);
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fprintf(stderr, "\nTry 'sluice%s%s --help'.\n", subcommand ? " " : "", subcommand ? subcommand : "");
        return EXIT_USAGE;
}

int wrong_words(const char *subcommand, int nr, char **words)
{
        if (nr == 0)
                return usage_error(subcommand, "no pipeline");
        for (int i = 1; i < nr; i++)
                if (words[i][0] == '-' && words[i][1])
                        return usage_error(subcommand, "options come before the pipeline: '%s'", words[i]);
        return usage_error(subcommand, "one pipeline, in quotes: the shell took yours apart");
}

bool is_pipeline(int argc, char **argv, int index)
{
        return index < argc && argv[index][0] == '-' && (argv[index][1] == '|' || isspace((unsigned char)argv[index][1]));
}

int size_text(unsigned long long bytes, char *buf, size_t cap)
{
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
        double value = (double)bytes;
        size_t unit = 0;

        while (value >= 1024 && unit < 5) {
                value /= 1024;
                unit++;
        }
        return snprintf(buf, cap,
                        unit == 0     ? "%.0f %s"
                        : value < 10  ? "%.2f %s"
                        : value < 100 ? "%.1f %s"
                                      : "%.0f %s",
                        value, units[unit]);
}

static void help(void)
{
        const struct sluice_stage_type *t;

        puts("Usage: sluice SUBCOMMAND [OPTIONS] ...\n"
             "       sluice help [SUBCOMMAND]    the same as SUBCOMMAND --help; without one, or as -h or --help, this text\n"
             "       sluice -V, --version        its version\n"
             "\n"
             "sluice moves bytes between files, processes and sockets at the speed of the kernel.\n"
             "You declare a pipeline; each link is moved the cheapest way its two sides allow.\n"
             "\n"
             "Subcommands:");
        for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
                printf("  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
        puts("\n"
             "A pipeline is stages joined by '|': a command with its arguments (no shell is involved),\n"
             "'-' (standard input or output), or one of:");
        for (size_t i = 0; (t = sluice_stage_type(i)); i++)
                printf("  %-14s %s\n", t->name, t->summary);
        puts("\n"
             "and, of pipelines in parentheses:\n"
             "  tee(A, B)      every branch gets every byte; it ends its pipeline; tee-strict(: one failure ends all\n"
             "  merge(A, B)    what all branches give, line by line; it begins its pipeline; merge-raw(, merge-turns(\n"
             "  concat(A, B)   the first branch to its end, then the second\n"
             "  par(N, A)      N copies at once, each on another part of the input; results in order\n"
             "\n"
             "Examples:\n"
             "  sluice run 'file:access.log | zstd -3 | tcp:127.0.0.1:9000'\n"
             "  sluice run 'tcp-listen:127.0.0.1:9000 | file:access.log.zst,atomic'\n"
             "  sluice run 'file:access.log | par(4, gzip -c) | tee(file:access.log.gz, sha256sum)'\n"
             "  sluice explain 'file:a | grep x | file:b'\n"
             "\n"
             "'sluice SUBCOMMAND --help' has each one's options, 'man sluice' the rest.");
}

static bool was_closed[3];

bool standard_is_open(int fd)
{
        return !was_closed[fd];
}

/* Who starts us without standard streams would see our first files take their numbers. */
static void occupy_standard_fds(void)
{
        for (int fd = 0; fd < 3; fd++) {
                if (fcntl(fd, F_GETFD) >= 0)
                        continue;
                was_closed[fd] = true;
                if (open("/dev/null", (fd == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC) < 0) /* takes the lowest number: this one */
                        _exit(EXIT_STAGE);
        }
}

static int dispatch(int argc, char **argv)
{
        if (argc < 2)
                return usage_error(NULL, "no subcommand");
        if (strcmp(argv[1], "help") == 0 && argc > 2) {
                argv[1] = argv[2];
                argv[2] = (char *)"--help";
        }
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
                help();
                return EXIT_OK;
        }
        if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
                printf("sluice %s\n", sluice_version());
                return EXIT_OK;
        }
        for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
                if (strcmp(subcommands[i].name, argv[1]) == 0)
                        return subcommands[i].main(argc - 1, argv + 1);
        return usage_error(NULL, "no subcommand '%s'", argv[1]);
}

/* What we say ourselves counts too: a full disk behind stdout is no success. */
int main(int argc, char **argv)
{
        int status;
        bool lost;

        occupy_standard_fds();
        status = dispatch(argc, argv);

        lost = was_closed[STDOUT_FILENO] && __fpending(stdout) > 0; /* what stands there now would take it, and lose it */
        if (!lost && fflush(stdout) == 0 && !ferror(stdout))
                return status;
        fprintf(stderr, "sluice: standard output: %s\n", strerror(lost ? EBADF : errno));
        return status ? status : EXIT_STAGE;
}
