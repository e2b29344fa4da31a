/* engine/buffer.h: userspace memory that an operation can pin: reference-counted, of one size, from a loop's free list.
 * Law: lent == buffers that buffer_get() gave and whose last reference is not gone. 0 when a loop is freed, or the
 * buffers of abandoned operations. */
#ifndef SLUICE_ENGINE_BUFFER_H
#define SLUICE_ENGINE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "op.h"

enum {
        BUFFER_BYTES = 256 << 10, /* TCP relays: 0.41 CPU s/GiB with 256 KiB, 0.76 with 16 KiB */
        BUFFER_IDLE_MAX = 8,
};

struct buffers {
        struct list idle;
        unsigned idle_nr, lent;
};

struct buffer {
        struct pin pin; /* first: op_pin() takes &buffer->pin */
        struct list node;
        struct buffers *home;
        uint8_t data[]; /* BUFFER_BYTES */
};

void buffers_init(struct buffers *b);
void buffers_fini(struct buffers *b);
/* NULL without memory. One reference, the caller's. */
struct buffer *buffer_get(struct buffers *b);
void buffer_unref(struct buffer *b);

#endif
