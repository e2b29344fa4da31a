/* uring/cgroup.h: a cgroup v2 directory of our own: who is in it, an end to all of them, their memory.
 *
 * What it does is files in a directory, so all but entering it is tested over a directory of plain files. */
#ifndef SLUICE_URING_CGROUP_H
#define SLUICE_URING_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CGROUP_NAME_BYTES = 64 };

struct cgroup {
        int fd, parent; /* O_PATH directories; -1: none */
        char name[CGROUP_NAME_BYTES];
};

/* Removes what processes that are dead have left below `base`: empty directories named PREFIX-PID-... Returns how many. */
int cgroup_sweep(const char *base, const char *prefix);
/* The cgroup v2 directory that this process is in. -ENOENT: there is no cgroup v2 here. */
int cgroup_own(char *ret, size_t cap);
/* Opens the directory `base`, in which cgroup_make() makes `name`: -EACCES, -ENOENT, ... */
int cgroup_open_base(struct cgroup *ret, const char *base, const char *name);
/* Makes what was opened so. */
int cgroup_make_here(struct cgroup *g);
/* Both: makes `name` below the directory `base`. -EACCES, -EROFS, -ENOENT, -EEXIST, ... */
int cgroup_make(struct cgroup *ret, const char *base, const char *name);
/* The same below another one. */
int cgroup_make_below(struct cgroup *ret, const struct cgroup *above, const char *name);
/* SIGKILL to all members, those that are being forked included. -ENOENT: the kernel is older than 5.14. */
int cgroup_kill(const struct cgroup *g);
/* A signal, and SIGCONT, to all members, those of cgroups below it included. Returns how many there were. */
int cgroup_signal(const struct cgroup *g, int signal);
/* Calls fn for the pid of every member, those of cgroups below it included. */
void cgroup_each(const struct cgroup *g, void (*fn)(void *arg, pid_t pid), void *arg);
/* 0 when it is gone, with all below it; -EBUSY while it has members. */
int cgroup_remove(struct cgroup *g);
void cgroup_close(struct cgroup *g);

/* Whether the memory controller is there. */
bool cgroup_has_memory(const struct cgroup *g);
/* Gives it to cgroups below this one, which then may hold no process itself. */
int cgroup_delegate_memory(const struct cgroup *g);
/* Beyond `bytes` the kernel kills all its members. */
int cgroup_limit_memory(const struct cgroup *g, uint64_t bytes);
/* The most it ever used (Linux 5.19). -ENOENT. */
int cgroup_memory_peak(const struct cgroup *g, uint64_t *ret);
/* How often the kernel killed in it for want of memory; 0 too when that is not known. */
uint64_t cgroup_memory_kills(const struct cgroup *g);

#endif
