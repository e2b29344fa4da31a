/* throttle_holds_the_rate.c: so many bytes take at least as long as the rate says, less one burst, also after a pause; every
 * one of them arrives; and whoever ends the run need not wait until the throttle wakes up. A function that sleeps is woken
 * once, not before its time, or told that the run ends. */
#include <time.h>

#include "parts.h"

static double now_s(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The least that it may take: a bucket holds a tenth of a second's worth, one byte at least. */
static double least_s(uint64_t bytes, int64_t rate)
{
        double burst = (double)rate / 10 < 1 ? 1 : (double)rate / 10;

        return (double)bytes < burst ? 0 : ((double)bytes - burst) / (double)rate;
}

static void check_time(double began, uint64_t bytes, int64_t rate)
{
        double took = now_s() - began, least = least_s(bytes, rate);

        if (took < least)
                fail_msg("%llu bytes at %lld a second took %.3f s, not at least %.3f", (unsigned long long)bytes, (long long)rate,
                         took, least);
}

static const struct {
        uint64_t bytes;
        int64_t rate;
} cases[] = {
        { 0, 1 },          { 1, 1 },
        { 2, 4 },          { 100, 1000 },
        { 101, 1000 },     { 500, 1000 },
        { 65536, 300000 }, { 70000, 200001 },
        { 300000, T_MIB }, { 3 * T_MIB, 10 * T_MIB },
        { 1000, T_MIB },   { 65536, INT64_MAX },
};

static void test_between(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(cases); i++) {
                struct sluice_pipeline *p = t_new(NULL);
                double began = now_s();

                t_ok(sluice_add_generate(p, (int64_t)cases[i].bytes));
                t_ok(sluice_add_throttle(p, cases[i].rate));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run(p, 0);
                check_time(began, cases[i].bytes, cases[i].rate);
                assert_int_equal(t_stats(p, 0).bytes_copied.value, 0);
                sluice_pipeline_free(p);
                t_check_file(t_path("b"), cases[i].bytes, 0);
        }
}

/* From a command, and the throttle is the last: what it took is what it counts. */
static void test_last(void **state)
{
        (void)state;
        t_make(t_path("a"), 65536);
        for (int command = 0; command < 2; command++) {
                struct sluice_pipeline *p = t_new(NULL);
                double began = now_s();

                t_ok(sluice_add_file(p, t_path("a"), NULL));
                if (command)
                        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
                t_ok(sluice_add_throttle(p, 300000));
                t_chain(p);
                t_run(p, 0);
                check_time(began, 65536, 300000);
                assert_int_equal(t_stats(p, command).bytes.value, 65536);
                sluice_pipeline_free(p);
        }
}

/* The slower of two rules. */
static void test_two(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        double began = now_s();

        (void)state;
        t_ok(sluice_add_generate(p, 100001));
        t_ok(sluice_add_throttle(p, 3000000));
        t_ok(sluice_add_throttle(p, 250000));
        t_ok(sluice_add_throttle(p, 1000000));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        check_time(began, 100001, 250000);
        t_check_file(t_path("b"), 100001, 0);
}

/* ---- while it sleeps ---- */

static void fire(void *cancel)
{
        sluice_cancel_fire(cancel);
}

/* The first byte has arrived: the next would take a second, the whole for ever. */
static void test_cancelled_while_it_sleeps(void **state)
{
        struct sluice_cancel *cancel;
        struct sluice_pipeline *p;
        struct t_peer reader = { .enough = 1, .on_enough = fire };
        int fds[2];

        (void)state;
        assert_int_equal(sluice_cancel_new(&cancel), 0);
        reader.arg = cancel;
        t_pipe(fds);
        t_reader(&reader, fds[0], -1);
        p = t_new(T_OPTIONS(.cancel = cancel));
        t_ok(sluice_add_generate(p, -1));
        t_ok(sluice_add_throttle(p, 1));
        t_ok(sluice_add_fd(p, fds[1], SLUICE_OWN));
        t_chain(p);
        t_run_free(p, -ECANCELED);
        t_join(&reader);
        sluice_cancel_unref(cancel);
        assert_int_equal(reader.mismatch, -1);
        assert_int_equal(reader.error, 0);
        assert_in_range(reader.bytes, 1, 1000);
}

static void test_deadline_while_it_sleeps(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 50));

        (void)state;
        t_ok(sluice_add_zero(p, -1));
        t_ok(sluice_add_throttle(p, 1));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, -ETIMEDOUT);
}

/* It does not learn of it by giving more: that may be never. */
static void test_reader_ends_while_it_sleeps(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_EARLY_EXIT_OK, .grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_generate(p, -1));
        t_ok(sluice_add_throttle(p, 1));
        t_sh(p, "head -c 1 >/dev/null", NULL);
        t_chain(p);
        t_run(p, 0);
        assert_in_range(t_stats(p, 0).bytes.value, 1, 1000);
        sluice_pipeline_free(p);
}

static int take_two(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        size_t *taken = t_arg(c);

        (void)self;
        (void)out;
        in->consumed = in->len < 2 - *taken ? in->len : 2 - *taken;
        *taken += in->consumed;
        return *taken == 2 ? SLUICE_END : 0;
}

static const struct sluice_stage_ops take_two_ops = T_FUNCTION(take_two);

static void test_function_has_enough_while_it_sleeps(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        size_t taken = 0;

        (void)state;
        t_ok(sluice_add_generate(p, -1));
        t_ok(sluice_add_throttle(p, 10));
        t_ok(sluice_pipeline_add(p, &take_two_ops, &taken, NULL));
        t_chain(p);
        t_run_free(p, 0);
        assert_int_equal(taken, 2);
}

/* ---- a sleeper of the host's own ---- */

struct sleeper {
        int64_t ms;
        int64_t result;
        unsigned asked, woken, inside;
        bool calling;
};

static void woken(struct sluice_ctx *c, void *self, int64_t result)
{
        struct sleeper *s = t_arg(c);

        (void)self;
        s->result = result;
        s->woken++;
        s->inside += s->calling;
        sluice_ctx_ready(c);
}

/* Gives its byte when it has slept. */
static int sleep_then_give(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct sleeper *s = t_arg(c);
        int r;

        (void)self;
        (void)in;
        if (s->woken) {
                t_pattern(out->data, 1, 0);
                out->len = 1;
                return SLUICE_END;
        }
        s->asked++;
        s->calling = true;
        r = sluice_ctx_sleep(c, s->ms, woken);
        s->calling = false;
        return r < 0 ? r : -EAGAIN;
}

static const struct sluice_stage_ops sleep_then_give_ops = T_FUNCTION(sleep_then_give);

/* For so long at least; whatever is no time is over at once, in a callback as well. */
static void test_sleeper_is_woken_once(void **state)
{
        static const int64_t times[] = { INT64_MIN, -1, 0, 1, 30, 250 };

        (void)state;
        for (size_t i = 0; i < T_NR(times); i++) {
                struct sleeper s = { .ms = times[i], .result = -1 };
                struct sluice_pipeline *p = t_new(NULL);
                double began = now_s();

                t_ok(sluice_pipeline_add(p, &sleep_then_give_ops, &s, NULL));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run_free(p, 0);
                assert_true(now_s() - began >= (double)times[i] / 1000);
                assert_int_equal(s.result, 0);
                assert_int_equal(s.asked, 1);
                assert_int_equal(s.woken, 1);
                assert_int_equal(s.inside, 0);
                t_check_file(t_path("b"), 1, 0);
        }
}

/* A sleep without end is no shorter for it; and it is told when the run ends first. */
static void test_sleeper_is_told_of_the_end(void **state)
{
        static const int64_t times[] = { 3600000, INT64_MAX / 1000000, INT64_MAX / 1000, INT64_MAX };

        (void)state;
        for (size_t i = 0; i < T_NR(times); i++) {
                struct sleeper s = { .ms = times[i], .result = -1 };
                struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 50));

                t_ok(sluice_pipeline_add(p, &sleep_then_give_ops, &s, NULL));
                t_ok(sluice_add_null(p));
                t_chain(p);
                print_message("for %lld ms\n", (long long)times[i]);
                t_run_free(p, -ETIMEDOUT);
                assert_int_equal(s.result, -ECANCELED);
                assert_int_equal(s.woken, 1);
        }
}

/* ---- a pause is not made up for ---- */

enum { RATE = 1000, PAUSE_MS = 600, BYTES_AFTER = 400 };

struct pauser {
        unsigned given;
        bool slept;
        double resumed_s;
};

static void paused(struct sluice_ctx *c, void *self, int64_t result)
{
        struct pauser *s = t_arg(c);

        (void)self;
        (void)result;
        s->slept = true;
        sluice_ctx_ready(c);
}

/* A byte, a long pause, and the rest at once. */
static int give_pause_give(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct pauser *s = t_arg(c);
        int r;

        (void)self;
        (void)in;
        if (s->given && !s->slept) {
                r = sluice_ctx_sleep(c, PAUSE_MS, paused);
                return r < 0 ? r : -EAGAIN;
        }
        out->len = s->given ? BYTES_AFTER : 1;
        t_pattern(out->data, out->len, s->given);
        s->given += (unsigned)out->len;
        s->resumed_s = now_s();
        return s->slept ? SLUICE_END : 0;
}

static const struct sluice_stage_ops give_pause_give_ops = T_FUNCTION(give_pause_give);

static void test_pause_is_not_made_up_for(void **state)
{
        struct pauser s = { 0 };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_pipeline_add(p, &give_pause_give_ops, &s, NULL));
        t_ok(sluice_add_throttle(p, RATE));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        check_time(s.resumed_s, BYTES_AFTER, RATE);
        t_check_file(t_path("b"), 1 + BYTES_AFTER, 0);
}

static void test_rates_that_are_none(void **state)
{
        static const int64_t rates[] = { 0, -1, INT64_MIN };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        for (size_t i = 0; i < T_NR(rates); i++)
                assert_int_equal(sluice_add_throttle(p, rates[i]), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_between),
                T_TEST(test_last),
                T_TEST(test_two),
                T_TEST(test_cancelled_while_it_sleeps),
                T_TEST(test_deadline_while_it_sleeps),
                T_TEST(test_reader_ends_while_it_sleeps),
                T_TEST(test_function_has_enough_while_it_sleeps),
                T_TEST(test_sleeper_is_woken_once),
                T_TEST(test_sleeper_is_told_of_the_end),
                T_TEST(test_pause_is_not_made_up_for),
                T_TEST(test_rates_that_are_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
