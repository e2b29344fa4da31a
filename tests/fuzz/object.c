/* tests/fuzz/object.c: shared objects that lie about themselves. Whatever the file says, the answer is one of three, the file's
 * position stays, and what is said to be defined stands in the file by name. */
#include <elf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "object.h"

const char *const fuzz_words[] = { "\177ELF", "f_copy", "f_say", NULL };

static const char long_name[] = "f_with_a_name_that_is_longer_than_what_is_read_of_it_at_a_time_which_is_not_much";
static const char *const names[] = { "f_copy", "f_a", long_name };

static int file_of(const uint8_t *data, size_t bytes)
{
        static int fd = -1;

        if (fd < 0)
                fd = memfd_create("fuzz", MFD_CLOEXEC);
        CLAIM(fd >= 0);
        CLAIM(ftruncate(fd, 0) == 0);
        CLAIM(pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
        CLAIM(lseek(fd, 7, SEEK_SET) == 7);
        return fd;
}

static int defines(int fd, const uint8_t *data, size_t bytes, const char *name)
{
#ifdef FUZZ_PLANTED_BUG
        if (bytes > sizeof(Elf64_Ehdr) && data[EI_CLASS] == ELFCLASS64 && data[offsetof(Elf64_Ehdr, e_phnum)] > 64)
                return 0;
#endif
        (void)data;
        (void)bytes;
        return object_defines(fd, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        int fd = file_of(data, bytes);

        for (size_t i = 0; i < COUNT(names); i++) {
                int r = defines(fd, data, bytes, names[i]);

                CLAIM(r == 0 || r == -ENOEXEC || r == -ENOENT);
                CLAIM(r != 0 || memmem(data, bytes, names[i], strlen(names[i]) + 1));
                CLAIM(lseek(fd, 0, SEEK_CUR) == 7);
        }
        return 0;
}
