/* fixture.c: see fixture.h. */
#include "fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"

const enum sluice_driver t_drivers[4] = { SLUICE_DRIVER_AUTO, SLUICE_DRIVER_INLINE, SLUICE_DRIVER_RING, SLUICE_DRIVER_COPY };

enum { PATHS = 8, CHUNK = 1 << 16, EXIT_TRIES = 200 };

__attribute__((constructor)) static void before_main(void)
{
        t_kernel_from_environment();
}

static struct {
        char directory[64];
        int fds, threads;
        sigset_t mask;
        struct sigaction pipe, child;
} before;

bool t_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        return true;
#else
        const char *s = getenv("SANITIZE");

        return s && *s;
#endif
}

bool t_short(void)
{
        return t_sanitized() || getenv("SLUICE_TEST_SHORT");
}

/* ---- numbers of this process ---- */

static int count(const char *directory, bool (*wanted)(const char *name))
{
        DIR *d = opendir(directory);
        struct dirent *e;
        int n = 0;

        assert_non_null(d);
        while ((e = readdir(d)))
                n += e->d_name[0] != '.' && (!wanted || wanted(e->d_name));
        closedir(d);
        return n;
}

int t_fds(void)
{
        return count("/proc/self/fd", NULL) - 1; /* less the one that looks */
}

static void read_text(const char *path, char *buf, size_t cap)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, buf, cap - 1) : 0;

        buf[n > 0 ? n : 0] = '\0';
        if (fd >= 0)
                close(fd);
}

static bool is_ours(const char *task)
{
        char path[300], name[64];

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
        read_text(path, name, sizeof(name));
        return name[0] && strncmp(name, "iou-", 4) != 0;
}

int t_threads(void)
{
        return count("/proc/self/task", is_ours);
}

static bool is_child(const char *name)
{
        char path[300], text[512], *end;

        if (name[0] < '0' || name[0] > '9')
                return false;
        snprintf(path, sizeof(path), "/proc/%s/stat", name);
        read_text(path, text, sizeof(text));
        end = strrchr(text, ')');
        return end && strlen(end) > 4 && atoi(end + 4) == getpid();
}

int t_children(void)
{
        return count("/proc", is_child);
}

long t_rss_kib(void)
{
        char text[4096], *at;

        read_text("/proc/self/status", text, sizeof(text));
        at = strstr(text, "VmRSS:");
        return at ? atol(at + 6) : 0;
}

/* A thread that was joined is still listed for a moment; how long is the kernel's business. One that was left alone in an
 * open() closes what it got when it gets it: both go by themselves, or are leaks. */
int t_in_the_end(int (*number)(void), int most)
{
        const struct timespec moment = { .tv_nsec = 10000000 };
        int n = number();

        for (int i = 0; i < EXIT_TRIES && n > most; i++) {
                nanosleep(&moment, NULL);
                n = number();
        }
        return n;
}

/* ---- setup and teardown ---- */

static void *its_id(void *arg)
{
        *(int *)arg = gettid();
        return NULL;
}

/* ThreadSanitizer makes a thread of its own with the program's first one: let it be there before anything is counted. Ours is
 * counted until it is no longer listed, which is some time after it was joined. */
static void warm_up_threads(void)
{
        static bool warm;
        pthread_t thread;
        char path[64];
        int id;

        if (!warm && pthread_create(&thread, NULL, its_id, &id) == 0) {
                pthread_join(thread, NULL);
                snprintf(path, sizeof(path), "/proc/self/task/%d", id);
                while (access(path, F_OK) == 0)
                        sched_yield();
        }
        warm = true;
}

int t_begin(void **state)
{
        (void)state;
        warm_up_threads();
        strcpy(before.directory, "/dev/shm/sluice-test.XXXXXX");
        if (!mkdtemp(before.directory))
                return -1;
        before.fds = t_fds();
        before.threads = t_threads();
        pthread_sigmask(SIG_BLOCK, NULL, &before.mask);
        sigaction(SIGPIPE, NULL, &before.pipe);
        sigaction(SIGCHLD, NULL, &before.child);
        return 0;
}

static int differ(const char *what, int was, int is)
{
        if (was != is)
                print_error("left behind: %s: %d before, %d after\n", what, was, is);
        return was != is;
}

static void list_fds(void)
{
        DIR *d = opendir("/proc/self/fd");
        struct dirent *e;
        char target[256];

        while (d && (e = readdir(d))) {
                ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

                if (n > 0)
                        print_error("  fd %s: %.*s\n", e->d_name, (int)n, target);
        }
        if (d)
                closedir(d);
}

static int remove_directory(void)
{
        DIR *d = opendir(before.directory);
        struct dirent *e;

        while (d && (e = readdir(d)))
                if (e->d_name[0] != '.' || (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0))
                        unlinkat(dirfd(d), e->d_name, 0);
        if (d)
                closedir(d);
        return rmdir(before.directory);
}

static int children_left(void)
{
        int n = t_children(), status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
                print_error("  child %d was never reaped\n", (int)pid);
        if (pid == 0)
                print_error("  a child still runs\n");
        return pid < 0 && errno == ECHILD ? n : n ? n : 1;
}

int t_end(void **state)
{
        int bad = 0, threads = t_in_the_end(t_threads, before.threads), fds = t_in_the_end(t_fds, before.fds);
        struct sigaction now;
        sigset_t mask;

        (void)state;
        bad |= differ("file descriptors", before.fds, fds);
        if (fds != before.fds)
                list_fds();
        /* Fewer than before is nobody's leak: a thread of the test before was still leaving. */
        bad |= threads > before.threads && differ("threads", before.threads, threads);
        bad |= differ("children", 0, children_left());
        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        for (int s = 1; s < 32; s++)
                if (sigismember(&mask, s) != sigismember(&before.mask, s))
                        bad |= differ("signal mask", sigismember(&before.mask, s), sigismember(&mask, s));
        sigaction(SIGPIPE, NULL, &now);
        bad |= differ("disposition of SIGPIPE is the same", 1, now.sa_handler == before.pipe.sa_handler);
        sigaction(SIGCHLD, NULL, &now);
        bad |= differ("disposition of SIGCHLD is the same", 1, now.sa_handler == before.child.sa_handler);
        bad |= differ("own directory can be removed", 0, remove_directory());
        return bad ? -1 : 0;
}

/* ---- files ---- */

const char *t_path(const char *name)
{
        static _Thread_local char paths[PATHS][160];
        static _Thread_local unsigned next;
        char *p = paths[next++ % PATHS];

        snprintf(p, sizeof(paths[0]), "%s/%s", before.directory, name);
        return p;
}

int t_files(void)
{
        DIR *d = opendir(before.directory);
        int n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n - 2;
}

/* Every eight bytes are a hash of their place: a hole, a repeat, a swap or a shift shows. */
static uint64_t word_at(uint64_t index)
{
        uint64_t z = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        return z ^ (z >> 29);
}

static uint8_t byte_at(uint64_t offset)
{
        return (uint8_t)(word_at(offset / 8) >> (offset % 8 * 8));
}

void t_pattern(void *data, size_t bytes, uint64_t offset)
{
        uint8_t *at = data, *end = at + bytes;

        while (at < end && offset % 8)
                *at++ = byte_at(offset++);
        for (; end - at >= 8; at += 8, offset += 8) {
                uint64_t w = word_at(offset / 8);

                memcpy(at, &w, 8);
        }
        while (at < end)
                *at++ = byte_at(offset++);
}

int64_t t_mismatch(const void *data, size_t bytes, uint64_t offset)
{
        uint8_t want[4096];
        const uint8_t *at = data;

        for (size_t done = 0; done < bytes; done += sizeof(want)) {
                size_t n = bytes - done < sizeof(want) ? bytes - done : sizeof(want);

                t_pattern(want, n, offset + done);
                if (memcmp(at + done, want, n) == 0)
                        continue;
                for (size_t i = 0; i < n; i++)
                        if (at[done + i] != want[i])
                                return (int64_t)(offset + done + i);
        }
        return -1;
}

static bool write_all(int fd, const uint8_t *data, size_t bytes)
{
        while (bytes > 0) {
                ssize_t n = write(fd, data, bytes);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return false;
                data += n;
                bytes -= (size_t)n;
        }
        return true;
}

void t_make(const char *path, uint64_t bytes)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        uint8_t data[CHUNK];

        assert_true(fd >= 0);
        for (uint64_t at = 0; at < bytes; at += sizeof(data)) {
                size_t n = bytes - at < sizeof(data) ? (size_t)(bytes - at) : sizeof(data);

                t_pattern(data, n, at);
                assert_true(write_all(fd, data, n));
        }
        close(fd);
}

void t_make_text(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_true(write_all(fd, (const uint8_t *)text, strlen(text)));
        close(fd);
}

void t_check_file(const char *path, uint64_t bytes, uint64_t offset)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint8_t data[CHUNK];
        uint64_t at = 0;
        int64_t bad = -1;
        ssize_t n;

        if (fd < 0)
                fail_msg("%s is missing: %s", path, strerror(errno));
        while (bad < 0 && (n = read(fd, data, sizeof(data))) > 0) {
                bad = t_mismatch(data, (size_t)n, offset + at);
                at += (uint64_t)n;
        }
        close(fd);
        if (bad >= 0)
                fail_msg("%s differs at offset %lld of the pattern", path, (long long)bad);
        assert_int_equal(at, bytes);
}

void t_check_text(const char *path, const char *text)
{
        char is[4096];

        assert_true(t_exists(path));
        read_text(path, is, sizeof(is));
        assert_string_equal(is, text);
}

bool t_exists(const char *path)
{
        return access(path, F_OK) == 0;
}

/* ---- peers ---- */

void t_pipe(int fds[2])
{
        assert_return_code(pipe2(fds, O_CLOEXEC), errno);
}

int t_listen(char *address, size_t cap)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t bytes = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_return_code(bind(fd, (struct sockaddr *)&a, sizeof(a)), errno);
        assert_return_code(listen(fd, 64), errno);
        assert_return_code(getsockname(fd, (struct sockaddr *)&a, &bytes), errno);
        snprintf(address, cap, "127.0.0.1:%u", (unsigned)ntohs(a.sin_port));
        return fd;
}

int t_listen_unix(const char *path)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0 && strlen(path) < sizeof(a.sun_path));
        strcpy(a.sun_path, path);
        assert_return_code(bind(fd, (struct sockaddr *)&a, sizeof(a)), errno);
        assert_return_code(listen(fd, 64), errno);
        return fd;
}

static bool peer_connected(struct t_peer *p)
{
        sigset_t pipe_only;

        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_only, NULL); /* of this thread alone */
        if (p->listener < 0)
                return true;
        p->fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
        if (p->fd < 0)
                p->error = errno;
        close(p->listener);
        p->listener = -1;
        return p->fd >= 0;
}

static void peer_got(struct t_peer *p, const uint8_t *data, size_t bytes)
{
        if (p->mismatch < 0)
                p->mismatch = t_mismatch(data, bytes, p->bytes);
        p->bytes += bytes;
        if (p->enough && p->bytes >= p->enough) {
                p->enough = 0;
                if (p->on_enough)
                        p->on_enough(p->arg);
                if (p->stop)
                        p->error = ECANCELED;
        }
}

static void *reader_main(void *arg)
{
        struct t_peer *p = arg;
        uint8_t data[CHUNK];

        if (!peer_connected(p))
                return NULL;
        while (!p->error) {
                ssize_t n = read(p->fd, data, sizeof(data));

                if (n > 0)
                        peer_got(p, data, (size_t)n);
                else if (n == 0)
                        break;
                else if (errno != EINTR)
                        p->error = errno;
        }
        close(p->fd);
        return NULL;
}

static void *writer_main(void *arg)
{
        struct t_peer *p = arg;
        uint8_t data[CHUNK];

        if (!peer_connected(p))
                return NULL;
        for (uint64_t at = 0; at < p->bytes && !p->error; at += sizeof(data)) {
                size_t n = p->bytes - at < sizeof(data) ? (size_t)(p->bytes - at) : sizeof(data);

                t_pattern(data, n, at);
                if (!write_all(p->fd, data, n))
                        p->error = errno;
        }
        close(p->fd);
        return NULL;
}

void t_reader(struct t_peer *p, int fd, int listener)
{
        p->fd = fd;
        p->listener = listener;
        p->mismatch = -1;
        assert_int_equal(pthread_create(&p->thread, NULL, reader_main, p), 0);
}

void t_writer(struct t_peer *p, int fd, int listener, uint64_t bytes)
{
        p->fd = fd;
        p->listener = listener;
        p->bytes = bytes;
        assert_int_equal(pthread_create(&p->thread, NULL, writer_main, p), 0);
}

void t_join(struct t_peer *p)
{
        pthread_join(p->thread, NULL);
}

void t_join_exact(struct t_peer *p, uint64_t bytes)
{
        t_join(p);
        assert_int_equal(p->error, 0);
        assert_int_equal(p->mismatch, -1);
        assert_int_equal(p->bytes, bytes);
}

/* ---- pipelines ---- */

struct sluice_pipeline *t_new(const struct sluice_options *opt)
{
        struct sluice_pipeline *p = NULL;

        assert_int_equal(sluice_pipeline_new(&p, opt), 0);
        return p;
}

struct sluice_pipeline *t_new_driver(enum sluice_driver driver)
{
        return t_new(T_OPTIONS(.driver = driver, .grace_ms = T_GRACE_MS));
}

int t_ok(int result)
{
        if (result < 0)
                fail_msg("not added: %s", strerror(-result));
        return result;
}

void t_chain(struct sluice_pipeline *p)
{
        for (int i = 0; i + 1 < sluice_pipeline_stages(p); i++)
                t_ok(sluice_pipeline_link(p, i, i + 1));
}

void t_run(struct sluice_pipeline *p, int expected)
{
        int r = sluice_pipeline_run(p);

        if (r != expected)
                fail_msg("run gave %d (%s), not %d (%s): %s", r, strerror(-r), expected, strerror(-expected),
                         sluice_pipeline_error(p));
        t_check_law(p);
}

void t_run_free(struct sluice_pipeline *p, int expected)
{
        t_run(p, expected);
        sluice_pipeline_free(p);
}

struct sluice_stats t_stats(const struct sluice_pipeline *p, int link)
{
        struct sluice_stats s = { .size = sizeof(s) };

        assert_int_equal(sluice_pipeline_stats(p, link, &s), 0);
        return s;
}

void t_check_law(const struct sluice_pipeline *p)
{
        for (int i = 0; i < sluice_pipeline_links(p); i++) {
                struct sluice_stats s = { .size = sizeof(s) };

                if (sluice_pipeline_stats(p, i, &s) < 0 || s.mode == SLUICE_LINK_DIRECT || s.mode == SLUICE_LINK_PIPE)
                        continue;
                assert_int_equal(s.bytes_taken, s.bytes.value + s.bytes_inside);
        }
}
