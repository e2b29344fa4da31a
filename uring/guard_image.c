/* uring/guard_image.c: the guard's program, as the linker made it, inside the library: no file has to be found. */
#include "guard_image.h"

__asm__(".section .rodata\n"
        ".balign 16\n"
        ".globl sluice_guard_image_begin\n"
        ".hidden sluice_guard_image_begin\n"
        "sluice_guard_image_begin:\n"
        ".incbin \"" GUARD_IMAGE "\"\n"
        ".globl sluice_guard_image_end\n"
        ".hidden sluice_guard_image_end\n"
        "sluice_guard_image_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const char begin[] __asm__("sluice_guard_image_begin") __attribute__((visibility("hidden")));
extern const char end[] __asm__("sluice_guard_image_end") __attribute__((visibility("hidden")));

const char *guard_image(size_t *ret_bytes)
{
        *ret_bytes = (size_t)(end - begin);
        return begin;
}
