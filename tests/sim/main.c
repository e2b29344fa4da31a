/* tests/sim/main.c: sluice-sim: seeds by the thousand, and for one that fails the line that shows it again.
 *
 *      parent --fork--> child: seed after seed; what it does stands in shared memory
 *         child ended badly: a line with the seed; the shrinker takes away faults, stages, branches and bytes as long as the seed
 *         still fails, each try in a child of its own; then a new child goes on with the next seed
 *
 * Exit status: 0: no seed failed; 1: some did; 2: usage. Called by people and CTest; calls world.h. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim_kernel.h"
#include "world.h"

enum { HANG_S = 30, FAILURES_MAX = 10, SECONDS = 10 };

/* What the child tells. */
struct shared {
        uint64_t seed, seeds, steps;
        struct world_result last;
        char report[SIM_REPORT_BYTES];
};

struct options {
        struct world_limits limits;
        uint64_t seed, count;
        double seconds;
        bool one, json, shrink, relays;
        enum world_tell tell;
};

static struct shared *shared;

static double now_s(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- children ---- */

static void run_seeds(const struct options *o, uint64_t from, uint64_t to, double until_s)
{
        for (uint64_t seed = from; seed < to && (until_s == 0 || now_s() < until_s); seed++) {
                if (o->relays && !world_is_relay(seed))
                        continue;
                alarm(HANG_S); /* a loop in the engine itself takes no step */
                shared->seed = seed;
                world_run(seed, &o->limits, o->tell, &shared->last);
                shared->seeds++;
                shared->steps += shared->last.steps;
        }
        world_done();
}

/* True: it ended well. */
static bool in_child(const struct options *o, uint64_t from, uint64_t to, double until_s, bool quiet)
{
        int status;
        pid_t pid;

        shared->report[0] = '\0';
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
                if (quiet && !freopen("/dev/null", "w", stderr))
                        _exit(3);
                run_seeds(o, from, to, until_s);
                fflush(stdout);
                exit(0); /* a leak, where leaks are looked for, is a failure too */
        }
        while (pid < 0 || waitpid(pid, &status, 0) < 0)
                if (pid < 0 || errno != EINTR) {
                        perror("sluice-sim: fork");
                        exit(2);
                }
        if (WIFSIGNALED(status) && !shared->report[0])
                snprintf(shared->report, sizeof(shared->report), "%s",
                         WTERMSIG(status) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(status)));
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- shrinking ---- */

static bool fails(const struct options *o, uint64_t seed, const struct world_limits *with)
{
        uint64_t seeds = shared->seeds, steps = shared->steps;
        struct options tried = *o;
        bool failed;

        tried.limits = *with;
        tried.tell = WORLD_SILENT;
        failed = !in_child(&tried, seed, seed + 1, 0, true);
        shared->seeds = seeds;
        shared->steps = steps;
        return failed;
}

/* Halves of the fault kinds first, then one by one. */
static void shrink_faults(const struct options *o, uint64_t seed, struct world_limits *least)
{
        for (int width = SIM_FAULTS / 2; width >= 1; width /= 2)
                for (int from = 0; from < SIM_FAULTS; from += width) {
                        struct world_limits with = *least;

                        with.faults &= ~(((1u << width) - 1) << from);
                        if (with.faults != least->faults && fails(o, seed, &with))
                                *least = with;
                }
}

static void shrink_size(const struct options *o, uint64_t seed, struct world_limits *least)
{
        struct world_limits with;

        for (with = *least; with.branches > 0;) {
                with.branches--;
                if (fails(o, seed, &with))
                        *least = with;
        }
        for (with = *least; with.middles > 0;) {
                with.middles--;
                if (fails(o, seed, &with))
                        *least = with;
        }
        for (with = *least; with.bytes > 1;) {
                with.bytes /= 2;
                if (fails(o, seed, &with))
                        *least = with;
        }
}

static void print_replay(uint64_t seed, const struct world_limits *l)
{
        printf("sluice-sim --seed=%llu --faults=0x%x --middles=%u --branches=%u --bytes=%llu", (unsigned long long)seed,
               l->faults & ((1u << SIM_FAULTS) - 1), l->middles, l->branches, (unsigned long long)l->bytes);
}

static void tell_failure(const struct options *o, uint64_t seed)
{
        struct world_limits least = o->limits;

        printf("FAILED: %s: ", shared->report);
        print_replay(seed, &least);
        printf("\n");
        fflush(stdout);
        if (!o->shrink)
                return;
        least.faults &= (1u << SIM_FAULTS) - 1;
        shrink_faults(o, seed, &least);
        shrink_size(o, seed, &least);
        if (fails(o, seed, &least)) {
                printf("shrunk: %s: ", shared->report);
                print_replay(seed, &least);
                printf("\n");
        }
        fflush(stdout);
}

/* ---- soak ---- */

static unsigned soak(const struct options *o)
{
        double until_s = o->count ? 0 : now_s() + o->seconds;
        uint64_t to = o->count ? o->seed + o->count : UINT64_MAX, seed = o->seed;
        unsigned failures = 0;

        while (seed < to && !in_child(o, seed, to, until_s, false)) {
                seed = shared->seed;
                tell_failure(o, seed++);
                if (++failures == FAILURES_MAX || (until_s != 0 && now_s() >= until_s))
                        break;
        }
        return failures;
}

/* ---- options ---- */

static const struct option names[] = {
        { "seed", required_argument, NULL, 's' },
        { "seconds", required_argument, NULL, 't' },
        { "seeds", required_argument, NULL, 'n' },
        { "from", required_argument, NULL, 'f' },
        { "faults", required_argument, NULL, 'F' },
        { "middles", required_argument, NULL, 'm' },
        { "branches", required_argument, NULL, 'b' },
        { "bytes", required_argument, NULL, 'B' },
        { "json", no_argument, NULL, 'j' },
        { "trace", no_argument, NULL, 'v' },
        { "relays", no_argument, NULL, 'r' },
        { "no-shrink", no_argument, NULL, 'S' },
        { "mutate", required_argument, NULL, 'M' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

static int usage(void)
{
        fputs("usage: sluice-sim [--seconds=N | --seeds=N] [--from=SEED] [--relays] [--json] [--no-shrink]\n"
              "       sluice-sim --seed=N [--trace] [--faults=MASK] [--middles=N] [--branches=N] [--bytes=N]\n"
              "       with --mutate=RULE the simulated kernel breaks that rule (sim_conformance has their names)\n",
              stderr);
        return 2;
}

static uint64_t number(const char *text)
{
        char *end;
        uint64_t n = strtoull(text, &end, 0);

        if (!*text || *end)
                exit(usage());
        return n;
}

static unsigned mutation(const char *name)
{
        unsigned m = 0;

        while (m < SIM_MUTATIONS && strcmp(name, sim_mutation_name((enum sim_mutation)m)) != 0)
                m++;
        if (m == SIM_MUTATIONS)
                exit(usage());
        return m;
}

static bool parse(int argc, char **argv, struct options *o)
{
        int c;

        while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
                switch (c) {
                case 's':
                        o->seed = number(optarg);
                        o->one = true;
                        break;
                case 't':
                        o->seconds = (double)number(optarg);
                        break;
                case 'n':
                        o->count = number(optarg);
                        break;
                case 'f':
                        o->seed = number(optarg);
                        break;
                case 'F':
                        o->limits.faults = (uint32_t)number(optarg);
                        break;
                case 'm':
                        o->limits.middles = (unsigned)number(optarg);
                        break;
                case 'b':
                        o->limits.branches = (unsigned)number(optarg);
                        break;
                case 'B':
                        o->limits.bytes = number(optarg);
                        break;
                case 'j':
                        o->json = true;
                        break;
                case 'r':
                        o->relays = true;
                        break;
                case 'v':
                        o->tell = WORLD_TRACE;
                        break;
                case 'M':
                        o->limits.mutation = mutation(optarg);
                        break;
                case 'S':
                        o->shrink = false;
                        break;
                default:
                        return false;
                }
        }
        return optind == argc && o->limits.middles <= 3 && o->limits.branches <= 3;
}

static int run_one(struct options *o)
{
        if (o->tell == WORLD_SILENT)
                o->tell = WORLD_GRAPH;
        if (!in_child(o, o->seed, o->seed + 1, 0, false)) {
                printf("FAILED: %s: ", shared->report);
                print_replay(o->seed, &o->limits);
                printf("\n");
                return 1;
        }
        printf("seed %llu: result %d, %llu steps\n", (unsigned long long)o->seed, shared->last.result,
               (unsigned long long)shared->last.steps);
        return 0;
}

int main(int argc, char **argv)
{
        struct options o = { .limits = WORLD_LIMITS_ALL, .seconds = SECONDS, .shrink = true };
        double began_s = now_s(), took_s;
        unsigned failures;

        o.seed = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid(); /* fresh ones, unless said otherwise */
        if (!parse(argc, argv, &o))
                return usage();
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                return 2;
        sim_report = shared->report;
        mallopt(M_MMAP_THRESHOLD, 64 << 20);
        mallopt(M_TRIM_THRESHOLD, 256 << 20);
        if (o.one)
                return run_one(&o);
        failures = soak(&o);
        took_s = now_s() - began_s;
        printf(o.json ? "{\"from\": %llu, \"seeds\": %llu, \"steps\": %llu, \"failures\": %u, \"seconds\": %.3f}\n"
                      : "from seed %llu: %llu seeds, %llu steps, %u failures in %.1f s\n",
               (unsigned long long)o.seed, (unsigned long long)shared->seeds, (unsigned long long)shared->steps, failures, took_s);
        return failures ? 1 : 0;
}
