/* nothing_left.c: whatever a command makes, and however it is ended, within grace + 1 s nothing of it lives.
 *
 *      nothing_left [--break] [ROUNDS]         SEED=N in the environment draws the same rounds again
 *
 * A round is a mode of the zoo (zoo.c), a containment and a way of ending. It has a process of its own, the host, which
 * runs the pipeline; the driver makes it end and judges: end of file on the FIFO that the zoo holds, and no process with the
 * round's tag that is more than a zombie (/proc lists the dead until somebody reaps them). --break runs without containment
 * something that escapes then: the test must turn red. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sluice/sluice.h>
#include <sluice/stages.h>

enum {
        GRACE_MS = 50,
        ALLOWANCE_MS = 1000,
        HANG_MS = 30000,
        DEADLINE_MS = 200, /* of a run that is ended by one; doubled while the zoo is not up by then */
        DEADLINE_MAX_MS = 12800,
        ROUNDS = 60,
        BREAK_ROUNDS = 2,
        HELPERS = 16,
        CGROUPS = 256,
        HOLD_FD = 9, /* zoo.c */
        EXIT_SKIP = 77,
};

#define NR(a) (sizeof(a) / sizeof((a)[0]))

enum ending { BY_TOKEN, BY_DEADLINE, BY_EOF, BY_ITSELF, BY_TERM, BY_KILL, ENDINGS };

static const char *const ending_names[ENDINGS] = { "a token",     "a deadline",          "an end of file",
                                                   "its own end", "SIGTERM to the host", "SIGKILL of the host" };

/* What the zoo knows; `walk`: SLUICE_CONTAIN_WALK promises to find it. */
static const struct mode {
        const char *name;
        bool walk, exits;
} modes[] = {
        { "doublefork", false, false },    { "setsid", true, false },      { "ignore-term", true, false },
        { "forkloop", false, false },      { "hold-stderr", false, true }, { "self-stop", true, false },
        { "setuid-helper", false, false }, { "all", false, false },
};

static const enum sluice_contain containments[] = { SLUICE_CONTAIN_CGROUP, SLUICE_CONTAIN_GUARD, SLUICE_CONTAIN_PIDNS,
                                                    SLUICE_CONTAIN_WALK };

struct scene {
        const struct mode *mode;
        enum sluice_contain contain;
        enum ending ending;
        bool lacking, refused; /* it cannot be had here; nor any with its containment */
};

/* What the host says when the run is over. */
struct report {
        int result, after; /* of the run; of one more on the same loop */
        enum sluice_contain contain;
        unsigned strays;
};

/* A child of the host that is none of the zoo's: the guard. */
struct helper {
        pid_t pid;
        unsigned long long started;
};

struct round {
        const struct scene *scene;
        bool guard, crossed, warm; /* drawn: options of the pipeline; another run on its loop before it */
        int64_t timeout_ms;
        char fifo[PATH_MAX], tag[16];
        int fifo_fd, control, reports; /* the driver's ends */
        pid_t host;
        int64_t until; /* when nothing may live any more */
        struct helper helpers[HELPERS];
        size_t helpers_nr;
        bool faulty;
};

static struct {
        char directory[64], zoo[PATH_MAX];
        uint64_t random;
        unsigned rounds, done, faults, survivors;
        bool broken;
} all;

/* ---- small things ---- */

static int64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap_ms(long ms)
{
        const struct timespec t = { .tv_nsec = ms * 1000000 };

        nanosleep(&t, NULL);
}

static unsigned draw(unsigned below)
{
        all.random = all.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned)(all.random >> 33) % below;
}

static void die(const char *what)
{
        perror(what);
        exit(1);
}

/* Counts a fault of the round and says it. */
static void fault(struct round *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct round *r, const char *format, ...)
{
        va_list args;

        r->faulty = true;
        printf("FAIL: round %u: %s, %s%s, ended by %s: ", all.done, r->scene->mode->name, sluice_contain_name(r->scene->contain),
               r->guard ? " with a guard" : "", ending_names[r->scene->ending]);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        putchar('\n');
}

/* Waits for `events` on fd, at most until then. */
static bool wait_on(int fd, short events, int64_t until)
{
        struct pollfd p = { .fd = fd, .events = events };
        int64_t left;

        do {
                left = until - now_ms();
                if (poll(&p, 1, left > 0 ? (int)left : 0) > 0)
                        return true;
        } while (left > 0);
        return false;
}

static void close_fd(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

/* ---- the host: what embeds the library ---- */

static struct sluice_cancel *token;

static void on_term(int signal_nr)
{
        (void)signal_nr;
        sluice_cancel_fire(token);
}

/* A byte fires the token; the end of file is the driver's goodbye. */
static void *fire_when_told(void *arg)
{
        char c;

        if (read(*(int *)arg, &c, 1) == 1)
                sluice_cancel_fire(token);
        return NULL;
}

static ssize_t discard(void *arg, const void *data, size_t bytes)
{
        (void)arg;
        (void)data;
        return (ssize_t)bytes;
}

static struct sluice_options options_of(const struct round *r)
{
        return (struct sluice_options){
                .size = sizeof(struct sluice_options),
                .flags = r->guard ? SLUICE_GUARD : 0,
                .grace_ms = GRACE_MS,
                .contain = r->scene->contain,
        };
}

struct outcome {
        bool over;
        int result;
};

static void over(void *arg, int result)
{
        *(struct outcome *)arg = (struct outcome){ true, result };
}

static int run_on(struct sluice_loop *loop, struct sluice_pipeline *p)
{
        struct outcome outcome = { 0 };
        int r = sluice_pipeline_start(p, loop, over, &outcome);

        while (r >= 0 && !outcome.over)
                r = sluice_loop_turn(loop, -1);
        return outcome.over ? outcome.result : r;
}

static int run_true(struct sluice_loop *loop, const struct round *r)
{
        const struct sluice_options opt = options_of(r);
        struct sluice_pipeline *p;
        int result = sluice_pipeline_new(&p, &opt);

        if (result < 0)
                return result;
        result = sluice_add_command(p, (char *const[]){ "true", NULL }, NULL);
        if (result >= 0)
                result = run_on(loop, p);
        sluice_pipeline_free(p);
        return result;
}

/* The zoo reads nothing and writes to a command; what that writes is moved by us, or not. */
static int add_stages(struct sluice_pipeline *p, const struct round *r)
{
        char *const zoo[] = { all.zoo, (char *)(uintptr_t)r->scene->mode->name, (char *)(uintptr_t)r->fifo,
                              (char *)(uintptr_t)r->tag, NULL };
        int result = sluice_add_null(p);

        if (result >= 0)
                result = sluice_add_command(p, zoo, NULL);
        if (result >= 0)
                result = sluice_add_command(p, (char *const[]){ "sh", "-c", "cat; :", (char *)(uintptr_t)r->tag, NULL }, NULL);
        if (result >= 0)
                result = r->crossed ? sluice_add_writer(p, discard, NULL, -1) : sluice_add_null(p);
        return result < 0 ? result : sluice_pipeline_chain(p);
}

static void run_zoo(struct sluice_loop *loop, const struct round *r, struct report *ret)
{
        struct sluice_usage usage = { .size = sizeof(usage) };
        struct sluice_options opt = options_of(r);
        struct sluice_pipeline *p;

        opt.cancel = token;
        opt.timeout_ms = r->timeout_ms;
        ret->result = sluice_pipeline_new(&p, &opt);
        if (ret->result < 0)
                return;
        ret->result = add_stages(p, r);
        if (ret->result >= 0)
                ret->result = run_on(loop, p);
        if (sluice_pipeline_usage(p, &usage) == 0) {
                ret->contain = usage.contain;
                ret->strays = usage.strays;
        }
        sluice_pipeline_free(p);
}

static void run_all(const struct round *r, int reports)
{
        struct report out = { 0 };
        struct sluice_loop *loop;

        if (sluice_loop_new(&loop, NULL) < 0)
                die("a loop");
        if (r->warm)
                out.result = run_true(loop, r);
        if (out.result == 0) {
                run_zoo(loop, r, &out);
                out.after = out.result == -ENOTSUP ? 0 : run_true(loop, r);
        }
        sluice_loop_free(loop);
        if (write(reports, &out, sizeof(out)) != (ssize_t)sizeof(out))
                die("the report");
}

static void be_endable(const struct round *r, int control)
{
        const struct sigaction act = { .sa_handler = on_term, .sa_flags = SA_RESTART };

        if (sluice_cancel_new(&token) < 0)
                die("a token");
        if (r->scene->ending == BY_TERM)
                sigaction(SIGTERM, &act, NULL);
        if (r->scene->ending == BY_EOF && sluice_cancel_on_fd_eof(token, control) < 0)
                die("a token by end of file");
}

/* Its exit status: whether it still has children. */
static int host(const struct round *r, int control, int reports, pid_t driver)
{
        bool told = r->scene->ending == BY_TOKEN;
        pthread_t thread;

        signal(SIGPIPE, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != driver)
                return 1;
        be_endable(r, control);
        if (told && pthread_create(&thread, NULL, fire_when_told, &control) != 0)
                die("a thread");
        run_all(r, reports);
        if (told)
                pthread_join(thread, NULL);
        signal(SIGTERM, SIG_IGN); /* it may come only now: who ended by himself */
        sluice_cancel_unref(token);
        return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0 : 1;
}

/* ---- what /proc says ---- */

struct stat_of {
        char state;
        pid_t parent;
        unsigned long long started;
};

static ssize_t read_proc(pid_t pid, const char *name, char *buf, size_t cap)
{
        char path[64];
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        n = read(fd, buf, cap - 1);
        close(fd);
        if (n >= 0)
                buf[n] = '\0';
        return n;
}

/* False: there is none, or a zombie. */
static bool read_stat(pid_t pid, struct stat_of *ret)
{
        char text[1024], *at;

        if (read_proc(pid, "stat", text, sizeof(text)) <= 0)
                return false;
        at = strrchr(text, ')');
        if (!at || sscanf(at + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ret->state,
                          &ret->parent, &ret->started) != 3)
                return false;
        return ret->state != 'Z' && ret->state != 'X';
}

static bool has_tag(pid_t pid, const struct round *r)
{
        char text[8192];
        ssize_t n = read_proc(pid, "cmdline", text, sizeof(text));

        return n > 0 && memmem(text, (size_t)n, r->tag, strlen(r->tag) + 1);
}

static bool holds_fifo(pid_t pid, const struct round *r)
{
        char path[64], target[PATH_MAX];
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, HOLD_FD);
        n = readlink(path, target, sizeof(target));
        return n == (ssize_t)strlen(r->fifo) && memcmp(target, r->fifo, (size_t)n) == 0;
}

static bool is_survivor(pid_t pid, const struct round *r)
{
        struct stat_of st;

        return (has_tag(pid, r) || holds_fifo(pid, r)) && read_stat(pid, &st);
}

typedef void each_fn(struct round *r, pid_t pid);

/* Calls fn (NULL: nothing) for every process of which `is` is true; returns their number. */
static unsigned each_process(struct round *r, bool (*is)(pid_t, const struct round *), each_fn *fn)
{
        DIR *d = opendir("/proc");
        struct dirent *e;
        unsigned n = 0;

        if (!d)
                die("/proc");
        while ((e = readdir(d))) {
                pid_t pid = (pid_t)atoi(e->d_name);

                if (pid <= 0 || !is(pid, r))
                        continue;
                n++;
                if (fn)
                        fn(r, pid);
        }
        closedir(d);
        return n;
}

static bool is_helper(pid_t pid, const struct round *r)
{
        struct stat_of st;

        return read_stat(pid, &st) && st.parent == r->host && !is_survivor(pid, r);
}

static void note_helper(struct round *r, pid_t pid)
{
        struct stat_of st;

        if (r->helpers_nr < HELPERS && read_stat(pid, &st))
                r->helpers[r->helpers_nr++] = (struct helper){ pid, st.started };
}

static bool helper_lives(const struct helper *h)
{
        struct stat_of st;

        return read_stat(h->pid, &st) && st.started == h->started;
}

static void say_survivor(struct round *r, pid_t pid)
{
        struct stat_of st = { .state = '?' };
        char text[512];
        ssize_t n = read_proc(pid, "cmdline", text, sizeof(text));

        (void)r;
        read_stat(pid, &st);
        for (ssize_t i = 0; i < n - 1; i++)
                if (!text[i])
                        text[i] = ' ';
        printf("  survivor %d, state %c, parent %d: %s\n", (int)pid, st.state, (int)st.parent, n > 0 ? text : "");
}

static void kill_one(struct round *r, pid_t pid)
{
        (void)r;
        kill(pid, SIGKILL);
}

/* ---- one round ---- */

static void start_host(struct round *r)
{
        pid_t driver = getpid();
        int control[2], reports[2];

        if (pipe2(control, O_CLOEXEC) < 0 || pipe2(reports, O_CLOEXEC) < 0)
                die("a pipe");
        fflush(stdout);
        r->host = fork();
        if (r->host < 0)
                die("fork");
        if (r->host == 0) {
                close(r->fifo_fd);
                close(control[1]);
                close(reports[0]);
                exit(host(r, control[0], reports[1], driver));
        }
        close(control[0]);
        close(reports[1]);
        r->control = control[1];
        r->reports = reports[0];
}

static void begin(struct round *r)
{
        snprintf(r->tag, sizeof(r->tag), "zoo-%d-%u", (int)getpid() % 100000, all.done % 10000);
        snprintf(r->fifo, sizeof(r->fifo), "%s/%s", all.directory, r->tag);
        if (mkfifo(r->fifo, 0622) < 0)
                die(r->fifo);
        r->fifo_fd = open(r->fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (r->fifo_fd < 0)
                die(r->fifo);
        start_host(r);
}

enum up { UP, LACKS, OVER, HANGS };

/* Waits until the zoo says that it is there, or the host that all is over. */
static enum up wait_up(struct round *r)
{
        struct pollfd p[2] = { { .fd = r->fifo_fd, .events = POLLIN }, { .fd = r->reports, .events = POLLIN } };
        int64_t until = now_ms() + HANG_MS;
        char c;

        while (now_ms() < until) {
                poll(p, 2, (int)(until - now_ms()));
                if (read(r->fifo_fd, &c, 1) == 1)
                        return c == 'u' ? UP : LACKS;
                if (p[1].revents)
                        return OVER;
                if (p[0].revents & POLLHUP)
                        p[0].fd = -1; /* it went before it was up; the host will say why */
        }
        return HANGS;
}

/* From now on the time is running. */
static void end(struct round *r)
{
        int64_t longest = GRACE_MS + ALLOWANCE_MS;

        if (r->scene->ending == BY_KILL)
                each_process(r, is_helper, note_helper);
        r->until = now_ms() + longest + (r->scene->ending == BY_DEADLINE ? r->timeout_ms : 0);
        if (r->scene->ending == BY_TOKEN && write(r->control, "c", 1) != 1)
                fault(r, "the host does not listen");
        if (r->scene->ending == BY_EOF)
                close_fd(&r->control);
        if (r->scene->ending == BY_TERM)
                kill(r->host, SIGTERM);
        if (r->scene->ending == BY_KILL)
                kill(r->host, SIGKILL);
}

/* The last of those that hold the FIFO has gone. */
static bool wait_fifo_end(struct round *r)
{
        char data[256];
        ssize_t n;

        do {
                n = read(r->fifo_fd, data, sizeof(data));
                if (n == 0)
                        return true;
        } while (n > 0 || wait_on(r->fifo_fd, POLLIN, r->until));
        return false;
}

/* Nobody with the tag is left either: those that closed the FIFO. There is no event for that. */
static bool wait_tag_end(struct round *r)
{
        while (each_process(r, is_survivor, NULL) > 0) {
                if (now_ms() >= r->until)
                        return false;
                nap_ms(5);
        }
        return true;
}

static bool wait_helpers_end(struct round *r)
{
        for (size_t i = 0; i < r->helpers_nr; i++)
                while (helper_lives(&r->helpers[i])) {
                        if (now_ms() >= r->until)
                                return false;
                        nap_ms(5);
                }
        return true;
}

static void judge_survivors(struct round *r)
{
        unsigned left;

        if (wait_fifo_end(r) && wait_tag_end(r))
                return;
        left = each_process(r, is_survivor, NULL);
        all.survivors += left ? left : 1;
        fault(r, "%u processes survived", left);
        each_process(r, is_survivor, say_survivor);
}

static bool result_is_right(const struct round *r, int result)
{
        if (r->scene->mode->exits && result == 0)
                return true; /* it came to its end before it was ended */
        if (r->scene->ending == BY_DEADLINE)
                return result == -ETIMEDOUT;
        return r->scene->ending != BY_ITSELF && result == -ECANCELED;
}

static void judge_report(struct round *r, const struct report *report)
{
        if (!result_is_right(r, report->result))
                fault(r, "the run's result is %d (%s)", report->result, strerror(-report->result));
        if (report->after)
                fault(r, "the next run on the loop gave %d (%s)", report->after, strerror(-report->after));
        if (report->contain != r->scene->contain)
                fault(r, "contained by %s", sluice_contain_name(report->contain));
        if (r->scene->ending == BY_ITSELF && r->scene->contain != SLUICE_CONTAIN_PIDNS && !report->strays)
                fault(r, "it says that nothing had been left behind");
}

static void judge_run(struct round *r)
{
        struct report report;

        if (!wait_on(r->reports, POLLIN, r->until))
                fault(r, "the run has not ended");
        else if (read(r->reports, &report, sizeof(report)) != (ssize_t)sizeof(report))
                fault(r, "the host has died");
        else
                judge_report(r, &report);
}

static void reap_host(struct round *r)
{
        int64_t until = now_ms() + HANG_MS;
        int status;

        close_fd(&r->control);
        while (waitpid(r->host, &status, WNOHANG) == 0) {
                if (now_ms() < until) {
                        nap_ms(2);
                        continue;
                }
                fault(r, "the host does not end");
                kill(r->host, SIGKILL);
                until = INT64_MAX;
        }
        if (r->scene->ending != BY_KILL && status != 0)
                fault(r, "the host left something, or worse: wait status %#x", (unsigned)status);
}

/* Whatever the engine left is ended by us: hoppers and sleepers as soon as nobody reads the FIFO, the rest by force. */
static void clean_up(struct round *r)
{
        int64_t until = now_ms() + 5000;

        close_fd(&r->fifo_fd);
        close_fd(&r->reports);
        while (each_process(r, is_survivor, kill_one) > 0 && now_ms() < until)
                nap_ms(10);
        for (size_t i = 0; i < r->helpers_nr; i++)
                if (helper_lives(&r->helpers[i]))
                        kill(r->helpers[i].pid, SIGKILL);
        unlink(r->fifo);
}

static void judge(struct round *r)
{
        judge_survivors(r);
        if (r->scene->ending != BY_KILL)
                judge_run(r);
        else if (!wait_helpers_end(r))
                fault(r, "a helper of the host lives on");
}

/* It was over before it was up: refused, or its deadline was too short. True: again. */
static bool over_too_soon(struct round *r, struct scene *scene)
{
        struct report report = { 0 };

        if (read(r->reports, &report, sizeof(report)) != (ssize_t)sizeof(report)) {
                fault(r, "the host has died early");
        } else if (report.result == -ENOTSUP || report.result == -EPERM || report.result == -EACCES) {
                printf("skipped: containment by %s: %s\n", sluice_contain_name(scene->contain), strerror(-report.result));
                scene->lacking = scene->refused = true;
        } else if (report.result == -ETIMEDOUT && r->timeout_ms && r->timeout_ms < DEADLINE_MAX_MS) {
                return true;
        } else {
                fault(r, "it never came up: %d (%s)", report.result, strerror(-report.result));
        }
        return false;
}

/* True: it was over before it was up, and with more time it may not be. */
static bool play(struct round *r, struct scene *scene)
{
        enum up up;
        bool again = false;

        begin(r);
        up = wait_up(r);
        if (up == UP) {
                end(r);
                judge(r);
        } else if (up == LACKS) {
                printf("skipped: %s under %s: it cannot be had here\n", scene->mode->name, sluice_contain_name(scene->contain));
                scene->lacking = true;
        } else if (up == OVER) {
                again = over_too_soon(r, scene);
        } else {
                fault(r, "it never came up");
        }
        if (up == HANGS)
                kill(r->host, SIGKILL);
        reap_host(r);
        clean_up(r);
        return again;
}

/* ---- all rounds ---- */

static bool needs_guard(const struct scene *s)
{
        return s->ending == BY_KILL || s->contain == SLUICE_CONTAIN_GUARD || s->contain == SLUICE_CONTAIN_PIDNS;
}

static void play_until_up(struct scene *scene)
{
        struct round r;
        int64_t timeout_ms = scene->ending == BY_DEADLINE ? DEADLINE_MS : 0;
        bool again;

        do {
                r = (struct round){
                        .scene = scene,
                        .guard = needs_guard(scene) || (!all.broken && draw(2)),
                        .crossed = draw(2),
                        .warm = draw(2),
                        .timeout_ms = timeout_ms,
                };
                again = play(&r, scene);
                timeout_ms *= 2;
        } while (again);
        if (!scene->lacking)
                all.done++;
        all.faults += r.faulty;
}

static bool is_scene(const struct scene *s)
{
        if (s->contain == SLUICE_CONTAIN_WALK && !s->mode->walk)
                return false;
        return s->ending != BY_ITSELF || s->mode->exits;
}

static size_t make_scenes(struct scene *ret)
{
        size_t n = 0;

        for (size_t m = 0; m < NR(modes); m++)
                for (size_t c = 0; c < NR(containments); c++)
                        for (enum ending e = 0; e < ENDINGS; e++) {
                                struct scene s = { .mode = &modes[m], .contain = containments[c], .ending = e };

                                if (is_scene(&s))
                                        ret[n++] = s;
                        }
        return n;
}

static void shuffle(struct scene *scenes, size_t n)
{
        for (size_t i = n; i > 1; i--) {
                size_t j = draw((unsigned)i);
                struct scene s = scenes[j];

                scenes[j] = scenes[i - 1];
                scenes[i - 1] = s;
        }
}

static size_t without_lacking(struct scene *scenes, size_t n)
{
        size_t kept = 0;

        for (size_t i = 0; i < n; i++)
                if (!scenes[i].lacking)
                        scenes[kept++] = scenes[i];
        return kept;
}

/* What cannot be had is not asked for again. */
static void spread_lack(struct scene *scenes, size_t n, const struct scene *of)
{
        for (size_t i = 0; of->lacking && i < n; i++)
                if (scenes[i].contain == of->contain && (of->refused || scenes[i].mode == of->mode))
                        scenes[i].lacking = true;
}

static void play_all(struct scene *scenes, size_t n)
{
        while (n > 0 && all.done < all.rounds) {
                shuffle(scenes, n);
                for (size_t i = 0; i < n && all.done < all.rounds; i++) {
                        if (scenes[i].lacking)
                                continue;
                        play_until_up(&scenes[i]);
                        spread_lack(scenes, n, &scenes[i]);
                }
                n = without_lacking(scenes, n);
        }
}

static void play_broken(void)
{
        struct scene scene = { .mode = &modes[0], .contain = SLUICE_CONTAIN_NONE, .ending = BY_TOKEN };

        while (all.done < all.rounds && !scene.lacking)
                play_until_up(&scene);
}

/* ---- cgroups that somebody left ---- */

struct cgroups {
        char paths[CGROUPS][256];
        size_t nr;
};

static bool cgroup_mount(char *ret, size_t cap)
{
        FILE *f = fopen("/proc/self/mountinfo", "re");
        char line[4096], path[1024];
        bool found = false;

        while (f && !found && fgets(line, sizeof(line), f))
                found = strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %1023s", path) == 1;
        if (f)
                fclose(f);
        if (found)
                snprintf(ret, cap, "%s", path);
        return found;
}

static void list_cgroups(const char *path, struct cgroups *c)
{
        DIR *d = opendir(path);
        struct dirent *e;
        char below[PATH_MAX];

        while (d && (e = readdir(d))) {
                if (e->d_type != DT_DIR || e->d_name[0] == '.')
                        continue;
                if (snprintf(below, sizeof(below), "%s/%s", path, e->d_name) >= (int)sizeof(below))
                        continue;
                if (strncmp(e->d_name, "sluice-", 7) == 0 && c->nr < CGROUPS)
                        snprintf(c->paths[c->nr++], sizeof(c->paths[0]), "%.255s", below);
                list_cgroups(below, c);
        }
        if (d)
                closedir(d);
}

static void find_cgroups(struct cgroups *ret)
{
        char path[1024];

        ret->nr = 0;
        if (cgroup_mount(path, sizeof(path)))
                list_cgroups(path, ret);
}

static bool was_there(const struct cgroups *before, const char *path)
{
        for (size_t i = 0; i < before->nr; i++)
                if (strcmp(before->paths[i], path) == 0)
                        return true;
        return false;
}

static unsigned new_cgroups(const struct cgroups *before, bool say)
{
        struct cgroups after;
        unsigned n = 0;

        find_cgroups(&after);
        for (size_t i = 0; i < after.nr; i++) {
                if (was_there(before, after.paths[i]))
                        continue;
                n++;
                if (say)
                        printf("FAIL: cgroup left: %s\n", after.paths[i]);
                if (say)
                        rmdir(after.paths[i]);
        }
        return n;
}

/* The guard of a host that was killed removes them: it has as long as for the rest. */
static unsigned cgroups_left(const struct cgroups *before)
{
        int64_t until = now_ms() + GRACE_MS + ALLOWANCE_MS;

        while (new_cgroups(before, false) > 0 && now_ms() < until)
                nap_ms(10);
        return new_cgroups(before, true);
}

/* ---- main ---- */

static void find_zoo(void)
{
        ssize_t n = readlink("/proc/self/exe", all.zoo, sizeof(all.zoo) - sizeof("/zoo"));
        char *slash;

        all.zoo[n > 0 ? n : 0] = '\0';
        slash = strrchr(all.zoo, '/');
        if (!slash)
                die("/proc/self/exe");
        strcpy(slash, "/zoo");
        if (access(all.zoo, X_OK) < 0)
                die(all.zoo);
}

static void read_arguments(int argc, char **argv)
{
        const char *seed = getenv("SEED");

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--break") == 0)
                        all.broken = true;
                else
                        all.rounds = (unsigned)atoi(argv[i]);
        }
        if (all.rounds == 0)
                all.rounds = all.broken ? BREAK_ROUNDS : ROUNDS;
        all.random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 20;
        printf("seed %llu, %u rounds\n", (unsigned long long)all.random, all.rounds);
        setvbuf(stdout, NULL, _IOLBF, 0);
}

static int verdict(unsigned cgroups)
{
        printf("%u rounds done, %u of them faulty, %u survivors, %u cgroups left\n", all.done, all.faults, all.survivors, cgroups);
        if (all.broken)
                return all.survivors > 0; /* what it was made to find, and nothing else, turns it red */
        if (all.done == 0 && all.faults == 0)
                return EXIT_SKIP;
        return all.faults > 0 || cgroups > 0;
}

int main(int argc, char **argv)
{
        static struct scene scenes[NR(modes) * NR(containments) * ENDINGS];
        static struct cgroups before;
        unsigned cgroups;

        read_arguments(argc, argv);
        find_zoo();
        signal(SIGPIPE, SIG_IGN);
        strcpy(all.directory, "/dev/shm/sluice-zoo-XXXXXX");
        if (!mkdtemp(all.directory))
                die(all.directory);
        chmod(all.directory, 0711);
        find_cgroups(&before);
        if (all.broken)
                play_broken();
        else
                play_all(scenes, make_scenes(scenes));
        cgroups = cgroups_left(&before);
        rmdir(all.directory);
        return verdict(cgroups);
}
