/* tests/unit/plan.c: what build() refuses and what it says, that a refusal freezes nothing, and who owns configurations. */
#include "unit.h"

#include <errno.h>

#include "pipeline.h"
#include "plan.h"

/* ---- a stage that offers what its configuration says ---- */

struct offer {
        uint32_t out, in;
};

static unsigned copies; /* configurations that exist */
static int copy_error;

static int copy_offer(void **ret, const void *config)
{
        struct offer *o;

        if (copy_error)
                return copy_error;
        o = malloc(sizeof(*o));
        *o = *(const struct offer *)config;
        copies++;
        *ret = o;
        return 0;
}

static void free_offer(void *config)
{
        copies--;
        free(config);
}

static int describe(struct sluice_ctx *c, void *instance, enum sluice_direction dir, struct sluice_side *ret)
{
        const struct offer *o = sluice_ctx_config(c);

        assert_null(instance);
        ret->io = dir == SLUICE_INPUT ? o->in : o->out;
        return ret->io ? 0 : -ENOTSUP;
}

static int open_now(struct sluice_ctx *c, void *instance)
{
        (void)c;
        (void)instance;
        return 0;
}

static void close_now(struct sluice_ctx *c, void *instance, int error)
{
        (void)c;
        (void)instance;
        (void)error;
}

static const struct sluice_stage_ops ops = {
        .size = sizeof(ops),
        .name = "offer",
        .config_copy = copy_offer,
        .config_free = free_offer,
        .describe = describe,
        .open = open_now,
        .close = close_now,
};

static const struct offer fd_both = { SLUICE_IO_FD, SLUICE_IO_FD }, source = { SLUICE_IO_FD, 0 }, sink = { 0, SLUICE_IO_FD },
                          copied = { SLUICE_IO_COPY, SLUICE_IO_COPY }, lent = { SLUICE_IO_LEND, SLUICE_IO_LEND },
                          inherits = { SLUICE_IO_INHERIT, SLUICE_IO_INHERIT };

static struct sluice_plan *plan_of(const struct offer *const *offers, size_t n, unsigned flags)
{
        const struct sluice_options opt = { .size = sizeof(opt), .flags = flags };
        struct sluice_plan *p;

        assert_int_equal(plan_new(&p, &opt), 0);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(plan_add_stage(p, &ops, offers[i], NULL), i);
        return p;
}

static void expect_refusal(struct sluice_plan *p, int error, int stage)
{
        char text[NOTE_BYTES] = "";
        int at = -7, r = plan_build(p, &at, text, sizeof(text));

        if (r != error)
                fail_msg("%d (%s), not %d", r, text, error);
        assert_int_equal(at, stage);
        assert_true(text[0]);
        assert_false(p->frozen);
        plan_unref(p);
        assert_int_equal(copies, 0);
}

/* A test that failed before left its configurations behind. */
static int set_up(void **state)
{
        (void)state;
        copies = 0;
        copy_error = 0;
        return 0;
}

#define PLAN(flags, ...)                                                                                                           \
        plan_of((const struct offer *const[]){ __VA_ARGS__ }, COUNT(((const struct offer *const[]){ __VA_ARGS__ })), flags)

static void a_chain_is_built_and_frozen(void **state)
{
        struct sluice_plan *p = PLAN(0, &source, &fd_both, &sink);
        char text[NOTE_BYTES] = "";
        int stage;

        (void)state;
        assert_int_equal(plan_add_link(p, 0, 1), 0);
        assert_int_equal(plan_add_link(p, 1, 2), 1);
        assert_int_equal(plan_build(p, &stage, text, sizeof(text)), 0);
        assert_true(p->frozen);
        assert_int_equal(p->links[0].mode, SLUICE_LINK_SPLICE);
        assert_int_equal(plan_add_stage(p, &ops, &source, NULL), -EBUSY);
        assert_int_equal(plan_add_link(p, 0, 2), -EBUSY);
        plan_unref(plan_ref(p));
        assert_int_equal(copies, 3);
        plan_unref(p);
        plan_unref(NULL);
        assert_int_equal(copies, 0);
}

static void nothing_is_a_pipeline_too(void **state)
{
        struct sluice_plan *p;
        char text[NOTE_BYTES];
        int stage;

        (void)state;
        assert_int_equal(plan_new(&p, NULL), 0);
        assert_int_equal(plan_build(p, &stage, text, sizeof(text)), 0);
        plan_unref(p);
}

static void a_stage_alone_is_named(void **state)
{
        struct sluice_plan *p = PLAN(0, &source, &sink, &source);

        (void)state;
        plan_add_link(p, 0, 1);
        expect_refusal(p, -EINVAL, 2);
}

static void a_circle_is_refused(void **state)
{
        struct sluice_plan *p = PLAN(0, &fd_both, &fd_both);

        (void)state;
        plan_add_link(p, 0, 1);
        plan_add_link(p, 1, 0);
        expect_refusal(p, -ELOOP, -1);
        p = PLAN(0, &fd_both, &fd_both, &fd_both, &source, &sink);
        plan_add_link(p, 3, 4);
        plan_add_link(p, 0, 1);
        plan_add_link(p, 1, 2);
        plan_add_link(p, 2, 0);
        expect_refusal(p, -ELOOP, -1);
}

/* ... also where the way round leads through outputs with several links. */
static void a_circle_with_branches_is_refused(void **state)
{
        struct sluice_plan *p = PLAN(0, &fd_both, &fd_both, &sink, &sink);

        (void)state;
        plan_add_link(p, 0, 1);
        plan_add_link(p, 1, 0);
        plan_add_link(p, 0, 2);
        plan_add_link(p, 1, 3);
        expect_refusal(p, -ELOOP, -1);
}

static void a_side_that_is_not_there_is_named(void **state)
{
        struct sluice_plan *p = PLAN(0, &sink, &sink);

        (void)state;
        plan_add_link(p, 0, 1);
        expect_refusal(p, -ENOTSUP, 0);
        p = PLAN(0, &source, &source);
        plan_add_link(p, 0, 1);
        expect_refusal(p, -ENOTSUP, 1);
        p = PLAN(0, &lent, &fd_both);
        plan_add_link(p, 0, 1);
        expect_refusal(p, -ENOTSUP, 1);
}

/* `ops` has neither command() nor run(). */
static void a_process_that_starts_nothing_is_refused(void **state)
{
        struct sluice_plan *p;

        (void)state;
        p = PLAN(0, &source, &inherits);
        assert_int_equal(plan_add_link(p, 0, 1), 0);
        expect_refusal(p, -ENOTSUP, 1);
        p = PLAN(0, &inherits, &sink);
        assert_int_equal(plan_add_link(p, 0, 1), 0);
        expect_refusal(p, -ENOTSUP, 0);
}

static void what_this_release_cannot_move_is_refused(void **state)
{
        struct sluice_plan *p = PLAN(0, &source, &sink, &sink);

        (void)state;
        plan_add_link(p, 0, 1);
        plan_add_link(p, 0, 2);
        expect_refusal(p, -ENOTSUP, 1);
}

static void a_copy_is_refused_where_it_is_forbidden(void **state)
{
        struct sluice_plan *p = PLAN(SLUICE_FORBID_COPY, &source, &copied);
        char text[NOTE_BYTES];
        int stage;

        (void)state;
        plan_add_link(p, 0, 1);
        expect_refusal(p, -EOPNOTSUPP, 1);
        p = PLAN(SLUICE_FORBID_COPY, &source, &sink);
        plan_add_link(p, 0, 1);
        assert_int_equal(plan_build(p, &stage, text, sizeof(text)), 0);
        plan_unref(p);
}

static void links_that_cannot_be_are_refused(void **state)
{
        struct sluice_plan *p = PLAN(0, &source, &sink, &source);

        (void)state;
        assert_int_equal(plan_add_link(p, 0, 0), -EINVAL);
        assert_int_equal(plan_add_link(p, 0, 3), -EINVAL);
        assert_int_equal(plan_add_link(p, -1, 1), -EINVAL);
        assert_int_equal(plan_add_link(p, INT32_MAX, 1), -EINVAL);
        assert_int_equal(p->links_nr, 0);
        assert_int_equal(plan_add_link(p, 0, 1), 0);
        assert_int_equal(plan_add_link(p, 2, 1), -EEXIST);
        assert_int_equal(plan_add_link(p, 0, 1), -EEXIST);
        assert_int_equal(p->links_nr, 1);
        plan_unref(p);
}

static void a_table_that_is_not_whole_is_refused(void **state)
{
        struct sluice_stage_ops bad[5];
        struct sluice_plan *p;

        (void)state;
        for (size_t i = 0; i < COUNT(bad); i++)
                bad[i] = ops;
        bad[0].size--;
        bad[1].name = NULL;
        bad[2].describe = NULL;
        bad[3].open = NULL;
        bad[4].close = NULL;
        assert_int_equal(plan_new(&p, NULL), 0);
        assert_int_equal(plan_add_stage(p, NULL, &source, NULL), -EINVAL);
        for (size_t i = 0; i < COUNT(bad); i++)
                assert_int_equal(plan_add_stage(p, &bad[i], &source, NULL), -EINVAL);
        copy_error = -E2BIG;
        assert_int_equal(plan_add_stage(p, &ops, &source, NULL), -E2BIG);
        copy_error = 0;
        assert_int_equal(p->stages_nr, 0);
        plan_unref(p);
        assert_int_equal(copies, 0);
}

/* A configuration that is flat needs no hooks. */
static void a_flat_configuration_is_copied(void **state)
{
        struct sluice_stage_ops flat = ops;
        struct sluice_plan *p = PLAN(0, &source);
        struct offer o = source;
        void *copy;

        (void)state;
        flat.config_copy = NULL;
        flat.config_free = NULL;
        flat.config_size = sizeof(o);
        assert_int_equal(plan_add_stage(p, &flat, NULL, NULL), -EINVAL);
        assert_int_equal(plan_add_stage(p, &flat, &o, NULL), 1);
        o.out = 0;
        assert_int_equal(((struct offer *)p->stages[1].config)->out, source.out);
        assert_int_equal(config_dup(&flat, &o, &copy), 0);
        assert_ptr_not_equal(copy, &o);
        config_drop(&flat, copy);
        plan_unref(p);
}

static void a_failed_build_can_be_mended(void **state)
{
        struct sluice_plan *p = PLAN(0, &source);
        char text[NOTE_BYTES];
        int stage;

        (void)state;
        assert_int_equal(plan_build(p, &stage, text, sizeof(text)), -EINVAL);
        assert_int_equal(plan_add_stage(p, &ops, &sink, "mended"), 1);
        assert_int_equal(plan_add_link(p, 0, 1), 0);
        assert_int_equal(plan_build(p, &stage, text, sizeof(text)), 0);
        assert_string_equal(p->stages[1].name, "mended");
        plan_unref(p);
}

static void the_pipeline_says_it_with_the_stages_name(void **state)
{
        struct sluice_pipeline *p;

        (void)state;
        assert_int_equal(sluice_pipeline_new(&p, NULL), 0);
        assert_int_equal(sluice_pipeline_add(p, &ops, &source, "left"), 0);
        assert_int_equal(sluice_pipeline_build(p), -EINVAL);
        assert_non_null(strstr(sluice_pipeline_error(p), "left: "));
        assert_int_equal(sluice_pipeline_error_stage(p), 0);
        assert_int_equal(sluice_pipeline_add(p, &ops, &sink, "right"), 1);
        assert_int_equal(sluice_pipeline_link(p, 0, 1), 0);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_string_equal(sluice_pipeline_error(p), ""); /* nothing went wrong last */
        assert_int_equal(sluice_pipeline_error_stage(p), -1);
        sluice_pipeline_free(p);
        assert_int_equal(copies, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(a_chain_is_built_and_frozen, set_up),
                cmocka_unit_test_setup(nothing_is_a_pipeline_too, set_up),
                cmocka_unit_test_setup(a_stage_alone_is_named, set_up),
                cmocka_unit_test_setup(a_circle_is_refused, set_up),
                cmocka_unit_test_setup(a_circle_with_branches_is_refused, set_up),
                cmocka_unit_test_setup(a_side_that_is_not_there_is_named, set_up),
                cmocka_unit_test_setup(a_process_that_starts_nothing_is_refused, set_up),
                cmocka_unit_test_setup(what_this_release_cannot_move_is_refused, set_up),
                cmocka_unit_test_setup(a_copy_is_refused_where_it_is_forbidden, set_up),
                cmocka_unit_test_setup(links_that_cannot_be_are_refused, set_up),
                cmocka_unit_test_setup(a_table_that_is_not_whole_is_refused, set_up),
                cmocka_unit_test_setup(a_flat_configuration_is_copied, set_up),
                cmocka_unit_test_setup(a_failed_build_can_be_mended, set_up),
                cmocka_unit_test_setup(the_pipeline_says_it_with_the_stages_name, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
