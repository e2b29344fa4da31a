/* tests/unit/guard.c: the guard: whose children commands are, what it tells of them, and that all of it ends with its host.
 * Nothing is waited for but by poll(2), on the guard's socket or on the pidfd of who is to end. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard.h"

enum { ARGV_MAX = 200, STRING_BYTES = 64 << 10, MIB = 1 << 20, BARRIER = 0x7fff };

static uint64_t id_of(uint64_t batch, unsigned member)
{
        return batch << GUARD_MEMBER_BITS | member;
}

/* ---- this process ---- */

static int fds_nr(void)
{
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static bool has_children(void)
{
        siginfo_t info;

        return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

static int pidfd_of(pid_t pid)
{
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);

        assert_true(fd >= 0);
        return fd;
}

static void wait_readable(int fd, const char *for_what)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (poll(&p, 1, PATIENCE_MS) != 1)
                fail_msg("waited in vain for %s", for_what);
}

static bool is_over(int pidfd)
{
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) == 1;
}

static void check_ends(int pidfd, const char *who)
{
        wait_readable(pidfd, who);
        close(pidfd);
}

static pid_t parent_of(pid_t pid)
{
        char path[64];
        int parent = -1;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = fopen(path, "re");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%*d (%*[^)]) %*c %d", &parent), 1);
        fclose(f);
        return parent;
}

/* ---- a command ---- */

struct command {
        struct spawn spec;
        char *argv[ARGV_MAX];
        int out; /* what it says; -1 */
};

static void command_close(struct command *c)
{
        for (int i = 0; i < 3; i++)
                close(c->spec.fds[i]);
}

static void command_init(struct command *c, uint64_t id, const char *path)
{
        *c = (struct command){ .argv = { (char *)(uintptr_t)path }, .out = -1 };
        c->spec = (struct spawn){
                .path = path, .argv = c->argv, .env = environ, .directory = -1, .terminal = -1, .cgroup = -1, .id = id, .pidfd = -1
        };
        for (int i = 0; i < 3; i++) {
                c->spec.fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
                assert_true(c->spec.fds[i] > STDERR_FILENO);
        }
}

static void command_shell(struct command *c, uint64_t id, const char *script)
{
        command_init(c, id, "/bin/sh");
        c->argv[1] = (char *)"-c";
        c->argv[2] = (char *)(uintptr_t)script;
}

static void command_heard(struct command *c)
{
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        close(c->spec.fds[1]);
        c->spec.fds[1] = fds[1];
        c->out = fds[0];
}

static int command_start(struct guard *g, struct command *c)
{
        int r = guard_spawn(g, &c->spec);

        command_close(c);
        return r;
}

static void start(struct guard *g, struct command *c)
{
        int r = command_start(g, c);

        if (r < 0)
                fail_msg("%s: %s: %s", c->argv[2] ? c->argv[2] : c->argv[0], spawn_step_name(c->spec.failed), strerror(-r));
        assert_true(c->spec.pid > 0);
        assert_true(fcntl(c->spec.pidfd, F_GETFD) & FD_CLOEXEC);
}

static pid_t read_pid(int fd)
{
        char text[32] = "";
        size_t n = 0;

        while (n + 1 < sizeof(text) && read(fd, text + n, 1) == 1 && text[n] != '\n')
                n++;
        assert_true(atoi(text) > 0);
        return atoi(text);
}

/* ---- a guard ---- */

static struct guard *current; /* of a test that has not come to its end */

static struct guard *guard_begin(void)
{
        assert_int_equal(guard_new(&current, false), 0);
        return current;
}

static void guard_end(struct guard *g)
{
        guard_free(g);
        current = NULL;
}

/* The next event, which is of that kind and of that command. */
static struct guard_event next(struct guard *g, enum guard_event_kind kind, uint64_t id)
{
        struct guard_event e = { 0 };
        int r;

        while ((r = guard_next(g, &e)) == 0)
                wait_readable(guard_fd(g), "an event");
        assert_int_equal(r, 1);
        assert_int_equal(e.kind, kind);
        if (kind != GUARD_EMPTY)
                assert_int_equal(e.id, id);
        return e;
}

/* What was told before has been done: requests are served in order. */
static void barrier(struct guard *g)
{
        int member, error;
        enum spawn_step step;

        assert_int_equal(guard_confirm(g, BARRIER, &member, &error, &step), 0);
}

static void no_event(struct guard *g)
{
        struct guard_event e;

        barrier(g);
        assert_int_equal(guard_next(g, &e), 0);
}

static void kill_all(struct guard *g)
{
        assert_int_equal(guard_tell(g, GUARD_KILL, 0, 0), 0);
}

/* What a test leaves is its failure. One that has failed is tidied up behind, so that the next one begins anew. */
static int fds_before;

static int begin_test(void **state)
{
        (void)state;
        fds_before = fds_nr();
        return 0;
}

static void tidy_up(void)
{
        kill(guard_pid(current), SIGKILL);
        guard_end(current);
        while (waitpid(-1, NULL, WNOHANG) > 0)
                continue;
}

static int end_test(void **state)
{
        (void)state;
        if (current) {
                tidy_up();
                return 0;
        }
        if (fds_nr() != fds_before)
                print_error("%d fds, %d before\n", fds_nr(), fds_before);
        if (has_children())
                print_error("children are left\n");
        return fds_nr() != fds_before || has_children();
}

/* ---- life ---- */

static void started_and_freed_it_leaves_nothing(void **state)
{
        (void)state;
        for (int i = 0; i < 20; i++) {
                struct guard *g = guard_begin();
                int pidfd = pidfd_of(guard_pid(g));

                assert_true(guard_fd(g) > STDERR_FILENO);
                if (i % 2)
                        barrier(g);
                guard_end(g);
                assert_true(is_over(pidfd));
                assert_false(has_children());
                close(pidfd);
        }
        guard_free(NULL);
}

static void its_commands_are_not_our_children(void **state)
{
        struct guard *g = guard_begin();
        struct command c;

        (void)state;
        command_shell(&c, id_of(1, 0), "exec sleep 600");
        start(g, &c);
        assert_int_equal(parent_of(c.spec.pid), guard_pid(g));
        if (getpgrp() > 0) /* else it is of an outer PID namespace, and cannot be joined */
                assert_int_equal(getpgid(c.spec.pid), getpgrp());
        assert_int_equal(waitpid(c.spec.pid, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        kill_all(g);
        next(g, GUARD_EXITED, id_of(1, 0));
        next(g, GUARD_EMPTY, 0);
        close(c.spec.pidfd);
        guard_end(g);
}

/* ---- events ---- */

static void how_a_command_ended_is_told(void **state)
{
        static const struct {
                const char *script;
                int exit_status, signal;
        } rows[] = {
                { "exit 0", 0, 0 },
                { "exit 7", 7, 0 },
                { "exit 255", 255, 0 },
                { "kill -9 $$", 0, SIGKILL },
                { "kill -15 $$", 0, SIGTERM },
                { "kill -13 $$", 0, SIGPIPE },
        };
        struct guard *g = guard_begin();

        (void)state;
        for (size_t i = 0; i < COUNT(rows); i++) {
                struct guard_event e;
                struct command c;

                command_shell(&c, id_of(i + 1, 3), rows[i].script);
                start(g, &c);
                e = next(g, GUARD_EXITED, id_of(i + 1, 3));
                assert_int_equal(e.exit_status, rows[i].exit_status);
                assert_int_equal(e.signal, rows[i].signal);
                assert_true(e.empty);
                assert_true(e.max_rss_bytes > 64 << 10);
                check_ends(c.spec.pidfd, "the command");
        }
        no_event(g);
        guard_end(g);
}

static void a_stop_and_its_end_are_told(void **state)
{
        struct guard *g = guard_begin();
        struct guard_event e;
        struct command c;

        (void)state;
        command_shell(&c, id_of(1, 0), "kill -STOP $$; exec sleep 600");
        start(g, &c);
        e = next(g, GUARD_STOPPED, id_of(1, 0));
        assert_int_equal(e.signal, SIGSTOP);
        no_event(g);
        kill(c.spec.pid, SIGCONT);
        next(g, GUARD_CONTINUED, id_of(1, 0));
        kill(c.spec.pid, SIGTERM);
        assert_int_equal(next(g, GUARD_EXITED, id_of(1, 0)).signal, SIGTERM);
        close(c.spec.pidfd);
        guard_end(g);
}

/* ---- many at once ---- */

static void several_are_begun_and_confirmed_together(void **state)
{
        enum { SEVERAL = 40 }; /* more than are kept unanswered */
        struct command *c = calloc(SEVERAL, sizeof(*c));
        struct guard *g = guard_begin();
        bool seen[SEVERAL] = { false };
        char scripts[SEVERAL][16];
        enum spawn_step step;
        int member, error;

        (void)state;
        for (unsigned i = 0; i < SEVERAL; i++) {
                snprintf(scripts[i], sizeof(scripts[i]), "exit %u", i);
                command_shell(&c[i], id_of(5, i), scripts[i]);
                c[i].spec.async = true;
                assert_int_equal(command_start(g, &c[i]), 0);
        }
        assert_int_equal(guard_confirm(g, 5, &member, &error, &step), 0);
        for (unsigned i = 0; i < SEVERAL; i++) {
                struct guard_event e = { 0 };

                assert_int_equal(c[i].spec.error, 0);
                assert_true(c[i].spec.pid > 0);
                check_ends(c[i].spec.pidfd, "a command");
                while (guard_next(g, &e) == 0)
                        wait_readable(guard_fd(g), "an event");
                assert_int_equal(e.kind, GUARD_EXITED);
                assert_int_equal(id_of(5, (unsigned)e.exit_status), e.id);
                assert_false(seen[e.exit_status]);
                seen[e.exit_status] = true;
        }
        no_event(g);
        guard_end(g);
        free(c);
}

struct starter {
        pthread_t thread;
        struct guard *guard;
        unsigned batch;
        int error;
};

static void *start_many(void *arg)
{
        enum { EACH = 10 };
        struct starter *s = arg;

        for (unsigned i = 0; i < EACH && s->error == 0; i++) {
                struct command c;

                command_shell(&c, id_of(s->batch, i), "exit 0");
                s->error = command_start(s->guard, &c);
                if (s->error == 0)
                        close(c.spec.pidfd);
        }
        return NULL;
}

static void threads_may_start_side_by_side(void **state)
{
        enum { THREADS = 4, ALL = THREADS * 10 };
        struct guard *g = guard_begin();
        struct starter s[THREADS];

        (void)state;
        for (unsigned i = 0; i < THREADS; i++) {
                s[i] = (struct starter){ .guard = g, .batch = i + 1 };
                assert_int_equal(pthread_create(&s[i].thread, NULL, start_many, &s[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
                pthread_join(s[i].thread, NULL);
                assert_int_equal(s[i].error, 0);
        }
        for (int i = 0; i < ALL; i++) {
                struct guard_event e = { 0 };

                while (guard_next(g, &e) == 0)
                        wait_readable(guard_fd(g), "an event");
                assert_int_equal(e.kind, GUARD_EXITED);
                assert_int_equal(e.exit_status + e.signal, 0);
        }
        no_event(g);
        guard_end(g);
}

/* ---- starts that fail ---- */

static void make_script(char *path, const char *text)
{
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        fchmod(fd, 0700);
        close(fd);
}

#define SCRIPT_PATH                "/tmp/sluice-guard-XXXXXX"
#define SCRIPT_WITHOUT_INTERPRETER "#!/nowhere/at/all\n"

static void a_failed_start_names_its_step(void **state)
{
        char script[] = SCRIPT_PATH;
        const struct {
                const char *path;
                int error;
        } rows[] = { { "/nowhere/at/all", -ENOENT }, { "/etc/passwd", -EACCES }, { "/tmp", -EACCES }, { script, -ENOENT } };
        struct guard *g = guard_begin();

        (void)state;
        make_script(script, SCRIPT_WITHOUT_INTERPRETER);
        for (size_t i = 0; i < COUNT(rows); i++) {
                struct command c;

                command_init(&c, id_of(i + 1, 0), rows[i].path);
                assert_int_equal(command_start(g, &c), rows[i].error);
                assert_int_equal(c.spec.failed, SPAWN_EXEC);
                assert_int_equal(c.spec.pidfd, -1);
        }
        unlink(script);
        assert_int_equal(guard_tell(g, GUARD_TELL, 0, 0), 0);
        next(g, GUARD_EMPTY, 0); /* and no other event */
        guard_end(g);
}

static void one_that_failed_is_told_by_confirm(void **state)
{
        char script[] = SCRIPT_PATH;
        struct guard *g = guard_begin();
        struct command good, bad;
        enum spawn_step step;
        int member, error;

        (void)state;
        make_script(script, SCRIPT_WITHOUT_INTERPRETER);
        command_shell(&good, id_of(9, 1), "exit 4");
        command_init(&bad, id_of(9, 2), script);
        good.spec.async = bad.spec.async = true;
        assert_int_equal(command_start(g, &good), 0);
        assert_int_equal(command_start(g, &bad), 0);
        assert_int_equal(guard_confirm(g, 8, &member, &error, &step), 0); /* another batch */
        assert_int_equal(guard_confirm(g, 9, &member, &error, &step), 1);
        assert_int_equal(member, 2);
        assert_int_equal(error, -ENOENT);
        assert_int_equal(step, SPAWN_EXEC);
        assert_int_equal(guard_confirm(g, 9, &member, &error, &step), 0);
        assert_int_equal(next(g, GUARD_EXITED, id_of(9, 1)).exit_status, 4);
        no_event(g);
        unlink(script);
        close(good.spec.pidfd);
        close(bad.spec.pidfd);
        guard_end(g);
}

static void each_that_failed_is_told_by_confirm(void **state)
{
        enum { SEVERAL = 3 };
        static const char *const paths[SEVERAL] = { "/nowhere/at/all", "/etc/passwd", "/tmp" };
        static const int errors[SEVERAL] = { -ENOENT, -EACCES, -EACCES };
        struct guard *g = guard_begin();
        struct command c[SEVERAL];
        unsigned told = 0;
        enum spawn_step step;
        int member, error;

        (void)state;
        for (unsigned i = 0; i < SEVERAL; i++) {
                command_init(&c[i], id_of(1, i), paths[i]);
                c[i].spec.async = true;
                assert_int_equal(command_start(g, &c[i]), 0);
        }
        while (guard_confirm(g, 1, &member, &error, &step) == 1) {
                assert_in_range(member, 0, SEVERAL - 1);
                assert_int_equal(error, errors[member]);
                assert_int_equal(step, SPAWN_EXEC);
                told |= 1u << member;
        }
        for (unsigned i = 0; i < SEVERAL; i++)
                close(c[i].spec.pidfd);
        guard_end(g);
        assert_int_equal(told, (1u << SEVERAL) - 1);
}

/* ---- groups ---- */

static void who_joins_group_0_joins_its_leader(void **state)
{
        struct guard *g = guard_begin();
        struct command leader, member, other;
        enum spawn_step step;
        int nr, error;

        (void)state;
        command_shell(&leader, id_of(1, 0), "exec sleep 600");
        command_shell(&member, id_of(1, 1), "exec sleep 600");
        command_shell(&other, id_of(2, 0), "exec sleep 600");
        leader.spec.group_mode = other.spec.group_mode = SPAWN_GROUP_NEW;
        member.spec.group_mode = SPAWN_GROUP_JOIN;
        leader.spec.async = member.spec.async = other.spec.async = true;
        assert_int_equal(command_start(g, &other), 0);
        assert_int_equal(command_start(g, &leader), 0);
        assert_int_equal(command_start(g, &member), 0);
        assert_int_equal(guard_confirm(g, 1, &nr, &error, &step), 0);
        assert_int_equal(guard_confirm(g, 2, &nr, &error, &step), 0);
        assert_int_equal(getpgid(leader.spec.pid), leader.spec.pid);
        assert_int_equal(getpgid(other.spec.pid), other.spec.pid);
        assert_int_equal(getpgid(member.spec.pid), leader.spec.pid);
        kill_all(g);
        check_ends(leader.spec.pidfd, "the leader");
        check_ends(member.spec.pidfd, "the member");
        check_ends(other.spec.pidfd, "the other");
        guard_end(g);
}

/* Its number is not given to another while its group may still be signalled. */
static void a_leader_stays_until_it_may_go(void **state)
{
        struct guard *g = guard_begin();
        struct command c;

        (void)state;
        command_shell(&c, id_of(1, 0), "exit 1");
        c.spec.group_mode = SPAWN_GROUP_NEW;
        start(g, &c);
        assert_true(next(g, GUARD_EXITED, id_of(1, 0)).empty);
        assert_int_equal(kill(c.spec.pid, 0), 0);
        assert_int_equal(guard_tell(g, GUARD_TELL, 0, 0), 0);
        next(g, GUARD_EMPTY, 0);
        assert_int_equal(guard_tell(g, GUARD_REAP, id_of(1, 0), 0), 0);
        barrier(g);
        assert_int_equal(kill(c.spec.pid, 0), -1);
        assert_int_equal(errno, ESRCH);
        close(c.spec.pidfd);
        guard_end(g);
}

/* ---- how much is passed ---- */

/* As many strings of `each` bytes as make `bytes`, "Vnn=xxx..."; ends with NULL. */
static char *make_strings(char **v, size_t bytes, size_t each)
{
        size_t nr = bytes / each;
        char *all = malloc(bytes);

        assert_true(nr < ARGV_MAX - 8);
        memset(all, 'x', bytes);
        for (size_t i = 0; i < nr; i++) {
                v[i] = all + i * each;
                v[i][snprintf(v[i], each, "V%02zu=", i)] = 'x';
                v[i][each - 1] = '\0';
        }
        v[nr] = NULL;
        return all;
}

static void arguments_of_a_mebibyte_arrive(void **state)
{
        struct guard *g = guard_begin();
        struct command c;
        char *all;

        (void)state;
        command_shell(&c, id_of(1, 0), "for a; do [ ${#a} = 65535 ] || exit 99; done; [ \"${1%%=*}\" = V00 ] && exit $#");
        c.argv[3] = (char *)"name";
        all = make_strings(c.argv + 4, MIB, STRING_BYTES);
        start(g, &c);
        free(all);
        assert_int_equal(next(g, GUARD_EXITED, id_of(1, 0)).exit_status, MIB / STRING_BYTES);
        close(c.spec.pidfd);
        guard_end(g);
}

static void an_environment_of_a_mebibyte_arrives(void **state)
{
        struct guard *g = guard_begin();
        char *env[ARGV_MAX], *all;
        struct command c;

        (void)state;
        command_shell(&c, id_of(1, 0), "[ ${#V00} = 65531 ] && [ ${#V15} = 65531 ] && [ ! \"$V16\" ] && exit 5");
        all = make_strings(env, MIB, STRING_BYTES);
        c.spec.env = env;
        start(g, &c);
        free(all);
        assert_int_equal(next(g, GUARD_EXITED, id_of(1, 0)).exit_status, 5);
        close(c.spec.pidfd);
        guard_end(g);
}

static void more_than_the_most_is_refused_and_it_serves_on(void **state)
{
        struct guard *g = guard_begin();
        struct command c;
        char *all;

        (void)state;
        command_shell(&c, id_of(1, 0), "exit 0");
        all = make_strings(c.argv + 3, GUARD_SPAWN_BYTES_MAX + MIB, STRING_BYTES);
        assert_int_equal(command_start(g, &c), -E2BIG);
        free(all);
        command_shell(&c, id_of(2, 0), "exit 6");
        start(g, &c);
        assert_int_equal(next(g, GUARD_EXITED, id_of(2, 0)).exit_status, 6);
        close(c.spec.pidfd);
        guard_end(g);
}

/* A guard whose commands may have 6 MiB of arguments, as the kernel counts: a quarter of the stack's limit, and no more. */
static struct guard *begin_with_a_large_stack(void)
{
        struct rlimit old, large;
        struct guard *g;

        getrlimit(RLIMIT_STACK, &old);
        large = (struct rlimit){ .rlim_cur = 64 * MIB, .rlim_max = old.rlim_max };
        if (setrlimit(RLIMIT_STACK, &large) < 0)
                skip();
        g = guard_begin();
        barrier(g);
        setrlimit(RLIMIT_STACK, &old);
        return g;
}

static void less_than_the_most_is_for_the_kernel_to_judge(void **state)
{
        static const size_t each[] = { 64 << 10, 72 << 10, 100 << 10, 127 << 10 };
        struct guard *g = begin_with_a_large_stack();

        (void)state;
        for (unsigned i = 0; i < COUNT(each); i++) {
                struct command c;
                char *all;
                int r;

                command_shell(&c, id_of(1, i), "exit $#");
                c.argv[3] = (char *)"name";
                all = make_strings(c.argv + 4, 5 * MIB, each[i]);
                r = command_start(g, &c);
                free(all);
                if (r < 0)
                        fail_msg("strings of %zu bytes, 5 MiB in all: %s", each[i], strerror(-r));
                assert_int_equal(next(g, GUARD_EXITED, id_of(1, i)).exit_status, 5 * MIB / each[i]);
                close(c.spec.pidfd);
        }
        guard_end(g);
}

/* ---- what is left behind ---- */

/* A command that leaves a grandchild behind and ends; the grandchild's number. */
static pid_t leave_orphan(struct guard *g, uint64_t id, const char *script)
{
        struct command c;
        pid_t orphan;

        command_shell(&c, id, script);
        command_heard(&c);
        start(g, &c);
        orphan = read_pid(c.out);
        assert_false(next(g, GUARD_EXITED, id).empty);
        close(c.out);
        close(c.spec.pidfd);
        return orphan;
}

static void an_orphan_is_killed(void **state)
{
        static const char *const scripts[] = {
                "(sleep 600 >/dev/null & echo $!)",
                "(setsid sleep 600 >/dev/null & echo $!)",
                "(setsid sh -c 'trap \"\" TERM HUP; sleep 600; sleep 600' >/dev/null & echo $!)",
        };
        struct guard *g = guard_begin();

        (void)state;
        for (size_t i = 0; i < COUNT(scripts); i++) {
                pid_t orphan = leave_orphan(g, id_of(i + 1, 0), scripts[i]);
                int pidfd = pidfd_of(orphan);

                assert_int_equal(parent_of(orphan), guard_pid(g));
                assert_false(is_over(pidfd));
                kill_all(g);
                next(g, GUARD_EMPTY, 0);
                assert_true(is_over(pidfd));
                close(pidfd);
        }
        guard_end(g);
}

static void a_signal_reaches_an_orphan(void **state)
{
        struct guard *g = guard_begin();
        int pidfd = pidfd_of(leave_orphan(g, id_of(1, 0), "(setsid sleep 600 >/dev/null & echo $!)"));

        (void)state;
        assert_int_equal(guard_tell(g, GUARD_SIGNAL, 0, SIGTERM), 0);
        check_ends(pidfd, "the orphan");
        guard_end(g);
}

static void empty_is_told_when_asked_for(void **state)
{
        struct guard *g = guard_begin();
        int pidfd;

        (void)state;
        for (int i = 0; i < 2; i++) {
                assert_int_equal(guard_tell(g, GUARD_TELL, 0, 0), 0);
                assert_true(next(g, GUARD_EMPTY, 0).empty);
                no_event(g);
        }
        pidfd = pidfd_of(leave_orphan(g, id_of(1, 0), "(sleep 600 >/dev/null & echo $!)"));
        assert_int_equal(guard_tell(g, GUARD_TELL, 0, 0), 0);
        no_event(g);
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        next(g, GUARD_EMPTY, 0);
        close(pidfd);
        guard_end(g);
}

static void an_orphan_outlives_a_guard_that_is_freed(void **state)
{
        struct guard *g = guard_begin();
        pid_t orphan = leave_orphan(g, id_of(1, 0), "(sleep 600 >/dev/null & echo $!)");
        int pidfd = pidfd_of(orphan);

        (void)state;
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
        guard_end(g);
        assert_false(is_over(pidfd));
        assert_int_equal(parent_of(orphan), getpid());
        kill(orphan, SIGKILL);
        assert_int_equal(waitpid(orphan, NULL, 0), orphan);
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
        close(pidfd);
}

static void in_a_pid_namespace_nothing_outlives_it(void **state)
{
        struct command c;
        struct guard *g;
        int r = guard_new(&current, true), pidfd;

        (void)state;
        if (r == -EPERM)
                skip();
        assert_int_equal(r, 0);
        g = current;
        command_shell(&c, id_of(1, 0), "setsid sleep 600 & exit 2");
        start(g, &c);
        assert_int_equal(next(g, GUARD_EXITED, id_of(1, 0)).exit_status, 2);
        close(c.spec.pidfd);
        command_shell(&c, id_of(2, 0), "exec sleep 600");
        start(g, &c);
        pidfd = pidfd_of(c.spec.pid); /* its number is one of ours */
        guard_end(g);
        check_ends(pidfd, "what was in the namespace");
        check_ends(c.spec.pidfd, "the command");
}

/* ---- ends ---- */

static void its_death_is_seen_and_its_commands_die(void **state)
{
        struct guard *g = guard_begin();
        struct guard_event e;
        struct command c;
        enum spawn_step step;
        int member, error, r;

        (void)state;
        command_shell(&c, id_of(1, 0), "exec sleep 600");
        start(g, &c);
        kill(guard_pid(g), SIGKILL);
        while ((r = guard_next(g, &e)) == 0)
                wait_readable(guard_fd(g), "the end of the guard");
        assert_int_equal(r, -EPIPE);
        assert_int_equal(guard_next(g, &e), -EPIPE);
        check_ends(c.spec.pidfd, "the command of a guard that was killed");
        for (int i = 0; i < 4; i++) {
                command_shell(&c, id_of(2, 0), "exit 0");
                c.spec.async = i % 2;
                assert_int_equal(command_start(g, &c), -EPIPE);
                assert_int_equal(c.spec.failed, SPAWN_GUARD);
        }
        assert_int_equal(guard_tell(g, GUARD_TELL, 0, 0), -EPIPE);
        assert_int_equal(guard_confirm(g, 2, &member, &error, &step), -EPIPE);
        guard_end(g);
}

/* Begun, and the guard dies before it has answered. */
static void its_death_fails_what_was_begun(void **state)
{
        struct guard *g = guard_begin();
        enum spawn_step step;
        struct command c;
        int member, error;

        (void)state;
        barrier(g);
        kill(guard_pid(g), SIGSTOP);
        command_shell(&c, id_of(1, 0), "exit 0");
        c.spec.async = true;
        assert_int_equal(command_start(g, &c), 0);
        kill(guard_pid(g), SIGKILL);
        assert_int_equal(guard_confirm(g, 1, &member, &error, &step), -EPIPE);
        assert_int_equal(c.spec.error, -EPIPE);
        assert_int_equal(c.spec.failed, SPAWN_GUARD);
        assert_int_equal(c.spec.pidfd, -1);
        guard_end(g);
}

/* ---- the host's death ---- */

struct host {
        pid_t pid;
        int pidfds[3]; /* its guard, a command, and an orphan with a session of its own */
};

/* As the host: makes all of it, says the numbers, and stays. `leaf`: what else is to end with it. */
static void be_host(int said, int leaf, int parent)
{
        struct guard *g;
        struct command c;
        pid_t pids[3];

        if (guard_new(&g, false) < 0)
                _exit(1);
        pids[0] = guard_pid(g);
        if (leaf >= 0 && guard_leaf(g, 1, parent, "leaf") < 0)
                _exit(2);
        pids[2] = leave_orphan(g, id_of(1, 0), "(setsid sleep 600 >/dev/null & echo $!)");
        command_shell(&c, id_of(2, 0), "exec setsid sleep 600");
        if (command_start(g, &c) < 0)
                _exit(3);
        pids[1] = c.spec.pid;
        if (write(said, pids, sizeof(pids)) != sizeof(pids))
                _exit(4);
        for (;;)
                pause();
}

static void host_start(struct host *h, int leaf, int parent)
{
        int said[2];
        pid_t pids[3];

        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); /* what it leaves is seen to end */
        assert_int_equal(pipe2(said, O_CLOEXEC), 0);
        h->pid = fork();
        if (h->pid == 0)
                be_host(said[1], leaf, parent);
        close(said[1]);
        assert_int_equal(read(said[0], pids, sizeof(pids)), sizeof(pids));
        close(said[0]);
        for (size_t i = 0; i < COUNT(pids); i++) {
                h->pidfds[i] = pidfd_of(pids[i]);
                assert_false(is_over(h->pidfds[i]));
        }
}

static void host_check_all_ends(struct host *h)
{
        static const char *const names[] = { "the guard", "a command", "an orphan" };

        assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
        for (size_t i = COUNT(names); i-- > 0;)
                check_ends(h->pidfds[i], names[i]);
        while (waitpid(-1, NULL, 0) > 0) /* all ours now, and all have ended */
                continue;
        assert_int_equal(errno, ECHILD);
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

static void all_of_it_ends_with_the_host(void **state)
{
        struct host h;

        (void)state;
        host_start(&h, -1, -1);
        kill(h.pid, SIGKILL);
        host_check_all_ends(&h);
}

static void a_fork_of_the_host_keeps_nothing_alive(void **state)
{
        struct host h;
        int hold[2];
        pid_t pid;
        char c;

        (void)state;
        assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
        host_start(&h, -1, -1);
        pid = fork();
        if (pid == 0) {
                close(hold[1]);
                _exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
        }
        kill(h.pid, SIGKILL);
        close(hold[1]);
        host_check_all_ends(&h);
        close(hold[0]);
}

/* A cgroup is a directory; a plain one shows what is written there. */
static void its_cgroup_is_killed_with_the_host(void **state)
{
        char base[] = "/dev/shm/sluice-guard-XXXXXX", text[4] = "";
        int parent, leaf, file;
        struct host h;

        (void)state;
        assert_non_null(mkdtemp(base));
        parent = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(mkdirat(parent, "leaf", 0700), 0);
        leaf = openat(parent, "leaf", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        file = openat(leaf, "cgroup.kill", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        host_start(&h, leaf, parent);
        assert_int_equal(pread(file, text, sizeof(text), 0), 0);
        kill(h.pid, SIGKILL);
        host_check_all_ends(&h);
        assert_int_equal(pread(file, text, sizeof(text), 0), 1);
        assert_int_equal(text[0], '1');
        unlinkat(leaf, "cgroup.kill", 0);
        unlinkat(parent, "leaf", AT_REMOVEDIR);
        rmdir(base);
        close(file);
        close(leaf);
        close(parent);
}

static void a_leaf_with_a_name_too_long_is_refused(void **state)
{
        struct guard *g = guard_begin();
        char name[GUARD_LEAF_NAME_BYTES + 1];

        (void)state;
        memset(name, 'x', sizeof(name));
        name[GUARD_LEAF_NAME_BYTES] = '\0';
        assert_int_equal(guard_leaf(g, 1, 0, name), -ENAMETOOLONG);
        barrier(g);
        guard_end(g);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(started_and_freed_it_leaves_nothing),
                TEST(its_commands_are_not_our_children),
                TEST(how_a_command_ended_is_told),
                TEST(a_stop_and_its_end_are_told),
                TEST(several_are_begun_and_confirmed_together),
                TEST(threads_may_start_side_by_side),
                TEST(a_failed_start_names_its_step),
                TEST(one_that_failed_is_told_by_confirm),
                TEST(each_that_failed_is_told_by_confirm),
                TEST(who_joins_group_0_joins_its_leader),
                TEST(a_leader_stays_until_it_may_go),
                TEST(arguments_of_a_mebibyte_arrive),
                TEST(an_environment_of_a_mebibyte_arrives),
                TEST(more_than_the_most_is_refused_and_it_serves_on),
                TEST(less_than_the_most_is_for_the_kernel_to_judge),
                TEST(an_orphan_is_killed),
                TEST(a_signal_reaches_an_orphan),
                TEST(empty_is_told_when_asked_for),
                TEST(an_orphan_outlives_a_guard_that_is_freed),
                TEST(in_a_pid_namespace_nothing_outlives_it),
                TEST(its_death_is_seen_and_its_commands_die),
                TEST(its_death_fails_what_was_begun),
                TEST(all_of_it_ends_with_the_host),
                TEST(a_fork_of_the_host_keeps_nothing_alive),
                TEST(its_cgroup_is_killed_with_the_host),
                TEST(a_leaf_with_a_name_too_long_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
