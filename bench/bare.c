/* bench/bare.c: sluice-bench-bare: the least that a program could do, as the harness's references and sinks; and what the
 * harness needs of files: their sum, and their pages out of the cache. See bare_move.c and bare_tcp.c for the loops. */
#include "bare.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USAGE = 2, COMMANDS_MAX = 64, DROP_TRIES = 400, DROP_PAUSE_US = 20000 };

int complain(const char *what)
{
        fprintf(stderr, "sluice-bench-bare: %s: %s\n", what, strerror(errno));
        return -1;
}

int open_input(const char *path)
{
        int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

        return fd < 0 ? complain(path) : fd;
}

int open_output(const char *path)
{
        int fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        return fd < 0 ? complain(path) : fd;
}

int make_pipe(int fds[2])
{
        if (pipe2(fds, O_CLOEXEC) < 0)
                return complain("pipe");
        fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES); /* a poor user has smaller ones, as everybody else then */
        return 0;
}

int write_all(int fd, const char *from, size_t bytes)
{
        while (bytes) {
                ssize_t n = write(fd, from, bytes);

                if (n < 0)
                        return complain("write");
                from += n;
                bytes -= (size_t)n;
        }
        return 0;
}

void *block_new(size_t bytes)
{
        void *block = aligned_alloc(4096, bytes);

        if (!block)
                complain("memory");
        return block;
}

/* ---- what a sink has seen ---- */

void seen_begin(struct seen *s)
{
        *s = (struct seen){ .sum = 0xcbf29ce484222325, .sums = getenv("SLUICE_BENCH_SUM") != NULL };
}

/* FNV-1a over words of eight bytes. */
static void seen_word(struct seen *s, uint64_t word)
{
        s->sum = (s->sum ^ word) * 0x100000001b3;
        s->sum ^= s->sum >> 29;
}

void seen_add(struct seen *s, const char *from, size_t bytes)
{
        s->bytes += bytes;
        if (!s->sums)
                return;
        for (; bytes && s->in_word; from++, bytes--) {
                s->word |= (uint64_t)(unsigned char)*from << 8 * s->in_word;
                s->in_word = (s->in_word + 1) % 8;
                if (!s->in_word)
                        seen_word(s, s->word);
        }
        for (; bytes >= 8; from += 8, bytes -= 8) {
                uint64_t word;

                memcpy(&word, from, 8);
                seen_word(s, le64toh(word));
        }
        if (bytes)
                s->word = 0;
        for (; bytes; from++, bytes--)
                s->word |= (uint64_t)(unsigned char)*from << 8 * s->in_word++;
}

int seen_write(const struct seen *s, const char *path)
{
        struct seen all = *s;
        char text[128];
        int fd = open_output(path);

        if (all.in_word)
                seen_word(&all, all.word);
        if (all.sums)
                snprintf(text, sizeof(text), "{\"bytes\":%ju,\"sum\":\"%016jx\"}\n", (uintmax_t)all.bytes, (uintmax_t)all.sum);
        else
                snprintf(text, sizeof(text), "{\"bytes\":%ju}\n", (uintmax_t)all.bytes);
        return fd < 0 ? -1 : write_all(fd, text, strlen(text));
}

/* sum FILE: as a sink says it. */
static int sum(int argc, char **argv)
{
        int in = open_input(argv[1]);
        char *block = block_new(BLOCK_BYTES);
        struct seen seen;
        ssize_t n = -1;

        (void)argc;
        setenv("SLUICE_BENCH_SUM", "1", 1);
        seen_begin(&seen);
        while (in >= 0 && block && (n = read(in, block, BLOCK_BYTES)) > 0)
                seen_add(&seen, block, (size_t)n);
        free(block);
        return n < 0 ? -1 : seen_write(&seen, "-");
}

/* ---- starting ---- */

/* spawn FILE COUNT COMMAND...: COUNT of them in a row, the first one reads FILE; pipes, posix_spawn(), waitpid(). */
static int spawn(int argc, char **argv)
{
        size_t n = strtoul(argv[2], NULL, 10);
        int in = open_input(argv[1]), status, failed = 0;

        (void)argc;
        for (size_t i = 0; i < n && i < COMMANDS_MAX && in >= 0; i++) {
                posix_spawn_file_actions_t actions;
                int fds[2] = { -1, -1 }, r;
                pid_t pid;

                if (i + 1 < n && make_pipe(fds) < 0)
                        return -1;
                posix_spawn_file_actions_init(&actions);
                posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
                if (i + 1 < n)
                        posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
                r = posix_spawnp(&pid, argv[3], &actions, NULL, argv + 3, environ);
                posix_spawn_file_actions_destroy(&actions);
                if (r) {
                        errno = r;
                        return complain(argv[3]);
                }
                close(in);
                if (i + 1 < n)
                        close(fds[1]);
                in = fds[0];
        }
        while (wait(&status) > 0)
                failed |= status;
        return failed ? -1 : 0;
}

/* ---- the page cache ---- */

/* How many of a file's pages are in the cache. -1: it has said why. */
static long resident_pages(int fd, size_t bytes)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (bytes + page - 1) / page;
        unsigned char *in_core = malloc(pages + 1);
        void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
        long resident = -1;

        if (in_core && map != MAP_FAILED && mincore(map, bytes, in_core) == 0) {
                resident = 0;
                for (size_t i = 0; i < pages; i++)
                        resident += in_core[i] & 1;
        }
        if (map != MAP_FAILED)
                munmap(map, bytes);
        free(in_core);
        return resident < 0 ? complain("mincore") : resident;
}

/* drop FILE: its pages leave the cache. They must be clean for that, and in nobody's hands: it asks again for a while. */
static int drop(int argc, char **argv)
{
        int fd = open_input(argv[1]);
        struct stat st;
        long left = -1;

        (void)argc;
        if (fd < 0 || fstat(fd, &st) < 0)
                return complain(argv[1]);
        for (int tries = 0; tries < DROP_TRIES && left != 0; tries++) {
                if (tries)
                        usleep(DROP_PAUSE_US);
                if (fsync(fd) < 0 || (tries % 50 == 5 && syncfs(fd) < 0)) /* a journal may hold pages that are clean */
                        return complain("fsync");
                errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
                if (errno)
                        return complain("posix_fadvise");
                left = resident_pages(fd, (size_t)st.st_size);
                if (left < 0)
                        return -1;
        }
        printf("{\"bytes\":%jd,\"resident_pages\":%ld}\n", (intmax_t)st.st_size, left);
        errno = EBUSY;
        return left * sysconf(_SC_PAGESIZE) * 20 > st.st_size ? complain("pages stay in the cache") : 0;
}

static const struct {
        const char *name, *words;
        int least, most; /* words */
        int (*fn)(int argc, char **argv);
} loops[] = {
        { "splice", "IN OUT", 2, 2, bare_splice },
        { "copy", "IN OUT", 2, 2, bare_copy },
        { "tee", "IN COUNT COMMAND...", 3, 32, bare_tee },
        { "tee-files", "IN OUT...", 2, 17, bare_tee_files },
        { "tee-direct", "IN OUT...", 2, 17, bare_tee_direct },
        { "read", "RESULT", 1, 1, bare_read },
        { "memcpy", "BYTES", 1, 1, bare_memcpy },
        { "send", "sendfile|splice|copy FILE PORT", 3, 3, bare_send },
        { "discard", "PORT RESULT", 2, 2, bare_discard },
        { "receive", "PORT RESULT", 2, 2, bare_receive },
        { "receive-file", "PORT FILE", 2, 2, bare_receive_file },
        { "fetch", "PORT PATH RESULT", 3, 3, bare_fetch },
        { "spawn", "FILE COUNT COMMAND...", 3, 32, spawn },
        { "sum", "FILE", 1, 1, sum },
        { "drop", "FILE", 1, 1, drop },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc > 1 && i < sizeof(loops) / sizeof(*loops); i++)
                if (strcmp(argv[1], loops[i].name) == 0 && argc - 2 >= loops[i].least && argc - 2 <= loops[i].most)
                        return loops[i].fn(argc - 1, argv + 1) < 0;
        fputs("Usage: sluice-bench-bare LOOP ..., where LOOP is\n", stderr);
        for (size_t i = 0; i < sizeof(loops) / sizeof(*loops); i++)
                fprintf(stderr, "  %s %s\n", loops[i].name, loops[i].words);
        return USAGE;
}
