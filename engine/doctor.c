/* engine/doctor.c: what this machine allows, each answer with its cure where something is amiss. Pure but for the
 * probe it asks. Called by hosts (`sluice doctor`). */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#include "contain.h"
#include "pipe.h"
#include "probe.h"
#include "uapi.h"

struct report {
        sluice_finding_fn *fn;
        void *arg;
};

static void say(struct report *r, const char *subject, enum sluice_health health, const char *cure, const char *format, ...)
        __attribute__((format(printf, 5, 6)));

static void say(struct report *r, const char *subject, enum sluice_health health, const char *cure, const char *format, ...)
{
        char value[640];
        va_list args;

        va_start(args, format);
        vsnprintf(value, sizeof(value), format, args);
        va_end(args);
        r->fn(r->arg, &(struct sluice_finding){ subject, value, health == SLUICE_GOOD ? "" : cure, health });
}

static const char *ring_cure(const struct probe *p)
{
        if (p->ring.error == -EPERM && p->io_uring_disabled > 0)
                return "sysctl -w kernel.io_uring_disabled=0";
        if (p->ring.error == -EPERM)
                return "a seccomp filter forbids it: allow io_uring_setup, io_uring_enter and io_uring_register in the container's "
                       "profile";
        if (p->ring.error == -ENOMEM)
                return "raise the locked-memory limit: ulimit -l 65536";
        if (p->ring.error == -ENOSYS)
                return "the kernel is built without CONFIG_IO_URING, or a sandbox hides it: Linux 5.15 or newer is needed";
        return "see io_uring_setup(2)";
}

static void ring(struct report *r, const struct probe *p)
{
        const struct probe_ring *k = &p->ring;

        if (k->error < 0) {
                say(r, "io_uring", SLUICE_AMISS, ring_cure(p), "refused: %s (epoll does its work)", strerror(-k->error));
                return;
        }
        say(r, "io_uring", SLUICE_GOOD, "", "yes%s%s%s%s%s", k->setup_flags & IORING_SETUP_DEFER_TASKRUN ? ", DEFER_TASKRUN" : "",
            k->setup_flags & IORING_SETUP_SINGLE_ISSUER ? ", SINGLE_ISSUER" : "",
            k->setup_flags & IORING_SETUP_SUBMIT_ALL ? ", SUBMIT_ALL" : "",
            k->features & UAPI_FEAT_RECVSEND_BUNDLE ? ", bundles" : "", k->features & UAPI_FEAT_MIN_TIMEOUT ? ", min-timeout" : "");
        say(r, "io_uring operations", k->splice && k->tee && k->cancel ? SLUICE_GOOD : SLUICE_AMISS,
            "Linux 5.15 or newer is needed", "splice %s, tee %s, poll %s, accept %s, connect %s, cancel %s, last opcode %u",
            k->splice ? "yes" : "no", k->tee ? "yes" : "no", k->poll ? "yes" : "no", k->accept ? "yes" : "no",
            k->connect ? "yes" : "no", k->cancel ? "yes" : "no", k->last_op);
}

static void pipes(struct report *r, const struct probe *p)
{
        size_t budget = pipe_budget();

        say(r, "pipe size", p->pipe_granted_bytes >= PIPE_BYTES_MEDIUM ? SLUICE_GOOD : SLUICE_AMISS,
            "sysctl -w fs.pipe-max-size=1048576; or the user's quota is used up: close pipes of other processes",
            "%zu KiB granted, %ld KiB at most", p->pipe_granted_bytes >> 10, p->pipe_max_bytes >> 10);
        if (p->pipe_quota_exempt)
                say(r, "pipe quota", SLUICE_GOOD, "", "this user is exempt (CAP_SYS_ADMIN or CAP_SYS_RESOURCE)");
        else
                say(r, "pipe quota", p->pipe_user_pages_soft >= 4096 ? SLUICE_GOOD : SLUICE_NOTE,
                    "sysctl -w fs.pipe-user-pages-soft=65536", "%ld pages for all processes of this user", p->pipe_user_pages_soft);
        if (budget == SIZE_MAX)
                say(r, "pipe budget", SLUICE_GOOD, "", "no limit");
        else
                say(r, "pipe budget", SLUICE_GOOD, "", "%zu KiB, then smaller pipes, then copying", budget >> 10);
}

static void zero_copy(struct report *r, const struct probe *p)
{
        if (p->splice_shares_pages == 1)
                say(r, "splice", SLUICE_GOOD, "",
                    "shares pages: a file changed while it is sent may arrive changed (snapshot copies)");
        else if (p->splice_shares_pages == 0)
                say(r, "splice", SLUICE_NOTE,
                    "none needed: this kernel copies from files into pipes; moves between pipes and sockets still share", "copies");
        else
                say(r, "splice", SLUICE_AMISS, "allow splice and tee in the sandbox, or run with --no-splice", "refused: %s",
                    strerror(-p->splice_shares_pages));
}

/* What a run can hold together, and by what (contain.h). */
static void processes(struct report *r)
{
        enum sluice_contain best;
        char why[512];

        best = contain_probe(why, sizeof(why));
        say(r, "process trees",
            best == SLUICE_CONTAIN_WALK    ? SLUICE_AMISS
            : best == SLUICE_CONTAIN_GUARD ? SLUICE_NOTE
                                           : SLUICE_GOOD,
            best == SLUICE_CONTAIN_WALK
                    ? "allow memfd_create and execution of memory files (sysctl -w vm.memfd_noexec=0), or install sluice-guard"
                    : "none needed; a cgroup is faster and exact: run as root, or in a delegated cgroup (systemd: Delegate=yes)",
            "%s: %s", sluice_contain_name(best), why);
}

static void limits(struct report *r, const struct probe *p)
{
        if (p->memlock_exempt || p->memlock_bytes == UINT64_MAX)
                say(r, "locked memory", SLUICE_GOOD, "", "no limit");
        else
                say(r, "locked memory", p->memlock_bytes >= 1 << 20 ? SLUICE_GOOD : SLUICE_NOTE,
                    "ulimit -l 8192 (a ring takes about 100 KiB)", "%" PRIu64 " KiB", p->memlock_bytes >> 10);
        say(r, "open files", p->nofile >= 1024 ? SLUICE_GOOD : SLUICE_NOTE, "ulimit -n 1024", "%" PRIu64, p->nofile);
        say(r, "seccomp", SLUICE_GOOD, "", "%s",
            p->seccomp == 0   ? "no filter"
            : p->seccomp == 2 ? "a filter is installed"
                              : "unknown");
        say(r, "pidfd", p->pidfd ? SLUICE_GOOD : SLUICE_AMISS, "Linux 5.4 or newer is needed to run commands", "%s",
            p->pidfd ? "yes" : "no");
        say(r, "close_range", p->close_range ? SLUICE_GOOD : SLUICE_NOTE,
            "Linux 5.11: without it commands inherit descriptors that the host left open", "%s", p->close_range ? "yes" : "no");
}

/* What buffers are made of: engine/pool.h. */
static void memory(struct report *r, const struct probe *p)
{
        bool thp = p->thp[0] && strcmp(p->thp, "never") != 0;

        if (!p->numa_several)
                say(r, "NUMA nodes", SLUICE_GOOD, "", "1: nothing to place, all memory is near");
        else if (p->numa_nodes > 0)
                say(r, "NUMA nodes", SLUICE_GOOD, "", "%d with memory: buffers and the kernel's workers go where their thread runs",
                    p->numa_nodes);
        else
                say(r, "NUMA nodes", SLUICE_NOTE, "install libhwloc15", "several, but which is near is unknown: %s",
                    p->numa_nodes == -ENOSYS ? "hwloc is not installed" : "hwloc cannot read this machine");
        if (p->huge_free > 0)
                say(r, "large pages", SLUICE_GOOD, "", "%ld of 2 MiB in reserve, taken first", p->huge_free);
        else
                say(r, "large pages", thp ? SLUICE_GOOD : SLUICE_NOTE,
                    "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled; or sysctl -w vm.nr_hugepages=64",
                    "none in reserve; %s",
                    thp ? "asked for as memory is touched" : "none when asked for: buffers are of 4 KiB pages");
}

/* Tried out: buffers that this thread gets and gives back are at home where it runs. */
static void buffers(struct report *r)
{
        enum { TRIED = 4 };
        struct sluice_pool_stats s = { .size = sizeof(s) };
        struct sluice_buffer *tried[TRIED];
        struct sluice_pool *p;
        int n = 0;

        if (sluice_pool_new(&p, NULL) < 0)
                return;
        while (n < TRIED && sluice_pool_get(p, &tried[n]) == 0)
                n++;
        for (int i = 0; i < n; i++)
                sluice_buffer_put(tried[i]);
        sluice_pool_stats(p, &s);
        say(r, "buffers", s.frees_remote ? SLUICE_NOTE : SLUICE_GOOD, "bind the host's threads, or --numa=NODE",
            "%d tried: %llu local frees, %llu remote", n, (unsigned long long)s.frees_local, (unsigned long long)s.frees_remote);
        sluice_pool_unref(p);
}

void sluice_doctor(sluice_finding_fn *fn, void *arg)
{
        struct report r = { fn, arg };
        struct probe p;

        probe_all(&p);
        say(&r, "kernel", SLUICE_GOOD, "", "%s", p.kernel);
        ring(&r, &p);
        say(&r, "backend", p.ring.error < 0 ? SLUICE_NOTE : SLUICE_GOOD, "see io_uring above", "%s",
            p.ring.error < 0 ? "epoll, with threads for storage" : "io_uring");
        zero_copy(&r, &p);
        pipes(&r, &p);
        processes(&r);
        limits(&r, &p);
        memory(&r, &p);
        buffers(&r);
}

void sluice_pipe_budget(size_t bytes)
{
        pipe_budget_set(bytes);
}
