/* tests/cost/cases.c: see cases.h. Faults are off, and nothing is drawn by lot: a peer at a source sends while its socket has
 * room, one at a sink reads all that has come, each when the engine waits. Called by main.c; calls the public API, the loop over
 * a backend of ours, and the simulated kernel. */
#include "cases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/stages.h>

#include "loop.h"
#include "pipe.h"

enum {
        PAGE_BYTES = 4096,
        WORKERS = 32,
        SOCKET_BYTES = 256 << 10, /* on the way between two ends, at most */
        PIPE_SLOTS = 16,          /* of a stranger's pipe: 64 KiB, as everybody's */
        PATTERN_BYTES = 64 << 10,
        MESSAGE_BYTES = 64,
        PEERS_MAX = 4,
        FDS_MAX = 4,
};

/* At the far end of an fd. */
struct peer {
        struct sim_desc *end; /* NULL: over */
        uint64_t bytes;       /* sent, or read */
};

struct world {
        struct sim sim;
        const struct cost_case *c;
        struct sluice_loop *loop;
        struct sluice_pipeline *p;
        uint64_t total; /* bytes */
        struct peer source, sinks[PEERS_MAX];
        unsigned sinks_nr;
        struct sim_inode *written; /* the file that is the sink; NULL: there is none */
        uint64_t asked, given;     /* by functions of the host's */
        int fds[FDS_MAX];          /* the host's own: closed once the run has its duplicates */
        unsigned fds_nr;
        bool done;
        int result;
};

static uint8_t pattern[PATTERN_BYTES];

static int must(struct world *w, int r)
{
        if (r < 0)
                sim_fail(&w->sim, "%s", strerror(-r));
        return r;
}

/* ---- bytes: a pattern of 64 KiB, over and over ---- */

static size_t run_at(uint64_t at, uint64_t bytes)
{
        uint64_t left = PATTERN_BYTES - at % PATTERN_BYTES;

        return (size_t)(bytes < left ? bytes : left);
}

static void check_bytes(struct world *w, uint64_t at, const uint8_t *data, size_t bytes)
{
        for (size_t n; bytes > 0; at += n, data += n, bytes -= n) {
                n = run_at(at, bytes);
                if (memcmp(data, pattern + at % PATTERN_BYTES, n) != 0)
                        sim_fail(&w->sim, "wrong bytes at %llu", (unsigned long long)at);
        }
}

/* ---- peers ---- */

static void end_peer(struct peer *p)
{
        sim_desc_unref(p->end);
        p->end = NULL;
}

/* The bytes that may be sent now: of messages one, and only when all before it have arrived. */
static uint64_t may_send(const struct world *w)
{
        uint64_t left = w->total - w->source.bytes;

        if (!w->c->message_bytes)
                return left;
        return w->sinks[0].bytes < w->source.bytes ? 0 : w->c->message_bytes;
}

static bool send_some(struct world *w)
{
        struct peer *p = &w->source;
        uint64_t bytes;
        bool any = false;
        ssize_t n;

        if (!p->end)
                return false;
        if (p->bytes == w->total && (!w->c->message_bytes || w->sinks[0].bytes == w->total)) {
                end_peer(p);
                return true;
        }
        while ((bytes = may_send(w)) > 0) {
                n = sim_do_write(&w->sim, p->end, -1, pattern + p->bytes % PATTERN_BYTES, run_at(p->bytes, bytes));
                if (n == -EAGAIN)
                        break;
                p->bytes += (uint64_t)must(w, (int)n);
                any = true;
                if (w->c->message_bytes)
                        break;
        }
        return any;
}

static bool receive_all(struct world *w, struct peer *p)
{
        uint8_t data[PATTERN_BYTES];
        bool any = false;
        ssize_t n;

        while (p->end && (n = sim_do_read(&w->sim, p->end, -1, data, sizeof(data))) != -EAGAIN) {
                must(w, (int)n);
                any = true;
                check_bytes(w, p->bytes, data, (size_t)n);
                p->bytes += (uint64_t)n;
                if (n == 0)
                        end_peer(p);
        }
        return any;
}

static bool peers(void *arg)
{
        struct world *w = arg;
        bool any = false;

        for (unsigned i = 0; i < w->sinks_nr; i++)
                any |= receive_all(w, &w->sinks[i]);
        any |= send_some(w);
        return any;
}

/* ---- what stands in pipelines ---- */

static int add_fd(struct world *w, struct sim_desc *ours)
{
        int fd = sim_fd_new(&w->sim, ours);

        ours->nonblock = true;
        w->fds[w->fds_nr++] = fd;
        return must(w, sluice_add_fd(w->p, fd, 0));
}

static int socket_source(struct world *w)
{
        struct sim_desc *ends[2];

        sim_make_sockets(&w->sim, ends, SOCKET_BYTES, false);
        w->source.end = ends[1];
        return add_fd(w, ends[0]);
}

static int socket_sink(struct world *w)
{
        struct sim_desc *ends[2];

        sim_make_sockets(&w->sim, ends, SOCKET_BYTES, false);
        w->sinks[w->sinks_nr++].end = ends[1];
        return add_fd(w, ends[0]);
}

static int pipe_sink(struct world *w)
{
        struct sim_desc *ends[2];

        sim_make_pipe(&w->sim, ends, PIPE_SLOTS);
        w->sinks[w->sinks_nr++].end = ends[0];
        return add_fd(w, ends[1]);
}

static int file_source(struct world *w)
{
        struct sim_inode *i = sim_inode_new(&w->sim, "in");

        for (uint64_t at = 0; at < w->total; at += PATTERN_BYTES)
                sim_file_write(i, (int64_t)at, pattern, run_at(at, w->total - at));
        return must(w, sluice_add_file(w->p, "in", NULL));
}

static int file_sink(struct world *w)
{
        w->written = sim_inode_new(&w->sim, "out");
        return must(w, sluice_add_file(w->p, "out", NULL));
}

static ssize_t read_from_us(void *arg, void *data, size_t cap)
{
        struct world *w = arg;
        uint64_t left = w->total - w->asked;
        size_t bytes = left < cap ? (size_t)left : cap;

        for (size_t at = 0, n; at < bytes; at += n, w->asked += n) {
                n = run_at(w->asked, bytes - at);
                memcpy((uint8_t *)data + at, pattern + w->asked % PATTERN_BYTES, n);
        }
        return (ssize_t)bytes;
}

static ssize_t write_to_us(void *arg, const void *data, size_t bytes)
{
        struct world *w = arg;

        check_bytes(w, w->given, data, bytes);
        w->given += bytes;
        return (ssize_t)bytes;
}

/* ---- the cases ---- */

static void link_up(struct world *w, int from, int to)
{
        must(w, sluice_pipeline_link(w->p, from, to));
}

static void make(struct world *w, enum sluice_driver driver)
{
        const struct sluice_options o = { .size = sizeof(o), .driver = driver, .contain = SLUICE_CONTAIN_NONE };

        must(w, sluice_pipeline_new(&w->p, &o));
}

static void file_to_socket_inline(struct world *w)
{
        int from;

        make(w, SLUICE_DRIVER_INLINE);
        from = file_source(w);
        link_up(w, from, socket_sink(w));
}

static void socket_to_socket(struct world *w)
{
        int from;

        make(w, SLUICE_DRIVER_AUTO);
        from = socket_source(w);
        link_up(w, from, socket_sink(w));
}

static void file_to_pipe_ring(struct world *w)
{
        int from;

        make(w, SLUICE_DRIVER_RING);
        from = file_source(w);
        link_up(w, from, pipe_sink(w));
}

static void socket_to_file_copy(struct world *w)
{
        int from;

        make(w, SLUICE_DRIVER_COPY);
        from = socket_source(w);
        link_up(w, from, file_sink(w));
}

static void socket_to_tee_of_three(struct world *w)
{
        int from, tee;

        make(w, SLUICE_DRIVER_AUTO);
        from = socket_source(w);
        tee = must(w, sluice_add_tee(w->p, 0));
        link_up(w, from, tee);
        for (int i = 0; i < 3; i++)
                link_up(w, tee, socket_sink(w));
}

static void function_to_function(struct world *w)
{
        int from;

        make(w, SLUICE_DRIVER_AUTO);
        from = must(w, sluice_add_reader(w->p, read_from_us, w, -1));
        link_up(w, from, must(w, sluice_add_writer(w->p, write_to_us, w, -1)));
}

const struct cost_case cost_cases[] = {
        { "file_to_socket_inline", file_to_socket_inline, 0, 2, 6 },
        { "socket_to_socket_bulk", socket_to_socket, 0, 2, 6 },
        { "socket_to_socket_messages", socket_to_socket, MESSAGE_BYTES, 500, 1500 },
        { "file_to_pipe_ring", file_to_pipe_ring, 0, 2, 6 },
        { "socket_to_file_copy", socket_to_file_copy, 0, 2, 6 },
        { "socket_to_tee_of_three", socket_to_tee_of_three, 0, 2, 6 },
        { "function_to_function", function_to_function, 0, 2, 6 },
};
const unsigned cost_cases_nr = sizeof(cost_cases) / sizeof(cost_cases[0]);

/* ---- a run ---- */

static void open_world(struct world *w, const struct cost_case *c, uint64_t units, bool wasteful)
{
        const struct sim_config k = { .page_bytes = PAGE_BYTES, .workers_max = WORKERS, .disk_bytes = -1, .manual = true };
        const struct sluice_loop_options o = { .size = sizeof(o) };
        struct backend *b;

        *w = (struct world){ .c = c, .total = units * (c->message_bytes ? c->message_bytes : 1 << 20) };
        sim_init(&w->sim, &k, 1);
        strcpy(w->sim.context, c->name);
        must(w, backend_sim_new(&b, &w->sim, false));
        seam_install(b, &w->sim, peers, w, wasteful);
        must(w, loop_new_with_backend(&w->loop, &o, b));
        pipe_budget_set(SIZE_MAX); /* not this user's */
}

static void finished(void *arg, int result)
{
        struct world *w = arg;

        w->done = true;
        w->result = result;
}

static void run(struct world *w)
{
        w->c->build(w);
        must(w, sluice_pipeline_start(w->p, w->loop, finished, w));
        for (unsigned i = 0; i < w->fds_nr; i++)
                sim_fd_close(&w->sim, w->fds[i]);
        while (!w->done)
                must(w, sluice_loop_turn(w->loop, -1));
        must(w, w->result);
        sluice_pipeline_free(w->p);
}

static void check_file(struct world *w)
{
        uint8_t data[PATTERN_BYTES];
        uint64_t at = 0;
        ssize_t n;

        while ((n = sim_file_read(w->written, (int64_t)at, data, sizeof(data))) > 0) {
                check_bytes(w, at, data, (size_t)n);
                at += (uint64_t)n;
        }
        if (at != w->total)
                sim_fail(&w->sim, "the file has %llu bytes", (unsigned long long)at);
}

static void close_world(struct world *w)
{
        sluice_loop_free(w->loop);
        while (peers(w))
                continue;
        for (unsigned i = 0; i < w->sinks_nr; i++)
                if (w->sinks[i].bytes != w->total)
                        sim_fail(&w->sim, "sink %u has %llu bytes", i, (unsigned long long)w->sinks[i].bytes);
        if (w->written)
                check_file(w);
        if (w->given != w->asked)
                sim_fail(&w->sim, "the host was given %llu bytes", (unsigned long long)w->given);
        sim_fini(&w->sim);
}

struct seam_counts cost_run(const struct cost_case *c, uint64_t units, bool wasteful)
{
        struct world *w = malloc(sizeof(*w));
        struct seam_counts counts;

        if (!w)
                abort();
        for (size_t i = 0; i < sizeof(pattern); i++)
                pattern[i] = (uint8_t)(i * 2654435761u >> 13);
        open_world(w, c, units, wasteful);
        seam_begin();
        run(w);
        counts = seam_end();
        close_world(w);
        free(w);
        return counts;
}
