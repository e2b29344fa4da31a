/* engine/buffer.h: userspace memory that an operation can pin: reference-counted, of one size, out of a pool (pool.h).
 *
 *      free --buffer_get--> lent --op_pin--> in kernel --op_free--> lent --last reference gone--> free
 *
 * Any thread may get one, take a reference and give it up: a buffer may go to several readers on several loops. */
#ifndef SLUICE_ENGINE_BUFFER_H
#define SLUICE_ENGINE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "op.h"

enum {
        BUFFER_BYTES = 256 << 10, /* TCP relays: 0.41 CPU s/GiB with 256 KiB, 0.76 with 16 KiB */
        BUFFERS_BYTES = 1 << 30,  /* what the buffers of a plan may hold, unless asked otherwise */
};

struct sluice_pool;

struct buffer {
        struct pin pin; /* first: op_pin() takes &buffer->pin */
        struct list node;
        struct sluice_pool *pool;
        uint8_t *data;          /* BUFFER_BYTES, or what its pool is made of; apart from this header, so that it is page-aligned */
        uint8_t arena;          /* of the pool: where it is at home */
        bool free;              /* in a list of the pool's; changed under that list's lock */
        bool own;               /* holds a reservation of its own (reserve.h), which ends with it */
} __attribute__((aligned(64))); /* neighbours are in use on different threads */

/* Part of what its caller has reserved. NULL without memory, or when the pool's budget is lent out. One reference, the caller's. */
struct buffer *buffer_get(struct sluice_pool *pool);
/* The same for whoever has reserved nothing. */
struct buffer *buffer_get_own(struct sluice_pool *pool);
void buffer_unref(struct buffer *b);
/* What its holder had reserved for it is the buffer's from now on, and ends when the last reference goes: for buffers that
 * outlive their run (operations that were abandoned). */
void buffer_own(struct buffer *b);

#endif
