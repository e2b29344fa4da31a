/* engine/child.c: the commands of a run: started one by one, watched through their pidfds or by the guard, reaped.
 *
 *      NONE --command()--> STARTING --exec'd--> RUNNING --pidfd readable, or the guard's word--> EXITED
 *                                                            (reaped: by us, the group's leader last; or by the guard)
 *
 * Called by run.c, wire.c and contain.c; calls the backend, said.c and contain.c. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "run.h"
#include "terminal.h"

static struct backend *backend_of(const struct run *r)
{
        return r->loop->backend;
}

/* A stage that is handed fds and ends with a status: a process, or a thread of ours. */
bool is_command(const struct sluice_ctx *c)
{
        return c->def->ops->command || c->def->ops->run;
}

/* ---- life ---- */

/* Of a stage that is no command: there never was one. To be read only. */
static const struct child nobody = { .state = CHILD_NONE };

int child_init(struct sluice_ctx *c)
{
        struct child *ch;

        c->child = (struct child *)(uintptr_t)&nobody;
        if (!is_command(c))
                return 0;
        ch = calloc(1, sizeof(*ch));
        if (!ch)
                return -ENOMEM;
        ch->ctx = c;
        ch->prep = (struct prepared){ .directory = -1, .cgroup = -1, .stderr_file = -1 };
        ch->memory.cgroup = (struct cgroup){ .fd = -1, .parent = -1 };
        list_init(&ch->memory.node);
        c->child = ch;
        return 0;
}

void child_free(struct sluice_ctx *c)
{
        if (!c->child || c->child == &nobody)
                return;
        free(c->child->tail);
        free(c->child);
}

/* ---- start ---- */

static void child_spawned(struct op *op);
static void child_exited(struct op *op);

static void let_go_of_fds(struct sluice_ctx *c)
{
        for (int i = 0; i < 3; i++)
                c->child->fds[i] = slot_unref(c->child->fds[i]);
}

/* What a process now holds is closed here, so that end of file and broken pipe depend on it alone. Regular files stay:
 * they keep nobody waiting, and their position tells how far it is. */
static void drop_lent_copies(struct sluice_ctx *c)
{
        struct run *r = c->run;

        for (size_t i = 0; i < r->plan->links_nr; i++) {
                struct run_link *l = &r->links[i];
                bool reads = l->plan->to == c->index;
                struct sluice_ctx *lender = &r->stages[reads ? l->plan->from : l->plan->to];
                int fd;

                if (l->mode != SLUICE_LINK_DIRECT || (!reads && l->plan->from != c->index))
                        continue;
                fd = stage_fd(lender, reads ? SLUICE_OUTPUT : SLUICE_INPUT, l->plan->branch);
                if ((reads ? l->words.out_kind : l->words.in_kind) == SLUICE_KIND_PIPE)
                        ctx_forget_fd(lender, fd);
        }
}

static void spawn_fail(struct sluice_ctx *c, int error, const char *step)
{
        if (!words_any(c->note))
                sluice_ctx_note(c, step, "%s: %s", step, strerror(-error));
        stage_fail(c, error, step);
}

/* The group is the first child's; it is given the terminal in the child, before exec, so that no program ever reads
 * the terminal from the background. */
static void set_group(struct sluice_ctx *c)
{
        struct run *r = c->run;
        struct spawn *s = &c->child->spec;

        s->terminal = -1;
        s->group_mode = SPAWN_GROUP_KEEP;
        if (!(r->opt->flags & SLUICE_PROCESS_GROUP))
                return;
        s->group_mode = r->has_leader ? SPAWN_GROUP_JOIN : SPAWN_GROUP_NEW;
        s->group = r->group; /* 0: the guard knows, and will tell us when the starts are confirmed */
        r->has_leader = true;
        if (r->opt->flags & SLUICE_TERMINAL && r->terminal_taken && r->terminal_fd < 0)
                r->terminal_fd = terminal_open();
        s->terminal = r->terminal_fd;
}

static const struct spawn_rlimit *rlimits_of(struct prepared *p)
{
        for (size_t i = 0; p->options && i < p->options->rlimits_nr; i++)
                p->rlimits[i] = (struct spawn_rlimit){ .resource = p->options->rlimits[i].resource,
                                                       .soft = p->options->rlimits[i].soft,
                                                       .hard = p->options->rlimits[i].hard };
        return p->rlimits;
}

static void fill_spec(struct sluice_ctx *c)
{
        static const struct sluice_command_options nothing_special;
        struct child *ch = c->child;
        struct prepared *p = &ch->prep;
        const struct sluice_command_options *o = p->options ? p->options : &nothing_special;
        struct run *r = c->run;

        ch->spec = (struct spawn){ .path = ch->command.path,
                                   .argv = ch->command.argv,
                                   .env = p->env,
                                   .directory = p->directory,
                                   .extra = p->extra,
                                   .extra_nr = (uint32_t)o->fds_nr,
                                   .die_with_parent = r->opt->flags & SLUICE_DIE_WITH_PARENT && loop_exclusive(r->loop),
                                   .set_umask = o->flags & SLUICE_COMMAND_UMASK,
                                   .umask = o->umask,
                                   .nice = o->nice,
                                   .ioprio = o->ioprio,
                                   .rlimits = rlimits_of(p),
                                   .rlimits_nr = (uint32_t)o->rlimits_nr,
                                   .set_ids = p->ids != NULL,
                                   .cgroup = -1,
                                   .cpus = r->loop->placed ? &r->loop->cpus : NULL,
                                   .async = loop_exclusive(r->loop),
                                   .pidfd = -1 };
        if (p->ids) {
                ch->spec.uid = p->ids->uid;
                ch->spec.gid = p->ids->gid;
                ch->spec.groups = p->ids->groups;
                ch->spec.groups_nr = p->ids->groups_nr;
        }
        for (int i = 0; i < 3; i++)
                ch->spec.fds[i] = ch->fds[i]->fd;
}

/* What it takes to watch its end is there before it is: afterwards a failure would leave it unwatched. */
static int make_watches(struct sluice_ctx *c)
{
        struct backend *b = backend_of(c->run);

        if (!c->child->by_guard)
                c->child->exit_op = op_new(b, OP_POLL, child_exited, c);
        if ((!c->child->by_guard && !c->child->exit_op) || slot_reserve(&c->child->pidfd, b) < 0)
                return -ENOMEM;
        if (c->child->command.forked)
                return 0;
        c->child->spawn_op = op_new(b, OP_SPAWN, child_spawned, c);
        return c->child->spawn_op ? 0 : -ENOMEM;
}

/* It runs as soon as it is started: there is no exec that could fail. */
static int start_on_thread(struct sluice_ctx *c)
{
        int e = thread_start(c);

        if (e < 0)
                return e;
        let_go_of_fds(c);
        drop_lent_copies(c);
        c->child->state = CHILD_RUNNING;
        c->child->started_ns = backend_now_ns(backend_of(c->run));
        event_send(c->run, &(struct sluice_event){ .kind = SLUICE_EVENT_START, .stage = c->index });
        return 0;
}

static void spawn_succeeded(struct sluice_ctx *c);

/* It runs at once, as a thread does. */
static int start_by_fork(struct sluice_ctx *c)
{
        int e = worker_fork(c);

        if (e < 0)
                return e;
        let_go_of_fds(c);
        drop_lent_copies(c);
        c->child->started_ns = backend_now_ns(backend_of(c->run));
        spawn_succeeded(c);
        return 0;
}

static int child_start(struct sluice_ctx *c)
{
        struct run *r = c->run;
        struct child *ch = c->child;
        int e;

        ch->command.size = sizeof(ch->command);
        e = c->def->ops->command(c, c->self, &ch->command);
        e = e < 0 ? e : said_open(c);
        if (e < 0)
                return e;
        fill_spec(c);
        set_group(c);
        e = contain_spawn(c, &ch->spec);
        e = e < 0 ? e : worker_begin(c);
        e = e < 0 ? e : memory_begin(c);
        e = e < 0 ? e : make_watches(c);
        if (e < 0)
                return e;
        if (ch->command.forked)
                return start_by_fork(c);
        ch->spawn_op->spawn.spec = &ch->spec;
        ch->state = CHILD_STARTING;
        ch->started_ns = backend_now_ns(backend_of(r));
        backend_submit(backend_of(r), ch->spawn_op);
        return 0;
}

static void watch_exit(struct sluice_ctx *c, struct op *op)
{
        op_pin(op, c->child->pidfd, NULL, NULL);
        op->poll.events = POLLIN;
        c->child->exit_op = op;
        backend_submit(backend_of(c->run), op);
}

/* Its guard has gone: the end is seen by its pidfd, the status by nobody. */
void child_watch(struct sluice_ctx *c)
{
        struct op *op;

        c->child->by_guard = false;
        op = op_new(backend_of(c->run), OP_POLL, child_exited, c);
        if (op)
                watch_exit(c, op);
        else
                child_ended(c, &(struct child_status){ .known = false });
}

static void drop_exit_op(struct child *ch)
{
        if (ch->exit_op && ch->exit_op->state == OP_NEW) {
                op_free(ch->exit_op);
                ch->exit_op = NULL;
        }
}

static void spawn_failed(struct sluice_ctx *c, int error, enum spawn_step step)
{
        c->child->state = CHILD_NONE;
        drop_exit_op(c->child);
        said_close(c);
        spawn_fail(c, error, spawn_step_name(step));
        run_wake(c->run);
}

/* Its number, and that of the group that it leads, are known. */
static void note_pid(struct sluice_ctx *c)
{
        struct child *ch = c->child;

        ch->pid = ch->spec.pid;
        ch->pidfd->fd = ch->spec.pidfd;
        if (ch->spec.group_mode == SPAWN_GROUP_NEW) {
                c->run->group = ch->pid;
                ch->leader = true;
        }
}

/* It has exec'd: it runs. */
static void spawn_succeeded(struct sluice_ctx *c)
{
        struct run *r = c->run;
        struct child *ch = c->child;

        note_pid(c);
        worker_started(c);
        ch->state = CHILD_RUNNING;
        if (!ch->by_guard)
                watch_exit(c, ch->exit_op);
        memory_started(c);
        if (ch->stderr_read)
                said_pump(c);
        event_send(r, &(struct sluice_event){ .kind = SLUICE_EVENT_START, .stage = c->index, .pid = ch->pid });
        if (ch->early_exit)
                child_ended(c, &ch->status);
}

static bool is_begun(const struct sluice_ctx *c)
{
        return c->child->state == CHILD_STARTING && c->child->begun;
}

/* The guard names those that failed; all others run. */
static void confirm_by_guard(struct run *r)
{
        struct sluice_ctx *c;
        enum spawn_step step;
        int stage, error, e;

        while ((e = contain_confirm(r, &stage, &error, &step)) > 0) {
                c = &r->stages[stage];
                if (!is_begun(c))
                        continue;
                c->child->pidfd->fd = c->child->spec.pidfd; /* to be closed */
                spawn_failed(c, error, step);
        }
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct spawn *s = &r->stages[i].child->spec;

                c = &r->stages[i];
                if (!is_begun(c) || !c->child->by_guard)
                        continue;
                if (e < 0 || s->error < 0)
                        spawn_failed(c, s->error < 0 ? s->error : e, s->error < 0 ? s->failed : SPAWN_GUARD);
                else
                        spawn_succeeded(c);
        }
}

/* Those that were begun exec side by side; now each of them says how that went. */
static void confirm_starts(struct run *r)
{
        bool guard = false;

        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i];
                int e;

                guard |= is_begun(c) && c->child->by_guard;
                if (!is_begun(c) || c->child->by_guard)
                        continue;
                e = spawn_confirm(&c->child->spec);
                if (e < 0)
                        spawn_failed(c, e, c->child->spec.failed);
                else
                        spawn_succeeded(c);
        }
        if (guard)
                confirm_by_guard(r);
        if (r->stopping) /* cancelled while they started: they missed the signal */
                end_signal(r, r->kill_step >= 2 ? SIGKILL : SIGTERM);
        run_wake(r);
}

void child_spawn_next(struct run *r)
{
        struct sluice_ctx *c;
        int e;

        while (r->next_spawn < r->plan->stages_nr && !is_command(&r->stages[r->next_spawn]))
                r->next_spawn++;
        if (r->next_spawn == r->plan->stages_nr) {
                confirm_starts(r);
                return;
        }
        c = &r->stages[r->next_spawn++];
        e = is_thread(c) ? start_on_thread(c) : child_start(c);
        if (e < 0) {
                spawn_fail(c, e, "start");
                confirm_starts(r);
        } else if (c->child->state == CHILD_RUNNING) {
                child_spawn_next(r);
        }
}

static void child_spawned(struct op *op)
{
        struct sluice_ctx *c = op->owner;
        struct run *r = c->run;
        struct child *ch = c->child;
        int e = op_result(op);

        ch->spawn_op = NULL;
        op_free(op);
        let_go_of_fds(c);
        if (e < 0) {
                spawn_failed(c, e, ch->spec.failed);
                confirm_starts(r);
                return;
        }
        drop_lent_copies(c);
        if (ch->spec.group_mode == SPAWN_GROUP_NEW && !ch->by_guard)
                r->group = ch->spec.pid;
        ch->begun = ch->spec.async;
        if (!ch->begun)
                spawn_succeeded(c);
        if (r->stopping)
                confirm_starts(r);
        else
                child_spawn_next(r);
        run_wake(r);
}

/* ---- end ---- */

/* Whether the reader of a pipe between two commands still has it open: then it was not this pipe that broke. A reader
 * lets go of its fds before its end can be seen, so the order in which the two ends are seen says nothing. */
static bool reader_holds(const struct run *r, const struct sluice_ctx *c)
{
        struct backend *b = backend_of(r);
        const struct run_link *l;
        const struct child *reader;

        if (c->def->out_link < 0 || r->links[c->def->out_link].mode != SLUICE_LINK_PIPE)
                return false;
        l = &r->links[c->def->out_link];
        if (is_thread(c) || is_thread(&r->stages[l->plan->to]))
                return false;
        reader = r->stages[l->plan->to].child;
        if (reader->state < CHILD_RUNNING)
                return !r->stopping; /* it has not started yet: the end is still ours */
        return reader->state == CHILD_RUNNING && b->ops->process_holds(b, reader->pid, STDIN_FILENO, l->pipe_inode);
}

/* Known or not, its status is `status`; nothing of it runs any more. */
void child_ended(struct sluice_ctx *c, const struct child_status *status)
{
        struct run *r = c->run;
        struct child *ch = c->child;

        ch->status = *status;
        ch->reader_held = child_ended_by_pipe(ch) && reader_holds(r, c);
        ch->state = CHILD_EXITED;
        ch->ended_ns = backend_now_ns(backend_of(r));
        ch->reaped = !ch->leader;
        ch->cpu_s = ch->status.cpu_s;
        worker_ended(c);
        r->cpu_children_s += ch->cpu_s;
        memory_stop(c);
        said_finish(c);
        event_send(r, &(struct sluice_event){ .kind = SLUICE_EVENT_EXIT,
                                              .stage = c->index,
                                              .pid = ch->pid,
                                              .exit_status = ch->status.known ? ch->status.exit_status : -1,
                                              .signal = ch->status.signal });
        if (c->def->in_link >= 0 && r->links[c->def->in_link].driven)
                link_poke_sink(&r->links[c->def->in_link].link);
        run_may_fail_fast(c);
        run_wake(r);
}

static void child_exited(struct op *op)
{
        struct sluice_ctx *c = op->owner;
        struct backend *b = backend_of(c->run);
        struct child *ch = c->child;
        struct child_status status = { 0 };
        int e;

        ch->exit_op = NULL;
        op_free(op);
        e = b->ops->wait_child(b, ch->pidfd->fd, !ch->leader, &status);
        op = e == -EAGAIN ? op_new(b, OP_POLL, child_exited, c) : NULL;
        if (op) /* not yet: somebody woke the poll */
                watch_exit(c, op);
        else
                child_ended(c, &status);
}

bool children_running(const struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                const struct child *ch = r->stages[i].child;

                if (ch->state == CHILD_STARTING || ch->state == CHILD_RUNNING || ch->stderr_read || ch->stderr_op)
                        return true;
        }
        return false;
}

bool any_child_alive(const struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (r->stages[i].child->state == CHILD_RUNNING)
                        return true;
        return false;
}

void children_reap(struct run *r)
{
        struct backend *b = backend_of(r);

        if (r->terminal_fd >= 0 && r->group > 0) /* while the unreaped leader keeps the group's number from being reused */
                terminal_take_back(r->terminal_fd, r->group);

        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct child *ch = r->stages[i].child;
                struct child_status status;

                if (ch->state != CHILD_EXITED || ch->reaped)
                        continue;
                if (ch->by_guard)
                        contain_reap(&r->stages[i]);
                else
                        b->ops->wait_child(b, ch->pidfd->fd, true, &status);
                ch->reaped = true;
        }
        r->group = 0;
}

void child_fini(struct sluice_ctx *c)
{
        if (!is_command(c))
                return;
        drop_exit_op(c->child);
        let_go_of_fds(c);
        if (is_thread(c))
                thread_fini(c);
        c->child->stderr_read = slot_unref(c->child->stderr_read);
        c->child->pidfd = slot_unref(c->child->pidfd);
        cgroup_close(&c->child->memory.cgroup);
        worker_fini(c);
        prepared_fini(&c->child->prep);
}

bool stage_upstream_exited(const struct run *r, int stage)
{
        const uint64_t *above = r->plan->above + (size_t)stage * r->plan->row_words;

        for (size_t w = 0; w < r->plan->row_words; w++)
                for (uint64_t bits = above[w]; bits; bits &= bits - 1) {
                        const struct sluice_ctx *c = &r->stages[w * 64 + (size_t)__builtin_ctzll(bits)];

                        if (is_command(c) && c->child->state != CHILD_EXITED)
                                return false;
                }
        return true;
}
