/* a_fork_needs_a_host_alone.c: a forked function has a copy of all that the host has, and its fds are its stream's; what it
 * does to its process is its stage's failure; and a host with a second thread is refused, when it adds it and when it runs. */
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "parts.h"

#define T_FORKED (&(const struct sluice_function_options){ .size = sizeof(struct sluice_function_options), .flags = SLUICE_FORKED })

enum { FAR_MS = 60000 };

static int host_memory = 1;

static int add(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg)
{
        return t_ok(sluice_add_function_with(p, fn, arg, T_FORKED));
}

/* ---- functions ---- */

static int copy(void *arg, struct sluice_stream *io)
{
        static char data[100000];
        ssize_t n;

        (void)arg;
        while ((n = sluice_read(io, data, sizeof(data))) > 0) {
                n = sluice_write(io, data, (size_t)n);
                if (n < 0)
                        break;
        }
        return (int)n;
}

static int say(void *arg, struct sluice_stream *io)
{
        return sluice_write(io, arg, strlen(arg)) < 0 ? -EIO : 0;
}

static int returns(void *arg, struct sluice_stream *io)
{
        (void)io;
        return *(const int *)arg;
}

static int changes(void *arg, struct sluice_stream *io)
{
        int seen = host_memory;

        (void)io;
        host_memory = 2;
        *(int *)arg = 2;
        return seen == 1 && getpid() != getppid() ? 0 : -EPROTO;
}

static int aborts(void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        signal(SIGABRT, SIG_DFL); /* a sanitizer's report is not wanted */
        abort();
}

static int exits(void *arg, struct sluice_stream *io)
{
        (void)io;
        _exit(*(const int *)arg);
}

static int whines(void *arg, struct sluice_stream *io)
{
        (void)io;
        dprintf(STDERR_FILENO, "%s\n", (const char *)arg);
        return -EIO;
}

/* How many have begun: in memory that a fork does not copy; NULL: nobody asks. */
static void count_in(atomic_int *begun)
{
        if (begun)
                atomic_fetch_add(begun, 1);
}

static int until_cancelled(void *arg, struct sluice_stream *io)
{
        count_in(arg);
        while (!sluice_cancelled(io))
                usleep(1000);
        return -ECANCELED;
}

static int deaf(void *arg, struct sluice_stream *io)
{
        (void)io;
        signal(SIGTERM, SIG_IGN);
        count_in(arg);
        while (pause() < 0)
                continue;
        return 0;
}

/* The numbers of its fds: its three, and what its stream waits by. */
static int lists_fds(void *arg, struct sluice_stream *io)
{
        int nr = 0;

        (void)arg;
        for (int fd = 3; fd < 1000; fd++)
                nr += fcntl(fd, F_GETFD) >= 0;
        return nr <= 1 ? say((void *)(uintptr_t) "clean", io) : -EMFILE;
}

static int says_where(void *arg, struct sluice_stream *io)
{
        char text[300], directory[100];

        (void)arg;
        snprintf(text, sizeof(text), "%s in %s", getenv("T_VARIABLE"), getcwd(directory, sizeof(directory)));
        return say(text, io);
}

/* No handler of the host's runs there; no signal is blocked. */
static int says_signals(void *arg, struct sluice_stream *io)
{
        struct sigaction a;
        sigset_t mask;

        (void)arg;
        sigaction(SIGUSR1, NULL, &a);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        for (int i = 1; i < 32; i++)
                if (sigismember(&mask, i))
                        return -EPROTO;
        return say((void *)(uintptr_t)(a.sa_handler == SIG_DFL ? "default" : "not default"), io);
}

static int is_in_group(void *arg, struct sluice_stream *io)
{
        (void)io;
        return getpgrp() == *(const pid_t *)arg ? 0 : -EPROTO;
}

/* Leaves a process behind that hears nothing, and says which. */
static int leaves(void *arg, struct sluice_stream *io)
{
        pid_t pid = fork();
        char text[32];

        (void)arg;
        if (pid == 0) {
                signal(SIGTERM, SIG_IGN);
                close(STDOUT_FILENO);
                while (pause() < 0)
                        continue;
        }
        snprintf(text, sizeof(text), "%d", pid);
        return say(text, io);
}

static void not_there(int signal)
{
        (void)signal;
}

/* ---- alone ---- */

static void alone_or_skip(void)
{
        if (sluice_may_fork() < 0 && t_sanitized()) {
                print_message("skipped: a sanitizer has a thread of its own\n");
                skip();
        }
        assert_int_equal(sluice_may_fork(), 0);
}

static void test_it_works(void **state)
{
        struct sluice_pipeline *p;

        (void)state;
        alone_or_skip();
        p = t_new(NULL);
        t_make(t_path("a"), 3 * T_MIB + 17);
        t_ok(sluice_add_file(p, t_path("a"), NULL));
        add(p, copy, NULL);
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        add(p, copy, NULL);
        t_ok(sluice_add_count(p));
        add(p, copy, NULL);
        t_ok(sluice_add_file(p, t_path("b"), NULL));
        t_chain(p);
        t_run(p, 0);
        assert_int_equal(sluice_pipeline_link_mode(p, 0), SLUICE_LINK_DIRECT);
        assert_int_equal(sluice_pipeline_link_mode(p, 1), SLUICE_LINK_PIPE);
        sluice_pipeline_free(p);
        t_check_file(t_path("b"), 3 * T_MIB + 17, 0);
}

static void test_it_has_a_copy(void **state)
{
        int mine = 1;
        struct sluice_pipeline *p;

        (void)state;
        alone_or_skip();
        p = t_new(NULL);
        add(p, changes, &mine);
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, 0);
        assert_int_equal(mine, 1);
        assert_int_equal(host_memory, 1);
}

static void test_it_is_clean(void **state)
{
        struct sluice_pipeline *p;
        int leaked;

        (void)state;
        alone_or_skip();
        leaked = open("/dev/null", O_RDONLY); /* the host's, without O_CLOEXEC */
        signal(SIGUSR1, not_there);
        p = t_new(NULL);
        add(p, lists_fds, NULL);
        t_says(p, "clean");
        p = t_new(NULL);
        add(p, says_signals, NULL);
        t_says(p, "default");
        signal(SIGUSR1, SIG_DFL);
        close(leaked);
        p = t_new(T_OPTIONS(.directory = "/", .env = T_ENV(T_SET("T_VARIABLE", "there")), .env_nr = 1));
        add(p, says_where, NULL);
        t_says(p, "there in /");
        assert_null(getenv("T_VARIABLE"));
}

static void test_answers(void **state)
{
        static const struct {
                int returned, result;
                enum sluice_verdict verdict;
        } rows[] = {
                { 0, 0, SLUICE_VERDICT_OK },
                { SLUICE_FINISH_EARLY, 0, SLUICE_VERDICT_EARLY },
                { -EIO, -EIO, SLUICE_VERDICT_FAILED },
                { -300, -300, SLUICE_VERDICT_FAILED },
        };

        (void)state;
        alone_or_skip();
        for (size_t i = 0; i < T_NR(rows); i++) {
                struct sluice_pipeline *p = t_new(NULL);
                int answer = rows[i].returned;

                add(p, returns, &answer);
                t_ok(sluice_add_null(p));
                t_chain(p);
                t_run(p, rows[i].result);
                t_verdict(p, 0, rows[i].verdict);
                sluice_pipeline_free(p);
        }
}

static void dies(sluice_function_fn *fn, int arg, const char *words)
{
        struct sluice_pipeline *p = t_new(NULL);

        add(p, fn, &arg);
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, -ECHILD);
        assert_string_equal(sluice_pipeline_error(p), words);
        sluice_pipeline_free(p);
}

static void test_deaths(void **state)
{
        struct sluice_pipeline *p;

        (void)state;
        alone_or_skip();
        dies(aborts, 0, "forked: killed by SIGABRT");
        dies(exits, 0, "forked: exit status 0 before it returned");
        dies(exits, 7, "forked: exit status 7 before it returned");
        p = t_new(NULL);
        add(p, whines, (void *)(uintptr_t) "woe");
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, -EIO);
        assert_string_equal(t_result(p, 0).stderr_tail, "woe\n");
        sluice_pipeline_free(p);
}

struct ends {
        const struct sluice_pipeline *p;
        atomic_int *begun;
};

static bool all_run(void *arg)
{
        const struct ends *e = arg;

        return atomic_load(e->begun) == 1 && sluice_pipeline_stage_pid(e->p, 0) >= 0;
}

/* Between a command that is ended by being asked and a sink of ours. */
static struct sluice_pipeline *ended(const struct sluice_options *o, sluice_function_fn *fn, atomic_int *begun)
{
        struct sluice_pipeline *p = t_new(o);

        t_ok(sluice_add_command(p, T_ARGV("sleep", "1000"), NULL));
        add(p, fn, begun);
        t_ok(sluice_add_null(p));
        t_chain(p);
        atomic_store(begun, 0);
        t_run_and_stop(p, all_run, &(struct ends){ p, begun });
        for (int k = 0; k < 2; k++)
                t_verdict(p, k, SLUICE_VERDICT_ENDED);
        return p;
}

static void test_ends(void **state)
{
        const struct sluice_options ways[] = {
                { .flags = 0 },
                { .flags = SLUICE_PROCESS_GROUP },
                { .flags = SLUICE_DIE_WITH_PARENT },
                { .contain = SLUICE_CONTAIN_GUARD },
                { .contain = SLUICE_CONTAIN_GUARD, .flags = SLUICE_PROCESS_GROUP },
                { .contain = SLUICE_CONTAIN_WALK },
                { .contain = SLUICE_CONTAIN_NONE },
        };
        atomic_int *begun;

        (void)state;
        alone_or_skip();
        begun = mmap(NULL, sizeof(*begun), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(begun, MAP_FAILED);
        for (size_t i = 0; i < T_NR(ways); i++) {
                struct sluice_options o = ways[i];
                struct sluice_pipeline *p;

                o.size = sizeof(o);
                o.grace_ms = FAR_MS;
                p = ended(&o, until_cancelled, begun);
                assert_int_equal(t_result(p, 1).error, -ECANCELED); /* it was asked, and answered */
                sluice_pipeline_free(p);
                o.grace_ms = T_GRACE_MS;
                p = ended(&o, deaf, begun);
                assert_int_equal(t_result(p, 1).signal, SIGKILL);
                sluice_pipeline_free(p);
        }
        munmap(begun, sizeof(*begun));
}

static void test_leads_a_group(void **state)
{
        struct sluice_pipeline *p;

        (void)state;
        alone_or_skip();
        p = t_new(T_OPTIONS(.flags = SLUICE_PROCESS_GROUP));
        add(p, say, (void *)(uintptr_t) "led\n");
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_pipeline_chain(p));
        t_says(p, "led\n");
}

/* The guard alone knows its commands' leader until they are confirmed: then it stays with the host. */
static void test_group_of_a_guard(void **state)
{
        pid_t group = getpgrp();
        struct sluice_pipeline *p;

        (void)state;
        alone_or_skip();
        p = t_new(T_OPTIONS(.flags = SLUICE_PROCESS_GROUP, .contain = SLUICE_CONTAIN_GUARD));
        t_ok(sluice_add_command(p, T_ARGV("true"), NULL));
        add(p, is_in_group, &group);
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run_free(p, 0);
}

/* Init may take its time to reap what was killed. */
static bool lives(const char *pid)
{
        char path[64], text[256] = "";
        int fd;

        snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        assert_true(read(fd, text, sizeof(text) - 1) > 0);
        close(fd);
        return strncmp(strrchr(text, ')') + 2, "Z", 1) != 0;
}

static void test_what_it_starts_ends(void **state)
{
        struct sluice_pipeline *p;
        char *text = NULL;
        size_t bytes;
        int r;

        (void)state;
        alone_or_skip();
        p = t_new(T_OPTIONS(.contain = SLUICE_CONTAIN_CGROUP, .grace_ms = T_GRACE_MS));
        add(p, leaves, NULL);
        r = sluice_run_capture(p, 0, &text, &bytes);
        sluice_pipeline_free(p);
        if (r < 0)
                skip(); /* no cgroup can be made here */
        assert_false(lives(text));
        free(text);
}

/* ---- not alone ---- */

static void *waits(void *arg)
{
        char c;

        return read(*(const int *)arg, &c, 1) < 0 ? arg : NULL;
}

static void test_second_thread(void **state)
{
        struct sluice_pipeline *p = t_new(NULL), *early = NULL;
        pthread_t thread;
        int fds[2];

        (void)state;
        t_pipe(fds);
        if (sluice_may_fork() == 0) { /* added while it was alone */
                early = t_new(NULL);
                t_make_text(t_path("precious"), "old");
                add(early, say, (void *)(uintptr_t) "new");
                t_ok(sluice_add_file(early, t_path("precious"), NULL));
                t_chain(early);
        }
        assert_int_equal(pthread_create(&thread, NULL, waits, &fds[0]), 0);
        assert_int_equal(sluice_may_fork(), -ENOTSUP);
        assert_int_equal(sluice_add_function_with(p, copy, NULL, T_FORKED), -ENOTSUP);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        if (early) {
                t_run(early, -ENOTSUP);
                assert_int_equal(t_failure(early).stage, 0);
                assert_non_null(strstr(sluice_pipeline_error(early), "another thread"));
                t_check_text(t_path("precious"), "old");
        }
        close(fds[1]);
        pthread_join(thread, NULL);
        close(fds[0]);
        sluice_pipeline_free(early);
        sluice_pipeline_free(p);
}

/* A thread of the pipeline's own is one too. */
static void test_beside_a_function_on_a_thread(void **state)
{
        struct sluice_pipeline *p;

        (void)state;
        alone_or_skip();
        p = t_new(NULL);
        t_ok(sluice_add_function(p, until_cancelled, NULL, NULL));
        add(p, copy, NULL);
        t_ok(sluice_add_null(p));
        t_chain(p);
        t_run(p, -ENOTSUP);
        assert_int_equal(t_failure(p).stage, 1);
        sluice_pipeline_free(p);
}

static void test_bad_options(void **state)
{
        struct sluice_function_options o = *T_FORKED;
        struct sluice_pipeline *p = t_new(NULL);

        (void)state;
        assert_int_equal(sluice_add_function_with(p, NULL, NULL, &o), -EINVAL);
        o.symbol = "copy";
        assert_int_equal(sluice_add_function_with(p, copy, NULL, &o), -EINVAL);
        o = *T_FORKED;
        o.argument = "x";
        assert_int_equal(sluice_add_function_with(p, copy, NULL, &o), -EINVAL);
        o = *T_FORKED;
        o.flags |= SLUICE_ISOLATED;
        assert_int_equal(sluice_add_function_with(p, copy, NULL, &o), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_it_works),
                T_TEST(test_it_has_a_copy),
                T_TEST(test_it_is_clean),
                T_TEST(test_answers),
                T_TEST(test_deaths),
                T_TEST(test_ends),
                T_TEST(test_leads_a_group),
                T_TEST(test_group_of_a_guard),
                T_TEST(test_what_it_starts_ends),
                T_TEST(test_second_thread),
                T_TEST(test_beside_a_function_on_a_thread),
                T_TEST(test_bad_options),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
