/* stages/function.h: functions of the host's, wherever they run. */
#ifndef SLUICE_STAGES_FUNCTION_H
#define SLUICE_STAGES_FUNCTION_H

#include <sluice/stages.h>

struct function_config {
        sluice_function_fn *fn;
        void *arg;
};

int function_config_copy(void **ret, const void *config);
int function_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret);
int function_run(void *self, const void *config, struct sluice_stream *io);

/* isolated.c, forked.c */
int isolated_add(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg, const struct sluice_function_options *o);
int forked_add(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg, const struct sluice_function_options *o);

#endif
