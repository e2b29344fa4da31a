/* tests/unit/load.c: percentiles of the load generator on known data: exact below 128, within 1 % and never flattering
 * above; and the content it compares by. */
#include "unit.h"

#include "load.h"

static struct histogram *of_range(uint64_t from, uint64_t to)
{
        struct histogram *h = histogram_new();

        assert_non_null(h);
        for (uint64_t v = from; v <= to; v++)
                histogram_add(h, v);
        return h;
}

static void nothing_has_percentile_zero(void **state)
{
        struct histogram *h = histogram_new();

        (void)state;
        assert_int_equal(histogram_percentile(h, 50), 0);
        assert_int_equal(histogram_percentile(h, 100), 0);
        assert_true(histogram_mean(h) == 0);
        free(h);
}

static void small_values_are_exact(void **state)
{
        struct histogram *h = of_range(1, 100);

        (void)state;
        for (uint64_t p = 1; p <= 100; p++)
                assert_int_equal(histogram_percentile(h, (double)p), p);
        assert_int_equal(histogram_percentile(h, 0), 1);
        assert_int_equal(histogram_percentile(h, 99.9), 100);
        assert_int_equal(h->least, 1);
        assert_int_equal(h->most, 100);
        assert_true(histogram_mean(h) == 50.5);
        free(h);
}

/* No less than the true one, and no more than a 128th beyond it. */
static void holds(const struct histogram *h, double percent, uint64_t want)
{
        uint64_t got = histogram_percentile(h, percent);

        if (got >= want && got <= want + want / 128 + 1)
                return;
        print_error("percentile %g: %llu, not %llu\n", percent, (unsigned long long)got, (unsigned long long)want);
        fail();
}

static void large_values_are_within_a_percent(void **state)
{
        struct histogram *h = of_range(1, 100000);

        (void)state;
        holds(h, 1, 1000);
        holds(h, 50, 50000);
        holds(h, 99, 99000);
        holds(h, 99.9, 99900);
        assert_int_equal(histogram_percentile(h, 100), 100000);
        free(h);
}

static void every_size_has_its_bucket(void **state)
{
        (void)state;
        for (unsigned bit = 0; bit < 64; bit++)
                for (int64_t off = -1; off <= 1; off++) {
                        struct histogram *h = histogram_new();
                        uint64_t value = (UINT64_C(1) << bit) + (uint64_t)off, sum = 0;

                        histogram_add(h, value);
                        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
                                sum += h->buckets[i];
                        assert_int_equal(sum, 1);
                        assert_true(histogram_percentile(h, 50) == value); /* the greatest that was seen */
                        histogram_add(h, UINT64_MAX);
                        if (value < UINT64_MAX / 2)
                                holds(h, 50, value);
                        free(h);
                }
}

static void a_rare_one_is_seen(void **state)
{
        struct histogram *h = histogram_new();

        (void)state;
        for (int i = 0; i < 999; i++)
                histogram_add(h, 20000);
        histogram_add(h, 5000000);
        holds(h, 99.9, 20000);
        assert_int_equal(histogram_percentile(h, 99.95), 5000000);
        free(h);
}

static void merged_is_as_added_to_one(void **state)
{
        struct histogram *one = of_range(1, 5000), *low = of_range(1, 1000), *high = of_range(1001, 5000);

        (void)state;
        histogram_merge(high, low);
        assert_memory_equal(one->buckets, high->buckets, sizeof(one->buckets));
        assert_int_equal(high->nr, one->nr);
        assert_int_equal(high->least, 1);
        assert_int_equal(high->most, 5000);
        assert_true(histogram_mean(high) == histogram_mean(one));
        free(one);
        free(low);
        free(high);
}

/* Any piece of a stream, wherever it begins and ends, is what the whole has there; and not what another place or stream has. */
static void content_is_of_its_place(void **state)
{
        enum { WHOLE = 100 };
        unsigned char whole[WHOLE], piece[WHOLE];

        (void)state;
        pattern_fill(whole, WHOLE, 7, 0);
        for (size_t from = 0; from < WHOLE; from++)
                for (size_t nr = 0; from + nr <= WHOLE; nr++) {
                        pattern_fill(piece, nr, 7, from);
                        assert_memory_equal(piece, whole + from, nr);
                        assert_true(pattern_holds(whole + from, nr, 7, from));
                        if (nr < 8)
                                continue;
                        assert_false(pattern_holds(whole + from, nr, 7, from + 1));
                        assert_false(pattern_holds(whole + from, nr, 8, from));
                }
        for (size_t at = 0; at < WHOLE; at++) {
                whole[at] ^= 1;
                assert_false(pattern_holds(whole, WHOLE, 7, 0));
                whole[at] ^= 1;
        }
}

static void hello_is_known_from_others(void **state)
{
        unsigned char hello[HELLO_BYTES];
        uint32_t id;

        (void)state;
        hello_write(hello, 4711);
        assert_true(hello_read(hello, &id));
        assert_int_equal(id, 4711);
        for (size_t at = 0; at < HELLO_BYTES; at++) {
                hello[at] ^= 1;
                assert_false(hello_read(hello, &id));
                hello[at] ^= 1;
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_has_percentile_zero),
                cmocka_unit_test(small_values_are_exact),
                cmocka_unit_test(large_values_are_within_a_percent),
                cmocka_unit_test(every_size_has_its_bucket),
                cmocka_unit_test(a_rare_one_is_seen),
                cmocka_unit_test(merged_is_as_added_to_one),
                cmocka_unit_test(content_is_of_its_place),
                cmocka_unit_test(hello_is_known_from_others),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
