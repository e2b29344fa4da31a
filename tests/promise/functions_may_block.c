/* functions_may_block.c: a function on a thread of its own reads and writes at its leisure; next to a file it has that very
 * file; whatever it waits for, a cancel reaches it; and a line that is too long is an error that says which. */
#include <ctype.h>

#include "parts.h"

/* ---- functions ---- */

static int capitals(void *arg, struct sluice_stream *io)
{
        char line[256];
        ssize_t n;

        (void)arg;
        while ((n = sluice_readline(io, line, sizeof(line))) > 0) {
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
        assert_int_equal(sluice_pipeline_link_mode(p, 1), SLUICE_LINK_PIPE);
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

/* ---- ends ---- */

static void test_cancelled_while_it_reads(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 50, .grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        t_ok(sluice_add_function(p, copy, NULL, NULL));
        t_chain(p);
        t_run(p, -ETIMEDOUT);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_lines),
                T_TEST(test_files_themselves),
                T_TEST(test_neighbours),
                T_TEST(test_cancelled_while_it_reads),
                T_TEST(test_cancelled_while_it_writes),
                T_TEST(test_reader_that_has_enough),
                T_TEST(test_finish_early_excuses),
                T_TEST(test_its_error_is_the_result),
                T_TEST(test_full_disk),
                T_TEST(test_long_lines),
                T_TEST(test_plan_on_a_shared_loop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
