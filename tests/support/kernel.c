/* kernel.c: see kernel.h. */
#include "kernel.h"

#include <errno.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

#define BIT(op) (UINT64_C(1) << (op))

static void look_like(const char *kernel)
{
        if (strcmp(kernel, "no-splice") == 0) {
                probe_mask_ops(BIT(IORING_OP_SPLICE) | BIT(IORING_OP_TEE) | BIT(IORING_OP_READ) | BIT(IORING_OP_ACCEPT) |
                               BIT(IORING_OP_OPENAT));
        } else if (probe_pretend(kernel) < 0) {
                fprintf(stderr, "SLUICE_TEST_KERNEL: not '%s'\n", kernel);
                abort();
        }
}

void t_kernel_from_environment(void)
{
        const char *backend = getenv("SLUICE_TEST_BACKEND"), *kernel = getenv("SLUICE_TEST_KERNEL");

        if (backend && strcmp(backend, "epoll") == 0)
                probe_refuse_ring(-EPERM);
        if (kernel)
                look_like(kernel);
}
