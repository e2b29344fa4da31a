/* poor_user.c: runs a command as a user who may nothing, and whose pipe quota other pipes have used up but for some pages.
 *
 *      poor_user --pages-left=N COMMAND [ARGUMENT...]
 *
 * N 0: new pipes have two pages and cannot grow. N 255: none can be 1 MiB, a few 256 KiB, the next ones 64 KiB, and so on
 * down. The quota is the user's, so the user is of this run alone. 77 (skipped) where that cannot be had. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIPES_MAX = 1100, FIRST_UID = 70000, PAGE = 4096 };

static long number_in(const char *path)
{
        FILE *f = fopen(path, "re");
        long n = -1;

        if (f && fscanf(f, "%ld", &n) != 1)
                n = -1;
        if (f)
                fclose(f);
        return n;
}

/* Up to the quota but for `left` pages, in pipes as large as they get. */
static bool use_up(long quota, long left)
{
        long pages = 0;

        for (int i = 0; i < PIPES_MAX && pages < quota - left; i++) {
                long want = 256;
                int fds[2];

                if (pipe2(fds, O_CLOEXEC) < 0)
                        return false;
                while (want > quota - left - pages && want > 1)
                        want /= 2;
                if (fcntl(fds[1], F_SETPIPE_SZ, (int)(want * PAGE)) < 0)
                        return left == 0 && errno == EPERM;
                pages += fcntl(fds[1], F_GETPIPE_SZ) / PAGE;
        }
        return pages >= quota - left;
}

static bool become(uid_t id)
{
        return setgroups(0, NULL) == 0 && setgid(id) == 0 && setuid(id) == 0;
}

static int run(char **argv)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                execvp(*argv, argv);
                perror(*argv);
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return 1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int skip(const char *why)
{
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
}

int main(int argc, char **argv)
{
        const char option[] = "--pages-left=";
        long quota = number_in("/proc/sys/fs/pipe-user-pages-soft");

        if (argc < 3 || strncmp(argv[1], option, strlen(option)) != 0) {
                fprintf(stderr, "usage: poor_user --pages-left=N COMMAND...\n");
                return 2;
        }
        if (quota <= 0)
                return skip("this machine has no pipe quota");
        if (geteuid() != 0 || !become((uid_t)(FIRST_UID + getpid() % 100000)))
                return skip("needs root, to be somebody else");
        if (access(argv[2], R_OK) < 0 && strchr(argv[2], '/'))
                return skip("that user cannot read the test");
        if (!use_up(quota, atol(argv[1] + strlen(option))))
                return skip("the quota could not be used up");
        return run(argv + 2);
}
