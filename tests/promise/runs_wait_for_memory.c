/* runs_wait_for_memory.c: a run begins when the pool has all that its buffers may need, in the order in which runs came, and not
 * before; one that could never begin is refused; one that waits can be stopped; and links between descriptors wait for a buffer
 * in the same line. Nothing stands still: whoever has begun comes to its end. */
#include <errno.h>
#include <sys/eventfd.h>

#include "parts.h"

enum { KIB = 1024, BUFFER = 256 * KIB, RUNS = 8 };

/* A chain source -> sink that begins when it is admitted, and ends when it is told to. */
struct one {
        struct sluice_pipeline *p;
        int gate; /* an eventfd: the source gives its end once it is readable */
        int opened, result;
        int *order; /* counts the beginnings */
};

static int note_open(struct sluice_ctx *c, void *self)
{
        struct one *o = t_arg(c);

        (void)self;
        o->opened = ++*o->order;
        return 0;
}

static void gate_opens(struct sluice_ctx *c, void *self, int64_t result)
{
        *(int *)self = 1;
        if (result != -ECANCELED)
                sluice_ctx_ready(c);
}

static int give(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct one *o = t_arg(c);
        int fd;

        (void)in;
        if (*(int *)self) {
                memset(out->data, 'x', 10);
                out->len = 10;
                return SLUICE_END;
        }
        fd = sluice_ctx_dup(c, o->gate);
        assert_true(fd >= 0);
        assert_int_equal(sluice_ctx_wait(c, fd, POLLIN, 0, gate_opens), 0);
        return -EAGAIN;
}

static int take(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)c;
        (void)self;
        (void)out;
        in->consumed = in->len;
        return 0;
}

static const struct sluice_stage_ops source = { .size = sizeof(source),
                                                .name = "source",
                                                .instance_size = sizeof(int),
                                                .describe = t_function_describe,
                                                .open = note_open,
                                                .process = give,
                                                .close = t_function_close },
                                     sink = T_FUNCTION(take);

static void store(void *arg, int result)
{
        ((struct one *)arg)->result = result;
}

/* Queues of one: two buffers. */
static void begin(struct one *o, struct sluice_loop *l, int *order)
{
        *o = (struct one){
                .p = t_new(T_OPTIONS(.buffers_bytes = 2 * BUFFER)), .gate = eventfd(0, EFD_CLOEXEC), .result = 1, .order = order
        };
        t_ok(sluice_pipeline_add(o->p, &source, o, NULL));
        t_ok(sluice_pipeline_add(o->p, &sink, o, NULL));
        t_chain(o->p);
        assert_int_equal(sluice_pipeline_start(o->p, l, store, o), 0);
}

static void end(struct one *o)
{
        sluice_pipeline_free(o->p);
        close(o->gate);
}

static void open_gate(struct one *o)
{
        const uint64_t n = 1;

        assert_int_equal(write(o->gate, &n, sizeof(n)), sizeof(n));
}

/* Until nothing happens any more without us. */
static void settle(struct sluice_loop *l)
{
        while (sluice_loop_turn(l, 0) > 0)
                continue;
}

static void until(struct sluice_loop *l, const int *value, int expected)
{
        while (*value != expected)
                assert_true(sluice_loop_turn(l, -1) >= 0);
}

static struct sluice_loop *loop_with(size_t buffers, struct sluice_pool **ret)
{
        struct sluice_loop_options o = { .size = sizeof(o) };
        struct sluice_loop *l;

        assert_int_equal(sluice_pool_new(ret, &(struct sluice_pool_options){ .size = sizeof(struct sluice_pool_options),
                                                                             .budget_bytes = buffers * BUFFER }),
                         0);
        o.pool = *ret;
        assert_int_equal(sluice_loop_new(&l, &o), 0);
        return l;
}

static void nothing_is_out(struct sluice_pool *pool)
{
        struct sluice_pool_stats s = { .size = sizeof(s) };

        assert_int_equal(sluice_pool_stats(pool, &s), 0);
        assert_int_equal(s.lent_bytes + s.in_kernel_bytes, 0);
        assert_int_equal(s.free_bytes, s.total_bytes);
}

/* Room for two and a half: never more than two at once, and each end lets the next one begin. */
static void they_begin_in_the_order_in_which_they_came(void **state)
{
        struct sluice_pool *pool;
        struct sluice_loop *l = loop_with(5, &pool);
        struct one runs[RUNS];
        int order = 0;

        (void)state;
        for (int i = 0; i < RUNS; i++)
                begin(&runs[i], l, &order);
        for (int i = 0; i < RUNS; i++) {
                settle(l);
                assert_int_equal(order, i + 2 < RUNS ? i + 2 : RUNS);
                for (int k = 0; k < order; k++)
                        assert_int_equal(runs[k].opened, k + 1);
                open_gate(&runs[i]);
                until(l, &runs[i].result, 0);
        }
        for (int i = 0; i < RUNS; i++)
                end(&runs[i]);
        nothing_is_out(pool);
        sluice_loop_free(l);
        sluice_pool_unref(pool);
}

static void one_that_waits_can_be_stopped(void **state)
{
        struct sluice_pool *pool;
        struct sluice_loop *l = loop_with(2, &pool);
        struct one runs[3];
        int order = 0;

        (void)state;
        for (int i = 0; i < 3; i++)
                begin(&runs[i], l, &order);
        settle(l);
        sluice_pipeline_stop(runs[1].p);
        until(l, &runs[1].result, -ECANCELED);
        assert_int_equal(runs[1].opened, 0);
        open_gate(&runs[0]);
        until(l, &runs[2].opened, 2);
        open_gate(&runs[2]);
        until(l, &runs[2].result, 0);
        for (int i = 0; i < 3; i++)
                end(&runs[i]);
        nothing_is_out(pool);
        sluice_loop_free(l);
        sluice_pool_unref(pool);
}

/* Freed while it waits: it is never called. */
static void one_that_waits_can_be_freed(void **state)
{
        struct sluice_pool *pool;
        struct sluice_loop *l = loop_with(3, &pool);
        struct one runs[2];
        int order = 0;

        (void)state;
        begin(&runs[0], l, &order);
        begin(&runs[1], l, &order);
        settle(l);
        end(&runs[1]);
        open_gate(&runs[0]);
        until(l, &runs[0].result, 0);
        end(&runs[0]);
        assert_int_equal(order, 1);
        nothing_is_out(pool);
        sluice_loop_free(l);
        sluice_pool_unref(pool);
}

/* The sum is in the message: by the pipeline's own budget at build, by the pool's when it starts. */
static void what_could_never_begin_is_refused(void **state)
{
        struct sluice_pool *pool;
        struct sluice_loop *l = loop_with(1, &pool);
        struct sluice_pipeline *p = t_new(T_OPTIONS(.buffers_bytes = BUFFER));
        struct one one;
        int order = 0;

        (void)state;
        t_ok(sluice_pipeline_add(p, &source, &one, NULL));
        t_ok(sluice_pipeline_add(p, &sink, &one, NULL));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), -E2BIG);
        assert_non_null(strstr(sluice_pipeline_error(p), "need 512 KiB at least (1 outputs of functions x 2 x 256 KiB"));
        assert_non_null(strstr(sluice_pipeline_error(p), "256 KiB are allowed"));
        sluice_pipeline_free(p);
        begin(&one, l, &order);
        until(l, &one.result, -E2BIG);
        assert_int_equal(one.opened, 0);
        assert_non_null(strstr(sluice_pipeline_error(one.p), "budget"));
        end(&one);
        sluice_loop_free(l);
        sluice_pool_unref(pool);
}

/* One buffer for five copies and a half: each has it for as long as it moves, and all come to their ends. */
static void copies_wait_for_a_buffer(void **state)
{
        enum { COPIES = 5, BYTES = 700 * KIB };
        struct sluice_pool *pool;
        struct sluice_loop *l = loop_with(1, &pool);
        struct one runs[COPIES], stopped = { .result = 1 };
        char name[16];

        (void)state;
        t_make(t_path("in"), BYTES);
        for (int i = 0; i <= COPIES; i++) {
                struct one *o = i < COPIES ? &runs[i] : &stopped;

                *o = (struct one){ .p = t_new(T_OPTIONS(.driver = SLUICE_DRIVER_COPY)), .gate = -1, .result = 1 };
                snprintf(name, sizeof(name), "out%d", i);
                t_ok(sluice_add_file(o->p, t_path("in"), NULL));
                t_ok(sluice_add_file(o->p, t_path(name), NULL));
                t_chain(o->p);
                assert_int_equal(sluice_pipeline_start(o->p, l, store, o), 0);
        }
        for (int i = 0; i < 4; i++)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        sluice_pipeline_stop(stopped.p);
        for (int i = 0; i < COPIES; i++) {
                until(l, &runs[i].result, 0);
                snprintf(name, sizeof(name), "out%d", i);
                t_check_file(t_path(name), BYTES, 0);
        }
        until(l, &stopped.result, -ECANCELED);
        for (int i = 0; i < COPIES; i++)
                sluice_pipeline_free(runs[i].p);
        sluice_pipeline_free(stopped.p);
        nothing_is_out(pool);
        sluice_loop_free(l);
        sluice_pool_unref(pool);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(they_begin_in_the_order_in_which_they_came),
                T_TEST(one_that_waits_can_be_stopped),
                T_TEST(one_that_waits_can_be_freed),
                T_TEST(what_could_never_begin_is_refused),
                T_TEST(copies_wait_for_a_buffer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
