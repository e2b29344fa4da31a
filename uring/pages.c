/* uring/pages.c: see pages.h. */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "numa.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* 5.14 */
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

enum { MEMPOLICY_BIND = 2, BITS = 8 * sizeof(unsigned long) };

static void first_line(const char *path, char *ret, size_t cap)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, ret, cap - 1);

        if (fd >= 0)
                close(fd);
        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
}

long pages_huge_free(void)
{
        char text[32];

        first_line("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", text, sizeof(text));
        return text[0] ? atol(text) : -1;
}

/* "always [madvise] never" */
void pages_thp_mode(char *ret, size_t cap)
{
        char text[64];
        char *from, *to;

        first_line("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text));
        from = strchr(text, '[');
        to = from ? strchr(from, ']') : NULL;
        if (to)
                *to = '\0';
        snprintf(ret, cap, "%s", to ? from + 1 : "");
}

/* Before anything is touched: a policy moves no page that is there already. */
static int bind_to(void *data, size_t bytes, int node)
{
        unsigned long mask[NUMA_OS_MAX / BITS] = { 0 };

        if (node < 0)
                return 0;
        mask[(unsigned)node / BITS] = 1UL << (unsigned)node % BITS;
        return syscall(SYS_mbind, data, bytes, MEMPOLICY_BIND, mask, (unsigned long)NUMA_OS_MAX, 0) < 0 ? -errno : 0;
}

static int map_huge(struct pages *ret, size_t bytes, int node)
{
        void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
        int bind_error;

        if (data == MAP_FAILED)
                return -ENOMEM;
        bind_error = bind_to(data, bytes, node);
        /* The reserve is the machine's, not the node's, and control groups are asked at the touch only. */
        if (madvise(data, bytes, MADV_POPULATE_WRITE) < 0) {
                munmap(data, bytes);
                return -ENOMEM;
        }
        *ret = (struct pages){ .data = data, .bytes = bytes, .kind = PAGES_HUGE, .bind_error = bind_error };
        return 0;
}

/* Room for the alignment is mapped and given back. */
static void *map_aligned(size_t bytes, size_t align)
{
        size_t more = align > 4096 ? align : 0;
        char *data = mmap(NULL, bytes + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        size_t before;

        if (data == MAP_FAILED)
                return NULL;
        before = more ? (align - (uintptr_t)data % align) % align : 0;
        if (before)
                munmap(data, before);
        if (more > before)
                munmap(data + before + bytes, more - before);
        return data + before;
}

static bool thp_granted(void *data, size_t bytes)
{
        char mode[16];

        pages_thp_mode(mode, sizeof(mode));
        return mode[0] && strcmp(mode, "never") != 0 && madvise(data, bytes, MADV_HUGEPAGE) == 0;
}

int pages_map(struct pages *ret, size_t bytes, int node, bool small)
{
        bool large = !small && bytes % PAGES_HUGE_BYTES == 0;
        struct pages p = { .bytes = bytes, .kind = PAGES_PLAIN };

        if (large && map_huge(ret, bytes, node) == 0)
                return 0;
        p.data = map_aligned(bytes, large ? PAGES_HUGE_BYTES : 4096);
        if (!p.data)
                return -ENOMEM;
        p.bind_error = bind_to(p.data, bytes, node);
        if (large && thp_granted(p.data, bytes))
                p.kind = PAGES_THP;
        *ret = p;
        return 0;
}

static void *touch(void *arg)
{
        const struct pages *p = arg;

        if (madvise(p->data, p->bytes, MADV_POPULATE_WRITE) == 0)
                return NULL;
        for (size_t at = 0; at < p->bytes; at += 4096)
                ((volatile char *)p->data)[at] = 0;
        return NULL;
}

int pages_touch_on(const struct pages *p, const cpu_set_t *cpus)
{
        struct pages copy = *p;
        pthread_attr_t attr;
        sigset_t all, old;
        pthread_t id;
        int r;

        pthread_attr_init(&attr);
        r = pthread_attr_setaffinity_np(&attr, sizeof(*cpus), cpus);
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &old); /* a handler of the host's runs on the host's threads */
        if (r == 0)
                r = pthread_create(&id, &attr, touch, &copy);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
        if (r == 0)
                pthread_join(id, NULL);
        return -r;
}

void pages_unmap(struct pages *p)
{
        munmap(p->data, p->bytes);
        p->data = NULL;
}
