/* uring/process_id.h: which process this is, without asking the kernel each time. */
#ifndef SLUICE_URING_PROCESS_ID_H
#define SLUICE_URING_PROCESS_ID_H

#include <sys/types.h>

/* getpid()'s answer: of a fork()ed child its own, however it was forked. Any thread. */
pid_t process_id(void);

#endif
