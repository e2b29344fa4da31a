/* tests/sim/lab.c: see lab.h. Called by scenarios.c; calls the backends, and the real kernel where the seam has no call. */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LAB_PORT = 7 };

static void broken(const char *what)
{
        perror(what);
        exit(3);
}

static int check(int r, const char *what)
{
        if (r < 0)
                broken(what);
        return r;
}

void lab_open(struct lab *l, enum sim_mutation mutation, bool simulated, const char *small_disk)
{
        const struct sim_config c = { .page_bytes = LAB_PAGE,
                                      .workers_max = 32,
                                      .faults = 1u << SIM_LOCK | 1u << SIM_LEAK,
                                      .disk_bytes = -1,
                                      .mutation = mutation,
                                      .steps_max = 100000 };

        *l = (struct lab){ .small_disk = small_disk };
        if (!simulated) {
                check(backend_new(&l->b, false, BACKEND_URING), "backend_new");
                return;
        }
        l->sim = malloc(sizeof(*l->sim));
        if (!l->sim)
                broken("malloc");
        sim_init(l->sim, &c, 1);
        check(backend_sim_new(&l->b, l->sim, false), "backend_sim_new");
}

void lab_close(struct lab *l)
{
        for (unsigned i = 0; i < l->ops_nr; i++)
                if (!l->ops[i].done)
                        backend_cancel(l->b, l->ops[i].op);
        lab_settle(l);
        for (unsigned i = 0; i < l->fds_nr; i++)
                slot_unref(l->fds[i]);
        backend_free(l->b);
        lab_stranger_ends(l);
        if (!l->sim)
                return;
        while (sim_run_one(l->sim) || sim_skip_time(l->sim, UINT64_MAX))
                continue;
        sim_fini(l->sim);
        free(l->sim);
}

void lab_say(struct lab *l, const char *what, int64_t value)
{
        int n = snprintf(l->text + l->text_bytes, sizeof(l->text) - l->text_bytes, "%s %lld\n", what, (long long)value);

        l->text_bytes += n > 0 ? (size_t)n : 0;
        if (l->text_bytes >= sizeof(l->text))
                broken("lab: too much is said");
}

/* ---- fds ---- */

static struct slot *keep(struct lab *l, int fd)
{
        struct slot *s;

        check(fd, "lab: an fd");
        check(slot_new(&s, l->b, fd), "slot_new");
        l->fds[l->fds_nr++] = s;
        return s;
}

void lab_shut(struct lab *l, struct slot *s)
{
        for (unsigned i = 0; i < l->fds_nr; i++)
                if (l->fds[i] == s)
                        l->fds[i] = l->fds[--l->fds_nr];
        slot_unref(s);
}

void lab_blocks(struct lab *l, struct slot *s, bool blocks)
{
        check(l->b->ops->set_nonblock(l->b, s->fd, !blocks), "set_nonblock");
}

void lab_direct(struct lab *l, struct slot *s, bool on)
{
        check(l->b->ops->set_direct(l->b, s->fd, on), "set_direct");
}

static struct lab_ends two(struct lab *l, const int fds[2])
{
        struct lab_ends e = { keep(l, fds[0]), keep(l, fds[1]) };

        lab_blocks(l, e.rd, false);
        lab_blocks(l, e.wr, false);
        return e;
}

static struct lab_ends two_simulated(struct lab *l, struct sim_desc *d[2])
{
        const int fds[2] = { sim_fd_new(l->sim, d[0]), sim_fd_new(l->sim, d[1]) };

        return two(l, fds);
}

struct lab_ends lab_pipe(struct lab *l, unsigned slots)
{
        struct sim_desc *d[2];
        int fds[2];

        if (l->sim) {
                sim_make_pipe(l->sim, d, slots);
                return two_simulated(l, d);
        }
        check(pipe2(fds, O_CLOEXEC), "pipe2");
        check(fcntl(fds[1], F_SETPIPE_SZ, (int)slots * LAB_PAGE), "F_SETPIPE_SZ");
        return two(l, fds);
}

struct lab_ends lab_sockets(struct lab *l)
{
        struct sim_desc *d[2];
        int fds[2];

        if (l->sim) {
                sim_make_sockets(l->sim, d, 200 << 10, true);
                return two_simulated(l, d);
        }
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
        return two(l, fds);
}

struct lab_ends lab_tcp(struct lab *l)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t bytes = sizeof(address);
        struct sim_desc *d[2];
        int listener, fds[2];

        if (l->sim) {
                sim_make_sockets(l->sim, d, 200 << 10, false);
                return two_simulated(l, d);
        }
        listener = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        check(bind(listener, (struct sockaddr *)&address, bytes), "bind");
        check(listen(listener, 1), "listen");
        check(getsockname(listener, (struct sockaddr *)&address, &bytes), "getsockname");
        fds[0] = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        check(connect(fds[0], (struct sockaddr *)&address, bytes), "connect");
        fds[1] = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
        close(listener);
        return two(l, fds);
}

/* ---- listeners ---- */

static struct lab_op *new_op(struct lab *l, enum op_kind kind, struct slot *in, struct slot *out);

static struct slot *tcp_socket(struct lab *l)
{
        return keep(l, l->b->ops->socket(l->b, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC));
}

struct slot *lab_listen(struct lab *l, int backlog)
{
        struct slot *s = tcp_socket(l);
        socklen_t bytes = sizeof(l->address);

        l->address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        if (l->sim)
                l->address.sin_port = htons(LAB_PORT);
        check(l->b->ops->listen(l->b, s->fd, (struct sockaddr *)&l->address, bytes, backlog), "listen");
        if (!l->sim)
                check(getsockname(s->fd, (struct sockaddr *)&l->address, &bytes), "getsockname");
        return s;
}

struct slot *lab_call(struct lab *l)
{
        struct slot *s = tcp_socket(l);
        struct lab_op *o = new_op(l, OP_CONNECT, s, NULL);

        check(op_set_address(o->op, (struct sockaddr *)&l->address, sizeof(l->address)), "op_set_address");
        backend_submit(l->b, o->op);
        lab_settle(l);
        lab_say_op(l, "connect", o);
        return s;
}

struct slot *lab_take(struct lab *l, struct slot *listener)
{
        struct lab_op *o = new_op(l, OP_ACCEPT, listener, NULL);

        backend_submit(l->b, o->op);
        lab_settle(l);
        lab_cancel(l, o);
        lab_settle(l);
        lab_say(l, "accept", o->result < 0 ? o->result : 0);
        return o->result < 0 ? NULL : keep(l, o->result);
}

void lab_resets(struct lab *l, struct slot *s, bool resets)
{
        check(l->b->ops->option(l->b, s->fd, SOL_SOCKET, SO_LINGER, resets ? 0 : -1), "SO_LINGER");
}

static void settle(struct lab *l, struct slot *s, int events)
{
        uint64_t until = backend_now_ns(l->b) + LAB_QUIET_MS * UINT64_C(1000000);

        while (!(l->b->ops->ready(l->b, s, POLLIN) & events) && backend_now_ns(l->b) < until)
                if (!l->sim)
                        usleep(1000);
}

void lab_settle_bytes(struct lab *l, struct slot *s)
{
        settle(l, s, POLLIN);
}

void lab_settle_hup(struct lab *l, struct slot *s)
{
        settle(l, s, POLLHUP);
}

static void fill(struct lab *l, int fd, int64_t bytes)
{
        uint8_t data[LAB_PAGE];

        for (int64_t at = 0; at < bytes; at += (int64_t)sizeof(data)) {
                size_t n = bytes - at < (int64_t)sizeof(data) ? (size_t)(bytes - at) : sizeof(data);

                sim_pattern_fill(1, (uint64_t)at, data, n);
                if (l->sim)
                        sim_do_write(l->sim, sim_fd(l->sim, fd), at, data, n);
                else if (pwrite(fd, data, n, at) != (ssize_t)n)
                        broken("pwrite");
        }
}

static struct lab_ends simulated_file(struct lab *l, int64_t bytes, enum lab_file kind)
{
        struct sim_inode *i = sim_inode_new(l->sim, NULL);
        struct sim_desc *d[2] = { sim_make_file(i, true, true), sim_make_file(i, true, true) };
        const int fds[2] = { sim_fd_new(l->sim, d[0]), sim_fd_new(l->sim, d[1]) };

        fill(l, fds[0], bytes);
        d[1]->append = kind == LAB_APPENDS;
        d[1]->direct = kind == LAB_DIRECT;
        if (kind == LAB_ON_SMALL_DISK)
                l->sim->config.disk_bytes = 64 << 10;
        return two(l, fds);
}

static int temporary(const char *directory)
{
        int fd = directory ? open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : memfd_create("lab", MFD_CLOEXEC);

        return check(fd, "a file");
}

struct lab_ends lab_file(struct lab *l, int64_t bytes, enum lab_file kind)
{
        char path[64];
        int fds[2];

        if (l->sim)
                return simulated_file(l, bytes, kind);
        fds[0] = temporary(kind == LAB_ON_SMALL_DISK ? l->small_disk : kind == LAB_DIRECT ? "." : NULL);
        fill(l, fds[0], bytes);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
        fds[1] = check(open(path, O_RDWR | O_CLOEXEC |
                                          (kind == LAB_APPENDS  ? O_APPEND
                                           : kind == LAB_DIRECT ? O_DIRECT
                                                                : 0)),
                       "open again");
        return two(l, fds);
}

struct slot *lab_null(struct lab *l)
{
        return keep(l, l->b->ops->open_null(l->b, true));
}

int lab_resize(struct lab *l, struct slot *pipe, unsigned slots)
{
        int r;

        if (l->sim)
                r = sim_pipe_resize(sim_fd(l->sim, pipe->fd)->pipe, slots);
        else
                r = fcntl(pipe->fd, F_SETPIPE_SZ, (int)slots * LAB_PAGE) < 0 ? -errno : 0;
        lab_say(l, "resize", r);
        return r;
}

void lab_truncate(struct lab *l, struct slot *file, int64_t length)
{
        if (l->sim)
                sim_file_truncate(sim_fd(l->sim, file->fd)->inode, length);
        else
                check(ftruncate(file->fd, length), "ftruncate");
}

/* ---- calls ---- */

ssize_t lab_splice_at(struct lab *l, struct slot *in, int64_t at_in, struct slot *out, int64_t at_out, size_t bytes)
{
        ssize_t r = l->b->ops->try_splice(l->b, in, at_in, out, at_out, bytes, false);

        lab_say(l, "splice", r);
        return r;
}

ssize_t lab_splice(struct lab *l, struct slot *in, struct slot *out, size_t bytes)
{
        return lab_splice_at(l, in, -1, out, -1, bytes);
}

ssize_t lab_tee(struct lab *l, struct slot *in, struct slot *out, size_t bytes)
{
        ssize_t r = l->b->ops->try_tee(l->b, in, out, bytes);

        lab_say(l, "tee", r);
        return r;
}

static ssize_t write_it(struct lab *l, struct slot *s, uint8_t *data, size_t bytes)
{
        ssize_t r = l->b->ops->try_write(l->b, s, data, bytes);

        free(data);
        lab_say(l, "write", r);
        return r;
}

ssize_t lab_write(struct lab *l, struct slot *s, size_t bytes)
{
        uint8_t *data = malloc(bytes + 1);

        if (!data)
                broken("malloc");
        sim_pattern_fill(1, 0, data, bytes);
        return write_it(l, s, data, bytes);
}

ssize_t lab_write_char(struct lab *l, struct slot *s, char c, size_t bytes)
{
        uint8_t *data = malloc(bytes + 1);

        if (!data)
                broken("malloc");
        memset(data, c, bytes);
        return write_it(l, s, data, bytes);
}

ssize_t lab_read(struct lab *l, struct slot *s, size_t bytes)
{
        uint8_t *data = calloc(1, bytes + 1);
        uint64_t sum = 0;
        ssize_t r;

        if (!data)
                broken("malloc");
        r = l->b->ops->try_read(l->b, s, data, bytes);
        for (ssize_t i = 0; i < r; i++)
                sum = sum * 31 + data[i];
        free(data);
        lab_say(l, "read", r);
        lab_say(l, "  sum", (int64_t)(sum % 1000003));
        return r;
}

void lab_poll(struct lab *l, struct slot *s)
{
        int r = l->b->ops->ready(l->b, s, POLLIN | POLLOUT);

        lab_say(l, "poll", r & (POLLIN | POLLOUT | POLLERR | POLLHUP));
}

/* ---- operations ---- */

static void completed(struct op *op)
{
        struct lab_op *o = op->owner;

        o->done = true;
        o->raw = op->res;
        o->result = op_result(op);
        op_free(op);
}

static struct lab_op *new_op(struct lab *l, enum op_kind kind, struct slot *in, struct slot *out)
{
        struct lab_op *o = &l->ops[l->ops_nr++];

        *o = (struct lab_op){ .op = op_new(l->b, kind, completed, o) };
        op_pin(o->op, in, out, NULL);
        return o;
}

static void fill_in(struct op *op, size_t bytes)
{
        static uint8_t memory[LAB_OPS_MAX][LAB_PAGE];

        if (op->kind == OP_POLL) {
                op->poll.events = (uint32_t)bytes;
        } else if (op->kind == OP_SPLICE || op->kind == OP_TEE) {
                op->move.offset_in = op->move.offset_out = -1;
                op->move.bytes = (uint32_t)bytes;
        } else {
                op->io.data = memory[op->index % LAB_OPS_MAX];
                op->io.bytes = (uint32_t)bytes;
                op->io.offset = -1;
        }
}

struct lab_op *lab_submit(struct lab *l, enum op_kind kind, struct slot *in, struct slot *out, size_t bytes)
{
        struct lab_op *o = new_op(l, kind, in, out);

        fill_in(o->op, bytes);
        backend_submit(l->b, o->op);
        return o;
}

struct lab_op *lab_submit_forced(struct lab *l, enum op_kind kind, struct slot *in, size_t bytes)
{
        struct lab_op *o = new_op(l, kind, in, NULL);

        fill_in(o->op, bytes);
        o->op->force_async = true;
        backend_submit(l->b, o->op);
        return o;
}

void lab_cancel(struct lab *l, struct lab_op *o)
{
        if (!o->done)
                backend_cancel(l->b, o->op);
}

static bool all_done(const struct lab *l)
{
        for (unsigned i = 0; i < l->ops_nr; i++)
                if (!l->ops[i].done)
                        return false;
        return true;
}

void lab_settle(struct lab *l)
{
        uint64_t until = backend_now_ns(l->b) + LAB_QUIET_MS * UINT64_C(1000000);

        while (!all_done(l) && backend_now_ns(l->b) < until) {
                struct list done, *node;

                list_init(&done);
                check(backend_wait(l->b, &done, 5000000), "backend_wait");
                while ((node = list_pop(&done)))
                        container_of(node, struct op, node)->done(container_of(node, struct op, node));
        }
}

void lab_say_op(struct lab *l, const char *what, const struct lab_op *o)
{
        lab_say(l, what, o->done ? o->result : 999);
}

/* ---- somebody else ---- */

static void *splice_blocking(void *arg)
{
        struct lab *l = arg;

        while (splice(l->stranger_in, NULL, l->stranger_out, NULL, 1 << 20, 0) > 0)
                continue;
        close(l->stranger_in);
        close(l->stranger_out);
        return NULL;
}

void lab_stranger_splices(struct lab *l, struct slot *in, struct slot *out)
{
        const struct sim_behaviour b = { .splices = true, .limit = UINT64_MAX, .crash_at = UINT64_MAX, .chunk = 1 << 20 };
        struct sim_task *t;

        if (l->sim) {
                t = sim_task_new(l->sim, &b);
                sim_task_set_fd(t, 0, sim_fd(l->sim, in->fd));
                sim_task_set_fd(t, 1, sim_fd(l->sim, out->fd));
                while (sim_run_one(l->sim))
                        continue;
                return;
        }
        l->stranger_in = check(fcntl(in->fd, F_DUPFD_CLOEXEC, 3), "dup");
        l->stranger_out = check(fcntl(out->fd, F_DUPFD_CLOEXEC, 3), "dup");
        l->has_stranger = pthread_create(&l->stranger, NULL, splice_blocking, l) == 0;
        usleep(LAB_QUIET_MS * 1000);
}

void lab_stranger_ends(struct lab *l)
{
        if (l->has_stranger)
                pthread_join(l->stranger, NULL);
        l->has_stranger = false;
}
