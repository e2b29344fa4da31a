/* tests/unit/memory.c: what a command's cgroup says of its memory, asked once, before it is removed: the files are plain ones. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"

enum { EVENTS_MAX = 8, STAGE = 1, STAGES = 2, PID = 4242, MIB = 1 << 20 };

/* ---- a run with two stages, of which the second is looked at ---- */

struct bench {
        char base[64];
        struct stage_def defs[STAGES];
        struct sluice_plan plan;
        struct run run;
        struct sluice_ctx stages[STAGES];
        struct child children[STAGES];
        struct sluice_command_options options;
        struct sluice_event events[EVENTS_MAX];
        char messages[EVENTS_MAX][128];
        size_t events_nr;
};

static void on_event(void *arg, const struct sluice_event *e)
{
        struct bench *b = arg;

        assert_true(b->events_nr < EVENTS_MAX);
        assert_int_equal(e->size, sizeof(*e));
        snprintf(b->messages[b->events_nr], sizeof(b->messages[0]), "%s", e->message);
        b->events[b->events_nr++] = *e;
}

static struct watched *watched(struct bench *b)
{
        return &b->stages[STAGE].child->memory;
}

static int setup(void **state)
{
        struct bench *b = calloc(1, sizeof(*b));

        snprintf(b->base, sizeof(b->base), "/dev/shm/sluice-memory-XXXXXX");
        b->plan = (struct sluice_plan){ .stages = b->defs, .stages_nr = STAGES };
        b->plan.opt = (struct sluice_options){ .size = sizeof(b->plan.opt), .event = on_event, .event_arg = b };
        b->run = (struct run){ .plan = &b->plan, .opt = &b->plan.opt, .stages = b->stages };
        for (int i = 0; i < STAGES; i++) {
                b->defs[i].name = (char *)(i == STAGE ? "hog" : "other");
                b->stages[i].run = &b->run;
                b->stages[i].index = i;
                b->stages[i].child = &b->children[i];
                b->children[i].ctx = &b->stages[i];
                b->stages[i].child->pid = PID + i - STAGE;
                b->stages[i].child->memory.cgroup = (struct cgroup){ .fd = -1, .parent = -1 };
        }
        *state = b;
        return mkdtemp(b->base) ? cgroup_make(&watched(b)->cgroup, b->base, "stage-1") : -1;
}

static int teardown(void **state)
{
        struct bench *b = *state;
        char command[128];
        int r;

        cgroup_close(&watched(b)->cgroup);
        snprintf(command, sizeof(command), "rm -r '%s'", b->base);
        r = system(command);
        free(b);
        return r;
}

/* NULL: there is no such file then. */
static void put(struct bench *b, const char *name, const char *text)
{
        int fd;

        unlinkat(watched(b)->cgroup.fd, name, 0);
        if (!text)
                return;
        fd = openat(watched(b)->cgroup.fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
}

static void check_text(struct bench *b, const char *name, const char *text)
{
        int fd = openat(watched(b)->cgroup.fd, name, O_RDONLY | O_CLOEXEC);
        char is[64];
        ssize_t n;

        assert_true(fd >= 0);
        n = read(fd, is, sizeof(is) - 1);
        close(fd);
        is[n > 0 ? n : 0] = '\0';
        assert_string_equal(is, text);
}

static void check_event(const struct bench *b, size_t i, enum sluice_event_kind kind, uint64_t bytes)
{
        const struct sluice_event *e = &b->events[i];

        assert_true(i < b->events_nr);
        assert_int_equal(e->kind, kind);
        assert_int_equal(e->stage, STAGE);
        assert_string_equal(e->stage_name, "hog");
        assert_int_equal(e->pid, PID);
        assert_int_equal(e->bytes, bytes);
        assert_int_equal(e->exit_status, -1);
}

/* The kernel holds the limit, 0: none; the command is watched in any case. */
static void watch(struct bench *b, uint64_t limit_bytes)
{
        struct sluice_ctx *c = &b->stages[STAGE];

        put(b, "memory.max", "max\n");
        put(b, "memory.oom.group", "0");
        *watched(b) = (struct watched){ .cgroup = watched(b)->cgroup };
        b->options = (struct sluice_command_options){ .memory_bytes = limit_bytes, .flags = SLUICE_COMMAND_OBSERVE_MEMORY };
        c->child->prep.options = &b->options;
        assert_int_equal(memory_begin(c), 0);
        assert_true(watched(b)->on);
        b->events_nr = 0;
}

/* ---- the end ---- */

#define KILLED(n) "low 0\nhigh 0\nmax 9\noom 1\noom_kill " #n "\noom_group_kill 1\n"

static void the_end_says_what_the_cgroup_says(void **state)
{
        static const struct {
                const char *peak, *events;
                uint64_t limit, sampled;
                bool exceeded, exact;
                uint64_t bytes;
        } rows[] = {
                { "314572800\n", KILLED(1), 256 * MIB, 0, true, true, 314572800 },
                { "314572800\n", KILLED(7), 256 * MIB, 0, true, true, 314572800 },
                { "1048576\n", KILLED(0), 256 * MIB, 0, false, true, MIB },
                { "314572800\n", KILLED(0), 256 * MIB, 0, false, true, 314572800 }, /* reclaimed, not killed */
                { "1048576\n", KILLED(1), 0, 0, false, true, MIB },                 /* no limit: it is not ours */
                { "1048576\n", NULL, 256 * MIB, 0, false, true, MIB },
                { "4096\n", KILLED(0), 256 * MIB, 8192, false, true, 4096 }, /* the kernel knows better */
                { NULL, KILLED(1), 256 * MIB, 8192, true, false, 8192 },     /* before Linux 5.19 */
                { NULL, KILLED(0), 256 * MIB, 0, false, false, 0 },
                { NULL, NULL, 256 * MIB, 0, false, false, 0 },
                { NULL, NULL, 0, 0, false, false, 0 },
        };
        struct bench *b = *state;

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct watched *w = watched(b);

                put(b, "memory.peak", rows[i].peak);
                put(b, "memory.events", rows[i].events);
                watch(b, rows[i].limit);
                w->peak_bytes = rows[i].sampled;
                memory_finish(&b->stages[STAGE]);
                assert_int_equal(w->exceeded, rows[i].exceeded);
                assert_int_equal(w->exact, rows[i].exact);
                assert_int_equal(w->peak_bytes, rows[i].bytes);
                assert_int_equal(w->samples > 0, rows[i].exact);
                assert_int_equal(b->events_nr, rows[i].exceeded ? 2 : 1);
                if (rows[i].exceeded)
                        check_event(b, 0, SLUICE_EVENT_LIMIT, rows[i].bytes);
                check_event(b, b->events_nr - 1, SLUICE_EVENT_PEAK, rows[i].bytes);
        }
}

static void the_limit_is_said_in_words(void **state)
{
        struct bench *b = *state;

        put(b, "memory.peak", "314572800\n");
        put(b, "memory.events", KILLED(1));
        watch(b, 256 * MIB);
        memory_finish(&b->stages[STAGE]);
        assert_string_equal(b->messages[0], "300 MiB used, the limit is 256 MiB");
        assert_string_equal(b->messages[1], "");
}

static void it_is_asked_once(void **state)
{
        struct bench *b = *state;

        put(b, "memory.peak", "4096\n");
        watch(b, 0);
        memory_finish(&b->stages[STAGE]);
        put(b, "memory.peak", "8192\n");
        memory_finish(&b->stages[STAGE]);
        assert_int_equal(b->events_nr, 1);
        assert_int_equal(watched(b)->peak_bytes, 4096);
}

static void who_is_not_watched_is_not_told_of(void **state)
{
        struct bench *b = *state;

        put(b, "memory.peak", "4096\n");
        put(b, "memory.events", KILLED(1));
        watched(b)->limit_bytes = 1;
        memory_finish(&b->stages[STAGE]);
        assert_int_equal(b->events_nr, 0);
        assert_int_equal(watched(b)->peak_bytes, 0);
        assert_false(watched(b)->exceeded);
}

static void check_sampled(struct bench *b)
{
        watched(b)->on = true;
        watched(b)->peak_bytes = 12345;
        watched(b)->samples = 3;
        memory_finish(&b->stages[STAGE]);
        check_event(b, b->events_nr - 1, SLUICE_EVENT_PEAK, 12345);
        assert_false(watched(b)->exact);
        assert_int_equal(watched(b)->samples, 3);
}

/* Without a cgroup of its own, and with one that has no memory controller. */
static void one_that_was_sampled_says_what_was_seen(void **state)
{
        struct bench *b = *state;

        check_sampled(b);
        assert_int_equal(b->events_nr, 1);
        cgroup_close(&watched(b)->cgroup);
        check_sampled(b);
        assert_int_equal(b->events_nr, 2);
}

static void nobody_need_listen(void **state)
{
        struct bench *b = *state;

        b->plan.opt.event = NULL;
        put(b, "memory.peak", "4096\n");
        put(b, "memory.events", KILLED(1));
        watch(b, 1);
        memory_finish(&b->stages[STAGE]);
        assert_true(watched(b)->exceeded);
        assert_int_equal(b->events_nr, 0);
}

/* ---- the beginning ---- */

static void who_has_a_limit_or_is_observed_is_watched(void **state)
{
        static const struct {
                uint64_t bytes;
                unsigned flags;
                bool on;
        } rows[] = { { 0, 0, false },
                     { 1, 0, true },
                     { 0, SLUICE_COMMAND_OBSERVE_MEMORY, true },
                     { 1, SLUICE_COMMAND_OBSERVE_MEMORY, true } };
        struct bench *b = *state;
        struct sluice_ctx *c = &b->stages[STAGE];

        assert_false(memory_is_watched(c)); /* without options */
        c->child->prep.options = &b->options;
        for (size_t i = 0; i < COUNT(rows); i++) {
                put(b, "memory.max", "max\n");
                put(b, "memory.oom.group", "0");
                b->options = (struct sluice_command_options){ .memory_bytes = rows[i].bytes, .flags = rows[i].flags };
                assert_int_equal(memory_is_watched(c), rows[i].on);
                assert_int_equal(memory_begin(c), 0);
                assert_int_equal(watched(b)->on, rows[i].on);
        }
}

static void its_limit_is_the_cgroups(void **state)
{
        struct bench *b = *state;
        struct sluice_ctx *c = &b->stages[STAGE];

        c->child->prep.options = &b->options;
        b->options.memory_bytes = 256 * MIB;
        put(b, "memory.max", "max\n");
        assert_int_equal(memory_begin(c), -ENOENT); /* what cannot be held is not promised */
        put(b, "memory.oom.group", "0");
        assert_int_equal(memory_begin(c), 0);
        check_text(b, "memory.max", "268435456");
        check_text(b, "memory.oom.group", "1");
        assert_int_equal(watched(b)->limit_bytes, 256 * MIB);
}

static void an_observed_one_gets_no_limit(void **state)
{
        struct bench *b = *state;
        struct sluice_ctx *c = &b->stages[STAGE];

        c->child->prep.options = &b->options;
        b->options.flags = SLUICE_COMMAND_OBSERVE_MEMORY;
        put(b, "memory.max", "max\n");
        assert_int_equal(memory_begin(c), 0);
        check_text(b, "memory.max", "max\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(the_end_says_what_the_cgroup_says),
                TEST(the_limit_is_said_in_words),
                TEST(it_is_asked_once),
                TEST(who_is_not_watched_is_not_told_of),
                TEST(one_that_was_sampled_says_what_was_seen),
                TEST(nobody_need_listen),
                TEST(who_has_a_limit_or_is_observed_is_watched),
                TEST(its_limit_is_the_cgroups),
                TEST(an_observed_one_gets_no_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
