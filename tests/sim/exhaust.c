/* tests/sim/exhaust.c: one link, every interleaving of its writer, its reader, the kernel's workers, a cancel and a close.
 *
 *      W  the writer writes, twice, then closes        C  the cancel token fires
 *      R  the reader reads, at most three times        X  the reader closes
 *      E  the engine takes a turn                      K, L  the kernel goes on with its first, its second operation
 *
 * Up to the depth asked for every order is tried, but for orders of W, R, X and C among themselves with nothing between them
 * (they touch different things), and for turns and steps that cannot find anything new. Then everything goes on by turns, and
 * must end: what the reader has is a prefix of what was written; all of it, when nobody cancelled or closed; the result is what
 * the sink was given; nothing is left.
 *
 * Each run is replayed from its beginning: a choice is an index into what is possible, the next run changes the last choice that
 * can be changed. A state that was met before with as many choices left is not gone on from: it would lead nowhere new. What a
 * state is (state_of()) errs on the side of more states. A run that fails prints its letters. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cancel.h"
#include "link.h"
#include "loop.h"
#include "pool.h"
#include "sim_kernel.h"

enum { DEPTH = 12, DEPTH_MAX = 24, WRITES = 2, READS = 3, READ_BYTES = 90, PAGE = 64, SLOTS = 2, DRAIN_ROUNDS = 400 };
static const size_t writes[WRITES] = { 100, 60 };

struct edge {
        struct sim sim;
        struct sluice_loop *loop;
        struct link *link;
        struct sluice_cancel *token;
        int token_fd;
        unsigned fired;
        struct sim_desc *source, *sink; /* the writer's end, the reader's */
        struct sim_pipe *into;
        uint64_t written, seen;
        unsigned wrote, reads;
        bool closed, done;
        int64_t result;
        uint64_t given; /* to the sink's pipe, when the transfer ended */
        char letters[DEPTH_MAX + 1];
};

/* The choices of this run, and how many there were at each. */
struct path {
        unsigned at[DEPTH_MAX], of[DEPTH_MAX], nr;
};

static struct sluice_pool *pool;
static const char *driver_name;

static void finished(void *arg, int64_t result)
{
        struct edge *e = arg;

        e->done = true;
        e->result = result;
        e->given = e->into ? e->into->taken : 0;
}

static void die(struct edge *e, const char *what)
{
        sim_fail(&e->sim, "%s; sim_exhaust --driver=%s --replay=%s", what, driver_name, e->letters);
}

/* ---- one world ---- */

static void open_edge(struct edge *e, enum sluice_driver driver, bool exclusive)
{
        const struct sim_config c = { .page_bytes = PAGE, .workers_max = 4, .disk_bytes = -1, .manual = true };
        struct sluice_loop_options lo = { .size = sizeof(lo), .exclusive = exclusive, .pool = pool };
        struct sluice_transfer t = { .size = sizeof(t), .offset_from = -1, .offset_to = -1, .length = -1, .driver = driver };
        struct sim_desc *in[2], *out[2];
        struct backend *b;

        *e = (struct edge){ 0 };
        sim_init(&e->sim, &c, 1);
        if (sluice_cancel_new(&e->token) < 0 || backend_sim_new(&b, &e->sim, exclusive) < 0 ||
            loop_new_with_backend(&e->loop, &lo, b) < 0)
                die(e, "no memory");
        e->token_fd = cancel_fd(e->token);
        e->sim.host_fds = &e->token_fd;
        e->sim.host_events = &e->fired;
        e->sim.host_nr = 1;
        sim_make_pipe(&e->sim, in, SLOTS);
        sim_make_pipe(&e->sim, out, SLOTS);
        e->source = in[1];
        e->sink = out[0];
        e->into = out[0]->pipe;
        t.from = sim_fd_new(&e->sim, in[0]);
        t.to = sim_fd_new(&e->sim, out[1]);
        t.cancel = e->token;
        if (sluice_transfer(e->loop, &t, finished, e) < 0)
                die(e, "cannot start");
        e->link = container_of(e->loop->ready.next, struct link, node);
        sim_fd_close(&e->sim, t.from);
        sim_fd_close(&e->sim, t.to);
}

static void write_some(struct edge *e)
{
        uint8_t data[256];
        ssize_t n;

        if (e->wrote == WRITES) {
                sim_desc_unref(e->source);
                e->source = NULL;
                e->wrote++;
                return;
        }
        sim_pattern_fill(1, e->written, data, writes[e->wrote]);
        n = sim_do_write(&e->sim, e->source, -1, data, writes[e->wrote]);
        if (n > 0)
                e->written += (uint64_t)n;
        e->wrote++;
}

static ssize_t read_some(struct edge *e)
{
        uint8_t data[READ_BYTES], want[READ_BYTES];
        ssize_t n = sim_do_read(&e->sim, e->sink, -1, data, sizeof(data));

        e->reads++;
        if (n <= 0)
                return n;
        sim_pattern_fill(1, e->seen, want, (size_t)n);
        if (memcmp(want, data, (size_t)n) != 0)
                die(e, "wrong bytes");
        e->seen += (uint64_t)n;
        return n;
}

static void close_reader(struct edge *e)
{
        e->into = NULL;
        sim_desc_unref(e->sink);
        e->sink = NULL;
        e->closed = true;
}

static void fire(struct edge *e)
{
        e->fired = 1;
        sluice_cancel_fire(e->token);
        sim_changed(&e->sim);
}

static void turn(struct edge *e)
{
        if (sluice_loop_turn(e->loop, 0) < 0)
                die(e, "a turn failed");
}

static struct sim_op *nth_op(struct edge *e, unsigned n)
{
        for (unsigned i = 0; i < e->sim.ops_nr; i++)
                if (sim_op_may_run(&e->sim, &e->sim.ops[i]) && n-- == 0)
                        return &e->sim.ops[i];
        return NULL;
}

/* ---- what is possible, and in which order ---- */

static int rank_of(char letter)
{
        static const char order[] = "WRXC"; /* they commute: only this order is tried */
        const char *at = letter ? strchr(order, letter) : NULL;

        return at ? (int)(at - order) : -1;
}

static unsigned possible(struct edge *e, char last, bool idle, char *ret)
{
        unsigned nr = 0;
        int rank = rank_of(last);

        if (!idle)
                ret[nr++] = 'E';
        if (nth_op(e, 0))
                ret[nr++] = 'K';
        if (nth_op(e, 1))
                ret[nr++] = 'L';
        if (e->wrote <= WRITES && rank <= 0)
                ret[nr++] = 'W';
        if (e->sink && e->reads < READS && rank <= 1)
                ret[nr++] = 'R';
        if (e->sink && rank <= 1)
                ret[nr++] = 'X';
        if (!e->fired && rank <= 2)
                ret[nr++] = 'C';
        return nr;
}

/* True: this turn found nothing to do. */
static bool take(struct edge *e, char letter)
{
        uint64_t before = e->sim.version;
        size_t ops = e->loop->backend->ops_lent;

        e->letters[strlen(e->letters)] = letter;
        switch (letter) {
        case 'E':
                turn(e);
                return before == e->sim.version && ops == e->loop->backend->ops_lent && list_empty(&e->loop->ready) &&
                       list_empty(&e->loop->later) && !backend_has_work(e->loop->backend);
        case 'K':
        case 'L':
                sim_step(&e->sim);
                sim_op_run(&e->sim, nth_op(e, letter == 'L'));
                break;
        case 'W':
                write_some(e);
                break;
        case 'R':
                read_some(e);
                break;
        case 'X':
                close_reader(e);
                break;
        default:
                fire(e);
                break;
        }
        return false;
}

/* ---- states ---- */

static void mix(uint64_t *hash, uint64_t value)
{
        *hash = (*hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
        *hash ^= *hash >> 29;
}

static void mix_pipe(uint64_t *hash, const struct sim_pipe *p)
{
        mix(hash, p->readers * 8 + p->writers);
        mix(hash, p->given);
        for (unsigned i = 0; i < p->nr; i++)
                mix(hash, p->slots[(p->head + i) % p->ring].bytes * 2 + p->slots[(p->head + i) % p->ring].merge);
}

static void mix_link(uint64_t *hash, struct link *l)
{
        struct segment *s = segments_first(&l->segments);

        mix(hash, (uint64_t)l->state << 32 | (uint64_t)l->fill.state << 16 | l->drain.state);
        mix(hash, (uint64_t)l->fill.spurious << 32 | l->drain.spurious);
        mix(hash, (uint64_t)l->source_end << 5 | (uint64_t)l->vessel_full << 4 | (uint64_t)(l->copy_why != NULL) << 3 |
                          (uint64_t)l->straight << 2 | (uint64_t)(l->pipe != NULL) << 1 | (l->buffer != NULL));
        mix(hash, (uint64_t)l->buffer_at << 32 | l->buffer_bytes);
        mix(hash, (uint64_t)l->driver << 32 | (uint64_t)(unsigned)l->result);
        mix(hash, l->counts.taken << 32 | l->counts.delivered);
        mix(hash, s ? (uint64_t)s->kind + 1 : 0);
        mix(hash, list_empty(&l->node));
}

static void mix_ops(uint64_t *hash, const struct edge *e)
{
        struct backend *b = e->loop->backend;

        for (unsigned i = 0; i < e->sim.ops_nr; i++) {
                const struct sim_op *o = &e->sim.ops[i];

                if (o->state == SIM_OP_NONE)
                        continue;
                mix(hash, (uint64_t)o->op->kind << 32 | (uint64_t)o->state << 16 | (uint64_t)o->cancelled << 1 |
                                  (o->waits && o->waits_version == e->sim.version));
                mix(hash, (uint64_t)(unsigned)o->result << 32 | (uint64_t)(o->op->owner == e->link) << 1 | o->op->cancel_sent);
        }
        for (struct list *n = b->finished.next; n != &b->finished; n = n->next)
                mix(hash, (uint64_t)container_of(n, struct op, node)->kind << 32 |
                                  (uint64_t)(unsigned)container_of(n, struct op, node)->res);
        for (struct list *n = b->queued.next; n != &b->queued; n = n->next)
                mix(hash, container_of(n, struct op, node)->kind);
}

static uint64_t state_of(struct edge *e, char last, bool idle)
{
        uint64_t hash = 1;

        mix(&hash, (uint64_t)(rank_of(last) + 1) << 1 | idle);
        mix(&hash,
            (uint64_t)e->wrote << 32 | (uint64_t)e->reads << 8 | (uint64_t)e->fired << 2 | (uint64_t)e->closed << 1 | e->done);
        mix(&hash, e->written << 32 | e->seen);
        if (e->source)
                mix_pipe(&hash, e->source->pipe);
        if (e->sink)
                mix_pipe(&hash, e->sink->pipe);
        if (!e->done)
                mix_link(&hash, e->link);
        mix_ops(&hash, e);
        mix(&hash, list_empty(&e->loop->later));
        return hash ? hash : 1;
}

/* Open addressing; grows by halves of what it holds. */
struct seen {
        uint64_t hash;
        unsigned left;
};
static struct seen *table;
static size_t table_max, table_nr;

static struct seen *place_of(uint64_t hash)
{
        size_t i = hash & (table_max - 1);

        while (table[i].hash && table[i].hash != hash)
                i = (i + 1) & (table_max - 1);
        return &table[i];
}

static void grow(void)
{
        struct seen *old = table;
        size_t max = table_max;

        table_max = max ? 2 * max : 1 << 16;
        table = calloc(table_max, sizeof(*table));
        if (!table)
                abort();
        for (size_t i = 0; i < max; i++)
                if (old[i].hash)
                        *place_of(old[i].hash) = old[i];
        free(old);
}

/* Whether all that follows it was tried already; it will have been. */
static bool was_met(uint64_t hash, unsigned left)
{
        struct seen *s;

        if (table_nr * 2 >= table_max)
                grow();
        s = place_of(hash);
        if (s->hash && s->left >= left)
                return true;
        table_nr += !s->hash;
        *s = (struct seen){ hash, left };
        return false;
}

/* ---- the end ---- */

static void drain(struct edge *e)
{
        struct sim_op *o;

        for (int round = 0; !e->done; round++) {
                if (round == DRAIN_ROUNDS)
                        die(e, "it does not end");
                turn(e);
                while ((o = nth_op(e, 0)) && o->state != SIM_OP_OVER)
                        sim_op_run(&e->sim, o);
                while ((o = nth_op(e, 0)))
                        sim_op_run(&e->sim, o);
                if (e->wrote <= WRITES)
                        write_some(e);
                while (e->sink && read_some(e) > 0)
                        continue;
        }
}

static void check_end(struct edge *e)
{
        bool disturbed = e->fired || e->closed;

        while (e->sink && read_some(e) > 0)
                continue;
        if (!disturbed && (e->result < 0 || e->seen != e->written))
                die(e, "undisturbed, and not all has arrived");
        if (e->result >= 0 && !e->closed && (uint64_t)e->result != e->given)
                die(e, "the result is not what the sink was given");
        if (e->result >= 0 && !e->fired && !e->closed && (uint64_t)e->result != e->written)
                die(e, "success, but not of everything");
        if (e->result < 0 && e->result != -ECANCELED && e->result != -EPIPE)
                die(e, "an error that nobody made");
        if (e->result == -ECANCELED && !e->fired)
                die(e, "cancelled by nobody");
        if (e->result == -EPIPE && !e->closed)
                die(e, "broken by nobody");
}

static void close_edge(struct edge *e)
{
        /* What is freed late needs the kernel to go on by itself. */
        e->sim.config.manual = false;
        sluice_loop_free(e->loop);
        check_end(e);
        if (e->source)
                sim_desc_unref(e->source);
        if (e->sink)
                sim_desc_unref(e->sink);
        sluice_cancel_unref(e->token);
        if (pipe_budget_used())
                die(e, "pipe budget left");
        sim_fini(&e->sim);
}

/* ---- all of them ---- */

static void run_path(struct path *p, unsigned depth, enum sluice_driver driver, bool exclusive)
{
        static struct edge e;
        char choices[8], last = 0;
        bool idle = false;

        open_edge(&e, driver, exclusive);
        for (unsigned i = 0; i < depth && !e.done; i++) {
                unsigned nr = possible(&e, last, idle, choices);

                if (nr == 0)
                        break;
                if (i == p->nr) {
                        if (was_met(state_of(&e, last, idle), depth - i))
                                break;
                        p->at[i] = 0;
                        p->nr++;
                }
                p->of[i] = nr;
                last = choices[p->at[i]];
                idle = take(&e, last);
        }
        drain(&e);
        close_edge(&e);
}

/* The next one in order. False: that was the last. */
static bool next_path(struct path *p)
{
        while (p->nr > 0 && p->at[p->nr - 1] + 1 >= p->of[p->nr - 1])
                p->nr--;
        if (p->nr == 0)
                return false;
        p->at[p->nr - 1]++;
        return true;
}

static uint64_t run_all(unsigned depth, enum sluice_driver driver, bool exclusive)
{
        struct path p = { 0 };
        uint64_t runs = 0;

        free(table);
        table = NULL;
        table_max = table_nr = 0;
        do {
                run_path(&p, depth, driver, exclusive);
                runs++;
        } while (next_path(&p));
        return runs;
}

static void replay(const char *letters, enum sluice_driver driver, bool exclusive)
{
        static struct edge e;

        open_edge(&e, driver, exclusive);
        e.sim.config.trace = true;
        for (; *letters && !e.done; letters++) {
                printf("%c\n", *letters);
                if ((*letters == 'K' || *letters == 'L') && !nth_op(&e, *letters == 'L'))
                        continue;
                take(&e, *letters);
        }
        drain(&e);
        printf("result %lld, %llu written, %llu read\n", (long long)e.result, (unsigned long long)e.written,
               (unsigned long long)e.seen);
        close_edge(&e);
}

static const struct {
        const char *name;
        enum sluice_driver driver;
        bool exclusive;
} drivers[] = {
        { "inline", SLUICE_DRIVER_INLINE, true },
        { "ring", SLUICE_DRIVER_RING, true },
        { "copy", SLUICE_DRIVER_COPY, true },
        { "shared", SLUICE_DRIVER_AUTO, false },
};
enum { DRIVERS = sizeof(drivers) / sizeof(drivers[0]) };

int main(int argc, char **argv)
{
        static const struct option names[] = { { "depth", required_argument, NULL, 'd' },
                                               { "driver", required_argument, NULL, 'D' },
                                               { "replay", required_argument, NULL, 'r' },
                                               { 0 } };
        const struct sluice_pool_options po = { .size = sizeof(po), .budget_bytes = 64 << 20 };
        const char *only = NULL, *letters = NULL;
        unsigned depth = DEPTH;
        int c;

        while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
                if (c == 'd')
                        depth = (unsigned)atoi(optarg);
                else if (c == 'D')
                        only = optarg;
                else if (c == 'r')
                        letters = optarg;
                else
                        return 2;
        }
        pipe_budget_set(SIZE_MAX);
        if (depth > DEPTH_MAX || sluice_pool_new(&pool, &po) < 0)
                return 2;
        for (int i = 0; i < DRIVERS; i++) {
                driver_name = drivers[i].name;
                if (only && strcmp(only, driver_name) != 0)
                        continue;
                if (letters)
                        replay(letters, drivers[i].driver, drivers[i].exclusive);
                else {
                        uint64_t runs = run_all(depth, drivers[i].driver, drivers[i].exclusive);

                        printf("%s: every interleaving to depth %u: %zu states, %llu runs\n", driver_name, depth, table_nr,
                               (unsigned long long)runs);
                }
                fflush(stdout);
        }
        free(table);
        sluice_pool_unref(pool);
        return 0;
}
