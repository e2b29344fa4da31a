/* uring/guard_image.h: the bytes of the guard's program. */
#ifndef SLUICE_URING_GUARD_IMAGE_H
#define SLUICE_URING_GUARD_IMAGE_H

#include <stddef.h>

const char *guard_image(size_t *ret_bytes);

#endif
