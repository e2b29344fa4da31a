/* tests/unit/buffer.c: a buffer is its holder's alone, lives as long as its last pin, and is used again. */
#include "unit.h"

#include "buffer.h"
#include "lent.h"

enum { MANY = 24 };

static void each_is_its_holders_alone(void **state)
{
        struct sluice_pool *pool = new_pool();
        struct buffer *out[MANY];

        (void)state;
        for (unsigned i = 0; i < MANY; i++) {
                out[i] = buffer_get(pool);
                assert_non_null(out[i]);
                assert_int_equal((uintptr_t)out[i]->data % 4096, 0);
                assert_int_equal(lent(pool), i + 1);
                memset(out[i]->data, (int)i, BUFFER_BYTES);
        }
        for (unsigned i = 0; i < MANY; i++) {
                for (unsigned at = 0; at < BUFFER_BYTES; at++)
                        if (out[i]->data[at] != i)
                                fail_msg("buffer %u, byte %u: %u", i, at, out[i]->data[at]);
                buffer_unref(out[i]);
                assert_int_equal(lent(pool), MANY - i - 1);
        }
        sluice_pool_unref(pool);
}

static void a_free_one_is_used_again(void **state)
{
        struct sluice_pool *pool = new_pool();
        struct buffer *b = buffer_get(pool), *again;

        (void)state;
        buffer_unref(b);
        again = buffer_get(pool);
        assert_ptr_equal(again, b);
        buffer_unref(again);
        sluice_pool_unref(pool);
}

static void it_lives_as_long_as_its_last_pin(void **state)
{
        struct sluice_pool *pool = new_pool();
        struct buffer *b = buffer_get(pool);

        (void)state;
        pin_ref(&b->pin);
        buffer_unref(b);
        assert_int_equal(lent(pool), 1);
        b->data[0] = 1;
        pin_unref(&b->pin);
        assert_int_equal(lent(pool), 0);
        buffer_unref(NULL);
        sluice_pool_unref(pool);
}

/* A loop is freed; an operation that could not be waited for still names its buffer. */
static void it_outlives_its_pool(void **state)
{
        struct sluice_pool *pool = new_pool();
        struct buffer *b = buffer_get(pool), *c = buffer_get(pool);

        (void)state;
        buffer_own(b); /* without any reservation: a closed pool asks for none */
        sluice_pool_unref(pool);
        memset(b->data, 1, BUFFER_BYTES);
        buffer_unref(b);
        memset(c->data, 1, BUFFER_BYTES);
        buffer_unref(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_is_its_holders_alone),
                cmocka_unit_test(a_free_one_is_used_again),
                cmocka_unit_test(it_lives_as_long_as_its_last_pin),
                cmocka_unit_test(it_outlives_its_pool),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
