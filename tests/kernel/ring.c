/* tests/kernel/ring.c: io_uring as the backend meets it: where a splice runs, how it is cancelled, who is told. */
#include "kernel.h"

#include <dirent.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "op.h"
#include "probe.h"
#include "uapi.h"

static int set_up_ring(struct io_uring *ring, unsigned flags)
{
        struct io_uring_params params = { .flags = flags };

        return io_uring_queue_init_params(16, ring, &params);
}

static struct io_uring new_ring(unsigned flags)
{
        struct io_uring ring;

        assert_int_equal(set_up_ring(&ring, flags), 0);
        return ring;
}

static struct io_uring_sqe *sqe_of(struct io_uring *ring, uint64_t data)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

        assert_non_null(sqe);
        memset(sqe, 0, sizeof(*sqe));
        sqe->user_data = data;
        return sqe;
}

/* liburing's prep_ functions leave user_data alone. */
static void submit_splice(struct io_uring *ring, uint64_t data, int from, int to, unsigned bytes)
{
        struct io_uring_sqe *sqe = sqe_of(ring, data);

        io_uring_prep_splice(sqe, from, -1, to, -1, bytes, 0);
        sqe->user_data = data;
        assert_int_equal(io_uring_submit(ring), 1);
}

struct completion {
        uint64_t user_data;
        int res;
};

/* The next completion; it must come. */
static struct completion next_of(struct io_uring *ring)
{
        struct __kernel_timespec patience = { .tv_sec = PATIENCE_MS / 1000 };
        struct io_uring_cqe *cqe;
        struct completion found;
        int r;

        do
                r = io_uring_wait_cqe_timeout(ring, &cqe, &patience);
        while (r == -EINTR);
        assert_int_equal(r, 0);
        found = (struct completion){ cqe->user_data, cqe->res };
        io_uring_cqe_seen(ring, cqe);
        return found;
}

static int result_of(struct io_uring *ring)
{
        return next_of(ring).res;
}

/* ---- where a splice runs ---- */

static int workers(void)
{
        DIR *tasks = opendir("/proc/self/task");
        struct dirent *entry;
        int found = 0;

        while (tasks && (entry = readdir(tasks))) {
                char path[300], name[32] = "";
                FILE *f;

                snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
                f = fopen(path, "re");
                if (!f)
                        continue;
                if (fgets(name, sizeof(name), f) && strncmp(name, "iou-wrk-", 8) == 0)
                        found++;
                fclose(f);
        }
        if (tasks)
                closedir(tasks);
        return found;
}

/* In a process of its own: no worker can be left from another test. The bytes are there, the room is there, and still
 * the splice is a worker's: an idle one stays to be seen. */
static int splice_what_is_ready(void *arg)
{
        struct io_uring_cqe *cqe;
        struct io_uring_sqe *sqe;
        struct io_uring ring;
        int a[2], b[2];
        char c;

        (void)arg;
        if (set_up_ring(&ring, 0) < 0 || pipe2(a, O_CLOEXEC) < 0 || pipe2(b, O_CLOEXEC) < 0 || write(a[1], "a", 1) != 1)
                return 1;
        if (workers() != 0)
                return 2;
        sqe = io_uring_get_sqe(&ring);
        io_uring_prep_splice(sqe, a[0], -1, b[1], -1, 1, 0);
        if (io_uring_submit_and_wait(&ring, 1) != 1 || io_uring_peek_cqe(&ring, &cqe) != 0 || cqe->res != 1)
                return 3;
        return workers() > 0 && read(b[0], &c, 1) == 1 ? 0 : 4;
}

static void a_splice_is_always_a_workers(void **state)
{
        (void)state;
        assert_int_equal(end_of(in_child(splice_what_is_ready, NULL)), 0);
}

/* Submitting one that has to wait does not wait, on blocking fds either. */
static void submitting_never_waits(void **state)
{
        struct two a = pipe_of(DEFAULT_SLOTS, 0), b = pipe_of(DEFAULT_SLOTS, 0);
        struct io_uring ring = new_ring(0);
        struct io_uring_cqe *cqe;

        (void)state;
        submit_splice(&ring, 1, a.rd, b.wr, 65536);
        assert_int_equal(io_uring_peek_cqe(&ring, &cqe), -EAGAIN);
        assert_int_equal(write(a.wr, "abc", 3), 3);
        assert_int_equal(result_of(&ring), 3); /* short, as splice(2) would be */
        io_uring_queue_exit(&ring);
        close_two(a);
        close_two(b);
}

/* In a process of its own: the workers' limit is the task's, whichever ring it is set by. 77: no such limit. */
static int close_what_a_queued_splice_names(void *arg)
{
        struct two a = pipe_of(DEFAULT_SLOTS, 0), b = pipe_of(DEFAULT_SLOTS, 0);
        struct two c = pipe_of(DEFAULT_SLOTS, 0), d = pipe_of(DEFAULT_SLOTS, 0);
        struct io_uring ring = new_ring(0);
        unsigned most[2] = { 1, 1 };
        int result = 0;

        (void)arg;
        if (io_uring_register_iowq_max_workers(&ring, most) < 0)
                return 77;
        if (write(c.wr, "c", 1) != 1)
                return 1;
        submit_splice(&ring, 1, a.rd, b.wr, 1);
        submit_splice(&ring, 2, c.rd, d.wr, 1);
        close(c.rd);
        if (write(a.wr, "a", 1) != 1)
                return 2;
        for (int i = 0; i < 2; i++) {
                struct completion cqe = next_of(&ring);

                if (cqe.user_data == 1 && cqe.res != 1)
                        return 3;
                if (cqe.user_data == 2)
                        result = cqe.res;
        }
        return result == -EBADF ? 0 : 4;
}

/* Of a splice that waits for a worker the kernel has only a number: it may be closed, and another's, by then. */
static void a_queued_splice_looks_its_input_up_late(void **state)
{
        int status = end_of(in_child(close_what_a_queued_splice_names, NULL));

        (void)state;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(status, 0);
}

/* ---- what is an error there ---- */

static void its_refusals_are_those_of_splice(void **state)
{
        struct two a = pipe_of(DEFAULT_SLOTS, O_NONBLOCK), b = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        struct io_uring ring = new_ring(0);
        struct io_uring_sqe *sqe;

        (void)state;
        submit_splice(&ring, 1, a.rd, b.wr, 1);
        assert_int_equal(result_of(&ring), -EAGAIN); /* no poll is armed for it */
        assert_int_equal(write(a.wr, "abc", 3), 3);
        sqe = sqe_of(&ring, 2);
        io_uring_prep_splice(sqe, a.rd, 0, b.wr, -1, 1, 0);
        assert_int_equal(io_uring_submit(&ring), 1);
        assert_int_equal(result_of(&ring), -ESPIPE);
        sqe = sqe_of(&ring, 3);
        io_uring_prep_splice(sqe, a.rd, -1, b.wr, 0, 1, 0);
        assert_int_equal(io_uring_submit(&ring), 1);
        assert_int_equal(result_of(&ring), -ESPIPE);
        submit_splice(&ring, 4, a.rd, a.wr, 1);
        assert_int_equal(result_of(&ring), -EINVAL);
        submit_splice(&ring, 5, a.rd, b.wr, 0);
        assert_int_equal(result_of(&ring), 0);
        io_uring_queue_exit(&ring);
        close_two(a);
        close_two(b);
}

static int splice_into_the_void(void *arg)
{
        struct io_uring_cqe *cqe;
        struct io_uring_sqe *sqe;
        struct io_uring ring;
        int a[2], b[2];

        (void)arg;
        signal(SIGPIPE, SIG_DFL);
        if (set_up_ring(&ring, 0) < 0 || pipe2(a, O_CLOEXEC) < 0 || pipe2(b, O_CLOEXEC) < 0 || write(a[1], "a", 1) != 1)
                return 1;
        close(b[0]);
        sqe = io_uring_get_sqe(&ring);
        io_uring_prep_splice(sqe, a[0], -1, b[1], -1, 1, 0);
        if (io_uring_submit_and_wait(&ring, 1) != 1 || io_uring_peek_cqe(&ring, &cqe) != 0)
                return 2;
        return cqe->res == -EPIPE ? 0 : 3;
}

/* Unlike splice(2), see splice.c. */
static void its_broken_pipe_raises_no_signal(void **state)
{
        (void)state;
        assert_int_equal(end_of(in_child(splice_into_the_void, NULL)), 0);
}

/* Whether an O_NONBLOCK fd is waited for or answered with -EAGAIN differs with the kernel, the operation and what was
 * done to the fd before; callers must bear both. Never is it anything else, and a poll always waits. */
static void a_nonblocking_fd_is_waited_for_or_is_eagain(void **state)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), caller;
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK), touched = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        struct two waiting = pipe_of(DEFAULT_SLOTS, 0);
        const struct two each[] = { p, touched, waiting };
        socklen_t bytes = sizeof(address);
        struct io_uring ring = new_ring(0);
        struct io_uring_cqe *none;
        struct io_uring_sqe *sqe;
        int r;
        char c;

        (void)state;
        ASSERT_FAILS(splice(touched.rd, NULL, p.wr, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
        for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
                sqe = sqe_of(&ring, 1);
                io_uring_prep_read(sqe, each[i].rd, &c, 1, (uint64_t)-1);
                assert_int_equal(io_uring_submit(&ring), 1);
                assert_int_equal(write(each[i].wr, "a", 1), 1);
                r = result_of(&ring);
                if (r == -EAGAIN && each[i].rd != waiting.rd)
                        assert_int_equal(read(each[i].rd, &c, 1), 1);
                else
                        assert_int_equal(r, 1);
                sqe = sqe_of(&ring, 2);
                io_uring_prep_poll_add(sqe, each[i].rd, POLLIN);
                assert_int_equal(io_uring_submit(&ring), 1);
                assert_int_equal(io_uring_peek_cqe(&ring, &none), -EAGAIN);
                assert_int_equal(write(each[i].wr, "a", 1), 1);
                assert_true(result_of(&ring) & POLLIN);
        }

        assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
        sqe = sqe_of(&ring, 3);
        io_uring_prep_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
        assert_int_equal(io_uring_submit(&ring), 1);
        caller = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(caller, (struct sockaddr *)&address, bytes), 0);
        r = result_of(&ring);
        assert_true(r >= 0 || r == -EAGAIN);
        if (r >= 0)
                close(r);

        io_uring_queue_exit(&ring);
        close(caller);
        close(listener);
        close_two(p);
        close_two(touched);
        close_two(waiting);
}

/* ---- cancelling ---- */

/* Submits a splice that waits and cancels it. Returns the cancel's answer and, in *ret, the splice's own. */
static int splice_and_cancel(struct io_uring *ring, struct two from, struct two to, int *ret)
{
        struct io_uring_sqe *sqe;
        int answer = 1;

        submit_splice(ring, 7, from.rd, to.wr, 1);
        poll(NULL, 0, 1); /* most likely it runs now; the caller tries again when it did not */
        sqe = sqe_of(ring, 8);
        io_uring_prep_cancel64(sqe, 7, 0);
        sqe->user_data = 8;
        assert_int_equal(io_uring_submit(ring), 1);
        for (int i = 0; i < 2; i++) {
                struct completion cqe = next_of(ring);

                *(cqe.user_data == 8 ? &answer : ret) = cqe.res;
        }
        return answer;
}

/* A splice that runs is not removed: it is woken, and its own result may be a number that no errno has. */
static void a_running_splice_is_told_and_ends_oddly(void **state)
{
        struct two a = pipe_of(DEFAULT_SLOTS, 0), b = pipe_of(DEFAULT_SLOTS, 0);
        struct op op = { .kind = OP_SPLICE, .state = OP_DONE, .cancel_sent = true };
        struct io_uring ring = new_ring(0);
        int answer = 0, result = 0;

        (void)state;
        for (int tries = 0; tries < 1000 && answer != -EALREADY; tries++) {
                answer = splice_and_cancel(&ring, a, b, &result);
                if (answer == 0) /* no worker had taken it yet */
                        assert_int_equal(result, -ECANCELED);
        }
        assert_int_equal(answer, -EALREADY);
        if (result != -EINTR && result != -ECANCELED)
                assert_in_range(-result, KERNEL_ERESTARTSYS, KERNEL_ERESTART_RESTARTBLOCK);
        op.res = result;
        assert_int_equal(op_result(&op), -ECANCELED);
        assert_int_equal(events_of(b.rd), 0);
        io_uring_queue_exit(&ring);
        close_two(a);
        close_two(b);
}

/* The operation holds the file: closing the number is not closing the pipe. */
static void an_operation_in_flight_holds_the_end_back(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        struct pollfd end = { .fd = p.rd };
        struct io_uring ring = new_ring(0);
        struct io_uring_sqe *sqe;
        char c;

        (void)state;
        sqe = sqe_of(&ring, 1);
        io_uring_prep_poll_add(sqe, p.wr, POLLERR); /* when the reader goes: not soon */
        assert_int_equal(io_uring_submit(&ring), 1);
        close(p.wr);
        ASSERT_FAILS(read(p.rd, &c, 1), EAGAIN);
        sqe = sqe_of(&ring, 2);
        io_uring_prep_cancel64(sqe, 1, 0);
        sqe->user_data = 2;
        assert_int_equal(io_uring_submit(&ring), 1);
        for (int i = 0; i < 2; i++) {
                struct completion cqe = next_of(&ring);

                assert_int_equal(cqe.res, cqe.user_data == 1 ? -ECANCELED : 0);
        }
        assert_int_equal(poll(&end, 1, PATIENCE_MS), 1);
        assert_int_equal(read(p.rd, &c, 1), 0);
        io_uring_queue_exit(&ring);
        close(p.rd);
}

/* ---- who is told ---- */

/* Completions of such a ring wait for its thread to come and get them, and its fd does not say so: a host's epoll has
 * to watch an eventfd that is registered with the ring. */
static void a_deferring_ring_tells_its_eventfd_only(void **state)
{
        struct two p = pipe_of(DEFAULT_SLOTS, O_NONBLOCK);
        int told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), by_ring = epoll_create1(EPOLL_CLOEXEC),
            by_event = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event e = { .events = EPOLLIN };
        struct io_uring_sqe *sqe;
        struct io_uring ring;
        int woken;

        (void)state;
        if (set_up_ring(&ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN) < 0) {
                close(told);
                close(by_ring);
                close(by_event);
                close_two(p);
                print_message("skipped: no DEFER_TASKRUN\n");
                skip();
        }
        assert_int_equal(epoll_ctl(by_ring, EPOLL_CTL_ADD, ring.ring_fd, &e), 0);
        sqe = sqe_of(&ring, 1);
        io_uring_prep_poll_add(sqe, p.rd, POLLIN);
        assert_int_equal(io_uring_submit(&ring), 1);
        assert_int_equal(epoll_wait(by_ring, &e, 1, 0), 0);
        assert_int_equal(write(p.wr, "a", 1), 1); /* its wake-up runs inside this call */
        woken = epoll_wait(by_ring, &e, 1, 0);
        assert_int_equal(result_of(&ring), POLLIN);

        e.events = EPOLLIN;
        assert_int_equal(io_uring_register_eventfd(&ring, told), 0);
        assert_int_equal(epoll_ctl(by_event, EPOLL_CTL_ADD, told, &e), 0);
        assert_int_equal(read(p.rd, &(char){ 0 }, 1), 1);
        sqe = sqe_of(&ring, 2);
        io_uring_prep_poll_add(sqe, p.rd, POLLIN);
        assert_int_equal(io_uring_submit(&ring), 1);
        assert_int_equal(epoll_wait(by_event, &e, 1, 0), 0);
        assert_int_equal(write(p.wr, "a", 1), 1);
        assert_int_equal(epoll_wait(by_event, &e, 1, PATIENCE_MS), 1);
        assert_int_equal(result_of(&ring), POLLIN);

        io_uring_queue_exit(&ring);
        close(told);
        close(by_ring);
        close(by_event);
        close_two(p);
        if (woken) {
                print_message("skipped: this kernel's ring fd tells, too\n");
                skip();
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_splice_is_always_a_workers),
                cmocka_unit_test(submitting_never_waits),
                cmocka_unit_test(a_queued_splice_looks_its_input_up_late),
                cmocka_unit_test(its_refusals_are_those_of_splice),
                cmocka_unit_test(its_broken_pipe_raises_no_signal),
                cmocka_unit_test(a_nonblocking_fd_is_waited_for_or_is_eagain),
                cmocka_unit_test(a_running_splice_is_told_and_ends_oddly),
                cmocka_unit_test(an_operation_in_flight_holds_the_end_back),
                cmocka_unit_test(a_deferring_ring_tells_its_eventfd_only),
        };
        struct io_uring ring;
        int r = set_up_ring(&ring, 0);

        if (r < 0) {
                fprintf(stderr, "skipped: io_uring: %s\n", strerror(-r));
                return 77;
        }
        io_uring_queue_exit(&ring);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
