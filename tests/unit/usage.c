/* tests/unit/usage.c: RssAnon as /proc says it: what is a number and what is not, of one process and of a tree. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usage.h"

enum { HOG_BYTES = 8 << 20 };

/* ---- text ---- */

static void good_lines_are_bytes(void **state)
{
        static const struct {
                const char *text;
                uint64_t bytes;
        } rows[] = {
                { "Name:\tcat\nRssAnon:\t     104 kB\nRssFile:\t    1700 kB\n", 104 << 10 },
                { "\nRssAnon:\t0 kB\n", 0 },
                { "\nRssAnon:1 kB\n", 1 << 10 },
                { "\nRssAnon: \t 7 kB", 7 << 10 },
                { "\nRssAnon:\t007 kB\n", 7 << 10 },
                { "RssAnon: 5 kB\nRssAnon:\t6 kB\n", 6 << 10 }, /* the first line is the name's */
                { "Name:\tRssAnon: 3 kB\nRssAnon:\t4 kB\n", 4 << 10 },
                { "\nRssAnon:\t18014398509481983 kB\n", UINT64_MAX >> 10 << 10 },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(rows); i++) {
                uint64_t bytes = 42;

                assert_int_equal(usage_parse_rss_anon(rows[i].text, &bytes), 0);
                assert_int_equal(bytes, rows[i].bytes);
        }
}

static void bad_lines_are_refused_and_nothing_is_written(void **state)
{
        static const struct {
                const char *text;
                int error;
        } rows[] = {
                { "", -ENOENT },
                { "Name:\tcat\nRssFile:\t1 kB\n", -ENOENT },
                { "RssAnon:\t1 kB\n", -ENOENT },
                { "\nVmRssAnon:\t1 kB\n", -ENOENT },
                { "\nrssanon:\t1 kB\n", -ENOENT },
                { "\nRssAnon\t1 kB\n", -ENOENT },
                { "\nRssAnon:", -EINVAL },
                { "\nRssAnon:\t", -EINVAL },
                { "\nRssAnon:\t kB\n", -EINVAL },
                { "\nRssAnon:\n1 kB\n", -EINVAL },
                { "\nRssAnon:\tx1 kB\n", -EINVAL },
                { "\nRssAnon:\t-1 kB\n", -EINVAL },
                { "\nRssAnon:\t+1 kB\n", -EINVAL },
                { "\nRssAnon:\t1\n", -EINVAL },
                { "\nRssAnon:\t1kB\n", -EINVAL },
                { "\nRssAnon:\t1 MB\n", -EINVAL },
                { "\nRssAnon:\t1 k", -EINVAL },
                { "\nRssAnon:\t0x10 kB\n", -EINVAL },
                { "\nRssAnon:\t1.5 kB\n", -EINVAL },
                { "\nRssAnon:\t18014398509481984 kB\n", -EINVAL },
                { "\nRssAnon:\t18446744073709551615 kB\n", -EINVAL },
                { "\nRssAnon:\t99999999999999999999999999 kB\n", -EINVAL },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(rows); i++) {
                uint64_t bytes = 42;
                int r = usage_parse_rss_anon(rows[i].text, &bytes);

                if (r != rows[i].error)
                        fail_msg("'%s': %d, not %d", rows[i].text, r, rows[i].error);
                assert_int_equal(bytes, 42);
        }
}

/* ---- processes ---- */

static void *eat(size_t bytes)
{
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        assert_true(p != MAP_FAILED);
        memset(p, 1, bytes);
        return p;
}

static void what_is_touched_is_counted(void **state)
{
        uint64_t before, during, after;
        void *p;

        (void)state;
        assert_int_equal(usage_rss_anon(getpid(), &before), 0);
        assert_true(before > 0);
        p = eat(HOG_BYTES);
        assert_int_equal(usage_rss_anon(getpid(), &during), 0);
        munmap(p, HOG_BYTES);
        assert_int_equal(usage_rss_anon(getpid(), &after), 0);
        /* A sanitizer shadows what is touched: with one only the least is known. */
        assert_true(during - before >= HOG_BYTES - (HOG_BYTES >> 3));
        assert_true(getenv("SANITIZE") && *getenv("SANITIZE") ? true : during - before <= HOG_BYTES + (HOG_BYTES >> 1));
        assert_true(after < during - HOG_BYTES / 2);
}

static void a_zombie_has_none(void **state)
{
        pid_t pid = fork();
        siginfo_t info;
        uint64_t bytes = 42;

        (void)state;
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        assert_int_equal(usage_rss_anon(pid, &bytes), -ENOENT);
        assert_int_equal(usage_tree_rss_anon(pid), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(usage_rss_anon(pid, &bytes), -ENOENT);
        assert_int_equal(usage_tree_rss_anon(pid), 0);
        assert_int_equal(bytes, 42);
}

static void who_is_not_there_has_none(void **state)
{
        static const pid_t pids[] = { -1, INT32_MAX };
        uint64_t bytes = 42;

        (void)state;
        for (size_t i = 0; i < COUNT(pids); i++) {
                assert_int_equal(usage_rss_anon(pids[i], &bytes), -ENOENT);
                assert_int_equal(usage_tree_rss_anon(pids[i]), 0);
        }
        assert_int_equal(bytes, 42);
}

/* ---- a tree ---- */

/* A child whose child eats, says so, and stays until `hold` is closed. */
static void be_a_family(int said, int hold)
{
        pid_t pid = fork();
        char c;

        if (pid == 0) {
                memset(mmap(NULL, HOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, HOG_BYTES);
                _exit(write(said, "x", 1) == 1 && read(hold, &c, 1) == 0 ? 0 : 1);
        }
        _exit(waitpid(pid, NULL, 0) == pid ? 0 : 1);
}

static void a_grandchild_counts_for_its_tree(void **state)
{
        int said[2], hold[2];
        uint64_t own, tree, mine;
        pid_t pid;
        char c;

        (void)state;
        assert_int_equal(pipe(said), 0);
        assert_int_equal(pipe(hold), 0);
        pid = fork();
        if (pid == 0) {
                close(hold[1]);
                be_a_family(said[1], hold[0]);
        }
        assert_int_equal(read(said[0], &c, 1), 1);
        assert_int_equal(usage_rss_anon(pid, &own), 0);
        tree = usage_tree_rss_anon(pid);
        mine = usage_tree_rss_anon(getpid());
        close(hold[1]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        /* The kernel's count may lag: before Linux 6.2 by up to 64 pages for each thread. */
        assert_true(tree >= own + HOG_BYTES - (HOG_BYTES >> 3));
        assert_true(tree < own * 3 + HOG_BYTES * 2);
        assert_true(mine >= tree);
        close(hold[0]);
        close(said[0]);
        close(said[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_lines_are_bytes),       cmocka_unit_test(bad_lines_are_refused_and_nothing_is_written),
                cmocka_unit_test(what_is_touched_is_counted), cmocka_unit_test(a_zombie_has_none),
                cmocka_unit_test(who_is_not_there_has_none),  cmocka_unit_test(a_grandchild_counts_for_its_tree),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
