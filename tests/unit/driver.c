/* tests/unit/driver.c: every combination of facts; the rules are stated again, each on its own. */
#include "unit.h"

#include "driver.h"

static struct driver_facts facts_of(unsigned bits)
{
        return (struct driver_facts){
                .forced = (enum sluice_driver)(bits & 3),
                .copy_only = bits >> 2 & 1,
                .may_block = bits >> 3 & 1,
                .child_pipe = bits >> 4 & 1,
                .foreign_pipe = bits >> 5 & 1,
                .exclusive = bits >> 6 & 1,
                .sockets = bits >> 7 & 1,
                .forbid_copy = bits >> 8 & 1,
        };
}

enum { COMBINATIONS = 1 << 9 };

static void what_cannot_be_spliced_is_copied(void **state)
{
        (void)state;
        for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
                struct driver_facts f = facts_of(bits);

                if (f.copy_only)
                        assert_int_equal(driver_choose(&f).driver, SLUICE_DRIVER_COPY);
        }
}

/* A loop that serves others must never wait for a lock that a process holds. */
static void a_shared_loop_never_touches_a_process_pipe_inline(void **state)
{
        (void)state;
        for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
                struct driver_facts f = facts_of(bits);

                if (!f.exclusive && (f.child_pipe || f.foreign_pipe))
                        assert_int_not_equal(driver_choose(&f).driver, SLUICE_DRIVER_INLINE);
        }
}

static void what_was_asked_for_is_given_where_it_is_safe(void **state)
{
        (void)state;
        for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
                struct driver_facts f = facts_of(bits);
                bool unsafe = f.forced == SLUICE_DRIVER_INLINE && !f.exclusive && (f.child_pipe || f.foreign_pipe);

                if (f.forced != SLUICE_DRIVER_AUTO && !f.copy_only && !unsafe)
                        assert_int_equal(driver_choose(&f).driver, f.forced);
        }
}

/* A socket is no pipe and no storage. */
static bool are_sockets(const struct driver_facts *f)
{
        return f->sockets && !f->child_pipe && !f->foreign_pipe && !f->may_block && !f->forbid_copy;
}

static void between_sockets_it_is_seen_while_they_move(void **state)
{
        (void)state;
        for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
                struct driver_facts f = facts_of(bits);

                if (f.forced == SLUICE_DRIVER_AUTO && !f.copy_only && are_sockets(&f))
                        assert_int_equal(driver_choose(&f).driver, SLUICE_DRIVER_AUTO);
        }
}

static void unasked_nothing_is_copied_where_it_is_forbidden(void **state)
{
        (void)state;
        for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
                struct driver_facts f = facts_of(bits);

                if (f.forced == SLUICE_DRIVER_AUTO && !f.copy_only && f.forbid_copy) {
                        assert_int_not_equal(driver_choose(&f).driver, SLUICE_DRIVER_COPY);
                        assert_int_not_equal(driver_choose(&f).driver, SLUICE_DRIVER_AUTO);
                }
        }
}

static void unasked_it_is_inline_unless_something_may_wait(void **state)
{
        (void)state;
        for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
                struct driver_facts f = facts_of(bits);
                bool waits = f.may_block || f.child_pipe || (f.foreign_pipe && !f.exclusive);

                if (f.forced == SLUICE_DRIVER_AUTO && !f.copy_only && (!f.sockets || waits))
                        assert_int_equal(driver_choose(&f).driver, waits ? SLUICE_DRIVER_RING : SLUICE_DRIVER_INLINE);
        }
}

static void it_is_always_a_driver_with_a_reason(void **state)
{
        (void)state;
        for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
                struct driver_facts f = facts_of(bits);
                struct driver_choice c = driver_choose(&f);

                assert_true(c.driver != SLUICE_DRIVER_AUTO || f.sockets);
                assert_true(c.reason && *c.reason);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_cannot_be_spliced_is_copied),
                cmocka_unit_test(a_shared_loop_never_touches_a_process_pipe_inline),
                cmocka_unit_test(what_was_asked_for_is_given_where_it_is_safe),
                cmocka_unit_test(unasked_it_is_inline_unless_something_may_wait),
                cmocka_unit_test(between_sockets_it_is_seen_while_they_move),
                cmocka_unit_test(unasked_nothing_is_copied_where_it_is_forbidden),
                cmocka_unit_test(it_is_always_a_driver_with_a_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
