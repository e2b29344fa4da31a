/* tests/unit/negotiate.c: every pair of masks against a second statement of the table, and the laws of the table. */
#include "unit.h"

#include <errno.h>

#include "negotiate.h"

enum { MASKS = 64, BITS = 6, THREAD = SLUICE_IO_INHERIT | SLUICE_IO_MEM };

/* What one bit of the output can do with one bit of the input. LEND is an fd that is good for a process only: what the
 * engine itself can do with that fd is said by FD or COPY beside it. Order: enum sluice_io. */
static const enum sluice_link_mode by_bit[BITS][BITS] = {
        /* FD */ { SLUICE_LINK_SPLICE, SLUICE_LINK_NONE, SLUICE_LINK_SPLICE, SLUICE_LINK_CROSS, SLUICE_LINK_CROSS },
        /* LEND */ { SLUICE_LINK_NONE, SLUICE_LINK_NONE, SLUICE_LINK_DIRECT, SLUICE_LINK_NONE, SLUICE_LINK_NONE },
        /* INHERIT */ { SLUICE_LINK_SPLICE, SLUICE_LINK_DIRECT, SLUICE_LINK_PIPE, SLUICE_LINK_CROSS, SLUICE_LINK_CROSS },
        /* MEM */ { SLUICE_LINK_CROSS, SLUICE_LINK_NONE, SLUICE_LINK_CROSS, SLUICE_LINK_HANDOVER, SLUICE_LINK_CROSS },
        /* COPY */ { SLUICE_LINK_CROSS, SLUICE_LINK_NONE, SLUICE_LINK_CROSS, SLUICE_LINK_CROSS, SLUICE_LINK_CROSS },
        /* BORROW: nothing, but beside a thread */
};

/* NONE is last: it is dearer than anything. */
static const enum sluice_link_mode preference[] = {
        SLUICE_LINK_DIRECT, SLUICE_LINK_HANDOVER, SLUICE_LINK_PIPE, SLUICE_LINK_SPLICE, SLUICE_LINK_CROSS, SLUICE_LINK_NONE,
};

static size_t price(enum sluice_link_mode mode)
{
        size_t i = 0;

        while (preference[i] != mode)
                i++;
        return i;
}

static bool borrows(uint32_t thread, uint32_t other)
{
        return (thread & THREAD) == THREAD && other & SLUICE_IO_BORROW;
}

static bool offers(uint32_t out, uint32_t in, enum sluice_link_mode mode)
{
        if (mode == SLUICE_LINK_DIRECT && (borrows(out, in) || borrows(in, out)))
                return true;
        for (unsigned o = 0; o < BITS; o++)
                for (unsigned i = 0; i < BITS; i++)
                        if (out >> o & 1 && in >> i & 1 && by_bit[o][i] == mode)
                                return true;
        return false;
}

static enum sluice_link_mode expected(uint32_t out, uint32_t in)
{
        for (size_t i = 0; i < COUNT(preference); i++)
                if (offers(out, in, preference[i]))
                        return preference[i];
        return SLUICE_LINK_NONE;
}

static void every_pair_is_as_the_table_says(void **state)
{
        (void)state;
        for (uint32_t out = 0; out < MASKS; out++)
                for (uint32_t in = 0; in < MASKS; in++)
                        if (negotiate(out, in) != expected(out, in))
                                fail_msg("out %#x, in %#x: %d, not %d", out, in, negotiate(out, in), expected(out, in));
}

/* The drawing's words: what stages really offer. */
static void the_drawing_holds(void **state)
{
        enum {
                FILE_IO = SLUICE_IO_LEND | SLUICE_IO_FD,
                FD = SLUICE_IO_FD,
                PROCESS = SLUICE_IO_INHERIT,
                TTY = SLUICE_IO_LEND | SLUICE_IO_COPY,
                SOCKET = SLUICE_IO_FD | SLUICE_IO_BORROW,
                MEM = SLUICE_IO_MEM,
                COPY = SLUICE_IO_COPY
        };
        static const struct {
                uint32_t out, in;
                enum sluice_link_mode mode;
        } rows[] = {
                { FILE_IO, FILE_IO, SLUICE_LINK_SPLICE }, { FILE_IO, FD, SLUICE_LINK_SPLICE },
                { FILE_IO, PROCESS, SLUICE_LINK_DIRECT }, { FILE_IO, COPY, SLUICE_LINK_CROSS },
                { FILE_IO, MEM, SLUICE_LINK_CROSS },      { FD, FILE_IO, SLUICE_LINK_SPLICE },
                { FD, FD, SLUICE_LINK_SPLICE },           { FD, PROCESS, SLUICE_LINK_SPLICE },
                { FD, COPY, SLUICE_LINK_CROSS },          { FD, MEM, SLUICE_LINK_CROSS },
                { PROCESS, FILE_IO, SLUICE_LINK_DIRECT }, { PROCESS, FD, SLUICE_LINK_SPLICE },
                { PROCESS, PROCESS, SLUICE_LINK_PIPE },   { PROCESS, COPY, SLUICE_LINK_CROSS },
                { PROCESS, MEM, SLUICE_LINK_CROSS },      { COPY, FILE_IO, SLUICE_LINK_CROSS },
                { COPY, PROCESS, SLUICE_LINK_CROSS },     { COPY, MEM, SLUICE_LINK_CROSS },
                { MEM, FILE_IO, SLUICE_LINK_CROSS },      { MEM, PROCESS, SLUICE_LINK_CROSS },
                { MEM, MEM, SLUICE_LINK_HANDOVER },       { TTY, PROCESS, SLUICE_LINK_DIRECT },
                { PROCESS, TTY, SLUICE_LINK_DIRECT },     { TTY, FILE_IO, SLUICE_LINK_CROSS },
                { TTY, TTY, SLUICE_LINK_CROSS },          { MEM, TTY, SLUICE_LINK_CROSS },
                { THREAD, THREAD, SLUICE_LINK_HANDOVER }, { THREAD, MEM, SLUICE_LINK_HANDOVER },
                { THREAD, PROCESS, SLUICE_LINK_PIPE },    { THREAD, FILE_IO, SLUICE_LINK_DIRECT },
                { THREAD, SOCKET, SLUICE_LINK_DIRECT },   { THREAD, FD, SLUICE_LINK_SPLICE },
                { THREAD, COPY, SLUICE_LINK_CROSS },      { THREAD, TTY, SLUICE_LINK_DIRECT },
                { PROCESS, SOCKET, SLUICE_LINK_SPLICE },  { MEM, SOCKET, SLUICE_LINK_CROSS },
                { SOCKET, SOCKET, SLUICE_LINK_SPLICE },   { SOCKET, FILE_IO, SLUICE_LINK_SPLICE },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(rows); i++)
                assert_int_equal(negotiate(rows[i].out, rows[i].in), rows[i].mode);
}

static void it_does_not_matter_which_side_is_which(void **state)
{
        (void)state;
        for (uint32_t a = 0; a < MASKS; a++)
                for (uint32_t b = 0; b < MASKS; b++) {
                        assert_int_equal(negotiate(a, b), negotiate(b, a));
                        assert_int_equal(negotiate_many(a, b), negotiate_many(b, a));
                }
}

static void a_mode_needs_what_it_is_made_of(void **state)
{
        (void)state;
        for (uint32_t a = 0; a < MASKS; a++)
                for (uint32_t b = 0; b < MASKS; b++) {
                        enum sluice_link_mode m = negotiate(a, b);
                        uint32_t any = a | b, all = a & b;

                        if (m == SLUICE_LINK_DIRECT)
                                assert_true(any & (SLUICE_IO_LEND | SLUICE_IO_BORROW) && any & SLUICE_IO_INHERIT);
                        if (m == SLUICE_LINK_PIPE)
                                assert_true(all & SLUICE_IO_INHERIT);
                        if (m == SLUICE_LINK_HANDOVER)
                                assert_true(all & SLUICE_IO_MEM);
                        assert_int_not_equal(m, SLUICE_LINK_TEE);
                }
}

/* A thread is what it is used as, and that alone: who reads words of a link need not know of threads. */
static void a_thread_is_memory_or_a_process(void **state)
{
        (void)state;
        for (uint32_t io = 0; io < MASKS; io++)
                for (int mode = SLUICE_LINK_NONE; mode <= SLUICE_LINK_TEE; mode++) {
                        uint32_t use = negotiate_use(mode, io);

                        if ((io & THREAD) != THREAD)
                                assert_int_equal(use, io);
                        else
                                assert_int_equal(use & THREAD, mode == SLUICE_LINK_HANDOVER ? SLUICE_IO_MEM : SLUICE_IO_INHERIT);
                        assert_int_equal(use & ~(uint32_t)THREAD, io & ~(uint32_t)THREAD);
                }
}

/* More to choose from never makes it dearer. */
static void an_offer_more_is_never_worse(void **state)
{
        (void)state;
        for (uint32_t a = 0; a < MASKS; a++)
                for (uint32_t b = 0; b < MASKS; b++)
                        for (unsigned bit = 0; bit < BITS; bit++) {
                                enum sluice_link_mode less = negotiate(a, b), more = negotiate(a | 1u << bit, b);

                                assert_true(price(more) <= price(less));
                        }
}

static void nothing_joins_nothing(void **state)
{
        (void)state;
        for (uint32_t m = 0; m < MASKS; m++) {
                assert_int_equal(negotiate(0, m), SLUICE_LINK_NONE);
                assert_int_equal(negotiate(m, 0), SLUICE_LINK_NONE);
                assert_int_equal(negotiate_many(0, m), SLUICE_LINK_NONE);
        }
}

static void several_inputs_share_pages_or_one_buffer(void **state)
{
        const uint32_t teed = SLUICE_IO_FD | SLUICE_IO_INHERIT;

        (void)state;
        for (uint32_t out = 1; out < MASKS; out++)
                for (uint32_t in = 1; in < MASKS; in++)
                        assert_int_equal(negotiate_many(out, in) == SLUICE_LINK_TEE, (out & teed) && (in & teed));
}

/* Who has no way in common with one input has none with several. */
static void what_cannot_be_joined_once_cannot_be_joined_often(void **state)
{
        const uint32_t lone = SLUICE_IO_LEND | SLUICE_IO_BORROW;

        (void)state;
        for (uint32_t m = 1; m < MASKS; m++) {
                if (m & SLUICE_IO_INHERIT)
                        continue;
                assert_int_equal(negotiate_many(lone, m), SLUICE_LINK_NONE);
                assert_int_equal(negotiate_many(m, lone), SLUICE_LINK_NONE);
        }
}

static void a_plan_only_goes_down(void **state)
{
        (void)state;
        for (int planned = SLUICE_LINK_NONE; planned <= SLUICE_LINK_TEE; planned++)
                for (int now = SLUICE_LINK_NONE; now <= SLUICE_LINK_TEE; now++) {
                        bool down = planned == now ||
                                    (planned == SLUICE_LINK_DIRECT && (now == SLUICE_LINK_SPLICE || now == SLUICE_LINK_CROSS)) ||
                                    (planned == SLUICE_LINK_SPLICE && now == SLUICE_LINK_CROSS) ||
                                    (planned == SLUICE_LINK_TEE && now == SLUICE_LINK_CROSS);

                        assert_int_equal(negotiate_may_become(planned, now), down);
                        if (planned != now)
                                assert_false(negotiate_may_become(planned, now) && negotiate_may_become(now, planned));
                }
}

static void every_reason_says_something(void **state)
{
        char text[256], small[8];

        (void)state;
        for (uint32_t kind = 0; kind <= SLUICE_KIND_OTHER + 1; kind++)
                for (uint32_t out = 1; out < MASKS; out++)
                        for (uint32_t in = 1; in < MASKS; in++) {
                                struct link_words w = { negotiate(out, in), kind, SLUICE_KIND_SOCKET, out, in, NULL, NULL };
                                int n = negotiate_reason(&w, text, sizeof(text));

                                assert_in_range(n, 20, 200);
                                assert_null(strchr(text, '?'));
                                assert_non_null(strstr(text, "socket: "));
                                assert_int_equal(negotiate_reason(&w, small, sizeof(small)), n);
                                assert_int_equal(strlen(small), sizeof(small) - 1);
                        }
}

static void a_note_is_part_of_the_reason(void **state)
{
        struct link_words w = { .mode = SLUICE_LINK_TEE, .in_note = "of the input" };
        char text[256];

        (void)state;
        negotiate_reason(&w, text, sizeof(text));
        assert_non_null(strstr(text, "(of the input)"));
        w.out_note = "of the output";
        negotiate_reason(&w, text, sizeof(text));
        assert_non_null(strstr(text, "(of the output)"));
}

static void refusals_have_names(void **state)
{
        const struct end_identity file = { .regular = true, .device = 1, .inode = 2 },
                                  other = { .regular = true, .device = 1, .inode = 3 },
                                  elsewhere = { .regular = true, .device = 2, .inode = 2 },
                                  pipe = { .pipe = true, .device = 9, .inode = 9 }, listener = { .listener = true, .device = 8 },
                                  directory = { .directory = true, .device = 1 }, device = { .device = 5, .inode = 6 };
        int error = 0;

        (void)state;
        assert_null(negotiate_refusal(NULL, NULL, &error));
        assert_null(negotiate_refusal(&file, &other, &error));
        assert_null(negotiate_refusal(&file, &elsewhere, &error));
        assert_null(negotiate_refusal(&file, NULL, &error));
        assert_null(negotiate_refusal(&device, &device, &error)); /* one terminal on both sides is usual */
        assert_non_null(negotiate_refusal(&file, &file, &error));
        assert_int_equal(error, -EINVAL);
        assert_non_null(negotiate_refusal(&pipe, &pipe, &error));
        assert_int_equal(error, -EINVAL);
        assert_non_null(negotiate_refusal(&listener, &file, &error));
        assert_non_null(negotiate_refusal(&file, &listener, &error));
        assert_non_null(negotiate_refusal(NULL, &listener, &error));
        assert_int_equal(error, -EINVAL);
        assert_non_null(negotiate_refusal(&directory, &file, &error));
        assert_int_equal(error, -EISDIR);
        assert_non_null(negotiate_refusal(NULL, &directory, &error));
        assert_int_equal(error, -EISDIR);
        assert_non_null(negotiate_refusal_of_sinks(&file, &file, &error));
        assert_null(negotiate_refusal_of_sinks(&file, &other, &error));
        assert_null(negotiate_refusal_of_sinks(&device, &device, &error));
        assert_null(negotiate_refusal_of_sinks(&pipe, &pipe, &error)); /* as a shell has it: 2>&1 */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_pair_is_as_the_table_says),
                cmocka_unit_test(the_drawing_holds),
                cmocka_unit_test(it_does_not_matter_which_side_is_which),
                cmocka_unit_test(a_mode_needs_what_it_is_made_of),
                cmocka_unit_test(a_thread_is_memory_or_a_process),
                cmocka_unit_test(an_offer_more_is_never_worse),
                cmocka_unit_test(nothing_joins_nothing),
                cmocka_unit_test(several_inputs_share_pages_or_one_buffer),
                cmocka_unit_test(what_cannot_be_joined_once_cannot_be_joined_often),
                cmocka_unit_test(a_plan_only_goes_down),
                cmocka_unit_test(every_reason_says_something),
                cmocka_unit_test(a_note_is_part_of_the_reason),
                cmocka_unit_test(refusals_have_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
