/* uring/spawn_direct.c: the caller becomes the parent. See spawn.h and, for the child, spawn_clone.c. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "spawn.h"

const char *spawn_step_name(enum spawn_step step)
{
        static const char *const names[SPAWN_STEPS] = {
                [SPAWN_OK] = "start",    [SPAWN_CLONE] = "clone",   [SPAWN_SETPGID] = "setpgid", [SPAWN_DUP] = "dup",
                [SPAWN_NICE] = "nice",   [SPAWN_IOPRIO] = "ioprio", [SPAWN_RLIMIT] = "rlimit",   [SPAWN_USER] = "user",
                [SPAWN_CHDIR] = "chdir", [SPAWN_PRCTL] = "prctl",   [SPAWN_EXEC] = "exec",       [SPAWN_GUARD] = "guard",
        };

        return step < SPAWN_STEPS ? names[step] : "start";
}

static size_t count(char *const *argv)
{
        size_t n = 0;

        while (argv[n])
                n++;
        return n;
}

int spawn_confirm(struct spawn *s)
{
        int r = spawn_wait(s, s->room);

        free(s->room);
        s->room = NULL;
        return r;
}

int spawn_direct(struct spawn *s)
{
        struct spawn_room *room = malloc(spawn_room_bytes(count(s->argv)));
        sigset_t all, old;
        int r;

        s->failed = SPAWN_CLONE;
        if (!room)
                return -ENOMEM;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = spawn_begin(s, room);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r < 0) {
                free(room);
                return r;
        }
        s->room = room;
        return s->async ? 0 : spawn_confirm(s);
}
