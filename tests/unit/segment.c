/* tests/unit/segment.c: the queue is bounded, in order, and holds exactly one reference of each buffer in it. */
#include "unit.h"

#include "lent.h"
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
        for (int i = 0; i < SEGMENTS_FEW; i++)
                assert_true(segments_add(&q, numbered(i)));
        assert_true(segments_full(&q));
        assert_false(segments_add(&q, numbered(99)));
        segments_clear(&q);
        assert_int_equal(segments_grow(&q), 0);
        for (int i = 0; i < SEGMENTS_MAX; i++) {
                assert_false(segments_full(&q));
                assert_true(segments_add(&q, numbered(i)));
        }
        assert_true(segments_full(&q));
        assert_false(segments_add(&q, numbered(99)));
        assert_int_equal(q.nr, SEGMENTS_MAX);
        assert_int_equal(segments_first(&q)->offset, 0);
        assert_int_equal(segments_at(&q, SEGMENTS_MAX - 1)->offset, SEGMENTS_MAX - 1);
        segments_fini(&q);
        assert_null(segments_first(&q));
}

static void what_goes_in_first_comes_out_first(void **state)
{
        struct segments q = { 0 };
        int64_t in = 0, out = 0;

        (void)state;
        assert_int_equal(segments_grow(&q), 0);
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
        segments_fini(&q);
}

static void it_holds_one_reference_of_each_buffer(void **state)
{
        struct segments q = { 0 };
        struct sluice_pool *pool = new_pool();
        struct buffer *kept = buffer_get(pool);

        (void)state;
        pin_ref(&kept->pin);
        segments_add(&q, (struct segment){ .kind = SEGMENT_MEM, .length = 1, .buffer = kept });
        segments_add(&q, (struct segment){ .kind = SEGMENT_MEM, .length = 1, .buffer = buffer_get(pool) });
        segments_add(&q, (struct segment){ .kind = SEGMENT_END });
        assert_int_equal(lent(pool), 2);
        segments_pop(&q);
        assert_int_equal(lent(pool), 2); /* the other reference is ours */
        segments_clear(&q);
        assert_int_equal(lent(pool), 1);
        buffer_unref(kept);
        assert_int_equal(lent(pool), 0);
        sluice_pool_unref(pool);
}

static void a_refused_buffer_stays_with_the_caller(void **state)
{
        struct segments q = { 0 };
        struct sluice_pool *pool = new_pool();
        struct buffer *b = buffer_get(pool);

        (void)state;
        while (segments_add(&q, numbered(0)))
                continue;
        assert_false(segments_add(&q, (struct segment){ .kind = SEGMENT_MEM, .buffer = b }));
        segments_clear(&q);
        assert_int_equal(b->pin.refs, 1);
        buffer_unref(b);
        sluice_pool_unref(pool);
}

static void barriers_in_a_row_are_one(void **state)
{
        struct segments q = { 0 };

        (void)state;
        for (int i = 0; i < 3 * SEGMENTS_MAX; i++)
                assert_true(segments_add(&q, (struct segment){ .kind = SEGMENT_BARRIER }));
        assert_int_equal(q.nr, 1);
        segments_add(&q, numbered(0));
        segments_add(&q, (struct segment){ .kind = SEGMENT_BARRIER });
        assert_int_equal(q.nr, 3);
        segments_clear(&q);
}

/* As many buffers as a function may give, a flush between any two and at both ends, and the end. */
static void the_fullest_queue_has_room_for_the_end(void **state)
{
        struct segments q = { 0 };
        struct sluice_pool *pool = new_pool();

        (void)state;
        assert_int_equal(segments_grow(&q), 0);
        assert_true(segments_add(&q, (struct segment){ .kind = SEGMENT_BARRIER }));
        for (unsigned i = 0; i < MEM_SEGMENTS_MAX; i++) {
                assert_int_equal(q.mem_nr, i);
                assert_true(segments_add(&q, (struct segment){ .kind = SEGMENT_MEM, .buffer = buffer_get(pool) }));
                assert_true(segments_add(&q, (struct segment){ .kind = SEGMENT_BARRIER }));
        }
        assert_true(segments_add(&q, (struct segment){ .kind = SEGMENT_END }));
        segments_fini(&q);
        assert_int_equal(q.mem_nr, 0);
        assert_int_equal(lent(pool), 0);
        sluice_pool_unref(pool);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_is_bounded),
                cmocka_unit_test(what_goes_in_first_comes_out_first),
                cmocka_unit_test(it_holds_one_reference_of_each_buffer),
                cmocka_unit_test(a_refused_buffer_stays_with_the_caller),
                cmocka_unit_test(barriers_in_a_row_are_one),
                cmocka_unit_test(the_fullest_queue_has_room_for_the_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
