/* uring/program.c: see program.h. The programs' images, as the linker made them, are part of the library. Called by guard.c
 * and the engine. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "syscalls.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* 6.3 */
#endif

#define IMAGE(name, file)                                                                                                          \
        __asm__(".section .rodata\n"                                                                                               \
                ".balign 16\n"                                                                                                     \
                ".globl sluice_" #name "_begin\n"                                                                                  \
                ".hidden sluice_" #name "_begin\n"                                                                                 \
                "sluice_" #name "_begin:\n"                                                                                        \
                ".incbin \"" file "\"\n"                                                                                           \
                ".globl sluice_" #name "_end\n"                                                                                    \
                ".hidden sluice_" #name "_end\n"                                                                                   \
                "sluice_" #name "_end:\n"                                                                                          \
                ".byte 0\n"                                                                                                        \
                ".previous\n");                                                                                                    \
        extern const char name##_begin[] __asm__("sluice_" #name "_begin") __attribute__((visibility("hidden")));                  \
        extern const char name##_end[] __asm__("sluice_" #name "_end") __attribute__((visibility("hidden")))

IMAGE(guard_image, PROGRAM_FOLDER "/sluice-guard");
IMAGE(worker_image, PROGRAM_FOLDER "/sluice-worker");

static const struct {
        const char *name, *begin, *end, *installed;
} programs[] = {
        [PROGRAM_GUARD] = { "sluice-guard", guard_image_begin, guard_image_end, PROGRAM_INSTALLED "/sluice-guard" },
        [PROGRAM_WORKER] = { "sluice-worker", worker_image_begin, worker_image_end, PROGRAM_INSTALLED "/sluice-worker" },
};

static int write_all(int fd, const char *at, const char *end)
{
        while (at < end) {
                ssize_t n = write(fd, at, (size_t)(end - at));

                if (n < 0 && errno != EINTR)
                        return -errno;
                at += n > 0 ? n : 0;
        }
        return 0;
}

static int memory_file(const char *name)
{
        int fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC);

        return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC) : fd;
}

int program_open(enum program which)
{
        int fd = memory_file(programs[which].name), r;

        if (fd < 0) {
                fd = open(programs[which].installed, O_PATH | O_CLOEXEC);
                return fd < 0 ? -errno : sys_above_stdio(fd);
        }
        r = write_all(fd, programs[which].begin, programs[which].end);
        if (r < 0) {
                close(fd);
                return r;
        }
        return sys_above_stdio(fd);
}
