/* uring/probe.c: see probe.h. Called by uring/ and by `doctor` through the engine; calls the kernel directly, since
 * what it asks is about the kernel and not on the way of any byte. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "numa.h"
#include "pages.h"
#include "uapi.h"

static unsigned masked_flags;
static uint64_t masked_ops;
static int pretended_refusal;
static bool pretends;

void probe_mask_ring_flags(unsigned never)
{
        masked_flags = never;
}

void probe_mask_ops(uint64_t never)
{
        masked_ops = never;
}

void probe_refuse_ring(int error)
{
        pretended_refusal = error;
}

int probe_ring_refused(void)
{
        return pretended_refusal;
}

bool probe_op_masked(unsigned opcode)
{
        return opcode < 64 && masked_ops & UINT64_C(1) << opcode;
}

/* What was not there yet: set-up flags, and operations from one opcode on. */
static const struct {
        const char *kernel;
        unsigned flags, ops_end;
} older[] = {
        { "5.15",
          IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                  UAPI_SETUP_TASKRUN_FLAG,
          40 /* MSG_RING: 5.18 */ },
        { "5.19", IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER, 47 /* SEND_ZC: 6.0 */ },
        { "6.1", 0, UAPI_OP_READ_MULTISHOT },
        { "6.6", 0, UAPI_OP_READ_MULTISHOT },
};

int probe_pretend(const char *kernel)
{
        for (size_t i = 0; i < sizeof(older) / sizeof(older[0]); i++)
                if (strcmp(older[i].kernel, kernel) == 0) {
                        masked_flags = older[i].flags;
                        masked_ops = ~UINT64_C(0) << older[i].ops_end;
                        pretends = true; /* none of them splices from /dev/zero */
                        return 0;
                }
        return -EINVAL;
}

unsigned probe_ring_flags(void)
{
        return (IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP |
                IORING_SETUP_CQSIZE) &
               ~masked_flags;
}

/* Unknown bits fail with EINVAL and do not say which: strip one, newest first. */
unsigned probe_next_ring_flags(unsigned refused)
{
        static const unsigned newest_first[] = {
                IORING_SETUP_DEFER_TASKRUN, /* 6.1 */
                IORING_SETUP_SINGLE_ISSUER, /* 6.0 */
                IORING_SETUP_COOP_TASKRUN,  /* 5.19 */
                IORING_SETUP_SUBMIT_ALL,    /* 5.18 */
        };

        for (size_t i = 0; i < sizeof(newest_first) / sizeof(newest_first[0]); i++) {
                if (!(refused & newest_first[i]))
                        continue;
                refused &= ~newest_first[i];
                /* Without DEFER_TASKRUN, COOP_TASKRUN is the next best: completions come when we enter anyway. */
                if (newest_first[i] == IORING_SETUP_DEFER_TASKRUN)
                        refused |= IORING_SETUP_COOP_TASKRUN & ~masked_flags;
                return refused;
        }
        return 0;
}

static long read_number(const char *path)
{
        char text[32] = "";
        FILE *f = fopen(path, "re");
        long value = -1;

        if (!f)
                return -1;
        if (fgets(text, sizeof(text), f))
                value = strtol(text, NULL, 10);
        fclose(f);
        return value;
}

static int read_status_number(const char *key)
{
        char line[256];
        FILE *f = fopen("/proc/self/status", "re");
        int value = -1;

        if (!f)
                return -1;
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, key, strlen(key)) == 0)
                        value = (int)strtol(line + strlen(key), NULL, 10);
        fclose(f);
        return value;
}

static bool has_capability(int cap)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];

        if (syscall(SYS_capget, &header, data) < 0)
                return false;
        return data[cap / 32].effective & 1u << (cap % 32);
}

/* fs/pipe.c: pipe_is_unprivileged_user() */
static bool pipe_quota_exempt(void)
{
        return has_capability(CAP_SYS_RESOURCE) || has_capability(CAP_SYS_ADMIN);
}

size_t probe_pipe_budget(void)
{
        long pages = read_number("/proc/sys/fs/pipe-user-pages-soft");

        if (pages <= 0 || pipe_quota_exempt())
                return SIZE_MAX;
        return (size_t)pages / 4 * (size_t)getpagesize();
}

static bool zero_splices(void)
{
        int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), fds[2] = { -1, -1 };
        bool ret = false;

        if (fd < 0)
                return true; /* opening it says why */
        if (pipe2(fds, O_CLOEXEC) < 0)
                goto out;
        ret = splice(fd, NULL, fds[1], NULL, 1, SPLICE_F_NONBLOCK) == 1;
        close(fds[0]);
        close(fds[1]);
out:
        close(fd);
        return ret;
}

bool probe_zero_splices(void)
{
        enum { UNKNOWN, NO, YES };
        static atomic_int answer;
        int known = atomic_load(&answer);

        if (pretends)
                return false;
        if (known == UNKNOWN)
                atomic_store(&answer, known = zero_splices() ? YES : NO);
        return known == YES;
}

static bool op_supported(const struct io_uring_probe *p, int op)
{
        return p && op <= p->last_op && (p->ops[op].flags & IO_URING_OP_SUPPORTED) && !probe_op_masked((unsigned)op);
}

static void probe_ring(struct probe_ring *r)
{
        struct io_uring_params params;
        struct io_uring_probe *known;
        struct io_uring ring;
        unsigned flags = probe_ring_flags();

        r->error = probe_ring_refused();
        while (r->error == 0) {
                memset(&params, 0, sizeof(params));
                params.flags = flags;
                params.cq_entries = 16;
                r->error = io_uring_queue_init_params(8, &ring, &params);
                if (r->error != -EINVAL || !flags)
                        break;
                flags = probe_next_ring_flags(flags);
                r->error = 0;
        }
        if (r->error < 0)
                return;
        r->setup_flags = flags;
        r->features = params.features;
        known = io_uring_get_probe_ring(&ring);
        r->last_op = known ? known->last_op : 0;
        r->splice = op_supported(known, IORING_OP_SPLICE);
        r->tee = op_supported(known, IORING_OP_TEE);
        r->poll = op_supported(known, IORING_OP_POLL_ADD);
        r->accept = op_supported(known, IORING_OP_ACCEPT);
        r->connect = op_supported(known, IORING_OP_CONNECT);
        r->openat = op_supported(known, IORING_OP_OPENAT);
        r->close = op_supported(known, IORING_OP_CLOSE);
        r->fsync = op_supported(known, IORING_OP_FSYNC);
        r->rename = op_supported(known, IORING_OP_RENAMEAT);
        r->unlink = op_supported(known, IORING_OP_UNLINKAT);
        r->cancel = op_supported(known, IORING_OP_ASYNC_CANCEL);
        io_uring_free_probe(known);
        io_uring_queue_exit(&ring);
}

/* A page of a file goes into a pipe, the file is overwritten, the pipe is read: the new byte means that splice passes
 * references, the old one that this kernel copies (proposed upstream in 2026). */
static int splice_shares_pages(void)
{
        int fd = memfd_create("sluice-probe", MFD_CLOEXEC), fds[2] = { -1, -1 }, result;
        loff_t offset = 0;
        char c = 'A';

        if (fd < 0 || pipe2(fds, O_CLOEXEC) < 0 || ftruncate(fd, getpagesize()) < 0 || pwrite(fd, &c, 1, 0) != 1) {
                result = -errno;
                goto out;
        }
        if (splice(fd, &offset, fds[1], NULL, 1, 0) != 1) {
                result = -errno;
                goto out;
        }
        c = 'B';
        result = pwrite(fd, &c, 1, 0) == 1 && read(fds[0], &c, 1) == 1 ? c == 'B' : -EIO;
out:
        for (int i = 0; i < 2; i++)
                if (fds[i] >= 0)
                        close(fds[i]);
        if (fd >= 0)
                close(fd);
        return result;
}

static size_t pipe_granted(void)
{
        int fds[2], size;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return 0;
        if (fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) < 0)
                fcntl(fds[1], F_SETPIPE_SZ, 256 << 10);
        size = fcntl(fds[1], F_GETPIPE_SZ);
        close(fds[0]);
        close(fds[1]);
        return size < 0 ? 0 : (size_t)size;
}

static uint64_t soft_limit(int resource)
{
        struct rlimit l;

        if (getrlimit(resource, &l) < 0 || l.rlim_cur == RLIM_INFINITY)
                return UINT64_MAX;
        return l.rlim_cur;
}

static bool has_pidfd(void)
{
        int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

        if (fd < 0)
                return false;
        close(fd);
        return true;
}

/* Loads hwloc even where there is one node only: the question is what hwloc says. */
static int numa_nodes(void)
{
        struct numa *n = malloc(sizeof(*n));
        int r = n ? numa_load(n) : -ENOMEM, nodes = 0;

        for (unsigned i = 0; r == 0 && i < n->nr; i++)
                nodes += n->nodes[i].memory;
        free(n);
        return r < 0 ? r : nodes;
}

void probe_all(struct probe *p)
{
        struct utsname name;

        memset(p, 0, sizeof(*p));
        if (uname(&name) == 0)
                snprintf(p->kernel, sizeof(p->kernel), "%.40s %.20s", name.release, name.machine);
        probe_ring(&p->ring);
        p->io_uring_disabled = (int)read_number("/proc/sys/kernel/io_uring_disabled");
        p->seccomp = read_status_number("Seccomp:");
        p->pipe_max_bytes = read_number("/proc/sys/fs/pipe-max-size");
        p->pipe_user_pages_soft = read_number("/proc/sys/fs/pipe-user-pages-soft");
        p->pipe_user_pages_hard = read_number("/proc/sys/fs/pipe-user-pages-hard");
        p->pipe_granted_bytes = pipe_granted();
        p->pipe_quota_exempt = pipe_quota_exempt();
        p->pipe_budget_bytes = probe_pipe_budget();
        p->memlock_bytes = soft_limit(RLIMIT_MEMLOCK);
        p->memlock_exempt = has_capability(CAP_IPC_LOCK);
        p->nofile = soft_limit(RLIMIT_NOFILE);
        p->splice_shares_pages = splice_shares_pages();
        p->pidfd = has_pidfd();
        p->close_range = syscall(SYS_close_range, ~0U, ~0U, 0) == 0;
        p->numa_nodes = numa_nodes();
        p->numa_several = numa_several();
        p->huge_free = pages_huge_free();
        pages_thp_mode(p->thp, sizeof(p->thp));
}
