/* engine/run.c: the phases of run.h. Called by the loop and pipeline.c; calls wire.c, child.c, ctx.c, link.c. */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cancel.h"
#include "check.h"
#include "handover.h"

static struct backend *backend_of(const struct run *r)
{
        return r->loop->backend;
}

void run_wake(struct run *r)
{
        if (r->phase != RUN_DONE)
                loop_advance(r->loop, r);
}

static double own_cpu_s(void)
{
        struct rusage u;

        getrusage(RUSAGE_SELF, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- links ---- */

/* A socket between two stages, one fd on both sides: what it is given and what it answers are two streams, and hang together by
 * its peer alone. */
static bool is_both_ways(struct sluice_ctx *c)
{
        return c->def->in_link >= 0 && c->def->out_link >= 0 && !is_command(c) && !is_function(c) && !c->def->ops->output &&
               stage_fd(c, SLUICE_INPUT, 0) == stage_fd(c, SLUICE_OUTPUT, 0);
}

static void link_is_over(struct link *link)
{
        struct run_link *l = link->owner;
        struct run *r = l->run;
        struct sluice_ctx *c = &r->stages[link->failed_side == LINK_SOURCE ? l->plan->from : l->plan->to];

        l->ended = true;
        if (link->driver == SLUICE_DRIVER_COPY || link->counts.copied > 0)
                run_link_is_copied(l);
        if (link->result < 0 && !r->stopping) {
                if (link->result == -EOPNOTSUPP && link->forbid_copy)
                        sluice_ctx_note(c, "splice", "%s, and copying is forbidden",
                                        link->copy_why ? link->copy_why : "it cannot be spliced");
                else if (link->result == -ESTALE)
                        sluice_ctx_note(c, "read", "it ended before the size it had when opened");
                stage_fail(c, link->result, link->operation ? link->operation : "move");
        }
        if (link->grows) /* it waits for more, which nobody takes */
                ctx_cancel_calls(&r->stages[l->plan->from]);
        if (is_function(&r->stages[l->plan->from]))
                function_cut_short(&r->stages[l->plan->from], l);
        if ((link->early || link->result < 0) && !r->stopping &&
            is_both_ways(&r->stages[l->plan->from])) /* its peer would wait for us to read, and we for it */
                sluice_ctx_enough(&r->stages[l->plan->from]);
        l->in_end = link->result == 0;
        if (l->in_end && is_function(&r->stages[l->plan->to]))
                function_kick(&r->stages[l->plan->to]);
        run_wake(r);
}

static bool link_memory(struct link *link)
{
        struct run_link *l = link->owner;
        struct sluice_ctx *from = &l->run->stages[l->plan->from], *to = &l->run->stages[l->plan->to];

        /* Between two functions the reader first: what it takes is room for the writer. */
        return (is_function(to) && function_step(to)) || (is_function(from) && function_step(from));
}

static int link_more(struct link *link, int64_t *offset)
{
        struct run_link *l = link->owner;
        struct sluice_ctx *from = &l->run->stages[l->plan->from], *to = &l->run->stages[l->plan->to];
        int r = from->def->ops->more(from, from->self, offset);

        if (r == -EAGAIN && !link->quiet && is_function(to)) {
                l->flush = true;
                to->kicked = true;
                run_wake(l->run);
        }
        return r;
}

static const struct link_hooks hooks = { .ended = link_is_over, .memory = link_memory, .more = link_more };

/* ---- answers of stages ---- */

static void stage_answer(struct sluice_ctx *c, enum stage_state next, int result, const char *operation)
{
        c->state = next;
        if (result < 0)
                stage_fail(c, result, operation);
        run_wake(c->run);
}

void sluice_ctx_opened(struct sluice_ctx *c, int result)
{
        ASSERT(c->state == STAGE_OPENING);
        stage_answer(c, STAGE_OPEN, result, "open");
}

void sluice_ctx_committed(struct sluice_ctx *c, int result)
{
        ASSERT(c->state == STAGE_COMMITTING);
        stage_answer(c, STAGE_COMMITTED, result, "commit");
}

void sluice_ctx_drained(struct sluice_ctx *c, int result)
{
        ASSERT(c->state == STAGE_DRAINING);
        stage_answer(c, STAGE_DRAINED, result, "drain");
}

static void stage_open(struct sluice_ctx *c)
{
        int e;

        c->state = STAGE_OPENING;
        c->opened = true;
        e = c->def->ops->open(c, c->self);
        if (e != -EINPROGRESS)
                sluice_ctx_opened(c, e);
}

static void stage_commit(struct sluice_ctx *c)
{
        int e;

        c->state = STAGE_COMMITTING;
        if (is_command(c) && !is_thread(c) && prepared_commit(c) == -EINPROGRESS)
                return;
        e = c->def->ops->commit ? c->def->ops->commit(c, c->self) : 0;
        if (e != -EINPROGRESS)
                sluice_ctx_committed(c, e);
}

/* A pipe that was handed to a process is that process's alone: the stage has nothing left to flush or shut down. */
static bool was_given_away(const struct sluice_ctx *c)
{
        const struct run_link *l = &c->run->links[c->def->in_link];

        return l->mode == SLUICE_LINK_DIRECT && l->words.in_kind == SLUICE_KIND_PIPE && c->def->out_link < 0;
}

/* Its input was cut off, and its peer is not told an end that was none: so the answer has no end, either. */
static void cut_answer(struct sluice_ctx *c)
{
        for (unsigned i = 0; i < c->def->out.nr; i++) {
                struct run_link *l = &c->run->links[c->def->out.links[i]];

                if (l->driven && !l->ended)
                        link_cancel(&l->link, 0);
        }
}

/* A sink must not make a success of what was cut short upstream; a stage in the middle must pass the end on. */
static void stage_drain(struct sluice_ctx *c)
{
        bool cut_off = c->def->ops->drained && c->def->in_link >= 0 && judge_upstream_failed(c->run, c->index);
        int e = 0;

        c->state = STAGE_DRAINING;
        if (cut_off && is_both_ways(c))
                cut_answer(c);
        if (c->def->ops->drained && c->def->in_link >= 0 && !was_given_away(c) && !c->outcome.error &&
            (!cut_off || (c->def->out_link >= 0 && !is_both_ways(c))))
                e = c->def->ops->drained(c, c->self);
        if (e != -EINPROGRESS)
                sluice_ctx_drained(c, e);
}

static bool all_in(const struct run *r, enum stage_state state)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (r->stages[i].state != state)
                        return false;
        return true;
}

/* ---- phases ---- */

void run_begin_closing(struct run *r)
{
        int error;

        r->phase = RUN_CLOSING;
        children_reap(r);
        judge_finally(r);
        end_cancel_watches(r);
        contain_end(r);
        error = failures_result(r);
        for (size_t i = 0; i < r->plan->links_nr; i++) {
                meter_read(&r->links[i]);
                r->links[i].kept = slot_unref(r->links[i].kept);
        }
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i];

                if (c->opened)
                        c->def->ops->close(c, c->self, error);
                c->state = STAGE_CLOSED;
        }
        run_wake(r);
}

/* Everything is over: what the commands may have left behind is looked for. */
static void begin_settling(struct run *r)
{
        r->phase = RUN_SETTLING;
        end_settle(r);
}

void run_may_fail_fast(struct sluice_ctx *c)
{
        struct run *r = c->run;

        if (!(r->opt->flags & SLUICE_FAIL_FAST) && !stage_is_strict(c))
                return;
        if (r->stopping || r->phase >= RUN_SETTLING || !judge_has_failure(r))
                return;
        r->failed_fast = true;
        run_stop(r);
}

/* What is linked to a stage has given it all it will. */
static bool input_is_over(const struct run *r, const struct sluice_ctx *c)
{
        for (unsigned i = 0; i < c->def->in.nr; i++) {
                const struct run_link *l = &r->links[c->def->in.links[i]];

                if (l->driven && !l->ended)
                        return false;
        }
        return stage_upstream_exited(r, c->index);
}

static bool stage_is_over(const struct run *r, const struct sluice_ctx *c)
{
        if (is_command(c))
                return c->child->state == CHILD_EXITED;
        return !is_function(c) || c->function_done || r->stopping;
}

static bool calls_under_way(const struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (ctx_has_calls(&r->stages[i]))
                        return true;
        return nested_under_way(r) || admit_is_waiting(r);
}

static bool all_links_over(const struct run *r)
{
        for (size_t i = 0; i < r->plan->links_nr; i++)
                if (r->links[i].driven && !r->links[i].ended)
                        return false;
        return true;
}

static void drain_stages(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr && !r->stopping; i++) {
                struct sluice_ctx *c = &r->stages[i];

                if (c->state == STAGE_COMMITTED && input_is_over(r, c) && stage_is_over(r, c))
                        stage_drain(c);
        }
}

/* A stage behind one that failed is not drained: what it still waits for is nothing to it, and must end before close(). */
static void cancel_calls(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                ctx_cancel_calls(&r->stages[i]);
}

static void advance_moving(struct run *r)
{
        functions_kicked(r);
        drain_stages(r);
        if (r->stopping || !all_in(r, STAGE_DRAINED) || !all_links_over(r) || children_running(r) || nested_under_way(r))
                return;
        if (calls_under_way(r))
                cancel_calls(r);
        else
                begin_settling(r);
}

static void advance_starting(struct run *r)
{
        if (r->next_spawn < r->plan->stages_nr)
                return;
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (r->stages[i].child->state == CHILD_STARTING)
                        return;
        r->phase = RUN_MOVING;
        wire_start_links(r);
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (r->stages[i].def->ops->started)
                        r->stages[i].def->ops->started(&r->stages[i], r->stages[i].self);
        for (size_t i = 0; i < r->plan->stages_nr; i++) /* a link whose reader is gone already */
                if (r->stages[i].child->state == CHILD_EXITED && r->stages[i].def->in_link >= 0 &&
                    r->links[r->stages[i].def->in_link].driven)
                        link_poke_sink(&r->links[r->stages[i].def->in_link].link);
        advance_moving(r);
}

/* The guard, where one is wanted, starts while everything is still being opened. */
static bool has_commands(const struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (is_command(&r->stages[i]) && !is_thread(&r->stages[i]))
                        return true;
        return false;
}

static void begin_starting(struct run *r)
{
        r->phase = RUN_STARTING;
        r->began = true;
        if (!wire_links(r))
                return;
        child_spawn_next(r);
}

static void begin_committing(struct run *r)
{
        if (!wire_confirm(r))
                return;
        r->phase = RUN_COMMITTING;
        for (size_t i = 0; i < r->plan->stages_nr && !r->stopping; i++)
                stage_commit(&r->stages[i]);
        run_wake(r); /* without stages nobody answers */
}

static void advance_stopping(struct run *r)
{
        if (!calls_under_way(r) && all_links_over(r) && !children_running(r))
                begin_settling(r);
}

/* All but those that are never the ring's. */
static uint64_t ring_ops(const uint64_t ops[OP_KINDS])
{
        uint64_t n = 0;

        for (int kind = 0; kind < OP_KINDS; kind++)
                n += ops[kind];
        return n - ops[OP_TIMER] - ops[OP_RESOLVE] - ops[OP_FIND] - ops[OP_IDS] - ops[OP_SYMBOL] - ops[OP_SPAWN];
}

static struct run_counts counts_of(const struct backend *b)
{
        return (struct run_counts){ .ring_ops = ring_ops(b->counts.ops),
                                    .waits = b->counts.waits,
                                    .waits_for_ring = b->counts.waits_for_ring,
                                    .overflows = b->counts.overflows };
}

static void take_counts(struct run *r)
{
        r->ended_ns = backend_now_ns(backend_of(r));
        r->cpu_self_s = own_cpu_s() - r->cpu_start_s;
        r->counts_end = counts_of(backend_of(r));
        r->backend_end = backend_of(r)->kind;
        r->ring_error = backend_of(r)->refused;
        r->pool_end = pool_counts(r->loop->pool);
        r->pool_end.unbound += r->loop->unplaced;
}

static void finish(struct run *r)
{
        bool own;

        r->phase = RUN_DONE;
        list_unlink(&r->node);
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i];

                ctx_fini(c);
                child_fini(c);
                if (c->own_config)
                        config_drop(c->def->ops, (void *)(uintptr_t)c->config);
                c->config = NULL;
                free(c->self);
                c->self = NULL;
        }
        for (size_t i = 0; i < r->plan->links_nr; i++) {
                struct run_link *l = &r->links[i];

                link_fini(&l->link);
                handover_fini(&l->link);
                l->meter = slot_unref(l->meter);
                if (l->process_pipe_bytes)
                        pipe_release_budget(l->process_pipe_bytes);
                r->abandoned += l->link.abandoned;
        }
        admit_end(r);
        contain_fini(r);
        r->cancel_fd = slot_unref(r->cancel_fd);
        r->alive_fd = slot_unref(r->alive_fd);
        if (r->terminal_fd >= 0)
                close(r->terminal_fd);
        r->terminal_fd = -1;
        r->result = failures_result(r);
        take_counts(r);
        r->loop->runs--;
        if (r->opt->cancel)
                sluice_cancel_unref(r->opt->cancel);
        /* The callback may free the pipeline, and this run with it. */
        own = r->free_when_done;
        if (r->done)
                r->done(r->arg, r->result);
        if (own)
                run_free(r);
}

void run_advance(struct run *r)
{
        if (r->phase < RUN_SETTLING && r->stopping) {
                advance_stopping(r);
                return;
        }
        switch (r->phase) {
        case RUN_OPENING:
                if (r->admission == ADMISSION_OPEN && all_in(r, STAGE_OPEN))
                        begin_committing(r);
                break;
        case RUN_COMMITTING:
                if (all_in(r, STAGE_COMMITTED))
                        begin_starting(r);
                break;
        case RUN_STARTING:
                advance_starting(r);
                break;
        case RUN_MOVING:
                advance_moving(r);
                break;
        case RUN_SETTLING:
                end_settle(r);
                break;
        case RUN_CLOSING:
                if (!calls_under_way(r) && end_is_quiet(r) && contain_is_quiet(r))
                        finish(r);
                break;
        case RUN_NEW:
        case RUN_DONE:
                break;
        }
}

/* ---- life ---- */

static int init_stage(struct run *r, int i, const struct sluice_binding *b, size_t n)
{
        struct sluice_ctx *c = &r->stages[i];
        void *own;
        int e;

        *c = (struct sluice_ctx){
                .run = r, .def = &r->plan->stages[i], .index = i, .config = r->plan->stages[i].config, .want = -1
        };
        list_init(&c->calls);
        list_init(&c->fds);
        list_init(&c->parts);
        c->outcome.exit_status = -1;
        e = child_init(c);
        if (e < 0)
                return e;
        for (size_t k = 0; k < n; k++) {
                if (b[k].stage != i)
                        continue;
                if (c->own_config) /* bound twice */
                        return -EINVAL;
                e = config_dup(c->def->ops, b[k].config, &own);
                if (e < 0)
                        return e;
                c->config = own;
                c->own_config = true;
        }
        c->self = calloc(1, c->def->ops->instance_size ? c->def->ops->instance_size : 1);
        return c->self ? 0 : -ENOMEM;
}

static void free_stages(struct run *r)
{
        for (size_t i = 0; r->stages && i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i];

                if (c->own_config && c->config)
                        config_drop(c->def->ops, (void *)(uintptr_t)c->config);
                free(c->self);
                child_free(c);
                free(c->note);
                free(c->outcome.message);
                free(c->outcome.why);
                free(c->outcome.tail);
                for (int k = 0; c->reports && k < SLUICE_REPORTS_MAX; k++)
                        free(c->reports[k].value);
                free(c->reports);
        }
        free(r->stages);
        r->stages = NULL;
}

/* For none, too: NULL means that there is no memory. */
static void *room(size_t nr, size_t bytes)
{
        return calloc(nr ? nr : 1, bytes);
}

int run_new(struct run **ret, struct sluice_plan *plan, struct sluice_loop *loop, const struct sluice_binding *b, size_t n)
{
        struct run *r = calloc(1, sizeof(*r));
        int e = -ENOMEM;

        if (!r)
                return -ENOMEM;
        list_init(&r->node);
        r->loop = loop;
        r->plan = plan_ref(plan);
        r->opt = &plan->opt;
        r->terminal_fd = -1;
        r->explains = -1;
        contain_init(&r->contain);
        r->stages = room(plan->stages_nr, sizeof(*r->stages));
        r->links = room(plan->links_nr, sizeof(*r->links));
        r->ranks = room(plan->stages_nr, sizeof(*r->ranks));
        if (!r->stages || !r->links || !r->ranks)
                goto out;
        for (size_t i = 0; i < plan->stages_nr; i++) {
                e = init_stage(r, (int)i, b, n);
                if (e < 0)
                        goto out;
        }
        for (size_t i = 0; i < plan->links_nr; i++) {
                struct run_link *l = &r->links[i];

                l->run = r;
                l->plan = &plan->links[i];
                l->mode = l->plan->mode;
                l->words = l->plan->words;
                l->length = -1;
                link_init(&l->link, loop, &hooks, l, (int)i);
                l->link.queue_depth = plan->queue_depth;
        }
        *ret = r;
        return 0;
out:
        run_free(r);
        return e;
}

/* The deadline, the token and the events are the outer run's to act on, and so is the terminal: what it stops and continues is
 * its group; ours stays in the host's, and gets the terminal's signals with it. */
int run_inherit(struct run *r, struct run *outer)
{
        struct sluice_options *o = malloc(sizeof(*o));

        if (!o)
                return -ENOMEM;
        *o = *outer->opt;
        o->flags &= ~(unsigned)(SLUICE_PROCESS_GROUP | SLUICE_TERMINAL);
        o->timeout_ms = 0;
        o->cancel = NULL;
        o->event = NULL;
        r->outer = outer;
        r->opt = r->inherited = o;
        return 0;
}

void run_free(struct run *r)
{
        if (!r)
                return;
        ASSERT(r->phase == RUN_NEW || r->phase == RUN_DONE);
        failures_free(r);
        free_stages(r);
        free(r->links);
        free(r->ranks);
        free(r->inherited);
        plan_unref(r->plan);
        free(r);
}

void run_open_stages(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr && !r->stopping; i++)
                stage_open(&r->stages[i]);
}

static const char *cure_of(int error)
{
        return error == -EMFILE ? ": raise ulimit -n" : "";
}

void run_start(struct run *r, sluice_done_fn *done, void *arg)
{
        int e = 0;

        r->done = done;
        r->arg = arg;
        r->phase = RUN_OPENING;
        r->loop->runs++;
        r->started_ns = backend_now_ns(backend_of(r));
        r->cpu_start_s = own_cpu_s();
        r->counts_start = counts_of(backend_of(r));
        if (r->opt->cancel) {
                cancel_ref(r->opt->cancel);
                e = end_watch_cancel(r);
        }
        if (e == 0 && r->opt->timeout_ms > 0)
                e = end_watch_deadline(r);
        if (e < 0)
                run_fail(r, failure_new(r, FAILURE_ENGINE, -1, -1, e, "start", "start: %s%s", strerror(-e), cure_of(e)));
        if (e == 0 && has_commands(r)) {
                e = contain_begin(r);
                if (e < 0)
                        run_fail(r, failure_new(r, FAILURE_ENGINE, -1, -1, e, "contain", "containment of the commands by %s: %s%s",
                                                sluice_contain_name(r->contain.kind), strerror(-e), cure_of(e)));
        }
        if (!r->stopping)
                admit_begin(r);
        run_wake(r);
}
