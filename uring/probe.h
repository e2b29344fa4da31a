/* uring/probe.h: the only place that asks what this kernel and its limits can do; each answer is asked once. */
#ifndef SLUICE_URING_PROBE_H
#define SLUICE_URING_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct probe_ring {
        int error;            /* 0, or -errno of io_uring_setup */
        unsigned setup_flags; /* granted */
        unsigned features;
        unsigned last_op;
        bool splice, tee, poll, accept, connect, openat, close, fsync, rename, unlink, cancel;
};

struct probe {
        char kernel[64];
        struct probe_ring ring;
        int io_uring_disabled;                                           /* sysctl; -1: no such sysctl */
        int seccomp;                                                     /* 0 none, 1 strict, 2 filter, -1 unknown */
        long pipe_max_bytes, pipe_user_pages_soft, pipe_user_pages_hard; /* -1 unknown */
        size_t pipe_granted_bytes;                                       /* what a new pipe of 1 MiB becomes */
        bool pipe_quota_exempt;
        size_t pipe_budget_bytes;
        uint64_t memlock_bytes, nofile; /* soft limits; UINT64_MAX: unlimited */
        bool memlock_exempt;
        int splice_shares_pages; /* 1 yes, 0 the kernel copies, -errno splice is refused */
        bool pidfd, close_range;
        int numa_nodes;    /* with memory for us; -ENOSYS: hwloc is not there */
        bool numa_several; /* there is more than one, as far as the kernel says */
        long huge_free;    /* 2 MiB pages in reserve; -1: this kernel has none such */
        char thp[16];      /* "always", "madvise", "never"; "": this kernel has none such */
};

/* Fills all of it: sets up and tears down a ring, loads hwloc (6 ms). For `sluice doctor`. */
void probe_all(struct probe *ret);

/* The cheap answers, for who needs one. */
size_t probe_pipe_budget(void);
/* Whether /dev/zero can be spliced from: since 6.7. Asked once; any thread. */
bool probe_zero_splices(void);

/* Ring set-up flags that a kernel may refuse, newest first; tests mask features to look like an older kernel. */
unsigned probe_ring_flags(void);
unsigned probe_next_ring_flags(unsigned refused);
void probe_mask_ring_flags(unsigned never);
/* For tests, and process-wide: opcodes, as bits, that the kernel is not to know; an error with which it refuses a ring (0:
 * it does not); a release to look like: "5.15", "5.19", "6.1", "6.6" (-EINVAL: another). */
void probe_mask_ops(uint64_t never);
void probe_refuse_ring(int error);
int probe_pretend(const char *kernel);
/* ... and what the ring asks. */
int probe_ring_refused(void);
bool probe_op_masked(unsigned opcode);

#endif
