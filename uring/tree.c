/* uring/tree.c: see tree.h. /proc/PID/task/TID/children names the children of each thread; it costs what the tree does, not
 * what the machine does. Children forked by one thread are listed with that thread, hence the loop over all of them.
 * Built twice: into the library, and without libc into the guard. */
#include "tree.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

#include "raw.h"

/* Small: the guard's stack is two pages, most days. */
enum { PATH_BYTES = 64, DENTS_BYTES = 512, TEXT_BYTES = 2048 };

static char *put_text(char *at, const char *text)
{
        while (*text)
                *at++ = *text++;
        *at = '\0';
        return at;
}

static char *put_number(char *at, uint64_t n)
{
        char digits[24];
        int nr = 0;

        do
                digits[nr++] = (char)('0' + n % 10);
        while (n /= 10);
        while (nr > 0)
                *at++ = digits[--nr];
        *at = '\0';
        return at;
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* Numbers separated by spaces, which a read may cut in two: `carry` is the one begun. */
static size_t take_numbers(const char *text, long bytes, uint64_t *carry, bool *in_number, pid_t *ret, size_t nr, size_t cap)
{
        for (long i = 0; i < bytes; i++) {
                if (is_digit(text[i])) {
                        *carry = *carry * 10 + (uint64_t)(text[i] - '0');
                        *in_number = true;
                } else if (*in_number) {
                        if (nr < cap)
                                ret[nr++] = (pid_t)*carry;
                        *carry = 0;
                        *in_number = false;
                }
        }
        return nr;
}

static size_t read_children(int task, const char *tid, pid_t *ret, size_t nr, size_t cap)
{
        char path[PATH_BYTES], text[TEXT_BYTES];
        bool in_number = false;
        uint64_t carry = 0;
        long fd, n;

        put_text(put_text(path, tid), "/children");
        fd = raw4(SYS_openat, task, path, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0)
                return nr;
        while ((n = raw3(SYS_read, fd, text, sizeof(text))) > 0)
                nr = take_numbers(text, n, &carry, &in_number, ret, nr, cap);
        nr = take_numbers(" ", 1, &carry, &in_number, ret, nr, cap);
        raw1(SYS_close, fd);
        return nr;
}

static size_t children_of(pid_t pid, pid_t *ret, size_t nr, size_t cap)
{
        _Alignas(8) char dents[DENTS_BYTES];
        char path[PATH_BYTES];
        long task, n;

        if (pid)
                put_text(put_number(put_text(path, "/proc/"), (uint64_t)pid), "/task");
        else
                put_text(path, "/proc/self/task");
        task = raw4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        if (task < 0)
                return nr;
        while ((n = raw3(SYS_getdents64, task, dents, sizeof(dents))) > 0)
                for (long at = 0; at < n;) {
                        const struct kernel_dirent *d = (const void *)(dents + at);

                        if (is_digit(d->name[0]))
                                nr = read_children((int)task, d->name, ret, nr, cap);
                        at += d->bytes;
                }
        raw1(SYS_close, task);
        return nr;
}

size_t tree_children(pid_t root, pid_t *ret, size_t cap)
{
        return children_of(root, ret, 0, cap);
}

size_t tree_walk(pid_t root, pid_t *ret, size_t cap)
{
        size_t nr = children_of(root, ret, 0, cap);

        for (size_t i = 0; i < nr && nr < cap; i++)
                nr = children_of(ret[i], ret, nr, cap);
        return nr;
}
