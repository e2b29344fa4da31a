/* uring/raw.h: system calls without libc: no errno, no stack protector, no sanitizer in between.
 *
 * For code that runs where libc must not: in a child that shares our memory (spawn_clone.c) and in the guard, which is
 * built without libc. Each returns what the kernel does: >= 0 or a negative errno. Calls nothing. */
#ifndef SLUICE_URING_RAW_H
#define SLUICE_URING_RAW_H

#include <stdint.h>
#include <sys/syscall.h>

#if defined(__SANITIZE_THREAD__)
#define NO_SANITIZE __attribute__((no_sanitize("thread", "undefined")))
#elif defined(__clang__)
#define NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define NO_SANITIZE __attribute__((no_sanitize("address", "undefined")))
#endif

#define RAW NO_SANITIZE static inline __attribute__((always_inline, unused))

#if defined(__x86_64__)
RAW long raw6(long nr, long a, long b, long c, long d, long e, long f)
{
        register long r10 __asm__("r10") = d;
        register long r8 __asm__("r8") = e;
        register long r9 __asm__("r9") = f;
        long r;

        __asm__ volatile("syscall"
                         : "=a"(r)
                         : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
        return r;
}
#elif defined(__aarch64__)
RAW long raw6(long nr, long a, long b, long c, long d, long e, long f)
{
        register long x8 __asm__("x8") = nr;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;
        register long x4 __asm__("x4") = e;
        register long x5 __asm__("x5") = f;

        __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
        return x0;
}
#else
#error "raw.h: write the system call for this architecture"
#endif

#define RAW_LONG(x)             ((long)(uintptr_t)(x))
#define raw0(nr)                raw6(nr, 0, 0, 0, 0, 0, 0)
#define raw1(nr, a)             raw6(nr, (long)(a), 0, 0, 0, 0, 0)
#define raw2(nr, a, b)          raw6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define raw3(nr, a, b, c)       raw6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define raw4(nr, a, b, c, d)    raw6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define raw5(nr, a, b, c, d, e) raw6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

/* What getdents64 fills a buffer with. */
struct kernel_dirent {
        uint64_t ino;
        int64_t offset;
        uint16_t bytes;
        uint8_t type;
        char name[];
};

#endif
