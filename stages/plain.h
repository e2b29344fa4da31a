/* stages/plain.h: the hooks of stages that are a process() and nothing else: no fd, nothing to open or to close. */
#ifndef SLUICE_STAGES_PLAIN_H
#define SLUICE_STAGES_PLAIN_H

#include <sluice/stages.h>

/* A filter or a sink, in memory. Without an input it is refused: its process() is never called without one. */
int plain_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret);
/* A source, which takes no input. */
int plain_describe_source(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret);
int plain_open(struct sluice_ctx *ctx, void *self);
void plain_close(struct sluice_ctx *ctx, void *self, int error);

#endif
