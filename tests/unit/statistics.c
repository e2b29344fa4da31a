/* tests/unit/statistics.c: the interval of a median is that of the sign test, for few values and for many; and an order is a permutation. */
#include "unit.h"

#include "statistics.h"

/* From tables of the sign test at 5 %, two-sided: so many of n may be left off at either end, and one more. */
static void intervals_are_those_of_the_sign_test(void **state)
{
        static const struct {
                size_t n, cut;
        } known[] = { { 1, 0 },  { 5, 0 },  { 6, 1 },   { 8, 1 },    { 9, 2 },      { 11, 2 },      { 12, 3 },
                      { 20, 6 }, { 25, 8 }, { 50, 18 }, { 100, 40 }, { 1000, 469 }, { 10000, 4902 } };

        (void)state;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
                assert_int_equal(interval_cut(known[i].n), known[i].cut);
}

static void an_estimate_is_of_sorted_values(void **state)
{
        double ten[] = { 9, 1, 8, 2, 10, 7, 3, 6, 4, 5 }, three[] = { 3, 1, 2 };
        struct estimate e = estimate_of(ten, 10);

        (void)state;
        assert_true(e.least == 1 && e.low == 2 && e.median == 5.5 && e.high == 9 && e.most == 10);
        e = estimate_of(three, 3);
        assert_true(e.least == 1 && e.low == 1 && e.median == 2 && e.high == 3 && e.most == 3);
}

static void an_order_holds_everyone_once(void **state)
{
        size_t order[] = { 0, 1, 2 }, firsts[3] = { 0 };
        uint64_t seed = SHUFFLE_SEED;

        (void)state;
        for (int i = 0; i < 300; i++) {
                shuffle(order, 3, &seed);
                assert_int_equal(1 << order[0] | 1 << order[1] | 1 << order[2], 7);
                firsts[order[0]]++;
        }
        for (int i = 0; i < 3; i++)
                assert_in_range(firsts[i], 70, 130);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(intervals_are_those_of_the_sign_test),
                cmocka_unit_test(an_estimate_is_of_sorted_values),
                cmocka_unit_test(an_order_holds_everyone_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
