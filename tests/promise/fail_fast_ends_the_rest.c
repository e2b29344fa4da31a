/* fail_fast_ends_the_rest.c: with SLUICE_FAIL_FAST the first failure ends every other stage, and stays the run's result;
 * without it the others come to their own ends. What is excused or ignored ends nobody. */
#include "parts.h"

static struct sluice_pipeline *fast(unsigned more)
{
        return t_new(T_OPTIONS(.flags = SLUICE_FAIL_FAST | more, .grace_ms = T_GRACE_MS));
}

/* Of three commands one fails at once, and the others would take for ever. */
static void test_wherever_it_fails(void **state)
{
        (void)state;
        for (int at = 0; at < 3; at++) {
                struct sluice_pipeline *p = fast(0);

                for (int i = 0; i < 3; i++)
                        t_sh(p, i == at ? "exit 3" : "exec sleep 1000", NULL);
                t_ok(sluice_pipeline_chain(p));
                t_run(p, -ECHILD);
                assert_int_equal(t_children(), 0);
                assert_int_equal(t_failure(p).stage, at);
                assert_int_equal(t_failure(p).exit_status, 3);
                for (int i = 0; i < 3; i++)
                        t_verdict(p, i, i == at ? SLUICE_VERDICT_FAILED : SLUICE_VERDICT_ENDED);
                sluice_pipeline_free(p);
        }
}

/* One that does not listen to SIGTERM is ended as well. */
static void test_one_that_ignores_term(void **state)
{
        struct sluice_pipeline *p = fast(0);

        (void)state;
        t_sh(p, "trap '' TERM; echo ready; exec sleep 1000", NULL);
        t_sh(p, "read x; exit 3", NULL);
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -ECHILD);
        assert_int_equal(t_failure(p).stage, 1);
        t_verdict(p, 0, SLUICE_VERDICT_ENDED);
        assert_int_equal(t_result(p, 0).signal, SIGKILL);
        sluice_pipeline_free(p);
}

static int fail_now(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)c;
        (void)self;
        (void)in;
        (void)out;
        return -EILSEQ;
}
static const struct sluice_stage_ops fail_now_ops = T_FUNCTION(fail_now);

static void test_function(void **state)
{
        struct sluice_pipeline *p = fast(0);

        (void)state;
        t_sh(p, "echo one; exec sleep 1000", NULL);
        t_ok(sluice_pipeline_add(p, &fail_now_ops, NULL, NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -EILSEQ);
        assert_int_equal(t_failure(p).stage, 1);
        t_verdict(p, 0, SLUICE_VERDICT_ENDED);
        sluice_pipeline_free(p);
}

/* ---- what ends nobody ---- */

static void test_not_asked(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sleep", "0.3"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("false"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -ECHILD);
        t_verdict(p, 0, SLUICE_VERDICT_OK);
        t_verdict(p, 1, SLUICE_VERDICT_FAILED);
        sluice_pipeline_free(p);
}

static void test_excused(void **state)
{
        struct sluice_pipeline *p = fast(SLUICE_EARLY_EXIT_OK);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("head", "-n", "1"), NULL));
        t_sh(p, "cat >/dev/null; sleep 0.3", NULL);
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        assert_int_equal(t_result(p, 0).excused, 1);
        t_verdict(p, 2, SLUICE_VERDICT_OK);
        sluice_pipeline_free(p);
}

static void test_ignored(void **state)
{
        struct sluice_pipeline *p = fast(0);
        char script[256];

        (void)state;
        snprintf(script, sizeof(script), "sleep 0.3; echo done >%s", t_path("side"));
        t_sh(p, "exit 3", NULL);
        t_sh(p, script, NULL);
        t_ok(sluice_pipeline_chain(p));
        t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_EXIT, 3));
        t_run_free(p, 0);
        t_check_text(t_path("side"), "done\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_wherever_it_fails), T_TEST(test_one_that_ignores_term),
                T_TEST(test_function),          T_TEST(test_not_asked),
                T_TEST(test_excused),           T_TEST(test_ignored),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
