/* bench/load.h: what the files of sluice-bench-load share. The program is the neutral judge of relays: it plays both ends of
 * every connection, and uses nothing of sluice.
 *
 *   load.c            from the first connection to the last figure
 *   load_options.c    the command line
 *   load_net.c        addresses, sockets, limits
 *   load_pattern.c    bytes that know where they belong
 *   load_sink.c       the end that answers: threads that accept, discard or echo
 *   load_client.c     the end that asks: threads, what all its connections do (open, close, fail)
 *   load_work.c       what they do meanwhile: bulk, messages, churn
 *   load_histogram.c  latencies
 *   load_find.c       which processes are the relay
 *   load_usage.c      what it cost: this program, the relay, the machine
 *   load_report.c     the table, the JSON */
#ifndef SLUICE_BENCH_LOAD_H
#define SLUICE_BENCH_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "load_histogram.h"
#include "load_usage.h"

enum load_mode {
        LOAD_BULK,
        LOAD_MESSAGES,
        LOAD_IDLE,
        LOAD_CHURN,
};

enum {
        LOAD_PIDS_MAX = 64,
        LOAD_THREADS_MAX = 64,
        LOAD_SOURCES_MAX = 64,
        LOAD_PIECE_BYTES = 256 * 1024, /* of one send or receive */
        LOAD_ERROR_MAX = 240,
};

struct load_address {
        struct sockaddr_storage where;
        socklen_t bytes;
        char text[80];
};

struct load_options {
        enum load_mode mode;
        struct load_address connect, listen;
        bool direct; /* no relay between the ends */
        uint32_t connections, idle;
        uint64_t amount; /* bytes or messages; 0: until `seconds` are over */
        double seconds;
        size_t size_bytes; /* of a message */
        unsigned threads;  /* of each end */
        unsigned sources;  /* addresses that the clients connect from */
        double wait_s, stall_s;
        bool verify, json;
        bool find; /* the relay's processes, by where it listens */
        pid_t pids[LOAD_PIDS_MAX];
        size_t pids_nr;
};

/* What both ends say about one connection. Each field is written by one thread, and read when both ends have ended. */
struct load_record {
        uint64_t sent, received;
        bool wrong; /* the sink saw bytes that nobody sent there */
};

/* Threads that wait for each other, and for the one that measures between them. */
struct load_meeting {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        unsigned arrived, round;
};

struct load_tally {
        uint64_t bytes, messages, opened, failed, wrong;
};

struct load {
        struct load_options options;
        struct load_record *records;
        uint32_t records_nr;
        struct load_meeting meeting;
        _Atomic int64_t left;  /* of the amount */
        int64_t go_ns, end_ns; /* of the measured part */
        _Atomic bool stop;     /* nothing moves any more */
};

/* ---- load_options.c: 0 to run, 1 for nothing more to do, negative for a usage error that has been told ---- */

int options_parse(int argc, char **argv, struct load_options *ret);
const char *options_mode_name(enum load_mode mode);

/* ---- load_net.c: negative errno ---- */

int64_t clock_ns(void);
int net_address(const char *text, struct load_address *ret);
int net_listen(struct load_address *at); /* the fd; the port that 0 became is filled in */
/* Not blocking: the connection may still be on its way. Source 0 is the kernel's choice, N is
 * N addresses behind 127.0.0.1, towards loopback only. */
int net_connect(const struct load_address *to, unsigned source);
int net_connect_result(int fd);
/* Until somebody listens there, or for that long. */
int net_wait(const struct load_address *at, double patience_s);
/* Raises the limit of open files as far as it goes; returns it. */
uint64_t net_files_max(void);

/* ---- load_find.c ---- */

/* Adds to the processes to be counted; -ESRCH: nobody listens there. */
int relay_find(struct load_options *o);

/* ---- load_pattern.c ---- */

enum { HELLO_BYTES = 16 };
void pattern_fill(unsigned char *buffer, size_t bytes, uint32_t id, uint64_t from);
bool pattern_holds(const unsigned char *buffer, size_t bytes, uint32_t id, uint64_t from);
void hello_write(unsigned char *ret, uint32_t id);
bool hello_read(const unsigned char *hello, uint32_t *ret_id);

/* ---- load_sink.c ---- */

struct sink;
int sink_start(struct load *load, struct sink **ret);
int64_t sink_cpu_ns(const struct sink *sink);
/* Ends the threads; then the records are complete. Says how many hellos were not what was sent. */
uint64_t sink_stop(struct sink *sink);

/* ---- load_client.c ---- */

enum conn_state {
        CONN_NONE,       /* not open, or no more */
        CONN_CONNECTING, /* -> GREETING, BUSY (churn) */
        CONN_GREETING,   /* the hello has been sent -> READY */
        CONN_READY,      /* open and quiet -> BUSY, ENDING */
        CONN_BUSY,       /* sends, or waits for its answer -> READY, ENDING */
        CONN_ENDING,     /* has said its last; the other end has not -> NONE */
};

struct conn {
        int fd;
        enum conn_state state;
        uint32_t id, asked; /* epoll's events */
        uint32_t rounds;    /* messages begun */
        size_t out, in;     /* of the message, or the hello, that is on its way */
        size_t piece;       /* bulk: drawn and not yet sent */
        uint64_t sent;
        int64_t since_ns;
};

struct client {
        struct load *load;
        pthread_t thread;
        bool started;
        int epoll;
        struct conn *conns;
        uint32_t conns_nr, busy_nr; /* the busy ones come first */
        uint32_t active;            /* not yet done with what they are at */
        uint32_t opening, open_next;
        unsigned source, sources; /* the next, of how many */
        bool once;                /* one message each, whatever is left of the amount */
        unsigned char *message, *buffer;
        struct histogram *latency;
        struct load_tally tally;
        _Atomic uint64_t progress;
        int64_t end_ns;
        char error[LOAD_ERROR_MAX];
};

int clients_start(struct load *load, struct client **ret);
void clients_end(struct client *clients, unsigned nr);
uint64_t clients_progress(const struct client *clients, unsigned nr);
int64_t clients_cpu_ns(const struct client *clients, unsigned nr);

typedef void conn_event_fn(struct client *c, struct conn *conn, uint32_t events);
void client_turns(struct client *c, conn_event_fn *fn);
int conn_connect(struct client *c, struct conn *conn);
void conn_ask(struct client *c, struct conn *conn, uint32_t events);
void conn_close(struct conn *conn);
/* Counts it, tells the first, and closes the connection. */
void conn_fail(struct client *c, struct conn *conn, const char *what, int error);
void conn_wrong(struct client *c, struct conn *conn, const char *what);
/* Says that this end has nothing more to send. */
void conn_end(struct client *c, struct conn *conn);
/* In state ENDING: true when the other end has ended too, and the connection is closed. */
bool conn_has_ended(struct client *c, struct conn *conn);

/* ---- load_work.c ---- */

void work_bulk(struct client *c);
void work_messages(struct client *c);
void work_prove_idle(struct client *c);
void work_churn(struct client *c);

/* ---- load_report.c ---- */

/* What is held, at a moment: when nothing is open, when all is open and nothing moved, at the end of the measured part. */
struct load_memory {
        uint64_t rss_kib, pss_kib;         /* the relay's */
        int64_t available_kib, socket_kib; /* the machine's */
};

enum load_moment { MOMENT_REST, MOMENT_OPEN, MOMENT_END, MOMENTS_NR };

struct load_result {
        double seconds;
        struct load_tally tally;
        uint64_t received;
        const struct histogram *latency;
        struct usage_ends ends;
        struct usage_relay relay, relay_peak;
        struct usage_machine machine;
        struct load_memory memory[MOMENTS_NR];
        bool relay_gone;
        char error[LOAD_ERROR_MAX];
};
void report_table(const struct load_options *o, const struct load_result *r);
void report_json(const struct load_options *o, const struct load_result *r);

#endif
