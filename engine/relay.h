/* engine/relay.h: a listener's connections, each passed on to a target by two links (sluice/relay.h).
 *
 *  relay:       TAKING --drain, or a listener that fails--> DRAINING --nothing left--> ENDED --> done()
 *               TAKING <--> paused: short of descriptors or memory, or as many connections as are allowed
 *
 *  connection:  CONNECTING (for want of descriptors it waits for the clock and tries again)
 *               CONNECTING --made--> MOVING --both links ended--> CLOSING --later--> gone
 *                   |  \--refused, timed out--> the next address
 *                   \--no address left, cancelled--------------------> CLOSING
 *
 *  How a connection's sockets are closed: SO_LINGER with 0 s is on from the beginning (the listener's, which its connections
 *  inherit, but for those that were waiting in its queue already; the target's before its connect), so that whatever ends this process resets them. A socket whose link has delivered
 *  everything gets an ordinary end.
 *
 *  Law: accepted == active + ended. */
#ifndef SLUICE_ENGINE_RELAY_H
#define SLUICE_ENGINE_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/relay.h>

#include "link.h"
#include "list.h"
#include "loop.h"

enum { RELAY_ACCEPTS_MAX = 16 }; /* in flight: a burst is taken in one turn */

enum relay_state { RELAY_TAKING, RELAY_DRAINING, RELAY_ENDED };
enum connection_state { CONNECTION_CONNECTING, CONNECTION_MOVING, CONNECTION_CLOSING };

struct sluice_relay {
        struct sluice_loop *loop;
        struct sluice_relay_options opt;
        struct sluice_address *targets; /* opt.targets: ours */
        enum relay_state state;
        int result;
        struct slot *listener;
        struct op *accepts[RELAY_ACCEPTS_MAX];
        unsigned accepts_nr;
        unsigned connecting; /* of stats.active */
        bool paused;         /* for want of something, until one ends or the clock ticks */
        bool cancelled;      /* what is taken or connected all the same is reset */
        bool inherited;      /* every connection to come has its options from the listener */
        struct list connections;
        struct op *tick;
        struct later later;
        struct sluice_relay_stats stats; /* bytes and calls: of connections that have ended */
        sluice_done_fn *done;
        void *arg;
};

struct relay_connection {
        struct list node; /* in the relay's */
        struct sluice_relay *relay;
        enum connection_state state;
        struct slot *client, *target;
        struct op *connect;
        unsigned next_target, links_over;
        bool timed_out, failed; /* failed: counted and told */
        int64_t quiet_ms;       /* connecting, or without a byte, for so long */
        uint64_t moved;         /* when the clock ticked last; UINT64_MAX: it has not */
        struct link up, down;
        struct later later;
};

/* relay_connection.c. The slot is taken over. -ENOMEM: it is closed. */
int relay_connection_new(struct sluice_relay *r, struct slot *client);
void relay_connection_cancel(struct relay_connection *c);
/* `ms` have passed. */
void relay_connection_tick(struct relay_connection *c, int64_t ms);
void relay_connection_count(const struct relay_connection *c, struct sluice_relay_stats *stats);

/* relay.c: NODELAY, since whoever sends has decided what a packet is; keep-alive, which finds a peer that has vanished without a
 * word; and a reset where nothing else is said. */
void relay_set_options(struct backend *b, int fd);
/* One has ended, and is out of the list. */
void relay_one_less(struct sluice_relay *r);
/* Whether it is for want of descriptors or memory: then it is tried again, which may help. */
bool relay_is_shortage(int error);
/* Nothing is taken until one has ended, or for a moment. */
void relay_pause(struct sluice_relay *r, int error);
void relay_tell(struct sluice_relay *r, enum sluice_relay_event_kind kind, int error);

#endif
