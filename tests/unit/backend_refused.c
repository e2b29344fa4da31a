/* tests/unit/backend_refused.c: a sandbox refuses io_uring. What needs no ring works; what does goes by epoll, or says why it
 * does not where io_uring was asked for by name. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe.h"
#include "pump.h"

/* For ever, and for this process: so this test has a process of its own. The last filter's error counts. */
static bool refuse(unsigned call, int error)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { COUNT(code), code };

        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* `expected` is what both give. */
static void ring_operations_give(struct pump *p, int expected)
{
        static char byte;
        struct slot *s;

        assert_int_equal(slot_new(&s, p->b, open("/dev/zero", O_RDONLY | O_CLOEXEC)), 0);
        for (unsigned i = 0; i < 2; i++) {
                pump_op(p, i, OP_READ, s, NULL);
                p->op[i]->io.data = &byte;
                p->op[i]->io.bytes = 1;
                backend_submit(p->b, p->op[i]);
                assert_true(pump_until(p, i + 1, PATIENCE_MS));
                assert_int_equal(p->result[i], expected);
        }
        slot_unref(s);
}

static void polls_and_timers_work(struct pump *p)
{
        const unsigned before = p->done;
        const uint64_t one = 1;
        struct slot *s;

        assert_int_equal(slot_new(&s, p->b, eventfd(0, EFD_CLOEXEC)), 0);
        pump_poll(p, 30, s, POLLIN);
        pump_poll(p, 31, s, POLLIN);
        pump_timer(p, 32, backend_now_ns(p->b) + 1000000);
        backend_cancel(p->b, p->op[31]);
        assert_int_equal(write(s->fd, &one, sizeof(one)), sizeof(one));
        assert_true(pump_until(p, before + 3, PATIENCE_MS));
        assert_int_equal(p->result[30], POLLIN);
        assert_int_equal(p->result[31], -ECANCELED);
        assert_int_equal(p->result[32], 0);
        slot_unref(s);
        backend_wake(p->b);
        assert_int_equal(pump_turn(p, -1), 0);
}

static void file_tasks_work(struct pump *p)
{
        char path[] = "/tmp/sluice-refused-XXXXXX", to[sizeof(path) + 1];
        struct slot *s;
        struct op *op;

        close(mkstemp(path));
        snprintf(to, sizeof(to), "%s2", path);
        op = pump_op(p, 20, OP_OPEN, NULL, NULL);
        op->open.path = path;
        op->open.flags = O_RDWR;
        backend_submit(p->b, op);
        assert_true(pump_until(p, 6, PATIENCE_MS));
        assert_true(p->result[20] >= 0);
        assert_int_equal(slot_new(&s, p->b, p->result[20]), 0);
        pump_op(p, 21, OP_FSYNC, s, NULL);
        backend_submit(p->b, p->op[21]);
        pump_op(p, 22, OP_TRUNCATE, s, NULL);
        p->op[22]->truncate.length = 9;
        backend_submit(p->b, p->op[22]);
        assert_true(pump_until(p, 8, PATIENCE_MS));
        op = pump_op(p, 23, OP_RENAME, NULL, NULL);
        op->name.from = path;
        op->name.to = to;
        backend_submit(p->b, op);
        assert_true(pump_until(p, 9, PATIENCE_MS));
        op = pump_op(p, 24, OP_UNLINK, NULL, NULL);
        op->name.from = to;
        backend_submit(p->b, op);
        assert_true(pump_until(p, 10, PATIENCE_MS));
        for (unsigned i = 21; i <= 24; i++)
                assert_int_equal(p->result[i], 0);
        slot_unref(s);
}

static void one_without_a_ring(int error, bool exclusive, enum backend_kind wanted)
{
        const bool by_name = wanted == BACKEND_URING;
        struct pump *p = calloc(1, sizeof(*p));

        assert_int_equal(backend_new(&p->b, exclusive, wanted), 0);
        assert_int_equal(p->b->kind, wanted);
        ring_operations_give(p, by_name ? -error : 1);
        assert_int_equal(p->b->kind, by_name ? BACKEND_URING : BACKEND_EPOLL);
        assert_int_equal(p->b->refused, wanted == BACKEND_EPOLL ? 0 : -error);
        polls_and_timers_work(p);
        file_tasks_work(p);
        for (int i = 0; i < 2; i++) {
                int fd = p->b->ops->poll_fd(p->b);

                assert_true(by_name ? fd == -error : fd >= 0);
        }
        assert_int_equal(p->b->ops_lent, 0);
        backend_free(p->b);
        free(p);
}

static void without_a_ring(int error)
{
        static const enum backend_kind wanted[] = { BACKEND_AUTO, BACKEND_URING, BACKEND_EPOLL };

        for (int exclusive = 0; exclusive < 2; exclusive++)
                for (size_t i = 0; i < COUNT(wanted); i++)
                        one_without_a_ring(error, exclusive, wanted[i]);
}

/* Polls that were waiting before, and what was queued together with the operation that met the refusal. */
static void what_waits_already_goes_on(int error)
{
        struct pump *p = calloc(1, sizeof(*p));
        const uint64_t one = 1;
        struct slot *s, *zero;
        char byte[3];

        assert_int_equal(backend_new(&p->b, false, BACKEND_AUTO), 0);
        assert_int_equal(slot_new(&s, p->b, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), 0);
        assert_int_equal(slot_new(&zero, p->b, open("/dev/zero", O_RDONLY | O_CLOEXEC)), 0);
        pump_poll(p, 0, s, POLLIN);
        assert_int_equal(pump_turn(p, 0), 0);
        assert_int_equal(p->b->kind, BACKEND_AUTO);
        for (unsigned i = 1; i < 4; i++) {
                pump_op(p, i, OP_READ, zero, NULL);
                p->op[i]->io.data = &byte[i - 1];
                p->op[i]->io.bytes = 1;
                p->op[i]->io.offset = -1;
                backend_submit(p->b, p->op[i]);
        }
        assert_true(pump_until(p, 3, PATIENCE_MS));
        assert_int_equal(p->b->refused, -error);
        assert_int_equal(write(s->fd, &one, sizeof(one)), sizeof(one));
        assert_true(pump_until(p, 4, PATIENCE_MS));
        assert_int_equal(p->result[0], POLLIN);
        slot_unref(s);
        slot_unref(zero);
        backend_free(p->b);
        free(p);
}

static void the_probe_says_so(int error)
{
        struct probe probe;

        probe_all(&probe);
        assert_int_equal(probe.ring.error, -error);
        assert_int_equal(probe.seccomp, 2);
        assert_false(probe.ring.splice);
}

/* Made, and of no use. */
static void as_a_filter_refuses_to_enter_it(void **state)
{
        (void)state;
        assert_true(refuse(SYS_io_uring_enter, EPERM));
        without_a_ring(EPERM);
        what_waits_already_goes_on(EPERM);
}

static void as_a_container_refuses_it(void **state)
{
        (void)state;
        assert_true(refuse(SYS_io_uring_setup, EPERM));
        without_a_ring(EPERM);
        what_waits_already_goes_on(EPERM);
        the_probe_says_so(EPERM);
}

static void as_an_old_kernel_lacks_it(void **state)
{
        (void)state;
        assert_true(refuse(SYS_io_uring_setup, ENOSYS));
        without_a_ring(ENOSYS);
        what_waits_already_goes_on(ENOSYS);
        the_probe_says_so(ENOSYS);
}

/* What RLIMIT_MEMLOCK answers where rings count. */
static void as_a_limit_refuses_it(void **state)
{
        (void)state;
        assert_true(refuse(SYS_io_uring_setup, ENOMEM));
        without_a_ring(ENOMEM);
        the_probe_says_so(ENOMEM);
}

/* Filters that are older than epoll_pwait2() refuse it: waits become coarse, and no timer early. */
static void as_a_filter_refuses_fine_waits(void **state)
{
        struct pump *p = calloc(1, sizeof(*p));

        (void)state;
        assert_true(refuse(SYS_epoll_pwait2, EPERM));
        assert_int_equal(backend_new(&p->b, true, BACKEND_EPOLL), 0);
        for (unsigned i = 0; i < 20; i++) {
                uint64_t at = backend_now_ns(p->b) + 300000 * i;

                pump_timer(p, i, at);
                assert_true(pump_until(p, i + 1, PATIENCE_MS));
                assert_true(backend_now_ns(p->b) >= at);
        }
        assert_true(p->b->counts.waits < 100); /* it waits, and does not spin */
        polls_and_timers_work(p);
        backend_free(p->b);
        free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_a_filter_refuses_to_enter_it), cmocka_unit_test(as_a_container_refuses_it),
                cmocka_unit_test(as_an_old_kernel_lacks_it),       cmocka_unit_test(as_a_limit_refuses_it),
                cmocka_unit_test(as_a_filter_refuses_fine_waits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
