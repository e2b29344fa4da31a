/* tests/sim/sim_task.c: whatever is not the engine: processes that it started, and the peers at the far ends of its fds.
 *
 *      RUNS --step--> RUNS        one read, write or splice; what would wait is asked again when the kernel has changed
 *           --sleep--> SLEEPS --its time--> RUNS
 *           --done, SIGPIPE, SIGTERM, SIGKILL--> DEAD (its fds are closed) --the engine's wait--> REAPED
 *
 * The bytes a task makes say where they are; what it reads is checked at once, byte by byte, so that a hole, a repeat, a swap
 * or a stranger's byte is seen at the step that brought it. Called by sim_schedule.c and backend_sim.c. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sim_kernel.h"

enum { SLEEP_NS_MAX = 3000000, CONNECTION_BYTES = 700 };

/* ---- bytes that say where they are: stages/generate.c makes those of stream 0 ---- */

static uint64_t word_at(uint64_t id, uint64_t index)
{
        uint64_t z = (index + 1 + (id << 40)) * UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        return z ^ (z >> 29);
}

uint8_t sim_pattern(uint64_t id, uint64_t at)
{
        return (uint8_t)(word_at(id, at / 8) >> (at % 8 * 8));
}

void sim_pattern_fill(uint64_t id, uint64_t at, uint8_t *data, size_t bytes)
{
        uint64_t word = 0;

        for (size_t i = 0; i < bytes; i++, at++) {
                if (i == 0 || at % 8 == 0)
                        word = word_at(id, at / 8);
                data[i] = (uint8_t)(word >> (at % 8 * 8));
        }
}

static uint8_t byte_of(const struct sim_check *c, struct sim_place p)
{
        return sim_pattern(c->parts[p.part].id, c->parts[p.part].at + p.bytes);
}

static bool has_byte(const struct sim_check *c, struct sim_place p, uint8_t byte)
{
        return p.bytes < c->parts[p.part].end - c->parts[p.part].at && byte_of(c, p) == byte;
}

static void add_place(struct sim *k, struct sim_check *c, unsigned part, uint64_t bytes)
{
        for (unsigned i = 0; i < c->places_nr; i++)
                if (c->places[i].part == part && c->places[i].bytes == bytes)
                        return;
        if (c->places_nr == SIM_PLACES_MAX)
                sim_fail(k, "%s: may be anywhere", c->name);
        c->places[c->places_nr++] = (struct sim_place){ part, bytes };
}

static bool may_leave(const struct sim_check *c, struct sim_place p)
{
        return c->may_skip || p.bytes == c->parts[p.part].end - c->parts[p.part].at;
}

/* Where a stream was cut off cannot be seen at once: by chance the first bytes of what follows pass for more of it, or the
 * first byte of a third stream for the second's. So all places are kept that what was seen until now can have led to: each
 * goes on by a byte, or a later stream begins. False: there is none. */
static bool step(struct sim *k, struct sim_check *c, uint8_t byte)
{
        struct sim_place was[SIM_PLACES_MAX];
        unsigned nr = c->places_nr;

        memcpy(was, c->places, sizeof(was));
        c->places_nr = 0;
        for (unsigned i = 0; i < nr; i++) {
                if (has_byte(c, was[i], byte))
                        add_place(k, c, was[i].part, was[i].bytes + 1);
                for (unsigned p = was[i].part + 1; may_leave(c, was[i]) && p < c->parts_nr; p++) {
                        if (has_byte(c, (struct sim_place){ p, 0 }, byte))
                                add_place(k, c, p, 1);
                        if (!may_leave(c, (struct sim_place){ p, 0 }))
                                break; /* only one of no bytes is passed over */
                }
        }
        return c->places_nr > 0;
}

/* The usual case at once: there is one place, and all is of its stream. Returns how many bytes are. */
static size_t run(struct sim_check *c, const uint8_t *data, size_t bytes)
{
        const struct sim_stream *s = &c->parts[c->places[0].part];
        uint64_t left = s->end - s->at - c->places[0].bytes;
        uint8_t want[256];

        if (c->may_skip || c->places_nr > 1)
                return 0;
        bytes = bytes < sizeof(want) ? bytes : sizeof(want);
        bytes = bytes < left ? bytes : (size_t)left;
        sim_pattern_fill(s->id, s->at + c->places[0].bytes, want, bytes);
        if (memcmp(want, data, bytes) != 0)
                return 0;
        c->places[0].bytes += bytes;
        return bytes;
}

void sim_check_bytes(struct sim *k, struct sim_check *c, const uint8_t *data, size_t bytes)
{
        if (c->seen + bytes > c->total)
                sim_fail(k, "%s: byte %llu is beyond the end", c->name, (unsigned long long)c->total);
        if (c->places_nr == 0)
                add_place(k, c, 0, 0);
        for (size_t n = 0; bytes > 0; bytes -= n, data += n, c->seen += n) {
                n = run(c, data, bytes);
                if (n > 0)
                        continue;
                n = 1;
                if (!step(k, c, *data))
                        sim_fail(k, "%s: wrong bytes at %llu", c->name, (unsigned long long)c->seen);
        }
}

/* ---- life ---- */

struct sim_task *sim_task_new(struct sim *k, const struct sim_behaviour *b)
{
        struct sim_task *t = calloc(1, sizeof(*t));

        if (!t)
                sim_fail(k, "no memory");
        t->sim = k;
        t->does = *b;
        t->pid = (pid_t)(100000 + ++k->tasks_made);
        t->next = k->tasks;
        k->tasks = t;
        sim_changed(k);
        return t;
}

void sim_task_set_fd(struct sim_task *t, int as, struct sim_desc *d)
{
        t->fd[as] = sim_desc_ref(d);
}

static void unlock(struct sim_task *t)
{
        for (int i = 0; i < 2; i++)
                if (t->fd[i] && t->fd[i]->kind == SIM_PIPE && t->fd[i]->pipe->locked_by == t)
                        t->fd[i]->pipe->locked_by = NULL;
}

static void close_fd(struct sim_task *t, int fd)
{
        if (!t->fd[fd])
                return;
        if (t->does.resets && t->fd[fd]->kind == SIM_SOCKET)
                sim_socket_reset(t->fd[fd]->socket);
        sim_desc_unref(t->fd[fd]);
        t->fd[fd] = NULL;
}

static void die(struct sim_task *t, int exit_status, int signal)
{
        sim_trace(t->sim, "process %d ends: status %d, signal %d", (int)t->pid, exit_status, signal);
        unlock(t);
        for (int i = 0; i < 3; i++)
                close_fd(t, i);
        t->exit_status = exit_status;
        t->signal = signal;
        t->state = SIM_DEAD;
        sim_changed(t->sim);
}

void sim_task_signal(struct sim_task *t, int signal)
{
        if (t->state >= SIM_DEAD || signal == SIGCONT || signal == 0 || (signal == SIGTERM && t->does.blocks_term))
                return;
        die(t, 0, signal);
}

void sim_tasks_free(struct sim *k)
{
        while (k->tasks) {
                struct sim_task *t = k->tasks;

                k->tasks = t->next;
                if (t->state < SIM_DEAD)
                        sim_fail(k, "process %d still runs at the end", (int)t->pid);
                if (t->child && t->state != SIM_REAPED)
                        sim_fail(k, "process %d was never reaped", (int)t->pid);
                free(t);
        }
}

bool sim_task_is_over(const struct sim_task *t)
{
        return t->state >= SIM_DEAD;
}

/* ---- a step ---- */

/* Something that would wait: asked again when the kernel has changed. */
static void wait(struct sim_task *t)
{
        t->waits = true;
        t->waits_version = t->sim->version;
}

void sim_task_wait(struct sim_task *t)
{
        wait(t);
}

void sim_task_sleep(struct sim_task *t, uint64_t ns)
{
        t->state = SIM_SLEEPS;
        t->wake_ns = t->sim->now_ns + ns;
}

void sim_task_end(struct sim_task *t)
{
        die(t, 0, 0);
}

static void finish(struct sim_task *t)
{
        if (t->does.check && t->input_ended)
                t->does.check->ended = true;
        if (t->does.lingers) {
                close_fd(t, 0);
                close_fd(t, 1);
                t->state = SIM_SLEEPS;
                t->wake_ns = UINT64_MAX;
                return;
        }
        die(t, t->does.exit_status, 0);
}

/* A process that is not the engine's child has seen the error, and is over. */
static void failed(struct sim_task *t, ssize_t error)
{
        if (error == -EPIPE)
                die(t, 0, SIGPIPE);
        else
                die(t, 1, 0);
}

/* Bytes that a process has seen. False: that killed it. */
static bool counted(struct sim_task *t, uint64_t so_far)
{
        if (so_far < t->does.crash_at)
                return true;
        t->sim->struck |= 1u << SIM_CRASH;
        die(t, 0, SIGKILL);
        return false;
}

static size_t chunk(const struct sim_task *t)
{
        size_t n = t->sim->calm ? sizeof(t->held) : 1 + sim_below(t->sim, t->does.chunk);

        return n < sizeof(t->held) ? n : sizeof(t->held);
}

static void step_write(struct sim_task *t)
{
        ssize_t n = sim_do_write(t->sim, t->fd[1], -1, t->held + t->held_at, t->held_nr);

        sim_trace(t->sim, "process %d writes %u: %zd", (int)t->pid, t->held_nr, n);
        if (n == -EAGAIN) {
                wait(t);
                return;
        }
        if (n < 0) {
                failed(t, n);
                return;
        }
        t->held_at += (unsigned)n;
        t->held_nr -= (unsigned)n;
        t->written_bytes += (uint64_t)n;
        if (!t->does.reads)
                counted(t, t->written_bytes);
}

static void step_read(struct sim_task *t)
{
        uint64_t left = t->does.limit - t->read_bytes;
        size_t bytes = chunk(t);
        ssize_t n;

        if (bytes > left)
                bytes = (size_t)left;
        n = bytes ? sim_do_read(t->sim, t->fd[0], -1, t->held, bytes) : 0;
        sim_trace(t->sim, "process %d reads %zu: %zd", (int)t->pid, bytes, n);
        if (n == -EAGAIN) {
                wait(t);
                return;
        }
        if (n < 0) {
                failed(t, n);
                return;
        }
        if (n == 0) {
                t->input_ended = bytes > 0;
                finish(t);
                return;
        }
        t->read_bytes += (uint64_t)n;
        if (t->does.check)
                sim_check_bytes(t->sim, t->does.check, t->held, (size_t)n);
        if (!counted(t, t->read_bytes) || !t->does.writes)
                return;
        t->held_at = 0;
        t->held_nr = (unsigned)n;
}

static void step_make(struct sim_task *t)
{
        uint64_t made = t->written_bytes, left = t->does.limit - made;
        size_t bytes = chunk(t);

        if (left == 0) {
                finish(t);
                return;
        }
        if (bytes > left)
                bytes = (size_t)left;
        sim_pattern_fill(t->does.stream, made, t->held, bytes);
        t->held_at = 0;
        t->held_nr = (unsigned)bytes;
        step_write(t);
}

/* A command that splices: while it waits for its socket it keeps the pipe's lock, and everybody else waits for that. */
static void step_splice(struct sim_task *t)
{
        struct sim_move m = { .in = t->fd[0], .out = t->fd[1], .bytes = chunk(t) };
        struct sim_pipe *lock;
        ssize_t n;

        unlock(t);
        n = sim_do_splice(t->sim, &m);
        sim_trace(t->sim, "process %d splices %zu: %zd", (int)t->pid, m.bytes, n);
        if (n == -EAGAIN) {
                lock = t->sim->calm ? NULL : sim_locks_while_waiting(&m);
                if (lock && !lock->locked_by && t->sim->config.faults & 1u << SIM_LOCK) {
                        lock->locked_by = t;
                        t->sim->struck |= 1u << SIM_LOCK;
                }
                wait(t);
                return;
        }
        if (n == -EINVAL) { /* not these two: as cp and cat do, it goes on by hand */
                t->does.splices = false;
                return;
        }
        if (n < 0) {
                failed(t, n);
                return;
        }
        t->read_bytes += (uint64_t)n;
        if (n == 0)
                finish(t);
        else
                counted(t, t->read_bytes);
}

/* Whether the lock that it needs is somebody else's: it sleeps uninterruptibly, and a signal waits with it. */
static bool in_lock(const struct sim_task *t)
{
        return sim_locked(t->fd[0], t) || sim_locked(t->fd[1], t);
}

bool sim_task_may_run(const struct sim_task *t)
{
        const struct sim *k = t->sim;

        if (t->state == SIM_SLEEPS)
                return t->wake_ns <= k->now_ns;
        return t->state == SIM_RUNS && !(t->waits && t->waits_version == k->version);
}

static void take_connection(struct sim_task *t, struct sim_socket *s)
{
        struct sim_desc *d = sim_desc_new(t->sim, SIM_SOCKET);

        d->socket = s;
        if (t->does.reads)
                sim_task_set_fd(t, 0, d);
        if (t->does.writes)
                sim_task_set_fd(t, 1, d);
        sim_desc_unref(d);
}

static void step_accept(struct sim_task *t)
{
        struct sim_socket *s = sim_socket_accept(t->fd[2]->socket);

        if (!s) {
                wait(t);
                return;
        }
        take_connection(t, s);
        close_fd(t, 2);
}

/* Nobody listens yet: it tries again. */
static void step_connect(struct sim_task *t)
{
        struct sim_socket *s;

        if (!sim_socket_is_awaited(t->sim, t->does.connects)) {
                wait(t);
                return;
        }
        s = sim_socket_new(t->sim, false);
        sim_socket_connect(s, t->does.connects, CONNECTION_BYTES);
        take_connection(t, s);
        t->does.connects = 0;
}

void sim_task_run(struct sim_task *t)
{
        struct sim *k = t->sim;

        t->state = SIM_RUNS;
        t->waits = false;
        if (in_lock(t)) {
                wait(t);
                return;
        }
        if (t->does.sleeps && !k->calm && sim_below(k, 1000) < t->does.sleeps) {
                sim_task_sleep(t, sim_below(k, SLEEP_NS_MAX));
                return;
        }
        if (t->does.step)
                t->does.step(t);
        else if (t->does.accepts && t->fd[2])
                step_accept(t);
        else if (t->does.connects)
                step_connect(t);
        else if (t->does.splices)
                step_splice(t);
        else if (t->held_nr)
                step_write(t);
        else if (t->does.reads)
                step_read(t);
        else if (t->does.writes)
                step_make(t);
        else
                finish(t);
}

uint64_t sim_tasks_next_ns(const struct sim *k)
{
        uint64_t at = UINT64_MAX;

        for (const struct sim_task *t = k->tasks; t; t = t->next)
                if (t->state == SIM_SLEEPS && t->wake_ns < at)
                        at = t->wake_ns;
        return at;
}
