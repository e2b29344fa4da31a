/* tests/unit/rank.c: laws of the order of blame, over every chain of one, two and three stages. */
#include "unit.h"

#include "rank.h"

enum { VERDICTS = 6, SHAPES = VERDICTS * 2 * 2 * 2 * 2, CHAIN_MAX = 3, POLICIES = 2, ORDERS = 2 };

_Static_assert(SLUICE_VERDICT_FAILED == VERDICTS - 1, "every verdict is met");

/* Stage i is read by stage i + 1. */
struct chain {
        struct rank_stage stages[CHAIN_MAX];
        int nr;
        bool early_exit_ok;
        int explains; /* what rank() said */
};

typedef void law_fn(const struct chain *c);

static struct rank_stage stage_of(unsigned shape)
{
        return (struct rank_stage){ .verdict = (enum sluice_verdict)(shape / 16),
                                    .agent = shape & 1,
                                    .exited_0 = shape & 2,
                                    .held = shape & 4,
                                    .ignored = shape & 8,
                                    .excused = shape & 8 }; /* what was there before does not matter */
}

static bool is_failure(enum sluice_verdict v)
{
        return v == SLUICE_VERDICT_FAILED || v == SLUICE_VERDICT_PIPE;
}

static void say(const struct chain *c, const char *law)
{
        for (int i = 0; i < c->nr; i++) {
                const struct rank_stage *s = &c->stages[i];

                print_error("stage %d: %s%s%s%s%s%s, order %u\n", i, sluice_verdict_name(s->verdict), s->agent ? " agent" : "",
                            s->exited_0 ? " exited_0" : "", s->held ? " held" : "", s->ignored ? " ignored" : "",
                            s->excused ? " excused" : "", s->order);
        }
        fail_msg("%s: %d explains%s", law, c->explains, c->early_exit_ok ? " (an early exit is ok)" : "");
}

#define HOLDS(c, what)                                                                                                             \
        do {                                                                                                                       \
                if (!(what))                                                                                                       \
                        say((c), __func__);                                                                                        \
        } while (0)

static void fill(struct chain *c, int nr, unsigned long number, bool early_exit_ok, bool ascending)
{
        *c = (struct chain){ .nr = nr, .early_exit_ok = early_exit_ok };
        for (int i = 0; i < nr; i++, number /= SHAPES) {
                c->stages[i] = stage_of((unsigned)(number % SHAPES));
                c->stages[i].reader = i + 1 < nr ? i + 1 : -1;
                c->stages[i].depth = i;
                c->stages[i].order = is_failure(c->stages[i].verdict) ? (unsigned)(ascending ? i + 1 : nr - i) : 0;
        }
}

static unsigned long chains_of(int nr)
{
        unsigned long n = 1;

        for (int i = 0; i < nr; i++)
                n *= SHAPES;
        return n;
}

static void everywhere(law_fn *law)
{
        struct chain c;

        for (int nr = 1; nr <= CHAIN_MAX; nr++)
                for (unsigned long i = 0; i < chains_of(nr) * POLICIES * ORDERS; i++) {
                        fill(&c, nr, i / (POLICIES * ORDERS), i & 1, i & 2);
                        c.explains = rank(c.stages, (size_t)nr, c.early_exit_ok);
                        law(&c);
                }
}

#define LAW(name)                                                                                                                  \
        static void name(const struct chain *c);                                                                                   \
        static void name##_test(void **state)                                                                                      \
        {                                                                                                                          \
                (void)state;                                                                                                       \
                everywhere(name);                                                                                                  \
        }                                                                                                                          \
        static void name(const struct chain *c)

/* ---- who explains ---- */

static bool counts(const struct rank_stage *s)
{
        return is_failure(s->verdict) && !s->ignored && !s->excused;
}

static bool is(const struct rank_stage *s, enum sluice_verdict verdict, bool agent)
{
        return counts(s) && s->verdict == verdict && s->agent == agent;
}

static int nr_of(const struct chain *c, enum sluice_verdict verdict, bool agent)
{
        int n = 0;

        for (int i = 0; i < c->nr; i++)
                n += is(&c->stages[i], verdict, agent);
        return n;
}

LAW(something_explains_exactly_when_something_failed)
{
        bool failed = false;

        for (int i = 0; i < c->nr; i++)
                failed |= counts(&c->stages[i]);
        HOLDS(c, failed ? c->explains >= 0 && c->explains < c->nr : c->explains == -1);
}

LAW(an_ignored_or_excused_stage_never_explains)
{
        if (c->explains < 0)
                return;
        HOLDS(c, !c->stages[c->explains].ignored);
        HOLDS(c, !c->stages[c->explains].excused);
        HOLDS(c, is_failure(c->stages[c->explains].verdict));
}

LAW(an_error_of_the_engine_beats_all_and_the_first_of_them_is_it)
{
        if (nr_of(c, SLUICE_VERDICT_FAILED, false) == 0)
                return;
        HOLDS(c, is(&c->stages[c->explains], SLUICE_VERDICT_FAILED, false));
        for (int i = 0; i < c->nr; i++)
                if (is(&c->stages[i], SLUICE_VERDICT_FAILED, false))
                        HOLDS(c, c->stages[c->explains].order <= c->stages[i].order);
}

LAW(else_the_failed_agent_nearest_to_the_source_is_it)
{
        if (nr_of(c, SLUICE_VERDICT_FAILED, false) > 0 || nr_of(c, SLUICE_VERDICT_FAILED, true) == 0)
                return;
        for (int i = 0; i < c->explains; i++)
                HOLDS(c, !is(&c->stages[i], SLUICE_VERDICT_FAILED, true));
        HOLDS(c, is(&c->stages[c->explains], SLUICE_VERDICT_FAILED, true));
}

LAW(else_the_broken_pipe_nearest_to_the_sink_is_it)
{
        if (nr_of(c, SLUICE_VERDICT_FAILED, false) + nr_of(c, SLUICE_VERDICT_FAILED, true) > 0 || c->explains < 0)
                return;
        for (int i = c->explains + 1; i < c->nr; i++)
                HOLDS(c, !counts(&c->stages[i]));
        HOLDS(c, c->stages[c->explains].verdict == SLUICE_VERDICT_PIPE);
}

/* ---- who is excused ---- */

/* The first stage behind `i` that did not end by a broken pipe; -1: there is none. */
static int end_of_pipes(const struct chain *c, int i)
{
        for (int k = i + 1; k < c->nr; k++)
                if (c->stages[k].verdict != SLUICE_VERDICT_PIPE)
                        return k;
        return -1;
}

static bool may_be_excused(const struct rank_stage *s)
{
        return s->verdict == SLUICE_VERDICT_PIPE && s->agent;
}

LAW(only_the_broken_pipe_of_an_agent_is_excused)
{
        for (int i = 0; i < c->nr; i++)
                HOLDS(c, !c->stages[i].excused || may_be_excused(&c->stages[i]));
}

LAW(who_writes_to_nobody_is_not_excused)
{
        HOLDS(c, !c->stages[c->nr - 1].excused);
        for (int i = 0; i < c->nr; i++)
                HOLDS(c, !c->stages[i].excused || end_of_pipes(c, i) >= 0);
}

/* What each verdict at the end of a row of broken pipes is to all of the row. */
static bool had_enough(const struct chain *c, int end)
{
        const struct rank_stage *s = &c->stages[end];

        return s->verdict == SLUICE_VERDICT_EARLY || (s->verdict == SLUICE_VERDICT_FAILED && !s->agent) ||
               (s->verdict == SLUICE_VERDICT_OK && s->exited_0 && c->early_exit_ok && !c->stages[end - 1].held);
}

LAW(a_row_of_broken_pipes_is_excused_by_what_ends_it)
{
        for (int i = 0; i < c->nr; i++)
                if (may_be_excused(&c->stages[i]) && end_of_pipes(c, i) >= 0)
                        HOLDS(c, c->stages[i].excused == had_enough(c, end_of_pipes(c, i)));
}

LAW(early_excuses_every_broken_pipe_right_before_it)
{
        for (int i = 0; i < c->nr; i++)
                for (int k = i - 1; c->stages[i].verdict == SLUICE_VERDICT_EARLY && k >= 0; k--) {
                        if (c->stages[k].verdict != SLUICE_VERDICT_PIPE)
                                break;
                        HOLDS(c, c->stages[k].excused == c->stages[k].agent);
                }
}

LAW(success_without_the_policy_excuses_nobody)
{
        for (int i = 1; i < c->nr; i++)
                if (c->stages[i].verdict == SLUICE_VERDICT_OK && !(c->early_exit_ok && c->stages[i].exited_0))
                        HOLDS(c, !c->stages[i - 1].excused);
}

LAW(a_pipe_that_was_still_held_is_excused_by_no_success)
{
        for (int i = 1; i < c->nr; i++)
                if (c->stages[i].verdict == SLUICE_VERDICT_OK && c->stages[i - 1].held)
                        HOLDS(c, !c->stages[i - 1].excused);
}

/* ---- what it does not depend on ---- */

static bool same_excuses(const struct chain *a, const struct chain *b)
{
        for (int i = 0; i < a->nr; i++)
                if (a->stages[i].excused != b->stages[i].excused)
                        return false;
        return true;
}

LAW(to_ignore_changes_no_excuse)
{
        struct chain other = *c;

        for (int i = 0; i < c->nr; i++)
                other.stages[i].ignored = !c->stages[i].ignored;
        rank(other.stages, (size_t)other.nr, other.early_exit_ok);
        HOLDS(c, same_excuses(c, &other));
}

LAW(the_policy_only_excuses_more)
{
        struct chain strict = *c;

        rank(strict.stages, (size_t)strict.nr, false);
        for (int i = 0; i < c->nr; i++)
                HOLDS(c, c->stages[i].excused || !strict.stages[i].excused);
}

/* The same chain, its stages added from the sink to the source. */
LAW(the_order_in_which_stages_were_added_does_not_matter)
{
        struct rank_stage turned[CHAIN_MAX];
        int explains;

        for (int i = 0; i < c->nr; i++) {
                turned[c->nr - 1 - i] = c->stages[i];
                turned[c->nr - 1 - i].reader = c->stages[i].reader < 0 ? -1 : c->nr - 1 - c->stages[i].reader;
        }
        explains = rank(turned, (size_t)c->nr, c->early_exit_ok);
        HOLDS(c, c->explains == (explains < 0 ? -1 : c->nr - 1 - explains));
        for (int i = 0; i < c->nr; i++)
                HOLDS(c, turned[c->nr - 1 - i].excused == c->stages[i].excused);
}

LAW(asked_twice_it_says_the_same)
{
        struct chain again = *c;

        HOLDS(c, rank(again.stages, (size_t)again.nr, again.early_exit_ok) == c->explains);
        HOLDS(c, same_excuses(c, &again));
}

/* ---- more than a chain ---- */

static void nobody_explains_nothing(void **state)
{
        (void)state;
        assert_int_equal(rank(NULL, 0, true), -1);
}

static void a_long_row_of_broken_pipes_is_excused_as_one(void **state)
{
        enum { LONG = 1000 };
        struct rank_stage *s = calloc(LONG, sizeof(*s));

        (void)state;
        for (int i = 0; i < LONG; i++)
                s[i] = (struct rank_stage){ .verdict = SLUICE_VERDICT_PIPE, .agent = true, .reader = i + 1, .depth = i };
        s[LONG - 1].reader = -1;
        assert_int_equal(rank(s, LONG, true), LONG - 1);
        s[LONG - 1].verdict = SLUICE_VERDICT_EARLY;
        assert_int_equal(rank(s, LONG, false), -1);
        for (int i = 0; i < LONG - 1; i++)
                assert_true(s[i].excused);
        free(s);
}

/* Each writer of a reader with several inputs is excused by it, each for itself. */
static void several_writers_are_excused_one_by_one(void **state)
{
        struct rank_stage s[] = {
                { .verdict = SLUICE_VERDICT_PIPE, .agent = true, .reader = 2, .depth = 0 },
                { .verdict = SLUICE_VERDICT_PIPE, .agent = true, .reader = 2, .depth = 0, .held = true },
                { .verdict = SLUICE_VERDICT_OK, .agent = true, .reader = -1, .depth = 1, .exited_0 = true },
        };

        (void)state;
        assert_int_equal(rank(s, COUNT(s), true), 1);
        assert_true(s[0].excused && !s[1].excused);
}

#define LAW_TEST(name)                                                                                                             \
        {                                                                                                                          \
#name, name##_test, NULL, NULL, NULL                                                                               \
        }

int main(void)
{
        const struct CMUnitTest tests[] = {
                LAW_TEST(something_explains_exactly_when_something_failed),
                LAW_TEST(an_ignored_or_excused_stage_never_explains),
                LAW_TEST(an_error_of_the_engine_beats_all_and_the_first_of_them_is_it),
                LAW_TEST(else_the_failed_agent_nearest_to_the_source_is_it),
                LAW_TEST(else_the_broken_pipe_nearest_to_the_sink_is_it),
                LAW_TEST(only_the_broken_pipe_of_an_agent_is_excused),
                LAW_TEST(who_writes_to_nobody_is_not_excused),
                LAW_TEST(a_row_of_broken_pipes_is_excused_by_what_ends_it),
                LAW_TEST(early_excuses_every_broken_pipe_right_before_it),
                LAW_TEST(success_without_the_policy_excuses_nobody),
                LAW_TEST(a_pipe_that_was_still_held_is_excused_by_no_success),
                LAW_TEST(to_ignore_changes_no_excuse),
                LAW_TEST(the_policy_only_excuses_more),
                LAW_TEST(the_order_in_which_stages_were_added_does_not_matter),
                LAW_TEST(asked_twice_it_says_the_same),
                cmocka_unit_test(nobody_explains_nothing),
                cmocka_unit_test(a_long_row_of_broken_pipes_is_excused_as_one),
                cmocka_unit_test(several_writers_are_excused_one_by_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
