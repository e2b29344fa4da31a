/* uring/uapi.h: the kernel's numbers that Debian 12's headers lack, and no other file's.
 * Each with the kernel that brought it; all are ABI, so a header that learns one later agrees with us. */
#ifndef SLUICE_URING_UAPI_H
#define SLUICE_URING_UAPI_H

#include <liburing.h>

/* include/uapi/linux/io_uring.h */
#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1U << 7) /* 5.18 */
#endif
#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8) /* 5.19 */
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12) /* 6.0 */
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13) /* 6.1 */
#endif

#define UAPI_SETUP_TASKRUN_FLAG (1U << 9) /* 5.19 */

/* Beyond liburing 2.3's IORING_OP_LAST: the first operation that 6.1 and 6.6 lack, for a probe that looks like theirs. */
enum {
        UAPI_OP_READ_MULTISHOT = 49, /* 6.7 */
};

#define UAPI_FEAT_RECVSEND_BUNDLE (1U << 14) /* 6.10 */
#define UAPI_FEAT_MIN_TIMEOUT     (1U << 15) /* 6.12 */

/* include/uapi/linux/pidfd.h: 6.13. What is asked for in `mask` is given, and what was given is in it then. */
struct uapi_pidfd_info {
        uint64_t mask, cgroupid;
        uint32_t pid, tgid, ppid, ids[8], spare;
};
#define UAPI_PIDFD_INFO_PID (UINT64_C(1) << 0)
#define UAPI_PIDFD_GET_INFO _IOWR(0xff, 11, struct uapi_pidfd_info)

/* include/linux/errno.h: never meant for userspace; io-wq lets them out when a running splice is cancelled. */
#define KERNEL_ERESTARTSYS           512
#define KERNEL_ERESTART_RESTARTBLOCK 516

/* include/uapi/linux/mman.h and asm/unistd: 6.5 */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
struct uapi_cachestat_range {
        __u64 off, len;
};
struct uapi_cachestat {
        __u64 nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted;
};

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2) /* 5.11 */
#endif

#endif
