/* tools/language.c: see language.h. Called by the subcommands that take a pipeline; calls <sluice/stages.h> only. */
#include "language.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parser.h"
#include "tools.h"

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
        parts_free(&s);
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
        if (fd == STDOUT_FILENO ? p->result->uses_stdout : p->result->uses_stdin)
                return fail_at(p, p->at ? p->at - 1 : 0, 1, "a second branch %s",
                               fd == STDOUT_FILENO ? "ends at standard output: say where it goes"
                                                   : "begins at standard input: say what it reads");
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

int keep_stage(struct parser *p, int stage, size_t column, size_t width)
{
        int r;

        if (stage >= LANGUAGE_STAGES_MAX)
                return fail_at(p, column, width, "more than %d stages", LANGUAGE_STAGES_MAX);
        if (!p->nested) {
                p->result->column[stage] = column;
                p->result->width[stage] = width;
                p->result->stages_nr = stage + 1;
        }
        if (p->last_stage >= 0) {
                r = sluice_pipeline_link(p->pipeline, p->last_stage, stage);
                if (r < 0)
                        return r;
        }
        p->last_stage = stage;
        return 0;
}

/* A command that begins or ends the pipeline has the standard stream there, where there is one. */
int add_open_end(struct parser *p, int fd, size_t column, size_t width)
{
        int stage;

        if (!standard_is_open(fd))
                return 0;
        stage = add_standard(p, fd);
        return stage < 0 ? stage : keep_stage(p, stage, column, width);
}

static int read_plain_stage(struct parser *p, unsigned ends, size_t begin)
{
        bool first = ends & CHAIN_FIRST, last;
        size_t width, name_length;
        struct word *w;
        int stage, r = read_words(p);

        if (r < 0)
                return r;
        last = p->text[p->at] == '\0' || ends_branch(p);
        if (p->words_nr == 0)
                return fail_at(p, begin, 1, first && last && !p->depth ? "the pipeline is empty" : "there is no stage here");
        w = &p->words[0];
        width = p->words[p->words_nr - 1].end - w->begin;
        name_length = stage_name_length(w);
        if (w->length == 1 && w->text[0] == '-' && !w->quoted[0]) {
                stage = add_dash(p, w, first && !p->nested, last && ends & CHAIN_OPEN_OUT);
        } else if (name_length) {
                stage = add_stage(p, w, name_length);
        } else {
                p->last_is_open = p->any_command = 1;
                r = ends & CHAIN_OPEN_IN ? add_open_end(p, STDIN_FILENO, w->begin, width) : 0;
                stage = r < 0 ? r : add_command(p);
        }
        return stage < 0 ? stage : keep_stage(p, stage, w->begin, width);
}

static int read_stage(struct parser *p, unsigned ends)
{
        words_clear(p);
        skip_space(p);
        p->last_is_open = 0;
        p->written_nr++;
        return is_graph(p) ? read_graph(p, ends) : read_plain_stage(p, ends, p->at);
}

/* What a last command leaves open is standard output. */
int read_chain(struct parser *p, unsigned ends)
{
        int r = read_stage(p, ends);

        while (r == 0 && p->text[p->at] == '|') {
                p->at++;
                r = read_stage(p, ends & (CHAIN_OPEN_OUT | CHAIN_GIVES));
        }
        if (r == 0 && p->last_is_open && ends & CHAIN_OPEN_OUT)
                r = add_open_end(p, STDOUT_FILENO, p->result->column[p->last_stage], p->result->width[p->last_stage]);
        p->last_is_open = 0;
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
        skip_space(&p);
        if (text[p.at] == '\0')
                return copy_standard(&p);
        r = read_chain(&p, CHAIN_FIRST | CHAIN_OPEN_IN | CHAIN_OPEN_OUT);
        if (r == 0 && ret->stages_nr == 1 && !p.any_command)
                r = fail_at(&p, ret->column[0], ret->width[0], "one stage moves nothing: say where the bytes go ('file:x | -')");
        words_clear(&p);
        free(p.words);
        return r < 0 ? r : check_limits(&p);
}

void language_print_error(const char *text, const struct language_error *e)
{
        fprintf(stderr, "sluice: %s\n", e->message);
        if (strchr(text, '\n') || e->width == 0)
                return; /* marks under several lines point nowhere, and none is for all of it */
        fprintf(stderr, "  %s\n  %*s", text, (int)e->column, "");
        for (size_t i = 0; i < e->width; i++)
                fputc(i ? '~' : '^', stderr);
        fputc('\n', stderr);
}

int language_build_whole(struct sluice_pipeline *p, const char *text, struct language_result *ret)
{
        struct language_error e = { 0 };
        int stage, r = language_build(p, text, NULL, ret, &e);

        if (r == 0) {
                r = sluice_pipeline_build(p);
                stage = sluice_pipeline_error_stage(p);
                snprintf(e.message, sizeof(e.message), "%s", sluice_pipeline_error(p));
                if (r < 0 && stage >= 0 && stage < ret->stages_nr) {
                        e.column = ret->column[stage];
                        e.width = ret->width[stage];
                }
        }
        if (r == 0)
                return 0;
        if (!e.message[0])
                snprintf(e.message, sizeof(e.message), "%s", strerror(-r));
        language_print_error(text, &e);
        return EXIT_USAGE;
}
