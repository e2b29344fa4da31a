/* bench/links.c: many links on one loop, from inside a program.
 *
 *      sluice-bench-links memory pipeline|transfer [LINKS]
 *              what a concurrent link from socket to socket costs in memory of this process (RssAnon) and in pipes, as a
 *              pipeline of its own or as a transfer: while it waits, and when bytes have gone through each.
 *      sluice-bench-links latency MESSAGES [FILE]
 *              the time of a message of 64 bytes through a link, while another link of the loop moves FILE to a socket that is
 *              read; without FILE the link is alone. FILE is sent again until the messages are over,
 *              each time from the disk (not so with SLUICE_BENCH_WARM in the environment).
 *
 * One JSON object on standard output. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sluice/sluice.h>
#include <sluice/stages.h>

#include "measure.h"

enum { LINKS = 1000, MESSAGE = 64, USAGE = 2, IDLE_TURNS = 20 };

static int complain(const char *what, const char *why)
{
        fprintf(stderr, "sluice-bench-links: %s: %s\n", what, why);
        return -1;
}

/* ---- what this process has ---- */

static long anonymous_kib(void)
{
        char line[256];
        long kib = 0;
        FILE *f = fopen("/proc/self/status", "re");

        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "RssAnon: %ld", &kib) == 1)
                        break;
        if (f)
                fclose(f);
        return kib;
}

static int pipes_open(void)
{
        DIR *d = opendir("/proc/self/fd");
        struct dirent *e;
        struct stat st;
        int n = 0;

        while (d && (e = readdir(d)))
                n += fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISFIFO(st.st_mode);
        if (d)
                closedir(d);
        return n / 2;
}

/* ---- memory ---- */

struct link_ends {
        int in[2], out[2]; /* we write in[0], the link reads in[1]; it writes out[0], we read out[1] */
        struct sluice_pipeline *pipeline;
};

static size_t ended;

static void pipeline_done(void *arg, int result)
{
        (void)arg;
        ended++;
        if (result < 0)
                complain("a link", strerror(-result));
}

static void transfer_done(void *arg, int64_t result)
{
        pipeline_done(arg, result < 0 ? (int)result : 0);
}

static int open_ends(struct link_ends *e)
{
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, e->in) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, e->out) < 0)
                return complain("sockets", strerror(errno));
        return 0;
}

static int start_pipeline(struct link_ends *e, struct sluice_loop *loop)
{
        const struct sluice_options opt = { .size = sizeof(opt) };
        int r = sluice_pipeline_new(&e->pipeline, &opt);

        if (r < 0)
                return complain("a pipeline", strerror(-r));
        r = sluice_add_fd(e->pipeline, e->in[1], 0);
        r = r < 0 ? r : sluice_add_fd(e->pipeline, e->out[0], 0);
        r = r < 0 ? r : sluice_pipeline_chain(e->pipeline);
        r = r < 0 ? r : sluice_pipeline_start(e->pipeline, loop, pipeline_done, NULL);
        return r < 0 ? complain("a pipeline", sluice_pipeline_error(e->pipeline)) : 0;
}

static int start_transfer(struct link_ends *e, struct sluice_loop *loop)
{
        const struct sluice_transfer t = {
                .size = sizeof(t), .from = e->in[1], .to = e->out[0], .offset_from = -1, .offset_to = -1, .length = -1
        };
        int r = sluice_transfer(loop, &t, transfer_done, NULL);

        return r < 0 ? complain("a transfer", strerror(-r)) : 0;
}

static void idle(struct sluice_loop *loop)
{
        for (int i = 0, quiet = 0; i < 100000 && quiet < IDLE_TURNS; i++)
                quiet = sluice_loop_turn(loop, 1) > 0 ? 0 : quiet + 1;
}

/* A message through every link, which must arrive. */
static int use(struct link_ends *ends, size_t n, struct sluice_loop *loop)
{
        char message[MESSAGE] = "a message", got[MESSAGE];

        for (size_t i = 0; i < n; i++)
                if (write(ends[i].in[0], message, MESSAGE) != MESSAGE)
                        return complain("a message", "was not written");
        idle(loop);
        for (size_t i = 0; i < n; i++)
                if (read(ends[i].out[1], got, MESSAGE) != MESSAGE || memcmp(got, message, MESSAGE) != 0)
                        return complain("a message", "has not arrived");
        return 0;
}

static int end_links(struct link_ends *ends, size_t n, struct sluice_loop *loop)
{
        for (size_t i = 0; i < n; i++)
                shutdown(ends[i].in[0], SHUT_WR);
        while (ended < n)
                if (sluice_loop_turn(loop, 1000) < 0)
                        return complain("the loop", "has failed");
        for (size_t i = 0; i < n; i++) {
                sluice_pipeline_free(ends[i].pipeline);
                for (int side = 0; side < 2; side++) {
                        close(ends[i].in[side]);
                        close(ends[i].out[side]);
                }
        }
        return 0;
}

static int measure_links(int (*start)(struct link_ends *e, struct sluice_loop *loop), size_t n)
{
        struct link_ends *ends = calloc(n + 1, sizeof(*ends));
        struct sluice_loop *loop = NULL;
        long base, waiting, used;
        int pipes_0, pipes_waiting, pipes_used, r;

        r = ends ? sluice_loop_new(&loop, NULL) : -ENOMEM;
        if (r < 0) {
                free(ends);
                return complain("a loop", strerror(-r));
        }
        ended = 0;
        /* The first link pays for what the loop needs once. */
        if ((r = open_ends(&ends[0])) < 0 || (r = start(&ends[0], loop)) < 0 || (r = use(ends, 1, loop)) < 0)
                goto out;
        for (size_t i = 1; i <= n; i++)
                if ((r = open_ends(&ends[i])) < 0)
                        goto out;
        base = anonymous_kib();
        pipes_0 = pipes_open();
        for (size_t i = 1; i <= n; i++)
                if ((r = start(&ends[i], loop)) < 0)
                        goto out;
        idle(loop);
        waiting = anonymous_kib();
        pipes_waiting = pipes_open();
        if ((r = use(ends, n + 1, loop)) < 0)
                goto out;
        idle(loop);
        used = anonymous_kib();
        pipes_used = pipes_open();
        r = end_links(ends, n + 1, loop);
        printf("{\"links\":%zu,\"waiting_bytes\":%.0f,\"used_bytes\":%.0f,\"waiting_pipes\":%d,\"used_pipes\":%d}\n", n,
               (double)(waiting - base) * 1024 / (double)n, (double)(used - base) * 1024 / (double)n, pipes_waiting - pipes_0,
               pipes_used - pipes_0);
out:
        if (r >= 0)
                sluice_loop_free(loop);
        free(ends);
        return r;
}

static int memory_main(const char *kind, size_t n)
{
        struct rlimit limit;

        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < 6 * n + 64)
                return complain("open files", "too few are allowed: raise ulimit -n");
        if (strcmp(kind, "pipeline") == 0)
                return measure_links(start_pipeline, n);
        if (strcmp(kind, "transfer") == 0)
                return measure_links(start_transfer, n);
        return complain(kind, "is neither pipeline nor transfer");
}

/* ---- latency ---- */

static struct latency {
        struct link_ends ping, file;
        size_t messages;
        double *us;
        struct sluice_loop *loop;
        const char *path;
        volatile bool over, failed;
        size_t sent_again;
} lat;

static void *ping_main(void *arg)
{
        char message[MESSAGE] = "ping";

        (void)arg;
        for (size_t i = 0; i < lat.messages && !lat.failed; i++) {
                struct timespec pause = { .tv_nsec = 200000 };
                double begun;
                size_t have = 0;

                nanosleep(&pause, NULL);
                begun = clock_ms();
                lat.failed |= write(lat.ping.in[0], message, MESSAGE) != MESSAGE;
                while (have < MESSAGE && !lat.failed) {
                        ssize_t n = read(lat.ping.out[1], message, MESSAGE - have);

                        lat.failed |= n <= 0;
                        have += n > 0 ? (size_t)n : 0;
                }
                lat.us[i] = (clock_ms() - begun) * 1e3;
        }
        lat.over = true;
        sluice_loop_wake(lat.loop);
        return NULL;
}

static void *read_main(void *arg)
{
        static char block[256 << 10];

        (void)arg;
        while (read(lat.file.out[1], block, sizeof(block)) > 0)
                continue;
        return NULL;
}

static void file_done(void *arg, int64_t result);

static int send_file(void)
{
        int fd = open(lat.path, O_RDONLY | O_CLOEXEC);
        struct sluice_transfer t = {
                .size = sizeof(t), .from = fd, .to = lat.file.out[0], .offset_from = 0, .offset_to = -1, .length = -1
        };

        if (fd < 0)
                return complain(lat.path, strerror(errno));
        if (!getenv("SLUICE_BENCH_WARM"))
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        return sluice_transfer(lat.loop, &t, file_done, (void *)(intptr_t)fd);
}

static void file_done(void *arg, int64_t result)
{
        close((int)(intptr_t)arg);
        lat.failed |= result < 0;
        lat.sent_again++;
        lat.file.in[0] = -1; /* the main loop sends it again: a transfer may not be begun from here while this one ends */
}

static int ascending(const void *a, const void *b)
{
        const double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void blocking(int fd)
{
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

static int latency_main(size_t messages, const char *path)
{
        pthread_t ping, reader;
        size_t n = messages;

        lat.messages = messages;
        lat.path = path;
        lat.us = calloc(messages, sizeof(*lat.us));
        if (!lat.us || sluice_loop_new(&lat.loop, NULL) < 0)
                return complain("a loop", "cannot be made");
        if (open_ends(&lat.ping) < 0 || open_ends(&lat.file) < 0 || start_transfer(&lat.ping, lat.loop) < 0)
                return -1;
        blocking(lat.ping.in[0]);
        blocking(lat.ping.out[1]);
        blocking(lat.file.out[1]);
        lat.file.in[0] = -1;
        if (pthread_create(&ping, NULL, ping_main, NULL) || pthread_create(&reader, NULL, read_main, NULL))
                return complain("a thread", "cannot be made");
        while (!lat.over && !lat.failed) {
                if (path && lat.file.in[0] < 0) {
                        lat.file.in[0] = 0;
                        if (send_file() < 0)
                                return -1;
                }
                sluice_loop_turn(lat.loop, 100);
        }
        pthread_join(ping, NULL);
        if (lat.failed)
                return complain("a message or the file", "has not arrived");
        qsort(lat.us, n, sizeof(*lat.us), ascending);
        printf("{\"messages\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"most_us\":%.1f,\"files\":%zu}\n", n, lat.us[n / 2],
               lat.us[n * 99 / 100], lat.us[n - 1], lat.sent_again);
        fflush(stdout);
        _exit(0); /* the file's link may be in the middle of it */
}

int main(int argc, char **argv)
{
        size_t n = LINKS;

        signal(SIGPIPE, SIG_IGN);
        if (argc >= 3 && argc <= 4 && strcmp(argv[1], "memory") == 0 && (argc < 4 || parse_count(argv[3], 1, &n)))
                return memory_main(argv[2], n) < 0;
        if (argc >= 3 && argc <= 4 && strcmp(argv[1], "latency") == 0 && parse_count(argv[2], 1, &n))
                return latency_main(n, argv[3]) < 0;
        fputs("Usage: sluice-bench-links memory pipeline|transfer [LINKS] | latency MESSAGES [FILE]\n", stderr);
        return USAGE;
}
