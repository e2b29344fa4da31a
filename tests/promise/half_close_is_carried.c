/* half_close_is_carried.c: a connection between two stages sends what comes in, shuts down its sending side at the end,
 * and gives what the peer answers, also a peer that answers only after the end of stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

struct echo {
        pthread_t thread;
        int listener;
        bool at_once;
        size_t bytes, cap;
        uint8_t *data;
};

static bool send_all(int fd, const uint8_t *data, size_t bytes)
{
        for (size_t at = 0; at < bytes;) {
                ssize_t n = send(fd, data + at, bytes - at, MSG_NOSIGNAL);

                if (n <= 0)
                        return false;
                at += (size_t)n;
        }
        return true;
}

/* Says what it heard, once it has heard the end; or as it comes. */
static void *echo_main(void *arg)
{
        struct echo *e = arg;
        int fd = accept(e->listener, NULL, NULL);
        ssize_t n;

        close(e->listener);
        e->data = malloc(e->cap);
        while (fd >= 0 && e->bytes < e->cap && (n = recv(fd, e->data + e->bytes, e->cap - e->bytes, 0)) > 0) {
                if (e->at_once)
                        send_all(fd, e->data + e->bytes, (size_t)n);
                e->bytes += (size_t)n;
        }
        if (!e->at_once)
                send_all(fd, e->data, e->bytes);
        free(e->data);
        close(fd);
        return NULL;
}

static void echoed(enum sluice_driver driver, size_t bytes, bool unix_socket, bool at_once)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        struct echo e = { .cap = bytes + 1, .at_once = at_once };
        char address[32];

        t_make(t_path("a"), bytes);
        e.listener = unix_socket ? t_listen_unix(t_path("s")) : t_listen(address, sizeof(address));
        assert_int_equal(pthread_create(&e.thread, NULL, echo_main, &e), 0);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(unix_socket ? sluice_add_unix(p, t_path("s"), NULL) : sluice_add_tcp(p, address, NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        for (int i = 0; i < 2; i++)
                assert_int_equal(t_stats(p, i).bytes.value, bytes);
        sluice_pipeline_free(p);
        pthread_join(e.thread, NULL);
        t_check_file(t_path("b"), bytes, 0);
        unlink(t_path("s"));
}

static void every(bool unix_socket, bool at_once)
{
        static const size_t sizes[] = { 0, 1, 65537, 3 * T_MIB + 1 };

        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (size_t i = 0; i < T_NR(sizes); i++)
                        echoed(t_drivers[d], sizes[i], unix_socket, at_once);
}

static void test_tcp_answers_afterwards(void **state)
{
        (void)state;
        every(false, false);
}

static void test_tcp_answers_at_once(void **state)
{
        (void)state;
        every(false, true);
}

static void test_unix_answers_afterwards(void **state)
{
        (void)state;
        every(true, false);
}

static void test_unix_answers_at_once(void **state)
{
        (void)state;
        every(true, true);
}

/* With commands around it. */
static void test_between_commands(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct echo e = { .cap = 200000 };
        char address[32];

        (void)state;
        t_make(t_path("a"), 100000);
        e.listener = t_listen(address, sizeof(address));
        assert_int_equal(pthread_create(&e.thread, NULL, echo_main, &e), 0);
        t_ok(sluice_add_command(p, T_ARGV("cat", (char *)(uintptr_t)t_path("a")), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        pthread_join(e.thread, NULL);
        t_check_file(t_path("b"), 100000, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_tcp_answers_afterwards), T_TEST(test_tcp_answers_at_once), T_TEST(test_unix_answers_afterwards),
                T_TEST(test_unix_answers_at_once),   T_TEST(test_between_commands),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
