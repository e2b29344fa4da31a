/* auto_follows_the_cache.c: a file that is in the page cache is moved by calls that do not wait; one that is not, by workers that
 * may wait for storage; and one of which a part is, by both. On a disk, since what is in memory has no other place. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fixture.h"

enum { BYTES = 40 * T_MIB, PART = 16 * T_MIB };
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct range {
        uint64_t from, bytes;
};
struct cached {
        uint64_t pages, dirty, writeback, evicted, recently;
};

static char path[512];

static long cached_pages(int fd)
{
        struct range all = { 0, BYTES };
        struct cached ret;

        return syscall(SYS_cachestat, fd, &all, &ret, 0) < 0 ? -1 : (long)ret.pages;
}

/* In the directory of the build, where that is a disk of ours. -1: there is none, or this kernel cannot tell. */
static int make_file(void)
{
        const char *folder = getenv("BUILD") ? getenv("BUILD") : ".";
        uint8_t *data;
        struct statfs fs;
        int fd;

        if (statfs(folder, &fs) < 0 || fs.f_type == TMPFS_MAGIC || fs.f_type == OVERLAYFS_SUPER_MAGIC)
                return -1;
        snprintf(path, sizeof(path), "%s/auto_follows_the_cache.%d", folder, (int)getpid());
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -1;
        data = malloc(T_MIB);
        for (uint64_t at = 0; at < BYTES; at += T_MIB) {
                t_pattern(data, T_MIB, at);
                assert_int_equal(pwrite(fd, data, T_MIB, (off_t)at), T_MIB);
        }
        free(data);
        assert_int_equal(fsync(fd), 0);
        if (cached_pages(fd) > 0)
                return fd;
        close(fd);
        unlink(path);
        return -1;
}

static struct sluice_stats move_all(void)
{
        struct sluice_pipeline *p = t_new(NULL);
        struct t_peer reader = { 0 };
        struct sluice_stats s;
        char address[32];

        t_reader(&reader, -1, t_listen(address, sizeof(address)));
        t_ok(sluice_add_file(p, path, NULL));
        t_ok(sluice_add_tcp(p, address, NULL));
        t_chain(p);
        t_run(p, 0);
        s = t_stats(p, 0);
        assert_int_equal(s.bytes_copied.value, 0);
        assert_int_equal(s.bytes.value, BYTES);
        t_check_law(p);
        sluice_pipeline_free(p);
        t_join_exact(&reader, BYTES);
        return s;
}

static void warm(int fd, off_t from, size_t bytes)
{
        char *data = malloc(bytes);

        assert_int_equal(pread(fd, data, bytes, from), bytes);
        free(data);
}

/* True: it has taken effect, which the kernel does not promise. */
static bool drop(int fd)
{
        return posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && cached_pages(fd) == 0;
}

static void test_hot_cold_and_both(void **state)
{
        struct sluice_stats s;
        int fd = make_file();

        (void)state;
        if (fd < 0)
                skip();
        s = move_all();
        assert_int_equal(s.driver, SLUICE_DRIVER_INLINE);
        assert_int_equal(s.ops_ring, 0);
        assert_int_equal(s.driver_changes, 0);
        if (drop(fd)) {
                s = move_all();
                assert_true(s.ops_ring > 0); /* the rest was read ahead, or not */
        }
        if (drop(fd)) {
                warm(fd, BYTES - PART, PART); /* the end, since what follows a beginning is read ahead */
                s = move_all();
                assert_true(s.ops_inline > 0);
                assert_true(s.ops_ring > 0);
                assert_true(s.driver_changes >= 1);
        }
        close(fd);
        unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = { T_TEST(test_hot_cold_and_both) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
