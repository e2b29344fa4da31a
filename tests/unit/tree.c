/* tests/unit/tree.c: the descendants of a process as /proc shows them: deep, wide, of every thread, and no more than asked. */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tree.h"

enum { DEPTH = 5, WIDTH = 50, THREAD_CHILDREN = 3, CAP = 256 };

/* Children that tell their pids and stay until `hold` is closed. */
struct family {
        int said[2], hold[2];
        pid_t pids[WIDTH];
        size_t nr;
};

static void family_open(struct family *f)
{
        f->nr = 0;
        assert_int_equal(pipe(f->said), 0);
        assert_int_equal(pipe(f->hold), 0);
}

/* As a child: stays, with `below` generations under it. */
static void live(const struct family *f, int below)
{
        pid_t child;
        char c;

        close(f->hold[1]);
        do {
                const pid_t self = getpid();

                if (write(f->said[1], &self, sizeof(self)) != sizeof(self))
                        _exit(1);
                child = below-- > 0 ? fork() : -1;
        } while (child == 0);
        if (read(f->hold[0], &c, 1) == 0 && child > 0)
                waitpid(child, NULL, 0);
        _exit(0);
}

static void have_child(const struct family *f, int below)
{
        pid_t pid = fork();

        if (pid == 0)
                live(f, below);
        assert_true(pid > 0);
}

/* Waits until `nr` more of them have said that they live. */
static void meet(struct family *f, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                assert_int_equal(read(f->said[0], &f->pids[f->nr++], sizeof(pid_t)), sizeof(pid_t));
}

static void family_close(struct family *f)
{
        close(f->hold[1]);
        close(f->hold[0]);
        close(f->said[0]);
        close(f->said[1]);
        while (waitpid(-1, NULL, 0) > 0)
                continue;
}

static int place_of(const pid_t *pids, size_t nr, pid_t pid)
{
        for (size_t i = 0; i < nr; i++)
                if (pids[i] == pid)
                        return (int)i;
        return -1;
}

/* The found ones are those of the family, each of them once. */
static void check_same(const struct family *f, const pid_t *found, size_t nr)
{
        assert_int_equal(nr, f->nr);
        for (size_t i = 0; i < f->nr; i++)
                assert_true(place_of(found, nr, f->pids[i]) >= 0);
}

static void nobody_is_below_one_who_has_no_children(void **state)
{
        pid_t found[CAP];

        (void)state;
        assert_int_equal(tree_walk(0, found, CAP), 0);
        assert_int_equal(tree_children(0, found, CAP), 0);
        assert_int_equal(tree_walk(getpid(), found, CAP), 0);
}

static void a_chain_is_walked_to_its_end(void **state)
{
        struct family f;
        pid_t found[CAP];

        (void)state;
        family_open(&f);
        have_child(&f, DEPTH - 1);
        meet(&f, DEPTH);
        assert_int_equal(tree_walk(0, found, CAP), DEPTH);
        assert_memory_equal(found, f.pids, DEPTH * sizeof(pid_t)); /* parents before children */
        assert_int_equal(tree_children(0, found, CAP), 1);
        assert_int_equal(found[0], f.pids[0]);
        for (size_t i = 0; i < DEPTH; i++) {
                assert_int_equal(tree_walk(f.pids[i], found, CAP), DEPTH - 1 - i);
                assert_memory_equal(found, f.pids + i + 1, (DEPTH - 1 - i) * sizeof(pid_t));
        }
        family_close(&f);
}

static void all_of_many_children_are_found(void **state)
{
        struct family f;
        pid_t found[CAP];

        (void)state;
        family_open(&f);
        for (int i = 0; i < WIDTH; i++)
                have_child(&f, 0);
        meet(&f, WIDTH);
        check_same(&f, found, tree_walk(0, found, CAP));
        check_same(&f, found, tree_children(0, found, CAP));
        family_close(&f);
}

static void the_caller_is_root_0(void **state)
{
        struct family f;
        pid_t by_name[CAP], by_0[CAP];

        (void)state;
        family_open(&f);
        have_child(&f, 2);
        meet(&f, 3);
        assert_int_equal(tree_walk(0, by_0, CAP), 3);
        assert_int_equal(tree_walk(getpid(), by_name, CAP), 3);
        assert_memory_equal(by_0, by_name, 3 * sizeof(pid_t));
        family_close(&f);
}

static void parents_come_before_their_children(void **state)
{
        struct family f;
        pid_t found[CAP], below[CAP];
        size_t nr;

        (void)state;
        family_open(&f);
        for (int i = 0; i < 4; i++)
                have_child(&f, 3);
        meet(&f, 16);
        nr = tree_walk(0, found, CAP);
        check_same(&f, found, nr);
        for (size_t i = 0; i < nr; i++)
                for (size_t k = tree_children(found[i], below, CAP); k-- > 0;)
                        assert_true(place_of(found, nr, below[k]) > (int)i);
        family_close(&f);
}

static void the_cap_is_a_bound(void **state)
{
        enum { UNTOUCHED = -7 };
        struct family f;
        pid_t found[CAP];

        (void)state;
        family_open(&f);
        for (int i = 0; i < 5; i++)
                have_child(&f, 1);
        meet(&f, 10);
        for (size_t cap = 0; cap <= 12; cap++) {
                for (size_t i = 0; i < CAP; i++)
                        found[i] = UNTOUCHED;
                assert_int_equal(tree_walk(0, found, cap), cap < 10 ? cap : 10);
                assert_int_equal(found[cap], UNTOUCHED);
                assert_int_equal(tree_children(0, found, cap), cap < 5 ? cap : 5);
                assert_int_equal(found[cap], UNTOUCHED);
        }
        family_close(&f);
}

/* ---- threads ---- */

struct parent_thread {
        const struct family *family;
        int go[2];
        pid_t number; /* its own */
};

static void *be_parent(void *arg)
{
        struct parent_thread *t = arg;
        char c;

        t->number = gettid();
        for (int i = 0; i < THREAD_CHILDREN; i++)
                have_child(t->family, 1);
        return read(t->go[0], &c, 1) == 1 ? NULL : arg;
}

/* A thread that was joined may still have its children: only when it is no longer listed have they all moved to another. */
static void wait_until_gone(pid_t thread)
{
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/task/%d", (int)thread);
        while (access(path, F_OK) == 0)
                continue;
}

static void children_of_every_thread_are_found(void **state)
{
        struct parent_thread t;
        struct family f;
        pthread_t thread;
        pid_t found[CAP];

        (void)state;
        family_open(&f);
        t.family = &f;
        assert_int_equal(pipe(t.go), 0);
        have_child(&f, 0);
        assert_int_equal(pthread_create(&thread, NULL, be_parent, &t), 0);
        meet(&f, 1 + 2 * THREAD_CHILDREN);
        check_same(&f, found, tree_walk(0, found, CAP));
        assert_int_equal(tree_children(0, found, CAP), 1 + THREAD_CHILDREN);
        assert_int_equal(write(t.go[1], "x", 1), 1);
        pthread_join(thread, NULL);
        wait_until_gone(t.number);
        check_same(&f, found, tree_walk(0, found, CAP)); /* its children outlive the thread */
        close(t.go[0]);
        close(t.go[1]);
        family_close(&f);
}

/* ---- ends ---- */

static void the_dead_are_children_until_they_are_reaped(void **state)
{
        pid_t found[CAP], pid = fork();
        siginfo_t info;

        (void)state;
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        assert_int_equal(tree_children(0, found, CAP), 1);
        assert_int_equal(found[0], pid);
        assert_int_equal(tree_walk(0, found, CAP), 1);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(tree_walk(0, found, CAP), 0);
}

static void below_a_root_that_has_gone_is_nobody(void **state)
{
        pid_t found[CAP], pid = fork();

        (void)state;
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(tree_walk(pid, found, CAP), 0);
        assert_int_equal(tree_children(pid, found, CAP), 0);
        assert_int_equal(tree_walk(INT32_MAX, found, CAP), 0);
}

/* Whose parent has died is below whoever takes it in. */
static void an_orphan_is_below_its_subreaper(void **state)
{
        struct family f;
        pid_t found[CAP];

        (void)state;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
        family_open(&f);
        have_child(&f, 1);
        meet(&f, 2);
        assert_int_equal(kill(f.pids[0], SIGKILL), 0);
        assert_int_equal(waitpid(f.pids[0], NULL, 0), f.pids[0]);
        assert_int_equal(tree_walk(0, found, CAP), 1);
        assert_int_equal(found[0], f.pids[1]);
        family_close(&f);
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nobody_is_below_one_who_has_no_children),
                cmocka_unit_test(a_chain_is_walked_to_its_end),
                cmocka_unit_test(all_of_many_children_are_found),
                cmocka_unit_test(the_caller_is_root_0),
                cmocka_unit_test(parents_come_before_their_children),
                cmocka_unit_test(the_cap_is_a_bound),
                cmocka_unit_test(children_of_every_thread_are_found),
                cmocka_unit_test(the_dead_are_children_until_they_are_reaped),
                cmocka_unit_test(below_a_root_that_has_gone_is_nobody),
                cmocka_unit_test(an_orphan_is_below_its_subreaper),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
