/* engine/relay.c: a relay's listener, its clock and its end (relay.h). Called by hosts and by completions; calls
 * relay_connection.c, the loop and the backend. */
#include "relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "check.h"

enum { CONNECT_TIMEOUT_MS = 5000, TICK_MS_MIN = 10, TICK_MS_MAX = 1000, PAUSE_MS = 100 };

static struct backend *backend_of(const struct sluice_relay *r)
{
        return r->loop->backend;
}

void relay_tell(struct sluice_relay *r, enum sluice_relay_event_kind kind, int error)
{
        uint64_t *const counts[] = { [SLUICE_RELAY_CONNECT_FAILED] = &r->stats.connect_failed,
                                     [SLUICE_RELAY_RESET] = &r->stats.reset,
                                     [SLUICE_RELAY_IDLE] = &r->stats.idle,
                                     [SLUICE_RELAY_PAUSED] = &r->stats.paused };

        (*counts[kind])++;
        if (r->opt.event)
                r->opt.event(r->opt.event_arg, kind, error);
}

/* ---- the end ---- */

static void finish(struct later *later)
{
        struct sluice_relay *r = container_of(later, struct sluice_relay, later);

        r->state = RELAY_ENDED;
        r->loop->runs--;
        r->done(r->arg, r->result);
}

static void end_if_idle(struct sluice_relay *r)
{
        if (r->state == RELAY_DRAINING && !r->accepts_nr)
                r->listener = slot_unref(r->listener); /* who comes now is refused, and does not wait in vain */
        if (r->state != RELAY_DRAINING || r->accepts_nr || r->stats.active || !list_empty(&r->later.node))
                return;
        if (r->tick) {
                backend_cancel(backend_of(r), r->tick);
                return; /* its completion comes back here */
        }
        loop_later(r->loop, &r->later);
}

static void begin_draining(struct sluice_relay *r, int result)
{
        if (r->state != RELAY_TAKING)
                return;
        r->state = RELAY_DRAINING;
        r->result = result;
        for (unsigned i = 0; i < RELAY_ACCEPTS_MAX; i++)
                if (r->accepts[i])
                        backend_cancel(backend_of(r), r->accepts[i]);
        end_if_idle(r);
}

/* ---- the clock: only while something may be late ---- */

static void ticked(struct op *op);

static int64_t tick_ms(const struct sluice_relay *r)
{
        int64_t shortest = r->opt.connect_timeout_ms;

        if (r->opt.idle_timeout_ms && r->opt.idle_timeout_ms < shortest)
                shortest = r->opt.idle_timeout_ms;
        shortest /= 8;
        if (r->paused && shortest > PAUSE_MS)
                return PAUSE_MS;
        return shortest < TICK_MS_MIN ? TICK_MS_MIN : shortest > TICK_MS_MAX ? TICK_MS_MAX : shortest;
}

static bool may_be_late(const struct sluice_relay *r)
{
        return r->paused || r->connecting > 0 || (r->opt.idle_timeout_ms && r->stats.active > 0);
}

static void start_clock(struct sluice_relay *r)
{
        int64_t ms = tick_ms(r);

        if (r->tick || !may_be_late(r))
                return;
        r->tick = op_new(backend_of(r), OP_TIMER, ticked, r);
        if (!r->tick)
                return; /* the next connection tries again */
        r->tick->tag = (uint64_t)ms;
        r->tick->timer.at_ns = backend_now_ns(backend_of(r)) + (uint64_t)ms * 1000000;
        backend_submit(backend_of(r), r->tick);
}

/* ---- taking ---- */

static void accepted(struct op *op);

static bool has_room(const struct sluice_relay *r)
{
        return !r->opt.connections_max || r->stats.active + r->accepts_nr < r->opt.connections_max;
}

static void take_more(struct sluice_relay *r)
{
        for (unsigned i = 0; i < RELAY_ACCEPTS_MAX && r->state == RELAY_TAKING && !r->paused && has_room(r); i++) {
                if (r->accepts[i])
                        continue;
                r->accepts[i] = op_new(backend_of(r), OP_ACCEPT, accepted, r);
                if (!r->accepts[i]) {
                        r->paused = true;
                        break;
                }
                r->accepts[i]->tag = i;
                op_pin(r->accepts[i], r->listener, NULL, NULL);
                r->accepts_nr++;
                backend_submit(backend_of(r), r->accepts[i]);
        }
        start_clock(r);
}

void relay_pause(struct sluice_relay *r, int error)
{
        if (!r->paused)
                relay_tell(r, SLUICE_RELAY_PAUSED, error);
        r->paused = true;
        start_clock(r);
}

static void ticked(struct op *op)
{
        struct sluice_relay *r = op->owner;
        int64_t ms = (int64_t)op->tag;
        struct list *at, *next;

        op_free(op);
        r->tick = NULL;
        for (at = r->connections.next; at != &r->connections; at = next) {
                next = at->next;
                relay_connection_tick(container_of(at, struct relay_connection, node), ms);
        }
        if (r->paused && r->state == RELAY_TAKING) {
                r->paused = false;
                take_more(r);
        }
        if (r->state == RELAY_DRAINING && !r->stats.active)
                end_if_idle(r);
        else
                start_clock(r);
}

void relay_set_options(struct backend *b, int fd)
{
        b->ops->option(b, fd, IPPROTO_TCP, TCP_NODELAY, 1);
        b->ops->option(b, fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        b->ops->option(b, fd, SOL_SOCKET, SO_LINGER, 0);
}

static void took(struct sluice_relay *r, int fd)
{
        struct slot *client;

        if (!r->inherited)
                relay_set_options(backend_of(r), fd);
        r->stats.accepted++;
        r->stats.active++;
        if (r->stats.active > r->stats.active_peak)
                r->stats.active_peak = r->stats.active;
        if (r->cancelled) {
                backend_of(r)->ops->close(backend_of(r), fd);
                relay_one_less(r);
        } else if (slot_new(&client, backend_of(r), fd) < 0) {
                backend_of(r)->ops->close(backend_of(r), fd);
                relay_one_less(r);
                relay_pause(r, -ENOMEM);
        } else if (relay_connection_new(r, client) < 0) {
                relay_one_less(r);
                relay_pause(r, -ENOMEM);
        }
}

/* What concerns the one connection that was to be taken, and not the listener: accept(2), "Error handling". */
static bool is_the_connections_own(int error)
{
        switch (error) {
        case -EINTR:
        case -EAGAIN:
        case -ECONNABORTED:
        case -EPROTO:
        case -ENETDOWN:
        case -ENOPROTOOPT:
        case -EHOSTDOWN:
        case -ENONET:
        case -EHOSTUNREACH:
        case -EOPNOTSUPP:
        case -ENETUNREACH:
        case -EPERM:
                return true;
        default:
                return false;
        }
}

bool relay_is_shortage(int error)
{
        return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM || error == -EUSERS;
}

static void accepted(struct op *op)
{
        struct sluice_relay *r = op->owner;
        int fd = op_result(op);

        ASSERT(r->accepts[op->tag] == op);
        r->accepts[op->tag] = NULL;
        r->accepts_nr--;
        op_free(op);
        if (fd >= 0)
                took(r, fd);
        else if (relay_is_shortage(fd))
                relay_pause(r, fd);
        else if (!is_the_connections_own(fd) && !(fd == -ECANCELED && r->state == RELAY_DRAINING))
                begin_draining(r, fd);
        take_more(r);
        end_if_idle(r);
}

void relay_one_less(struct sluice_relay *r)
{
        ASSERT(r->stats.active > 0);
        r->stats.active--;
        r->paused = false; /* what it held is free */
        take_more(r);
        end_if_idle(r);
}

/* ---- life ---- */

static int check_options(const struct sluice_relay_options *opt)
{
        if (opt->size != sizeof(*opt) || opt->listener < 0 || !opt->targets || !opt->targets_nr || opt->proxy_version > 2)
                return -EINVAL;
        if ((int)opt->driver < SLUICE_DRIVER_AUTO || opt->driver > SLUICE_DRIVER_COPY || opt->driver == SLUICE_DRIVER_RING)
                return -EINVAL;
        if ((int)opt->prefer < SLUICE_PREFER_PATH || opt->prefer > SLUICE_PREFER_RELAY_CPU)
                return -EINVAL;
        return opt->connect_timeout_ms < 0 || opt->idle_timeout_ms < 0 ? -EINVAL : 0;
}

/* Its connections have these from it, which saves them three calls each; but from the moment they were made. If any is waiting
 * already, nobody can say later which those were. */
static void set_listener_options(struct sluice_relay *r)
{
        struct backend *b = backend_of(r);
        int fd = r->listener->fd;
        struct address self;

        b->ops->set_nonblock(b, fd, true);
        r->inherited = true;
        if (address_of_self(fd, &self) == 0 && self.storage.ss_family == AF_UNIX)
                return;
        relay_set_options(b, fd);
        r->inherited = b->ops->ready(b, r->listener, POLLIN) == 0;
}

static int open_listener(struct sluice_relay *r, int fd)
{
        struct backend *b = backend_of(r);
        struct fd_info info;
        int copy = b->ops->inspect(b, fd, &info);

        if (copy < 0)
                return copy;
        if (info.kind != FD_LISTENER)
                return -EINVAL;
        copy = b->ops->dup(b, fd);
        if (copy < 0)
                return copy;
        if (slot_new(&r->listener, b, copy) < 0) {
                b->ops->close(b, copy);
                return -ENOMEM;
        }
        set_listener_options(r);
        return 0;
}

static struct sluice_address *copy_targets(const struct sluice_relay_options *opt)
{
        struct sluice_address *ret = calloc(opt->targets_nr, sizeof(*ret));

        if (ret)
                memcpy(ret, opt->targets, opt->targets_nr * sizeof(*ret));
        return ret;
}

int sluice_relay_start(struct sluice_relay **ret, struct sluice_loop *l, const struct sluice_relay_options *opt,
                       sluice_done_fn *done, void *arg)
{
        int e = check_options(opt);
        struct sluice_relay *r;

        e = e < 0 ? e : loop_check_thread(l);
        if (e < 0 || !done)
                return e < 0 ? e : -EINVAL;
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        *r = (struct sluice_relay){ .loop = l, .opt = *opt, .done = done, .arg = arg };
        list_init(&r->connections);
        list_init(&r->later.node);
        r->later.fn = finish;
        r->opt.connect_timeout_ms = opt->connect_timeout_ms ? opt->connect_timeout_ms : CONNECT_TIMEOUT_MS;
        r->targets = copy_targets(opt);
        e = r->targets ? open_listener(r, opt->listener) : -ENOMEM;
        if (e < 0) {
                free(r->targets);
                free(r);
                return e;
        }
        l->runs++;
        take_more(r);
        *ret = r;
        return 0;
}

void sluice_relay_drain(struct sluice_relay *r)
{
        begin_draining(r, 0);
}

void sluice_relay_cancel(struct sluice_relay *r)
{
        struct list *at, *next;

        begin_draining(r, -ECANCELED);
        r->cancelled = true;
        if (r->stats.active)
                r->result = -ECANCELED;
        for (at = r->connections.next; at != &r->connections; at = next) {
                next = at->next;
                relay_connection_cancel(container_of(at, struct relay_connection, node));
        }
}

void sluice_relay_free(struct sluice_relay *r)
{
        if (!r)
                return;
        ASSERT(r->state == RELAY_ENDED);
        free(r->targets);
        free(r);
}

int sluice_relay_stats(const struct sluice_relay *r, struct sluice_relay_stats *ret)
{
        if (ret->size != sizeof(*ret))
                return -EINVAL;
        *ret = r->stats;
        ret->size = sizeof(*ret);
        for (const struct list *at = r->connections.next; at != &r->connections; at = at->next)
                relay_connection_count(container_of(at, struct relay_connection, node), ret);
        return 0;
}
