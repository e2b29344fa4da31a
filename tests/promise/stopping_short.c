/* stopping_short.c: a reader that wants no more says so, and every sender above learns it, whatever they are and however they are
 * joined: nobody blocks for ever, and the fixture finds no fd, thread, process or file left. The cases are those of the Go
 * blog's "Pipelines and cancellation", and a graph of a hundred stages that is cancelled at any moment. */
#include "flow.h"

/* ---- stages: numbers, squares ---- */

struct numbers {
        uint64_t next, end; /* one a line */
};

static int give_numbers(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct numbers *n = t_arg(c);

        (void)self;
        (void)in;
        for (int i = 0; i < 100 && n->next < n->end; i++)
                out->len += (size_t)sprintf((char *)out->data + out->len, "%llu\n", (unsigned long long)n->next++);
        return n->next == n->end ? SLUICE_END : 0;
}

static int numbers_describe(struct sluice_ctx *c, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        return dir == SLUICE_INPUT ? 0 : t_function_describe(c, self, dir, ret);
}

static const struct sluice_stage_ops numbers_ops = {
        .size = sizeof(numbers_ops),
        .name = "numbers",
        .instance_size = sizeof(int),
        .describe = numbers_describe,
        .open = t_function_open,
        .process = give_numbers,
        .close = t_function_close,
};

static int give_on_thread(void *arg, struct sluice_stream *io)
{
        const struct numbers *n = arg;
        char text[32];

        for (uint64_t i = n->next; i < n->end; i++) {
                ssize_t r = sluice_write(io, text, (size_t)sprintf(text, "%llu\n", (unsigned long long)i));

                if (r < 0)
                        return (int)r;
        }
        return 0;
}

static int square_on_thread(void *arg, struct sluice_stream *io)
{
        char text[64];
        ssize_t n;

        (void)arg;
        while ((n = sluice_readline(io, text, sizeof(text))) > 0) {
                unsigned long long v = strtoull(text, NULL, 10);

                n = sluice_write(io, text, (size_t)sprintf(text, "%llu\n", v * v));
                if (n < 0)
                        break;
        }
        return (int)n;
}

enum maker { ON_LOOP, ON_THREAD, BY_COMMAND, MAKERS };

static int add_numbers(struct sluice_pipeline *p, enum maker how, struct numbers *n)
{
        switch (how) {
        case ON_LOOP:
                return t_ok(sluice_pipeline_add(p, &numbers_ops, n, NULL));
        case ON_THREAD:
                return t_ok(sluice_add_function(p, give_on_thread, n, "numbers"));
        default:
                return t_ok(sluice_add_command(p, T_ARGV("seq", "1", n->end > 1000000 ? "inf" : "1000"), NULL));
        }
}

static int add_stage(struct sluice_pipeline *p, enum maker how)
{
        switch (how) {
        case ON_LOOP:
                return t_ok(sluice_add_lines(p, 0));
        case ON_THREAD:
                return t_ok(sluice_add_function(p, square_on_thread, NULL, "square"));
        default:
                return t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        }
}

static void link_to(struct sluice_pipeline *p, int from, int to)
{
        t_ok(sluice_pipeline_link(p, from, to));
}

static void nobody_failed(const struct sluice_pipeline *p)
{
        for (int i = 0; i < sluice_pipeline_stages(p); i++)
                if (t_result(p, i).verdict == SLUICE_VERDICT_FAILED || t_result(p, i).verdict == SLUICE_VERDICT_NONE)
                        fail_msg("stage %d (%s): %s", i, sluice_pipeline_stage_name(p, i),
                                 sluice_verdict_name(t_result(p, i).verdict));
}

/* ---- n of N values taken ---- */

static void take_some(enum maker source, enum maker middle, uint64_t of, size_t enough)
{
        struct numbers n = { 1, of };
        struct flow_sink k = { .enough = enough };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        add_numbers(p, source, &n);
        add_stage(p, middle);
        add_stage(p, middle);
        flow_add_sink(p, &k);
        t_chain(p);
        t_run(p, 0);
        nobody_failed(p);
        assert_true(k.bytes > 0);
        assert_memory_equal(k.data, "1\n", 2);
        sluice_pipeline_free(p);
        free(k.data);
}

static void test_some_of_many(void **state)
{
        static const uint64_t of[] = { 1000, UINT64_MAX };
        static const size_t enough[] = { 1, 500, 100000 };

        (void)state;
        for (int source = 0; source < MAKERS; source++)
                for (int middle = 0; middle < MAKERS; middle++)
                        for (size_t i = 0; i < T_NR(of) * T_NR(enough); i++)
                                take_some((enum maker)source, (enum maker)middle, of[i % 2], enough[i / 2]);
}

/* ---- two producers, merged, and abandoned behind the first value ---- */

static void test_two_producers_abandoned(void **state)
{
        (void)state;
        for (int how = 0; how < 4; how++)
                for (int a = 0; a < MAKERS; a++)
                        for (int b = 0; b < MAKERS; b++) {
                                struct numbers one = { 1, UINT64_MAX }, two = { 1, UINT64_MAX };
                                struct flow_sink k = { .enough = 1 };
                                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
                                int merge = t_ok(sluice_add_merge(p, (enum sluice_merge)how, 0)), stage;

                                stage = add_stage(p, (enum maker)b);
                                link_to(p, add_numbers(p, (enum maker)a, &one), stage);
                                link_to(p, stage, merge);
                                stage = add_stage(p, (enum maker)a);
                                link_to(p, add_numbers(p, (enum maker)b, &two), stage);
                                link_to(p, stage, merge);
                                link_to(p, merge, flow_add_sink(p, &k));
                                t_run(p, 0);
                                nobody_failed(p);
                                assert_true(k.bytes > 0);
                                sluice_pipeline_free(p);
                                free(k.data);
                        }
}

/* One source for two workers and back: gen, fan out, fan in. The readers' stopping goes through the tee to the one source. */
static void test_fan_out_and_in_abandoned(void **state)
{
        (void)state;
        for (int source = 0; source < MAKERS; source++)
                for (int work = 0; work < MAKERS; work++) {
                        struct numbers n = { 1, UINT64_MAX };
                        struct flow_sink k = { .enough = 10000 };
                        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
                        int tee = t_ok(sluice_add_tee(p, 0)), merge = t_ok(sluice_add_merge(p, SLUICE_MERGE_LINES, 0));

                        link_to(p, add_numbers(p, (enum maker)source, &n), tee);
                        for (int i = 0; i < 3; i++) {
                                int worker = add_stage(p, (enum maker)((work + i) % MAKERS));

                                link_to(p, tee, worker);
                                link_to(p, worker, merge);
                        }
                        link_to(p, merge, flow_add_sink(p, &k));
                        t_run(p, 0);
                        nobody_failed(p);
                        sluice_pipeline_free(p);
                        free(k.data);
                }
}

/* ---- one worker of several fails: the others are not waited for (fail-fast), and the error is its own ---- */

static int fail_soon(void *arg, struct sluice_stream *io)
{
        char line[64];

        (void)arg;
        for (int i = 0; i < 10; i++)
                if (sluice_readline(io, line, sizeof(line)) < 0)
                        break;
        return -ENOTUNIQ;
}

static void test_an_error_ends_the_rest(void **state)
{
        (void)state;
        for (int source = 0; source < MAKERS; source++) {
                struct numbers n = { 1, UINT64_MAX };
                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS, .flags = SLUICE_FAIL_FAST));
                int tee = t_ok(sluice_add_tee(p, 0)), merge = t_ok(sluice_add_merge(p, SLUICE_MERGE_LINES, 0)), bad, good;

                link_to(p, add_numbers(p, (enum maker)source, &n), tee);
                good = add_stage(p, BY_COMMAND);
                bad = t_ok(sluice_add_function(p, fail_soon, NULL, "worker"));
                link_to(p, tee, good);
                link_to(p, tee, bad);
                link_to(p, good, merge);
                link_to(p, bad, merge);
                link_to(p, merge, t_ok(sluice_add_null(p)));
                t_run(p, -ENOTUNIQ);
                assert_int_equal(t_failure(p).stage, bad);
                sluice_pipeline_free(p);
        }
}

/* ---- a hundred stages ---- */

/* A ladder: rungs of a tee, two ways and a merge, each way a chain of stages of all kinds. The last stage is returned. */
static int add_ladder(struct sluice_pipeline *p, int from, int stages, bool commands)
{
        while (sluice_pipeline_stages(p) + 2 < stages) {
                int tee = t_ok(sluice_add_tee(p, 0));
                int merge = t_ok(sluice_add_merge(p, SLUICE_MERGE_BATCHES, 0));

                link_to(p, from, tee);
                for (int way = 0; way < 2; way++) {
                        int at = tee;

                        for (int i = 0; i < 4; i++) {
                                bool outside = commands && i == 1 + way;
                                int next = outside  ? add_stage(p, way ? ON_THREAD : BY_COMMAND)
                                           : i == 3 ? t_ok(sluice_add_drop(p, NULL))
                                                    : /* else every rung doubles what there is */
                                                   t_ok(sluice_add_count(p));

                                link_to(p, at, next);
                                at = next;
                        }
                        link_to(p, at, merge);
                }
                from = merge;
        }
        return from;
}

static void ladder(bool commands, int turns, struct flow_sink *k, int expected)
{
        struct numbers n = { 1, UINT64_MAX };
        struct sluice_cancel *cancel;
        struct sluice_pipeline *p;
        struct flow_run r;

        assert_int_equal(sluice_cancel_new(&cancel), 0);
        p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS, .cancel = cancel));
        link_to(p, add_ladder(p, add_numbers(p, ON_LOOP, &n), 100, commands), flow_add_sink(p, k));
        assert_true(sluice_pipeline_stages(p) >= 100);
        flow_start(&r, p);
        for (; turns != 0 && r.result == 1; turns--)
                assert_true(sluice_loop_turn(r.loop, turns < 0 ? -1 : turns % 16 == 0) >= 0);
        sluice_cancel_fire(cancel);
        flow_finish(&r, expected);
        for (int i = 0; expected == 0 && i < sluice_pipeline_stages(p); i++)
                assert_true(t_result(p, i).verdict != SLUICE_VERDICT_FAILED);
        sluice_pipeline_free(p);
        sluice_cancel_unref(cancel);
        free(k->data);
}

static void test_a_hundred_stages_cancelled(void **state)
{
        unsigned seed = flow_seed();
        int rounds = t_short() ? 4 : 16;

        (void)state;
        for (int round = 0; round < rounds; round++) {
                struct flow_sink k = { 0 };

                ladder(round % 2, round < 2 ? 0 : rand_r(&seed) % 200, &k, -ECANCELED);
        }
}

/* Its reader takes nothing, so that everything above is full: the cancel finds all of them waiting. */
static void test_a_hundred_full_stages_cancelled(void **state)
{
        struct flow_sink k = { .hold = flow_event() };

        (void)state;
        ladder(false, 300, &k, -ECANCELED);
}

static void test_a_hundred_stages_stopped_by_the_reader(void **state)
{
        (void)state;
        for (int commands = 0; commands < 2; commands++) {
                struct flow_sink k = { .enough = 1000 };

                ladder(commands, -1, &k, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_some_of_many),
                T_TEST(test_two_producers_abandoned),
                T_TEST(test_fan_out_and_in_abandoned),
                T_TEST(test_an_error_ends_the_rest),
                T_TEST(test_a_hundred_stages_cancelled),
                T_TEST(test_a_hundred_full_stages_cancelled),
                T_TEST(test_a_hundred_stages_stopped_by_the_reader),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
