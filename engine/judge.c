/* engine/judge.c: from how each stage ended to what that means: verdicts, the failures that follow, their words.
 *
 * judge() may be asked at any time and sees what is known by then; judge_finally() is asked once, when all have ended: it
 * also examines the ends that were lent to commands (a DIRECT link's error is seen by the process, not by us) and makes
 * the failures. Called by run.c, failure.c, result.c, and where something is seen (function.c, worker.c); calls rank.c, which is
 * pure. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "rank.h"
#include "run.h"

/* ---- what was seen ---- */

void stage_saw(struct sluice_ctx *c, int error, const char *operation)
{
        if (!c->outcome.error) {
                c->outcome.error = error;
                c->outcome.operation = operation;
        }
        c->outcome.last_error = error;
}

/* ---- one stage's verdict ---- */

static enum sluice_verdict verdict_of_command(const struct child *ch)
{
        const struct child_status *s = &ch->status;

        if (ch->state != CHILD_EXITED)
                return SLUICE_VERDICT_NONE;
        if (ch->memory.exceeded)
                return SLUICE_VERDICT_FAILED;
        if (ch->told_to_end && (!s->known || s->signal || s->exit_status || ch->worker))
                return SLUICE_VERDICT_ENDED;
        if (!s->known)
                return SLUICE_VERDICT_FAILED;
        if (child_ended_by_pipe(ch))
                return SLUICE_VERDICT_PIPE;
        return s->signal || s->exit_status || ch->worker ? SLUICE_VERDICT_FAILED : SLUICE_VERDICT_OK;
}

static enum sluice_verdict verdict_of_error(int error)
{
        return error == -EPIPE ? SLUICE_VERDICT_PIPE : SLUICE_VERDICT_FAILED;
}

static enum sluice_verdict verdict_of_returned(const struct child *ch)
{
        if (ch->result == 0)
                return SLUICE_VERDICT_OK;
        if (ch->result > 0)
                return SLUICE_VERDICT_EARLY;
        return ch->told_to_end ? SLUICE_VERDICT_ENDED : verdict_of_error(ch->result);
}

static enum sluice_verdict verdict_of(const struct sluice_ctx *c)
{
        const struct stage_outcome *o = &c->outcome;

        if (has_returned(c))
                return verdict_of_returned(c->child);
        if (is_command(c) && c->child->state == CHILD_EXITED)
                return verdict_of_command(c->child);
        if (o->error)
                return verdict_of_error(o->error);
        if (is_command(c))
                return SLUICE_VERDICT_NONE;
        if (o->early)
                return SLUICE_VERDICT_EARLY;
        if (is_function(c)) {
                if (o->cut_short)
                        return SLUICE_VERDICT_PIPE;
                if (c->function_done && !o->ended)
                        return SLUICE_VERDICT_OK;
        } else if (c->state == STAGE_DRAINED || (c->state == STAGE_CLOSED && !c->run->stopping)) {
                return SLUICE_VERDICT_OK;
        }
        return c->run->stopping ? SLUICE_VERDICT_ENDED : SLUICE_VERDICT_NONE;
}

/* ---- what is no failure ---- */

static bool matches(const struct sluice_ctx *c, const struct ignore *i)
{
        const struct child_status *s = &c->child->status;
        bool exited = is_command(c) && !has_returned(c) && c->child->state == CHILD_EXITED;

        switch (i->what) {
        case SLUICE_IGNORE_ANY:
                return true;
        case SLUICE_IGNORE_ERRNO:
                return (has_returned(c) ? c->child->result : c->outcome.error) == -i->value;
        case SLUICE_IGNORE_EXIT:
                return exited && s->known && !s->signal && s->exit_status == i->value;
        case SLUICE_IGNORE_SIGNAL:
                return exited && s->known && s->signal == i->value;
        case SLUICE_IGNORE_PIPE:
                return c->outcome.verdict == SLUICE_VERDICT_PIPE;
        }
        return false;
}

bool judge_ignores(const struct sluice_ctx *c)
{
        const struct sluice_plan *p = c->run->plan;

        for (size_t i = 0; i < p->ignores_nr; i++)
                if (p->ignores[i].stage == c->index && matches(c, &p->ignores[i]))
                        return true;
        return false;
}

/* ---- all of them ---- */

static int reader_of(const struct run *r, const struct sluice_ctx *c)
{
        return c->def->out_link >= 0 ? r->plan->links[c->def->out_link].to : -1;
}

static bool is_failure(const struct sluice_ctx *c)
{
        return c->outcome.verdict == SLUICE_VERDICT_FAILED || c->outcome.verdict == SLUICE_VERDICT_PIPE;
}

void judge(struct run *r)
{
        size_t nr = r->plan->stages_nr;

        for (size_t i = 0; i < nr; i++) {
                struct sluice_ctx *c = &r->stages[i];
                bool exited = is_command(c) && c->child->state == CHILD_EXITED, returned = has_returned(c);

                c->outcome.verdict = verdict_of(c);
                c->outcome.ignored = is_failure(c) && judge_ignores(c);
                r->ranks[i] = (struct rank_stage){ .verdict = c->outcome.verdict,
                                                   .reader = reader_of(r, c),
                                                   .depth = c->def->depth,
                                                   .agent = exited || is_function(c),
                                                   .exited_0 = exited && !returned && c->outcome.verdict == SLUICE_VERDICT_OK,
                                                   .held = c->child->reader_held,
                                                   .ignored = c->outcome.ignored,
                                                   .order = c->outcome.order };
        }
        r->explains = rank(r->ranks, nr, r->opt->flags & SLUICE_EARLY_EXIT_OK);
        for (size_t i = 0; i < nr; i++)
                r->stages[i].outcome.excused = r->ranks[i].excused;
}

static bool counts(const struct sluice_ctx *c)
{
        return is_failure(c) && !c->outcome.excused && !c->outcome.ignored;
}

bool judge_upstream_failed(struct run *r, int stage)
{
        judge(r);
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (plan_is_above(r->plan, (int)i, stage) && counts(&r->stages[i]))
                        return true;
        return false;
}

/* Behind a broken pipe, and behind the one that broke it, there is one who has not ended yet: he may still say that he had
 * enough. Ends are not seen in the order in which they come. */
static bool may_be_excused(const struct run *r, const struct sluice_ctx *c)
{
        int i = c->index;

        while (i >= 0 && r->stages[i].outcome.verdict == SLUICE_VERDICT_PIPE)
                i = reader_of(r, &r->stages[i]);
        return i >= 0 && i != c->index && r->stages[i].outcome.verdict == SLUICE_VERDICT_NONE;
}

bool judge_has_failure(struct run *r)
{
        judge(r);
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (counts(&r->stages[i]) && !may_be_excused(r, &r->stages[i]))
                        return true;
        return false;
}

/* ---- the ends that were lent ---- */

/* On a DIRECT link the process saw the error, not we. When it fails, the end it was lent is examined. */
static int error_of_lent_end(struct run *r, const struct sluice_ctx *c, struct sluice_ctx **ret_sink)
{
        struct run_link *l = c->def->out_link >= 0 ? &r->links[c->def->out_link] : NULL;
        struct backend *b = r->loop->backend;
        struct sluice_ctx *sink;
        int fd;

        if (!l || l->mode != SLUICE_LINK_DIRECT || is_command(&r->stages[l->plan->to]))
                return 0;
        *ret_sink = sink = &r->stages[l->plan->to];
        if (child_ended_by_pipe(c->child))
                return -EPIPE;
        fd = sink->def->ops->fd(sink, sink->self, SLUICE_INPUT);
        return ctx_slot(sink, fd) ? b->ops->probable_error(b, fd) : 0;
}

static void fail_lent_end(struct run *r, const struct sluice_ctx *sink, int link)
{
        struct failure *f = failure_new(r, FAILURE_ENGINE, sink->index, link, sink->outcome.error, "write", "%s",
                                        words_said(sink->outcome.message));

        if (f)
                f->inferred = true;
        run_fail(r, f);
}

static void examine_lent_ends(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i], *sink;
                int error;

                if (!is_command(c) || has_returned(c) || c->child->state != CHILD_EXITED || !is_failure(c) ||
                    c->child->memory.exceeded)
                        continue;
                error = error_of_lent_end(r, c, &sink);
                if (error == 0)
                        continue;
                c->outcome.inferred = true;
                words_say(&c->outcome.why, WHY_BYTES, ": probable cause: %s: %s", sink->def->name, strerror(-error));
                if (error == -EPIPE || sink->outcome.error)
                        continue;
                stage_saw(sink, error, "write");
                sink->outcome.inferred = true;
                words_say(&sink->outcome.message, MESSAGE_BYTES, "%s: %s (probable cause: it was written by %s, which failed)",
                          sink->def->name, strerror(-error), c->def->name);
                fail_lent_end(r, sink, r->links[c->def->out_link].link.index);
        }
}

/* ---- words ---- */

static void last_line(const char *tail, char *ret, size_t cap)
{
        size_t end = strlen(tail), begin;

        while (end > 0 && (tail[end - 1] == '\n' || tail[end - 1] == ' '))
                end--;
        for (begin = end; begin > 0 && tail[begin - 1] != '\n'; begin--)
                continue;
        snprintf(ret, cap, "%s%.*s", end > begin ? ": " : "", (int)(end - begin), tail + begin);
}

/* Both in the unit of the smaller, so that the one is seen to be above the other. */
static void say_memory(const struct watched *w, char *what, size_t cap)
{
        const bool kib = w->limit_bytes < 1 << 20 || w->peak_bytes < 1 << 20;
        const char *unit = kib ? "KiB" : "MiB";
        unsigned shift = kib ? 10 : 20;

        snprintf(what, cap, "memory limit of %llu %s exceeded (%llu %s used), killed", (unsigned long long)w->limit_bytes >> shift,
                 unit, (unsigned long long)w->peak_bytes >> shift, unit);
}

static void say_status(const struct child *ch, char *what, size_t cap)
{
        const struct child_status *s = &ch->status;

        if (ch->memory.exceeded)
                say_memory(&ch->memory, what, cap);
        else if (!s->known)
                snprintf(what, cap, "its status is unknown (somebody else reaped it)");
        else if (s->signal)
                snprintf(what, cap, "killed by SIG%s", sigabbrev_np(s->signal) ? sigabbrev_np(s->signal) : "?");
        else if (s->exit_status || ch->worker)
                snprintf(what, cap, "exit status %d%s", s->exit_status, ch->worker ? " before it returned" : "");
        else
                what[0] = '\0';
}

/* What became of a command, in words; and its error. */
static void describe_command(struct sluice_ctx *c)
{
        struct stage_outcome *o = &c->outcome;
        char what[128], said[200] = "";

        say_status(c->child, what, sizeof(what));
        if (!o->tail)
                o->tail = said_text(c->child);
        if (!what[0])
                return;
        stage_saw(c, c->child->memory.exceeded ? -ENOMEM : -ECHILD, c->child->memory.exceeded ? "memory" : "exit");
        if (o->tail && !c->child->stderr_forward) /* else it has been said already */
                last_line(o->tail, said, sizeof(said));
        words_say(&o->message, MESSAGE_BYTES, "%s: %s%s%s", c->def->name, what, words_said(o->why), said);
}

/* A function saw its errors itself: exact, also where it wrote a file directly. */
static void describe_returned(struct sluice_ctx *c)
{
        struct stage_outcome *o = &c->outcome;
        int r = c->child->result;
        char said[200] = "";

        if (!o->tail && is_function_process(c))
                o->tail = said_text(c->child);
        if (r >= 0 || c->child->refused)
                return;
        stage_saw(c, r, "run");
        if (o->tail && !c->child->stderr_forward)
                last_line(o->tail, said, sizeof(said));
        if (r == -EMSGSIZE && c->child->long_line)
                snprintf(said, sizeof(said), ": line %llu is longer than it takes", (unsigned long long)c->child->long_line);
        words_say(&o->message, MESSAGE_BYTES, "%s: %s%s", c->def->name, strerror(-r), said);
}

static void describe_function(struct sluice_ctx *c)
{
        struct stage_outcome *o = &c->outcome;

        if (o->cut_short && !o->error) {
                stage_saw(c, -EPIPE, "write");
                words_say(&o->message, MESSAGE_BYTES, "%s: its reader went away before everything was read", c->def->name);
        }
}

/* ---- failures ---- */

static void fail_agent(struct run *r, struct sluice_ctx *c)
{
        struct stage_outcome *o = &c->outcome;
        const struct child *ch = c->child;
        struct failure *f = failure_new(r, o->verdict == SLUICE_VERDICT_PIPE ? FAILURE_PIPE : FAILURE_AGENT, c->index, -1, o->error,
                                        o->operation, "%s", words_said(o->message));

        if (f && o->tail)
                f->stderr_tail = strdup(o->tail);
        if (f && is_function(c)) {
                f->exit_status = o->exit_status;
                f->signal = o->signal;
        }
        if (f && is_command(c) && !has_returned(c)) {
                f->exit_status = ch->status.known && !ch->status.signal ? ch->status.exit_status : -1;
                f->signal = ch->status.signal;
                f->inferred = o->inferred;
        }
        run_fail(r, f);
}

static void tell_failure(struct run *r, const struct sluice_ctx *c)
{
        event_send(r, &(struct sluice_event){ .kind = SLUICE_EVENT_FAILURE,
                                              .stage = c->index,
                                              .pid = c->child->pid,
                                              .error = c->outcome.error,
                                              .message = c->outcome.message });
}

void judge_finally(struct run *r)
{
        judge(r);
        examine_lent_ends(r);
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (has_returned(&r->stages[i]))
                        describe_returned(&r->stages[i]);
                else if (is_command(&r->stages[i]) && r->stages[i].child->state == CHILD_EXITED)
                        describe_command(&r->stages[i]);
                else if (is_function(&r->stages[i]))
                        describe_function(&r->stages[i]);
        judge(r);
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i];

                if (!counts(c))
                        continue;
                if (r->ranks[i].agent)
                        fail_agent(r, c);
                tell_failure(r, c);
        }
}
