/* bench/load_client.c: the end that asks: threads, each with connections of its own and one epoll, and what every connection does
 * whatever it is for: open with a hello that comes back (so that the way is open to its far end), end, fail.
 *
 * The threads meet the one that measures (load.c) when all is open, when the measured part is over, and when all is closed. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, OPENING_MAX = 64, LOOK_UP_MS = 100 };

/* ---- one connection ---- */

void conn_ask(struct client *c, struct conn *conn, uint32_t events)
{
        struct epoll_event event = { .events = events, .data.ptr = conn };

        if (conn->asked == events)
                return;
        conn->asked = events;
        epoll_ctl(c->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}

void conn_close(struct conn *conn)
{
        if (conn->fd >= 0)
                close(conn->fd);
        conn->fd = -1;
        conn->state = CONN_NONE;
}

static void conn_told(struct client *c, const struct conn *conn, const char *what, const char *why)
{
        if (!c->error[0])
                snprintf(c->error, sizeof(c->error), "connection %u: %s%s%s", conn->id, what, *why ? ": " : "", why);
}

void conn_fail(struct client *c, struct conn *conn, const char *what, int error)
{
        conn_told(c, conn, what, error ? strerror(-error) : "");
        c->tally.failed++;
        conn_close(conn);
}

void conn_wrong(struct client *c, struct conn *conn, const char *what)
{
        conn_told(c, conn, what, "");
        c->tally.wrong++;
        conn_close(conn);
}

/* Once a source has no port left all are used. */
int conn_connect(struct client *c, struct conn *conn)
{
        const struct load_options *o = &c->load->options;
        struct epoll_event event = { .events = EPOLLOUT, .data.ptr = conn };
        int fd = -EADDRNOTAVAIL;

        for (unsigned i = 0; fd == -EADDRNOTAVAIL && i <= LOAD_SOURCES_MAX; i++) {
                fd = net_connect(&o->connect, c->sources == 1 ? 0 : c->source++ % c->sources);
                if (fd == -EADDRNOTAVAIL)
                        c->sources = LOAD_SOURCES_MAX;
        }
        if (fd < 0)
                return fd;
        conn->fd = fd;
        conn->asked = EPOLLOUT;
        conn->out = conn->in = 0;
        conn->state = CONN_CONNECTING;
        if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event)) {
                conn_close(conn);
                return -errno;
        }
        return 0;
}

void conn_end(struct client *c, struct conn *conn)
{
        shutdown(conn->fd, SHUT_WR);
        conn->state = CONN_ENDING;
        conn_ask(c, conn, EPOLLIN);
}

bool conn_has_ended(struct client *c, struct conn *conn)
{
        unsigned char byte;
        ssize_t n = recv(conn->fd, &byte, 1, 0);

        if (n < 0 && errno == EAGAIN)
                return false;
        if (n < 0)
                conn_fail(c, conn, "its end", -errno);
        else if (n)
                conn_wrong(c, conn, "more came back than was asked for");
        conn_close(conn);
        return true;
}

/* ---- turns ---- */

static void stalled(struct client *c)
{
        for (uint32_t i = 0; i < c->conns_nr; i++) {
                struct conn *conn = &c->conns[i];
                char what[80];

                if (conn->state == CONN_NONE || conn->state == CONN_READY)
                        continue;
                snprintf(what, sizeof(what), "nothing moves any more, %zu bytes into its answer", conn->in);
                conn_fail(c, conn, what, 0);
        }
        c->active = 0;
}

/* Until none of this thread's connections is active. */
void client_turns(struct client *c, conn_event_fn *fn)
{
        struct epoll_event events[EVENTS_MAX];

        while (c->active) {
                int nr = epoll_wait(c->epoll, events, EVENTS_MAX, LOOK_UP_MS);

                for (int i = 0; i < nr; i++)
                        fn(c, events[i].data.ptr, events[i].events);
                if (nr > 0)
                        atomic_fetch_add_explicit(&c->progress, 1, memory_order_relaxed);
                if (atomic_load_explicit(&c->load->stop, memory_order_relaxed))
                        stalled(c);
        }
}

/* ---- open ---- */

static void open_more(struct client *c)
{
        while (c->opening < OPENING_MAX && c->open_next < c->conns_nr) {
                struct conn *conn = &c->conns[c->open_next++];
                int error = conn_connect(c, conn);

                if (!error) {
                        c->opening++;
                        continue;
                }
                conn_fail(c, conn, "connect", error);
                c->active--;
        }
}

static int greet(struct client *c, struct conn *conn)
{
        unsigned char hello[HELLO_BYTES];
        int error = net_connect_result(conn->fd);

        if (error)
                return error;
        hello_write(hello, conn->id);
        if (send(conn->fd, hello, sizeof(hello), MSG_NOSIGNAL) != HELLO_BYTES)
                return -errno;
        conn->state = CONN_GREETING;
        conn_ask(c, conn, EPOLLIN);
        return 0;
}

/* 1: all of it is back. */
static int greeted(struct client *c, struct conn *conn)
{
        unsigned char hello[HELLO_BYTES], got[HELLO_BYTES];
        ssize_t n = recv(conn->fd, got, HELLO_BYTES - conn->in, 0);

        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        if (!n)
                return -ECONNRESET;
        hello_write(hello, conn->id);
        if (memcmp(got, hello + conn->in, (size_t)n) != 0)
                return -EBADMSG;
        conn->in += (size_t)n;
        if (conn->in < HELLO_BYTES)
                return 0;
        conn->state = CONN_READY;
        conn_ask(c, conn, 0);
        c->tally.opened++;
        return 1;
}

static void open_event(struct client *c, struct conn *conn, uint32_t events)
{
        const bool connecting = conn->state == CONN_CONNECTING;
        int ret;

        (void)events;
        if (conn->state == CONN_READY) { /* hung up, before it was asked for anything */
                conn_fail(c, conn, "closed by the other end", 0);
                return;
        }
        ret = connecting ? greet(c, conn) : greeted(c, conn);
        if (!ret)
                return;
        if (ret == -EBADMSG)
                conn_wrong(c, conn, "its hello came back otherwise");
        else if (ret < 0)
                conn_fail(c, conn, connecting ? "connect" : "closed before its hello was back", ret);
        c->opening--;
        c->active--;
        open_more(c);
}

static void client_open(struct client *c)
{
        c->active = c->conns_nr;
        open_more(c);
        client_turns(c, open_event);
}

/* ---- close ---- */

static void close_event(struct client *c, struct conn *conn, uint32_t events)
{
        (void)events;
        if (conn_has_ended(c, conn))
                c->active--;
}

static void client_close(struct client *c)
{
        if (atomic_load(&c->load->stop))
                return; /* who does not answer does not end either */
        for (uint32_t i = 0; i < c->conns_nr; i++) {
                if (c->conns[i].state != CONN_READY)
                        continue;
                conn_end(c, &c->conns[i]);
                c->active++;
        }
        client_turns(c, close_event);
}

/* ---- threads ---- */

static void meet(struct load_meeting *m)
{
        unsigned round;

        pthread_mutex_lock(&m->lock);
        round = m->round;
        m->arrived++;
        pthread_cond_broadcast(&m->changed);
        while (m->round == round)
                pthread_cond_wait(&m->changed, &m->lock);
        pthread_mutex_unlock(&m->lock);
}

static void *client_main(void *arg)
{
        static void (*const work[])(struct client *) = {
                [LOAD_BULK] = work_bulk,
                [LOAD_MESSAGES] = work_messages,
                [LOAD_IDLE] = work_messages,
                [LOAD_CHURN] = work_churn,
        };
        struct client *c = arg;
        const enum load_mode mode = c->load->options.mode;

        if (mode != LOAD_CHURN)
                client_open(c);
        meet(&c->load->meeting);
        work[mode](c);
        c->end_ns = clock_ns();
        meet(&c->load->meeting);
        if (mode == LOAD_IDLE)
                work_prove_idle(c);
        client_close(c);
        meet(&c->load->meeting);
        return NULL;
}

/* Thread `i` of `threads` gets its share of `all`. */
static uint32_t share(uint32_t all, unsigned threads, unsigned i)
{
        return all / threads + (i < all % threads);
}

static int client_prepare(struct client *c, struct load *load, unsigned i, uint32_t first_id)
{
        const struct load_options *o = &load->options;

        c->load = load;
        c->busy_nr = share(o->connections, o->threads, i);
        c->conns_nr = c->busy_nr + share(o->idle, o->threads, i);
        c->epoll = epoll_create1(EPOLL_CLOEXEC);
        c->conns = calloc(c->conns_nr + 1, sizeof(*c->conns));
        c->message = malloc(o->size_bytes + 1);
        c->buffer = aligned_alloc(4096, LOAD_PIECE_BYTES);
        c->latency = histogram_new();
        c->source = i;
        c->sources = o->sources;
        if (c->epoll < 0)
                return -EMFILE;
        if (!c->conns || !c->message || !c->buffer || !c->latency)
                return -ENOMEM;
        for (uint32_t n = 0; n < c->conns_nr; n++)
                c->conns[n] = (struct conn){ .fd = -1, .id = first_id + n };
        pattern_fill(c->message, o->size_bytes, UINT32_MAX, 0);
        pattern_fill(c->buffer, LOAD_PIECE_BYTES, UINT32_MAX, 0);
        return 0;
}

int clients_start(struct load *load, struct client **ret)
{
        const unsigned threads = load->options.threads;
        struct client *all = calloc(threads, sizeof(*all));
        uint32_t first_id = 0;
        int error = 0;

        if (!all)
                return -ENOMEM;
        for (unsigned i = 0; i < threads; i++)
                all[i].epoll = -1;
        for (unsigned i = 0; !error && i < threads; i++) {
                error = client_prepare(&all[i], load, i, first_id);
                first_id += all[i].conns_nr;
        }
        for (unsigned i = 0; !error && i < threads; i++) {
                error = -pthread_create(&all[i].thread, NULL, client_main, &all[i]);
                all[i].started = !error;
        }
        *ret = all;
        return error;
}

void clients_end(struct client *clients, unsigned nr)
{
        for (unsigned i = 0; i < nr; i++) {
                struct client *c = &clients[i];

                if (c->started)
                        pthread_join(c->thread, NULL);
                for (uint32_t n = 0; c->conns && n < c->conns_nr; n++) {
                        c->load->records[c->conns[n].id].sent = c->conns[n].sent;
                        conn_close(&c->conns[n]);
                }
                if (c->epoll >= 0)
                        close(c->epoll);
                free(c->conns);
                free(c->message);
                free(c->buffer);
        }
}

uint64_t clients_progress(const struct client *clients, unsigned nr)
{
        uint64_t sum = 0;

        for (unsigned i = 0; i < nr; i++)
                sum += atomic_load_explicit(&clients[i].progress, memory_order_relaxed);
        return sum;
}

int64_t clients_cpu_ns(const struct client *clients, unsigned nr)
{
        int64_t ns = 0;

        for (unsigned i = 0; i < nr; i++)
                ns += usage_thread_ns(clients[i].thread);
        return ns;
}
