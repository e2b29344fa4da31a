/* bench/bare_move.c: the least that a program could do between files and pipes: splice(2), tee(2), read and write, memcpy. */
#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BRANCHES_MAX = 16, WORDS_MAX = 32 };

static bool is_pipe(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int splice_all(int from, int to, size_t bytes)
{
        while (bytes) {
                ssize_t n = splice(from, NULL, to, NULL, bytes, SPLICE_F_MOVE);

                if (n <= 0)
                        return complain("splice");
                bytes -= (size_t)n;
        }
        return 0;
}

/* splice IN OUT: one side may be a pipe; else through one of its own. */
int bare_splice(int argc, char **argv)
{
        int in = open_input(argv[1]), out = open_output(argv[2]), fds[2] = { -1, -1 };
        bool direct;
        ssize_t n;

        (void)argc;
        if (in < 0 || out < 0)
                return -1;
        direct = is_pipe(in) || is_pipe(out);
        if (direct) {
                fcntl(in, F_SETPIPE_SZ, PIPE_BYTES);
                fcntl(out, F_SETPIPE_SZ, PIPE_BYTES);
        } else if (make_pipe(fds) < 0) {
                return -1;
        }
        while ((n = splice(in, NULL, direct ? out : fds[1], NULL, PIPE_BYTES, SPLICE_F_MOVE)) > 0)
                if (!direct && splice_all(fds[0], out, (size_t)n) < 0)
                        return -1;
        return n < 0 ? complain("splice") : 0;
}

/* copy IN OUT: read(2) and write(2), BLOCK_BYTES at a time. */
int bare_copy(int argc, char **argv)
{
        int in = open_input(argv[1]), out = open_output(argv[2]);
        char *block = block_new(BLOCK_BYTES);
        ssize_t n = -1;

        (void)argc;
        if (in < 0 || out < 0 || !block) {
                free(block);
                return -1;
        }
        fcntl(out, F_SETPIPE_SZ, PIPE_BYTES);
        while ((n = read(in, block, BLOCK_BYTES)) > 0)
                if (write_all(out, block, (size_t)n) < 0)
                        break;
        free(block);
        return n < 0 ? complain("read") : n > 0 ? -1 : 0;
}

/* ---- tee(2) ---- */

/* tee(2) duplicates from the front of the pipe only, and may give one branch less than another. So a branch that is ahead of
 * the front by `ahead` bytes waits, those that are level with it catch up to it, and the front moves by what all have. */
struct branch {
        int pipe, file; /* file: -1 when a command reads the pipe itself */
        int from;       /* the pipe's other end, where a file is to be filled */
        size_t ahead;
};

static int feed(struct branch *b, int front, size_t bytes)
{
        ssize_t n = tee(front, b->pipe, bytes, 0);

        if (n <= 0)
                return complain("tee");
        b->ahead = (size_t)n;
        return b->file < 0 ? 0 : splice_all(b->from, b->file, (size_t)n);
}

/* Moves the `bytes` that the front holds to all branches; the front is emptied into null. */
static int spread(struct branch *branches, size_t n, int front, int null, size_t bytes)
{
        while (bytes) {
                size_t limit = bytes, all = bytes;

                for (size_t i = 0; i < n; i++)
                        if (branches[i].ahead && branches[i].ahead < limit)
                                limit = branches[i].ahead;
                for (size_t i = 0; i < n; i++) {
                        if (branches[i].ahead == 0 && feed(&branches[i], front, limit) < 0)
                                return -1;
                        if (branches[i].ahead < all)
                                all = branches[i].ahead;
                }
                if (splice_all(front, null, all) < 0)
                        return -1;
                for (size_t i = 0; i < n; i++)
                        branches[i].ahead -= all;
                bytes -= all;
        }
        return 0;
}

static int tee_loop(const char *path, struct branch *branches, size_t n)
{
        int in = open_input(path), null = open_output("/dev/null"), fds[2];
        ssize_t got;

        if (in < 0 || null < 0 || make_pipe(fds) < 0)
                return -1;
        while ((got = splice(in, NULL, fds[1], NULL, PIPE_BYTES, SPLICE_F_MOVE)) > 0)
                if (spread(branches, n, fds[0], null, (size_t)got) < 0)
                        return -1;
        return got < 0 ? complain("splice") : 0;
}

/* A word with a % in it has the branch's number instead, so that every command can write a file of its own. */
static void words_of(char **argv, size_t branch, char **ret, size_t cap)
{
        size_t n = 0;

        for (; n < cap - 1 && argv[n]; n++) {
                char *at = strchr(argv[n], '%');

                ret[n] = NULL;
                if (!at || asprintf(&ret[n], "%.*s%zu%s", (int)(at - argv[n]), argv[n], branch, at + 1) < 0)
                        ret[n] = argv[n];
        }
        ret[n] = NULL;
}

/* tee IN COUNT COMMAND...: COUNT of them read it, each from a pipe. */
int bare_tee(int argc, char **argv)
{
        struct branch branches[BRANCHES_MAX];
        char *words[WORDS_MAX];
        size_t n = strtoul(argv[2], NULL, 10);
        int r, status, failed = 0;

        (void)argc;
        signal(SIGPIPE, SIG_IGN);
        if (n < 1 || n > BRANCHES_MAX) {
                errno = EINVAL;
                return complain("tee: COUNT");
        }
        for (size_t i = 0; i < n; i++) {
                posix_spawn_file_actions_t actions;
                int fds[2];
                pid_t pid;

                if (make_pipe(fds) < 0)
                        return -1;
                posix_spawn_file_actions_init(&actions);
                posix_spawn_file_actions_adddup2(&actions, fds[0], STDIN_FILENO);
                words_of(argv + 3, i, words, WORDS_MAX);
                errno = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
                posix_spawn_file_actions_destroy(&actions);
                if (errno)
                        return complain(argv[3]);
                close(fds[0]);
                branches[i] = (struct branch){ .pipe = fds[1], .file = -1, .from = -1 };
        }
        r = tee_loop(argv[1], branches, n);
        for (size_t i = 0; i < n; i++)
                close(branches[i].pipe);
        while (wait(&status) > 0)
                failed |= status;
        return r < 0 || failed ? -1 : 0;
}

static int tee_files(int argc, char **argv, int flags)
{
        struct branch branches[BRANCHES_MAX];
        size_t n = 0;

        for (int i = 2; i < argc && n < BRANCHES_MAX; i++, n++) {
                int fds[2], file = open_output(argv[i]);

                if (file < 0 || make_pipe(fds) < 0)
                        return -1;
                if (flags && fcntl(file, F_SETFL, flags) < 0)
                        return complain("O_DIRECT");
                branches[n] = (struct branch){ .pipe = fds[1], .from = fds[0], .file = file };
        }
        return tee_loop(argv[1], branches, n);
}

/* tee-files IN OUT... */
int bare_tee_files(int argc, char **argv)
{
        return tee_files(argc, argv, 0);
}

/* tee-direct IN OUT...: past the page cache; IN is whole blocks. */
int bare_tee_direct(int argc, char **argv)
{
        return tee_files(argc, argv, O_DIRECT);
}

/* ---- reading, memory ---- */

/* read RESULT: standard input, 128 KiB at a time, to its end. */
int bare_read(int argc, char **argv)
{
        enum { BYTES = 128 << 10 };
        char *block = block_new(BYTES);
        struct seen seen;
        ssize_t n;

        (void)argc;
        if (!block)
                return -1;
        seen_begin(&seen);
        while ((n = read(STDIN_FILENO, block, BYTES)) > 0)
                seen_add(&seen, block, (size_t)n);
        free(block);
        return n < 0 ? complain("read") : seen_write(&seen, argv[1]);
}

/* memcpy BYTES: from one 64 MiB region to another, beyond what caches hold. */
int bare_memcpy(int argc, char **argv)
{
        const size_t region = 64 << 20, bytes = strtoul(argv[1], NULL, 10);
        char *from = block_new(region), *to = block_new(region);

        (void)argc;
        if (!from || !to) {
                free(from);
                free(to);
                return -1;
        }
        memset(from, 1, region);
        memset(to, 2, region);
        for (size_t at = 0; at < bytes; at += region) {
                memcpy(to, from, bytes - at < region ? bytes - at : region);
                __asm__ volatile("" : : "r"(to), "r"(from) : "memory"); /* the copy is made, though nobody looks */
        }
        free(from);
        free(to);
        return 0;
}
