/* tools/progress.c: one line on a terminal, redrawn five times a second: bytes, rate now and on the whole, share and
 * time left where the source's length is known, the slowest stage. Reads the library's numbers, touches nothing else. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tools.h"

enum { TICK_MS = 200, QUIET_MS = 300, COLUMNS_DEFAULT = 80, STAGES_MAX = 64 };

struct progress {
        const struct sluice_pipeline *pipeline;
        double started, last;
        unsigned long long last_bytes;
        double rate;
        bool drawn;
        double cpu[STAGES_MAX];
};

static double now_s(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct progress *progress_new(const struct sluice_pipeline *p, bool wanted)
{
        struct progress *g = wanted ? calloc(1, sizeof(*g)) : NULL;

        if (!g)
                return NULL;
        g->pipeline = p;
        g->started = g->last = now_s();
        return g;
}

/* The first link whose bytes are known stands for the pipeline. */
static bool measure(const struct progress *g, unsigned long long *ret_bytes, long long *ret_length)
{
        struct sluice_stats s = { .size = sizeof(s) };

        for (int i = 0; i < sluice_pipeline_links(g->pipeline); i++) {
                if (sluice_pipeline_stats(g->pipeline, i, &s) < 0 || s.bytes.certainty == SLUICE_UNKNOWN)
                        continue;
                *ret_bytes = s.bytes.value;
                *ret_length = s.length;
                return true;
        }
        return false;
}

/* CPU time of a process in seconds, from /proc: fields 14 and 15 of stat, behind the name in parentheses. */
static double cpu_of(pid_t pid)
{
        unsigned long user, system;
        char path[64], text[512], *after;
        double cpu = -1;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return -1;
        if (fgets(text, sizeof(text), f) && (after = strrchr(text, ')')) &&
            sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
                cpu = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
        fclose(f);
        return cpu;
}

/* A command that computes most of the time holds the others up; failing that, the side that links wait for. */
static const char *slowest(struct progress *g, double seconds)
{
        struct sluice_stats s = { .size = sizeof(s) };
        unsigned long long most = 0;
        double best = seconds * 0.5;
        int stage = -1;

        for (int i = 0; i < sluice_pipeline_stages(g->pipeline) && i < STAGES_MAX; i++) {
                pid_t pid = sluice_pipeline_stage_pid(g->pipeline, i);
                double cpu = pid > 0 ? cpu_of(pid) : -1;

                if (cpu >= 0 && cpu - g->cpu[i] > best) {
                        best = cpu - g->cpu[i];
                        stage = i;
                }
                g->cpu[i] = cpu < 0 ? 0 : cpu;
        }
        for (int i = 0; stage < 0 && i < sluice_pipeline_links(g->pipeline); i++) {
                int from, to;

                if (sluice_pipeline_stats(g->pipeline, i, &s) < 0 || s.waits_upstream + s.waits_downstream <= most)
                        continue;
                most = s.waits_upstream + s.waits_downstream;
                sluice_pipeline_link_ends(g->pipeline, i, &from, &to);
                stage = s.waits_upstream > s.waits_downstream ? from : to;
        }
        return stage >= 0 ? sluice_pipeline_stage_name(g->pipeline, stage) : NULL;
}

static int columns(void)
{
        struct winsize w;

        return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : COLUMNS_DEFAULT;
}

static void draw(const char *line)
{
        int room = columns() - 1;

        fprintf(stderr, "\r%.*s\033[K", room, line);
        fflush(stderr);
}

static size_t add_share(char *line, size_t at, size_t cap, unsigned long long bytes, long long length, double rate)
{
        double share = length > 0 ? (double)bytes / (double)length : 0;
        unsigned left_s =
                rate > 0 && (double)length > (double)bytes ? (unsigned)(((double)length - (double)bytes) / rate + 0.5) : 0;
        char bar[21];

        if (length <= 0 || share > 1)
                return at;
        for (int i = 0; i < 20; i++)
                bar[i] = i < (int)(share * 20) ? '=' : i == (int)(share * 20) ? '>' : ' ';
        bar[20] = '\0';
        return at +
               (size_t)snprintf(line + at, cap - at, "  %3.0f%% [%s] %u:%02u left", share * 100, bar, left_s / 60, left_s % 60);
}

void progress_tick(struct progress *g)
{
        double now = now_s(), seconds = g ? now - g->last : 0;
        char line[512], total[32], fast[32], mean[32];
        unsigned long long bytes = 0;
        const char *slow;
        long long length = -1;
        size_t at;

        if (!g || seconds * 1000 < TICK_MS || (now - g->started) * 1000 < QUIET_MS)
                return;
        if (!measure(g, &bytes, &length)) {
                snprintf(line, sizeof(line), "running %.0f s (the processes move the bytes themselves)", now - g->started);
        } else {
                /* Smoothed over about a second, so that a burst does not make it jump. */
                double rate = bytes >= g->last_bytes ? (double)(bytes - g->last_bytes) / seconds : 0;

                g->rate = g->rate > 0 ? g->rate * 0.7 + rate * 0.3 : rate;
                size_text(bytes, total, sizeof(total));
                size_text((unsigned long long)g->rate, fast, sizeof(fast));
                size_text((unsigned long long)((double)bytes / (now - g->started)), mean, sizeof(mean));
                at = (size_t)snprintf(line, sizeof(line), "%s  %s/s (mean %s/s)", total, fast, mean);
                at = add_share(line, at, sizeof(line), bytes, length, g->rate);
                slow = slowest(g, seconds);
                if (slow && at + strlen(slow) + 12 < (size_t)columns()) /* whole or not at all */
                        snprintf(line + at, sizeof(line) - at, "  slowest: %s", slow);
        }
        g->last = now;
        g->last_bytes = bytes;
        g->drawn = true;
        draw(line);
}

void progress_end(struct progress *g, bool success)
{
        char total[32], mean[32];
        unsigned long long bytes;
        long long length;

        if (!g)
                return;
        if (g->drawn) {
                fputs("\r\033[K", stderr);
                if (success && measure(g, &bytes, &length)) {
                        double seconds = now_s() - g->started;

                        size_text(bytes, total, sizeof(total));
                        size_text((unsigned long long)((double)bytes / seconds), mean, sizeof(mean));
                        fprintf(stderr, "%s in %.1f s, %s/s\n", total, seconds, mean);
                }
        }
        free(g);
}
