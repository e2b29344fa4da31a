/* engine/child.c: the commands of a run: started one by one, watched through pidfds, their stderr kept, their end judged.
 *
 *      NONE --command()--> STARTING --exec'd--> RUNNING --pidfd readable--> EXITED --(reaped; the group's leader last)
 *
 * Called by run.c and wire.c; calls the backend. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "run.h"
#include "terminal.h"

extern char **environ;

static struct backend *backend_of(const struct run *r)
{
        return r->loop->backend;
}

static bool is_command(const struct sluice_ctx *c)
{
        return c->def->ops->command != NULL;
}

/* ---- stderr: kept up to a bound, the last bytes; forwarded when asked ---- */

static void stderr_pump(struct sluice_ctx *c);

static void tail_add(struct child *ch, const uint8_t *data, size_t bytes)
{
        for (size_t i = 0; i < bytes && ch->tail; i++)
                ch->tail[(ch->tail_bytes + i) % STDERR_TAIL_BYTES] = (char)data[i];
        ch->tail_bytes += bytes;
}

char *child_tail(const struct child *ch)
{
        size_t kept = ch->tail_bytes < STDERR_TAIL_BYTES ? (size_t)ch->tail_bytes : STDERR_TAIL_BYTES;
        char *text = malloc(kept + 1);

        if (!text || !ch->tail) {
                free(text);
                return NULL;
        }
        for (size_t i = 0; i < kept; i++)
                text[i] = ch->tail[(ch->tail_bytes - kept + i) % STDERR_TAIL_BYTES];
        text[kept] = '\0';
        return text;
}

static void stderr_close(struct sluice_ctx *c)
{
        c->child.stderr_read = slot_unref(c->child.stderr_read);
        run_wake(c->run);
}

static void stderr_polled(struct op *op)
{
        struct sluice_ctx *c = op->owner;

        c->child.stderr_op = NULL;
        op_free(op);
        stderr_pump(c);
}

static void stderr_written(struct op *op)
{
        struct sluice_ctx *c = op->owner;
        struct run *r = c->run;
        int n = op_result(op);
        uint32_t left = n > 0 ? op->io.bytes - (uint32_t)n : 0;
        struct op *rest = NULL;

        if (n < 0)
                c->child.stderr_deaf = true; /* nobody listens, or the run is over: keep the tail only */
        if (left > 0 && !r->stopping)
                rest = op_new(backend_of(r), OP_WRITE, stderr_written, c);
        if (rest) {
                op_pin(rest, op->in, NULL, op->mem);
                rest->io.data = (uint8_t *)op->io.data + n;
                rest->io.bytes = left;
                rest->io.offset = -1;
                backend_submit(backend_of(r), rest);
        }
        c->child.stderr_op = rest;
        op_free(op);
        if (!rest)
                stderr_pump(c);
        run_wake(r);
}

/* Written as an operation: whoever reads our stderr may be slow, and the loop must not wait for him. */
static bool stderr_forward(struct sluice_ctx *c, struct buffer *buffer, size_t bytes)
{
        struct backend *b = backend_of(c->run);
        struct slot *out = NULL;
        struct op *op;
        int fd = b->ops->dup(b, STDERR_FILENO);

        if (fd < 0)
                return false;
        if (slot_new(&out, b, fd) < 0) {
                b->ops->close(b, fd);
                return false;
        }
        op = op_new(b, OP_WRITE, stderr_written, c);
        if (op) {
                op_pin(op, out, NULL, &buffer->pin);
                op->io.data = buffer->data;
                op->io.bytes = (uint32_t)bytes;
                op->io.offset = -1;
                c->child.stderr_op = op;
                backend_submit(b, op);
        }
        slot_unref(out);
        return op != NULL;
}

static void stderr_arm(struct sluice_ctx *c)
{
        struct op *op = op_new(backend_of(c->run), OP_POLL, stderr_polled, c);

        if (!op) {
                stderr_close(c);
                return;
        }
        op_pin(op, c->child.stderr_read, NULL, NULL);
        op->poll.events = POLLIN;
        c->child.stderr_op = op;
        backend_submit(backend_of(c->run), op);
}

/* What to do with the bytes just read. True: read on at once. */
static bool stderr_took(struct sluice_ctx *c, struct buffer *buffer, size_t bytes)
{
        struct child *ch = &c->child;

        tail_add(ch, buffer->data, bytes);
        if (c->run->plan->opt.flags & SLUICE_STDERR_FORWARD && !ch->stderr_deaf && stderr_forward(c, buffer, bytes))
                return false;
        if (ch->state != CHILD_EXITED) {
                stderr_arm(c);
                return false;
        }
        /* The command is gone: only what it left in the pipe is waited for, never what a grandchild that holds the pipe
         * open may still say. */
        ch->late_bytes += bytes;
        if (ch->late_bytes <= STDERR_LATE_BYTES)
                return true;
        stderr_close(c);
        return false;
}

static void stderr_pump(struct sluice_ctx *c)
{
        struct backend *b = backend_of(c->run);
        struct buffer *buffer;
        bool again = true;

        if (!c->child.stderr_read || c->child.stderr_op)
                return;
        buffer = buffer_get(&c->run->loop->buffers);
        if (!buffer) {
                stderr_close(c);
                return;
        }
        while (again) {
                ssize_t n = b->ops->try_read(b, c->child.stderr_read, buffer->data, 16384);

                again = n == -EINTR;
                if (n > 0)
                        again = stderr_took(c, buffer, (size_t)n);
                else if (n == -EAGAIN && c->child.state != CHILD_EXITED)
                        stderr_arm(c);
                else if (!again)
                        stderr_close(c); /* its end, or the command's */
        }
        buffer_unref(buffer);
}

/* The command is over. What it said last is read; but a run that is stopping waits for nobody who stalls our stderr. */
void child_stderr_finish(struct sluice_ctx *c)
{
        struct op *op = c->child.stderr_op;

        if (!op)
                stderr_pump(c);
        else if (op->kind == OP_POLL || c->run->stopping)
                backend_cancel(backend_of(c->run), op);
}

void child_stderr_abandon(struct sluice_ctx *c)
{
        struct op *op = c->child.stderr_op;

        if (!op || op->state == OP_DONE)
                return;
        backend_abandon(backend_of(c->run), op);
        c->run->abandoned++;
        c->child.stderr_op = NULL;
        stderr_close(c);
}

static int take_slot(struct backend *b, struct slot **ret, int fd)
{
        int e = slot_new(ret, b, fd);

        if (e < 0)
                b->ops->close(b, fd);
        return e;
}

static int stderr_open(struct sluice_ctx *c)
{
        struct run *r = c->run;
        struct backend *b = backend_of(r);
        size_t granted;
        int fds[2], e;

        /* A program that has the terminal has all of it: less and vi look at their stderr too. */
        if (r->plan->opt.flags & SLUICE_STDERR_INHERIT || (r->plan->opt.flags & SLUICE_TERMINAL && r->terminal_taken)) {
                fds[1] = b->ops->dup(b, STDERR_FILENO);
                if (fds[1] < 0)
                        fds[1] = b->ops->open_null(b, true); /* a host without stderr */
                return fds[1] < 0 ? fds[1] : take_slot(b, &c->child.fds[2], fds[1]);
        }
        c->child.tail = malloc(STDERR_TAIL_BYTES);
        e = c->child.tail ? b->ops->pipe(b, fds, 64 << 10, &granted) : -ENOMEM;
        if (e < 0)
                return e;
        e = take_slot(b, &c->child.stderr_read, fds[0]);
        if (e < 0) {
                b->ops->close(b, fds[1]);
                return e;
        }
        e = take_slot(b, &c->child.fds[2], fds[1]);
        return e < 0 ? e : b->ops->set_nonblock(b, fds[0], true);
}

/* ---- start ---- */

static void child_spawned(struct op *op);
static void child_exited(struct op *op);

static void let_go_of_fds(struct sluice_ctx *c)
{
        for (int i = 0; i < 3; i++)
                c->child.fds[i] = slot_unref(c->child.fds[i]);
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
                fd = lender->def->ops->fd(lender, lender->self, reads ? SLUICE_OUTPUT : SLUICE_INPUT);
                if ((reads ? l->words.out_kind : l->words.in_kind) == SLUICE_KIND_PIPE)
                        ctx_forget_fd(lender, fd);
        }
}

static void spawn_fail(struct sluice_ctx *c, int error, const char *step)
{
        if (!c->note[0])
                sluice_ctx_note(c, step, "%s: %s", step, strerror(-error));
        stage_fail(c, error, step);
}

/* The group is the first child's; it is given the terminal in the child, before exec, so that no program ever reads
 * the terminal from the background. */
static void set_group(struct sluice_ctx *c)
{
        struct run *r = c->run;
        struct spawn *s = &c->child.spec;

        s->terminal = -1;
        s->group_mode = SPAWN_GROUP_KEEP;
        if (!(r->plan->opt.flags & SLUICE_PROCESS_GROUP))
                return;
        s->group_mode = r->group > 0 ? SPAWN_GROUP_JOIN : SPAWN_GROUP_NEW;
        s->group = r->group;
        if (r->plan->opt.flags & SLUICE_TERMINAL && r->terminal_taken && r->terminal_fd < 0)
                r->terminal_fd = terminal_open();
        s->terminal = r->terminal_fd;
}

static int child_start(struct sluice_ctx *c)
{
        struct run *r = c->run;
        struct child *ch = &c->child;
        struct op *op;
        int e;

        ch->command.size = sizeof(ch->command);
        e = c->def->ops->command(c, c->self, &ch->command);
        if (e < 0)
                return e;
        e = stderr_open(c);
        if (e < 0)
                return e;
        ch->spec = (struct spawn){ .path = ch->command.path,
                                   .argv = ch->command.argv,
                                   .env = ch->command.env ? ch->command.env : environ,
                                   .directory = ch->command.directory,
                                   .die_with_parent = r->plan->opt.flags & SLUICE_DIE_WITH_PARENT && loop_exclusive(r->loop) };
        for (int i = 0; i < 3; i++)
                ch->spec.fds[i] = ch->fds[i]->fd;
        set_group(c);
        /* What it takes to watch its end is there before it is: afterwards a failure would leave it unwatched. */
        ch->exit_op = op_new(backend_of(r), OP_POLL, child_exited, c);
        if (!ch->exit_op || slot_reserve(&ch->pidfd, backend_of(r)) < 0)
                return -ENOMEM;
        op = op_new(backend_of(r), OP_SPAWN, child_spawned, c);
        if (!op)
                return -ENOMEM;
        op->spawn.spec = &ch->spec;
        ch->spawn_op = op;
        ch->state = CHILD_STARTING;
        backend_submit(backend_of(r), op);
        return 0;
}

void child_spawn_next(struct run *r)
{
        int e;

        while (r->next_spawn < r->plan->stages_nr && !is_command(&r->stages[r->next_spawn]))
                r->next_spawn++;
        if (r->next_spawn == r->plan->stages_nr) {
                run_wake(r);
                return;
        }
        e = child_start(&r->stages[r->next_spawn]);
        if (e < 0)
                spawn_fail(&r->stages[r->next_spawn], e, "start");
        r->next_spawn++;
}

static void watch_exit(struct sluice_ctx *c, struct op *op)
{
        op_pin(op, c->child.pidfd, NULL, NULL);
        op->poll.events = POLLIN;
        c->child.exit_op = op;
        backend_submit(backend_of(c->run), op);
}

static void drop_exit_op(struct child *ch)
{
        if (ch->exit_op && ch->exit_op->state == OP_NEW) {
                op_free(ch->exit_op);
                ch->exit_op = NULL;
        }
}

static void child_spawned(struct op *op)
{
        struct sluice_ctx *c = op->owner;
        struct run *r = c->run;
        struct child *ch = &c->child;
        int e = op_result(op);

        ch->spawn_op = NULL;
        op_free(op);
        let_go_of_fds(c);
        if (e < 0) {
                ch->state = CHILD_NONE;
                drop_exit_op(ch);
                stderr_close(c);
                spawn_fail(c, e, ch->spec.failed ? ch->spec.failed : "start");
                run_wake(r);
                return;
        }
        drop_lent_copies(c);
        ch->state = CHILD_RUNNING;
        ch->pid = ch->spec.pid;
        if (ch->spec.group_mode == SPAWN_GROUP_NEW) {
                r->group = ch->pid;
                ch->leader = true;
        }
        ch->pidfd->fd = ch->spec.pidfd;
        watch_exit(c, ch->exit_op);
        if (ch->stderr_read)
                stderr_pump(c);
        if (r->stopping) /* cancelled while it started: it missed the signal */
                children_signal(r, r->kill_step >= 2 ? SIGKILL : SIGTERM);
        else
                child_spawn_next(r);
        run_wake(r);
}

/* ---- end ---- */

static bool ended_by_pipe(const struct child *ch)
{
        return ch->status.signal == SIGPIPE || (ch->status.signal == 0 && ch->status.exit_status == 128 + SIGPIPE);
}

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
        reader = &r->stages[l->plan->to].child;
        return reader->state == CHILD_RUNNING && b->ops->process_holds(b, reader->pid, STDIN_FILENO, l->pipe_inode);
}

static void child_exited(struct op *op)
{
        struct sluice_ctx *c = op->owner;
        struct run *r = c->run;
        struct backend *b = backend_of(r);
        struct child *ch = &c->child;
        int e;

        ch->exit_op = NULL;
        op_free(op);
        e = b->ops->wait_child(b, ch->pidfd->fd, !ch->leader, &ch->status);
        op = e == -EAGAIN ? op_new(b, OP_POLL, child_exited, c) : NULL;
        if (op) { /* not yet: somebody woke the poll */
                watch_exit(c, op);
                return;
        }
        ch->reader_held = ended_by_pipe(ch) && reader_holds(r, c);
        ch->state = CHILD_EXITED;
        ch->reaped = !ch->leader;
        ch->cpu_s = ch->status.cpu_s;
        r->cpu_children_s += ch->cpu_s;
        child_stderr_finish(c);
        if (c->def->in_link >= 0 && r->links[c->def->in_link].driven)
                link_poke_sink(&r->links[c->def->in_link].link);
        run_wake(r);
}

bool children_running(const struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                const struct child *ch = &r->stages[i].child;

                if (ch->state == CHILD_STARTING || ch->state == CHILD_RUNNING || ch->stderr_read || ch->stderr_op)
                        return true;
        }
        return false;
}

/* The group first, while its leader, dead or not, still holds its number; then those that left it. */
void children_signal(struct run *r, int signal)
{
        struct backend *b = backend_of(r);

        if (r->group > 0) {
                b->ops->kill_group(b, r->group, signal);
                b->ops->kill_group(b, r->group, SIGCONT);
        }
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct child *ch = &r->stages[i].child;

                if (ch->state != CHILD_RUNNING)
                        continue;
                b->ops->kill_child(b, ch->pidfd->fd, signal);
                b->ops->kill_child(b, ch->pidfd->fd, SIGCONT);
        }
}

void children_reap(struct run *r)
{
        struct backend *b = backend_of(r);

        if (r->terminal_fd >= 0 && r->group > 0) /* while the unreaped leader keeps the group's number from being reused */
                terminal_take_back(r->terminal_fd, r->group);

        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct child *ch = &r->stages[i].child;
                struct child_status status;

                if (ch->state == CHILD_EXITED && !ch->reaped) {
                        b->ops->wait_child(b, ch->pidfd->fd, true, &status);
                        ch->reaped = true;
                }
        }
        r->group = 0;
}

void child_fini(struct sluice_ctx *c)
{
        drop_exit_op(&c->child);
        let_go_of_fds(c);
        c->child.stderr_read = slot_unref(c->child.stderr_read);
        c->child.pidfd = slot_unref(c->child.pidfd);
        free(c->child.tail);
        c->child.tail = NULL;
}

bool stage_upstream_exited(const struct run *r, int stage)
{
        for (int i = stage;;) {
                int link = r->stages[i].def->in_link;

                if (link < 0)
                        return true;
                i = r->plan->links[link].from;
                if (is_command(&r->stages[i]) && r->stages[i].child.state != CHILD_EXITED)
                        return false;
        }
}

/* ---- judgement ---- */

/* A writer that died of its reader's early end did not fail. One that died of SIGPIPE while its reader was still there
 * died of something else, and what the reader took for the end of its input was a truncation. */
static bool excused(const struct run *r, const struct sluice_ctx *c)
{
        const struct run_link *l;

        if (!ended_by_pipe(&c->child) || c->def->out_link < 0)
                return false;
        l = &r->links[c->def->out_link];
        if (l->mode == SLUICE_LINK_PIPE)
                return !c->child.reader_held;
        return l->driven && (l->link.early || l->link.result < 0);
}

static bool child_failed(const struct run *r, const struct sluice_ctx *c)
{
        const struct child_status *s = &c->child.status;

        if (!is_command(c) || c->child.state != CHILD_EXITED)
                return false;
        return !s->known || ((s->signal || s->exit_status) && !excused(r, c));
}

bool stage_upstream_failed(const struct run *r, int stage)
{
        for (int i = stage;;) {
                int link = r->stages[i].def->in_link;

                if (link < 0)
                        return false;
                i = r->plan->links[link].from;
                if (child_failed(r, &r->stages[i]))
                        return true;
        }
}

/* On a DIRECT link the process saw the error, not we. When it fails, the end it was lent is examined. */
static void judge_direct(struct run *r, struct sluice_ctx *c, char *why, size_t cap)
{
        struct run_link *l = c->def->out_link >= 0 ? &r->links[c->def->out_link] : NULL;
        struct backend *b = backend_of(r);
        struct sluice_ctx *sink;
        struct failure *f;
        int error = 0;

        if (!l || l->mode != SLUICE_LINK_DIRECT)
                return;
        sink = &r->stages[l->plan->to];
        if (sink->def->ops->command)
                return;
        if (ended_by_pipe(&c->child))
                error = -EPIPE;
        else if (ctx_slot(sink, sink->def->ops->fd(sink, sink->self, SLUICE_INPUT)))
                error = b->ops->probable_error(b, sink->def->ops->fd(sink, sink->self, SLUICE_INPUT));
        if (error == 0)
                return;
        snprintf(why, cap, ": probable cause: %s: %s", sink->def->name, strerror(-error));
        if (error == -EPIPE)
                return;
        f = failure_new(r, FAILURE_ENGINE, sink->index, l->link.index, error, "write",
                        "%s: %s (probable cause: it was written by %s, which failed)", sink->def->name, strerror(-error),
                        c->def->name);
        if (f)
                f->inferred = true;
        run_fail(r, f);
}

static void last_line(const char *tail, char *ret, size_t cap)
{
        size_t end = strlen(tail), begin;

        while (end > 0 && (tail[end - 1] == '\n' || tail[end - 1] == ' '))
                end--;
        for (begin = end; begin > 0 && tail[begin - 1] != '\n'; begin--)
                continue;
        snprintf(ret, cap, "%s%.*s", end > begin ? ": " : "", (int)(end - begin), tail + begin);
}

static void judge_child(struct run *r, struct sluice_ctx *c)
{
        const struct child_status *s = &c->child.status;
        char what[64], why[160] = "", said[200] = "";
        struct failure *f;

        if (!child_failed(r, c))
                return;
        if (!s->known)
                snprintf(what, sizeof(what), "its status is unknown (somebody else reaped it)");
        else if (s->signal)
                snprintf(what, sizeof(what), "killed by SIG%s", sigabbrev_np(s->signal) ? sigabbrev_np(s->signal) : "?");
        else
                snprintf(what, sizeof(what), "exit status %d", s->exit_status);
        judge_direct(r, c, why, sizeof(why));
        f = failure_new(r, ended_by_pipe(&c->child) ? FAILURE_PIPE : FAILURE_COMMAND, c->index, -1, -ECHILD, "exit", "%s", "");
        if (f) {
                f->stderr_tail = child_tail(&c->child);
                if (f->stderr_tail && !(r->plan->opt.flags & SLUICE_STDERR_FORWARD)) /* else it has been said already */
                        last_line(f->stderr_tail, said, sizeof(said));
                f->exit_status = s->known && !s->signal ? s->exit_status : -1;
                f->signal = s->signal;
                f->inferred = why[0] != '\0';
                snprintf(f->message, sizeof(f->message), "%s: %s%s%s", c->def->name, what, why, said);
        }
        run_fail(r, f);
}

void child_judge(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                judge_child(r, &r->stages[i]);
}
