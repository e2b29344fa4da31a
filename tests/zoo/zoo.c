/* zoo.c: children that are hard to get rid of: MODE FIFO TAG.
 *
 * Every process of the zoo holds FIFO open for writing, so that its reader sees the end of file when the last one is gone,
 * and has TAG as an argument, by which those are found that closed everything. "u" comes through the FIFO once the mode's
 * processes are there, "s" when it cannot be had here. Nobody outlives the FIFO's reader or LIFETIME_S by much, so that a
 * test that fails leaves nothing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { UP_FD = 8, HOLD_FD = 9, LIFETIME_S = 60, HOPPERS = 2, FAN = 6, HOP_US = 200 };

#define SU "/bin/su"

struct mode {
        const char *name;
        void (*be)(void); /* does not return */
};

static const char *tag;
static int64_t dies_at_ms;

static int64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap(long us)
{
        const struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

        nanosleep(&t, NULL);
}

/* Whether the FIFO's reader has gone or the time is over; waits for that at most so long. */
static bool forsaken(int64_t wait_ms)
{
        struct pollfd reader = { .fd = HOLD_FD };

        return now_ms() >= dies_at_ms || poll(&reader, 1, (int)wait_ms) > 0;
}

static void live(void)
{
        while (!forsaken(1000))
                ;
        _exit(0);
}

static void say(char what)
{
        while (write(UP_FD, &what, 1) < 0 && errno == EINTR)
                ;
}

static pid_t make_child(void)
{
        pid_t pid = fork();

        if (pid < 0) {
                perror("zoo: fork");
                _exit(1);
        }
        return pid;
}

static void wait_for(pid_t pid, int *ret_status, int flags)
{
        while (waitpid(pid, ret_status, flags) < 0 && errno == EINTR)
                ;
}

static void ignore(int signal_nr)
{
        signal(signal_nr, SIG_IGN);
}

/* As daemons do: nothing of its parent's stays open. */
static void live_closed(void)
{
        close_range(0, ~0U, 0);
        while (now_ms() < dies_at_ms)
                nap(1000000);
        _exit(0);
}

static void daemonize(void)
{
        setsid();
        if (make_child() > 0)
                _exit(0);
        if (make_child() == 0)
                live_closed();
        live();
}

static void be_doublefork(void)
{
        pid_t middle = make_child();

        if (middle == 0)
                daemonize();
        wait_for(middle, NULL, 0);
        say('u');
        live();
}

static void be_setsid(void)
{
        if (make_child() > 0)
                live();
        setsid();
        say('u');
        live();
}

static void be_ignore_term(void)
{
        ignore(SIGTERM);
        ignore(SIGHUP);
        ignore(SIGINT);
        if (make_child() > 0)
                live();
        say('u');
        live();
}

/* Never the same number for long. */
static void hop(void)
{
        while (!forsaken(0)) {
                nap(HOP_US);
                if (fork() > 0)
                        _exit(0);
        }
        _exit(0);
}

static void be_forkloop(void)
{
        for (int i = 0; i < FAN; i++)
                if (make_child() == 0)
                        live();
        for (int i = 0; i < HOPPERS; i++) {
                if (make_child() > 0)
                        continue;
                if (i % 2)
                        ignore(SIGTERM);
                hop();
        }
        say('u');
        live();
}

/* The parent exits 0; the grandchild holds stderr, but not the pipe to the next stage. */
static void be_hold_stderr(void)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        pid_t middle;

        dup2(null, 0);
        dup2(null, 1);
        middle = make_child();
        if (middle == 0) {
                if (make_child() == 0)
                        live();
                _exit(0);
        }
        wait_for(middle, NULL, 0);
        say('u');
        _exit(0);
}

/* Who is stopped does not see that the FIFO's reader has gone. */
static void outlast(pid_t parent, pid_t child)
{
        ignore(SIGTERM);
        while (!forsaken(1000))
                ;
        if (getppid() == parent) { /* then the child's number is still the child's */
                kill(child, SIGKILL);
                kill(parent, SIGKILL);
        }
        _exit(0);
}

static void be_self_stop(void)
{
        pid_t self = getpid(), child = make_child();

        if (child == 0) {
                raise(SIGSTOP);
                live();
        }
        if (make_child() == 0)
                outlast(self, child);
        wait_for(child, NULL, WUNTRACED);
        say('u');
        raise(SIGSTOP);
        live();
}

static void become_somebody_else(void)
{
        static const char script[] = "echo u >&8; while sleep 1 && echo . >&9; do :; done";

        execl(SU, "su", "-s", "/bin/sh", "nobody", "-c", script, tag, (char *)NULL);
        _exit(127);
}

static bool have_su(void)
{
        struct stat st;

        return geteuid() == 0 && stat(SU, &st) == 0 && st.st_mode & S_ISUID;
}

static void skip(void)
{
        puts("skip");
        fflush(stdout);
        say('s');
        _exit(0);
}

/* A set-id program: who is executed so loses the signal that its parent's death would send. */
static void be_setuid_helper(void)
{
        pid_t child;

        if (!have_su())
                skip();
        child = make_child();
        if (child == 0)
                become_somebody_else();
        wait_for(child, NULL, 0);
        skip(); /* it was refused. (Or it was ended, and nobody listens any more.) */
}

static void be_all(void);

static const struct mode modes[] = {
        { "doublefork", be_doublefork },       { "setsid", be_setsid },
        { "ignore-term", be_ignore_term },     { "forkloop", be_forkloop },
        { "hold-stderr", be_hold_stderr },     { "self-stop", be_self_stop },
        { "setuid-helper", be_setuid_helper }, { "all", be_all },
};

enum { MODES = sizeof(modes) / sizeof(modes[0]) };

/* Instead of to the FIFO, who is up says so to us. */
static int gather_ups(void)
{
        int ups[2];

        if (pipe2(ups, O_CLOEXEC) < 0 || dup2(ups[1], UP_FD) < 0)
                _exit(1);
        close(ups[1]);
        return ups[0];
}

static void be_all(void)
{
        int ups = gather_ups();
        char c;

        for (int i = 0; i < MODES - 1; i++)
                if (make_child() == 0)
                        modes[i].be();
        for (int i = 0; i < MODES - 1; i++)
                if (read(ups, &c, 1) != 1)
                        break;
        dup2(HOLD_FD, UP_FD);
        say('u');
        live();
}

static const struct mode *find_mode(const char *name)
{
        for (int i = 0; i < MODES; i++)
                if (strcmp(name, modes[i].name) == 0)
                        return &modes[i];
        return NULL;
}

static bool hold(const char *path)
{
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* without a reader it fails */

        if (fd < 0 || dup2(fd, HOLD_FD) < 0 || dup2(fd, UP_FD) < 0) {
                perror(path);
                return false;
        }
        close(fd);
        return true;
}

int main(int argc, char **argv)
{
        const struct mode *mode = argc == 4 ? find_mode(argv[1]) : NULL;

        if (!mode) {
                fputs("Usage: zoo MODE FIFO TAG\n", stderr);
                return 2;
        }
        tag = argv[3];
        dies_at_ms = now_ms() + LIFETIME_S * 1000;
        prctl(PR_SET_NAME, tag);
        if (!hold(argv[2]))
                return 1;
        mode->be();
        return 1;
}
