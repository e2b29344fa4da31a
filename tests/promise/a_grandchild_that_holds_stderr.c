/* a_grandchild_that_holds_stderr.c: what a command leaves behind never keeps a run from ending, whatever of ours it holds.
 * Where the run contains it, it is gone when the run has ended; where nothing is to be contained, it lives on. */
#include "parts.h"

enum { HOLD_FD = 8, ALIVE_FD = 9, FAR_MS = 60000 };

/* What is left behind reads HOLD_FD, which nobody writes, and has stdout, stderr and ALIVE_FD open. */
static const char *const leavers[] = {
        "cat <&8 & echo said >&2",
        "(trap '' TERM HUP; exec cat <&8) & echo said >&2",
        "(cat <&8 &) & wait; echo said >&2",
        "setsid cat <&8 & echo said >&2",
        "(setsid sh -c 'trap \"\" TERM; cat <&8 & wait' &) & wait; echo said >&2",
        "cat <&8 & kill -STOP $!; echo said >&2",
};

enum fate { ANY, GONE, ALIVE };

static const struct containment {
        unsigned flags;
        enum sluice_contain contain;
        enum fate fate;
} containments[] = {
        { 0, SLUICE_CONTAIN_AUTO, ANY }, /* as well as can be without a guard */
        { 0, SLUICE_CONTAIN_WALK, ANY },   { SLUICE_GUARD, SLUICE_CONTAIN_AUTO, GONE },  { 0, SLUICE_CONTAIN_GUARD, GONE },
        { 0, SLUICE_CONTAIN_NONE, ALIVE }, { SLUICE_GUARD, SLUICE_CONTAIN_NONE, ALIVE },
};

struct held {
        int hold[2], alive[2];
};

static void add_leaver(struct sluice_pipeline *p, const char *leaver, const struct held *h, const char *ending)
{
        const struct sluice_command_fd fds[] = { { h->hold[0], HOLD_FD }, { h->alive[1], ALIVE_FD } };
        char script[256];

        snprintf(script, sizeof(script), "%s; %s", leaver, ending);
        t_sh(p, script, T_COMMAND(.fds = fds, .fds_nr = T_NR(fds)));
}

static void check_fate(const struct sluice_pipeline *p, enum fate fate, struct held *h)
{
        struct sluice_usage u = { .size = sizeof(u) };

        assert_int_equal(sluice_pipeline_usage(p, &u), 0);
        close(h->alive[1]);
        h->alive[1] = -1;
        if (fate == GONE)
                assert_true(t_hung_up(h->alive[0], FAR_MS));
        if (fate == ALIVE)
                assert_false(t_hung_up(h->alive[0], 0));
        if (fate != ANY)
                assert_int_equal(u.strays, fate == GONE);
}

/* Whatever lives is let go, and the test waits for it. */
static void let_go(struct held *h)
{
        close(h->hold[1]);
        close(h->hold[0]);
        assert_true(t_hung_up(h->alive[0], FAR_MS));
        close(h->alive[0]);
}

static void leave(const char *leaver, const struct containment *c, int status)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = c->flags, .contain = c->contain, .grace_ms = T_GRACE_MS));
        struct held h;
        char ending[16];

        t_pipe(h.hold);
        t_pipe(h.alive);
        snprintf(ending, sizeof(ending), "exit %d", status);
        add_leaver(p, leaver, &h, ending);
        t_run(p, status ? -ECHILD : 0);
        assert_int_equal(t_result(p, 0).exit_status, status);
        assert_string_equal(t_result(p, 0).stderr_tail, "said\n");
        check_fate(p, c->fate, &h);
        sluice_pipeline_free(p);
        let_go(&h);
}

/* One that stopped itself could not be let go: it is tried only where it will be gone. */
static void test_every_kind(void **state)
{
        (void)state;
        for (size_t c = 0; c < T_NR(containments); c++)
                for (size_t i = 0; i < T_NR(leavers); i++)
                        if (containments[c].fate == GONE || !strstr(leavers[i], "STOP"))
                                leave(leavers[i], &containments[c], (int)(i % 2) * 3);
}

/* One that holds the command's output may still have something to say: it is waited for, until the deadline. */
static void test_it_holds_stdout(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_GUARD, .timeout_ms = 300, .grace_ms = T_GRACE_MS));
        struct held h;
        size_t bytes;

        (void)state;
        t_pipe(h.hold);
        t_pipe(h.alive);
        add_leaver(p, leavers[0], &h, "exit 0");
        free(t_capture(p, 0, -ETIMEDOUT, &bytes));
        sluice_pipeline_free(p);
        close(h.alive[1]);
        assert_true(t_hung_up(h.alive[0], FAR_MS));
        let_go(&h);
}

/* The deadline ends it as it ends the command. */
static void test_deadline(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(leavers); i++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = SLUICE_GUARD, .timeout_ms = 300, .grace_ms = T_GRACE_MS));
                struct held h;

                t_pipe(h.hold);
                t_pipe(h.alive);
                add_leaver(p, leavers[i], &h, "exec sleep 1000");
                t_run_free(p, -ETIMEDOUT);
                close(h.alive[1]);
                assert_true(t_hung_up(h.alive[0], FAR_MS));
                let_go(&h);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_every_kind), T_TEST(test_it_holds_stdout), T_TEST(test_deadline) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
