/* every_stage_has_a_result.c: what became of each stage can be asked, whatever the run as a whole says: while it runs and
 * afterwards. */
#include "parts.h"

static struct sluice_stage_result ended(const struct sluice_pipeline *p, int stage, enum sluice_verdict verdict)
{
        t_verdict(p, stage, verdict);
        return t_result(p, stage);
}

static void check_command(const struct sluice_stage_result *r, int exit_status, int signal, const char *message)
{
        assert_true(r->pid > 0);
        assert_int_equal(r->known, 1);
        assert_int_equal(r->exit_status, exit_status);
        assert_int_equal(r->signal, signal);
        assert_true(r->wall_s > 0 && r->wall_s < 1000);
        assert_true(r->cpu_s >= 0 && r->cpu_s < 1000);
        if (exit_status == 0)
                assert_string_equal(r->message, "");
        else
                assert_non_null(strstr(r->message, message));
        assert_int_equal(r->error, exit_status == 0 ? 0 : -ECHILD);
        assert_int_equal(r->last_error, r->error);
}

static void test_commands(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_stage_result r;

        (void)state;
        t_sh(p, "echo fine >&2", NULL);
        t_sh(p, "echo bad >&2; exit 3", NULL);
        t_sh(p, "kill -TERM $$", NULL);
        t_sh(p, "cat >/dev/null; exit 4", NULL);
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -ECHILD);
        assert_int_equal(t_failure(p).stage, 1);
        r = ended(p, 0, SLUICE_VERDICT_OK);
        check_command(&r, 0, 0, "");
        assert_string_equal(r.stderr_tail, "fine\n");
        r = ended(p, 1, SLUICE_VERDICT_FAILED);
        check_command(&r, 3, 0, "exit status 3");
        assert_string_equal(r.stderr_tail, "bad\n");
        r = ended(p, 2, SLUICE_VERDICT_FAILED);
        check_command(&r, -1, SIGTERM, "killed by SIGTERM");
        r = ended(p, 3, SLUICE_VERDICT_FAILED);
        check_command(&r, 4, 0, "exit status 4");
        sluice_pipeline_free(p);
}

static void test_other_stages(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_stage_result r;

        (void)state;
        t_make(t_path("a"), 100000);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_OBSERVE)));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        for (int i = 0; i < 3; i++) {
                r = ended(p, i, SLUICE_VERDICT_OK);
                assert_int_equal(r.error, 0);
                assert_int_equal(r.signal, 0);
                assert_int_equal(r.pid > 0, i == 1);
                if (i == 1)
                        assert_int_equal(r.exit_status, 0);
                assert_string_equal(r.message, "");
                assert_string_equal(r.operation, "");
                assert_string_equal(r.stderr_tail, "");
        }
        sluice_pipeline_free(p);
}

static void test_errno_of_a_stage(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_stage_result r;

        (void)state;
        t_ok(sluice_add_file(p, t_path("missing"), NULL));
        t_ok(sluice_add_null(p));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -ENOENT);
        r = ended(p, 0, SLUICE_VERDICT_FAILED);
        assert_int_equal(r.error, -ENOENT);
        assert_int_equal(r.last_error, -ENOENT);
        assert_string_equal(r.operation, "open");
        assert_int_not_equal(strlen(r.message), 0);
        assert_int_equal(r.inferred, 0);
        sluice_pipeline_free(p);
}

/* Whether it works or waits shows. */
static void test_cpu(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_sh(p, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done", NULL);
        t_sh(p, "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); true", NULL); /* in a child of its own */
        t_ok(sluice_add_command(p, T_ARGV("sleep", "0.2"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        assert_true(t_result(p, 0).cpu_s > t_result(p, 2).cpu_s);
        assert_true(t_result(p, 1).cpu_s > t_result(p, 2).cpu_s);
        assert_true(t_result(p, 2).wall_s >= 0.19);
        sluice_pipeline_free(p);
}

/* ---- before, during, and again ---- */

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

static void test_while_it_runs(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_stage_result r = { .size = sizeof(r) };
        struct sluice_loop *l;
        int result = 1;
        pid_t pid;

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        assert_int_equal(sluice_pipeline_stage_result(p, 0, &r), -EINVAL);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, l, store, &result), 0);
        while ((pid = sluice_pipeline_stage_pid(p, 0)) <= 0)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        r = ended(p, 0, SLUICE_VERDICT_NONE);
        assert_int_equal(r.pid, pid);
        assert_int_equal(r.known, 0);
        assert_int_equal(r.error, 0);
        sluice_pipeline_stop(p);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, -ECANCELED);
        r = ended(p, 0, SLUICE_VERDICT_ENDED);
        assert_int_equal(r.pid, pid);
        assert_int_equal(r.signal, SIGTERM);
        assert_int_equal(r.known, 1);
        sluice_pipeline_free(p);
        sluice_loop_free(l);
}

/* A result is the last run's. */
static void test_every_run(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        char script[256];

        (void)state;
        snprintf(script, sizeof(script), "test -e %s || exit 7", t_path("there"));
        t_sh(p, script, NULL);
        t_run(p, -ECHILD);
        assert_int_equal(ended(p, 0, SLUICE_VERDICT_FAILED).exit_status, 7);
        t_make_text(t_path("there"), "");
        t_run(p, 0);
        assert_int_equal(ended(p, 0, SLUICE_VERDICT_OK).exit_status, 0);
        assert_int_equal(t_result(p, 0).error, 0);
        sluice_pipeline_free(p);
}

static void test_calls_that_fail(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_stage_result r = { .size = sizeof(r), .pid = 77 }, wrong = { .size = 3, .pid = 77 };

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_stage_result(p, -1, &r), -EINVAL);
        assert_int_equal(sluice_pipeline_stage_result(p, 1, &r), -EINVAL);
        assert_int_equal(sluice_pipeline_stage_result(p, 0, &wrong), -EINVAL);
        assert_true(r.pid == 77 && wrong.pid == 77);
        sluice_pipeline_free(p);
}

static void test_verdicts_have_names(void **state)
{
        (void)state;
        for (int i = SLUICE_VERDICT_NONE; i <= SLUICE_VERDICT_FAILED; i++) {
                assert_int_not_equal(strlen(sluice_verdict_name((enum sluice_verdict)i)), 0);
                for (int k = 0; k < i; k++)
                        assert_string_not_equal(sluice_verdict_name((enum sluice_verdict)i),
                                                sluice_verdict_name((enum sluice_verdict)k));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_commands),         T_TEST(test_other_stages),
                T_TEST(test_errno_of_a_stage), T_TEST(test_cpu),
                T_TEST(test_while_it_runs),    T_TEST(test_every_run),
                T_TEST(test_calls_that_fail),  T_TEST(test_verdicts_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
