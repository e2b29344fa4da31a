/* events_come_in_order.c: start, exit and failure of every stage are told as they happen, on the loop's thread: a start
 * before its exit, failures after the last exit, and of failures those only that count. */
#include "parts.h"

enum { EVENTS = 64 };

struct told {
        struct sluice_event events[EVENTS];
        char names[EVENTS][16], messages[EVENTS][256];
        int nr, elsewhere;
        pthread_t thread;
        struct sluice_cancel *fire;
        struct sluice_pipeline *stop;
};

static void tell(void *arg, const struct sluice_event *e)
{
        struct told *t = arg;

        if (t->nr < EVENTS) {
                t->events[t->nr] = *e;
                snprintf(t->names[t->nr], sizeof(t->names[0]), "%s", e->stage_name);
                snprintf(t->messages[t->nr], sizeof(t->messages[0]), "%s", e->message);
        }
        t->nr++;
        t->elsewhere += !pthread_equal(t->thread, pthread_self());
        if (t->fire && e->kind == SLUICE_EVENT_START)
                sluice_cancel_fire(t->fire);
        if (t->stop && e->kind == SLUICE_EVENT_START)
                sluice_pipeline_stop(t->stop);
}

static struct sluice_pipeline *telling(struct told *t, unsigned flags)
{
        return t_new(T_OPTIONS(.flags = flags, .event = tell, .event_arg = t, .grace_ms = T_GRACE_MS));
}

/* The place of that event; there is exactly one. */
static int only(const struct told *t, enum sluice_event_kind kind, int stage)
{
        int at = -1;

        for (int i = 0; i < t->nr; i++) {
                if (t->events[i].kind != kind || t->events[i].stage != stage)
                        continue;
                assert_int_equal(at, -1);
                at = i;
        }
        assert_int_not_equal(at, -1);
        return at;
}

static int number(const struct told *t, enum sluice_event_kind kind)
{
        int n = 0;

        for (int i = 0; i < t->nr; i++)
                n += t->events[i].kind == kind;
        return n;
}

static int last(const struct told *t, enum sluice_event_kind kind)
{
        int at = -1;

        for (int i = 0; i < t->nr; i++)
                if (t->events[i].kind == kind)
                        at = i;
        return at;
}

/* Start and exit of a command agree with each other and with its result. */
static void check_command(const struct told *t, const struct sluice_pipeline *p, int stage)
{
        int start = only(t, SLUICE_EVENT_START, stage), end = only(t, SLUICE_EVENT_EXIT, stage);
        struct sluice_stage_result r = t_result(p, stage);

        assert_true(start < end);
        assert_true(t->events[start].pid > 0);
        assert_int_equal(t->events[start].pid, r.pid);
        assert_int_equal(t->events[end].pid, r.pid);
        assert_int_equal(t->events[end].exit_status, r.exit_status);
        assert_int_equal(t->events[end].signal, r.signal);
        assert_string_equal(t->names[start], sluice_pipeline_stage_name(p, stage));
        assert_string_equal(t->names[end], t->names[start]);
}

static void check_failure(const struct told *t, int stage, int error)
{
        int at = only(t, SLUICE_EVENT_FAILURE, stage);

        assert_true(at > last(t, SLUICE_EVENT_EXIT));
        assert_int_equal(t->events[at].error, error);
        assert_int_not_equal(strlen(t->messages[at]), 0);
        assert_null(strchr(t->messages[at], '\n'));
}

static void check_all(const struct told *t)
{
        assert_in_range(t->nr, 0, EVENTS);
        assert_int_equal(t->elsewhere, 0);
        for (int i = 0; i < t->nr; i++)
                assert_true(t->events[i].size > 0);
}

static void test_commands(void **state)
{
        struct told t = { .thread = pthread_self() };
        struct sluice_pipeline *p = telling(&t, 0);

        (void)state;
        t_sh(p, "exit 0", NULL);
        t_sh(p, "cat; exit 3", NULL);
        t_sh(p, "cat >/dev/null; kill -USR1 $$", NULL);
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -ECHILD);
        check_all(&t);
        for (int i = 0; i < 3; i++)
                check_command(&t, p, i);
        assert_int_equal(number(&t, SLUICE_EVENT_FAILURE), 2);
        check_failure(&t, 1, -ECHILD);
        check_failure(&t, 2, -ECHILD);
        assert_int_equal(t.nr, 8);
        sluice_pipeline_free(p);
}

/* Excused, ignored, or none: no failure is told. */
static void test_no_failure(void **state)
{
        struct told t = { .thread = pthread_self() };
        struct sluice_pipeline *p = telling(&t, SLUICE_EARLY_EXIT_OK);

        (void)state;
        t_sh(p, "exit 3", NULL);
        t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_ok(sluice_pipeline_ignore(p, 0, SLUICE_IGNORE_ANY, 0));
        t_run(p, 0);
        check_all(&t);
        for (int i = 0; i < 3; i++)
                check_command(&t, p, i);
        assert_int_equal(number(&t, SLUICE_EVENT_FAILURE), 0);
        sluice_pipeline_free(p);
}

static ssize_t full(void *arg, const void *data, size_t bytes)
{
        (void)arg;
        (void)data;
        (void)bytes;
        return -ENOSPC;
}

/* Stages that are no commands neither start nor exit, and fail all the same. */
static void test_other_stages(void **state)
{
        struct told t = { .thread = pthread_self() };
        struct sluice_pipeline *p = telling(&t, 0);

        (void)state;
        t_ok(sluice_add_memory(p, "x", 1));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_writer(p, full, NULL, -1));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -ENOSPC);
        check_all(&t);
        check_command(&t, p, 1);
        check_failure(&t, 2, -ENOSPC);
        assert_int_equal(number(&t, SLUICE_EVENT_START), 1);
        assert_int_equal(number(&t, SLUICE_EVENT_EXIT), 1);
        sluice_pipeline_free(p);
}

static void test_failed_start(void **state)
{
        struct told t = { .thread = pthread_self() };
        struct sluice_pipeline *p = telling(&t, 0);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("no-such-command-here"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, -ENOENT);
        check_all(&t);
        check_failure(&t, 1, -ENOENT);
        assert_int_equal(t.nr, 1);
        sluice_pipeline_free(p);
}

/* ---- whose thread, and what may be done there ---- */

static void *run_here(void *arg)
{
        struct sluice_pipeline **p = arg;

        return sluice_pipeline_run(*p) == -ECHILD ? arg : NULL;
}

static void test_thread_of_the_loop(void **state)
{
        struct told t = { 0 };
        struct sluice_pipeline *p = telling(&t, 0);
        void *good;

        (void)state;
        t_sh(p, "exit 3", NULL);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_int_equal(pthread_create(&t.thread, NULL, run_here, &p), 0);
        pthread_join(t.thread, &good);
        assert_non_null(good);
        check_all(&t);
        assert_int_equal(t.nr, 3);
        sluice_pipeline_free(p);
}

static void test_fires_the_token(void **state)
{
        struct told t = { .thread = pthread_self() };
        struct sluice_pipeline *p;

        (void)state;
        assert_int_equal(sluice_cancel_new(&t.fire), 0);
        p = t_new(T_OPTIONS(.event = tell, .event_arg = &t, .cancel = t.fire, .grace_ms = T_GRACE_MS));
        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        t_run(p, -ECANCELED);
        check_all(&t);
        check_command(&t, p, 0);
        t_verdict(p, 0, SLUICE_VERDICT_ENDED);
        sluice_pipeline_free(p);
        sluice_cancel_unref(t.fire);
}

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

static void test_stops_the_pipeline(void **state)
{
        struct told t = { .thread = pthread_self() };
        struct sluice_loop *l;
        int result = 1;

        (void)state;
        t.stop = telling(&t, 0);
        t_ok(sluice_add_command(t.stop, T_ARGV("sleep", "1000"), NULL));
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(t.stop, l, store, &result), 0);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, -ECANCELED);
        check_all(&t);
        check_command(&t, t.stop, 0);
        sluice_pipeline_free(t.stop);
        sluice_loop_free(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_commands),           T_TEST(test_no_failure),         T_TEST(test_other_stages),
                T_TEST(test_failed_start),       T_TEST(test_thread_of_the_loop), T_TEST(test_fires_the_token),
                T_TEST(test_stops_the_pipeline),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
