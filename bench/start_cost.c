/* bench/start_cost.c: what it costs to start commands through the library, from inside a program.
 *
 *      sluice-bench-start memory [PAIRS [MIB]]
 *              `true` by the library, by posix_spawn() and by fork(), from a process that has touched MIB MiB (8192, or what
 *              is free) and from two that have touched 8: the second of these is the null case. The hosts are processes of
 *              their own, which do one start when they are told to, and tell what it took. Small pages, since fork() copies
 *              their tables: with huge ones there would be little to see.
 *      sluice-bench-start cats [PAIRS]
 *              ten cats in a row, the first one reads a file of one line: by the library, a new pipeline for each run, and
 *              by the least that a program could do: the same pipes of the same size, posix_spawn(), waitpid(). That loop
 *              against itself is the null case. It has looked for `cat` beforehand; the library does so for every command, as
 *              long as PATH is. Beside: what that adds, and stderr's tail, containment and the guard, and what a loop that
 *              stays saves.
 *
 * A run includes making and freeing the pipeline. CPU is this process's and that of the children it has waited for; a guard
 * is one of them, but is waited for at the end of its loop only. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sluice/sluice.h>
#include <sluice/stages.h>

#include "measure.h"

enum { CATS = 10, PATH_BYTES = 4096, PAIRS = 200, BIG_MIB = 8192, SMALL_MIB = 8, USAGE = 2 };

static int complain(const char *what, const char *why)
{
        fprintf(stderr, "sluice-bench-start: %s: %s\n", what, why);
        return -1;
}

static struct sample used_until_now(void)
{
        struct rusage self, children;

        getrusage(RUSAGE_SELF, &self);
        getrusage(RUSAGE_CHILDREN, &children);
        return (struct sample){ clock_ms(), cpu_ms(&self) + cpu_ms(&children) };
}

static struct sample used_since(struct sample begun)
{
        struct sample now = used_until_now();

        return (struct sample){ now.wall_ms - begun.wall_ms, now.cpu_ms - begun.cpu_ms };
}

static int wait_for(pid_t pid)
{
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return complain("waitpid", strerror(errno));
        return status == 0 ? 0 : complain("a command", "has failed");
}

/* ---- memory: the host that starts `true` ---- */

enum method { BY_LIBRARY, BY_SPAWN, BY_FORK };

static char true_path[PATH_BYTES];
static char *const true_argv[] = { (char[]){ "true" }, NULL };

static int true_by_library(void)
{
        const struct sluice_options opt = { .size = sizeof(opt) };
        struct sluice_pipeline *p;
        int r = sluice_pipeline_new(&p, &opt);

        if (r < 0)
                return complain("library", strerror(-r));
        r = sluice_add_command(p, true_argv, NULL);
        if (r >= 0)
                r = sluice_pipeline_run(p);
        if (r < 0)
                complain("library", sluice_pipeline_error(p));
        sluice_pipeline_free(p);
        return r;
}

static int true_by_spawn(void)
{
        pid_t pid;
        int r = posix_spawn(&pid, true_path, NULL, NULL, true_argv, environ);

        return r ? complain("posix_spawn", strerror(r)) : wait_for(pid);
}

static int true_by_fork(void)
{
        pid_t pid = fork();

        if (pid < 0)
                return complain("fork", strerror(errno));
        if (pid == 0) {
                execv(true_path, true_argv);
                _exit(127);
        }
        return wait_for(pid);
}

static int touch(size_t mib)
{
        const size_t bytes = mib << 20, page = (size_t)sysconf(_SC_PAGESIZE);
        char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
                return complain("memory", strerror(errno));
        madvise(memory, bytes, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < bytes; at += page)
                memory[at] = 1;
        return 0;
}

/* Says that it is ready by a sample, then gives one for each method that it reads, until the end of standard input. */
static int host_main(size_t mib)
{
        static int (*const start[])(
                void) = { [BY_LIBRARY] = true_by_library, [BY_SPAWN] = true_by_spawn, [BY_FORK] = true_by_fork };
        struct sample begun, s = { 0 };
        unsigned char method;

        if (touch(mib) < 0)
                return 1;
        if (!find_program("true", true_path, sizeof(true_path))) {
                complain("true", "not in PATH");
                return 1;
        }
        while (write(STDOUT_FILENO, &s, sizeof(s)) == sizeof(s)) {
                if (read(STDIN_FILENO, &method, 1) != 1 || method > BY_FORK)
                        return 0;
                begun = used_until_now();
                if (start[method]() < 0)
                        return 1;
                s = used_since(begun);
        }
        return 1;
}

/* ---- memory: the one who asks ---- */

enum { HOST_BIG, HOST_SMALL, HOST_SMALL_AGAIN, HOSTS };

struct host {
        pid_t pid;
        int to, from;
};

static int host_ask(const struct host *h, enum method method, struct sample *ret)
{
        const unsigned char byte = (unsigned char)method;

        if (write(h->to, &byte, 1) != 1 || read(h->from, ret, sizeof(*ret)) != sizeof(*ret))
                return complain("a host", "has ended");
        return 0;
}

static int host_spawn(struct host *h, size_t mib, int in, int out)
{
        char text[32];
        char *argv[] = { (char[]){ "sluice-bench-start" }, (char[]){ "host" }, text, NULL };
        posix_spawn_file_actions_t actions;
        int r;

        snprintf(text, sizeof(text), "%zu", mib);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        r = posix_spawn(&h->pid, "/proc/self/exe", &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        return r ? complain("posix_spawn", strerror(r)) : 0;
}

static int host_start(struct host *h, size_t mib)
{
        int to[2], from[2], r;
        struct sample ready;

        if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
                return complain("pipe", strerror(errno));
        *h = (struct host){ .to = to[1], .from = from[0] };
        r = host_spawn(h, mib, to[0], from[1]);
        close(to[0]);
        close(from[1]);
        if (r == 0 && read(h->from, &ready, sizeof(ready)) != sizeof(ready))
                r = complain("a host", "did not come up");
        return r;
}

static void host_end(struct host *h)
{
        close(h->to);
        close(h->from);
        wait_for(h->pid);
}

static size_t available_mib(void)
{
        FILE *f = fopen("/proc/meminfo", "re");
        size_t kib = 0;
        char line[256];

        while (f && !kib && fgets(line, sizeof(line), f))
                if (sscanf(line, "MemAvailable: %zu", &kib) != 1)
                        kib = 0;
        if (f)
                fclose(f);
        return kib >> 10;
}

/* A quarter of what is free stays so: neither the page cache nor another program is to pay for this. */
static size_t big_mib(size_t wanted)
{
        size_t most = available_mib() / 4 * 3;

        return most > SMALL_MIB && most < wanted ? most : wanted;
}

static const struct {
        enum method method;
        int host;
} starts[] = {
        { BY_LIBRARY, HOST_SMALL }, { BY_LIBRARY, HOST_SMALL_AGAIN }, { BY_LIBRARY, HOST_BIG }, { BY_SPAWN, HOST_SMALL },
        { BY_SPAWN, HOST_BIG },     { BY_FORK, HOST_SMALL },          { BY_FORK, HOST_BIG },
};
static const struct subject start_subjects[] = {
        { "library, small host", -1 },    { "library, small again (null)", 0 }, { "library, big host", 0 },
        { "posix_spawn, small host", 0 }, { "posix_spawn, big host", 3 },       { "fork and exec, small host", 3 },
        { "fork and exec, big host", 5 },
};

static int measure_start(void *arg, size_t subject, struct sample *ret)
{
        const struct host *hosts = arg;

        return host_ask(&hosts[starts[subject].host], starts[subject].method, ret);
}

static int memory_main(size_t pairs, size_t wanted_mib)
{
        const size_t mib = big_mib(wanted_mib);
        struct rounds r = { start_subjects, sizeof(starts) / sizeof(starts[0]), pairs, NULL };
        struct host hosts[HOSTS];
        int failed;

        if (host_start(&hosts[HOST_BIG], mib) < 0 || host_start(&hosts[HOST_SMALL], SMALL_MIB) < 0 ||
            host_start(&hosts[HOST_SMALL_AGAIN], SMALL_MIB) < 0)
                return 1;
        printf("`true`, from a big host of %zu MiB%s and a small one of %d MiB\n", mib,
               mib < wanted_mib ? " (no more is free)" : "", SMALL_MIB);
        failed = rounds_run(&r, measure_start, hosts);
        for (size_t i = 0; i < HOSTS; i++)
                host_end(&hosts[i]);
        if (!failed)
                rounds_print(&r);
        free(r.samples);
        return failed ? 1 : 0;
}

/* ---- cats by hand ---- */

static char cat_path[PATH_BYTES], line_path[64];
static int pipe_bytes; /* what the library gives its pipes */

static int bare_spawn(int in, int out, bool first, pid_t *ret)
{
        char *argv[] = { (char[]){ "cat" }, first ? line_path : NULL, NULL };
        posix_spawn_file_actions_t actions;
        int r;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        r = posix_spawn(ret, cat_path, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        return r ? complain("posix_spawn", strerror(r)) : 0;
}

/* What cat number i writes to; *ret_next is what the next one reads from. */
static int bare_output(int i, int *ret_next)
{
        int fds[2];

        if (i == CATS - 1)
                return open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -1;
        if (fcntl(fds[1], F_SETPIPE_SZ, pipe_bytes) < 0) {
                close(fds[0]);
                close(fds[1]);
                return -1;
        }
        *ret_next = fds[0];
        return fds[1];
}

static int cats_bare(void)
{
        int in = open("/dev/null", O_RDONLY | O_CLOEXEC), failed = 0;
        pid_t pids[CATS];

        for (int i = 0; i < CATS; i++) {
                int next = -1, out = bare_output(i, &next), r;

                if (in < 0 || out < 0)
                        return complain("pipe", strerror(errno));
                r = bare_spawn(in, out, i == 0, &pids[i]);
                close(in);
                close(out);
                if (r < 0)
                        return r;
                in = next;
        }
        for (int i = 0; i < CATS; i++)
                failed |= wait_for(pids[i]);
        return failed;
}

/* ---- cats by the library ---- */

struct loop_run {
        bool ended;
        int result;
};

static void loop_run_ended(void *arg, int result)
{
        *(struct loop_run *)arg = (struct loop_run){ true, result };
}

static int run_on(struct sluice_loop *loop, struct sluice_pipeline *p)
{
        struct loop_run run = { 0 };
        int r = sluice_pipeline_start(p, loop, loop_run_ended, &run);

        while (r >= 0 && !run.ended)
                r = sluice_loop_turn(loop, -1);
        return r < 0 ? r : run.result;
}

/* One way to run the cats by the library. */
struct way {
        unsigned flags;
        enum sluice_contain contain;
        bool path_known;          /* no search in PATH */
        struct sluice_loop *loop; /* NULL: the run's own */
};

static int add_cats(struct sluice_pipeline *p, bool path_known)
{
        char *name = path_known ? cat_path : (char[]){ "cat" };
        char *const first[] = { name, line_path, NULL }, *const other[] = { name, NULL };
        int r = 0;

        for (int i = 0; i < CATS && r >= 0; i++)
                r = sluice_add_command(p, i ? other : first, NULL);
        return r < 0 ? r : sluice_pipeline_chain(p);
}

static int cats_by_library(struct way w)
{
        const struct sluice_options opt = { .size = sizeof(opt), .flags = w.flags, .contain = w.contain };
        struct sluice_stats stats = { .size = sizeof(stats) };
        struct sluice_pipeline *p;
        int r = sluice_pipeline_new(&p, &opt);

        if (r < 0)
                return complain("library", strerror(-r));
        r = add_cats(p, w.path_known);
        if (r >= 0)
                r = w.loop ? run_on(w.loop, p) : sluice_pipeline_run(p);
        if (r < 0)
                complain("library", sluice_pipeline_error(p));
        else if (!pipe_bytes && sluice_pipeline_stats(p, 0, &stats) >= 0)
                pipe_bytes = (int)stats.pipe_bytes;
        sluice_pipeline_free(p);
        return r;
}

/* ---- cats: who is measured ---- */

enum {
        BARE,
        BARE_AGAIN,
        LIBRARY,
        LIBRARY_PATH_KNOWN,
        LIBRARY_OUR_STDERR,
        LIBRARY_NOT_CONTAINED,
        LIBRARY_GUARD,
        ONE_LOOP,
        ONE_LOOP_GUARD,
        CATS_SUBJECTS,
};

static const struct subject cats_subjects[CATS_SUBJECTS] = {
        [BARE] = { "bare loop", -1 },
        [BARE_AGAIN] = { "bare loop again (null)", BARE },
        [LIBRARY] = { "library", BARE },
        [LIBRARY_PATH_KNOWN] = { "library, path known", BARE },
        [LIBRARY_OUR_STDERR] = { "library, stderr inherited", BARE },
        [LIBRARY_NOT_CONTAINED] = { "library, not contained", BARE },
        [LIBRARY_GUARD] = { "library, guard", LIBRARY },
        [ONE_LOOP] = { "one loop", BARE },
        [ONE_LOOP_GUARD] = { "one loop, guard (its CPU *)", ONE_LOOP },
};

struct loops {
        struct sluice_loop *plain, *guarded;
};

static int cats_once(const struct loops *l, size_t subject)
{
        switch (subject) {
        case LIBRARY:
                return cats_by_library((struct way){ 0 });
        case LIBRARY_PATH_KNOWN:
                return cats_by_library((struct way){ .path_known = true });
        case LIBRARY_OUR_STDERR:
                return cats_by_library((struct way){ .flags = SLUICE_STDERR_INHERIT });
        case LIBRARY_NOT_CONTAINED:
                return cats_by_library((struct way){ .contain = SLUICE_CONTAIN_NONE });
        case LIBRARY_GUARD:
                return cats_by_library((struct way){ .flags = SLUICE_GUARD });
        case ONE_LOOP:
                return cats_by_library((struct way){ .loop = l->plain });
        case ONE_LOOP_GUARD:
                return cats_by_library((struct way){ .flags = SLUICE_GUARD, .loop = l->guarded });
        default:
                return cats_bare();
        }
}

static int measure_cats(void *arg, size_t subject, struct sample *ret)
{
        const struct sample begun = used_until_now();

        if (cats_once(arg, subject) < 0)
                return -1;
        *ret = used_since(begun);
        return 0;
}

/* A file that needs no name of its own, and hence no cleaning up. */
static int make_line(void)
{
        static const char line[] = "one line\n";
        int fd = memfd_create("line", MFD_CLOEXEC);

        if (fd < 0 || write(fd, line, sizeof(line) - 1) != (ssize_t)sizeof(line) - 1)
                return complain("memfd", strerror(errno));
        snprintf(line_path, sizeof(line_path), "/proc/%d/fd/%d", (int)getpid(), fd);
        return 0;
}

static int loops_new(struct loops *l)
{
        const struct sluice_loop_options opt = { .size = sizeof(opt), .exclusive = 1 };
        int r = sluice_loop_new(&l->plain, &opt);

        if (r >= 0)
                r = sluice_loop_new(&l->guarded, &opt);
        return r < 0 ? complain("loop", strerror(-r)) : 0;
}

static int cats_main(size_t pairs)
{
        struct rounds r = { cats_subjects, CATS_SUBJECTS, pairs, NULL };
        struct loops loops = { 0 };
        int failed;

        if (!find_program("cat", cat_path, sizeof(cat_path))) {
                complain("cat", "not in PATH");
                return 1;
        }
        /* The first run tells the size of the library's pipes. */
        if (make_line() < 0 || cats_by_library((struct way){ 0 }) < 0 || loops_new(&loops) < 0)
                return 1;
        printf("%d cats in a row, pipes of %d KiB\n", CATS, pipe_bytes >> 10);
        failed = rounds_run(&r, measure_cats, &loops);
        sluice_loop_free(loops.plain);
        sluice_loop_free(loops.guarded);
        if (!failed) {
                rounds_print(&r);
                puts("* without what the guard and its commands use: it is waited for after the last run");
        }
        free(r.samples);
        return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "";
        size_t pairs = PAIRS, mib = BIG_MIB;

        if (argc == 3 && strcmp(what, "host") == 0 && parse_count(argv[2], 1, &mib))
                return host_main(mib);
        if (argc <= 2 || parse_count(argv[2], 1, &pairs)) {
                if (argc <= 3 && strcmp(what, "cats") == 0)
                        return cats_main(pairs);
                if (argc <= 4 && strcmp(what, "memory") == 0 && (argc < 4 || parse_count(argv[3], 1, &mib)))
                        return memory_main(pairs, mib);
        }
        fputs("Usage: sluice-bench-start memory [PAIRS [MIB]] | cats [PAIRS]\n", stderr);
        return USAGE;
}
