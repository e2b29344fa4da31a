/* pool_buffers_outlive_everyone.c: a buffer goes to several readers on several threads, stays what it was until the last of
 * them has put it, and outlives the pool, the loop and the thread that it came from. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { READERS = 4, BYTES = 64 << 10 };

static struct sluice_pool *pool_new(size_t bytes, uint64_t budget)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .budget_bytes = budget, .buffer_bytes = bytes };
        struct sluice_pool *p;

        assert_int_equal(sluice_pool_new(&p, &o), 0);
        return p;
}

struct reader {
        struct sluice_buffer *buffer;
        int64_t mismatch;
};

static void *read_it(void *arg)
{
        struct reader *r = arg;

        for (unsigned i = 0; i < 20 && r->mismatch < 0; i++)
                r->mismatch = t_mismatch(sluice_buffer_data(r->buffer), sluice_buffer_bytes(r->buffer), 77);
        sluice_buffer_put(r->buffer);
        return NULL;
}

/* One buffer is all there is: were it given to the next before the last reader is through, the readers would see it. */
static void test_readers(void **state)
{
        struct sluice_pool *p = pool_new(BYTES, BYTES);

        (void)state;
        for (unsigned round = 0; round < 10; round++) {
                struct reader r[READERS];
                struct sluice_buffer *b, *next;
                pthread_t id[READERS];

                assert_int_equal(sluice_pool_get(p, &b), 0);
                assert_int_equal(sluice_buffer_bytes(b), BYTES);
                assert_int_equal((uintptr_t)sluice_buffer_data(b) % 4096, 0);
                t_pattern(sluice_buffer_data(b), BYTES, 77);
                for (unsigned i = 0; i < READERS; i++) {
                        r[i] = (struct reader){ sluice_buffer_ref(b), -1 };
                        assert_int_equal(pthread_create(&id[i], NULL, read_it, &r[i]), 0);
                }
                assert_int_equal(sluice_pool_get(p, &next), -ENOBUFS); /* ours is still out */
                sluice_buffer_put(b);
                while (sluice_pool_get(p, &next) == -ENOBUFS)
                        usleep(100);
                memset(sluice_buffer_data(next), 0, BYTES);
                sluice_buffer_put(next);
                for (unsigned i = 0; i < READERS; i++) {
                        pthread_join(id[i], NULL);
                        assert_int_equal(r[i].mismatch, -1);
                }
        }
        sluice_pool_unref(p);
}

static void *get_it(void *arg)
{
        struct reader *r = arg;
        struct sluice_pool *p = pool_new(BYTES, 4 * BYTES);

        assert_int_equal(sluice_pool_get(p, &r->buffer), 0);
        t_pattern(sluice_buffer_data(r->buffer), BYTES, 77);
        sluice_pool_unref(p);
        return NULL;
}

/* The thread that made the pool and the pool itself are gone. */
static void test_orphans(void **state)
{
        (void)state;
        for (unsigned round = 0; round < 20; round++) {
                struct reader r = { NULL, -1 };
                pthread_t id;

                assert_int_equal(pthread_create(&id, NULL, get_it, &r), 0);
                pthread_join(id, NULL);
                read_it(&r);
                assert_int_equal(r.mismatch, -1);
        }
}

/* What nobody holds goes back to the system with the pool: two hundred pools of 16 MiB would show. */
static void test_nothing_stays(void **state)
{
        long before = t_rss_kib();

        (void)state;
        for (unsigned round = 0; round < 200; round++) {
                struct sluice_pool *p = pool_new(2 << 20, 16 << 20);
                struct sluice_buffer *b[8];

                for (unsigned i = 0; i < 8; i++) {
                        assert_int_equal(sluice_pool_get(p, &b[i]), 0);
                        memset(sluice_buffer_data(b[i]), 1, T_MIB);
                }
                if (round % 2) /* first the pool, then what is out of it */
                        sluice_pool_unref(p);
                for (unsigned i = 0; i < 8; i++)
                        sluice_buffer_put(b[i]);
                if (round % 2 == 0)
                        sluice_pool_unref(p);
        }
        if (!t_sanitized())
                assert_true(t_rss_kib() < before + (32 << 10));
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_readers), T_TEST(test_orphans), T_TEST(test_nothing_stays) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
