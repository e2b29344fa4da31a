/* bench/load_work.c: what the asking end does in the measured part. What is to be done lies in one heap that all connections draw
 * from, so that all are busy until it is used up, and none is done early with a share of its own.
 *
 *   bulk      sends pieces until the heap is empty, says so, and waits until the other end has seen it
 *   messages  one after the other: the next when the answer to the last is whole
 *   churn     connects, one message and its answer, the end of both ends, and anew */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { HEADER_BYTES = 16 };

/* As much of `want` as is left of the amount, or of the time. */
static size_t draw(struct client *c, size_t want, int64_t now_ns)
{
        struct load *load = c->load;
        int64_t left;

        if (atomic_load_explicit(&load->stop, memory_order_relaxed))
                return 0;
        if (!load->options.amount)
                return now_ns < load->end_ns ? want : 0;
        left = atomic_fetch_sub_explicit(&load->left, (int64_t)want, memory_order_relaxed);
        if (left <= 0)
                return 0;
        return (size_t)left < want ? (size_t)left : want;
}

/* ---- bulk ---- */

static size_t bulk_piece(struct client *c, struct conn *conn)
{
        if (!conn->piece)
                conn->piece = draw(c, LOAD_PIECE_BYTES, c->load->options.amount ? 0 : clock_ns());
        if (conn->piece && c->load->options.verify)
                pattern_fill(c->buffer, conn->piece, conn->id, conn->sent);
        return conn->piece;
}

static void bulk_event(struct client *c, struct conn *conn, uint32_t events)
{
        ssize_t n;

        if (conn->state == CONN_ENDING) {
                if (conn_has_ended(c, conn))
                        c->active--;
                return;
        }
        if (events & (EPOLLHUP | EPOLLERR)) {
                int error = net_connect_result(conn->fd);

                conn_fail(c, conn, "closed by the other end", error);
                c->active--;
                return;
        }
        if (!bulk_piece(c, conn)) {
                conn_end(c, conn);
                return;
        }
        n = send(conn->fd, c->buffer, conn->piece, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
                return;
        if (n < 0) {
                conn_fail(c, conn, "send", -errno);
                c->active--;
                return;
        }
        conn->piece -= (size_t)n;
        conn->sent += (uint64_t)n;
        c->tally.bytes += (uint64_t)n;
}

void work_bulk(struct client *c)
{
        for (uint32_t i = 0; i < c->conns_nr; i++) {
                if (c->conns[i].state != CONN_READY)
                        continue;
                c->conns[i].state = CONN_BUSY;
                conn_ask(c, &c->conns[i], EPOLLOUT);
                c->active++;
        }
        client_turns(c, bulk_event);
}

/* ---- a message and its answer ---- */

/* Whose it is and which; the rest is the same of all. */
static void message_address(struct client *c, const struct conn *conn)
{
        const uint64_t header[2] = { conn->id, conn->rounds };
        const size_t bytes = c->load->options.size_bytes;

        memcpy(c->message, header, bytes < HEADER_BYTES ? bytes : HEADER_BYTES);
}

static int message_send(struct client *c, struct conn *conn)
{
        const size_t bytes = c->load->options.size_bytes;
        ssize_t n;

        message_address(c, conn);
        n = send(conn->fd, c->message + conn->out, bytes - conn->out, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
                return -errno;
        if (n > 0)
                conn->out += (size_t)n;
        conn_ask(c, conn, conn->out < bytes ? EPOLLIN | EPOLLOUT : EPOLLIN);
        return 0;
}

/* 1: the answer is whole. */
static int message_receive(struct client *c, struct conn *conn)
{
        const size_t left = c->load->options.size_bytes - conn->in;
        ssize_t n = recv(conn->fd, c->buffer, left < LOAD_PIECE_BYTES ? left : LOAD_PIECE_BYTES, 0);

        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        if (!n)
                return -ECONNRESET;
        message_address(c, conn);
        if (memcmp(c->buffer, c->message + conn->in, (size_t)n) != 0)
                return -EBADMSG;
        conn->in += (size_t)n;
        return conn->in == c->load->options.size_bytes;
}

static void message_count(struct client *c, struct conn *conn, int64_t now_ns)
{
        histogram_add(c->latency, (uint64_t)(now_ns - conn->since_ns));
        c->tally.messages++;
        c->tally.bytes += c->load->options.size_bytes;
}

/* Closes it when it has failed. */
static void message_failed(struct client *c, struct conn *conn, int error)
{
        if (error == -EBADMSG)
                conn_wrong(c, conn, "its answer is not what it sent");
        else if (conn->state == CONN_CONNECTING)
                conn_fail(c, conn, "connect", error);
        else
                conn_fail(c, conn, "in a message", error);
}

/* The events of a busy connection: 1 when its answer is whole; negative: failed. */
static int message_step(struct client *c, struct conn *conn, uint32_t events)
{
        int ret = 0;

        if (events & ~(uint32_t)EPOLLOUT)
                ret = message_receive(c, conn);
        if (!ret && events & EPOLLOUT)
                ret = message_send(c, conn);
        return ret;
}

/* ---- messages ---- */

static void message_next(struct client *c, struct conn *conn, int64_t now_ns)
{
        int error;

        if (!(c->once ? conn->state == CONN_READY : draw(c, 1, now_ns))) {
                conn->state = CONN_READY;
                conn_ask(c, conn, 0);
                c->active--;
                return;
        }
        conn->state = CONN_BUSY;
        conn->out = conn->in = 0;
        conn->rounds++;
        conn->since_ns = now_ns;
        error = message_send(c, conn);
        if (!error)
                return;
        message_failed(c, conn, error);
        c->active--;
}

static void message_event(struct client *c, struct conn *conn, uint32_t events)
{
        int64_t now_ns;
        int ret;

        if (conn->state != CONN_BUSY) { /* quiet, and hung up */
                if (conn->state == CONN_READY)
                        conn_fail(c, conn, "closed by the other end while idle", 0);
                return;
        }
        ret = message_step(c, conn, events);
        if (ret < 0) {
                message_failed(c, conn, ret);
                c->active--;
        }
        if (ret <= 0)
                return;
        now_ns = clock_ns();
        message_count(c, conn, now_ns);
        message_next(c, conn, now_ns);
}

static void messages(struct client *c, uint32_t from, uint32_t to)
{
        c->active = 0;
        for (uint32_t i = from; i < to; i++)
                c->active += c->conns[i].state == CONN_READY;
        for (uint32_t i = from; i < to; i++)
                if (c->conns[i].state == CONN_READY)
                        message_next(c, &c->conns[i], clock_ns());
        client_turns(c, message_event);
}

void work_messages(struct client *c)
{
        messages(c, 0, c->busy_nr);
}

/* After the measured part: that the idle ones were there all the time. */
void work_prove_idle(struct client *c)
{
        struct histogram *latency = c->latency;
        struct load_tally tally = c->tally;

        c->once = true;
        c->latency = histogram_new();
        if (c->latency)
                messages(c, c->busy_nr, c->conns_nr);
        free(c->latency);
        c->latency = latency;
        c->tally.messages = tally.messages;
        c->tally.bytes = tally.bytes;
}

/* ---- churn ---- */

static void churn_next(struct client *c, struct conn *conn)
{
        int error;

        do {
                conn->since_ns = clock_ns();
                if (!draw(c, 1, conn->since_ns)) {
                        c->active--;
                        return;
                }
                conn->rounds++;
                error = conn_connect(c, conn);
                if (error)
                        conn_fail(c, conn, "connect", error);
        } while (error);
}

static int churn_step(struct client *c, struct conn *conn, uint32_t events)
{
        int ret;

        if (conn->state == CONN_CONNECTING) {
                ret = net_connect_result(conn->fd);
                if (ret)
                        return ret;
                conn->state = CONN_BUSY;
                return message_send(c, conn);
        }
        ret = message_step(c, conn, events);
        if (ret > 0)
                conn_end(c, conn);
        return ret < 0 ? ret : 0;
}

static void churn_ending(struct client *c, struct conn *conn)
{
        const uint64_t bad = c->tally.failed + c->tally.wrong;

        if (!conn_has_ended(c, conn))
                return;
        if (bad == c->tally.failed + c->tally.wrong) {
                c->tally.opened++;
                message_count(c, conn, clock_ns());
        }
        churn_next(c, conn);
}

static void churn_event(struct client *c, struct conn *conn, uint32_t events)
{
        int ret;

        if (conn->state == CONN_ENDING) {
                churn_ending(c, conn);
                return;
        }
        ret = churn_step(c, conn, events);
        if (!ret)
                return;
        message_failed(c, conn, ret);
        churn_next(c, conn);
}

void work_churn(struct client *c)
{
        c->active = c->conns_nr;
        for (uint32_t i = 0; i < c->conns_nr; i++)
                churn_next(c, &c->conns[i]);
        client_turns(c, churn_event);
}
