/* stages/text.h: options of a stage as text, read by a table; and the parsers they share. */
#ifndef SLUICE_STAGES_TEXT_H
#define SLUICE_STAGES_TEXT_H

#include <sluice/stages.h>

enum text_kind { TEXT_FLAG, TEXT_BYTES, TEXT_DURATION_MS, TEXT_MODE, TEXT_CHOICE, TEXT_STRING };

/* One option: where its value goes. For FLAG, `bit` is or-ed into an unsigned; for CHOICE, `choices` names the values; a
 * STRING stays where it is. */
struct text_option {
        const char *name;
        enum text_kind kind;
        size_t offset;
        unsigned bit;
        const char *const *choices;
};

/* Reads all options into `ret`. -EINVAL: *ret_error says which part and what is wrong. */
int text_options(const struct text_option *table, size_t table_nr, const struct sluice_option *options, size_t options_nr,
                 void *ret, struct sluice_text_error *ret_error);

/* "HOST:PORT", "[V6]:PORT", ":PORT" into two strings of at most cap bytes. -EINVAL with the reason in *ret_why. */
int text_address(const char *text, char *host, size_t host_cap, char *port, size_t port_cap, const char **ret_why);

int text_fail(struct sluice_text_error *e, int part, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* How a stage is added from its text. */
struct text_type {
        struct sluice_stage_type type;
        int (*add)(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
                   struct sluice_text_error *ret_error);
};

/* Each stage's entries, gathered by builtin.c. */
extern const struct text_type text_checksum, text_compress, text_count, text_decompress, text_drop, text_generate, text_isolated,
        text_lines, text_plugin, text_spill, text_tail, text_throttle;
extern const struct text_type text_file, text_append, text_fd, text_null, text_zero, text_tcp, text_tcp_listen, text_unix,
        text_unix_listen;

#endif
