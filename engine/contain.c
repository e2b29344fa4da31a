/* engine/contain.c: see contain.h. Called by child.c, end.c and run.c; calls cgroup.h, guard.h and tree.h.
 *
 *      kind     found by                          ended by                          empty when
 *      CGROUP   membership, inherited             cgroup.kill                       its directory can be removed
 *      GUARD    below the guard, its subreaper    the guard's walk until ECHILD     the guard says so
 *      PIDNS    membership                        kill(-1) by its init, the guard   the guard says so
 *      WALK     below a command that still runs   their pidfds                      those that were found have ended
 *      NONE     -                                 -                                 always
 *
 * A guard serves any number of runs that have a cgroup, and one at a time of those that have not: only then is whatever is
 * below it that run's. Idle ones are kept for the next run. */
#include "contain.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "guard.h"
#include "run.h"
#include "syscalls.h"
#include "tree.h"

enum { STAGE_BITS = GUARD_MEMBER_BITS, IDLE_GUARDS_MAX = 4, PATH_BYTES = 4096 };

struct loop_guard {
        struct list node; /* in the loop's list */
        struct sluice_loop *loop;
        struct guard *guard;
        struct slot *slot; /* its event socket, while runs use it */
        struct op *op;
        struct list runs; /* struct contain */
        unsigned users;
        bool taken; /* by a run without a cgroup */
        bool pidns, dead;
};

static struct backend *backend_of(const struct run *r)
{
        return r->loop->backend;
}

static struct run *run_of(struct contain *c)
{
        return container_of(c, struct run, contain);
}

void contain_init(struct contain *c)
{
        *c = (struct contain){ .leaf = { .fd = -1, .parent = -1 } };
        list_init(&c->node);
}

static bool has_guard_walk(const struct contain *c)
{
        return c->kind == SLUICE_CONTAIN_GUARD || c->kind == SLUICE_CONTAIN_PIDNS;
}

/* ---- guards of a loop ---- */

static void guard_polled(struct op *op);

static int watch_guard(struct loop_guard *g)
{
        struct backend *b = g->loop->backend;
        int fd;

        if (g->op)
                return 0;
        if (!g->slot) {
                fd = b->ops->dup(b, guard_fd(g->guard));
                if (fd < 0)
                        return fd;
                if (slot_new(&g->slot, b, fd) < 0) {
                        b->ops->close(b, fd);
                        return -ENOMEM;
                }
        }
        g->op = op_new(b, OP_POLL, guard_polled, g);
        if (!g->op)
                return -ENOMEM;
        op_pin(g->op, g->slot, NULL, NULL);
        g->op->poll.events = POLLIN;
        backend_submit(b, g->op);
        return 0;
}

static void drop_guard(struct loop_guard *g)
{
        ASSERT(g->users == 0 && !g->op);
        list_unlink(&g->node);
        slot_unref(g->slot);
        guard_free(g->guard);
        free(g);
}

static struct contain *contain_by_id(struct loop_guard *g, uint64_t id)
{
        for (struct list *n = g->runs.next; n != &g->runs; n = n->next)
                if (container_of(n, struct contain, node)->id == id >> STAGE_BITS)
                        return container_of(n, struct contain, node);
        return NULL;
}

static void command_exited(struct sluice_ctx *c, const struct guard_event *e)
{
        const struct child_status s = { .known = true,
                                        .exit_status = e->exit_status,
                                        .signal = e->signal,
                                        .cpu_s = (double)e->cpu_us / 1e6,
                                        .max_rss_bytes = e->max_rss_bytes };

        c->child->stopped_by = 0;
        if (c->child->state == CHILD_STARTING) { /* the answer to its start comes by another thread */
                c->child->status = s;
                c->child->early_exit = true;
        } else if (c->child->state == CHILD_RUNNING) {
                child_ended(c, &s);
        }
}

/* Whether anything is below a guard is asked of the last event: one that was under way while a command was being started
 * says nothing of it, but then that command's own end comes later. */
static void note_empty(struct loop_guard *g, const struct guard_event *e)
{
        for (struct list *n = g->runs.next; n != &g->runs; n = n->next) {
                struct contain *c = container_of(n, struct contain, node);

                if (!has_guard_walk(c))
                        continue;
                c->empty = e->empty;
                c->asked &= e->kind != GUARD_EMPTY;
                run_wake(run_of(c));
        }
}

static void dispatch(struct loop_guard *g, const struct guard_event *e)
{
        struct contain *c = contain_by_id(g, e->id);
        size_t stage = e->id & ((1u << STAGE_BITS) - 1);

        if (e->kind == GUARD_EXITED || e->kind == GUARD_EMPTY)
                note_empty(g, e);
        if (!c || e->kind == GUARD_EMPTY)
                return;
        if (e->kind == GUARD_EXITED)
                command_exited(&run_of(c)->stages[stage], e);
        else
                run_of(c)->stages[stage].child->stopped_by = e->kind == GUARD_STOPPED ? e->signal : 0;
        run_wake(run_of(c));
}

/* Its commands die with it (PDEATHSIG); what became of them nobody can say. */
static void guard_died(struct loop_guard *g)
{
        g->dead = true;
        for (struct list *n = g->runs.next; n != &g->runs; n = n->next) {
                struct run *r = run_of(container_of(n, struct contain, node));

                for (size_t i = 0; i < r->plan->stages_nr; i++)
                        if (r->stages[i].child->state == CHILD_RUNNING && r->stages[i].child->by_guard)
                                child_watch(&r->stages[i]);
                if (r->group > 0) /* what they left in their group, which PDEATHSIG does not reach */
                        g->loop->backend->ops->kill_group(g->loop->backend, r->group, SIGKILL);
                run_fail(r, failure_new(r, FAILURE_ENGINE, -1, -1, -EPIPE, "guard",
                                        "the guard of the commands has gone (was it killed?)"));
        }
}

static void guard_polled(struct op *op)
{
        struct loop_guard *g = op->owner;
        struct guard_event e;
        int r = 0;

        g->op = NULL;
        op_free(op);
        while (g->users > 0 && (r = guard_next(g->guard, &e)) > 0)
                dispatch(g, &e);
        if (g->users > 0 && r == -EPIPE) {
                guard_died(g);
        } else if (g->users > 0 && watch_guard(g) < 0) {
                guard_died(g);
        } else if (g->users == 0) {
                for (struct list *n = g->runs.next; n != &g->runs; n = n->next)
                        run_wake(run_of(container_of(n, struct contain, node)));
        }
}

static struct loop_guard *find_guard(struct sluice_loop *l, bool alone)
{
        for (struct list *n = l->guards.next; n != &l->guards; n = n->next) {
                struct loop_guard *g = container_of(n, struct loop_guard, node);

                if (!g->dead && !g->pidns && !g->taken && (!alone || g->users == 0))
                        return g;
        }
        return NULL;
}

static int make_guard(struct loop_guard **ret, struct sluice_loop *l, bool pidns)
{
        struct loop_guard *g = calloc(1, sizeof(*g));
        int r = g ? guard_new(&g->guard, pidns) : -ENOMEM;

        if (r < 0) {
                free(g);
                return r;
        }
        g->loop = l;
        g->pidns = pidns;
        list_init(&g->runs);
        list_init(&g->node);
        list_push(&l->guards, &g->node);
        *ret = g;
        return 0;
}

static int take_guard(struct run *r, bool alone, bool pidns)
{
        struct loop_guard *g = pidns ? NULL : find_guard(r->loop, alone);
        int e = g ? 0 : make_guard(&g, r->loop, pidns);

        if (e == 0)
                e = watch_guard(g);
        if (e < 0)
                return e;
        g->users++;
        g->taken = alone;
        list_push(&g->runs, &r->contain.node);
        r->contain.guard = g;
        r->contain.guarded = true;
        return 0;
}

static unsigned idle_guards(const struct sluice_loop *l)
{
        unsigned n = 0;

        for (const struct list *at = l->guards.next; at != &l->guards; at = at->next)
                n += container_of(at, struct loop_guard, node)->users == 0;
        return n;
}

void guards_fini(struct sluice_loop *l)
{
        while (!list_empty(&l->guards))
                drop_guard(container_of(l->guards.next, struct loop_guard, node));
}

/* ---- begin ---- */

/* The guard hears of it before it is there: whenever we are killed, it is removed. */
static int make_leaf(struct run *r, const char *base)
{
        static atomic_uint serial; /* a name's only: no two of one process are alike */
        struct contain *c = &r->contain;
        char name[CGROUP_NAME_BYTES];
        int e;

        snprintf(name, sizeof(name), "sluice-%d-%u", (int)getpid(), atomic_fetch_add(&serial, 1));
        e = cgroup_open_base(&c->leaf, base, name);
        if (e == 0 && c->guard)
                e = guard_leaf(c->guard->guard, c->id, c->leaf.parent, name);
        if (e == 0)
                e = cgroup_make_here(&c->leaf);
        if (e < 0) {
                if (c->guard)
                        guard_tell(c->guard->guard, GUARD_FORGET, c->id, 0);
                cgroup_close(&c->leaf);
        }
        return e;
}

static int begin_cgroup(struct run *r)
{
        const char *base = r->opt->cgroup;
        char path[PATH_BYTES];
        int e;

        if (base)
                return make_leaf(r, base);
        if (r->loop->no_cgroup)
                return r->loop->no_cgroup;
        e = cgroup_own(path, sizeof(path));
        e = e < 0 ? e : make_leaf(r, path);
        if (e < 0)
                r->loop->no_cgroup = e; /* it will not be different for the next run */
        return e;
}

static int begin_auto(struct run *r, bool guard)
{
        struct contain *c = &r->contain;
        int e = guard ? take_guard(r, false, false) : 0;

        if (e < 0)
                return e;
        e = begin_cgroup(r);
        c->kind = SLUICE_CONTAIN_CGROUP;
        if (e == 0 || r->opt->contain == SLUICE_CONTAIN_CGROUP)
                return e;
        c->kind = guard ? SLUICE_CONTAIN_GUARD : SLUICE_CONTAIN_WALK;
        if (!guard)
                return 0;
        if (c->guard->users == 1) {
                c->guard->taken = true;
                return 0;
        }
        list_unlink(&c->node);
        c->guard->users--;
        c->guard = NULL;
        return take_guard(r, true, false);
}

static bool wants_memory_cgroups(const struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (memory_is_watched(&r->stages[i]))
                        return true;
        return false;
}

/* To tell whose memory it is, every command gets a cgroup below the leaf: what descends from it stays in it. With the memory
 * controller delegated the kernel counts, and no process may be in the leaf itself; without it, we sum up its members. */
static void split_leaf(struct run *r)
{
        struct contain *c = &r->contain;

        if (c->decided)
                return;
        c->decided = true;
        if (c->kind != SLUICE_CONTAIN_CGROUP || !wants_memory_cgroups(r))
                return;
        c->split = true;
        if (cgroup_has_memory(&c->leaf))
                cgroup_delegate_memory(&c->leaf);
}

int contain_begin(struct run *r)
{
        struct contain *c = &r->contain;
        enum sluice_contain wanted = r->opt->contain;
        bool guard = r->opt->flags & SLUICE_GUARD;
        int e = 0;

        if (c->kind != SLUICE_CONTAIN_AUTO)
                return 0;
        c->id = ++r->loop->contain_ids;
        if (wanted == SLUICE_CONTAIN_AUTO || wanted == SLUICE_CONTAIN_CGROUP) {
                e = begin_auto(r, guard);
        } else {
                c->kind = wanted;
                if (wanted == SLUICE_CONTAIN_GUARD || wanted == SLUICE_CONTAIN_PIDNS)
                        e = take_guard(r, true, wanted == SLUICE_CONTAIN_PIDNS);
                else if (guard)
                        e = take_guard(r, false, false);
        }
        return e;
}

int contain_spawn(struct sluice_ctx *c, struct spawn *s)
{
        struct contain *k = &c->run->contain;
        char name[CGROUP_NAME_BYTES];
        int e;

        split_leaf(c->run); /* by now every command's options are known */
        s->guard = k->guard ? k->guard->guard : NULL;
        s->id = k->id << STAGE_BITS | (uint64_t)c->index;
        s->cgroup = c->child->prep.cgroup;
        c->child->by_guard = k->guard != NULL;
        k->empty = false;
        if (k->kind == SLUICE_CONTAIN_PIDNS) {
                s->group_mode = SPAWN_GROUP_KEEP;
                s->terminal = -1;
        }
        if (s->cgroup >= 0 || k->kind != SLUICE_CONTAIN_CGROUP)
                return 0;
        s->cgroup = k->leaf.fd;
        if (!k->split)
                return 0;
        snprintf(name, sizeof(name), "stage-%d", c->index);
        e = cgroup_make_below(&c->child->memory.cgroup, &k->leaf, name);
        if (e == 0)
                s->cgroup = c->child->memory.cgroup.fd;
        return e;
}

int contain_confirm(struct run *r, int *ret_stage, int *ret_error, enum spawn_step *ret_failed)
{
        return guard_confirm(r->contain.guard->guard, r->contain.id, ret_stage, ret_error, ret_failed);
}

/* ---- end ---- */

void contain_reap(struct sluice_ctx *c)
{
        guard_tell(c->run->contain.guard->guard, GUARD_REAP, c->child->spec.id, 0);
}

bool contain_reaches(const struct sluice_ctx *c)
{
        const struct contain *k = &c->run->contain;

        if (k->guard && k->guard->dead)
                return false;
        return (has_guard_walk(k) && c->child->by_guard) || (k->kind == SLUICE_CONTAIN_CGROUP && c->child->prep.cgroup < 0);
}

static void see(struct contain *c, pid_t pid)
{
        int fd;

        if (!c->seen)
                c->seen = malloc(CONTAIN_SEEN_MAX * sizeof(*c->seen));
        if (!c->seen || c->seen_nr == CONTAIN_SEEN_MAX)
                return;
        fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd >= 0)
                c->seen[c->seen_nr++] = fd;
}

static bool has_ended(int pidfd)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) > 0;
}

/* What has been found stays known by its pidfd, also once its parents have gone. */
void contain_look(struct run *r)
{
        struct contain *c = &r->contain;
        pid_t below[CONTAIN_SEEN_MAX];

        if (c->kind != SLUICE_CONTAIN_WALK)
                return;
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                const struct child *ch = r->stages[i].child;
                /* A thread has no pid, and below 0 is whatever the host has started, other runs and its own business. */
                size_t nr = ch->state == CHILD_RUNNING && ch->pid > 0 ? tree_walk(ch->pid, below, CONTAIN_SEEN_MAX) : 0;

                for (size_t k = 0; k < nr; k++)
                        see(c, below[k]);
        }
}

static void signal_seen(const struct contain *c, int signal)
{
        for (unsigned i = 0; i < c->seen_nr; i++) {
                sys_kill_child(NULL, c->seen[i], signal);
                if (signal != SIGKILL)
                        sys_kill_child(NULL, c->seen[i], SIGCONT);
        }
}

void contain_signal(struct run *r, int signal)
{
        struct contain *c = &r->contain;

        switch (c->kind) {
        case SLUICE_CONTAIN_CGROUP:
                if (signal != SIGKILL || cgroup_kill(&c->leaf) < 0)
                        cgroup_signal(&c->leaf, signal);
                break;
        case SLUICE_CONTAIN_GUARD:
        case SLUICE_CONTAIN_PIDNS:
                if (!c->guard) /* it could not be made, which is why the run is ended */
                        break;
                guard_tell(c->guard->guard, signal == SIGKILL ? GUARD_KILL : GUARD_SIGNAL, c->id, signal);
                c->asked |= signal == SIGKILL;
                break;
        case SLUICE_CONTAIN_WALK:
                signal_seen(c, signal);
                break;
        case SLUICE_CONTAIN_AUTO:
        case SLUICE_CONTAIN_NONE:
                break;
        }
}

bool contain_is_empty(struct run *r)
{
        struct contain *c = &r->contain;

        switch (c->kind) {
        case SLUICE_CONTAIN_CGROUP:
                if (c->leaf.fd < 0)
                        return true;
                for (size_t i = 0; i < r->plan->stages_nr; i++)
                        memory_finish(&r->stages[i]); /* while its cgroup is there to be asked */
                if (cgroup_remove(&c->leaf) == -EBUSY)
                        return false;
                if (c->guard)
                        guard_tell(c->guard->guard, GUARD_FORGET, c->id, 0);
                cgroup_close(&c->leaf);
                return true;
        case SLUICE_CONTAIN_GUARD:
        case SLUICE_CONTAIN_PIDNS:
                if (c->empty || !c->guard || c->guard->dead)
                        return true;
                if (!c->asked && guard_tell(c->guard->guard, GUARD_TELL, c->id, 0) == 0)
                        c->asked = true;
                return !c->asked;
        case SLUICE_CONTAIN_WALK:
                for (unsigned i = 0; i < c->seen_nr; i++)
                        if (!has_ended(c->seen[i]))
                                return false;
                return true;
        case SLUICE_CONTAIN_AUTO:
        case SLUICE_CONTAIN_NONE:
                break;
        }
        return true;
}

/* The last user lets go of the poll as well: when it has completed, the guard may be dropped with its loop. */
void contain_end(struct run *r)
{
        struct contain *c = &r->contain;
        struct loop_guard *g = c->guard;

        for (unsigned i = 0; i < c->seen_nr; i++)
                close(c->seen[i]);
        c->seen_nr = 0;
        cgroup_close(&c->leaf);
        if (!g)
                return;
        g->users--;
        g->taken = false;
        if (g->users == 0 && g->op)
                backend_cancel(backend_of(r), g->op);
}

bool contain_is_quiet(const struct run *r)
{
        const struct loop_guard *g = r->contain.guard;

        return !g || g->users > 0 || !g->op;
}

void contain_fini(struct run *r)
{
        struct contain *c = &r->contain;
        struct loop_guard *g = c->guard;

        list_unlink(&c->node);
        free(c->seen);
        c->seen = NULL;
        c->guard = NULL;
        if (!g || g->users > 0 || g->op)
                return;
        g->slot = slot_unref(g->slot);
        if (g->pidns || g->dead || idle_guards(r->loop) > IDLE_GUARDS_MAX)
                drop_guard(g);
}

pid_t contain_tree_root(const struct sluice_ctx *c)
{
        const struct run *r = c->run;
        unsigned commands = 0;

        for (size_t i = 0; i < r->plan->stages_nr; i++)
                commands += is_command(&r->stages[i]) && !is_thread(&r->stages[i]);
        return commands == 1 && r->contain.kind == SLUICE_CONTAIN_GUARD ? guard_pid(r->contain.guard->guard) : c->child->pid;
}

/* ---- what a machine allows ---- */

enum sluice_contain contain_probe(char *ret_why, size_t cap)
{
        char path[PATH_BYTES], name[CGROUP_NAME_BYTES];
        struct cgroup g = { .fd = -1, .parent = -1 };
        int e = cgroup_own(path, sizeof(path));
        struct guard *guard;

        if (e == 0) {
                cgroup_sweep(path, "sluice"); /* what others left that were killed without a guard */
                snprintf(name, sizeof(name), "sluice-%d-probe", (int)getpid());
                e = cgroup_make(&g, path, name);
        }
        if (e == 0 && cgroup_kill(&g) < 0)
                e = -ENOSYS;
        if (e == 0)
                snprintf(ret_why, cap, "a cgroup below %s for each run%s", path,
                         cgroup_has_memory(&g) ? ", with memory limits by the kernel" : "; memory is sampled (RssAnon)");
        if (g.fd >= 0) {
                cgroup_remove(&g);
                cgroup_close(&g);
        }
        if (e == 0)
                return SLUICE_CONTAIN_CGROUP;
        if (guard_new(&guard, false) < 0) {
                snprintf(ret_why, cap, "no cgroup (%s), no guard: only what descends visibly from a command is found",
                         strerror(-e));
                return SLUICE_CONTAIN_WALK;
        }
        guard_free(guard);
        snprintf(ret_why, cap, "the guard as subreaper; no cgroup can be made here (%s)", strerror(-e));
        return SLUICE_CONTAIN_GUARD;
}
