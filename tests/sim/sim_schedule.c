/* tests/sim/sim_schedule.c: who is next: one of all tasks and operations that could take a step, by chance.
 * Called by backend_sim.c and the worlds. */
#include "sim_kernel.h"

enum { CANDIDATES_MAX = 256 };

struct candidate {
        struct sim_task *task;
        struct sim_op *op;
};

static unsigned find(struct sim *k, struct candidate *all, bool completions)
{
        unsigned nr = 0;

        for (struct sim_task *t = k->tasks; t && nr < CANDIDATES_MAX; t = t->next)
                if (sim_task_may_run(t))
                        all[nr++] = (struct candidate){ .task = t };
        for (unsigned i = 0; i < k->ops_nr && nr < CANDIDATES_MAX; i++)
                if (sim_op_may_run(k, &k->ops[i]) && (completions || k->ops[i].state != SIM_OP_OVER))
                        all[nr++] = (struct candidate){ .op = &k->ops[i] };
        return nr;
}

static bool run(struct sim *k, bool completions)
{
        struct candidate all[CANDIDATES_MAX], *c;
        unsigned nr = find(k, all, completions);

        if (nr == 0)
                return false;
        c = &all[sim_below(k, nr)];
        sim_step(k);
        if (c->task)
                sim_task_run(c->task);
        else
                sim_op_run(k, c->op);
        return true;
}

bool sim_run_one(struct sim *k)
{
        return run(k, true);
}

bool sim_run_beside(struct sim *k)
{
        return run(k, false);
}

bool sim_skip_time(struct sim *k, uint64_t until_ns)
{
        uint64_t task = sim_tasks_next_ns(k), op = sim_ops_next_ns(k), at = task < op ? task : op;

        if (at > until_ns)
                at = until_ns;
        if (at == UINT64_MAX)
                return false;
        if (at > k->now_ns)
                k->now_ns = at;
        return true;
}
