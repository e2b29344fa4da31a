/* engine/nested.c: runs that are part of a stage's work (sluice_ctx_run): par starts one for every part of its input.
 *
 *      sluice_ctx_run --> RUNNING --its own end, or ours: run_stop()--> over: then() is called, once
 *
 * A part uses the loop and the options of the run around it, and that run is not over before its parts are. Called by stages;
 * calls run.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "run.h"

struct part {
        struct list node;
        struct sluice_ctx *ctx;
        struct run *run;
        sluice_part_fn *then;
        void *arg;
};

/* What explains the part's failure is what explains the stage's. */
static void take_failure(struct sluice_ctx *c, struct run *r)
{
        const struct failure *f = failures_first(r);

        if (!f || c->outcome.error || r->cancelled)
                return;
        sluice_ctx_note(c, f->operation, "%s", f->message);
        c->outcome.exit_status = f->exit_status;
        c->outcome.signal = f->signal;
}

static void part_over(void *arg, int result)
{
        struct part *p = arg;
        struct sluice_ctx *c = p->ctx;
        sluice_part_fn *then = p->then;
        void *then_arg = p->arg;

        if (result < 0)
                take_failure(c, p->run);
        c->run->cpu_children_s += p->run->cpu_children_s;
        c->run->abandoned += p->run->abandoned;
        list_unlink(&p->node);
        free(p);
        then(c, c->self, then_arg, result);
        run_wake(c->run);
}

int sluice_ctx_run(struct sluice_ctx *c, struct sluice_plan *plan, const struct sluice_binding *b, size_t n, sluice_part_fn *then,
                   void *arg)
{
        struct part *p;
        int r;

        if (!c->def->ops->runs)
                return -EINVAL;
        if (c->run->stopping || c->function_done)
                return -ECANCELED;
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        *p = (struct part){ .ctx = c, .then = then, .arg = arg };
        r = run_new(&p->run, plan, c->run->loop, b, n);
        r = r < 0 ? r : run_inherit(p->run, c->run);
        if (r < 0) {
                run_free(p->run);
                free(p);
                return r;
        }
        p->run->free_when_done = true;
        list_push(&c->parts, &p->node);
        run_start(p->run, part_over, p);
        return 0;
}

void nested_cancel(struct sluice_ctx *c)
{
        for (struct list *n = c->parts.next; n != &c->parts; n = n->next) {
                struct run *r = container_of(n, struct part, node)->run;

                if (r->phase >= RUN_CLOSING)
                        continue;
                r->cancelled = true;
                run_stop(r);
        }
}

bool nested_under_way(const struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (!list_empty(&r->stages[i].parts))
                        return true;
        return false;
}
