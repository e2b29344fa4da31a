/* uring/ids.c: see ids.h. Called on helper threads: a name service may be a network away. */
#include "ids.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TEXT_BYTES = 16384 };

static bool is_number(const char *text, unsigned *ret)
{
        char *end;
        unsigned long n = strtoul(text, &end, 10);

        if (text[0] < '0' || text[0] > '9' || *end || n >= (uid_t)-1)
                return false;
        *ret = (unsigned)n;
        return true;
}

static int not_found(int error)
{
        return error == 0 || error == ENOENT || error == ESRCH ? -ENOENT : -EIO;
}

/* A number without a name is a user too, in no group but the one that is asked for. */
static int user_of(const char *user, struct ids *ret)
{
        struct passwd pw, *found = NULL;
        char text[TEXT_BYTES];
        unsigned number = 0;
        bool numeric = is_number(user, &number);
        int n = SPAWN_GROUPS_MAX, r;

        r = numeric ? getpwuid_r(number, &pw, text, sizeof(text), &found) : getpwnam_r(user, &pw, text, sizeof(text), &found);
        if (!found && !numeric)
                return not_found(r);
        ret->uid = found ? pw.pw_uid : number;
        ret->gid = found ? pw.pw_gid : number;
        if (!found)
                return 0;
        if (getgrouplist(pw.pw_name, pw.pw_gid, ret->groups, &n) < 0)
                return -E2BIG;
        ret->groups_nr = (unsigned)n;
        return 0;
}

static int group_of(const char *group, struct ids *ret)
{
        struct group gr, *found = NULL;
        char text[TEXT_BYTES];
        unsigned number;
        int r;

        if (is_number(group, &number)) {
                ret->gid = number;
                return 0;
        }
        r = getgrnam_r(group, &gr, text, sizeof(text), &found);
        if (!found) {
                ret->group_unknown = 1;
                return not_found(r);
        }
        ret->gid = gr.gr_gid;
        return 0;
}

int ids_look_up(const char *user, const char *group, struct ids *ret)
{
        int r = 0;

        *ret = (struct ids){ .uid = geteuid(), .gid = getegid() };
        if (user) {
                r = user_of(user, ret);
        } else {
                int n = getgroups(SPAWN_GROUPS_MAX, ret->groups);

                ret->groups_nr = n > 0 ? (unsigned)n : 0;
        }
        return r < 0 || !group ? r : group_of(group, ret);
}

int ids_may_change(void)
{
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { 0 };

        if (syscall(SYS_capget, &head, data) < 0)
                return -errno;
        return data[0].effective & 1u << CAP_SETUID && data[0].effective & 1u << CAP_SETGID ? 0 : -EPERM;
}
