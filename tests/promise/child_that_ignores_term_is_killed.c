/* child_that_ignores_term_is_killed.c: after the grace comes SIGKILL; one that stopped itself is ended as well. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static struct sluice_cancel *token;

static void fire(void *arg)
{
        (void)arg;
        sluice_cancel_fire(token);
}

/* The command says "ready" once it cannot be ended by TERM. */
static void ends(const char *script, unsigned flags)
{
        struct t_peer peer = { .enough = 6, .on_enough = fire };
        struct sluice_failure f;
        struct sluice_pipeline *p;
        int out[2];

        t_pipe(out);
        assert_int_equal(sluice_cancel_new(&token), 0);
        p = t_new(T_OPTIONS(.cancel = token, .grace_ms = T_GRACE_MS, .flags = flags));
        t_reader(&peer, out[0], -1);
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", (char *)(uintptr_t)script), NULL));
        t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
        t_chain(p);
        t_run(p, -ECANCELED);
        assert_int_equal(t_children(), 0);
        if (sluice_pipeline_failures(p, &f, 1) > 0)
                assert_true(f.error == -ECANCELED || f.signal == SIGKILL || f.signal == SIGTERM);
        sluice_pipeline_free(p);
        t_join(&peer);
        sluice_cancel_unref(token);
}

static void test_ignores_term(void **state)
{
        (void)state;
        ends("trap '' TERM; echo ready; exec sleep 1000", 0);
}

static void test_ignores_term_in_a_group(void **state)
{
        (void)state;
        ends("trap '' TERM; echo ready; sleep 1000 >/dev/null; sleep 1000 >/dev/null", SLUICE_PROCESS_GROUP);
}

static void test_stopped(void **state)
{
        (void)state;
        ends("echo ready; kill -STOP $$; exec sleep 1000", 0);
}

/* A failure elsewhere does the same, and is what the run says. */
static void test_after_a_failure(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct t_peer peer = { .enough = 6, .stop = true };
        char address[32];

        (void)state;
        t_reader(&peer, -1, t_listen(address, sizeof(address)));
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "trap '' TERM PIPE; while :; do echo ready; done 2>/dev/null"), NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
        t_chain(p);
        assert_in_set(-sluice_pipeline_run(p), ((const unsigned long[]){ EPIPE, ECONNRESET }), 2);
        assert_int_equal(t_children(), 0);
        sluice_pipeline_free(p);
        t_join(&peer);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_ignores_term),
                T_TEST(test_ignores_term_in_a_group),
                T_TEST(test_stopped),
                T_TEST(test_after_a_failure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
