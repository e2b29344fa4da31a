/* tools/parser.h: what the files of the pipeline language share: words.c reads words, language.c stages and chains of them,
 * graphs.c tee( ), merge( ) and par( ). */
#ifndef SLUICE_TOOLS_PARSER_H
#define SLUICE_TOOLS_PARSER_H

#include <stdbool.h>

#include "language.h"

struct word {
        char *text;
        unsigned char *quoted; /* per character of `text`: 1 where it was quoted */
        size_t *column;        /* ... and where it stood */
        size_t length, cap;
        bool no_memory;    /* for all of it */
        size_t begin, end; /* columns of the whole word */
};

struct parser {
        const char *text;
        size_t at;
        struct word *words; /* of the stage being read */
        size_t words_nr, words_cap;
        struct language_error *error;
        struct language_result *result;
        struct sluice_pipeline *pipeline;
        const struct language_commands *commands; /* NULL: nothing special */
        unsigned written_nr;                      /* stages in the text so far, the one being read included */
        uint64_t limits_met;                      /* a bit for each limit that a command has */
        int last_stage;
        int last_is_open; /* it is a command, or par( ): standard output is its output where none follows */
        int any_command;
        unsigned depth; /* of tee( ), merge( ) and par( ) */
        bool nested;    /* inside par( ): its stages are none of the pipeline's */
};

/* What a chain of stages finds before and behind it. */
enum chain_ends {
        CHAIN_FIRST = 1 << 0,    /* nothing comes before its first stage */
        CHAIN_OPEN_IN = 1 << 1,  /* ... but standard input, where a command has its input open */
        CHAIN_OPEN_OUT = 1 << 2, /* standard output, likewise */
        CHAIN_GIVES = 1 << 3,    /* who takes what its last stage gives: a merge( ), or par( ) */
};

/* Sets the error; -EINVAL. */
int fail_at(struct parser *p, size_t column, size_t width, const char *format, ...) __attribute__((format(printf, 4, 5)));
void words_clear(struct parser *p);
void skip_space(struct parser *p);
/* Inside parentheses: a ")" ends them, and a comma before a blank a branch; others belong to options and arguments. */
bool ends_branch(const struct parser *p);
/* One word; the caller's to free. */
int read_word(struct parser *p, struct word *w);
void word_free(struct word *w);
/* Into p->words, up to the next "|", the end of a branch, or the end. */
int read_words(struct parser *p);

/* Splits "argument,option=value" at unquoted commas, in place. */
struct parts {
        struct sluice_option *options;
        size_t *begin, *end; /* of each part, in characters of the word */
        size_t nr;           /* the argument is part 0 */
};
int split_parts(struct word *w, size_t from, struct parts *s);
void parts_free(struct parts *s);
size_t column_of(const struct word *w, size_t character);

/* Stages joined by "|". */
int read_chain(struct parser *p, unsigned ends);
/* A stage that was added stands in the text there; it is linked behind p->last_stage (-1: none), and takes its place. */
int keep_stage(struct parser *p, int stage, size_t column, size_t width);

/* A command, or par( ), that begins or ends the pipeline has the standard stream there, where there is one. */
int add_open_end(struct parser *p, int fd, size_t column, size_t width);

/* graphs.c. Whether a stage with parentheses begins here; and reads it. */
bool is_graph(const struct parser *p);
int read_graph(struct parser *p, unsigned ends);

#endif
