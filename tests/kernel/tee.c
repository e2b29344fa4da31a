/* tests/kernel/tee.c: tee(2) gives references from the head, as many as the branch has slots, and takes nothing. */
#include "kernel.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

static void it_takes_nothing_and_starts_at_the_head(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK), branch = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        char text[16];

        (void)state;
        assert_int_equal(write(p.wr, "abcdef", 6), 6);
        assert_int_equal(tee(p.rd, branch.wr, 4, SPLICE_F_NONBLOCK), 4);
        assert_int_equal(tee(p.rd, branch.wr, 6, SPLICE_F_NONBLOCK), 6);
        assert_int_equal(read(branch.rd, text, sizeof(text)), 10);
        assert_memory_equal(text, "abcdabcdef", 10);
        assert_int_equal(read(p.rd, text, 2), 2);
        assert_int_equal(tee(p.rd, branch.wr, 6, SPLICE_F_NONBLOCK), 4);
        assert_int_equal(read(branch.rd, text, sizeof(text)), 4);
        assert_memory_equal(text, "cdef", 4);
        assert_int_equal(read(p.rd, text, sizeof(text)), 4);
        assert_memory_equal(text, "cdef", 4);
        close_two(p);
        close_two(branch);
}

/* Branches drift: the small one must be given the rest later, and tee alone cannot. */
static void a_small_branch_gets_less_and_then_the_same_again(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK), wide = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        struct two narrow = pipe_of(2, O_NONBLOCK);
        const size_t page = (size_t)getpagesize(), all = DEFAULT_SLOTS * page;
        unsigned char *data = malloc(all);

        (void)state;
        assert_non_null(data);
        for (size_t i = 0; i < all; i++)
                data[i] = (unsigned char)(i / page);
        assert_int_equal(write(p.wr, data, all), all);
        assert_int_equal(tee(p.rd, wide.wr, all, SPLICE_F_NONBLOCK), all);
        assert_int_equal(tee(p.rd, narrow.wr, all, SPLICE_F_NONBLOCK), 2 * page);
        ASSERT_FAILS(tee(p.rd, narrow.wr, all, SPLICE_F_NONBLOCK), EAGAIN);
        for (int again = 0; again < 2; again++) {
                assert_int_equal(read(narrow.rd, data, all), 2 * page);
                assert_int_equal(data[0], 0);
                assert_int_equal(data[2 * page - 1], 1);
                if (!again)
                        assert_int_equal(tee(p.rd, narrow.wr, all, SPLICE_F_NONBLOCK), 2 * page);
        }
        free(data);
        close_two(p);
        close_two(wide);
        close_two(narrow);
}

static void empty_is_eagain_and_the_end_is_zero(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, 0), branch = pipe_of(DEFAULT_SLOTS, 0);

        (void)state;
        ASSERT_FAILS(tee(p.rd, branch.wr, 1, SPLICE_F_NONBLOCK), EAGAIN);
        ASSERT_FAILS(tee(p.rd, p.wr, 1, SPLICE_F_NONBLOCK), EINVAL);
        close(p.wr);
        assert_int_equal(tee(p.rd, branch.wr, 1, SPLICE_F_NONBLOCK), 0);
        close(p.rd);
        close_two(branch);
}

static void only_pipes_can_be_teed(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        int s[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
        assert_int_equal(write(p.wr, "a", 1), 1);
        ASSERT_FAILS(tee(p.rd, s[0], 1, SPLICE_F_NONBLOCK), EINVAL);
        close(s[0]);
        close(s[1]);
        close_two(p);
}

/* All branches have the same page, whatever becomes of it. */
static void branches_share_their_pages(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK), branch = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        int file = memfd_create("kernel-test", MFD_CLOEXEC);
        loff_t zero = 0;
        char a, b;

        (void)state;
        assert_int_equal(pwrite(file, "A", 1, 0), 1);
        assert_int_equal(splice(file, &zero, p.wr, NULL, 1, SPLICE_F_NONBLOCK), 1);
        assert_int_equal(tee(p.rd, branch.wr, 1, SPLICE_F_NONBLOCK), 1);
        assert_int_equal(pwrite(file, "B", 1, 0), 1);
        assert_int_equal(read(p.rd, &a, 1), 1);
        assert_int_equal(read(branch.rd, &b, 1), 1);
        assert_int_equal(a, b);
        close(file);
        close_two(p);
        close_two(branch);
}

/* How what nobody wants any more is taken out of a pipe without a copy. */
static void the_null_device_takes_bytes_out(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC), bytes;

        (void)state;
        assert_int_equal(write(p.wr, "abcdef", 6), 6);
        assert_int_equal(splice(p.rd, NULL, null, NULL, 4, SPLICE_F_NONBLOCK), 4);
        assert_int_equal(ioctl(p.rd, FIONREAD, &bytes), 0);
        assert_int_equal(bytes, 2);
        close(null);
        close_two(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_takes_nothing_and_starts_at_the_head),
                cmocka_unit_test(a_small_branch_gets_less_and_then_the_same_again),
                cmocka_unit_test(empty_is_eagain_and_the_end_is_zero),
                cmocka_unit_test(only_pipes_can_be_teed),
                cmocka_unit_test(branches_share_their_pages),
                cmocka_unit_test(the_null_device_takes_bytes_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
