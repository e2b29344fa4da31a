/* tests/unit/backend.c: the operations' memory, timers, waking, polls before the ring and after, a ring only when it is
 * needed, kernels with fewer features, a full submission queue: every operation completes exactly once.
 * Every case runs by io_uring, by epoll, and with a kernel whose io_uring knows too little, so that some operations go one
 * way and some the other. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"
#include "pump.h"
#include "uapi.h"

static int count_fds(const char *what, int *ret_fd);
static int rings_before;         /* those of earlier tests that failed */
static enum backend_kind wanted; /* all cases run for each ... */
static uint64_t masked_ops;      /* ... and with these unknown to the ring */

static struct pump *pump_new(bool exclusive)
{
        struct pump *p = calloc(1, sizeof(*p));

        rings_before = count_fds("[io_uring]", NULL);
        assert_int_equal(backend_new(&p->b, exclusive, wanted), 0);
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

static struct slot *event_slot(struct pump *p)
{
        return slot_of(p, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static void ring_the_bell(struct slot *s)
{
        const uint64_t one = 1;

        assert_int_equal(write(s->fd, &one, sizeof(one)), sizeof(one));
}

/* How many open fds are of a kind, and one of them. */
static int count_fds(const char *what, int *ret_fd)
{
        char path[64], target[128];
        int n = 0;

        for (int fd = 0; fd < 256; fd++) {
                ssize_t bytes;

                snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                bytes = readlink(path, target, sizeof(target) - 1);
                if (bytes < 0)
                        continue;
                target[bytes] = '\0';
                if (!strstr(target, what))
                        continue;
                n++;
                if (ret_fd)
                        *ret_fd = fd;
        }
        return n;
}

static int rings(void)
{
        return count_fds("[io_uring]", NULL) - rings_before;
}

static int rings_wanted(void)
{
        return wanted != BACKEND_EPOLL;
}

/* A read of one byte brings the ring. */
static void use_the_ring(struct pump *p, unsigned number)
{
        static char byte;
        struct slot *s = slot_of(p, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
        struct op *op = pump_op(p, number, OP_READ, s, NULL);

        op->io.data = &byte;
        op->io.bytes = 1;
        op->io.offset = 0;
        slot_unref(s);
        backend_submit(p->b, op);
        assert_true(pump_until(p, p->done + 1, PATIENCE_MS));
        assert_int_equal(p->result[number], 1);
}

/* ---- memory ---- */

static void operations_do_not_move(void **state)
{
        enum { MANY = 100 };
        struct pump *p = pump_new(true);
        struct op *op[MANY];

        (void)state;
        for (int i = 0; i < MANY; i++) {
                op[i] = op_new(p->b, OP_POLL, NULL, NULL);
                assert_int_equal(p->b->ops_lent, i + 1);
                for (int k = 0; k < i; k++) {
                        assert_int_not_equal(op[i]->index, op[k]->index);
                        assert_int_not_equal(op[i]->generation, op[k]->generation);
                }
        }
        for (int i = 0; i < MANY; i++)
                assert_ptr_equal(backend_op_by_data(p->b, backend_op_data(op[i])), op[i]);
        for (int i = 0; i < MANY; i++)
                op_free(op[i]);
        pump_free(p);
}

static void a_second_life_has_other_data(void **state)
{
        struct pump *p = pump_new(true);
        uint64_t seen[64];

        (void)state;
        for (size_t i = 0; i < COUNT(seen); i++) {
                struct op *op = op_new(p->b, OP_POLL, NULL, NULL);

                seen[i] = backend_op_data(op);
                for (size_t k = 0; k < i; k++)
                        assert_true(seen[k] != seen[i]);
                op_free(op);
        }
        pump_free(p);
}

/* The counter of generations has 32 bits; a busy loop goes round in an hour or two. */
static void generations_may_wrap(void **state)
{
        struct pump *p = pump_new(true);
        struct slot *s = event_slot(p);

        (void)state;
        use_the_ring(p, 0);
        ring_the_bell(s);
        while (container_of(p->b->free_ops.next, struct op, node)->index != 0)
                op_free(op_new(p->b, OP_POLL, NULL, NULL));
        p->b->next_generation = UINT32_MAX;
        for (unsigned i = 1; i <= 8; i++)
                pump_poll(p, i, s, POLLIN);
        if (!pump_until(p, 9, 500))
                fail_msg("%u of 8 polls of a readable fd completed", p->done - 1);
        slot_unref(s);
        pump_free(p);
}

/* ---- timers ---- */

static void timers_expire_in_order(void **state)
{
        struct pump *p = pump_new(true);
        const uint64_t now = backend_now_ns(p->b);
        const unsigned expected[] = { 2, 4, 0, 3, 1 };

        (void)state;
        pump_timer(p, 0, now - 20);
        pump_timer(p, 1, now - 10);
        pump_timer(p, 2, now - 40);
        pump_timer(p, 3, now - 20); /* the same moment: the first asked comes first */
        pump_timer(p, 4, now - 30);
        assert_int_equal(pump_turn(p, -1), 5);
        for (size_t i = 0; i < COUNT(expected); i++) {
                assert_int_equal(p->order[i], expected[i]);
                assert_int_equal(p->result[i], 0);
        }
        assert_int_equal(rings(), 0);
        pump_free(p);
}

static void a_timer_is_never_early(void **state)
{
        struct pump *p = pump_new(true);

        (void)state;
        for (unsigned i = 0; i < 2; i++) {
                uint64_t at = backend_now_ns(p->b) + 3000000;

                pump_timer(p, i * 2, at);
                if (pump_turn(p, 0))
                        assert_true(backend_now_ns(p->b) >= at);
                while (p->done == i * 2)
                        pump_turn(p, -1);
                assert_true(backend_now_ns(p->b) >= at);
                use_the_ring(p, i * 2 + 1); /* the second round waits in the ring */
        }
        pump_free(p);
}

static void a_cancelled_timer_does_not_fire(void **state)
{
        struct pump *p = pump_new(true);
        uint64_t later = backend_now_ns(p->b) + UINT64_C(3600000000000);

        (void)state;
        pump_timer(p, 0, later);
        pump_timer(p, 1, UINT64_MAX);
        pump_timer(p, 2, 0);
        backend_cancel(p->b, p->op[2]);
        backend_cancel(p->b, p->op[2]); /* again is harmless */
        assert_int_equal(pump_turn(p, -1), 1);
        assert_int_equal(p->result[2], -ECANCELED);
        backend_cancel(p->b, p->op[1]);
        backend_cancel(p->b, p->op[0]);
        assert_int_equal(pump_turn(p, -1), 2);
        assert_int_equal(p->result[0], -ECANCELED);
        assert_int_equal(p->result[1], -ECANCELED);
        pump_free(p);
}

/* ---- waking ---- */

static void *wake_it(void *arg)
{
        backend_wake(arg);
        return NULL;
}

static void wake_once(struct pump *p)
{
        pthread_t t;

        assert_int_equal(pthread_create(&t, NULL, wake_it, p->b), 0);
        assert_int_equal(pump_turn(p, -1), 0);
        pthread_join(t, NULL);
        backend_wake(p->b); /* before the wait: it ends at once */
        assert_int_equal(pump_turn(p, -1), 0);
}

struct waiter {
        struct pump *p;
        pthread_t thread;
        pid_t tid;
        atomic_bool returned;
        bool slept_on;
};

static bool is_asleep(const struct waiter *w)
{
        char path[64], text[256] = "", *name_end;
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)w->tid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        close(fd);
        name_end = n > 0 ? strrchr(text, ')') : NULL;
        return name_end && name_end[1] && name_end[2] == 'S';
}

/* pthread_kill() has woken it when it returns: who sleeps after that went to sleep again. */
static void *signal_it(void *arg)
{
        const struct timespec moment = { .tv_nsec = 1000000 };
        struct waiter *w = arg;

        while (!is_asleep(w))
                nanosleep(&moment, NULL);
        pthread_kill(w->thread, SIGUSR1);
        for (int looks = 0; looks < 50 && !w->returned; looks = is_asleep(w) ? looks + 1 : 0)
                nanosleep(&moment, NULL);
        w->slept_on = !w->returned;
        if (w->slept_on)
                backend_wake(w->p->b);
        return NULL;
}

static void on_signal(int signal)
{
        (void)signal;
}

/* Also when the same call handed something over, of which the kernel tells then and not of the signal: a host looks at what
 * its handler has set. */
static void a_signal_ends_a_wait(void **state)
{
        struct waiter w = { .p = pump_new(true), .thread = pthread_self(), .tid = (pid_t)syscall(SYS_gettid) };
        struct sigaction old, a = { .sa_handler = on_signal };
        struct slot *s = event_slot(w.p);
        pthread_t t;

        (void)state;
        assert_return_code(sigaction(SIGUSR1, &a, &old), errno);
        use_the_ring(w.p, 0);
        pump_poll(w.p, 1, s, POLLIN);
        assert_int_equal(pthread_create(&t, NULL, signal_it, &w), 0);
        assert_int_equal(pump_turn(w.p, -1), 0);
        w.returned = true;
        pthread_join(t, NULL);
        assert_false(w.slept_on);
        backend_cancel(w.p->b, w.p->op[1]);
        assert_int_equal(pump_turn(w.p, -1), 1);
        slot_unref(s);
        pump_free(w.p);
        sigaction(SIGUSR1, &old, NULL);
}

static void another_thread_ends_a_wait(void **state)
{
        struct pump *p = pump_new(true);

        (void)state;
        for (int i = 0; i < 50; i++)
                wake_once(p);
        assert_int_equal(rings(), 0);
        use_the_ring(p, 0);
        for (int i = 0; i < 50; i++)
                wake_once(p);
        pump_free(p);
}

/* A waker between its two steps: the loop took the mark before the number was written. The number must not stay in the
 * eventfd, or every later wait, and a host's epoll, would end at once for ever. */
static void a_wake_caught_half_way_is_not_left_behind(void **state)
{
        struct pump *p = pump_new(true);
        const uint64_t one = 1;
        int fd = -1;

        (void)state;
        assert_int_equal(count_fds("[eventfd]", &fd), 1); /* before there is any other */
        for (int with_ring = 0; with_ring < 2; with_ring++) {
                struct pollfd f = { .fd = fd, .events = POLLIN };

                assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
                for (int i = 0; i < 3; i++)
                        pump_turn(p, 1000000);
                assert_int_equal(poll(&f, 1, 0), 0);
                if (!with_ring)
                        use_the_ring(p, 0);
        }
        pump_free(p);
}

/* ---- polls, and when a ring is made ---- */

static void polls_need_no_ring(void **state)
{
        struct pump *p = pump_new(true);
        struct slot *ready = event_slot(p), *quiet = event_slot(p);

        (void)state;
        ring_the_bell(ready);
        pump_poll(p, 0, ready, POLLIN);
        pump_poll(p, 1, quiet, POLLIN);
        assert_int_equal(pump_turn(p, -1), 1);
        assert_int_equal(p->result[0], POLLIN);
        assert_int_equal(rings(), 0);
        backend_cancel(p->b, p->op[1]);
        assert_int_equal(pump_turn(p, -1), 1);
        assert_int_equal(p->result[1], -ECANCELED);
        assert_int_equal(rings(), 0);
        slot_unref(ready);
        slot_unref(quiet);
        pump_free(p);
        assert_int_equal(rings(), 0);
}

static void early_polls_move_to_the_ring(void **state)
{
        struct pump *p = pump_new(true);
        struct slot *s = event_slot(p);

        (void)state;
        pump_poll(p, 0, s, POLLIN);
        assert_int_equal(pump_turn(p, 0), 0);
        use_the_ring(p, 1);
        assert_int_equal(rings(), rings_wanted());
        assert_int_equal(p->times[0], 0);
        ring_the_bell(s);
        assert_true(pump_until(p, 2, PATIENCE_MS));
        assert_int_equal(p->result[0], POLLIN);
        slot_unref(s);
        pump_free(p);
        assert_int_equal(rings(), 0);
}

/* A host that asks for the fd of its loop after runs have begun. */
static void early_polls_survive_the_fd_for_a_host(void **state)
{
        struct pump *p = pump_new(false);
        struct slot *s = event_slot(p), *quiet = event_slot(p);
        bool seen, ended;

        (void)state;
        pump_poll(p, 0, s, POLLIN);
        pump_poll(p, 1, quiet, POLLIN);
        assert_int_equal(pump_turn(p, 0), 0);
        assert_true(p->b->ops->poll_fd(p->b) >= 0);
        ring_the_bell(s);
        seen = pump_until(p, 1, 500);
        backend_cancel(p->b, p->op[1]);
        ended = pump_until(p, seen ? 2 : 1, 500);
        if (!seen || !ended)
                fail_msg("poll seen: %d, cancel ended the other: %d", seen, ended);
        slot_unref(s);
        slot_unref(quiet);
        pump_free(p);
}

static void the_hosts_fd_tells_of_everything(void **state)
{
        struct pump *p = pump_new(false);
        struct slot *s = event_slot(p);
        struct pollfd f = { .events = POLLIN };

        (void)state;
        f.fd = p->b->ops->poll_fd(p->b);
        assert_true(f.fd >= 0);
        assert_int_equal(p->b->ops->poll_fd(p->b), f.fd);
        pump_poll(p, 0, s, POLLIN);
        assert_int_equal(pump_turn(p, 0), 0);
        assert_int_equal(poll(&f, 1, 0), 0);
        ring_the_bell(s);
        assert_int_equal(poll(&f, 1, PATIENCE_MS), 1);
        while (p->done < 1)
                pump_turn(p, 0);
        assert_int_equal(poll(&f, 1, 0), 0);
        backend_wake(p->b);
        assert_int_equal(poll(&f, 1, PATIENCE_MS), 1);
        pump_turn(p, 0);
        pump_timer(p, 1, backend_now_ns(p->b) + 1000000);
        pump_turn(p, 0);
        if (p->done < 2)
                assert_int_equal(poll(&f, 1, PATIENCE_MS), 1);
        while (p->done < 2)
                pump_turn(p, 0);
        slot_unref(s);
        pump_free(p);
}

static void hundreds_of_early_polls_are_all_seen(void **state)
{
        enum { MANY = 200 };
        struct pump *p = pump_new(true);
        struct slot *quiet = event_slot(p), *s = event_slot(p);
        bool seen;

        (void)state;
        for (unsigned i = 0; i < MANY - 1; i++)
                pump_poll(p, i, quiet, POLLIN);
        pump_poll(p, MANY - 1, s, POLLIN);
        ring_the_bell(s);
        seen = pump_until(p, 1, 500);
        for (unsigned i = 0; i < MANY; i++)
                if (p->op[i])
                        backend_cancel(p->b, p->op[i]);
        assert_true(pump_until(p, MANY, PATIENCE_MS));
        slot_unref(quiet);
        slot_unref(s);
        pump_free(p);
        if (!seen)
                fail_msg("the last of %d polls, of a readable fd, did not complete", MANY);
}

static void brief_file_work_needs_no_ring_on_an_exclusive_loop(void **state)
{
        char path[] = "/tmp/sluice-unit-XXXXXX";
        struct pump *p = pump_new(true);
        struct op *op;

        (void)state;
        close(mkstemp(path));
        op = pump_op(p, 0, OP_OPEN, NULL, NULL);
        op->open.path = path;
        op->open.flags = O_RDONLY;
        backend_submit(p->b, op);
        op = pump_op(p, 1, OP_UNLINK, NULL, NULL);
        op->name.from = path;
        backend_submit(p->b, op);
        assert_int_equal(pump_turn(p, -1), 2);
        assert_true(p->result[0] > 2);
        assert_true(fcntl(p->result[0], F_GETFD) & FD_CLOEXEC);
        close(p->result[0]);
        assert_int_equal(p->result[1], 0);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(rings(), 0);
        pump_free(p);
}

/* What stands in a path's place since it was made may be a link to somebody else's file. */
static void a_link_is_not_followed_to_set_a_mode(void **state)
{
        char directory[] = "/tmp/sluice-unit-XXXXXX", file[64], link[64];
        struct pump *p = pump_new(true);
        struct stat st;

        (void)state;
        assert_non_null(mkdtemp(directory));
        snprintf(file, sizeof(file), "%s/file", directory);
        snprintf(link, sizeof(link), "%s/link", directory);
        close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        assert_int_equal(symlink(file, link), 0);
        assert_true(p->b->ops->chmod(p->b, -1, link, 0666) < 0);
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(p->b->ops->chmod(p->b, -1, file, 0640), 0);
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        unlink(file);
        unlink(link);
        rmdir(directory);
        pump_free(p);
}

/* ---- operations in the ring ---- */

static void a_splice_moves_and_says_how_much(void **state)
{
        struct pump *p = pump_new(true);
        struct slot *s[4];
        char text[8] = "";
        int a[2], b[2];

        (void)state;
        assert_int_equal(pipe2(a, O_CLOEXEC), 0);
        assert_int_equal(pipe2(b, O_CLOEXEC), 0);
        for (int i = 0; i < 4; i++)
                s[i] = slot_of(p, i < 2 ? a[i] : b[i - 2]);
        assert_int_equal(write(a[1], "abc", 3), 3);
        pump_op(p, 0, OP_SPLICE, s[0], s[3]);
        p->op[0]->move.offset_in = p->op[0]->move.offset_out = -1;
        p->op[0]->move.bytes = 65536;
        backend_submit(p->b, p->op[0]);
        assert_true(pump_until(p, 1, PATIENCE_MS));
        assert_int_equal(p->result[0], 3);
        assert_int_equal(read(b[0], text, sizeof(text)), 3);
        assert_string_equal(text, "abc");
        for (int i = 0; i < 4; i++)
                slot_unref(s[i]);
        pump_free(p);
}

/* Cancelled in every state: not yet handed over, and in the kernel. */
static void a_cancelled_operation_ends_once(void **state)
{
        struct pump *p = pump_new(true);
        struct slot *s = event_slot(p);

        (void)state;
        use_the_ring(p, 0);
        pump_poll(p, 1, s, POLLIN);
        backend_cancel(p->b, p->op[1]);
        assert_int_equal(pump_turn(p, -1), 1);
        assert_int_equal(p->result[1], -ECANCELED);
        pump_poll(p, 2, s, POLLIN);
        assert_int_equal(pump_turn(p, 0), 0);
        assert_int_equal(p->op[2]->state, OP_IN_KERNEL);
        backend_cancel(p->b, p->op[2]);
        backend_cancel(p->b, p->op[2]);
        if (p->op[2]->place == OP_AT_RING)
                assert_int_equal(p->op[2]->state, OP_IN_KERNEL); /* a cancel marks; the completion moves */
        assert_true(pump_until(p, 3, PATIENCE_MS));
        assert_int_equal(p->result[2], -ECANCELED);
        pump_turn(p, 0);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(p->times[i], 1);
        slot_unref(s);
        pump_free(p);
}

static void what_a_worker_sleeps_in_can_be_cancelled(void **state)
{
        struct pump *p = pump_new(true);
        struct slot *in, *other;
        int a[2];

        (void)state;
        assert_int_equal(pipe2(a, O_CLOEXEC), 0);
        in = slot_of(p, a[0]);
        other = slot_of(p, a[1]);
        pump_op(p, 0, OP_READ, in, NULL);
        p->op[0]->io.data = &(char){ 0 };
        p->op[0]->io.bytes = 1;
        p->op[0]->io.offset = -1;
        p->op[0]->force_async = true;
        backend_submit(p->b, p->op[0]);
        for (int i = 0; i < 20; i++)
                pump_turn(p, 1000000);
        backend_cancel(p->b, p->op[0]);
        assert_true(pump_until(p, 1, PATIENCE_MS));
        assert_int_equal(p->result[0], -ECANCELED);
        slot_unref(in);
        slot_unref(other);
        pump_free(p);
}

static void thousand_polls_then_cancelled(struct pump *p)
{
        enum { MANY = 1000 };
        struct slot *s = event_slot(p);

        use_the_ring(p, MANY);
        for (unsigned i = 0; i < MANY; i++)
                pump_poll(p, i, s, POLLIN);
        pump_turn(p, 0);
        pump_turn(p, 0);
        for (unsigned i = 0; i < MANY; i++)
                backend_cancel(p->b, p->op[i]);
        if (!pump_until(p, MANY + 1, PATIENCE_MS))
                fail_msg("%u of %d completed", p->done - 1, MANY);
        pump_turn(p, 0);
        for (unsigned i = 0; i < MANY; i++) {
                assert_int_equal(p->times[i], 1);
                assert_int_equal(p->result[i], -ECANCELED);
        }
        slot_unref(s);
}

/* CPUs of the thread's kernel workers, as /proc says; "" when there is none. */
static void cpus_of_workers(char ret[64])
{
        DIR *tasks = opendir("/proc/self/task");
        struct dirent *d;
        char line[256];

        ret[0] = '\0';
        while ((d = readdir(tasks))) {
                char path[300];
                bool worker = false;
                FILE *f;

                if (atoi(d->d_name) <= gettid())
                        continue; /* workers of earlier threads live on for a while; their names hold numbers of another namespace */

                snprintf(path, sizeof(path), "/proc/self/task/%s/status", d->d_name);
                f = fopen(path, "re");
                while (f && fgets(line, sizeof(line), f)) {
                        worker |= strncmp(line, "Name:\tiou-wrk", 13) == 0;
                        if (worker && sscanf(line, "Cpus_allowed_list:\t%63s", ret) == 1)
                                break;
                }
                if (f)
                        fclose(f);
        }
        closedir(tasks);
}

static void *workers_on_one_cpu(void *arg)
{
        cpu_set_t ours, one;
        struct pump *p;
        struct slot *in, *other;
        char *cpus = arg;
        int a[2];

        sched_getaffinity(0, sizeof(ours), &ours);
        CPU_ZERO(&one);
        CPU_SET(1, &one);
        p = pump_new(true);
        p->b->workers = &one;
        assert_int_equal(pipe2(a, O_CLOEXEC), 0);
        in = slot_of(p, a[0]);
        other = slot_of(p, a[1]);
        pump_op(p, 0, OP_READ, in, NULL);
        p->op[0]->io.data = &(char){ 0 };
        p->op[0]->io.bytes = 1;
        p->op[0]->io.offset = -1;
        p->op[0]->force_async = true;
        backend_submit(p->b, p->op[0]);
        for (int i = 0; i < 2000 && strcmp(cpus, "1") != 0; i++) { /* it is made, then moved */
                pump_turn(p, 1000000);
                cpus_of_workers(cpus);
        }
        assert_int_equal(write(a[1], "x", 1), 1);
        assert_true(pump_until(p, 1, PATIENCE_MS));
        slot_unref(in);
        slot_unref(other);
        pump_free(p);
        return NULL;
}

/* On a thread of its own: workers are the thread's, and those of other tests live for some seconds. */
static void workers_run_where_they_are_told(void **state)
{
        char cpus[64] = "";
        pthread_t id;
        cpu_set_t ours;

        (void)state;
        sched_getaffinity(0, sizeof(ours), &ours);
        if (!CPU_ISSET(1, &ours) || CPU_COUNT(&ours) < 2)
                skip();
        assert_int_equal(pthread_create(&id, NULL, workers_on_one_cpu, cpus), 0);
        pthread_join(id, NULL);
        assert_string_equal(cpus, "1");
}

static void a_full_queue_loses_nothing(void **state)
{
        struct pump *p = pump_new(true);

        (void)state;
        thousand_polls_then_cancelled(p);
        assert_int_equal(p->b->counts.ops[OP_POLL], 1000);
        pump_free(p);
}

/* More completions at once than the completion queue holds; and the wake-up, whose poll the kernel ends then. */
static void an_overflow_loses_nothing(void **state)
{
        enum { MANY = 1090 };
        struct pump *p = pump_new(true);
        struct slot *s = event_slot(p);

        (void)state;
        use_the_ring(p, MANY);
        for (unsigned i = 0; i < MANY; i++)
                pump_poll(p, i, s, POLLIN);
        pump_turn(p, 0);
        ring_the_bell(s);
        assert_true(pump_until(p, MANY + 1, PATIENCE_MS));
        for (unsigned i = 0; i < MANY; i++)
                assert_int_equal(p->times[i], 1);
        pump_turn(p, 0);
        wake_once(p);
        slot_unref(s);
        pump_free(p);
}

/* Completions posted at the submission itself, more than the queue holds: the kernel keeps them, and that is counted. */
static void an_overflow_is_counted(void **state)
{
        enum { MANY = 1090 };
        struct pump *p = pump_new(true);
        struct slot *s = event_slot(p);

        (void)state;
        use_the_ring(p, MANY);
        ring_the_bell(s);
        for (unsigned i = 0; i < MANY; i++)
                pump_poll(p, i, s, POLLIN);
        assert_true(pump_until(p, MANY + 1, PATIENCE_MS));
        slot_unref(s);
        if (p->b->counts.overflows == 0)
                fail_msg("%d completions before one was reaped, no overflow counted", MANY);
        pump_free(p);
}

/* Kernels that refuse set-up flags: 5.15 knows none of these, 5.19 two, 6.0 three. */
static void older_kernels_do_as_well(void **state)
{
        static const unsigned never[] = {
                IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
                IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER,
                IORING_SETUP_DEFER_TASKRUN,
        };

        (void)state;
        for (size_t i = 0; i < COUNT(never); i++) {
                struct pump *p = pump_new(true);

                probe_mask_ring_flags(never[i]);
                assert_false(probe_ring_flags() & never[i]);
                thousand_polls_then_cancelled(p);
                pump_free(p);
        }
        probe_mask_ring_flags(0);
        what_a_worker_sleeps_in_can_be_cancelled(state);
}

/* Between two waits nobody holds SIGPIPE: the write that waits for room must not be tried there. It would end this test. */
static void a_reader_that_goes_between_waits_raises_nothing(bool exclusive)
{
        struct pump *p = pump_new(exclusive);
        static char data[1 << 17];
        sigset_t held, old;
        struct slot *s;
        int fds[2];

        use_the_ring(p, 0);
        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        assert_true(write(fds[1], data, sizeof(data)) > 0);
        s = slot_of(p, fds[1]);
        pump_op(p, 1, OP_WRITE, s, NULL);
        p->op[1]->io.data = data;
        p->op[1]->io.bytes = sizeof(data);
        p->op[1]->io.offset = -1;
        backend_submit(p->b, p->op[1]);
        for (int i = 0; i < 5; i++)
                pump_turn(p, 0);
        close(fds[0]);
        getppid();
        getppid();
        sigemptyset(&held);
        sigaddset(&held, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &held, &old);
        assert_true(pump_until(p, 2, PATIENCE_MS));
        assert_int_equal(p->result[1], -EPIPE);
        sigtimedwait(&held, NULL, &(const struct timespec){ 0 });
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        slot_unref(s);
        pump_free(p);
}

static void a_reader_that_goes_raises_nothing(void **state)
{
        (void)state;
        for (int exclusive = 0; exclusive < 2; exclusive++) {
                a_reader_that_goes_between_waits_raises_nothing(exclusive);
                probe_mask_ring_flags(IORING_SETUP_DEFER_TASKRUN);
                a_reader_that_goes_between_waits_raises_nothing(exclusive);
                probe_mask_ring_flags(0);
        }
}

/* An operation whose owner could not wait keeps its fds, and is given to nobody. */
static void an_abandoned_operation_keeps_what_it_names(void **state)
{
        struct pump *p = pump_new(true);
        struct slot *s = event_slot(p);
        struct op *op;
        int fd = s->fd;

        (void)state;
        use_the_ring(p, 0);
        pump_poll(p, 1, s, POLLIN);
        pump_turn(p, 0);
        op = p->op[1];
        backend_abandon(p->b, op);
        slot_unref(s);
        assert_true(fcntl(fd, F_GETFD) >= 0);
        assert_int_equal(p->b->counts.abandoned, 1);
        assert_int_equal(p->b->ops_lent, 1);
        ring_the_bell(s);
        assert_true(pump_until(p, 2, PATIENCE_MS)); /* it completes after all */
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        pump_free(p);
}

/* Whoever frees the backend waits for the fds that are being closed, and not for what was abandoned; one that was and has
 * completed since stands for none of them. */
static void the_last_close_is_waited_for(void **state)
{
        struct pump *p = pump_new(false);
        struct slot *s = event_slot(p), *pipe_end;
        int fds[2];

        (void)state;
        use_the_ring(p, 0);
        pump_poll(p, 1, s, POLLIN);
        pump_turn(p, 0);
        backend_abandon(p->b, p->op[1]);
        ring_the_bell(s);
        slot_unref(s);
        assert_true(pump_until(p, 2, PATIENCE_MS));
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pipe_end = slot_of(p, fds[0]);
        pipe_end->foreign = true;
        slot_unref(pipe_end);
        assert_int_equal(p->b->ops_lent, 1);
        backend_free(p->b);
        free(p);
        assert_int_equal(fcntl(fds[0], F_GETFD), -1);
        close(fds[1]);
}

#define UNKNOWN(op) (UINT64_C(1) << (op))

static const struct {
        const char *name;
        enum backend_kind wanted;
        uint64_t masked_ops;
} ways[] = {
        { "io_uring, made when it is needed", BACKEND_AUTO, 0 },
        { "io_uring by name", BACKEND_URING, 0 },
        { "epoll", BACKEND_EPOLL, 0 },
        { "io_uring without poll", BACKEND_AUTO, UNKNOWN(IORING_OP_POLL_ADD) },
        { "io_uring without read and splice", BACKEND_AUTO, UNKNOWN(IORING_OP_READ) | UNKNOWN(IORING_OP_SPLICE) },
        { "io_uring without any of them", BACKEND_AUTO, ~UNKNOWN(IORING_OP_ASYNC_CANCEL) },
};

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(operations_do_not_move),
                cmocka_unit_test(a_second_life_has_other_data),
                cmocka_unit_test(timers_expire_in_order),
                cmocka_unit_test(a_timer_is_never_early),
                cmocka_unit_test(a_cancelled_timer_does_not_fire),
                cmocka_unit_test(a_signal_ends_a_wait),
                cmocka_unit_test(another_thread_ends_a_wait),
                cmocka_unit_test(a_wake_caught_half_way_is_not_left_behind),
                cmocka_unit_test(polls_need_no_ring),
                cmocka_unit_test(early_polls_move_to_the_ring),
                cmocka_unit_test(the_hosts_fd_tells_of_everything),
                cmocka_unit_test(hundreds_of_early_polls_are_all_seen),
                cmocka_unit_test(brief_file_work_needs_no_ring_on_an_exclusive_loop),
                cmocka_unit_test(a_link_is_not_followed_to_set_a_mode),
                cmocka_unit_test(a_splice_moves_and_says_how_much),
                cmocka_unit_test(a_cancelled_operation_ends_once),
                cmocka_unit_test(what_a_worker_sleeps_in_can_be_cancelled),
                cmocka_unit_test(a_full_queue_loses_nothing),
                cmocka_unit_test(an_overflow_loses_nothing),
                cmocka_unit_test(an_abandoned_operation_keeps_what_it_names),
                cmocka_unit_test(the_last_close_is_waited_for),
                cmocka_unit_test(early_polls_survive_the_fd_for_a_host),
                cmocka_unit_test(generations_may_wrap),
        };

        const struct CMUnitTest ring_tests[] = {
                cmocka_unit_test(workers_run_where_they_are_told),
                cmocka_unit_test(an_overflow_is_counted),
                cmocka_unit_test(older_kernels_do_as_well),
                cmocka_unit_test(a_reader_that_goes_raises_nothing),
        };
        int failed;

        /* First: the kernel's workers, once made, stay where they were for a while. */
        wanted = BACKEND_URING;
        failed = cmocka_run_group_tests_name("the ring itself", ring_tests, NULL, NULL);
        for (size_t i = 0; i < COUNT(ways); i++) {
                wanted = ways[i].wanted;
                masked_ops = ways[i].masked_ops;
                probe_mask_ops(masked_ops);
                failed += cmocka_run_group_tests_name(ways[i].name, tests, NULL, NULL);
        }
        return failed;
}
