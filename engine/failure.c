/* engine/failure.c: what went wrong, kept in order, and which of it explains the rest (rank.h). Called by everything in a
 * run. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "run.h"

struct failure *failure_new(struct run *r, enum failure_class c, int stage, int link, int error, const char *operation,
                            const char *format, ...)
{
        struct failure *f = calloc(1, sizeof(*f));
        va_list args;

        (void)r;
        if (!f)
                return NULL;
        *f = (struct failure){
                .class = c, .stage = stage, .link = link, .error = error, .exit_status = -1, .operation = operation
        };
        va_start(args, format);
        vsnprintf(f->message, sizeof(f->message), format, args);
        va_end(args);
        return f;
}

/* Takes f; the run goes on. */
static void note_failure(struct run *r, struct failure *f)
{
        struct failure **at = &r->failures;

        if (!f) /* no memory even to say so: the run still ends */
                r->result = r->result ? r->result : -ENOMEM;
        while (*at)
                at = &(*at)->next;
        *at = f;
        r->failures_nr++;
        if (f && f->stage >= 0 && r->stages[f->stage].outcome.order == 0)
                r->stages[f->stage].outcome.order = r->failures_nr;
}

void run_fail(struct run *r, struct failure *f)
{
        note_failure(r, f);
        if (f && f->class != FAILURE_ENGINE)
                return;
        r->failed_fast |= (r->opt->flags & SLUICE_FAIL_FAST) != 0;
        run_stop(r);
}

/* What else there is to say of an error. io_uring that was asked for by name, and is refused, says EPERM or the like to whatever
 * was asked: that is not the file's or the peer's. */
static const char *refusal(const struct run *r, int error)
{
        const struct backend *b = r->loop->backend;
        bool by_name = b->kind == BACKEND_URING;

        if (error == -EUSERS)
                return " (no thread can be made for it: ulimit -u, or the cgroup's pids.max)";
        return by_name && b->refused < 0 && error == b->refused ? " (io_uring is refused here; 'sluice doctor' names the cure)"
                                                                : "";
}

/* Whether the stages above with several outputs, the nearest on each way, let their readers fail; *found: there is one. */
static bool forks_allow(const struct run *r, int stage, bool *found)
{
        const struct joints *in = &r->stages[stage].def->in;
        bool allow = true;

        for (unsigned i = 0; i < in->nr; i++) {
                const struct sluice_ctx *from = &r->stages[r->plan->links[in->links[i]].from];

                if (from->def->ops->traits & SLUICE_MANY_OUTPUTS) {
                        *found = true;
                        allow &= (from->def->ops->traits & SLUICE_OUTPUTS_MAY_FAIL) != 0;
                } else {
                        allow &= forks_allow(r, from->index, found);
                }
        }
        return allow;
}

bool stage_is_strict(const struct sluice_ctx *c)
{
        bool found = false, allow = forks_allow(c->run, c->index, &found);

        return found && !allow;
}

/* Whether others go on without it: one branch of several that may fail. */
static bool is_expendable(const struct sluice_ctx *c)
{
        bool found = false, allow = forks_allow(c->run, c->index, &found);

        return c->run->phase >= RUN_MOVING && !(c->run->opt->flags & SLUICE_FAIL_FAST) && found && allow;
}

/* An end that failed ends the run; one whose failure is to be ignored only itself, if it had begun to move. */
void stage_fail(struct sluice_ctx *c, int error, const char *operation)
{
        struct run *r = c->run;
        const char *name = c->def->name;
        char **message = &c->outcome.message;

        if (error == -ECANCELED && r->stopping)
                return;
        if (words_any(c->note) && c->note_operation)
                operation = c->note_operation;
        if (c->outcome.error == 0) {
                if (words_any(c->note))
                        words_say(message, MESSAGE_BYTES, "%s: %s%s", name, c->note, refusal(r, error));
                else
                        words_say(message, MESSAGE_BYTES, "%s: %s: %s%s", name, operation, strerror(-error), refusal(r, error));
        }
        stage_saw(c, error, operation);
        c->outcome.verdict = error == -EPIPE ? SLUICE_VERDICT_PIPE : SLUICE_VERDICT_FAILED;
        if (r->phase >= RUN_MOVING && judge_ignores(c)) {
                run_wake(r);
                return;
        }
        if (is_expendable(c)) {
                note_failure(r, failure_new(r, FAILURE_ENGINE, c->index, -1, error, operation, "%s", words_said(*message)));
                run_wake(r);
        } else {
                run_fail(r, failure_new(r, FAILURE_ENGINE, c->index, -1, error, operation, "%s", words_said(*message)));
        }
}

void failures_free(struct run *r)
{
        while (r->failures) {
                struct failure *f = r->failures;

                r->failures = f->next;
                free(f->stderr_tail);
                free(f);
        }
}

/* A failure of the run itself (no pipe to be had, the guard killed) competes with those of ends by its time. */
struct failure *failures_first(const struct run *r)
{
        struct failure *own = NULL, *best = NULL;

        for (struct failure *f = r->failures; f; f = f->next) {
                if (f->stage < 0 && !own && !best)
                        own = f;
                if (f->stage >= 0 && f->stage == r->explains && !best)
                        best = f;
        }
        if (own && (!best || own->class < best->class || r->explains < 0))
                return own;
        return best ? best : own ? own : r->failures;
}

/* A deadline that expired is always visible, whatever its victims answered. */
int failures_result(const struct run *r)
{
        struct failure *f;

        if (r->timed_out)
                return -ETIMEDOUT;
        f = failures_first(r);
        /* What commands say of themselves once they were told to end is an effect of the cancel. */
        if (r->cancelled && (!f || f->class != FAILURE_ENGINE))
                return -ECANCELED;
        if (f)
                return f->error;
        return r->result;
}
