/* flow.c: the model of what flows through a link, and what is wrong with what came out. See random.h.
 *
 * Where the order is known the bytes are compared. Else each line says whose it is, and is compared with what it should be;
 * of a source that comes m times over there are m readers that each go on by one line, or all of whom it has passed:
 *
 *      at[i]: how many of them stand before line i       line i arrived:  at[i] > 0, at[i]--, at[i + 1]++
 *
 * and at the end all m stand behind the last line. Shuffled, or with lines dropped, only how often each came is known. */
#include "random.h"

size_t flow_bytes(const struct flow *f, const struct content *contents)
{
        size_t n = 0;

        for (unsigned i = 0; i < f->nr; i++)
                n += contents[f->pieces[i].source].bytes + f->pieces[i].newline;
        return n;
}

static int last_piece(const struct flow *f, const struct content *contents)
{
        for (int i = (int)f->nr - 1; i >= 0; i--)
                if (contents[f->pieces[i].source].bytes)
                        return i;
        return -1;
}

bool flow_is_ragged(const struct flow *f, const struct content *contents)
{
        int i = last_piece(f, contents);

        return i >= 0 && contents[f->pieces[i].source].cut && !f->pieces[i].newline;
}

bool flow_is_binary(const struct flow *f, const struct content *contents)
{
        for (unsigned i = 0; i < f->nr; i++)
                if (contents[f->pieces[i].source].binary)
                        return true;
        return false;
}

void flow_end_line(struct flow *f, const struct content *contents)
{
        if (flow_is_ragged(f, contents))
                f->pieces[last_piece(f, contents)].newline = true;
}

void flow_append(struct flow *to, const struct flow *from)
{
        assert_true(to->nr + from->nr <= PIECES_MAX);
        for (unsigned i = 0; i < from->nr; i++)
                to->pieces[to->nr++] = from->pieces[i];
        for (int i = 0; i < STAGES_MAX; i++)
                to->lost[i] = (uint8_t)(to->lost[i] + from->lost[i]);
        to->order = from->order > to->order ? from->order : to->order;
        to->lossy |= from->lossy;
}

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (a[i] != b[i])
                        return i;
        return n;
}

static void check_exact(const struct flow *f, const struct content *contents, const struct bytes *got, bool loose, char *why,
                        size_t cap)
{
        size_t at = 0, all = flow_bytes(f, contents);

        for (unsigned i = 0; i < f->nr && at < got->len; i++) {
                const struct content *c = &contents[f->pieces[i].source];
                size_t n = c->bytes + f->pieces[i].newline, have = got->len - at < n ? got->len - at : n;
                size_t same = first_difference(c->data, got->data + at, have);

                /* A merge of lines ends the one that was cut. */
                if (loose && same < have && at + same + 1 == got->len && got->data[at + same] == '\n')
                        return;
                if (same < have) {
                        snprintf(why, cap, "byte %zu differs: it is %d, not byte %zu of source %u, which is %d", at + same,
                                 got->data[at + same], same, f->pieces[i].source, c->data[same]);
                        return;
                }
                at += have;
        }
        if (got->len > all || (got->len < all && !loose))
                snprintf(why, cap, "%zu bytes came instead of %zu", got->len, all);
}

/* ---- lines ---- */

struct tally {
        unsigned times;
        uint16_t *at; /* readers before each line; or how often it came */
        size_t last;  /* the one that came last, from 1 */
};

/* The number at *at, and the blank behind it. -1: there is none. */
static long number(const uint8_t **at, const uint8_t *end)
{
        long n = 0;
        const uint8_t *begin = *at;

        while (*at < end && **at >= '0' && **at <= '9' && n < 100000000)
                n = n * 10 + *(*at)++ - '0';
        if (*at == begin || *at == end || **at != ' ')
                return -1;
        ++*at;
        return n;
}

static const char *count_line(struct tally *t, const struct flow *f, size_t i)
{
        bool readers = f->order == FLOW_IN_ORDER && !f->lossy;

        if (readers) {
                if (t->at[i] == 0)
                        return "is out of order, or came too often";
                t->at[i]--;
                t->at[i + 1]++;
                return NULL;
        }
        if (t->at[i]++ >= t->times)
                return "came too often";
        if (f->order == FLOW_IN_ORDER && t->times == 1 && i + 1 <= t->last)
                return "is out of order";
        t->last = i + 1;
        return NULL;
}

/* A line of the bag; `loose`: what is cut short is forgiven. */
static const char *check_line(const struct flow *f, const struct content *contents, struct tally *tallies, const uint8_t *line,
                              size_t bytes, bool loose)
{
        const uint8_t *at = line;
        long source = number(&at, line + bytes), i = source < 0 ? -1 : number(&at, line + bytes);
        const struct content *c;
        size_t n;

        if (i < 0)
                return loose ? NULL : "has no head";
        if (source >= SOURCES_MAX || !tallies[source].times || (size_t)i >= contents[source].lines_nr)
                return "is nobody's";
        c = &contents[source];
        n = c->lines[i + 1] - c->lines[i];
        if (loose && bytes < n && memcmp(line, c->data + c->lines[i], bytes - (line[bytes - 1] == '\n')) == 0)
                return NULL;
        if (bytes != n || memcmp(line, c->data + c->lines[i], n) != 0)
                return "is not as it was sent";
        return loose && f->order != FLOW_SHUFFLED && f->lossy ? NULL : count_line(&tallies[source], f, (size_t)i);
}

static void check_end(const struct flow *f, const struct content *contents, struct tally *tallies, char *why, size_t cap)
{
        bool readers = f->order == FLOW_IN_ORDER;

        for (unsigned s = 0; s < SOURCES_MAX && !*why; s++)
                for (size_t i = 0; tallies[s].times && i < contents[s].lines_nr && !*why; i++)
                        if (tallies[s].at[i] != (readers ? 0 : tallies[s].times))
                                snprintf(why, cap, "line %zu of source %u is missing: %u of %u", i, s, tallies[s].at[i],
                                         tallies[s].times);
}

static void tallies_init(struct tally *tallies, const struct flow *f, const struct content *contents)
{
        for (unsigned i = 0; i < f->nr; i++)
                tallies[f->pieces[i].source].times++;
        for (unsigned s = 0; s < SOURCES_MAX; s++) {
                if (!tallies[s].times)
                        continue;
                tallies[s].at = calloc(contents[s].lines_nr + 1, sizeof(*tallies[s].at));
                assert_non_null(tallies[s].at);
                if (f->order == FLOW_IN_ORDER && !f->lossy)
                        tallies[s].at[0] = (uint16_t)tallies[s].times;
        }
}

static void check_lines(const struct flow *f, const struct content *contents, const struct bytes *got, bool loose, char *why,
                        size_t cap)
{
        struct tally tallies[SOURCES_MAX] = { 0 };

        tallies_init(tallies, f, contents);
        for (size_t at = 0; at < got->len && !*why;) {
                const uint8_t *end = memchr(got->data + at, '\n', got->len - at);
                size_t n = end ? (size_t)(end + 1 - got->data) - at : got->len - at;
                const char *wrong = check_line(f, contents, tallies, got->data + at, n, loose);

                if (wrong)
                        snprintf(why, cap, "the line of %zu bytes at %zu, '%.*s', %s", n, at, (int)(n < 24 ? n : 24),
                                 (const char *)got->data + at, wrong);
                at += n;
        }
        if (!loose && !f->lossy && !*why)
                check_end(f, contents, tallies, why, cap);
        for (unsigned s = 0; s < SOURCES_MAX; s++)
                free(tallies[s].at);
}

void flow_check(const struct flow *f, const struct content *contents, const struct bytes *got, bool loose, char *why, size_t cap)
{
        *why = '\0';
        if (f->order == FLOW_EXACT)
                check_exact(f, contents, got, loose, why, cap);
        else
                check_lines(f, contents, got, loose, why, cap);
}
