/* pool_is_shared_fairly.c: what is out of a pool never exceeds its budget, who waits is served in the order of coming, a get
 * does not overtake him, and giving back on any thread serves him. */
#include <errno.h>
#include <string.h>

#include "fixture.h"

enum { BUFFERS = 8, BYTES = 4096, WAITERS = 5 };

static struct sluice_pool *pool_new(void)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .budget_bytes = BUFFERS * BYTES, .buffer_bytes = BYTES };
        struct sluice_pool *p;

        assert_int_equal(sluice_pool_new(&p, &o), 0);
        return p;
}

static struct sluice_pool_stats stats_of(struct sluice_pool *p)
{
        struct sluice_pool_stats s = { .size = sizeof(s) };

        assert_int_equal(sluice_pool_stats(p, &s), 0);
        assert_int_equal(s.free_bytes + s.lent_bytes + s.in_kernel_bytes, s.total_bytes);
        assert_true(s.total_bytes <= s.budget_bytes);
        assert_true(s.reserved_bytes <= s.budget_bytes);
        return s;
}

/* A host of a loop: told by a post, in the loop's own turn. */
struct host {
        struct sluice_pool_waiter w;
        struct sluice_loop *loop;
        struct host **order; /* where the next served writes itself */
        unsigned *served;
};

static void served(void *arg)
{
        struct host *h = arg;

        h->order[(*h->served)++] = h;
}

static void granted(struct sluice_pool_waiter *w)
{
        struct host *h = w->arg;

        assert_int_equal(sluice_loop_post(h->loop, served, h), 0);
}

static void *put(void *arg)
{
        sluice_buffer_put(arg);
        return NULL;
}

static void test_order_of_coming(void **state)
{
        struct sluice_pool *p = pool_new();
        struct sluice_buffer *b[BUFFERS], *one;
        struct host h[WAITERS], *order[WAITERS];
        struct sluice_loop *l;
        unsigned nr = 0;
        pthread_t id;

        (void)state;
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        for (unsigned i = 0; i < BUFFERS; i++)
                assert_int_equal(sluice_pool_get(p, &b[i]), 0);
        assert_int_equal(sluice_pool_get(p, &one), -ENOBUFS);
        for (unsigned i = 0; i < WAITERS; i++) {
                h[i] = (struct host){
                        .w = { .size = sizeof(h[i].w), .granted = granted, .arg = &h[i] }, .loop = l, .order = order, .served = &nr
                };
                assert_int_equal(sluice_pool_wait(p, &h[i].w), 0);
        }
        assert_int_equal(stats_of(p).waiters, WAITERS);
        assert_int_equal(sluice_pool_wait_cancel(p, &h[2].w), 1);
        for (unsigned i = 0; i < WAITERS - 1; i++) { /* from other threads, and one gets in between */
                assert_int_equal(pthread_create(&id, NULL, put, b[i]), 0);
                pthread_join(id, NULL);
                assert_int_equal(sluice_pool_get(p, &one), -ENOBUFS);
        }
        while (nr < WAITERS - 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_ptr_equal(order[0], &h[0]);
        assert_ptr_equal(order[1], &h[1]);
        assert_ptr_equal(order[2], &h[3]);
        assert_ptr_equal(order[3], &h[4]);
        assert_null(h[2].w.buffer);
        for (unsigned i = 0; i < WAITERS - 1; i++) {
                memset(sluice_buffer_data(order[i]->w.buffer), 1, BYTES);
                sluice_buffer_put(order[i]->w.buffer);
        }
        for (unsigned i = WAITERS - 1; i < BUFFERS; i++)
                sluice_buffer_put(b[i]);
        assert_int_equal(stats_of(p).free_bytes, BUFFERS * BYTES);
        assert_int_equal(sluice_pool_get(p, &one), 0); /* nobody waits any more */
        sluice_buffer_put(one);
        sluice_loop_free(l);
        sluice_pool_unref(p);
}

/* Whoever waits in the line is never passed by threads that get and put without a pause. */
struct crowd {
        struct sluice_pool *pool;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool served, stop;
};

static void *get_and_put(void *arg)
{
        struct crowd *c = arg;
        struct sluice_buffer *b;
        bool stop = false;

        while (!stop) {
                if (sluice_pool_get(c->pool, &b) == 0)
                        sluice_buffer_put(b);
                pthread_mutex_lock(&c->lock);
                stop = c->stop;
                pthread_mutex_unlock(&c->lock);
        }
        return NULL;
}

static void tell(struct sluice_pool_waiter *w)
{
        struct crowd *c = w->arg;

        pthread_mutex_lock(&c->lock);
        c->served = true;
        pthread_cond_signal(&c->changed);
        pthread_mutex_unlock(&c->lock);
}

static void test_crowd(void **state)
{
        struct crowd c = { .pool = pool_new(), .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
        struct sluice_buffer *b[BUFFERS];
        pthread_t id[2];

        (void)state;
        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(pthread_create(&id[i], NULL, get_and_put, &c), 0);
        for (unsigned round = 0; round < 500; round++)
                for (unsigned i = 0; i < BUFFERS; i++) { /* all of them, though the crowd wants them too */
                        struct sluice_pool_waiter w = { .size = sizeof(w), .granted = tell, .arg = &c };
                        int r = sluice_pool_wait(c.pool, &w);

                        assert_true(r >= 0);
                        pthread_mutex_lock(&c.lock);
                        while (r == 0 && !c.served)
                                pthread_cond_wait(&c.changed, &c.lock);
                        c.served = false;
                        pthread_mutex_unlock(&c.lock);
                        b[i] = w.buffer;
                        assert_non_null(b[i]);
                        if (i == BUFFERS - 1)
                                for (unsigned j = 0; j < BUFFERS; j++)
                                        sluice_buffer_put(b[j]);
                }
        pthread_mutex_lock(&c.lock);
        c.stop = true;
        pthread_mutex_unlock(&c.lock);
        for (unsigned i = 0; i < 2; i++)
                pthread_join(id[i], NULL);
        assert_int_equal(stats_of(c.pool).free_bytes, stats_of(c.pool).total_bytes);
        sluice_pool_unref(c.pool);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_order_of_coming), T_TEST(test_crowd) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
