/* engine/result.c: what became of each stage, for hosts, and what it has to say itself. Reads what judge.c and child.c have left; changes nothing but
 * the verdicts, which it has judged anew while a run lasts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "pipeline.h"

int sluice_ctx_report(struct sluice_ctx *c, const char *name, const char *value)
{
        char *copy;
        int i = 0;

        if (!c->reports)
                c->reports = calloc(SLUICE_REPORTS_MAX, sizeof(*c->reports));
        copy = c->reports ? strdup(value) : NULL;
        if (!copy)
                return -ENOMEM;
        while (i < SLUICE_REPORTS_MAX && c->reports[i].name && strcmp(c->reports[i].name, name) != 0)
                i++;
        if (i == SLUICE_REPORTS_MAX) {
                free(copy);
                return -ENOSPC;
        }
        free(c->reports[i].value);
        c->reports[i].name = name;
        c->reports[i].value = copy;
        return 0;
}

const char *sluice_verdict_name(enum sluice_verdict verdict)
{
        static const char *const names[] = {
                [SLUICE_VERDICT_NONE] = "none", [SLUICE_VERDICT_OK] = "ok",       [SLUICE_VERDICT_EARLY] = "early",
                [SLUICE_VERDICT_PIPE] = "pipe", [SLUICE_VERDICT_ENDED] = "ended", [SLUICE_VERDICT_FAILED] = "failed"
        };

        return verdict <= SLUICE_VERDICT_FAILED ? names[verdict] : "?";
}

const char *sluice_backend_name(enum sluice_backend backend)
{
        static const char *const names[] = {
                [SLUICE_BACKEND_AUTO] = "auto", [SLUICE_BACKEND_URING] = "uring", [SLUICE_BACKEND_EPOLL] = "epoll"
        };

        return backend <= SLUICE_BACKEND_EPOLL ? names[backend] : "?";
}

const char *sluice_contain_name(enum sluice_contain contain)
{
        static const char *const names[] = {
                [SLUICE_CONTAIN_AUTO] = "auto",   [SLUICE_CONTAIN_CGROUP] = "cgroup", [SLUICE_CONTAIN_GUARD] = "guard",
                [SLUICE_CONTAIN_PIDNS] = "pidns", [SLUICE_CONTAIN_WALK] = "walk",     [SLUICE_CONTAIN_NONE] = "none"
        };

        return contain <= SLUICE_CONTAIN_NONE ? names[contain] : "?";
}

static double wall_s(const struct sluice_ctx *c)
{
        uint64_t end = c->child->ended_ns ? c->child->ended_ns : backend_now_ns(c->run->loop->backend);

        return c->child->started_ns ? (double)(end - c->child->started_ns) / 1e9 : 0;
}

static struct sluice_number peak(const struct watched *w)
{
        return (struct sluice_number){ w->peak_bytes, w->peak_bytes == 0 ? SLUICE_UNKNOWN
                                                      : w->exact         ? SLUICE_EXACT
                                                                         : SLUICE_ESTIMATE };
}

int sluice_pipeline_stage_result(const struct sluice_pipeline *p, int stage, struct sluice_stage_result *ret)
{
        const struct sluice_ctx *c;
        const struct child_status *s;

        if (!p->run || stage < 0 || (size_t)stage >= p->plan->stages_nr || ret->size != sizeof(*ret))
                return -EINVAL;
        if (p->run->phase < RUN_CLOSING)
                judge(p->run);
        c = &p->run->stages[stage];
        s = &c->child->status;
        *ret = (struct sluice_stage_result){
                .size = sizeof(*ret),
                .verdict = c->outcome.verdict,
                .pid = c->child->pid,
                .known = is_command(c) && !has_returned(c) && c->child->state == CHILD_EXITED && s->known,
                .exit_status = -1,
                .error = c->outcome.error,
                .last_error = c->outcome.last_error,
                .excused = c->outcome.excused,
                .ignored = c->outcome.ignored,
                .inferred = c->outcome.inferred,
                .limit_exceeded = c->child->memory.exceeded,
                .cpu_s = c->child->cpu_s,
                .wall_s = p->run->phase == RUN_DONE && !c->child->ended_ns ? 0 : wall_s(c),
                .peak_bytes = peak(&c->child->memory),
                .operation = c->outcome.operation ? c->outcome.operation : "",
                .message = words_said(c->outcome.message),
                .stderr_tail = c->outcome.tail ? c->outcome.tail : "",
        };
        for (int i = 0; c->reports && i < SLUICE_REPORTS_MAX; i++) {
                ret->reports[i].name = c->reports[i].name;
                ret->reports[i].value = c->reports[i].value;
        }
        if (ret->known) {
                ret->exit_status = s->signal ? -1 : s->exit_status;
                ret->signal = s->signal;
        }
        return 0;
}
