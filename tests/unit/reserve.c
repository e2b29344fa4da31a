/* tests/unit/reserve.c: who has reserved finds its buffers; first come, first served; nobody waits for ever. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>

#include "lent.h"

enum { SMALL = 4096, TEN = 10, RUNS = 6, ROUNDS = 400 };

static struct sluice_pool *pool_of_ten(void)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .budget_bytes = TEN * SMALL, .buffer_bytes = SMALL };
        struct sluice_pool *p;

        assert_int_equal(sluice_pool_new(&p, &o), 0);
        return p;
}

static struct sluice_pool_stats stats_of(struct sluice_pool *p)
{
        struct sluice_pool_stats s = { .size = sizeof(s) };

        assert_int_equal(sluice_pool_stats(p, &s), 0);
        return s;
}

/* ---- waiters that say when they were granted ---- */

static unsigned turn_of_grant;

struct asker {
        struct pool_waiter w;
        unsigned granted; /* which grant it was, from 1; 0: none yet */
};

static void note(struct pool_waiter *w)
{
        struct asker *a = container_of(w, struct asker, w);

        assert_int_equal(a->granted, 0);
        a->granted = ++turn_of_grant;
}

static int ask(struct sluice_pool *p, struct asker *a, uint64_t bytes)
{
        *a = (struct asker){ .w.granted = note };
        list_init(&a->w.node);
        return pool_reserve(p, bytes, &a->w);
}

static void what_fits_is_held_at_once(void **state)
{
        struct sluice_pool *p = pool_of_ten();
        struct asker a;

        (void)state;
        assert_int_equal(pool_reserve(p, 1, NULL), 0); /* a whole buffer */
        assert_int_equal(stats_of(p).reserved_bytes, SMALL);
        assert_int_equal(ask(p, &a, 9 * SMALL), 0);
        assert_int_equal(a.granted, 0);
        assert_int_equal(pool_reserve(p, 0, NULL), 0);
        assert_int_equal(pool_reserve(p, 1, NULL), -ENOBUFS);
        assert_int_equal(pool_reserve(p, 10 * SMALL + 1, NULL), -E2BIG);
        assert_int_equal(pool_reserve(p, UINT64_MAX, NULL), -E2BIG);
        pool_unreserve(p, 9 * SMALL);
        pool_unreserve(p, 1);
        assert_int_equal(stats_of(p).reserved_bytes, 0);
        sluice_pool_unref(p);
}

static void nobody_overtakes_a_large_one(void **state)
{
        struct sluice_pool *p = pool_of_ten();
        struct asker large, small, smaller;
        struct sluice_buffer *b;

        (void)state;
        turn_of_grant = 0;
        assert_int_equal(pool_reserve(p, 4 * SMALL, NULL), 0);
        assert_int_equal(pool_reserve(p, 4 * SMALL, NULL), 0);
        assert_int_equal(ask(p, &large, 8 * SMALL), -EINPROGRESS);
        assert_int_equal(ask(p, &small, 1 * SMALL), -EINPROGRESS); /* it would fit */
        assert_int_equal(ask(p, &smaller, 1 * SMALL), -EINPROGRESS);
        assert_int_equal(stats_of(p).waiters, 3);
        assert_int_equal(sluice_pool_get(p, &b), -ENOBUFS); /* so would this */
        pool_unreserve(p, 4 * SMALL);
        assert_int_equal(large.granted, 0);
        pool_unreserve(p, 4 * SMALL);
        assert_int_equal(large.granted, 1);
        assert_int_equal(small.granted, 2);
        assert_int_equal(smaller.granted, 3);
        assert_int_equal(stats_of(p).waiters, 0);
        assert_int_equal(stats_of(p).reserved_bytes, TEN * SMALL);
        pool_unreserve(p, TEN * SMALL);
        sluice_pool_unref(p);
}

static void one_that_gives_up_lets_others_pass(void **state)
{
        struct sluice_pool *p = pool_of_ten();
        struct asker large, small;

        (void)state;
        turn_of_grant = 0;
        assert_int_equal(pool_reserve(p, 5 * SMALL, NULL), 0);
        assert_int_equal(ask(p, &large, 6 * SMALL), -EINPROGRESS);
        assert_int_equal(ask(p, &small, 2 * SMALL), -EINPROGRESS);
        assert_true(pool_wait_cancel(p, &large.w));
        assert_int_equal(large.granted, 0);
        assert_int_equal(small.granted, 1);
        assert_false(pool_wait_cancel(p, &small.w)); /* too late: it holds them */
        assert_false(pool_wait_cancel(p, &large.w)); /* again is harmless */
        pool_unreserve(p, 7 * SMALL);
        sluice_pool_unref(p);
}

/* What buffers got by themselves leave behind in caches is no obstacle, and what is out is one. */
static void what_is_out_is_reserved(void **state)
{
        struct sluice_pool *p = pool_of_ten();
        struct sluice_buffer *b[TEN];
        struct asker all;

        (void)state;
        turn_of_grant = 0;
        for (unsigned i = 0; i < TEN; i++)
                assert_int_equal(sluice_pool_get(p, &b[i]), 0);
        assert_int_equal(ask(p, &all, TEN * SMALL), -EINPROGRESS);
        for (unsigned i = 0; i < TEN; i++) {
                assert_int_equal(all.granted, 0);
                sluice_buffer_put(b[i]);
        }
        assert_int_equal(all.granted, 1);
        assert_int_equal(sluice_pool_get(p, &b[0]), -ENOBUFS);
        pool_unreserve(p, TEN * SMALL);
        for (unsigned i = 0; i < TEN; i++)
                assert_int_equal(sluice_pool_get(p, &b[i]), 0);
        for (unsigned i = 0; i < TEN; i++)
                sluice_buffer_put(b[i]); /* credit in this thread's cache */
        assert_int_equal(stats_of(p).reserved_bytes, TEN * SMALL);
        assert_int_equal(pool_reserve(p, TEN * SMALL, NULL), 0);
        pool_unreserve(p, TEN * SMALL);
        sluice_pool_unref(p);
}

/* The reservation of a run that ended passes to the buffer that outlives it. */
static void an_orphaned_buffer_keeps_its_share(void **state)
{
        struct sluice_pool *p = pool_of_ten();
        struct buffer *b;

        (void)state;
        assert_int_equal(pool_reserve(p, TEN * SMALL, NULL), 0);
        assert_int_equal(pool_take(p, &b), 0);
        buffer_own(b);
        pool_unreserve(p, (TEN - 1) * SMALL);
        assert_int_equal(pool_reserve(p, TEN * SMALL, NULL), -ENOBUFS);
        buffer_unref(b);
        assert_int_equal(pool_reserve(p, TEN * SMALL, NULL), 0);
        pool_unreserve(p, TEN * SMALL);
        sluice_pool_unref(p);
}

/* ---- one buffer ---- */

static void got(struct sluice_pool_waiter *w)
{
        (*(unsigned *)w->arg)++;
}

static void a_waiter_is_handed_its_buffer(void **state)
{
        struct sluice_pool *p = pool_of_ten();
        unsigned calls = 0;
        struct sluice_pool_waiter w[3] = { 0 };
        struct sluice_buffer *b[TEN];

        (void)state;
        assert_int_equal(sluice_pool_wait(p, &w[0]), -EINVAL);
        for (unsigned i = 0; i < COUNT(w); i++)
                w[i] = (struct sluice_pool_waiter){ .size = sizeof(w[i]), .granted = got, .arg = &calls };
        assert_int_equal(sluice_pool_wait(p, &w[0]), 1);
        b[0] = w[0].buffer;
        assert_int_equal(sluice_pool_wait_cancel(p, &w[0]), 0);
        for (unsigned i = 1; i < TEN; i++)
                assert_int_equal(sluice_pool_get(p, &b[i]), 0);
        for (unsigned i = 0; i < COUNT(w); i++) {
                w[i].buffer = NULL;
                assert_int_equal(sluice_pool_wait(p, &w[i]), 0);
        }
        assert_int_equal(sluice_pool_wait_cancel(p, &w[1]), 1);
        sluice_buffer_put(b[0]);
        assert_int_equal(calls, 1);
        assert_non_null(w[0].buffer);
        sluice_buffer_put(w[0].buffer); /* straight to the next */
        assert_int_equal(calls, 2);
        assert_non_null(w[2].buffer);
        assert_null(w[1].buffer);
        sluice_buffer_put(w[2].buffer);
        for (unsigned i = 1; i < TEN; i++)
                sluice_buffer_put(b[i]);
        assert_int_equal(calls, 2);
        assert_int_equal(lent(p), 0);
        sluice_pool_unref(p);
}

/* ---- many runs on many threads: none waits for ever, each finds what it reserved ---- */

struct run {
        struct sluice_pool *pool;
        struct pool_waiter w;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool granted;
        unsigned want;
};

static void tell(struct pool_waiter *w)
{
        struct run *r = container_of(w, struct run, w);

        pthread_mutex_lock(&r->lock);
        r->granted = true;
        pthread_cond_signal(&r->changed);
        pthread_mutex_unlock(&r->lock);
}

static void admit(struct run *r)
{
        r->granted = false;
        r->w = (struct pool_waiter){ .granted = tell };
        list_init(&r->w.node);
        if (pool_reserve(r->pool, r->want * SMALL, &r->w) == 0)
                return;
        pthread_mutex_lock(&r->lock);
        while (!r->granted)
                pthread_cond_wait(&r->changed, &r->lock);
        pthread_mutex_unlock(&r->lock);
}

static void *run_often(void *arg)
{
        struct run *r = arg;
        struct buffer *b[TEN];

        for (unsigned round = 0; round < ROUNDS; round++) {
                struct sluice_buffer *stranger = NULL;

                admit(r);
                for (unsigned i = 0; i < r->want; i++)
                        assert_int_equal(pool_take(r->pool, &b[i]), 0);
                for (unsigned i = 0; i < r->want; i++)
                        buffer_unref(b[i]);
                pool_unreserve(r->pool, r->want * SMALL);
                if (sluice_pool_get(r->pool, &stranger) == 0)
                        sluice_buffer_put(stranger);
        }
        return NULL;
}

static void runs_of_all_sizes_come_to_their_ends(void **state)
{
        static const unsigned wants[RUNS] = { 10, 1, 7, 3, 5, 9 };
        struct sluice_pool *p = pool_of_ten();
        struct run r[RUNS];
        pthread_t id[RUNS];

        (void)state;
        for (unsigned i = 0; i < RUNS; i++) {
                r[i] = (struct run){ .pool = p, .want = wants[i] };
                pthread_mutex_init(&r[i].lock, NULL);
                pthread_cond_init(&r[i].changed, NULL);
                assert_int_equal(pthread_create(&id[i], NULL, run_often, &r[i]), 0);
        }
        for (unsigned i = 0; i < RUNS; i++)
                pthread_join(id[i], NULL);
        assert_int_equal(lent(p), 0);
        assert_int_equal(pool_reserve(p, TEN * SMALL, NULL), 0);
        pool_unreserve(p, TEN * SMALL);
        sluice_pool_unref(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_fits_is_held_at_once),
                cmocka_unit_test(nobody_overtakes_a_large_one),
                cmocka_unit_test(one_that_gives_up_lets_others_pass),
                cmocka_unit_test(what_is_out_is_reserved),
                cmocka_unit_test(an_orphaned_buffer_keeps_its_share),
                cmocka_unit_test(a_waiter_is_handed_its_buffer),
                cmocka_unit_test(runs_of_all_sizes_come_to_their_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
