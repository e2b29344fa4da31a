/* soak.c: random pipelines for N minutes, in this process on one shared loop and by the command, and what is left of them.
 *
 *      soak [--minutes=N] [--minute-seconds=N] [--seed=N] [--break=fd|bytes|process]
 *
 * Up to IN_FLIGHT run at once, each of a random shape, size and driver; about one in ten is stopped at a random turn, one in
 * fifty is run by the command. Each input is other bytes, and every output is compared with its own: whole after success, its
 * beginning after a stop; an atomic file is whole or not there.
 * Once a minute all are let end and the process is measured. The first minute is what the others are compared with:
 *
 *      memory (RSS)                                 may grow by RSS_SLACK_KIB in all
 *      descriptors, bytes of pipes, threads         by what the caches are bounded by
 *      workers of io_uring                          WORKERS_MAX at most
 *      processes with our mark, files, overflows    none
 *
 * --break leaves descriptors or a process in each minute, or changes a byte of every output: the verdict must be bad. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sluice/sluice.h>
#include <sluice/stage.h>
#include <sluice/stages.h>

enum {
        IN_FLIGHT = 4,
        IN_BYTES = 3 << 20,
        CONTENT_BYTES = 16 << 20,
        LINE_BYTES = 16,
        RSS_SLACK_KIB = 32 << 10,
        FD_SLACK = 32, /* pipes in the cache: their number goes up and down with what ran last */
        PIPE_SLACK_BYTES = 16 << 20,
        WORKERS_MAX = 64,
};

/* A stage is NAME:ARGUMENT,OPTION or, after a "!", a command for sh. IN, OUT, OTHER and SOCKET are files of the run.
 * `first` begins before it; `branches` are what a tee at its end feeds. */
struct shape {
        const char *chain, *first, *branches[2];
        bool whole; /* the sink is atomic, or a command makes what arrives: nothing is said of a part */
        bool fails; /* as it is meant to */
};

static const struct shape shapes[] = {
        { .chain = "file:IN | file:OUT" },
        { .chain = "file:IN | file:OUT,atomic", .whole = true },
        { .chain = "file:IN,snapshot | file:OUT" },
        { .chain = "file:IN | append:OUT" },
        { .chain = "file:IN | !cat | file:OUT" },
        { .chain = "file:IN | !cat | file:OUT,observe" },
        { .chain = "file:IN | !cat | !cat | !cat | file:OUT,observe" },
        { .chain = "file:IN | !gzip -1c | !gzip -dc | file:OUT", .whole = true },
        { .chain = "file:IN | count | file:OUT" },
        { .chain = "file:IN | count | checksum | lines | file:OUT" },
        { .chain = "file:IN | count | !cat | checksum | file:OUT" },
        { .chain = "file:IN | function | file:OUT" },
        { .chain = "!cat IN | function | function | !cat | file:OUT" },
        { .chain = "file:IN | compress:1 | decompress | file:OUT" },
        { .chain = "file:IN | compress:1 | !cat | decompress | file:OUT,atomic", .whole = true },
        { .chain = "file:IN | throttle:200m | file:OUT" },
        { .chain = "file:IN | spill:/dev/shm | file:OUT" },
        { .chain = "!cat IN | file:OUT" },
        { .chain = "!cat IN | count | file:OUT,observe" },
        { .chain = "!cat IN | !sh -c 'sleep 1000 & exec cat' 2>&1 | file:OUT", .whole = true },
        { .chain = "file:IN | unix:SOCKET", .first = "unix-listen:SOCKET | file:OUT" },
        { .chain = "file:IN | !cat | unix:SOCKET", .first = "unix-listen:SOCKET | count | file:OUT" },
        { .chain = "file:IN | tee", .branches = { "file:OUT", "file:OTHER" } },
        { .chain = "file:IN | count | tee", .branches = { "file:OUT", "!cat | file:OTHER" } },
        { .chain = "!cat IN | tee", .branches = { "file:OUT", "!gzip -1c | null" } },
        { .chain = "file:IN | count | tee", .branches = { "drop | !cat | null", "file:OUT" } },
        { .chain = "zero:3000000 | !cat | null" },
        { .chain = "generate | !head -c 100000 | null" },
        { .chain = "file:IN | !exit 3", .fails = true },
        { .chain = "file:missing | file:OTHER", .fails = true },
};

/* By the command: what has no place in a chain. */
static const char *const texts[] = {
        "file:IN | tee(file:OUT, cat | file:OTHER)",
        "merge(file:IN, file:IN) | null:",
        "file:IN | par(2, cat) | file:OUT",
        "concat(file:IN) | cat | file:OUT,observe",
        "file:IN | cat | cat | file:OUT,atomic",
        "file:IN | count: | file:OUT",
        "file:IN | sh -c \"sleep 1000 >/dev/null & exec cat\" | file:OUT",
        "merge(cat IN) | tee(file:OUT, drop: | null:)",
};

/* One run in flight; one with `first` is two pipelines. */
struct run {
        struct sluice_pipeline *p[2];
        const struct shape *shape;
        unsigned running;
        int result[2];
        bool stopped;
        char in[80], out[80], other[80], socket[80];
        size_t from, bytes; /* of the content: no two inputs are the same */
};

static struct {
        char directory[64], sluice[512], mark[48];
        uint8_t *content;
        bool breaks_bytes;
        unsigned long random, runs, commands, stops, wrong, overflows;
        struct sluice_loop *loop;
        struct run runs_in_flight[IN_FLIGHT];
} soak;

struct measured {
        long rss_kib, pipes_bytes;
        int fds, threads, workers, processes, files;
};

static unsigned draw(unsigned below)
{
        soak.random = soak.random * 6364136223846793005UL + 1442695040888963407UL;
        return (unsigned)(soak.random >> 33) % below;
}

__attribute__((format(printf, 2, 3))) static void wrong(const struct run *r, const char *format, ...)
{
        va_list ap;

        soak.wrong++;
        fprintf(stderr, "WRONG: %s%s%s: ", r && r->shape->first ? r->shape->first : "", r && r->shape->first ? " and " : "",
                r ? r->shape->chain : "command");
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
}

/* ---- building ---- */

/* `text` with the names of this run's files in place of IN, OUT, OTHER and SOCKET. */
static void fill_in(char *ret, size_t cap, const char *text, const struct run *r)
{
        const struct {
                const char *word, *with;
        } words[] = { { "IN", r->in }, { "OUT", r->out }, { "OTHER", r->other }, { "SOCKET", r->socket } };
        size_t used = 0;

        while (*text && used + 1 < cap) {
                size_t i, n = 0;

                for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                        if (strncmp(text, words[i].word, n = strlen(words[i].word)) == 0)
                                break;
                if (i < sizeof(words) / sizeof(words[0])) {
                        used += (size_t)snprintf(ret + used, cap - used, "%s", words[i].with);
                        text += n;
                } else {
                        ret[used++] = *text++;
                }
        }
        ret[used < cap ? used : cap - 1] = '\0';
}

static int pass_on(void *arg, struct sluice_stream *io)
{
        char data[16 << 10];
        ssize_t n;

        (void)arg;
        while ((n = sluice_read(io, data, sizeof(data))) > 0) {
                n = sluice_write(io, data, (size_t)n);
                if (n < 0)
                        return (int)n;
        }
        return (int)n;
}

static int add_stage(struct sluice_pipeline *p, char *text)
{
        struct sluice_option option = { 0 };
        struct sluice_text_error e;
        char *argument, *comma;

        if (strcmp(text, "function") == 0)
                return sluice_add_function(p, pass_on, NULL, NULL);
        if (*text == '!')
                return sluice_add_command(p, (char *const[]){ "sh", "-c", text + 1, NULL }, NULL);
        if (strcmp(text, "tee") == 0)
                return sluice_add_tee(p, 0);
        argument = strchr(text, ':');
        if (argument)
                *argument++ = '\0';
        comma = argument ? strchr(argument, ',') : NULL;
        if (comma) {
                *comma = '\0';
                option.name = comma + 1;
        }
        return sluice_add_named(p, text, argument ? argument : "", &option, comma ? 1 : 0, &e);
}

/* Adds the stages of `chain`, each linked to the one before; the first to `from`, unless it is -1. The last one's index. */
static int add_chain(struct sluice_pipeline *p, const char *chain, const struct run *r, int from)
{
        char text[1024], *at = text, *next;

        fill_in(text, sizeof(text), chain, r);
        for (; at; at = next) {
                int stage;

                next = strstr(at, " | ");
                if (next) {
                        *next = '\0';
                        next += 3;
                }
                stage = add_stage(p, at);
                if (stage >= 0 && from >= 0 && sluice_pipeline_link(p, from, stage) < 0)
                        return -1;
                if (stage < 0)
                        return stage;
                from = stage;
        }
        return from;
}

static struct sluice_pipeline *build(const char *chain, const char *const branches[2], const struct run *r)
{
        const struct sluice_options opt = { .size = sizeof(opt),
                                            .driver = (enum sluice_driver)draw(4),
                                            .grace_ms = 50,
                                            .flags =
                                                    SLUICE_EARLY_EXIT_OK | (draw(2) || strstr(chain, "sleep") ? SLUICE_GUARD : 0) };
        struct sluice_pipeline *p;
        int last;

        if (sluice_pipeline_new(&p, &opt) < 0)
                return NULL;
        last = add_chain(p, chain, r, -1);
        for (int i = 0; i < 2 && last >= 0 && branches[i]; i++)
                if (add_chain(p, branches[i], r, last) < 0)
                        last = -1;
        if (last >= 0)
                return p;
        sluice_pipeline_free(p);
        return NULL;
}

/* ---- judging ---- */

static void check_output(const struct run *r, const char *path, bool success)
{
        FILE *f = fopen(path, "re");
        uint8_t *data = malloc(IN_BYTES + 1);
        size_t n;

        if (!f || !data) {
                if (success && r->bytes > 0)
                        wrong(r, "no output");
        } else {
                n = fread(data, 1, IN_BYTES + 1, f);
                if (soak.breaks_bytes && n > 0)
                        data[n / 2] ^= 1;
                if (n > r->bytes || memcmp(data, soak.content + r->from, n) != 0)
                        wrong(r, "%zu bytes are not the beginning of %zu", n, r->bytes);
                else if (success && n != r->bytes)
                        wrong(r, "%zu bytes of %zu, and success", n, r->bytes);
        }
        free(data);
        if (f)
                fclose(f);
}

static void judge(struct run *r)
{
        const char *chain = r->shape->chain;
        bool success = r->result[0] == 0 && r->result[1] == 0;

        for (int i = 0; i < 2; i++) {
                struct sluice_usage u = { .size = sizeof(u) };

                if (!r->p[i])
                        continue;
                if (sluice_pipeline_usage(r->p[i], &u) == 0)
                        soak.overflows += u.overflows;
                if (r->result[i] < 0 && !r->stopped && !r->shape->fails)
                        wrong(r, "%s", sluice_pipeline_error(r->p[i]));
                sluice_pipeline_free(r->p[i]);
                r->p[i] = NULL;
        }
        if (r->shape->fails) {
                if (success && !r->stopped)
                        wrong(r, "success");
        } else if (strstr(chain, "IN") && (success || !r->shape->whole)) {
                check_output(r, r->out, success && !r->stopped);
                if (success && !r->stopped && r->shape->branches[1] && strstr(r->shape->branches[1], "OTHER"))
                        check_output(r, r->other, true);
        } else if (strstr(chain, "atomic") && access(r->out, F_OK) == 0) { /* stopped when it had its name already */
                if (!r->stopped)
                        wrong(r, "failed, and the atomic file is there");
                check_output(r, r->out, true);
        }
        unlink(r->in);
        unlink(r->out);
        unlink(r->other);
        unlink(r->socket);
        soak.runs++;
}

static void done(void *arg, int result)
{
        struct run *r = (struct run *)((uintptr_t)arg & ~(uintptr_t)1);

        r->result[(uintptr_t)arg & 1] = result;
        r->running--;
}

/* ---- running ---- */

static void name_files(struct run *r, const char *of, unsigned long number)
{
        FILE *f;

        snprintf(r->in, sizeof(r->in), "%s/%s%lu.a", soak.directory, of, number);
        snprintf(r->out, sizeof(r->out), "%s/%s%lu.b", soak.directory, of, number);
        snprintf(r->other, sizeof(r->other), "%s/%s%lu.c", soak.directory, of, number);
        snprintf(r->socket, sizeof(r->socket), "%s/%s%lu.s", soak.directory, of, number);
        r->bytes = draw(4) ? draw(IN_BYTES) : draw(3) * 65536;
        if (*of == 'c') /* merge and par end the last line */
                r->bytes -= r->bytes % LINE_BYTES;
        r->from = draw(CONTENT_BYTES - IN_BYTES) / LINE_BYTES * LINE_BYTES;
        f = fopen(r->in, "we");
        if (!f || fwrite(soak.content + r->from, 1, r->bytes, f) != r->bytes || fclose(f) != 0)
                wrong(r, "cannot write its input");
}

static void start(struct run *r)
{
        static const char *const none[2];

        *r = (struct run){ .shape = &shapes[draw(sizeof(shapes) / sizeof(shapes[0]))] };
        name_files(r, "r", soak.runs + (unsigned long)(r - soak.runs_in_flight) * 100000000UL);
        if (r->shape->first) {
                r->p[1] = build(r->shape->first, none, r);
                if (!r->p[1] || sluice_pipeline_start(r->p[1], soak.loop, done, (void *)((uintptr_t)r | 1)) < 0) {
                        wrong(r, "cannot start what listens");
                        return;
                }
                r->running++;
                for (int i = 0; i < 1000 && access(r->socket, F_OK) != 0; i++)
                        sluice_loop_turn(soak.loop, 10);
        }
        r->p[0] = build(r->shape->chain, r->shape->branches, r);
        if (!r->p[0])
                wrong(r, "cannot be built");
        else if (sluice_pipeline_start(r->p[0], soak.loop, done, r) == 0)
                r->running++;
        else
                r->result[0] = -EINVAL;
}

static void run_command(void)
{
        static const struct shape by_command = { .chain = "IN" };
        struct run r = { .shape = &by_command };
        char text[1024];
        const char *of = texts[draw(sizeof(texts) / sizeof(texts[0]))];
        char *argv[] = { soak.sluice, "run", "--grace=50ms", text, NULL };
        posix_spawn_file_actions_t quiet;
        extern char **environ;
        int status = -1;
        pid_t pid;

        name_files(&r, "c", soak.commands++);
        fill_in(text, sizeof(text), of, &r);
        posix_spawn_file_actions_init(&quiet);
        posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
        if (posix_spawn(&pid, soak.sluice, &quiet, NULL, argv, environ) == 0)
                waitpid(pid, &status, 0);
        posix_spawn_file_actions_destroy(&quiet);
        if (status != 0)
                wrong(&r, "%s: status %#x", of, (unsigned)status);
        else if (strstr(of, "OUT"))
                check_output(&r, r.out, true);
        unlink(r.in);
        unlink(r.out);
        unlink(r.other);
}

/* Looks after all of them once; starts others where one has ended, while `more`. Whether any runs. */
static bool turn(bool more)
{
        bool any = false;

        for (int i = 0; i < IN_FLIGHT; i++) {
                struct run *r = &soak.runs_in_flight[i];

                if (r->running) {
                        any = true;
                        if (!r->stopped && draw(400) == 0) {
                                r->stopped = true;
                                soak.stops++;
                                for (int k = 0; k < 2; k++)
                                        if (r->p[k])
                                                sluice_pipeline_stop(r->p[k]);
                        }
                        continue;
                }
                if (r->shape)
                        judge(r);
                r->shape = NULL;
                if (more) {
                        start(r);
                        any = true;
                }
        }
        if (any)
                sluice_loop_turn(soak.loop, 100);
        return any;
}

/* ---- measuring ---- */

static int entries(const char *directory, bool (*wanted)(const char *name))
{
        DIR *d = opendir(directory);
        struct dirent *e;
        int n = 0;

        while (d && (e = readdir(d)))
                n += e->d_name[0] != '.' && (!wanted || wanted(e->d_name));
        if (d)
                closedir(d);
        return n;
}

static void read_text(const char *path, char *buf, size_t cap)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, buf, cap - 1) : 0;

        buf[n > 0 ? n : 0] = '\0';
        if (fd >= 0)
                close(fd);
}

static bool is_worker(const char *task)
{
        char path[300], name[64];

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
        read_text(path, name, sizeof(name));
        return strncmp(name, "iou-", 4) == 0;
}

/* A process that has our mark in its environment, as whatever commands leave behind has, is somebody's; the guard has none. */
static bool is_ours(const char *name)
{
        char path[300], text[64 << 10];
        size_t n, mark = strlen(soak.mark);
        FILE *f;

        if (name[0] < '0' || name[0] > '9' || atoi(name) == getpid())
                return false;
        snprintf(path, sizeof(path), "/proc/%s/environ", name);
        f = fopen(path, "re");
        n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
        if (f)
                fclose(f);
        text[n] = '\0';
        for (const char *at = text; at < text + n; at += strlen(at) + 1)
                if (strncmp(at, soak.mark, mark + 1) == 0)
                        return true;
        return false;
}

static long pipe_bytes(void)
{
        long sum = 0;

        for (int fd = 0; fd < 1024; fd++) {
                long n = fcntl(fd, F_GETPIPE_SZ);

                sum += n > 0 ? n : 0;
        }
        return sum / 2; /* both ends are ours when nothing runs */
}

static struct measured measure(void)
{
        struct measured m;
        char text[4096], *at;

        m.fds = entries("/proc/self/fd", NULL) - 1;
        m.workers = entries("/proc/self/task", is_worker);
        m.threads = entries("/proc/self/task", NULL) - m.workers;
        m.processes = entries("/proc", is_ours);
        m.files = entries(soak.directory, NULL);
        m.pipes_bytes = pipe_bytes();
        read_text("/proc/self/status", text, sizeof(text));
        at = strstr(text, "VmRSS:");
        m.rss_kib = at ? atol(at + 6) : 0;
        return m;
}

static void compare(const struct measured *first, const struct measured *now)
{
        const struct {
                const char *what;
                long now, most;
        } laws[] = {
                { "KiB of memory", now->rss_kib, first->rss_kib + RSS_SLACK_KIB },
                { "descriptors", now->fds, first->fds + FD_SLACK },
                { "threads", now->threads, first->threads + 4 }, /* the helper's, which stay */
                { "workers of io_uring", now->workers, WORKERS_MAX },
                { "processes", now->processes, 0 },
                { "files", now->files, 0 },
                { "bytes of pipes", now->pipes_bytes, first->pipes_bytes + PIPE_SLACK_BYTES },
                { "CQ overflows", (long)soak.overflows, 0 },
        };

        for (size_t i = 0; i < sizeof(laws) / sizeof(laws[0]); i++) {
                if (laws[i].now <= laws[i].most)
                        continue;
                soak.wrong++;
                fprintf(stderr, "WRONG: %ld %s, at most %ld\n", laws[i].now, laws[i].what, laws[i].most);
        }
}

static void leave_process(void)
{
        char *argv[] = { (char *)"sleep", (char *)"3", NULL };
        extern char **environ;
        pid_t pid;

        posix_spawnp(&pid, "sleep", NULL, NULL, argv, environ);
}

static double seconds(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void minute(double length_s)
{
        double end = seconds() + length_s;

        while (seconds() < end) {
                turn(true);
                if (draw(500) == 0)
                        run_command();
        }
        while (turn(false))
                ;
}

static int set_up(const char *program)
{
        const struct sluice_loop_options opt = { .size = sizeof(opt) };
        const char *given = getenv("SLUICE");

        snprintf(soak.directory, sizeof(soak.directory), "/dev/shm/sluice-soak.XXXXXX");
        if (!mkdtemp(soak.directory))
                return -errno;
        snprintf(soak.sluice, sizeof(soak.sluice), "%s", given ? given : program);
        snprintf(soak.mark, sizeof(soak.mark), "SLUICE_SOAK=%d", (int)getpid());
        putenv(soak.mark);
        soak.content = malloc(CONTENT_BYTES + 1);
        if (!soak.content)
                return -ENOMEM;
        for (int i = 0; i < CONTENT_BYTES / LINE_BYTES; i++) /* no two lines are the same */
                snprintf((char *)soak.content + (size_t)i * LINE_BYTES, LINE_BYTES + 1, "%015d\n", i);
        return sluice_loop_new(&soak.loop, &opt);
}

int main(int argc, char **argv)
{
        int minutes = 30, broken_fd = 0, broken_process = 0, r;
        double minute_s = 60;
        struct measured first = { 0 }, now;
        unsigned long seed = (unsigned long)time(NULL);

        for (int i = 1; i < argc; i++) {
                if (sscanf(argv[i], "--minutes=%d", &minutes) == 1 || sscanf(argv[i], "--seed=%lu", &seed) == 1 ||
                    sscanf(argv[i], "--minute-seconds=%lf", &minute_s) == 1)
                        continue;
                if (strcmp(argv[i], "--break=fd") == 0) {
                        broken_fd = 1;
                } else if (strcmp(argv[i], "--break=bytes") == 0) {
                        soak.breaks_bytes = true;
                } else if (strcmp(argv[i], "--break=process") == 0) {
                        broken_process = 1;
                } else {
                        fprintf(stderr, "soak [--minutes=N] [--seed=N] [--minute-seconds=N] [--break=fd|bytes|process]\n");
                        return 2;
                }
        }
        r = set_up(SLUICE_PROGRAM);
        if (r < 0) {
                fprintf(stderr, "soak: %s\n", strerror(-r));
                return 2;
        }
        soak.random = seed;
        printf("seed %lu, %d minutes\n", seed, minutes);
        for (int m = 1; m <= minutes; m++) {
                minute(minute_s);
                for (int k = 0; broken_fd && k < 2 * FD_SLACK; k++)
                        (void)!dup(1);
                if (broken_process)
                        leave_process();
                now = measure();
                if (m == 1)
                        first = now;
                compare(&first, &now);
                printf("minute %d: %lu runs, %lu commands, %lu stopped, %lu wrong; rss %ld KiB, %d fds, %d threads, %d workers, "
                       "%d processes, %ld KiB of pipes, %lu overflows\n",
                       m, soak.runs, soak.commands, soak.stops, soak.wrong, now.rss_kib, now.fds, now.threads, now.workers,
                       now.processes, now.pipes_bytes >> 10, soak.overflows);
                fflush(stdout);
        }
        sluice_loop_free(soak.loop);
        free(soak.content);
        rmdir(soak.directory);
        printf("%s\n", soak.wrong ? "BAD" : "good");
        return soak.wrong != 0;
}
