/* stages_report.c: what a stage has to say of a run is in its result: count says how many bytes and lines there were,
 * checksum what others compute of the same bytes, however small the pieces in which they came. A name that is used again
 * is replaced, and more than SLUICE_REPORTS_MAX names are refused. */
#include "parts.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A source of known bytes in pieces of `step` at most. */
struct text {
        const uint8_t *data;
        size_t bytes, at, step;
};

static ssize_t read_text(void *arg, void *data, size_t cap)
{
        struct text *t = arg;
        size_t n = t->bytes - t->at;

        n = n < cap ? n : cap;
        n = n < t->step ? n : t->step;
        if (n)
                memcpy(data, t->data + t->at, n);
        t->at += n;
        return (ssize_t)n;
}

static const char *report(const struct sluice_pipeline *p, int stage, const char *name)
{
        struct sluice_stage_result r = t_result(p, stage);

        for (int i = 0; i < SLUICE_REPORTS_MAX && r.reports[i].name; i++)
                if (strcmp(r.reports[i].name, name) == 0)
                        return r.reports[i].value;
        fail_msg("stage %d has no report '%s'", stage, name);
        return NULL;
}

static int reports(const struct sluice_pipeline *p, int stage)
{
        struct sluice_stage_result r = t_result(p, stage);
        int n = 0;

        while (n < SLUICE_REPORTS_MAX && r.reports[n].name)
                n++;
        return n;
}

/* ---- count ---- */

static void count(const char *text, size_t step, bool last, const char *lines)
{
        struct text from = { .data = (const uint8_t *)text, .bytes = strlen(text), .step = step };
        struct sluice_pipeline *p = t_new(NULL);
        char bytes[32];

        snprintf(bytes, sizeof(bytes), "%zu", from.bytes);
        t_ok(sluice_add_reader(p, read_text, &from, -1));
        t_ok(sluice_add_count(p));
        if (!last)
                t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_string_equal(report(p, 1, "bytes"), bytes);
        assert_string_equal(report(p, 1, "lines"), lines);
        assert_int_equal(reports(p, 0), 0);
        assert_int_equal(reports(p, 1), 2);
        sluice_pipeline_free(p);
        if (!last)
                t_check_text(t_path("b"), text);
}

static void test_count(void **state)
{
        static const struct {
                const char *text, *lines;
        } cases[] = {
                { "", "0" },     { "\n", "1" },     { "a", "1" },   { "a\n", "1" },
                { "a\nb", "2" }, { "\n\n\n", "3" }, { "\na", "2" }, { "one\ntwo\n\nfour", "4" },
        };
        static const size_t steps[] = { 1, 2, 4096 };

        (void)state;
        for (size_t i = 0; i < T_NR(cases); i++)
                for (size_t k = 0; k < T_NR(steps) * 2; k++)
                        count(cases[i].text, steps[k / 2], k % 2, cases[i].lines);
}

/* ---- checksums ---- */

static void check_checksum(const void *data, size_t bytes, size_t step, enum sluice_checksum kind, const char *expected)
{
        const char *name = kind == SLUICE_CHECKSUM_XXH3 ? "xxh3" : "sha256";
        struct text from = { .data = data, .bytes = bytes, .step = step };
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_reader(p, read_text, &from, -1));
        t_ok(sluice_add_checksum(p, kind));
        t_ok(sluice_add_checksum(p, kind)); /* it has passed on what it was given; this one is the last */
        t_chain(p);
        t_run(p, 0);
        for (int stage = 1; stage < 3; stage++) {
                assert_string_equal(report(p, stage, name), expected);
                assert_int_equal(reports(p, stage), 1);
        }
        sluice_pipeline_free(p);
}

static void xxh3_of(const void *data, size_t bytes, char *text, size_t cap)
{
        XXH128_hash_t h = XXH3_128bits(data, bytes);

        snprintf(text, cap, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

/* As another program says it. */
static void sha256_of(const void *data, size_t bytes, char *text, size_t cap)
{
        FILE *f = fopen(t_path("summed"), "we"), *sum;
        char command[256];

        assert_non_null(f);
        assert_int_equal(fwrite(data, 1, bytes, f), bytes);
        assert_int_equal(fclose(f), 0);
        snprintf(command, sizeof(command), "sha256sum <%s", t_path("summed"));
        sum = popen(command, "re");
        assert_non_null(sum);
        assert_non_null(fgets(text, (int)cap, sum));
        assert_int_equal(pclose(sum), 0);
        text[strspn(text, "0123456789abcdef")] = '\0';
}

typedef void digest_fn(const void *data, size_t bytes, char *text, size_t cap);

static void agree(enum sluice_checksum kind, digest_fn *digest, const uint8_t *data)
{
        static const size_t sizes[] = { 0, 3, 64, 240, 241, 65536, 65537, T_MIB };
        static const size_t steps[] = { 997, 65536, T_MIB };
        char expected[80];

        for (size_t i = 0; i < T_NR(sizes); i++) {
                digest(data, sizes[i], expected, sizeof(expected));
                for (size_t k = 0; k < T_NR(steps); k++)
                        check_checksum(data, sizes[i], steps[k], kind, expected);
        }
        digest(data, 241, expected, sizeof(expected));
        check_checksum(data, 241, 1, kind, expected);
}

static void test_checksums_agree(void **state)
{
        uint8_t *data = malloc(T_MIB);
        struct sluice_pipeline *p = t_new(NULL);
        bool nettle = sluice_add_checksum(p, SLUICE_CHECKSUM_SHA256) != -ENOPKG;

        (void)state;
        sluice_pipeline_free(p);
        t_pattern(data, T_MIB, 0);
        agree(SLUICE_CHECKSUM_XXH3, xxh3_of, data);
        if (nettle)
                agree(SLUICE_CHECKSUM_SHA256, sha256_of, data);
        free(data);
}

/* The digits are those that everybody prints. */
static void test_known_checksums(void **state)
{
        static const struct {
                const char *text;
                enum sluice_checksum kind;
                const char *expected;
        } cases[] = {
                { "", SLUICE_CHECKSUM_XXH3, "99aa06d3014798d86001c324468d497f" },
                { "", SLUICE_CHECKSUM_SHA256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
                { "abc", SLUICE_CHECKSUM_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        };
        struct sluice_pipeline *p = t_new(NULL);
        bool nettle = sluice_add_checksum(p, SLUICE_CHECKSUM_SHA256) != -ENOPKG;

        (void)state;
        assert_int_equal(sluice_add_checksum(p, (enum sluice_checksum)9), -EINVAL);
        sluice_pipeline_free(p);
        for (size_t i = 0; i < T_NR(cases); i++)
                if (nettle || cases[i].kind == SLUICE_CHECKSUM_XXH3)
                        check_checksum(cases[i].text, strlen(cases[i].text), 1, cases[i].kind, cases[i].expected);
}

/* ---- a stage of the host's own ---- */

struct said {
        int results[SLUICE_REPORTS_MAX + 3];
        unsigned nr;
};

static void say(struct sluice_ctx *c, struct said *s, const char *name, int value)
{
        char text[16];

        snprintf(text, sizeof(text), "%d", value);
        s->results[s->nr++] = sluice_ctx_report(c, name, text);
        memset(text, '#', sizeof(text)); /* it was copied */
}

static const char *const names[SLUICE_REPORTS_MAX] = { "a", "b", "c", "d", "e", "f", "g", "h" };

/* All names, then the first anew, one too many, and the last anew. */
static int talk(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct said *s = t_arg(c);

        (void)self;
        (void)in;
        (void)out;
        for (int i = 0; i < SLUICE_REPORTS_MAX; i++)
                say(c, s, names[i], i);
        say(c, s, "a", 100);
        say(c, s, "one too many", 101);
        say(c, s, "h", 102);
        return SLUICE_END;
}

static const struct sluice_stage_ops talk_ops = T_FUNCTION(talk);

static void test_names_are_replaced_and_limited(void **state)
{
        struct said s = { 0 };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_pipeline_add(p, &talk_ops, &s, NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(s.nr, SLUICE_REPORTS_MAX + 3);
        for (unsigned i = 0; i < s.nr; i++)
                assert_int_equal(s.results[i], i == SLUICE_REPORTS_MAX + 1 ? -ENOSPC : 0);
        assert_int_equal(reports(p, 0), SLUICE_REPORTS_MAX);
        assert_string_equal(report(p, 0, "a"), "100");
        assert_string_equal(report(p, 0, "b"), "1");
        assert_string_equal(report(p, 0, "g"), "6");
        assert_string_equal(report(p, 0, "h"), "102");
        assert_int_equal(reports(p, 1), 0);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_count),
                T_TEST(test_checksums_agree),
                T_TEST(test_known_checksums),
                T_TEST(test_names_are_replaced_and_limited),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
