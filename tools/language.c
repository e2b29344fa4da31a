/* tools/language.c: see language.h. Called by the subcommands that take a pipeline; calls <sluice/stages.h> only. */
#include "language.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools.h"

/* ---- words ---- */

struct word {
        char *text;
        unsigned char *quoted;     /* per character of `text`: 1 where it was quoted */
        size_t *column;            /* ... and where it stood */
        size_t length, begin, end; /* columns of the whole word */
};

struct parser {
        const char *text;
        size_t at;
        struct word *words; /* of the stage being read */
        size_t words_nr;
        struct language_error *error;
        struct language_result *result;
        struct sluice_pipeline *pipeline;
        const struct language_commands *commands; /* NULL: nothing special */
        unsigned written_nr;                      /* stages in the text so far, the one being read included */
        uint64_t limits_met;                      /* a bit for each limit that a command has */
        int last_stage;
        int last_is_command, any_command;
        unsigned depth; /* of tee( ) */
};

static int fail_at(struct parser *p, size_t column, size_t width, const char *format, ...) __attribute__((format(printf, 4, 5)));

static int fail_at(struct parser *p, size_t column, size_t width, const char *format, ...)
{
        va_list args;

        p->error->column = column;
        p->error->width = width ? width : 1;
        va_start(args, format);
        vsnprintf(p->error->message, sizeof(p->error->message), format, args);
        va_end(args);
        return -EINVAL;
}

static void word_free(struct word *w)
{
        free(w->text);
        free(w->quoted);
        free(w->column);
}

static void words_clear(struct parser *p)
{
        for (size_t i = 0; i < p->words_nr; i++)
                word_free(&p->words[i]);
        p->words_nr = 0;
}

static int word_alloc(struct word *w, size_t cap)
{
        *w = (struct word){ .text = malloc(cap + 1), .quoted = malloc(cap + 1), .column = malloc((cap + 1) * sizeof(size_t)) };
        if (w->text && w->quoted && w->column)
                return 0;
        word_free(w);
        return -ENOMEM;
}

static void word_add(struct word *w, char c, int quoted, size_t column)
{
        w->text[w->length] = c;
        w->quoted[w->length] = (unsigned char)quoted;
        w->column[w->length++] = column;
}

static const char *shell_hint(char c)
{
        switch (c) {
        case '>':
                return "there is no redirection: end the pipeline with '| file:PATH'";
        case '<':
                return "there is no redirection: begin the pipeline with 'file:PATH |'";
        case '&':
        case ';':
                return "one pipeline, no command lists: quote it, or use sh -c '...'";
        default:
                return "it means nothing here: quote it if it belongs to an argument";
        }
}

static int read_single_quoted(struct parser *p, struct word *w)
{
        size_t begin = p->at++;

        while (p->text[p->at] && p->text[p->at] != '\'') {
                word_add(w, p->text[p->at], 1, p->at);
                p->at++;
        }
        if (!p->text[p->at])
                return fail_at(p, begin, 1, "this quote is never closed");
        p->at++;
        return 0;
}

/* Inside double quotes a backslash is special before $ ` " \ and newline only (POSIX sh 2.2.3); before a newline both
 * are nothing at all. */
static int read_double_quoted(struct parser *p, struct word *w)
{
        size_t begin = p->at++;

        while (p->text[p->at] && p->text[p->at] != '"') {
                bool escaped = p->text[p->at] == '\\' && p->text[p->at + 1] && strchr("$`\"\\\n", p->text[p->at + 1]);

                p->at += escaped;
                if (!escaped || p->text[p->at] != '\n')
                        word_add(w, p->text[p->at], 1, p->at);
                p->at++;
        }
        if (!p->text[p->at])
                return fail_at(p, begin, 1, "this quote is never closed");
        p->at++;
        return 0;
}

static int read_escaped(struct parser *p, struct word *w)
{
        if (!p->text[p->at + 1])
                return fail_at(p, p->at, 1, "a backslash at the end escapes nothing");
        if (p->text[p->at + 1] != '\n')
                word_add(w, p->text[p->at + 1], 1, p->at + 1);
        p->at += 2;
        return 0;
}

/* Inside tee( ): a ")" ends it, and a comma before a blank a branch; others belong to options and arguments. */
static bool ends_branch(const struct parser *p)
{
        const char *at = p->text + p->at;

        return p->depth > 0 && (*at == ')' || (*at == ',' && (isspace((unsigned char)at[1]) || !at[1])));
}

static int read_word(struct parser *p, struct word *w)
{
        int r = word_alloc(w, strlen(p->text + p->at));

        if (r < 0)
                return r;
        w->begin = p->at;
        while (r == 0) {
                char c = p->text[p->at];

                if (!c || isspace((unsigned char)c) || c == '|' || ends_branch(p))
                        break;
                if (c == '\'')
                        r = read_single_quoted(p, w);
                else if (c == '"')
                        r = read_double_quoted(p, w);
                else if (c == '\\')
                        r = read_escaped(p, w);
                else if (strchr(";&<>()", c))
                        r = fail_at(p, p->at, 1, "'%c': %s", c, shell_hint(c));
                else
                        word_add(w, c, 0, p->at++);
        }
        w->text[w->length] = '\0';
        w->end = p->at;
        if (r < 0)
                word_free(w);
        return r;
}

static void skip_space(struct parser *p)
{
        while (isspace((unsigned char)p->text[p->at]))
                p->at++;
}

/* Up to the next "|", the end of a branch, or the end. */
static int read_words(struct parser *p)
{
        for (skip_space(p); p->text[p->at] && p->text[p->at] != '|' && !ends_branch(p); skip_space(p)) {
                struct word w, *words;
                int r = read_word(p, &w);

                if (r < 0)
                        return r;
                words = realloc(p->words, (p->words_nr + 1) * sizeof(*words));
                if (!words) {
                        word_free(&w);
                        return -ENOMEM;
                }
                p->words = words;
                p->words[p->words_nr++] = w;
        }
        return 0;
}

/* ---- stages ---- */

/* The length of "name" in an unquoted "name:", 0 when this is no stage of ours. */
static size_t stage_name_length(const struct word *w)
{
        size_t n = 0;

        while (n < w->length && !w->quoted[n] &&
               (islower((unsigned char)w->text[n]) || (n && (isdigit((unsigned char)w->text[n]) || w->text[n] == '-'))))
                n++;
        return n && n < w->length && w->text[n] == ':' && !w->quoted[n] ? n : 0;
}

static size_t distance(const char *a, const char *b)
{
        size_t n = strlen(b), row[64];

        if (n >= 63)
                return 99;
        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

                        best = above + 1 < best ? above + 1 : best;
                        best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
                        diagonal = above;
                        row[j] = best;
                }
        }
        return row[n];
}

static const char *nearest(const char *name)
{
        const struct sluice_stage_type *t;
        const char *best = NULL;
        size_t best_distance = 3;

        for (size_t i = 0; (t = sluice_stage_type(i)); i++)
                if (distance(name, t->name) < best_distance) {
                        best_distance = distance(name, t->name);
                        best = t->name;
                }
        return best;
}

static int unknown_stage(struct parser *p, const struct word *w, const char *name)
{
        const char *hint = nearest(name);
        size_t width = strlen(name) + 1;

        if (hint)
                return fail_at(p, w->begin, width, "no stage '%s:', did you mean '%s:'?", name, hint);
        return fail_at(p, w->begin, width, "no stage '%.40s:' ('sluice --help' lists them; quote the word if it is a command)",
                       name);
}

/* Splits "argument,option=value" at unquoted commas, in place. */
struct parts {
        struct sluice_option *options;
        size_t *begin, *end; /* of each part, in characters of the word */
        size_t nr;           /* the argument is part 0 */
};

static int split_parts(struct word *w, size_t from, struct parts *s)
{
        size_t commas = 0;

        for (size_t i = from; i < w->length; i++)
                commas += w->text[i] == ',' && !w->quoted[i];
        s->options = calloc(commas + 1, sizeof(*s->options));
        s->begin = calloc(commas + 1, sizeof(*s->begin));
        s->end = calloc(commas + 1, sizeof(*s->end));
        if (!s->options || !s->begin || !s->end)
                return -ENOMEM;
        s->begin[0] = from;
        for (size_t i = from; i <= w->length; i++) {
                if (i < w->length && (w->text[i] != ',' || w->quoted[i]))
                        continue;
                s->end[s->nr++] = i;
                if (i < w->length) {
                        w->text[i] = '\0';
                        s->begin[s->nr] = i + 1;
                }
        }
        for (size_t k = 1; k < s->nr; k++) {
                char *text = w->text + s->begin[k], *equals = strchr(text, '=');

                if (equals)
                        *equals = '\0';
                s->options[k - 1] = (struct sluice_option){ text, equals ? equals + 1 : NULL };
        }
        return 0;
}

static size_t column_of(const struct word *w, size_t character)
{
        return character < w->length ? w->column[character] : w->end;
}

static int add_stage(struct parser *p, struct word *w, size_t name_length)
{
        struct sluice_text_error e = { 0 };
        struct parts s = { 0 };
        int r;

        if (p->words_nr > 1)
                return fail_at(p, p->words[1].begin, p->words[1].end - p->words[1].begin,
                               "a stage takes no further words: put what belongs to its argument in quotes");
        w->text[name_length] = '\0';
        r = split_parts(w, name_length + 1, &s);
        if (r == 0)
                r = sluice_add_named(p->pipeline, w->text, w->text + name_length + 1, s.options, s.nr - 1, &e);
        if (r == -ENOENT && e.part < 0) {
                r = unknown_stage(p, w, w->text);
        } else if (r == -EINVAL && e.message[0]) {
                size_t part = e.part > 0 && (size_t)e.part < s.nr ? (size_t)e.part : 0;
                size_t begin = column_of(w, s.begin[part]), end = column_of(w, s.end[part]);

                r = fail_at(p, begin, end > begin ? end - begin : 1, "%s", e.message);
        }
        free(s.options);
        free(s.begin);
        free(s.end);
        return r;
}

/* Stages are counted as they are written: the standard stream before a command has no number. */
static bool is_limit_of(const struct parser *p, const struct language_limit *l, const char *name)
{
        char *end;
        unsigned long n = strtoul(l->stage, &end, 10);

        return *end == '\0' && end != l->stage ? n == p->written_nr : strcmp(l->stage, name) == 0;
}

static const struct sluice_command_options *options_of(struct parser *p, const char *name, struct sluice_command_options *own)
{
        const struct language_commands *c = p->commands;

        if (!c)
                return NULL;
        *own = *c->options;
        for (size_t i = 0; i < c->limits_nr; i++)
                if (is_limit_of(p, &c->limits[i], name)) {
                        own->memory_bytes = c->limits[i].memory_bytes;
                        p->limits_met |= UINT64_C(1) << i;
                }
        return own;
}

/* A limit that nobody has would let the memory be eaten that it was to save. */
static int check_limits(const struct parser *p)
{
        const struct language_commands *c = p->commands;

        for (size_t i = 0; c && i < c->limits_nr; i++)
                if (!(p->limits_met & UINT64_C(1) << i)) {
                        snprintf(p->error->message, sizeof(p->error->message), "--max-memory=: no command '%s' in the pipeline",
                                 c->limits[i].stage);
                        return -ENOENT;
                }
        return 0;
}

static int add_command(struct parser *p)
{
        char **argv = calloc(p->words_nr + 1, sizeof(*argv));
        struct sluice_command_options options;
        int r;

        if (!argv)
                return -ENOMEM;
        for (size_t i = 0; i < p->words_nr; i++)
                argv[i] = p->words[i].text;
        r = argv[0][0] ? sluice_add_command(p->pipeline, argv, options_of(p, argv[0], &options))
                       : fail_at(p, p->words[0].begin, p->words[0].end - p->words[0].begin, "the name of a command is empty");
        free(argv);
        return r;
}

static int add_standard(struct parser *p, int fd)
{
        if (fd == STDOUT_FILENO && p->result->uses_stdout)
                return fail_at(p, p->at ? p->at - 1 : 0, 1, "a second branch ends at standard output: say where it goes");
        if (fd == STDIN_FILENO)
                p->result->uses_stdin = 1;
        else
                p->result->uses_stdout = 1;
        return sluice_add_fd(p->pipeline, fd, SLUICE_REPLACE);
}

static int add_dash(struct parser *p, const struct word *w, int first, int last)
{
        if (p->words_nr > 1)
                return fail_at(p, p->words[1].begin, p->words[1].end - p->words[1].begin, "'-' takes no further words");
        if (!first && !last)
                return fail_at(p, w->begin, 1, "'-' is standard input as the first stage or output as the last");
        if (!standard_is_open(first ? STDIN_FILENO : STDOUT_FILENO))
                return fail_at(p, w->begin, 1, "standard %s is closed", first ? "input" : "output");
        return add_standard(p, first ? STDIN_FILENO : STDOUT_FILENO);
}

static int keep_stage(struct parser *p, int stage, size_t column, size_t width)
{
        int r;

        if (stage >= LANGUAGE_STAGES_MAX)
                return fail_at(p, column, width, "more than %d stages", LANGUAGE_STAGES_MAX);
        p->result->column[stage] = column;
        p->result->width[stage] = width;
        p->result->stages_nr = stage + 1;
        if (p->last_stage >= 0) {
                r = sluice_pipeline_link(p->pipeline, p->last_stage, stage);
                if (r < 0)
                        return r;
        }
        p->last_stage = stage;
        return 0;
}

/* A command that begins or ends the pipeline has the standard stream there, where there is one. */
static int add_open_end(struct parser *p, int fd, size_t column, size_t width)
{
        int stage;

        if (!standard_is_open(fd))
                return 0;
        stage = add_standard(p, fd);
        return stage < 0 ? stage : keep_stage(p, stage, column, width);
}

static int read_chain(struct parser *p, int first);

static size_t tee_length(const struct parser *p)
{
        static const char *const names[] = { "tee(", "tee-strict(" };

        for (size_t i = 0; i < 2; i++)
                if (strncmp(p->text + p->at, names[i], strlen(names[i])) == 0)
                        return strlen(names[i]);
        return 0;
}

/* Every branch begins at the tee, and is a pipeline of its own up to its comma. */
static int read_branches(struct parser *p, int tee, size_t begin)
{
        int r;

        p->depth++;
        do {
                p->last_stage = tee;
                r = read_chain(p, 0);
                if (r < 0)
                        return r;
        } while (p->text[p->at] == ',' && p->at++ < SIZE_MAX);
        if (p->text[p->at] != ')')
                return fail_at(p, begin, 1, "this tee( is never closed");
        p->at++;
        p->depth--;
        skip_space(p);
        if (p->text[p->at] && p->text[p->at] != '|' && !ends_branch(p))
                return fail_at(p, p->at, 1, "after tee(...) nothing follows");
        if (p->text[p->at] == '|')
                return fail_at(p, p->at, 1, "nothing reads from a tee but its branches: 'tee(a, b)' ends a pipeline");
        p->last_is_command = 0;
        return 0;
}

static int read_tee(struct parser *p, int first, size_t length)
{
        size_t begin = p->at;
        int strict = p->text[p->at + 3] == '-', tee, r;

        if (first)
                return fail_at(p, begin, length - 1, "a tee takes its input from a stage before it");
        tee = sluice_add_tee(p->pipeline, strict);
        r = tee < 0 ? tee : keep_stage(p, tee, begin, length - 1);
        if (r < 0)
                return r;
        p->at += length;
        return read_branches(p, tee, begin);
}

static int read_stage(struct parser *p, int first)
{
        size_t begin, width, name_length;
        struct word *w;
        int stage, last, r;

        words_clear(p);
        skip_space(p);
        begin = p->at;
        if (tee_length(p)) {
                p->written_nr++;
                return read_tee(p, first, tee_length(p));
        }
        p->written_nr++;
        r = read_words(p);
        if (r < 0)
                return r;
        last = p->text[p->at] == '\0' || ends_branch(p);
        if (p->words_nr == 0)
                return fail_at(p, begin, 1, first && last ? "the pipeline is empty" : "there is no stage here");
        w = &p->words[0];
        width = p->words[p->words_nr - 1].end - w->begin;
        name_length = stage_name_length(w);
        p->last_is_command = 0;
        if (w->length == 1 && w->text[0] == '-' && !w->quoted[0]) {
                stage = add_dash(p, w, first, last);
        } else if (name_length) {
                stage = add_stage(p, w, name_length);
        } else {
                p->last_is_command = p->any_command = 1;
                r = first ? add_open_end(p, STDIN_FILENO, w->begin, width) : 0;
                stage = r < 0 ? r : add_command(p);
        }
        return stage < 0 ? stage : keep_stage(p, stage, w->begin, width);
}

/* Stages joined by "|"; what a last command leaves open is standard output. */
static int read_chain(struct parser *p, int first)
{
        int r = read_stage(p, first);

        while (r == 0 && p->text[p->at] == '|') {
                p->at++;
                r = read_stage(p, 0);
        }
        if (r == 0 && p->last_is_command)
                r = add_open_end(p, STDOUT_FILENO, p->result->column[p->last_stage], p->result->width[p->last_stage]);
        p->last_is_command = 0;
        return r;
}

/* No stages at all: standard input goes to standard output. */
static int copy_standard(struct parser *p)
{
        int r = add_open_end(p, STDIN_FILENO, 0, 1);

        r = r < 0 ? r : add_open_end(p, STDOUT_FILENO, 0, 1);
        return r == 0 && p->result->stages_nr < 2 ? fail_at(p, 0, 1, "a standard stream is closed: nothing can be copied") : r;
}

int language_build(struct sluice_pipeline *pipeline, const char *text, const struct language_commands *commands,
                   struct language_result *ret, struct language_error *ret_error)
{
        struct parser p = {
                .text = text, .error = ret_error, .result = ret, .pipeline = pipeline, .commands = commands, .last_stage = -1
        };
        int r;

        *ret = (struct language_result){ 0 };
        if (text[strspn(text, " \t\n")] == '\0')
                return copy_standard(&p);
        r = read_chain(&p, 1);
        if (r == 0 && ret->stages_nr == 1 && !p.any_command)
                r = fail_at(&p, ret->column[0], ret->width[0], "one stage moves nothing: say where the bytes go ('file:x | -')");
        words_clear(&p);
        free(p.words);
        return r < 0 ? r : check_limits(&p);
}

void language_print_error(const char *text, const struct language_error *e)
{
        fprintf(stderr, "sluice: %s\n", e->message);
        if (strchr(text, '\n'))
                return; /* marks under several lines point nowhere */
        fprintf(stderr, "  %s\n  %*s", text, (int)e->column, "");
        for (size_t i = 0; i < e->width; i++)
                fputc(i ? '~' : '^', stderr);
        fputc('\n', stderr);
}
