/* loops_share_a_pool.c: loops and private runs take their buffers from the pool they are given: all of them are back when the
 * runs have ended, however they ended, and what they took is counted. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { BYTES = 3 << 20 };

static struct sluice_pool_stats stats_of(struct sluice_pool *p)
{
        struct sluice_pool_stats s = { .size = sizeof(s) };

        assert_int_equal(sluice_pool_stats(p, &s), 0);
        assert_int_equal(s.free_bytes + s.lent_bytes + s.in_kernel_bytes, s.total_bytes);
        return s;
}

static struct sluice_pool *pool_new(void)
{
        struct sluice_pool *p;

        assert_int_equal(sluice_pool_new(&p, NULL), 0);
        return p;
}

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

/* A copy of a file on a loop of its own, on this thread or another. */
struct copier {
        struct sluice_pool *pool;
        int number, result;
};

static void *copy(void *arg)
{
        struct copier *c = arg;
        const struct sluice_loop_options o = { .size = sizeof(o), .pool = c->pool };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.driver = SLUICE_DRIVER_COPY));
        char name[16];
        struct sluice_loop *l;

        snprintf(name, sizeof(name), "out%d", c->number);
        t_ok(sluice_add_file(p, t_path("in"), NULL));
        t_ok(sluice_add_file(p, t_path(name), NULL));
        t_chain(p);
        assert_int_equal(sluice_loop_new(&l, &o), 0);
        c->result = 1;
        assert_int_equal(sluice_pipeline_start(p, l, store, &c->result), 0);
        while (c->result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        sluice_pipeline_free(p);
        sluice_loop_free(l);
        return NULL;
}

static void test_two_threads(void **state)
{
        struct sluice_pool *pool = pool_new();
        struct copier c[2] = { { pool, 0, 1 }, { pool, 1, 1 } };
        pthread_t id;

        (void)state;
        t_make(t_path("in"), BYTES);
        assert_int_equal(pthread_create(&id, NULL, copy, &c[0]), 0);
        copy(&c[1]);
        pthread_join(id, NULL);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(c[i].result, 0);
                t_check_file(t_path(i ? "out1" : "out0"), BYTES, 0);
        }
        assert_int_equal(stats_of(pool).free_bytes, stats_of(pool).total_bytes);
        assert_true(stats_of(pool).gets >= 2);
        assert_int_equal(stats_of(pool).gets, stats_of(pool).frees_local + stats_of(pool).frees_remote);
        sluice_pool_unref(pool);
}

/* The host lets go of the pool while a loop has it. */
static void test_loop_keeps_it(void **state)
{
        struct sluice_loop_options o = { .size = sizeof(o), .pool = pool_new() };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.driver = SLUICE_DRIVER_COPY));
        struct sluice_loop *l;
        int result = 1;

        (void)state;
        t_make(t_path("in"), BYTES);
        t_ok(sluice_add_file(p, t_path("in"), NULL));
        t_ok(sluice_add_file(p, t_path("out"), NULL));
        t_chain(p);
        assert_int_equal(sluice_loop_new(&l, &o), 0);
        sluice_pool_unref(o.pool);
        assert_int_equal(sluice_pipeline_start(p, l, store, &result), 0);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, 0);
        t_check_file(t_path("out"), BYTES, 0);
        sluice_pipeline_free(p);
        sluice_loop_free(l);
}

/* What a cancelled run had is back, and a private run counts what it used. */
static void test_private_runs(void **state)
{
        struct sluice_pool *pool = pool_new();
        struct sluice_usage u = { .size = sizeof(u) };
        struct sluice_pipeline *p;
        int fds[2];

        (void)state;
        t_make(t_path("in"), BYTES);
        p = t_new(T_OPTIONS(.driver = SLUICE_DRIVER_COPY, .pool = pool));
        t_ok(sluice_add_file(p, t_path("in"), NULL));
        t_ok(sluice_add_file(p, t_path("out"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_usage(p, &u), 0);
        assert_int_equal(u.pool_total_bytes, stats_of(pool).total_bytes);
        assert_int_equal(u.pool_lent_peak_bytes, 256 << 10);
        assert_int_equal(u.pool_frees_local, stats_of(pool).frees_local);
        assert_int_equal(u.unbound, 0);
        sluice_pipeline_free(p);

        t_pipe(fds);
        p = t_new(T_OPTIONS(.driver = SLUICE_DRIVER_COPY, .pool = pool, .timeout_ms = T_GRACE_MS));
        t_ok(sluice_add_fd(p, fds[0], SLUICE_OWN)); /* nothing comes */
        t_ok(sluice_add_file(p, t_path("out"), NULL));
        t_chain(p);
        t_run_free(p, -ETIMEDOUT);
        close(fds[1]);
        assert_int_equal(stats_of(pool).free_bytes, stats_of(pool).total_bytes);
        sluice_pool_unref(pool);
}

static void test_refusals(void **state)
{
        const struct sluice_pool_options small = { .size = sizeof(small), .buffer_bytes = 4096 };
        struct sluice_loop_options o = { .size = sizeof(o) };
        struct sluice_loop *l = NULL;

        (void)state;
        assert_int_equal(sluice_pool_new(&o.pool, &small), 0);
        assert_int_equal(sluice_loop_new(&l, &o), -EINVAL);
        sluice_pool_unref(o.pool);
        o.pool = NULL;
        o.numa = -2;
        assert_int_equal(sluice_loop_new(&l, &o), -EINVAL);
        o.numa = SLUICE_NUMA_NODE(900);
        assert_int_equal(sluice_loop_new(&l, &o), -ENODEV);
        o = (struct sluice_loop_options){ .size = sizeof(o) + 8 };
        assert_int_equal(sluice_loop_new(&l, &o), -EINVAL);
        assert_null(l);
        o = (struct sluice_loop_options){ .size = offsetof(struct sluice_loop_options, pool), .pool = (void *)1, .numa = 7 };
        assert_int_equal(sluice_loop_new(&l, &o), 0); /* older headers: what is behind is not looked at */
        sluice_loop_free(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_two_threads), T_TEST(test_loop_keeps_it), T_TEST(test_private_runs),
                                            T_TEST(test_refusals) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
