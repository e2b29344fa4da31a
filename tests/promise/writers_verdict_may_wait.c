/* writers_verdict_may_wait.c: a writer that is told the end of the stream may say -EAGAIN like any other time: it is asked
 * again when its wake_fd is ready, and without one that is a protocol error. It never hangs. */
#include "parts.h"

struct writer {
        unsigned pieces, ends;
        unsigned delays; /* how often the end is put off */
        int verdict;
};

static ssize_t put_off(void *arg, const void *data, size_t bytes)
{
        struct writer *w = arg;

        (void)data;
        if (bytes) {
                w->pieces++;
                return (ssize_t)bytes;
        }
        return w->ends++ < w->delays ? -EAGAIN : w->verdict;
}

static void end_with(struct writer *w, int wake_fd, int expected)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 5000));

        t_ok(sluice_add_generate(p, 1000));
        t_ok(sluice_add_writer(p, put_off, w, wake_fd));
        t_chain(p);
        t_run_free(p, expected);
        assert_int_equal(w->pieces, 1);
}

/* The end of a pipe that has room is ready at once. */
static void test_it_is_asked_again(void **state)
{
        int fds[2];

        (void)state;
        t_pipe(fds);
        for (unsigned delays = 0; delays < 4; delays++) {
                struct writer good = { .delays = delays }, bad = { .delays = delays, .verdict = -EDQUOT };

                end_with(&good, fds[1], 0);
                assert_int_equal(good.ends, delays + 1);
                end_with(&bad, fds[1], -EDQUOT);
                assert_int_equal(bad.ends, delays + 1);
        }
        close(fds[0]);
        close(fds[1]);
}

static void test_without_a_way_to_be_asked(void **state)
{
        struct writer w = { .delays = 1 };

        (void)state;
        end_with(&w, -1, -EPROTO);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_it_is_asked_again),
                T_TEST(test_without_a_way_to_be_asked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
