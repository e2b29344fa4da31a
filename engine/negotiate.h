/* engine/negotiate.h: how a link moves its bytes: a pure function of what its two sides can do. */
#ifndef SLUICE_ENGINE_NEGOTIATE_H
#define SLUICE_ENGINE_NEGOTIATE_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/sluice.h>

/* Masks of enum sluice_io. NONE when one of them is 0. The order of preference is DIRECT, HANDOVER, PIPE, SPLICE,
 * CROSS; TEE is for several inputs. */
enum sluice_link_mode negotiate(uint32_t out_io, uint32_t in_io);

/* What a side is in that mode: a function on a thread is memory in HANDOVER, and to all else a process. */
uint32_t negotiate_use(enum sluice_link_mode mode, uint32_t io);

/* One output with several inputs: TEE where tee(2) can do it (all ends fds or processes), else CROSS: one shared
 * buffer, read or filled once. `in_io` is the AND of all the inputs' masks. */
enum sluice_link_mode negotiate_many(uint32_t out_io, uint32_t in_io);

/* Whether `now` may replace `planned` when a side turns out to be less than it said: down only. */
bool negotiate_may_become(enum sluice_link_mode planned, enum sluice_link_mode now);

/* The reason in words, without the sizes: "file to socket, inside the kernel". */
struct link_words {
        enum sluice_link_mode mode;
        uint32_t out_kind, in_kind;
        uint32_t out_io, in_io;
        const char *out_note, *in_note;
};
int negotiate_reason(const struct link_words *w, char *buf, size_t cap);

/* The refusals: what two ends may not be, by name. NULL: nothing is wrong. */
struct end_identity {
        bool regular, pipe, listener, directory;
        uint64_t device, inode;
        bool append;    /* what is written goes to its end */
        int64_t offset; /* ... or begins there; -1: at its own position */
};
const char *negotiate_refusal(const struct end_identity *source, const struct end_identity *sink, int *ret_error);
/* Two sinks. NULL: nothing is wrong. */
const char *negotiate_refusal_of_sinks(const struct end_identity *a, const struct end_identity *b, int *ret_error);

#endif
