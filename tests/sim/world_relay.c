/* tests/sim/world_relay.c: one simulated run of a relay (sluice/relay.h): clients that call, targets that answer, faults, a drain
 * or a cancel at any step, all from one seed.
 *
 *  After every turn:  every link's law; a link that waits for bytes holds nothing; as many connections as are allowed, and as many
 *                     as it says; what it says of itself adds up; who is late is late
 *  At every byte:     what arrives is what was sent; an end is one that was sent (relay_peers.h)
 *  At the end:        told once; bytes, connections and events are what the two ends and the kernel have seen; who did not fail was
 *                     served; nothing is left
 *
 * Called by world.c; calls everything. */
#include "world_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sluice/relay.h>

#include "laws.h"
#include "pool.h"
#include "proxy.h"
#include "relay.h"
#include "relay_peers.h"
#include "sim_kernel.h"

enum {
        PAGE_BYTES = 64,
        CALM_STEPS = 1500,
        STEPS_MAX = 200000,
        BEFORE_STEPS = 20, /* before the relay is there, clients call */
        TURNS_AFTER = 3,
        BYTES_PART = 4,   /* there are several connections */
        BULK_BYTES = 300, /* what is much for AUTO, and what is little: pages are small here */
        SMALL_BYTES = 60,
        SLACK_NS = 1000000, /* of a turn, in which it cannot be said when something happened */
        EVENTS = SLUICE_RELAY_PAUSED + 1,
};

/* What is known of a connection from outside. */
struct seen {
        const struct relay_connection *connection;
        enum connection_state state;
        const void *op;
        uint64_t moved, since_ns; /* it has not moved since then, or later */
};

struct world {
        struct sim sim;
        struct peers peers;
        const struct world_limits *limits;
        struct sluice_loop *loop;
        struct sluice_relay *relay; /* NULL: freed */
        struct sluice_relay_options opt;
        struct sluice_address targets[TARGETS_MAX];
        struct sluice_relay_stats stats;
        struct seen seen[CLIENTS_MAX];
        unsigned seen_nr;
        uint64_t events[EVENTS], calm_step, drain_step, cancel_step, drains_at_event, turn_began_ns, paired;
        bool wants_drain, wants_cancel, drained, cancelled, cancelled_taking, free_inside, done, exclusive;
        int result;
};

/* One with room for all; one whose buffers have to be waited for. */
static struct sluice_pool *pools[2];

static uint64_t pick(struct world *w, uint64_t n)
{
        return sim_below(&w->sim, n);
}

static bool has(const struct world *w, enum sim_fault f)
{
        return w->sim.config.faults & 1u << f;
}

static void must(struct world *w, int r, const char *what)
{
        if (r < 0)
                sim_fail(&w->sim, "%s: %s", what, strerror(-r));
}

/* ---- what the host does ---- */

static void drain(struct world *w)
{
        w->drained = true;
        sluice_relay_drain(w->relay);
}

static void cancel(struct world *w)
{
        w->cancelled_taking |= !w->drained && !w->cancelled;
        w->cancelled = true;
        w->sim.struck |= 1u << SIM_CANCEL;
        sluice_relay_cancel(w->relay);
}

static void tick(void *arg)
{
        struct world *w = arg;

        if (w->sim.steps == w->calm_step) {
                w->sim.calm = true;
                sim_changed(&w->sim);
        }
        if (w->sim.steps == w->drain_step)
                w->wants_drain = w->sim.woken = true;
        if (w->sim.steps == w->cancel_step)
                w->wants_cancel = w->sim.woken = true;
}

static void act(struct world *w)
{
        if (w->done)
                return;
        if (w->wants_cancel)
                cancel(w);
        else if (w->wants_drain || w->peers.clients_over == w->peers.clients_nr)
                drain(w);
        w->wants_drain = w->wants_cancel = false;
}

static bool has_been_quiet(const struct seen *s, uint64_t now_ns, int64_t ms)
{
        return now_ns - s->since_ns + SLACK_NS >= (uint64_t)ms * 1000000;
}

/* Who is told to be late has been quiet for as long as was said. */
static void law_late(struct world *w, enum connection_state state, int64_t ms)
{
        for (unsigned i = 0; i < w->seen_nr; i++)
                if (w->seen[i].state == state && has_been_quiet(&w->seen[i], w->sim.now_ns, ms))
                        return;
        sim_fail(&w->sim, "a connection is late before %lld ms have passed", (long long)ms);
}

static void event(void *arg, enum sluice_relay_event_kind kind, int error)
{
        struct world *w = arg;

        sim_trace(&w->sim, "event %d: %d", (int)kind, error);
        w->events[kind]++;
        if (kind == SLUICE_RELAY_IDLE)
                law_late(w, CONNECTION_MOVING, w->opt.idle_timeout_ms);
        if (kind == SLUICE_RELAY_CONNECT_FAILED && error == -ETIMEDOUT)
                law_late(w, CONNECTION_CONNECTING, w->opt.connect_timeout_ms ? w->opt.connect_timeout_ms : 5000);
        if (w->drains_at_event == 0 || --w->drains_at_event > 0)
                return;
        if (has(w, SIM_CANCEL) && pick(w, 2))
                cancel(w);
        else
                drain(w);
}

static void ended(void *arg, int result)
{
        struct world *w = arg;

        if (w->done)
                sim_fail(&w->sim, "the end is told twice");
        w->done = true;
        w->result = result;
        w->stats.size = sizeof(w->stats);
        must(w, sluice_relay_stats(w->relay, &w->stats), "stats");
        if (!w->free_inside)
                return;
        sluice_relay_free(w->relay);
        w->relay = NULL;
}

/* ---- the world ---- */

static void choose_options(struct world *w)
{
        static const enum sluice_driver drivers[] = { SLUICE_DRIVER_AUTO, SLUICE_DRIVER_AUTO, SLUICE_DRIVER_INLINE,
                                                      SLUICE_DRIVER_COPY };
        static const int64_t connects_ms[] = { 0, 0, 10, 40, 300 }, idles_ms[] = { 0, 0, 0, 10, 40, 100 };
        struct sluice_relay_options *o = &w->opt;

        *o = (struct sluice_relay_options){ .size = sizeof(*o), .event = event, .event_arg = w, .targets = w->targets };
        o->driver = drivers[pick(w, 4)];
        o->prefer = (enum sluice_prefer)pick(w, 2);
        o->connections_max = pick(w, 2) ? (unsigned)(1 + pick(w, 4)) : 0;
        o->proxy_version = pick(w, 2) ? (unsigned)pick(w, 3) : 0;
        o->connect_timeout_ms = connects_ms[pick(w, 5)];
        o->idle_timeout_ms = idles_ms[pick(w, 6)];
        w->exclusive = pick(w, 2);
        w->free_inside = pick(w, 2);
        w->calm_step = CALM_STEPS / 2 + pick(w, CALM_STEPS);
        w->drain_step = 1 + pick(w, pick(w, 2) ? 200 : 1500);
        if (pick(w, 2))
                w->drain_step = 0;
        w->cancel_step = 1 + pick(w, pick(w, 2) ? 200 : 1500);
        w->drains_at_event = 1 + pick(w, 3);
        if (pick(w, 8))
                w->drains_at_event = 0;
        if (pick(w, 2) || !has(w, SIM_CANCEL))
                w->cancel_step = 0;
}

/* The model has no addresses: a connection's are unknown. */
static void know_header(struct world *w)
{
        const struct address unknown = { 0 };

        if (w->opt.proxy_version)
                w->peers.header_bytes = proxy_header(w->opt.proxy_version, &unknown, &unknown, w->peers.header);
}

/* The port is where the model looks for it, whatever the family. */
static void set_target(struct sluice_address *a, unsigned port, bool local)
{
        struct sockaddr_storage *s = &a->address;

        a->bytes = local ? 32 : sizeof(struct sockaddr_in);
        s->ss_family = local ? AF_UNIX : AF_INET;
        memcpy((uint8_t *)s + 2, &port, 2);
}

static void choose_peers(struct world *w)
{
        struct peers *p = &w->peers;

        p->sim = &w->sim;
        p->clients_nr = 1 + (unsigned)pick(w, 2 * w->limits->branches + 1);
        p->targets_nr = 1 + (unsigned)pick(w, w->limits->middles + 1);
        p->clients_local = pick(w, 4) == 0;
        p->targets_local = pick(w, 4) == 0;
        peers_plan(p, 1 + w->limits->bytes / BYTES_PART, w->opt.idle_timeout_ms > 0);
        for (unsigned i = 0; i < p->targets_nr; i++)
                set_target(&w->targets[i], p->targets[i].port, p->targets_local);
        w->opt.targets_nr = p->targets_nr;
}

static void describe(const struct world *w)
{
        static const char *const kinds[] = { "good", "refuses", "late", "goes" };
        const struct sluice_relay_options *o = &w->opt;

        printf("relay: %u %s clients, %s targets", w->peers.clients_nr, w->peers.clients_local ? "unix" : "tcp",
               w->peers.targets_local ? "unix" : "tcp");
        for (unsigned i = 0; i < w->peers.targets_nr; i++)
                printf(" %s", kinds[w->peers.targets[i].kind]);
        printf("\n      max %u, proxy %u, connect %lld ms, idle %lld ms, driver %s, faults", o->connections_max, o->proxy_version,
               (long long)o->connect_timeout_ms, (long long)o->idle_timeout_ms, sluice_driver_name(o->driver));
        for (int f = 0; f < SIM_FAULTS; f++)
                if (has(w, f))
                        printf(" %s", sim_fault_name(f));
        printf("\n");
        fflush(stdout);
}

static int listen_for(struct world *w)
{
        struct sim_desc *d = sim_desc_new(&w->sim, SIM_SOCKET);

        d->socket = sim_socket_new(&w->sim, w->peers.clients_local);
        sim_socket_listen(d->socket, w->peers.listener, (unsigned)pick(w, 10));
        return sim_fd_new(&w->sim, d);
}

static void begin(struct world *w, uint64_t seed, enum world_tell tell)
{
        static const size_t budgets[] = { 64 << 10, 256 << 10, (1 << 20) + 1, 4 << 20, SIZE_MAX };
        struct sim_config c = { .page_bytes = PAGE_BYTES, .steps_max = STEPS_MAX, .disk_bytes = -1 };

        c.mutation = (enum sim_mutation)w->limits->mutation;
        sim_init(&w->sim, &c, seed);
        laws_faults(&w->sim, w->limits);
        w->sim.tick = tick;
        w->sim.arg = w;
        snprintf(w->sim.context, sizeof(w->sim.context), "seed %llu", (unsigned long long)seed);
        pipe_budget_set(has(w, SIM_QUOTA) ? budgets[pick(w, 5)] : SIZE_MAX);
        choose_options(w);
        know_header(w);
        choose_peers(w);
        w->sim.config.trace = tell == WORLD_TRACE;
        if (tell > WORLD_SILENT)
                describe(w);
}

static void start(struct world *w)
{
        struct sluice_loop_options lo = { .size = sizeof(lo), .exclusive = w->exclusive, .pool = pools[pick(w, 2)] };
        struct backend *b;

        w->opt.listener = listen_for(w);
        peers_begin(&w->peers);
        for (uint64_t n = pick(w, 2) ? pick(w, BEFORE_STEPS) : 0; n > 0; n--)
                sim_run_one(&w->sim);
        must(w, backend_sim_new(&b, &w->sim, w->exclusive), "backend");
        must(w, loop_new_with_backend(&w->loop, &lo, b), "loop");
        must(w, sluice_relay_start(&w->relay, w->loop, &w->opt, ended, w), "start");
        sim_fd_close(&w->sim, w->opt.listener);
}

/* ---- after a turn ---- */

static struct sim_socket *socket_of(struct world *w, const struct slot *s)
{
        struct sim_desc *d = sim_fd(&w->sim, s->fd);

        if (!d || d->kind != SIM_SOCKET)
                sim_fail(&w->sim, "fd %d is no socket", s->fd);
        return d->socket;
}

/* AUTO decides by what is much and little for pages of 64 bytes. */
static void scale(struct chooser *c)
{
        c->bulk_bytes = BULK_BYTES;
        c->small_bytes = SMALL_BYTES;
}

static void meet(struct world *w, struct relay_connection *c)
{
        struct sim_socket *client = socket_of(w, c->client);

        scale(&c->up.chooser);
        scale(&c->down.chooser);
        w->paired++;
        peers_pair(&w->peers, client->tag, socket_of(w, c->target)->peer);
}

static uint64_t moved_by(const struct relay_connection *c)
{
        return c->up.counts.taken + c->down.counts.taken + c->up.counts.delivered + c->down.counts.delivered;
}

static struct seen look(struct world *w, struct relay_connection *c)
{
        struct seen s = { .connection = c, .state = c->state, .op = c->connect, .moved = moved_by(c), .since_ns = w->sim.now_ns };

        for (unsigned i = 0; i < w->seen_nr; i++) {
                const struct seen *was = &w->seen[i];

                if (was->connection != c)
                        continue;
                if (was->state == s.state && was->moved == s.moved && was->op == s.op)
                        s.since_ns = was->since_ns;
                else if (was->state == s.state && was->op == s.op)
                        s.since_ns = w->turn_began_ns;
                if (was->state == s.state)
                        return s;
        }
        if (c->state == CONNECTION_MOVING)
                meet(w, c);
        return s;
}

/* Ten thousand idle connections hold nothing. */
static void law_idle(struct world *w, const struct link *l)
{
        if (l->state == LINK_MOVING && l->lends && l->fill.state == MOVER_ARMED && (l->pipe || l->buffer))
                sim_fail(&w->sim, "link %d waits for bytes and holds a %s", l->index, l->pipe ? "pipe" : "buffer");
}

static void law_connection(struct world *w, const struct relay_connection *c)
{
        if (w->cancelled && (c->up.state == LINK_MOVING || c->down.state == LINK_MOVING))
                sim_fail(&w->sim, "a connection goes on though all were cancelled");
        law_link(&w->sim, &c->up);
        law_link(&w->sim, &c->down);
        law_idle(w, &c->up);
        law_idle(w, &c->down);
}

static void law_stats(struct world *w, unsigned connections)
{
        struct sluice_relay_stats s = { .size = sizeof(s) };
        const unsigned max = w->opt.connections_max;
        unsigned fds = 0;

        must(w, sluice_relay_stats(w->relay, &s), "stats");
        if (s.active != connections || s.active > s.active_peak || s.accepted > w->sim.taken || (max && s.active_peak > max))
                sim_fail(&w->sim, "%u connections; %llu accepted, %llu active, %llu at the most", connections,
                         (unsigned long long)s.accepted, (unsigned long long)s.active, (unsigned long long)s.active_peak);
        if (s.bytes_up + s.bytes_down != s.bytes_spliced + s.bytes_copied)
                sim_fail(&w->sim, "%llu bytes up, %llu down, but %llu spliced and %llu copied", (unsigned long long)s.bytes_up,
                         (unsigned long long)s.bytes_down, (unsigned long long)s.bytes_spliced, (unsigned long long)s.bytes_copied);
        for (unsigned i = 0; i < w->sim.fds_nr; i++) {
                const struct sim_desc *d = w->sim.fds[i];

                fds += d && d->kind == SIM_SOCKET && d->socket->tag;
        }
        if (max && fds > max)
                sim_fail(&w->sim, "%u connections are taken, of %u that may be", fds, max);
}

static void check_laws(struct world *w)
{
        struct seen now[CLIENTS_MAX];
        unsigned nr = 0;

        law_cache(&w->sim, w->loop);
        if (w->done)
                return;
        for (struct list *at = w->relay->connections.next; at != &w->relay->connections; at = at->next) {
                struct relay_connection *c = container_of(at, struct relay_connection, node);

                law_connection(w, c);
                now[nr++] = look(w, c);
        }
        memcpy(w->seen, now, nr * sizeof(now[0]));
        w->seen_nr = nr;
        law_stats(w, nr);
}

static void run(struct world *w)
{
        start(w);
        while (!w->done) {
                w->turn_began_ns = w->sim.now_ns;
                must(w, sluice_loop_turn(w->loop, -1), "turn");
                check_laws(w);
                act(w);
        }
        for (int i = 0; i < TURNS_AFTER; i++)
                must(w, sluice_loop_turn(w->loop, 0), "turn");
}

/* ---- the end ---- */

/* The relay has gone: whoever is left sees that, and ends. */
static void let_peers_end(struct world *w)
{
        w->peers.closing = true;
        sim_changed(&w->sim);
        for (;;) {
                struct sim_task *t = w->sim.tasks;

                while (t && sim_task_is_over(t))
                        t = t->next;
                if (!t)
                        return;
                if (!sim_run_one(&w->sim) && !sim_skip_time(&w->sim, UINT64_MAX))
                        sim_fail(&w->sim, "a peer waits for ever, and the relay is over");
        }
}

static void check_result(struct world *w)
{
        if (w->result != 0 && (w->result != -ECANCELED || !w->cancelled))
                sim_fail(&w->sim, "it ended with %d", w->result);
        if (w->result == 0 && w->cancelled_taking)
                sim_fail(&w->sim, "it was cancelled, and ended with success");
}

static void check_bytes(struct world *w)
{
        const struct sluice_relay_stats *s = &w->stats;
        uint64_t headers = w->peers.came_up - s->bytes_up, header = w->peers.header_bytes;

        if (s->bytes_down != w->peers.came_down)
                sim_fail(&w->sim, "%llu bytes down, and %llu came", (unsigned long long)s->bytes_down,
                         (unsigned long long)w->peers.came_down);
        if (s->bytes_up > w->peers.came_up || headers < header * w->paired || headers > header * s->accepted)
                sim_fail(&w->sim, "%llu bytes up, and %llu came, with %llu headers of %llu", (unsigned long long)s->bytes_up,
                         (unsigned long long)w->peers.came_up, (unsigned long long)w->paired, (unsigned long long)header);
}

/* Whether there was anything by which a connection to a target can fail. */
static bool may_connect_fail(const struct world *w)
{
        bool may = has(w, SIM_NOFILE) || (has(w, SIM_SHORT) && w->opt.proxy_version) || w->opt.connect_timeout_ms;

        for (unsigned i = 0; i < w->peers.targets_nr; i++)
                may |= w->peers.targets[i].kind != TARGET_GOOD;
        return may;
}

static void check_events(struct world *w)
{
        const struct sluice_relay_stats *s = &w->stats;
        const uint64_t counted[EVENTS] = { [SLUICE_RELAY_CONNECT_FAILED] = s->connect_failed,
                                           [SLUICE_RELAY_RESET] = s->reset,
                                           [SLUICE_RELAY_IDLE] = s->idle,
                                           [SLUICE_RELAY_PAUSED] = s->paused };

        for (int i = 0; i < EVENTS; i++)
                if (counted[i] != w->events[i])
                        sim_fail(&w->sim, "%llu events of kind %d are told, and %llu counted", (unsigned long long)w->events[i], i,
                                 (unsigned long long)counted[i]);
        if (s->active || s->accepted != w->sim.taken)
                sim_fail(&w->sim, "%llu accepted, %llu active, and the kernel gave %u", (unsigned long long)s->accepted,
                         (unsigned long long)s->active, w->sim.taken);
        if (s->accepted - w->paired < s->connect_failed || (s->accepted - w->paired > s->connect_failed && !w->cancelled))
                sim_fail(&w->sim, "%llu accepted, %llu connected, %llu failed to", (unsigned long long)s->accepted,
                         (unsigned long long)w->paired, (unsigned long long)s->connect_failed);
        if (s->connect_failed && !may_connect_fail(w))
                sim_fail(&w->sim, "a target that was there could not be connected to");
        if (s->reset > peers_failed(&w->peers))
                sim_fail(&w->sim, "%llu connections are reset, and %u failed", (unsigned long long)s->reset,
                         peers_failed(&w->peers));
        if (s->paused && !has(w, SIM_NOFILE))
                sim_fail(&w->sim, "it paused, and nothing was short");
}

static void end(struct world *w)
{
        if (w->relay)
                sluice_relay_free(w->relay);
        sluice_loop_free(w->loop);
        let_peers_end(w);
        check_result(w);
        check_bytes(w);
        check_events(w);
        peers_check(&w->peers, w->stats.idle, w->cancelled);
        sim_fini(&w->sim);
        if (pipe_budget_used())
                sim_fail(&w->sim, "%zu bytes of the pipe budget left at the end", pipe_budget_used());
}

void world_relay_run(uint64_t seed, const struct world_limits *limits, enum world_tell tell, struct world_result *ret)
{
        const struct sluice_pool_options large = { .size = sizeof(large), .budget_bytes = 64 << 20 },
                                         small = { .size = sizeof(small), .budget_bytes = 512 << 10 };
        struct world w = { .limits = limits };

        if (!pools[0]) {
                must(&w, sluice_pool_new(&pools[0], &large), "pool");
                must(&w, sluice_pool_new(&pools[1], &small), "pool");
        }
        begin(&w, seed, tell);
        run(&w);
        end(&w);
        *ret = (struct world_result){ .steps = w.sim.steps, .result = w.result, .struck = w.sim.struck };
}

void world_relay_done(void)
{
        for (int i = 0; i < 2; i++) {
                sluice_pool_unref(pools[i]);
                pools[i] = NULL;
        }
}
