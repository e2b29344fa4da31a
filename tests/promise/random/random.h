/* random.h: what makes up the random graphs of random_graphs.c, which draws, runs and judges them.
 *
 *      content.c    numbers from a seed, and the texts that sources give: all of it is known beforehand
 *      flow.c       what flows through a link, and whether what came out of a sink is that
 *      parts.c      callbacks and functions of the test's own: random sizes, -EAGAIN, threads
 *      graph.c      draws a graph from a seed, and takes it down
 *      deadlock.c   plays a graph with queues of one, to see whether it could stop for ever
 *
 * Everything follows from one 64-bit seed, but for how the machine schedules it. */
#ifndef SLUICE_TEST_RANDOM_H
#define SLUICE_TEST_RANDOM_H

#include "../parts.h"

/* ---- numbers and texts (content.c) ---- */

struct rnd {
        uint64_t state;
};
uint64_t rnd_next(struct rnd *r);
uint64_t rnd_below(struct rnd *r, uint64_t n); /* 0 when n is */
static inline bool rnd_one_in(struct rnd *r, unsigned n)
{
        return rnd_below(r, n) == 0;
}

/* What a source gives: lines "SOURCE INDEX anything\n", or bytes that are no such lines. Behind `bytes` stands a newline. */
struct content {
        uint8_t *data;
        size_t bytes;
        uint32_t *lines; /* where each begins, and where the next one would */
        size_t lines_nr;
        bool binary; /* its lines do not say which they are */
        bool cut;    /* its last line has no newline */
};
void content_text(struct content *c, struct rnd *r, unsigned source, size_t bytes);
void content_seq(struct content *c, unsigned last);
void content_pattern(struct content *c, size_t bytes);
void content_free(struct content *c);

struct bytes {
        uint8_t *data;
        size_t len, cap;
};
void bytes_add(struct bytes *b, const void *data, size_t len);
void bytes_read_file(struct bytes *b, const char *path); /* empty when it is not there */

/* ---- what flows (flow.c) ---- */

enum { SOURCES_MAX = 24, PIECES_MAX = 48, STAGES_MAX = 160, SINKS_MAX = 40, PARTS_MAX = 64 };

/* How much of the order is known. */
enum order {
        FLOW_EXACT,    /* piece behind piece */
        FLOW_IN_ORDER, /* whole lines, each piece's in its order, mixed with the others' */
        FLOW_SHUFFLED, /* whole lines */
};
struct piece {
        uint8_t source;
        bool newline; /* its last line was given the one that it lacks */
};
struct flow {
        enum order order;
        unsigned nr;
        struct piece pieces[PIECES_MAX];
        uint8_t lost[STAGES_MAX]; /* by stage that drops: how many times over what it drops is missing here */
        bool lossy;
};
size_t flow_bytes(const struct flow *f, const struct content *contents);
bool flow_is_ragged(const struct flow *f, const struct content *contents);
bool flow_is_binary(const struct flow *f, const struct content *contents);
void flow_end_line(struct flow *f, const struct content *contents);
void flow_append(struct flow *to, const struct flow *from);
/* "" when it is right. `loose`: the run was disturbed, so that all may be missing from some point on. */
void flow_check(const struct flow *f, const struct content *contents, const struct bytes *got, bool loose, char *why, size_t cap);

/* ---- parts ---- */

/* How a part disturbs the run, once it has seen `enough` bytes. */
enum trouble {
        TROUBLE_NONE,
        TROUBLE_EARLY,
        TROUBLE_FAILS,
        TROUBLE_EXITS,
        TROUBLE_KILLED,
        TROUBLE_CANCEL,
        TROUBLE_DEADLINE,
        TROUBLES
};

struct part {
        struct rnd rnd;
        const struct content *content; /* a source's */
        size_t at;
        struct bytes *got; /* a sink's; NULL: thrown away */
        int wake_fd;       /* -1: none */
        int waker;         /* where to ask for being woken */
        bool told;         /* it said -EAGAIN, and nothing since */
        enum trouble trouble;
        uint64_t enough, seen;
        bool fired; /* the trouble came about */
};

ssize_t part_reader(void *arg, void *data, size_t cap);
ssize_t part_writer(void *arg, const void *data, size_t bytes);
int part_gives(void *arg, struct sluice_stream *io);  /* functions on threads: a source, */
int part_takes(void *arg, struct sluice_stream *io);  /* a sink, */
int part_copies(void *arg, struct sluice_stream *io); /* and what stands between */
int part_copies_lines(void *arg, struct sluice_stream *io);
int part_passes(void *arg, struct sluice_stream *io);          /* without copying where it can */
int part_keeps_all(void *arg, const char *line, size_t bytes); /* sluice_line_fn */
extern const struct sluice_stage_ops part_mangle_ops;          /* on the loop: odd sizes, holds back, pauses; config: a part */
/* A thread that makes wake_fds ready a little later. */
struct waker {
        int pipe[2];
        pthread_t thread;
};
void waker_start(struct waker *w);
void waker_stop(struct waker *w);

/* ---- graphs (graph.c) ---- */

enum node { NODE_NONE, NODE_PLAIN, NODE_TEE, NODE_MERGE, NODE_CONCAT, NODE_TURNS, NODE_ELASTIC };
struct edge {
        int from, to;
};

enum sink_kind { SINK_WRITER, SINK_FILE, SINK_ATOMIC, SINK_COMMAND, SINK_FUNCTION, SINK_NULL, SINK_SOCKET, SINK_CAPTURE, SINKS };
struct sink {
        enum sink_kind kind;
        int stage, link;
        char name[24]; /* of its file */
        struct flow flow;
        struct bytes got;
        pthread_t thread; /* SOCKET: who reads */
        int listener;
};

struct graph {
        uint64_t seed;
        struct rnd rnd;
        bool disturbed, text_only;
        struct sluice_pipeline *p;
        struct sluice_cancel *cancel;
        struct waker *waker;
        enum sluice_driver driver;
        enum sluice_backend backend; /* of a private loop, and of a shared one the first graph's */
        unsigned flags;
        uint64_t buffers_bytes;
        unsigned stages_max;
        size_t bytes_max;

        struct content contents[SOURCES_MAX];
        unsigned contents_nr;
        struct part parts[PARTS_MAX];
        unsigned parts_nr;
        struct sink sinks[SINKS_MAX];
        unsigned sinks_nr;
        struct sluice_pipeline *inner[8];
        unsigned inner_nr;

        enum node nodes[STAGES_MAX];
        char names[STAGES_MAX][16];
        struct edge edges[STAGES_MAX];
        unsigned edges_nr;
        struct { /* of a count: what it must report */
                int stage;
                struct flow flow;
        } counts[STAGES_MAX / 4];
        unsigned counts_nr;
        enum trouble trouble;
        int trouble_stage;
        struct part *trouble_part;

        int result; /* 1: not yet */
        int built;  /* what build() said */
};
/* `buffers_bytes` 0: as the seed has it. */
struct graph *graph_draw(uint64_t seed, bool disturbed, bool big, uint64_t buffers_bytes, struct waker *w);
/* Collects what came out of the sinks; the run is over. */
void graph_collect(struct graph *g);
void graph_free(struct graph *g);
void graph_print(const struct graph *g);
/* The bytes that the stage says it dropped. */
uint64_t graph_report(const struct graph *g, int stage, const char *name);

/* Whether it could stop for ever, whatever the sizes of its queues (deadlock.c). */
bool graph_may_stop(const struct graph *g);

#endif
