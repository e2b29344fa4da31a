/* stages/builtin.c: the table of stages that the pipeline language can name. One line each. */
#include <errno.h>
#include <string.h>

#include "text.h"

static const struct text_type *const table[] = {
        &text_file,     &text_append,      &text_fd,    &text_null,  &text_zero,     &text_tcp,      &text_tcp_listen,
        &text_unix,     &text_unix_listen, &text_lines, &text_count, &text_checksum, &text_compress, &text_decompress,
        &text_throttle, &text_drop,        &text_spill, &text_tail,  &text_generate, &text_plugin,   &text_isolated,
};

const struct sluice_stage_type *sluice_stage_type(size_t index)
{
        return index < sizeof(table) / sizeof(table[0]) ? &table[index]->type : NULL;
}

int sluice_add_named(struct sluice_pipeline *p, const char *name, const char *argument, const struct sluice_option *options,
                     size_t options_nr, struct sluice_text_error *ret_error)
{
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
                if (strcmp(table[i]->type.name, name) == 0)
                        return table[i]->add(p, argument, options, options_nr, ret_error);
        ret_error->part = -1;
        return -ENOENT;
}
