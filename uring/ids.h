/* uring/ids.h: users and groups by name or number. */
#ifndef SLUICE_URING_IDS_H
#define SLUICE_URING_IDS_H

#include <sys/types.h>

#include "spawn.h"

struct ids {
        uid_t uid;
        gid_t gid;
        gid_t groups[SPAWN_GROUPS_MAX];
        unsigned groups_nr;
        int group_unknown; /* with -ENOENT: it was the group that nobody knows */
};

/* `user` with its groups, `group` instead of the user's own; either may be NULL: the caller's. Asks the name service, which
 * may take its time. -ENOENT: there is no such name; -E2BIG: more groups than fit; -EIO: the service failed. */
int ids_look_up(const char *user, const char *group, struct ids *ret);
/* 0, or -EPERM: this process may not become another user. */
int ids_may_change(void);

#endif
