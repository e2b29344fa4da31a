/* tests/kernel/splice.c: what splice(2) gives, refuses, waits for and leaves behind. */
#include "kernel.h"

#include <netinet/in.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "probe.h"
#include "syscalls.h"

static int memory_file(void)
{
        int fd = memfd_create("kernel-test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void it_gives_what_there_is(void **state)
{
        struct two a = pipe_of(DEFAULT_SLOTS, 0), b = pipe_of(DEFAULT_SLOTS, 0);

        (void)state;
        assert_int_equal(write(a.wr, "abc", 3), 3);
        assert_int_equal(splice(a.rd, NULL, b.wr, NULL, 65536, 0), 3);
        close(a.wr);
        assert_int_equal(splice(a.rd, NULL, b.wr, NULL, 65536, 0), 0);
        close(a.rd);
        close_two(b);
}

static void a_pipe_has_no_offset(void **state)
{
        struct two a = pipe_of(DEFAULT_SLOTS, 0), b = pipe_of(DEFAULT_SLOTS, 0);
        loff_t zero = 0;

        (void)state;
        assert_int_equal(write(a.wr, "abc", 3), 3);
        ASSERT_FAILS(splice(a.rd, &zero, b.wr, NULL, 3, 0), ESPIPE);
        ASSERT_FAILS(splice(a.rd, NULL, b.wr, &zero, 3, 0), ESPIPE);
        close_two(a);
        close_two(b);
}

static void a_pipe_is_not_spliced_into_itself(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);

        (void)state;
        assert_int_equal(write(p.wr, "abc", 3), 3);
        ASSERT_FAILS(splice(p.rd, NULL, p.wr, NULL, 3, 0), EINVAL);
        close_two(p);
}

/* The driver notes the refusal and copies from then on: so nothing may have moved. */
static void what_cannot_be_spliced_is_einval_and_moves_nothing(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC), event = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        int file = memory_file();
        loff_t zero = 0;
        uint64_t count;
        char text[4];

        (void)state;
        assert_true(status >= 0 && event >= 0);
        ASSERT_FAILS(splice(status, NULL, p.wr, NULL, 4096, SPLICE_F_NONBLOCK), EINVAL);
        assert_int_equal(lseek(status, 0, SEEK_CUR), 0);
        ASSERT_FAILS(splice(event, NULL, p.wr, NULL, 8, SPLICE_F_NONBLOCK), EINVAL);
        assert_int_equal(read(event, &count, sizeof(count)), sizeof(count));
        assert_int_equal(events_of(p.rd), 0);

        assert_int_equal(write(p.wr, "abc", 3), 3);
        ASSERT_FAILS(splice(p.rd, NULL, event, NULL, 3, SPLICE_F_NONBLOCK), EINVAL);
        assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
        ASSERT_FAILS(splice(p.rd, NULL, file, NULL, 3, SPLICE_F_NONBLOCK), EINVAL);
        ASSERT_FAILS(splice(p.rd, NULL, file, &zero, 3, SPLICE_F_NONBLOCK), EINVAL);
        assert_int_equal(lseek(file, 0, SEEK_END), 0);
        assert_int_equal(read(p.rd, text, sizeof(text)), 3);
        assert_memory_equal(text, "abc", 3);
        close(status);
        close(event);
        close(file);
        close_two(p);
}

/* Since 6.7; before, whoever says that it will be spliced is wrong. */
static void zeroes_are_spliced_as_probed(void **state)
{
        int fds[2], zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        ssize_t n;

        (void)state;
        assert_return_code(zero, errno);
        assert_return_code(pipe2(fds, O_CLOEXEC), errno);
        n = splice(zero, NULL, fds[1], NULL, 10, SPLICE_F_NONBLOCK);
        if (probe_zero_splices())
                assert_int_equal(n, 10);
        else
                assert_int_equal(n < 0 ? -errno : n, -EINVAL);
        close(fds[0]);
        close(fds[1]);
        close(zero);
}

static void the_flag_is_enough_for_blocking_pipes(void **state)
{
        struct two a = pipe_of(DEFAULT_SLOTS, 0), b = pipe_of(DEFAULT_SLOTS, 0);

        (void)state;
        ASSERT_FAILS(splice(a.rd, NULL, b.wr, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
        assert_int_equal(write(a.wr, "a", 1), 1);
        fill(b.wr);
        ASSERT_FAILS(splice(a.rd, NULL, b.wr, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
        close_two(a);
        close_two(b);
}

struct ends {
        int from, to;
        unsigned flags;
};

static int splice_one(void *arg)
{
        struct ends *e = arg;

        return splice(e->from, NULL, e->to, NULL, 1, e->flags) == 1 ? 0 : errno;
}

/* A TCP connection to ourselves. */
static void connect_tcp(int s[2])
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t bytes = sizeof(address);

        assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
        s[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(s[0], (struct sockaddr *)&address, bytes), 0);
        s[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(s[1] >= 0);
        close(listener);
}

/* Why a socket that is not O_NONBLOCK is copied. (A unix socket heeds the flag, TCP does not.) */
static void the_flag_is_not_enough_for_a_blocking_socket(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        struct ends e = { .to = p.wr, .flags = SPLICE_F_NONBLOCK };
        int s[2];
        pid_t pid;

        (void)state;
        connect_tcp(s);
        e.from = s[0];
        pid = in_child(splice_one, &e);
        assert_true(sleeps_in(pid, 'S', SYS_splice));
        kill_and_wait(pid);
        fcntl(s[0], F_SETFL, O_NONBLOCK);
        ASSERT_FAILS(splice(s[0], NULL, p.wr, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
        close(s[0]);
        close(s[1]);
        close_two(p);
}

/* A full pipe hides the end of stream: EAGAIN does not say which side it is about. */
static void a_full_pipe_hides_the_end(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        char page[4096];
        int s[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
        fill(p.wr);
        assert_int_equal(shutdown(s[1], SHUT_WR), 0);
        ASSERT_FAILS(splice(s[0], NULL, p.wr, NULL, 4096, SPLICE_F_NONBLOCK), EAGAIN);
        assert_int_equal(read(p.rd, page, sizeof(page)), sizeof(page));
        assert_int_equal(splice(s[0], NULL, p.wr, NULL, 4096, SPLICE_F_NONBLOCK), 0);
        close(s[0]);
        close(s[1]);
        close_two(p);
}

static int splice_into_the_void(void *arg)
{
        struct ends *e = arg;

        signal(SIGPIPE, SIG_DFL);
        return splice_one(e);
}

/* Why the loop blocks SIGPIPE while a turn lasts. */
static void a_broken_pipe_kills(void **state)
{
        struct two a = pipe_of(DEFAULT_SLOTS, 0), b = pipe_of(DEFAULT_SLOTS, 0);
        struct ends e = { a.rd, b.wr, SPLICE_F_NONBLOCK };
        int status;

        (void)state;
        assert_int_equal(write(a.wr, "abc", 3), 3);
        close(b.rd);
        status = end_of(in_child(splice_into_the_void, &e));
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGPIPE);
        close_two(a);
        close(b.wr);
}

/* What a child checks is 0, or the line that was not as it should be. */
#define EXPECT(condition)                                                                                                          \
        do {                                                                                                                       \
                if (!(condition)) {                                                                                                \
                        fprintf(stderr, "%s:%d: %s, errno %d\n", __FILE__, __LINE__, #condition, errno);                           \
                        return 1;                                                                                                  \
                }                                                                                                                  \
        } while (0)

/* 8 KiB into what takes 4 KiB: a short call, then the error, and the second 4 KiB are still in the pipe. */
static int overfill(int file, int error)
{
        char page[8192], back[8192];
        struct pollfd p;
        int fds[2];

        memset(page, 'a', 4096);
        memset(page + 4096, 'b', 4096);
        EXPECT(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
        EXPECT(write(fds[1], page, 8192) == 8192);
        EXPECT(splice(fds[0], NULL, file, NULL, 8192, SPLICE_F_NONBLOCK) == 4096);
        EXPECT(splice(fds[0], NULL, file, NULL, 4096, SPLICE_F_NONBLOCK) == -1);
        EXPECT(errno == error);
        p = (struct pollfd){ .fd = fds[0], .events = POLLIN };
        EXPECT(poll(&p, 1, 0) == 1);
        EXPECT(read(fds[0], back, sizeof(back)) == 4096);
        EXPECT(memcmp(back, page + 4096, 4096) == 0);
        return 0;
}

static int exceed_the_file_size(void *arg)
{
        struct rlimit limit = { 4096, 4096 };

        (void)arg;
        signal(SIGXFSZ, SIG_IGN);
        EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        return overfill(memfd_create("kernel-test", MFD_CLOEXEC), EFBIG);
}

/* A tmpfs of one page, in a mount namespace that ends with this process. */
static int exceed_the_space(void *arg)
{
        (void)arg;
        if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return 77;
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("none", "/tmp", "tmpfs", 0, "size=4k") < 0)
                return 77;
        return overfill(open("/tmp/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), ENOSPC);
}

static void what_a_file_does_not_take_stays_in_the_pipe(void **state)
{
        int status;

        (void)state;
        if (getpagesize() != 4096)
                skip();
        assert_int_equal(end_of(in_child(exceed_the_file_size, NULL)), 0);
        status = end_of(in_child(exceed_the_space, NULL));
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                print_message("no mount namespace: ENOSPC is not tried\n");
        else
                assert_int_equal(status, 0);
}

/* Either kernel is right; what counts is that probe_all() says which one this is. */
static void overwritten_pages_arrive_as_probed(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        int file = memory_file(), s[2];
        loff_t zero = 0;
        struct probe probe;
        char c;

        (void)state;
        probe_all(&probe);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
        assert_int_equal(pwrite(file, "A", 1, 0), 1);
        assert_int_equal(splice(file, &zero, p.wr, NULL, 1, SPLICE_F_NONBLOCK), 1);
        assert_int_equal(zero, 1);
        assert_int_equal(pwrite(file, "B", 1, 0), 1);
        assert_int_equal(splice(p.rd, NULL, s[0], NULL, 1, SPLICE_F_NONBLOCK), 1);
        assert_int_equal(read(s[1], &c, 1), 1);
        assert_int_equal(c, probe.splice_shares_pages == 1 ? 'B' : 'A');
        close(file);
        close(s[0]);
        close(s[1]);
        close_two(p);
}

static int write_three(void *arg)
{
        return write(*(int *)arg, "abc", 3) != 3;
}

/* Progress of a file that a process was handed: without lseek(), which waits for the write that is going on. */
static void fdinfo_has_a_childs_position(void **state)
{
        struct fd_info info;
        int file = memory_file();

        (void)state;
        assert_int_equal(sys_position(NULL, file), 0);
        assert_int_equal(end_of(in_child(write_three, &file)), 0);
        assert_int_equal(sys_inspect(NULL, file, &info), 0);
        assert_int_equal(sys_position(NULL, file), 3);
        assert_int_equal(info.size, 3);
        assert_int_equal(lseek(file, 0, SEEK_CUR), 3);
        close(file);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_gives_what_there_is),
                cmocka_unit_test(a_pipe_has_no_offset),
                cmocka_unit_test(a_pipe_is_not_spliced_into_itself),
                cmocka_unit_test(what_cannot_be_spliced_is_einval_and_moves_nothing),
                cmocka_unit_test(zeroes_are_spliced_as_probed),
                cmocka_unit_test(the_flag_is_enough_for_blocking_pipes),
                cmocka_unit_test(the_flag_is_not_enough_for_a_blocking_socket),
                cmocka_unit_test(a_full_pipe_hides_the_end),
                cmocka_unit_test(a_broken_pipe_kills),
                cmocka_unit_test(what_a_file_does_not_take_stays_in_the_pipe),
                cmocka_unit_test(overwritten_pages_arrive_as_probed),
                cmocka_unit_test(fdinfo_has_a_childs_position),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
