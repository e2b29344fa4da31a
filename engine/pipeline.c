/* engine/pipeline.c: the public face of plan.c and run.c. Called by hosts; every argument is checked before anything
 * changes. */
#include "pipeline.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "environ.h"
#include "pool.h"

enum { SPARE_BUFFERS = 64 };

const char *sluice_version(void)
{
        return SLUICE_VERSION;
}

static int check_options(const struct sluice_options *o)
{
        const unsigned known = SLUICE_FORBID_COPY | SLUICE_PROCESS_GROUP | SLUICE_TERMINAL | SLUICE_DIE_WITH_PARENT |
                               SLUICE_STDERR_FORWARD | SLUICE_STDERR_INHERIT | SLUICE_EARLY_EXIT_OK | SLUICE_FAIL_FAST |
                               SLUICE_GUARD;

        if (o->flags & ~known || (int)o->contain < SLUICE_CONTAIN_AUTO || o->contain > SLUICE_CONTAIN_NONE)
                return -EINVAL;
        if ((int)o->driver < SLUICE_DRIVER_AUTO || o->driver > SLUICE_DRIVER_COPY || o->timeout_ms < 0 || o->grace_ms < 0)
                return -EINVAL;
        if (o->numa < SLUICE_NUMA_OFF)
                return -EINVAL;
        if ((int)o->backend < SLUICE_BACKEND_AUTO || o->backend > SLUICE_BACKEND_EPOLL)
                return -EINVAL;
        if (env_check(o->env, o->env_nr) < 0)
                return -EINVAL;
        return o->flags & SLUICE_FORBID_COPY && o->driver == SLUICE_DRIVER_COPY ? -EINVAL : 0;
}

/* A host that was built with older headers knows fewer fields: the rest are 0. */
static int read_options(const struct sluice_options *opt, struct sluice_options *ret)
{
        const size_t first_release = offsetof(struct sluice_options, contain);

        *ret = (struct sluice_options){ .size = sizeof(*ret) };
        if (!opt)
                return 0;
        if (opt->size < first_release || opt->size > sizeof(*ret))
                return -EINVAL;
        memcpy(ret, opt, opt->size);
        return check_options(ret);
}

int sluice_pipeline_new(struct sluice_pipeline **ret, const struct sluice_options *opt)
{
        struct sluice_options options;
        struct sluice_pipeline *p;
        int r = read_options(opt, &options);

        if (r < 0)
                return r;
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->error_stage = -1;
        r = plan_new(&p->plan, &options);
        if (r < 0) {
                free(p);
                return r;
        }
        *ret = p;
        return 0;
}

static bool is_running(const struct sluice_pipeline *p)
{
        return p->run && p->run->phase != RUN_NEW && p->run->phase != RUN_DONE;
}

void sluice_pipeline_free(struct sluice_pipeline *p)
{
        if (!p)
                return;
        if (is_running(p)) {
                p->run->done = NULL;
                sluice_pipeline_stop(p);
                if (p->run->loop->in_turn) { /* from a callback: the run outlives its pipeline by a few turns */
                        p->run->free_when_done = true;
                        p->run = NULL;
                }
                while (p->run && is_running(p) && sluice_loop_turn(p->run->loop, -1) >= 0)
                        continue;
                if (p->run && is_running(p)) /* its ring is gone, and with it whoever could say that it has let go */
                        p->run = NULL;
        }
        run_free(p->run);
        plan_unref(p->plan);
        free(p->error);
        free(p);
}

int sluice_pipeline_add(struct sluice_pipeline *p, const struct sluice_stage_ops *ops, const void *config, const char *name)
{
        return plan_add_stage(p->plan, ops, config, name);
}

int sluice_pipeline_add_pipeline(struct sluice_pipeline *p, const struct sluice_pipeline *inner)
{
        return inner->view ? -EINVAL : plan_add_plan(p->plan, inner->plan);
}

int sluice_pipeline_link(struct sluice_pipeline *p, int from, int to)
{
        return plan_add_link(p->plan, from, to);
}

int sluice_pipeline_chain(struct sluice_pipeline *p)
{
        size_t nr = p->plan->stages_nr;

        if (p->plan->frozen)
                return -EBUSY;
        for (size_t i = 1; i < nr; i++)
                if (p->plan->stages[i].in_link >= 0)
                        return -EEXIST;
        for (size_t i = 1; i < nr; i++) {
                int r = plan_add_link(p->plan, (int)i - 1, (int)i);

                if (r < 0) {
                        plan_drop_links(p->plan, i - 1);
                        return r;
                }
        }
        return 0;
}

int sluice_pipeline_ignore(struct sluice_pipeline *p, int stage, enum sluice_ignore what, int value)
{
        return plan_add_ignore(p->plan, stage, what, value);
}

int sluice_pipeline_build(struct sluice_pipeline *p)
{
        char text[NOTE_BYTES] = "";
        int stage, r;

        if (p->plan->frozen)
                return 0;
        r = plan_build(p->plan, &stage, text, sizeof(text));
        p->error_stage = stage;
        words_clear(p->error);
        if (r < 0)
                words_say(&p->error, ERROR_BYTES, "%s%s%s", stage >= 0 ? p->plan->stages[stage].name : "", stage >= 0 ? ": " : "",
                          text);
        return r;
}

/* The message of the failure that explains the others. */
static void keep_error(struct sluice_pipeline *p)
{
        struct failure *f = failures_first(p->run);

        words_clear(p->error);
        p->error_stage = f && !p->run->timed_out ? f->stage : -1;
        if (p->run->timed_out)
                words_say(&p->error, ERROR_BYTES, "the deadline of %lld ms has passed%s%s", (long long)p->run->opt->timeout_ms,
                          f ? "; " : "", f ? f->message : "");
        else if (f)
                words_say(&p->error, ERROR_BYTES, "%s", f->message);
        else if (p->run->cancelled)
                words_say(&p->error, ERROR_BYTES, "cancelled");
}

static void run_done(void *arg, int result)
{
        struct sluice_pipeline *p = arg;

        keep_error(p);
        if (p->done)
                p->done(p->arg, result);
}

int sluice_pipeline_start(struct sluice_pipeline *p, struct sluice_loop *l, sluice_done_fn *done, void *arg)
{
        struct run *run;
        int r;

        if (is_running(p))
                return -EBUSY;
        if (p->view)
                return -EINVAL;
        r = sluice_pipeline_build(p);
        if (r < 0)
                return r;
        r = run_new(&run, p->plan, l, NULL, 0);
        if (r < 0)
                return r;
        run_free(p->run);
        p->run = run;
        p->done = done;
        p->arg = arg;
        words_clear(p->error);
        run_start(run, run_done, p);
        return 0;
}

static void set_flag(void *arg, int result)
{
        (void)result;
        *(bool *)arg = true;
}

/* A private loop's own pool is as large as the pipeline may need it, and a little more for links between fds. */
static int private_loop(const struct sluice_pipeline *p, struct sluice_loop **ret)
{
        const struct sluice_options *o = &p->plan->opt;
        const struct sluice_pool_options own = { .size = sizeof(own),
                                                 .numa = o->numa,
                                                 .budget_bytes = (p->plan->buffers_nr + SPARE_BUFFERS) * BUFFER_BYTES };
        struct sluice_loop_options opt = {
                .size = sizeof(opt), .exclusive = 1, .pool = o->pool, .numa = o->numa, .backend = o->backend
        };
        struct sluice_pool *pool = NULL;
        int r = 0;

        if (!o->pool && own.budget_bytes > POOL_DEFAULT_BYTES)
                r = sluice_pool_new(&pool, &own);
        if (pool)
                opt.pool = pool;
        r = r < 0 ? r : sluice_loop_new(ret, &opt);
        sluice_pool_unref(pool);
        return r;
}

int sluice_pipeline_run(struct sluice_pipeline *p)
{
        const struct sluice_options *o = &p->plan->opt;
        struct sluice_loop *l;
        bool done = false;
        int r = sluice_pipeline_build(p);

        r = r < 0 ? r : private_loop(p, &l);
        if (r < 0)
                return r;
        if (o->numa > 0)
                sluice_loop_turn(l, 0); /* before anything is started from this thread */
        r = sluice_pipeline_start(p, l, set_flag, &done);
        if (r < 0)
                goto out;
        while (!done) {
                r = sluice_loop_turn(l, -1);
                if (r < 0 && !done) {
                        /* The ring itself is gone: nothing can complete any more. */
                        words_say(&p->error, ERROR_BYTES, "the ring failed: %s", strerror(-r));
                        return r;
                }
        }
        r = p->run->result;
out:
        sluice_loop_free(l);
        return r;
}

void sluice_pipeline_stop(struct sluice_pipeline *p)
{
        if (!is_running(p) || p->run->phase >= RUN_CLOSING)
                return;
        p->run->cancelled = true;
        run_stop(p->run);
}

const char *sluice_pipeline_error(const struct sluice_pipeline *p)
{
        return words_said(p->error);
}

int sluice_pipeline_error_stage(const struct sluice_pipeline *p)
{
        return p->error_stage;
}

pid_t sluice_pipeline_stage_pid(const struct sluice_pipeline *p, int stage)
{
        if (!is_running(p) || stage < 0 || (size_t)stage >= p->plan->stages_nr)
                return -ESRCH;
        return p->run->stages[stage].child->state == CHILD_RUNNING && p->run->stages[stage].child->pid > 0
                       ? p->run->stages[stage].child->pid
                       : -ESRCH;
}

int sluice_pipeline_stage_stopped(const struct sluice_pipeline *p, int stage)
{
        const struct child *ch;
        struct backend *b;

        if (!is_running(p) || stage < 0 || (size_t)stage >= p->plan->stages_nr)
                return -ESRCH;
        ch = p->run->stages[stage].child;
        if (ch->state != CHILD_RUNNING || ch->pid == 0)
                return -ESRCH;
        b = p->run->loop->backend;
        if (!ch->by_guard)
                return b->ops->stopped_child(b, ch->pidfd->fd);
        /* That it goes on again the guard tells a moment later than it does. */
        return ch->stopped_by && b->ops->process_is_stopped(b, ch->pid) ? ch->stopped_by : 0;
}

int sluice_pipeline_stages(const struct sluice_pipeline *p)
{
        return (int)p->plan->stages_nr;
}

int sluice_pipeline_links(const struct sluice_pipeline *p)
{
        return (int)p->plan->links_nr;
}

const char *sluice_pipeline_stage_name(const struct sluice_pipeline *p, int stage)
{
        return stage >= 0 && (size_t)stage < p->plan->stages_nr ? p->plan->stages[stage].name : NULL;
}

static const struct link_plan *link_of(const struct sluice_pipeline *p, int link)
{
        return link >= 0 && (size_t)link < p->plan->links_nr ? &p->plan->links[link] : NULL;
}

struct run_link *pipeline_run_link(const struct sluice_pipeline *p, int link)
{
        return link_of(p, link) && p->run ? &p->run->links[link] : NULL;
}

int sluice_pipeline_link_ends(const struct sluice_pipeline *p, int link, int *ret_from, int *ret_to)
{
        const struct link_plan *l = link_of(p, link);

        if (!l)
                return -EINVAL;
        *ret_from = l->from;
        *ret_to = l->to;
        return 0;
}

int sluice_pipeline_link_mode(const struct sluice_pipeline *p, int link)
{
        const struct link_plan *l = link_of(p, link);
        const struct run_link *rl = pipeline_run_link(p, link);

        if (!l)
                return -EINVAL;
        return rl ? (int)rl->mode : (int)l->mode;
}

int sluice_pipeline_inside(const struct sluice_pipeline *p, int stage, struct sluice_pipeline **ret)
{
        const struct sluice_plan *plan;
        struct sluice_pipeline *inside;
        unsigned copies;

        *ret = NULL;
        if (!sluice_pipeline_stage_name(p, stage))
                return -EINVAL;
        copies = plan_inside(p->plan, stage, &plan);
        if (copies == 0)
                return 0;
        inside = calloc(1, sizeof(*inside));
        if (!inside)
                return -ENOMEM;
        *inside = (struct sluice_pipeline){ .plan = plan_ref((struct sluice_plan *)(uintptr_t)plan),
                                            .view = true,
                                            .error_stage = -1 };
        *ret = inside;
        return (int)copies;
}

pid_t sluice_pipeline_group(const struct sluice_pipeline *p)
{
        return is_running(p) && p->run->group > 0 ? p->run->group : -ESRCH;
}

int sluice_pipeline_has_terminal(const struct sluice_pipeline *p)
{
        return is_running(p) && p->run->terminal_fd >= 0;
}

static void fill_failure(const struct run *r, const struct failure *f, struct sluice_failure *ret)
{
        *ret = (struct sluice_failure){
                .size = sizeof(*ret),
                .stage = f->stage,
                .link = f->link,
                .stage_name = f->stage >= 0 ? r->plan->stages[f->stage].name : "",
                .operation = f->operation,
                .error = f->error,
                .exit_status = f->exit_status,
                .signal = f->signal,
                .inferred = f->inferred,
                .message = f->message,
                .stderr_tail = f->stderr_tail ? f->stderr_tail : "",
        };
}

int sluice_pipeline_failures(const struct sluice_pipeline *p, struct sluice_failure *ret, size_t cap)
{
        const struct failure *first = p->run ? failures_first(p->run) : NULL;
        size_t n = 0;

        if (!first)
                return 0;
        if (cap > 0)
                fill_failure(p->run, first, &ret[0]);
        n = 1;
        for (const struct failure *f = p->run->failures; f; f = f->next) {
                if (f == first)
                        continue;
                if (n < cap)
                        fill_failure(p->run, f, &ret[n]);
                n++;
        }
        return (int)n;
}

/* ---- plans ---- */

int sluice_plan_new(struct sluice_plan **ret, struct sluice_pipeline *p)
{
        int r = p->view ? -EINVAL : sluice_pipeline_build(p);

        if (r < 0)
                return r;
        *ret = plan_ref(p->plan);
        return 0;
}

int sluice_plan_start(struct sluice_plan *pl, struct sluice_loop *l, const struct sluice_binding *b, size_t n, sluice_done_fn *done,
                      void *arg)
{
        struct run *run;
        int r;

        for (size_t i = 0; i < n; i++)
                if (b[i].stage < 0 || (size_t)b[i].stage >= pl->stages_nr)
                        return -EINVAL;
        r = run_new(&run, pl, l, b, n);
        if (r < 0)
                return r;
        run->free_when_done = true;
        run_start(run, done, arg);
        return 0;
}

struct sluice_plan *sluice_plan_ref(struct sluice_plan *pl)
{
        return plan_ref(pl);
}

void sluice_plan_free(struct sluice_plan *pl)
{
        plan_unref(pl);
}
