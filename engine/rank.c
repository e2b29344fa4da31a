/* engine/rank.c: see rank.h. Pure: called by judge.c, tested over every pair and triple of ends. */
#include "rank.h"

/* Whether stage `i`, as a reader, excuses the broken pipe of its writer. Links make no circles: the depth grows. */
static bool excuses(const struct rank_stage *s, int i, bool early_exit_ok, bool held)
{
        while (i >= 0) {
                switch (s[i].verdict) {
                case SLUICE_VERDICT_EARLY:
                        return true;
                case SLUICE_VERDICT_PIPE:
                        held = s[i].held;
                        i = s[i].reader;
                        break;
                case SLUICE_VERDICT_OK:
                        return s[i].exited_0 && early_exit_ok && !held;
                case SLUICE_VERDICT_FAILED:
                        return !s[i].agent;
                default:
                        return false;
                }
        }
        return false;
}

enum rank_class { CLASS_ENGINE, CLASS_AGENT, CLASS_PIPE, CLASS_NONE };

static enum rank_class class_of(const struct rank_stage *s)
{
        if (s->ignored || s->excused)
                return CLASS_NONE;
        if (s->verdict == SLUICE_VERDICT_FAILED)
                return s->agent ? CLASS_AGENT : CLASS_ENGINE;
        return s->verdict == SLUICE_VERDICT_PIPE ? CLASS_PIPE : CLASS_NONE;
}

static bool explains(const struct rank_stage *a, const struct rank_stage *b)
{
        enum rank_class class_a = class_of(a), class_b = class_of(b);

        if (class_a != class_b)
                return class_a < class_b;
        switch (class_a) {
        case CLASS_ENGINE:
                return a->order < b->order;
        case CLASS_AGENT:
                return a->depth < b->depth;
        case CLASS_PIPE:
                return a->depth > b->depth;
        default:
                return false;
        }
}

int rank(struct rank_stage *stages, size_t nr, bool early_exit_ok)
{
        int best = -1;

        for (size_t i = 0; i < nr; i++)
                stages[i].excused = stages[i].verdict == SLUICE_VERDICT_PIPE && stages[i].agent &&
                                    excuses(stages, stages[i].reader, early_exit_ok, stages[i].held);
        for (size_t i = 0; i < nr; i++)
                if (class_of(&stages[i]) != CLASS_NONE && (best < 0 || explains(&stages[i], &stages[best])))
                        best = (int)i;
        return best;
}
