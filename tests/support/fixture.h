/* fixture.h: what every test stands on: nothing may be left behind, and what arrives is told apart byte by byte.
 *
 * t_begin() and t_end() are cmocka's setup and teardown: descriptors, threads, children, signal mask, the dispositions
 * of SIGPIPE and SIGCHLD, and the files of the test's own directory are compared, and both numbers said when they differ. */
#ifndef SLUICE_TEST_FIXTURE_H
#define SLUICE_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/types.h>

#include <sluice/sluice.h>
#include <sluice/stages.h>

enum { T_GRACE_MS = 50, T_MIB = 1 << 20 };

int t_begin(void **state);
int t_end(void **state);
#define T_TEST(f)      cmocka_unit_test_setup_teardown(f, t_begin, t_end)
#define T_NR(a)        (sizeof(a) / sizeof((a)[0]))
#define T_OPTIONS(...) (&(const struct sluice_options){ .size = sizeof(struct sluice_options), __VA_ARGS__ })
#define T_FILE(...)    (&(const struct sluice_file_options){ .size = sizeof(struct sluice_file_options), __VA_ARGS__ })
#define T_ARGV(...)    ((char *const[]){ __VA_ARGS__, NULL })

/* Whether the test runs under a sanitizer. */
bool t_sanitized(void);
/* Whether a part of the rounds will do: under a sanitizer, or where the same test runs in full elsewhere in this suite. */
bool t_short(void);
/* The four drivers, AUTO first. */
extern const enum sluice_driver t_drivers[4];

/* ---- numbers of this process ---- */

int t_fds(void);
int t_threads(void);  /* without the kernel's io_uring workers */
int t_children(void); /* zombies too */

/* The number once it is at most `most`, or after two seconds what it is then. */
int t_in_the_end(int (*number)(void), int most);

long t_rss_kib(void);

/* ---- files ---- */

/* A path in the test's own directory; eight are valid at a time in each thread, until it ends. */
const char *t_path(const char *name);
int t_files(void); /* names in that directory */
void t_pattern(void *data, size_t bytes, uint64_t offset);
/* The first offset at which `data` is not the pattern; -1: it is. */
int64_t t_mismatch(const void *data, size_t bytes, uint64_t offset);
void t_make(const char *path, uint64_t bytes);
void t_make_text(const char *path, const char *text);
/* The file is the pattern, `bytes` long, beginning at `offset` of the pattern. */
void t_check_file(const char *path, uint64_t bytes, uint64_t offset);
void t_check_text(const char *path, const char *text);
bool t_exists(const char *path);

/* ---- peers: a thread at the other end ---- */

struct t_peer {
        pthread_t thread;
        int fd, listener; /* one of them; both are the peer's to close */
        uint64_t bytes;   /* writer: to write. reader: got */
        int64_t mismatch; /* reader: where; -1: none */
        int error;        /* errno that ended it; 0: the end */
        uint64_t enough;  /* reader: after as many, on_enough(arg) is called once */
        void (*on_enough)(void *arg);
        void *arg;
        bool stop; /* reader: closes after that */
};

void t_pipe(int fds[2]);
/* A listening socket on the loopback device; its "127.0.0.1:PORT". */
int t_listen(char *address, size_t cap);
int t_listen_unix(const char *path);
/* Exactly one of fd and listener is >= 0. */
void t_reader(struct t_peer *peer, int fd, int listener);
void t_writer(struct t_peer *peer, int fd, int listener, uint64_t bytes);
void t_join(struct t_peer *peer);
/* Joins, and the bytes were exactly the pattern's first. */
void t_join_exact(struct t_peer *peer, uint64_t bytes);

/* ---- pipelines ---- */

struct sluice_pipeline *t_new(const struct sluice_options *opt);
struct sluice_pipeline *t_new_driver(enum sluice_driver driver);
/* Asserts that a stage was added or a link made, and returns its index. */
int t_ok(int result);
/* Links the stages in the order in which they were added. */
void t_chain(struct sluice_pipeline *p);
/* Runs, saying the error when the result is not what it should be; frees it with t_run_free(). */
void t_run(struct sluice_pipeline *p, int expected);
void t_run_free(struct sluice_pipeline *p, int expected);
struct sluice_stats t_stats(const struct sluice_pipeline *p, int link);
void t_check_law(const struct sluice_pipeline *p); /* taken == delivered + inside, on every driven link */

#endif
