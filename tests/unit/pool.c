/* tests/unit/pool.c: free + lent + in kernel == total, whatever threads do; the budget is a bound; what is free is found,
 * wherever it lies; what is not lent cannot be read. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>

#include "backend.h"
#include "fake.h"
#include "lent.h"
#include "poison.h"

enum { SMALL = 4096, BUFFERS = 300, STEPS = 20000, THREADS = 4, THREAD_STEPS = 4000 };

static struct sluice_pool *pool_of(uint64_t budget, size_t bytes)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .budget_bytes = budget, .buffer_bytes = bytes };
        struct sluice_pool *p = NULL;

        assert_int_equal(sluice_pool_new(&p, &o), 0);
        return p;
}

static struct sluice_pool_stats stats_of(struct sluice_pool *p)
{
        struct sluice_pool_stats s = { .size = sizeof(s) };

        assert_int_equal(sluice_pool_stats(p, &s), 0);
        return s;
}

/* xorshift: the same walk every time. */
static uint32_t next_random(uint32_t *seed)
{
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        return *seed ^= *seed << 5;
}

static void one_of_many(uint32_t *seed, struct sluice_pool *p, struct sluice_buffer **out, unsigned *nr, unsigned max)
{
        uint32_t dice = next_random(seed);

        if (dice % 2 && *nr < max) {
                int r = sluice_pool_get(p, &out[*nr]);

                assert_int_equal(r, 0);
                *(uint32_t *)sluice_buffer_data(out[*nr]) = *nr;
                (*nr)++;
        } else if (*nr) {
                unsigned at = dice / 2 % *nr;

                assert_int_equal(*(uint32_t *)sluice_buffer_data(out[at]), at);
                sluice_buffer_put(out[at]);
                out[at] = out[--*nr];
                if (at < *nr)
                        *(uint32_t *)sluice_buffer_data(out[at]) = at;
        }
}

static void the_law_holds_after_every_step(void **state)
{
        struct sluice_pool *p = pool_of(BUFFERS * SMALL, SMALL);
        struct sluice_buffer *out[BUFFERS];
        uint32_t seed = 2463534242;
        unsigned nr = 0, most = 0;

        (void)state;
        for (unsigned i = 0; i < STEPS; i++) {
                one_of_many(&seed, p, out, &nr, BUFFERS);
                most = nr > most ? nr : most;
                assert_int_equal(lent(p), nr);
        }
        assert_true(stats_of(p).lent_peak_bytes >= (uint64_t)most * SMALL);
        assert_true(stats_of(p).cache_hits > STEPS / 4);
        while (nr)
                sluice_buffer_put(out[--nr]);
        assert_int_equal(lent(p), 0);
        assert_int_equal(stats_of(p).free_bytes, stats_of(p).total_bytes);
        sluice_pool_unref(p);
}

static void what_the_kernel_names_is_counted_apart(void **state)
{
        struct sluice_pool *p = pool_of(4 * SMALL, SMALL);
        struct buffer *a, *b;
        struct op *first, *second;
        struct fake f;

        (void)state;
        fake_init(&f, true);
        assert_int_equal(pool_take(p, &a), 0);
        assert_int_equal(pool_take(p, &b), 0);
        first = op_new(&f.base, OP_WRITE, NULL, NULL);
        second = op_new(&f.base, OP_WRITE, NULL, NULL);
        op_pin(first, NULL, NULL, &a->pin);
        op_pin(second, NULL, NULL, &a->pin);
        assert_int_equal(lent(p), 2);
        assert_int_equal(stats_of(p).in_kernel_bytes, SMALL);
        assert_int_equal(stats_of(p).lent_bytes, SMALL);
        buffer_unref(a);
        op_free(first);
        assert_int_equal(stats_of(p).in_kernel_bytes, SMALL);
        a->data[0] = 1; /* the other operation's */
        op_free(second);
        assert_int_equal(stats_of(p).in_kernel_bytes, 0);
        assert_int_equal(lent(p), 1);
        buffer_unref(b);
        backend_fini(&f.base);
        sluice_pool_unref(p);
}

static void the_budget_is_a_bound(void **state)
{
        static const size_t sizes[] = { 4 << 10, 64 << 10, 256 << 10, 2 << 20 };

        (void)state;
        for (unsigned i = 0; i < COUNT(sizes); i++) {
                struct sluice_buffer *out[17], *one = (void *)&out;
                struct sluice_pool *p = pool_of(17 * sizes[i] + sizes[i] - 1, sizes[i]); /* not a whole one more */

                for (unsigned j = 0; j < 17; j++)
                        assert_int_equal(sluice_pool_get(p, &out[j]), 0);
                assert_int_equal(sluice_pool_get(p, &one), -ENOBUFS);
                assert_ptr_equal(one, (void *)&out); /* untouched */
                assert_int_equal(stats_of(p).total_bytes, 17 * sizes[i]);
                sluice_buffer_put(out[3]);
                assert_int_equal(sluice_pool_get(p, &out[3]), 0);
                for (unsigned j = 0; j < 17; j++)
                        sluice_buffer_put(out[j]);
                assert_int_equal(lent(p), 0);
                sluice_pool_unref(p);
        }
}

static void options_are_checked(void **state)
{
        static const struct {
                struct sluice_pool_options o;
                int result;
        } rows[] = {
                { { .size = sizeof(rows[0].o) - 1 }, -EINVAL },
                { { .size = sizeof(rows[0].o), .buffer_bytes = 2048 }, -EINVAL },
                { { .size = sizeof(rows[0].o), .buffer_bytes = 4 << 20 }, -EINVAL },
                { { .size = sizeof(rows[0].o), .buffer_bytes = 12 << 10 }, -EINVAL },
                { { .size = sizeof(rows[0].o), .budget_bytes = 4095, .buffer_bytes = 4096 }, -EINVAL },
                { { .size = sizeof(rows[0].o), .numa = -2 }, -EINVAL },
                { { .size = sizeof(rows[0].o), .numa = SLUICE_NUMA_NODE(900) }, -ENODEV },
                { { .size = sizeof(rows[0].o), .budget_bytes = 4096, .buffer_bytes = 4096, .numa = SLUICE_NUMA_OFF }, 0 },
        };

        (void)state;
        for (unsigned i = 0; i < COUNT(rows); i++) {
                struct sluice_pool *p = NULL;

                assert_int_equal(sluice_pool_new(&p, &rows[i].o), rows[i].result);
                assert_int_equal(p != NULL, rows[i].result == 0);
                sluice_pool_unref(p);
        }
        sluice_pool_unref(NULL);
        sluice_buffer_put(NULL);
}

static void a_start_costs_nothing(void **state)
{
        struct sluice_pool *p = new_pool();
        struct buffer *b;

        (void)state;
        assert_int_equal(stats_of(p).total_bytes, 0);
        b = buffer_get(p);
        assert_int_equal(stats_of(p).total_bytes, 1 << 20);
        assert_int_equal(stats_of(p).plain_bytes, 1 << 20); /* lazily: a page that nobody touches is not there */
        buffer_unref(b);
        sluice_pool_unref(p);
}

/* More than one chunk, and all of the kernel's memory is said to be of some kind. */
static void large_pieces_say_what_they_are(void **state)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .numa = SLUICE_NUMA_OFF };
        struct sluice_pool *p = NULL;
        struct buffer *out[64];
        struct sluice_pool_stats s;

        (void)state;
        assert_int_equal(sluice_pool_new(&p, &o), 0);
        for (unsigned i = 0; i < COUNT(out); i++) {
                out[i] = buffer_get(p);
                memset(out[i]->data, 1, BUFFER_BYTES);
        }
        s = stats_of(p);
        assert_true(s.total_bytes >= COUNT(out) * BUFFER_BYTES);
        assert_int_equal(s.huge_bytes + s.thp_bytes + s.plain_bytes, s.total_bytes);
        assert_int_equal(s.lent_peak_bytes, COUNT(out) * BUFFER_BYTES);
        assert_int_equal(s.nodes, 1);
        for (unsigned i = 0; i < COUNT(out); i++)
                buffer_unref(out[i]);
        assert_int_equal(stats_of(p).frees_local, COUNT(out));
        sluice_pool_unref(p);
}

static void what_is_free_is_poisoned(void **state)
{
#ifdef POISON_SEEN
        int __asan_address_is_poisoned(const volatile void *at);
        struct sluice_pool *p = pool_of(1 << 20, SMALL);
        struct buffer *a, *b;
        uint8_t *data;

        (void)state;
        assert_int_equal(pool_take(p, &a), 0);
        assert_int_equal(pool_take(p, &b), 0);
        data = a->data;
        for (unsigned at = 0; at < SMALL; at++)
                assert_false(__asan_address_is_poisoned(data + at));
        pin_ref(&a->pin);
        buffer_unref(a);
        assert_false(__asan_address_is_poisoned(data));
        buffer_unref(a);
        for (unsigned at = 0; at < SMALL; at++)
                assert_true(__asan_address_is_poisoned(data + at));
        assert_false(__asan_address_is_poisoned(b->data));
        buffer_unref(b);
        sluice_pool_unref(p);
        assert_false(__asan_address_is_poisoned(data)); /* whoever is given these addresses next may use them */
#else
        (void)state;
        skip();
#endif
}

/* ---- several threads ---- */

static void *get_and_put_some(void *arg)
{
        struct sluice_buffer *out[40];

        for (unsigned i = 0; i < COUNT(out); i++)
                assert_int_equal(sluice_pool_get(arg, &out[i]), 0);
        for (unsigned i = 0; i < COUNT(out); i++)
                sluice_buffer_put(out[i]);
        return NULL;
}

static void in_thread(void *(*fn)(void *), void *arg)
{
        pthread_t id;

        assert_int_equal(pthread_create(&id, NULL, fn, arg), 0);
        pthread_join(id, NULL);
}

/* Free, and in no cache; on whichever node the threads ran. */
static unsigned at_home(struct sluice_pool *p)
{
        unsigned nr = 0;

        for (unsigned i = 0; i < p->arenas_nr; i++)
                nr += p->arenas[i].free_nr;
        return nr;
}

/* A thread that has ended keeps nothing, and leaves its place to the next. */
static void a_thread_sends_home_what_it_kept(void **state)
{
        struct sluice_pool *p = pool_of(40 * SMALL, SMALL);
        unsigned caches = 0;

        (void)state;
        for (unsigned i = 0; i < 20; i++) {
                in_thread(get_and_put_some, p);
                assert_int_equal(lent(p), 0);
                assert_int_equal(at_home(p), 40);
        }
        for (struct list *at = p->caches.next; at != &p->caches; at = at->next)
                caches++;
        assert_int_equal(caches, 1);
        sluice_pool_unref(p);
}

/* 1: main has filled its cache. 2: the thread has what was in it. */
struct turn {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        int at;
        struct sluice_pool *pool;
};

static void turn_to(struct turn *t, int at)
{
        pthread_mutex_lock(&t->lock);
        t->at = at;
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->lock);
}

static void turn_wait(struct turn *t, int at)
{
        pthread_mutex_lock(&t->lock);
        while (t->at < at)
                pthread_cond_wait(&t->changed, &t->lock);
        pthread_mutex_unlock(&t->lock);
}

/* While it lives: its cache is full when the other one needs everything. */
static void *keeps_a_cache(void *arg)
{
        struct turn *t = arg;

        get_and_put_some(t->pool);
        turn_to(t, 1);
        turn_wait(t, 2);
        get_and_put_some(t->pool);
        return NULL;
}

static void what_lies_in_another_cache_is_found(void **state)
{
        struct turn t = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, pool_of(40 * SMALL, SMALL) };
        pthread_t id;

        (void)state;
        assert_int_equal(pthread_create(&id, NULL, keeps_a_cache, &t), 0);
        turn_wait(&t, 1);
        assert_true(at_home(t.pool) < 40);
        get_and_put_some(t.pool); /* each of the 40, and its reservation */
        assert_int_equal(lent(t.pool), 0);
        turn_to(&t, 2);
        pthread_join(id, NULL);
        assert_int_equal(lent(t.pool), 0);
        sluice_pool_unref(t.pool);
}

/* A bounded exchange: what one thread gets, another puts. */
struct exchange {
        struct sluice_pool *pool;
        pthread_mutex_t lock;
        struct sluice_buffer *held[64];
};

struct worker {
        struct exchange *x;
        uint32_t seed;
        bool checks;
};

static struct sluice_buffer *swap(struct exchange *x, unsigned at, struct sluice_buffer *b)
{
        struct sluice_buffer *was;

        pthread_mutex_lock(&x->lock);
        was = x->held[at];
        x->held[at] = b;
        pthread_mutex_unlock(&x->lock);
        return was;
}

static void *work(void *arg)
{
        struct worker *w = arg;

        for (unsigned i = 0; i < THREAD_STEPS; i++) {
                uint32_t dice = next_random(&w->seed);
                struct sluice_buffer *b = NULL;
                int r = sluice_pool_get(w->x->pool, &b);

                if (r < 0)
                        assert_int_equal(r, -ENOBUFS);
                if (b)
                        memset(sluice_buffer_data(b), (int)dice, 64);
                if (b && dice % 7 == 0) { /* two readers */
                        sluice_buffer_put(swap(w->x, dice % 31, sluice_buffer_ref(b)));
                        sluice_buffer_put(b);
                } else {
                        sluice_buffer_put(swap(w->x, dice % COUNT(w->x->held), b));
                }
                if (w->checks && i % 16 == 0)
                        pool_check(w->x->pool);
        }
        return NULL;
}

static void the_law_holds_while_threads_work(void **state)
{
        struct exchange x = { .pool = pool_of(50 * SMALL, SMALL), .lock = PTHREAD_MUTEX_INITIALIZER };
        struct worker w[THREADS];
        pthread_t id[THREADS];

        (void)state;
        for (unsigned i = 0; i < THREADS; i++) {
                w[i] = (struct worker){ &x, 88172645 + i, i == 0 };
                assert_int_equal(pthread_create(&id[i], NULL, work, &w[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(id[i], NULL);
        for (unsigned i = 0; i < COUNT(x.held); i++)
                sluice_buffer_put(x.held[i]);
        assert_int_equal(lent(x.pool), 0);
        in_thread(get_and_put_some, x.pool);
        sluice_pool_unref(x.pool);
}

/* A pool goes while threads that used it live on with their caches, and use the next one at the same address. */
static void *uses_pool_after_pool(void *arg)
{
        struct turn *t = arg;

        for (int at = 1; at < 40; at += 2) {
                turn_wait(t, at);
                get_and_put_some(t->pool);
                turn_to(t, at + 1);
        }
        return NULL;
}

static void a_pool_may_go_before_its_threads(void **state)
{
        struct turn t = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL };
        pthread_t id;

        (void)state;
        assert_int_equal(pthread_create(&id, NULL, uses_pool_after_pool, &t), 0);
        for (int at = 1; at < 40; at += 2) {
                t.pool = pool_of(40 * SMALL, SMALL);
                turn_to(&t, at);
                turn_wait(&t, at + 1);
                assert_int_equal(lent(t.pool), 0);
                sluice_pool_unref(t.pool);
        }
        pthread_join(id, NULL);
}

/* More pools than a thread has places for: it gives up one cache for another, and loses nothing. */
static void many_pools_by_turns(void **state)
{
        struct sluice_pool *p[20];
        struct buffer *b;

        (void)state;
        for (unsigned i = 0; i < COUNT(p); i++)
                p[i] = pool_of(SMALL, SMALL);
        for (unsigned round = 0; round < 3; round++)
                for (unsigned i = 0; i < COUNT(p); i++) {
                        assert_int_equal(pool_take(p[i], &b), 0);
                        assert_int_equal(lent(p[i]), 1);
                        buffer_unref(b);
                        assert_int_equal(lent(p[i]), 0);
                }
        for (unsigned i = 0; i < COUNT(p); i++)
                sluice_pool_unref(p[i]);
}

/* Two threads give back the last buffers of a pool that its owner has left. */
static void *put_one(void *arg)
{
        sluice_buffer_put(arg);
        return NULL;
}

static void the_last_buffer_takes_the_pool_along(void **state)
{
        (void)state;
        for (unsigned i = 0; i < 50; i++) {
                struct sluice_pool *p = pool_of(4 * SMALL, SMALL);
                struct sluice_buffer *b[4];
                pthread_t id[4];

                for (unsigned j = 0; j < COUNT(b); j++)
                        assert_int_equal(sluice_pool_get(p, &b[j]), 0);
                for (unsigned j = 0; j < 2; j++)
                        assert_int_equal(pthread_create(&id[j], NULL, put_one, b[j]), 0);
                sluice_pool_unref(p);
                for (unsigned j = 2; j < COUNT(b); j++)
                        assert_int_equal(pthread_create(&id[j], NULL, put_one, b[j]), 0);
                for (unsigned j = 0; j < COUNT(b); j++)
                        pthread_join(id[j], NULL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_law_holds_after_every_step),
                cmocka_unit_test(what_the_kernel_names_is_counted_apart),
                cmocka_unit_test(the_budget_is_a_bound),
                cmocka_unit_test(options_are_checked),
                cmocka_unit_test(a_start_costs_nothing),
                cmocka_unit_test(large_pieces_say_what_they_are),
                cmocka_unit_test(what_is_free_is_poisoned),
                cmocka_unit_test(a_thread_sends_home_what_it_kept),
                cmocka_unit_test(what_lies_in_another_cache_is_found),
                cmocka_unit_test(the_law_holds_while_threads_work),
                cmocka_unit_test(a_pool_may_go_before_its_threads),
                cmocka_unit_test(many_pools_by_turns),
                cmocka_unit_test(the_last_buffer_takes_the_pool_along),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
