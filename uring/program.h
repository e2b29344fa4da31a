/* uring/program.h: programs of ours that the library starts: it carries them, so that no file has to be found. */
#ifndef SLUICE_URING_PROGRAM_H
#define SLUICE_URING_PROGRAM_H

enum program { PROGRAM_GUARD, PROGRAM_WORKER };

/* An fd to execute as /proc/self/fd/N: the image in memory, or, where the kernel forbids that (vm.memfd_noexec=2), the
 * installed file. The caller's to close; -errno. */
int program_open(enum program which);

#endif
