/* relay_passes_connections_on.c: what comes in on one side goes out on the other, to its end, both ways; what is cut off is cut
 * off; and a relay ends as it is asked to, with nothing left. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sluice/relay.h>

#include "fixture.h"

enum { PATIENCE_S = 60, TURN_MS = 5 };

/* ---- a relay between two listeners ---- */

struct world {
        struct sluice_loop *loop;
        struct sluice_pool *pool;
        struct sluice_relay *relay;
        int listener, target; /* both listen; target -1: nobody does */
        struct sluice_address listens, targets[2];
        unsigned targets_nr;
        bool over;
        int result, events[4], last_error;
};

static void told(void *arg, enum sluice_relay_event_kind kind, int error)
{
        struct world *w = arg;

        w->events[kind]++;
        w->last_error = error;
}

static void ended(void *arg, int result)
{
        struct world *w = arg;

        w->over = true;
        w->result = result;
}

static struct sluice_address address_of(int fd)
{
        struct sluice_address a = { .bytes = sizeof(a.address) };

        assert_int_equal(getsockname(fd, (struct sockaddr *)&a.address, &a.bytes), 0);
        return a;
}

static void listen_both(struct world *w, bool unix_sockets)
{
        char text[32];

        *w = (struct world){ 0 };
        w->listener = unix_sockets ? t_listen_unix(t_path("l")) : t_listen(text, sizeof(text));
        w->target = unix_sockets ? t_listen_unix(t_path("t")) : t_listen(text, sizeof(text));
        w->listens = address_of(w->listener);
        w->targets[0] = address_of(w->target);
        w->targets_nr = 1;
}

#define START(w, ...)                                                                                                              \
        start(w, &(struct sluice_relay_options){ .size = sizeof(struct sluice_relay_options),                                      \
                                                 .listener = (w)->listener,                                                        \
                                                 .targets = (w)->targets,                                                          \
                                                 .targets_nr = (w)->targets_nr,                                                    \
                                                 .event = told,                                                                    \
                                                 .event_arg = (w),                                                                 \
                                                 __VA_ARGS__ })

static void start(struct world *w, const struct sluice_relay_options *opt)
{
        const struct sluice_pool_options pool = { .size = sizeof(pool) };
        struct sluice_loop_options loop = { .size = sizeof(loop), .exclusive = 1 };

        t_ok(sluice_pool_new(&w->pool, &pool));
        loop.pool = w->pool;
        t_ok(sluice_loop_new(&w->loop, &loop));
        t_ok(sluice_relay_start(&w->relay, w->loop, opt, ended, w));
}

static struct sluice_relay_stats stats(struct world *w)
{
        struct sluice_relay_stats s = { .size = sizeof(s) };

        t_ok(sluice_relay_stats(w->relay, &s));
        return s;
}

static void turn(struct world *w)
{
        assert_true(sluice_loop_turn(w->loop, TURN_MS) >= 0);
}

/* Turns are no measure: on a busy machine a turn moves little. */
#define UNTIL(w, condition)                                                                                                        \
        do {                                                                                                                       \
                for (time_t end_ = time(NULL) + PATIENCE_S; !(condition) && time(NULL) < end_;)                                    \
                        turn(w);                                                                                                   \
                assert_true(condition);                                                                                            \
        } while (0)

static void end(struct world *w, int expected)
{
        UNTIL(w, w->over);
        assert_int_equal(w->result, expected);
        assert_int_equal(stats(w).active, 0);
        sluice_relay_free(w->relay);
        sluice_loop_free(w->loop);
        sluice_pool_unref(w->pool);
        close(w->listener);
        if (w->target >= 0)
                close(w->target);
        unlink(t_path("l"));
        unlink(t_path("t"));
}

static int dial(struct world *w)
{
        int fd = socket(w->listens.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (struct sockaddr *)&w->listens.address, w->listens.bytes), 0);
        return fd;
}

/* The relay's connection at the target. */
static int take(struct world *w)
{
        struct pollfd p = { .fd = w->target, .events = POLLIN };
        int fd;

        UNTIL(w, poll(&p, 1, 0) == 1);
        fd = accept(w->target, NULL, NULL);
        assert_true(fd >= 0);
        return fd;
}

static bool readable(int fd)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, 0) == 1;
}

/* What a read of it gives once it has something to say: bytes, 0, or -errno. */
static int heard(struct world *w, int fd, void *data, size_t bytes)
{
        ssize_t n;

        UNTIL(w, readable(fd));
        n = recv(fd, data, bytes, MSG_DONTWAIT);
        return n < 0 ? -errno : (int)n;
}

static void say(int fd, const char *text)
{
        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hears(struct world *w, int fd, const char *text)
{
        char got[64] = "";

        for (size_t at = 0; at < strlen(text);) {
                int n = heard(w, fd, got + at, strlen(text) - at);

                assert_true(n > 0);
                at += (size_t)n;
        }
        assert_string_equal(got, text);
}

static void cut(int fd)
{
        const struct linger now = { .l_onoff = 1 };

        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        close(fd);
}

/* ---- both ways ---- */

/* One end: sends `bytes` of the pattern and its end, on a thread; reads to the end on another. */
struct side {
        pthread_t reads, writes;
        int fd;
        uint64_t bytes, got;
        int64_t mismatch;
        int error;
        bool answers; /* sends only when it has heard the end */
        atomic_int *running;
};

static void write_all(struct side *s)
{
        uint8_t data[16384];

        for (uint64_t at = 0; at < s->bytes;) {
                size_t n = s->bytes - at < sizeof(data) ? s->bytes - at : sizeof(data);

                t_pattern(data, n, at);
                for (size_t done = 0; done < n;) {
                        ssize_t r = send(s->fd, data + done, n - done, MSG_NOSIGNAL);

                        if (r < 0) {
                                s->error = errno;
                                return;
                        }
                        done += (size_t)r;
                }
                at += n;
        }
        shutdown(s->fd, SHUT_WR);
}

static void *writes(void *arg)
{
        struct side *s = arg;

        write_all(s);
        atomic_fetch_sub(s->running, 1);
        return NULL;
}

static void *reads(void *arg)
{
        struct side *s = arg;
        uint8_t data[32768];
        ssize_t n;

        while ((n = recv(s->fd, data, sizeof(data), 0)) > 0) {
                if (s->mismatch < 0)
                        s->mismatch = t_mismatch(data, (size_t)n, s->got);
                s->got += (uint64_t)n;
        }
        if (n < 0)
                s->error = errno;
        if (s->answers)
                write_all(s);
        atomic_fetch_sub(s->running, 1);
        return NULL;
}

static void go(struct side *s, int fd, uint64_t bytes, bool answers, atomic_int *running)
{
        *s = (struct side){ .fd = fd, .bytes = bytes, .mismatch = -1, .answers = answers, .running = running };
        atomic_fetch_add(running, answers ? 1 : 2);
        assert_int_equal(pthread_create(&s->reads, NULL, reads, s), 0);
        if (!answers)
                assert_int_equal(pthread_create(&s->writes, NULL, writes, s), 0);
}

static void came(struct side *s, uint64_t expected)
{
        pthread_join(s->reads, NULL);
        if (!s->answers)
                pthread_join(s->writes, NULL);
        assert_int_equal(s->error, 0);
        assert_int_equal(s->mismatch, -1);
        assert_int_equal(s->got, expected);
        close(s->fd);
}

static void passes(enum sluice_driver driver, uint64_t up, uint64_t down, bool unix_sockets, bool answers)
{
        static atomic_int running; /* its threads outlive a failed test */
        static struct side client, target;
        struct sluice_relay_stats s;
        struct world w;

        listen_both(&w, unix_sockets);
        START(&w, .driver = driver, .prefer = SLUICE_PREFER_RELAY_CPU);
        running = 0;
        go(&client, dial(&w), up, false, &running);
        go(&target, take(&w), down, answers, &running);
        UNTIL(&w, running == 0);
        came(&client, down);
        came(&target, up);
        UNTIL(&w, stats(&w).active == 0);
        s = stats(&w);
        assert_int_equal(s.bytes_up, up);
        assert_int_equal(s.bytes_down, down);
        assert_int_equal(s.bytes_spliced + s.bytes_copied, up + down);
        if (driver == SLUICE_DRIVER_COPY)
                assert_int_equal(s.bytes_spliced, 0);
        assert_int_equal(s.accepted, 1);
        sluice_relay_drain(w.relay);
        end(&w, 0);
}

static const enum sluice_driver drivers[] = { SLUICE_DRIVER_AUTO, SLUICE_DRIVER_INLINE, SLUICE_DRIVER_COPY };

static void every_driver(bool unix_sockets, bool answers)
{
        for (size_t i = 0; i < T_NR(drivers); i++) {
                passes(drivers[i], 0, 0, unix_sockets, answers);
                passes(drivers[i], 1, 70000, unix_sockets, answers);
                passes(drivers[i], 5 * T_MIB + 3, 3 * T_MIB + 1, unix_sockets, answers);
        }
}

static void test_tcp(void **state)
{
        (void)state;
        every_driver(false, false);
}

static void test_unix(void **state)
{
        (void)state;
        every_driver(true, false);
}

static void test_an_end_is_passed_on_by_itself(void **state)
{
        (void)state;
        every_driver(false, true);
        every_driver(true, true);
}

static void test_many_at_a_time(void **state)
{
        enum { MANY = 12 };
        struct side clients[MANY], targets[MANY];
        atomic_int running = 0;
        struct world w;

        (void)state;
        listen_both(&w, false);
        START(&w, .connections_max = 0);
        for (int i = 0; i < MANY; i++)
                go(&clients[i], dial(&w), 200000, false, &running);
        for (int i = 0; i < MANY; i++)
                go(&targets[i], take(&w), 100000, false, &running);
        UNTIL(&w, running == 0);
        for (int i = 0; i < MANY; i++) {
                came(&clients[i], 100000);
                came(&targets[i], 200000);
        }
        UNTIL(&w, stats(&w).active == 0);
        assert_int_equal(stats(&w).active_peak, MANY);
        sluice_relay_drain(w.relay);
        end(&w, 0);
}

/* ---- what is cut off ---- */

static void test_a_reset_is_passed_on(void **state)
{
        char c;

        (void)state;
        for (int from_client = 0; from_client < 2; from_client++) {
                struct world w;
                int client, target;

                listen_both(&w, false);
                START(&w, .connections_max = 0);
                client = dial(&w);
                target = take(&w);
                say(client, "one");
                hears(&w, target, "one");
                say(target, "two");
                hears(&w, client, "two");
                cut(from_client ? client : target);
                assert_int_equal(heard(&w, from_client ? target : client, &c, 1), -ECONNRESET);
                close(from_client ? target : client);
                UNTIL(&w, stats(&w).active == 0);
                assert_int_equal(w.events[SLUICE_RELAY_RESET], 1);
                assert_int_equal(w.last_error, -ECONNRESET);
                sluice_relay_drain(w.relay);
                end(&w, 0);
        }
}

/* A port that nobody has: bound, and not listened on. */
static int bound(struct sluice_address *ret)
{
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
        *ret = address_of(fd);
        return fd;
}

/* Which the relay is told of by a write, before it reads: what it reads then is an end. */
static void a_reset_met_by_a_write(bool of_the_target, enum sluice_driver driver)
{
        struct world w;
        int client, target, cuts, other;
        char c;

        listen_both(&w, false);
        START(&w, .driver = driver);
        client = dial(&w);
        target = take(&w);
        say(client, "hello");
        hears(&w, target, "hello");
        cuts = of_the_target ? target : client;
        other = of_the_target ? client : target;
        say(other, "more");
        cut(cuts);
        assert_int_equal(heard(&w, other, &c, 1), -ECONNRESET);
        UNTIL(&w, stats(&w).active == 0);
        assert_int_equal(stats(&w).reset, 1);
        close(other);
        sluice_relay_drain(w.relay);
        end(&w, 0);
}

static void test_a_reset_that_a_write_meets_is_passed_on(void **state)
{
        (void)state;
        for (int i = 0; i < 2; i++) {
                a_reset_met_by_a_write(i, SLUICE_DRIVER_COPY);
                a_reset_met_by_a_write(i, SLUICE_DRIVER_INLINE);
        }
}

static void test_where_nobody_listens_the_client_is_reset(void **state)
{
        struct world w;
        int client, nobody;
        char c;

        (void)state;
        listen_both(&w, false);
        nobody = bound(&w.targets[0]);
        START(&w, .connections_max = 0);
        client = dial(&w);
        assert_int_equal(heard(&w, client, &c, 1), -ECONNRESET);
        UNTIL(&w, stats(&w).active == 0);
        assert_int_equal(stats(&w).connect_failed, 1);
        assert_int_equal(w.last_error, -ECONNREFUSED);
        close(client);
        close(nobody);
        sluice_relay_drain(w.relay);
        end(&w, 0);
}

/* Of two targets the first is none; the connection is made with the second, and nothing is said to have failed. */
static void the_second_is_used(struct world *w)
{
        int client, target;

        START(w, .connections_max = 0);
        client = dial(w);
        target = take(w);
        say(client, "hello");
        hears(w, target, "hello");
        assert_int_equal(stats(w).connect_failed, 0);
        close(client);
        close(target);
        UNTIL(w, stats(w).active == 0);
        sluice_relay_drain(w->relay);
        end(w, 0);
}

static void listen_behind_another(struct world *w)
{
        listen_both(w, false);
        w->targets[1] = w->targets[0];
        w->targets_nr = 2;
}

static void test_the_next_address_is_tried(void **state)
{
        struct world w;
        int nobody;

        (void)state;
        listen_behind_another(&w);
        nobody = bound(&w.targets[0]);
        the_second_is_used(&w);
        close(nobody);
}

static void test_so_it_is_after_one_of_a_family_that_is_not_here(void **state)
{
        struct world w;

        (void)state;
        listen_behind_another(&w);
        w.targets[0].address.ss_family = AF_MAX; /* what socket(2) says of IPv6 where there is none */
        the_second_is_used(&w);
}

/* A connect to it on a socket that does not block answers EAGAIN, by the ring too. */
static void test_a_unix_target_whose_queue_is_full_is_waited_for(void **state)
{
        int clients[5], targets[5];
        struct world w;

        (void)state;
        listen_both(&w, true);
        assert_int_equal(listen(w.target, 0), 0); /* room for one */
        START(&w, .connections_max = 0);
        for (size_t i = 0; i < T_NR(clients); i++)
                clients[i] = dial(&w);
        UNTIL(&w, stats(&w).active == T_NR(clients));
        for (int i = 0; i < 20; i++)
                turn(&w);
        assert_int_equal(stats(&w).active, T_NR(clients));
        for (size_t i = 0; i < T_NR(clients); i++)
                targets[i] = take(&w);
        assert_int_equal(stats(&w).connect_failed, 0);
        for (size_t i = 0; i < T_NR(clients); i++) {
                close(clients[i]);
                close(targets[i]);
        }
        UNTIL(&w, stats(&w).active == 0);
        sluice_relay_drain(w.relay);
        end(&w, 0);
}

static void test_one_in_which_nothing_moves_is_reset(void **state)
{
        struct world w;
        int client, target;
        char c;

        (void)state;
        listen_both(&w, false);
        START(&w, .idle_timeout_ms = 100);
        client = dial(&w);
        target = take(&w);
        assert_int_equal(heard(&w, client, &c, 1), -ECONNRESET);
        assert_int_equal(heard(&w, target, &c, 1), -ECONNRESET);
        UNTIL(&w, stats(&w).active == 0);
        assert_int_equal(stats(&w).idle, 1);
        assert_int_equal(stats(&w).reset, 0);
        close(client);
        close(target);
        sluice_relay_drain(w.relay);
        end(&w, 0);
}

/* ---- bounds ---- */

static void test_no_more_than_allowed_at_a_time(void **state)
{
        struct world w;
        int first, second, target;

        (void)state;
        listen_both(&w, false);
        START(&w, .connections_max = 1);
        first = dial(&w);
        target = take(&w);
        second = dial(&w);
        say(second, "later");
        say(first, "now");
        hears(&w, target, "now");
        assert_false(readable(w.target));
        assert_int_equal(stats(&w).accepted, 1);
        close(first);
        close(target);
        target = take(&w);
        hears(&w, target, "later");
        assert_int_equal(stats(&w).active_peak, 1);
        close(second);
        close(target);
        UNTIL(&w, stats(&w).active == 0);
        sluice_relay_drain(w.relay);
        end(&w, 0);
}

/* Those that come meanwhile wait in the kernel; none is lost, and no CPU burnt. */
static void test_without_descriptors_it_waits(void **state)
{
        struct rlimit before, few;
        struct world w;
        int client, target;

        (void)state;
        listen_both(&w, false);
        START(&w, .connections_max = 0);
        turn(&w);
        client = dial(&w);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        few = before;
        few.rlim_cur = 3; /* what is open stays so */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        UNTIL(&w, w.events[SLUICE_RELAY_PAUSED] > 0);
        assert_int_equal(w.last_error, -EMFILE);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        target = take(&w);
        say(client, "still here");
        hears(&w, target, "still here");
        close(client);
        close(target);
        UNTIL(&w, stats(&w).active == 0);
        sluice_relay_drain(w.relay);
        end(&w, 0);
}

static uint64_t lent_bytes(struct world *w)
{
        struct sluice_pool_stats s = { .size = sizeof(s) };

        t_ok(sluice_pool_stats(w->pool, &s));
        return s.lent_bytes;
}

/* Pipes are kept by the loop for the next that needs one, a few; not by connections. */
static void test_an_idle_connection_holds_nothing(void **state)
{
        enum { MANY = 40, PIPES_KEPT = 2 };
        int clients[MANY], targets[MANY], fds;
        struct world w;

        (void)state;
        for (size_t d = 0; d < T_NR(drivers); d++) {
                listen_both(&w, false);
                START(&w, .driver = drivers[d], .prefer = SLUICE_PREFER_RELAY_CPU);
                turn(&w);
                fds = t_fds();
                for (int i = 0; i < MANY; i++) {
                        clients[i] = dial(&w);
                        targets[i] = take(&w);
                        say(clients[i], "ping");
                        hears(&w, targets[i], "ping");
                        say(targets[i], "pong");
                        hears(&w, clients[i], "pong");
                }
                turn(&w);
                assert_int_equal(lent_bytes(&w), 0);
                assert_true(t_fds() <= fds + 4 * MANY + 2 * PIPES_KEPT);
                for (int i = 0; i < MANY; i++) {
                        close(clients[i]);
                        close(targets[i]);
                }
                UNTIL(&w, stats(&w).active == 0);
                sluice_relay_drain(w.relay);
                end(&w, 0);
        }
}

/* ---- the end of it ---- */

static void test_what_it_has_may_end_by_itself(void **state)
{
        struct world w;
        int client, target;

        (void)state;
        listen_both(&w, false);
        START(&w, .connections_max = 0);
        client = dial(&w);
        target = take(&w);
        sluice_relay_drain(w.relay);
        say(client, "still");
        hears(&w, target, "still");
        assert_false(w.over);
        assert_int_equal(stats(&w).active, 1);
        close(client);
        close(target);
        end(&w, 0);
}

/* They were made before the listener had the relay's options. */
static void test_who_waited_before_it_began_is_reset_too(void **state)
{
        struct world w;
        int client, target;
        char c;

        (void)state;
        listen_both(&w, false);
        client = dial(&w);
        START(&w, .connections_max = 0);
        target = take(&w);
        sluice_relay_cancel(w.relay);
        UNTIL(&w, w.over);
        assert_int_equal(heard(&w, client, &c, 1), -ECONNRESET);
        close(client);
        close(target);
        end(&w, -ECANCELED);
}

static void test_or_is_reset(void **state)
{
        struct world w;
        int client, target, waiting;
        char c;

        (void)state;
        listen_both(&w, false);
        START(&w, .connections_max = 1);
        client = dial(&w);
        target = take(&w);
        waiting = dial(&w);
        sluice_relay_cancel(w.relay);
        UNTIL(&w, w.over);
        assert_int_equal(heard(&w, client, &c, 1), -ECONNRESET);
        assert_int_equal(heard(&w, target, &c, 1), -ECONNRESET);
        close(client);
        close(target);
        close(waiting);
        end(&w, -ECANCELED);
}

static void test_while_it_connects(void **state)
{
        struct world w;
        int client;

        (void)state;
        listen_both(&w, false);
        START(&w, .connections_max = 0);
        client = dial(&w);
        UNTIL(&w, stats(&w).accepted == 1);
        sluice_relay_cancel(w.relay);
        end(&w, -ECANCELED);
        close(client);
}

/* ---- the PROXY protocol ---- */

static void test_the_target_is_told_who_it_is(void **state)
{
        static const uint8_t signature[] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51,
                                             0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0,    12 };
        struct sluice_address self;
        char text[128], expected[128];
        uint8_t binary[28];
        int client, target;
        struct world w;

        (void)state;
        for (unsigned version = 1; version <= 2; version++) {
                listen_both(&w, false);
                START(&w, .proxy_version = version);
                client = dial(&w);
                self = address_of(client);
                const unsigned from = ntohs(((struct sockaddr_in *)&self.address)->sin_port);
                const unsigned to = ntohs(((struct sockaddr_in *)&w.listens.address)->sin_port);

                target = take(&w);
                say(client, "after it");
                if (version == 1) {
                        snprintf(expected, sizeof(expected), "PROXY TCP4 127.0.0.1 127.0.0.1 %u %u\r\n", from, to);
                        memset(text, 0, sizeof(text));
                        assert_int_equal(heard(&w, target, text, strlen(expected)), strlen(expected));
                        assert_string_equal(text, expected);
                } else {
                        assert_int_equal(heard(&w, target, binary, sizeof(binary)), sizeof(binary));
                        assert_memory_equal(binary, signature, sizeof(signature));
                        assert_int_equal(binary[24] << 8 | binary[25], from);
                        assert_int_equal(binary[26] << 8 | binary[27], to);
                }
                hears(&w, target, "after it");
                close(client);
                close(target);
                UNTIL(&w, stats(&w).active == 0);
                sluice_relay_drain(w.relay);
                end(&w, 0);
        }
}

/* ---- calls that fail ---- */

static void test_wrong_options_change_nothing(void **state)
{
        struct sluice_relay *relay = NULL;
        struct sluice_loop *loop;
        struct world w;

        (void)state;
        listen_both(&w, false);
        const struct sluice_relay_options good = {
                .size = sizeof(good), .listener = w.listener, .targets = w.targets, .targets_nr = 1
        };
        struct sluice_relay_options bad[8];

        for (size_t i = 0; i < T_NR(bad); i++)
                bad[i] = good;
        bad[0].size--;
        bad[1].targets_nr = 0;
        bad[2].proxy_version = 3;
        bad[3].driver = SLUICE_DRIVER_RING;
        bad[4].idle_timeout_ms = -1;
        bad[5].prefer = (enum sluice_prefer)9;
        bad[6].listener = -1;
        bad[7].listener = STDERR_FILENO;
        t_ok(sluice_loop_new(&loop, NULL));
        for (size_t i = 0; i < T_NR(bad); i++)
                assert_int_equal(sluice_relay_start(&relay, loop, &bad[i], ended, &w), -EINVAL);
        assert_int_equal(sluice_relay_start(&relay, loop, &good, NULL, &w), -EINVAL);
        bad[7].listener = 999;
        assert_int_equal(sluice_relay_start(&relay, loop, &bad[7], ended, &w), -EBADF);
        assert_null(relay);
        sluice_relay_free(NULL);
        sluice_loop_free(loop);
        close(w.listener);
        close(w.target);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_tcp),
                T_TEST(test_unix),
                T_TEST(test_an_end_is_passed_on_by_itself),
                T_TEST(test_many_at_a_time),
                T_TEST(test_a_reset_is_passed_on),
                T_TEST(test_a_reset_that_a_write_meets_is_passed_on),
                T_TEST(test_where_nobody_listens_the_client_is_reset),
                T_TEST(test_the_next_address_is_tried),
                T_TEST(test_so_it_is_after_one_of_a_family_that_is_not_here),
                T_TEST(test_a_unix_target_whose_queue_is_full_is_waited_for),
                T_TEST(test_one_in_which_nothing_moves_is_reset),
                T_TEST(test_no_more_than_allowed_at_a_time),
                T_TEST(test_without_descriptors_it_waits),
                T_TEST(test_an_idle_connection_holds_nothing),
                T_TEST(test_what_it_has_may_end_by_itself),
                T_TEST(test_who_waited_before_it_began_is_reset_too),
                T_TEST(test_or_is_reset),
                T_TEST(test_while_it_connects),
                T_TEST(test_the_target_is_told_who_it_is),
                T_TEST(test_wrong_options_change_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
