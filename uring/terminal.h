/* uring/terminal.h: the controlling terminal's foreground, handed over and taken back. */
#ifndef SLUICE_URING_TERMINAL_H
#define SLUICE_URING_TERMINAL_H

#include <sys/types.h>

/* The controlling terminal, if this process's group is in its foreground; else -ENOTTY. The caller's to close. */
int terminal_open(void);
/* Gives its foreground to a group, without being stopped for it (SIGTTOU). */
int terminal_give(int fd, pid_t group);
/* Takes it back for this process's group, but only from `group`: a shell that has it by now keeps it. */
void terminal_take_back(int fd, pid_t group);

#endif
