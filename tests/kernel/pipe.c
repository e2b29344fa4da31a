/* tests/kernel/pipe.c: a pipe is a ring of slots, each end has its own flags, and one lock guards both. */
#include "kernel.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>

/* A splice never merges: sixteen bytes fill a pipe of 64 KiB, and only POLLOUT tells. */
static void slots_not_bytes_fill_it(void **state)
{
        struct two from = pipe_of(DEFAULT_SLOTS, O_NONBLOCK), p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        char c[2 * DEFAULT_SLOTS] = "";
        int bytes;

        (void)state;
        assert_int_equal(write(from.wr, c, sizeof(c)), sizeof(c));
        for (int i = 0; i < DEFAULT_SLOTS; i++) {
                assert_true(events_of(p.wr) & POLLOUT);
                assert_int_equal(splice(from.rd, NULL, p.wr, NULL, 1, SPLICE_F_NONBLOCK), 1);
        }
        assert_int_equal(ioctl(p.rd, FIONREAD, &bytes), 0);
        assert_int_equal(bytes, DEFAULT_SLOTS);
        assert_false(events_of(p.wr) & POLLOUT);
        ASSERT_FAILS(write(p.wr, "a", 1), EAGAIN);
        ASSERT_FAILS(splice(from.rd, NULL, p.wr, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
        assert_int_equal(read(p.rd, c, sizeof(c)), DEFAULT_SLOTS);
        assert_true(events_of(p.wr) & POLLOUT);
        close_two(from);
        close_two(p);
}

static void written_bytes_share_a_slot(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);

        (void)state;
        for (int i = 0; i < 10 * DEFAULT_SLOTS; i++)
                assert_int_equal(write(p.wr, "a", 1), 1);
        assert_true(events_of(p.wr) & POLLOUT);
        close_two(p);
}

static void its_size_is_asked_for_and_read_back(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        int page = getpagesize(), granted;

        (void)state;
        assert_int_equal(fcntl(p.wr, F_GETPIPE_SZ), DEFAULT_SLOTS * page);
        assert_int_equal(fcntl(p.rd, F_GETPIPE_SZ), DEFAULT_SLOTS * page);
        granted = fcntl(p.wr, F_SETPIPE_SZ, 3 * page);
        assert_int_equal(granted, 4 * page); /* a power of two */
        fill(p.wr);
        ASSERT_FAILS(fcntl(p.wr, F_SETPIPE_SZ, page), EBUSY);
        assert_int_equal(fcntl(p.wr, F_GETPIPE_SZ), granted);
        close_two(p);
}

/* So our end may be O_NONBLOCK while a process keeps a blocking one. */
static void o_nonblock_is_per_end(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, 0);
        char c;

        (void)state;
        assert_int_equal(fcntl(p.rd, F_SETFL, O_NONBLOCK), 0);
        assert_true(fcntl(p.rd, F_GETFL) & O_NONBLOCK);
        assert_false(fcntl(p.wr, F_GETFL) & O_NONBLOCK);
        ASSERT_FAILS(read(p.rd, &c, 1), EAGAIN);
        close_two(p);
}

static void poll_tells_of_the_other_end(void **state)
{
        struct two a = pipe_of(DEFAULT_SLOTS, 0), b = pipe_of(DEFAULT_SLOTS, 0);

        (void)state;
        assert_int_equal(events_of(a.wr), POLLOUT);
        close(a.rd);
        assert_true(events_of(a.wr) & POLLERR);
        assert_int_equal(events_of(b.rd), 0);
        assert_int_equal(write(b.wr, "a", 1), 1);
        close(b.wr);
        assert_int_equal(events_of(b.rd), POLLIN | POLLHUP); /* bytes first, then the end */
        close(a.wr);
        close(b.rd);
}

struct scene {
        int from, to;
};

static int splice_into_a_full_socket(void *arg)
{
        struct scene *s = arg;

        return splice(s->from, NULL, s->to, NULL, 1, SPLICE_F_NONBLOCK) != 1;
}

static int write_without_waiting(void *arg)
{
        int fd = *(int *)arg;

        return write(fd, "b", 1) != 1;
}

/* Until neither a send nor a splice finds room: before 6.5 a splice adds pages to the socket's last buffer for as long as that
 * has slots for them, however full the socket is. */
static void fill_socket(int fd)
{
        struct two from = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        static const char block[4096];
        int flags = fcntl(fd, F_GETFL);

        while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
                ;
        while (send(fd, block, 1, MSG_DONTWAIT) > 0)
                ;
        assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
        do
                assert_int_equal(write(from.wr, "a", 1), 1);
        while (splice(from.rd, NULL, fd, NULL, 1, SPLICE_F_NONBLOCK) > 0);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(fcntl(fd, F_SETFL, flags), 0);
        close_two(from);
}

/* Why a pipe that a process holds is left to the ring's workers: whoever splices it into a full socket sleeps with the
 * pipe's lock held, and our non-blocking write sleeps for that lock where no signal ends it. */
static void a_strangers_splice_stops_our_nonblocking_write(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        struct scene scene = { .from = p.rd };
        pid_t holder, victim;
        bool stopped;
        int s[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
        fill_socket(s[0]);
        assert_int_equal(write(p.wr, "a", 1), 1);
        scene.to = s[0];
        holder = in_child(splice_into_a_full_socket, &scene);
        if (!sleeps_in(holder, 'S', SYS_splice)) {
                kill_and_wait(holder);
                fail_msg("splice into a full socket does not wait");
        }
        assert_int_equal(events_of(p.wr), POLLOUT); /* poll takes no lock and sees nothing */
        victim = in_child(write_without_waiting, &p.wr);
        stopped = sleeps_in(victim, 'D', SYS_write);
        kill_and_wait(holder);
        assert_true(stopped);
        assert_int_equal(end_of(victim), 0);
        close(s[0]);
        close(s[1]);
        close_two(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(slots_not_bytes_fill_it),
                cmocka_unit_test(written_bytes_share_a_slot),
                cmocka_unit_test(its_size_is_asked_for_and_read_back),
                cmocka_unit_test(o_nonblock_is_per_end),
                cmocka_unit_test(poll_tells_of_the_other_end),
                cmocka_unit_test(a_strangers_splice_stops_our_nonblocking_write),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
