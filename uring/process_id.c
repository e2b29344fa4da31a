/* uring/process_id.c: see process_id.h. glibc has not cached getpid() since 2.25, and a loop asks in every turn whether it is still
 * in its own process: one system call of seven for a message passed on. A page that the kernel empties in a child (MADV_WIPEONFORK,
 * Linux 4.14) says it as well, for a clone() that nobody told us of too. */
#include "process_id.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic pid_t *page; /* 0 in it: not asked yet, or a child of who asked */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_page(void)
{
        size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                return;
        if (madvise(p, bytes, MADV_WIPEONFORK) < 0)
                munmap(p, bytes); /* asked each time, then */
        else
                page = p;
}

pid_t process_id(void)
{
        pid_t id;

        pthread_once(&once, make_page);
        if (!page)
                return getpid();
        id = atomic_load_explicit(page, memory_order_relaxed);
        if (id == 0) {
                id = getpid();
                atomic_store_explicit(page, id, memory_order_relaxed);
        }
        return id;
}
