/* tests/unit/backend_refused.c: a sandbox refuses io_uring. What needs no ring works, what does says why it does not. */
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
static bool refuse_ring(int error)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { COUNT(code), code };

        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void ring_operations_say_why(struct pump *p, int error)
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
                assert_int_equal(p->result[i], -error);
        }
        slot_unref(s);
}

static void polls_and_timers_work(struct pump *p)
{
        const uint64_t one = 1;
        struct slot *s;

        assert_int_equal(slot_new(&s, p->b, eventfd(0, EFD_CLOEXEC)), 0);
        pump_poll(p, 10, s, POLLIN);
        pump_poll(p, 11, s, POLLIN);
        pump_timer(p, 12, backend_now_ns(p->b) + 1000000);
        backend_cancel(p->b, p->op[11]);
        assert_int_equal(write(s->fd, &one, sizeof(one)), sizeof(one));
        assert_true(pump_until(p, 5, PATIENCE_MS));
        assert_int_equal(p->result[10], POLLIN);
        assert_int_equal(p->result[11], -ECANCELED);
        assert_int_equal(p->result[12], 0);
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

static void without_a_ring(int error)
{
        for (int exclusive = 0; exclusive < 2; exclusive++) {
                struct pump *p = calloc(1, sizeof(*p));

                assert_int_equal(backend_uring_new(&p->b, exclusive), 0);
                ring_operations_say_why(p, error);
                polls_and_timers_work(p);
                file_tasks_work(p);
                assert_int_equal(p->b->ops->poll_fd(p->b), -error);
                assert_int_equal(p->b->ops->poll_fd(p->b), -error);
                assert_int_equal(p->b->ops_lent, 0);
                backend_free(p->b);
                free(p);
        }
}

static void the_probe_says_so(int error)
{
        struct probe probe;

        probe_all(&probe);
        assert_int_equal(probe.ring.error, -error);
        assert_int_equal(probe.seccomp, 2);
        assert_false(probe.ring.splice);
}

static void as_a_container_refuses_it(void **state)
{
        (void)state;
        assert_true(refuse_ring(EPERM));
        without_a_ring(EPERM);
        the_probe_says_so(EPERM);
}

static void as_an_old_kernel_lacks_it(void **state)
{
        (void)state;
        assert_true(refuse_ring(ENOSYS));
        without_a_ring(ENOSYS);
        the_probe_says_so(ENOSYS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_a_container_refuses_it),
                cmocka_unit_test(as_an_old_kernel_lacks_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
