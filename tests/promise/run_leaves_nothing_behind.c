/* run_leaves_nothing_behind.c: a thousand runs in one process leave no descriptor, thread, process or memory. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

enum { BYTES = 100000, WARM_UP = 100, SLACK_KIB = 1024 };

struct server {
        pthread_t thread;
        int listener, runs;
        uint64_t exact;
};

static bool whole(int fd)
{
        uint8_t data[65536];
        uint64_t at = 0;
        ssize_t n;

        while ((n = read(fd, data, sizeof(data))) > 0) {
                if (t_mismatch(data, (size_t)n, at) >= 0)
                        return false;
                at += (uint64_t)n;
        }
        return n == 0 && at == BYTES;
}

static void *serve(void *arg)
{
        struct server *s = arg;

        for (int i = 0; i < s->runs; i++) {
                int fd = accept(s->listener, NULL, NULL);

                if (fd < 0)
                        break;
                s->exact += whole(fd);
                close(fd);
        }
        return NULL;
}

static void once(const char *address)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
        t_chain(p);
        t_run_free(p, 0);
}

static void test_thousand_runs(void **state)
{
        struct server s = { .runs = t_short() ? 300 : 1000 };
        int fds = 0, threads = 0;
        char address[32];
        long rss = 0;

        (void)state;
        t_make(t_path("a"), BYTES);
        s.listener = t_listen(address, sizeof(address));
        assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
        for (int i = 0; i < s.runs; i++) {
                once(address);
                if (i != WARM_UP)
                        continue;
                rss = t_rss_kib();
                fds = t_fds();
                threads = t_threads();
        }
        assert_in_range(t_in_the_end(t_fds, fds + 1), 0, fds + 1); /* the server's connection may be open or closed */
        assert_in_range(t_in_the_end(t_threads, threads), 0, threads);
        assert_int_equal(t_children(), 0);
        if (!t_sanitized())
                assert_in_range(t_rss_kib(), 0, rss + SLACK_KIB);
        pthread_join(s.thread, NULL);
        close(s.listener);
        assert_int_equal(s.exact, s.runs);
}

static void same(const char *address, int runs)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
        t_chain(p);
        for (int i = 0; i < runs; i++)
                t_run(p, 0);
        sluice_pipeline_free(p);
}

/* One pipeline, run again and again. */
static void test_same_pipeline_again(void **state)
{
        struct server s = { .runs = 50 };
        char address[32];

        (void)state;
        t_make(t_path("a"), BYTES);
        s.listener = t_listen(address, sizeof(address));
        assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
        same(address, s.runs);
        pthread_join(s.thread, NULL);
        close(s.listener);
        assert_int_equal(s.exact, s.runs);
}

/* Failing ones too, at every stage of life. */
static void test_failing_runs(void **state)
{
        (void)state;
        for (int i = 0; i < 50; i++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

                t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
                t_ok(sluice_add_command(p, T_ARGV("false"), NULL));
                t_ok(sluice_add_file(p, t_path("no/such/directory"), NULL));
                t_chain(p);
                assert_int_equal(sluice_pipeline_run(p), -2);
                sluice_pipeline_free(p);
        }
        assert_int_equal(t_files(), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_thousand_runs),
                T_TEST(test_same_pipeline_again),
                T_TEST(test_failing_runs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
