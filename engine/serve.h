/* engine/serve.h: a function in a process that is there for it alone. */
#ifndef SLUICE_ENGINE_SERVE_H
#define SLUICE_ENGINE_SERVE_H

#include "worker.h"

struct sluice_stream;
typedef int serve_fn(void *arg, struct sluice_stream *io);

/* Runs fn over file descriptors 0 and 1, and notes on the sheet what it returned. SIGTERM is the run's end: the stream says
 * -ECANCELED from then on. Returns the status to exit with. Once per process. */
int serve(struct worker_sheet *sheet, serve_fn *fn, void *arg);
/* The sheet says why there is nothing to run. Returns the status to exit with. */
int serve_refuse(struct worker_sheet *sheet, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
