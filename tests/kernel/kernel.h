/* tests/kernel/kernel.h: cmocka in the order it wants its headers, and what several of these tests need.
 *
 * Nothing here depends on time: where something has to have blocked, the kernel is asked whether it has (its state and
 * system call in /proc), for as long as PATIENCE_MS, which only a test that fails uses up. */
#ifndef SLUICE_TESTS_KERNEL_H
#define SLUICE_TESTS_KERNEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, DEFAULT_SLOTS = 16 };

struct two {
        int rd, wr;
};

/* A pipe of `slots` slots; skips the test where the user's quota does not grant them. */
static inline struct two pipe_of(int slots, int flags)
{
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | flags), 0);
        if (fcntl(fds[1], F_SETPIPE_SZ, slots * getpagesize()) != slots * getpagesize()) {
                close(fds[0]);
                close(fds[1]);
                print_message("skipped: no pipe of %d slots\n", slots);
                skip();
        }
        return (struct two){ fds[0], fds[1] };
}

static inline void close_two(struct two p)
{
        close(p.rd);
        close(p.wr);
}

static inline short events_of(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

        assert_true(poll(&p, 1, 0) >= 0);
        return p.revents;
}

/* Fills it with whole pages, for the pipe's end as it is: uses and restores O_NONBLOCK. Returns the bytes. */
static inline size_t fill(int fd)
{
        static const char page[4096];
        int flags = fcntl(fd, F_GETFL);
        size_t bytes = 0;
        ssize_t n;

        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        while ((n = write(fd, page, sizeof(page))) > 0)
                bytes += (size_t)n;
        assert_int_equal(errno, EAGAIN);
        fcntl(fd, F_SETFL, flags);
        return bytes;
}

#define ASSERT_FAILS(call, error)                                                                                                  \
        do {                                                                                                                       \
                errno = 0;                                                                                                         \
                assert_int_equal((call), -1);                                                                                      \
                assert_int_equal(errno, (error));                                                                                  \
        } while (0)

/* Runs fn(arg) in a process that cannot outlive this one. What blocks, or is meant to die, does so there. */
static inline pid_t in_child(int (*fn)(void *), void *arg)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(fn(arg));
}

static inline int end_of(pid_t pid)
{
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static inline int kill_and_wait(pid_t pid)
{
        kill(pid, SIGKILL);
        return end_of(pid);
}

/* Waits until the process sleeps in that system call, in that state ('S': a signal would end it, 'D': nothing does).
 * False: it ended, or never got there. */
static inline bool sleeps_in(pid_t pid, char state, long call)
{
        char path[64], text[512];

        for (int ms = 0; ms < PATIENCE_MS; ms++) {
                siginfo_t info = { .si_pid = 0 };
                char now = 0, *after;
                long in = call;
                FILE *f;

                if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid)
                        return false;
                snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
                f = fopen(path, "re");
                if (f) { /* not everywhere readable: then the state alone decides */
                        if (fgets(text, sizeof(text), f))
                                in = text[0] >= '0' && text[0] <= '9' ? strtol(text, NULL, 10) : -1;
                        fclose(f);
                }
                snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
                f = fopen(path, "re");
                if (f) {
                        if (fgets(text, sizeof(text), f) && (after = strrchr(text, ')')))
                                now = after[2];
                        fclose(f);
                }
                if (now == state && in == call)
                        return true;
                poll(NULL, 0, 1);
        }
        return false;
}

#endif
