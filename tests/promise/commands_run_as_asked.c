/* commands_run_as_asked.c: directory, umask, fds by number, niceness, limits, user, group and cgroup of a command are what
 * its options say, and the host's own stay as they were. */
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "parts.h"

enum { IOPRIO_PROCESS = 1, IOPRIO_IDLE = 3 << 13 };

static void says(const char *script, const struct sluice_command_options *o, const char *expected)
{
        struct sluice_pipeline *p = t_new(NULL);

        t_sh(p, script, o);
        t_says(p, expected);
}

static char *said(const char *script)
{
        struct sluice_pipeline *p = t_new(NULL);
        size_t bytes;
        char *text;

        t_sh(p, script, NULL);
        text = t_capture(p, 0, 0, &bytes);
        sluice_pipeline_free(p);
        return text;
}

static void refused(const struct sluice_command_options *o)
{
        struct sluice_pipeline *p = t_new(NULL);

        assert_int_equal(sluice_add_command(p, T_ARGV("true"), o), -EINVAL);
        assert_int_equal(sluice_pipeline_stages(p), 0);
        sluice_pipeline_free(p);
}

/* ---- directory ---- */

static void in_directories(const char *pipeline, const char *stage, const char *expected)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.directory = pipeline));
        char real[PATH_MAX];

        assert_non_null(realpath(expected, real));
        strcat(real, "\n");
        t_sh(p, "pwd -P", stage ? T_COMMAND(.directory = stage) : NULL);
        t_says(p, real);
}

static void test_directory(void **state)
{
        char before[PATH_MAX], after[PATH_MAX], one[PATH_MAX], two[PATH_MAX];

        (void)state;
        assert_non_null(getcwd(before, sizeof(before)));
        strcpy(one, t_path("one"));
        strcpy(two, t_path("two"));
        assert_return_code(mkdir(one, 0700), errno);
        assert_return_code(mkdir(two, 0700), errno);
        in_directories(NULL, NULL, before);
        in_directories(NULL, one, one);
        in_directories(one, NULL, one);
        in_directories(one, two, two);
        rmdir(one);
        rmdir(two);
        assert_non_null(getcwd(after, sizeof(after)));
        assert_string_equal(before, after);
}

/* A command named by a relative path is looked for there. */
static void test_command_in_its_directory(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.directory = "/nonexistent"));

        (void)state;
        t_make_text(t_path("tool"), "#!/bin/sh\necho found\n");
        assert_return_code(chmod(t_path("tool"), 0700), errno);
        t_ok(sluice_add_command(p, T_ARGV("./tool"), T_COMMAND(.directory = t_path(""))));
        t_says(p, "found\n");
}

/* ---- umask, niceness, limits ---- */

static void test_umask(void **state)
{
        mode_t was = umask(0022);

        (void)state;
        says("umask", NULL, "0022\n");
        says("umask", T_COMMAND(.umask = 0077), "0022\n"); /* without the flag it does not count */
        says("umask", T_COMMAND(.flags = SLUICE_COMMAND_UMASK, .umask = 0027), "0027\n");
        says("umask", T_COMMAND(.flags = SLUICE_COMMAND_UMASK), "0000\n");
        assert_int_equal(umask(was), 0022);
}

static void test_nice(void **state)
{
        char expected[16];
        int host = getpriority(PRIO_PROCESS, 0);

        (void)state;
        snprintf(expected, sizeof(expected), "%d\n", host + 5 < 19 ? host + 5 : 19);
        says("nice", T_COMMAND(.nice = 5), expected);
        assert_int_equal(getpriority(PRIO_PROCESS, 0), host);
}

static char self[PATH_MAX];

/* This program, as a command that says its own. */
static int say_ioprio(void)
{
        printf("%ld\n", syscall(SYS_ioprio_get, IOPRIO_PROCESS, 0));
        return 0;
}

static void test_ioprio(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        long host = syscall(SYS_ioprio_get, IOPRIO_PROCESS, 0);
        char expected[16];

        (void)state;
        snprintf(expected, sizeof(expected), "%d\n", (int)IOPRIO_IDLE);
        t_ok(sluice_add_command(p, T_ARGV(self, "ioprio"), T_COMMAND(.ioprio = IOPRIO_IDLE)));
        t_says(p, expected);
        assert_int_equal(syscall(SYS_ioprio_get, IOPRIO_PROCESS, 0), host);
}

static void test_rlimits(void **state)
{
        const struct sluice_command_rlimit limits[] = { { RLIMIT_NOFILE, 64, 128 }, { RLIMIT_CORE, 0, 0 } },
                                           upside_down = { RLIMIT_NOFILE, 128, 64 };
        struct rlimit before, after;

        (void)state;
        getrlimit(RLIMIT_NOFILE, &before);
        says("ulimit -S -n; ulimit -H -n; ulimit -c", T_COMMAND(.rlimits = limits, .rlimits_nr = 2), "64\n128\n0\n");
        getrlimit(RLIMIT_NOFILE, &after);
        assert_int_equal(before.rlim_cur, after.rlim_cur);
        assert_int_equal(before.rlim_max, after.rlim_max);
        refused(T_COMMAND(.rlimits = &upside_down, .rlimits_nr = 1));
        refused(T_COMMAND(.rlimits = limits, .rlimits_nr = 17));
}

/* ---- fds ---- */

static int open_text(const char *name, const char *text)
{
        t_make_text(t_path(name), text);
        return open(t_path(name), O_RDONLY | O_CLOEXEC);
}

static void test_fds(void **state)
{
        int a = open_text("a", "A"), b = open_text("b", "B");
        const struct sluice_command_fd fds[] = { { a, 7 }, { b, 3 }, { a, 200 } };

        (void)state;
        says("cat <&7; cat <&3; cat /proc/self/fd/200", T_COMMAND(.fds = fds, .fds_nr = T_NR(fds)), "ABA");
        assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(b, F_GETFD), FD_CLOEXEC);
        close(a);
        close(b);
}

/* Two that change places, and one that takes a number which the host has in use. */
static void test_fds_change_places(void **state)
{
        int a = open_text("a", "A"), b = open_text("b", "B");
        const struct sluice_command_fd fds[] = { { a, b }, { b, a } };
        char script[128];

        (void)state;
        snprintf(script, sizeof(script), "cat /proc/self/fd/%d /proc/self/fd/%d", a, b);
        says(script, T_COMMAND(.fds = fds, .fds_nr = T_NR(fds)), "BA");
        close(a);
        close(b);
}

/* The pipe is the command's alone: its end is seen when the command ends. */
static void test_fd_is_a_pipe(void **state)
{
        struct sluice_pipeline *p = t_new(NULL);
        char text[8];
        int out[2];

        (void)state;
        t_pipe(out);
        t_sh(p, "printf status >&9", T_COMMAND(.fds = &(const struct sluice_command_fd){ out[1], 9 }, .fds_nr = 1));
        t_run_free(p, 0);
        close(out[1]);
        assert_int_equal(read(out[0], text, sizeof(text)), 6);
        assert_memory_equal(text, "status", 6);
        assert_int_equal(read(out[0], text, sizeof(text)), 0);
        close(out[0]);
}

/* Nothing else is handed down: nothing of the library's, that is. */
static void test_no_other_fds(void **state)
{
        int a = open_text("a", "A");

        (void)state;
        for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
                if (fcntl(fd, F_GETFD) == 0)
                        fcntl(fd, F_SETFD, FD_CLOEXEC);
        says("ls /proc/$$/fd; true", NULL, "0\n1\n2\n");
        says("ls /proc/$$/fd; true", T_COMMAND(.fds = &(const struct sluice_command_fd){ a, 5 }, .fds_nr = 1), "0\n1\n2\n5\n");
        close(a);
}

static void test_fds_that_cannot_be(void **state)
{
        static const struct sluice_command_fd low = { 0, 2 }, negative = { -1, 3 }, twice[] = { { 0, 3 }, { 1, 3 } };
        struct sluice_command_fd many[33];

        (void)state;
        for (size_t i = 0; i < T_NR(many); i++)
                many[i] = (struct sluice_command_fd){ 0, (int)i + 3 };
        refused(T_COMMAND(.fds = &low, .fds_nr = 1));
        refused(T_COMMAND(.fds = &negative, .fds_nr = 1));
        refused(T_COMMAND(.fds = twice, .fds_nr = 2));
        refused(T_COMMAND(.fds = many, .fds_nr = T_NR(many)));
}

/* ---- user and group ---- */

static void need_root(void)
{
        if (geteuid() != 0 || !getpwnam("nobody"))
                skip();
}

static void test_user(void **state)
{
        const struct passwd *nobody;
        char number[16], *expected;

        (void)state;
        need_root();
        nobody = getpwnam("nobody");
        snprintf(number, sizeof(number), "%u", (unsigned)nobody->pw_uid);
        expected = said("id -u nobody; id -g nobody; id -G nobody");
        says("id -u; id -g; id -G", T_COMMAND(.user = "nobody"), expected);
        says("id -u; id -g; id -G", T_COMMAND(.user = number), expected);
        free(expected);
        assert_int_equal(geteuid(), 0);
}

static void test_group(void **state)
{
        const struct group *daemon = getgrnam("daemon");
        char expected[64];

        (void)state;
        need_root();
        if (!daemon)
                skip();
        snprintf(expected, sizeof(expected), "%u\n%u\n", (unsigned)getpwnam("nobody")->pw_uid, (unsigned)daemon->gr_gid);
        says("id -u; id -g", T_COMMAND(.user = "nobody", .group = "daemon"), expected);
        snprintf(expected, sizeof(expected), "0\n%u\n", (unsigned)daemon->gr_gid);
        says("id -u; id -g", T_COMMAND(.group = "daemon"), expected);
        assert_int_equal(getegid(), 0);
}

/* Nothing of root's is left to get back to. */
static void test_user_is_for_good(void **state)
{
        char expected[128];
        unsigned uid;

        (void)state;
        need_root();
        uid = (unsigned)getpwnam("nobody")->pw_uid;
        snprintf(expected, sizeof(expected), "%u %u %u %u\n0000000000000000\n0000000000000000\n", uid, uid, uid, uid);
        says("sed -n -E 's/^(Uid|CapPrm|CapEff):.//p' /proc/self/status | tr '\t' ' '", T_COMMAND(.user = "nobody"), expected);
}

/* ---- all at once ---- */

static void test_together(void **state)
{
        int a = open_text("a", "A");
        const struct sluice_command_rlimit limit = { RLIMIT_NOFILE, 32, 32 };
        const struct sluice_command_fd fd = { a, 4 };

        (void)state;
        says("pwd; umask; ulimit -n; cat <&4; echo $T_A",
             T_COMMAND(.directory = "/", .flags = SLUICE_COMMAND_UMASK, .umask = 0111, .rlimits = &limit, .rlimits_nr = 1,
                       .fds = &fd, .fds_nr = 1, .nice = 1, .changes = T_ENV(T_SET("T_A", "last")), .changes_nr = 1),
             "/\n0111\n32\nAlast\n");
        close(a);
}

/* ---- cgroup ---- */

/* Where cgroup v2 is, and whether we may make one there. */
static bool make_cgroup(char *path, size_t cap)
{
        FILE *mounts = fopen("/proc/self/mounts", "re");
        char line[512], where[256], type[64];
        bool made = false;

        while (!made && mounts && fgets(line, sizeof(line), mounts)) {
                if (sscanf(line, "%*s %255s %63s", where, type) != 2 || strcmp(type, "cgroup2") != 0)
                        continue;
                snprintf(path, cap, "%s/sluice-test-%d", where, (int)getpid());
                made = mkdir(path, 0755) == 0;
        }
        if (mounts)
                fclose(mounts);
        return made;
}

static void test_cgroup(void **state)
{
        char path[512], expected[64];

        (void)state;
        if (!make_cgroup(path, sizeof(path)))
                skip();
        snprintf(expected, sizeof(expected), "sluice-test-%d\n", (int)getpid());
        says("sed -n 's|^0::.*/||p' /proc/self/cgroup", T_COMMAND(.cgroup = path), expected);
        assert_return_code(rmdir(path), errno);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                T_TEST(test_directory),
                T_TEST(test_command_in_its_directory),
                T_TEST(test_umask),
                T_TEST(test_nice),
                T_TEST(test_ioprio),
                T_TEST(test_rlimits),
                T_TEST(test_fds),
                T_TEST(test_fds_change_places),
                T_TEST(test_fd_is_a_pipe),
                T_TEST(test_no_other_fds),
                T_TEST(test_fds_that_cannot_be),
                T_TEST(test_user),
                T_TEST(test_group),
                T_TEST(test_user_is_for_good),
                T_TEST(test_together),
                T_TEST(test_cgroup),
        };

        if (argc > 1 && strcmp(argv[1], "ioprio") == 0)
                return say_ioprio();
        if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
