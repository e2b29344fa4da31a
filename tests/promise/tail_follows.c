/* tail_follows.c: what is added to a file arrives behind it, exactly and without being asked for in between; a file that is
 * truncated is read again; one that is deleted is read to its end; and while nothing is added nothing runs.
 *
 * No test waits for a time to pass: the loop is turned until the counters of the link say that all has arrived, or that the
 * tail has begun to wait. A growth that is missed makes such a turn time out. */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parts.h"

enum { TURN_MS = 100, TURNS_MAX = 200, QUIET_TURNS = 8, RUNNING = 1 };

enum sink { TO_FILE, TO_PIPE, TO_COMMAND, TO_FUNCTION, TO_THREAD, TO_SOCKET, SINKS };

/* One tail and whatever is behind it. */
struct follow {
        struct sluice_pipeline *p;
        struct sluice_loop *loop;
        enum sink kind;
        int file;         /* the writer's */
        uint64_t written; /* to the file */
        int result;
        int tail, sink;
        atomic_ullong got;
        atomic_llong mismatch;
        struct t_peer peer;
};

/* ---- sinks ---- */

static void got(struct follow *f, const void *data, size_t bytes)
{
        uint64_t at = atomic_load(&f->got);
        int64_t bad = t_mismatch(data, bytes, at);

        if (bad >= 0)
                atomic_store(&f->mismatch, bad);
        atomic_store(&f->got, at + bytes);
}

static int take(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        got(t_arg(c), in->data, in->len);
        in->consumed = in->len;
        return 0;
}
static const struct sluice_stage_ops take_ops = T_FUNCTION(take);

static int read_all(void *arg, struct sluice_stream *io)
{
        uint8_t data[50000];
        ssize_t n;

        while ((n = sluice_read(io, data, sizeof(data))) > 0)
                got(arg, data, (size_t)n);
        return (int)n;
}

static int add_sink(struct follow *f)
{
        int fds[2], listener;
        char text[96];

        switch (f->kind) {
        case TO_FILE:
                return sluice_add_file(f->p, t_path("sink"), NULL);
        case TO_PIPE:
                t_pipe(fds);
                t_reader(&f->peer, fds[0], -1);
                return sluice_add_fd(f->p, fds[1], SLUICE_OWN);
        case TO_COMMAND:
                snprintf(text, sizeof(text), "exec cat >%s", t_path("sink"));
                return t_sh(f->p, text, NULL);
        case TO_FUNCTION:
                return sluice_pipeline_add(f->p, &take_ops, f, NULL);
        case TO_THREAD:
                return sluice_add_function(f->p, read_all, f, NULL);
        default:
                listener = t_listen(text, sizeof(text));
                t_reader(&f->peer, -1, listener);
                return sluice_add_tcp(f->p, text, NULL);
        }
}

static void check_sink(struct follow *f, uint64_t bytes)
{
        if (f->kind == TO_FILE || f->kind == TO_COMMAND) {
                t_check_file(t_path("sink"), bytes, 0);
        } else if (f->kind == TO_PIPE || f->kind == TO_SOCKET) {
                t_join_exact(&f->peer, bytes);
        } else {
                assert_int_equal(atomic_load(&f->mismatch), -1);
                assert_int_equal(atomic_load(&f->got), bytes);
        }
}

/* ---- one run ---- */

static void done(void *arg, int result)
{
        *(int *)arg = result;
}

static void append(struct follow *f, size_t bytes)
{
        uint8_t data[4096];

        while (bytes > 0) {
                size_t n = bytes < sizeof(data) ? bytes : sizeof(data);

                t_pattern(data, n, f->written);
                assert_int_equal(write(f->file, data, n), n);
                f->written += n;
                bytes -= n;
        }
}

static void prepare(struct follow *f, enum sink kind, uint64_t bytes)
{
        memset(f, 0, sizeof(*f));
        f->kind = kind;
        f->mismatch = -1;
        f->result = RUNNING;
        f->file = open(t_path("source"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        assert_true(f->file >= 0);
        append(f, bytes);
}

static void begin(struct follow *f, enum sluice_driver driver, bool shared, const struct sluice_tail_options *opt)
{
        struct sluice_loop_options loop = { .size = sizeof(loop), .exclusive = !shared };

        f->p = t_new(T_OPTIONS(.driver = driver, .grace_ms = T_GRACE_MS));
        f->tail = t_ok(sluice_add_tail(f->p, t_path("source"), opt));
        f->sink = t_ok(add_sink(f));
        t_chain(f->p);
        assert_int_equal(sluice_loop_new(&f->loop, &loop), 0);
        assert_int_equal(sluice_pipeline_start(f->p, f->loop, done, &f->result), 0);
}

/* A turn may find nothing to do, when it was woken by another thread; but not for ever. */
static void turn(struct follow *f)
{
        for (int i = 0; i < TURNS_MAX; i++) {
                int r = sluice_loop_turn(f->loop, TURN_MS);

                assert_true(r >= 0);
                if (r > 0)
                        return;
        }
        fail_msg("nothing happens any more");
}

static struct sluice_stats stats(struct follow *f)
{
        struct sluice_stats s = { .size = sizeof(s) };

        assert_int_equal(sluice_pipeline_stats(f->p, 0, &s), 0);
        return s;
}

/* Until all that was written has gone on and the tail waits for more, having waited `waits` times before. */
static void settle(struct follow *f, uint64_t bytes, uint64_t waits)
{
        while (f->result == RUNNING && (stats(f).bytes.value < bytes || stats(f).waits_upstream <= waits))
                turn(f);
        assert_int_equal(f->result, RUNNING);
        assert_int_equal(stats(f).bytes.value, bytes);
        assert_int_equal(stats(f).bytes_inside, 0);
}

/* A turn may find what the last one set off: the start of a peer, a poll that was given to the ring. Then nothing does. */
static void stays_quiet(struct follow *f)
{
        int idle = 0;
        struct sluice_stats before, after;

        for (int i = 0; i < 10 * QUIET_TURNS && idle < QUIET_TURNS; i++)
                idle = sluice_loop_turn(f->loop, 0) == 0 ? idle + 1 : 0;
        assert_int_equal(idle, QUIET_TURNS);
        before = stats(f);
        for (int i = 0; i < QUIET_TURNS; i++)
                assert_int_equal(sluice_loop_turn(f->loop, 0), 0);
        after = stats(f);
        assert_memory_equal(&before, &after, sizeof(before));
}

static void finish(struct follow *f, int expected)
{
        while (f->result == RUNNING)
                turn(f);
        if (f->result != expected)
                fail_msg("run gave %d (%s), not %d: %s", f->result, strerror(-f->result), expected, sluice_pipeline_error(f->p));
        t_check_law(f->p);
}

static void end(struct follow *f)
{
        sluice_pipeline_free(f->p);
        sluice_loop_free(f->loop);
        if (f->file >= 0)
                close(f->file);
        unlink(t_path("source"));
        unlink(t_path("sink"));
}

static struct follow follow;

#define T_TAIL(...) (&(const struct sluice_tail_options){ .size = sizeof(struct sluice_tail_options), __VA_ARGS__ })
#define DELETED     T_TAIL(.flags = SLUICE_TAIL_UNTIL_DELETED)

/* ---- growth ---- */

static const size_t grows_by[] = { 1, 4095, 65536, 3, 2 * T_MIB + 7 };

static void grow(enum sink kind, enum sluice_driver driver, bool shared, uint64_t first)
{
        struct follow *f = &follow;
        uint64_t waits = 0;

        prepare(f, kind, first);
        begin(f, driver, shared, DELETED);
        settle(f, f->written, waits);
        for (size_t i = 0; i < T_NR(grows_by); i++) {
                waits = stats(f).waits_upstream;
                append(f, grows_by[i]);
                settle(f, f->written, waits);
        }
        unlink(t_path("source"));
        finish(f, 0);
        check_sink(f, f->written);
        end(f);
}

static void test_growth_arrives(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int kind = 0; kind < SINKS; kind++)
                        for (int shared = 0; shared < 2; shared++)
                                grow((enum sink)kind, t_drivers[d], shared, (uint64_t)kind * 70000);
}

/* A writer that takes no notice, and removes the file at once when it has written: nothing falls between two looks. */
static void *write_on(void *arg)
{
        struct follow *f = arg;

        for (unsigned i = 0; i < 3000; i++)
                append(f, 1 + i * 7919 % 3000);
        unlink(t_path("source"));
        return NULL;
}

static void test_a_writer_that_does_not_wait(void **state)
{
        struct follow *f = &follow;

        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int kind = 0; kind < SINKS; kind++) {
                        pthread_t writer;

                        prepare(f, (enum sink)kind, 0);
                        begin(f, t_drivers[d], false, DELETED);
                        while (stats(f).waits_upstream == 0) /* it has the file by its name */
                                turn(f);
                        assert_int_equal(pthread_create(&writer, NULL, write_on, f), 0);
                        finish(f, 0);
                        pthread_join(writer, NULL);
                        check_sink(f, f->written);
                        end(f);
                }
}

static void test_from_the_end(void **state)
{
        struct follow *f = &follow;

        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                prepare(f, TO_FILE, 100000);
                begin(f, t_drivers[d], false, T_TAIL(.flags = SLUICE_TAIL_UNTIL_DELETED | SLUICE_TAIL_END));
                settle(f, 0, 0);
                append(f, 5000);
                settle(f, 5000, 1);
                unlink(t_path("source"));
                finish(f, 0);
                t_check_file(t_path("sink"), 5000, 100000);
                end(f);
        }
}

/* ---- truncation ---- */

static const char *report(struct follow *f, const char *name)
{
        static struct sluice_stage_result r;

        r = t_result(f->p, f->tail);
        for (int i = 0; i < SLUICE_REPORTS_MAX && r.reports[i].name; i++)
                if (strcmp(r.reports[i].name, name) == 0)
                        return r.reports[i].value;
        return "";
}

static void test_truncated_begins_again(void **state)
{
        struct follow *f = &follow;

        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                prepare(f, TO_FILE, 100000);
                begin(f, t_drivers[d], false, DELETED);
                settle(f, 100000, 0);
                assert_string_equal(report(f, "truncated"), "");
                assert_return_code(ftruncate(f->file, 0), errno);
                append(f, 7000);
                settle(f, 107000, 1);
                assert_string_equal(report(f, "truncated"), "1");
                assert_return_code(ftruncate(f->file, 0), errno);
                while (strcmp(report(f, "truncated"), "2") != 0)
                        turn(f);
                append(f, 300);
                unlink(t_path("source"));
                finish(f, 0);
                t_check_file(t_path("sink"), 107300, 0);
                end(f);
        }
}

/* ---- ends ---- */

static void test_a_name_left_is_not_deleted(void **state)
{
        struct follow *f = &follow;

        (void)state;
        prepare(f, TO_FILE, 10);
        begin(f, SLUICE_DRIVER_AUTO, false, DELETED);
        assert_return_code(link(t_path("source"), t_path("second")), errno);
        settle(f, 10, 0);
        unlink(t_path("source"));
        stays_quiet(f);
        append(f, 10);
        settle(f, 20, 1);
        unlink(t_path("second"));
        finish(f, 0);
        check_sink(f, 20);
        end(f);
}

/* The kernel ends a watch with a file's last name, although the file is open. */
static void test_without_a_name_it_is_followed_on(void **state)
{
        struct follow *f = &follow;

        (void)state;
        prepare(f, TO_FILE, 10);
        begin(f, SLUICE_DRIVER_AUTO, false, NULL);
        assert_return_code(link(t_path("source"), t_path("second")), errno);
        settle(f, 10, 0);
        unlink(t_path("source"));
        unlink(t_path("second"));
        stays_quiet(f);
        for (uint64_t i = 1; i < 4; i++) {
                append(f, 10);
                settle(f, 10 + 10 * i, i);
        }
        sluice_pipeline_stop(f->p);
        finish(f, -ECANCELED);
        check_sink(f, 40);
        end(f);
}

static void test_deleted_before_it_was_read(void **state)
{
        struct follow *f = &follow;

        (void)state;
        prepare(f, TO_FILE, 3 * T_MIB);
        begin(f, SLUICE_DRIVER_AUTO, false, DELETED);
        while (stats(f).bytes.value == 0)
                turn(f);
        unlink(t_path("source"));
        append(f, 5); /* by whoever has it still open */
        finish(f, 0);
        check_sink(f, 3 * T_MIB + 5);
        end(f);
}

static void test_replaced_is_deleted(void **state)
{
        struct follow *f = &follow;

        (void)state;
        prepare(f, TO_FUNCTION, 10);
        begin(f, SLUICE_DRIVER_AUTO, false, DELETED);
        settle(f, 10, 0);
        t_make(t_path("other"), 10);
        assert_return_code(rename(t_path("other"), t_path("source")), errno);
        finish(f, 0);
        check_sink(f, 10);
        end(f);
}

/* It ends by itself, and what was there is whole; how long it took is not looked at. */
static void test_idle_is_an_end(void **state)
{
        struct follow *f = &follow;

        (void)state;
        for (int kind = 0; kind < SINKS; kind++) {
                prepare(f, (enum sink)kind, 70000);
                begin(f, SLUICE_DRIVER_AUTO, false, T_TAIL(.idle_ms = 20));
                finish(f, 0);
                check_sink(f, 70000);
                end(f);
        }
}

/* ---- waiting costs nothing and can be ended ---- */

static void test_waiting_makes_no_turns(void **state)
{
        struct follow *f = &follow;

        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int kind = 0; kind < SINKS; kind++)
                        for (int shared = 0; shared < 2; shared++) {
                                prepare(f, (enum sink)kind, 5000);
                                begin(f, t_drivers[d], shared, NULL);
                                settle(f, 5000, 0);
                                stays_quiet(f);
                                sluice_pipeline_stop(f->p);
                                finish(f, -ECANCELED);
                                if (kind == TO_PIPE || kind == TO_SOCKET)
                                        t_join(&f->peer); /* a connection is reset: it did not end well */
                                end(f);
                        }
}

static void test_a_cancel_at_any_turn(void **state)
{
        struct follow *f = &follow;

        (void)state;
        for (int turns = 0; turns < 12; turns++)
                for (int kind = 0; kind < SINKS; kind++) {
                        if (kind == TO_SOCKET) /* its peer would wait for a connection that never comes */
                                continue;
                        prepare(f, (enum sink)kind, 300000);
                        begin(f, t_drivers[turns % 4], turns & 1, NULL);
                        for (int i = 0; i < turns; i++)
                                sluice_loop_turn(f->loop, 0);
                        sluice_pipeline_stop(f->p);
                        finish(f, -ECANCELED);
                        sluice_pipeline_free(f->p);
                        if (kind == TO_PIPE)
                                t_join(&f->peer);
                        f->p = NULL;
                        end(f);
                }
}

static void start(struct follow *f)
{
        t_chain(f->p);
        assert_int_equal(sluice_loop_new(&f->loop, NULL), 0);
        assert_int_equal(sluice_pipeline_start(f->p, f->loop, done, &f->result), 0);
        settle(f, 10, 0);
}

/* Nothing is written to it, and yet it is seen to be gone. */
static void test_a_reader_that_goes_is_noticed(void **state)
{
        struct follow *f = &follow;

        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int shared = 0; shared < 2; shared++) {
                        int fds[2];

                        prepare(f, TO_FILE, 10);
                        t_pipe(fds);
                        f->p = t_new(T_OPTIONS(.driver = t_drivers[d]));
                        t_ok(sluice_add_tail(f->p, t_path("source"), NULL));
                        t_ok(sluice_add_fd(f->p, fds[1], SLUICE_OWN));
                        start(f);
                        close(fds[0]);
                        finish(f, -EPIPE);
                        end(f);
                }
}

static int enough(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        got(t_arg(c), in->data, in->len);
        in->consumed = in->len;
        return atomic_load(&follow.got) >= 20 ? SLUICE_FINISH_EARLY : 0;
}
static const struct sluice_stage_ops enough_ops = T_FUNCTION(enough);

static void test_a_function_that_has_enough_ends_it(void **state)
{
        struct follow *f = &follow;

        (void)state;
        prepare(f, TO_FUNCTION, 10);
        f->p = t_new(NULL);
        t_ok(sluice_add_tail(f->p, t_path("source"), NULL));
        t_ok(sluice_pipeline_add(f->p, &enough_ops, f, NULL));
        start(f);
        append(f, 10);
        finish(f, 0);
        check_sink(f, 20);
        end(f);
}

/* It goes while nothing is written, because of something that the tail knows nothing of. */
static void test_a_command_that_has_enough_ends_it(void **state)
{
        struct follow *f = &follow;
        int go[2];

        (void)state;
        t_pipe(go);
        prepare(f, TO_COMMAND, 10);
        f->p = t_new(NULL);
        t_ok(sluice_add_tail(f->p, t_path("source"), NULL));
        t_sh(f->p, "read go <&3", T_COMMAND(.fds = (const struct sluice_command_fd[]){ { go[0], 3 } }, .fds_nr = 1));
        start(f);
        stays_quiet(f);
        assert_int_equal(write(go[1], "\n", 1), 1);
        finish(f, 0);
        close(go[0]);
        close(go[1]);
        end(f);
}

/* ---- what it is not ---- */

static void fails(const char *path, int expected, const char *word)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_tail(p, path, NULL));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, expected);
        if (!strstr(sluice_pipeline_error(p), word))
                fail_msg("'%s' does not say '%s'", sluice_pipeline_error(p), word);
        sluice_pipeline_free(p);
}

static void test_others_are_refused(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        assert_return_code(mkfifo(t_path("fifo"), 0600), errno);
        fails(t_path("fifo"), -ESPIPE, "regular");
        fails("/dev/zero", -ESPIPE, "regular");
        fails(t_path("."), -EISDIR, "directory");
        fails(t_path("missing"), -ENOENT, "No such file");
        unlink(t_path("fifo"));
        assert_int_equal(sluice_add_tail(p, NULL, NULL), -EINVAL);
        assert_int_equal(sluice_add_tail(p, "", NULL), -EINVAL);
        assert_int_equal(sluice_add_tail(p, "x", T_TAIL(.flags = 1 << 7)), -EINVAL);
        assert_int_equal(sluice_add_tail(p, "x", T_TAIL(.idle_ms = -1)), -EINVAL);
        assert_int_equal(sluice_add_tail(p, "x", &(const struct sluice_tail_options){ 0 }), -EINVAL);
        t_ok(sluice_add_zero(p, 1));
        t_ok(sluice_add_tail(p, "x", NULL));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), -ENOTSUP);
        sluice_pipeline_free(p);
}

/* A process that had the file itself would see its end. */
static void test_no_process_is_lent_it(void **state)
{
        struct follow *f = &follow;

        (void)state;
        prepare(f, TO_COMMAND, 10);
        begin(f, SLUICE_DRIVER_AUTO, false, DELETED);
        settle(f, 10, 0);
        assert_int_equal(sluice_pipeline_link_mode(f->p, 0), SLUICE_LINK_SPLICE);
        unlink(t_path("source"));
        finish(f, 0);
        check_sink(f, 10);
        end(f);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_growth_arrives),
                T_TEST(test_a_writer_that_does_not_wait),
                T_TEST(test_from_the_end),
                T_TEST(test_truncated_begins_again),
                T_TEST(test_a_name_left_is_not_deleted),
                T_TEST(test_without_a_name_it_is_followed_on),
                T_TEST(test_deleted_before_it_was_read),
                T_TEST(test_replaced_is_deleted),
                T_TEST(test_idle_is_an_end),
                T_TEST(test_waiting_makes_no_turns),
                T_TEST(test_a_cancel_at_any_turn),
                T_TEST(test_a_reader_that_goes_is_noticed),
                T_TEST(test_a_function_that_has_enough_ends_it),
                T_TEST(test_a_command_that_has_enough_ends_it),
                T_TEST(test_others_are_refused),
                T_TEST(test_no_process_is_lent_it),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
