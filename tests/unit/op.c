/* tests/unit/op.c: which state may follow which, and what a raw result means. */
#include "unit.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "op.h"

enum { STATES = OP_DONE + 1 };

static const bool allowed[STATES][STATES] = {
        [OP_FREE][OP_NEW] = true,         [OP_NEW][OP_QUEUED] = true,  [OP_NEW][OP_FREE] = true,
        [OP_QUEUED][OP_IN_KERNEL] = true, [OP_QUEUED][OP_DONE] = true, [OP_IN_KERNEL][OP_DONE] = true,
        [OP_IN_KERNEL][OP_QUEUED] = true, [OP_DONE][OP_FREE] = true,
};

static void the_drawn_edges_are_taken(void **state)
{
        (void)state;
        for (int from = 0; from < STATES; from++)
                for (int to = 0; to < STATES; to++) {
                        struct op op = { .state = (enum op_state)from };

                        if (!allowed[from][to])
                                continue;
                        op_to(&op, (enum op_state)to);
                        assert_int_equal(op.state, to);
                }
}

/* In a child, since an edge that is not drawn ends the process. */
static bool aborts(enum op_state from, enum op_state to)
{
        struct op op = { .state = from };
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                close(2);
                op_to(&op, to);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void no_other_edge_is(void **state)
{
        (void)state;
        for (int from = 0; from < STATES; from++)
                for (int to = 0; to < STATES; to++)
                        if (!allowed[from][to] && !aborts((enum op_state)from, (enum op_state)to))
                                fail_msg("from %d to %d was allowed", from, to);
}

static void results_are_made_portable(void **state)
{
        static const struct {
                int raw;
                bool cancelled;
                int means;
        } rows[] = {
                { 0, false, 0 },
                { 65536, true, 65536 },
                { INT32_MAX, false, INT32_MAX },
                { -EAGAIN, false, -EAGAIN },
                { -ECANCELED, true, -ECANCELED },
                { -EPIPE, true, -EPIPE },
                { -EINTR, false, -EINTR },
                { -EINTR, true, -ECANCELED },
                { -511, false, -511 },
                { -511, true, -511 },
                { -512, false, -EINTR },
                { -512, true, -ECANCELED },
                { -513, false, -EINTR },
                { -513, true, -ECANCELED },
                { -514, false, -EINTR },
                { -514, true, -ECANCELED },
                { -515, false, -EINTR },
                { -515, true, -ECANCELED },
                { -516, false, -EINTR },
                { -516, true, -ECANCELED },
                { -517, false, -517 },
                { -517, true, -517 },
                { -4095, false, -4095 },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(rows); i++) {
                struct op op = { .res = rows[i].raw, .cancel_sent = rows[i].cancelled };

                if (op_result(&op) != rows[i].means)
                        fail_msg("%d%s: %d, not %d", rows[i].raw, rows[i].cancelled ? " after a cancel" : "", op_result(&op),
                                 rows[i].means);
                assert_int_equal(op.res, rows[i].raw);
        }
}

static void every_kind_has_a_name_of_its_own(void **state)
{
        (void)state;
        for (int a = 0; a < OP_KINDS; a++) {
                assert_true(op_kind_name((enum op_kind)a) && *op_kind_name((enum op_kind)a));
                for (int b = 0; b < a; b++)
                        assert_string_not_equal(op_kind_name((enum op_kind)a), op_kind_name((enum op_kind)b));
        }
}

static unsigned drops;

static void count_drop(struct pin *p)
{
        (void)p;
        drops++;
}

static void a_pin_drops_once(void **state)
{
        struct pin p = { .refs = 1, .drop = count_drop };

        (void)state;
        drops = 0;
        pin_unref(NULL);
        assert_ptr_equal(pin_ref(&p), &p);
        pin_unref(&p);
        assert_int_equal(drops, 0);
        pin_unref(&p);
        assert_int_equal(drops, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_drawn_edges_are_taken), cmocka_unit_test(no_other_edge_is),
                cmocka_unit_test(results_are_made_portable), cmocka_unit_test(every_kind_has_a_name_of_its_own),
                cmocka_unit_test(a_pin_drops_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
