/* older_command.c: with the sources of the command, the command on an older kernel: see support/kernel.h. */
#include "kernel.h"

__attribute__((constructor)) static void before_main(void)
{
        t_kernel_from_environment();
}
