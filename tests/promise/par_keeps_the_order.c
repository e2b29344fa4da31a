/* par_keeps_the_order.c: what comes out behind par is what its pipeline alone would have made of it, part by part in the order
 * of the input (or in any order, each part whole); parts are whole lines; a copy that fails ends the others and says who it
 * was; and no more is held than was promised, however much the copies write and however slow the reader is. */
#include "flow.h"

enum { PART = 4096, TEXT = 300000 };

#define T_PAR(...) (&(const struct sluice_par_options){ .size = sizeof(struct sluice_par_options), __VA_ARGS__ })

static int add_par(struct sluice_pipeline *p, unsigned copies, struct sluice_pipeline *inner, const struct sluice_par_options *opt)
{
        char why[200] = "";
        int stage = sluice_add_par(p, copies, inner, opt, why, sizeof(why));

        if (stage < 0)
                fail_msg("par: %d: %s", stage, why);
        sluice_pipeline_free(inner);
        return stage;
}

/* ---- what is inside ---- */

static int is_even(void *arg, const char *line, size_t bytes)
{
        (void)arg;
        (void)line;
        return bytes % 2 == 0;
}

static void add_filter(struct sluice_pipeline *p)
{
        t_ok(sluice_add_filter(p, is_even, NULL, 0));
}

static void add_cat(struct sluice_pipeline *p)
{
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
}

static void add_sed(struct sluice_pipeline *p)
{
        t_ok(sluice_add_command(p, T_ARGV("sed", "s/^/>/"), NULL));
}

static int upper(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        size_t n = in->len < out->cap ? in->len : out->cap;

        (void)c;
        (void)self;
        for (size_t i = 0; i < n; i++)
                out->data[i] = in->data[i] >= 'a' && in->data[i] <= 'z' ? in->data[i] - 32 : in->data[i];
        in->consumed = out->len = n;
        return 0;
}
static const struct sluice_stage_ops upper_ops = T_FUNCTION(upper);

static void add_upper(struct sluice_pipeline *p)
{
        t_ok(sluice_pipeline_add(p, &upper_ops, NULL, NULL));
}

static int copy(void *arg, struct sluice_stream *io)
{
        char data[3000];
        ssize_t n;

        (void)arg;
        while ((n = sluice_read(io, data, sizeof(data))) > 0)
                if ((n = sluice_write(io, data, (size_t)n)) < 0)
                        break;
        return (int)n;
}

static void add_thread(struct sluice_pipeline *p)
{
        t_ok(sluice_add_function(p, copy, NULL, NULL));
}

static void add_several(struct sluice_pipeline *p)
{
        add_upper(p);
        add_cat(p);
        add_filter(p);
        add_thread(p);
}

static void add_zstd(struct sluice_pipeline *p)
{
        t_ok(sluice_add_compress(p, 1));
        t_ok(sluice_add_decompress(p));
}

typedef void add_fn(struct sluice_pipeline *p);
static add_fn *const inners[] = { add_filter, add_upper, add_zstd, add_cat, add_sed, add_thread, add_several };

static struct sluice_pipeline *inner_of(add_fn *add)
{
        struct sluice_pipeline *p = t_new(NULL);

        add(p);
        t_chain(p);
        return p;
}

/* ---- runs ---- */

static void through(const char *text, size_t bytes, size_t piece, unsigned seed, add_fn *add, unsigned copies,
                    const struct sluice_par_options *opt, struct flow_sink *k)
{
        struct flow_text from = { .data = text, .bytes = bytes, .piece = piece, .seed = seed };
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        flow_add_text(p, &from);
        if (opt)
                add_par(p, copies, inner_of(add), opt);
        else
                add(p); /* without par */
        flow_add_sink(p, k);
        t_chain(p);
        t_run_free(p, 0);
}

static void same_as_without(const char *text, size_t bytes, size_t piece, unsigned seed, add_fn *add, unsigned copies,
                            const struct sluice_par_options *opt)
{
        struct flow_sink one = { 0 }, many = { 0 };

        through(text, bytes, piece, seed, add, copies, NULL, &one);
        through(text, bytes, piece, seed, add, copies, opt, &many);
        flow_check(&many, one.data, one.bytes);
        free(one.data);
}

static void test_the_same_as_without(void **state)
{
        static const unsigned copies[] = { 1, 2, 4 };
        unsigned seed = flow_seed();
        size_t bytes = t_short() ? TEXT / 4 : TEXT;
        char *text = flow_lines('x', bytes, 200, &seed);

        (void)state;
        for (size_t i = 0; i < T_NR(inners); i++)
                for (size_t n = 0; n < T_NR(copies); n++)
                        same_as_without(text, bytes, 1 + (size_t)rand_r(&seed) % 30000, seed | 1, inners[i], copies[n],
                                        T_PAR(.part_bytes = PART << (n * 2)));
        free(text);
}

/* Lengths around the part size, with and without a last newline; one byte; nothing. */
static void test_lengths(void **state)
{
        static const size_t lengths[] = { 0, 1, 2, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 2 * PART + 1, 9 * PART };
        unsigned seed = 3;
        char *text = flow_lines('x', 9 * PART + 2, 100, &seed);

        (void)state;
        for (size_t i = 0; i < T_NR(lengths); i++)
                for (int newline = 0; newline < 2; newline++)
                        for (int none = 0; none < 2; none++) {
                                char was = lengths[i] ? text[lengths[i] - 1] : '\n';

                                if (lengths[i])
                                        text[lengths[i] - 1] = newline ? '\n' : 'z';
                                same_as_without(text, lengths[i], 777, 0, add_upper, 3,
                                                T_PAR(.part_bytes = PART, .no_records = none));
                                same_as_without(text, lengths[i], 100000, 0, add_filter, 3, T_PAR(.part_bytes = PART));
                                if (lengths[i])
                                        text[lengths[i] - 1] = was;
                        }
        free(text);
}

/* An empty input is one empty part: what a command writes for nothing is written. */
static void test_nothing_is_a_part(void **state)
{
        struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL);

        (void)state;
        t_sh(inner, "cat; echo end", NULL);
        t_ok(sluice_add_memory(p, "", 0));
        add_par(p, 4, inner, NULL);
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "end\n");
}

/* ---- parts ---- */

/* Each copy says of its part how long it is and whether it ends with a newline. */
static char *parts_of(const char *text, size_t bytes, size_t piece, unsigned copies, const struct sluice_par_options *opt)
{
        struct flow_text from = { .data = text, .bytes = bytes, .piece = piece };
        struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL);
        size_t n;
        char *said;

        t_sh(inner, "wc -c", NULL);
        flow_add_text(p, &from);
        add_par(p, copies, inner, opt);
        t_chain(p);
        said = t_capture(p, 0, 0, &n);
        sluice_pipeline_free(p);
        assert_non_null(said);
        return said;
}

/* Whole lines, as many as fit; with no_records exactly part_bytes each, but for the last. */
static void test_parts_are_cut_where_they_may(void **state)
{
        unsigned seed = 5;
        size_t bytes = 6 * PART + 100, at = 0;
        char *text = flow_lines('x', bytes, 300, &seed), *said, *next;

        (void)state;
        said = next = parts_of(text, bytes, 1000, 2, T_PAR(.part_bytes = PART));
        while (*next) {
                size_t part = strtoul(next, &next, 10);

                assert_true(part > 0);
                assert_true(part <= PART);
                at += part;
                assert_true(at <= bytes);
                assert_int_equal(text[at - 1], '\n');
                assert_true(at == bytes || part + 300 > PART); /* the next line did not fit */
                assert_int_equal(*next++, '\n');
        }
        assert_int_equal(at, bytes);
        free(said);
        said = next = parts_of(text, bytes, 1000, 2, T_PAR(.part_bytes = PART, .no_records = 1));
        for (at = 0; at < bytes; at += PART)
                assert_int_equal(strtoul(next, &next, 10), bytes - at < PART ? bytes - at : PART);
        assert_string_equal(next, "\n");
        free(said);
        free(text);
}

/* One line: what fits into eight parts goes on, what does not is said. */
static void test_long_lines(void **state)
{
        static const struct {
                size_t bytes;
                int result;
        } cases[] = { { PART, 0 }, { PART + 1, 0 }, { 8 * PART - 1, 0 }, { 8 * PART, -EMSGSIZE }, { 40 * PART, -EMSGSIZE } };
        char *text = malloc(41 * PART);

        (void)state;
        for (size_t i = 0; i < T_NR(cases); i++)
                for (int behind = 0; behind < 2; behind++) { /* behind a short one */
                        struct flow_text from = { .data = text, .piece = 1000 };
                        struct flow_sink k = { 0 };
                        struct sluice_pipeline *p = t_new(NULL);
                        size_t start = behind ? 2 : 0;

                        memset(text, 'l', 41 * PART);
                        memcpy(text, "s\n", start);
                        text[start + cases[i].bytes - 1] = '\n';
                        from.bytes = start + cases[i].bytes;
                        flow_add_text(p, &from);
                        add_par(p, 2, inner_of(add_upper), T_PAR(.part_bytes = PART));
                        flow_add_sink(p, &k);
                        t_chain(p);
                        t_run(p, cases[i].result);
                        if (cases[i].result)
                                assert_int_equal(sluice_pipeline_error_stage(p), 1);
                        else
                                assert_int_equal(k.bytes, from.bytes);
                        sluice_pipeline_free(p);
                        free(k.data);
                }
        free(text);
}

static int compare_lines(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted by lines. */
static void sort_lines(char *text)
{
        size_t nr = 0;
        char **lines = NULL, *all = strdup(text), *at = text, *save = NULL;

        for (char *l = strtok_r(all, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
                lines = realloc(lines, (nr + 1) * sizeof(*lines));
                lines[nr++] = l;
        }
        qsort(lines, nr, sizeof(*lines), compare_lines);
        for (size_t i = 0; i < nr; i++)
                at += sprintf(at, "%s\n", lines[i]);
        free(lines);
        free(all);
}

/* In any order, but every part whole: each is a sum of its own, and as many as there are parts. */
static void test_unordered(void **state)
{
        unsigned seed = 9;
        size_t bytes = t_short() ? 10 * PART : 30 * PART;
        char *text = flow_lines('x', bytes, 300, &seed), *in_order, *any;

        (void)state;
        in_order = parts_of(text, bytes, 1000, 4, T_PAR(.part_bytes = PART));
        any = parts_of(text, bytes, 1000, 4, T_PAR(.part_bytes = PART, .unordered = 1));
        sort_lines(in_order);
        sort_lines(any);
        assert_string_equal(in_order, any);
        free(in_order);
        free(any);
        free(text);
}

/* A part of which a piece is held back until another was given goes on as one. */
static void test_unordered_parts_are_whole(void **state)
{
        unsigned seed = 9;
        size_t bytes = 8 * PART;
        char *text = flow_lines('x', bytes, 300, &seed);
        struct flow_text from = { .data = text, .bytes = bytes };
        struct flow_sink k = { 0 };
        struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL);
        char inside = 0;

        (void)state;
        t_sh(inner, "read x; echo \"begin $x\"; cat >/dev/null; echo \"end $x\"", NULL);
        flow_add_text(p, &from);
        add_par(p, 4, inner, T_PAR(.part_bytes = PART, .unordered = 1));
        flow_add_sink(p, &k);
        t_chain(p);
        t_run_free(p, 0);
        k.data[k.bytes] = '\0';
        for (char *line = strtok(k.data, "\n"); line; line = strtok(NULL, "\n")) {
                assert_int_equal(inside ? 'e' : 'b', line[0]);
                inside = !inside;
        }
        assert_false(inside);
        free(k.data);
        free(text);
}

/* ---- failures, ends ---- */

static void test_a_copy_that_fails(void **state)
{
        (void)state;
        for (int unordered = 0; unordered < 2; unordered++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS)), *inner = t_new(NULL);
                int par;

                /* Zeros without an end; the second part fails, and the others would never end by themselves. */
                t_ok(sluice_add_command(inner,
                                        T_ARGV("sh", "-c",
                                               "if mkdir \"$0\" 2>/dev/null; then exec sleep 1000; fi; cat >/dev/null; "
                                               "echo sorry >&2; exit 7",
                                               (char *)(uintptr_t)t_path("first")),
                                        NULL));
                t_ok(sluice_add_zero(p, -1));
                par = add_par(p, 4, inner, T_PAR(.part_bytes = PART, .no_records = 1, .unordered = unordered));
                t_ok(sluice_add_null(p));
                t_chain(p);
                t_run(p, -ECHILD);
                assert_int_equal(t_failure(p).stage, par);
                assert_int_equal(t_failure(p).exit_status, 7);
                assert_non_null(strstr(t_failure(p).message, "sh"));
                t_verdict(p, par, SLUICE_VERDICT_FAILED);
                sluice_pipeline_free(p);
                rmdir(t_path("first"));
        }
}

static int fail_late(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        int r = in->end ? -ENOTUNIQ : 0;

        (void)c;
        (void)self;
        (void)out;
        in->consumed = in->len;
        return r;
}
static const struct sluice_stage_ops fail_late_ops = T_FUNCTION(fail_late);

static void test_a_function_that_fails(void **state)
{
        struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL);
        int par;

        (void)state;
        t_ok(sluice_pipeline_add(inner, &fail_late_ops, NULL, "picky"));
        t_ok(sluice_add_zero(p, -1));
        par = add_par(p, 3, inner, T_PAR(.part_bytes = PART, .no_records = 1));
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, -ENOTUNIQ);
        assert_int_equal(t_failure(p).stage, par);
        assert_non_null(strstr(sluice_pipeline_error(p), "picky"));
        sluice_pipeline_free(p);
}

/* Opening fails in every copy; nothing could have been known before. */
static void test_a_copy_that_cannot_open(void **state)
{
        struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL);

        (void)state;
        t_ok(sluice_add_command(inner, T_ARGV("/no/such/command"), NULL));
        t_ok(sluice_add_memory(p, "x\n", 2));
        add_par(p, 3, inner, NULL);
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, -ENOENT);
        sluice_pipeline_free(p);
}

static void test_a_reader_that_has_enough(void **state)
{
        static add_fn *const adds[] = { add_cat, add_upper, add_thread };

        (void)state;
        for (size_t i = 0; i < T_NR(adds); i++)
                for (int unordered = 0; unordered < 2; unordered++) {
                        struct flow_sink k = { .enough = 1 };
                        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

                        t_ok(sluice_add_zero(p, -1));
                        add_par(p, 4, inner_of(adds[i]), T_PAR(.part_bytes = PART, .no_records = 1, .unordered = unordered));
                        flow_add_sink(p, &k);
                        t_chain(p);
                        t_run(p, 0);
                        assert_true(k.bytes >= 1);
                        sluice_pipeline_free(p);
                        free(k.data);
                }
}

/* Parts that no pipe holds, so that each meets a reader that has gone. */
static void read_nothing(unsigned flags)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = flags)), *inner = t_new(NULL);
        const size_t part = 2 << 20;
        size_t n;
        char *said;

        t_ok(sluice_add_command(inner, T_ARGV("echo", "x"), NULL));
        t_ok(sluice_add_zero(p, 5 * (int64_t)part));
        add_par(p, 2, inner, T_PAR(.part_bytes = part, .no_records = 1));
        t_chain(p);
        said = t_capture(p, 0, 0, &n);
        assert_string_equal(said, "x\nx\nx\nx\nx\n");
        free(said);
        sluice_pipeline_free(p);
}

/* A part need not be read: what feeds it is not to blame, whatever becomes of writers whose reader left. */
static void test_copies_that_read_nothing(void **state)
{
        (void)state;
        read_nothing(0);
        read_nothing(SLUICE_EARLY_EXIT_OK);
}

static void test_cancelled_at_any_moment(void **state)
{
        static add_fn *const adds[] = { add_cat, add_several, add_upper };
        unsigned seed = flow_seed();

        (void)state;
        for (int round = 0; round < (t_short() ? 12 : 40); round++) {
                struct sluice_cancel *cancel;
                struct sluice_pipeline *p;
                struct flow_run r;

                assert_int_equal(sluice_cancel_new(&cancel), 0);
                p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS, .cancel = cancel));
                t_ok(sluice_add_zero(p, -1));
                add_par(p, 3, inner_of(adds[round % 3]), T_PAR(.part_bytes = PART, .no_records = 1, .unordered = round % 2));
                t_ok(sluice_add_null(p));
                t_chain(p);
                flow_start(&r, p);
                for (int turns = rand_r(&seed) % 60; turns > 0 && r.result == 1; turns--)
                        assert_true(sluice_loop_turn(r.loop, turns % 8 ? 0 : 1) >= 0);
                sluice_cancel_fire(cancel);
                flow_finish(&r, -ECANCELED);
                sluice_pipeline_free(p);
                sluice_cancel_unref(cancel);
        }
}

/* ---- bounds ---- */

enum { MUCH = 16 * T_MIB };

static size_t written; /* by all copies */

struct much {
        size_t left;
};

/* For every part, a lot. */
static int write_much(struct sluice_ctx *c, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        struct much *self = self_;
        size_t n = out->cap < MUCH - self->left ? out->cap : MUCH - self->left;

        (void)c;
        in->consumed = in->len;
        memset(out->data, 'm', n);
        out->len = n;
        self->left += n;
        written += n;
        if (self->left == MUCH)
                return in->end ? SLUICE_END : SLUICE_FINISH_EARLY;
        sluice_ctx_ready(c);
        return 0;
}
static const struct sluice_stage_ops write_much_ops = {
        .size = sizeof(write_much_ops),
        .name = "much",
        .instance_size = sizeof(struct much),
        .describe = t_function_describe,
        .open = t_function_open,
        .process = write_much,
        .close = t_function_close,
};

/* The reader takes one piece and then nothing: when nothing moves any more, each of n copies has its four parts and what is on
 * its way in links, and no more than 2n parts and one were taken from the source. */
static void hold(unsigned copies, bool unordered)
{
        enum { LINK_BYTES = 4 * T_MIB, BIG_PART = 64 << 10 }; /* a link: seven buffers of 256 KiB, and what the neighbours hold */
        struct flow_text from = { .data = calloc(1, 64 * T_MIB), .bytes = 64 * T_MIB };
        struct flow_sink k = { .hold = flow_event(), .hold_at = 1 };
        struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL);
        struct sluice_cancel *cancel;
        struct flow_run r;
        int event = t_ok(dup(k.hold));

        assert_int_equal(sluice_cancel_new(&cancel), 0);
        sluice_pipeline_free(p);
        p = t_new(T_OPTIONS(.cancel = cancel));
        written = 0;
        t_ok(sluice_pipeline_add(inner, &write_much_ops, NULL, NULL));
        flow_add_text(p, &from);
        add_par(p, copies, inner, T_PAR(.part_bytes = BIG_PART, .no_records = 1, .unordered = unordered));
        flow_add_sink(p, &k);
        t_chain(p);
        flow_start(&r, p);
        flow_settle(&r);
        assert_int_equal(r.result, 1);
        assert_true(k.bytes > 0);
        if (written > copies * (4 * BIG_PART + LINK_BYTES) + 2 * LINK_BYTES)
                fail_msg("%u copies wrote %zu KiB that nobody took", copies, written >> 10);
        if (from.at > 2 * copies * BIG_PART + BIG_PART + LINK_BYTES)
                fail_msg("%zu KiB were taken for %u copies", from.at >> 10, copies);
        sluice_cancel_fire(cancel);
        flow_finish(&r, -ECANCELED);
        sluice_pipeline_free(p);
        sluice_cancel_unref(cancel);
        close(event);
        free(k.data);
        free((char *)(uintptr_t)from.data);
}

static void test_a_slow_reader_holds_the_copies(void **state)
{
        (void)state;
        for (unsigned copies = 1; copies <= 4; copies++) {
                hold(copies, false);
                hold(copies, true);
        }
}

/* A copy that was held goes on when its turn comes: all of it arrives. */
static void test_held_copies_go_on(void **state)
{
        (void)state;
        for (int unordered = 0; unordered < 2; unordered++) {
                struct flow_text from = { .data = calloc(1, 4 * PART), .bytes = 4 * PART };
                struct flow_sink k = { .hold = flow_event(), .hold_at = 1 };
                struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL);
                struct flow_run r;

                t_ok(sluice_pipeline_add(inner, &write_much_ops, NULL, NULL));
                flow_add_text(p, &from);
                add_par(p, 2, inner, T_PAR(.part_bytes = PART, .no_records = 1, .unordered = unordered));
                flow_add_sink(p, &k);
                t_chain(p);
                flow_start(&r, p);
                flow_settle(&r);
                assert_int_equal(r.result, 1);
                flow_raise(k.hold);
                flow_finish(&r, 0);
                assert_int_equal(k.bytes, (size_t)4 * MUCH);
                sluice_pipeline_free(p);
                free(k.data);
                free((char *)(uintptr_t)from.data);
        }
}

/* ... and then everything comes, in order. */
static void test_held_and_let_go(void **state)
{
        unsigned seed = 21;
        size_t bytes = 2 * T_MIB;
        char *text = flow_lines('x', bytes, 500, &seed);

        (void)state;
        for (int unordered = 0; unordered < 2; unordered++) {
                struct flow_text from = { .data = text, .bytes = bytes, .piece = 5000 };
                struct flow_sink k = { .hold = flow_event(), .hold_at = 1 };
                struct sluice_pipeline *p = t_new(NULL);
                struct flow_run r;

                flow_add_text(p, &from);
                add_par(p, 3, inner_of(add_filter), T_PAR(.part_bytes = PART, .unordered = unordered));
                flow_add_sink(p, &k);
                t_chain(p);
                flow_start(&r, p);
                flow_settle(&r);
                assert_int_equal(r.result, 1);
                flow_raise(k.hold);
                flow_finish(&r, 0);
                sluice_pipeline_free(p);
                if (!unordered) {
                        struct flow_sink one = { 0 };

                        through(text, bytes, 5000, 0, add_filter, 1, NULL, &one);
                        flow_check(&k, one.data, one.bytes);
                        free(one.data);
                }
                free(k.data);
        }
        free(text);
}

/* ---- what is refused ---- */

static void test_refusals(void **state)
{
        static const struct {
                unsigned copies;
                size_t part;
        } bad[] = { { 0, 0 }, { 257, 0 }, { 4, 4095 }, { 4, (256 << 20) + 1 } };
        struct sluice_pipeline *p = t_new(NULL), *inner = inner_of(add_cat), *empty = t_new(NULL), *source = t_new(NULL);
        char why[200];

        (void)state;
        for (size_t i = 0; i < T_NR(bad); i++)
                assert_int_equal(sluice_add_par(p, bad[i].copies, inner, T_PAR(.part_bytes = bad[i].part), NULL, 0), -EINVAL);
        assert_int_equal(sluice_add_par(p, 2, inner, &(const struct sluice_par_options){ 0 }, NULL, 0), -EINVAL);
        assert_int_equal(sluice_add_par(p, 2, empty, NULL, why, sizeof(why)), -EINVAL);
        t_ok(sluice_add_memory(source, "x", 1));
        assert_int_equal(sluice_add_par(p, 2, source, NULL, why, sizeof(why)), -ENOTSUP);
        assert_true(why[0]);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        assert_int_equal(sluice_pipeline_stages(inner), 1);
        sluice_pipeline_free(p);
        sluice_pipeline_free(inner);
        sluice_pipeline_free(empty);
        sluice_pipeline_free(source);
}

/* ---- what can be seen of it ---- */

static void test_what_is_inside_is_seen(void **state)
{
        struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL), *inside, *none;
        int from, to, par;

        (void)state;
        t_ok(sluice_add_command(inner, T_ARGV("cat"), NULL));
        t_ok(sluice_add_count(inner));
        t_ok(sluice_pipeline_link(inner, 0, 1));
        t_ok(sluice_add_zero(p, 10));
        par = t_ok(sluice_add_par(p, 5, inner, NULL, NULL, 0));
        sluice_pipeline_free(inner);
        assert_int_equal(sluice_pipeline_inside(p, 0, &none), 0);
        assert_null(none);
        assert_int_equal(sluice_pipeline_inside(p, par + 1, &none), -EINVAL);
        assert_int_equal(sluice_pipeline_inside(p, -1, &none), -EINVAL);
        assert_int_equal(sluice_pipeline_inside(p, par, &inside), 5);
        sluice_pipeline_free(p); /* what was got stays */
        assert_int_equal(sluice_pipeline_stages(inside), 4);
        assert_int_equal(sluice_pipeline_links(inside), 3);
        assert_int_equal(sluice_pipeline_link_ends(inside, 0, &from, &to), 0);
        assert_string_equal(sluice_pipeline_stage_name(inside, from), "cat");
        assert_string_equal(sluice_pipeline_stage_name(inside, to), "count");
        assert_int_equal(sluice_pipeline_link_mode(inside, 0), SLUICE_LINK_CROSS);

        /* Its ends belong to the par: alone it is nothing. */
        p = t_new(NULL);
        assert_int_equal(sluice_pipeline_run(inside), -EINVAL);
        assert_int_equal(sluice_pipeline_add_pipeline(p, inside), -EINVAL);
        assert_int_equal(sluice_add_par(p, 2, inside, NULL, NULL, 0), -EINVAL);
        sluice_pipeline_free(p);
        sluice_pipeline_free(inside);
}

static int byte_by_byte(void *arg, struct sluice_stream *io)
{
        char data[100];
        ssize_t n;

        (void)arg;
        while ((n = sluice_read(io, data, sizeof(data))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        if (sluice_write(io, data + i, 1) < 0)
                                return 0;
        return (int)n;
}

/* What copies give in single bytes is the same, and costs about its size. */
static void test_single_bytes(void **state)
{
        struct sluice_pipeline *p = t_new(NULL), *inner = t_new(NULL);

        (void)state;
        t_ok(sluice_add_function(inner, byte_by_byte, NULL, NULL));
        t_ok(sluice_add_generate(p, TEXT));
        add_par(p, 3, inner, T_PAR(.part_bytes = PART, .no_records = 1));
        t_ok(sluice_add_file(p, t_path("out"), NULL));
        t_chain(p);
        t_run_free(p, 0);
        t_check_file(t_path("out"), TEXT, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_the_same_as_without),
                T_TEST(test_lengths),
                T_TEST(test_nothing_is_a_part),
                T_TEST(test_parts_are_cut_where_they_may),
                T_TEST(test_long_lines),
                T_TEST(test_unordered),
                T_TEST(test_unordered_parts_are_whole),
                T_TEST(test_a_copy_that_fails),
                T_TEST(test_a_function_that_fails),
                T_TEST(test_a_copy_that_cannot_open),
                T_TEST(test_a_reader_that_has_enough),
                T_TEST(test_copies_that_read_nothing),
                T_TEST(test_cancelled_at_any_moment),
                T_TEST(test_a_slow_reader_holds_the_copies),
                T_TEST(test_held_copies_go_on),
                T_TEST(test_held_and_let_go),
                T_TEST(test_refusals),
                T_TEST(test_what_is_inside_is_seen),
                T_TEST(test_single_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
