/* merge_keeps_lines_whole.c: whatever pieces its inputs come in and whatever they are, behind a merge every line is whole and
 * every input's lines are in their order; in turns and concatenated the order is exact; a line that is too long is named by its
 * number; one input that fails takes nothing from the others; and a reader that has enough ends them all. */
#include <sys/socket.h>

#include "flow.h"

enum { INPUTS_MAX = 64 };

/* One merge and what is fed to it; input i has lines that begin with the letter of i. */
struct merge {
        struct sluice_pipeline *p;
        int stage;
        unsigned nr;
        char *text[INPUTS_MAX];
        size_t bytes[INPUTS_MAX];
        struct flow_text from[INPUTS_MAX];
        struct flow_sink sink;
};

static char mark_of(unsigned i)
{
        return (char)('!' + 1 + i); /* 64 printable ones, no letter of flow_lines(): those are behind the first */
}

static void begin(struct merge *m, enum sluice_merge how, size_t max_bytes)
{
        *m = (struct merge){ .p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS)) };
        m->stage = t_ok(sluice_add_merge(m->p, how, max_bytes));
}

/* The input takes over `text`. */
static unsigned keep_text(struct merge *m, char *text, size_t bytes)
{
        assert_true(m->nr < INPUTS_MAX);
        m->text[m->nr] = text;
        m->bytes[m->nr] = bytes;
        return m->nr++;
}

static struct flow_text *feed(struct merge *m, char *text, size_t bytes, size_t piece)
{
        unsigned i = keep_text(m, text, bytes);

        m->from[i] = (struct flow_text){ .data = text, .bytes = bytes, .piece = piece };
        t_ok(sluice_pipeline_link(m->p, flow_add_text(m->p, &m->from[i]), m->stage));
        return &m->from[i];
}

static void run(struct merge *m, int expected)
{
        t_ok(sluice_pipeline_link(m->p, m->stage, flow_add_sink(m->p, &m->sink)));
        t_run(m->p, expected);
}

static void end(struct merge *m)
{
        sluice_pipeline_free(m->p);
        for (unsigned i = 0; i < m->nr; i++)
                free(m->text[i]);
        free(m->sink.data);
}

/* Every line is the next one of the input that its mark names; a newline that an input lacked was given to it. */
static void check_lines(const struct merge *m)
{
        size_t at[INPUTS_MAX] = { 0 }, next, bytes;

        for (size_t i = 0; i < m->sink.bytes; i = next) {
                const char *line = m->sink.data + i, *newline = memchr(line, '\n', m->sink.bytes - i);
                unsigned from = (unsigned)(line[0] - mark_of(0));

                if (!newline)
                        fail_msg("what came ends within a line");
                bytes = (size_t)(newline - line);
                next = i + bytes + 1;
                if (from >= m->nr)
                        fail_msg("a line begins with byte %d", line[0]);
                if (m->bytes[from] - at[from] < bytes || memcmp(m->text[from] + at[from], line, bytes) != 0 ||
                    (at[from] + bytes < m->bytes[from] && m->text[from][at[from] + bytes] != '\n'))
                        fail_msg("input %u: its line at %zu is not whole: %.*s", from, at[from], (int)bytes, line);
                at[from] += bytes + 1;
        }
        for (unsigned i = 0; i < m->nr; i++)
                if (at[i] < m->bytes[i])
                        fail_msg("input %u: %zu of %zu bytes came", i, at[i], m->bytes[i]);
        assert_int_equal(m->sink.broken, 0);
}

/* ---- pieces ---- */

static char *copy_of(const char *text)
{
        char *copy = strdup(text);

        assert_non_null(copy);
        return copy;
}

static const enum sluice_merge by_lines[] = { SLUICE_MERGE_LINES, SLUICE_MERGE_TURNS };

/* A text of a few lines, cut in two at each place of it, beside another that comes byte by byte. */
static void test_cut_at_every_place(void **state)
{
        static const char text[] = "\"one\n\"\n\"three three\n\"4";

        (void)state;
        for (size_t h = 0; h < T_NR(by_lines); h++)
                for (size_t cut = 0; cut < sizeof(text); cut++) {
                        int event = flow_event();
                        struct merge m;
                        struct flow_text *first;
                        struct flow_run r;

                        begin(&m, by_lines[h], 0);
                        first = keep_text(&m, copy_of(text), sizeof(text) - 1) + m.from;
                        *first = (struct flow_text){ .data = text, .bytes = sizeof(text) - 1, .hold = event, .hold_at = cut };
                        t_ok(sluice_pipeline_link(m.p, flow_add_text(m.p, first), m.stage));
                        feed(&m, copy_of("#a\n#bb\n#ccc"), 11, 1);
                        t_ok(sluice_pipeline_link(m.p, m.stage, flow_add_sink(m.p, &m.sink)));
                        flow_start(&r, m.p);
                        flow_settle(&r); /* the second one is there whole, the first one is cut */
                        assert_int_equal(r.result, 1);
                        assert_false(m.sink.open);
                        flow_raise(event);
                        flow_finish(&r, 0);
                        check_lines(&m);
                        end(&m);
                        close(event);
                }
}

static void test_random_pieces(void **state)
{
        unsigned seed = flow_seed();

        (void)state;
        for (int round = 0; round < 12; round++) {
                unsigned nr = 1 + (unsigned)rand_r(&seed) % 5;
                struct merge m;

                begin(&m, by_lines[round % 2], 0);
                for (unsigned i = 0; i < nr; i++) {
                        size_t bytes = 1 + (size_t)rand_r(&seed) % 100000, longest = 1 + (size_t)rand_r(&seed) % 2000;

                        feed(&m, flow_lines(mark_of(i), bytes, longest, &seed), bytes, 1 + (size_t)rand_r(&seed) % 3000)->seed =
                                seed | 1;
                }
                run(&m, 0);
                check_lines(&m);
                end(&m);
        }
}

static void test_sixty_four_inputs(void **state)
{
        unsigned seed = 64;

        (void)state;
        for (size_t h = 0; h < T_NR(by_lines); h++) {
                struct merge m;

                begin(&m, by_lines[h], 0);
                for (unsigned i = 0; i < INPUTS_MAX; i++)
                        feed(&m, flow_lines(mark_of(i), i * 97, 300, &seed), i * 97, 1 + i);
                run(&m, 0);
                check_lines(&m);
                end(&m);
        }
}

/* ---- what the inputs may be ---- */

static int say(void *arg, struct sluice_stream *io)
{
        const char *text = arg;

        for (size_t left = strlen(text); left > 0;) { /* three bytes at a time */
                ssize_t n = sluice_write(io, text, left < 3 ? left : 3);

                if (n < 0)
                        return (int)n;
                text += n;
                left -= (size_t)n;
        }
        return 0;
}

struct peer {
        pthread_t thread;
        int listener;
        const char *text;
        size_t bytes;
};

static void *speak(void *arg)
{
        struct peer *peer = arg;
        int fd = accept(peer->listener, NULL, NULL);

        for (size_t at = 0, n; at < peer->bytes; at += n) {
                n = peer->bytes - at < 333 ? peer->bytes - at : 333;
                if (send(fd, peer->text + at, n, MSG_NOSIGNAL) != (ssize_t)n)
                        break;
        }
        close(fd);
        close(peer->listener);
        return NULL;
}

static void test_all_kinds_of_inputs(void **state)
{
        unsigned seed = flow_seed();

        (void)state;
        for (size_t h = 0; h < T_NR(by_lines); h++) {
                enum { BYTES = 150000 };
                struct peer peer = { .bytes = BYTES };
                struct merge m;
                int stage;

                begin(&m, by_lines[h], 0);
                feed(&m, flow_lines(mark_of(0), BYTES, 100, &seed), BYTES, 1000);

                keep_text(&m, flow_lines(mark_of(1), BYTES, 100, &seed), BYTES);
                t_make_text(t_path("file"), m.text[1]);
                t_ok(sluice_pipeline_link(m.p, t_ok(sluice_add_file(m.p, t_path("file"), NULL)), m.stage));

                keep_text(&m, flow_lines(mark_of(2), BYTES, 100, &seed), BYTES);
                t_make_text(t_path("command"), m.text[2]);
                stage = t_ok(sluice_add_command(m.p, T_ARGV("dd", "status=none", "bs=701"), NULL));
                t_ok(sluice_pipeline_link(m.p, t_ok(sluice_add_file(m.p, t_path("command"), NULL)), stage));
                t_ok(sluice_pipeline_link(m.p, stage, m.stage));

                keep_text(&m, flow_lines(mark_of(3), BYTES, 100, &seed), BYTES);
                t_ok(sluice_pipeline_link(m.p, t_ok(sluice_add_function(m.p, say, m.text[3], NULL)), m.stage));

                keep_text(&m, flow_lines(mark_of(4), BYTES, 100, &seed), BYTES);
                peer.text = m.text[4];
                peer.listener = t_listen_unix(t_path("socket"));
                assert_int_equal(pthread_create(&peer.thread, NULL, speak, &peer), 0);
                t_ok(sluice_pipeline_link(m.p, t_ok(sluice_add_unix(m.p, t_path("socket"), NULL)), m.stage));

                run(&m, 0);
                pthread_join(peer.thread, NULL);
                check_lines(&m);
                end(&m);
                unlink(t_path("socket"));
        }
}

/* ---- ends of lines, and nothing ---- */

static void said(enum sluice_merge how, const char *const *texts, const char *expected)
{
        struct merge m;

        begin(&m, how, 0);
        for (; *texts; texts++)
                feed(&m, copy_of(*texts), strlen(*texts), 0);
        run(&m, 0);
        flow_check(&m.sink, expected, strlen(expected));
        end(&m);
}

static void test_last_lines_and_empty_inputs(void **state)
{
        static const enum sluice_merge all[] = { SLUICE_MERGE_LINES, SLUICE_MERGE_BATCHES, SLUICE_MERGE_TURNS,
                                                 SLUICE_MERGE_CONCAT };

        (void)state;
        for (size_t h = 0; h < T_NR(all); h++) {
                bool lines = all[h] == SLUICE_MERGE_LINES || all[h] == SLUICE_MERGE_TURNS;

                said(all[h], (const char *const[]){ "", NULL }, "");
                said(all[h], (const char *const[]){ "", "", "", NULL }, "");
                said(all[h], (const char *const[]){ "a\n", NULL }, "a\n");
                said(all[h], (const char *const[]){ "", "a\n\n", "", NULL }, "a\n\n");
                said(all[h], (const char *const[]){ "", "a\nb", "", NULL }, lines ? "a\nb\n" : "a\nb");
        }
        said(SLUICE_MERGE_TURNS, (const char *const[]){ "a", "b\nb", "", "c\n", NULL }, "a\nb\nc\nb\n");
        said(SLUICE_MERGE_CONCAT, (const char *const[]){ "a", "b\nb", "", "c\n", NULL }, "ab\nbc\n");
}

/* A piece of whole lines from each in turn; one that has ended is left out. */
static void test_turns(void **state)
{
        struct merge m;

        (void)state;
        begin(&m, SLUICE_MERGE_TURNS, 0);
        feed(&m, copy_of("1a\n1b\n1c\n1d\n"), 12, 3);
        feed(&m, copy_of("2a\n"), 3, 3);
        feed(&m, copy_of("3a\n3b\n3c\n"), 9, 6);
        run(&m, 0);
        flow_check(&m.sink, "1a\n2a\n3a\n3b\n1b\n3c\n1c\n1d\n", 24);
        end(&m);
}

static void test_concat_is_exact(void **state)
{
        unsigned seed = flow_seed();
        struct merge m;
        char *all = malloc(64 * 20000);
        size_t bytes = 0;

        (void)state;
        begin(&m, SLUICE_MERGE_CONCAT, 0);
        for (unsigned i = 0; i < 20; i++) {
                size_t n = (size_t)rand_r(&seed) % 50000 * (i % 3 != 0);
                char *text = flow_lines(mark_of(i), n, 1 + (size_t)rand_r(&seed) % 90000, &seed); /* lines beyond any max */

                memcpy(all + bytes, text, n);
                bytes += n;
                if (i % 2) {
                        feed(&m, text, n, 1 + (size_t)rand_r(&seed) % 7000);
                } else {
                        keep_text(&m, text, n);
                        t_ok(sluice_pipeline_link(m.p, t_ok(sluice_add_memory(m.p, text, n)), m.stage));
                }
        }
        run(&m, 0);
        flow_check(&m.sink, all, bytes);
        end(&m);
        free(all);
}

/* Buffers of lines: stay whole, though the merge does not look at lines. */
static void test_batches_of_lines(void **state)
{
        unsigned seed = flow_seed();
        struct merge m;

        (void)state;
        begin(&m, SLUICE_MERGE_BATCHES, 0);
        for (unsigned i = 0; i < 4; i++) {
                char *text = flow_lines(mark_of(i), 80000, 500, &seed);
                unsigned k = keep_text(&m, text, 80000);
                int lines = t_ok(sluice_add_lines(m.p, 0));

                if (text[79999] != '\n') /* batches are joined as they are: a last line of one byte would lack its newline */
                        memcpy(text + 79998, "a\n", 2);
                m.from[k] = (struct flow_text){ .data = m.text[k], .bytes = 80000, .piece = 900, .seed = seed | 1 };
                t_ok(sluice_pipeline_link(m.p, flow_add_text(m.p, &m.from[k]), lines));
                t_ok(sluice_pipeline_link(m.p, lines, m.stage));
        }
        run(&m, 0);
        check_lines(&m);
        end(&m);
}

/* ---- too long ---- */

static void too_long(enum sluice_merge how, size_t max, size_t line, size_t piece, bool newline, int expected)
{
        size_t before = 2, bytes = 2 * before + line + newline;
        char *text = malloc(bytes + 1), words[64];
        struct merge m;

        memset(text, 'l', bytes);
        memcpy(text, "a\nb\n", 4);
        if (newline)
                text[bytes - 1] = '\n';
        begin(&m, how, max);
        feed(&m, copy_of("x\n"), 2, 0);
        feed(&m, text, bytes, piece);
        run(&m, expected);
        snprintf(words, sizeof(words), "line 3 is longer than %zu", max ? max : (size_t)64 << 10);
        if (expected) {
                assert_int_equal(sluice_pipeline_error_stage(m.p), m.stage);
                if (!strstr(sluice_pipeline_error(m.p), words))
                        fail_msg("'%s' does not say '%s'", sluice_pipeline_error(m.p), words);
        } else {
                assert_int_equal(m.sink.bytes, 2 + bytes + !newline);
        }
        end(&m);
}

static void test_long_lines(void **state)
{
        static const size_t maxima[] = { 1, 100, 0, 128 << 10 }, pieces[] = { 1000, 0 };

        (void)state;
        for (size_t h = 0; h < T_NR(by_lines); h++)
                for (size_t i = 0; i < T_NR(maxima) * T_NR(pieces) * 2; i++) {
                        size_t max = maxima[i % T_NR(maxima)], piece = pieces[i / T_NR(maxima) % T_NR(pieces)];
                        size_t line = max ? max : 64 << 10;
                        bool newline = i / T_NR(maxima) / T_NR(pieces);

                        too_long(by_lines[h], max, line, piece, newline, 0);
                        too_long(by_lines[h], max, line + 1, piece, newline, -EMSGSIZE);
                        too_long(by_lines[h], max, 3 * line, piece, newline, -EMSGSIZE);
                }
}

/* ---- ends ---- */

static void test_a_reader_that_has_enough(void **state)
{
        static const enum sluice_merge all[] = { SLUICE_MERGE_LINES, SLUICE_MERGE_BATCHES, SLUICE_MERGE_TURNS,
                                                 SLUICE_MERGE_CONCAT };

        (void)state;
        for (size_t h = 0; h < T_NR(all); h++) {
                struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
                struct flow_sink k = { .enough = 10 };
                struct flow_text silent = { .data = "", .hold = flow_event() };
                int merge = t_ok(sluice_add_merge(p, all[h], 0)), sources[4];

                sources[0] = t_ok(sluice_add_command(p, T_ARGV("yes"), NULL));
                sources[1] = t_ok(sluice_add_function(p, say, (void *)(uintptr_t) "a\n", NULL));
                sources[2] = t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "echo x; exec yes"), NULL));
                sources[3] = flow_add_text(p, &silent);
                for (size_t i = 0; i < T_NR(sources); i++)
                        t_ok(sluice_pipeline_link(p, sources[i], merge));
                t_ok(sluice_pipeline_link(p, merge, flow_add_sink(p, &k)));
                t_run(p, 0);
                assert_true(k.bytes >= 10);
                for (size_t i = 0; i < T_NR(sources); i++) /* told, and excused */
                        assert_true(t_result(p, sources[i]).verdict != SLUICE_VERDICT_FAILED);
                sluice_pipeline_free(p);
                close(silent.hold);
                free(k.data);
        }
}

static void test_an_input_that_fails(void **state)
{
        static const enum sluice_merge all[] = { SLUICE_MERGE_LINES, SLUICE_MERGE_TURNS, SLUICE_MERGE_BATCHES,
                                                 SLUICE_MERGE_CONCAT };

        (void)state;
        for (size_t h = 0; h < T_NR(all); h++)
                for (int command = 0; command < 2; command++) {
                        unsigned seed = 5;
                        struct merge m;
                        int stage;

                        begin(&m, all[h], 0);
                        feed(&m, flow_lines(mark_of(0), 50000, 100, &seed), 50000, 700);
                        keep_text(&m, copy_of("#half\n"), 6);
                        m.from[1] = (struct flow_text){ .data = m.text[1], .bytes = 6, .error = -ENOTUNIQ };
                        stage = command ? t_sh(m.p, "echo '#half'; exit 9", NULL) : flow_add_text(m.p, &m.from[1]);
                        t_ok(sluice_pipeline_link(m.p, stage, m.stage));
                        feed(&m, flow_lines(mark_of(2), 50000, 100, &seed), 50000, 700);
                        run(&m, command ? -ECHILD : -ENOTUNIQ);
                        assert_int_equal(t_failure(m.p).stage, stage);
                        assert_int_equal(m.sink.bytes, 50000 + 6 + 50000);
                        if (h < T_NR(by_lines))
                                check_lines(&m);
                        end(&m);
                }
}

/* All of its inputs are silent: a cancel ends it. */
static void test_cancelled(void **state)
{
        unsigned seed = flow_seed();

        (void)state;
        for (int round = 0; round < (t_short() ? 10 : 30); round++) {
                struct sluice_cancel *cancel;
                struct sluice_pipeline *p;
                struct flow_run r;
                int merge, endless, count;

                assert_int_equal(sluice_cancel_new(&cancel), 0);
                p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS, .cancel = cancel));
                merge = t_ok(sluice_add_merge(p, (enum sluice_merge)(round % 4), 0));
                t_ok(sluice_pipeline_link(p, t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL)), merge));
                t_ok(sluice_pipeline_link(p, t_ok(sluice_add_command(p, T_ARGV("yes"), NULL)), merge));
                endless = t_ok(sluice_add_generate(p, -1));
                count = t_ok(sluice_add_count(p));
                t_ok(sluice_pipeline_link(p, endless, count));
                t_ok(sluice_pipeline_link(p, count, merge));
                t_ok(sluice_pipeline_link(p, merge, t_ok(sluice_add_null(p))));
                flow_start(&r, p);
                for (int turns = rand_r(&seed) % 30; turns > 0 && r.result == 1; turns--)
                        assert_true(sluice_loop_turn(r.loop, 0) >= 0);
                sluice_cancel_fire(cancel);
                while (r.result == 1)
                        assert_true(sluice_loop_turn(r.loop, -1) >= 0);
                /* Lines that generate makes may be longer than a merge takes. */
                assert_true(r.result == -ECANCELED || r.result == -EMSGSIZE);
                sluice_loop_free(r.loop);
                sluice_pipeline_free(p);
                sluice_cancel_unref(cancel);
        }
}

static void test_refusals(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        assert_int_equal(sluice_add_merge(p, (enum sluice_merge)4, 0), -EINVAL);
        assert_int_equal(sluice_add_merge(p, (enum sluice_merge) - 1, 0), -EINVAL);
        assert_int_equal(sluice_add_merge(p, SLUICE_MERGE_LINES, (128 << 10) + 1), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        t_ok(sluice_add_merge(p, SLUICE_MERGE_LINES, 0));
        t_ok(sluice_pipeline_link(p, 0, t_ok(sluice_add_null(p))));
        assert_int_equal(sluice_pipeline_build(p), -ENOTSUP); /* no input */
        sluice_pipeline_free(p);
        p = t_new(NULL);
        t_ok(sluice_add_memory(p, "x", 1));
        t_ok(sluice_pipeline_link(p, 0, t_ok(sluice_add_merge(p, SLUICE_MERGE_LINES, 0))));
        assert_int_equal(sluice_pipeline_build(p), -ENOTSUP); /* no output */
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_cut_at_every_place),
                T_TEST(test_random_pieces),
                T_TEST(test_sixty_four_inputs),
                T_TEST(test_all_kinds_of_inputs),
                T_TEST(test_last_lines_and_empty_inputs),
                T_TEST(test_turns),
                T_TEST(test_concat_is_exact),
                T_TEST(test_batches_of_lines),
                T_TEST(test_long_lines),
                T_TEST(test_a_reader_that_has_enough),
                T_TEST(test_an_input_that_fails),
                T_TEST(test_cancelled),
                T_TEST(test_refusals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
