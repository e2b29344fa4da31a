/* engine/failure.c: what went wrong, kept in order, and which of it explains the rest. Called by everything in a run.
 *
 * Ranking: what the engine saw itself (a full disk, a refused connection) before what commands say of themselves,
 * since a full disk makes commands upstream fail and not the other way round; the earliest command before later ones,
 * since its missing output is what they choke on; broken pipes last: they are an effect. */
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

void run_fail(struct run *r, struct failure *f)
{
        struct failure **at = &r->failures;

        if (!f) /* no memory even to say so: the run still ends */
                r->result = r->result ? r->result : -ENOMEM;
        while (*at)
                at = &(*at)->next;
        *at = f;
        if (!f || f->class == FAILURE_ENGINE)
                run_stop(r);
}

/* Without its ring the backend says EPERM or the like to whatever was asked: that is not the file's or the peer's. */
static const char *refusal(const struct run *r, int error)
{
        int refused = r->loop->backend->refused;

        return refused < 0 && error == refused ? " (io_uring is refused here; 'sluice doctor' names the cure)" : "";
}

void stage_fail(struct sluice_ctx *c, int error, const char *operation)
{
        struct run *r = c->run;
        const char *name = c->def->name;

        if (error == -ECANCELED && r->stopping)
                return;
        if (c->note[0])
                run_fail(r, failure_new(r, FAILURE_ENGINE, c->index, -1, error, c->note_operation ? c->note_operation : operation,
                                        "%s: %s%s", name, c->note, refusal(r, error)));
        else
                run_fail(r, failure_new(r, FAILURE_ENGINE, c->index, -1, error, operation, "%s: %s: %s%s", name, operation,
                                        strerror(-error), refusal(r, error)));
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

static bool explains(const struct failure *a, const struct failure *b)
{
        if (a->class != b->class)
                return a->class < b->class;
        if (a->class == FAILURE_ENGINE) /* in order of appearance */
                return false;
        if (a->class == FAILURE_PIPE)
                return a->stage > b->stage;
        return a->stage < b->stage;
}

struct failure *failures_first(const struct run *r)
{
        struct failure *best = r->failures;

        for (struct failure *f = best ? best->next : NULL; f; f = f->next)
                if (explains(f, best))
                        best = f;
        return best;
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
