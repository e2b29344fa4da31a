/* spill_replays_in_order.c: a spill takes what comes while what follows takes nothing, and gives all of it, in order, when it
 * does; without room it waits or fails, as asked; and whatever ends it, no file is left.
 *
 * Readers take only when they are told, by semaphores; the loop is turned until the stage's reports say what is waited for. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parts.h"

enum { TURN_MS = 100, TURNS_MAX = 200, RUNNING = 1, LEAST = 64 << 10 };

#define T_SPILL(...) (&(const struct sluice_spill_options){ .size = sizeof(struct sluice_spill_options), __VA_ARGS__ })

struct line {
        struct sluice_pipeline *p;
        struct sluice_loop *loop;
        int result;
        int source, spill, sink;
        uint64_t bytes;
        sem_t go, written;    /* the reader may take; the writer has written */
        uint64_t got, enough; /* enough: wants no more after as many; 0: wants all */
        int64_t mismatch;
        const size_t *writes, *reads; /* of each phase; the last is 0 */
};

static struct line line;

/* ---- ends ---- */

static void got(struct line *l, const void *data, size_t bytes)
{
        if (l->mismatch < 0)
                l->mismatch = t_mismatch(data, bytes, l->got);
        l->got += bytes;
}

static int read_up_to(struct line *l, struct sluice_stream *io, uint64_t bytes)
{
        uint8_t data[50000];

        while (l->got < bytes) {
                uint64_t left = bytes - l->got;
                ssize_t n = sluice_read(io, data, left < sizeof(data) ? (size_t)left : sizeof(data));

                if (n <= 0)
                        return (int)n;
                got(l, data, (size_t)n);
        }
        return 0;
}

static void wait_for(sem_t *s)
{
        while (sem_wait(s) < 0)
                continue;
}

static int write_bytes(struct sluice_stream *io, uint64_t from, uint64_t to)
{
        uint8_t data[7777];

        while (from < to) {
                size_t n = to - from < sizeof(data) ? (size_t)(to - from) : sizeof(data);
                ssize_t r;

                t_pattern(data, n, from);
                r = sluice_write(io, data, n);
                if (r < 0)
                        return (int)r;
                from += n;
        }
        return 0;
}

/* The reader takes nothing before all of a phase was written, the writer goes on only when it has taken its part. */
static int write_phases(void *arg, struct sluice_stream *io)
{
        struct line *l = arg;
        uint64_t at = 0;

        for (const size_t *w = l->writes; *w; at += *w++) {
                int r = write_bytes(io, at, at + *w);

                if (r < 0)
                        return r;
                sem_post(&l->written);
                wait_for(&l->go);
        }
        return 0;
}

static int read_phases(void *arg, struct sluice_stream *io)
{
        struct line *l = arg;
        uint64_t until = 0;

        for (const size_t *n = l->reads; *n; n++) {
                int r;

                wait_for(&l->written);
                r = read_up_to(l, io, until += *n);
                sem_post(&l->go);
                if (r < 0)
                        return r;
        }
        return read_up_to(l, io, UINT64_MAX);
}

static int write_pattern(void *arg, struct sluice_stream *io)
{
        return write_bytes(io, 0, ((struct line *)arg)->bytes);
}

static int read_when_told(void *arg, struct sluice_stream *io)
{
        struct line *l = arg;
        int r;

        wait_for(&l->go);
        r = read_up_to(l, io, l->enough ? l->enough : UINT64_MAX);
        return r == 0 && l->enough ? SLUICE_FINISH_EARLY : r;
}

/* ---- one run ---- */

static void done(void *arg, int result)
{
        *(int *)arg = result;
}

static void prepare(struct line *l, enum sluice_driver driver, uint64_t bytes)
{
        memset(l, 0, sizeof(*l));
        l->bytes = bytes;
        l->mismatch = -1;
        l->result = RUNNING;
        sem_init(&l->go, 0, 0);
        sem_init(&l->written, 0, 0);
        l->p = t_new(T_OPTIONS(.driver = driver, .grace_ms = T_GRACE_MS));
}

static void start(struct line *l, bool shared)
{
        struct sluice_loop_options loop = { .size = sizeof(loop), .exclusive = !shared };

        assert_int_equal(sluice_loop_new(&l->loop, &loop), 0);
        assert_int_equal(sluice_pipeline_start(l->p, l->loop, done, &l->result), 0);
}

static void turn(struct line *l)
{
        for (int i = 0; i < TURNS_MAX; i++) {
                int r = sluice_loop_turn(l->loop, TURN_MS);

                assert_true(r >= 0);
                if (r > 0)
                        return;
        }
        fail_msg("nothing happens any more");
}

static uint64_t report(struct line *l, const char *name)
{
        struct sluice_stage_result r = t_result(l->p, l->spill);

        for (int i = 0; i < SLUICE_REPORTS_MAX && r.reports[i].name; i++)
                if (strcmp(r.reports[i].name, name) == 0)
                        return strtoull(r.reports[i].value, NULL, 10);
        return 0;
}

static void turn_until(struct line *l, const char *name, uint64_t value)
{
        while (l->result == RUNNING && report(l, name) < value)
                turn(l);
        assert_int_equal(l->result, RUNNING);
}

static void finish(struct line *l, int expected)
{
        while (l->result == RUNNING)
                turn(l);
        if (l->result != expected)
                fail_msg("run gave %d (%s), not %d: %s", l->result, strerror(-l->result), expected, sluice_pipeline_error(l->p));
        t_check_law(l->p);
        assert_int_equal(l->mismatch, -1);
}

static void end(struct line *l)
{
        sluice_pipeline_free(l->p);
        sluice_loop_free(l->loop);
        sem_destroy(&l->go);
        sem_destroy(&l->written);
}

/* generate: | spill | a reader that takes when it is told. */
static void begin(struct line *l, enum sluice_driver driver, bool shared, int64_t bytes, const char *path,
                  const struct sluice_spill_options *opt)
{
        prepare(l, driver, (uint64_t)bytes);
        l->source = t_ok(sluice_add_generate(l->p, bytes));
        l->spill = t_ok(sluice_add_spill(l->p, path, opt));
        l->sink = t_ok(sluice_add_function(l->p, read_when_told, l, NULL));
        t_chain(l->p);
        start(l, shared);
}

/* ---- order ---- */

static const size_t writes[] = { 8 * T_MIB, 5, 4 * T_MIB + 1, 1, 9 * T_MIB + 4095, 300, 0 };
static const size_t reads[] = { 1, 3 * T_MIB, 9 * T_MIB, 5, 2 * T_MIB, 1, 0 };

static void test_phases(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int shared = 0; shared < 2; shared++) {
                        struct line *l = &line;
                        uint64_t sum = 0;

                        prepare(l, t_drivers[d], 0);
                        l->writes = writes;
                        l->reads = reads;
                        l->source = t_ok(sluice_add_function(l->p, write_phases, l, NULL));
                        l->spill = t_ok(sluice_add_spill(l->p, t_path("spill"), NULL));
                        l->sink = t_ok(sluice_add_function(l->p, read_phases, l, NULL));
                        t_chain(l->p);
                        start(l, shared);
                        finish(l, 0);
                        for (size_t i = 0; i < T_NR(writes); i++)
                                sum += writes[i];
                        assert_int_equal(l->got, sum);
                        assert_true(report(l, "spilled") > 8 * T_MIB);
                        assert_int_equal(report(l, "waited"), 0);
                        end(l);
                }
}

enum feeder { FEED_FILE, FEED_COMMAND, FEED_FUNCTION, FEED_THREAD, FEEDERS };
enum taker { TAKE_FILE, TAKE_COMMAND, TAKE_THREAD, TAKERS };

static int add_feeder(struct line *l, enum feeder kind)
{
        switch (kind) {
        case FEED_FILE:
                return sluice_add_file(l->p, t_path("source"), NULL);
        case FEED_COMMAND:
                return sluice_add_command(l->p, T_ARGV("cat", (char *)(uintptr_t)t_path("source")), NULL);
        case FEED_FUNCTION:
                return sluice_add_generate(l->p, (int64_t)l->bytes);
        default:
                return sluice_add_function(l->p, write_pattern, l, NULL);
        }
}

static int add_taker(struct line *l, enum taker kind)
{
        char text[96];

        switch (kind) {
        case TAKE_FILE:
                return sluice_add_file(l->p, t_path("sink"), NULL);
        case TAKE_COMMAND:
                snprintf(text, sizeof(text), "exec cat >%s", t_path("sink"));
                return t_sh(l->p, text, NULL);
        default:
                sem_post(&l->go);
                return sluice_add_function(l->p, read_when_told, l, NULL);
        }
}

static void one_pair(enum feeder from, enum taker to, enum sluice_driver driver, uint64_t bytes, bool shared)
{
        struct line *l = &line;

        prepare(l, driver, bytes);
        t_make(t_path("source"), bytes);
        l->source = t_ok(add_feeder(l, from));
        l->spill = t_ok(sluice_add_spill(l->p, t_path("."), T_SPILL(.max_bytes = LEAST)));
        l->sink = t_ok(add_taker(l, to));
        t_chain(l->p);
        start(l, shared);
        finish(l, 0);
        if (to == TAKE_THREAD)
                assert_int_equal(l->got, bytes);
        else
                t_check_file(t_path("sink"), bytes, 0);
        end(l);
        unlink(t_path("source"));
        unlink(t_path("sink"));
}

static void test_between_everything(void **state)
{
        static const uint64_t sizes[] = { 0, 1, 70000, 5 * T_MIB + 3 };

        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int from = 0; from < FEEDERS; from++)
                        for (int to = 0; to < TAKERS; to++)
                                for (size_t s = 0; s < T_NR(sizes); s++)
                                        one_pair((enum feeder)from, (enum taker)to, t_drivers[d], sizes[s], (d + s) & 1);
}

/* ---- a fast and a slow branch ---- */

/* The slow one begins only when the fast one has everything. */
static int read_then_tell(void *arg, struct sluice_stream *io)
{
        struct line *l = arg;
        uint8_t data[50000];
        uint64_t bytes = 0;
        ssize_t n;

        while ((n = sluice_read(io, data, sizeof(data))) > 0)
                bytes += (uint64_t)n;
        if (bytes == l->bytes)
                sem_post(&l->go);
        return (int)n;
}

static void test_a_slow_branch_holds_nobody_up(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct line *l = &line;
                int tee, fast;

                prepare(l, t_drivers[d], 20 * T_MIB);
                l->source = t_ok(sluice_add_generate(l->p, (int64_t)l->bytes));
                tee = t_ok(sluice_add_tee(l->p, 0));
                fast = t_ok(sluice_add_function(l->p, read_then_tell, l, "fast"));
                l->spill = t_ok(sluice_add_spill(l->p, t_path("."), NULL));
                l->sink = t_ok(sluice_add_function(l->p, read_when_told, l, "slow"));
                t_ok(sluice_pipeline_link(l->p, l->source, tee));
                t_ok(sluice_pipeline_link(l->p, tee, fast));
                t_ok(sluice_pipeline_link(l->p, tee, l->spill));
                t_ok(sluice_pipeline_link(l->p, l->spill, l->sink));
                start(l, d & 1);
                finish(l, 0);
                assert_int_equal(l->got, l->bytes);
                end(l);
        }
}

/* ---- without room ---- */

static void waits_and_goes_on(const char *path, const struct sluice_spill_options *opt, enum sluice_driver driver, bool shared)
{
        struct line *l = &line;

        begin(l, driver, shared, 12 * T_MIB, path, opt);
        turn_until(l, "waited", 1);
        assert_int_equal(l->got, 0);
        sem_post(&l->go);
        finish(l, 0);
        assert_int_equal(l->got, l->bytes);
        end(l);
}

static void fails_and_says_so(const char *path, const struct sluice_spill_options *opt, enum sluice_driver driver, const char *word)
{
        struct line *l = &line;
        struct sluice_failure f;

        begin(l, driver, false, 12 * T_MIB, path, opt);
        while (l->result == RUNNING && !report(l, "spilled"))
                turn(l);
        while (l->result == RUNNING && t_result(l->p, l->spill).error == 0)
                turn(l);
        sem_post(&l->go); /* it waits for us, not in the stream */
        finish(l, -ENOSPC);
        f = t_failure(l->p);
        assert_int_equal(f.stage, l->spill);
        assert_int_equal(f.error, -ENOSPC);
        assert_false(f.inferred);
        if (!strstr(f.message, word) || !strstr(f.message, path))
                fail_msg("'%s' does not say '%s' and '%s'", f.message, word, path);
        end(l);
}

static void test_its_limit(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                waits_and_goes_on(t_path("."), T_SPILL(.max_bytes = LEAST), t_drivers[d], d & 1);
                waits_and_goes_on(t_path("."), T_SPILL(.max_bytes = 4 * T_MIB + 1), t_drivers[d], d & 1);
                fails_and_says_so(t_path("."), T_SPILL(.max_bytes = T_MIB, .flags = SLUICE_SPILL_FAIL), t_drivers[d], "too slow");
        }
}

/* How much is on disk, by what the file system says. */
static void test_a_full_disk(void **state)
{
        const char *small = strdup(t_path("small"));

        (void)state;
        assert_return_code(mkdir(small, 0700), errno);
        if (mount("small", small, "tmpfs", 0, "size=256k") < 0) {
                rmdir(small);
                free((void *)(uintptr_t)small);
                skip();
        }
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                waits_and_goes_on(small, NULL, t_drivers[d], d & 1);
                fails_and_says_so(small, T_SPILL(.flags = SLUICE_SPILL_FAIL), t_drivers[d], "No space left");
        }
        /* Not even a first byte fits. */
        t_make(t_path("small/x"), 256 << 10);
        waits_and_goes_on(small, NULL, SLUICE_DRIVER_AUTO, true);
        unlink(t_path("small/x"));
        assert_return_code(umount(small), errno);
        rmdir(small);
        free((void *)(uintptr_t)small);
}

static int unmount_and_end(void **state)
{
        if (t_exists(t_path("small"))) {
                umount2(t_path("small"), MNT_DETACH);
                rmdir(t_path("small"));
        }
        return t_end(state);
}

/* With a branch that fails the others go on, and get everything. */
static void test_a_branch_that_fails(void **state)
{
        struct line *l = &line;
        int tee, other;

        (void)state;
        prepare(l, SLUICE_DRIVER_AUTO, 12 * T_MIB);
        l->source = t_ok(sluice_add_generate(l->p, (int64_t)l->bytes));
        tee = t_ok(sluice_add_tee(l->p, 0));
        l->spill = t_ok(sluice_add_spill(l->p, t_path("."), T_SPILL(.max_bytes = LEAST, .flags = SLUICE_SPILL_FAIL)));
        l->sink = t_ok(sluice_add_function(l->p, read_when_told, l, "slow"));
        other = t_ok(sluice_add_file(l->p, t_path("sink"), NULL));
        t_ok(sluice_pipeline_link(l->p, l->source, tee));
        t_ok(sluice_pipeline_link(l->p, tee, l->spill));
        t_ok(sluice_pipeline_link(l->p, l->spill, l->sink));
        t_ok(sluice_pipeline_link(l->p, tee, other));
        start(l, false);
        while (t_result(l->p, l->spill).error == 0)
                turn(l);
        sem_post(&l->go);
        finish(l, -ENOSPC);
        t_check_file(t_path("sink"), l->bytes, 0);
        t_verdict(l->p, other, SLUICE_VERDICT_OK);
        end(l);
        unlink(t_path("sink"));
}

/* ---- early ends ---- */

static void test_a_reader_that_has_enough(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int shared = 0; shared < 2; shared++) {
                        struct line *l = &line;

                        begin(l, t_drivers[d], shared, -1, t_path("."), shared ? NULL : T_SPILL(.max_bytes = LEAST));
                        l->enough = 3 * T_MIB / 2;
                        if (shared)
                                turn_until(l, "spilled", 3 * T_MIB);
                        else
                                turn_until(l, "waited", 1);
                        sem_post(&l->go);
                        finish(l, 0);
                        assert_int_equal(l->got, l->enough);
                        end(l);
                }
}

/* Nothing comes, and yet the end of the reader ends the writer. */
static void test_a_reader_that_goes_while_nothing_comes(void **state)
{
        struct line *l = &line;
        int silent[2];

        (void)state;
        t_pipe(silent);
        prepare(l, SLUICE_DRIVER_AUTO, 0);
        l->enough = 5;
        l->source = t_ok(sluice_add_fd(l->p, silent[0], SLUICE_OWN));
        l->spill = t_ok(sluice_add_spill(l->p, t_path("."), NULL));
        l->sink = t_ok(sluice_add_function(l->p, read_when_told, l, NULL));
        t_chain(l->p);
        start(l, true);
        {
                uint8_t data[5];

                t_pattern(data, sizeof(data), 0);
                assert_int_equal(write(silent[1], data, sizeof(data)), sizeof(data));
        }
        while (t_stats(l->p, 0).bytes.value < 5)
                turn(l);
        sem_post(&l->go);
        while (t_result(l->p, l->spill).verdict == SLUICE_VERDICT_NONE)
                turn(l);
        close(silent[1]);
        finish(l, 0);
        assert_int_equal(l->got, 5);
        end(l);
}

static void test_a_cancel_at_any_turn(void **state)
{
        (void)state;
        for (int turns = 0; turns < 40; turns++) {
                struct line *l = &line;

                begin(l, t_drivers[turns % 4], turns & 1, -1, t_path("."), turns % 3 ? NULL : T_SPILL(.max_bytes = LEAST));
                if (turns % 5 == 0)
                        sem_post(&l->go);
                for (int i = 0; i < turns; i++)
                        sluice_loop_turn(l->loop, 0);
                sluice_pipeline_stop(l->p);
                sem_post(&l->go);
                finish(l, -ECANCELED);
                end(l);
        }
}

static void test_what_feeds_it_fails(void **state)
{
        struct line *l = &line;

        (void)state;
        prepare(l, SLUICE_DRIVER_AUTO, 0);
        t_make(t_path("source"), 5 * T_MIB);
        sem_post(&l->go);
        {
                char text[96];

                snprintf(text, sizeof(text), "cat %s; exit 7", t_path("source"));
                l->source = t_sh(l->p, text, NULL);
        }
        t_ok(sluice_add_count(l->p));
        l->spill = t_ok(sluice_add_spill(l->p, t_path("."), NULL));
        l->sink = t_ok(sluice_add_function(l->p, read_when_told, l, NULL));
        t_chain(l->p);
        start(l, false);
        finish(l, -ECHILD);
        assert_int_equal(l->got, 5 * T_MIB);
        end(l);
        unlink(t_path("source"));
}

/* ---- its files ---- */

static void test_no_file_has_a_name(void **state)
{
        struct line *l = &line;
        struct stat st;

        (void)state;
        begin(l, SLUICE_DRIVER_AUTO, false, 12 * T_MIB, t_path("spill"), NULL);
        turn_until(l, "spilled", 3 * T_MIB);
        assert_int_equal(t_files(), 0);
        sem_post(&l->go);
        finish(l, 0);
        assert_return_code(stat(t_path("."), &st), errno);
        end(l);
}

static void refused(const char *path, int expected)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_zero(p, 10));
        t_ok(sluice_add_spill(p, path, NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, expected);
        assert_non_null(strstr(sluice_pipeline_error(p), path));
        sluice_pipeline_free(p);
}

static void test_what_is_refused(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_make_text(t_path("precious"), "precious");
        refused(t_path("precious"), -EEXIST);
        t_check_text(t_path("precious"), "precious");
        unlink(t_path("precious"));
        refused(t_path("missing/spill"), -ENOENT);
        refused("/dev/null", -EEXIST);
        assert_int_equal(sluice_add_spill(p, NULL, NULL), -EINVAL);
        assert_int_equal(sluice_add_spill(p, "", NULL), -EINVAL);
        assert_int_equal(sluice_add_spill(p, "x", T_SPILL(.max_bytes = LEAST - 1)), -EINVAL);
        assert_int_equal(sluice_add_spill(p, "x", T_SPILL(.flags = 1 << 5)), -EINVAL);
        assert_int_equal(sluice_add_spill(p, "x", &(const struct sluice_spill_options){ 0 }), -EINVAL);
        t_ok(sluice_add_zero(p, 1));
        t_ok(sluice_add_spill(p, t_path("."), NULL));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), -ENOTSUP);
        sluice_pipeline_free(p);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_phases),
                T_TEST(test_between_everything),
                T_TEST(test_a_slow_branch_holds_nobody_up),
                T_TEST(test_its_limit),
                cmocka_unit_test_setup_teardown(test_a_full_disk, t_begin, unmount_and_end),
                T_TEST(test_a_branch_that_fails),
                T_TEST(test_a_reader_that_has_enough),
                T_TEST(test_a_reader_that_goes_while_nothing_comes),
                T_TEST(test_a_cancel_at_any_turn),
                T_TEST(test_what_feeds_it_fails),
                T_TEST(test_no_file_has_a_name),
                T_TEST(test_what_is_refused),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
