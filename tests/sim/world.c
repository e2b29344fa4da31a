/* tests/sim/world.c: one simulated run: a graph, its peers and its faults, all from one seed, through the public API and the
 * real engine; and the laws that it must keep.
 *
 *      seed --> faults of this run (a swarm: some kinds, at some rate), streams, graph, peers
 *               faults on:  whatever happens, no law is broken (safety)
 *               faults off: from some step on; then everything drains (liveness)
 *
 *  After every turn:  every link's law; a link's pipe holds in the kernel what the link thinks it holds; cached pipes are empty
 *  At every byte:     what arrives is what was sent, in order, nothing twice (sim_check_bytes)
 *  At the end:        success means that every sink has everything; without a hard fault it is success; nothing is left: no fd,
 *                     page, pipe, process, operation, buffer, file, and no budget taken
 *
 * Called by main.c; calls everything. */
#include "world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <sluice/stages.h>

#include "cancel.h"
#include "laws.h"
#include "loop.h"
#include "pipeline.h"
#include "pool.h"
#include "sim_kernel.h"
#include "world_relay.h"

enum {
        PAGE_BYTES = 64,
        SINKS_MAX = 8,
        PROGRAMS_MAX = 16,
        FDS_MAX = 32,
        CALM_STEPS = 1500,
        STEPS_MAX = 200000,
        PORT = 7000,
        RELAY_ONE_IN = 5,
        OLD_BYTES = 100, /* what was in a file before */
};

/* ---- what there is ---- */

struct chain {
        int stage; /* the last one so far */
        struct sim_check carries;
};

struct sink_file {
        char name[32];
        bool append, atomic, direct;
        mode_t mode; /* of the file that was there; 0: there was none */
        int64_t offset;
};

struct sink {
        struct sim_check check;
        struct sink_file file; /* name "": none */
        bool may_be_short;     /* its reader leaves early, by its own wish */
        bool unseen;           /* nobody looks */
};

struct program {
        char name[8];
        struct sim_behaviour does;
};

struct world {
        struct sim sim;
        const struct world_limits *limits;
        struct sluice_loop *loop;
        struct sluice_pipeline *p;
        struct sluice_cancel *token;
        int token_fd;
        unsigned token_fired;
        uint64_t cancel_step, calm_step;
        struct sink sinks[SINKS_MAX];
        unsigned sinks_nr;
        struct program programs[PROGRAMS_MAX];
        unsigned programs_nr;
        int fds[FDS_MAX]; /* the host's own: closed once the run has its duplicates */
        unsigned fds_nr, streams, files, ports;
        uint8_t *memory[FDS_MAX];
        unsigned memory_nr;
        bool done, exclusive, early_is_fine, verbose, trace;
        int result;
        char graph[512];
};

static struct sluice_pool *shared_pool;

static void tell(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct world *w, const char *format, ...)
{
        size_t used = strlen(w->graph);
        va_list args;

        va_start(args, format);
        vsnprintf(w->graph + used, sizeof(w->graph) - used, format, args);
        va_end(args);
}

static uint64_t pick(struct world *w, uint64_t n)
{
        return sim_below(&w->sim, n);
}

static bool has(const struct world *w, enum sim_fault f)
{
        return w->sim.config.faults & 1u << f;
}

/* Whether this one is to go wrong, in a run where that kind of thing does. */
static bool doomed(struct world *w, enum sim_fault f)
{
        bool fated = pick(w, 3) == 0; /* asked in any case: without the fault the graph stays the same */

        return fated && has(w, f);
}

static int must(struct world *w, int r)
{
        if (r < 0)
                sim_fail(&w->sim, "cannot be built: %s", strerror(-r));
        return r;
}

/* ---- peers and programs ---- */

static struct sim_behaviour usual(struct world *w)
{
        unsigned sleeps = (unsigned)pick(w, 60);

        return (struct sim_behaviour){ .limit = UINT64_MAX,
                                       .crash_at = UINT64_MAX,
                                       .chunk = (unsigned)(1 + pick(w, pick(w, 2) ? 400 : 20)),
                                       .sleeps = has(w, SIM_DELAY) ? sleeps : 0 };
}

static const char *add_program(struct world *w, const struct sim_behaviour *b)
{
        struct program *p = &w->programs[w->programs_nr++];

        p->does = *b;
        snprintf(p->name, sizeof(p->name), "p%u", w->programs_nr);
        return p->name;
}

static bool find_program(void *arg, const char *name, struct sim_behaviour *ret)
{
        struct world *w = arg;

        for (unsigned i = 0; i < w->programs_nr; i++)
                if (strcmp(w->programs[i].name, name) == 0) {
                        *ret = w->programs[i].does;
                        return true;
                }
        return false;
}

static int add_command(struct world *w, const struct sim_behaviour *b)
{
        char *argv[] = { (char *)(uintptr_t)add_program(w, b), NULL };

        return must(w, sluice_add_command(w->p, argv, NULL));
}

/* One end for the engine, the other for a peer. */
static int add_fd(struct world *w, struct sim_desc *ours, struct sim_desc *theirs, const struct sim_behaviour *peer)
{
        struct sim_task *t = sim_task_new(&w->sim, peer);
        int fd = sim_fd_new(&w->sim, ours);

        if (peer->reads)
                sim_task_set_fd(t, 0, theirs);
        if (peer->writes)
                sim_task_set_fd(t, 1, theirs);
        sim_desc_unref(theirs);
        w->fds[w->fds_nr++] = fd;
        return must(w, sluice_add_fd(w->p, fd, 0));
}

/* ---- sources ---- */

static struct sim_behaviour maker(struct world *w, const struct sim_stream *s)
{
        struct sim_behaviour b = usual(w);

        b.writes = true;
        b.stream = s->id;
        b.limit = s->end;
        b.crash_at = 1 + pick(w, s->end + 1);
        if (!doomed(w, SIM_CRASH))
                b.crash_at = UINT64_MAX;
        return b;
}

static int pipe_source(struct world *w, const struct sim_stream *s)
{
        struct sim_behaviour b = maker(w, s);
        struct sim_desc *ends[2];

        tell(w, "pipe");
        b.crash_at = UINT64_MAX; /* a stranger's early end looks like any other: nobody could tell */
        sim_make_pipe(&w->sim, ends, (unsigned)(1 + pick(w, 16)));
        ends[0]->nonblock = pick(w, 2);
        return add_fd(w, ends[0], ends[1], &b);
}

static int socket_source(struct world *w, const struct sim_stream *s)
{
        struct sim_behaviour b = maker(w, s);
        struct sim_desc *ends[2];

        tell(w, "socket");
        b.crash_at = UINT64_MAX;
        sim_make_sockets(&w->sim, ends, 16 + pick(w, 800), pick(w, 2));
        ends[0]->nonblock = pick(w, 2);
        b.resets = doomed(w, SIM_RESET);
        if (b.resets)
                w->sim.struck |= 1u << SIM_RESET;
        return add_fd(w, ends[0], ends[1], &b);
}

static struct sim_inode *make_file(struct world *w, const char *name, uint64_t id, uint64_t bytes)
{
        struct sim_inode *i = sim_inode_new(&w->sim, name);
        uint8_t data[PAGE_BYTES];
        uint64_t at = 0;
        int64_t disk = w->sim.config.disk_bytes;

        w->sim.config.disk_bytes = -1;
        while (at < bytes) {
                size_t n = bytes - at < sizeof(data) ? (size_t)(bytes - at) : sizeof(data);

                sim_pattern_fill(id, at, data, n);
                sim_file_write(i, (int64_t)at, data, n);
                at += n;
        }
        w->sim.config.disk_bytes = disk;
        return i;
}

static int file_source(struct world *w, const struct sim_stream *s)
{
        struct sluice_file_options o = { .size = sizeof(o) };
        char name[32];

        tell(w, "file");
        snprintf(name, sizeof(name), "in%u", ++w->files);
        make_file(w, name, s->id, s->end);
        if (pick(w, 3) == 0)
                o.flags |= SLUICE_FILE_SNAPSHOT;
        if (pick(w, 3) == 0)
                o.until = SLUICE_UNTIL_SIZE_AT_OPEN;
        if (pick(w, 4) == 0) {
                o.flags |= SLUICE_FILE_RANGE;
                o.length = (int64_t)(s->end + pick(w, 100));
        }
        return must(w, sluice_add_file(w->p, name, &o));
}

static int generate_source(struct world *w, const struct sim_stream *s)
{
        tell(w, "generate");
        return must(w, sluice_add_generate(w->p, (int64_t)s->end));
}

static int command_source(struct world *w, const struct sim_stream *s)
{
        struct sim_behaviour b = maker(w, s);

        tell(w, "command");
        return add_command(w, &b);
}

static int memory_source(struct world *w, const struct sim_stream *s)
{
        uint8_t *data = malloc(s->end + 1);

        if (!data)
                sim_fail(&w->sim, "no memory");
        tell(w, "memory");
        w->memory[w->memory_nr++] = data;
        sim_pattern_fill(s->id, 0, data, s->end);
        return must(w, sluice_add_memory(w->p, data, s->end));
}

/* A peer that listens and takes the engine's connection. */
static int tcp_peer(struct world *w, const struct sim_behaviour *does)
{
        struct sluice_socket_options o = { .size = sizeof(o) };
        struct sim_desc *d = sim_desc_new(&w->sim, SIM_SOCKET);
        struct sim_behaviour b = *does;
        unsigned port = PORT + ++w->ports;
        struct sim_task *t;
        char address[32];

        d->socket = sim_socket_new(&w->sim, false);
        sim_socket_listen(d->socket, (port & 0xff) << 8 | port >> 8, 0); /* as it is in an address */
        b.accepts = true;
        t = sim_task_new(&w->sim, &b);
        sim_task_set_fd(t, 2, d);
        sim_desc_unref(d);
        snprintf(address, sizeof(address), "127.0.0.1:%u", port);
        return must(w, sluice_add_tcp(w->p, address, &o));
}

static int tcp_source(struct world *w, const struct sim_stream *s)
{
        struct sim_behaviour b = maker(w, s);

        tell(w, "tcp");
        b.crash_at = UINT64_MAX;
        b.resets = doomed(w, SIM_RESET);
        if (b.resets)
                w->sim.struck |= 1u << SIM_RESET;
        return tcp_peer(w, &b);
}

/* The other way round: the engine listens, and the peer calls. */
static int tcp_caller(struct world *w, const struct sim_behaviour *does)
{
        struct sluice_socket_options o = { .size = sizeof(o) };
        struct sim_behaviour b = *does;
        unsigned port = PORT + ++w->ports;
        char address[32];

        b.connects = (port & 0xff) << 8 | port >> 8;
        sim_task_new(&w->sim, &b);
        snprintf(address, sizeof(address), "127.0.0.1:%u", port);
        return must(w, sluice_add_tcp_listen(w->p, address, &o));
}

static int tcp_listen_source(struct world *w, const struct sim_stream *s)
{
        struct sim_behaviour b = maker(w, s);

        tell(w, "tcp-listen");
        b.crash_at = UINT64_MAX;
        return tcp_caller(w, &b);
}

typedef int source_fn(struct world *w, const struct sim_stream *s);
static source_fn *const sources[] = { pipe_source,    socket_source, file_source, generate_source,
                                      command_source, memory_source, tcp_source,  tcp_listen_source };
enum { SOURCES = sizeof(sources) / sizeof(sources[0]) };

static struct chain add_source(struct world *w)
{
        source_fn *fn = sources[pick(w, SOURCES)];
        struct chain c = { 0 };
        struct sim_stream s = { .id = fn == generate_source ? 0 : ++w->streams };

        s.end = pick(w, 4) == 0 ? pick(w, 3) : pick(w, w->limits->bytes);
        c.carries.parts[c.carries.parts_nr++] = s;
        c.carries.total = s.end;
        c.stage = fn(w, &s);
        return c;
}

/* ---- in between ---- */

/* Nothing behind so many bytes goes on. Of several streams an earlier one may be cut short by a fault: more of a later one comes. */
static void cut(struct sim_check *c, uint64_t bytes)
{
        if (c->total <= bytes)
                return;
        c->total = bytes;
        if (c->parts_nr == 1)
                c->parts[0].end = bytes;
}

static int cat(struct world *w)
{
        struct sim_behaviour b = usual(w);

        tell(w, " | cat");
        b.reads = b.writes = true;
        b.crash_at = 1 + pick(w, 2000);
        if (!doomed(w, SIM_CRASH))
                b.crash_at = UINT64_MAX;
        return add_command(w, &b);
}

/* It splices: and keeps the lock of what it reads or writes while it waits for a socket. */
static int splicer(struct world *w)
{
        struct sim_behaviour b = usual(w);

        tell(w, " | splicer");
        b.reads = b.writes = b.splices = true;
        return add_command(w, &b);
}

static int head(struct world *w, struct sim_check *carries)
{
        struct sim_behaviour b = usual(w);
        uint64_t bytes = pick(w, carries->total + 10);

        tell(w, " | head %llu", (unsigned long long)bytes);
        b.reads = b.writes = true;
        b.limit = bytes;
        cut(carries, bytes);
        if (!w->early_is_fine) /* whoever feeds it may die of SIGPIPE */
                w->sim.struck |= 1u << SIM_EARLY;
        return add_command(w, &b);
}

static int count(struct world *w)
{
        tell(w, " | count");
        return must(w, sluice_add_count(w->p));
}

static int lines(struct world *w)
{
        tell(w, " | lines");
        return must(w, sluice_add_lines(w->p, 0));
}

/* A peer that sends back what it is sent, and ends when that has ended. */
static int echo(struct world *w)
{
        struct sim_behaviour b = usual(w);

        tell(w, " | tcp echo");
        b.reads = b.writes = true;
        return tcp_peer(w, &b);
}

static int par(struct world *w)
{
        struct sluice_par_options o = { .size = sizeof(o), .part_bytes = 4096, .no_records = 1 };
        struct sluice_pipeline *p = w->p, *inner;
        char why[128];
        int stage;

        must(w, sluice_pipeline_new(&inner, NULL));
        tell(w, " | par(");
        w->p = inner;
        if (pick(w, 2))
                count(w);
        else
                cat(w);
        w->p = p;
        tell(w, ")");
        stage = must(w, sluice_add_par(p, 2, inner, &o, why, sizeof(why)));
        sluice_pipeline_free(inner);
        return stage;
}

static void add_middle(struct world *w, struct chain *c)
{
        int stage;

        switch (pick(w, 8)) {
        case 0:
                stage = splicer(w);
                break;
        case 1:
                stage = has(w, SIM_EARLY) ? head(w, &c->carries) : cat(w);
                break;
        case 2:
                stage = par(w);
                break;
        case 3:
                stage = echo(w);
                break;
        case 4:
        case 5:
                stage = pick(w, 2) ? count(w) : lines(w);
                break;
        default:
                stage = cat(w);
                break;
        }
        must(w, sluice_pipeline_link(w->p, c->stage, stage));
        c->stage = stage;
}

static void add_middles(struct world *w, struct chain *c)
{
        for (uint64_t n = pick(w, w->limits->middles + 1); n > 0; n--)
                add_middle(w, c);
}

/* ---- sinks ---- */

static struct sim_behaviour reader(struct world *w, struct sink *s)
{
        struct sim_behaviour b = usual(w);

        b.reads = true;
        b.check = &s->check;
        return b;
}

static void may_leave(struct world *w, struct sink *s, struct sim_behaviour *b)
{
        if (!doomed(w, SIM_EARLY))
                return;
        b->limit = pick(w, s->check.total + 1);
        s->may_be_short = true;
        w->sim.struck |= 1u << SIM_EARLY;
}

static int pipe_sink(struct world *w, struct sink *s)
{
        struct sim_behaviour b = reader(w, s);
        struct sim_desc *ends[2];

        tell(w, " | pipe");
        may_leave(w, s, &b);
        sim_make_pipe(&w->sim, ends, (unsigned)(1 + pick(w, 16)));
        ends[1]->nonblock = pick(w, 2);
        return add_fd(w, ends[1], ends[0], &b);
}

static int socket_sink(struct world *w, struct sink *s)
{
        struct sim_behaviour b = reader(w, s);
        struct sim_desc *ends[2];

        tell(w, " | socket");
        may_leave(w, s, &b);
        sim_make_sockets(&w->sim, ends, 16 + pick(w, 800), pick(w, 2));
        ends[0]->nonblock = pick(w, 2);
        return add_fd(w, ends[0], ends[1], &b);
}

static int tcp_sink(struct world *w, struct sink *s)
{
        struct sim_behaviour b = reader(w, s);

        tell(w, " | tcp");
        may_leave(w, s, &b);
        if (s->may_be_short && (b.resets = doomed(w, SIM_RESET)))
                w->sim.struck |= 1u << SIM_RESET;
        return tcp_peer(w, &b);
}

static int tcp_listen_sink(struct world *w, struct sink *s)
{
        struct sim_behaviour b = reader(w, s);

        tell(w, " | tcp-listen");
        return tcp_caller(w, &b);
}

static int file_sink(struct world *w, struct sink *s)
{
        struct sluice_file_options o = { .size = sizeof(o) };
        struct sink_file *f = &s->file;

        tell(w, " | file");
        snprintf(f->name, sizeof(f->name), "out%u", ++w->files);
        if (pick(w, 2))
                make_file(w, f->name, 99, OLD_BYTES)->mode = f->mode = 0600;
        f->append = pick(w, 4) == 0;
        f->atomic = !f->append && pick(w, 4) == 0;
        if (!f->append && !f->atomic && pick(w, 4) == 0)
                f->offset = (int64_t)(1 + pick(w, 2 * OLD_BYTES));
        f->direct = !f->append && pick(w, 4) == 0;
        o.flags = (f->append ? SLUICE_FILE_APPEND : 0) | (f->atomic ? SLUICE_FILE_ATOMIC : 0) |
                  (pick(w, 3) ? 0 : SLUICE_FILE_OBSERVE) | (f->direct ? SLUICE_FILE_DIRECT : 0);
        o.offset = f->offset;
        o.sync = pick(w, 3) ? SLUICE_SYNC_NONE : SLUICE_SYNC_FULL;
        return must(w, sluice_add_file(w->p, f->name, &o));
}

static int null_sink(struct world *w, struct sink *s)
{
        tell(w, " | null");
        s->unseen = true;
        return must(w, sluice_add_null(w->p));
}

static int command_sink(struct world *w, struct sink *s)
{
        struct sim_behaviour b = reader(w, s);

        tell(w, " | command");
        if (doomed(w, SIM_EARLY)) {
                b.limit = pick(w, s->check.total + 1);
                s->may_be_short = true;
                w->sim.struck |= 1u << SIM_EARLY;
        } else if (doomed(w, SIM_CRASH)) {
                b.crash_at = 1 + pick(w, s->check.total + 1);
        }
        return add_command(w, &b);
}

struct writer {
        struct world *w;
        struct sink *sink;
};

static ssize_t write_to_us(void *arg, const void *data, size_t bytes)
{
        struct writer *to = arg;
        size_t n = sim_some(&to->w->sim, bytes);

        sim_check_bytes(&to->w->sim, &to->sink->check, data, n);
        return (ssize_t)n;
}

static int writer_sink(struct world *w, struct sink *s)
{
        struct writer *to = malloc(sizeof(*to));

        if (!to)
                sim_fail(&w->sim, "no memory");
        tell(w, " | writer");
        *to = (struct writer){ w, s };
        w->memory[w->memory_nr++] = (uint8_t *)to;
        return must(w, sluice_add_writer(w->p, write_to_us, to, -1));
}

typedef int sink_fn(struct world *w, struct sink *s);
static sink_fn *const sinks[] = { pipe_sink, socket_sink, tcp_sink,     tcp_listen_sink, file_sink,
                                  file_sink, null_sink,   command_sink, writer_sink };
enum { SINKS = sizeof(sinks) / sizeof(sinks[0]) };

static void add_sink(struct world *w, const struct chain *c)
{
        struct sink *s = &w->sinks[w->sinks_nr++];

        s->check = c->carries;
        s->check.name = "sink";
        s->check.may_skip = w->sim.config.faults & SIM_HARD;
        must(w, sluice_pipeline_link(w->p, c->stage, sinks[pick(w, SINKS)](w, s)));
}

/* ---- graphs ---- */

static void add_branches(struct world *w, const struct chain *trunk)
{
        struct chain c = *trunk;

        for (uint64_t n = 1 + pick(w, w->limits->branches); n > 0; n--) {
                c = *trunk;
                tell(w, "\n      ");
                add_middles(w, &c);
                add_sink(w, &c);
        }
}

static struct chain add_inputs(struct world *w)
{
        struct chain all = { .stage = must(w, sluice_add_merge(w->p, SLUICE_MERGE_CONCAT, 0)) };

        for (uint64_t n = 1 + pick(w, w->limits->branches); n > 0; n--) {
                struct chain c = add_source(w);

                add_middles(w, &c);
                must(w, sluice_pipeline_link(w->p, c.stage, all.stage));
                for (unsigned i = 0; i < c.carries.parts_nr; i++)
                        all.carries.parts[all.carries.parts_nr++] = c.carries.parts[i];
                all.carries.total += c.carries.total;
                tell(w, "\n      ");
        }
        tell(w, " concat");
        return all;
}

static void build(struct world *w)
{
        bool merges = w->limits->branches && pick(w, 5) == 0, tees = !merges && w->limits->branches && pick(w, 4) == 0;
        struct chain c;

        c = merges ? add_inputs(w) : add_source(w);
        add_middles(w, &c);
        if (tees) {
                int tee = must(w, sluice_add_tee(w->p, 0));

                tell(w, " | tee");
                must(w, sluice_pipeline_link(w->p, c.stage, tee));
                c.stage = tee;
                add_branches(w, &c);
        } else {
                add_sink(w, &c);
        }
}

/* ---- the run ---- */

static void finished(void *arg, int result)
{
        struct world *w = arg;

        w->done = true;
        w->result = result;
}

static void tick(void *arg)
{
        struct world *w = arg;

        if (w->sim.steps == w->calm_step) {
                w->sim.calm = true;
                sim_changed(&w->sim);
        }
        if (w->token && w->sim.steps == w->cancel_step && !w->sim.calm) {
                w->sim.struck |= 1u << SIM_CANCEL;
                w->token_fired = 1;
                sluice_cancel_fire(w->token);
                sim_changed(&w->sim);
        }
}

static void check_laws(struct world *w)
{
        law_cache(&w->sim, w->loop);
        for (int i = 0; i < sluice_pipeline_links(w->p); i++) {
                struct run_link *l = pipeline_run_link(w->p, i);

                if (l && !w->done)
                        law_link(&w->sim, &l->link);
        }
}

static void close_own_fds(struct world *w)
{
        for (unsigned i = 0; i < w->fds_nr; i++)
                sim_fd_close(&w->sim, w->fds[i]);
        w->fds_nr = 0;
}

/* The engine has gone: whoever is left sees that, and ends. */
static void let_peers_end(struct world *w)
{
        for (;;) {
                struct sim_task *t = w->sim.tasks;

                while (t && sim_task_is_over(t))
                        t = t->next;
                if (!t)
                        return;
                if (sim_run_one(&w->sim) || sim_skip_time(&w->sim, UINT64_MAX))
                        continue;
                if ((t->does.accepts && t->fd[2]) || t->does.connects) { /* nobody ever called, or listened */
                        sim_task_signal(t, 9);
                        continue;
                }
                sim_fail(&w->sim, "a peer waits for ever: %llu read, %llu written", (unsigned long long)t->read_bytes,
                         (unsigned long long)t->written_bytes);
        }
}

/* ---- what must be true at the end ---- */

static void check_file(struct world *w, struct sink *s)
{
        struct sim_inode *i = sim_inode_find(&w->sim, s->file.name);
        int64_t at = s->file.append && i ? 0 : s->file.offset;
        uint8_t data[PAGE_BYTES], old[OLD_BYTES];
        ssize_t n;

        if (!i)
                return;
        if (s->file.mode && i->mode != s->file.mode)
                sim_fail(&w->sim, "%s had mode %#o and has %#o", s->file.name, s->file.mode, i->mode);
        /* What was there and was not to be destroyed. */
        if (s->file.append || s->file.atomic || w->result < 0) {
                n = sim_file_read(i, 0, data, 8);
                sim_pattern_fill(99, 0, old, sizeof(old));
                if (n == 8 && memcmp(data, old, 8) == 0) {
                        if (!s->file.append && (w->result < 0 || s->file.offset))
                                return; /* untouched, or from an offset on: what comes at its place is looked at when all is well */
                        at = s->file.append ? OLD_BYTES : 0;
                }
        }
        while ((n = sim_file_read(i, at, data, sizeof(data))) > 0) {
                if (w->result < 0 && s->file.offset)
                        return;
                if (s->check.seen == s->check.total && at >= s->file.offset && s->file.offset)
                        return; /* old bytes behind what was written */
                if (s->file.offset && (uint64_t)n > s->check.total - s->check.seen)
                        n = (ssize_t)(s->check.total - s->check.seen);
                sim_check_bytes(&w->sim, &s->check, data, (size_t)n);
                at += n;
        }
}

static void check_end(struct world *w)
{
        uint32_t hard = w->sim.struck & SIM_HARD;

        if (w->result < 0 && !hard) {
                const char *why = sluice_pipeline_error(w->p);

                sim_fail(&w->sim, "failed without a cause: %d (%s)", w->result, why);
        }
        for (unsigned i = 0; i < w->sinks_nr; i++) {
                struct sink *s = &w->sinks[i];

                if (s->file.name[0])
                        check_file(w, s);
                if (w->result == 0 && !s->unseen && !s->may_be_short && s->check.seen != s->check.total)
                        sim_fail(&w->sim, "success, but sink %u has %llu of %llu bytes", i, (unsigned long long)s->check.seen,
                                 (unsigned long long)s->check.total);
        }
        for (struct sim_inode *i = w->sim.inodes; i; i = i->next)
                if (strstr(i->name, "sluice"))
                        sim_fail(&w->sim, "a temporary file is left: %s", i->name);
}

/* ---- one world ---- */

static void choose_options(struct world *w, struct sluice_options *o)
{
        o->driver = (enum sluice_driver)pick(w, 4);
        o->flags = pick(w, 2) ? SLUICE_EARLY_EXIT_OK : 0;
        w->early_is_fine = o->flags;
        o->flags |= pick(w, 4) ? 0 : SLUICE_FAIL_FAST;
        o->contain = SLUICE_CONTAIN_NONE;
        w->exclusive = pick(w, 2) && !has(w, SIM_LOCK);
        w->cancel_step = 1 + pick(w, pick(w, 2) ? 60 : 800);
        o->grace_ms = 50;
        o->timeout_ms = (int64_t)(1 + pick(w, 20));
        if (pick(w, 4) || !has(w, SIM_CANCEL))
                o->timeout_ms = 0;
        if (o->timeout_ms)
                w->sim.struck |= 1u << SIM_CANCEL;
        if (pick(w, 2) || !has(w, SIM_CANCEL))
                return;
        must(w, sluice_cancel_new(&w->token));
        w->token_fd = cancel_fd(w->token);
        w->sim.host_fds = &w->token_fd;
        w->sim.host_events = &w->token_fired;
        w->sim.host_nr = 1;
        o->cancel = w->token;
}

static void begin(struct world *w, uint64_t seed)
{
        static const size_t budgets[] = { 64 << 10, 256 << 10, (1 << 20) + 1, 4 << 20, SIZE_MAX };
        struct sim_config c = { .page_bytes = PAGE_BYTES, .steps_max = STEPS_MAX, .disk_bytes = -1 };
        struct sluice_options o = { .size = sizeof(o) };

        c.mutation = (enum sim_mutation)w->limits->mutation;
        sim_init(&w->sim, &c, seed);
        laws_faults(&w->sim, w->limits);
        w->sim.program = find_program;
        w->sim.tick = tick;
        w->sim.arg = w;
        choose_options(w, &o);
        w->calm_step = CALM_STEPS / 2 + pick(w, CALM_STEPS);
        pipe_budget_set(has(w, SIM_QUOTA) ? budgets[pick(w, 5)] : SIZE_MAX);
        snprintf(w->sim.context, sizeof(w->sim.context), "seed %llu", (unsigned long long)seed);
        must(w, sluice_pipeline_new(&w->p, &o));
        build(w);
        w->sim.config.trace = w->trace;
        if (w->verbose) {
                printf("%s\n      faults", w->graph);
                for (int f = 0; f < SIM_FAULTS; f++)
                        if (has(w, f))
                                printf(" %s", sim_fault_name(f));
                printf("\n      driver %s, %s loop\n", sluice_driver_name(o.driver), w->exclusive ? "exclusive" : "shared");
                fflush(stdout);
        }
}

static void run(struct world *w)
{
        struct sluice_loop_options lo = { .size = sizeof(lo), .exclusive = w->exclusive, .pool = shared_pool };
        struct backend *b;

        must(w, backend_sim_new(&b, &w->sim, w->exclusive));
        must(w, loop_new_with_backend(&w->loop, &lo, b));
        must(w, sluice_pipeline_start(w->p, w->loop, finished, w));
        close_own_fds(w);
        while (!w->done) {
                must(w, sluice_loop_turn(w->loop, -1));
                check_laws(w);
        }
}

static void end(struct world *w)
{
        sluice_loop_free(w->loop);
        let_peers_end(w);
        check_end(w);
        sluice_pipeline_free(w->p);
        sluice_cancel_unref(w->token);
        sim_fini(&w->sim);
        if (pipe_budget_used())
                sim_fail(&w->sim, "%zu bytes of the pipe budget left at the end", pipe_budget_used());
        for (unsigned i = 0; i < w->memory_nr; i++)
                free(w->memory[i]);
}

bool world_is_relay(uint64_t seed)
{
        return seed % RELAY_ONE_IN == 0;
}

void world_run(uint64_t seed, const struct world_limits *limits, enum world_tell tell, struct world_result *ret)
{
        const struct sluice_pool_options po = { .size = sizeof(po), .budget_bytes = 64 << 20 };
        struct world w = { .limits = limits, .verbose = tell > WORLD_SILENT, .trace = tell == WORLD_TRACE };

        if (world_is_relay(seed)) {
                world_relay_run(seed, limits, tell, ret);
                return;
        }
        if (!shared_pool)
                must(&w, sluice_pool_new(&shared_pool, &po));
        begin(&w, seed);
        run(&w);
        end(&w);
        *ret = (struct world_result){ .steps = w.sim.steps, .result = w.result, .struck = w.sim.struck };
}

void world_done(void)
{
        sluice_pool_unref(shared_pool);
        shared_pool = NULL;
        world_relay_done();
}
