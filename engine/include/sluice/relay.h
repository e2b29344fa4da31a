/* sluice/relay.h: connections passed on: for each that a listener takes, one is made to a target, and a link each way.
 *
 *      struct sluice_relay_options opt = { .size = sizeof(opt), .listener = fd, .targets = &target, .targets_nr = 1 };
 *      int r = sluice_relay_start(&relay, loop, &opt, ended, arg);
 *      ...
 *      sluice_relay_drain(relay);                         (takes no more; ended() follows the last connection's end)
 *      sluice_relay_free(relay);                          (from ended(), or after it)
 *
 * Both directions of a connection are on their own: an end of stream is passed on by itself (shutdown), and the other direction
 * goes on. What was cut off never looks like what ended: a connection that one side resets, or that this process leaves by being
 * killed, is reset on the other side (TCP). An idle connection holds no pipe and no buffer.
 *
 * Threads: a relay is its loop's. For several threads each has a loop and a relay on it, with listeners of their own
 * (SO_REUSEPORT) or one for all. */
#ifndef SLUICE_RELAY_H
#define SLUICE_RELAY_H

#include <sys/socket.h>

#include <sluice/sluice.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sluice_relay;

struct sluice_address {
        socklen_t bytes;
        struct sockaddr_storage address;
};

enum sluice_relay_event_kind {
        SLUICE_RELAY_CONNECT_FAILED, /* no target could be connected to: error. The client is reset */
        SLUICE_RELAY_RESET,          /* one side reset its connection, or could not be written to: error. The other side is
                                      * reset, too; but of one that only takes no more, what it has yet to say is passed on to
                                      * its end */
        SLUICE_RELAY_IDLE,           /* no byte for idle_timeout_ms: both are reset */
        SLUICE_RELAY_PAUSED,         /* it takes no connection for lack of something (-EMFILE, -ENFILE, -ENOMEM, ...): it goes on
                                      * when one has ended, and tries again ten times a second */
};
/* On the loop's thread, from a turn. May call drain() and cancel(). */
typedef void sluice_relay_event_fn(void *arg, enum sluice_relay_event_kind kind, int error);

struct sluice_relay_options {
        size_t size;
        int listener;                         /* a listening stream socket (TCP or unix). A duplicate is used, and made
                                               * O_NONBLOCK; TCP_NODELAY, SO_KEEPALIVE and SO_LINGER are set on it, and its
                                               * connections have them from it */
        const struct sluice_address *targets; /* tried in order, for each connection anew. Copied */
        size_t targets_nr;
        unsigned connections_max;   /* at one time; the next wait in the listener's queue. 0: no limit. A direction that copies
                                     * and whose reader does not read keeps a buffer of the loop's pool, and who finds none left
                                     * waits: 4,096 of them in a pool of 1 GiB. A budget of two for each connection, or
                                     * idle_timeout_ms, keeps such readers from stopping the others */
        unsigned proxy_version;     /* 1 or 2: the header of the PROXY protocol goes first to the target. 0: none
                                     * (www.haproxy.org/download/2.9/doc/proxy-protocol.txt) */
        int64_t connect_timeout_ms; /* for each address; 0: 5000 */
        int64_t idle_timeout_ms;    /* without a byte in either direction; 0: none. Up to two ticks late: of an eighth of it or of
                                     * connect_timeout_ms, whichever is less, but of 10 ms at least and 1 s at most */
        enum sluice_driver driver;  /* AUTO, INLINE or COPY */
        enum sluice_prefer prefer;  /* of AUTO */
        sluice_relay_event_fn *event;
        void *event_arg;
};

/* Begins to take connections. `done` is called once, from a turn, when it has come to its end: 0; -ECANCELED; or why the listener
 * cannot be used any more. Errors: -EINVAL (size, no listener or target, an unknown driver or version), -EBADF, -ENOMEM,
 * -EMFILE. Loop's thread. */
int sluice_relay_start(struct sluice_relay **ret, struct sluice_loop *l, const struct sluice_relay_options *opt,
                       sluice_done_fn *done, void *arg);
/* Takes no more connections; those that it has go on to their ends. Returns at once. Loop's thread. */
void sluice_relay_drain(struct sluice_relay *r);
/* As drain, and resets those that it has. */
void sluice_relay_cancel(struct sluice_relay *r);
/* After done, or inside it. NULL is allowed. */
void sluice_relay_free(struct sluice_relay *r);

struct sluice_relay_stats {
        size_t size;
        uint64_t accepted, active, active_peak;
        uint64_t connect_failed, reset, idle, paused; /* as the events count them */
        uint64_t bytes_up, bytes_down;                /* delivered to targets; to clients */
        uint64_t bytes_spliced, bytes_copied;         /* of both */
        uint64_t driver_changes;                      /* decisions of AUTO to go on the other way */
        uint64_t calls;                               /* splice, recv and send calls made for them */
};
/* `size` of *ret must be set, else -EINVAL. Loop's thread. */
int sluice_relay_stats(const struct sluice_relay *r, struct sluice_relay_stats *ret);

#ifdef __cplusplus
}
#endif

#endif
