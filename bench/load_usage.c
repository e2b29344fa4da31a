/* bench/load_usage.c: what /proc and the clocks say that a run cost. Calls the kernel. */
#include "load_usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TREE_MAX = 8192, TEXT_MAX = 64 * 1024, PATH_BYTES = 64 };

static double seconds_of(struct timespec t)
{
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double ticks_s(uint64_t ticks)
{
        return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

int64_t usage_thread_ns(pthread_t thread)
{
        struct timespec t;
        clockid_t clock;

        if (pthread_getcpuclockid(thread, &clock) || clock_gettime(clock, &t))
                return 0;
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double timeval_s(struct timeval t)
{
        return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* Without the thread that asks: it looks on, and is no end. */
void usage_ends_read(struct usage_ends *ret)
{
        struct rusage all, own;

        getrusage(RUSAGE_SELF, &all);
        getrusage(RUSAGE_THREAD, &own);
        ret->user_s = timeval_s(all.ru_utime) - timeval_s(own.ru_utime);
        ret->system_s = timeval_s(all.ru_stime) - timeval_s(own.ru_stime);
        ret->switches_voluntary = (uint64_t)(all.ru_nvcsw - own.ru_nvcsw);
        ret->switches_involuntary = (uint64_t)(all.ru_nivcsw - own.ru_nivcsw);
}

void usage_ends_since(struct usage_ends *now, const struct usage_ends *then)
{
        now->user_s = fmax(0, now->user_s - then->user_s); /* estimates, which may go back */
        now->system_s = fmax(0, now->system_s - then->system_s);
        now->clients_s -= then->clients_s;
        now->sink_s -= then->sink_s;
        now->switches_voluntary -= then->switches_voluntary;
        now->switches_involuntary -= then->switches_involuntary;
}

/* ---- a file of /proc, whole; its length, negative: gone ---- */

static ssize_t text_read(const char *path, char *ret, size_t cap)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t bytes = 0;
        ssize_t n = 1;

        if (fd < 0)
                return -errno;
        while (bytes < cap - 1 && (n = read(fd, ret + bytes, cap - 1 - bytes)) > 0)
                bytes += (size_t)n;
        close(fd);
        ret[bytes] = 0;
        return n < 0 ? -ESRCH : (ssize_t)bytes;
}

/* The number after `name` at the beginning of a line; 0: not there. */
static uint64_t text_number(const char *text, const char *name)
{
        const size_t bytes = strlen(name);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (!strncmp(line, name, bytes))
                        return strtoull(line + bytes, NULL, 10);
        }
        return 0;
}

/* ---- a tree of processes ---- */

struct tree {
        pid_t pids[TREE_MAX];
        size_t nr;
        char *text;
};

static void tree_add(struct tree *t, pid_t pid)
{
        for (size_t i = 0; i < t->nr; i++)
                if (t->pids[i] == pid)
                        return;
        if (t->nr < TREE_MAX)
                t->pids[t->nr++] = pid;
}

/* Thread `tid`'s children are the process's, and are added behind it. */
static void thread_read(struct tree *t, pid_t pid, pid_t tid, struct usage_relay *sum)
{
        char path[PATH_BYTES], *at, *end;

        snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
        if (text_read(path, t->text, TEXT_MAX) < 0)
                return;
        sum->threads++;
        sum->switches_voluntary += text_number(t->text, "voluntary_ctxt_switches:");
        sum->switches_involuntary += text_number(t->text, "nonvoluntary_ctxt_switches:");
        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
        if (text_read(path, t->text, TEXT_MAX) < 0)
                return;
        for (at = t->text; *at; at = end) {
                long child = strtol(at, &end, 10);

                if (end == at)
                        break;
                tree_add(t, (pid_t)child);
        }
}

static void memory_read(struct tree *t, pid_t pid, struct usage_relay *sum)
{
        char path[PATH_BYTES];

        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        if (text_read(path, t->text, TEXT_MAX) < 0)
                return;
        sum->rss_kib += text_number(t->text, "VmRSS:");
        sum->rss_most_kib += text_number(t->text, "VmHWM:");
        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        if (text_read(path, t->text, TEXT_MAX) > 0)
                sum->pss_kib += text_number(t->text, "Pss:");
}

/* The process's clock is exact and counts its threads that have ended; of children that have ended /proc alone knows. */
static int time_read(struct tree *t, pid_t pid, struct usage_relay *sum)
{
        unsigned long user = 0, system = 0, children_user = 0, children_system = 0;
        char path[PATH_BYTES], *name_end;
        struct timespec own = { 0 };
        clockid_t clock;

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        if (text_read(path, t->text, TEXT_MAX) < 0)
                return -ESRCH;
        name_end = strrchr(t->text, ')');
        if (!name_end || sscanf(name_end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &user, &system,
                                &children_user, &children_system) != 4)
                return -ESRCH;
        sum->user_s += ticks_s(user + children_user);
        sum->system_s += ticks_s(system + children_system);
        if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &own))
                sum->cpu_s += ticks_s(user + system); /* it has ended, and waits to be waited for */
        sum->cpu_s += seconds_of(own) + ticks_s(children_user + children_system);
        return 0;
}

static int process_read(struct tree *t, pid_t pid, struct usage_relay *sum)
{
        char path[PATH_BYTES];
        struct dirent *entry;
        DIR *threads;

        if (time_read(t, pid, sum))
                return -ESRCH;
        sum->processes++;
        memory_read(t, pid, sum);
        snprintf(path, sizeof(path), "/proc/%d/task", pid);
        threads = opendir(path);
        while (threads && (entry = readdir(threads)))
                if (entry->d_name[0] != '.')
                        thread_read(t, pid, (pid_t)strtol(entry->d_name, NULL, 10), sum);
        if (threads)
                closedir(threads);
        return 0;
}

/* Ended children leave the tree while it is read: only the roots must be there. */
int usage_relay_read(const pid_t *pids, size_t nr, struct usage_relay *ret)
{
        struct tree *t = malloc(sizeof(*t));
        int error = -ENOMEM;

        *ret = (struct usage_relay){ .processes = 0 };
        if (!t)
                return error;
        t->nr = 0;
        t->text = malloc(TEXT_MAX);
        if (!t->text)
                goto out;
        for (size_t i = 0; i < nr; i++)
                tree_add(t, pids[i]);
        error = 0;
        for (size_t i = 0; i < t->nr; i++) {
                const int gone = process_read(t, t->pids[i], ret);

                if (gone && i < nr)
                        error = gone;
        }
out:
        free(t->text);
        free(t);
        return error;
}

void usage_relay_since(struct usage_relay *now, const struct usage_relay *then)
{
        now->cpu_s -= then->cpu_s;
        now->user_s -= then->user_s;
        now->system_s -= then->system_s;
        /* A thread takes its switches with it when it ends. */
        now->switches_voluntary -=
                then->switches_voluntary < now->switches_voluntary ? then->switches_voluntary : now->switches_voluntary;
        now->switches_involuntary -=
                then->switches_involuntary < now->switches_involuntary ? then->switches_involuntary : now->switches_involuntary;
}

/* ---- the machine ---- */

void usage_machine_read(struct usage_machine *ret)
{
        unsigned long long user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
        char *text = malloc(TEXT_MAX), *memory;

        *ret = (struct usage_machine){ .switches = 0 };
        if (!text)
                return;
        if (text_read("/proc/stat", text, TEXT_MAX) > 0) {
                sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq, &softirq,
                       &steal);
                ret->switches = text_number(text, "ctxt");
        }
        ret->user_s = ticks_s(user + nice);
        ret->system_s = ticks_s(system);
        ret->idle_s = ticks_s(idle + iowait);
        ret->irq_s = ticks_s(irq);
        ret->softirq_s = ticks_s(softirq);
        ret->steal_s = ticks_s(steal);
        if (text_read("/proc/meminfo", text, TEXT_MAX) > 0)
                ret->available_kib = (int64_t)text_number(text, "MemAvailable:");
        if (text_read("/proc/net/sockstat", text, TEXT_MAX) > 0 && (memory = strstr(text, " mem ")))
                ret->socket_kib = strtoll(memory + 5, NULL, 10) * sysconf(_SC_PAGESIZE) / 1024; /* the first is TCP's */
        free(text);
}

void usage_machine_since(struct usage_machine *now, const struct usage_machine *then)
{
        now->user_s -= then->user_s;
        now->system_s -= then->system_s;
        now->irq_s -= then->irq_s;
        now->softirq_s -= then->softirq_s;
        now->steal_s -= then->steal_s;
        now->idle_s -= then->idle_s;
        now->switches -= then->switches;
}
