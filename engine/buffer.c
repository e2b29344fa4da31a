/* engine/buffer.c: see buffer.h: a pool's buffers as links and functions use them. Calls pool.c. */
#include "buffer.h"

#include "check.h"
#include "pool.h"

struct buffer *buffer_get(struct sluice_pool *pool)
{
        struct buffer *b;

        CHECK(pool->buffer_bytes >= BUFFER_BYTES);
        return pool_take(pool, &b) < 0 ? NULL : b;
}

struct buffer *buffer_get_own(struct sluice_pool *pool)
{
        struct sluice_buffer *b;

        return sluice_pool_get(pool, &b) < 0 ? NULL : (struct buffer *)(void *)b;
}

void buffer_unref(struct buffer *b)
{
        if (b)
                pin_unref(&b->pin);
}

void buffer_own(struct buffer *b)
{
        ASSERT(!b->own);
        b->own = true;
}
