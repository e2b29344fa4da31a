/* tests/unit/slots.c: the last holder closes, and nobody before. */
#include "unit.h"

#include "fake.h"

static struct slot *slot_of(struct fake *f, int fd)
{
        struct slot *s;

        assert_int_equal(slot_new(&s, &f->base, fd), 0);
        return s;
}

static void the_last_one_closes(void **state)
{
        struct slot *s;
        struct fake f;

        (void)state;
        fake_init(&f, true);
        s = slot_of(&f, 42);
        assert_int_equal(s->refs, 1);
        assert_ptr_equal(slot_ref(s), s);
        assert_ptr_equal(slot_ref(s), s);
        assert_null(slot_unref(s));
        assert_null(slot_unref(s));
        assert_int_equal(f.closed, 0);
        assert_null(slot_unref(s));
        assert_int_equal(f.closed, 1);
        assert_int_equal(f.last_closed, 42);
        assert_null(slot_unref(NULL));
        backend_fini(&f.base);
}

static void an_operation_keeps_its_fds_open(void **state)
{
        struct slot *in, *out;
        struct fake f;
        struct op *op;

        (void)state;
        fake_init(&f, true);
        in = slot_of(&f, 10);
        out = slot_of(&f, 11);
        op = op_new(&f.base, OP_SPLICE, NULL, NULL);
        op_pin(op, in, out, NULL);
        assert_int_equal(in->refs, 2);
        backend_submit(&f.base, op);
        slot_unref(in);
        slot_unref(out);
        assert_int_equal(f.closed, 0);
        backend_complete(&f.base, op, 0);
        assert_int_equal(f.closed, 0);
        op_free(op);
        assert_int_equal(f.closed, 2);
        assert_int_equal(f.base.ops_lent, 0);
        backend_fini(&f.base);
}

static void an_operation_never_submitted_lets_go_too(void **state)
{
        struct slot *in;
        struct fake f;
        struct op *op;

        (void)state;
        fake_init(&f, true);
        in = slot_of(&f, 10);
        op = op_new(&f.base, OP_READ, NULL, NULL);
        op_pin(op, in, NULL, NULL);
        slot_unref(in);
        op_free(op);
        assert_int_equal(f.closed, 1);
        backend_fini(&f.base);
}

static void two_lives_have_two_generations(void **state)
{
        struct slot *a, *b;
        struct fake f;
        uint32_t first;

        (void)state;
        fake_init(&f, true);
        a = slot_of(&f, 7);
        b = slot_of(&f, 7);
        assert_int_not_equal(a->generation, b->generation);
        first = a->generation;
        slot_unref(a);
        a = slot_of(&f, 7);
        assert_int_not_equal(a->generation, first);
        assert_int_not_equal(a->generation, 0);
        slot_unref(a);
        slot_unref(b);
        backend_fini(&f.base);
}

/* close() of a foreign pipe may wait for a lock: on a shared loop that is an operation's business. */
static void a_foreign_pipe_is_closed_where_it_stops_nobody(void **state)
{
        struct slot *s;
        struct fake f;
        struct op *op;

        (void)state;
        fake_init(&f, false);
        s = slot_of(&f, 5);
        s->foreign = true;
        slot_unref(s);
        assert_int_equal(f.closed, 0);
        assert_int_equal(f.submitted, 1);
        op = container_of(list_pop(&f.taken), struct op, node);
        assert_int_equal(op->kind, OP_CLOSE);
        assert_int_equal(op->close.fd, 5);
        assert_true(op->force_async);
        backend_complete(&f.base, op, 0);
        op_free(op);
        backend_fini(&f.base);

        fake_init(&f, true);
        s = slot_of(&f, 5);
        s->foreign = true;
        slot_unref(s);
        assert_int_equal(f.closed, 1);
        assert_int_equal(f.submitted, 0);
        backend_fini(&f.base);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_last_one_closes),
                cmocka_unit_test(an_operation_keeps_its_fds_open),
                cmocka_unit_test(an_operation_never_submitted_lets_go_too),
                cmocka_unit_test(two_lives_have_two_generations),
                cmocka_unit_test(a_foreign_pipe_is_closed_where_it_stops_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
