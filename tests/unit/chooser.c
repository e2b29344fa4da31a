/* tests/unit/chooser.c: a link between two sockets changes its way when enough moves in a row speak for it, and stays otherwise. */
#include "unit.h"

#include "chooser.h"

static struct chooser fresh(enum sluice_driver forced, enum sluice_prefer prefer)
{
        struct chooser c;

        chooser_init(&c, forced, prefer);
        return c;
}

static void saw(struct chooser *c, unsigned moves, uint32_t bytes)
{
        while (moves--)
                chooser_saw(c, bytes);
}

static void bulk_comes_to_be_spliced_and_small_moves_to_be_copied(void **state)
{
        struct chooser c = fresh(SLUICE_DRIVER_AUTO, SLUICE_PREFER_RELAY_CPU);

        (void)state;
        assert_int_equal(c.now, SLUICE_DRIVER_COPY);
        saw(&c, BULK_MOVES - 1, c.bulk_bytes);
        assert_int_equal(c.now, SLUICE_DRIVER_COPY);
        saw(&c, 1, c.bulk_bytes);
        assert_int_equal(c.now, SLUICE_DRIVER_INLINE);
        saw(&c, SMALL_MOVES - 1, c.small_bytes - 1);
        assert_int_equal(c.now, SLUICE_DRIVER_INLINE);
        saw(&c, 1, c.small_bytes - 1);
        assert_int_equal(c.now, SLUICE_DRIVER_COPY);
        assert_int_equal(c.changes, 2);
}

static void what_lies_between_the_bounds_changes_nothing(void **state)
{
        struct chooser c = fresh(SLUICE_DRIVER_AUTO, SLUICE_PREFER_RELAY_CPU);

        (void)state;
        for (int i = 0; i < 100; i++) {
                saw(&c, BULK_MOVES - 1, c.bulk_bytes);
                saw(&c, 1, c.bulk_bytes - 1);
        }
        assert_int_equal(c.changes, 0);
        saw(&c, BULK_MOVES, c.bulk_bytes);
        for (int i = 0; i < 100; i++) {
                saw(&c, SMALL_MOVES - 1, 1);
                saw(&c, 1, c.small_bytes);
        }
        assert_int_equal(c.now, SLUICE_DRIVER_INLINE);
        assert_int_equal(c.changes, 1);
}

static void who_saves_the_relays_cpu_splices_sooner(void **state)
{
        struct chooser all = fresh(SLUICE_DRIVER_AUTO, SLUICE_PREFER_PATH),
                       relay = fresh(SLUICE_DRIVER_AUTO, SLUICE_PREFER_RELAY_CPU);

        (void)state;
        assert_true(relay.bulk_bytes < all.bulk_bytes);
        saw(&all, 100, relay.bulk_bytes);
        saw(&relay, 100, relay.bulk_bytes);
        assert_int_equal(all.now, SLUICE_DRIVER_COPY);
        assert_int_equal(relay.now, SLUICE_DRIVER_INLINE);
        saw(&all, BULK_MOVES, all.bulk_bytes);
        assert_int_equal(all.now, SLUICE_DRIVER_INLINE);
}

static void what_was_forced_stays(void **state)
{
        struct chooser copy = fresh(SLUICE_DRIVER_COPY, SLUICE_PREFER_RELAY_CPU),
                       splice = fresh(SLUICE_DRIVER_INLINE, SLUICE_PREFER_PATH);

        (void)state;
        saw(&copy, 100, copy.bulk_bytes);
        saw(&splice, 100, 1);
        assert_int_equal(copy.now, SLUICE_DRIVER_COPY);
        assert_int_equal(splice.now, SLUICE_DRIVER_INLINE);
        chooser_refused(&splice); /* ... but for a kernel that will not */
        assert_int_equal(splice.now, SLUICE_DRIVER_COPY);
        saw(&splice, 100, splice.bulk_bytes);
        assert_int_equal(splice.now, SLUICE_DRIVER_COPY);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bulk_comes_to_be_spliced_and_small_moves_to_be_copied),
                cmocka_unit_test(what_lies_between_the_bounds_changes_nothing),
                cmocka_unit_test(who_saves_the_relays_cpu_splices_sooner),
                cmocka_unit_test(what_was_forced_stays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
