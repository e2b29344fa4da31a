/* uring/guard_wire.h: what the host and its guard say to each other.
 *
 *      host  --- request socket (stream): request, then its bytes; fds with the first byte --->  guard
 *            <-- reply: after SPAWN, with the pidfd, and after CONFIRM -----------------------
 *            <-- event socket (seqpacket): whenever something happened ----------------------
 *
 * Both are of one build (the guard's program is a part of the library), so the structs are the format. */
#ifndef SLUICE_URING_GUARD_WIRE_H
#define SLUICE_URING_GUARD_WIRE_H

#include <stdint.h>

#include "spawn.h"

enum {
        GUARD_REQUEST_FD = 0,
        GUARD_EVENT_FD = 1,
        GUARD_HOST_FD = 2, /* a pidfd of the host */
        GUARD_SPAWN_BYTES_MAX = 8 << 20,
        GUARD_FDS_MAX = SPAWN_EXTRA_MAX + 8,
        GUARD_CHILDREN_MAX = 16384, /* unreaped or unreported commands at once */
        GUARD_LEAVES_MAX = 1024,
        GUARD_LEAF_NAME_BYTES = 64,
};

enum guard_kind {
        GUARD_SPAWN,   /* one command: begun. Replied to, with its pidfd */
        GUARD_CONFIRM, /* what came of those that were begun for batch `id`. Replied to, with one that failed */
        GUARD_SIGNAL,  /* `signal` to everything below the guard */
        GUARD_KILL,    /* SIGKILL to everything below it, again and again until nothing is left; then EMPTY */
        GUARD_TELL,    /* EMPTY as soon as nothing is below the guard */
        GUARD_REAP,    /* the leader of a process group, of which an event has told, may go: no more is sent to its group */
        GUARD_LEAF,    /* a cgroup to end with the host, by its name in the directory that is sent; it need not exist yet */
        GUARD_FORGET,  /* that cgroup is gone */
        GUARD_BYE,     /* the host needs it no more: what is left is left alone */
};

struct guard_request {
        uint32_t kind, bytes; /* of what follows */
        uint64_t id;
        int32_t signal;
        char name[GUARD_LEAF_NAME_BYTES]; /* LEAF: in its parent */
};

/* SPAWN's bytes: this, the rlimits, the groups, the numbers of the extra fds; then path, argv and env as strings.
 * Its fds: the three, the extra ones, and those of directory, terminal and cgroup that are there. */
struct guard_spawn_wire {
        uint32_t argc, envc, rlimits_nr, groups_nr, extra_nr;
        int32_t group_mode, group, nice, ioprio;
        uint32_t umask, uid, gid;
        uint8_t hold_term, set_umask, set_ids, has_directory, has_terminal, has_cgroup, has_cpus;
        cpu_set_t cpus;
};

struct guard_reply {
        uint64_t id;
        int32_t error; /* 0 or -errno */
        uint32_t failed;
        int32_t pid;
};

/* An id is a batch's (what is begun and confirmed together) and, below that, a member's. */
enum { GUARD_MEMBER_BITS = 16 };

enum guard_event_kind { GUARD_EXITED, GUARD_STOPPED, GUARD_CONTINUED, GUARD_EMPTY };

struct guard_event {
        uint32_t kind;
        uint32_t empty; /* nothing is below the guard now */
        uint64_t id;
        int32_t exit_status, signal; /* EXITED: signal 0 or what killed it; STOPPED: what stopped it */
        uint64_t cpu_us, max_rss_bytes;
};

#endif
