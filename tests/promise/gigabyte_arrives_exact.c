/* gigabyte_arrives_exact.c: a GiB from file to file, and through a socket, is still exact; once per driver. */
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static uint64_t much(void)
{
        return t_short() ? UINT64_C(64) << 20 : UINT64_C(1) << 30;
}

static void test_file_to_file(void **state)
{
        (void)state;
        t_make(t_path("a"), much());
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_ok(sluice_add_file(p, t_path("a"), NULL));
                t_ok(sluice_add_file(p, t_path("b"), NULL));
                t_chain(p);
                t_run(p, 0);
                assert_int_equal(t_stats(p, 0).bytes.value, much());
                assert_int_equal(t_stats(p, 0).length, much());
                sluice_pipeline_free(p);
                t_check_file(t_path("b"), much(), 0);
        }
}

static void test_file_to_socket(void **state)
{
        (void)state;
        t_make(t_path("a"), much());
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                struct t_peer peer = { 0 };
                char address[32];

                t_reader(&peer, -1, t_listen(address, sizeof(address)));
                t_ok(sluice_add_file(p, t_path("a"), NULL));
                t_ok(sluice_add_tcp(p, address, NULL));
                t_chain(p);
                t_run_free(p, 0);
                t_join_exact(&peer, much());
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_file_to_file), T_TEST(test_file_to_socket) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
