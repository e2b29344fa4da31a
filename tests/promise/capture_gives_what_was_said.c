/* capture_gives_what_was_said.c: sluice_run_capture() gives every byte the last stage wrote, NUL-terminated, up to its
 * limit, and what had come when a run fails. */
#include <fcntl.h>

#include "parts.h"

enum { MUCH = 3 * T_MIB + 7 };

static void test_command(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("echo", "hello world"), NULL));
        t_says(p, "hello world\n");
}

static void test_commands(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("echo", "hello world"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("sed", "s/hello/goodbye/"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "goodbye world\n");
}

static void test_silent_command(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_says(p, "");
}

static void test_no_stages(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        size_t bytes = 77;
        char *text;

        (void)state;
        assert_int_equal(sluice_pipeline_chain(p), 0);
        text = t_capture(p, 0, 0, &bytes);
        assert_int_equal(bytes, 0);
        free(text);
        sluice_pipeline_free(p);
        t_run_free(t_new(NULL), 0);
}

/* ---- a source alone is copied ---- */

static const char data[] = "bytes\nwith a line and no end";

static void test_memory(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_memory(p, data, strlen(data)));
        t_says(p, data);
        p = t_new(NULL);
        t_ok(sluice_add_memory(p, "", 0));
        t_says(p, "");
}

static void test_file(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make_text(t_path("a"), data);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_says(p, data);
}

static void test_fd(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int in[2];

        (void)state;
        t_pipe(in);
        assert_int_equal(write(in[1], data, strlen(data)), strlen(data));
        close(in[1]);
        t_ok(sluice_add_fd(p, in[0], SLUICE_OWN));
        t_says(p, data);
}

/* Without a stage between them: from one fd to another. */
static void test_fd_to_fd(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int from, to;

        (void)state;
        t_make(t_path("a"), MUCH);
        from = open(t_path("a"), O_RDONLY | O_CLOEXEC);
        to = open(t_path("b"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        t_ok(sluice_add_fd(p, from, 0));
        t_ok(sluice_add_fd(p, to, SLUICE_OWN));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        t_check_file(t_path("b"), MUCH, 0);
        assert_int_equal(fcntl(to, F_GETFD), -1);
        close(from);
}

/* ---- much ---- */

static void test_every_byte(void **state)
{
        uint8_t *much = malloc(MUCH);
        struct sluice_pipeline *p;

        (void)state;
        t_pattern(much, MUCH, 0);
        for (int commands = 0; commands < 3; commands++) {
                size_t bytes;
                char *text;

                p = t_new(NULL);
                t_ok(sluice_add_memory(p, much, MUCH));
                for (int i = 0; i < commands; i++)
                        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
                t_ok(sluice_pipeline_chain(p));
                text = t_capture(p, MUCH, 0, &bytes);
                assert_int_equal(bytes, MUCH);
                assert_int_equal(t_mismatch(text, bytes, 0), -1);
                free(text);
                sluice_pipeline_free(p);
        }
        free(much);
}

/* ---- the limit ---- */

/* Three bytes are said. */
static void limited(size_t limit, int expected)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        size_t bytes;
        char *text;

        t_ok(sluice_add_command(p, T_ARGV("printf", "abc"), NULL));
        text = t_capture(p, limit, expected, &bytes);
        assert_in_range(bytes, 0, limit ? limit : 3);
        if (expected == 0)
                assert_int_equal(bytes, 3);
        if (bytes)
                assert_memory_equal(text, "abc", bytes);
        free(text);
        sluice_pipeline_free(p);
}

static void test_limit(void **state)
{
        (void)state;
        limited(0, 0);
        limited(4, 0);
        limited(3, 0);
        limited(2, -EFBIG);
        limited(1, -EFBIG);
}

/* It ends what would never end, and is not hidden by ignoring the broken pipe that it makes. */
static void test_limit_ends_the_run(void **state)
{
        (void)state;
        for (int ignored = 0; ignored < 2; ignored++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
                size_t bytes;
                char *text;

                t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
                if (ignored)
                        t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_PIPE, 0));
                text = t_capture(p, 100001, -EFBIG, &bytes);
                assert_in_range(bytes, 0, 100001);
                for (size_t i = 0; i < bytes; i++)
                        assert_int_equal(text[i], i % 2 ? '\n' : 'y');
                free(text);
                assert_int_equal(t_children(), 0);
                sluice_pipeline_free(p);
        }
}

/* ---- failures ---- */

static void test_what_came_before_a_failure(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_failure f;
        size_t bytes;
        char *text;

        (void)state;
        t_sh(p, "echo partial; exit 3", NULL);
        text = t_capture(p, 0, -ECHILD, &bytes);
        assert_non_null(text);
        assert_string_equal(text, "partial\n");
        assert_int_equal(bytes, strlen(text));
        free(text);
        f = t_failure(p);
        assert_int_equal(f.stage, 0);
        assert_int_equal(f.exit_status, 3);
        sluice_pipeline_free(p);
}

static void test_nothing_started(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        size_t bytes;

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("no-such-command-here"), NULL));
        assert_null(t_capture(p, 0, -ENOENT, &bytes));
        assert_int_equal(bytes, 0);
        assert_int_equal(sluice_pipeline_error_stage(p), 0);
        sluice_pipeline_free(p);
}

static void refused(struct sluice_pipeline *p, int expected)
{
        char *text = (char *)0x5a5a5a;
        size_t bytes = 77;

        assert_int_equal(sluice_run_capture(p, 0, &text, &bytes), expected);
        assert_ptr_equal(text, (char *)0x5a5a5a);
        assert_int_equal(bytes, 77);
}

static void test_output_is_taken(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("echo"), NULL));
        t_ok(sluice_add_null(p));
        t_ok(sluice_add_command(p, T_ARGV("echo"), NULL));
        t_ok(sluice_pipeline_link(p, 2, 1));
        refused(p, -EEXIST);
        sluice_pipeline_free(p);
}

static void test_built_already(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("echo"), NULL));
        assert_int_equal(sluice_pipeline_build(p), 0);
        refused(p, -EEXIST);
        t_run_free(p, 0);
}

static void test_once(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        size_t bytes;

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("echo"), NULL));
        free(t_capture(p, 0, 0, &bytes));
        assert_int_equal(bytes, 1);
        refused(p, -EEXIST);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_command),
                T_TEST(test_commands),
                T_TEST(test_silent_command),
                T_TEST(test_no_stages),
                T_TEST(test_memory),
                T_TEST(test_file),
                T_TEST(test_fd),
                T_TEST(test_fd_to_fd),
                T_TEST(test_every_byte),
                T_TEST(test_limit),
                T_TEST(test_limit_ends_the_run),
                T_TEST(test_what_came_before_a_failure),
                T_TEST(test_nothing_started),
                T_TEST(test_output_is_taken),
                T_TEST(test_built_already),
                T_TEST(test_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
