/* tests/sim/relay_peers.c: see relay_peers.h. Called by world_relay.c and the scheduler; calls the model. */
#include "relay_peers.h"

#include <errno.h>
#include <string.h>

enum { CHUNK_MAX = 600, CHUNK_SMALL = 60, STALL_NS_MAX = 150000000, LATE_NS_MAX = 60000000, PORT = 80, BEGINS_NS_MAX = 3000000 };

static uint64_t pick(struct peers *p, uint64_t n)
{
        return sim_below(p->sim, n);
}

static bool has(const struct peers *p, enum sim_fault f)
{
        return p->sim->config.faults & 1u << f;
}

/* Chance is asked in any case: without the fault all else stays the same. */
static bool doomed(struct peers *p, enum sim_fault f, unsigned one_in)
{
        bool fated = pick(p, one_in) == 0;

        return fated && has(p, f);
}

/* ---- the plan ---- */

static void plan_failure(struct peers *p, struct peer *e, bool local, bool may_vanish)
{
        uint64_t at = pick(p, e->sends.end + e->check.total + 1);
        bool resets = doomed(p, SIM_RESET, 3) && !local, leaves = doomed(p, SIM_EARLY, 4), vanishes = doomed(p, SIM_CRASH, 4);

        e->fails_at = at;
        e->fails = resets ? FAILS_RESETS : leaves ? FAILS_LEAVES : vanishes && may_vanish ? FAILS_VANISHES : FAILS_NOT;
}

static void plan_peer(struct peers *p, struct peer *e, bool local, bool may_vanish)
{
        e->all = p;
        e->chunk = (unsigned)(1 + pick(p, pick(p, 2) ? CHUNK_MAX : CHUNK_SMALL));
        e->begins_ns = pick(p, 2) ? pick(p, BEGINS_NS_MAX) : 0;
        e->stalls_at = pick(p, e->sends.end + e->check.total + 1);
        e->stalls_ns = pick(p, STALL_NS_MAX);
        if (!doomed(p, SIM_DELAY, 3))
                e->stalls_ns = 0;
        plan_failure(p, e, local, may_vanish);
}

static void plan_talk(struct peers *p, unsigned index, uint64_t bytes, bool may_vanish)
{
        struct conversation *t = &p->talks[index];
        struct sim_stream up = { .id = 2 * index + 1 }, down = { .id = 2 * index + 2 };
        uint64_t who;

        up.end = pick(p, 4) == 0 ? pick(p, 3) : pick(p, bytes);
        down.end = pick(p, 4) == 0 ? pick(p, 3) : pick(p, bytes);
        t->client.sends = up;
        t->target.sends = down;
        t->client.check = (struct sim_check){ .name = "client", .parts = { down }, .parts_nr = 1, .total = down.end };
        t->target.check = (struct sim_check){ .name = "target", .parts = { up }, .parts_nr = 1, .total = up.end };
        who = pick(p, 3); /* at most one waits for the other */
        t->client.waits_for = who == 1 ? pick(p, down.end + 1) : 0;
        t->target.waits_for = who == 2 ? pick(p, up.end + 1) : 0;
        who = pick(p, 3);
        t->client.ends_last = who == 1 && t->target.waits_for == 0;
        t->target.ends_last = who == 2 && t->client.waits_for == 0;
        plan_peer(p, &t->client, p->clients_local, may_vanish);
        plan_peer(p, &t->target, p->targets_local, may_vanish);
}

static unsigned as_in_an_address(unsigned port)
{
        return (port & 0xff) << 8 | port >> 8;
}

static void plan_target(struct peers *p, unsigned index)
{
        static const enum target_kind kinds[] = { TARGET_GOOD,    TARGET_GOOD, TARGET_GOOD, TARGET_GOOD,
                                                  TARGET_REFUSES, TARGET_LATE, TARGET_GOES };
        struct target *t = &p->targets[index];

        *t = (struct target){ .all = p, .kind = kinds[pick(p, 7)], .port = as_in_an_address(PORT + 1 + index) };
        t->backlog = (unsigned)pick(p, 6);
        t->accepts = (unsigned)pick(p, 4);
        t->opens_ns = pick(p, LATE_NS_MAX);
}

void peers_plan(struct peers *p, uint64_t bytes, bool may_vanish)
{
        p->listener = as_in_an_address(PORT);
        p->room = 16 + pick(p, 800);
        p->sleeps = (unsigned)pick(p, 60);
        if (!has(p, SIM_DELAY))
                p->sleeps = 0;
        for (unsigned i = 0; i < p->clients_nr; i++)
                plan_talk(p, i, bytes, may_vanish);
        for (unsigned i = 0; i < p->targets_nr; i++)
                plan_target(p, i);
}

/* ---- a peer's end ---- */

static void over(struct sim_task *t, struct peer *e)
{
        e->over = true;
        if (e == &e->all->talks[(e->check.parts[0].id - 1) / 2].client) {
                e->all->clients_over++;
                e->all->sim->woken = true; /* as if it had told the host */
        }
        sim_task_end(t);
}

static void cut(struct sim_task *t, struct peer *e)
{
        if (e->saw == SAW_NOTHING)
                e->saw = SAW_CUT;
        over(t, e);
}

/* An end that is read is an end that was sent. */
static void saw_end(struct sim_task *t, struct peer *e)
{
        struct conversation *c = &e->all->talks[(e->check.parts[0].id - 1) / 2];
        const struct peer *other = e == &c->client ? &c->target : &c->client;

        e->saw = SAW_END;
        if (t->fd[0]->socket->local)
                return; /* a cut may look like that: looked at when all is over */
        if (!c->paired)
                sim_fail(t->sim, "client: an end, and nobody was connected to");
        if (!other->shut || e->check.seen != other->sent)
                sim_fail(t->sim, "%s: an end after %llu bytes, of %llu that were sent%s", e->check.name,
                         (unsigned long long)e->check.seen, (unsigned long long)other->sent, other->shut ? "" : " so far");
}

/* As planned. True: it has. */
static bool fails(struct sim_task *t, struct peer *e)
{
        static const enum sim_fault as[] = { [FAILS_RESETS] = SIM_RESET, [FAILS_LEAVES] = SIM_EARLY, [FAILS_VANISHES] = SIM_CRASH };
        struct sim_socket *s = t->fd[0]->socket;

        if (e->fails == FAILS_NOT || e->sent + e->check.seen < e->fails_at)
                return false;
        t->sim->struck |= 1u << as[e->fails];
        e->failed = true;
        e->vanished = e->fails == FAILS_VANISHES;
        sim_trace(t->sim, "%s %d %s", e->check.name, s->tag, e->vanished ? "vanishes" : "goes");
        if (e->vanished)
                return true;
        if (e->fails == FAILS_RESETS)
                sim_socket_reset(s);
        else if (s->nr == 0)
                e->shut = true; /* an end like any other, as far as it goes */
        over(t, e);
        return true;
}

/* ---- a peer's steps: each returns whether it got anywhere ---- */

static bool reads(struct sim_task *t, struct peer *e)
{
        uint8_t data[CHUNK_MAX];
        ssize_t n;

        if (e->saw != SAW_NOTHING)
                return false;
        n = sim_do_read(t->sim, t->fd[0], -1, data, 1 + pick(e->all, e->chunk));
        sim_trace(t->sim, "%s %d reads: %zd", e->check.name, t->fd[0]->socket->tag, n);
        if (n == -EAGAIN)
                return false;
        if (n < 0)
                cut(t, e);
        else if (n == 0)
                saw_end(t, e);
        else
                sim_check_bytes(t->sim, &e->check, data, (size_t)n);
        return true;
}

static bool writes(struct sim_task *t, struct peer *e)
{
        uint64_t left = e->sends.end - e->sent, bytes = 1 + pick(e->all, e->chunk);
        uint8_t data[CHUNK_MAX];
        ssize_t n;

        if (left == 0 || (e->check.seen < e->waits_for && e->saw == SAW_NOTHING))
                return false;
        bytes = bytes < left ? bytes : left;
        sim_pattern_fill(e->sends.id, e->sent, data, bytes);
        n = sim_do_write(t->sim, t->fd[0], -1, data, bytes);
        sim_trace(t->sim, "%s %d writes %llu: %zd", e->check.name, t->fd[0]->socket->tag, (unsigned long long)bytes, n);
        if (n == -EAGAIN)
                return false;
        if (n < 0)
                cut(t, e);
        else
                e->sent += (uint64_t)n;
        return true;
}

static bool shuts(struct sim_task *t, struct peer *e)
{
        if (e->shut || e->sent < e->sends.end || (e->ends_last && e->saw == SAW_NOTHING))
                return false;
        e->shut = true;
        sim_trace(t->sim, "%s %d shuts", e->check.name, t->fd[0]->socket->tag);
        sim_socket_shutdown(t->fd[0]->socket, 1);
        return true;
}

static bool stalls(struct sim_task *t, struct peer *e)
{
        uint64_t ns = e->stalls_ns;

        if (ns == 0 || e->sent + e->check.seen < e->stalls_at)
                return false;
        e->stalls_ns = 0;
        sim_task_sleep(t, ns);
        return true;
}

/* It never says or takes anything again; that it was reset ends it. */
static void stays_away(struct sim_task *t, struct peer *e)
{
        const struct sim_socket *s = t->fd[0]->socket;

        if (s->reset || !s->peer)
                over(t, e);
        else
                sim_task_wait(t);
}

static void talk(struct sim_task *t, struct peer *e)
{
        bool first = pick(e->all, 2);

        if (e->vanished) {
                stays_away(t, e);
                return;
        }
        if (stalls(t, e) || fails(t, e))
                return;
        if ((first && reads(t, e)) || writes(t, e) || shuts(t, e) || (!first && reads(t, e)))
                return;
        if (e->shut && e->saw == SAW_END)
                over(t, e);
        else
                sim_task_wait(t);
}

/* ---- clients ---- */

static void connects(struct sim_task *t, struct peer *e)
{
        struct peers *p = e->all;
        struct sim_desc *d;

        if (!sim_socket_is_heard(t->sim, p->listener)) {
                over(t, e);
                return;
        }
        if (!sim_socket_is_awaited(t->sim, p->listener)) {
                sim_task_wait(t);
                return;
        }
        d = sim_desc_new(t->sim, SIM_SOCKET);
        d->socket = sim_socket_new(t->sim, p->clients_local);
        d->socket->came = &p->came_down;
        sim_socket_connect(d->socket, p->listener, p->room);
        d->socket->tag = d->socket->peer->tag = (int)(e->sends.id + 1) / 2;
        sim_trace(t->sim, "client %d calls", d->socket->tag);
        sim_task_set_fd(t, 0, d);
        sim_desc_unref(d);
        e->met = true;
}

static void client_step(struct sim_task *t)
{
        struct peer *e = t->does.arg;
        uint64_t later = e->begins_ns;

        if (later && !t->fd[0]) {
                e->begins_ns = 0;
                sim_task_sleep(t, later);
        } else if (!t->fd[0]) {
                connects(t, e);
        } else {
                talk(t, e);
        }
}

/* ---- targets ---- */

/* Nobody's, and over: a TCP connection that was not passed on was reset. */
static void unmet(struct sim_task *t, struct visitor *v, ssize_t n)
{
        if (n == 0 && !t->fd[0]->socket->local)
                sim_fail(t->sim, "target: an end from nobody, after %zu bytes", v->header);
        sim_task_end(t);
}

static void takes_header(struct sim_task *t, struct visitor *v)
{
        struct peers *p = v->all;
        uint8_t data[HEADER_MAX];
        ssize_t n = sim_do_read(t->sim, t->fd[0], -1, data, p->header_bytes - v->header);

        if (n == -EAGAIN) {
                sim_task_wait(t);
        } else if (n <= 0) {
                unmet(t, v, n);
        } else {
                if (memcmp(data, p->header + v->header, (size_t)n) != 0)
                        sim_fail(t->sim, "target: wrong bytes in the header");
                v->header += (size_t)n;
        }
}

static void visitor_step(struct sim_task *t)
{
        struct visitor *v = t->does.arg;
        struct sim_socket *s = t->fd[0]->socket;
        uint8_t byte;
        ssize_t n;

        if (v->header < v->all->header_bytes) {
                takes_header(t, v);
                return;
        }
        if (!v->peer && s->tag) {
                v->peer = &v->all->talks[s->tag - 1].target;
                if (v->peer->met)
                        sim_fail(t->sim, "client %d is passed on twice", s->tag);
                v->peer->met = true;
        }
        if (v->peer) {
                talk(t, v->peer);
                return;
        }
        n = s->nr ? -EAGAIN : sim_do_read(t->sim, t->fd[0], -1, &byte, 1);
        if (n == -EAGAIN)
                sim_task_wait(t);
        else
                unmet(t, v, n);
}

static void welcome(struct peers *p, struct sim_socket *s)
{
        struct visitor *v = &p->visitors[p->visitors_nr];
        const struct sim_behaviour b = { .step = visitor_step, .arg = v, .sleeps = p->sleeps };
        struct sim_desc *d = sim_desc_new(p->sim, SIM_SOCKET);
        struct sim_task *t = sim_task_new(p->sim, &b);

        if (p->visitors_nr++ == VISITORS_MAX)
                sim_fail(p->sim, "more connections than there can be");
        *v = (struct visitor){ .all = p };
        d->socket = s;
        sim_task_set_fd(t, 0, d);
        sim_desc_unref(d);
}

static void open_target(struct sim_task *t, struct target *g)
{
        struct sim_desc *d = sim_desc_new(t->sim, SIM_SOCKET);

        d->socket = sim_socket_new(t->sim, g->all->targets_local);
        d->socket->came = &g->all->came_up;
        sim_socket_listen(d->socket, g->port, g->backlog);
        sim_task_set_fd(t, 2, d);
        sim_desc_unref(d);
}

static void target_step(struct sim_task *t)
{
        struct target *g = t->does.arg;
        struct sim_socket *s;

        if (g->all->closing || (g->kind == TARGET_GOES && g->accepts == 0)) {
                sim_task_end(t);
                return;
        }
        if (g->kind == TARGET_LATE && g->opens_ns > 0) { /* it listens, and has no time for anybody */
                sim_task_sleep(t, g->opens_ns);
                g->opens_ns = 0;
                return;
        }
        s = sim_socket_accept(t->fd[2]->socket);
        if (!s) {
                sim_task_wait(t);
                return;
        }
        g->accepts -= g->kind == TARGET_GOES;
        welcome(g->all, s);
}

/* ---- all of them ---- */

void peers_begin(struct peers *p)
{
        for (unsigned i = 0; i < p->targets_nr; i++) {
                const struct sim_behaviour b = { .step = target_step, .arg = &p->targets[i], .sleeps = p->sleeps };

                if (p->targets[i].kind != TARGET_REFUSES)
                        open_target(sim_task_new(p->sim, &b), &p->targets[i]);
        }
        for (unsigned i = 0; i < p->clients_nr; i++) {
                const struct sim_behaviour b = { .step = client_step, .arg = &p->talks[i].client, .sleeps = p->sleeps };

                sim_task_new(p->sim, &b);
        }
}

void peers_pair(struct peers *p, int tag, struct sim_socket *target)
{
        struct conversation *c = &p->talks[tag - 1];

        if (c->paired)
                return;
        sim_trace(p->sim, "client %d is connected", tag);
        c->paired = true;
        if (target)
                target->tag = tag;
        sim_changed(p->sim);
}

unsigned peers_failed(const struct peers *p)
{
        unsigned failed = 0;

        for (unsigned i = 0; i < p->clients_nr; i++) {
                const struct conversation *c = &p->talks[i];

                failed += c->paired && (c->client.failed || c->target.failed || !c->target.met);
        }
        return failed;
}

static bool is_whole(const struct peer *e, const struct peer *other)
{
        return e->saw == SAW_END && e->check.seen == other->sends.end && other->sent == other->sends.end;
}

void peers_check(struct peers *p, uint64_t idle, bool cancelled)
{
        uint64_t cut = 0;

        for (unsigned i = 0; i < p->clients_nr; i++) {
                const struct conversation *c = &p->talks[i];

                if (!c->paired || c->client.failed || c->target.failed || !c->target.met)
                        continue;
                cut += !is_whole(&c->client, &c->target) || !is_whole(&c->target, &c->client);
        }
        if (cut > idle && !cancelled)
                sim_fail(p->sim, "%llu connections are cut off that nobody failed", (unsigned long long)cut);
}
