/* bench/two_cats.c KIB FILE: `cat FILE | cat > /dev/null` over a pipe of KIB KiB, and nothing else: what a larger pipe alone
 * is worth, without sluice around it. Used by cat_cat.sh. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void cat(int in, int out, const char *file)
{
        if (fork() > 0)
                return;
        dup2(in, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        execlp("cat", "cat", file, (char *)NULL);
        _exit(127);
}

int main(int argc, char **argv)
{
        int fds[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), status, failed = 0;

        if (argc != 3 || null < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return 2;
        if (fcntl(fds[1], F_SETPIPE_SZ, atoi(argv[1]) << 10) < 0) {
                perror("two_cats: pipe size");
                return 77;
        }
        cat(null, fds[1], argv[2]);
        cat(fds[0], null, NULL);
        close(fds[0]);
        close(fds[1]);
        while (wait(&status) > 0)
                failed |= status != 0;
        return failed;
}
