/* functions_may_block.c: a function on a thread of its own reads and writes at its leisure; next to a file or a socket it has
 * that very fd; whatever it waits for, a cancel reaches it; a line that is too long is an error that says which; and the calls
 * that do not copy between functions do over fds what they do there. */
#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts.h"

/* ---- a peer that answers with what it was sent, once it has seen its end ---- */

struct echo {
        pthread_t thread;
        int listener;
        size_t bytes;
};

static void *echo_main(void *arg)
{
        struct echo *e = arg;
        int fd = accept(e->listener, NULL, NULL);
        uint8_t *data = malloc(e->bytes);
        size_t got = 0;
        char more;

        while (got < e->bytes) {
                ssize_t n = recv(fd, data + got, e->bytes - got, 0);

                if (n <= 0)
                        break;
                got += (size_t)n;
        }
        if (recv(fd, &more, 1, 0) == 0)
                for (size_t at = 0; at < got;) {
                        ssize_t n = send(fd, data + at, got - at, MSG_NOSIGNAL);

                        if (n <= 0)
                                break;
                        at += (size_t)n;
                }
        free(data);
        close(fd);
        close(e->listener);
        return NULL;
}

static void echo_begin(struct echo *e, int listener, size_t bytes)
{
        *e = (struct echo){ .listener = listener, .bytes = bytes };
        assert_int_equal(pthread_create(&e->thread, NULL, echo_main, e), 0);
}

/* ---- functions ---- */

/* More than a stack of half a MiB has room for, on every thread of this program. */
static _Thread_local char much[2 * T_MIB];

static int capitals(void *arg, struct sluice_stream *io)
{
        char *line = much;
        ssize_t n;

        (void)arg;
        while ((n = sluice_readline(io, line, 256)) > 0) {
                for (ssize_t i = 0; i < n; i++)
                        line[i] = (char)toupper((unsigned char)line[i]);
                n = sluice_write(io, line, (size_t)n);
                if (n < 0)
                        return (int)n;
        }
        return (int)n;
}

static int copy(void *arg, struct sluice_stream *io)
{
        static _Thread_local char data[100000]; /* no power of two: pieces do not fit into pipes */
        ssize_t n;

        if (arg)
                ++*(int *)arg;
        while ((n = sluice_read(io, data, sizeof(data))) > 0) {
                n = sluice_write(io, data, (size_t)n);
                if (n < 0)
                        break;
        }
        return (int)n;
}

static int pattern(void *arg, struct sluice_stream *io)
{
        uint64_t bytes = *(const uint64_t *)arg;
        uint8_t data[7777];

        for (uint64_t at = 0; at < bytes; at += sizeof(data)) {
                size_t n = bytes - at < sizeof(data) ? (size_t)(bytes - at) : sizeof(data);
                ssize_t r;

                t_pattern(data, n, at);
                r = sluice_write(io, data, n);
                if (r < 0)
                        return (int)r;
                assert_int_equal(r, n);
        }
        return 0;
}

static int fails(void *arg, struct sluice_stream *io)
{
        (void)io;
        return *(const int *)arg;
}

/* Reads on behind a line that is too long, and counts. */
static int long_lines(void *arg, struct sluice_stream *io)
{
        uint64_t *too_long = arg;
        char line[11];
        ssize_t n;

        while ((n = sluice_readline(io, line, sizeof(line))) != 0) {
                if (n == -EMSGSIZE)
                        *too_long++ = sluice_line_number(io);
                else if (n < 0)
                        return (int)n;
                if (n == -EMSGSIZE && sluice_read(io, line, 10) < 0)
                        return -EIO;
        }
        return 0;
}

/* Ends with the first line that is too long for it. */
static int refuse_long_lines(void *arg, struct sluice_stream *io)
{
        char line[11];
        ssize_t n;

        (void)arg;
        while ((n = sluice_readline(io, line, sizeof(line))) > 0)
                continue;
        return (int)n;
}

/* The same as copy(), by the calls that do not copy between functions. */
static int pass(void *arg, struct sluice_stream *io)
{
        const void *data;
        ssize_t n;

        (void)arg;
        while ((n = sluice_acquire(io, &data)) > 0) {
                int r = sluice_pass(io, n > 1 ? (size_t)n / 2 : 1);

                r = r < 0 ? r : sluice_flush(io);
                if (r < 0)
                        return r;
        }
        return (int)n;
}

static int put_pattern(void *arg, struct sluice_stream *io)
{
        uint64_t bytes = *(const uint64_t *)arg;

        for (uint64_t at = 0; at < bytes;) {
                void *data;
                ssize_t n = sluice_reserve(io, &data);
                int r;

                if (n < 0)
                        return (int)n;
                assert_true(n >= 65536);
                n = (uint64_t)n < bytes - at ? n : (ssize_t)(bytes - at);
                t_pattern(data, (size_t)n, at);
                r = sluice_put(io, (size_t)n);
                if (r < 0)
                        return r;
                at += (uint64_t)n;
        }
        return 0;
}

/* Lines, leases and reads of one input see every byte once. */
static int by_turns(void *arg, struct sluice_stream *io)
{
        char line[80];
        const void *data;
        ssize_t n;

        (void)arg;
        for (;;) {
                n = sluice_readline(io, line, sizeof(line));
                if (n <= 0 || (n = sluice_write(io, line, (size_t)n)) < 0)
                        return (int)n;
                n = sluice_acquire(io, &data); /* a look, that is all */
                n = n <= 0 ? n : sluice_read(io, line, 3);
                if (n <= 0 || (n = sluice_write(io, line, (size_t)n)) < 0)
                        return (int)n;
                n = sluice_acquire(io, &data);
                if (n <= 0)
                        return (int)n;
                n = sluice_pass(io, n < 5 ? (size_t)n : 5);
                if (n < 0)
                        return (int)n;
        }
}

/* ---- data ---- */

static void test_lines(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_sh(p, "printf 'one\\ntwo\\nthree'", NULL);
        t_ok(sluice_add_function(p, capitals, NULL, "capitals"));
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "ONE\nTWO\nTHREE");
}

static void test_files_themselves(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), 3 * T_MIB + 17);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_function(p, copy, NULL, NULL));
        t_ok(sluice_add_function(p, copy, NULL, NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), SLUICE_LINK_DIRECT);
        assert_int_equal(sluice_pipeline_link_mode(p, 1), SLUICE_LINK_HANDOVER);
        assert_int_equal(sluice_pipeline_link_mode(p, 2), SLUICE_LINK_DIRECT);
        sluice_pipeline_free(p);
        t_check_file(t_path("b"), 3 * T_MIB + 17, 0);
}

/* Beside commands, functions on the loop, and what the engine moves. */
static void test_neighbours(void **state)
{
        uint64_t bytes = 5 * T_MIB + 3;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(p, pattern, &bytes, "pattern"));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_function(p, copy, NULL, NULL));
        t_ok(sluice_add_count(p));
        t_ok(sluice_add_function(p, copy, NULL, NULL));
        t_ok(sluice_add_file(p, t_path("out"), T_FILE(.flags = SLUICE_FILE_OBSERVE)));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("out"), bytes, 0);
}

/* Over files and pipes the calls that hand over read and write. */
static void test_leases_over_fds(void **state)
{
        uint64_t bytes = 3 * T_MIB + 17;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), bytes);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_function(p, pass, NULL, NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_function(p, pass, NULL, NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("b"), bytes, 0);

        p = t_new(NULL);
        t_ok(sluice_add_function(p, put_pattern, &bytes, NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("c"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("c"), bytes, 0);
}

static char *numbered_lines(size_t bytes)
{
        char *text = malloc(bytes + 16);
        size_t at = 0;

        for (int i = 0; at < bytes; i++)
                at += (size_t)sprintf(text + at, "%d\n", i * i);
        return text;
}

static void test_reads_by_turns(void **state)
{
        char *text = numbered_lines(300000);

        (void)state;
        for (int on_ring = 0; on_ring < 2; on_ring++) {
                struct sluice_pipeline *p = t_new(NULL);

                t_ok(sluice_add_memory(p, text, strlen(text)));
                if (!on_ring)
                        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
                t_ok(sluice_add_function(p, by_turns, NULL, NULL));
                t_ok(sluice_pipeline_chain(p));
                t_says(p, text);
        }
        free(text);
}

/* ---- sockets: the thread has the socket itself; the half-close is its stage's ---- */

static void test_writes_a_socket(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        uint64_t bytes = 5 * T_MIB + 1;
        struct t_peer peer = { 0 };

        (void)state;
        t_reader(&peer, -1, t_listen_unix(t_path("s")));
        t_ok(sluice_add_function(p, put_pattern, &bytes, NULL));
        t_ok(sluice_add_unix(p, t_path("s"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), SLUICE_LINK_DIRECT);
        sluice_pipeline_free(p);
        t_join_exact(&peer, bytes);
}

static void test_reads_a_socket(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct t_peer peer = { 0 };
        char address[32];
        int listener = t_listen(address, sizeof(address));

        (void)state;
        t_writer(&peer, -1, listener, 5 * T_MIB + 1);
        t_ok(sluice_add_tcp(p, address, NULL));
        t_ok(sluice_add_function(p, pass, NULL, NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), SLUICE_LINK_DIRECT);
        sluice_pipeline_free(p);
        t_join(&peer);
        t_check_file(t_path("b"), 5 * T_MIB + 1, 0);
}

/* A process that may not have it does not get it for that. */
static void test_a_process_does_not_get_the_socket(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_ok(sluice_add_tcp(p, "127.0.0.1:1", NULL));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), SLUICE_LINK_SPLICE);
        sluice_pipeline_free(p);
}

/* A thread writes and another reads one connection, whose peer answers after the end of what it was sent. */
static void test_both_sides_of_a_socket(void **state)
{
        uint64_t bytes = 2 * T_MIB;
        struct sluice_pipeline *p = t_new(NULL);
        struct echo echo;

        (void)state;
        echo_begin(&echo, t_listen_unix(t_path("s")), bytes);
        t_ok(sluice_add_function(p, pattern, &bytes, NULL));
        t_ok(sluice_add_unix(p, t_path("s"), NULL));
        t_ok(sluice_add_function(p, copy, NULL, NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        pthread_join(echo.thread, NULL);
        t_check_file(t_path("b"), bytes, 0);
}

static void test_cancelled_at_a_silent_socket(void **state)
{
        uint64_t endless = UINT64_MAX / 2;
        int silent = t_listen_unix(t_path("s")); /* connected to, and never accepted from */
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 50, .grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_unix(p, t_path("s"), NULL));
        t_ok(sluice_add_function(p, pass, NULL, NULL));
        t_chain(p);
        t_run_free(p, -ETIMEDOUT);
        p = t_new(T_OPTIONS(.timeout_ms = 50, .grace_ms = T_GRACE_MS));
        t_ok(sluice_add_function(p, pattern, &endless, NULL));
        t_ok(sluice_add_unix(p, t_path("s"), NULL));
        t_chain(p);
        t_run_free(p, -ETIMEDOUT);
        close(silent);
        unlink(t_path("s"));
}

/* ---- ends ---- */

struct reading {
        const struct sluice_pipeline *p;
        atomic_bool called;
};

static int copy_when_called(void *arg, struct sluice_stream *io)
{
        struct reading *r = arg;

        atomic_store(&r->called, true);
        return copy(NULL, io);
}

static bool is_reading(void *arg)
{
        struct reading *r = arg;

        return atomic_load(&r->called) && sluice_pipeline_stage_pid(r->p, 0) >= 0;
}

static void test_cancelled_while_it_reads(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct reading reading = { .p = p };

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        t_ok(sluice_add_function(p, copy_when_called, &reading, NULL));
        t_chain(p);
        t_run_and_stop(p, is_reading, &reading);
        t_verdict(p, 1, SLUICE_VERDICT_ENDED);
        sluice_pipeline_free(p);
}

static void test_cancelled_while_it_writes(void **state)
{
        uint64_t endless = UINT64_MAX / 2;
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 50, .grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_function(p, pattern, &endless, NULL));
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        t_chain(p);
        t_run_free(p, -ETIMEDOUT);
}

static void test_reader_that_has_enough(void **state)
{
        uint64_t endless = UINT64_MAX / 2;
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK));

        (void)state;
        t_ok(sluice_add_function(p, pattern, &endless, NULL));
        t_ok(sluice_add_command(p, T_ARGV("head", "-c", "5"), NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, 0);
        t_verdict(p, 0, SLUICE_VERDICT_PIPE);
        assert_true(t_result(p, 0).excused);
        sluice_pipeline_free(p);
}

static void test_finish_early_excuses(void **state)
{
        int early = SLUICE_FINISH_EARLY;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_function(p, fails, &early, NULL));
        t_chain(p);
        t_run(p, 0);
        t_verdict(p, 1, SLUICE_VERDICT_EARLY);
        sluice_pipeline_free(p);
}

/* ---- errors ---- */

static void test_its_error_is_the_result(void **state)
{
        int error = -ENOTUNIQ;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(p, fails, &error, "picky"));
        t_ok(sluice_add_file(p, t_path("x"), T_FILE(.flags = SLUICE_FILE_ATOMIC)));
        t_chain(p);
        t_run(p, -ENOTUNIQ);
        assert_int_equal(t_failure(p).stage, 0);
        assert_non_null(strstr(sluice_pipeline_error(p), "picky"));
        sluice_pipeline_free(p);
        assert_false(t_exists(t_path("x"))); /* a cut stream replaces nothing */
}

/* It writes the file itself: what it sees is exact. */
static void test_full_disk(void **state)
{
        uint64_t bytes = T_MIB;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(p, pattern, &bytes, NULL));
        t_ok(sluice_add_file(p, "/dev/full", NULL));
        t_chain(p);
        t_run(p, -ENOSPC);
        assert_false(t_failure(p).inferred);
        sluice_pipeline_free(p);
}

static void test_long_lines(void **state)
{
        static const char text[] = "short\n0123456789abcdef\nok\n0123456789\nlast";
        uint64_t too_long[8] = { 0 };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_memory(p, text, sizeof(text) - 1));
        t_ok(sluice_add_function(p, long_lines, too_long, NULL));
        t_chain(p);
        t_run_free(p, 0);
        assert_int_equal(too_long[0], 2);
        assert_int_equal(too_long[1], 4); /* ten bytes and the newline: eleven */
        assert_int_equal(too_long[2], 0);
}

/* ---- on a loop, many times ---- */

static void done(void *arg, int result)
{
        *(int *)arg = result;
}

static void test_plan_on_a_shared_loop(void **state)
{
        enum { RUNS = 20 };
        int calls = 0, results[RUNS], left = RUNS;
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_plan *plan;
        struct sluice_loop *l;

        (void)state;
        t_ok(sluice_add_generate(p, 100000));
        t_ok(sluice_add_function(p, copy, &calls, NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        assert_int_equal(sluice_plan_new(&plan, p), 0);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        for (int i = 0; i < RUNS; i++) { /* one after the other: `calls` is one thread's at a time */
                results[i] = 1;
                assert_int_equal(sluice_plan_start(plan, l, NULL, 0, done, &results[i]), 0);
                while (results[i] == 1)
                        assert_true(sluice_loop_turn(l, 1000) >= 0);
                left -= results[i] == 0;
        }
        assert_int_equal(left, 0);
        assert_int_equal(calls, RUNS);
        sluice_loop_free(l);
        sluice_plan_free(plan);
        sluice_pipeline_free(p);
}

static int wait_for_input(void *arg, struct sluice_stream *io)
{
        char byte;

        (void)arg;
        return (int)sluice_read(io, &byte, 1);
}

/* A thread has no process: what the host has started is none of its own. By every means, cancelled and failed. */
static void test_the_hosts_children_are_spared(void **state)
{
        static const enum sluice_contain means[] = { SLUICE_CONTAIN_AUTO, SLUICE_CONTAIN_WALK, SLUICE_CONTAIN_NONE };
        pid_t child = fork();
        int status;

        (void)state;
        if (child == 0) {
                execlp("sleep", "sleep", "1000", (char *)NULL);
                _exit(127);
        }
        assert_true(child > 0);
        for (size_t i = 0; i < 2 * T_NR(means); i++) {
                struct sluice_pipeline *p =
                        t_new(T_OPTIONS(.contain = means[i / 2], .grace_ms = T_GRACE_MS, .timeout_ms = i % 2 ? 0 : T_GRACE_MS));

                t_ok(sluice_add_command(p, i % 2 ? T_ARGV("false") : T_ARGV("sleep", "1000"), NULL));
                t_ok(sluice_add_function(p, wait_for_input, NULL, NULL));
                t_ok(sluice_add_command(p, i % 2 ? T_ARGV("sh", "-c", "exec <&-; exit 3") : T_ARGV("sleep", "1000"), NULL));
                t_chain(p);
                assert_true(sluice_pipeline_run(p) < 0);
                sluice_pipeline_free(p);
                assert_int_equal(waitpid(child, &status, WNOHANG), 0);
        }
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* The failure says which line it was. */
static void test_long_line_is_named(void **state)
{
        const char text[] = "short\nshort\nlonger than ten\nshort\n";
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_memory(p, text, strlen(text)));
        t_ok(sluice_add_function(p, refuse_long_lines, NULL, "ten"));
        t_chain(p);
        t_run(p, -EMSGSIZE);
        assert_string_equal(sluice_pipeline_error(p), "ten: Message too long: line 3 is longer than it takes");
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_lines),
                T_TEST(test_files_themselves),
                T_TEST(test_neighbours),
                T_TEST(test_leases_over_fds),
                T_TEST(test_reads_by_turns),
                T_TEST(test_writes_a_socket),
                T_TEST(test_reads_a_socket),
                T_TEST(test_a_process_does_not_get_the_socket),
                T_TEST(test_both_sides_of_a_socket),
                T_TEST(test_cancelled_at_a_silent_socket),
                T_TEST(test_cancelled_while_it_reads),
                T_TEST(test_cancelled_while_it_writes),
                T_TEST(test_reader_that_has_enough),
                T_TEST(test_finish_early_excuses),
                T_TEST(test_its_error_is_the_result),
                T_TEST(test_full_disk),
                T_TEST(test_long_lines),
                T_TEST(test_long_line_is_named),
                T_TEST(test_plan_on_a_shared_loop),
                T_TEST(test_the_hosts_children_are_spared),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
