/* bench/pairs.c: what whole programs cost, from before they are started until they have been waited for.
 *
 *      pairs [--json] N -- COMMAND_A... --- COMMAND_B... [--- COMMAND_C...]...
 *
 * Runs each command once a round, N rounds, in an order that changes, and compares every other with A of the same round.
 * Name a command twice for the null case. Wall time is a monotonic clock's around posix_spawn() and wait4(); CPU is what
 * wait4() says of the command and of all that it waited for. Commands read from and write to /dev/null, and are looked for
 * in PATH once, beforehand. One that fails ends it: a failure costs something else. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

enum { COMMANDS_MAX = 16, PATH_BYTES = 4096, NAME_BYTES = 256, USAGE = 2 };

struct command {
        char **argv; /* NULL-terminated, within main's */
        char path[PATH_BYTES];
        char name[NAME_BYTES];
};

struct pairs {
        bool json;
        size_t rounds, commands_nr;
        struct command commands[COMMANDS_MAX];
        posix_spawn_file_actions_t actions;
};

static int usage(const char *what)
{
        fprintf(stderr, "pairs: %s\nUsage: pairs [--json] N -- COMMAND_A... --- COMMAND_B... [--- COMMAND_C...]...\n", what);
        return USAGE;
}

/* "A", "B", ...: the command lines themselves are printed once. */
static void name_command(struct command *c, size_t index)
{
        snprintf(c->name, sizeof(c->name), "%c", (char)('A' + index));
}

static int add_command(struct pairs *p, char **argv)
{
        struct command *c = &p->commands[p->commands_nr];

        if (p->commands_nr == COMMANDS_MAX)
                return usage("too many commands");
        if (!argv[0])
                return usage("a command is empty");
        if (!find_program(argv[0], c->path, sizeof(c->path))) {
                fprintf(stderr, "pairs: %s: not found\n", argv[0]);
                return USAGE;
        }
        c->argv = argv;
        name_command(c, p->commands_nr++);
        return 0;
}

/* Cuts argv at every "---". */
static int read_commands(struct pairs *p, char **argv)
{
        for (char **first = argv;; argv++) {
                bool last = !*argv;
                int r;

                if (!last && strcmp(*argv, "---") != 0)
                        continue;
                *argv = NULL;
                r = add_command(p, first);
                if (r || last)
                        return r;
                first = argv + 1;
        }
}

static int read_arguments(struct pairs *p, char **argv)
{
        if (*argv && strcmp(*argv, "--json") == 0) {
                p->json = true;
                argv++;
        }
        if (!*argv || !parse_count(*argv, 1, &p->rounds))
                return usage("how many pairs?");
        argv++;
        if (!*argv || strcmp(*argv, "--") != 0)
                return usage("'--' comes before the first command");
        return read_commands(p, argv + 1);
}

static int prepare_actions(struct pairs *p)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null < 0 || posix_spawn_file_actions_init(&p->actions) != 0 ||
            posix_spawn_file_actions_adddup2(&p->actions, null, STDIN_FILENO) != 0 ||
            posix_spawn_file_actions_adddup2(&p->actions, null, STDOUT_FILENO) != 0) {
                fputs("pairs: cannot open /dev/null\n", stderr);
                return -1;
        }
        return 0;
}

static int say_failed(const struct command *c, const char *what, int value)
{
        fprintf(stderr, "pairs: %s (%s): %s %d\n", c->name, c->path, what, value);
        return -1;
}

static int measure(void *arg, size_t subject, struct sample *ret)
{
        struct pairs *p = arg;
        struct command *c = &p->commands[subject];
        const double begun = clock_ms();
        struct rusage used;
        int status, r;
        pid_t pid;

        r = posix_spawn(&pid, c->path, &p->actions, NULL, c->argv, environ);
        if (r)
                return say_failed(c, "cannot be started: errno", r);
        while (wait4(pid, &status, 0, &used) < 0)
                if (errno != EINTR)
                        return say_failed(c, "cannot be waited for: errno", errno);
        ret->wall_ms = clock_ms() - begun;
        ret->cpu_ms = cpu_ms(&used);
        if (WIFSIGNALED(status))
                return say_failed(c, "was ended by signal", WTERMSIG(status));
        return WEXITSTATUS(status) ? say_failed(c, "ended with exit status", WEXITSTATUS(status)) : 0;
}

/* ---- what comes out ---- */

static void print_commands(const struct pairs *p)
{
        for (size_t i = 0; i < p->commands_nr; i++) {
                printf("%s:", p->commands[i].name);
                for (char **word = p->commands[i].argv; *word; word++)
                        printf(" %s", *word);
                putchar('\n');
        }
}

static void json_string(const char *text)
{
        putchar('"');
        for (; *text; text++)
                if (*text == '"' || *text == '\\')
                        printf("\\%c", *text);
                else if ((unsigned char)*text < ' ')
                        printf("\\u%04x", *text);
                else
                        putchar(*text);
        putchar('"');
}

static void json_estimate(const char *name, struct estimate e)
{
        printf(", \"%s\": { \"median\": %.6f, \"low\": %.6f, \"high\": %.6f, \"least\": %.6f }", name, e.median, e.low, e.high,
               e.least);
}

static void json_command(const struct rounds *r, size_t subject, char **argv)
{
        printf("%s\n    { \"name\": \"%s\", \"argv\": [", subject ? "," : "", r->subjects[subject].name);
        for (char **word = argv; *word; word++) {
                fputs(word == argv ? "" : ", ", stdout);
                json_string(*word);
        }
        putchar(']');
        json_estimate("wall_ms", rounds_estimate(r, subject, WALL));
        json_estimate("cpu_ms", rounds_estimate(r, subject, CPU));
        if (r->subjects[subject].base >= 0) {
                json_estimate("wall_ratio", rounds_estimate(r, subject, WALL_RATIO));
                json_estimate("cpu_ratio", rounds_estimate(r, subject, CPU_RATIO));
                json_estimate("wall_difference_ms", rounds_estimate(r, subject, WALL_DIFFERENCE));
        }
        fputs(" }", stdout);
}

static void print_json(const struct pairs *p, const struct rounds *r)
{
        printf("{ \"rounds\": %zu, \"commands\": [", p->rounds);
        for (size_t i = 0; i < p->commands_nr; i++)
                json_command(r, i, p->commands[i].argv);
        puts("\n] }");
}

int main(int argc, char **argv)
{
        struct subject subjects[COMMANDS_MAX];
        struct pairs p = { 0 };
        struct rounds r = { .subjects = subjects };
        int status = argc > 0 ? read_arguments(&p, argv + 1) : USAGE;

        if (status)
                return status;
        for (size_t i = 0; i < p.commands_nr; i++)
                subjects[i] = (struct subject){ p.commands[i].name, i ? 0 : -1 };
        r.subjects_nr = p.commands_nr;
        r.rounds_nr = p.rounds;
        if (prepare_actions(&p) < 0 || rounds_run(&r, measure, &p) < 0)
                return 1;
        if (p.json) {
                print_json(&p, &r);
        } else {
                print_commands(&p);
                rounds_print(&r);
        }
        posix_spawn_file_actions_destroy(&p.actions);
        free(r.samples);
        return 0;
}
