/* plan_runs_many_times.c: a plan is a shape: it outlives its pipeline, runs again and again, several times at once, each
 * run with what is bound to it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sluice/stage.h>

#include "fixture.h"

/* A source whose configuration is a number; copied, so that the binding's may go. */
struct made {
        uint64_t at;
};

static int copies;

static int copy_number(void **ret, const void *config)
{
        uint64_t *n = malloc(sizeof(*n));

        if (!n)
                return -ENOMEM;
        *n = *(const uint64_t *)config;
        if (*n == UINT64_MAX) {
                free(n);
                return -EINVAL;
        }
        copies++;
        *ret = n;
        return 0;
}

static void free_number(void *config)
{
        copies--;
        free(config);
}

static int describe(struct sluice_ctx *c, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)c;
        (void)self;
        if (dir == SLUICE_INPUT)
                return -ENOTSUP;
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static int open_it(struct sluice_ctx *c, void *self)
{
        (void)c;
        (void)self;
        return 0;
}

static void close_it(struct sluice_ctx *c, void *self, int error)
{
        (void)c;
        (void)self;
        (void)error;
}

static int make(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        uint64_t bytes = *(const uint64_t *)sluice_ctx_config(c), *at = &((struct made *)self)->at;
        size_t n = out->cap < bytes - *at ? out->cap : (size_t)(bytes - *at);

        (void)in;
        t_pattern(out->data, n, *at);
        *at += n;
        out->len = n;
        out->end = *at == bytes;
        return 0;
}

static const struct sluice_stage_ops source_ops = {
        .size = sizeof(source_ops),
        .name = "numbered",
        .instance_size = sizeof(struct made),
        .config_copy = copy_number,
        .config_free = free_number,
        .describe = describe,
        .open = open_it,
        .process = make,
        .close = close_it,
};

static struct sluice_plan *new_plan(const char *sink)
{
        const uint64_t bytes = 1000;
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_plan *plan;

        t_ok(sluice_pipeline_add(p, &source_ops, &bytes, NULL));
        t_ok(sink[0] == '/' ? sluice_add_file(p, sink, NULL) : sluice_add_tcp(p, sink, NULL));
        t_chain(p);
        assert_int_equal(sluice_plan_new(&plan, p), 0);
        sluice_pipeline_free(p); /* the plan does not need it */
        return plan;
}

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

static void start(struct sluice_plan *plan, struct sluice_loop *l, uint64_t bytes, int *result)
{
        uint64_t *bound = malloc(sizeof(*bound));
        struct sluice_binding b = { .stage = 0, .config = bound };

        *bound = bytes;
        *result = 1;
        assert_int_equal(sluice_plan_start(plan, l, &b, 1, store, result), 0);
        free(bound);
}

static void turn_until(struct sluice_loop *l, const int *result)
{
        while (*result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
}

static void test_one_after_the_other(void **state)
{
        struct sluice_plan *plan = new_plan(t_path("b"));
        struct sluice_loop *l;
        int result;

        (void)state;
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        for (uint64_t bytes = 0; bytes < 200000; bytes += 19997) {
                start(plan, l, bytes, &result);
                turn_until(l, &result);
                assert_int_equal(result, 0);
                t_check_file(t_path("b"), bytes, 0);
        }
        result = 1; /* without a binding: what add() was given */
        assert_int_equal(sluice_plan_start(plan, l, NULL, 0, store, &result), 0);
        turn_until(l, &result);
        t_check_file(t_path("b"), 1000, 0);
        sluice_plan_free(plan);
        sluice_loop_free(l);
        assert_int_equal(copies, 0);
}

enum { AT_ONCE = 16 };

struct server {
        pthread_t thread;
        int listener;
        struct t_peer peers[AT_ONCE];
};

static void *accept_all(void *arg)
{
        struct server *s = arg;

        for (int i = 0; i < AT_ONCE; i++)
                t_reader(&s->peers[i], accept(s->listener, NULL, NULL), -1);
        return NULL;
}

/* Each connection is one run; all of them go on at the same time. */
static void test_several_at_once(void **state)
{
        struct server s = { 0 };
        struct sluice_plan *plan;
        struct sluice_loop *l;
        int result[AT_ONCE];
        uint64_t got = 0, sent = 0;
        char address[32];

        (void)state;
        s.listener = t_listen(address, sizeof(address));
        pthread_create(&s.thread, NULL, accept_all, &s);
        plan = new_plan(address);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        for (int i = 0; i < AT_ONCE; i++) {
                start(plan, l, (uint64_t)i * 50021, &result[i]);
                sent += (uint64_t)i * 50021;
        }
        sluice_plan_free(plan); /* runs hold their own */
        for (int i = 0; i < AT_ONCE; i++) {
                turn_until(l, &result[i]);
                assert_int_equal(result[i], 0);
        }
        pthread_join(s.thread, NULL);
        for (int i = 0; i < AT_ONCE; i++) {
                t_join(&s.peers[i]);
                assert_int_equal(s.peers[i].mismatch, -1);
                assert_int_equal(s.peers[i].error, 0);
                got += s.peers[i].bytes;
        }
        assert_int_equal(got, sent);
        close(s.listener);
        sluice_loop_free(l);
        assert_int_equal(copies, 0);
}

static void test_bad_binding(void **state)
{
        struct sluice_plan *plan = new_plan(t_path("b"));
        const uint64_t good = 5, bad = UINT64_MAX;
        const struct sluice_binding outside = { .stage = 7, .config = &good }, negative = { .stage = -1, .config = &good },
                                    both[] = { { .stage = 0, .config = &good }, { .stage = 0, .config = &bad } };
        struct sluice_loop *l;
        int result = 1;

        (void)state;
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_plan_start(plan, l, &outside, 1, store, &result), -EINVAL);
        assert_int_equal(sluice_plan_start(plan, l, &negative, 1, store, &result), -EINVAL);
        assert_int_equal(sluice_plan_start(plan, l, both, 2, store, &result), -EINVAL);
        assert_int_equal(result, 1);
        sluice_loop_free(l);
        sluice_plan_free(plan);
        assert_int_equal(copies, 0);
        assert_int_equal(t_files(), 0);
}

/* A failing run says so to its own done() and harms no other. */
static void test_failures_are_separate(void **state)
{
        const char *missing = t_path("no/such"), *there = t_path("b");
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_plan *bad, *good = new_plan(there);
        struct sluice_loop *l;
        int result[2] = { 1, 1 };

        (void)state;
        t_ok(sluice_add_zero(p, 10));
        t_ok(sluice_add_file(p, missing, NULL));
        t_chain(p);
        assert_int_equal(sluice_plan_new(&bad, p), 0);
        sluice_pipeline_free(p);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_plan_start(bad, l, NULL, 0, store, &result[0]), 0);
        start(good, l, 70000, &result[1]);
        turn_until(l, &result[0]);
        turn_until(l, &result[1]);
        assert_int_equal(result[0], -ENOENT);
        assert_int_equal(result[1], 0);
        t_check_file(there, 70000, 0);
        sluice_plan_free(bad);
        sluice_plan_free(good);
        sluice_loop_free(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_one_after_the_other),
                T_TEST(test_several_at_once),
                T_TEST(test_bad_binding),
                T_TEST(test_failures_are_separate),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
