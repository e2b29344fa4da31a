/* bad_disk_is_named.c: a source whose disk fails in the middle is the stage that is named, with EIO, whoever moves its bytes;
 * what came before arrives, and an atomic sink stays the old one.
 *
 * The disk is a FUSE file system of one file, served by a thread of this process over /dev/fuse, in a mount namespace of
 * its own: GOOD bytes can be read, the rest is -EIO. Spliced pages of it are those of the page cache, as on a real disk. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fixture.h"

enum { GOOD = 1 << 20, SIZE = 3 << 20, REQUEST_BYTES = 1 << 18, NODE_FILE = 2 };

static struct disk {
        int fd;
        pthread_t thread;
        char *directory;
        uint8_t *content;
} disk = { .fd = -1 };

/* ---- the file system ---- */

static void answer(const struct fuse_in_header *in, int error, const void *data, size_t bytes)
{
        struct fuse_out_header out = { .len = (uint32_t)(sizeof(out) + bytes), .error = error, .unique = in->unique };
        struct iovec iov[2] = { { &out, sizeof(out) }, { (void *)(uintptr_t)data, bytes } };

        (void)!writev(disk.fd, iov, bytes ? 2 : 1);
}

static struct fuse_attr attributes(uint64_t node)
{
        return node == NODE_FILE
                       ? (struct fuse_attr){ .ino = node, .size = SIZE, .mode = S_IFREG | 0444, .nlink = 1, .blksize = 4096 }
                       : (struct fuse_attr){ .ino = 1, .mode = S_IFDIR | 0755, .nlink = 2 };
}

static void serve_read(const struct fuse_in_header *in, const struct fuse_read_in *read)
{
        size_t n = read->size;

        if (read->offset >= GOOD)
                answer(in, -EIO, NULL, 0);
        else
                answer(in, 0, disk.content + read->offset, n < GOOD - read->offset ? n : GOOD - read->offset);
}

static void serve(const struct fuse_in_header *in, const void *body)
{
        switch (in->opcode) {
        case FUSE_INIT: {
                struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
                                             .minor = 31,
                                             .max_readahead = 65536,
                                             .max_write = 65536,
                                             .max_background = 4,
                                             .congestion_threshold = 3 };

                answer(in, 0, &out, sizeof(out));
                return;
        }
        case FUSE_LOOKUP: {
                struct fuse_entry_out out = {
                        .nodeid = NODE_FILE, .entry_valid = 60, .attr_valid = 60, .attr = attributes(NODE_FILE)
                };
                bool known = strcmp(body, "bad") == 0;

                answer(in, known ? 0 : -ENOENT, &out, known ? sizeof(out) : 0);
                return;
        }
        case FUSE_GETATTR: {
                struct fuse_attr_out out = { .attr_valid = 60, .attr = attributes(in->nodeid) };

                answer(in, 0, &out, sizeof(out));
                return;
        }
        case FUSE_OPEN:
        case FUSE_OPENDIR: {
                struct fuse_open_out out = { .fh = 1 };

                answer(in, 0, &out, sizeof(out));
                return;
        }
        case FUSE_READ:
                serve_read(in, body);
                return;
        case FUSE_RELEASE:
        case FUSE_RELEASEDIR:
        case FUSE_FLUSH:
                answer(in, 0, NULL, 0);
                return;
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
                return; /* no answer is wanted */
        default:
                answer(in, -ENOSYS, NULL, 0);
        }
}

/* Until the file system is unmounted: then reading fails with ENODEV. */
static void *serve_all(void *arg)
{
        uint8_t *request = malloc(REQUEST_BYTES);
        ssize_t n;

        while (request && ((n = read(disk.fd, request, REQUEST_BYTES)) > 0 || errno == EINTR || errno == EAGAIN))
                if (n >= (ssize_t)sizeof(struct fuse_in_header))
                        serve((const void *)request, request + sizeof(struct fuse_in_header));
        free(request);
        return arg;
}

static bool private_mounts(void)
{
        static bool made;

        if (!made)
                made = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
        return made;
}

static void insert(void)
{
        char options[128];

        disk.fd = private_mounts() ? open("/dev/fuse", O_RDWR | O_CLOEXEC) : -1;
        if (disk.fd < 0)
                skip();
        disk.directory = strdup(t_path("disk"));
        disk.content = malloc(GOOD);
        t_pattern(disk.content, GOOD, 0);
        assert_return_code(mkdir(disk.directory, 0700), errno);
        snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", disk.fd);
        assert_return_code(mount("bad", disk.directory, "fuse", MS_NOSUID | MS_NODEV, options), errno);
        assert_int_equal(pthread_create(&disk.thread, NULL, serve_all, NULL), 0);
}

static int eject(void **state)
{
        if (disk.directory) {
                umount2(disk.directory, MNT_DETACH);
                pthread_join(disk.thread, NULL);
                rmdir(disk.directory);
        }
        if (disk.fd >= 0)
                close(disk.fd);
        free(disk.directory);
        free(disk.content);
        disk = (struct disk){ .fd = -1 };
        return t_end(state);
}

/* ---- what is promised ---- */

/* The source fails; so much of it is in the sink. */
static void source_fails(struct sluice_pipeline *p, bool atomic)
{
        struct sluice_failure f[4];
        char path[256];
        struct stat st;

        t_chain(p);
        t_run(p, -EIO);
        assert_true(sluice_pipeline_failures(p, f, 4) >= 1);
        assert_int_equal(f[0].stage, 0);
        assert_int_equal(f[0].error, -EIO);
        assert_non_null(strstr(f[0].message, strerror(EIO)));
        sluice_pipeline_free(p);
        snprintf(path, sizeof(path), "%s", t_path("sink"));
        if (atomic) {
                t_check_text(path, "old");
                return;
        }
        assert_return_code(stat(path, &st), errno);
        assert_true(st.st_size <= GOOD);
        t_check_file(path, (uint64_t)st.st_size, 0);
        unlink(path);
}

static void test_engine_reads(void **state)
{
        (void)state;
        insert();
        for (size_t d = 0; d < T_NR(t_drivers); d++)
                for (int kind = 0; kind < 4; kind++) {
                        struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                        t_ok(sluice_add_file(p, t_path("disk/bad"), T_FILE(.flags = kind == 3 ? SLUICE_FILE_SNAPSHOT : 0)));
                        if (kind == 1)
                                t_ok(sluice_add_count(p));
                        if (kind == 2)
                                t_make_text(t_path("sink"), "old");
                        t_ok(sluice_add_file(p, t_path("sink"), T_FILE(.flags = kind == 2 ? SLUICE_FILE_ATOMIC : 0)));
                        source_fails(p, kind == 2);
                        unlink(t_path("sink"));
                }
}

/* A command that was handed the file says so itself: its status is the result, and no success. */
static void test_command_reads(void **state)
{
        struct sluice_pipeline *p = t_new(T_OPTIONS(.grace_ms = T_GRACE_MS));
        struct sluice_failure f[4];

        (void)state;
        insert();
        t_ok(sluice_add_file(p, t_path("disk/bad"), NULL));
        t_ok(sluice_add_command(p, T_ARGV("cat"), NULL));
        t_ok(sluice_add_file(p, t_path("sink"), NULL));
        t_chain(p);
        assert_true(sluice_pipeline_run(p) < 0);
        assert_true(sluice_pipeline_failures(p, f, 4) >= 1);
        assert_int_equal(f[0].stage, 1);
        assert_int_equal(f[0].exit_status, 1);
        sluice_pipeline_free(p);
        unlink(t_path("sink"));
}

/* Up to where it fails there is nothing wrong with it. */
static void test_good_part(void **state)
{
        (void)state;
        insert();
        for (size_t d = 0; d < T_NR(t_drivers); d++) {
                struct sluice_pipeline *p = t_new_driver(t_drivers[d]);

                t_ok(sluice_add_file(p, t_path("disk/bad"), T_FILE(.flags = SLUICE_FILE_RANGE, .length = GOOD)));
                t_ok(sluice_add_file(p, t_path("sink"), NULL));
                t_chain(p);
                t_run_free(p, 0);
                t_check_file(t_path("sink"), GOOD, 0);
                unlink(t_path("sink"));
        }
}

#define DISK(f) cmocka_unit_test_setup_teardown(f, t_begin, eject)

int main(void)
{
        const struct CMUnitTest tests[] = { DISK(test_engine_reads), DISK(test_command_reads), DISK(test_good_part) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
