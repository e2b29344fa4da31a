/* stages/command.h: how a process runs: options that command.c and isolated.c share. */
#ifndef SLUICE_STAGES_COMMAND_H
#define SLUICE_STAGES_COMMAND_H

#include <stdbool.h>

#include <sluice/stages.h>

/* The host's, which may know fewer fields or be NULL, as they are known here. -EINVAL: they can never work. */
int command_options_read(struct sluice_command_options *ret, const struct sluice_command_options *opt);
/* Replaces all that *o points to by copies. False without memory: to be freed all the same. */
bool command_options_own(struct sluice_command_options *o);
void command_options_free(struct sluice_command_options *o);

#endif
