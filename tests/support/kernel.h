/* kernel.h: the kernel that a test is to see, from its environment, before main():
 *
 *      SLUICE_TEST_BACKEND=epoll     io_uring is refused: everything goes by epoll
 *      SLUICE_TEST_KERNEL=5.15       a release to look like: 5.15, 5.19, 6.1, 6.6
 *      SLUICE_TEST_KERNEL=no-splice  one that does not know some operations: those go another way, the rest by the ring
 *
 * The library itself reads no environment; a test links it statically and can mask what the probe finds. */
#ifndef SLUICE_TEST_KERNEL_H
#define SLUICE_TEST_KERNEL_H

void t_kernel_from_environment(void);

#endif
