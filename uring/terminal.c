/* uring/terminal.c: see terminal.h. Called by the engine for runs that asked for the terminal. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

int terminal_open(void)
{
        int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

        if (fd < 0)
                return -ENOTTY;
        if (tcgetpgrp(fd) == getpgrp())
                return fd;
        close(fd);
        return -ENOTTY;
}

int terminal_give(int fd, pid_t group)
{
        sigset_t ttou, old;
        int r;

        sigemptyset(&ttou);
        sigaddset(&ttou, SIGTTOU);
        pthread_sigmask(SIG_BLOCK, &ttou, &old);
        r = tcsetpgrp(fd, group) < 0 ? -errno : 0;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return r;
}

void terminal_take_back(int fd, pid_t group)
{
        if (tcgetpgrp(fd) == group)
                terminal_give(fd, getpgrp());
}
