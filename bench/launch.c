/* bench/launch.c: runs what the harness measures, and says what it took. Nothing of sluice is called here.
 *
 *      sluice-bench-launch [--seconds=N] [--cgroup=DIR] PART... where PART is
 *      --part=NAME [--ready=tcp:PORT|path:PATH] [--term] [--stdin=F] [--stdout=F] [--stderr=F] -- COMMAND... [---]
 *
 * Parts are begun in that order, each when the one before is ready; the last is the main one. The clock runs from the moment
 * the main part may exec until all have ended that are not told to (--term), with everything they left behind: orphans are
 * adopted and waited for. It is a program of its own, in C and small, because a child's peak memory is never less than its
 * parent's was when it was made, and because whoever started it should not be what is measured.
 *
 * A part is forked and put into its cgroup (DIR/NAME, made here) before the clock; then it waits for a byte and execs. So
 * fork and the cgroup, which costs milliseconds to join, are nobody's time. One JSON object on standard output says it all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PARTS_MAX = 16, USAGE = 2, FAILED = 1, GRACE_MS = 5000, POLL_US = 2000 };

struct part {
        const char *name, *ready, *in, *out, *err;
        char cgroup[PATH_MAX]; /* "": none */
        char **argv;
        bool term, ended, begun;
        pid_t pid;
        int go, status;
        long peak_rss_kib;           /* of the largest process of it that was waited for */
        double user_s, system_s;     /* while the clock ran */
        double user_0_s, system_0_s; /* before */
};

static struct launch {
        struct part parts[PARTS_MAX];
        size_t parts_nr;
        const char *cgroup;
        double seconds, deadline_s;
        double rest_user_s, rest_system_s; /* of orphans, by rusage */
        struct rusage used;                /* of all: sums, and the largest maxrss */
        unsigned strays;
        bool late;
} launch;

/* SIGTERM and SIGINT: the run is over, and nothing of it is left. */
static volatile sig_atomic_t stopped;

static double now_s(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double timeval_s(struct timeval t)
{
        return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static bool time_is_over(void)
{
        return stopped || now_s() >= launch.deadline_s;
}

static int complain(const char *what, const char *why)
{
        fprintf(stderr, "sluice-bench-launch: %s: %s\n", what, why);
        return -1;
}

/* ---- what the machine and the cgroups say ---- */

static ssize_t read_text(const char *path, char *ret, size_t cap)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t have = 0;
        ssize_t n = 0;

        if (fd < 0)
                return -errno;
        while (have < cap - 1 && (n = read(fd, ret + have, cap - 1 - have)) > 0)
                have += (size_t)n;
        close(fd);
        ret[have] = 0;
        return n < 0 ? -errno : (ssize_t)have;
}

static double field_of(const char *text, const char *name)
{
        const char *at = strstr(text, name);

        return at ? strtod(at + strlen(name), NULL) : 0;
}

static bool cgroup_cpu(const struct part *p, double *user_s, double *system_s)
{
        char path[PATH_MAX + 16], text[4096];

        if (!p->cgroup[0])
                return false;
        snprintf(path, sizeof(path), "%s/cpu.stat", p->cgroup);
        if (read_text(path, text, sizeof(text)) <= 0)
                return false;
        *user_s = field_of(text, "user_usec ") / 1e6;
        *system_s = field_of(text, "system_usec ") / 1e6;
        return true;
}

/* Of a process and of what it has waited for, in clock ticks: good enough for what a server did before the clock. */
static void process_cpu(pid_t pid, double *user_s, double *system_s)
{
        unsigned long v[4] = { 0 };
        double hz = (double)sysconf(_SC_CLK_TCK);
        char path[64], text[2048], *at;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        if (read_text(path, text, sizeof(text)) > 0 && (at = strrchr(text, ')')))
                sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &v[0], &v[1], &v[2], &v[3]);
        *user_s = (double)(v[0] + v[2]) / hz;
        *system_s = (double)(v[1] + v[3]) / hz;
}

struct machine {
        double busy_s, softirq_s;
};

/* User, nice, system, irq, softirq and steal of all processors; idle and waiting for storage are not work. */
static struct machine machine_cpu(void)
{
        unsigned long long v[8] = { 0 };
        double hz = (double)sysconf(_SC_CLK_TCK);
        char text[4096];

        if (read_text("/proc/stat", text, sizeof(text)) > 0)
                sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]);
        return (struct machine){ (double)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / hz, (double)(v[5] + v[6]) / hz };
}

/* ---- beginning a part ---- */

static int open_as(const char *path, int flags, int as)
{
        int fd = open(path ? path : "/dev/null", flags | O_CLOEXEC, 0644);

        return fd < 0 ? complain(path ? path : "/dev/null", strerror(errno)) : dup2(fd, as);
}

static _Noreturn void become(const struct part *p, int go)
{
        char byte, path[PATH_MAX + 16];
        int fd;

        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (p->cgroup[0]) {
                snprintf(path, sizeof(path), "%s/cgroup.procs", p->cgroup);
                fd = open(path, O_WRONLY | O_CLOEXEC);
                if (fd < 0 || write(fd, "0", 1) != 1)
                        complain(path, strerror(errno));
        }
        if (open_as(p->in, O_RDONLY, STDIN_FILENO) < 0 || open_as(p->out, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO) < 0 ||
            open_as(p->err, O_WRONLY | O_CREAT | O_APPEND, STDERR_FILENO) < 0)
                _exit(126);
        if (read(go, &byte, 1) != 1)
                _exit(0);         /* the launcher has given up */
        signal(SIGPIPE, SIG_DFL); /* ignored here, and that is inherited */
        execvp(p->argv[0], p->argv);
        fprintf(stderr, "%s: %s\n", p->argv[0], strerror(errno));
        _exit(127);
}

static int prepare(struct part *p)
{
        int fds[2], in_cgroup;
        char text[64], path[PATH_MAX + 16];

        if (launch.cgroup) {
                snprintf(p->cgroup, sizeof(p->cgroup), "%s/%s", launch.cgroup, p->name);
                if (mkdir(p->cgroup, 0755) < 0 && errno != EEXIST)
                        p->cgroup[0] = 0;
        }
        if (pipe2(fds, O_CLOEXEC) < 0)
                return complain("pipe", strerror(errno));
        p->pid = fork();
        if (p->pid < 0)
                return complain("fork", strerror(errno));
        if (p->pid == 0) {
                close(fds[1]);
                become(p, fds[0]);
        }
        close(fds[0]);
        p->go = fds[1];
        p->begun = true;
        setpgid(p->pid, p->pid);
        if (!p->cgroup[0])
                return 0;
        /* Not before it is in its cgroup: what it does until then would be somebody else's. */
        snprintf(path, sizeof(path), "%s/cgroup.procs", p->cgroup);
        do {
                in_cgroup = read_text(path, text, sizeof(text)) > 0;
                if (!in_cgroup)
                        usleep(POLL_US / 10);
        } while (!in_cgroup && !time_is_over());
        return 0;
}

static int let_go(struct part *p)
{
        int r = write(p->go, "g", 1) == 1 ? 0 : complain(p->name, "has ended before it began");

        close(p->go);
        p->go = -1;
        return r;
}

/* ---- is it ready ---- */

/* A line is "N: ADDRESS:PORT PEER:PORT STATE ..." in hexadecimal; 0A is LISTEN. */
static bool listens(const char *file, unsigned port)
{
        char line[512];
        unsigned found, state;
        bool yes = false;
        FILE *f = fopen(file, "re");

        while (f && !yes && fgets(line, sizeof(line), f))
                yes = sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &found, &state) == 2 && found == port && state == 0x0a;
        if (f)
                fclose(f);
        return yes;
}

static bool is_ready(const struct part *p)
{
        if (!p->ready)
                return true;
        if (strncmp(p->ready, "tcp:", 4) == 0) {
                unsigned port = (unsigned)strtoul(p->ready + 4, NULL, 10);

                return listens("/proc/net/tcp", port) || listens("/proc/net/tcp6", port);
        }
        return strncmp(p->ready, "path:", 5) == 0 && access(p->ready + 5, F_OK) == 0;
}

/* ---- reaping ---- */

static void add_usage(const struct rusage *used)
{
        launch.used.ru_nvcsw += used->ru_nvcsw;
        launch.used.ru_nivcsw += used->ru_nivcsw;
        if (used->ru_maxrss > launch.used.ru_maxrss)
                launch.used.ru_maxrss = used->ru_maxrss;
}

static void note_end(pid_t pid, int status, const struct rusage *used)
{
        add_usage(used);
        for (size_t i = 0; i < launch.parts_nr; i++) {
                struct part *p = &launch.parts[i];

                if (!p->begun || p->pid != pid)
                        continue;
                p->ended = true;
                p->status = status;
                p->peak_rss_kib = used->ru_maxrss;
                if (!p->cgroup[0]) {
                        p->user_s = timeval_s(used->ru_utime) - p->user_0_s;
                        p->system_s = timeval_s(used->ru_stime) - p->system_0_s;
                }
                return;
        }
        launch.rest_user_s += timeval_s(used->ru_utime);
        launch.rest_system_s += timeval_s(used->ru_stime);
}

/* Waits for one child. 1: one has ended; 0: none is there; -1: the time is over. */
static int reap(int flags)
{
        struct rusage used;
        int status;
        pid_t pid;

        for (;;) {
                pid = wait4(-1, &status, flags | __WALL, &used);
                if (pid > 0) {
                        note_end(pid, status, &used);
                        return 1;
                }
                if (pid == 0 || errno == ECHILD)
                        return 0;
                if (time_is_over())
                        return -1;
        }
}

static bool wanted_ended(void)
{
        for (size_t i = 0; i < launch.parts_nr; i++)
                if (!launch.parts[i].term && !launch.parts[i].ended)
                        return false;
        return true;
}

static bool is_server(pid_t pid)
{
        for (size_t i = 0; i < launch.parts_nr; i++)
                if (launch.parts[i].begun && launch.parts[i].pid == pid)
                        return launch.parts[i].term;
        return false;
}

/* Calls fn for every child but the servers. The kernel may have no such list; then nobody is left as far as one can see. */
static unsigned others(void (*fn)(pid_t pid))
{
        char path[64], text[65536], *at = text, *end;
        unsigned n = 0;

        snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
        if (read_text(path, text, sizeof(text)) <= 0)
                return 0;
        for (long pid; (pid = strtol(at, &end, 10)) > 0 && end > at; at = end) {
                if (is_server((pid_t)pid))
                        continue;
                n++;
                if (fn)
                        fn((pid_t)pid);
        }
        return n;
}

static bool wait_for_the_work(void)
{
        while (!wanted_ended() || others(NULL)) {
                int r = reap(0);

                if (r < 0)
                        return false;
                if (r == 0)
                        return wanted_ended();
        }
        return true;
}

static void kill_one(pid_t pid)
{
        kill(pid, SIGKILL);
        kill(-pid, SIGKILL);
        launch.strays++;
}

static void end_everything(void)
{
        double until = now_s() + GRACE_MS / 1e3;

        for (size_t i = 0; i < launch.parts_nr; i++) {
                struct part *p = &launch.parts[i];

                if (p->begun && !p->ended && p->go >= 0)
                        close(p->go);
                if (p->begun && !p->ended && (p->term || launch.late))
                        kill(-p->pid, SIGTERM);
        }
        launch.deadline_s = until + GRACE_MS / 1e3;
        stopped = 0;
        for (;;) {
                int r = reap(WNOHANG);
                bool any = others(NULL) > 0;

                for (size_t i = 0; i < launch.parts_nr; i++)
                        any |= launch.parts[i].begun && !launch.parts[i].ended;
                if (!any)
                        return;
                if (r <= 0 && now_s() >= until)
                        break;
                if (r <= 0)
                        usleep(POLL_US);
        }
        for (size_t i = 0; i < launch.parts_nr; i++)
                if (launch.parts[i].begun && !launch.parts[i].ended)
                        kill_one(launch.parts[i].pid);
        for (int i = 0; i < 100 && (others(kill_one) || reap(WNOHANG) > 0); i++) {
                reap(WNOHANG);
                usleep(POLL_US);
        }
}

static void clean_cgroups(void)
{
        for (size_t i = 0; i < launch.parts_nr; i++)
                for (int tries = 0; launch.parts[i].cgroup[0] && rmdir(launch.parts[i].cgroup) < 0 && errno == EBUSY && tries < 100;
                     tries++)
                        usleep(POLL_US);
}

/* ---- the run ---- */

static void read_cpu(bool before)
{
        for (size_t i = 0; i < launch.parts_nr; i++) {
                struct part *p = &launch.parts[i];
                double user = 0, system = 0;
                bool known = cgroup_cpu(p, &user, &system);

                if (before && !known && i + 1 < launch.parts_nr)
                        process_cpu(p->pid, &user, &system);
                if (before) {
                        p->user_0_s = user;
                        p->system_0_s = system;
                } else if (known) {
                        p->user_s = user - p->user_0_s;
                        p->system_s = system - p->system_0_s;
                }
        }
}

static int begin_servers(void)
{
        for (size_t i = 0; i + 1 < launch.parts_nr; i++) {
                struct part *p = &launch.parts[i];

                if (prepare(p) < 0 || let_go(p) < 0)
                        return -1;
                while (!is_ready(p)) {
                        reap(WNOHANG);
                        if (p->ended)
                                return complain(p->name, "has ended before it was ready");
                        if (time_is_over())
                                return complain(p->name, "is not ready");
                        usleep(POLL_US);
                }
        }
        return prepare(&launch.parts[launch.parts_nr - 1]);
}

static void print_part(const struct part *p, bool last)
{
        const int status = p->ended ? p->status : -1;

        printf("{\"name\":\"%s\",\"user_s\":%.6f,\"system_s\":%.6f,\"peak_rss_kib\":%ld,\"status\":%d,\"term\":%s}%s", p->name,
               p->user_s, p->system_s, p->peak_rss_kib,
               status < 0            ? -1
               : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                     : WEXITSTATUS(status),
               p->term ? "true" : "false", last ? "" : ",");
}

static void print(double wall_s, struct machine before, struct machine after)
{
        const struct rusage *u = &launch.used;

        printf("{\"wall_s\":%.9f,\"cpu_source\":\"%s\",\"machine_cpu_s\":%.2f,\"machine_softirq_s\":%.2f,\"peak_rss_kib\":%ld,"
               "\"switches_voluntary\":%ld,\"switches_involuntary\":%ld,\"rest_user_s\":%.6f,\"rest_system_s\":%.6f,"
               "\"late\":%s,\"strays\":%u,\"parts\":[",
               wall_s, launch.parts[0].cgroup[0] ? "cgroup" : "rusage", after.busy_s - before.busy_s,
               after.softirq_s - before.softirq_s, u->ru_maxrss, u->ru_nvcsw, u->ru_nivcsw, launch.rest_user_s,
               launch.rest_system_s, launch.late ? "true" : "false", launch.strays);
        for (size_t i = 0; i < launch.parts_nr; i++)
                print_part(&launch.parts[i], i + 1 == launch.parts_nr);
        printf("]}\n");
}

static int run(void)
{
        struct machine before, after;
        double begun, ended;

        if (begin_servers() < 0) {
                launch.late = true;
                end_everything();
                clean_cgroups();
                return FAILED;
        }
        read_cpu(true);
        before = machine_cpu();
        begun = now_s();
        let_go(&launch.parts[launch.parts_nr - 1]);
        launch.late = !wait_for_the_work();
        ended = now_s();
        after = machine_cpu();
        read_cpu(false);
        end_everything();
        clean_cgroups();
        print(ended - begun, before, after);
        return 0;
}

/* ---- words ---- */

static bool option(const char *word, const char *name, const char **ret)
{
        size_t bytes = strlen(name);

        if (strncmp(word, name, bytes) != 0)
                return false;
        *ret = word + bytes;
        return true;
}

static int parse(int argc, char **argv)
{
        struct part *p = NULL;
        const char *value;

        for (int i = 1; i < argc; i++) {
                if (option(argv[i], "--seconds=", &value)) {
                        launch.seconds = strtod(value, NULL);
                } else if (option(argv[i], "--cgroup=", &value)) {
                        launch.cgroup = value;
                } else if (option(argv[i], "--part=", &value)) {
                        if (launch.parts_nr == PARTS_MAX)
                                return complain("parts", "too many");
                        p = &launch.parts[launch.parts_nr++];
                        *p = (struct part){ .name = value, .go = -1 };
                } else if (!p) {
                        return complain(argv[i], "not an option; a part begins with --part=NAME");
                } else if (option(argv[i], "--ready=", &p->ready) || option(argv[i], "--stdin=", &p->in) ||
                           option(argv[i], "--stdout=", &p->out) || option(argv[i], "--stderr=", &p->err)) {
                        continue;
                } else if (strcmp(argv[i], "--term") == 0) {
                        p->term = true;
                } else if (strcmp(argv[i], "--") == 0) {
                        p->argv = &argv[++i];
                        while (argv[i] && strcmp(argv[i], "---") != 0)
                                i++;
                        argv[i] = NULL;
                        if (!p->argv[0])
                                return complain(p->name, "has no command");
                } else {
                        return complain(argv[i], "not an option of a part");
                }
        }
        for (size_t i = 0; i < launch.parts_nr; i++)
                if (!launch.parts[i].argv)
                        return complain(launch.parts[i].name, "has no command");
        return launch.parts_nr ? 0 : complain("parts", "none");
}

static void wake(int signal)
{
        if (signal != SIGALRM)
                stopped = 1;
}

int main(int argc, char **argv)
{
        struct sigaction act = { .sa_handler = wake };
        struct itimerval timer = { .it_interval = { .tv_usec = 200000 } };

        launch.seconds = 60;
        if (parse(argc, argv) < 0)
                return USAGE;
        launch.deadline_s = now_s() + launch.seconds;
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        signal(SIGPIPE, SIG_IGN);
        sigaction(SIGALRM, &act, NULL);
        sigaction(SIGTERM, &act, NULL);
        sigaction(SIGINT, &act, NULL);
        timer.it_value.tv_sec = (time_t)launch.seconds + 1;
        setitimer(ITIMER_REAL, &timer, NULL);
        return run();
}
