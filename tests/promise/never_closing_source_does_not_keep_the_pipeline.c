/* never_closing_source_does_not_keep_the_pipeline.c: a command that ends ends what feeds it, however long its source is
 * silent; and where it does not end, the deadline holds. */
#include <sys/eventfd.h>

#include "parts.h"

enum { FAR_MS = 60000, NEAR_MS = 30 };

static ssize_t never(void *arg, void *data, size_t cap)
{
        (void)arg;
        (void)data;
        (void)cap;
        return -EAGAIN;
}

static ssize_t never_takes(void *arg, const void *data, size_t bytes)
{
        (void)arg;
        (void)data;
        return bytes ? -EAGAIN : 0;
}

/* The silent ends. `fds` is what they need and the test closes. */
struct silent {
        int fds[2];
};

static void add_reader(struct sluice_pipeline *p, struct silent *s)
{
        s->fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        t_ok(sluice_add_reader(p, never, NULL, s->fds[0]));
}

static void add_pipe(struct sluice_pipeline *p, struct silent *s)
{
        t_pipe(s->fds);
        t_ok(sluice_add_fd(p, s->fds[0], 0));
}

/* Never accepted, but connected: nothing will come. */
static void add_socket(struct sluice_pipeline *p, struct silent *s)
{
        s->fds[0] = t_listen_unix(t_path("s"));
        t_ok(sluice_add_unix(p, t_path("s"), NULL));
}

static void (*const sources[])(struct sluice_pipeline *p, struct silent *s) = { add_reader, add_pipe, add_socket };

static void close_silent(struct silent *s)
{
        for (int i = 0; i < 2; i++)
                if (s->fds[i] >= 0)
                        close(s->fds[i]);
        unlink(t_path("s"));
}

static void run_each(const char *command, int64_t timeout_ms, int expected)
{
        for (size_t i = 0; i < T_NR(sources); i++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = timeout_ms, .grace_ms = T_GRACE_MS));
                struct silent s = { { -1, -1 } };

                sources[i](p, &s);
                t_ok(sluice_add_command(p, T_ARGV((char *)(uintptr_t)command), NULL));
                t_ok(sluice_pipeline_chain(p));
                t_run_free(p, expected);
                assert_int_equal(t_children(), 0);
                close_silent(&s);
        }
}

static void test_it_ends_by_itself(void **state)
{
        (void)state;
        run_each("true", 0, 0);
}

static void test_it_ends_long_before_the_deadline(void **state)
{
        (void)state;
        run_each("true", FAR_MS, 0);
}

static void test_failure_is_seen(void **state)
{
        (void)state;
        run_each("false", FAR_MS, -ECHILD);
}

static void test_deadline_holds(void **state)
{
        (void)state;
        run_each("cat", NEAR_MS, -ETIMEDOUT);
}

/* The other end: a sink that never takes anything. */
static void test_sink_that_never_takes(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = NEAR_MS, .grace_ms = T_GRACE_MS));
        uint64_t full = UINT64_MAX - 1;
        int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        (void)state;
        assert_int_equal(write(wake, &full, sizeof(full)), sizeof(full)); /* not writable */
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_writer(p, never_takes, NULL, wake));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, -ETIMEDOUT);
        close(wake);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_it_ends_by_itself),     T_TEST(test_it_ends_long_before_the_deadline),
                T_TEST(test_failure_is_seen),       T_TEST(test_deadline_holds),
                T_TEST(test_sink_that_never_takes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
