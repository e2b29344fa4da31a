/* tests/unit/budget.c: the deepest queues that fit are chosen, what does not fit is refused, and the sum is shown. */
#include "unit.h"

#include <errno.h>

#include "budget.h"

enum { KIB = 1024 };

static void the_sum_is_what_is_held_at_most(void **state)
{
        const struct budget_terms t = { .written_nr = 3, .read_nr = 2, .held_bytes = 5, .buffer_bytes = 100 };
        struct budget b;

        (void)state;
        assert_int_equal(budget_fit(&t, UINT64_MAX, 7, &b), 0);
        assert_int_equal(b.queue_depth, 7);
        assert_int_equal(b.bytes, 3 * 8 * 100 + 2 * 100 + 5);
}

/* Every budget from nothing to too much: never beyond it, and one more would not fit. */
static void the_deepest_that_fits_is_chosen(void **state)
{
        const struct budget_terms t = { .written_nr = 2, .read_nr = 1, .held_bytes = 3, .buffer_bytes = 10 };
        struct budget b;

        (void)state;
        for (uint64_t allowed = 0; allowed < 200; allowed++) {
                int r = budget_fit(&t, allowed, 7, &b);

                if (allowed < 2 * 2 * 10 + 10 + 3) {
                        assert_int_equal(r, -E2BIG);
                        assert_int_equal(b.bytes, 53);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_true(b.bytes <= allowed);
                assert_true(b.queue_depth == 7 || b.bytes + 2 * 10 > allowed);
                assert_true(b.queue_depth >= 1 && b.queue_depth <= 7);
        }
}

static void nothing_needs_nothing(void **state)
{
        const struct budget_terms t = { .buffer_bytes = 10 };
        struct budget b;

        (void)state;
        assert_int_equal(budget_fit(&t, 0, 7, &b), 0);
        assert_int_equal(b.bytes, 0);
}

static void a_refusal_shows_every_term(void **state)
{
        const struct budget_terms t = {
                .written_nr = 3, .read_nr = 2, .rings_nr = 1, .inner_nr = 4, .held_bytes = 6 << 20, .buffer_bytes = 256 * KIB
        };
        char text[256];

        (void)state;
        assert_true(budget_words(&t, 1 << 20, text, sizeof(text)) < (int)sizeof(text));
        assert_string_equal(text,
                            "its buffers need 9984 KiB at least (3 outputs of functions x 2 x 256 KiB + 2 inputs of functions x "
                            "256 KiB + 1 rings of threads x 3 x 256 KiB + 4 of parts x 256 KiB + 6144 KiB held by stages), and "
                            "1024 KiB are allowed "
                            "(--buffers=)");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_sum_is_what_is_held_at_most),
                cmocka_unit_test(the_deepest_that_fits_is_chosen),
                cmocka_unit_test(nothing_needs_nothing),
                cmocka_unit_test(a_refusal_shows_every_term),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
