/* explain_agrees_with_counters.c: for every pair of stages: the words of explain, the mode and the byte counters tell the
 * same story, and the counters add up. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { BYTES = 300001 };

typedef int add_fn(struct sluice_pipeline *p);

static char source_address[32], sink_address[32];

static int source_file(struct sluice_pipeline *p)
{
        return sluice_add_file(p, t_path("a"), NULL);
}

static int source_range(struct sluice_pipeline *p)
{
        return sluice_add_file(p, t_path("a"), T_FILE(.flags = SLUICE_FILE_RANGE, .length = BYTES));
}

static int source_snapshot(struct sluice_pipeline *p)
{
        return sluice_add_file(p, t_path("a"), T_FILE(.flags = SLUICE_FILE_SNAPSHOT));
}

static int source_command(struct sluice_pipeline *p)
{
        return sluice_add_command(p, T_ARGV("cat", (char *)(uintptr_t)t_path("a")), NULL);
}

static int source_tcp(struct sluice_pipeline *p)
{
        return sluice_add_tcp(p, source_address, NULL);
}

static int sink_file(struct sluice_pipeline *p)
{
        return sluice_add_file(p, t_path("b"), NULL);
}

static int sink_observed(struct sluice_pipeline *p)
{
        return sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_OBSERVE));
}

static int sink_append(struct sluice_pipeline *p)
{
        unlink(t_path("b"));
        return sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_APPEND));
}

static int sink_atomic(struct sluice_pipeline *p)
{
        return sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_ATOMIC));
}

static int sink_null(struct sluice_pipeline *p)
{
        return sluice_add_null(p);
}

static int sink_command(struct sluice_pipeline *p)
{
        return sluice_add_command(p, T_ARGV("dd", "of=/dev/null", "bs=64k", "status=none"), NULL);
}

static int sink_tcp(struct sluice_pipeline *p)
{
        return sluice_add_tcp(p, sink_address, NULL);
}

static void check_words(const struct sluice_pipeline *p, const struct sluice_stats *s)
{
        char text[1024], want[128];
        const char *mode = sluice_link_mode_name(s->mode);
        int n = sluice_pipeline_explain(p, 0, text, sizeof(text));

        assert_true(n > 0 && n < (int)sizeof(text));
        assert_int_equal(strlen(text), n);
        assert_int_equal(sluice_pipeline_explain(p, 0, NULL, 0), n);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), s->mode);
        assert_memory_equal(text, mode, strlen(mode));
        assert_int_equal(text[strlen(mode)], ':');
        if (s->mode != SLUICE_LINK_SPLICE && s->mode != SLUICE_LINK_CROSS)
                return;
        snprintf(want, sizeof(want), "%" PRIu64 " bytes spliced, %" PRIu64 " copied", s->bytes_spliced.value,
                 s->bytes_copied.value);
        assert_non_null(strstr(text, want));
        snprintf(want, sizeof(want), "driver %s", sluice_driver_name(s->driver));
        assert_non_null(strstr(text, want));
}

static void check_numbers(const struct sluice_stats *s)
{
        switch (s->mode) {
        case SLUICE_LINK_SPLICE:
        case SLUICE_LINK_CROSS:
                assert_int_equal(s->bytes.certainty, SLUICE_EXACT);
                assert_int_equal(s->bytes.value, BYTES);
                assert_int_equal(s->bytes_taken, BYTES);
                assert_int_equal(s->bytes_inside, 0);
                assert_int_equal(s->bytes_spliced.value + s->bytes_copied.value, BYTES);
                if (s->mode == SLUICE_LINK_SPLICE)
                        assert_int_equal(s->bytes_copied.value, 0);
                else if (s->driver_changes == 0)
                        assert_int_equal(s->bytes_spliced.value, 0);
                assert_true(s->ops_inline + s->ops_ring > 0);
                if (s->mode == SLUICE_LINK_SPLICE)
                        assert_int_equal(s->ops_read + s->ops_write + s->ops_recv + s->ops_send, 0);
                break;
        case SLUICE_LINK_DIRECT:
        case SLUICE_LINK_PIPE:
                assert_int_equal(s->driver, SLUICE_DRIVER_AUTO);
                assert_int_equal(s->bytes_spliced.value + s->bytes_copied.value, 0);
                assert_int_equal(s->ops_splice + s->ops_read + s->ops_write, 0);
                assert_true(s->bytes.certainty != SLUICE_EXACT);
                break;
        default:
                fail_msg("mode %s", sluice_link_mode_name(s->mode));
        }
}

static void pair(add_fn *from, add_fn *to, enum sluice_driver driver)
{
        struct sluice_pipeline *p = t_new_driver(driver);
        struct t_peer source = { 0 }, sink = { 0 };
        struct sluice_stats s;

        if (from == source_tcp)
                t_writer(&source, -1, t_listen(source_address, sizeof(source_address)), BYTES);
        if (to == sink_tcp)
                t_reader(&sink, -1, t_listen(sink_address, sizeof(sink_address)));
        t_ok(from(p));
        t_ok(to(p));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), 0);
        t_run(p, 0);
        s = t_stats(p, 0);
        check_words(p, &s);
        check_numbers(&s);
        sluice_pipeline_free(p);
        if (from == source_tcp)
                t_join(&source);
        if (to == sink_tcp)
                t_join_exact(&sink, BYTES);
}

static void test_pairs(void **state)
{
        static add_fn *const from[] = { source_file, source_range, source_snapshot, source_command, source_tcp };
        static add_fn *const to[] = { sink_file, sink_observed, sink_append, sink_atomic, sink_null, sink_command, sink_tcp };

        (void)state;
        t_make(t_path("a"), BYTES);
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (size_t i = 0; i < T_NR(from); i++)
                        for (size_t k = 0; k < T_NR(to); k++)
                                pair(from[i], to[k], t_drivers[d]);
}

/* What each pair should be, where nothing forces it. */
static void mode_is(add_fn *from, add_fn *to, enum sluice_link_mode mode)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(from(p));
        t_ok(to(p));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), mode);
        sluice_pipeline_free(p);
}

static void test_cheapest(void **state)
{
        (void)state;
        strcpy(source_address, "127.0.0.1:1");
        strcpy(sink_address, "127.0.0.1:1");
        mode_is(source_file, sink_file, SLUICE_LINK_SPLICE);
        mode_is(source_file, sink_command, SLUICE_LINK_DIRECT);
        mode_is(source_range, sink_command, SLUICE_LINK_SPLICE);
        mode_is(source_snapshot, sink_file, SLUICE_LINK_CROSS);
        mode_is(source_command, sink_command, SLUICE_LINK_PIPE);
        mode_is(source_command, sink_file, SLUICE_LINK_DIRECT);
        mode_is(source_command, sink_append, SLUICE_LINK_DIRECT);
        mode_is(source_command, sink_observed, SLUICE_LINK_SPLICE);
        mode_is(source_command, sink_tcp, SLUICE_LINK_SPLICE);
        mode_is(source_tcp, sink_tcp, SLUICE_LINK_SPLICE);
        mode_is(source_file, sink_append, SLUICE_LINK_CROSS);
}

/* A file that a command read or wrote itself: its position tells, as an estimate. */
static void test_direct_position(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make(t_path("a"), BYTES);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("dd", "bs=64k", "status=none"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        for (int i = 0; i < 2; i++) {
                struct sluice_stats s = t_stats(p, i);

                assert_int_equal(s.mode, SLUICE_LINK_DIRECT);
                assert_int_equal(s.bytes.certainty, SLUICE_ESTIMATE);
                assert_int_equal(s.bytes.value, BYTES);
                assert_int_equal(s.bytes_direct.value, BYTES);
        }
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_pairs), T_TEST(test_cheapest), T_TEST(test_direct_position) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
