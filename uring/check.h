/* uring/check.h: asserts graded by price.
 * ASSERT is always on: a compare, on the path of a system call, costs nothing, and a wrong byte costs more.
 * CHECK walks things and is for debug and sanitizer builds. */
#ifndef SLUICE_URING_CHECK_H
#define SLUICE_URING_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define ASSERT(condition)                                                                                                          \
        do {                                                                                                                       \
                if (__builtin_expect(!(condition), 0)) {                                                                           \
                        fprintf(stderr, "sluice: %s:%d: assertion failed: %s\n", __FILE__, __LINE__, #condition);                  \
                        abort();                                                                                                   \
                }                                                                                                                  \
        } while (0)

#ifdef SLUICE_CHECKS
#define CHECK(condition) ASSERT(condition)
#else
#define CHECK(condition) ((void)sizeof(condition))
#endif

#endif
