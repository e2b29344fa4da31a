/* tee_gives_everyone_everything.c: behind a tee every branch has every byte, whatever it is made of and however slow it is;
 * who has enough or fails is left out and the others are whole; and a cancel at any moment leaves nothing. */
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "parts.h"

enum { BRANCHES_MAX = 40, ENDLESS = -1 };

enum kind { TO_FILE, TO_COMMAND, TO_FUNCTION, TO_THREAD, TO_SOCKET, TO_WRITER, KINDS };
enum source { FROM_FILE, FROM_COMMAND, FROM_GENERATE, FROM_SOCKET, FROM_THREAD, SOURCES };

static const enum kind kinds[] = { TO_FILE, TO_COMMAND, TO_FUNCTION, TO_THREAD, TO_SOCKET, TO_WRITER };

/* What came out of one branch. */
struct branch {
        enum kind kind;
        int stage;
        char name[32]; /* of its file */
        atomic_ullong got;
        int64_t mismatch;
        struct t_peer peer;
        int listener;    /* of the peer, to call it off */
        uint64_t enough; /* what wants no more after as many; 0: wants all */
        int event;       /* a slow one waits for it behind its first byte */
};

/* One run and all that it feeds. */
struct graph {
        struct sluice_pipeline *p;
        uint64_t bytes;
        struct t_peer writer;
        bool has_writer;
        unsigned nr;
        struct branch branches[BRANCHES_MAX];
};

/* ---- branches ---- */

static void got(struct branch *b, const void *data, size_t bytes)
{
        uint64_t at = atomic_load(&b->got);

        if (b->mismatch < 0)
                b->mismatch = t_mismatch(data, bytes, at);
        atomic_store(&b->got, at + bytes);
}

static int take(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct branch *b = t_arg(c);

        (void)self;
        (void)out;
        got(b, in->data, in->len);
        in->consumed = in->len;
        return b->enough && atomic_load(&b->got) >= b->enough ? SLUICE_FINISH_EARLY : 0;
}
static const struct sluice_stage_ops take_ops = T_FUNCTION(take);

static int read_all(void *arg, struct sluice_stream *io)
{
        struct branch *b = arg;
        uint8_t data[50000];
        ssize_t n;

        while ((n = sluice_read(io, data, sizeof(data))) > 0) {
                got(b, data, (size_t)n);
                if (b->enough && atomic_load(&b->got) >= b->enough)
                        return SLUICE_FINISH_EARLY;
        }
        return (int)n;
}

static int read_slowly(void *arg, struct sluice_stream *io)
{
        struct branch *b = arg;
        struct pollfd p = { .fd = b->event, .events = POLLIN };
        char first;
        ssize_t n = sluice_read(io, &first, 1);

        if (n == 1)
                got(b, &first, 1);
        while (poll(&p, 1, -1) < 1)
                continue;
        return n < 0 ? (int)n : read_all(arg, io);
}

static ssize_t write_all(void *arg, const void *data, size_t bytes)
{
        struct branch *b = arg;

        got(b, data, bytes);
        return b->enough && atomic_load(&b->got) >= b->enough ? SLUICE_WRITER_ENOUGH : (ssize_t)bytes;
}

/* Behind `from`; what the branch gets is checked by check_branches(). */
static struct branch *add_branch(struct graph *g, int from, enum kind kind)
{
        struct branch *b = &g->branches[g->nr];
        char text[96];
        int listener;

        assert_true(g->nr < BRANCHES_MAX);
        b->kind = kind;
        b->mismatch = -1;
        snprintf(b->name, sizeof(b->name), "branch-%u", g->nr++);
        switch (kind) {
        case TO_FILE:
                b->stage = t_ok(sluice_add_file(g->p, t_path(b->name), NULL));
                break;
        case TO_COMMAND:
                snprintf(text, sizeof(text), "exec cat >%s", t_path(b->name));
                b->stage = t_sh(g->p, text, NULL);
                break;
        case TO_FUNCTION:
                b->stage = t_ok(sluice_pipeline_add(g->p, &take_ops, b, NULL));
                break;
        case TO_THREAD:
                b->stage = t_ok(sluice_add_function(g->p, read_all, b, NULL));
                break;
        case TO_SOCKET:
                listener = t_listen(text, sizeof(text));
                b->stage = t_ok(sluice_add_tcp(g->p, text, NULL));
                b->listener = dup(listener);
                t_reader(&b->peer, -1, listener);
                break;
        default:
                b->stage = t_ok(sluice_add_writer(g->p, write_all, b, -1));
                break;
        }
        t_ok(sluice_pipeline_link(g->p, from, b->stage));
        return b;
}

static void check_branches(struct graph *g)
{
        for (unsigned i = 0; i < g->nr; i++) {
                struct branch *b = &g->branches[i];

                if (b->enough)
                        continue;
                if (b->kind == TO_SOCKET) {
                        close(b->listener);
                        t_join_exact(&b->peer, g->bytes);
                } else if (b->kind == TO_FILE || b->kind == TO_COMMAND) {
                        t_check_file(t_path(b->name), g->bytes, 0);
                } else {
                        assert_int_equal(b->mismatch, -1);
                        assert_int_equal(atomic_load(&b->got), g->bytes);
                }
        }
}

/* ---- sources ---- */

static int write_pattern(void *arg, struct sluice_stream *io)
{
        uint64_t bytes = *(const uint64_t *)arg;
        uint8_t data[7777];

        for (uint64_t at = 0; at < bytes; at += sizeof(data)) {
                size_t n = bytes - at < sizeof(data) ? (size_t)(bytes - at) : sizeof(data);
                ssize_t r;

                t_pattern(data, n, at);
                r = sluice_write(io, data, n);
                if (r < 0)
                        return (int)r;
        }
        return 0;
}

static int add_source(struct graph *g, enum source source)
{
        char address[64];
        int listener;

        switch (source) {
        case FROM_FILE:
                t_make(t_path("source"), g->bytes);
                return t_ok(sluice_add_file(g->p, t_path("source"), NULL));
        case FROM_COMMAND:
                t_make(t_path("source"), g->bytes);
                return t_ok(sluice_add_command(g->p, T_ARGV("cat", (char *)(uintptr_t)t_path("source")), NULL));
        case FROM_SOCKET:
                listener = t_listen(address, sizeof(address));
                t_writer(&g->writer, -1, listener, g->bytes);
                g->has_writer = true;
                return t_ok(sluice_add_tcp(g->p, address, NULL));
        case FROM_THREAD:
                return t_ok(sluice_add_function(g->p, write_pattern, &g->bytes, "pattern"));
        default:
                return t_ok(sluice_add_generate(g->p, (int64_t)g->bytes));
        }
}

/* A graph of a source and a tee; returns the tee. */
static int begin(struct graph *g, const struct sluice_options *opt, enum source source, uint64_t bytes, int strict)
{
        int from, tee;

        memset(g, 0, sizeof(*g));
        g->p = t_new(opt);
        g->bytes = bytes;
        from = add_source(g, source);
        tee = t_ok(sluice_add_tee(g->p, strict));
        t_ok(sluice_pipeline_link(g->p, from, tee));
        return tee;
}

/* ---- runs ---- */

static void done(void *arg, int result)
{
        *(int *)arg = result;
}

static int run_shared(struct sluice_pipeline *p)
{
        struct sluice_loop *l;
        int result = 1;

        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, l, done, &result), 0);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        sluice_loop_free(l);
        return result;
}

static void run(struct graph *g, bool shared, int expected)
{
        int r;

        if (!shared) {
                t_run(g->p, expected);
                return;
        }
        r = run_shared(g->p);
        if (r != expected)
                fail_msg("run gave %d (%s), not %d: %s", r, strerror(-r), expected, sluice_pipeline_error(g->p));
        t_check_law(g->p);
}

static void end(struct graph *g)
{
        if (g->has_writer)
                t_join(&g->writer);
        check_branches(g);
        sluice_pipeline_free(g->p);
        for (unsigned i = 0; i < g->nr; i++)
                unlink(t_path(g->branches[i].name));
}

/* A run that is ended before it connects leaves its peer waiting: nobody will come any more. */
static void join_peer(struct branch *b)
{
        shutdown(b->listener, SHUT_RDWR);
        close(b->listener);
        t_join(&b->peer);
}

/* Branches were ended as they stood: their peers too. */
static void end_cut(struct graph *g)
{
        for (unsigned i = 0; i < g->nr; i++) {
                struct branch *b = &g->branches[i];

                if (b->kind == TO_SOCKET) {
                        join_peer(b);
                        assert_int_equal(b->peer.mismatch, -1);
                }
                if (b->kind != TO_FILE && b->kind != TO_COMMAND)
                        assert_int_equal(b->mismatch, -1);
        }
        sluice_pipeline_free(g->p);
        for (unsigned i = 0; i < g->nr; i++)
                unlink(t_path(g->branches[i].name));
}

static struct graph graph;

/* ---- everything ---- */

static const uint64_t sizes[] = { 0, 1, 65536, 5 * T_MIB + 3 };
static const unsigned counts[] = { 1, 2, 12, 5 }; /* a short run leaves out the last */

static void one_kind(enum kind kind, enum sluice_driver driver, bool shared)
{
        for (size_t s = 0; s < T_NR(sizes); s++)
                for (size_t n = 0; n < T_NR(counts) - t_short(); n++) {
                        uint64_t bytes = t_short() && counts[n] > 2 && sizes[s] > T_MIB ? sizes[s] / 8 : sizes[s];
                        int tee = begin(&graph, T_OPTIONS(.driver = driver, .grace_ms = T_GRACE_MS),
                                        (enum source)((s + n) % SOURCES), bytes, 0);

                        for (unsigned i = 0; i < counts[n]; i++)
                                add_branch(&graph, tee, kind);
                        run(&graph, shared, 0);
                        end(&graph);
                }
}

static void every_kind(bool shared)
{
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (size_t k = 0; k < T_NR(kinds); k++)
                        if (!t_short() || (d + k + shared) % 2 == 0) /* both ways, every kind by every driver */
                                one_kind(kinds[k], t_drivers[d], shared);
}

static void test_every_kind_of_branch(void **state)
{
        (void)state;
        every_kind(false);
}

static void test_every_kind_of_branch_on_a_shared_loop(void **state)
{
        (void)state;
        every_kind(true);
}

static void test_every_source_and_all_kinds_at_once(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int source = 0; source < SOURCES; source++)
                        for (int shared = 0; shared < 2; shared++) {
                                int tee = begin(&graph, T_OPTIONS(.driver = t_drivers[d], .grace_ms = T_GRACE_MS),
                                                (enum source)source, 3 * T_MIB + 7, source % 2);

                                for (int k = 0; k < KINDS; k++)
                                        add_branch(&graph, tee, (enum kind)k);
                                run(&graph, shared, 0);
                                end(&graph);
                        }
}

static int nested(struct graph *g, int tee, int strict)
{
        int inner = t_ok(sluice_add_tee(g->p, strict));

        t_ok(sluice_pipeline_link(g->p, tee, inner));
        return inner;
}

static void test_tees_in_tees(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (size_t s = 0; s < T_NR(sizes); s++) {
                        int tee = begin(&graph, T_OPTIONS(.driver = t_drivers[d]), (enum source)(s % SOURCES), sizes[s], 0), inner;

                        for (int depth = 0; depth < 4; depth++) {
                                add_branch(&graph, tee, kinds[depth]);
                                inner = nested(&graph, tee, depth % 2);
                                add_branch(&graph, inner, TO_FUNCTION);
                                add_branch(&graph, inner, TO_COMMAND);
                                tee = inner;
                        }
                        run(&graph, s % 2, 0);
                        end(&graph);
                }
}

/* The engine moves nothing behind it that a command could not read itself. */
static void test_commands_have_the_pipes_themselves(void **state)
{
        int tee = begin(&graph, NULL, FROM_COMMAND, T_MIB, 0);

        (void)state;
        add_branch(&graph, tee, TO_COMMAND);
        add_branch(&graph, tee, TO_COMMAND);
        run(&graph, false, 0);
        for (int link = 0; link < 3; link++)
                assert_int_equal(sluice_pipeline_link_mode(graph.p, link), SLUICE_LINK_DIRECT);
        end(&graph);
}

static void test_no_byte_enters_userspace(void **state)
{
        int tee = begin(&graph, T_OPTIONS(.flags = SLUICE_FORBID_COPY), FROM_FILE, 2 * T_MIB + 1, 0);

        (void)state;
        add_branch(&graph, tee, TO_FILE);
        add_branch(&graph, tee, TO_SOCKET);
        add_branch(&graph, tee, TO_COMMAND);
        run(&graph, false, 0);
        for (int link = 0; link < sluice_pipeline_links(graph.p); link++)
                assert_int_equal(t_stats(graph.p, link).bytes_copied.value, 0);
        end(&graph);
}

/* ---- slow ---- */

/* Waits until what the fast branch gets stands still, keeps how much that was, and lets the slow one go on. */
struct watcher {
        struct branch *fast;
        int event;
        uint64_t stood_at;
};

static void *watch(void *arg)
{
        const struct timespec moment = { .tv_nsec = 100000000 };
        struct watcher *w = arg;
        uint64_t before;

        do {
                before = atomic_load(&w->fast->got);
                nanosleep(&moment, NULL);
        } while (before == 0 || before != atomic_load(&w->fast->got));
        w->stood_at = before;
        assert_int_equal(eventfd_write(w->event, 1), 0);
        return NULL;
}

static void slow_rules(enum sluice_driver driver, enum kind fast)
{
        struct watcher w = { .event = eventfd(0, EFD_CLOEXEC) };
        int tee = begin(&graph, T_OPTIONS(.driver = driver), FROM_GENERATE, 24 * T_MIB, 0);
        struct branch *slow = &graph.branches[graph.nr++];
        pthread_t thread;

        *slow = (struct branch){ .kind = TO_THREAD, .mismatch = -1, .event = w.event };
        slow->stage = t_ok(sluice_add_function(graph.p, read_slowly, slow, "slow"));
        t_ok(sluice_pipeline_link(graph.p, tee, slow->stage));
        w.fast = add_branch(&graph, tee, fast);
        add_branch(&graph, tee, TO_COMMAND);
        assert_int_equal(pthread_create(&thread, NULL, watch, &w), 0);
        run(&graph, false, 0);
        pthread_join(thread, NULL);
        close(w.event);
        /* At most what pipes hold: its own, and the tee's input. */
        if (w.stood_at == 0 || w.stood_at > 4 * T_MIB)
                fail_msg("the others had %llu bytes while the slow one slept", (unsigned long long)w.stood_at);
        end(&graph);
}

static void test_the_slowest_rules_and_loses_nothing(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                slow_rules(t_drivers[d], TO_FUNCTION);
                slow_rules(t_drivers[d], TO_THREAD);
        }
}

/* ---- enough ---- */

static int add_head(struct sluice_pipeline *p, int from)
{
        int head = t_ok(sluice_add_command(p, T_ARGV("head", "-c", "5"), NULL)), null = t_ok(sluice_add_null(p));

        t_ok(sluice_pipeline_link(p, from, head));
        t_ok(sluice_pipeline_link(p, head, null));
        return head;
}

static void test_who_has_enough_is_left_out(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int source = 0; source < SOURCES; source++) {
                        int tee = begin(&graph, T_OPTIONS(.driver = t_drivers[d], .flags = SLUICE_EARLY_EXIT_OK),
                                        (enum source)source, 5 * T_MIB + 3, source % 2);
                        int head = add_head(graph.p, tee);

                        add_branch(&graph, tee, TO_FUNCTION)->enough = 100;
                        add_branch(&graph, tee, TO_THREAD)->enough = 200000;
                        add_branch(&graph, tee, TO_WRITER)->enough = 1;
                        for (int k = 0; k < KINDS; k++)
                                add_branch(&graph, tee, (enum kind)k);
                        run(&graph, source % 2, 0);
                        t_verdict(graph.p, head, SLUICE_VERDICT_OK);
                        assert_int_equal(sluice_pipeline_failures(graph.p, NULL, 0), 0);
                        end(&graph);
                }
}

enum endless { YES, GENERATE, ZERO, FUNCTION, ENDLESS_SOURCES };

static int add_endless(struct sluice_pipeline *p, enum endless source)
{
        static uint64_t most = UINT64_MAX / 2;

        switch (source) {
        case YES:
                return t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
        case ZERO:
                return t_ok(sluice_add_zero(p, ENDLESS));
        case FUNCTION:
                return t_ok(sluice_add_function(p, write_pattern, &most, NULL));
        default:
                return t_ok(sluice_add_generate(p, ENDLESS));
        }
}

static int begin_endless(struct graph *g, const struct sluice_options *opt, enum endless source, int strict)
{
        int from, tee;

        memset(g, 0, sizeof(*g));
        g->p = t_new(opt);
        from = add_endless(g->p, source);
        tee = t_ok(sluice_add_tee(g->p, strict));
        t_ok(sluice_pipeline_link(g->p, from, tee));
        return tee;
}

static void test_when_all_have_enough_it_ends(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int source = 0; source < ENDLESS_SOURCES; source++)
                        for (int strict = 0; strict < 2; strict++) {
                                int tee = begin_endless(&graph, T_OPTIONS(.driver = t_drivers[d], .flags = SLUICE_EARLY_EXIT_OK),
                                                        (enum endless)source, strict);

                                add_head(graph.p, tee);
                                add_head(graph.p, nested(&graph, tee, 0));
                                if (source == GENERATE) {
                                        add_branch(&graph, tee, TO_FUNCTION)->enough = 300000;
                                        add_branch(&graph, tee, TO_THREAD)->enough = 100;
                                        add_branch(&graph, tee, TO_WRITER)->enough = 100;
                                }
                                run(&graph, strict, 0);
                                assert_int_equal(sluice_pipeline_failures(graph.p, NULL, 0), 0);
                                end(&graph);
                        }
}

/* Functions say that they have enough: no policy is needed. */
static void test_enough_by_functions_alone(void **state)
{
        (void)state;
        for (int source = 0; source < 2; source++) {
                int tee = begin_endless(&graph, NULL, source ? GENERATE : YES, 0);

                for (int i = 0; i < 3; i++) {
                        add_branch(&graph, tee, TO_FUNCTION)->enough = 1;
                        add_branch(&graph, tee, TO_WRITER)->enough = 100000;
                }
                run(&graph, source, 0);
                end(&graph);
        }
}

/* ---- failure ---- */

enum failing { FULL_DEVICE, EXIT_AT_ONCE, EXIT_AT_END, FULL_TMPFS, FAILINGS };

static bool small_mounted;
static char small_directory[] = "/dev/shm/sluice-small-XXXXXX";

static int mount_small(void **state)
{
        (void)state;
        if (!mkdtemp(small_directory))
                return -1;
        /* In a mount namespace of its own it is gone with this process, however that ends. */
        small_mounted = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                        mount("small", small_directory, "tmpfs", 0, "size=64k") == 0;
        return 0;
}

static int unmount_small(void **state)
{
        (void)state;
        if (small_mounted)
                umount(small_directory);
        rmdir(small_directory);
        return 0;
}

/* Returns the stage, and what the run will give. */
static int add_failing(struct sluice_pipeline *p, int tee, enum failing f, int *ret_result)
{
        char path[64];
        int stage;

        snprintf(path, sizeof(path), "%s/out", small_directory);
        *ret_result = f == FULL_DEVICE || f == FULL_TMPFS ? -ENOSPC : -ECHILD;
        if (f == FULL_DEVICE)
                stage = t_ok(sluice_add_file(p, "/dev/full", NULL));
        else if (f == FULL_TMPFS)
                stage = t_ok(sluice_add_file(p, path, NULL));
        else
                stage = t_sh(p, f == EXIT_AT_ONCE ? "exit 3" : "cat >/dev/null; exit 3", NULL);
        t_ok(sluice_pipeline_link(p, tee, stage));
        return stage;
}

static void one_fails(enum failing f, enum sluice_driver driver, enum source source, unsigned place)
{
        int tee = begin(&graph, T_OPTIONS(.driver = driver), source, 5 * T_MIB + 3, 0), stage = -1, expected = 0;

        for (unsigned k = 0; k < KINDS; k++) {
                if (k == place)
                        stage = add_failing(graph.p, tee, f, &expected);
                add_branch(&graph, tee, (enum kind)k);
        }
        run(&graph, place % 2, expected);
        assert_int_equal(t_failure(graph.p).stage, stage);
        assert_int_equal(sluice_pipeline_failures(graph.p, NULL, 0), 1);
        t_verdict(graph.p, stage, SLUICE_VERDICT_FAILED);
        if (f == EXIT_AT_ONCE || f == EXIT_AT_END)
                assert_int_equal(t_result(graph.p, stage).exit_status, 3);
        for (unsigned i = 0; i < graph.nr; i++)
                t_verdict(graph.p, graph.branches[i].stage, SLUICE_VERDICT_OK);
        end(&graph);
}

static void test_one_that_fails_is_reported_and_the_others_are_whole(void **state)
{
        unsigned turn = 0;

        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int f = 0; f < FAILINGS; f++)
                        for (int source = 0; source < SOURCES; source++, turn++)
                                if (f != FULL_TMPFS || small_mounted)
                                        one_fails((enum failing)f, t_drivers[d], (enum source)source, turn % KINDS);
}

/* It fails in the middle of a branch, two levels down. */
static void test_one_that_fails_behind_others(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                int tee = begin(&graph, T_OPTIONS(.driver = t_drivers[d]), FROM_GENERATE, 3 * T_MIB, 0), count, expected;

                count = t_ok(sluice_add_count(graph.p));
                t_ok(sluice_pipeline_link(graph.p, nested(&graph, tee, 0), count));
                add_failing(graph.p, count, FULL_DEVICE, &expected);
                add_branch(&graph, count - 1, TO_FILE);
                add_branch(&graph, tee, TO_FUNCTION);
                run(&graph, false, expected);
                end(&graph);
        }
}

/* A strict one in a tee that is not: its own branches end, the others are whole. */
static void test_strict_inside(void **state)
{
        int tee = begin(&graph, NULL, FROM_GENERATE, 3 * T_MIB, 0), inner, expected;

        (void)state;
        inner = nested(&graph, tee, 1);
        add_failing(graph.p, inner, FULL_DEVICE, &expected);
        add_branch(&graph, tee, TO_FILE);
        run(&graph, false, expected);
        sluice_pipeline_free(graph.p);
        unlink(t_path("branch-0"));
}

static void test_every_one_fails(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int source = 0; source < ENDLESS_SOURCES; source++) {
                        int tee = begin_endless(&graph, T_OPTIONS(.driver = t_drivers[d]), (enum endless)source, 0), expected;

                        add_failing(graph.p, tee, FULL_DEVICE, &expected);
                        add_failing(graph.p, tee, FULL_DEVICE, &expected);
                        run(&graph, source % 2, -ENOSPC);
                        sluice_pipeline_free(graph.p);
                }
}

/* The source would go on for ever. */
static void strict_ends(enum failing f, enum sluice_driver driver, enum endless source)
{
        int tee, expected, stage;

        tee = begin_endless(&graph, T_OPTIONS(.driver = driver, .timeout_ms = 10000, .grace_ms = T_GRACE_MS), source, 1);
        stage = t_ok(sluice_add_command(graph.p, T_ARGV("cat"), NULL));
        t_ok(sluice_pipeline_link(graph.p, tee, stage));
        t_ok(sluice_pipeline_link(graph.p, stage, t_ok(sluice_add_null(graph.p))));
        stage = add_failing(graph.p, tee, f, &expected);
        if (source == GENERATE) {
                add_branch(&graph, tee, TO_FUNCTION);
                add_branch(&graph, tee, TO_THREAD);
                add_branch(&graph, tee, TO_SOCKET);
        }
        run(&graph, source % 2, expected);
        assert_int_equal(t_failure(graph.p).stage, stage);
        end_cut(&graph);
}

static void test_strict_ends_the_others(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int source = 0; source < ENDLESS_SOURCES; source++) {
                        strict_ends(FULL_DEVICE, t_drivers[d], (enum endless)source);
                        if (small_mounted)
                                strict_ends(FULL_TMPFS, t_drivers[d], (enum endless)source);
                }
}

static void test_strict_ends_the_others_when_a_command_fails(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int source = 0; source < ENDLESS_SOURCES; source++)
                        strict_ends(EXIT_AT_ONCE, t_drivers[d], (enum endless)source);
}

/* ---- cancel ---- */

static void add_mixed(struct graph *g, int tee, enum endless source)
{
        int cat = t_ok(sluice_add_command(g->p, T_ARGV("cat"), NULL)), inner = nested(g, tee, 0);

        t_ok(sluice_pipeline_link(g->p, tee, cat));
        t_ok(sluice_pipeline_link(g->p, cat, t_ok(sluice_add_null(g->p))));
        t_ok(sluice_pipeline_link(g->p, inner, t_ok(sluice_add_null(g->p))));
        if (source != GENERATE && source != FUNCTION)
                return;
        add_branch(g, tee, TO_FUNCTION);
        add_branch(g, tee, TO_SOCKET);
        add_branch(g, inner, TO_THREAD);
}

static void test_a_deadline_at_any_moment(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int i = 0; i < 20; i++) {
                        enum endless source = (enum endless)(i % ENDLESS_SOURCES);
                        int tee = begin_endless(&graph,
                                                T_OPTIONS(.driver = t_drivers[d], .timeout_ms = 1 + i * 2, .grace_ms = T_GRACE_MS),
                                                source, i % 3 == 0);

                        /* Some have a branch that never reads: the tee waits for room. */
                        if (i % 2) {
                                int stage = t_ok(sluice_add_command(graph.p, T_ARGV("sleep", "1000"), NULL));

                                t_ok(sluice_pipeline_link(graph.p, tee, stage));
                        }
                        add_mixed(&graph, tee, source);
                        run(&graph, i / 2 % 2, -ETIMEDOUT);
                        end_cut(&graph);
                }
}

static void *fire_later(void *arg)
{
        struct sluice_cancel *cancel = arg;
        static unsigned turn;
        const struct timespec moment = { .tv_nsec = turn++ % 20 * 700000 };

        nanosleep(&moment, NULL);
        sluice_cancel_fire(cancel);
        return NULL;
}

static void test_a_cancel_at_any_moment(void **state)
{
        (void)state;
        for (int i = 0; i < 60; i++) {
                enum endless source = (enum endless)(i % ENDLESS_SOURCES);
                struct sluice_cancel *cancel;
                pthread_t thread;
                int tee;

                assert_int_equal(sluice_cancel_new(&cancel), 0);
                tee = begin_endless(&graph, T_OPTIONS(.driver = t_drivers[i / 2 % 4], .cancel = cancel, .grace_ms = T_GRACE_MS),
                                    source, 0);
                add_mixed(&graph, tee, source);
                assert_int_equal(pthread_create(&thread, NULL, fire_later, cancel), 0);
                run(&graph, i % 2, -ECANCELED);
                pthread_join(thread, NULL);
                end_cut(&graph);
                sluice_cancel_unref(cancel);
        }
}

/* Its input never comes. */
static void test_a_silent_source(void **state)
{
        int tee, sleep;

        (void)state;
        memset(&graph, 0, sizeof(graph));
        graph.p = t_new(T_OPTIONS(.timeout_ms = 50, .grace_ms = T_GRACE_MS));
        sleep = t_ok(sluice_add_command(graph.p, T_ARGV("sleep", "1000"), NULL));
        tee = t_ok(sluice_add_tee(graph.p, 0));
        t_ok(sluice_pipeline_link(graph.p, sleep, tee));
        for (int k = 0; k < KINDS; k++)
                if (k != TO_SOCKET)
                        add_branch(&graph, tee, (enum kind)k);
        run(&graph, false, -ETIMEDOUT);
        end_cut(&graph);
}

/* ---- at random ---- */

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return (unsigned)((random_state >> 33) % n);
}

/* Something on the way that changes nothing. */
static int random_middle(struct graph *g, int from)
{
        int stage;

        switch (random_below(6)) {
        case 0:
                stage = t_ok(sluice_add_command(g->p, T_ARGV("cat"), NULL));
                break;
        case 1:
                stage = t_ok(sluice_add_count(g->p));
                break;
        default:
                return from;
        }
        t_ok(sluice_pipeline_link(g->p, from, stage));
        return stage;
}

static void random_branches(struct graph *g, int tee, unsigned depth)
{
        unsigned nr = 1 + random_below(4);

        for (unsigned i = 0; i < nr; i++) {
                int from = random_middle(g, tee);

                if (depth > 1 && random_below(3) == 0 && g->nr < BRANCHES_MAX - 8)
                        random_branches(g, nested(g, from, (int)random_below(2)), depth - 1);
                else if (g->nr < BRANCHES_MAX - 1 || i == 0)
                        add_branch(g, from, (enum kind)random_below(KINDS));
                else if (from != tee)
                        t_ok(sluice_pipeline_link(g->p, from, t_ok(sluice_add_null(g->p))));
        }
}

static void test_random_trees(void **state)
{
        const char *given = getenv("SLUICE_TEST_SEED");
        uint64_t seed = given ? (uint64_t)strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 1000003U ^ (uint64_t)getpid();

        (void)state;
        print_message("SLUICE_TEST_SEED=%llu\n", (unsigned long long)seed);
        random_state = seed | 1;
        for (int round = 0; round < (t_short() ? 60 : 200); round++) {
                enum source source = (enum source)random_below(SOURCES);
                enum sluice_driver driver = t_drivers[random_below(4)];
                uint64_t bytes = random_below(5) ? random_below(300 * 1024 + 1) : random_below(3);
                bool shared = random_below(2);
                int tee = begin(&graph, T_OPTIONS(.driver = driver), source, bytes, (int)random_below(2));

                random_branches(&graph, tee, 3);
                run(&graph, shared, 0);
                end(&graph);
        }
}

/* ---- refused, with words ---- */

static void refused(struct sluice_pipeline *p, int expected, const char *words)
{
        int r = sluice_pipeline_build(p);

        if (r != expected || !strstr(sluice_pipeline_error(p), words))
                fail_msg("build gave %d (%s), not %d with '%s': %s", r, strerror(-r), expected, words, sluice_pipeline_error(p));
        sluice_pipeline_free(p);
}

static void test_what_has_no_input_or_output_is_refused(void **state)
{
        (void)state;
        for (int strict = 0; strict < 2; strict++) {
                struct sluice_pipeline *p = t_new(NULL);
                int tee = t_ok(sluice_add_tee(p, strict));

                t_ok(sluice_pipeline_link(p, tee, t_ok(sluice_add_null(p))));
                refused(p, -ENOTSUP, "has an input, and an output for every branch");
                p = t_new(NULL);
                tee = t_ok(sluice_add_tee(p, strict));
                t_ok(sluice_pipeline_link(p, t_ok(sluice_add_generate(p, 1)), tee));
                refused(p, -ENOTSUP, "has an input, and an output for every branch");
                p = t_new(NULL);
                t_ok(sluice_add_tee(p, strict));
                refused(p, -EINVAL, "is linked to nothing");
        }
}

static void test_two_readers_without_a_tee_are_refused(void **state)
{
        (void)state;
        for (int source = 0; source < 3; source++) {
                struct sluice_pipeline *p = t_new(NULL);
                int from = t_ok(source == 0   ? sluice_add_generate(p, 1)
                                : source == 1 ? sluice_add_zero(p, 1)
                                              : sluice_add_command(p, T_ARGV("true"), NULL));

                t_ok(sluice_pipeline_link(p, from, t_ok(sluice_add_null(p))));
                t_ok(sluice_pipeline_link(p, from, t_ok(sluice_add_null(p))));
                refused(p, -ENOTSUP, "put a tee between");
        }
}

static void test_a_circle_is_refused(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        int tee = t_ok(sluice_add_tee(p, 0)), cat = t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));

        (void)state;
        t_ok(sluice_pipeline_link(p, tee, cat));
        t_ok(sluice_pipeline_link(p, tee, t_ok(sluice_add_null(p))));
        t_ok(sluice_pipeline_link(p, cat, tee));
        refused(p, -ELOOP, "circle");
}

/* ---- many times ---- */

static void test_a_plan_with_a_tee_runs_at_once_and_again(void **state)
{
        enum { RUNS = 8, ROUNDS = 5 };
        int results[RUNS], from, tee, inner;
        struct sluice_pipeline *p = t_new(NULL);
        struct sluice_plan *plan;
        struct sluice_loop *l;

        (void)state;
        from = t_ok(sluice_add_generate(p, 200000));
        tee = t_ok(sluice_add_tee(p, 0));
        inner = t_ok(sluice_add_tee(p, 0));
        t_ok(sluice_pipeline_link(p, from, tee));
        t_ok(sluice_pipeline_link(p, tee, inner));
        for (int i = 0; i < 4; i++)
                t_ok(sluice_pipeline_link(p, i % 2 ? tee : inner, t_ok(sluice_add_null(p))));
        t_ok(sluice_pipeline_link(p, tee, t_ok(sluice_add_command(p, T_ARGV("wc", "-c"), NULL))));
        t_ok(sluice_pipeline_link(p, 7, t_ok(sluice_add_null(p))));
        assert_int_equal(sluice_plan_new(&plan, p), 0);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        for (int round = 0; round < ROUNDS; round++) {
                for (int i = 0; i < RUNS; i++) {
                        results[i] = 1;
                        assert_int_equal(sluice_plan_start(plan, l, NULL, 0, done, &results[i]), 0);
                }
                for (int i = 0; i < RUNS; i++)
                        while (results[i] == 1)
                                assert_true(sluice_loop_turn(l, 1000) >= 0);
                for (int i = 0; i < RUNS; i++)
                        assert_int_equal(results[i], 0);
        }
        sluice_loop_free(l);
        sluice_plan_free(plan);
        sluice_pipeline_free(p);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_every_kind_of_branch),
                T_TEST(test_every_kind_of_branch_on_a_shared_loop),
                T_TEST(test_every_source_and_all_kinds_at_once),
                T_TEST(test_tees_in_tees),
                T_TEST(test_commands_have_the_pipes_themselves),
                T_TEST(test_no_byte_enters_userspace),
                T_TEST(test_the_slowest_rules_and_loses_nothing),
                T_TEST(test_who_has_enough_is_left_out),
                T_TEST(test_when_all_have_enough_it_ends),
                T_TEST(test_enough_by_functions_alone),
                T_TEST(test_one_that_fails_is_reported_and_the_others_are_whole),
                T_TEST(test_one_that_fails_behind_others),
                T_TEST(test_strict_inside),
                T_TEST(test_every_one_fails),
                T_TEST(test_strict_ends_the_others),
                T_TEST(test_strict_ends_the_others_when_a_command_fails),
                T_TEST(test_a_deadline_at_any_moment),
                T_TEST(test_a_cancel_at_any_moment),
                T_TEST(test_a_silent_source),
                T_TEST(test_random_trees),
                T_TEST(test_what_has_no_input_or_output_is_refused),
                T_TEST(test_two_readers_without_a_tee_are_refused),
                T_TEST(test_a_circle_is_refused),
                T_TEST(test_a_plan_with_a_tee_runs_at_once_and_again),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, mount_small, unmount_small);
}
