/* tests/unit/probe.c: the answers agree with the kernel's own, and set-up flags are given up newest first. */
#include "unit.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "pipe.h"
#include "probe.h"
#include "uapi.h"

static void flags_are_given_up_newest_first(void **state)
{
        unsigned flags = probe_ring_flags();

        (void)state;
        assert_true(flags & IORING_SETUP_DEFER_TASKRUN && flags & IORING_SETUP_SINGLE_ISSUER && flags & IORING_SETUP_CQSIZE);
        flags = probe_next_ring_flags(flags);
        assert_false(flags & IORING_SETUP_DEFER_TASKRUN);
        assert_true(flags & IORING_SETUP_SINGLE_ISSUER && flags & IORING_SETUP_COOP_TASKRUN);
        flags = probe_next_ring_flags(flags);
        assert_false(flags & IORING_SETUP_SINGLE_ISSUER);
        assert_true(flags & IORING_SETUP_COOP_TASKRUN);
        flags = probe_next_ring_flags(flags);
        assert_false(flags & IORING_SETUP_COOP_TASKRUN);
        assert_true(flags & IORING_SETUP_SUBMIT_ALL);
        flags = probe_next_ring_flags(flags);
        assert_false(flags & IORING_SETUP_SUBMIT_ALL);
        assert_int_equal(probe_next_ring_flags(flags), 0);
}

/* From any set it ends, without ever adding a masked flag. */
static void giving_up_ends(void **state)
{
        (void)state;
        for (unsigned mask = 0; mask < 16; mask++) {
                unsigned never = (mask & 1 ? IORING_SETUP_DEFER_TASKRUN : 0) | (mask & 2 ? IORING_SETUP_SINGLE_ISSUER : 0) |
                                 (mask & 4 ? IORING_SETUP_COOP_TASKRUN : 0) | (mask & 8 ? IORING_SETUP_SUBMIT_ALL : 0);
                unsigned flags, steps = 0;

                probe_mask_ring_flags(never);
                for (flags = probe_ring_flags(); flags; flags = probe_next_ring_flags(flags)) {
                        assert_false(flags & never);
                        assert_true(steps++ < 8);
                }
        }
        probe_mask_ring_flags(0);
}

static void the_ring_is_as_it_says(void **state)
{
        struct io_uring_params params = { 0 };
        struct io_uring ring;
        struct probe p;

        (void)state;
        probe_all(&p);
        if (p.ring.error < 0)
                skip();
        params.flags = p.ring.setup_flags;
        params.cq_entries = 64;
        assert_int_equal(io_uring_queue_init_params(8, &ring, &params), 0);
        assert_int_equal(params.features, p.ring.features);
        io_uring_queue_exit(&ring);
        assert_true(p.ring.splice && p.ring.tee && p.ring.poll && p.ring.accept && p.ring.connect && p.ring.cancel);
        assert_true(p.ring.openat && p.ring.close && p.ring.fsync && p.ring.rename && p.ring.unlink);
        assert_true(p.ring.last_op >= IORING_OP_UNLINKAT);
}

static void the_limits_are_the_kernels(void **state)
{
        struct utsname name;
        struct probe p;
        int fds[2];

        (void)state;
        probe_all(&p);
        uname(&name);
        assert_int_equal(strncmp(p.kernel, name.release, strlen(name.release) < 40 ? strlen(name.release) : 40), 0);
        assert_true(p.pipe_max_bytes >= 65536);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
        if (p.pipe_granted_bytes == 1 << 20)
                assert_int_equal(fcntl(fds[1], F_GETPIPE_SZ), p.pipe_granted_bytes);
        close(fds[0]);
        close(fds[1]);
        assert_true(p.pipe_granted_bytes >= 4096);
        assert_true(p.nofile >= 64);
        assert_true(p.splice_shares_pages <= 1);
        assert_int_equal(p.pipe_budget_bytes, probe_pipe_budget());
        if (p.pipe_quota_exempt)
                assert_true(p.pipe_budget_bytes == SIZE_MAX);
        else if (p.pipe_user_pages_soft > 0)
                assert_int_equal(p.pipe_budget_bytes, (size_t)p.pipe_user_pages_soft / 4 * (size_t)getpagesize());
}

static void asking_again_gives_the_same_and_leaves_nothing(void **state)
{
        struct probe a, b;
        int first, second;

        (void)state;
        probe_all(&a);
        first = open("/dev/null", O_RDONLY | O_CLOEXEC);
        probe_all(&b);
        second = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(second, first + 1);
        close(first);
        close(second);
        assert_memory_equal(&a.ring, &b.ring, sizeof(a.ring));
        assert_int_equal(a.splice_shares_pages, b.splice_shares_pages);
        assert_int_equal(a.numa_nodes, b.numa_nodes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(flags_are_given_up_newest_first),
                cmocka_unit_test(giving_up_ends),
                cmocka_unit_test(the_ring_is_as_it_says),
                cmocka_unit_test(the_limits_are_the_kernels),
                cmocka_unit_test(asking_again_gives_the_same_and_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
