/* tests/unit/segment.c: the queue is bounded, in order, and holds exactly one reference of each buffer in it. */
#include "unit.h"

#include "segment.h"

static struct segment numbered(int64_t n)
{
        return (struct segment){ .kind = SEGMENT_FD, .offset = n, .length = -1 };
}

static void it_is_bounded(void **state)
{
        struct segments q = { 0 };

        (void)state;
        assert_null(segments_first(&q));
        for (int i = 0; i < SEGMENTS_MAX; i++) {
                assert_false(segments_full(&q));
                assert_true(segments_add(&q, numbered(i)));
        }
        assert_true(segments_full(&q));
        assert_false(segments_add(&q, numbered(99)));
        assert_int_equal(q.nr, SEGMENTS_MAX);
        assert_int_equal(segments_first(&q)->offset, 0);
        segments_clear(&q);
        assert_null(segments_first(&q));
}

static void what_goes_in_first_comes_out_first(void **state)
{
        struct segments q = { 0 };
        int64_t in = 0, out = 0;

        (void)state;
        for (int round = 0; round < 200; round++) {
                for (int i = 0; i < 1 + round % SEGMENTS_MAX; i++)
                        if (segments_add(&q, numbered(in)))
                                in++;
                for (int i = 0; i < 1 + round % 3 && segments_first(&q); i++) {
                        assert_int_equal(segments_first(&q)->offset, out++);
                        segments_pop(&q);
                }
                assert_int_equal(q.nr, in - out);
        }
        segments_clear(&q);
}

static void it_holds_one_reference_of_each_buffer(void **state)
{
        struct segments q = { 0 };
        struct buffers home;
        struct buffer *kept;

        (void)state;
        buffers_init(&home);
        kept = buffer_get(&home);
        pin_ref(&kept->pin);
        segments_add(&q, (struct segment){ .kind = SEGMENT_MEM, .length = 1, .buffer = kept });
        segments_add(&q, (struct segment){ .kind = SEGMENT_MEM, .length = 1, .buffer = buffer_get(&home) });
        segments_add(&q, (struct segment){ .kind = SEGMENT_END });
        assert_int_equal(home.lent, 2);
        segments_pop(&q);
        assert_int_equal(home.lent, 2); /* the other reference is ours */
        segments_clear(&q);
        assert_int_equal(home.lent, 1);
        buffer_unref(kept);
        assert_int_equal(home.lent, 0);
        buffers_fini(&home);
}

static void a_refused_buffer_stays_with_the_caller(void **state)
{
        struct segments q = { 0 };
        struct buffers home;
        struct buffer *b;

        (void)state;
        buffers_init(&home);
        b = buffer_get(&home);
        while (segments_add(&q, (struct segment){ .kind = SEGMENT_BARRIER }))
                continue;
        assert_false(segments_add(&q, (struct segment){ .kind = SEGMENT_MEM, .buffer = b }));
        segments_clear(&q);
        assert_int_equal(b->pin.refs, 1);
        buffer_unref(b);
        buffers_fini(&home);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_is_bounded),
                cmocka_unit_test(what_goes_in_first_comes_out_first),
                cmocka_unit_test(it_holds_one_reference_of_each_buffer),
                cmocka_unit_test(a_refused_buffer_stays_with_the_caller),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
