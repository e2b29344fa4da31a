/* a_process_gets_the_fd_itself.c: a command reads and writes the very file, pipe or device at its end of the pipeline, owned
 * or borrowed: nothing stands between, and no byte passes through us. */
#include <fcntl.h>
#include <sys/stat.h>

#include "parts.h"

static int a_file(bool source)
{
        return open(t_path("file"), source ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CLOEXEC);
}

static int a_device(bool source)
{
        return open("/dev/null", source ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CLOEXEC);
}

/* The other end is closed by then. */
static int a_pipe(bool source)
{
        int fds[2];

        t_pipe(fds);
        close(fds[source]);
        return fds[!source];
}

static int (*const kinds[])(bool source) = { a_file, a_device, a_pipe };

static void check_inode(const struct sluice_pipeline *p, int stage, const struct stat *st)
{
        char expected[32];

        snprintf(expected, sizeof(expected), "%llu\n", (unsigned long long)st->st_ino);
        assert_string_equal(t_result(p, stage).stderr_tail, expected);
}

/* The command says on stderr what it has. */
static void end(int (*kind)(bool), bool source, unsigned flags)
{
        struct sluice_pipeline *p = t_new(NULL);
        int fd = kind(source);
        struct sluice_stats s;
        struct stat st;
        char script[96];

        assert_return_code(fstat(fd, &st), errno);
        if (source)
                t_ok(sluice_add_fd(p, fd, flags));
        snprintf(script, sizeof(script), "inode=$(stat -L -c %%i /proc/$$/fd/%d); echo $inode >&2", !source);
        t_sh(p, script, NULL);
        if (!source)
                t_ok(sluice_add_fd(p, fd, flags));
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        check_inode(p, source, &st);
        s = t_stats(p, 0);
        assert_int_equal(s.mode, SLUICE_LINK_DIRECT);
        assert_int_equal(s.bytes_copied.value + s.bytes_spliced.value, 0);
        sluice_pipeline_free(p);
        if (!(flags & SLUICE_OWN))
                close(fd);
}

static void test_ends(void **state)
{
        static const unsigned flags[] = { 0, SLUICE_OWN };

        (void)state;
        t_make_text(t_path("file"), "old");
        for (size_t k = 0; k < T_NR(kinds); k++)
                for (size_t i = 0; i < 2 * T_NR(flags); i++)
                        end(kinds[k], i % 2, flags[i / 2]);
}

/* Between two commands there is one pipe, and nobody else has it. */
static void test_between_commands(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        const char *writer, *reader;

        (void)state;
        t_sh(p, "inode=$(stat -L -c %i /proc/$$/fd/1); echo $inode >&2", NULL);
        t_sh(p, "inode=$(stat -L -c %i /proc/$$/fd/0); echo $inode >&2", NULL);
        t_ok(sluice_pipeline_chain(p));
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), SLUICE_LINK_PIPE);
        writer = t_result(p, 0).stderr_tail;
        reader = t_result(p, 1).stderr_tail;
        assert_int_not_equal(strlen(writer), 0);
        assert_string_equal(writer, reader);
        sluice_pipeline_free(p);
}

/* Where nothing is linked there is nothing to read, and nobody who would read. */
static void test_loose_ends(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        t_sh(p, "test ! -t 0 || exit 1; test -z \"$(cat)\" || exit 2; seq 100000", NULL);
        t_run_free(p, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_ends), T_TEST(test_between_commands), T_TEST(test_loose_ends) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
