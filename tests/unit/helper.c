/* tests/unit/helper.c: what a task does, how a search goes through PATH, and tasks that wait, run or are cancelled. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper.h"

/* ---- a folder with something to find ---- */

static char dir[64], start_dir[4096];

static const char *path_to(const char *name)
{
        static char path[8][128];
        static unsigned next;

        next = (next + 1) % 8;
        snprintf(path[next], sizeof(path[next]), "%s/%s", dir, name);
        return path[next];
}

static void make_file(const char *name, mode_t mode)
{
        int fd = open(path_to(name), O_CREAT | O_WRONLY | O_CLOEXEC, mode);

        assert_true(fd >= 0);
        close(fd);
}

static int set_up(void **state)
{
        (void)state;
        snprintf(dir, sizeof(dir), "/tmp/sluice-helper-XXXXXX");
        if (!mkdtemp(dir) || !getcwd(start_dir, sizeof(start_dir)))
                return -1;
        mkdir(path_to("a"), 0755);
        mkdir(path_to("b"), 0755);
        mkdir(path_to("a/tool-dir"), 0755);
        make_file("a/plain", 0644);
        make_file("b/plain", 0755);
        make_file("a/only-plain", 0644);
        make_file("a/both", 0755);
        make_file("b/both", 0755);
        make_file("b/tool-dir", 0755);
        for (int i = 0; i < HELPER_THREADS; i++)
                mkfifo(path_to((const char *[]){ "f0", "f1", "f2", "f3" }[i]), 0600);
        return 0;
}

static int tear_down(void **state)
{
        static const char *const files[] = { "a/plain",    "b/plain", "a/only-plain", "a/both", "b/both",
                                             "b/tool-dir", "f0",      "f1",           "f2",     "f3" };

        (void)state;
        if (chdir(start_dir) < 0)
                return -1;
        for (size_t i = 0; i < COUNT(files); i++)
                unlink(path_to(files[i]));
        rmdir(path_to("a/tool-dir"));
        rmdir(path_to("a"));
        rmdir(path_to("b"));
        return rmdir(dir);
}

/* ---- the search ---- */

static void expect_found(const char *file, const char *path, const char *where)
{
        struct op op = { .kind = OP_FIND, .find = { .file = file, .path = path } };
        int r = helper_perform(&op);

        if (r != 0)
                fail_msg("'%s' in '%s': %d", file, path ? path : "(none)", r);
        assert_string_equal(op.find.ret, where);
        free(op.find.ret);
}

static void expect_missing(const char *file, const char *path, int error)
{
        struct op op = { .kind = OP_FIND, .find = { .file = file, .path = path } };
        int r = helper_perform(&op);

        if (r != error)
                fail_msg("'%s' in '%s': %d, not %d", file, path ? path : "(none)", r, error);
        assert_null(op.find.ret);
}

static void the_first_that_may_run_is_found(void **state)
{
        char path[256];

        (void)state;
        snprintf(path, sizeof(path), "%s:%s", path_to("a"), path_to("b"));
        expect_found("both", path, path_to("a/both"));
        expect_found("plain", path, path_to("b/plain"));
        expect_found("tool-dir", path, path_to("b/tool-dir"));
        snprintf(path, sizeof(path), "/nowhere:%s", path_to("b"));
        expect_found("both", path, path_to("b/both"));
}

static void without_a_path_there_is_a_usual_one(void **state)
{
        (void)state;
        expect_found("sh", NULL, "/usr/bin/sh");
        expect_found("sh", "", "/usr/bin/sh");
}

static void an_empty_entry_is_the_current_folder(void **state)
{
        (void)state;
        assert_int_equal(chdir(path_to("a")), 0);
        expect_found("both", ":/nowhere", "./both");
        expect_found("both", "/nowhere:", "./both");
        expect_found("both", "/nowhere::/nowhere", "./both");
        expect_missing("plain", ":", -EACCES);
        assert_int_equal(chdir(start_dir), 0);
}

static void a_slash_means_a_path(void **state)
{
        (void)state;
        expect_found(path_to("a/both"), "/nowhere", path_to("a/both"));
        expect_missing(path_to("a/plain"), path_to("b"), -EACCES);
        expect_missing(path_to("a/none"), path_to("b"), -ENOENT);
        assert_int_equal(chdir(dir), 0);
        expect_found("a/both", path_to("b"), "a/both");
        expect_found("./b/both", path_to("a"), "./b/both");
        assert_int_equal(chdir(start_dir), 0);
}

static void what_may_not_run_is_told_from_what_is_not_there(void **state)
{
        char path[256];

        (void)state;
        expect_missing("only-plain", path_to("a"), -EACCES);
        snprintf(path, sizeof(path), "%s:/nowhere", path_to("a"));
        expect_missing("only-plain", path, -EACCES);
        expect_missing("no-such-tool-anywhere", path, -ENOENT);
        expect_missing("tool-dir", path_to("a"), -EACCES);
        expect_missing("both", "/nowhere:/dev/null", -ENOENT);
}

/* As execvp() has it. */
static void no_name_is_not_there(void **state)
{
        (void)state;
        expect_missing("", path_to("a"), -ENOENT);
}

static void a_path_too_long_is_passed_over(void **state)
{
        char *path = malloc(20000);

        (void)state;
        memset(path, 'x', 10000);
        snprintf(path + 10000, 1000, ":%s", path_to("a"));
        path[0] = '/';
        expect_found("both", path, path_to("a/both"));
        memset(path, 'x', 19999);
        path[19999] = '\0';
        expect_missing(path, "/tmp", -ENOENT);
        free(path);
}

/* ---- the other tasks ---- */

static void files_are_opened_named_and_removed(void **state)
{
        struct op op = { .kind = OP_OPEN, .open = { .path = path_to("a/none"), .flags = O_RDONLY } };
        struct slot s;
        struct stat st;

        (void)state;
        assert_int_equal(helper_perform(&op), -ENOENT);
        op.open.path = path_to("x");
        op.open.flags = O_WRONLY | O_CREAT;
        op.open.mode = 0600;
        s.fd = helper_perform(&op);
        assert_true(s.fd >= 0);
        assert_true(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
        op = (struct op){ .kind = OP_TRUNCATE, .in = &s, .truncate = { .length = 12345 } };
        assert_int_equal(helper_perform(&op), 0);
        assert_int_equal(fstat(s.fd, &st), 0);
        assert_int_equal(st.st_size, 12345);
        op = (struct op){ .kind = OP_FSYNC, .in = &s };
        assert_int_equal(helper_perform(&op), 0);
        op = (struct op){ .kind = OP_RENAME, .name = { .from = path_to("x"), .to = path_to("y") } };
        assert_int_equal(helper_perform(&op), 0);
        assert_int_equal(helper_perform(&op), -ENOENT);
        op = (struct op){ .kind = OP_UNLINK, .name = { .from = path_to("y") } };
        assert_int_equal(helper_perform(&op), 0);
        op = (struct op){ .kind = OP_CLOSE, .close = { .fd = s.fd } };
        assert_int_equal(helper_perform(&op), 0);
        assert_int_equal(helper_perform(&op), -EBADF);
        op = (struct op){ .kind = OP_POLL };
        assert_int_equal(helper_perform(&op), -ENOSYS);
}

static void an_unnamed_file_gets_its_name(void **state)
{
        struct slot s = { .fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600) };
        struct op op = { .kind = OP_LINK, .in = &s, .name = { .to = path_to("whole") } };

        (void)state;
        if (s.fd < 0)
                skip();
        assert_int_equal(helper_perform(&op), 0);
        assert_int_equal(helper_perform(&op), -EEXIST);
        assert_int_equal(unlink(path_to("whole")), 0);
        close(s.fd);
}

/* ---- threads ---- */

static int bell;

static void wake(void *arg)
{
        const uint64_t one = 1;

        (void)arg;
        if (write(bell, &one, sizeof(one)) < 0)
                abort();
}

static struct op *reap(struct helper *h, int patience_ms)
{
        struct pollfd f = { .fd = bell, .events = POLLIN };
        struct op *op;
        uint64_t n;

        while (!(op = helper_reap(h))) {
                if (poll(&f, 1, patience_ms) <= 0)
                        return NULL;
                assert_int_equal(read(bell, &n, sizeof(n)), sizeof(n));
        }
        return op;
}

static struct helper *helper(void)
{
        struct helper *h;

        bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(bell >= 0);
        assert_int_equal(helper_new(&h, wake, NULL), 0);
        return h;
}

static struct op open_fifo(const char *name, int flags)
{
        return (struct op){ .kind = OP_OPEN, .open = { .path = path_to(name), .flags = flags } };
}

static struct op find_sh(void)
{
        return (struct op){ .kind = OP_FIND, .find = { .file = "sh", .path = NULL } };
}

static void a_queued_task_is_cancelled_and_a_running_one_not(void **state)
{
        static const char *const names[] = { "f0", "f1", "f2", "f3" };
        struct op waits[HELPER_THREADS], queued = find_sh();
        struct helper *h = helper();
        int fds[HELPER_THREADS];

        (void)state;
        for (int i = 0; i < HELPER_THREADS; i++) {
                waits[i] = open_fifo(names[i], O_RDONLY);
                assert_int_equal(helper_submit(h, &waits[i], HELPER_THREADS), 0);
        }
        assert_int_equal(helper_submit(h, &queued, HELPER_THREADS), 0);
        assert_true(helper_cancel(h, &queued)); /* behind as many as there are threads, and all of them wait */
        for (int i = 0; i < HELPER_THREADS; i++) {
                fds[i] = open(path_to(names[i]), O_RDWR | O_CLOEXEC);
                assert_true(fds[i] >= 0);
        }
        for (int i = 0; i < HELPER_THREADS; i++) {
                struct op *op = reap(h, PATIENCE_MS);

                assert_non_null(op);
                assert_true(op >= &waits[0] && op < &waits[HELPER_THREADS]);
                assert_true(op->res >= 0);
                assert_false(helper_cancel(h, op));
                close(op->res);
        }
        assert_null(helper_reap(h));
        assert_null(queued.find.ret);
        for (int i = 0; i < HELPER_THREADS; i++)
                close(fds[i]);
        helper_free(h);
        close(bell);
}

/* A task never waits behind another while fewer than HELPER_THREADS are at work: here each waits for the other. */
static void tasks_that_wait_for_each_other_both_run(void **state)
{
        bool failed = false;

        (void)state;
        for (int round = 0; round < 50 && !failed; round++) {
                struct op first = find_sh(), rd = open_fifo("f0", O_RDONLY), wr = open_fifo("f0", O_WRONLY);
                struct helper *h = helper();
                int both = -1;

                assert_int_equal(helper_submit(h, &first, HELPER_THREADS), 0);
                assert_ptr_equal(reap(h, PATIENCE_MS), &first);
                free(first.find.ret);
                usleep(1000); /* its thread is idle by now, or nearly */
                assert_int_equal(helper_submit(h, &rd, HELPER_THREADS), 0);
                assert_int_equal(helper_submit(h, &wr, HELPER_THREADS), 0);
                for (int n = 0; n < 2; n++) {
                        struct op *op = reap(h, both < 0 ? 2000 : PATIENCE_MS);

                        if (!op) {
                                failed = true;
                                both = open(path_to("f0"), O_RDWR | O_CLOEXEC);
                                op = reap(h, PATIENCE_MS);
                        }
                        close(op->res);
                }
                if (both >= 0)
                        close(both);
                helper_free(h);
                close(bell);
        }
        if (failed)
                fail_msg("one thread had both tasks, the second behind the first");
}

static void many_tasks_all_come_back_once(void **state)
{
        enum { MANY = 200 };
        static struct op ops[MANY];
        struct helper *h = helper();

        (void)state;
        for (int i = 0; i < MANY; i++) {
                ops[i] = find_sh();
                assert_int_equal(helper_submit(h, &ops[i], HELPER_THREADS), 0);
        }
        for (int i = 0; i < MANY; i++) {
                struct op *op = reap(h, PATIENCE_MS);

                assert_non_null(op);
                assert_int_equal(op->res, 0);
                assert_string_equal(op->find.ret, "/usr/bin/sh");
                free(op->find.ret);
                op->find.ret = NULL;
                op->tag++;
        }
        for (int i = 0; i < MANY; i++)
                assert_int_equal(ops[i].tag, 1);
        assert_null(helper_reap(h));
        helper_free(h);
        helper_free(NULL);
        close(bell);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_that_may_run_is_found),
                cmocka_unit_test(without_a_path_there_is_a_usual_one),
                cmocka_unit_test(an_empty_entry_is_the_current_folder),
                cmocka_unit_test(a_slash_means_a_path),
                cmocka_unit_test(what_may_not_run_is_told_from_what_is_not_there),
                cmocka_unit_test(no_name_is_not_there),
                cmocka_unit_test(a_path_too_long_is_passed_over),
                cmocka_unit_test(files_are_opened_named_and_removed),
                cmocka_unit_test(an_unnamed_file_gets_its_name),
                cmocka_unit_test(a_queued_task_is_cancelled_and_a_running_one_not),
                cmocka_unit_test(tasks_that_wait_for_each_other_both_run),
                cmocka_unit_test(many_tasks_all_come_back_once),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
