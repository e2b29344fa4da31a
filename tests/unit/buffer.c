/* tests/unit/buffer.c: lent == buffers given and not given back; the free list is bounded. */
#include "unit.h"

#include "buffer.h"

enum { MANY = BUFFER_IDLE_MAX * 3 };

static void lent_counts_what_is_out(void **state)
{
        struct buffer *out[MANY];
        struct buffers home;

        (void)state;
        buffers_init(&home);
        for (unsigned i = 0; i < MANY; i++) {
                out[i] = buffer_get(&home);
                assert_non_null(out[i]);
                assert_int_equal(home.lent, i + 1);
                memset(out[i]->data, (int)i, BUFFER_BYTES);
        }
        for (unsigned i = 0; i < MANY; i++) {
                assert_int_equal(out[i]->data[BUFFER_BYTES - 1], i);
                buffer_unref(out[i]);
                assert_int_equal(home.lent, MANY - i - 1);
        }
        assert_int_equal(home.idle_nr, BUFFER_IDLE_MAX);
        buffers_fini(&home);
        assert_int_equal(home.idle_nr, 0);
}

static void a_free_one_is_used_again(void **state)
{
        struct buffers home;
        struct buffer *b;

        (void)state;
        buffers_init(&home);
        b = buffer_get(&home);
        buffer_unref(b);
        assert_ptr_equal(buffer_get(&home), b);
        assert_int_equal(home.idle_nr, 0);
        buffer_unref(b);
        buffers_fini(&home);
}

static void it_lives_as_long_as_its_last_pin(void **state)
{
        struct buffers home;
        struct buffer *b;

        (void)state;
        buffers_init(&home);
        b = buffer_get(&home);
        pin_ref(&b->pin);
        buffer_unref(b);
        assert_int_equal(home.lent, 1);
        assert_int_equal(home.idle_nr, 0);
        pin_unref(&b->pin);
        assert_int_equal(home.lent, 0);
        assert_int_equal(home.idle_nr, 1);
        buffer_unref(NULL);
        buffers_fini(&home);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lent_counts_what_is_out),
                cmocka_unit_test(a_free_one_is_used_again),
                cmocka_unit_test(it_lives_as_long_as_its_last_pin),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
