/* gopipe_errors.c: which of several failures a run is known by. A failure of the earliest stage wins over any broken pipe;
 * of broken pipes the latest wins; one that stands right before a stage which finished early is excused, and so is one
 * before that; a stage that succeeded ends the excuse.
 *
 * Without an argument all cases; with the name of one only that. */
#include "parts.h"

enum act { NOTHING, OK, ERR1, ERR2, PIPE, EARLY };
enum { STAGES = 5, NOBODY = -1 };
enum { FIRST = 1 << 0, SECOND = 1 << 1 };

static const struct row {
        const char *name;
        enum act acts[STAGES];
        int known_by;     /* the stage whose failure is the run's */
        unsigned excused; /* a bit per stage */
} rows[] = {
        { "no_error", { OK, OK, OK }, NOBODY, 0 },
        { "lonely_error", { ERR1 }, 0, 0 },
        { "error", { OK, ERR1, OK }, 1, 0 },
        { "two_consecutive_errors", { OK, ERR1, ERR2, OK }, 1, 0 },
        { "pipe_then_error", { OK, PIPE, ERR1, OK }, 2, 0 },
        { "error_then_pipe", { OK, ERR1, PIPE, OK }, 1, 0 },
        { "two_spaced_errors", { OK, ERR1, OK, ERR2, OK }, 1, 0 },
        { "finish_early_ignored", { OK, EARLY, OK, EARLY, OK }, NOBODY, 0 },
        { "error_before_finish_early", { ERR1, EARLY }, 0, 0 },
        { "error_after_finish_early", { EARLY, ERR1 }, 1, 0 },
        { "pipe_then_finish_early", { PIPE, EARLY }, NOBODY, FIRST },
        { "pipe_then_two_finish_early", { PIPE, EARLY, EARLY }, NOBODY, FIRST },
        { "two_pipe_then_finish_early", { PIPE, PIPE, EARLY }, NOBODY, FIRST | SECOND },
        { "pipe_then_finish_early_with_gap", { PIPE, OK, EARLY }, 0, 0 },
        { "finish_early_then_pipe", { EARLY, PIPE }, 1, 0 },
        { "error_then_pipe_then_finish_early", { ERR1, PIPE, EARLY }, 0, SECOND },
        { "pipe_then_error_then_finish_early", { PIPE, ERR1, EARLY }, 1, 0 },
};

static const struct {
        const char *at_once, *at_the_end; /* of its input; a function has neither */
        enum sluice_verdict verdict;
        int error, exit_status, signal;
} acts[] = {
        [OK] = { "exit 0", "cat >/dev/null", SLUICE_VERDICT_OK, 0, 0, 0 },
        [ERR1] = { "exit 3", "cat >/dev/null; exit 3", SLUICE_VERDICT_FAILED, -ECHILD, 3, 0 },
        [ERR2] = { "exit 4", "cat >/dev/null; exit 4", SLUICE_VERDICT_FAILED, -ECHILD, 4, 0 },
        [PIPE] = { "kill -PIPE $$", "cat >/dev/null; kill -PIPE $$", SLUICE_VERDICT_PIPE, -ECHILD, -1, SIGPIPE },
        [EARLY] = { NULL, NULL, SLUICE_VERDICT_EARLY, 0, 0, 0 },
};

static int finish_early(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)c;
        (void)self;
        (void)in;
        (void)out;
        return SLUICE_FINISH_EARLY;
}
static const struct sluice_stage_ops finish_early_ops = T_FUNCTION(finish_early);

/* Behind a function a command reads to the end: one that has gone before the function was asked would end it unasked. */
static void add(struct sluice_pipeline *p, const struct row *row, int stage, bool at_once)
{
        enum act act = row->acts[stage];

        if (stage > 0 && row->acts[stage - 1] == EARLY)
                at_once = false;
        if (act == EARLY)
                t_ok(sluice_pipeline_add(p, &finish_early_ops, NULL, NULL));
        else
                t_sh(p, at_once ? acts[act].at_once : acts[act].at_the_end, NULL);
}

/* Returns whether it counts as a failure. */
static bool check_stage(const struct sluice_pipeline *p, const struct row *row, int stage)
{
        enum act act = row->acts[stage];
        struct sluice_stage_result r = t_result(p, stage);
        bool excused = row->excused & 1u << stage;

        t_verdict(p, stage, acts[act].verdict);
        assert_int_equal(r.error, acts[act].error);
        assert_int_equal(r.signal, acts[act].signal);
        if (act != EARLY)
                assert_int_equal(r.exit_status, acts[act].exit_status);
        assert_int_equal(r.excused, excused);
        assert_int_equal(r.ignored, 0);
        assert_int_equal(r.limit_exceeded, 0);
        return acts[act].error != 0 && !excused;
}

static void check_known_by(const struct sluice_pipeline *p, const struct row *row, int failures)
{
        struct sluice_failure f;

        assert_int_equal(sluice_pipeline_failures(p, NULL, 0), failures);
        assert_int_equal(sluice_pipeline_error_stage(p), row->known_by);
        if (row->known_by == NOBODY)
                return;
        f = t_failure(p);
        assert_int_equal(f.stage, row->known_by);
        assert_int_equal(f.exit_status, acts[row->acts[f.stage]].exit_status);
        assert_int_equal(f.signal, acts[row->acts[f.stage]].signal);
        assert_string_equal(sluice_pipeline_error(p), f.message);
}

static void run_row(const struct row *row, bool at_once)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        int failures = 0;

        for (int i = 0; i < STAGES && row->acts[i]; i++)
                add(p, row, i, at_once);
        t_ok(sluice_pipeline_chain(p));
        t_run(p, row->known_by == NOBODY ? 0 : -ECHILD);
        for (int i = 0; i < sluice_pipeline_stages(p); i++)
                failures += check_stage(p, row, i);
        check_known_by(p, row, failures);
        sluice_pipeline_free(p);
}

/* The order in which stages end is not what decides. */
static void test_row(void **state)
{
        run_row(*state, false);
        run_row(*state, true);
}

int main(int argc, char **argv)
{
        struct CMUnitTest tests[T_NR(rows)];
        size_t n = 0;

        for (size_t i = 0; i < T_NR(rows); i++)
                if (argc < 2 || strcmp(argv[1], rows[i].name) == 0)
                        tests[n++] = (struct CMUnitTest){ rows[i].name, test_row, t_begin, t_end, (void *)(uintptr_t)&rows[i] };
        if (n == 0) {
                fprintf(stderr, "gopipe_errors: no such case: %s\n", argv[1]);
                return 2;
        }
        return _cmocka_run_group_tests("gopipe_errors", tests, n, NULL, NULL);
}
