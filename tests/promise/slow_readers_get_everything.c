/* slow_readers_get_everything.c: however slowly its output is read, and by whom, a command's every byte arrives. */
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "parts.h"

enum { LINES = 100, BYTES = 292 };

struct slow {
        char text[BYTES + 1];
        size_t bytes;
        unsigned calls;
        bool again; /* every other time it is asked in vain */
        int fd;
};

static void add_seq(struct sluice_pipeline *p)
{
        t_ok(sluice_add_command(p, T_ARGV("seq", "100"), NULL));
}

static void got(struct slow *s, const void *data)
{
        if (s->bytes < BYTES)
                memcpy(s->text + s->bytes, data, 1);
        s->bytes++;
}

static void check(const struct slow *s)
{
        char expected[BYTES + 1], *at = expected;

        for (int i = 1; i <= LINES; i++)
                at += sprintf(at, "%d\n", i);
        assert_int_equal(s->bytes, BYTES);
        assert_string_equal(s->text, expected);
}

static ssize_t take_one(void *arg, const void *data, size_t bytes)
{
        struct slow *s = arg;

        if (bytes == 0)
                return 0;
        if (s->again && s->calls++ % 2 == 0)
                return -EAGAIN;
        got(s, data);
        return 1;
}

static void test_writer(void **state)
{
        (void)state;
        for (int again = 0; again < 2; again++) {
                struct sluice_pipeline *p = t_new(NULL);
                struct slow s = { .again = again, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) }; /* writable */

                add_seq(p);
                t_ok(sluice_add_writer(p, take_one, &s, s.fd));
                t_ok(sluice_pipeline_chain(p));
                t_run_free(p, 0);
                check(&s);
                close(s.fd);
        }
}

static int process_one(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        if (in->len > 0) {
                got(t_arg(c), in->data);
                in->consumed = 1;
        }
        return 0;
}
static const struct sluice_stage_ops process_one_ops = T_FUNCTION(process_one);

static void test_function(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct slow s = { 0 };

        (void)state;
        add_seq(p);
        t_ok(sluice_pipeline_add(p, &process_one_ops, &s, NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        check(&s);
}

/* ---- somebody else at the other end of an fd ---- */

static void *read_slowly(void *arg)
{
        const struct timespec moment = { .tv_nsec = 100000 };
        struct slow *s = arg;
        char byte;

        while (read(s->fd, &byte, 1) == 1) {
                got(s, &byte);
                nanosleep(&moment, NULL);
        }
        return NULL;
}

static void read_from_outside(const int fds[2], unsigned flags)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct slow s = { .fd = fds[0] };
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, read_slowly, &s), 0);
        add_seq(p);
        t_ok(sluice_add_fd(p, fds[1], SLUICE_OWN | flags));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        pthread_join(thread, NULL);
        check(&s);
        close(fds[0]);
}

static void test_outside(void **state)
{
        static const unsigned flags[] = { 0, SLUICE_OBSERVE };
        int fds[2];

        (void)state;
        for (size_t i = 0; i < T_NR(flags); i++) {
                t_pipe(fds);
                read_from_outside(fds, flags[i]);
                assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), errno);
                read_from_outside(fds, flags[i]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_writer), T_TEST(test_function), T_TEST(test_outside) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
