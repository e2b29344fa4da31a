/* uring/guard.c: see guard.h. Starts the guard's program from memory, speaks guard_wire.h with it. Called by the engine and
 * by helper threads (guard_spawn()); calls spawn_direct(). */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"
#include "syscalls.h"

/* Answers are small, and this many fit into the socket: neither side waits for the other to read. */
enum { BEGUN_MAX = 16 };

struct guard {
        pthread_mutex_t lock; /* of the request socket */
        int request, event;
        pid_t pid;
        int pidfd;
        bool gone, pidns;
        struct spawn self; /* its own start, until it has answered for the first time */
        char program[64];
        char *argv[2], *env[1];
        int program_fd;
        struct spawn *begun[BEGUN_MAX]; /* sent, and not answered yet, in order */
        unsigned begun_nr;
};

/* ---- start ---- */

static int pair(int type, int ret[2])
{
        if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret) < 0)
                return -errno;
        ret[0] = sys_above_stdio(ret[0]);
        ret[1] = sys_above_stdio(ret[1]);
        return ret[0] < 0 ? ret[0] : ret[1] < 0 ? ret[1] : 0;
}

static void close_pair(int fds[2])
{
        for (int i = 0; i < 2; i++)
                if (fds[i] >= 0)
                        close(fds[i]);
}

/* Not waited for: what it is asked meanwhile waits in its socket. */
static int spawn_guard(struct guard *g, const int fds[3], bool pidns)
{
        int r;

        g->program_fd = program_open(PROGRAM_GUARD);
        if (g->program_fd < 0)
                return g->program_fd;
        snprintf(g->program, sizeof(g->program), "/proc/self/fd/%d", g->program_fd);
        g->argv[0] = (char *)"sluice-guard";
        g->self = (struct spawn){ .path = g->program,
                                  .argv = g->argv,
                                  .env = g->env,
                                  .directory = -1,
                                  .fds = { fds[0], fds[1], fds[2] },
                                  .terminal = -1,
                                  .cgroup = -1,
                                  .async = true,
                                  .hold_all = true,
                                  .new_pid_namespace = pidns };
        r = spawn_direct(&g->self);
        if (r < 0) {
                close(g->program_fd);
                return r;
        }
        g->pid = g->self.pid;
        g->pidfd = g->self.pidfd;
        return 0;
}

/* It has exec'd, or never will. */
static int settle(struct guard *g)
{
        int r;

        if (!g->self.room)
                return 0;
        r = spawn_confirm(&g->self);
        close(g->program_fd);
        if (r < 0) {
                g->gone = true;
                g->pidfd = -1;
        }
        return r;
}

int guard_new(struct guard **ret, bool pidns)
{
        int request[2] = { -1, -1 }, event[2] = { -1, -1 }, host = -1, r;
        struct guard *g = calloc(1, sizeof(*g));

        if (!g)
                return -ENOMEM;
        r = pair(SOCK_STREAM, request);
        if (r == 0)
                r = pair(SOCK_SEQPACKET, event);
        if (r == 0) {
                host = sys_above_stdio((int)syscall(SYS_pidfd_open, getpid(), 0));
                r = host < 0 ? -errno : 0;
        }
        if (r == 0)
                r = spawn_guard(g, (const int[]){ request[1], event[1], host }, pidns);
        if (host >= 0)
                close(host);
        if (r < 0) {
                close_pair(request);
                close_pair(event);
                free(g);
                return r;
        }
        close(request[1]);
        close(event[1]);
        g->request = request[0];
        g->event = event[0];
        g->pidns = pidns;
        pthread_mutex_init(&g->lock, NULL);
        *ret = g;
        return 0;
}

/* ---- requests ---- */

static int gone(struct guard *g)
{
        g->gone = true;
        return -EPIPE;
}

static int send_bytes(struct guard *g, const char *data, size_t bytes)
{
        while (bytes > 0) {
                ssize_t n = send(g->request, data, bytes, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return gone(g);
                data += n;
                bytes -= (size_t)n;
        }
        return 0;
}

/* The fds go with the first byte; a stream may take the rest in parts. */
static int send_request(struct guard *g, const struct guard_request *q, const int *fds, uint32_t fds_nr)
{
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(GUARD_FDS_MAX * sizeof(int))] = { 0 };
        struct iovec v = { (void *)(uintptr_t)q, sizeof(*q) };
        struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
        ssize_t n;

        if (g->gone)
                return -EPIPE;
        if (fds_nr > 0) {
                struct cmsghdr *c;

                m.msg_control = control;
                m.msg_controllen = CMSG_SPACE(fds_nr * sizeof(int));
                c = CMSG_FIRSTHDR(&m);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(fds_nr * sizeof(int));
                memcpy(CMSG_DATA(c), fds, fds_nr * sizeof(int));
        }
        do
                n = sendmsg(g->request, &m, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == ETOOMANYREFS || errno == EMFILE))
                return -errno; /* nothing was sent */
        if (n <= 0)
                return gone(g);
        return send_bytes(g, (const char *)q + n, sizeof(*q) - (size_t)n);
}

static int receive_reply(struct guard *g, struct guard_reply *ret, int *ret_pidfd)
{
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
        struct iovec v = { ret, sizeof(*ret) };
        struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
        struct cmsghdr *c;
        ssize_t n;

        *ret_pidfd = -1;
        if (settle(g) < 0)
                return gone(g);
        do
                n = recvmsg(g->request, &m, MSG_CMSG_CLOEXEC | MSG_WAITALL);
        while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof(*ret))
                return gone(g);
        c = CMSG_FIRSTHDR(&m);
        if (c && c->cmsg_type == SCM_RIGHTS)
                memcpy(ret_pidfd, CMSG_DATA(c), sizeof(int));
        return 0;
}

int guard_tell(struct guard *g, enum guard_kind kind, uint64_t id, int signal)
{
        const struct guard_request q = { .kind = kind, .id = id, .signal = signal };
        int r;

        pthread_mutex_lock(&g->lock);
        r = send_request(g, &q, NULL, 0);
        pthread_mutex_unlock(&g->lock);
        return r;
}

int guard_leaf(struct guard *g, uint64_t id, int parent, const char *name)
{
        struct guard_request q = { .kind = GUARD_LEAF, .id = id };
        int r;

        if (strlen(name) >= sizeof(q.name))
                return -ENAMETOOLONG;
        strcpy(q.name, name);
        pthread_mutex_lock(&g->lock);
        r = send_request(g, &q, &parent, 1);
        pthread_mutex_unlock(&g->lock);
        return r;
}

/* ---- a command ---- */

struct packed {
        char *data;
        size_t bytes, cap;
};

static int put(struct packed *p, const void *data, size_t bytes)
{
        if (bytes > p->cap - p->bytes) {
                size_t wanted = p->bytes + bytes, cap = wanted * 2 < GUARD_SPAWN_BYTES_MAX ? wanted * 2 : GUARD_SPAWN_BYTES_MAX;
                char *more = wanted > cap ? NULL : realloc(p->data, cap);

                if (!more)
                        return wanted > cap ? -E2BIG : -ENOMEM;
                p->data = more;
                p->cap = cap;
        }
        if (bytes)
                memcpy(p->data + p->bytes, data, bytes);
        p->bytes += bytes;
        return 0;
}

static int put_strings(struct packed *p, char *const *v)
{
        int r = 0;

        for (size_t i = 0; r == 0 && v[i]; i++)
                r = put(p, v[i], strlen(v[i]) + 1);
        return r;
}

static uint32_t count(char *const *v)
{
        uint32_t n = 0;

        while (v[n])
                n++;
        return n;
}

static int pack(struct packed *p, const struct spawn *s, int directory)
{
        struct guard_spawn_wire w = { .argc = count(s->argv),
                                      .envc = count(s->env),
                                      .rlimits_nr = s->rlimits_nr,
                                      .groups_nr = s->groups_nr,
                                      .extra_nr = s->extra_nr,
                                      .group_mode = s->group_mode,
                                      .group = s->group,
                                      .nice = s->nice,
                                      .ioprio = s->ioprio,
                                      .umask = s->umask,
                                      .uid = s->uid,
                                      .gid = s->gid,
                                      .hold_term = s->hold_term,
                                      .set_umask = s->set_umask,
                                      .set_ids = s->set_ids,
                                      .has_directory = directory >= 0,
                                      .has_terminal = s->terminal >= 0,
                                      .has_cgroup = s->cgroup >= 0,
                                      .has_cpus = s->cpus != NULL };
        int r;

        if (s->cpus)
                w.cpus = *s->cpus;
        r = put(p, &w, sizeof(w));
        r = r < 0 ? r : put(p, s->rlimits, s->rlimits_nr * sizeof(*s->rlimits));
        r = r < 0 ? r : put(p, s->groups, s->groups_nr * sizeof(*s->groups));
        for (uint32_t i = 0; i < s->extra_nr; i++)
                r = r < 0 ? r : put(p, &s->extra[i].as, sizeof(int));
        r = r < 0 ? r : put(p, s->path, strlen(s->path) + 1);
        r = r < 0 ? r : put_strings(p, s->argv);
        return r < 0 ? r : put_strings(p, s->env);
}

static uint32_t list_fds(const struct spawn *s, int directory, int *ret)
{
        uint32_t n = 0;

        for (int i = 0; i < 3; i++)
                ret[n++] = s->fds[i];
        for (uint32_t i = 0; i < s->extra_nr; i++)
                ret[n++] = s->extra[i].fd;
        if (directory >= 0)
                ret[n++] = directory;
        if (s->terminal >= 0)
                ret[n++] = s->terminal;
        if (s->cgroup >= 0)
                ret[n++] = s->cgroup;
        return n;
}

/* The guard's process group is its own: a command that stays in its caller's joins the host's. */
static struct spawn as_seen_by_guard(const struct guard *g, const struct spawn *s)
{
        struct spawn copy = *s;

        if (g->pidns) { /* our numbers mean nothing there */
                copy.group_mode = SPAWN_GROUP_KEEP;
        } else if (copy.group_mode == SPAWN_GROUP_KEEP && getpgrp() > 0) { /* 0: it is of an outer PID namespace */
                copy.group_mode = SPAWN_GROUP_JOIN;
                copy.group = getpgrp();
        }
        return copy;
}

static void take_answer(struct guard *g, struct spawn *s, const struct guard_reply *reply, int pidfd, int error)
{
        s->failed = error < 0 ? SPAWN_GUARD : (enum spawn_step)reply->failed;
        s->error = error < 0 ? error : reply->error;
        if (s->error < 0)
                return;
        if (pidfd < 0) { /* we may open no more files: the command cannot be watched, so it must not live */
                s->failed = SPAWN_GUARD;
                s->error = -EMFILE;
                if (g->pidns) /* its numbers are not ours */
                        send_request(g, &(const struct guard_request){ .kind = GUARD_KILL }, NULL, 0);
                else
                        kill(reply->pid, SIGKILL);
                return;
        }
        s->pid = sys_pid_of_pidfd(pidfd, reply->pid);
        s->pidfd = pidfd;
}

/* The answers to what was begun, with the lock held. */
static void collect(struct guard *g)
{
        for (unsigned i = 0; i < g->begun_nr; i++) {
                struct guard_reply reply;
                int pidfd, r = receive_reply(g, &reply, &pidfd);

                take_answer(g, g->begun[i], &reply, pidfd, r);
        }
        g->begun_nr = 0;
}

static int exchange(struct guard *g, struct spawn *s, const struct packed *p, int directory)
{
        const struct guard_request q = { .kind = GUARD_SPAWN, .bytes = (uint32_t)p->bytes, .id = s->id };
        int fds[GUARD_FDS_MAX], pidfd = -1, r;
        struct guard_reply reply = { 0 };

        pthread_mutex_lock(&g->lock);
        if (g->begun_nr == BEGUN_MAX)
                collect(g);
        r = send_request(g, &q, fds, list_fds(s, directory, fds));
        r = r < 0 ? r : send_bytes(g, p->data, p->bytes);
        if (r == 0 && s->async) {
                g->begun[g->begun_nr++] = s;
        } else {
                if (r == 0) {
                        collect(g);
                        r = receive_reply(g, &reply, &pidfd);
                }
                take_answer(g, s, &reply, pidfd, r);
                r = s->error;
        }
        pthread_mutex_unlock(&g->lock);
        return r;
}

int guard_confirm(struct guard *g, uint64_t batch, int *ret_member, int *ret_error, enum spawn_step *ret_failed)
{
        const struct guard_request q = { .kind = GUARD_CONFIRM, .id = batch };
        struct guard_reply reply;
        int r, nothing;

        pthread_mutex_lock(&g->lock);
        r = send_request(g, &q, NULL, 0);
        collect(g);
        r = r < 0 ? r : receive_reply(g, &reply, &nothing);
        pthread_mutex_unlock(&g->lock);
        if (r < 0 || reply.error == 0)
                return r;
        *ret_member = (int)(reply.id & ((1u << GUARD_MEMBER_BITS) - 1));
        *ret_error = reply.error;
        *ret_failed = (enum spawn_step)reply.failed;
        return 1;
}

/* One that is not to be confirmed with others is confirmed here. */
static int confirm_now(struct guard *g, struct spawn *s)
{
        int member, error, r = s->async ? 0 : guard_confirm(g, s->id >> GUARD_MEMBER_BITS, &member, &error, &s->failed);

        if (r == 0)
                return 0;
        close(s->pidfd);
        s->pidfd = -1;
        if (r < 0)
                s->failed = SPAWN_GUARD;
        return r < 0 ? r : error;
}

/* The host's directory now is not the one that the guard was started in. */
int guard_spawn(struct guard *g, struct spawn *s)
{
        int here = s->directory < 0 ? open(".", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        int directory = s->directory < 0 ? here : s->directory, r;
        struct spawn seen = as_seen_by_guard(g, s);
        struct packed p = { 0 };

        s->error = 0;
        r = pack(&p, &seen, directory);
        if (r == 0)
                r = exchange(g, s, &p, directory);
        else
                s->failed = SPAWN_EXEC;
        free(p.data);
        if (here >= 0)
                close(here);
        return r < 0 ? r : confirm_now(g, s);
}

/* ---- events, end ---- */

int guard_fd(const struct guard *g)
{
        return g->event;
}

pid_t guard_pid(const struct guard *g)
{
        return g->pid;
}

int guard_next(struct guard *g, struct guard_event *ret)
{
        ssize_t n;

        do
                n = recv(g->event, ret, sizeof(*ret), MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n == (ssize_t)sizeof(*ret))
                return 1;
        return n < 0 && errno == EAGAIN ? 0 : -EPIPE;
}

void guard_free(struct guard *g)
{
        siginfo_t info;

        if (!g)
                return;
        if (settle(g) == 0 && g->pidfd >= 0) {
                if (guard_tell(g, GUARD_BYE, 0, 0) < 0)
                        sys_kill_child(NULL, g->pidfd, SIGKILL);
                /* ECHILD: the host reaps what it does not know, or ignores SIGCHLD. */
                while (waitid(P_PIDFD, (id_t)g->pidfd, &info, WEXITED) < 0 && errno == EINTR)
                        continue;
                close(g->pidfd);
        }
        close(g->request);
        close(g->event);
        pthread_mutex_destroy(&g->lock);
        free(g);
}
