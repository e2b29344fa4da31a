/* uring/usage.c: see usage.h. Called by the engine's memory watch; reads /proc, which does not wait. */
#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tree.h"

enum { STATUS_BYTES = 4096, TREE_MAX = 1024 };

int usage_parse_rss_anon(const char *status, uint64_t *ret)
{
        static const char key[] = "\nRssAnon:";
        const char *at = strstr(status, key);
        char *end;
        unsigned long long kib;

        if (!at)
                return -ENOENT;
        at += sizeof(key) - 1;
        at += strspn(at, " \t");
        if (*at < '0' || *at > '9')
                return -EINVAL;
        kib = strtoull(at, &end, 10);
        if (strncmp(end, " kB", 3) != 0 || kib > UINT64_MAX >> 10)
                return -EINVAL;
        *ret = (uint64_t)kib << 10;
        return 0;
}

int usage_rss_anon(pid_t pid, uint64_t *ret)
{
        char path[32], text[STATUS_BYTES];
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        if (n < 0)
                return -ESRCH;
        text[n] = '\0';
        return usage_parse_rss_anon(text, ret);
}

uint64_t usage_tree_rss_anon(pid_t root)
{
        pid_t below[TREE_MAX];
        size_t nr = tree_walk(root, below, TREE_MAX);
        uint64_t sum = 0, bytes;

        if (usage_rss_anon(root, &bytes) == 0)
                sum += bytes;
        for (size_t i = 0; i < nr; i++)
                if (usage_rss_anon(below[i], &bytes) == 0)
                        sum += bytes;
        return sum;
}
