/* tests/unit/cgroup.c: a cgroup as the files of a directory: plain ones in memory, and the kernel's where they can be had. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "spawn.h"

enum { PATH_BYTES = 4096, MEMBERS = 4 };

/* ---- a directory of plain files ---- */

struct fake {
        char base[64];
        struct cgroup g; /* base/leaf */
};

static int fake_setup(void **state)
{
        struct fake *f = calloc(1, sizeof(*f));

        snprintf(f->base, sizeof(f->base), "/dev/shm/sluice-cgroup-XXXXXX");
        if (!mkdtemp(f->base) || cgroup_make(&f->g, f->base, "leaf") < 0)
                return -1;
        *state = f;
        return 0;
}

static int fake_teardown(void **state)
{
        struct fake *f = *state;
        char command[128];
        int r;

        cgroup_close(&f->g);
        snprintf(command, sizeof(command), "rm -r '%s'", f->base);
        r = system(command);
        free(f);
        return r;
}

static void put(int directory, const char *name, const char *text)
{
        int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
}

static void check_text(const struct fake *f, const char *name, const char *text)
{
        int fd = openat(f->g.fd, name, O_RDONLY | O_CLOEXEC);
        char is[128];
        ssize_t n;

        assert_true(fd >= 0);
        n = read(fd, is, sizeof(is) - 1);
        close(fd);
        assert_true(n >= 0);
        is[n] = '\0';
        assert_string_equal(is, text);
}

static bool is_there(int directory, const char *name)
{
        return faccessat(directory, name, F_OK, 0) == 0;
}

static int below(int directory, const char *name)
{
        int fd;

        assert_int_equal(mkdirat(directory, name, 0700), 0);
        fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

/* ---- life ---- */

static void made_it_is_a_directory_with_two_fds(void **state)
{
        struct fake *f = *state;

        assert_true(f->g.fd > STDERR_FILENO && f->g.parent > STDERR_FILENO);
        assert_true(fcntl(f->g.fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(f->g.parent, F_GETFD) & FD_CLOEXEC);
        assert_string_equal(f->g.name, "leaf");
        assert_true(is_there(f->g.parent, "leaf"));
}

static void what_cannot_be_made_says_why_and_is_not_begun(void **state)
{
        struct fake *f = *state;
        char path[128];
        struct cgroup g = { .fd = -1, .parent = -1 };

        assert_int_equal(cgroup_make(&g, f->base, "leaf"), -EEXIST);
        snprintf(path, sizeof(path), "%s/nowhere", f->base);
        assert_int_equal(cgroup_make(&g, path, "leaf"), -ENOENT);
        put(f->g.parent, "file", "");
        snprintf(path, sizeof(path), "%s/file", f->base);
        assert_int_equal(cgroup_make(&g, path, "leaf"), -ENOTDIR);
        assert_int_equal(g.fd, -1);
        assert_int_equal(g.parent, -1);
}

static void below_another_it_is_made_in_that(void **state)
{
        struct fake *f = *state;
        struct cgroup g;

        assert_int_equal(cgroup_make_below(&g, &f->g, "stage-0"), 0);
        assert_true(is_there(f->g.fd, "stage-0"));
        assert_int_equal(cgroup_make_below(&g, &f->g, "stage-0"), -EEXIST);
        assert_int_equal(cgroup_remove(&g), 0);
        assert_false(is_there(f->g.fd, "stage-0"));
        cgroup_close(&g);
        assert_true(fcntl(f->g.fd, F_GETFD) >= 0);
}

static void closed_twice_harms_nobody(void **state)
{
        struct fake *f = *state;

        cgroup_close(&f->g);
        assert_int_equal(f->g.fd, -1);
        assert_int_equal(f->g.parent, -1);
        cgroup_close(&f->g);
        cgroup_close(&(struct cgroup){ .fd = -1, .parent = -1 });
}

/* A plain file in the way is to rmdir(2) what a member is. */
static void it_is_removed_when_nothing_is_in_it(void **state)
{
        struct fake *f = *state;

        put(f->g.fd, "member", "");
        assert_int_equal(cgroup_remove(&f->g), -EBUSY);
        assert_true(is_there(f->g.parent, "leaf"));
        unlinkat(f->g.fd, "member", 0);
        assert_int_equal(cgroup_remove(&f->g), 0);
        assert_false(is_there(f->g.parent, "leaf"));
        assert_int_equal(cgroup_remove(&f->g), 0); /* it is gone, which was asked for */
}

static void what_its_members_made_below_is_removed_with_it(void **state)
{
        struct fake *f = *state;
        int a = below(f->g.fd, "a"), b = below(a, "b"), c = below(b, "c"), d = below(f->g.fd, "d");

        put(c, "member", "");
        assert_int_equal(cgroup_remove(&f->g), -EBUSY);
        assert_true(is_there(b, "c"));
        unlinkat(c, "member", 0);
        assert_int_equal(cgroup_remove(&f->g), 0);
        assert_false(is_there(f->g.parent, "leaf"));
        close(a);
        close(b);
        close(c);
        close(d);
}

/* ---- an end to its members ---- */

static void kill_is_a_word_in_a_file(void **state)
{
        struct fake *f = *state;

        put(f->g.fd, "cgroup.kill", "");
        assert_int_equal(cgroup_kill(&f->g), 0);
        check_text(f, "cgroup.kill", "1");
}

static pid_t sleeper(void)
{
        pid_t pid = fork();

        if (pid == 0)
                for (;;)
                        pause();
        assert_true(pid > 0);
        return pid;
}

static void list_members(int directory, const pid_t *pids, size_t nr, const char *more)
{
        char text[256];
        size_t at = 0;

        for (size_t i = 0; i < nr; i++)
                at += (size_t)snprintf(text + at, sizeof(text) - at, "%d\n", (int)pids[i]);
        snprintf(text + at, sizeof(text) - at, "%s", more);
        put(directory, "cgroup.procs", text);
}

static void check_ended_by(pid_t pid, int signal)
{
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signal);
}

static void every_member_is_signalled(void **state)
{
        static const int signals[] = { SIGTERM, SIGKILL, SIGUSR1 };
        struct fake *f = *state;
        int a = below(f->g.fd, "a"), b = below(a, "b");

        for (size_t k = 0; k < COUNT(signals); k++) {
                pid_t pids[MEMBERS];

                for (size_t i = 0; i < MEMBERS; i++)
                        pids[i] = sleeper();
                list_members(f->g.fd, pids, 2, "");
                list_members(a, pids + 2, 1, "");
                list_members(b, pids + 3, 1, "");
                assert_int_equal(cgroup_signal(&f->g, signals[k]), MEMBERS);
                for (size_t i = 0; i < MEMBERS; i++)
                        check_ended_by(pids[i], signals[k]);
        }
        close(a);
        close(b);
}

static void a_stopped_member_hears_it_too(void **state)
{
        struct fake *f = *state;
        const pid_t pid = sleeper();
        siginfo_t info;

        kill(pid, SIGSTOP);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
        list_members(f->g.fd, &pid, 1, "");
        assert_int_equal(cgroup_signal(&f->g, SIGTERM), 1);
        check_ended_by(pid, SIGTERM);
}

struct seen {
        pid_t pids[MEMBERS];
        size_t nr;
};

static void see(void *arg, pid_t pid)
{
        struct seen *s = arg;

        assert_true(s->nr < MEMBERS);
        s->pids[s->nr++] = pid;
}

static void every_member_is_named_those_below_first(void **state)
{
        static const pid_t pids[MEMBERS] = { 11, 22, 33, 44 };
        struct fake *f = *state;
        int a = below(f->g.fd, "a"), b = below(a, "b");
        struct seen s = { .nr = 0 };

        cgroup_each(&f->g, see, &s);
        assert_int_equal(s.nr, 0);
        list_members(b, pids, 1, "0\n");
        list_members(a, pids + 1, 1, "");
        list_members(f->g.fd, pids + 2, 2, "");
        cgroup_each(&f->g, see, &s);
        assert_int_equal(s.nr, MEMBERS);
        assert_memory_equal(s.pids, pids, sizeof(pids));
        close(a);
        close(b);
}

/* 0 is a member in another PID namespace, and to kill(2) the caller's own group. */
static void numbers_that_name_nobody_are_passed_over(void **state)
{
        static const char *const texts[] = { "0\n", "-1\n", "0\n0\n-7\n", "words\n", "\n", "" };
        struct fake *f = *state;
        const pid_t pid = sleeper();

        for (size_t i = 0; i < COUNT(texts); i++) {
                put(f->g.fd, "cgroup.procs", texts[i]);
                assert_int_equal(cgroup_signal(&f->g, SIGKILL), 0);
        }
        list_members(f->g.fd, &pid, 1, "0\nwords\n");
        assert_int_equal(cgroup_signal(&f->g, SIGKILL), 1);
        check_ended_by(pid, SIGKILL);
}

/* ---- what others have left ---- */

static pid_t dead_pid(void)
{
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        return pid;
}

static void what_the_dead_have_left_is_swept(void **state)
{
        const int dead = dead_pid(), alive = getpid();
        const struct {
                const char *format;
                int pid;
                bool swept;
        } rows[] = {
                { "sluice-%d-0", dead, true },   { "sluice-%d-17", dead, true },     { "sluice-%d-probe", dead, true },
                { "sluice-%d-0", alive, false }, { "other-%d-0", dead, false },      { "sluice%d-0", dead, false },
                { "sluice-x%d-0", dead, false }, { "sluice--%d-0", dead, false },    { "xsluice-%d-0", dead, false },
                { "sluice-%d", dead, false },    { "sluice-%d.slice", dead, false }, { "sluice-%d-member", dead, false },
        };
        struct fake *f = *state;
        char name[64];
        int swept = 0, r;

        for (size_t i = 0; i < COUNT(rows); i++) {
                int directory;

                snprintf(name, sizeof(name), rows[i].format, rows[i].pid);
                directory = below(f->g.parent, name);
                if (strstr(name, "member"))
                        put(directory, "member", "");
                close(directory);
                swept += rows[i].swept;
        }
        put(f->g.parent, "file", "");
        r = cgroup_sweep(f->base, "sluice");
        for (size_t i = 0; i < COUNT(rows); i++) {
                snprintf(name, sizeof(name), rows[i].format, rows[i].pid);
                if (is_there(f->g.parent, name) == rows[i].swept)
                        fail_msg("%s is %s", name, rows[i].swept ? "still there" : "gone");
        }
        assert_int_equal(r, swept);
        assert_int_equal(cgroup_sweep(f->base, "sluice"), 0);
        assert_int_equal(cgroup_sweep("/nowhere/at/all", "sluice"), 0);
}

/* ---- memory ---- */

static void a_limit_is_for_all_of_it_and_without_swap(void **state)
{
        struct fake *f = *state;

        put(f->g.fd, "memory.max", "max\n");
        put(f->g.fd, "memory.swap.max", "m");
        put(f->g.fd, "memory.oom.group", "0");
        assert_true(cgroup_has_memory(&f->g));
        assert_int_equal(cgroup_limit_memory(&f->g, UINT64_C(123456789012)), 0);
        check_text(f, "memory.max", "123456789012");
        check_text(f, "memory.swap.max", "0");
        check_text(f, "memory.oom.group", "1");
}

static void a_machine_without_swap_has_limits(void **state)
{
        struct fake *f = *state;

        put(f->g.fd, "memory.max", "max\n");
        put(f->g.fd, "memory.oom.group", "0");
        assert_int_equal(cgroup_limit_memory(&f->g, UINT64_MAX), 0);
        check_text(f, "memory.max", "18446744073709551615");
        assert_false(is_there(f->g.fd, "memory.swap.max"));
}

static void the_peak_is_a_number(void **state)
{
        static const struct {
                const char *text;
                uint64_t bytes;
        } rows[] = { { "0\n", 0 }, { "4096\n", 4096 }, { "18446744073709551615\n", UINT64_MAX }, { "7", 7 } };
        struct fake *f = *state;

        for (size_t i = 0; i < COUNT(rows); i++) {
                uint64_t bytes = 42;

                put(f->g.fd, "memory.peak", rows[i].text);
                assert_int_equal(cgroup_memory_peak(&f->g, &bytes), 0);
                assert_int_equal(bytes, rows[i].bytes);
        }
}

static void kills_are_counted_by_their_own_line(void **state)
{
        static const struct {
                const char *text;
                uint64_t kills;
        } rows[] = {
                { "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n", 2 },
                { "low 0\nhigh 0\nmax 12\noom 3\noom_kill 0\noom_group_kill 0\n", 0 },
                { "low 9\nhigh 9\nmax 9\noom 9\noom_kill 18446744073709551615", UINT64_MAX },
                { "low 9\nhigh 9\nmax 9\noom 9\noom_group_kill 9\n", 0 },
                { "low 9\nhigh 9\nmax 9\noom 9\n", 0 },
                { "low 9\nxoom_kill 9\n", 0 },
                { "low 9\noom_kill\n", 0 },
                { "", 0 },
        };
        struct fake *f = *state;

        for (size_t i = 0; i < COUNT(rows); i++) {
                put(f->g.fd, "memory.events", rows[i].text);
                assert_int_equal(cgroup_memory_kills(&f->g), rows[i].kills);
        }
}

static void delegation_is_a_word_in_a_file(void **state)
{
        struct fake *f = *state;

        put(f->g.fd, "cgroup.subtree_control", "");
        assert_int_equal(cgroup_delegate_memory(&f->g), 0);
        check_text(f, "cgroup.subtree_control", "+memory");
}

/* ---- what is not there ---- */

static void a_file_that_is_missing_is_said_and_nothing_is_made(void **state)
{
        struct fake *f = *state;
        uint64_t bytes = 42;

        assert_false(cgroup_has_memory(&f->g));
        assert_int_equal(cgroup_kill(&f->g), -ENOENT);
        assert_int_equal(cgroup_delegate_memory(&f->g), -ENOENT);
        assert_int_equal(cgroup_limit_memory(&f->g, 1), -ENOENT);
        assert_int_equal(cgroup_memory_peak(&f->g, &bytes), -ENOENT);
        assert_int_equal(cgroup_memory_kills(&f->g), 0);
        assert_int_equal(cgroup_signal(&f->g, SIGKILL), 0);
        assert_int_equal(bytes, 42);
        assert_int_equal(cgroup_remove(&f->g), 0); /* it is as empty as before */
}

static void a_limit_that_would_end_one_member_only_is_none(void **state)
{
        struct fake *f = *state;

        put(f->g.fd, "memory.max", "max\n");
        assert_int_equal(cgroup_limit_memory(&f->g, 1), -ENOENT); /* no memory.oom.group */
}

static void a_directory_that_has_gone_is_said(void **state)
{
        struct fake *f = *state;
        uint64_t bytes;

        assert_int_equal(cgroup_remove(&f->g), 0);
        assert_int_equal(cgroup_kill(&f->g), -ENOENT);
        assert_int_equal(cgroup_limit_memory(&f->g, 1), -ENOENT);
        assert_int_equal(cgroup_memory_peak(&f->g, &bytes), -ENOENT);
        assert_int_equal(cgroup_signal(&f->g, SIGKILL), 0);
}

/* ---- the kernel's ---- */

static void real_or_skip(struct cgroup *ret, const char *why)
{
        char path[PATH_BYTES], name[CGROUP_NAME_BYTES];
        int r = cgroup_own(path, sizeof(path));

        snprintf(name, sizeof(name), "sluice-unit-%d-%s", (int)getpid(), why);
        if (r == 0)
                r = cgroup_make(ret, path, name);
        if (r < 0) {
                print_message("skipped: no cgroup can be made here: %s\n", strerror(-r));
                skip();
        }
}

/* A member is gone a moment after it was killed. */
static void remove_patiently(struct cgroup *g)
{
        int r = -EBUSY;

        for (int ms = 0; r == -EBUSY && ms < PATIENCE_MS; ms++) {
                r = cgroup_remove(g);
                if (r == -EBUSY)
                        poll(NULL, 0, 1);
        }
        assert_int_equal(r, 0);
        cgroup_close(g);
}

static void start_in(int cgroup, struct spawn *s)
{
        static char *const argv[] = { (char *)"sleep", (char *)"600", NULL };
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        *s = (struct spawn){ .path = "/bin/sleep",
                             .argv = argv,
                             .env = environ,
                             .directory = -1,
                             .fds = { null, null, null },
                             .terminal = -1,
                             .cgroup = cgroup,
                             .pidfd = -1 };
        assert_int_equal(spawn_direct(s), 0);
        close(null);
}

static void check_gone(struct spawn *s, int signal)
{
        check_ended_by(s->pid, signal);
        close(s->pidfd);
}

static void our_own_is_a_directory_with_members(void **state)
{
        char path[PATH_BYTES], procs[PATH_BYTES + 16], tiny[2];
        int r = cgroup_own(path, sizeof(path));

        (void)state;
        if (r == -ENOENT)
                skip();
        assert_int_equal(r, 0);
        snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
        assert_int_equal(access(procs, F_OK), 0);
        assert_int_equal(cgroup_own(tiny, sizeof(tiny)), -ENAMETOOLONG);
}

static void a_real_one_ends_its_members(void **state)
{
        struct cgroup g;
        struct spawn s;

        (void)state;
        real_or_skip(&g, "kill");
        start_in(g.fd, &s);
        assert_int_equal(cgroup_remove(&g), -EBUSY);
        if (cgroup_kill(&g) == -ENOENT)
                cgroup_signal(&g, SIGKILL);
        check_gone(&s, SIGKILL);
        remove_patiently(&g);
}

static void a_real_one_signals_its_members(void **state)
{
        struct cgroup g;
        struct spawn s[2];

        (void)state;
        real_or_skip(&g, "signal");
        assert_int_equal(cgroup_signal(&g, SIGTERM), 0);
        start_in(g.fd, &s[0]);
        start_in(g.fd, &s[1]);
        kill(s[1].pid, SIGSTOP);
        assert_int_equal(cgroup_signal(&g, SIGTERM), 2);
        check_gone(&s[0], SIGTERM);
        check_gone(&s[1], SIGTERM);
        remove_patiently(&g);
}

static void real_ones_below_are_ended_and_removed(void **state)
{
        struct cgroup g, nested;
        struct spawn s;

        (void)state;
        real_or_skip(&g, "below");
        assert_int_equal(cgroup_make_below(&nested, &g, "a"), 0);
        assert_int_equal(mkdirat(nested.fd, "b", 0755), 0);
        start_in(nested.fd, &s);
        assert_int_equal(cgroup_signal(&g, SIGTERM), 1);
        check_gone(&s, SIGTERM);
        start_in(nested.fd, &s);
        if (cgroup_kill(&g) == -ENOENT)
                cgroup_signal(&g, SIGKILL);
        check_gone(&s, SIGKILL);
        cgroup_close(&nested);
        remove_patiently(&g);
}

#define FAKE_TEST(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                FAKE_TEST(made_it_is_a_directory_with_two_fds),
                FAKE_TEST(what_cannot_be_made_says_why_and_is_not_begun),
                FAKE_TEST(below_another_it_is_made_in_that),
                FAKE_TEST(closed_twice_harms_nobody),
                FAKE_TEST(it_is_removed_when_nothing_is_in_it),
                FAKE_TEST(what_its_members_made_below_is_removed_with_it),
                FAKE_TEST(kill_is_a_word_in_a_file),
                FAKE_TEST(every_member_is_signalled),
                FAKE_TEST(a_stopped_member_hears_it_too),
                FAKE_TEST(every_member_is_named_those_below_first),
                FAKE_TEST(numbers_that_name_nobody_are_passed_over),
                FAKE_TEST(what_the_dead_have_left_is_swept),
                FAKE_TEST(a_limit_is_for_all_of_it_and_without_swap),
                FAKE_TEST(a_machine_without_swap_has_limits),
                FAKE_TEST(the_peak_is_a_number),
                FAKE_TEST(kills_are_counted_by_their_own_line),
                FAKE_TEST(delegation_is_a_word_in_a_file),
                FAKE_TEST(a_file_that_is_missing_is_said_and_nothing_is_made),
                FAKE_TEST(a_limit_that_would_end_one_member_only_is_none),
                FAKE_TEST(a_directory_that_has_gone_is_said),
                cmocka_unit_test(our_own_is_a_directory_with_members),
                cmocka_unit_test(a_real_one_ends_its_members),
                cmocka_unit_test(a_real_one_signals_its_members),
                cmocka_unit_test(real_ones_below_are_ended_and_removed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
