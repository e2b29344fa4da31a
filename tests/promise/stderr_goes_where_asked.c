/* stderr_goes_where_asked.c: a command's stderr is kept up to its bound, passed on, shared, put into a file or discarded,
 * as its own options say before the pipeline's flags. */
#include <fcntl.h>
#include <sys/stat.h>

#include "parts.h"

/* The file holds "old\n" before; NULL: it is not there. */
static const struct row {
        enum sluice_stderr to;
        unsigned flags; /* the pipeline's */
        size_t bytes;
        const char *tail, *ours, *file;
} rows[] = {
        { SLUICE_STDERR_DEFAULT, 0, 0, "said\n", "", "old\n" },
        { SLUICE_STDERR_DEFAULT, SLUICE_STDERR_FORWARD, 0, "said\n", "said\n", "old\n" },
        { SLUICE_STDERR_DEFAULT, SLUICE_STDERR_INHERIT, 0, "", "said\n", "old\n" },
        { SLUICE_STDERR_KEEP, 0, 0, "said\n", "", "old\n" },
        { SLUICE_STDERR_KEEP, SLUICE_STDERR_INHERIT, 0, "said\n", "", "old\n" },
        { SLUICE_STDERR_KEEP, SLUICE_STDERR_FORWARD, 0, "said\n", "", "old\n" },
        { SLUICE_STDERR_KEEP, 0, 3, "id\n", "", "old\n" },
        { SLUICE_STDERR_KEEP, 0, 5, "said\n", "", "old\n" },
        { SLUICE_STDERR_PASS, 0, 0, "said\n", "said\n", "old\n" },
        { SLUICE_STDERR_PASS, 0, 3, "id\n", "said\n", "old\n" },
        { SLUICE_STDERR_OURS, 0, 0, "", "said\n", "old\n" },
        { SLUICE_STDERR_FILE, 0, 0, "", "", "said\n" },
        { SLUICE_STDERR_FILE, SLUICE_STDERR_FORWARD, 0, "", "", "said\n" },
        { SLUICE_STDERR_APPEND, 0, 0, "", "", "old\nsaid\n" },
        { SLUICE_STDERR_NULL, SLUICE_STDERR_FORWARD, 0, "", "", "old\n" },
};

static struct sluice_pipeline *speaker(const struct row *r)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.flags = r->flags, .grace_ms = T_GRACE_MS));
        bool file = r->to == SLUICE_STDERR_FILE || r->to == SLUICE_STDERR_APPEND;

        t_sh(p, "echo said >&2; exit 1",
             T_COMMAND(.stderr_to = r->to, .stderr_path = file ? t_path("file") : NULL, .stderr_bytes = r->bytes));
        return p;
}

/* This process's stderr is a file for the length of a run: no assertion may fail meanwhile. */
static int run_with_stderr(struct sluice_pipeline *p, const char *path)
{
        int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

        dup2(fd, STDERR_FILENO);
        r = sluice_pipeline_run(p);
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(fd);
        return r;
}

static void test_each(void **state)
{
        (void)state;
        for (size_t i = 0; i < T_NR(rows); i++) {
                struct sluice_pipeline *p = speaker(&rows[i]);

                t_make_text(t_path("file"), "old\n");
                assert_int_equal(run_with_stderr(p, t_path("ours")), -ECHILD);
                assert_string_equal(t_result(p, 0).stderr_tail, rows[i].tail);
                assert_string_equal(t_failure(p).stderr_tail, rows[i].tail);
                t_check_text(t_path("ours"), rows[i].ours);
                t_check_text(t_path("file"), rows[i].file);
                sluice_pipeline_free(p);
        }
}

/* A command that succeeds is heard too. */
static void test_success_is_kept(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_sh(p, "echo warning >&2", NULL);
        t_run(p, 0);
        assert_string_equal(t_result(p, 0).stderr_tail, "warning\n");
        sluice_pipeline_free(p);
}

/* Much more than the bound: the last of it, exactly as much. */
static void test_bound(void **state)
{
        static const size_t bounds[] = { 1, 100, 4096, 100000, T_MIB };

        (void)state;
        for (size_t i = 0; i < T_NR(bounds); i++) {
                struct sluice_pipeline *p = t_new(NULL);
                const char *tail, *last = "300000\n";
                size_t n = bounds[i] < strlen(last) ? bounds[i] : strlen(last);

                t_sh(p, "seq 300000 >&2", T_COMMAND(.stderr_to = SLUICE_STDERR_KEEP, .stderr_bytes = bounds[i]));
                t_run(p, 0);
                tail = t_result(p, 0).stderr_tail;
                assert_int_equal(strlen(tail), bounds[i]);
                assert_string_equal(tail + bounds[i] - n, last + strlen(last) - n);
                sluice_pipeline_free(p);
        }
}

static void test_file_is_made(void **state)
{
        mode_t was = umask(0026);
        struct stat st;

        (void)state;
        for (int append = 0; append < 2; append++) {
                struct sluice_pipeline *p = t_new(NULL);

                t_sh(p, "echo said >&2",
                     T_COMMAND(.stderr_to = append ? SLUICE_STDERR_APPEND : SLUICE_STDERR_FILE, .stderr_path = t_path("new")));
                t_run_free(p, 0);
                t_check_text(t_path("new"), "said\n");
                assert_return_code(stat(t_path("new"), &st), errno);
                assert_int_equal(st.st_mode & 0777, 0640);
                unlink(t_path("new"));
        }
        umask(was);
}

/* Several at the end of the same file lose nothing of each other's. */
static void test_append_together(void **state)
{
        const struct sluice_command_options o = { .size = sizeof(o),
                                                  .stderr_to = SLUICE_STDERR_APPEND,
                                                  .stderr_path = t_path("log") };
        struct sluice_pipeline *p = t_new(NULL);
        struct stat st;

        (void)state;
        for (int i = 0; i < 4; i++)
                t_sh(p, "for i in 1 2 3 4 5 6 7 8 9 10; do echo 0123456 >&2; done", &o);
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        assert_return_code(stat(t_path("log"), &st), errno);
        assert_int_equal(st.st_size, 4 * 10 * 8);
}

static void test_what_cannot_be(void **state)
{
        const struct sluice_command_options bad[] = {
                { .size = sizeof(bad[0]), .stderr_to = SLUICE_STDERR_FILE },
                { .size = sizeof(bad[0]), .stderr_to = SLUICE_STDERR_APPEND },
                { .size = sizeof(bad[0]), .stderr_to = (enum sluice_stderr)99 },
                { .size = sizeof(bad[0]), .stderr_bytes = T_MIB + 1 },
                { .size = sizeof(bad[0]), .flags = 1u << 31 },
        };
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        for (size_t i = 0; i < T_NR(bad); i++)
                assert_int_equal(sluice_add_command(p, T_ARGV("true"), &bad[i]), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_each),         T_TEST(test_success_is_kept), T_TEST(test_bound),
                T_TEST(test_file_is_made), T_TEST(test_append_together), T_TEST(test_what_cannot_be),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
