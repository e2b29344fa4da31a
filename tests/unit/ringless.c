/* tests/unit/ringless.c: operations without io_uring, on every sort of fd: none stops the loop, none is lost, none hears of
 * what is not its own, and nobody's O_NONBLOCK is touched. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "helper.h"
#include "pump.h"

enum { BYTES = 1 << 18 };

static uint8_t memory[BYTES];

static struct pump *pump_new(void)
{
        struct pump *p = calloc(1, sizeof(*p));

        assert_int_equal(backend_new(&p->b, false, BACKEND_EPOLL), 0);
        return p;
}

static void pump_free(struct pump *p)
{
        assert_int_equal(p->b->ops_lent, 0);
        backend_free(p->b);
        free(p);
}

static struct slot *slot_of(struct pump *p, int fd)
{
        struct slot *s;

        assert_true(fd >= 0);
        assert_int_equal(slot_new(&s, p->b, fd), 0);
        return s;
}

struct pair {
        struct slot *a, *b;
};

static struct pair socket_pair(struct pump *p)
{
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        return (struct pair){ slot_of(p, fds[0]), slot_of(p, fds[1]) };
}

/* Blocking, as a process's. */
static struct pair pipe_pair(struct pump *p)
{
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        return (struct pair){ slot_of(p, fds[0]), slot_of(p, fds[1]) };
}

static void pair_unref(struct pair x)
{
        slot_unref(x.a);
        slot_unref(x.b);
}

static void pump_io(struct pump *p, unsigned number, enum op_kind kind, struct slot *s, uint32_t bytes, bool async)
{
        struct op *op = pump_op(p, number, kind, s, NULL);

        op->io.data = memory;
        op->io.bytes = bytes;
        op->io.offset = -1;
        op->force_async = async;
        backend_submit(p->b, op);
}

/* The loop goes on: a timer fires, nothing else happens. */
static void only_a_timer_fires(struct pump *p, unsigned number)
{
        unsigned before = p->done;

        pump_timer(p, number, backend_now_ns(p->b) + 3000000);
        assert_true(pump_until(p, before + 1, PATIENCE_MS));
        assert_int_equal(p->times[number], 1);
        assert_int_equal(p->result[number], 0);
}

static void cancelled(struct pump *p, unsigned number)
{
        unsigned before = p->done;

        backend_cancel(p->b, p->op[number]);
        assert_true(pump_until(p, before + 1, PATIENCE_MS));
        assert_int_equal(p->times[number], 1);
        assert_int_equal(p->result[number], -ECANCELED);
}

static void gives(struct pump *p, unsigned number, int expected)
{
        if (!p->times[number])
                assert_true(pump_until(p, p->done + 1, PATIENCE_MS));
        assert_int_equal(p->times[number], 1);
        assert_int_equal(p->result[number], expected);
}

/* ---- readiness ---- */

static void several_wait_for_one_fd(void **state)
{
        struct pump *p = pump_new();
        struct pair s = socket_pair(p);

        (void)state;
        pump_poll(p, 0, s.a, POLLIN);
        pump_poll(p, 1, s.a, POLLOUT);
        pump_poll(p, 2, s.a, POLLIN);
        pump_poll(p, 3, s.a, 0);
        gives(p, 1, POLLOUT);
        only_a_timer_fires(p, 10);
        cancelled(p, 0);
        assert_int_equal(write(s.b->fd, "x", 1), 1);
        gives(p, 2, POLLIN);
        only_a_timer_fires(p, 11);
        s.b = slot_unref(s.b);
        gives(p, 3, POLLHUP);
        pair_unref(s);
        pump_free(p);
}

/* One of the last two: what the other waits for must still be seen. */
static void a_cancel_leaves_the_others_waiting(void **state)
{
        struct pump *p = pump_new();
        struct pair s = socket_pair(p);

        (void)state;
        for (unsigned i = 0; i < 20; i++) {
                char byte;

                pump_poll(p, i * 3, s.a, POLLIN);
                pump_poll(p, i * 3 + 1, s.a, POLLIN | POLLRDHUP);
                pump_turn(p, 0);
                cancelled(p, i * 3 + i % 2);
                assert_int_equal(write(s.b->fd, "x", 1), 1);
                gives(p, i * 3 + !(i % 2), POLLIN);
                assert_int_equal(read(s.a->fd, &byte, 1), 1);
                pump_poll(p, i * 3 + 2, s.a, POLLIN);
                pump_turn(p, 0);
                cancelled(p, i * 3 + 2); /* the last one: nothing is registered any more */
                assert_int_equal(write(s.b->fd, "x", 1), 1);
                assert_int_equal(pump_turn(p, 0), 0);
                assert_int_equal(read(s.a->fd, &byte, 1), 1);
        }
        pair_unref(s);
        pump_free(p);
}

/* A child, or the host, holds a copy of what we closed. Its events are not those of whoever has the number now. */
static void a_number_used_again_hears_nothing_of_before(void **state)
{
        struct pump *p = pump_new();
        struct pair old = pipe_pair(p), new;
        int number = old.a->fd, copy = fcntl(number, F_DUPFD_CLOEXEC, 100);

        (void)state;
        assert_int_equal(write(old.b->fd, "x", 1), 1);
        pump_poll(p, 0, old.a, POLLIN);
        gives(p, 0, POLLIN);
        old.a = slot_unref(old.a);
        new = pipe_pair(p);
        assert_int_equal(new.a->fd, number);
        pump_poll(p, 1, new.a, POLLIN);
        only_a_timer_fires(p, 10); /* the old one is readable all the time */
        assert_int_equal(write(new.b->fd, "x", 1), 1);
        gives(p, 1, POLLIN);
        pair_unref(new);
        /* The same description under the same number again: epoll knows that one already. */
        new.b = NULL;
        new.a = slot_of(p, fcntl(copy, F_DUPFD_CLOEXEC, number));
        assert_int_equal(new.a->fd, number);
        pump_poll(p, 2, new.a, POLLIN);
        gives(p, 2, POLLIN);
        close(copy);
        pair_unref(new);
        pair_unref(old);
        pump_free(p);
}

static void files_are_always_ready(void **state)
{
        static const char *const paths[] = { "/proc/self/exe", "/tmp", "/dev/null", "/dev/zero" };
        struct pump *p = pump_new();

        (void)state;
        for (unsigned i = 0; i < COUNT(paths); i++) {
                struct slot *s = slot_of(p, open(paths[i], O_RDONLY | O_CLOEXEC));

                pump_poll(p, i, s, POLLIN | POLLPRI);
                gives(p, i, POLLIN);
                slot_unref(s);
        }
        pump_free(p);
}

/* ---- pipes and terminals of others ---- */

/* `touched`: splice(2) has taken from it, and RWF_NOWAIT is not to be had any more. */
static void reads_from_a_blocking_pipe(bool async, bool touched)
{
        struct pump *p = pump_new();
        struct pair x = pipe_pair(p), sink = pipe_pair(p);

        if (touched) {
                assert_int_equal(write(x.b->fd, "x", 1), 1);
                assert_int_equal(splice(x.a->fd, NULL, sink.b->fd, NULL, 1, 0), 1);
        }
        pump_io(p, 0, OP_READ, x.a, BYTES, async);
        only_a_timer_fires(p, 10);
        cancelled(p, 0);
        pump_io(p, 1, OP_READ, x.a, BYTES, async);
        only_a_timer_fires(p, 11);
        assert_int_equal(write(x.b->fd, "abc", 3), 3);
        gives(p, 1, 3);
        assert_memory_equal(memory, "abc", 3);
        assert_false(fcntl(x.a->fd, F_GETFL) & O_NONBLOCK);
        pump_io(p, 2, OP_READ, x.a, BYTES, async);
        x.b = slot_unref(x.b);
        gives(p, 2, 0);
        pair_unref(x);
        pair_unref(sink);
        pump_free(p);
}

static void a_blocking_pipe_is_read_without_waiting_in_it(void **state)
{
        (void)state;
        for (int i = 0; i < 4; i++)
                reads_from_a_blocking_pipe(i & 1, i & 2);
}

/* What does not fit stays with the caller; a write() of it would wait for the reader. */
static void writes_to_a_blocking_pipe(bool async, bool touched)
{
        struct pump *p = pump_new();
        struct pair x = pipe_pair(p), source = pipe_pair(p);
        char byte;

        if (touched) {
                assert_int_equal(write(source.b->fd, "x", 1), 1);
                assert_int_equal(splice(source.a->fd, NULL, x.b->fd, NULL, 1, 0), 1);
                assert_int_equal(read(x.a->fd, &byte, 1), 1);
        }
        pump_io(p, 0, OP_WRITE, x.b, BYTES, async);
        assert_true(pump_until(p, 1, PATIENCE_MS));
        assert_true(p->result[0] > 0);
        assert_true(p->result[0] <= 65536);
        for (unsigned i = 1; p->result[i - 1] > 0 && i < 40; i++) { /* until it is full */
                pump_io(p, i, OP_WRITE, x.b, BYTES, async);
                only_a_timer_fires(p, 100 + i);
                if (p->op[i])
                        cancelled(p, i);
        }
        assert_int_equal(read(x.a->fd, memory, BYTES), 65536);
        pump_io(p, 50, OP_WRITE, x.b, 10, async);
        gives(p, 50, 10);
        assert_false(fcntl(x.b->fd, F_GETFL) & O_NONBLOCK);
        x.a = slot_unref(x.a);
        pump_io(p, 51, OP_WRITE, x.b, 10, async);
        gives(p, 51, -EPIPE);
        pair_unref(x);
        pair_unref(source);
        pump_free(p);
}

static void a_blocking_pipe_is_written_without_waiting_in_it(void **state)
{
        (void)state;
        for (int i = 0; i < 4; i++)
                writes_to_a_blocking_pipe(i & 1, i & 2);
}

static void a_terminal_is_not_waited_in(void **state)
{
        struct pump *p = pump_new();
        struct slot *m, *s;
        int master, slave;

        (void)state;
        if (openpty(&master, &slave, NULL, NULL, NULL) < 0) {
                pump_free(p);
                skip();
        }
        m = slot_of(p, master);
        s = slot_of(p, slave);
        for (unsigned i = 0; i < 2; i++) {
                pump_io(p, i * 10, OP_READ, s, BYTES, i);
                only_a_timer_fires(p, i * 10 + 1);
                assert_int_equal(write(master, "li", 2), 2); /* half a line is none */
                only_a_timer_fires(p, i * 10 + 2);
                assert_int_equal(write(master, "ne\n", 3), 3);
                gives(p, i * 10, 5);
                assert_memory_equal(memory, "line\n", 5);
                pump_io(p, i * 10 + 3, OP_READ, m, BYTES, i); /* the echo: from this master and no other */
                assert_true(pump_until(p, p->done + 1, PATIENCE_MS));
                assert_true(p->result[i * 10 + 3] > 0);
                while (poll(&(struct pollfd){ .fd = master, .events = POLLIN }, 1, 0) > 0)
                        assert_true(read(master, memory, BYTES) > 0);
                pump_io(p, i * 10 + 4, OP_READ, m, BYTES, i);
                only_a_timer_fires(p, i * 10 + 5);
                cancelled(p, i * 10 + 4);
                tcflow(slave, TCOOFF); /* Ctrl-S */
                pump_io(p, i * 10 + 6, OP_WRITE, s, 10, i);
                only_a_timer_fires(p, i * 10 + 7);
                if (p->op[i * 10 + 6])
                        cancelled(p, i * 10 + 6);
                tcflow(slave, TCOON);
        }
        assert_false(fcntl(slave, F_GETFL) & O_NONBLOCK);
        assert_false(fcntl(master, F_GETFL) & O_NONBLOCK);
        slot_unref(m);
        slot_unref(s);
        pump_free(p);
}

/* A stranger asleep in a splice holds the pipe's lock (a process of ours may do that for as long as it likes): whoever reads
 * the pipe waits, and that must not be the loop. Should it be, the stranger's alarm lets it go. */
static pid_t lock_pipe(int pipe_fd)
{
        char path[64], text[64];
        int fds[2], number = -1;
        pid_t pid;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        pid = fork();
        if (pid == 0) {
                alarm(5);
                splice(fds[0], NULL, pipe_fd, NULL, 4096, 0);
                _exit(0);
        }
        snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
        while (number != SYS_splice) {
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                ssize_t n = read(fd, text, sizeof(text) - 1);

                close(fd);
                text[n > 0 ? n : 0] = '\0';
                if (n <= 0 || sscanf(text, "%d", &number) != 1)
                        number = -1;
                if (waitpid(pid, NULL, WNOHANG) != 0)
                        skip(); /* nobody says when it sleeps */
        }
        close(fds[0]);
        close(fds[1]);
        return pid;
}

static void a_locked_pipe_is_waited_for_by_a_thread(void **state)
{
        static const enum op_kind kinds[] = { OP_READ, OP_WRITE };

        (void)state;
        for (unsigned i = 0; i < COUNT(kinds); i++) {
                struct pump *p = pump_new();
                struct pair x = pipe_pair(p);
                pid_t pid;

                assert_int_equal(write(x.b->fd, "abc", 3), 3);
                pid = lock_pipe(x.b->fd);
                pump_io(p, 0, kinds[i], i ? x.b : x.a, 3, true);
                pump_timer(p, 1, 0);
                assert_true(pump_until(p, 1, PATIENCE_MS));
                assert_int_equal(p->times[1], 1);
                assert_int_equal(p->times[0], 0);
                while (p->op[0]->place != OP_AT_HELPER)
                        assert_int_equal(pump_turn(p, 0), 0);
                kill(pid, SIGKILL);
                gives(p, 0, 3);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                pair_unref(x);
                pump_free(p);
        }
}

/* ---- sockets ---- */

static void a_blocking_socket_is_not_waited_in(void **state)
{
        struct pump *p = pump_new();
        struct pair s = socket_pair(p);
        unsigned n = 10;

        (void)state;
        pump_io(p, 0, OP_RECV, s.a, BYTES, false);
        pump_io(p, 1, OP_READ, s.a, BYTES, false);
        only_a_timer_fires(p, 2);
        cancelled(p, 0);
        cancelled(p, 1);
        do { /* until it is full */
                n++;
                pump_io(p, n, n % 2 ? OP_SEND : OP_WRITE, s.a, BYTES, false);
        } while (pump_until(p, p->done + 1, 20) && n < 60);
        assert_true(n < 60);
        cancelled(p, n);
        assert_false(fcntl(s.a->fd, F_GETFL) & O_NONBLOCK);
        shutdown(s.b->fd, SHUT_WR);
        pump_io(p, 3, OP_RECV, s.a, BYTES, false);
        gives(p, 3, 0);
        s.b = slot_unref(s.b);
        pump_io(p, 4, OP_SEND, s.a, BYTES, false);
        gives(p, 4, -EPIPE);
        pump_io(p, 5, OP_WRITE, s.a, BYTES, false);
        gives(p, 5, -EPIPE);
        pair_unref(s);
        pump_free(p);
}

static struct slot *listener(struct pump *p, struct sockaddr_in *ret)
{
        struct slot *s = slot_of(p, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        socklen_t bytes = sizeof(*ret);

        *ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        assert_int_equal(bind(s->fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
        assert_int_equal(getsockname(s->fd, (struct sockaddr *)ret, &bytes), 0);
        assert_int_equal(listen(s->fd, 4), 0);
        return s;
}

static struct slot *pump_connect(struct pump *p, unsigned number, const void *address, socklen_t bytes)
{
        struct slot *s = slot_of(p, socket(((const struct sockaddr *)address)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        struct op *op = pump_op(p, number, OP_CONNECT, s, NULL);

        assert_int_equal(op_set_address(op, address, bytes), 0);
        backend_submit(p->b, op);
        return s;
}

static void connections_are_made_and_refused(void **state)
{
        struct pump *p = pump_new();
        struct sockaddr_in address;
        struct slot *l = listener(p, &address), *s;

        (void)state;
        pump_op(p, 0, OP_ACCEPT, l, NULL);
        backend_submit(p->b, p->op[0]);
        only_a_timer_fires(p, 10);
        s = pump_connect(p, 1, &address, sizeof(address));
        assert_true(pump_until(p, 3, PATIENCE_MS));
        assert_int_equal(p->result[1], 0);
        assert_true(p->result[0] >= 0);
        assert_true(fcntl(p->result[0], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(p->result[0], F_GETFL) & O_NONBLOCK);
        close(p->result[0]);
        slot_unref(s);
        pump_op(p, 2, OP_ACCEPT, l, NULL);
        backend_submit(p->b, p->op[2]);
        only_a_timer_fires(p, 11);
        cancelled(p, 2);
        slot_unref(l);
        s = pump_connect(p, 3, &address, sizeof(address));
        gives(p, 3, -ECONNREFUSED);
        slot_unref(s);
        pump_free(p);
}

/* A unix listener whose queue is full answers EAGAIN, and no event tells of room. */
static void a_full_unix_listener(bool host)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct slot *first, *second, *third;
        struct pump *p = pump_new();
        int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
        struct pollfd f = { .fd = host ? p->b->ops->poll_fd(p->b) : -1, .events = POLLIN };

        snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "sluice-unit-%d", (int)getpid());
        assert_int_equal(bind(l, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(l, 0), 0);
        first = pump_connect(p, 0, &address, sizeof(address));
        gives(p, 0, 0);
        second = pump_connect(p, 1, &address, sizeof(address));
        third = pump_connect(p, 2, &address, sizeof(address));
        only_a_timer_fires(p, 10);
        assert_int_equal(p->op[1]->place, OP_AT_LATER); /* by epoll it would be ready all the time, and never */
        cancelled(p, 2);
        accepted = accept4(l, NULL, NULL, SOCK_CLOEXEC);
        while (host && p->times[1] == 0) { /* the host knows nothing but its fd */
                assert_int_equal(poll(&f, 1, PATIENCE_MS), 1);
                pump_turn(p, 0);
        }
        gives(p, 1, 0);
        close(accepted);
        close(l);
        slot_unref(first);
        slot_unref(second);
        slot_unref(third);
        pump_free(p);
}

static void a_full_unix_listener_is_asked_again(void **state)
{
        (void)state;
        a_full_unix_listener(false);
        a_full_unix_listener(true);
}

/* ---- files and devices ---- */

static void files_are_read_and_written(void **state)
{
        char path[] = "/dev/shm/sluice-unit-XXXXXX", text[16] = "";
        struct pump *p = pump_new();
        struct slot *s = slot_of(p, mkostemp(path, O_CLOEXEC));

        (void)state;
        unlink(path);
        memcpy(memory, "abcdef", 6);
        pump_io(p, 0, OP_WRITE, s, 6, false); /* at the file's own position */
        gives(p, 0, 6);
        assert_int_equal(lseek(s->fd, 0, SEEK_CUR), 6);
        pump_op(p, 1, OP_WRITE, s, NULL);
        p->op[1]->io.data = memory;
        p->op[1]->io.bytes = 2;
        p->op[1]->io.offset = 10;
        backend_submit(p->b, p->op[1]);
        gives(p, 1, 2);
        assert_int_equal(pread(s->fd, text, sizeof(text), 0), 12);
        assert_memory_equal(text, "abcdef\0\0\0\0ab", 12);
        pump_io(p, 2, OP_READ, s, BYTES, false);
        gives(p, 2, 6);
        pump_io(p, 3, OP_READ, s, BYTES, false);
        gives(p, 3, 0); /* the end */
        pump_op(p, 4, OP_READ, s, NULL);
        p->op[4]->io.data = memory;
        p->op[4]->io.bytes = 3;
        p->op[4]->io.offset = 1;
        backend_submit(p->b, p->op[4]);
        gives(p, 4, 3);
        assert_memory_equal(memory, "bcd", 3);
        slot_unref(s);
        pump_free(p);
}

static void devices_answer_for_themselves(void **state)
{
        struct pump *p = pump_new();
        struct slot *full = slot_of(p, open("/dev/full", O_WRONLY | O_CLOEXEC));
        struct slot *null = slot_of(p, open("/dev/null", O_RDWR | O_CLOEXEC)), *e = slot_of(p, eventfd(0, EFD_CLOEXEC));
        const uint64_t five = 5;

        (void)state;
        pump_io(p, 0, OP_WRITE, full, 10, false);
        gives(p, 0, -ENOSPC);
        pump_io(p, 1, OP_WRITE, null, 10, false);
        gives(p, 1, 10);
        pump_io(p, 2, OP_READ, null, 10, false);
        gives(p, 2, 0);
        pump_io(p, 3, OP_READ, e, 8, false); /* a blocking eventfd */
        only_a_timer_fires(p, 10);
        assert_int_equal(write(e->fd, &five, sizeof(five)), sizeof(five));
        gives(p, 3, 8);
        assert_memory_equal(memory, &five, sizeof(five));
        pump_io(p, 4, OP_READ, full, 10, false); /* for writing only */
        gives(p, 4, -EBADF);
        slot_unref(full);
        slot_unref(null);
        slot_unref(e);
        pump_free(p);
}

/* ---- the bound of the threads ---- */

/* Every thread waits in a FIFO that nobody opens. What was not begun is cancelled at once; what was begun and given up
 * does not keep the others from being served. */
static void threads_that_are_stuck_stop_nobody(void **state)
{
        char dir[] = "/tmp/sluice-unit-XXXXXX", path[POOL_THREADS][64];
        struct pump *p = pump_new();
        int fifo[POOL_THREADS];
        struct slot *s;

        (void)state;
        assert_non_null(mkdtemp(dir));
        for (unsigned i = 0; i < POOL_THREADS; i++) {
                snprintf(path[i], sizeof(path[i]), "%s/%u", dir, i);
                assert_int_equal(mkfifo(path[i], 0600), 0);
                pump_op(p, i, OP_OPEN, NULL, NULL);
                p->op[i]->owned = strdup(path[i]); /* a thread that is left behind takes it along */
                p->op[i]->open.path = p->op[i]->owned;
                p->op[i]->open.flags = O_RDONLY;
                backend_submit(p->b, p->op[i]);
        }
        s = slot_of(p, open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
        pump_io(p, 100, OP_WRITE, s, 10, false);
        only_a_timer_fires(p, 101);
        cancelled(p, 100);
        for (unsigned i = 0; i < POOL_THREADS; i++)
                cancelled(p, i);
        pump_io(p, 102, OP_WRITE, s, 10, false);
        gives(p, 102, 10);
        slot_unref(s);
        pump_free(p);                                 /* waits for none that is left behind */
        for (unsigned i = 0; i < POOL_THREADS; i++) { /* now they go */
                fifo[i] = open(path[i], O_RDWR | O_CLOEXEC);
                unlink(path[i]);
        }
        for (unsigned i = 0; i < POOL_THREADS; i++)
                close(fifo[i]);
        rmdir(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(several_wait_for_one_fd),
                cmocka_unit_test(a_cancel_leaves_the_others_waiting),
                cmocka_unit_test(a_number_used_again_hears_nothing_of_before),
                cmocka_unit_test(files_are_always_ready),
                cmocka_unit_test(a_blocking_pipe_is_read_without_waiting_in_it),
                cmocka_unit_test(a_blocking_pipe_is_written_without_waiting_in_it),
                cmocka_unit_test(a_terminal_is_not_waited_in),
                cmocka_unit_test(a_locked_pipe_is_waited_for_by_a_thread),
                cmocka_unit_test(a_blocking_socket_is_not_waited_in),
                cmocka_unit_test(connections_are_made_and_refused),
                cmocka_unit_test(a_full_unix_listener_is_asked_again),
                cmocka_unit_test(files_are_read_and_written),
                cmocka_unit_test(devices_answer_for_themselves),
                cmocka_unit_test(threads_that_are_stuck_stop_nobody),
        };
        sigset_t pipes;

        /* As a loop does for its turn. */
        sigemptyset(&pipes);
        sigaddset(&pipes, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipes, NULL);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
