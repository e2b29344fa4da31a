/* tests/sim/lab.h: one small experiment, made alike in the simulated kernel and in the real one.
 *
 * Both are reached through struct backend, as the engine reaches them; what the seam has no call for (making a socket pair, a
 * file, a stranger who blocks) is here twice. An experiment says what it sees, line by line; the two texts must be the same. */
#ifndef SLUICE_TESTS_SIM_LAB_H
#define SLUICE_TESTS_SIM_LAB_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>

#include "backend.h"
#include "sim_kernel.h"

enum { LAB_PAGE = 4096, LAB_SLOTS = 16, LAB_TEXT_BYTES = 8192, LAB_FDS_MAX = 32, LAB_OPS_MAX = 8, LAB_QUIET_MS = 60 };

struct lab_op {
        struct op *op;
        bool done;
        int raw, result;
};

struct lab {
        struct backend *b;
        struct sim *sim; /* NULL: the real kernel */
        struct slot *fds[LAB_FDS_MAX];
        unsigned fds_nr;
        struct lab_op ops[LAB_OPS_MAX];
        unsigned ops_nr;
        pthread_t stranger;
        bool has_stranger;
        int stranger_in, stranger_out;
        struct sockaddr_in address; /* where lab_listen() listens */
        const char *small_disk;     /* a directory with room for 64 KiB; NULL: none is to be had */
        char text[LAB_TEXT_BYTES];
        size_t text_bytes;
};

typedef void scenario_fn(struct lab *l);
struct scenario {
        const char *name;
        scenario_fn *run;
        bool needs_small_disk;
        bool needs_blocks; /* a working directory whose files, opened with O_DIRECT, take whole blocks only */
};
extern const struct scenario scenarios[];
extern const unsigned scenarios_nr;

void lab_open(struct lab *l, enum sim_mutation mutation, bool simulated, const char *small_disk);
void lab_close(struct lab *l);
void lab_say(struct lab *l, const char *what, int64_t value);

/* All O_NONBLOCK on both ends, unless said otherwise. Closed by lab_shut() or at the end. */
struct lab_ends {
        struct slot *rd, *wr; /* of sockets: the two ends */
};
struct lab_ends lab_pipe(struct lab *l, unsigned slots);
struct lab_ends lab_sockets(struct lab *l);
struct lab_ends lab_tcp(struct lab *l); /* over loopback */
/* A listener of TCP, one that calls it, and what it takes: NULL: nobody has called (so far). */
struct slot *lab_listen(struct lab *l, int backlog);
struct slot *lab_call(struct lab *l);
struct slot *lab_take(struct lab *l, struct slot *listener);
void lab_resets(struct lab *l, struct slot *s, bool resets); /* SO_LINGER: when it is closed */
/* Waits until something can be read there; until its peer has gone. TCP takes a moment. */
void lab_settle_bytes(struct lab *l, struct slot *s);
void lab_settle_hup(struct lab *l, struct slot *s);
/* Both read and write one file of `bytes`, each at a position of its own; bytes of stream 1. */
enum lab_file { LAB_FILE, LAB_APPENDS, LAB_ON_SMALL_DISK, LAB_DIRECT };
struct lab_ends lab_file(struct lab *l, int64_t bytes, enum lab_file kind);
struct slot *lab_null(struct lab *l);
void lab_shut(struct lab *l, struct slot *s);
void lab_blocks(struct lab *l, struct slot *s, bool blocks);
void lab_direct(struct lab *l, struct slot *file, bool on);
int lab_resize(struct lab *l, struct slot *pipe, unsigned slots);
void lab_truncate(struct lab *l, struct slot *file, int64_t length);

/* Calls; what they answer is said. */
ssize_t lab_splice(struct lab *l, struct slot *in, struct slot *out, size_t bytes);
ssize_t lab_splice_at(struct lab *l, struct slot *in, int64_t at_in, struct slot *out, int64_t at_out, size_t bytes);
ssize_t lab_tee(struct lab *l, struct slot *in, struct slot *out, size_t bytes);
ssize_t lab_write(struct lab *l, struct slot *s, size_t bytes); /* of stream 1, from its beginning */
ssize_t lab_write_char(struct lab *l, struct slot *s, char c, size_t bytes);
ssize_t lab_read(struct lab *l, struct slot *s, size_t bytes); /* and a sum over what came */
void lab_poll(struct lab *l, struct slot *s);

/* Operations. */
struct lab_op *lab_submit(struct lab *l, enum op_kind kind, struct slot *in, struct slot *out, size_t bytes);
struct lab_op *lab_submit_forced(struct lab *l, enum op_kind kind, struct slot *in, size_t bytes);
void lab_cancel(struct lab *l, struct lab_op *o);
/* Until all have completed, or nothing happens any more. */
void lab_settle(struct lab *l);
void lab_say_op(struct lab *l, const char *what, const struct lab_op *o);
/* Somebody else splices between the two, blocking, until the end. */
void lab_stranger_splices(struct lab *l, struct slot *in, struct slot *out);
void lab_stranger_ends(struct lab *l);

#endif
