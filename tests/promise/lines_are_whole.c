/* lines_are_whole.c: whatever pieces a text comes in, what goes on behind lines ends with a newline each time, but for a
 * last line that has none, and not a byte is lost; a filter sees every line once and whole, and those it keeps go on. A line
 * of max bytes passes, a longer one fails with its number. */
#include <time.h>

#include "parts.h"

enum { PIECE = 40, TEXT = 200000, ROUNDS = 20 };

/* A source of a text in random pieces. */
struct text {
        const char *data;
        size_t bytes, at, piece; /* at most */
        unsigned seed;
};

static ssize_t read_text(void *arg, void *data, size_t cap)
{
        struct text *t = arg;
        size_t left = t->bytes - t->at, n = 1 + (size_t)rand_r(&t->seed) % t->piece;

        n = n < left ? n : left;
        n = n < cap ? n : cap;
        if (n)
                memcpy(data, t->data + t->at, n);
        t->at += n;
        return (ssize_t)n;
}

/* What came, and in what pieces. */
struct kept {
        char *data;
        size_t bytes, cap;
        bool open; /* the last piece ended within a line */
        size_t pieces, broken;
};

static int keep_pieces(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct kept *k = t_arg(c);

        (void)self;
        (void)out;
        if (in->len == 0)
                return 0;
        if (in->len > k->cap - k->bytes)
                return -EFBIG;
        k->broken += k->open;
        k->open = in->data[in->len - 1] != '\n';
        k->pieces++;
        memcpy(k->data + k->bytes, in->data, in->len);
        k->bytes += in->len;
        in->consumed = in->len;
        return 0;
}

static const struct sluice_stage_ops keep_pieces_ops = T_FUNCTION(keep_pieces);

/* Lines of up to `longest` bytes, some of them empty. Yours to free. */
static char *random_text(size_t bytes, size_t longest, unsigned *seed)
{
        char *text = malloc(bytes + 1);
        size_t left = 0;

        assert_non_null(text);
        for (size_t i = 0; i < bytes; i++) {
                text[i] = left ? (char)('a' + rand_r(seed) % 26) : '\n';
                left = left ? left - 1 : (size_t)rand_r(seed) % (longest + 1);
        }
        text[bytes] = '\0';
        return text;
}

/* Another one each time; SEED=N repeats it. */
static unsigned new_seed(void)
{
        const char *given = getenv("SEED");
        unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL) ^ (unsigned)getpid() << 16;

        print_message("SEED=%u\n", seed);
        return seed;
}

/* ---- lines ---- */

static void check_whole(const struct kept *k, const char *text, size_t bytes)
{
        assert_int_equal(k->broken, 0);
        assert_int_equal(k->bytes, bytes);
        assert_int_equal(memcmp(k->data, text, bytes), 0);
        assert_int_equal(k->open, bytes > 0 && text[bytes - 1] != '\n');
}

static void pass(const char *text, size_t bytes, size_t piece, unsigned seed, size_t max)
{
        struct text from = { .data = text, .bytes = bytes, .piece = piece, .seed = seed };
        struct kept k = { .data = malloc(bytes + 1), .cap = bytes };
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_reader(p, read_text, &from, -1));
        t_ok(sluice_add_lines(p, max));
        t_ok(sluice_pipeline_add(p, &keep_pieces_ops, &k, NULL));
        t_chain(p);
        t_run_free(p, 0);
        check_whole(&k, text, bytes);
        free(k.data);
}

static void test_random_pieces(void **state)
{
        unsigned seed = new_seed();

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                size_t longest = 1 + (size_t)rand_r(&seed) % 300, piece = 1 + (size_t)rand_r(&seed) % (i % 2 ? 5000 : PIECE);
                char *text = random_text(TEXT, longest, &seed);

                pass(text, TEXT, piece, seed, longest);
                free(text);
        }
}

static void test_small_texts(void **state)
{
        static const char *const texts[] = {
                "", "\n", "a", "a\n", "\na", "\n\n\n", "a\nb", "a\nb\n", "\n\na\n\n", "one\ntwo\nthree"
        };

        (void)state;
        for (size_t i = 0; i < T_NR(texts); i++)
                for (size_t piece = 1; piece < 6; piece++)
                        pass(texts[i], strlen(texts[i]), piece, (unsigned)i, 0);
}

/* Pieces of a file are as large as buffers, and cut lines wherever. */
static void test_from_a_file(void **state)
{
        struct kept k = { .cap = 3 * T_MIB };
        unsigned seed = new_seed();
        char *text = random_text(k.cap, 3000, &seed);
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        k.data = malloc(k.cap);
        t_make_text(t_path("a"), text);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_lines(p, 0));
        t_ok(sluice_pipeline_add(p, &keep_pieces_ops, &k, NULL));
        t_chain(p);
        t_run_free(p, 0);
        check_whole(&k, text, k.cap);
        assert_true(k.pieces > 1);
        free(text);
        free(k.data);
}

/* ---- the longest line ---- */

static int all(void *arg, const char *line, size_t bytes)
{
        (void)line;
        *(size_t *)arg += bytes;
        return 1;
}

struct long_line {
        size_t before, length; /* lines before it; its bytes, without the newline */
        bool newline;
        size_t max;
};

/* Yours to free. */
static char *text_of(const struct long_line *l, size_t *ret)
{
        size_t bytes = 2 * l->before + l->length + l->newline;
        char *text = malloc(bytes + 1);

        assert_non_null(text);
        for (size_t i = 0; i < l->before; i++)
                memcpy(text + 2 * i, "x\n", 2);
        memset(text + 2 * l->before, 'y', l->length);
        if (l->newline)
                text[bytes - 1] = '\n';
        *ret = bytes;
        return text;
}

/* By lines, by a filter that keeps all, and by both as the last stage. */
static void meet_limit(const struct long_line *l, size_t piece, bool filter, bool last)
{
        size_t bytes, seen = 0;
        char *text = text_of(l, &bytes), where[64];
        struct text from = { .data = text, .bytes = bytes, .piece = piece, .seed = 1 };
        struct kept k = { .data = malloc(bytes + 1), .cap = bytes };
        struct sluice_pipeline *p = t_new(NULL);
        bool fits = l->length <= (l->max ? l->max : 65536);

        snprintf(where, sizeof(where), "line %zu ", l->before + 1);
        t_ok(sluice_add_reader(p, read_text, &from, -1));
        t_ok(filter ? sluice_add_filter(p, all, &seen, l->max) : sluice_add_lines(p, l->max));
        if (!last)
                t_ok(sluice_pipeline_add(p, &keep_pieces_ops, &k, NULL));
        t_chain(p);
        print_message("line %zu of %zu bytes%s, max=%zu, pieces of %zu, %s%s\n", l->before + 1, l->length,
                      l->newline ? "" : " without newline", l->max, piece, filter ? "filter" : "lines", last ? ", last" : "");
        t_run(p, fits ? 0 : -EMSGSIZE);
        assert_int_equal(sluice_pipeline_error_stage(p), fits ? -1 : 1);
        if (!fits && !strstr(sluice_pipeline_error(p), where))
                fail_msg("no '%s' in: %s", where, sluice_pipeline_error(p));
        sluice_pipeline_free(p);
        if (fits && filter)
                assert_int_equal(seen, bytes);
        if (fits && !last)
                check_whole(&k, text, bytes);
        free(k.data);
        free(text);
}

static void limits(bool newline)
{
        static const struct {
                size_t before, max;
        } cases[] = { { 0, 1 }, { 0, 10 }, { 2, 10 }, { 999, 100 }, { 3, 0 }, { 3, 128 << 10 } };
        static const size_t pieces[] = { 1, 7, 1000, T_MIB };

        for (size_t i = 0; i < T_NR(cases) * T_NR(pieces) * 4; i++) {
                size_t max = cases[i / 4 / T_NR(pieces)].max, piece = pieces[i / 4 % T_NR(pieces)];
                struct long_line l = { .before = cases[i / 4 / T_NR(pieces)].before, .max = max, .newline = newline };

                if (max == 0 || max > 1000)
                        piece = piece < 1000 ? 1000 : piece;
                l.length = max ? max : 65536;
                meet_limit(&l, piece, i & 1, i & 2);
                l.length++;
                meet_limit(&l, piece, i & 1, i & 2);
        }
}

static void test_longest_line(void **state)
{
        (void)state;
        limits(true);
}

static void test_longest_line_is_the_last_and_has_no_newline(void **state)
{
        (void)state;
        limits(false);
}

static void test_limits_that_are_none(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        size_t seen = 0;

        (void)state;
        assert_int_equal(sluice_add_lines(p, (128 << 10) + 1), -EINVAL);
        assert_int_equal(sluice_add_filter(p, all, &seen, (128 << 10) + 1), -EINVAL);
        assert_int_equal(sluice_add_filter(p, NULL, NULL, 0), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
}

/* ---- filter ---- */

struct filter {
        const char *data; /* the whole text, to compare with */
        size_t bytes, at;
        size_t wrong, calls;
};

/* A line of the text, and the right one. */
static void check_line(struct filter *f, const char *line, size_t bytes)
{
        const char *begin = f->data + f->at, *newline = memchr(begin, '\n', f->bytes - f->at);
        size_t expected = newline ? (size_t)(newline - begin) + 1 : f->bytes - f->at;

        f->calls++;
        f->wrong += bytes != expected || memcmp(line, begin, bytes) != 0;
        f->at += expected;
}

static bool wanted(const char *line, size_t bytes)
{
        return memchr(line, 'e', bytes) != NULL;
}

static int keep_e(void *arg, const char *line, size_t bytes)
{
        check_line(arg, line, bytes);
        return wanted(line, bytes);
}

static int keep_none(void *arg, const char *line, size_t bytes)
{
        check_line(arg, line, bytes);
        return 0;
}

/* What is left of the text; yours to free. */
static char *filtered(const char *text, size_t bytes, size_t *ret)
{
        char *left = malloc(bytes + 1);

        *ret = 0;
        for (size_t at = 0; at < bytes;) {
                const char *newline = memchr(text + at, '\n', bytes - at);
                size_t n = newline ? (size_t)(newline - text - at) + 1 : bytes - at;

                if (wanted(text + at, n)) {
                        memcpy(left + *ret, text + at, n);
                        *ret += n;
                }
                at += n;
        }
        return left;
}

static void filter(const char *text, size_t bytes, size_t piece, unsigned seed, sluice_line_fn *fn)
{
        struct text from = { .data = text, .bytes = bytes, .piece = piece, .seed = seed };
        struct kept k = { .data = malloc(bytes + 1), .cap = bytes };
        struct filter f = { .data = text, .bytes = bytes };
        struct sluice_pipeline *p = t_new(NULL);
        size_t expected_bytes;
        char *expected = filtered(text, bytes, &expected_bytes);

        t_ok(sluice_add_reader(p, read_text, &from, -1));
        t_ok(sluice_add_filter(p, fn, &f, 0));
        t_ok(sluice_pipeline_add(p, &keep_pieces_ops, &k, NULL));
        t_chain(p);
        t_run_free(p, 0);
        assert_int_equal(f.wrong, 0);
        assert_int_equal(f.at, bytes);
        check_whole(&k, expected, fn == keep_none ? 0 : expected_bytes);
        free(expected);
        free(k.data);
}

static void test_filter_keeps_the_right_lines(void **state)
{
        unsigned seed = new_seed();

        (void)state;
        for (int i = 0; i < ROUNDS; i++) {
                char *text = random_text(TEXT, 1 + (size_t)rand_r(&seed) % 60, &seed);

                filter(text, TEXT, 1 + (size_t)rand_r(&seed) % (i % 2 ? 5000 : PIECE), seed, i % 5 ? keep_e : keep_none);
                free(text);
        }
}

static void test_filter_of_small_texts(void **state)
{
        static const char *const texts[] = {
                "", "\n", "e", "e\n", "a", "a\n", "\n\n\n", "e\na", "a\ne", "e\na\ne\n", "one\ntwo\nthree"
        };

        (void)state;
        for (size_t i = 0; i < T_NR(texts); i++)
                for (size_t piece = 1; piece < 6; piece++)
                        filter(texts[i], strlen(texts[i]), piece, (unsigned)i, keep_e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_random_pieces),
                T_TEST(test_small_texts),
                T_TEST(test_from_a_file),
                T_TEST(test_longest_line),
                T_TEST(test_longest_line_is_the_last_and_has_no_newline),
                T_TEST(test_limits_that_are_none),
                T_TEST(test_filter_keeps_the_right_lines),
                T_TEST(test_filter_of_small_texts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
