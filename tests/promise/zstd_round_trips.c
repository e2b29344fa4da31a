/* zstd_round_trips.c: what compress makes, decompress and the program zstd give back exactly, at every level; frames may
 * follow each other. What is cut, damaged or no zstd at all fails, and an atomic file that was to be replaced stays. Neither
 * stage stands first or last. */
#include <sys/stat.h>

#include "parts.h"

enum { MUCH = 5 * T_MIB };

static const int levels[] = { 1, 3, 19 };
static const size_t sizes[] = { 0, 1, 65535, MUCH };

/* The data of all: half pattern, half zeros. */
static uint8_t *data[2];

/* libzstd is loaded when it is wanted: without it there is nothing to test. */
static void need_zstd(void)
{
        struct sluice_pipeline *p = t_new(NULL);
        int r = sluice_add_decompress(p);

        sluice_pipeline_free(p);
        if (r == -ENOPKG)
                skip();
}

static size_t read_file(const char *path, uint8_t *ret, size_t cap)
{
        FILE *f = fopen(path, "re");
        size_t n;

        assert_non_null(f);
        n = fread(ret, 1, cap, f);
        fclose(f);
        return n;
}

static void write_file(const char *path, const void *bytes, size_t nr)
{
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, nr, f), nr);
        assert_int_equal(fclose(f), 0);
}

static void check_file(const char *path, const uint8_t *expected, size_t bytes)
{
        uint8_t *is = malloc(bytes + 1);

        assert_int_equal(read_file(path, is, bytes + 1), bytes);
        assert_int_equal(memcmp(is, expected, bytes), 0);
        free(is);
}

static void compress_to(const char *path, const uint8_t *bytes, size_t nr, int level)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_memory(p, bytes, nr));
        t_ok(sluice_add_compress(p, level));
        t_ok(sluice_add_file(p, path, NULL));
        t_chain(p);
        t_run_free(p, 0);
}

/* From a file, or from a command when one is given. */
static void decompress(char *const argv[], const char *path, int expected, const struct sluice_file_options *sink)
{
        struct sluice_pipeline *p = t_new(NULL);
        int stage;

        t_ok(argv ? sluice_add_command(p, argv, NULL) : sluice_add_file(p, path, NULL));
        stage = t_ok(sluice_add_decompress(p));
        t_ok(sluice_add_file(p, t_path("b"), sink));
        t_chain(p);
        t_run(p, expected);
        if (expected)
                assert_int_equal(sluice_pipeline_error_stage(p), stage);
        sluice_pipeline_free(p);
}

/* Without a file between them: a buffer that is full at every call, or nearly empty. */
static void through_both(const uint8_t *bytes, size_t nr, int level)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_memory(p, bytes, nr));
        t_ok(sluice_add_compress(p, level));
        t_ok(sluice_add_decompress(p));
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(t_stats(p, 1).mode, SLUICE_LINK_HANDOVER);
        sluice_pipeline_free(p);
        check_file(t_path("b"), bytes, nr);
}

static void round_trip(const uint8_t *bytes, size_t nr, int level)
{
        compress_to(t_path("a.zst"), bytes, nr, level);
        decompress(NULL, t_path("a.zst"), 0, NULL);
        check_file(t_path("b"), bytes, nr);
        through_both(bytes, nr, level);
}

static void test_round_trips(void **state)
{
        (void)state;
        need_zstd();
        for (size_t i = 0; i < T_NR(levels) * T_NR(sizes) * T_NR(data); i++)
                round_trip(data[i % 2], sizes[i / 2 % T_NR(sizes)], levels[i / 2 / T_NR(sizes)]);
}

static void test_zeros_become_small(void **state)
{
        struct stat st;

        (void)state;
        need_zstd();
        compress_to(t_path("a.zst"), data[1], MUCH, 3);
        assert_return_code(stat(t_path("a.zst"), &st), errno);
        assert_true(st.st_size > 0 && st.st_size < MUCH / 100);
}

static void test_the_program_reads_it(void **state)
{
        char path[160];

        (void)state;
        need_zstd();
        if (system("zstd --version >/dev/null 2>&1") != 0)
                skip();
        strcpy(path, t_path("a.zst"));
        for (size_t i = 0; i < T_NR(sizes) * T_NR(data); i++) {
                struct sluice_pipeline *p = t_new(NULL);

                compress_to(path, data[i % 2], sizes[i / 2], 0);
                t_ok(sluice_add_command(p, T_ARGV("zstd", "-dc", path), NULL));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run_free(p, 0);
                check_file(t_path("b"), data[i % 2], sizes[i / 2]);
        }
}

static void test_frames_may_follow_each_other(void **state)
{
        char one[160], two[160];

        (void)state;
        need_zstd();
        strcpy(one, t_path("1.zst"));
        strcpy(two, t_path("2.zst"));
        for (size_t i = 0; i < T_NR(sizes); i++) {
                compress_to(one, data[0], sizes[i], 1);
                compress_to(two, data[0] + sizes[i], MUCH - sizes[i], 3);
                decompress(T_ARGV("cat", one, two), NULL, 0, NULL);
                check_file(t_path("b"), data[0], MUCH);
        }
}

/* ---- what is no zstd ---- */

enum { DAMAGED = 70000 };

/* A frame of DAMAGED bytes of pattern. */
static size_t a_frame(uint8_t *ret, size_t cap)
{
        compress_to(t_path("a.zst"), data[0], DAMAGED, 1);
        return read_file(t_path("a.zst"), ret, cap);
}

static void refused(const uint8_t *bytes, size_t nr)
{
        t_make_text(t_path("b"), "old");
        write_file(t_path("bad"), bytes, nr);
        decompress(NULL, t_path("bad"), -EBADMSG, T_FILE(.flags = SLUICE_FILE_ATOMIC));
        t_check_text(t_path("b"), "old");
        assert_int_equal(t_files(), 3);
}

static void test_cut_frames(void **state)
{
        uint8_t frame[2 * DAMAGED];
        size_t bytes;

        (void)state;
        need_zstd();
        bytes = a_frame(frame, sizeof(frame));
        for (size_t cut = 1; cut < 10; cut++) {
                refused(frame, cut);
                refused(frame, bytes - cut);
                refused(frame, bytes * cut / 10);
        }
}

static void test_damaged_frames(void **state)
{
        uint8_t frame[2 * DAMAGED];
        size_t bytes;

        (void)state;
        need_zstd();
        bytes = a_frame(frame, sizeof(frame));
        for (size_t i = 0; i < 10; i++) {
                size_t at = (bytes - 1) * i / 9; /* the first is the magic number's, the last the checksum's */

                frame[at] ^= 0x55;
                refused(frame, bytes);
                frame[at] ^= 0x55;
        }
        memcpy(frame + bytes, "trailing", 8);
        refused(frame, bytes + 8);
}

static void test_garbage(void **state)
{
        (void)state;
        need_zstd();
        a_frame((uint8_t[2 *DAMAGED]){ 0 }, 2 * DAMAGED);
        refused((const uint8_t *)"x", 1);
        refused((const uint8_t *)"this is a text\n", 15);
        refused(data[0], DAMAGED);
        refused(data[1], DAMAGED);
}

/* ---- where they stand ---- */

static int add_compress(struct sluice_pipeline *p)
{
        return sluice_add_compress(p, 0);
}

static void refused_at_build(int (*add)(struct sluice_pipeline *), bool first)
{
        struct sluice_pipeline *p = t_new(NULL);
        int stage = 0;

        if (first)
                stage = t_ok(add(p));
        t_ok(first ? sluice_add_file(p, t_path("b"), NULL) : sluice_add_zero(p, 100));
        if (!first)
                stage = t_ok(add(p));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), -ENOTSUP);
        assert_int_equal(sluice_pipeline_error_stage(p), stage);
        assert_non_null(strstr(sluice_pipeline_error(p), "between two stages"));
        sluice_pipeline_free(p);
        assert_int_equal(t_files(), 0);
}

static void test_neither_first_nor_last(void **state)
{
        (void)state;
        need_zstd();
        for (int first = 0; first < 2; first++) {
                refused_at_build(add_compress, first);
                refused_at_build(sluice_add_decompress, first);
        }
}

static void test_levels_that_are_none(void **state)
{
        static const int wrong[] = { 20, 99, -8, -1000 }, right[] = { -7, -1, 0, 1, 19 };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        need_zstd();
        for (size_t i = 0; i < T_NR(wrong); i++)
                assert_int_equal(sluice_add_compress(p, wrong[i]), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
        for (size_t i = 0; i < T_NR(right); i++)
                round_trip(data[0], 65535, right[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_round_trips),
                T_TEST(test_zeros_become_small),
                T_TEST(test_the_program_reads_it),
                T_TEST(test_frames_may_follow_each_other),
                T_TEST(test_cut_frames),
                T_TEST(test_damaged_frames),
                T_TEST(test_garbage),
                T_TEST(test_neither_first_nor_last),
                T_TEST(test_levels_that_are_none),
        };
        int r;

        data[0] = malloc(MUCH);
        data[1] = calloc(1, MUCH);
        if (!data[0] || !data[1])
                return 1;
        t_pattern(data[0], MUCH, 0);
        r = cmocka_run_group_tests(tests, NULL, NULL);
        free(data[0]);
        free(data[1]);
        return r;
}
