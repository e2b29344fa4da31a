/* a_pipeline_is_a_stage.c: a pipeline that is added to another stands there as a source, a sink or in the middle, once or often,
 * also within a third; what it consists of keeps its name and has its own result; what it owns is owned once; and what is
 * refused has changed nothing. */
#include <fcntl.h>

#include "flow.h"

static int nest(struct sluice_pipeline *p, const struct sluice_pipeline *inner)
{
        return t_ok(sluice_pipeline_add_pipeline(p, inner));
}

static struct sluice_pipeline *chain_of(const char *const *scripts)
{
        struct sluice_pipeline *p = t_new(NULL);

        for (; *scripts; scripts++)
                t_sh(p, *scripts, NULL);
        t_chain(p);
        return p;
}

#define CHAIN(...) chain_of((const char *const[]){ __VA_ARGS__, NULL })

/* ---- places ---- */

static void test_places(void **state)
{
        struct sluice_pipeline *source = CHAIN("printf 'b\\na\\n'", "sort"), *middle = CHAIN("sed s/^/1/", "sed s/^/2/"),
                               *sink = t_new(NULL), *p = t_new(NULL);
        int at[3];

        (void)state;
        t_sh(sink, "tr ab AB", NULL);
        t_ok(sluice_add_file(sink, t_path("out"), NULL));
        t_chain(sink);
        at[0] = nest(p, source);
        at[1] = nest(p, middle);
        at[2] = nest(p, sink);
        assert_int_equal(at[0], 0);
        assert_int_equal(at[1], 2);
        assert_int_equal(at[2], 4);
        t_ok(sluice_pipeline_link(p, at[0], at[1]));
        t_ok(sluice_pipeline_link(p, at[1], at[2]));
        sluice_pipeline_free(source); /* what was added is there, whatever becomes of it */
        sluice_pipeline_free(middle);
        sluice_pipeline_free(sink);
        t_run(p, 0);
        sluice_pipeline_free(p);
        t_check_text(t_path("out"), "21A\n21B\n");
}

/* The first stage of the inner one is not the one without an input, nor its last the one without an output. */
static void test_stages_in_any_order(void **state)
{
        struct sluice_pipeline *inner = t_new(NULL), *p = t_new(NULL);
        int c = t_sh(inner, "sed s/^/c/", NULL), a = t_sh(inner, "sed s/^/a/", NULL), b = t_sh(inner, "sed s/^/b/", NULL), i,
            source;

        (void)state;
        t_ok(sluice_pipeline_link(inner, a, b));
        t_ok(sluice_pipeline_link(inner, b, c));
        source = t_sh(p, "echo x", NULL);
        i = nest(p, inner);
        t_ok(sluice_pipeline_link(p, source, i));
        t_ok(sluice_pipeline_link(p, i, t_ok(sluice_add_file(p, t_path("out"), NULL))));
        t_run_free(p, 0);
        sluice_pipeline_free(inner);
        t_check_text(t_path("out"), "cbax\n");
}

static void test_often_and_within_itself(void **state)
{
        struct sluice_pipeline *one = CHAIN("sed s/^/1/", "sed s/^/2/"), *two = t_new(NULL), *four = t_new(NULL), *p = t_new(NULL);
        int a, b, source;

        (void)state;
        a = nest(two, one), b = nest(two, one);
        t_ok(sluice_pipeline_link(two, a, b));
        a = nest(four, two), b = nest(four, two);
        t_ok(sluice_pipeline_link(four, a, b));
        assert_int_equal(sluice_pipeline_stages(four), 8);
        assert_int_equal(sluice_pipeline_links(four), 7);
        source = t_sh(p, "echo x", NULL);
        a = nest(p, four);
        t_ok(sluice_pipeline_link(p, source, a));
        t_ok(sluice_pipeline_link(p, a, t_ok(sluice_add_file(p, t_path("out"), NULL))));
        t_run_free(p, 0);
        t_check_text(t_path("out"), "21212121x\n");
        sluice_pipeline_free(one);
        sluice_pipeline_free(two);
        sluice_pipeline_free(four);
}

/* Functions inside and outside hand over; graphs may be inside. */
static void test_graphs_inside(void **state)
{
        struct sluice_pipeline *inner = t_new(NULL), *p = t_new(NULL);
        struct flow_sink k = { 0 };
        int tee = t_ok(sluice_add_tee(inner, 0)), merge = t_ok(sluice_add_merge(inner, SLUICE_MERGE_LINES, 0));
        int count = t_ok(sluice_add_count(inner)), source, i;

        (void)state;
        t_ok(sluice_pipeline_link(inner, tee, count));
        t_ok(sluice_pipeline_link(inner, count, merge));
        t_ok(sluice_pipeline_link(inner, tee, merge));
        source = t_ok(sluice_add_memory(p, "a\nb\n", 4));
        i = nest(p, inner);
        t_ok(sluice_pipeline_link(p, source, i));
        t_ok(sluice_pipeline_link(p, i, flow_add_sink(p, &k)));
        t_run(p, 0);
        assert_int_equal(k.bytes, 8);
        for (int l = 0; l < sluice_pipeline_links(p); l++)
                assert_int_equal(sluice_pipeline_link_mode(p, l), SLUICE_LINK_HANDOVER);
        sluice_pipeline_free(p);
        sluice_pipeline_free(inner);
        free(k.data);
}

/* ---- results, names ---- */

static void test_names_and_results(void **state)
{
        struct sluice_pipeline *inner = t_new(NULL), *p = t_new(NULL);
        int picky, i;

        (void)state;
        t_sh(inner, "echo x", NULL);
        picky = t_sh(inner, "cat; echo oh >&2; exit 5", NULL);
        t_ok(sluice_add_null(inner));
        t_chain(inner);
        t_ok(sluice_pipeline_ignore(inner, picky, SLUICE_IGNORE_EXIT, 5));
        t_sh(p, "exit 0", NULL);
        i = nest(p, inner);
        assert_string_equal(sluice_pipeline_stage_name(p, i + picky), sluice_pipeline_stage_name(inner, picky));
        t_run(p, 0); /* what it ignored is ignored */
        assert_int_equal(t_result(p, i + picky).exit_status, 5);
        assert_true(t_result(p, i + picky).ignored);
        sluice_pipeline_free(p);

        p = t_new(NULL);
        t_ok(sluice_pipeline_ignore(inner, picky, SLUICE_IGNORE_EXIT, 6));
        i = nest(p, inner);
        sluice_pipeline_free(inner);
        t_run_free(p, 0);
}

/* ---- its options do not count; it may have run ---- */

static void test_one_that_ran(void **state)
{
        struct sluice_pipeline *inner = t_new(T_OPTIONS(.timeout_ms = 1, .flags = SLUICE_FORBID_COPY)), *p = t_new(NULL);
        struct flow_sink k = { 0 };
        int i;

        (void)state;
        t_sh(inner, "sleep 0.05; echo x", NULL);
        t_run(inner, -ETIMEDOUT);
        i = nest(p, inner);
        t_ok(sluice_pipeline_link(p, i, flow_add_sink(p, &k)));
        t_run_free(p, 0);
        flow_check(&k, "x\n", 2);
        t_run(inner, -ETIMEDOUT); /* it stays what it was */
        sluice_pipeline_free(inner);
}

/* ---- what it owns ---- */

/* The fd is both's, until the last of them is gone; closing it twice would close a stranger's. */
static void test_an_fd_is_owned_once(void **state)
{
        (void)state;
        for (int run = 0; run < 2; run++)
                for (int inner_first = 0; inner_first < 2; inner_first++) {
                        struct sluice_pipeline *inner = t_new(NULL), *p = t_new(NULL);
                        int fds[2], i, stranger;

                        t_pipe(fds);
                        t_ok(sluice_add_fd(inner, fds[1], SLUICE_OWN));
                        i = t_sh(p, "echo x", NULL);
                        t_ok(sluice_pipeline_link(p, i, nest(p, inner)));
                        if (run)
                                t_run(p, 0);
                        sluice_pipeline_free(inner_first ? inner : p);
                        if (run)
                                assert_true(t_hung_up(fds[0], 0));
                        else
                                assert_false(t_hung_up(fds[0], 0));
                        stranger = run ? t_ok(fcntl(fds[0], F_DUPFD_CLOEXEC, fds[1])) : -1; /* the number is free again */
                        if (run)
                                assert_int_equal(stranger, fds[1]);
                        sluice_pipeline_free(inner_first ? p : inner);
                        assert_true(t_hung_up(fds[0], 0));
                        if (run) {
                                assert_true(fcntl(stranger, F_GETFD) >= 0);
                                close(stranger);
                        }
                        close(fds[0]);
                }
}

/* What a configuration is copied from may be another thing than the copy. */
static int copied, freed;

static int copy_text(void **ret, const void *config)
{
        char *at = malloc(sizeof(int));

        assert_string_equal(config, "7");
        *(int *)(void *)at = atoi(config);
        *ret = at;
        copied++;
        return 0;
}

static void free_number(void *config)
{
        freed++;
        free(config);
}

static int repeat(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        int nr = *(const int *)sluice_ctx_config(c);

        (void)self;
        in->consumed = in->len;
        memset(out->data, 'r', in->len ? (size_t)nr : 0);
        out->len = in->len ? (size_t)nr : 0;
        return 0;
}

static const struct sluice_stage_ops repeat_ops = {
        .size = sizeof(repeat_ops),
        .name = "repeat",
        .instance_size = sizeof(int),
        .config_copy = copy_text,
        .config_free = free_number,
        .describe = t_function_describe,
        .open = t_function_open,
        .process = repeat,
        .close = t_function_close,
};

static void test_configurations_are_not_copied_from_copies(void **state)
{
        struct sluice_pipeline *inner = t_new(NULL), *p = t_new(NULL);
        struct flow_sink k = { 0 };
        int source, a, b;

        (void)state;
        copied = freed = 0;
        t_ok(sluice_pipeline_add(inner, &repeat_ops, "7", NULL));
        source = t_ok(sluice_add_memory(p, "x", 1));
        a = nest(p, inner);
        b = t_ok(sluice_add_par(p, 2, inner, NULL, NULL, 0));
        t_ok(sluice_pipeline_link(p, source, a));
        t_ok(sluice_pipeline_link(p, a, b));
        t_ok(sluice_pipeline_link(p, b, flow_add_sink(p, &k)));
        sluice_pipeline_free(inner);
        t_run_free(p, 0);
        flow_check(&k, "rrrrrrr", 7);
        assert_int_equal(copied, 1);
        assert_int_equal(freed, 1);
}

/* ---- refusals ---- */

static void refused(struct sluice_pipeline *p, const struct sluice_pipeline *inner, int expected)
{
        int stages = sluice_pipeline_stages(p), links = sluice_pipeline_links(p);

        assert_int_equal(sluice_pipeline_add_pipeline(p, inner), expected);
        assert_int_equal(sluice_pipeline_stages(p), stages);
        assert_int_equal(sluice_pipeline_links(p), links);
}

static void test_refusals(void **state)
{
        struct sluice_pipeline *p = CHAIN("echo x", "cat"), *empty = t_new(NULL), *circle = t_new(NULL),
                               *inner = CHAIN("cat", "cat");
        int i;

        (void)state;
        t_ok(sluice_add_count(circle));
        t_ok(sluice_add_count(circle));
        t_ok(sluice_pipeline_link(circle, 0, 1));
        t_ok(sluice_pipeline_link(circle, 1, 0));
        refused(p, p, -EINVAL);
        refused(p, empty, -EINVAL);
        refused(p, circle, -EINVAL);
        refused(empty, empty, -EINVAL);

        i = nest(p, inner);
        assert_int_equal(sluice_pipeline_link(p, i, i), -EINVAL);
        assert_int_equal(sluice_pipeline_link(p, i, i + 1), -EINVAL); /* i is as a source what i + 1 is */
        assert_int_equal(sluice_pipeline_link(p, 0, i + 1), -EEXIST);
        assert_int_equal(sluice_pipeline_links(p), 2);
        t_ok(sluice_pipeline_link(p, 1, i));
        assert_int_equal(sluice_pipeline_build(p), 0);
        refused(p, inner, -EBUSY);
        t_run_free(p, 0);
        sluice_pipeline_free(empty);
        sluice_pipeline_free(circle);
        sluice_pipeline_free(inner);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_places),
                T_TEST(test_stages_in_any_order),
                T_TEST(test_often_and_within_itself),
                T_TEST(test_graphs_inside),
                T_TEST(test_names_and_results),
                T_TEST(test_one_that_ran),
                T_TEST(test_an_fd_is_owned_once),
                T_TEST(test_configurations_are_not_copied_from_copies),
                T_TEST(test_refusals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
