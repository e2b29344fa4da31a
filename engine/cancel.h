/* engine/cancel.h: a token that fires once, sticks and broadcasts. */
#ifndef SLUICE_ENGINE_CANCEL_H
#define SLUICE_ENGINE_CANCEL_H

#include <sluice/sluice.h>

/* Readable for ever once it has fired: never read, so that every run that waits for it sees it. */
int cancel_fd(const struct sluice_cancel *c);
/* Whose end of file fires it; -1: none. The token's. */
int cancel_alive_fd(const struct sluice_cancel *c);
struct sluice_cancel *cancel_ref(struct sluice_cancel *c);

#endif
