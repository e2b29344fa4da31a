/* uring/guard_main.c: the guard: a process that starts commands for a host, is their parent and the subreaper of what they
 * leave behind, and ends all of it when the host dies.
 *
 *      SERVING --(BYE)--> gone                         the host has ended everything, or leaves it
 *         |------(host's pidfd readable, or end of file without BYE)--> KILLING --(no child left)--> gone
 *         |------(KILL)--> KILLING --(no child left: EMPTY)--> SERVING
 *
 * Built without libc, so that it starts in 0.2 ms and holds a few pages: the library carries its image (guard.c). It waits
 * in one ppoll(2) for requests, for SIGCHLD and for the end of the host, and reaps at once whatever ends, its own commands
 * with an event, strangers (re-parented descendants) without. Only the leader of a process group stays a zombie until the
 * host has no more use for the group: others join it, and its number must not be reused. Races it closes:
 *  - the host dies before we look: we hold its pidfd, opened by itself, before we exist;
 *  - a fork of the host keeps the socket open: the pidfd tells of the host itself;
 *  - a command that forks while it is killed: the walk repeats until waitid(2) says ECHILD;
 *  - we are killed ourselves: commands (not what descends from them) have PDEATHSIG from us, and the host sees its event
 *    socket end; then it kills their group, or their cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "guard_wire.h"
#include "raw.h"
#include "tree.h"

enum {
        DIRECTORY = 4 /* DT_DIR */,
        DEPTH_MAX = 8,
        DENTS_BYTES = 1024,
        SIGSET_BYTES = 8,
        WALK_MAX = 16384,
        STRANGERS_MAX = 4096,
        STRANGERS_EVERY = 64,
        KILL_WALKS = 8,
        NEAR_MAX = 64,
        SPARES_MAX = 4,
        SPARE_BYTES_MAX = 256 << 10,
        RETRY_MS = 2
};

struct child {
        uint64_t id;
        pid_t pid;
        bool leader;               /* of a process group */
        bool held;                 /* ... that has ended, and is not reaped yet */
        bool unsent;               /* it has ended, and the event socket was full */
        struct spawning *spawning; /* what it was told, until it has exec'd */
        struct guard_event event;
};

/* One mapping: this, the request's bytes, pointers into them, and the room that the child runs in. A few are kept for the next
 * command: a guard that starts a few and ends need not unmap at all. */
struct spawning {
        unsigned long map_bytes;
        struct spawning *next; /* of those that are kept */
        struct spawn spec;
        struct spawn_fd extra[SPAWN_EXTRA_MAX];
        struct spawn_room *room;
};

/* A cgroup of the host's: announced before it is made, so that none is left whenever the host dies. */
struct leaf {
        uint64_t id;
        int parent;
        char name[GUARD_LEAF_NAME_BYTES];
};

/* One guard to a process: its state is the program's. Zero pages cost nothing until they are touched. */
static struct leaf leaves[GUARD_LEAVES_MAX];
static pid_t walked[WALK_MAX], strangers[STRANGERS_MAX];
static struct child children[GUARD_CHILDREN_MAX]; /* gcc lays it beside what follows: the first ones share a page with that */
static struct spawning *spares;
static uint32_t children_nr, held_nr, leaves_nr, spares_nr, signals_seen;
static int signal_fd;
static bool killing, tell, is_init, host_gone, seen_empty;

/* gcc makes calls to these from plain C. */
void *memcpy(void *to, const void *from, unsigned long bytes)
{
        for (unsigned long i = 0; i < bytes; i++)
                ((volatile char *)to)[i] = ((const char *)from)[i];
        return to;
}

void *memset(void *to, int value, unsigned long bytes)
{
        for (unsigned long i = 0; i < bytes; i++)
                ((volatile char *)to)[i] = (char)value;
        return to;
}

__attribute__((noreturn)) static void leave(int status)
{
        for (;;)
                raw1(SYS_exit_group, status);
}

/* ---- events ---- */

static bool send_event(const struct guard_event *e)
{
        long r = raw6(SYS_sendto, GUARD_EVENT_FD, RAW_LONG(e), sizeof(*e), MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);

        return r != -EAGAIN && r != -ENOBUFS; /* a host that is gone reads no events */
}

static void drop_child(uint32_t i)
{
        children[i] = children[--children_nr];
}

static void send_child(uint32_t i)
{
        struct child *c = &children[i];

        c->unsent = !send_event(&c->event);
        if (!c->unsent && !c->held)
                drop_child(i);
}

static void send_unsent(void)
{
        for (uint32_t i = children_nr; i-- > 0;) /* the one that takes a dropped one's place was looked at before */
                if (children[i].unsent)
                        send_child(i);
}

static bool any_unsent(void)
{
        for (uint32_t i = 0; i < children_nr; i++)
                if (children[i].unsent)
                        return true;
        return false;
}

static int find_child(pid_t pid)
{
        for (uint32_t i = 0; i < children_nr; i++)
                if (children[i].pid == pid && !children[i].unsent)
                        return (int)i;
        return -1;
}

/* ---- reaping ---- */

static const struct child *known(pid_t pid)
{
        for (uint32_t i = 0; i < children_nr; i++)
                if (children[i].pid == pid)
                        return &children[i];
        return NULL;
}

static bool any_running(void)
{
        for (uint32_t i = 0; i < children_nr; i++)
                if (!children[i].held && !children[i].unsent)
                        return true;
        return false;
}

/* Whether nothing is below us but group leaders that are held: no child, living or dead. As a rule there is one of them, and
 * the pages of `walked` are left alone. */
static bool is_empty(void)
{
        pid_t near[NEAR_MAX], *found = held_nr < NEAR_MAX ? near : walked;
        siginfo_t info;
        size_t nr;

        if (any_running())
                return false;
        if (held_nr == 0)
                return raw5(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) == -ECHILD;
        nr = tree_children(0, found, found == near ? NEAR_MAX : WALK_MAX);
        for (size_t i = 0; i < nr; i++) {
                const struct child *c = known(found[i]);

                if (!c || !c->held)
                        return false;
        }
        return true;
}

static void ended(uint32_t i, const siginfo_t *info, const struct rusage *used)
{
        struct child *c = &children[i];

        c->held = c->leader;
        held_nr += c->held;
        c->unsent = true;
        c->event = (struct guard_event){ .kind = GUARD_EXITED, .id = c->id, .empty = is_empty() };
        seen_empty = c->event.empty;
        if (info->si_code == CLD_EXITED)
                c->event.exit_status = info->si_status;
        else
                c->event.signal = info->si_status;
        c->event.cpu_us = (uint64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000u +
                          (uint64_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
        c->event.max_rss_bytes = (uint64_t)used->ru_maxrss << 10;
        send_child(i);
}

static void stopped_or_continued(uint32_t i, const siginfo_t *info)
{
        const struct guard_event e = { .kind = info->si_code == CLD_CONTINUED ? GUARD_CONTINUED : GUARD_STOPPED,
                                       .id = children[i].id,
                                       .signal = info->si_status };

        if (children[i].spawning && info->si_code == CLD_STOPPED)
                children[i].spawning->spec.stopped = true;
        send_event(&e); /* one that finds the socket full is lost: it only informs */
}

static bool wait_for(idtype_t type, pid_t pid, int options, siginfo_t *ret, struct rusage *used)
{
        ret->si_pid = 0;
        return raw5(SYS_waitid, type, pid, ret, options | WNOHANG | __WALL, used) == 0 && ret->si_pid != 0;
}

static void see_stops(void)
{
        siginfo_t info;

        while (wait_for(P_ALL, 0, WSTOPPED | WCONTINUED, &info, NULL)) {
                int i = find_child(info.si_pid);

                if (i >= 0)
                        stopped_or_continued((uint32_t)i, &info);
        }
}

/* One that has not exec'd yet, or never will, is confirm()'s. */
static void reap_own(void)
{
        struct rusage used;
        siginfo_t info;

        for (uint32_t i = children_nr; i-- > 0;)
                if (!children[i].unsent && !children[i].held && !children[i].spawning &&
                    wait_for(P_PID, children[i].pid, WEXITED | (children[i].leader ? WNOWAIT : 0), &info, &used))
                        ended(i, &info, &used);
}

/* While there are commands, P_ALL would answer with those that others wait for: strangers are asked for one by one. That
 * takes a look into /proc, and a stranger that stays a zombie harms nobody: now and then, and when all commands ended. */
static void reap_strangers(void)
{
        siginfo_t info;
        size_t nr;

        if (children_nr == 0) {
                while (wait_for(P_ALL, 0, WEXITED, &info, NULL))
                        continue;
                return;
        }
        if (any_running() && ++signals_seen % STRANGERS_EVERY != 0)
                return;
        nr = tree_children(0, strangers, STRANGERS_MAX);
        for (size_t i = 0; i < nr; i++)
                if (!known(strangers[i]))
                        wait_for(P_PID, strangers[i], WEXITED, &info, NULL);
}

static void reap(void)
{
        seen_empty = false;
        see_stops();
        reap_own();
        if (!seen_empty)
                reap_strangers();
}

static void reap_leader(uint64_t id)
{
        siginfo_t info;

        for (uint32_t i = 0; i < children_nr; i++)
                if (children[i].id == id && children[i].held) {
                        wait_for(P_PID, children[i].pid, WEXITED, &info, NULL);
                        children[i].held = false;
                        held_nr--;
                        if (!children[i].unsent)
                                drop_child(i);
                        return;
                }
}

static void tell_if_empty(void)
{
        if (!tell || !is_empty())
                return;
        if (send_event(&(struct guard_event){ .kind = GUARD_EMPTY, .empty = 1 }))
                tell = false;
}

/* ---- signals to everything ---- */

/* Stopped ones get their SIGTERM only when they are continued. */
static void signal_all(int signal)
{
        size_t nr;

        if (is_init) { /* of a PID namespace: the kernel knows them all, and /proc counts otherwise */
                raw2(SYS_kill, -1, signal);
                if (signal != SIGKILL)
                        raw2(SYS_kill, -1, SIGCONT);
                return;
        }
        nr = tree_walk(0, walked, WALK_MAX);
        for (size_t i = 0; i < nr; i++) {
                raw2(SYS_kill, walked[i], signal);
                if (signal != SIGKILL)
                        raw2(SYS_kill, walked[i], SIGCONT);
        }
}

static void write_one(int directory, const char *name)
{
        long fd = raw4(SYS_openat, directory, name, O_WRONLY | O_CLOEXEC, 0);

        if (fd < 0)
                return;
        raw3(SYS_write, fd, "1", 1);
        raw1(SYS_close, fd);
}

static void drop_leaf(struct leaf *l)
{
        raw1(SYS_close, l->parent);
        *l = leaves[--leaves_nr];
}

/* What is below it was made by the host (one for each command) or by its members. */
static void remove_below(int directory, int depth)
{
        _Alignas(8) char dents[DENTS_BYTES];
        long n;

        while (depth < DEPTH_MAX && (n = raw3(SYS_getdents64, directory, dents, sizeof(dents))) > 0)
                for (long at = 0; at < n;) {
                        const struct kernel_dirent *d = (const void *)(dents + at);
                        long below = d->type == DIRECTORY && d->name[0] != '.'
                                             ? raw4(SYS_openat, directory, d->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
                                             : -1;

                        if (below >= 0) {
                                remove_below((int)below, depth + 1);
                                raw1(SYS_close, below);
                                raw3(SYS_unlinkat, directory, d->name, AT_REMOVEDIR);
                        }
                        at += d->bytes;
                }
}

/* A cgroup's members need not be below us. True: it is gone. */
static bool end_leaf(const struct leaf *l)
{
        long leaf = raw4(SYS_openat, l->parent, l->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

        if (leaf < 0)
                return true;
        write_one((int)leaf, "cgroup.kill");
        remove_below((int)leaf, 0);
        raw1(SYS_close, leaf);
        return raw3(SYS_unlinkat, l->parent, l->name, AT_REMOVEDIR) != -EBUSY;
}

static void end_leaves(void)
{
        for (uint32_t i = leaves_nr; i-- > 0;)
                if (end_leaf(&leaves[i]))
                        drop_leaf(&leaves[i]);
}

/* Several walks in a row: who forks while he is killed is met again at once. */
static bool kill_round(void)
{
        for (int i = 0; i < KILL_WALKS; i++) {
                if (host_gone)
                        end_leaves();
                signal_all(SIGKILL);
                reap();
                if (is_empty() && (!host_gone || leaves_nr == 0))
                        return true;
        }
        return false;
}

static void go_on_killing(void)
{
        if (!killing || !kill_round())
                return;
        killing = false;
        if (host_gone)
                leave(0);
        tell = true;
}

/* Nobody will confirm what was begun: it is reaped like the rest. Its mapping stays, since it may still run in it. */
static void host_has_gone(void)
{
        host_gone = true;
        killing = true;
        for (uint32_t i = 0; i < children_nr; i++)
                children[i].spawning = NULL;
}

/* ---- requests ---- */

static bool read_all(void *data, uint32_t bytes)
{
        for (uint32_t at = 0; at < bytes;) {
                long n = raw3(SYS_read, GUARD_REQUEST_FD, (char *)data + at, bytes - at);

                if (n <= 0 && n != -EINTR)
                        return false;
                at += n > 0 ? (uint32_t)n : 0;
        }
        return true;
}

struct received {
        int fds[GUARD_FDS_MAX];
        uint32_t nr, at;
};

static void take_fds(struct msghdr *m, struct received *ret)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS; c = NULL) {
                ret->nr = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
                for (uint32_t i = 0; i < ret->nr; i++)
                        ret->fds[i] = ((const int *)(const void *)CMSG_DATA(c))[i];
        }
}

/* False: the host's end is closed. */
static bool read_request(struct guard_request *q, struct received *fds)
{
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds->fds))];
        struct iovec v = { q, sizeof(*q) };
        struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
        long n;

        fds->nr = fds->at = 0;
        do
                n = raw3(SYS_recvmsg, GUARD_REQUEST_FD, &m, MSG_CMSG_CLOEXEC);
        while (n == -EINTR);
        if (n <= 0)
                return false;
        take_fds(&m, fds);
        return n == (long)sizeof(*q) || read_all((char *)q + n, (uint32_t)(sizeof(*q) - (unsigned long)n));
}

static int next_fd(struct received *fds, bool there)
{
        return there && fds->at < fds->nr ? fds->fds[fds->at++] : -1;
}

static void close_fds(struct received *fds)
{
        for (uint32_t i = 0; i < fds->nr; i++)
                raw1(SYS_close, fds->fds[i]);
}

static char *take_strings(char *at, const char *end, const char **ret, uint32_t nr)
{
        for (uint32_t i = 0; i < nr; i++) {
                ret[i] = at;
                while (at < end && *at)
                        at++;
                at++;
        }
        ret[nr] = NULL;
        return at;
}

/* From the bytes back to the struct. `pointers` has room for argv, env and the shell's argv. */
static void unpack(struct spawn *s, const struct guard_spawn_wire *w, char *at, const char *end, const char **pointers,
                   struct spawn_fd *extra, struct received *fds)
{
        const char **argv = pointers, **env = argv + w->argc + 1;

        *s = (struct spawn){ .group_mode = (enum spawn_group)w->group_mode,
                             .group = w->group,
                             .die_with_parent = true,
                             .hold_term = w->hold_term,
                             .set_umask = w->set_umask,
                             .umask = w->umask,
                             .set_ids = w->set_ids,
                             .uid = w->uid,
                             .gid = w->gid,
                             .nice = w->nice,
                             .ioprio = w->ioprio,
                             .cpus = w->has_cpus ? &w->cpus : NULL,
                             .extra_nr = w->extra_nr,
                             .rlimits_nr = w->rlimits_nr,
                             .groups_nr = w->groups_nr };
        s->rlimits = (const void *)at;
        at += w->rlimits_nr * sizeof(struct spawn_rlimit);
        s->groups = (const void *)at;
        at += w->groups_nr * sizeof(gid_t);
        for (int i = 0; i < 3; i++)
                s->fds[i] = next_fd(fds, true);
        for (uint32_t i = 0; i < w->extra_nr; i++, at += sizeof(int))
                extra[i] = (struct spawn_fd){ next_fd(fds, true), *(const int *)(const void *)at };
        s->extra = extra;
        s->directory = next_fd(fds, w->has_directory);
        s->terminal = next_fd(fds, w->has_terminal);
        s->cgroup = next_fd(fds, w->has_cgroup);
        s->path = at;
        while (at < end && *at)
                at++;
        at = take_strings(at + 1, end, argv, w->argc);
        take_strings(at, end, env, w->envc);
        s->argv = (char *const *)(const void *)argv;
        s->env = (char *const *)(const void *)env;
}

static void reply(const struct guard_reply *r, int pidfd)
{
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
        struct iovec v = { (void *)(uintptr_t)r, sizeof(*r) };
        struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

        if (pidfd >= 0) {
                struct cmsghdr *c = (void *)control;

                m.msg_control = control;
                m.msg_controllen = sizeof(control);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                *(int *)(void *)CMSG_DATA(c) = pidfd;
        }
        raw3(SYS_sendmsg, GUARD_REQUEST_FD, &m, MSG_NOSIGNAL);
}

static void release_spawning(struct spawning *s)
{
        if (spares_nr == SPARES_MAX || s->map_bytes > SPARE_BYTES_MAX) {
                raw2(SYS_munmap, s, s->map_bytes);
                return;
        }
        s->next = spares;
        spares = s;
        spares_nr++;
}

static void drop_spawning(struct child *c)
{
        if (c->spawning)
                release_spawning(c->spawning);
        c->spawning = NULL;
}

/* The first that is large enough; those before it are not worth keeping. */
static struct spawning *take_spare(unsigned long bytes)
{
        while (spares) {
                struct spawning *s = spares;

                spares = s->next;
                spares_nr--;
                if (s->map_bytes >= bytes)
                        return s;
                raw2(SYS_munmap, s, s->map_bytes);
        }
        return NULL;
}

static unsigned long align(unsigned long n)
{
        return (n + 63ul) & ~63ul;
}

/* As many pointers as there can be strings: one to two bytes. */
static struct spawning *map_spawning(uint32_t bytes, char **ret_data, const char ***ret_pointers)
{
        unsigned long data_at = align(sizeof(struct spawning)), pointers_at = data_at + align(bytes),
                      room_at = pointers_at + align((bytes + 8ul) * sizeof(char *)),
                      map_bytes = room_at + align(sizeof(struct spawn_room) + (bytes + 8ul) * sizeof(char *));
        struct spawning *s = take_spare(map_bytes);

        if (!s) {
                long map = raw6(SYS_mmap, 0, (long)map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                if (map < 0 && map > -4096)
                        return NULL;
                s = (struct spawning *)map;
                s->map_bytes = map_bytes;
        }
        s->room = (struct spawn_room *)(void *)((char *)s + room_at);
        *ret_data = (char *)s + data_at;
        *ret_pointers = (const char **)(void *)((char *)s + pointers_at);
        return s;
}

/* A host that has sent several at once does not know the leader's number yet. */
static void find_group(struct spawn *s, uint64_t id)
{
        if (s->group_mode != SPAWN_GROUP_JOIN || s->group)
                return;
        for (uint32_t i = 0; i < children_nr; i++)
                if (children[i].leader && children[i].id >> GUARD_MEMBER_BITS == id >> GUARD_MEMBER_BITS)
                        s->group = children[i].pid;
}

static void begin(const struct guard_request *q, struct spawning *s, struct received *fds, char *data, const char **pointers)
{
        const struct guard_spawn_wire *w = (const void *)data;
        struct guard_reply r = { .id = q->id, .error = -EAGAIN, .failed = SPAWN_GUARD };

        if (children_nr < GUARD_CHILDREN_MAX) {
                unpack(&s->spec, w, data + sizeof(*w), data + q->bytes, pointers, s->extra, fds);
                find_group(&s->spec, q->id);
                r.error = spawn_begin(&s->spec, s->room);
                r.failed = s->spec.failed;
                r.pid = s->spec.pid;
        }
        reply(&r, r.error == 0 ? s->spec.pidfd : -1);
        if (r.error == 0)
                children[children_nr++] = (struct child){
                        .id = q->id, .pid = s->spec.pid, .leader = s->spec.group_mode == SPAWN_GROUP_NEW, .spawning = s
                };
        else
                release_spawning(s);
}

static void spawn(const struct guard_request *q, struct received *fds)
{
        const char **pointers;
        char *data;
        struct spawning *s = map_spawning(q->bytes, &data, &pointers);

        if (!s)
                leave(1); /* the request's bytes cannot be skipped without memory: commands die with us, the host is told */
        if (read_all(data, q->bytes))
                begin(q, s, fds, data, pointers);
        else
                host_has_gone();
}

/* The next of a batch that is not confirmed, in the order of their ids; -1: none. */
static int next_begun(uint64_t batch)
{
        int found = -1;

        for (uint32_t i = 0; i < children_nr; i++)
                if (children[i].spawning && children[i].id >> GUARD_MEMBER_BITS == batch &&
                    (found < 0 || children[i].id < children[found].id))
                        found = (int)i;
        return found;
}

/* Waits for an exec, which may wait for a file server; but then the host has nothing else for us to do. One that failed is
 * answered, and the host asks again. */
static void confirm(const struct guard_request *q)
{
        struct guard_reply r = { .id = q->id };
        int i;

        while (r.error == 0 && (i = next_begun(q->id)) >= 0) {
                struct child *c = &children[i];

                r.error = spawn_wait(&c->spawning->spec, c->spawning->room);
                if (r.error == 0)
                        raw1(SYS_close, c->spawning->spec.pidfd);
                else
                        r = (struct guard_reply){ .id = c->id, .error = r.error, .failed = c->spawning->spec.failed };
                drop_spawning(c);
                if (r.error < 0)
                        drop_child((uint32_t)i);
        }
        reply(&r, -1);
}

static void add_leaf(const struct guard_request *q, struct received *fds)
{
        if (leaves_nr == GUARD_LEAVES_MAX || fds->nr != 1)
                return;
        leaves[leaves_nr] = (struct leaf){ .id = q->id, .parent = fds->fds[0] };
        memcpy(leaves[leaves_nr].name, q->name, sizeof(q->name));
        leaves_nr++;
        fds->nr = 0; /* ours now */
}

static void forget_leaf(uint64_t id)
{
        for (uint32_t i = 0; i < leaves_nr; i++)
                if (leaves[i].id == id) {
                        drop_leaf(&leaves[i]);
                        return;
                }
}

static void serve(void)
{
        struct guard_request q;
        struct received fds;

        if (!read_request(&q, &fds)) {
                host_has_gone();
                return;
        }
        switch ((enum guard_kind)q.kind) {
        case GUARD_SPAWN:
                spawn(&q, &fds);
                break;
        case GUARD_CONFIRM:
                confirm(&q);
                reap(); /* what ended meanwhile */
                break;
        case GUARD_SIGNAL:
                signal_all(q.signal);
                break;
        case GUARD_KILL:
                killing = true;
                break;
        case GUARD_TELL:
                tell = true;
                break;
        case GUARD_REAP:
                reap_leader(q.id);
                break;
        case GUARD_LEAF:
                add_leaf(&q, &fds);
                break;
        case GUARD_FORGET:
                forget_leaf(q.id);
                break;
        case GUARD_BYE:
                leave(0);
        }
        close_fds(&fds);
}

/* ---- life ---- */

static void clear_signals(void)
{
        struct signalfd_siginfo seen[8];

        while (raw3(SYS_read, signal_fd, seen, sizeof(seen)) > 0)
                continue;
}

static int prepare(void)
{
        const struct {
                void *handler;
                unsigned long flags;
                void *restorer;
                uint64_t mask;
        } by_default = { 0 };
        const uint64_t all = ~UINT64_C(0), child = UINT64_C(1) << (SIGCHLD - 1);

        raw4(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, SIGSET_BYTES);
        /* A host that ignores SIGCHLD has handed that down: the kernel would reap for us. */
        raw4(SYS_rt_sigaction, SIGCHLD, &by_default, NULL, SIGSET_BYTES);
        raw2(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
        raw2(SYS_prctl, PR_SET_NAME, "sluice-guard");
        raw2(SYS_setpgid, 0, 0); /* the terminal's keys and kill(0) of the host's group are not for us */
        is_init = raw0(SYS_getpid) == 1;
        signal_fd = (int)raw4(SYS_signalfd4, -1, &child, SIGSET_BYTES, SFD_CLOEXEC | SFD_NONBLOCK);
        for (int fd = 0; fd < 3; fd++)
                raw3(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
        return signal_fd;
}

static void turn(void)
{
        struct pollfd p[] = { { .fd = host_gone ? -1 : GUARD_REQUEST_FD, .events = POLLIN },
                              { .fd = host_gone ? -1 : GUARD_HOST_FD, .events = POLLIN },
                              { .fd = signal_fd, .events = POLLIN },
                              { .fd = any_unsent() || (tell && is_empty()) ? GUARD_EVENT_FD : -1, .events = POLLOUT } };
        struct timespec retry = { .tv_nsec = RETRY_MS * 1000000L };

        raw5(SYS_ppoll, p, 4, killing ? &retry : NULL, NULL, SIGSET_BYTES);
        if (p[2].revents) {
                clear_signals();
                reap();
        }
        if (p[3].revents)
                send_unsent();
        if (p[0].revents)
                serve();
        if (p[1].revents)
                host_has_gone();
        go_on_killing();
        tell_if_empty();
}

__attribute__((noreturn, used)) void guard_main(void)
{
        if (prepare() < 0)
                leave(1);
        for (;;)
                turn();
}

/* The kernel enters with an aligned stack and nothing else that matters here. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %rsp\n\tcall guard_main\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tbl guard_main\n");
#endif
