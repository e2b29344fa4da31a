/* abandoned_operation_keeps_what_it_names.c: a stranger who sleeps inside a splice holds a pipe's lock, and an operation of
 * ours that waits for it cannot be cancelled. The run ends all the same, says how many it left, and what they name stays
 * open until they are through. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

struct stranger {
        pid_t pid;
        int pipe[2], socket[2];
};

/* It blocks in splice(empty socket -> pipe) and so keeps the pipe's lock; its state in /proc says when. */
static bool asleep_in_splice(pid_t pid)
{
        char path[64], text[256] = "";
        int fd, number = -1;
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        if (n <= 0 || sscanf(text, "%d", &number) != 1)
                return false;
        return number == 275 || number == 76; /* splice, on x86-64 and on the generic table */
}

static void begin(struct stranger *s)
{
        t_pipe(s->pipe);
        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->socket), errno);
        s->pid = fork();
        if (s->pid == 0) {
                close(s->socket[1]);
                splice(s->socket[0], NULL, s->pipe[1], NULL, 4096, 0);
                _exit(0);
        }
        close(s->socket[0]);
        for (int i = 0; i < 1000 && !asleep_in_splice(s->pid); i++)
                usleep(1000);
        if (!asleep_in_splice(s->pid)) {
                kill(s->pid, SIGKILL);
                waitpid(s->pid, NULL, 0);
                s->pid = -1;
        }
}

/* Its lock goes with the bytes it waits for. */
static void end(struct stranger *s)
{
        int status;

        assert_int_equal(write(s->socket[1], "x", 1), 1);
        assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
        close(s->socket[1]);
        close(s->pipe[0]);
        close(s->pipe[1]);
}

static void store(void *arg, int result)
{
        *(int *)arg = result;
}

static void test_abandoned(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.driver = SLUICE_DRIVER_RING, .grace_ms = T_GRACE_MS));
        struct sluice_usage u = { .size = sizeof(u) };
        struct sluice_loop *l;
        struct stranger s;
        int result = 1, fds;

        (void)state;
        begin(&s);
        if (s.pid < 0) {
                close(s.pipe[0]);
                close(s.pipe[1]);
                close(s.socket[1]);
                sluice_pipeline_free(p);
                skip();
        }
        t_make(t_path("a"), 100000);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        t_ok(sluice_add_fd(p, s.pipe[1], 0));
        t_chain(p);
        assert_int_equal(sluice_loop_new(&l, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, l, store, &result), 0);
        while (result == 1 && sluice_loop_turn(l, T_GRACE_MS) > 0)
                continue;
        assert_int_equal(result, 1); /* it waits for the lock */
        sluice_pipeline_stop(p);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        assert_int_equal(result, -ECANCELED);
        assert_int_equal(sluice_pipeline_usage(p, &u), 0);
        assert_int_equal(u.abandoned, 1);
        assert_int_equal(t_stats(p, 0).abandoned, 1);
        assert_int_equal(t_children(), 1); /* the stranger, who is none of ours */
        assert_true(sluice_loop_turn(l, 0) >= 0);
        fds = t_fds();
        end(&s);
        /* Once through, they are let go of by the loop's next turns: three of the stranger's are gone, two of ours. */
        for (int i = 0; i < 100 && t_fds() > fds - 5; i++)
                assert_true(sluice_loop_turn(l, T_GRACE_MS) >= 0);
        assert_int_equal(t_fds(), fds - 5);
        sluice_pipeline_free(p);
        sluice_loop_free(l);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_abandoned) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
