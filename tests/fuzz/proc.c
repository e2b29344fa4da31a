/* tests/fuzz/proc.c: what /proc and cgroups say, as bytes: RssAnon against a slow reading, the children of a task in pieces against
 * all of them at once, and a directory that only looks like a cgroup.
 *
 *      input = the length of a piece, then the bytes */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "fuzz.h"
#include "usage.h"

/* The reading itself is nobody's but its own. */
#define tree_walk     fuzz_tree_walk
#define tree_children fuzz_tree_children
#include "../../uring/tree.c"

const char *const fuzz_words[] = { "\nRssAnon:", "\t", " kB\n", "18014398509481983", "18014398509481984", "\noom_kill ",
                                   "oom ",       "0 ", "-1\n",  "4194304 ",          "2147483648",        NULL };

enum { PIDS_MAX = 64 };

/* ---- RssAnon ---- */

static int read_slowly(const char *status, uint64_t *ret)
{
        const char *line = strstr(status, "\nRssAnon:");
        char digits[4200];
        int used = 0;

        if (!line)
                return -ENOENT;
        line += strlen("\nRssAnon:");
        while (*line == ' ' || *line == '\t')
                line++;
        sscanf(line, "%4199[0-9]%n", digits, &used);
        if (used == 0 || strncmp(line + used, " kB", 3) != 0)
                return -EINVAL;
        errno = 0;
        *ret = strtoull(digits, NULL, 10);
        if (errno || *ret > UINT64_MAX / 1024)
                return -EINVAL;
        *ret *= 1024;
        return 0;
}

static void check_rss(const char *text)
{
        uint64_t got = 7, wanted = 0;
        int r = usage_parse_rss_anon(text, &got), slow = read_slowly(text, &wanted);

        CLAIM(r == slow);
        CLAIM(got == (r == 0 ? wanted : 7));
}

/* ---- children ---- */

static size_t numbers(const char *text, size_t bytes, size_t piece, pid_t *ret, size_t cap)
{
        bool in_number = false;
        uint64_t carry = 0;
        size_t nr = 0;

        for (size_t at = 0; at < bytes; at += piece) {
                size_t n = bytes - at < piece ? bytes - at : piece;

                nr = take_numbers(text + at, (long)n, &carry, &in_number, ret, nr, cap);
#ifdef FUZZ_PLANTED_BUG
                in_number = false;
#endif
        }
        return take_numbers(" ", 1, &carry, &in_number, ret, nr, cap);
}

static void check_children(const char *text, size_t bytes, size_t piece)
{
        pid_t whole[PIDS_MAX], cut[PIDS_MAX];
        size_t nr = numbers(text, bytes, bytes + 1, whole, PIDS_MAX);

        CLAIM(nr <= PIDS_MAX);
        CLAIM(numbers(text, bytes, piece, cut, PIDS_MAX) == nr);
        CLAIM(nr == 0 || memcmp(whole, cut, nr * sizeof(*cut)) == 0);
        CLAIM(numbers(text, bytes, piece, cut, 1) <= 1);
}

/* ---- a cgroup ---- */

static void put(int directory, const char *name, const char *text)
{
        int fd = openat(directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        CLAIM(fd >= 0);
        CLAIM(write(fd, text, strlen(text)) == (ssize_t)strlen(text)); /* not emptied first: that is waited for on a disk */
        CLAIM(ftruncate(fd, (off_t)strlen(text)) == 0);
        close(fd);
}

static void see_pid(void *arg, pid_t pid)
{
        CLAIM(pid > 0);
        ++*(unsigned *)arg;
}

/* Where the program runs, in its build folder; one for all its runs. */
static int make_directory(void)
{
        int fd;

        CLAIM(mkdir("proc.cgroup", 0700) == 0 || errno == EEXIST);
        fd = open("proc.cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLAIM(fd >= 0);
        return fd;
}

static void check_cgroup(const char *text)
{
        static struct cgroup g = { .fd = -1, .parent = -1 };
        uint64_t peak = 7;
        unsigned seen = 0;

        if (g.fd < 0)
                g.fd = make_directory();
        put(g.fd, "cgroup.procs", text);
        put(g.fd, "memory.events", text);
        put(g.fd, "memory.peak", text);
        cgroup_each(&g, see_pid, &seen);
        CLAIM(seen <= strlen(text));
        CLAIM(cgroup_memory_peak(&g, &peak) == 0);
        CLAIM(strstr(text, "\noom_kill ") || cgroup_memory_kills(&g) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        char *text;

        if (bytes == 0)
                return 0;
        text = text_of(data + 1, bytes - 1);
        check_rss(text);
        check_children(text, bytes - 1, data[0] ? data[0] : 1);
        check_cgroup(text);
        free(text);
        return 0;
}
