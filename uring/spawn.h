/* uring/spawn.h: starting a process, without copying the page tables of the one that starts it.
 *
 * One struct says what to start; spawn_direct() makes the caller its parent. (A second implementation, a guard process
 * as parent and subreaper, will take the same struct.) */
#ifndef SLUICE_URING_SPAWN_H
#define SLUICE_URING_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

enum spawn_group {
        SPAWN_GROUP_KEEP, /* stays in the caller's process group */
        SPAWN_GROUP_NEW,  /* leads a new one */
        SPAWN_GROUP_JOIN, /* joins `group` */
};

struct spawn {
        /* What to start; all borrowed until the spawn is done. */
        const char *path; /* found before: no search here */
        char *const *argv;
        char *const *env;
        const char *directory; /* NULL: the caller's */
        int fds[3];            /* become 0, 1 and 2; all >= 3; everything else is closed in the child */
        enum spawn_group group_mode;
        pid_t group;
        int terminal;         /* >= 0: its foreground goes to the group before the program runs */
        bool die_with_parent; /* SIGKILL when the starting thread ends (PR_SET_PDEATHSIG) */

        /* Written on success. */
        pid_t pid;
        int pidfd;
        const char *failed; /* on failure: the step that failed ("exec", "chdir", ...) */
};

/* Waits until the program has been exec'd (vfork semantics; ~0.3 ms whatever the caller's size). 0, or -errno of the
 * step named in `failed`; then nothing is left running. Any thread. */
int spawn_direct(struct spawn *s);

#endif
