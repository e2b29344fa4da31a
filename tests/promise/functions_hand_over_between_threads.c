/* functions_hand_over_between_threads.c: what a function on a thread puts reaches the next one, on a thread or on the loop,
 * in the memory in which it was written; small writes are not kept back; whichever call it waits in, an early end of its
 * neighbour or a cancel reaches it; and a hundred of them leave nothing behind. */
#include <pthread.h>
#include <stdatomic.h>

#include "parts.h"

enum { TRAIL = 4096, PIECE = 50000, BYTES = 7 * T_MIB + 5, CHAIN = 100, COPIED = 1024 /* less may be */ };

/* Where the first function wrote, and where the last one read. */
struct trail {
        pthread_mutex_t lock;
        struct {
                const uint8_t *at;
                size_t bytes;
        } written[TRAIL];
        size_t nr, strangers;
        uint64_t bytes, got;
        int64_t mismatch;
        size_t take; /* of what is acquired, at most; 0: all */
};

static struct trail *new_trail(uint64_t bytes, size_t take)
{
        struct trail *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        pthread_mutex_init(&t->lock, NULL);
        t->bytes = bytes;
        t->take = take;
        t->mismatch = -1;
        return t;
}

static void free_trail(struct trail *t)
{
        pthread_mutex_destroy(&t->lock);
        free(t);
}

static void note_written(struct trail *t, const uint8_t *at, size_t bytes)
{
        pthread_mutex_lock(&t->lock);
        assert_true(t->nr < TRAIL);
        t->written[t->nr].at = at;
        t->written[t->nr++].bytes = bytes;
        pthread_mutex_unlock(&t->lock);
}

/* Whether all of it lies where something was written: pieces that follow one another may arrive as one. */
static bool was_written(struct trail *t, const uint8_t *at, size_t bytes)
{
        const uint8_t *end = at + bytes;
        bool any = true;

        pthread_mutex_lock(&t->lock);
        while (at < end && any) {
                any = false;
                for (size_t i = 0; i < t->nr && !any; i++)
                        if (at >= t->written[i].at && at < t->written[i].at + t->written[i].bytes) {
                                at = t->written[i].at + t->written[i].bytes;
                                any = true;
                        }
        }
        pthread_mutex_unlock(&t->lock);
        return any;
}

static int puts_pieces(void *arg, struct sluice_stream *io)
{
        struct trail *t = arg;

        for (uint64_t at = 0; at < t->bytes;) {
                void *data;
                ssize_t room = sluice_reserve(io, &data);
                size_t n = t->bytes - at < PIECE ? (size_t)(t->bytes - at) : PIECE;
                int r;

                if (room < 0)
                        return (int)room;
                assert_true(room >= 65536);
                t_pattern(data, n, at);
                note_written(t, data, n);
                r = sluice_put(io, n);
                if (r < 0)
                        return r;
                at += n;
        }
        return 0;
}

static int passes(void *arg, struct sluice_stream *io)
{
        size_t take = *(const size_t *)arg;
        const void *data;
        ssize_t n;

        while ((n = sluice_acquire(io, &data)) > 0) {
                int r = sluice_pass(io, take && take < (size_t)n ? take : (size_t)n);

                if (r < 0)
                        return r;
        }
        return (int)n;
}

static void look(struct trail *t, const uint8_t *data, size_t bytes)
{
        t->strangers += bytes >= COPIED && !was_written(t, data, bytes);
        if (t->mismatch < 0)
                t->mismatch = t_mismatch(data, bytes, t->got);
        t->got += bytes;
}

static int takes(void *arg, struct sluice_stream *io)
{
        struct trail *t = arg;
        const void *data;
        ssize_t n;

        while ((n = sluice_acquire(io, &data)) > 0) {
                size_t all = t->take && t->take < (size_t)n ? t->take : (size_t)n;

                look(t, data, all);
                assert_int_equal(sluice_release(io, all), 0);
        }
        return (int)n;
}

static int loop_forwards(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        return in->len ? sluice_forward(c, in->len) : 0;
}

static int loop_takes(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        look(t_arg(c), in->data, in->len);
        in->consumed = in->len;
        return 0;
}

static const struct sluice_stage_ops loop_forwards_ops = T_FUNCTION(loop_forwards), loop_takes_ops = T_FUNCTION(loop_takes);

static void check_links(const struct sluice_pipeline *p, uint64_t bytes)
{
        char said[64], why[256];

        snprintf(said, sizeof(said), "; %llu bytes", (unsigned long long)bytes);
        for (int i = 0; i < sluice_pipeline_links(p); i++) {
                struct sluice_stats s = t_stats(p, i);

                assert_int_equal(s.mode, SLUICE_LINK_HANDOVER);
                assert_int_equal(s.bytes.value, bytes);
                assert_int_equal(s.bytes.certainty, SLUICE_EXACT);
                assert_int_equal(s.bytes_taken, bytes);
                assert_int_equal(s.bytes_inside, 0);
                assert_int_equal(s.bytes_copied.value, 0);
                assert_true(sluice_pipeline_explain(p, i, why, sizeof(why)) > 0);
                assert_non_null(strstr(why, said));
        }
}

/* ---- data ---- */

enum { THREAD_PASSES = 1, LOOP_FORWARDS = 2, LOOP_TAKES = 4 };

static void hand_over(unsigned shape, uint64_t bytes, size_t take)
{
        struct trail *t = new_trail(bytes, take);
        struct sluice_pipeline *p = t_new(NULL);

        t_ok(sluice_add_function(p, puts_pieces, t, NULL));
        if (shape & THREAD_PASSES)
                t_ok(sluice_add_function(p, passes, &take, NULL));
        if (shape & LOOP_FORWARDS)
                t_ok(sluice_pipeline_add(p, &loop_forwards_ops, NULL, NULL));
        if (shape & LOOP_TAKES)
                t_ok(sluice_pipeline_add(p, &loop_takes_ops, t, NULL));
        else
                t_ok(sluice_add_function(p, takes, t, NULL));
        t_chain(p);
        t_run(p, 0);
        check_links(p, bytes);
        sluice_pipeline_free(p);
        assert_int_equal(t->got, bytes);
        assert_int_equal(t->mismatch, -1);
        if (take == 0 || take >= COPIED)
                assert_int_equal(t->strangers, 0);
        free_trail(t);
}

static void test_uncopied(void **state)
{
        static const uint64_t sizes[] = { 0, 1, PIECE, BYTES };

        (void)state;
        for (unsigned shape = 0; shape < 8; shape++)
                for (size_t i = 0; i < T_NR(sizes); i++)
                        hand_over(shape, sizes[i], 0);
}

/* A part of what is there at a time: small ones are copied on, and no byte is lost. */
static void test_in_parts(void **state)
{
        (void)state;
        for (unsigned shape = 0; shape < 8; shape++) {
                hand_over(shape, 300001, 1);
                hand_over(shape, BYTES, 1023);
                hand_over(shape, BYTES, 1024);
                hand_over(shape, BYTES, 33333);
        }
}

/* The calls that copy, mixed with those that do not. */
static int writes_all_ways(void *arg, struct sluice_stream *io)
{
        uint64_t bytes = *(const uint64_t *)arg;
        uint8_t data[300000];
        size_t size = 1;

        for (uint64_t at = 0; at < bytes; size = size * 7 % 299993 + 1) {
                size_t n = size < bytes - at ? size : (size_t)(bytes - at);
                void *room;
                ssize_t r;

                if (size % 3 == 0) {
                        r = sluice_reserve(io, &room);
                        if (r < 0)
                                return (int)r;
                        n = n < (size_t)r ? n : (size_t)r;
                        t_pattern(room, n, at);
                        r = sluice_put(io, n);
                } else {
                        t_pattern(data, n, at);
                        r = sluice_write(io, data, n);
                }
                if (r < 0 || (size % 5 == 0 && (r = sluice_flush(io)) < 0))
                        return (int)r;
                at += n;
        }
        return 0;
}

static int reads_all_ways(void *arg, struct sluice_stream *io)
{
        struct trail *t = arg;
        uint8_t data[300000];

        for (size_t size = 1;; size = size * 11 % 299993 + 1) {
                const void *next = data;
                ssize_t n = size % 3 ? sluice_read(io, data, size) : sluice_acquire(io, &next);

                if (n <= 0)
                        return (int)n;
                if (size % 3 == 0) {
                        n = n > 7 ? n - n / 7 : n;
                        next = memcpy(data, next, (size_t)n < sizeof(data) ? (size_t)n : sizeof(data));
                        assert_int_equal(sluice_release(io, (size_t)n), 0);
                }
                if (t->mismatch < 0)
                        t->mismatch = t_mismatch(next, (size_t)n, t->got);
                t->got += (uint64_t)n;
        }
}

static void test_all_ways(void **state)
{
        uint64_t bytes = 20 * T_MIB + 3;
        struct trail *t = new_trail(bytes, 0);
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(p, writes_all_ways, &bytes, NULL));
        t_ok(sluice_add_count(p));
        t_ok(sluice_add_function(p, passes, &t->take, NULL));
        t_ok(sluice_add_function(p, reads_all_ways, t, NULL));
        t_chain(p);
        t_run(p, 0);
        check_links(p, bytes);
        sluice_pipeline_free(p);
        assert_int_equal(t->got, bytes);
        assert_int_equal(t->mismatch, -1);
        free_trail(t);
}

/* Line by line, which is many small writes, between threads. */
static int counts_lines(void *arg, struct sluice_stream *io)
{
        char line[64];
        ssize_t n;

        for (int i = 1; i <= *(const int *)arg; i++) {
                n = sluice_write(io, line, (size_t)snprintf(line, sizeof(line), "%d\n", i));
                if (n < 0)
                        return (int)n;
        }
        return 0;
}

static int checks_lines(void *arg, struct sluice_stream *io)
{
        char line[64], expected[64];
        ssize_t n;

        for (int i = 1; (n = sluice_readline(io, line, sizeof(line))) > 0; i++) {
                snprintf(expected, sizeof(expected), "%d\n", i);
                assert_string_equal(line, expected);
                assert_int_equal(sluice_line_number(io), i);
                *(int *)arg = i;
        }
        return (int)n;
}

static void test_lines(void **state)
{
        int lines = 200000, seen = 0;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(p, counts_lines, &lines, NULL));
        t_ok(sluice_add_function(p, checks_lines, &seen, NULL));
        t_chain(p);
        t_run_free(p, 0);
        assert_int_equal(seen, lines);
}

/* ---- nothing is kept back ---- */

struct talk {
        struct sluice_cancel *cancel;
        atomic_int heard;
};

static int waits(void *arg, struct sluice_stream *io)
{
        (void)arg;
        while (!sluice_cancelled(io))
                usleep(1000);
        return -ECANCELED;
}

/* Says three bytes, and waits for an answer that never comes. */
static int says_and_reads(void *arg, struct sluice_stream *io)
{
        char c;
        ssize_t n = sluice_write(io, "abc", 3);

        (void)arg;
        return (int)(n < 0 ? n : sluice_read(io, &c, 1));
}

/* ... or for something that is none of the stream's. */
static int says_and_waits(void *arg, struct sluice_stream *io)
{
        ssize_t n = sluice_write(io, "abc", 3);

        return n < 0 ? (int)n : waits(arg, io);
}

static int hears(void *arg, struct sluice_stream *io)
{
        struct talk *t = arg;
        char said[3];

        for (size_t at = 0; at < sizeof(said);) {
                ssize_t n = sluice_read(io, said + at, sizeof(said) - at);

                if (n <= 0)
                        return (int)n;
                at += (size_t)n;
        }
        atomic_store(&t->heard, memcmp(said, "abc", 3) == 0);
        sluice_cancel_fire(t->cancel);
        return 0;
}

static void talk(sluice_function_fn *says, bool through_loop)
{
        struct talk t = { 0 };
        struct sluice_pipeline *p;

        assert_int_equal(sluice_cancel_new(&t.cancel), 0);
        p = t_new(T_OPTIONS(.cancel = t.cancel, .grace_ms = T_GRACE_MS));
        t_ok(sluice_add_function(p, waits, NULL, NULL));
        t_ok(sluice_add_function(p, says, NULL, NULL));
        if (through_loop)
                t_ok(sluice_add_count(p));
        t_ok(sluice_add_function(p, hears, &t, NULL));
        t_chain(p);
        t_run_free(p, -ECANCELED); /* for ever, if it is not heard */
        assert_int_equal(t.heard, 1);
        sluice_cancel_unref(t.cancel);
}

static void test_small_writes_are_heard(void **state)
{
        (void)state;
        for (int i = 0; i < 20; i++) {
                talk(says_and_reads, i % 2);
                talk(says_and_waits, i % 2);
        }
}

/* ---- a flush goes through threads and functions ---- */

struct held {
        uint8_t text[16];
        size_t bytes;
};

/* Gives nothing before it is asked to. */
static int holds_back(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct held *h = t_arg(c);

        (void)self;
        assert_true(h->bytes + in->len <= sizeof(h->text));
        if (in->len)
                memcpy(h->text + h->bytes, in->data, in->len);
        h->bytes += in->len;
        in->consumed = in->len;
        if (!in->flush || in->len)
                return 0;
        memcpy(out->data, h->text, h->bytes);
        out->len = h->bytes;
        h->bytes = 0;
        return 0;
}

static const struct sluice_stage_ops holds_back_ops = T_FUNCTION(holds_back);

static int says_and_flushes(void *arg, struct sluice_stream *io)
{
        ssize_t n = sluice_write(io, "abc", 3);

        n = n < 0 ? n : sluice_flush(io);
        return n < 0 ? (int)n : waits(arg, io);
}

static void test_a_flush_is_passed_on(void **state)
{
        struct talk t = { 0 };
        struct held first = { .bytes = 0 }, second = { .bytes = 0 };
        size_t all = 0;
        struct sluice_pipeline *p;

        (void)state;
        assert_int_equal(sluice_cancel_new(&t.cancel), 0);
        p = t_new(T_OPTIONS(.cancel = t.cancel, .grace_ms = T_GRACE_MS));
        t_ok(sluice_add_function(p, says_and_flushes, NULL, NULL));
        t_ok(sluice_add_function(p, passes, &all, NULL));
        t_ok(sluice_pipeline_add(p, &holds_back_ops, &first, NULL));
        t_ok(sluice_add_function(p, passes, &all, NULL));
        t_ok(sluice_pipeline_add(p, &holds_back_ops, &second, NULL));
        t_ok(sluice_add_function(p, hears, &t, NULL));
        t_chain(p);
        t_run_free(p, -ECANCELED); /* for ever, if a flush stays somewhere */
        assert_int_equal(t.heard, 1);
        sluice_cancel_unref(t.cancel);
}

/* ---- ends ---- */

static int writes_for_ever(void *arg, struct sluice_stream *io)
{
        static const char zeros[10000];
        ssize_t n;

        (void)arg;
        while ((n = sluice_write(io, zeros, sizeof(zeros))) > 0)
                continue;
        return (int)n;
}

static int reserves_for_ever(void *arg, struct sluice_stream *io)
{
        void *data;
        ssize_t n;

        (void)arg;
        while ((n = sluice_reserve(io, &data)) > 0 && (n = sluice_put(io, (size_t)n)) == 0)
                continue;
        return (int)n;
}

static int flushes_for_ever(void *arg, struct sluice_stream *io)
{
        ssize_t n;

        (void)arg;
        while ((n = sluice_write(io, "x", 1)) == 1 && (n = sluice_flush(io)) == 0)
                continue;
        return (int)n;
}

static int reads_one(void *arg, struct sluice_stream *io)
{
        char c;
        ssize_t n = sluice_read(io, &c, 1);

        (void)arg;
        return n < 0 ? (int)n : 0;
}

static int acquires_one(void *arg, struct sluice_stream *io)
{
        const void *data;

        (void)arg;
        return (int)(sluice_acquire(io, &data) < 0 ? -EIO : 0);
}

static int lines_one(void *arg, struct sluice_stream *io)
{
        char line[10];

        (void)arg;
        return (int)sluice_readline(io, line, sizeof(line));
}

static int had_enough(void *arg, struct sluice_stream *io)
{
        (void)arg;
        reads_one(NULL, io);
        return SLUICE_FINISH_EARLY;
}

static int loop_had_enough(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)c;
        (void)self;
        (void)out;
        in->consumed = in->len > 0;
        return SLUICE_FINISH_EARLY;
}

static int loop_makes(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)c;
        (void)self;
        (void)in;
        memset(out->data, 0, out->cap);
        out->len = out->cap;
        return 0;
}

static const struct sluice_stage_ops loop_had_enough_ops = T_FUNCTION(loop_had_enough), loop_makes_ops = T_FUNCTION(loop_makes);

static sluice_function_fn *const writers[] = { writes_for_ever, reserves_for_ever };

static void check_early(struct sluice_pipeline *p)
{
        struct sluice_stats s;

        t_chain(p);
        t_run(p, 0);
        s = t_stats(p, 0);
        assert_int_equal(s.bytes_taken, s.bytes.value + s.bytes_inside);
        t_verdict(p, 0, SLUICE_VERDICT_PIPE);
        t_verdict(p, 1, SLUICE_VERDICT_EARLY);
        assert_true(t_result(p, 0).excused);
        assert_int_equal(sluice_pipeline_failures(p, NULL, 0), 0);
        sluice_pipeline_free(p);
}

static void test_enough(void **state)
{
        struct sluice_pipeline *p;

        (void)state;
        for (int round = 0; round < 50; round++) {
                for (size_t i = 0; i < T_NR(writers); i++) {
                        p = t_new(NULL);
                        t_ok(sluice_add_function(p, writers[i], NULL, NULL));
                        t_ok(sluice_add_function(p, had_enough, NULL, NULL));
                        check_early(p);
                        p = t_new(NULL);
                        t_ok(sluice_add_function(p, writers[i], NULL, NULL));
                        t_ok(sluice_pipeline_add(p, &loop_had_enough_ops, NULL, NULL));
                        check_early(p);
                }
                p = t_new(NULL);
                t_ok(sluice_pipeline_add(p, &loop_makes_ops, NULL, NULL));
                t_ok(sluice_add_function(p, had_enough, NULL, NULL));
                check_early(p);
        }
}

/* A reader that leaves half of it unread and says that all is well is a broken pipe, as it is between commands. */
static void test_a_reader_that_goes(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(p, writes_for_ever, NULL, "writer"));
        t_ok(sluice_add_function(p, reads_one, NULL, NULL));
        t_chain(p);
        t_run(p, -EPIPE);
        assert_int_equal(t_failure(p).stage, 0);
        sluice_pipeline_free(p);
}

static int says_and_fails(void *arg, struct sluice_stream *io)
{
        (void)arg;
        sluice_write(io, "abc", 3);
        return -ENOTUNIQ;
}

/* What was written before a failure arrives, and the failure is the result. */
static void test_a_writer_that_fails(void **state)
{
        struct talk t = { 0 };
        struct sluice_pipeline *p;

        (void)state;
        assert_int_equal(sluice_cancel_new(&t.cancel), 0);
        p = t_new(NULL);
        t_ok(sluice_add_function(p, says_and_fails, NULL, NULL));
        t_ok(sluice_add_function(p, hears, &t, NULL));
        t_chain(p);
        t_run_free(p, -ENOTUNIQ);
        assert_int_equal(t.heard, 1);
        sluice_cancel_unref(t.cancel);
}

/* ---- cancelled while it waits ---- */

static void cancelled(struct sluice_pipeline *p, int stage)
{
        t_chain(p);
        t_run(p, -ETIMEDOUT);
        t_verdict(p, stage, SLUICE_VERDICT_ENDED);
        sluice_pipeline_free(p);
}

static void test_cancelled_in_each_call(void **state)
{
        static sluice_function_fn *const write[] = { writes_for_ever, reserves_for_ever, flushes_for_ever };
        static sluice_function_fn *const read[] = { reads_one, acquires_one, lines_one };
        struct sluice_pipeline *p;

        (void)state;
        for (size_t i = 0; i < T_NR(write); i++) {
                p = t_new(T_OPTIONS(.timeout_ms = 20, .grace_ms = T_GRACE_MS));
                t_ok(sluice_add_function(p, write[i], NULL, NULL));
                t_ok(sluice_add_function(p, waits, NULL, NULL));
                cancelled(p, 0);
        }
        for (size_t i = 0; i < T_NR(read); i++) {
                p = t_new(T_OPTIONS(.timeout_ms = 20, .grace_ms = T_GRACE_MS));
                t_ok(sluice_add_function(p, waits, NULL, NULL));
                t_ok(sluice_add_function(p, read[i], NULL, NULL));
                cancelled(p, 1);
        }
        /* In the middle, where it passes on what nobody takes. */
        p = t_new(T_OPTIONS(.timeout_ms = 20, .grace_ms = T_GRACE_MS));
        t_ok(sluice_add_function(p, reserves_for_ever, NULL, NULL));
        t_ok(sluice_add_function(p, passes, (size_t[]){ 0 }, NULL));
        t_ok(sluice_add_function(p, waits, NULL, NULL));
        cancelled(p, 1);
}

/* Full from end to end, or empty; between threads, or with the loop between every two. */
static void chain(bool full, bool with_loop)
{
        size_t all = 0;
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 100, .grace_ms = T_GRACE_MS));

        t_ok(sluice_add_function(p, full ? writes_for_ever : waits, NULL, NULL));
        for (int i = 1; i < CHAIN; i++)
                if (with_loop && i % 2)
                        t_ok(sluice_pipeline_add(p, &loop_forwards_ops, NULL, NULL));
                else
                        t_ok(sluice_add_function(p, passes, &all, NULL));
        t_ok(sluice_add_function(p, waits, NULL, NULL));
        t_chain(p);
        t_run(p, -ETIMEDOUT);
        for (int i = 0; i < sluice_pipeline_links(p); i++) {
                struct sluice_stats s = t_stats(p, i);

                assert_int_equal(s.bytes_taken, s.bytes.value + s.bytes_inside);
        }
        sluice_pipeline_free(p);
}

static void test_a_hundred_cancelled(void **state)
{
        (void)state;
        for (int i = 0; i < 4; i++)
                chain(i & 1, i & 2);
}

/* A function in a process of its own has not our memory, whatever it says. */
static void test_not_between_processes(void **state)
{
        const struct sluice_function_options forked = { .size = sizeof(forked), .flags = SLUICE_FORKED };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(p, writes_for_ever, NULL, NULL));
        if (sluice_add_function_with(p, had_enough, NULL, &forked) == -EOPNOTSUPP) { /* as under ThreadSanitizer */
                sluice_pipeline_free(p);
                skip();
        }
        t_ok(sluice_add_count(p));
        t_chain(p);
        assert_int_equal(sluice_pipeline_build(p), 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), SLUICE_LINK_PIPE);
        assert_int_equal(sluice_pipeline_link_mode(p, 1), SLUICE_LINK_CROSS);
        sluice_pipeline_free(p);
}

/* ---- what may not be asked ---- */

static int asks_too_much(void *arg, struct sluice_stream *io)
{
        const void *data;
        void *room;
        ssize_t n;

        (void)arg;
        assert_int_equal(sluice_release(io, 1), -EINVAL); /* nothing was acquired */
        assert_int_equal(sluice_put(io, 1), -EINVAL);
        assert_int_equal(sluice_pass(io, 1), -EINVAL);
        assert_int_equal(sluice_release(io, 0), 0);
        n = sluice_acquire(io, &data);
        assert_true(n > 0);
        assert_int_equal(sluice_release(io, (size_t)n + 1), -EINVAL);
        assert_int_equal(sluice_pass(io, (size_t)n + 1), -EINVAL);
        assert_int_equal(sluice_release(io, 1), 0);
        assert_int_equal(sluice_release(io, (size_t)n), -EINVAL); /* one is gone */
        n = sluice_acquire(io, &data);
        assert_int_equal(*(const char *)data, 'b');
        n = sluice_reserve(io, &room);
        assert_true(n > 0);
        assert_int_equal(sluice_put(io, (size_t)n + 1), -EINVAL);
        assert_int_equal(sluice_write(io, "x", 1), 1);
        assert_int_equal(sluice_put(io, 1), -EINVAL); /* the write has ended it */
        assert_int_equal(sluice_reserve(io, &room), sluice_reserve(io, &room));
        assert_int_equal(sluice_put(io, 0), 0);
        while ((n = sluice_acquire(io, &data)) > 0)
                assert_int_equal(sluice_pass(io, (size_t)n), 0);
        return (int)n;
}

static int says(void *arg, struct sluice_stream *io)
{
        ssize_t n = sluice_write(io, arg, strlen(arg));

        return n < 0 ? (int)n : 0;
}

static void test_too_much(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(p, says, "abc", NULL));
        t_ok(sluice_add_function(p, asks_too_much, NULL, NULL));
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "xbc");
        p = t_new(NULL);
        t_ok(sluice_add_memory(p, "abc", 3)); /* over pipes */
        t_ok(sluice_add_function(p, asks_too_much, NULL, NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "xbc");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_uncopied),
                T_TEST(test_in_parts),
                T_TEST(test_all_ways),
                T_TEST(test_lines),
                T_TEST(test_small_writes_are_heard),
                T_TEST(test_a_flush_is_passed_on),
                T_TEST(test_enough),
                T_TEST(test_a_reader_that_goes),
                T_TEST(test_a_writer_that_fails),
                T_TEST(test_cancelled_in_each_call),
                T_TEST(test_a_hundred_cancelled),
                T_TEST(test_not_between_processes),
                T_TEST(test_too_much),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
