/* uring/pages.h: memory from the kernel in large pieces, on a node, in the largest pages that are granted.
 *
 *      huge    2 MiB pages out of the reserve (hugetlb), all there before it is given out: a fault that finds the reserve
 *              or its control group empty would be a SIGBUS
 *      thp     2 MiB pages when the kernel finds them (MADV_HUGEPAGE)
 *      plain   as they are touched, 4 KiB at a time
 *
 * Calls the kernel. Any thread. */
#ifndef SLUICE_URING_PAGES_H
#define SLUICE_URING_PAGES_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

enum { PAGES_HUGE_BYTES = 2 << 20 };
enum pages_kind { PAGES_HUGE, PAGES_THP, PAGES_PLAIN, PAGES_KINDS };

struct pages {
        void *data; /* page-aligned; a multiple of 2 MiB when `bytes` is one */
        size_t bytes;
        enum pages_kind kind;
        int bind_error; /* 0, or -errno: the node could not be asked for, the memory is wherever it was touched */
};

/* `bytes`: a multiple of 4096; of 2 MiB for huge pages to be tried. `node`: the kernel's number, -1 for any. `small`: plain
 * pages, which cost nothing before they are touched. 0, -ENOMEM. */
int pages_map(struct pages *ret, size_t bytes, int node, bool small);
/* Touches all of it from a thread on these CPUs, so that the kernel takes it from their node. 0 or -errno. */
int pages_touch_on(const struct pages *p, const cpu_set_t *cpus);
void pages_unmap(struct pages *p);

/* For the doctor: 2 MiB pages in reserve; -1: this kernel has none such. */
long pages_huge_free(void);
/* "always", "madvise", "never"; "" when this kernel does not have them. */
void pages_thp_mode(char *ret, size_t cap);

#endif
