/* failed_start_closes_what_it_owns.c: an fd that the pipeline owns is closed exactly once, however the run ended or if it
 * never began; one that is borrowed is never closed. */
#include <fcntl.h>
#include <sys/stat.h>

#include "parts.h"

static const struct ending {
        const char *first, *second; /* commands; NULL: none */
        bool linked, run;
        int64_t timeout_ms;
        int expected;
} endings[] = {
        { "true", NULL, false, false, 0, 0 },                       /* never built */
        { "true", NULL, false, true, 0, -EINVAL },                  /* cannot be built */
        { "no-such-command-here", NULL, true, true, 0, -ENOENT },   /* the first fails to start */
        { "true", "no-such-command-here", true, true, 0, -ENOENT }, /* the second does */
        { "no-such-command-here", "cat", true, true, 0, -ENOENT },  /* a later one never started */
        { "true", NULL, true, true, 0, 0 },
        { "true", "cat", true, true, 0, 0 },
        { "false", NULL, true, true, 0, -ECHILD },
        { "yes", NULL, true, true, 30, -ETIMEDOUT },
};

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

static void add_commands(struct sluice_pipeline *p, const struct ending *e)
{
        const char *const names[] = { e->first, e->second };

        for (size_t i = 0; i < T_NR(names); i++)
                if (names[i])
                        t_ok(sluice_add_command(p, T_ARGV((char *)(uintptr_t)names[i]), NULL));
}

/* The fd is one end of a pipe: as a source its other end is closed, as a sink it is read by nobody. */
static struct sluice_pipeline *ended(const struct ending *e, int fd, bool source, unsigned flags)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = e->timeout_ms, .grace_ms = T_GRACE_MS));

        if (source)
                t_ok(sluice_add_fd(p, fd, flags));
        add_commands(p, e);
        if (!source)
                t_ok(sluice_add_fd(p, fd, flags));
        if (e->linked)
                t_ok(sluice_pipeline_chain(p));
        if (e->run)
                t_run(p, e->expected);
        return p;
}

/* The number is given to a stranger as soon as it is free: a second close would hit that one. */
static void check_owned(struct sluice_pipeline *p, int fd)
{
        int stranger = open("/dev/null", O_RDONLY | O_CLOEXEC);
        bool closed = !is_open(fd) || stranger == fd;

        if (closed && stranger != fd)
                assert_int_equal(dup3(stranger, fd, O_CLOEXEC), fd);
        sluice_pipeline_free(p);
        assert_int_equal(is_open(fd), closed);
        if (stranger != fd)
                close(stranger);
        if (closed)
                close(fd);
}

static void check_borrowed(struct sluice_pipeline *p, int fd, const struct stat *was, int fd_flags, int status_flags)
{
        struct stat is;

        sluice_pipeline_free(p);
        assert_return_code(fstat(fd, &is), errno);
        assert_int_equal(is.st_ino, was->st_ino);
        assert_int_equal(fcntl(fd, F_GETFD), fd_flags);
        assert_int_equal(fcntl(fd, F_GETFL), status_flags);
        close(fd);
}

static void each_ending(void (*check)(const struct ending *e, int fd, bool source))
{
        for (size_t i = 0; i < 2 * T_NR(endings); i++) {
                bool source = i % 2;
                int fds[2];

                t_pipe(fds);
                if (source)
                        close(fds[1]);
                check(&endings[i / 2], fds[source ? 0 : 1], source);
                if (!source)
                        close(fds[0]);
        }
}

static void owned(const struct ending *e, int fd, bool source)
{
        check_owned(ended(e, fd, source, SLUICE_OWN), fd);
}

static void borrowed(const struct ending *e, int fd, bool source)
{
        int fd_flags = fcntl(fd, F_GETFD), status_flags = fcntl(fd, F_GETFL);
        struct stat was;

        assert_return_code(fstat(fd, &was), errno);
        check_borrowed(ended(e, fd, source, 0), fd, &was, fd_flags, status_flags);
}

static void test_owned(void **state)
{
        (void)state;
        each_ending(owned);
}

static void test_borrowed(void **state)
{
        (void)state;
        each_ending(borrowed);
}

/* The end of a stream depends on the command alone: we let go of the fd as soon as the command has it. The command here
 * closes its own and then waits for the reader, who has to see the end first. */
struct reader {
        int fd, release;
        char text[64];
        ssize_t bytes;
};

static void *read_then_release(void *arg)
{
        struct reader *r = arg;
        ssize_t n;

        while ((n = read(r->fd, r->text + r->bytes, sizeof(r->text) - (size_t)r->bytes)) > 0)
                r->bytes += n;
        if (write(r->release, "\n", 1) != 1)
                r->bytes = -1;
        return NULL;
}

static void test_let_go_early(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.timeout_ms = 60000, .grace_ms = T_GRACE_MS));
        struct reader r = { 0 };
        pthread_t thread;
        char script[256];
        int out[2];

        (void)state;
        t_pipe(out);
        assert_return_code(mkfifo(t_path("release"), 0600), errno);
        r.fd = out[0];
        r.release = open(t_path("release"), O_RDWR | O_CLOEXEC);
        assert_int_equal(pthread_create(&thread, NULL, read_then_release, &r), 0);
        snprintf(script, sizeof(script), "echo said; exec >&-; read x <%s", t_path("release"));
        t_sh(p, script, NULL);
        t_ok(sluice_add_fd(p, out[1], SLUICE_OWN));
        t_ok(sluice_pipeline_chain(p));
        t_run_free(p, 0);
        pthread_join(thread, NULL);
        assert_int_equal(r.bytes, 5);
        assert_memory_equal(r.text, "said\n", 5);
        close(out[0]);
        close(r.release);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_owned), T_TEST(test_borrowed), T_TEST(test_let_go_early) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
