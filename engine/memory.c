/* engine/memory.c: how much memory a command uses with all that descends from it, and an end to it beyond its limit.
 *
 * Where the memory controller is there, the kernel does both (memory.max, memory.peak) in a cgroup of the command's own.
 * Else one timer per loop samples RssAnon over the members of that cgroup, or over the trees of all watched commands (never a
 * thread for each), soon after a start and then every SAMPLE_MS; at a command's end what it leaves is sampled once more, and for
 * one too short to have been sampled its rusage counts (an estimate: shared pages are in it). Beyond the limit the tree is killed
 * at once, as the kernel would: a process that eats memory is not asked first. Called by child.c and contain.c. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "check.h"
#include "run.h"
#include "tree.h"
#include "usage.h"

enum { FIRST_SAMPLE_MS = 5, SAMPLE_MS = 100, TREE_MAX = 1024 };

static struct sluice_ctx *ctx_of(struct watched *w)
{
        return container_of(w, struct child, memory)->ctx;
}

static const struct sluice_command_options *options_of(const struct sluice_ctx *c)
{
        return c->child->prep.options;
}

bool memory_is_watched(const struct sluice_ctx *c)
{
        const struct sluice_command_options *o = options_of(c);

        return o && (o->memory_bytes || o->flags & SLUICE_COMMAND_OBSERVE_MEMORY);
}

/* ---- the limit ---- */

/* Several walks: it may fork meanwhile. What slips through is contained, and ends with the run. */
static void kill_tree(struct sluice_ctx *c)
{
        struct backend *b = c->run->loop->backend;
        pid_t below[TREE_MAX];

        if (c->child->memory.cgroup.fd >= 0 && cgroup_kill(&c->child->memory.cgroup) == 0)
                return;
        for (int i = 0; i < 3; i++) {
                size_t nr = tree_walk(contain_tree_root(c), below, TREE_MAX);

                for (size_t k = 0; k < nr; k++)
                        kill(below[k], SIGKILL);
        }
        b->ops->kill_child(b, c->child->pidfd->fd, SIGKILL);
}

static void exceeded(struct sluice_ctx *c)
{
        struct watched *w = &c->child->memory;
        char text[128];

        if (w->exceeded)
                return;
        w->exceeded = true;
        snprintf(text, sizeof(text), "%llu MiB used, the limit is %llu MiB", (unsigned long long)w->peak_bytes >> 20,
                 (unsigned long long)w->limit_bytes >> 20);
        event_send(c->run, &(struct sluice_event){ .kind = SLUICE_EVENT_LIMIT,
                                                   .stage = c->index,
                                                   .pid = c->child->pid,
                                                   .bytes = w->peak_bytes,
                                                   .message = text });
}

static void take_sample(struct sluice_ctx *c, uint64_t bytes)
{
        struct watched *w = &c->child->memory;

        w->samples += bytes > 0; /* one that saw nothing, as of a zombie, is none */
        if (bytes > w->peak_bytes)
                w->peak_bytes = bytes;
        if (!w->limit_bytes || bytes < w->limit_bytes)
                return;
        exceeded(c);
        kill_tree(c);
}

/* ---- sampling ---- */

static void add_member(void *arg, pid_t pid)
{
        uint64_t bytes;

        if (usage_rss_anon(pid, &bytes) == 0)
                *(uint64_t *)arg += bytes;
}

/* Its cgroup knows all of them; else what descends visibly from it counts. */
static uint64_t tree_bytes(const struct sluice_ctx *c)
{
        uint64_t sum = 0;

        if (c->child->memory.cgroup.fd < 0)
                return usage_tree_rss_anon(contain_tree_root(c));
        cgroup_each(&c->child->memory.cgroup, add_member, &sum);
        return sum;
}

static void arm(struct sluice_loop *l, int64_t after_ms);

static void sample_all(struct op *op)
{
        struct sluice_loop *l = op->owner;
        bool expired = op_result(op) == 0;
        struct list *n, *next;

        l->memory_timer = NULL;
        op_free(op);
        for (n = l->memory_watched.next; expired && n != &l->memory_watched; n = next) {
                struct sluice_ctx *c = ctx_of(container_of(n, struct watched, node));

                next = n->next; /* an event may end that command's run, but never before this turn is over */
                take_sample(c, tree_bytes(c));
        }
        if (!list_empty(&l->memory_watched))
                arm(l, SAMPLE_MS);
}

/* A timer is never in the kernel: cancelled, it is done. */
static void disarm(struct sluice_loop *l)
{
        if (!l->memory_timer)
                return;
        backend_cancel(l->backend, l->memory_timer);
        op_free(l->memory_timer);
        l->memory_timer = NULL;
}

static void arm(struct sluice_loop *l, int64_t after_ms)
{
        struct op *op = l->memory_timer ? NULL : op_new(l->backend, OP_TIMER, sample_all, l);

        if (!op)
                return;
        op->timer.at_ns = backend_now_ns(l->backend) + (uint64_t)after_ms * 1000000u;
        l->memory_timer = op;
        backend_submit(l->backend, op);
}

/* ---- a command's life ---- */

int memory_begin(struct sluice_ctx *c)
{
        struct watched *w = &c->child->memory;

        list_init(&w->node);
        w->on = memory_is_watched(c);
        if (!w->on)
                return 0;
        w->limit_bytes = options_of(c)->memory_bytes;
        w->by_kernel = w->cgroup.fd >= 0 && cgroup_has_memory(&w->cgroup);
        if (w->by_kernel && w->limit_bytes)
                return cgroup_limit_memory(&w->cgroup, w->limit_bytes);
        return 0;
}

void memory_started(struct sluice_ctx *c)
{
        struct watched *w = &c->child->memory;
        struct sluice_loop *l = c->run->loop;

        if (!w->on || w->by_kernel)
                return;
        list_push(&l->memory_watched, &w->node);
        disarm(l);
        arm(l, FIRST_SAMPLE_MS);
}

/* No more samples. */
void memory_stop(struct sluice_ctx *c)
{
        struct watched *w = &c->child->memory;
        struct sluice_loop *l = c->run->loop;

        if (!w->on || w->by_kernel || c->child->state == CHILD_NONE)
                return;
        list_unlink(&w->node);
        if (list_empty(&l->memory_watched))
                disarm(l);
        if (c->child->status.known && w->samples == 0 && c->child->status.max_rss_bytes > w->peak_bytes) {
                w->peak_bytes = c->child->status.max_rss_bytes;
                if (w->limit_bytes && w->peak_bytes >= w->limit_bytes && c->child->status.signal == SIGKILL)
                        exceeded(c);
        }
        memory_finish(c);
}

/* What there is to know is known: from its cgroup, before that is removed. */
void memory_finish(struct sluice_ctx *c)
{
        struct watched *w = &c->child->memory;

        if (!w->on)
                return;
        w->on = false;
        if (w->by_kernel) {
                w->exact = cgroup_memory_peak(&w->cgroup, &w->peak_bytes) == 0;
                w->samples = w->exact;
                if (w->limit_bytes && cgroup_memory_kills(&w->cgroup) > 0)
                        exceeded(c);
        }
        event_send(c->run, &(struct sluice_event){
                                   .kind = SLUICE_EVENT_PEAK, .stage = c->index, .pid = c->child->pid, .bytes = w->peak_bytes });
}
