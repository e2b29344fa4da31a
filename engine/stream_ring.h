/* engine/stream_ring.h: a stream whose sides may be rings. */
#ifndef SLUICE_ENGINE_STREAM_RING_H
#define SLUICE_ENGINE_STREAM_RING_H

#include "buffer.h"
#include "ring.h"
#include "stream.h"

/* Side `i` (0: to read, 1: to write) is that ring, which is freed after the stream; buffers to write into are `pool`'s. Both
 * outlive the stream. */
void stream_join(struct sluice_stream *io, int i, struct ring *ring, struct sluice_pool *pool);

#endif
