/* tests/sim/relay_peers.h: who is at the two ends of a relay: clients, and the targets that they are passed on to.
 *
 *      conversation: a client and whoever answers it. What each says, when, and how it ends is decided before it begins;
 *                    which target connection is a client's is known when the relay has made it (`tag` of both sockets).
 *
 *      peer: calls, or is accepted --> sends and reads --all sent--> shuts --end read--> closes                   (whole)
 *                                      \--resets, leaves, vanishes-------------------------> gone                 (fails)
 *                                      \--is told of a reset, cannot write-----------------> closes               (cut)
 *
 * Laws: what is read is a prefix of what was sent; an end that is read is an end that was sent, after all bytes. Where the relay
 * cuts a unix socket, an end is all that can be seen. Called by world_relay.c; calls the model. */
#ifndef SLUICE_TESTS_SIM_RELAY_PEERS_H
#define SLUICE_TESTS_SIM_RELAY_PEERS_H

#include "sim_kernel.h"

enum { CLIENTS_MAX = 8, TARGETS_MAX = 4, VISITORS_MAX = CLIENTS_MAX * TARGETS_MAX, HEADER_MAX = 256 };

struct peers;

enum peer_saw { SAW_NOTHING, SAW_END, SAW_CUT };
enum peer_fails { FAILS_NOT, FAILS_RESETS, FAILS_LEAVES, FAILS_VANISHES };

struct peer {
        struct peers *all;
        struct sim_stream sends;
        struct sim_check check;
        uint64_t sent;
        uint64_t waits_for; /* bytes that it reads before it sends any */
        uint64_t fails_at;  /* bytes that it has sent and read */
        uint64_t stalls_at, stalls_ns;
        uint64_t begins_ns;
        enum peer_fails fails;
        bool ends_last; /* it shuts when the other has */
        unsigned chunk;

        bool met, shut, failed, vanished, over;
        enum peer_saw saw;
};

struct conversation {
        struct peer client, target;
        bool paired; /* the relay has made the connection */
};

/* A connection that a target has accepted: whose it is, is seen later. */
struct visitor {
        struct peers *all;
        struct peer *peer; /* NULL: nobody's so far */
        size_t header;     /* bytes of it that have come */
};

enum target_kind { TARGET_GOOD, TARGET_REFUSES, TARGET_LATE, TARGET_GOES };
struct target {
        struct peers *all;
        enum target_kind kind;
        unsigned port, backlog, accepts; /* accepts: then it goes */
        uint64_t opens_ns;
};

struct peers {
        struct sim *sim;
        unsigned listener; /* port */
        bool clients_local, targets_local;
        bool closing; /* the relay is over: nobody comes any more */
        unsigned clients_nr, clients_over, targets_nr, visitors_nr, sleeps;
        uint64_t room;
        struct conversation talks[CLIENTS_MAX];
        struct target targets[TARGETS_MAX];
        struct visitor visitors[VISITORS_MAX];
        uint8_t header[HEADER_MAX]; /* what a target is sent first */
        size_t header_bytes;
        uint64_t came_up, came_down; /* bytes that the relay has given to targets, to clients */
};

/* Decides everything. The rest of *p is set. */
void peers_plan(struct peers *p, uint64_t bytes, bool may_vanish);
/* They begin to live. */
void peers_begin(struct peers *p);
/* The relay has connected the client with that tag to whoever has the other socket; NULL: who has gone. */
void peers_pair(struct peers *p, int tag, struct sim_socket *target);
/* All have ended: what must be true of each that was connected. `idle`: of so many the relay says that it ended them. */
void peers_check(struct peers *p, uint64_t idle, bool cancelled);
unsigned peers_failed(const struct peers *p);

#endif
