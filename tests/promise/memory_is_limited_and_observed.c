/* memory_is_limited_and_observed.c: a command that uses more memory than it may, itself or by its descendants, is ended
 * with all of them, and the result says so; how much was used at most is known when it was asked for. */
#include <limits.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "parts.h"

enum { HOG_MIB = 80, LEAST_MIB = 60, LIMIT_MIB = 20, FAR_MS = 60000, HELD_FD = 9 };
#define GENEROUS (UINT64_C(4) << 30)
#define FOR_EVER "-1"

/* This program, as a command: "hog DEPTH HOLD_MS": a descendant that deep uses memory, holds it, and ends. */
static int hog(int depth, int hold_ms)
{
        const size_t bytes = (size_t)HOG_MIB * T_MIB;
        int status = 1;
        void *memory;
        pid_t pid;

        if (depth > 0) {
                pid = fork();
                if (pid == 0)
                        return hog(depth - 1, hold_ms);
                return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
        }
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return 1;
        memset(memory, 1, bytes);
        if (hold_ms != 0)
                poll(NULL, 0, hold_ms);
        return 0;
}

static const char *const depths[] = { "0", "1", "5" };

static char self[PATH_MAX];

static void add_hog(struct sluice_pipeline *p, const char *depth, const char *hold_ms, const struct sluice_command_options *o)
{
        t_ok(sluice_add_command(p, T_ARGV(self, "hog", (char *)(uintptr_t)depth, (char *)(uintptr_t)hold_ms), o));
}

struct told {
        int limits, peaks, stage;
        uint64_t limit_bytes, peak_bytes;
};

static void tell(void *arg, const struct sluice_event *e)
{
        struct told *t = arg;

        if (e->kind == SLUICE_EVENT_LIMIT) {
                t->limits++;
                t->limit_bytes = e->bytes;
                t->stage = e->stage;
        } else if (e->kind == SLUICE_EVENT_PEAK) {
                t->peaks++;
                t->peak_bytes = e->bytes;
                t->stage = e->stage;
        }
}

static struct sluice_pipeline *telling(struct told *t)
{
        *t = (struct told){ .stage = -1 };
        return t_new(T_OPTIONS(.event = tell, .event_arg = t, .grace_ms = T_GRACE_MS));
}

/* ---- limit ---- */

/* Who samples has seen more than may be; where the kernel keeps the limit, and counts exactly, nobody gets above it. */
static void check_used(struct sluice_number used)
{
        const uint64_t limit_bytes = (uint64_t)LIMIT_MIB * T_MIB;

        if (used.certainty == SLUICE_EXACT)
                assert_in_range(used.value, limit_bytes / 10 * 9, limit_bytes);
        else
                assert_true(used.value > limit_bytes);
}

static void check_limited(const struct sluice_pipeline *p, const struct told *t)
{
        struct sluice_stage_result r = t_result(p, 0);
        struct sluice_failure f = t_failure(p);

        assert_int_equal(f.stage, 0);
        assert_non_null(strstr(f.message, "memory"));
        assert_null(strchr(f.message, '\n'));
        assert_int_equal(r.limit_exceeded, 1);
        assert_true(r.error < 0);
        check_used(r.peak_bytes);
        assert_int_equal(t->limits, 1);
        assert_int_equal(t->stage, 0);
        check_used((struct sluice_number){ t->limit_bytes, r.peak_bytes.certainty });
        t_verdict(p, 1, SLUICE_VERDICT_OK);
        assert_int_equal(t_result(p, 1).limit_exceeded, 0);
}

/* All of them hold a pipe: when they are gone its end is seen. */
static void limit(const char *depth, unsigned observe)
{
        const uint64_t bytes = (uint64_t)LIMIT_MIB * T_MIB;
        struct sluice_command_fd held = { .as = HELD_FD };
        struct sluice_pipeline *p;
        struct told t;
        int alive[2];

        t_pipe(alive);
        held.fd = alive[1];
        p = telling(&t);
        add_hog(p, depth, FOR_EVER, T_COMMAND(.memory_bytes = bytes, .flags = observe, .fds = &held, .fds_nr = 1));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_pipeline_chain(p));
        assert_true(sluice_pipeline_run(p) < 0);
        close(alive[1]);
        assert_true(t_hung_up(alive[0], FAR_MS));
        check_limited(p, &t);
        sluice_pipeline_free(p);
        close(alive[0]);
}

static void test_limit(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(depths); i++)
                limit(depths[i], 0);
}

static void test_limit_and_observe(void **state)
{
        (void)state;
        limit("1", SLUICE_COMMAND_OBSERVE_MEMORY);
}

/* Another who fires the token upon it changes nothing about what is ended. */
static void fire(void *arg, const struct sluice_event *e)
{
        if (e->kind == SLUICE_EVENT_LIMIT)
                sluice_cancel_fire(arg);
}

static void test_cancel_at_the_limit(void **state)
{
        struct sluice_cancel *token;
        struct sluice_pipeline *p;

        (void)state;
        assert_int_equal(sluice_cancel_new(&token), 0);
        p = t_new(T_OPTIONS(.event = fire, .event_arg = token, .cancel = token, .grace_ms = T_GRACE_MS));
        add_hog(p, "0", FOR_EVER, T_COMMAND(.memory_bytes = (uint64_t)LIMIT_MIB * T_MIB));
        assert_true(sluice_pipeline_run(p) < 0);
        assert_int_equal(t_children(), 0);
        assert_int_equal(t_result(p, 0).limit_exceeded, 1);
        sluice_pipeline_free(p);
        sluice_cancel_unref(token);
}

/* ---- below the limit, or none ---- */

static void check_peak(const struct sluice_pipeline *p, const struct told *t, uint64_t least)
{
        struct sluice_stage_result r = t_result(p, 0);

        assert_int_equal(t->limits, 0);
        assert_int_equal(r.limit_exceeded, 0);
        assert_int_equal(t->peaks, 1);
        assert_int_equal(t->stage, 0);
        assert_int_equal(t->peak_bytes, r.peak_bytes.value);
        assert_int_not_equal(r.peak_bytes.certainty, SLUICE_UNKNOWN);
        assert_true(r.peak_bytes.value >= least);
        assert_true(r.peak_bytes.value < GENEROUS);
}

static void observe(const char *depth, const char *hold_ms, uint64_t limit_bytes, unsigned flags, uint64_t least)
{
        struct told t;
        struct sluice_pipeline *p = telling(&t);

        add_hog(p, depth, hold_ms, T_COMMAND(.memory_bytes = limit_bytes, .flags = flags));
        t_run(p, 0);
        check_peak(p, &t, least);
        sluice_pipeline_free(p);
}

static void test_observe(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(depths); i++)
                observe(depths[i], "1500", 0, SLUICE_COMMAND_OBSERVE_MEMORY, (uint64_t)LEAST_MIB * T_MIB);
}

static void test_below_the_limit(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(depths); i++)
                observe(depths[i], "1500", GENEROUS, i % 2 ? SLUICE_COMMAND_OBSERVE_MEMORY : 0, (uint64_t)LEAST_MIB * T_MIB);
}

/* Too short for any sampling at intervals. */
static void test_short_life_is_seen(void **state)
{
        (void)state;
        for (int i = 0; i < 10; i++)
                observe("0", "0", 0, SLUICE_COMMAND_OBSERVE_MEMORY, 1);
}

/* On the loop's thread: the first sample is due, and finds a zombie. */
static void tell_late(void *arg, const struct sluice_event *e)
{
        siginfo_t info;

        tell(arg, e);
        if (e->kind != SLUICE_EVENT_START)
                return;
        waitid(P_PID, (id_t)e->pid, &info, WEXITED | WNOWAIT);
        poll(NULL, 0, 20);
}

static void test_a_zombie_uses_nothing(void **state)
{
        struct told t = { .stage = -1 };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.event = tell_late, .event_arg = &t));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("true"), T_COMMAND(.flags = SLUICE_COMMAND_OBSERVE_MEMORY)));
        t_run(p, 0);
        check_peak(p, &t, 1);
        sluice_pipeline_free(p);
}

/* A command that fails of its own ends being watched, too. */
static void test_failure_below_the_limit(void **state)
{
        struct told t;
        struct sluice_pipeline *p = telling(&t);

        (void)state;
        t_sh(p, "exit 3", T_COMMAND(.memory_bytes = GENEROUS));
        t_run(p, -ECHILD);
        assert_int_equal(t_failure(p).exit_status, 3);
        check_peak(p, &t, 0);
        sluice_pipeline_free(p);
}

static void test_not_asked_for(void **state)
{
        struct told t;
        struct sluice_pipeline *p = telling(&t);

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        t_run(p, 0);
        assert_int_equal(t.limits + t.peaks, 0);
        assert_int_equal(t_result(p, 0).peak_bytes.certainty, SLUICE_UNKNOWN);
        assert_int_equal(t_result(p, 0).limit_exceeded, 0);
        sluice_pipeline_free(p);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_limit),
                T_TEST(test_limit_and_observe),
                T_TEST(test_cancel_at_the_limit),
                T_TEST(test_observe),
                T_TEST(test_below_the_limit),
                T_TEST(test_short_life_is_seen),
                T_TEST(test_a_zombie_uses_nothing),
                T_TEST(test_failure_below_the_limit),
                T_TEST(test_not_asked_for),
        };

        if (argc == 4 && strcmp(argv[1], "hog") == 0)
                return hog(atoi(argv[2]), atoi(argv[3]));
        if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
