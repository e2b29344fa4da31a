/* tests/unit/object.c: what an object defines is found, by either kind of hash table, and nothing else; a file that lies about
 * itself is no reason to crash, or to read for ever. */
#include "unit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "object.h"

static int ask(const char *path, const char *name)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC), r;

        assert_true(fd >= 0);
        r = object_defines(fd, name);
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
        close(fd);
        return r;
}

#define LONG_NAME "f_with_a_name_that_is_longer_than_what_is_read_of_it_at_a_time_which_is_not_much_and_even_so_it_is_told_apart"

static const char *const kinds[] = { OBJECTS "/functions.so", OBJECTS "/sysv.so" };

static void functions_are_found(void **state)
{
        static const char *const names[] = { "f_copy", "f_say", "f_returns", "f_leaves_a_note", "f_segfault", LONG_NAME };

        (void)state;
        for (size_t k = 0; k < COUNT(kinds); k++)
                for (size_t i = 0; i < COUNT(names); i++)
                        if (ask(kinds[k], names[i]) != 0)
                                fail_msg("%s has no %s", kinds[k], names[i]);
}

static void others_are_not(void **state)
{
        static const char *const names[] = { "",       "f",      "f_cop",         "f_copyy", "F_copy",  LONG_NAME "x",
                                             "printf", "malloc", "f_no_function", "crash",   "_DYNAMIC" };

        (void)state;
        for (size_t k = 0; k < COUNT(kinds); k++)
                for (size_t i = 0; i < COUNT(names); i++)
                        if (ask(kinds[k], names[i]) != -ENOENT)
                                fail_msg("%s has %s: %d", kinds[k], names[i], ask(kinds[k], names[i]));
}

static void what_is_no_object(void **state)
{
        int fds[2];

        (void)state;
        assert_int_equal(ask("/dev/null", "f"), -ENOEXEC);
        assert_int_equal(ask("/", "f"), -ENOEXEC);
        assert_int_equal(ask("/etc/passwd", "f"), -ENOEXEC);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(object_defines(fds[0], "f"), -ENOEXEC);
        close(fds[0]);
        close(fds[1]);
        assert_int_equal(object_defines(-1, "f"), -EBADF);
}

/* ---- lies ---- */

struct copy {
        int fd;
        uint8_t *data;
        size_t bytes;
};

static void take(struct copy *c, const char *path)
{
        int from = open(path, O_RDONLY | O_CLOEXEC);

        c->bytes = (size_t)lseek(from, 0, SEEK_END);
        c->fd = memfd_create("copy", MFD_CLOEXEC);
        assert_int_equal(ftruncate(c->fd, (off_t)c->bytes), 0);
        c->data = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
        assert_int_equal(pread(from, c->data, c->bytes, 0), c->bytes);
        close(from);
        assert_int_equal(object_defines(c->fd, "f_copy"), 0);
}

static void drop(struct copy *c)
{
        munmap(c->data, c->bytes);
        close(c->fd);
}

/* Cut anywhere: found, or not, or no object; never more than that. */
static void every_length(void **state)
{
        (void)state;
        for (size_t k = 0; k < COUNT(kinds); k++) {
                struct copy c;
                int r;

                take(&c, kinds[k]);
                for (size_t n = c.bytes - 1; n > 0; n -= n < 2048 ? 1 : 97) {
                        assert_int_equal(ftruncate(c.fd, (off_t)n), 0);
                        r = object_defines(c.fd, "f_copy");
                        assert_true(r == 0 || r == -ENOEXEC);
                }
                assert_int_equal(r, -ENOEXEC);
                drop(&c);
        }
}

static void every_byte(void **state)
{
        static const uint8_t values[] = { 0x00, 0xff, 0x7f, 0x01 };

        (void)state;
        for (size_t k = 0; k < COUNT(kinds); k++) {
                struct copy c;

                take(&c, kinds[k]);
                for (size_t i = 0; i < c.bytes && i < 8192; i++) {
                        uint8_t was = c.data[i];

                        for (size_t v = 0; v < COUNT(values); v++) {
                                int r;

                                c.data[i] = values[v];
                                r = object_defines(c.fd, "f_copy");
                                if (r != 0 && r != -ENOEXEC && r != -ENOENT)
                                        fail_msg("%s: byte %zu as %02x: %d", kinds[k], i, values[v], r);
                        }
                        c.data[i] = was;
                }
                drop(&c);
        }
}

static void other_machines(void **state)
{
        struct copy c;
        Elf64_Ehdr *h;

        (void)state;
        take(&c, kinds[0]);
        h = (Elf64_Ehdr *)(void *)c.data;
        h->e_machine = EM_S390;
        assert_int_equal(object_defines(c.fd, "f_copy"), -ENOEXEC);
        drop(&c);
        take(&c, kinds[0]);
        h = (Elf64_Ehdr *)(void *)c.data;
        h->e_type = ET_EXEC;
        assert_int_equal(object_defines(c.fd, "f_copy"), -ENOEXEC);
        drop(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(functions_are_found), cmocka_unit_test(others_are_not), cmocka_unit_test(what_is_no_object),
                cmocka_unit_test(every_length),        cmocka_unit_test(every_byte),     cmocka_unit_test(other_machines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
