/* tests/sim/sim_socket.c: streams between two sockets: fragments in the order in which they were sent, each a reference to a
 * page, so that what is spliced in is spliced out again without a copy, and many small sends fill a pipe's slots long before
 * its bytes.
 *
 *      open --shutdown(WR)--> half-closed: the peer reads what is queued, then 0
 *      open --close, with bytes unread, or reset--> the peer: what is queued, then ECONNRESET once, then 0; EPIPE to its sends
 *
 *      FIN, then RST (TCP): reading is at its end, and stays so; EPIPE to its sends
 *      FIN both ways (TCP): over: there is nothing to reset
 *
 * `error` is said once, as the kernel's sk_err is, to whoever asks first: a send takes it from the next recv. Called by sim_calls.c and sim_task.c. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "sim_kernel.h"

enum { FRAGMENTS = 16, FRAGMENT_BYTES_MAX = 32 << 10 };

struct sim_socket *sim_socket_new(struct sim *k, bool local)
{
        struct sim_socket *s = calloc(1, sizeof(*s));

        if (!s)
                sim_fail(k, "no memory");
        s->sim = k;
        s->local = local;
        k->sockets++;
        return s;
}

static void join(struct sim_socket *a, struct sim_socket *b, uint64_t room)
{
        a->peer = b;
        b->peer = a;
        a->room = b->room = room;
        a->connected = b->connected = true;
        sim_changed(a->sim);
}

void sim_socket_pair(struct sim *k, struct sim_socket *ret[2], uint64_t room, bool local)
{
        ret[0] = sim_socket_new(k, local);
        ret[1] = sim_socket_new(k, local);
        join(ret[0], ret[1], room);
}

/* ---- fragments ---- */

static void grow(struct sim_socket *s)
{
        unsigned max = s->max ? 2 * s->max : FRAGMENTS;
        struct sim_slot *more = calloc(max, sizeof(*more));

        if (!more)
                sim_fail(s->sim, "no memory");
        for (unsigned i = 0; i < s->nr; i++)
                more[i] = s->queue[(s->head + i) % s->max];
        free(s->queue);
        s->queue = more;
        s->max = max;
        s->head = 0;
}

static void push(struct sim_socket *s, struct sim_page *page, uint32_t at, uint32_t bytes)
{
        if (s->nr == s->max)
                grow(s);
        s->queue[(s->head + s->nr++) % s->max] = (struct sim_slot){ .page = page, .at = at, .bytes = bytes };
        s->bytes += bytes;
        if (s->came)
                *s->came += bytes;
        sim_changed(s->sim);
}

static void drop(struct sim_socket *s, uint32_t bytes)
{
        struct sim_slot *f = &s->queue[s->head];

        f->at += bytes;
        f->bytes -= bytes;
        s->bytes -= bytes;
        if (f->bytes == 0) {
                sim_page_unref(s->sim, f->page);
                s->head = (s->head + 1) % s->max;
                s->nr--;
        }
        sim_changed(s->sim);
}

static void drop_all(struct sim_socket *s)
{
        while (s->nr)
                drop(s, s->queue[s->head].bytes);
}

/* ---- errors ---- */

static int take_error(struct sim_socket *s)
{
        int error = s->error;

        if (!sim_is(s->sim, SIM_BAD_ERROR_STAYS))
                s->error = 0;
        return error;
}

/* Bytes that may be sent now; or why none may. */
static int64_t may_send(struct sim_socket *s)
{
        int error;

        if (!s->connected)
                return -ENOTCONN;
        error = s->shut || s->reset || !s->peer ? take_error(s) : 0;
        if (error)
                return error;
        if (s->shut || s->reset || !s->peer)
                return -EPIPE;
        return s->peer->bytes < s->peer->room ? (int64_t)(s->peer->room - s->peer->bytes) : -EAGAIN;
}

/* Nothing is queued: why? */
static int nothing_there(struct sim_socket *s)
{
        int error;

        if (!s->connected)
                return -ENOTCONN;
        error = s->fin && !s->local ? 0 : take_error(s); /* TCP knows that it has ended, and does not look any further */
        if (error)
                return error;
        return s->fin || s->reset || !s->peer ? 0 : -EAGAIN;
}

/* ---- bytes ---- */

ssize_t sim_socket_send(struct sim_socket *s, const void *data, size_t bytes)
{
        int64_t room = may_send(s);
        size_t done = 0;

        if (room < 0)
                return room;
        if ((uint64_t)room < bytes)
                bytes = (size_t)room;
        while (done < bytes) {
                uint32_t n = bytes - done < FRAGMENT_BYTES_MAX ? (uint32_t)(bytes - done) : FRAGMENT_BYTES_MAX;
                struct sim_page *page = sim_page_new(s->sim, n);

                memcpy(page->data, (const uint8_t *)data + done, n);
                push(s->peer, page, 0, n);
                done += n;
        }
        return (ssize_t)done;
}

ssize_t sim_socket_recv(struct sim_socket *s, void *data, size_t bytes)
{
        size_t done = 0;

        if (s->nr == 0)
                return nothing_there(s);
        while (done < bytes && s->nr) {
                struct sim_slot *f = &s->queue[s->head];
                uint32_t n = bytes - done < f->bytes ? (uint32_t)(bytes - done) : f->bytes;

                memcpy((uint8_t *)data + done, f->page->data + f->at, n);
                drop(s, n);
                done += n;
        }
        return (ssize_t)done;
}

/* Small fragments, as if they could share a page. Only for the mutation test. */
static ssize_t join_fragments(struct sim_socket *s, struct sim_pipe *to, size_t bytes)
{
        struct sim_page *page = sim_page_new(s->sim, s->sim->config.page_bytes);
        ssize_t n = sim_socket_recv(s, page->data, bytes < page->bytes ? bytes : page->bytes);

        if (n > 0)
                sim_pipe_push(to, page, 0, (uint32_t)n, false);
        else
                sim_page_unref(s->sim, page);
        return n;
}

ssize_t sim_socket_to_pipe(struct sim_socket *s, struct sim_pipe *to, size_t bytes)
{
        size_t done = 0;

        if (!to->readers)
                return -EPIPE;
        if (sim_is(s->sim, SIM_BAD_EOF_BEFORE_FULL) && s->nr == 0)
                return nothing_there(s);
        if (sim_pipe_full(to)) /* asked first: an end that is waiting is not said (kernel: wait_for_space) */
                return -EAGAIN;
        if (s->nr == 0)
                return nothing_there(s);
        while (done < bytes && s->nr && !sim_pipe_full(to)) {
                struct sim_slot *f = &s->queue[s->head];
                uint32_t n = bytes - done < f->bytes ? (uint32_t)(bytes - done) : f->bytes;

                if (sim_is(s->sim, SIM_BAD_FRAGMENTS_JOIN)) {
                        done += (size_t)join_fragments(s, to, bytes - done);
                        continue;
                }
                sim_pipe_push(to, sim_page_ref(f->page), f->at, n, false);
                drop(s, n);
                done += n;
        }
        return (ssize_t)done;
}

ssize_t sim_socket_from_pipe(struct sim_socket *s, struct sim_pipe *from, size_t bytes)
{
        size_t done = 0;

        if (from->nr == 0)
                return from->writers ? -EAGAIN : 0;
        while (done < bytes && from->nr) {
                struct sim_slot *f = sim_pipe_first(from);
                int64_t room = may_send(s);
                uint32_t n = bytes - done < f->bytes ? (uint32_t)(bytes - done) : f->bytes;

                if (room < 0)
                        return done ? (ssize_t)done : room;
                if ((uint64_t)room < n)
                        n = (uint32_t)room;
                push(s->peer, sim_page_ref(f->page), f->at, n);
                sim_pipe_drop(from, n);
                done += n;
        }
        return (ssize_t)done;
}

/* A unix socket is writable while a quarter of its buffer is used, TCP's while a third is free: a send may well succeed when
 * poll says no. */
static bool writable(const struct sim_socket *s)
{
        if (!s->peer || s->shut || s->reset)
                return true;
        return s->local ? s->peer->bytes * 4 <= s->peer->room : s->peer->bytes * 3 <= s->peer->room * 2;
}

unsigned sim_socket_poll(const struct sim_socket *s)
{
        bool deaf = s->fin || s->reset || !s->peer;
        unsigned r = 0;

        if (s->listening)
                return s->backlog ? POLLIN : 0;
        if (!s->connected)
                return POLLOUT | POLLHUP;
        if (s->nr || deaf || s->error)
                r |= POLLIN;
        if (writable(s))
                r |= POLLOUT;
        if (deaf && (s->shut || s->reset || !s->peer))
                r |= POLLHUP;
        if (s->error)
                r |= POLLERR;
        return r;
}

/* ---- ends ---- */

int sim_socket_shutdown(struct sim_socket *s, int how)
{
        if (!s->connected || s->reset)
                return -ENOTCONN;
        if (how != 0) { /* SHUT_WR, SHUT_RDWR */
                s->shut = true;
                if (s->peer)
                        s->peer->fin = true;
        }
        sim_changed(s->sim);
        return 0;
}

static bool is_over(const struct sim_socket *s)
{
        return s->fin && s->shut && !s->local;
}

/* Behind the end of a stream it is none of reading, and no reset to a writer. */
static void reset_one(struct sim_socket *s)
{
        if (s->reset || is_over(s))
                return;
        s->reset = true;
        s->error = s->fin && !s->local ? -EPIPE : -ECONNRESET;
        if (sim_is(s->sim, SIM_BAD_RESET_LOSES))
                drop_all(s);
}

void sim_socket_reset(struct sim_socket *s)
{
        if (is_over(s))
                return;
        if (s->peer)
                reset_one(s->peer);
        s->reset = true;
        sim_changed(s->sim);
}

static void forget(struct sim_socket *s)
{
        struct sim *k = s->sim;

        for (unsigned i = 0; i < k->listeners_nr; i++)
                if (k->listeners[i] == s)
                        k->listeners[i] = k->listeners[--k->listeners_nr];
}

/* Unread bytes tell the peer that they were lost. */
void sim_socket_close(struct sim_socket *s)
{
        struct sim *k = s->sim;

        if (s->listening)
                forget(s);
        while (s->backlog) {
                struct sim_socket *waits = sim_socket_accept(s);

                sim_socket_reset(waits);
                sim_socket_close(waits);
        }
        if (s->peer && (s->nr || (s->reset_on_close && !s->local)))
                sim_socket_reset(s);
        if (s->peer) {
                s->peer->fin |= !s->peer->reset || s->local;
                s->peer->peer = NULL;
        }
        drop_all(s);
        free(s->queue);
        free(s);
        k->sockets--;
        sim_changed(k);
}

/* ---- connections ---- */

int sim_socket_listen(struct sim_socket *s, unsigned port, unsigned backlog)
{
        struct sim *k = s->sim;
        struct sim_socket **more;

        for (unsigned i = 0; i < k->listeners_nr; i++)
                if (k->listeners[i]->port == port)
                        return -EADDRINUSE;
        more = realloc(k->listeners, (k->listeners_nr + 1) * sizeof(*more));
        if (!more)
                return -ENOMEM;
        k->listeners = more;
        k->listeners[k->listeners_nr++] = s;
        s->listening = true;
        s->port = port;
        s->waiting_max = backlog + 1; /* one more than was asked for */
        sim_changed(k);
        return 0;
}

static struct sim_socket *listener_at(const struct sim *k, unsigned port)
{
        for (unsigned i = 0; i < k->listeners_nr; i++)
                if (k->listeners[i]->port == port)
                        return k->listeners[i];
        return NULL;
}

bool sim_socket_is_heard(const struct sim *k, unsigned port)
{
        return listener_at(k, port);
}

bool sim_socket_is_awaited(const struct sim *k, unsigned port)
{
        const struct sim_socket *l = listener_at(k, port);

        return l && l->waiting < l->waiting_max;
}

/* Made by the kernel, whoever takes it and when: with the listener's options of this moment. -EAGAIN: too many wait. */
int sim_socket_connect(struct sim_socket *s, unsigned port, uint64_t room)
{
        struct sim_socket *l = listener_at(s->sim, port), *made, **end;

        if (!l)
                return -ECONNREFUSED;
        if (l->waiting == l->waiting_max)
                return -EAGAIN;
        made = sim_socket_new(s->sim, s->local);
        made->reset_on_close = l->reset_on_close;
        made->came = l->came;
        for (end = &l->backlog; *end; end = &(*end)->next_waiting)
                continue;
        *end = made;
        l->waiting++;
        join(s, made, room);
        return 0;
}

struct sim_socket *sim_socket_accept(struct sim_socket *listener)
{
        struct sim_socket *s = listener->backlog;

        if (!s)
                return NULL;
        listener->backlog = s->next_waiting;
        listener->waiting--;
        s->next_waiting = NULL;
        if (sim_is(s->sim, SIM_BAD_LATE_OPTIONS))
                s->reset_on_close = listener->reset_on_close;
        sim_changed(s->sim);
        return s;
}
