/* atomic_file_appears_whole.c: the old contents or the new ones, never anything between, and no other name. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

enum { BYTES = 300000 };

static struct sluice_cancel *token;

static void test_replaced(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int command = 0; command < 2; command++) {
                        struct sluice_pipeline *p = t_new_driver(t_drivers[d]);
                        struct stat was, is;

                        t_make(t_path("a"), BYTES);
                        t_make_text(t_path("b"), "old");
                        assert_return_code(stat(t_path("b"), &was), errno);
                        t_ok(sluice_add_file(p, t_path("a"), NULL));
                        if (command)
                                t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
                        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_ATOMIC)));
                        t_chain(p);
                        t_run_free(p, 0);
                        t_check_file(t_path("b"), BYTES, 0);
                        assert_return_code(stat(t_path("b"), &is), errno);
                        assert_int_not_equal(was.st_ino, is.st_ino);
                        assert_int_equal(t_files(), 2);
                        unlink(t_path("b"));
                }
}

static void test_made_with_its_mode(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct stat st;
        mode_t mask = umask(022);

        (void)state;
        t_ok(sluice_add_zero(p, 10));
        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_ATOMIC, .mode = 0664)));
        t_chain(p);
        t_run_free(p, 0);
        umask(mask);
        assert_return_code(stat(t_path("b"), &st), errno);
        assert_int_equal(st.st_mode & 07777, 0644);
}

/* What only its owner could read is not what all can read when it has been replaced; unless that is asked for. */
static void test_permissions_stay(void **state)
{
        const struct {
                mode_t was, asked, is;
        } t[] = { { 0600, 0, 0600 }, { 0400, 0, 0400 }, { 0664, 0, 0664 }, { 0755, 0, 0755 }, { 0600, 0666, 0644 } };
        mode_t mask = umask(022);

        (void)state;
        for (size_t i = 0; i < T_NR(t); i++) {
                struct sluice_pipeline *p = t_new(NULL);
                struct stat st;

                t_make_text(t_path("b"), "old");
                assert_return_code(chmod(t_path("b"), t[i].was), errno);
                t_ok(sluice_add_zero(p, 10));
                t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_ATOMIC, .mode = t[i].asked)));
                t_chain(p);
                t_run_free(p, 0);
                assert_return_code(stat(t_path("b"), &st), errno);
                assert_int_equal(st.st_mode & 07777, t[i].is);
                assert_int_equal(st.st_size, 10);
                unlink(t_path("b"));
        }
        umask(mask);
}

/* In the middle nobody sees it. */
static void look(void *arg)
{
        *(bool *)arg = access(t_path("b"), F_OK) == 0;
        sluice_cancel_fire(token);
}

static void fails(struct sluice_pipeline *p, int expected)
{
        t_make_text(t_path("b"), "old");
        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_ATOMIC)));
        t_chain(p);
        t_run_free(p, expected);
        t_check_text(t_path("b"), "old");
        assert_int_equal(t_files(), 1);
}

static void test_failed_command(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "echo half; exit 3"), NULL));
        fails(p, -ECHILD);
}

static void test_failed_command_upstream(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "echo half; exit 3"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        fails(p, -ECHILD);
}

static void test_deadline(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS, .timeout_ms = 30));

        (void)state;
        t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "echo half; exec sleep 1000"), NULL));
        fails(p, -ETIMEDOUT);
}

/* Cancelled from the middle of the pipeline's bytes. */
static void test_cancelled(void **state)
{
        (void)state;
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p;
                bool visible = true;

                assert_int_equal(sluice_cancel_new(&token), 0);
                p = t_new(T_OPTIONS(.cancel = token, .grace_ms = T_GRACE_MS, .driver = t_drivers[d]));
                t_ok(sluice_add_command(p, T_ARGV("sh", "-c", "echo half; exec sleep 1000"), NULL));
                look(&visible);
                assert_int_equal(visible, false);
                fails(p, -ECANCELED);
                sluice_cancel_unref(token);
                unlink(t_path("b"));
        }
}

static void test_not_needed(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_ok(sluice_add_file(p, t_path("missing"), NULL));
        t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_ATOMIC)));
        t_chain(p);
        t_run_free(p, -ENOENT);
        assert_int_equal(t_files(), 0);
}

static void test_synced(void **state)
{
        (void)state;
        for (int i = 0; i < 3; i++) {
                struct sluice_pipeline *p = t_new(NULL);

                t_ok(sluice_add_zero(p, 0));
                t_ok(sluice_add_file(p, t_path("b"), T_FILE(.flags = SLUICE_FILE_ATOMIC, .sync = (enum sluice_sync)i)));
                t_chain(p);
                t_run_free(p, 0);
                t_check_file(t_path("b"), 0, 0);
                assert_int_equal(t_files(), 1);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_replaced),
                T_TEST(test_made_with_its_mode),
                T_TEST(test_permissions_stay),
                T_TEST(test_failed_command),
                T_TEST(test_failed_command_upstream),
                T_TEST(test_deadline),
                T_TEST(test_cancelled),
                T_TEST(test_not_needed),
                T_TEST(test_synced),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
