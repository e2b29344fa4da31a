/* engine/relay_connection.c: one connection of a relay, from its accept to its close (relay.h). Called by relay.c and by
 * completions; calls links, the backend and proxy.c. */
#include <errno.h>
#include <stdlib.h>

#include "address.h"
#include "check.h"
#include "proxy.h"
#include "relay.h"

static struct backend *backend_of(const struct relay_connection *c)
{
        return c->relay->loop->backend;
}

/* ---- the end ---- */

static void count_link(const struct link *l, struct sluice_relay_stats *s)
{
        s->bytes_spliced += l->counts.spliced;
        s->bytes_copied += l->counts.copied;
        s->driver_changes += link_driver_changes(l);
        s->calls += l->counts.ops_inline + l->counts.ops_ring;
}

void relay_connection_count(const struct relay_connection *c, struct sluice_relay_stats *s)
{
        s->bytes_up += c->up.counts.delivered;
        s->bytes_down += c->down.counts.delivered;
        count_link(&c->up, s);
        count_link(&c->down, s);
}

/* An end after all bytes; or, the socket being told so since its beginning, a reset. */
static struct slot *close_side(struct relay_connection *c, struct slot *s, const struct link *writes)
{
        if (s && writes->state == LINK_ENDED && writes->result == 0)
                backend_of(c)->ops->option(backend_of(c), s->fd, SOL_SOCKET, SO_LINGER, -1);
        return slot_unref(s);
}

static void finish(struct later *later)
{
        struct relay_connection *c = container_of(later, struct relay_connection, later);
        struct sluice_relay *r = c->relay;

        relay_connection_count(c, &r->stats);
        link_fini(&c->up);
        link_fini(&c->down);
        c->client = close_side(c, c->client, &c->down);
        c->target = close_side(c, c->target, &c->up);
        list_unlink(&c->node);
        free(c);
        relay_one_less(r);
}

static void close_later(struct relay_connection *c)
{
        if (c->state == CONNECTION_CLOSING)
                return; /* whoever hears of a failure may have cancelled it meanwhile */
        ASSERT(!c->connect);
        c->relay->connecting -= c->state == CONNECTION_CONNECTING;
        c->state = CONNECTION_CLOSING;
        c->later.fn = finish;
        loop_later(c->relay->loop, &c->later);
}

static void fail(struct relay_connection *c, enum sluice_relay_event_kind kind, int error)
{
        if (!c->failed)
                relay_tell(c->relay, kind, error);
        c->failed = true;
}

/* ---- moving ---- */

static struct link *other(struct relay_connection *c, const struct link *l)
{
        return l == &c->up ? &c->down : &c->up;
}

/* A socket's error is said once, and a write takes it from the next read, which then meets an end that is none. EPIPE alone says
 * that the end came first. */
static bool is_no_end(struct relay_connection *c, const struct link *l)
{
        const struct link *back = other(c, l);

        return back->state >= LINK_STOPPING && back->result < 0 && back->failed_side == LINK_SINK && back->result != -EPIPE;
}

/* One that cannot be read any more was reset: so is the other side, at once. One that cannot be written to may have said
 * something before, which is passed on to its end. */
static void ended(struct link *l)
{
        struct relay_connection *c = l->owner;

        c->links_over++;
        if (l->result == 0 && is_no_end(c, l)) {
                l->result = -ECONNRESET; /* told already, as the other link's */
        } else if (l->result == 0) {
                backend_of(c)->ops->shutdown(backend_of(c), l == &c->up ? c->target->fd : c->client->fd, SHUT_WR);
        } else {
                fail(c, SLUICE_RELAY_RESET, l->result);
                if (l->failed_side == LINK_SOURCE)
                        link_cancel(other(c, l), -ECONNRESET);
        }
        if (c->links_over == 2)
                close_later(c);
}

static bool no_memory(struct link *l)
{
        (void)l;
        return false;
}

static int no_more(struct link *l, int64_t *offset)
{
        (void)l;
        (void)offset;
        return 0;
}

static const struct link_hooks hooks = { .ended = ended, .memory = no_memory, .more = no_more };

static void set_end(struct end *e, struct slot *s)
{
        e->slot = slot_ref(s);
        e->kind = SLUICE_KIND_SOCKET;
        e->socket = true;
}

static void start_link(struct relay_connection *c, struct link *l, struct slot *from, struct slot *to)
{
        set_end(&l->source, from);
        set_end(&l->sink, to);
        l->driver = c->relay->opt.driver;
        l->prefer = c->relay->opt.prefer;
        segments_add(&l->segments, (struct segment){ .kind = SEGMENT_FD, .offset = -1, .length = -1 });
        segments_add(&l->segments, (struct segment){ .kind = SEGMENT_END });
        link_start(l);
}

/* A socket that was just connected has room for more than any header: less is a failure. */
static int send_header(struct relay_connection *c)
{
        struct address peer, local;
        uint8_t header[PROXY_BYTES_MAX];
        ssize_t bytes, r;

        if (!c->relay->opt.proxy_version)
                return 0;
        address_of_peer(c->client->fd, &peer);
        address_of_self(c->client->fd, &local);
        bytes = (ssize_t)proxy_header(c->relay->opt.proxy_version, &peer, &local, header);
        r = backend_of(c)->ops->try_write(backend_of(c), c->target, header, (size_t)bytes);
        return r == bytes ? 0 : r < 0 ? (int)r : -EIO;
}

/* From here on; the clock's next tick may be near, and counts for nothing. */
static void begin_waiting(struct relay_connection *c)
{
        c->quiet_ms = 0;
        c->moved = UINT64_MAX;
}

static void start_moving(struct relay_connection *c)
{
        int r = send_header(c);

        if (r < 0) {
                fail(c, SLUICE_RELAY_CONNECT_FAILED, r);
                close_later(c);
                return;
        }
        c->state = CONNECTION_MOVING;
        c->relay->connecting--;
        begin_waiting(c);
        start_link(c, &c->up, c->client, c->target);
        start_link(c, &c->down, c->target, c->client);
}

/* ---- connecting ---- */

static bool connect_any(struct relay_connection *c, int *ret_error);

static void connected(struct op *op)
{
        struct relay_connection *c = op->owner;
        int r = op_result(op);

        op_free(op);
        c->connect = NULL;
        if (r == -EINTR)
                r = -ECONNABORTED;
        if (r == 0 && c->relay->cancelled)
                r = -ECANCELED; /* the cancel came too late */
        if (r == 0) {
                start_moving(c);
                return;
        }
        c->target = slot_unref(c->target);
        if (r == -ECANCELED && c->timed_out)
                r = -ETIMEDOUT;
        if (r != -ECANCELED && connect_any(c, &r))
                return;
        if (r != -ECANCELED)
                fail(c, SLUICE_RELAY_CONNECT_FAILED, r);
        close_later(c);
}

static int open_target(struct relay_connection *c, const struct sockaddr *a)
{
        struct backend *b = backend_of(c);
        int fd = b->ops->socket(b, a->sa_family, SOCK_STREAM | SOCK_NONBLOCK), r;

        if (fd < 0)
                return fd;
        r = slot_new(&c->target, b, fd);
        if (r < 0) {
                b->ops->close(b, fd);
                return r;
        }
        if (a->sa_family != AF_UNIX)
                relay_set_options(b, fd);
        return 0;
}

static int connect_next(struct relay_connection *c)
{
        const struct sluice_address *a = &c->relay->targets[c->next_target++];
        const struct sockaddr *address = (const struct sockaddr *)&a->address;
        int r = open_target(c, address);

        if (relay_is_shortage(r)) {
                c->next_target--;
                relay_pause(c->relay, r);
                return 0; /* the clock tries again */
        }
        if (r < 0)
                return r;
        begin_waiting(c);
        c->timed_out = false;
        c->connect = op_new(backend_of(c), OP_CONNECT, connected, c);
        if (!c->connect)
                goto out;
        op_pin(c->connect, c->target, NULL, NULL);
        if (op_set_address(c->connect, address, a->bytes) < 0)
                goto out;
        backend_submit(backend_of(c), c->connect);
        return 0;
out:
        if (c->connect)
                op_free(c->connect);
        c->connect = NULL;
        c->target = slot_unref(c->target);
        return -ENOMEM;
}

/* Of those that are left the first to which a connection can be begun. False: none; why not with the last is told. */
static bool connect_any(struct relay_connection *c, int *ret_error)
{
        while (c->next_target < c->relay->opt.targets_nr) {
                int r = connect_next(c);

                if (r == 0)
                        return true;
                *ret_error = r;
        }
        return false;
}

int relay_connection_new(struct sluice_relay *r, struct slot *client)
{
        struct relay_connection *c = calloc(1, sizeof(*c));
        int e = 0;

        if (!c) {
                slot_unref(client);
                return -ENOMEM;
        }
        c->relay = r;
        c->client = client;
        begin_waiting(c);
        r->connecting++;
        list_init(&c->node);
        list_init(&c->later.node);
        link_init(&c->up, r->loop, &hooks, c, 0);
        link_init(&c->down, r->loop, &hooks, c, 1);
        list_push(&r->connections, &c->node);
        if (!connect_any(c, &e)) {
                fail(c, SLUICE_RELAY_CONNECT_FAILED, e);
                close_later(c);
        }
        return 0;
}

/* ---- from outside ---- */

static void reset(struct relay_connection *c, int error)
{
        if (c->connect)
                backend_cancel(backend_of(c), c->connect);
        else if (c->state == CONNECTION_CONNECTING)
                close_later(c);
        if (c->state != CONNECTION_MOVING)
                return;
        link_cancel(&c->up, error);
        if (c->state == CONNECTION_MOVING)
                link_cancel(&c->down, error);
}

void relay_connection_cancel(struct relay_connection *c)
{
        c->failed = true; /* it was asked for */
        reset(c, -ECANCELED);
}

static void tick_connecting(struct relay_connection *c)
{
        const bool late = c->quiet_ms >= c->relay->opt.connect_timeout_ms;
        int r = late ? -EMFILE : 0;

        if (c->connect && late) {
                c->timed_out = true;
                backend_cancel(backend_of(c), c->connect);
        }
        if (c->connect)
                return;
        if (late || !connect_any(c, &r)) {
                fail(c, SLUICE_RELAY_CONNECT_FAILED, r);
                close_later(c);
        }
}

void relay_connection_tick(struct relay_connection *c, int64_t ms)
{
        const struct sluice_relay_options *opt = &c->relay->opt;
        uint64_t moved = c->up.counts.taken + c->down.counts.taken + c->up.counts.delivered + c->down.counts.delivered;

        c->quiet_ms = moved == c->moved ? c->quiet_ms + ms : 0;
        c->moved = moved;
        if (c->state == CONNECTION_CONNECTING) {
                tick_connecting(c);
        } else if (c->state == CONNECTION_MOVING && opt->idle_timeout_ms && c->quiet_ms >= opt->idle_timeout_ms) {
                fail(c, SLUICE_RELAY_IDLE, -ETIMEDOUT);
                reset(c, -ETIMEDOUT);
        }
}
