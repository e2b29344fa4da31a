/* tools/words.c: words of the pipeline language, quoted as in POSIX sh, without expansion or substitution. Called by language.c
 * and graphs.c. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser.h"

/* As isspace() has it in the C locale, and without the page of libc that its table is on. */
static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

int fail_at(struct parser *p, size_t column, size_t width, const char *format, ...)
{
        va_list args;

        p->error->column = column;
        p->error->width = width ? width : 1;
        va_start(args, format);
        vsnprintf(p->error->message, sizeof(p->error->message), format, args);
        va_end(args);
        return -EINVAL;
}

void word_free(struct word *w)
{
        free(w->text);
        free(w->quoted);
        free(w->column);
}

void words_clear(struct parser *p)
{
        for (size_t i = 0; i < p->words_nr; i++)
                word_free(&p->words[i]);
        p->words_nr = 0;
}

/* For one more character and the end. A word grows: room for all that may follow, for each of many words, would be too much. */
static bool word_reserve(struct word *w)
{
        size_t cap = w->cap ? w->cap * 2 : 16;
        char *text;
        unsigned char *quoted;
        size_t *column;

        if (w->length + 1 < w->cap)
                return true;
        text = realloc(w->text, cap);
        w->text = text ? text : w->text;
        quoted = realloc(w->quoted, cap);
        w->quoted = quoted ? quoted : w->quoted;
        column = realloc(w->column, cap * sizeof(*column));
        w->column = column ? column : w->column;
        if (!text || !quoted || !column)
                return false;
        w->cap = cap;
        return true;
}

static void word_add(struct word *w, char c, int quoted, size_t column)
{
        w->no_memory = w->no_memory || !word_reserve(w);
        if (w->no_memory)
                return;
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

bool ends_branch(const struct parser *p)
{
        const char *at = p->text + p->at;

        return p->depth > 0 && (*at == ')' || (*at == ',' && (is_space(at[1]) || !at[1])));
}

int read_word(struct parser *p, struct word *w)
{
        int r = 0;

        *w = (struct word){ .begin = p->at };
        w->no_memory = !word_reserve(w);
        while (r == 0) {
                char c = p->text[p->at];

                if (!c || is_space(c) || c == '|' || ends_branch(p))
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
        w->end = p->at;
        if (w->no_memory)
                r = -ENOMEM;
        if (r < 0)
                word_free(w);
        else
                w->text[w->length] = '\0';
        return r;
}

void skip_space(struct parser *p)
{
        while (is_space(p->text[p->at]))
                p->at++;
}

static int words_add(struct parser *p, const struct word *w)
{
        if (p->words_nr == p->words_cap) {
                size_t cap = p->words_cap ? p->words_cap * 2 : 8;
                struct word *words = realloc(p->words, cap * sizeof(*words));

                if (!words)
                        return -ENOMEM;
                p->words = words;
                p->words_cap = cap;
        }
        p->words[p->words_nr++] = *w;
        return 0;
}

int read_words(struct parser *p)
{
        for (skip_space(p); p->text[p->at] && p->text[p->at] != '|' && !ends_branch(p); skip_space(p)) {
                struct word w;
                int r = read_word(p, &w);

                if (r < 0)
                        return r;
                r = words_add(p, &w);
                if (r < 0) {
                        word_free(&w);
                        return r;
                }
        }
        return 0;
}

int split_parts(struct word *w, size_t from, struct parts *s)
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

size_t column_of(const struct word *w, size_t character)
{
        return character < w->length ? w->column[character] : w->end;
}

void parts_free(struct parts *s)
{
        free(s->options);
        free(s->begin);
        free(s->end);
}
