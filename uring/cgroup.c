/* uring/cgroup.c: see cgroup.h. Called by the engine; makes only short system calls on kernfs, which do not wait.
 * Source: Documentation/admin-guide/cgroup-v2.rst. */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "syscalls.h"

enum { DEPTH_MAX = 16 };

/* ---- files of a cgroup ---- */

static int write_file(int directory, const char *name, const char *text)
{
        int fd = openat(directory, name, O_WRONLY | O_CLOEXEC), r = 0;

        if (fd < 0)
                return -errno;
        if (write(fd, text, strlen(text)) < 0)
                r = -errno;
        close(fd);
        return r;
}

static int read_file(int directory, const char *name, char *buf, size_t cap)
{
        int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, buf, cap - 1);
        close(fd);
        buf[n > 0 ? n : 0] = '\0';
        return n < 0 ? -EIO : 0;
}

/* ---- where we are ---- */

/* Asked first, and seldom wrong: the list of all mounts takes the kernel a tenth of a millisecond, more where there are many. */
static const char *usual_mount_point(void)
{
        static const char *const usual[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }; /* all of it; hybrid */
        struct statfs fs;

        for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
                if (statfs(usual[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
                        return usual[i];
        return NULL;
}

static int listed_mount_point(char *ret, size_t cap)
{
        FILE *f = fopen("/proc/self/mountinfo", "re");
        char line[1024], at[512];
        int r = -ENOENT;

        while (f && r < 0 && fgets(line, sizeof(line), f))
                if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %511s", at) == 1)
                        r = (size_t)snprintf(ret, cap, "%s", at) < cap ? 0 : -ENAMETOOLONG;
        if (f)
                fclose(f);
        return r;
}

static int mount_point(char *ret, size_t cap)
{
        const char *usual = usual_mount_point();

        if (!usual)
                return listed_mount_point(ret, cap);
        return (size_t)snprintf(ret, cap, "%s", usual) < cap ? 0 : -ENAMETOOLONG;
}

int cgroup_own(char *ret, size_t cap)
{
        char line[1024], mounted[512];
        int r = mount_point(mounted, sizeof(mounted));
        FILE *f = r == 0 ? fopen("/proc/self/cgroup", "re") : NULL;

        if (r < 0)
                return r;
        r = -ENOENT;
        while (f && r < 0 && fgets(line, sizeof(line), f)) {
                if (strncmp(line, "0::", 3) != 0)
                        continue;
                line[strcspn(line, "\n")] = '\0';
                r = (size_t)snprintf(ret, cap, "%s%s", mounted, strcmp(line + 3, "/") == 0 ? "" : line + 3) < cap ? 0
                                                                                                                  : -ENAMETOOLONG;
        }
        if (f)
                fclose(f);
        return r;
}

/* ---- life ---- */

int cgroup_open_base(struct cgroup *ret, const char *base, const char *name)
{
        struct cgroup g = { .fd = -1, .parent = sys_above_stdio(open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) };

        if (g.parent < 0)
                return -errno;
        snprintf(g.name, sizeof(g.name), "%s", name);
        *ret = g;
        return 0;
}

int cgroup_make_here(struct cgroup *g)
{
        if (mkdirat(g->parent, g->name, 0755) < 0)
                return -errno;
        g->fd = sys_above_stdio(openat(g->parent, g->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (g->fd < 0) {
                int error = errno;

                unlinkat(g->parent, g->name, AT_REMOVEDIR);
                return -error;
        }
        return 0;
}

static int make_or_close(struct cgroup *g)
{
        int r = cgroup_make_here(g);

        if (r < 0)
                cgroup_close(g);
        return r;
}

int cgroup_make(struct cgroup *ret, const char *base, const char *name)
{
        struct cgroup g;
        int r = cgroup_open_base(&g, base, name);

        r = r < 0 ? r : make_or_close(&g);
        if (r == 0)
                *ret = g;
        return r;
}

int cgroup_make_below(struct cgroup *ret, const struct cgroup *above, const char *name)
{
        struct cgroup g = { .fd = -1, .parent = sys_above_stdio(fcntl(above->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) };
        int r;

        if (g.parent < 0)
                return -errno;
        snprintf(g.name, sizeof(g.name), "%s", name);
        r = make_or_close(&g);
        if (r == 0)
                *ret = g;
        return r;
}

void cgroup_close(struct cgroup *g)
{
        if (g->fd >= 0)
                close(g->fd);
        if (g->parent >= 0)
                close(g->parent);
        g->fd = g->parent = -1;
}

/* Calls fn for every directory below, deepest first, and then for `directory` itself. */
static int each(int directory, int depth, int (*fn)(int directory, void *arg), void *arg)
{
        int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), sum = 0;
        DIR *d = copy >= 0 && depth < DEPTH_MAX ? fdopendir(copy) : NULL;
        struct dirent *e;

        if (!d && copy >= 0)
                close(copy);
        while (d && (e = readdir(d))) {
                int below;

                if (e->d_type != DT_DIR || e->d_name[0] == '.')
                        continue;
                below = openat(directory, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (below < 0)
                        continue;
                sum += each(below, depth + 1, fn, arg);
                close(below);
                if (fn == NULL)
                        unlinkat(directory, e->d_name, AT_REMOVEDIR);
        }
        if (d)
                closedir(d);
        return sum + (fn ? fn(directory, arg) : 0);
}

int cgroup_remove(struct cgroup *g)
{
        if (unlinkat(g->parent, g->name, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        if (errno != EBUSY && errno != ENOTEMPTY)
                return -errno;
        each(g->fd, 0, NULL, NULL); /* its members may have made some of their own */
        if (unlinkat(g->parent, g->name, AT_REMOVEDIR) == 0)
                return 0;
        return errno == ENOTEMPTY ? -EBUSY : -errno;
}

int cgroup_sweep(const char *base, const char *prefix)
{
        DIR *d = opendir(base);
        size_t bytes = strlen(prefix);
        struct dirent *e;
        int n = 0, pid, end;

        while (d && (e = readdir(d)))
                if (strncmp(e->d_name, prefix, bytes) == 0 && (end = 0, sscanf(e->d_name + bytes, "-%d-%n", &pid, &end)) == 1 &&
                    end > 0 && pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
                        n += unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) == 0;
        if (d)
                closedir(d);
        return n;
}

int cgroup_kill(const struct cgroup *g)
{
        return write_file(g->fd, "cgroup.kill", "1");
}

struct members {
        void (*fn)(void *arg, pid_t pid);
        void *arg;
};

static int each_member(int directory, void *arg)
{
        const struct members *m = arg;
        int fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC), n = 0, pid;
        FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;

        if (!f && fd >= 0)
                close(fd);
        while (f && fscanf(f, "%d", &pid) == 1) {
                if (pid <= 0) /* of another PID namespace */
                        continue;
                m->fn(m->arg, pid);
                n++;
        }
        if (f)
                fclose(f);
        return n;
}

void cgroup_each(const struct cgroup *g, void (*fn)(void *arg, pid_t pid), void *arg)
{
        struct members m = { fn, arg };

        each(g->fd, 0, each_member, &m);
}

static void signal_member(void *arg, pid_t pid)
{
        kill(pid, *(const int *)arg);
        kill(pid, SIGCONT);
}

/* Several reads, since a member may fork while it is signalled, are the caller's business: SIGTERM is a request. */
int cgroup_signal(const struct cgroup *g, int signal)
{
        struct members m = { signal_member, &signal };

        return each(g->fd, 0, each_member, &m);
}

/* ---- memory ---- */

bool cgroup_has_memory(const struct cgroup *g)
{
        return faccessat(g->fd, "memory.max", F_OK, 0) == 0;
}

int cgroup_delegate_memory(const struct cgroup *g)
{
        return write_file(g->fd, "cgroup.subtree_control", "+memory");
}

int cgroup_limit_memory(const struct cgroup *g, uint64_t bytes)
{
        char text[32];
        int r;

        snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
        r = write_file(g->fd, "memory.max", text);
        if (r < 0)
                return r;
        write_file(g->fd, "memory.swap.max", "0");
        return write_file(g->fd, "memory.oom.group", "1"); /* the whole tree, not its largest member */
}

int cgroup_memory_peak(const struct cgroup *g, uint64_t *ret)
{
        char text[32];
        int r = read_file(g->fd, "memory.peak", text, sizeof(text));

        if (r == 0)
                *ret = strtoull(text, NULL, 10);
        return r;
}

uint64_t cgroup_memory_kills(const struct cgroup *g)
{
        char text[512], *at;

        if (read_file(g->fd, "memory.events", text, sizeof(text)) < 0)
                return 0;
        at = strstr(text, "\noom_kill ");
        return at ? strtoull(at + 10, NULL, 10) : 0;
}
