/* size_at_open_estale.c: `until size at open` means that size: a file that shrinks meanwhile is -ESTALE, one that grows
 * is read no further. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

enum { BYTES = 8 * T_MIB };

static void change(void *arg)
{
        assert_return_code(truncate(t_path("a"), *(off_t *)arg), errno);
}

/* The peer changes the file's size once the first bytes have reached it; the rest does not fit in any buffer. */
static void changed_to(off_t size, int expected, enum sluice_driver driver)
{
        struct t_peer peer = { .enough = 1, .on_enough = change, .arg = &size };
        struct sluice_pipeline *p = t_new_driver(driver);
        int out[2];

        t_make(t_path("a"), BYTES);
        t_pipe(out);
        t_reader(&peer, out[0], -1);
        t_ok(sluice_add_file(p, t_path("a"), T_FILE(.until = SLUICE_UNTIL_SIZE_AT_OPEN)));
        t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
        t_chain(p);
        t_run(p, expected);
        if (expected < 0)
                assert_int_equal(sluice_pipeline_error_stage(p), 0);
        sluice_pipeline_free(p);
        t_join(&peer);
        if (expected == 0)
                assert_int_equal(peer.bytes, BYTES);
}

static void test_truncated(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                changed_to(T_MIB / 2, -ESTALE, t_drivers[d]);
}

static void test_grown(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                changed_to(BYTES + T_MIB, 0, t_drivers[d]);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_truncated), T_TEST(test_grown) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
