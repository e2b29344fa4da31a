/* waiting_links_are_small.c: a link that waits for bytes costs less than 4 KiB of this process's memory, among a thousand, as a
 * pipeline of its own or as a transfer; and no pipe. What is counted is what was allocated and not freed: no clock is in it, and
 * nothing of the machine's. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

enum { LINKS = 1000, LINK_BYTES = 4096, LINK_FDS = 6, OTHER_FDS = 64 };

/* We write to `give`, the link moves it from `from` to `to`, we read it from `take`. */
struct waiting {
        int give, from, to, take;
        struct sluice_pipeline *pipeline;
};

static struct sluice_loop *loop;
static int over;

/* ---- the ways to have one ---- */

static void pipeline_over(void *arg, int result)
{
        (void)arg;
        over++;
        assert_int_equal(result, 0);
}

static void transfer_over(void *arg, int64_t result)
{
        (void)arg;
        over++;
        assert_int_equal(result, 1);
}

static void make_sockets(struct waiting *w)
{
        int in[2], out[2];

        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, in), errno);
        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out), errno);
        *w = (struct waiting){ .give = in[0], .from = in[1], .to = out[0], .take = out[1] };
}

static void make_pipes(struct waiting *w)
{
        int in[2], out[2];

        t_pipe(in);
        t_pipe(out);
        *w = (struct waiting){ .give = in[1], .from = in[0], .to = out[1], .take = out[0] };
        assert_return_code(fcntl(w->take, F_SETFL, O_NONBLOCK), errno);
}

static void make_socket_and_file(struct waiting *w)
{
        const char *path = t_path("out");
        int in[2];

        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, in), errno);
        *w = (struct waiting){ .give = in[0],
                               .from = in[1],
                               .to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
                               .take = open(path, O_RDONLY | O_CLOEXEC) };
        assert_true(w->to >= 0 && w->take >= 0);
        assert_return_code(unlink(path), errno);
}

static void start_pipeline(struct waiting *w)
{
        w->pipeline = t_new(NULL);
        t_ok(sluice_add_fd(w->pipeline, w->from, 0));
        t_ok(sluice_add_fd(w->pipeline, w->to, 0));
        t_chain(w->pipeline);
        assert_int_equal(sluice_pipeline_start(w->pipeline, loop, pipeline_over, NULL), 0);
}

static void start_transfer(struct waiting *w)
{
        const struct sluice_transfer t = {
                .size = sizeof(t), .from = w->from, .to = w->to, .offset_from = -1, .offset_to = -1, .length = -1
        };

        assert_int_equal(sluice_transfer(loop, &t, transfer_over, NULL), 0);
}

/* One listener for each side. */
static int listeners[2];
static char addresses[2][32];

static int accepted(int side)
{
        int fd;

        while ((fd = accept4(listeners[side], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0) {
                assert_int_equal(errno, EAGAIN);
                assert_true(sluice_loop_turn(loop, -1) >= 0);
        }
        return fd;
}

static void start_tcp(struct waiting *w)
{
        w->pipeline = t_new(NULL);
        t_ok(sluice_add_tcp(w->pipeline, addresses[0], NULL));
        t_ok(sluice_add_tcp(w->pipeline, addresses[1], NULL));
        t_chain(w->pipeline);
        assert_int_equal(sluice_pipeline_start(w->pipeline, loop, pipeline_over, NULL), 0);
        w->give = accepted(0);
        w->take = accepted(1);
}

static void make_nothing(struct waiting *w)
{
        *w = (struct waiting){ .from = -1, .to = -1 };
}

static const struct kind {
        const char *name;
        void (*make)(struct waiting *w);
        void (*start)(struct waiting *w);
        int pipe_fds; /* of a link: duplicates of its ends */
} kinds[] = {
        { "a pipeline between sockets", make_sockets, start_pipeline, 0 },
        { "a pipeline between pipes", make_pipes, start_pipeline, 2 },
        { "a pipeline between TCP connections", make_nothing, start_tcp, 0 },
        { "a pipeline from a socket to a file", make_socket_and_file, start_pipeline, 0 },
        { "a transfer between sockets", make_sockets, start_transfer, 0 },
        { "a transfer from a socket to a file", make_socket_and_file, start_transfer, 0 },
};

/* ---- what there is ---- */

static size_t allocated(void)
{
        struct mallinfo2 m = mallinfo2();

        return m.uordblks + m.hblkhd;
}

static int pipe_fds(void)
{
        struct rlimit limit;
        struct stat st;
        int n = 0;

        getrlimit(RLIMIT_NOFILE, &limit);
        for (int fd = 0; fd < (int)limit.rlim_cur; fd++)
                n += fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
        return n;
}

static void check(const struct kind *k, const char *when, int links, size_t bytes_before, int pipes_before)
{
        size_t each = (allocated() - bytes_before) / (size_t)links;
        int pipes = pipe_fds() - pipes_before;

        print_message("%s, %s: %zu bytes\n", k->name, when, each);
        assert_in_range(each, 0, LINK_BYTES - 1);
        assert_int_equal(pipes, k->pipe_fds * links);
}

/* ---- what is done with them ---- */

/* A byte through it: then it waits for the next. */
static void use(struct waiting *w)
{
        ssize_t n;
        char c = 'x';

        assert_int_equal(write(w->give, &c, 1), 1);
        while ((n = read(w->take, &c, 1)) != 1) { /* a file has nothing yet, a socket or a pipe says EAGAIN */
                assert_true(n == 0 || errno == EAGAIN);
                assert_int_equal(over, 0);
                assert_true(sluice_loop_turn(loop, -1) >= 0);
        }
}

static void end(struct waiting *w)
{
        shutdown(w->take, SHUT_WR); /* a TCP connection waits for its peer's end */
        close(w->give);
        close(w->from);
        close(w->to);
}

static void release(struct waiting *w)
{
        sluice_pipeline_free(w->pipeline);
        close(w->take);
}

static void check_kind(const struct kind *k, int links)
{
        struct waiting *all = calloc((size_t)links + 1, sizeof(*all));
        size_t bytes;
        int pipes;

        over = 0;
        for (int i = 0; i <= links; i++)
                k->make(&all[i]);
        k->start(&all[links]); /* it pays for what is made once */
        use(&all[links]);
        bytes = allocated();
        pipes = pipe_fds();
        for (int i = 0; i < links; i++)
                k->start(&all[i]);
        while (sluice_loop_turn(loop, 0) > 0)
                continue;
        check(k, "waiting", links, bytes, pipes);
        for (int i = 0; i < links; i++)
                use(&all[i]);
        while (sluice_loop_turn(loop, 0) > 0)
                continue;
        check(k, "used", links, bytes, pipes);
        for (int i = 0; i <= links; i++)
                end(&all[i]);
        while (over <= links)
                assert_true(sluice_loop_turn(loop, -1) >= 0);
        for (int i = 0; i <= links; i++)
                release(&all[i]);
        free(all);
}

static int links_allowed(void)
{
        struct rlimit limit;
        rlim_t links;

        getrlimit(RLIMIT_NOFILE, &limit);
        links = limit.rlim_cur > OTHER_FDS ? (limit.rlim_cur - OTHER_FDS) / LINK_FDS : 0;
        return links < LINKS ? (int)links : LINKS;
}

static void test_waiting_links(void **state)
{
        const struct sluice_loop_options opt = { .size = sizeof(opt) };
        struct rlimit before, most;
        int links;

        (void)state;
        if (t_sanitized()) {
                print_message("skipped: a sanitizer's memory is not ours\n");
                skip();
        }
        getrlimit(RLIMIT_NOFILE, &before);
        most = before;
        most.rlim_cur = most.rlim_max;
        setrlimit(RLIMIT_NOFILE, &most);
        links = links_allowed();
        for (int side = 0; side < 2; side++) {
                listeners[side] = t_listen(addresses[side], sizeof(addresses[side]));
                assert_return_code(fcntl(listeners[side], F_SETFL, O_NONBLOCK), errno);
        }
        for (size_t i = 0; i < T_NR(kinds); i++) {
                assert_int_equal(sluice_loop_new(&loop, &opt), 0);
                check_kind(&kinds[i], links);
                sluice_loop_free(loop);
        }
        for (int side = 0; side < 2; side++)
                close(listeners[side]);
        setrlimit(RLIMIT_NOFILE, &before);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_waiting_links) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
