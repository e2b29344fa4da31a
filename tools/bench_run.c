/* tools/bench_run.c: one side of `sluice bench`, from its start to the end of the last process that it made. Called by
 * bench_rounds.c and bench_files.c; knows nothing of pipelines.
 *
 *      this process --+-- the side (a process group of its own) -- whatever it starts
 *                     |        stdout --> a pipe --> /dev/null by splice(2), or the hasher
 *                     |        stderr --> a pipe --> the last of it is kept
 *                     +-- the hasher: `sluice run '- | checksum: | null:'`, in rounds that do not count
 *
 * This process is a subreaper: orphans become its children, so that all are waited for, and wait4() says what each has used. Not
 * counted is only what the children of a process used which ignores SIGCHLD: the kernel forgets it. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "children.h"

enum {
        PIPE_BYTES = 1 << 20,
        TAIL_BYTES = 1 << 20, /* as much as a report of 256 stages needs */
        STRAY_MS = 1000,      /* for what is left after the side itself to end, as a guard does */
        GRACE_MS = 5000,      /* from SIGTERM to SIGKILL: longer than that of `sluice run` */
        KILL_MS = 5000,
        KILL_AGAIN_MS = 20,
};

enum phase { PHASE_RUNNING, PHASE_LEFT, PHASE_TERM, PHASE_KILL, PHASE_GIVEN_UP };

/* What hangs on one run. Descriptors that are not open are -1. */
struct run {
        struct bench_run *r;
        pid_t side, hasher;
        bool side_over, all_over;
        int hasher_status;
        enum phase phase;
        double begun_s, phase_ends_s;
        int out, err, report;
};

static int signals_fd = -1, null_fd = -1;
static sigset_t signals_before, signals_ours;
static int ended_by;

static double now_s(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct signalling {
        int signal;
        pid_t spared;
};

static bool signal_child(pid_t pid, const void *arg)
{
        const struct signalling *s = arg;

        return pid != s->spared && kill(pid, s->signal) == 0;
}

/* ---- signals ---- */

int bench_run_signal(void)
{
        return ended_by;
}

/* What we were started to ignore (nohup) stays ignored. */
static void add_signal(sigset_t *set, int signal)
{
        struct sigaction now;

        if (sigaction(signal, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
                sigaddset(set, signal);
}

int bench_run_begin(void)
{
        signal(SIGCHLD, SIG_DFL); /* ignored, it would leave nobody to wait for */
        int r = children_begin();

        if (r < 0)
                return r;
        sigemptyset(&signals_ours);
        sigaddset(&signals_ours, SIGCHLD);
        add_signal(&signals_ours, SIGINT);
        add_signal(&signals_ours, SIGTERM);
        add_signal(&signals_ours, SIGHUP);
        add_signal(&signals_ours, SIGQUIT);
        if (sigprocmask(SIG_BLOCK, &signals_ours, &signals_before) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return -errno;
        signals_fd = signalfd(-1, &signals_ours, SFD_CLOEXEC | SFD_NONBLOCK);
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        return signals_fd < 0 || null_fd < 0 ? -errno : 0;
}

/* ---- starting ---- */

static void close_fd(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static int make_pipe(int *ret_ours, int *ret_theirs)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* smaller where the user's quota is used up */
        *ret_ours = ends[0];
        *ret_theirs = ends[1];
        return 0;
}

/* In a process group of its own: the terminal's Ctrl-C reaches us alone, and we pass it on. */
static int start(pid_t *ret, char *const *argv, int in, int out, int err)
{
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        sigset_t defaults;
        int e;

        sigemptyset(&defaults);
        sigaddset(&defaults, SIGPIPE);
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        posix_spawnattr_setsigmask(&attributes, &signals_before);
        posix_spawnattr_setsigdefault(&attributes, &defaults);
        e = posix_spawn(ret, argv[0], &files, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&files);
        return -e;
}

static int start_hasher(struct run *u, int in)
{
        static char *const argv[] = { "/proc/self/exe", "run", "--json", "--no-progress", "- | checksum: | null:", NULL };

        u->report = memfd_create("report", MFD_CLOEXEC);
        if (u->report < 0)
                return -errno;
        return start(&u->hasher, argv, in, u->report, null_fd);
}

/* The clock begins where a shell would begin to start it. */
static int start_side(struct run *u)
{
        int in = u->r->input ? open(u->r->input, O_RDONLY | O_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC), out = -1,
            err = -1, r;

        if (in < 0)
                return -errno;
        r = make_pipe(&u->out, &out);
        if (r == 0)
                r = make_pipe(&u->err, &err);
        if (r == 0 && u->r->use == STDOUT_HASH) {
                r = start_hasher(u, u->out);
                close_fd(&u->out);
        }
        if (r == 0) {
                if (u->out >= 0)
                        fcntl(u->out, F_SETFL, O_NONBLOCK);
                fcntl(u->err, F_SETFL, O_NONBLOCK);
                u->begun_s = now_s();
                r = start(&u->side, u->r->argv, in, out, err);
        }
        close_fd(&in);
        close_fd(&out);
        close_fd(&err);
        return r;
}

/* ---- what it says ---- */

/* Keeps the last of it: the older half goes when there is no more room. */
static ssize_t read_tail(int fd, struct tail *t)
{
        ssize_t n;

        if (!t->text) {
                t->text = malloc(TAIL_BYTES + 1);
                if (!t->text)
                        return -1;
                t->cap = TAIL_BYTES;
        }
        if (t->bytes == t->cap) {
                memmove(t->text, t->text + t->cap / 2, t->cap / 2);
                t->bytes = t->cap / 2;
        }
        n = read(fd, t->text + t->bytes, t->cap - t->bytes);
        if (n > 0)
                t->bytes += (size_t)n;
        t->text[t->bytes] = '\0';
        return n;
}

/* Once: a side that writes without a pause must not keep its signals waiting. At the end it is closed. False: nothing now. */
static bool take(struct run *u, int *fd)
{
        ssize_t n;

        if (*fd < 0)
                return false;
        n = fd == &u->err              ? read_tail(*fd, &u->r->said)
            : u->r->use == STDOUT_KEEP ? read_tail(*fd, &u->r->kept)
                                       : splice(*fd, NULL, null_fd, NULL, PIPE_BYTES, SPLICE_F_NONBLOCK);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return false;
        if (n <= 0)
                close_fd(fd);
        else if (fd == &u->out)
                u->r->sample.output_bytes += (uint64_t)n;
        return n > 0;
}

/* ---- ending ---- */

/* Every one but the hasher, which ends when its input does. What such a child leaves becomes our child. Signal 0 counts only. */
static size_t signal_children(const struct run *u, int signal)
{
        const struct signalling s = { signal, u->phase == PHASE_KILL ? 0 : u->hasher };
        size_t found = children_each(signal_child, &s);

        if (signal && !u->side_over && u->side > 0)
                kill(-u->side, signal);
        return found;
}

static void enter(struct run *u, enum phase phase)
{
        double now = now_s();

        u->phase = phase;
        switch (phase) {
        case PHASE_RUNNING:
        case PHASE_GIVEN_UP:
                break;
        case PHASE_LEFT:
                u->phase_ends_s = now + STRAY_MS / 1e3;
                break;
        case PHASE_TERM:
                signal_children(u, SIGTERM);
                u->phase_ends_s = now + GRACE_MS / 1e3;
                break;
        case PHASE_KILL:
                signal_children(u, SIGKILL);
                u->phase_ends_s = now + KILL_MS / 1e3;
                break;
        }
}

/* Time has passed: what was not done by itself is done to it. */
static void advance(struct run *u)
{
        if (u->phase == PHASE_RUNNING)
                return;
        if (u->phase == PHASE_KILL && now_s() < u->phase_ends_s)
                signal_children(u, SIGKILL); /* again: its orphans have come to us meanwhile */
        if (now_s() < u->phase_ends_s)
                return;
        if (u->phase == PHASE_LEFT && signal_children(u, 0) == 0) {
                enter(u, PHASE_RUNNING); /* the hasher alone is busy still */
                return;
        }
        if (u->phase == PHASE_LEFT)
                u->r->sample.strays = true;
        enter(u, u->phase + 1);
}

static void reaped(struct run *u, pid_t pid, int status, const struct rusage *used)
{
        struct bench_sample *s = &u->r->sample;

        if (children_is_stranger(pid))
                return;
        if (pid == u->hasher) {
                u->hasher = 0;
                u->hasher_status = status;
                return;
        }
        s->cpu_s += (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
                    (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1e6;
        s->switches += (uint64_t)(used->ru_nvcsw + used->ru_nivcsw);
        if ((uint64_t)used->ru_maxrss * 1024 > s->peak_bytes)
                s->peak_bytes = (uint64_t)used->ru_maxrss * 1024;
        if (pid == u->side) {
                s->wall_s = now_s() - u->begun_s;
                u->r->status = status;
                u->side_over = true;
                if (u->phase == PHASE_RUNNING)
                        enter(u, PHASE_LEFT);
        }
        if (u->phase == PHASE_TERM && u->side_over)
                signal_children(u, SIGTERM); /* those that it left to us, which nobody has asked yet */
}

static void reap(struct run *u)
{
        struct rusage used;
        int status;
        pid_t pid;

        while ((pid = wait4(-1, &status, WNOHANG, &used)) > 0)
                reaped(u, pid, status, &used);
        u->all_over = (pid < 0 && errno == ECHILD) || (children_has_strangers() && u->hasher == 0 && signal_children(u, 0) == 0);
}

static void take_signals(struct run *u)
{
        struct signalfd_siginfo s;

        while (read(signals_fd, &s, sizeof(s)) == sizeof(s)) {
                if (s.ssi_signo == SIGCHLD)
                        continue;
                enter(u, ended_by ? PHASE_KILL : PHASE_TERM); /* whoever asks twice means it */
                ended_by = (int)s.ssi_signo;
        }
        reap(u);
}

static int wait_ms(const struct run *u)
{
        double left_s = u->phase_ends_s - now_s();

        if (u->phase == PHASE_RUNNING)
                return -1;
        if (u->phase == PHASE_KILL)
                return KILL_AGAIN_MS;
        return left_s > 0 ? (int)(left_s * 1e3) + 1 : 0;
}

/* Ends of processes before bytes: the clock stops there. */
static void wait_for_all(struct run *u)
{
        reap(u);
        while (!u->all_over && u->phase != PHASE_GIVEN_UP) {
                struct pollfd fds[] = { { .fd = signals_fd, .events = POLLIN },
                                        { .fd = u->out, .events = POLLIN },
                                        { .fd = u->err, .events = POLLIN } };

                poll(fds, 3, wait_ms(u));
                if (fds[0].revents)
                        take_signals(u);
                take(u, &u->out);
                take(u, &u->err);
                advance(u);
        }
        while (take(u, &u->out) || take(u, &u->err))
                ;
}

/* ---- what the hasher found ---- */

static int read_digest(int report, struct digest *ret)
{
        json_t *j, *stage;
        const char *xxh3 = NULL;
        json_int_t bytes = -1;

        lseek(report, 0, SEEK_SET);
        j = json_loadfd(report, JSON_DISABLE_EOF_CHECK, NULL);
        stage = json_array_get(json_object_get(j, "stages"), 1);
        if (json_unpack(j, "{s:I}", "bytes", &bytes) == 0 && json_unpack(stage, "{s:{s:s}}", "reports", "xxh3", &xxh3) == 0) {
                ret->known = true;
                ret->bytes = (uint64_t)bytes;
                snprintf(ret->xxh3, sizeof(ret->xxh3), "%s", xxh3);
        }
        json_decref(j);
        return ret->known ? 0 : -EIO;
}

static int result_of(struct run *u, struct digest *digest)
{
        if (ended_by)
                return -EINTR;
        if (u->phase == PHASE_GIVEN_UP)
                return -EBUSY;
        if (u->report < 0)
                return 0;
        return u->hasher_status == 0 ? read_digest(u->report, digest) : -EIO;
}

/* A signal may have come while nothing ran. */
static bool was_signalled(struct run *u)
{
        take_signals(u);
        return ended_by != 0;
}

int bench_run(struct bench_run *r)
{
        struct run u = { .r = r, .out = -1, .err = -1, .report = -1 };
        int e;

        if (was_signalled(&u))
                return -EINTR;
        u.phase = PHASE_RUNNING;
        e = start_side(&u);
        if (e < 0)
                enter(&u, PHASE_TERM);
        wait_for_all(&u);
        if (e == 0)
                e = result_of(&u, &r->output);
        if (e == 0 && r->use == STDOUT_HASH)
                r->sample.output_bytes = r->output.bytes;
        close_fd(&u.out);
        close_fd(&u.err);
        close_fd(&u.report);
        return e;
}

void bench_run_free(struct bench_run *r)
{
        free(r->said.text);
        free(r->kept.text);
}

int bench_hash_file(const char *path, struct digest *ret)
{
        struct bench_run none = { 0 };
        struct run u = { .r = &none, .out = -1, .err = -1, .report = -1 };
        int e, in;

        if (was_signalled(&u))
                return -EINTR;
        u.phase = PHASE_RUNNING;
        in = open(path, O_RDONLY | O_CLOEXEC);
        if (in < 0)
                return -errno;
        e = start_hasher(&u, in);
        close_fd(&in);
        if (e == 0) {
                wait_for_all(&u);
                e = result_of(&u, ret);
        }
        close_fd(&u.report);
        return e;
}
