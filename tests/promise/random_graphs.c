/* random_graphs.c: whatever is put together of the stages that there are, every sink gets exactly what it should, in order; the
 * counters add up; and nothing is left behind. Disturbed in the middle, it ends, says why, and what had arrived is right.
 *
 *      random_graphs [--seed=N] [--rounds=N] [--seconds=N] [--disturbed=0|1] [--verbose]
 *
 * A failure prints the seed of its round: --seed=N --rounds=1 draws the same graphs again. */
#include <sys/wait.h>
#include <time.h>

#include "random/random.h"

enum { AT_ONCE_MAX = 3 };

static struct {
        uint64_t seed, rounds, seconds;
        int disturbed; /* -1: both in turn */
        bool verbose;
} arguments = { .seed = 1, .rounds = 250, .disturbed = -1 };

static struct {
        uint64_t graphs, stages, refused, unbuilt, failed;
} counted;

/* What a round is made of, for the teardown that says it. */
static struct graph *graphs[AT_ONCE_MAX];
static unsigned graphs_nr;
static uint64_t round_seed;
static bool in_round;

#define WRONG(g, ...)                                                                                                              \
        do {                                                                                                                       \
                graph_print(g);                                                                                                    \
                fail_msg(__VA_ARGS__);                                                                                             \
        } while (0)

/* ---- drawing ---- */

/* NULL: the engine refuses the graph, and is right to. */
static struct graph *draw(uint64_t seed, bool disturbed, bool big, struct waker *w)
{
        uint64_t buffers_bytes = 0;

        for (;;) {
                struct graph *g = graph_draw(seed, disturbed, big, buffers_bytes, w);
                bool stops = graph_may_stop(g);

                g->built = g->sinks[g->sinks_nr - 1].kind == SINK_CAPTURE ? 0 : sluice_pipeline_build(g->p);
                if (g->built == -E2BIG) {
                        buffers_bytes = g->buffers_bytes ? g->buffers_bytes * 4 : UINT64_C(8) << 30;
                        counted.unbuilt++;
                        graph_free(g);
                        continue;
                }
                if (g->built != 0 && g->built != -EDEADLK)
                        WRONG(g, "build gave %d: %s", g->built, sluice_pipeline_error(g->p));
                if (g->built == 0 && stops && g->sinks[g->sinks_nr - 1].kind != SINK_CAPTURE)
                        WRONG(g, "it was built, but could wait for ever");
                if (g->built == -EDEADLK && !stops)
                        WRONG(g, "it was refused, but could run: %s", sluice_pipeline_error(g->p));
                if (g->built == 0 && !stops)
                        return g;
                counted.refused++;
                graph_free(g);
                return NULL;
        }
}

/* ---- running ---- */

static void done(void *arg, int result)
{
        *(int *)arg = result;
}

static void run_on_one_loop(void)
{
        const struct sluice_loop_options o = { .size = sizeof(o), .backend = graphs[0]->backend };
        struct sluice_loop *l;

        assert_int_equal(sluice_loop_new(&l, &o), 0);
        for (unsigned i = 0; i < graphs_nr; i++)
                assert_int_equal(sluice_pipeline_start(graphs[i]->p, l, done, &graphs[i]->result), 0);
        for (unsigned i = 0; i < graphs_nr; i++)
                while (graphs[i]->result == 1)
                        assert_true(sluice_loop_turn(l, 1000) >= 0);
        sluice_loop_free(l);
}

static void run_alone(struct graph *g)
{
        struct sink *last = &g->sinks[g->sinks_nr - 1];
        char *text = NULL;
        size_t bytes = 0;

        if (last->kind != SINK_CAPTURE) {
                g->result = sluice_pipeline_run(g->p);
                return;
        }
        g->result = sluice_run_capture(g->p, 0, &text, &bytes);
        if (text)
                bytes_add(&last->got, text, bytes);
        free(text);
}

static void *fire_later(void *arg)
{
        struct graph *g = arg;
        struct rnd r = { g->seed };
        const struct timespec moment = { .tv_nsec = (long)rnd_below(&r, 20000000) };

        nanosleep(&moment, NULL);
        sluice_cancel_fire(g->cancel);
        return NULL;
}

static void run(bool shared)
{
        pthread_t threads[AT_ONCE_MAX];

        for (unsigned i = 0; i < graphs_nr; i++)
                if (graphs[i]->trouble == TROUBLE_CANCEL)
                        assert_int_equal(pthread_create(&threads[i], NULL, fire_later, graphs[i]), 0);
        if (shared)
                run_on_one_loop();
        else
                run_alone(graphs[0]);
        for (unsigned i = 0; i < graphs_nr; i++)
                if (graphs[i]->trouble == TROUBLE_CANCEL)
                        pthread_join(threads[i], NULL);
}

/* ---- judging ---- */

static void check_links(struct graph *g)
{
        for (int i = 0; i < sluice_pipeline_links(g->p); i++) {
                struct sluice_stats s = { .size = sizeof(s) };

                if (sluice_pipeline_stats(g->p, i, &s) < 0 || s.mode == SLUICE_LINK_DIRECT || s.mode == SLUICE_LINK_PIPE)
                        continue;
                if (s.bytes_taken != s.bytes.value + s.bytes_inside || (!g->disturbed && s.bytes_inside))
                        WRONG(g, "link %d: taken %llu, delivered %llu, inside %llu", i, (unsigned long long)s.bytes_taken,
                              (unsigned long long)s.bytes.value, (unsigned long long)s.bytes_inside);
        }
}

static void check_counts(struct graph *g)
{
        for (unsigned i = 0; i < g->counts_nr; i++) {
                size_t bytes = flow_bytes(&g->counts[i].flow, g->contents);

                if (graph_report(g, g->counts[i].stage, "bytes") != bytes)
                        WRONG(g, "the count at stage %d is not %zu", g->counts[i].stage, bytes);
        }
}

/* What came and what was dropped is what was sent. */
static void check_amount(struct graph *g, const struct sink *s)
{
        uint64_t bytes = s->got.len, sent = flow_bytes(&s->flow, g->contents);

        if (s->kind == SINK_NULL) {
                struct sluice_stats st = t_stats(g->p, s->link);

                if (st.bytes.certainty != SLUICE_EXACT)
                        return;
                bytes = st.bytes.value;
        }
        for (int i = 0; i < STAGES_MAX; i++)
                if (s->flow.lost[i])
                        bytes += s->flow.lost[i] * graph_report(g, i, "dropped");
        if (bytes != sent)
                WRONG(g, "at stage %d %llu bytes came or were dropped, of %llu", s->stage, (unsigned long long)bytes,
                      (unsigned long long)sent);
}

static void check_sinks(struct graph *g)
{
        for (unsigned i = 0; i < g->sinks_nr; i++) {
                const struct sink *s = &g->sinks[i];
                char why[200];

                if (s->kind != SINK_NULL) {
                        flow_check(&s->flow, g->contents, &s->got, g->disturbed, why, sizeof(why));
                        if (*why)
                                WRONG(g, "at stage %d: %s", s->stage, why);
                }
                if (!g->disturbed)
                        check_amount(g, s);
        }
}

static const int expected_of[TROUBLES] = {
        [TROUBLE_FAILS] = -EIO,        [TROUBLE_EXITS] = -ECHILD,       [TROUBLE_KILLED] = -ECHILD,
        [TROUBLE_CANCEL] = -ECANCELED, [TROUBLE_DEADLINE] = -ETIMEDOUT,
};

/* The run's result is what was done to it, and names who did it. */
static void check_result(struct graph *g)
{
        struct sluice_failure f = { .stage = -1 };
        int expected = expected_of[g->trouble];

        if (g->result != 0 && g->result != expected)
                WRONG(g, "it ended with %d (%s), not %d: %s", g->result, strerror(-g->result), expected,
                      sluice_pipeline_error(g->p));
        if (g->result == 0 && g->trouble_part && g->trouble_part->fired && expected)
                WRONG(g, "stage %d failed, and the run does not say so", g->trouble_stage);
        if (g->result == 0 && (g->trouble == TROUBLE_EXITS || g->trouble == TROUBLE_KILLED))
                WRONG(g, "the command at stage %d failed for certain, and the run does not say so", g->trouble_stage);
        counted.failed += g->result != 0;
        if (g->result == 0 || g->trouble_stage < 0)
                return;
        if (sluice_pipeline_failures(g->p, &f, 1) < 1 || f.stage != g->trouble_stage)
                WRONG(g, "stage %d is blamed instead of %d", f.stage, g->trouble_stage);
}

static void check(struct graph *g)
{
        graph_collect(g);
        check_result(g);
        check_links(g);
        if (!g->disturbed)
                check_counts(g);
        check_sinks(g);
}

/* ---- rounds ---- */

static void one_round(uint64_t seed)
{
        struct rnd r = { seed };
        bool disturbed = arguments.disturbed < 0 ? rnd_one_in(&r, 3) : arguments.disturbed > 0, shared = rnd_one_in(&r, 2);
        bool big = rnd_one_in(&r, 40);
        unsigned nr = shared ? 1 + (unsigned)rnd_below(&r, AT_ONCE_MAX) : 1;
        struct waker w;

        waker_start(&w);
        graphs_nr = 0;
        for (unsigned i = 0; i < nr; i++) {
                struct graph *g = draw(rnd_next(&r), disturbed, big, &w);

                if (g && shared && g->sinks[g->sinks_nr - 1].kind == SINK_CAPTURE) {
                        graph_free(g);
                        g = NULL;
                }
                if (g)
                        graphs[graphs_nr++] = g;
        }
        if (graphs_nr)
                run(shared);
        waker_stop(&w);
        for (unsigned i = 0; i < graphs_nr; i++) {
                check(graphs[i]);
                counted.graphs++;
                counted.stages += (unsigned)sluice_pipeline_stages(graphs[i]->p);
                if (arguments.verbose)
                        graph_print(graphs[i]);
        }
        while (graphs_nr)
                graph_free(graphs[--graphs_nr]);
}

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_random_graphs(void **state)
{
        double end = now() + (double)arguments.seconds;

        for (uint64_t i = 0; arguments.seconds ? now() < end : i < arguments.rounds; i++) {
                round_seed = arguments.seed + i;
                if (arguments.verbose)
                        print_message("round --seed=%llu\n", (unsigned long long)round_seed);
                in_round = true;
                assert_int_equal(t_begin(state), 0);
                one_round(round_seed);
                assert_int_equal(t_end(state), 0);
                in_round = false;
        }
        print_message(
                "%llu graphs of %llu stages in all; %llu refused, %llu drawn again with more buffers; %llu ended by a failure\n",
                (unsigned long long)counted.graphs, (unsigned long long)counted.stages, (unsigned long long)counted.refused,
                (unsigned long long)counted.unbuilt, (unsigned long long)counted.failed);
}

static int say_seed(void **state)
{
        (void)state;
        if (in_round)
                print_error("it was --seed=%llu --rounds=1 --disturbed=%d\n", (unsigned long long)round_seed, arguments.disturbed);
        return 0;
}

static bool parse(const char *text)
{
        static const struct {
                const char *name;
                uint64_t *value;
        } numbers[] = { { "--seed=", &arguments.seed }, { "--rounds=", &arguments.rounds }, { "--seconds=", &arguments.seconds } };

        for (size_t i = 0; i < T_NR(numbers); i++)
                if (strncmp(text, numbers[i].name, strlen(numbers[i].name)) == 0) {
                        *numbers[i].value = strtoull(text + strlen(numbers[i].name), NULL, 0);
                        return true;
                }
        if (strncmp(text, "--disturbed=", 12) == 0) {
                arguments.disturbed = atoi(text + 12);
                return true;
        }
        arguments.verbose |= strcmp(text, "--verbose") == 0;
        return strcmp(text, "--verbose") == 0;
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(test_random_graphs, say_seed) };

        if (t_short())
                arguments.rounds /= 8;
        for (int i = 1; i < argc; i++)
                if (!parse(argv[i])) {
                        fprintf(stderr, "random_graphs [--seed=N] [--rounds=N] [--seconds=N] [--disturbed=0|1] [--verbose]\n");
                        return 2;
                }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
