/* uring/pipe.h: kernel pipes, counted in bytes and slots; the cache; the process-wide budget.
 *
 * Law, whenever no operation names the pipe: taken in == given out + bytes.
 *
 * A pipe's size decides more than how it is driven: 2 GiB through `cat | cat` takes 2.4 s by 64 KiB pipes and 0.5 s by
 * 256 KiB ones. But 64 pipes of 1 MiB use up the quota of *every* process of an unprivileged user, so the budget is a
 * part of that quota and is shared by all loops of the process: 1 MiB first, then 256 KiB, then 64 KiB, then none. */
#ifndef SLUICE_URING_PIPE_H
#define SLUICE_URING_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "slots.h"

enum {
        PIPE_BYTES_LARGE = 1 << 20,
        PIPE_BYTES_MEDIUM = 256 << 10,
        PIPE_BYTES_SMALL = 64 << 10,
        PIPE_CACHE_MAX = 16,
};

struct pipe {
        struct list node; /* in the cache while nobody has it */
        struct slot *read, *write;
        size_t capacity_bytes;   /* granted, read back; a power of two */
        unsigned capacity_slots; /* one a page; small packets fill slots long before bytes */
        int64_t bytes;           /* in the pipe, as counted by who moves them */
};

struct pipe_cache {
        struct backend *backend;
        struct list idle;
        unsigned idle_nr;
};

void pipe_cache_init(struct pipe_cache *c, struct backend *b);
void pipe_cache_fini(struct pipe_cache *c);

/* An empty pipe, both ends O_NONBLOCK, of the largest size that the budget and the kernel grant.
 * -EDQUOT: the budget is used up (copy instead; never wait for a pipe); -EMFILE, -ENFILE, -ENOMEM. */
int pipe_get(struct pipe_cache *c, struct pipe **ret);
/* Takes an empty pipe back; one with bytes in it would give them to its next user, and is closed. */
void pipe_put(struct pipe_cache *c, struct pipe *p);

/* A pipe for processes: blocking ends, as large as granted, never cached. At least what pipe2() gives, budget or not:
 * two processes cannot be joined by anything else. *ret_bytes is the size granted. */
int pipe_for_process(struct backend *b, struct slot **ret_read, struct slot **ret_write, size_t *ret_bytes);
/* The budget's share of such a pipe, once both its ends are closed here. */
void pipe_release_budget(size_t bytes);

/* The process-wide budget in bytes; SIZE_MAX when the user is exempt from the quota. Set once, by the first pipe, from
 * a quarter of pipe-user-pages-soft; pipe_budget_set() overrides it (tests, embedders). */
size_t pipe_budget(void);
size_t pipe_budget_used(void);
void pipe_budget_set(size_t bytes);

#endif
