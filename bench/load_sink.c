/* bench/load_sink.c: the end that answers. Its first thread accepts and deals the connections round; each thread serves its own
 * by one epoll. In bulk a connection's bytes are read and discarded, else they are sent back as they came.
 *
 *   GREETED ---- hello, answered ----> SERVED ---- end of its bytes ----> closed
 *   (in churn a connection begins SERVED: it says nothing but its one request) */
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, GUESTS_MAX = 1 << 20, READS_IN_A_ROW = 4 };

/* One accepted connection; found by its fd. The thread that closes it gives the fd's number, and this, to the one that accepts. */
struct guest {
        _Atomic bool open;
        bool served;
        unsigned char hello[HELLO_BYTES];
        uint32_t hello_bytes, id;
        uint64_t received;
        unsigned char *held; /* to be sent back when there is room */
        size_t held_bytes, held_at;
};

struct sink_thread {
        struct sink *sink;
        pthread_t thread;
        bool started;
        int epoll, wake;
        uint64_t strangers;
        unsigned char *buffer;
};

struct sink {
        struct load *load;
        int listener;
        unsigned threads_nr, turn;
        struct sink_thread threads[LOAD_THREADS_MAX];
        struct guest *guests;
        size_t guests_nr;
};

static void guest_close(struct sink *s, int fd)
{
        struct guest *g = &s->guests[fd];

        if (g->served && s->load->options.mode == LOAD_BULK)
                s->load->records[g->id].received = g->received;
        free(g->held);
        g->held = NULL;
        atomic_store_explicit(&g->open, false, memory_order_release);
        close(fd);
}

static void guest_add(struct sink *s, int fd)
{
        struct sink_thread *t = &s->threads[s->turn++ % s->threads_nr];
        struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
        struct guest *g = &s->guests[fd];

        if ((size_t)fd >= s->guests_nr || atomic_load_explicit(&g->open, memory_order_acquire)) {
                close(fd);
                return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        g->served = s->load->options.mode == LOAD_CHURN;
        g->hello_bytes = g->id = 0;
        g->received = 0;
        atomic_store_explicit(&g->open, true, memory_order_relaxed);
        if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &event))
                guest_close(s, fd);
}

static void guests_accept(struct sink *s)
{
        for (int i = 0; i < EVENTS_MAX; i++) {
                int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0)
                        return;
                guest_add(s, fd);
        }
}

/* While something is held, nothing is read. */
static void guest_ask(struct sink_thread *t, int fd, uint32_t events)
{
        epoll_ctl(t->epoll, EPOLL_CTL_MOD, fd, &(struct epoll_event){ .events = events, .data.fd = fd });
}

static int guest_hold(struct guest *g, const unsigned char *bytes, size_t nr)
{
        g->held = malloc(nr);
        if (!g->held)
                return -ENOMEM;
        memcpy(g->held, bytes, nr);
        g->held_bytes = nr;
        g->held_at = 0;
        return 0;
}

static int guest_answer(struct sink_thread *t, int fd, const unsigned char *bytes, size_t nr)
{
        ssize_t n = send(fd, bytes, nr, MSG_NOSIGNAL);
        int ret;

        if (n < 0 && errno != EAGAIN)
                return -errno;
        if (n < 0)
                n = 0;
        if ((size_t)n == nr)
                return 0;
        ret = guest_hold(&t->sink->guests[fd], bytes + n, nr - (size_t)n);
        if (!ret)
                guest_ask(t, fd, EPOLLOUT);
        return ret;
}

/* 1: it has gone, and more may be read. */
static int guest_flush(struct sink_thread *t, int fd)
{
        struct guest *g = &t->sink->guests[fd];
        ssize_t n = send(fd, g->held + g->held_at, g->held_bytes - g->held_at, MSG_NOSIGNAL);

        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        g->held_at += (size_t)n;
        if (g->held_at < g->held_bytes)
                return 0;
        free(g->held);
        g->held = NULL;
        guest_ask(t, fd, EPOLLIN);
        return 1;
}

static int guest_greet(struct sink_thread *t, int fd)
{
        struct guest *g = &t->sink->guests[fd];
        ssize_t n = recv(fd, g->hello + g->hello_bytes, HELLO_BYTES - g->hello_bytes, 0);

        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        if (!n && !g->hello_bytes)
                return -ECONNRESET; /* one that only looked whether somebody is there */
        if (n) {
                g->hello_bytes += (uint32_t)n;
                if (g->hello_bytes < HELLO_BYTES)
                        return 0;
        }
        if (!n || !hello_read(g->hello, &g->id) || g->id >= t->sink->load->records_nr) {
                t->strangers++;
                return -EPROTO;
        }
        g->served = true;
        return guest_answer(t, fd, g->hello, HELLO_BYTES);
}

static void guest_count(struct sink_thread *t, struct guest *g, size_t nr)
{
        struct load *load = t->sink->load;

        if (load->options.verify && !pattern_holds(t->buffer, nr, g->id, g->received))
                load->records[g->id].wrong = true;
        g->received += nr;
}

/* Bytes were there, none are, the end: 1, 0, negative. */
static int guest_read(struct sink_thread *t, int fd)
{
        ssize_t n = recv(fd, t->buffer, LOAD_PIECE_BYTES, 0);

        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        if (!n)
                return -EPIPE;
        if (t->sink->load->options.mode == LOAD_BULK) {
                guest_count(t, &t->sink->guests[fd], (size_t)n);
                return n == LOAD_PIECE_BYTES;
        }
        return guest_answer(t, fd, t->buffer, (size_t)n);
}

static int guest_serve(struct sink_thread *t, int fd)
{
        int ret = 1;

        if (t->sink->guests[fd].held)
                return guest_flush(t, fd);
        for (int i = 0; ret > 0 && i < READS_IN_A_ROW; i++)
                ret = guest_read(t, fd);
        return ret;
}

static void guest_event(struct sink_thread *t, int fd)
{
        struct guest *g = &t->sink->guests[fd];
        int ret = g->served ? guest_serve(t, fd) : guest_greet(t, fd);

        if (ret < 0)
                guest_close(t->sink, fd);
}

static void *thread_main(void *arg)
{
        struct sink_thread *t = arg;
        struct epoll_event events[EVENTS_MAX];

        for (;;) {
                int nr = epoll_wait(t->epoll, events, EVENTS_MAX, -1);

                for (int i = 0; i < nr; i++) {
                        if (events[i].data.fd == t->wake)
                                return NULL;
                        if (events[i].data.fd == t->sink->listener)
                                guests_accept(t->sink);
                        else
                                guest_event(t, events[i].data.fd);
                }
        }
}

static int thread_watch(struct sink_thread *t, int fd)
{
        return epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.fd = fd }) ? -errno : 0;
}

static int thread_prepare(struct sink *s, struct sink_thread *t)
{
        t->sink = s;
        t->epoll = epoll_create1(EPOLL_CLOEXEC);
        t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        t->buffer = aligned_alloc(4096, LOAD_PIECE_BYTES);
        if (!t->buffer)
                return -ENOMEM;
        if (t->epoll < 0 || t->wake < 0)
                return -EMFILE;
        return thread_watch(t, t->wake);
}

int sink_start(struct load *load, struct sink **ret)
{
        struct sink *s = calloc(1, sizeof(*s));
        uint64_t files_max = net_files_max();
        int error = -ENOMEM;

        if (!s)
                return -ENOMEM;
        s->load = load;
        s->listener = -1;
        s->threads_nr = load->options.threads;
        for (unsigned i = 0; i < s->threads_nr; i++)
                s->threads[i].epoll = s->threads[i].wake = -1;
        s->guests_nr = files_max < GUESTS_MAX ? (size_t)files_max : GUESTS_MAX;
        s->guests = calloc(s->guests_nr, sizeof(*s->guests)); /* pages come as connections do */
        if (!s->guests)
                goto out;
        s->listener = error = net_listen(&load->options.listen);
        if (error < 0)
                goto out;
        /* All are ready before one runs: the first deals to the others. */
        for (unsigned i = 0; i < s->threads_nr; i++) {
                error = thread_prepare(s, &s->threads[i]);
                if (error)
                        goto out;
        }
        error = thread_watch(&s->threads[0], s->listener);
        for (unsigned i = 0; !error && i < s->threads_nr; i++) {
                error = -pthread_create(&s->threads[i].thread, NULL, thread_main, &s->threads[i]);
                s->threads[i].started = !error;
        }
out:
        if (!error) {
                *ret = s;
                return 0;
        }
        sink_stop(s);
        return error;
}

int64_t sink_cpu_ns(const struct sink *sink)
{
        int64_t ns = 0;

        for (unsigned i = 0; i < sink->threads_nr; i++)
                ns += usage_thread_ns(sink->threads[i].thread);
        return ns;
}

uint64_t sink_stop(struct sink *sink)
{
        uint64_t strangers = 0;

        for (unsigned i = 0; i < sink->threads_nr; i++)
                if (sink->threads[i].started) {
                        eventfd_write(sink->threads[i].wake, 1);
                        pthread_join(sink->threads[i].thread, NULL);
                }
        for (size_t fd = 0; sink->guests && fd < sink->guests_nr; fd++)
                if (sink->guests[fd].open)
                        guest_close(sink, (int)fd);
        for (unsigned i = 0; i < sink->threads_nr; i++) {
                struct sink_thread *t = &sink->threads[i];

                strangers += t->strangers;
                free(t->buffer);
                if (t->epoll >= 0)
                        close(t->epoll);
                if (t->wake >= 0)
                        close(t->wake);
        }
        if (sink->listener >= 0)
                close(sink->listener);
        free(sink->guests);
        free(sink);
        return strangers;
}
