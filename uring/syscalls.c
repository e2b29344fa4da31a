/* uring/syscalls.c: see syscalls.h. Each translates errno once, at the call. */
#include "syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "uapi.h"

enum { PIPE_BYTES_DEFAULT = 64 << 10 };

static ssize_t answer(ssize_t r)
{
        return r < 0 ? -errno : r;
}

uint64_t sys_now_ns(struct backend *b)
{
        struct timespec t;

        (void)b;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

ssize_t sys_try_splice(struct backend *b, struct slot *in, int64_t offset_in, struct slot *out, int64_t offset_out, size_t bytes,
                       bool more)
{
        loff_t at_in = offset_in, at_out = offset_out;

        (void)b;
        return answer(splice(in->fd, offset_in < 0 ? NULL : &at_in, out->fd, offset_out < 0 ? NULL : &at_out, bytes,
                             SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0u)));
}

ssize_t sys_try_tee(struct backend *b, struct slot *in, struct slot *out, size_t bytes)
{
        (void)b;
        return answer(tee(in->fd, out->fd, bytes, SPLICE_F_NONBLOCK));
}

/* O_NONBLOCK belongs to whoever opened the fd; RWF_NOWAIT is this call's alone. Where a kind of fd does not know it
 * (pipes before 6.x, pipes that splice(2) has touched) an fd that is O_NONBLOCK cannot wait anyway. Sockets have
 * MSG_DONTWAIT. -EOPNOTSUPP: this fd cannot say. */
bool sys_never_waits(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags >= 0 && flags & O_NONBLOCK;
}

ssize_t sys_try_read(struct backend *b, struct slot *s, void *data, size_t bytes)
{
        struct iovec v = { data, bytes };
        ssize_t r;

        (void)b;
        if (slot_nature(s) == SLOT_SOCKET)
                return answer(recv(s->fd, data, bytes, MSG_DONTWAIT));
        r = answer(preadv2(s->fd, &v, 1, -1, RWF_NOWAIT));
        if (r == -EOPNOTSUPP)
                r = sys_never_waits(s->fd) ? answer(read(s->fd, data, bytes)) : -EOPNOTSUPP;
        return r;
}

ssize_t sys_try_write(struct backend *b, struct slot *s, const void *data, size_t bytes)
{
        struct iovec v = { (void *)(uintptr_t)data, bytes };
        ssize_t r;

        (void)b;
        if (slot_nature(s) == SLOT_SOCKET)
                return answer(send(s->fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL));
        r = answer(pwritev2(s->fd, &v, 1, -1, RWF_NOWAIT));
        if (r == -EOPNOTSUPP)
                r = sys_never_waits(s->fd) ? answer(write(s->fd, data, bytes)) : -EOPNOTSUPP;
        return r;
}

int sys_ready(struct backend *b, struct slot *s, unsigned events)
{
        struct pollfd p = { .fd = s->fd, .events = (short)events };
        int r;

        (void)b;
        do
                r = poll(&p, 1, 0);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : (int)(unsigned short)p.revents;
}

static int socket_number(int fd, int name)
{
        int value = 0;
        socklen_t bytes = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) < 0 ? -errno : value;
}

static bool read_fdinfo(int fd, char *text, size_t cap)
{
        char path[64];
        ssize_t n;
        int info;

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        info = open(path, O_RDONLY | O_CLOEXEC);
        if (info < 0)
                return false;
        n = read(info, text, cap - 1);
        close(info);
        text[n > 0 ? n : 0] = '\0';
        return n > 0;
}

/* lseek() takes the file's position lock, which a child holds for the whole of a blocking write (4.4 s in a test). */
int64_t sys_position(struct backend *b, int fd)
{
        long long position = -1;
        char text[128];

        (void)b;
        return read_fdinfo(fd, text, sizeof(text)) && sscanf(text, "pos: %lld", &position) == 1 ? position : -1;
}

pid_t sys_pid_of_pidfd(int pidfd, pid_t otherwise)
{
        struct uapi_pidfd_info info = { .mask = UAPI_PIDFD_INFO_PID };
        char text[512], *at;

        if (ioctl(pidfd, UAPI_PIDFD_GET_INFO, &info) == 0 && info.mask & UAPI_PIDFD_INFO_PID && info.tgid > 0)
                return (pid_t)info.tgid;
        if (!read_fdinfo(pidfd, text, sizeof(text)))
                return otherwise;
        at = strstr(text, "\nPid:");
        return at && atoi(at + 5) > 0 ? atoi(at + 5) : otherwise;
}

static enum fd_kind kind_of(int fd, const struct stat *st)
{
        switch (st->st_mode & S_IFMT) {
        case S_IFREG:
                return FD_FILE;
        case S_IFIFO:
                return FD_PIPE;
        case S_IFDIR:
                return FD_DIRECTORY;
        case S_IFSOCK:
                return socket_number(fd, SO_ACCEPTCONN) > 0 ? FD_LISTENER : FD_SOCKET;
        case S_IFCHR:
                /* /dev/null is asked for most, and its kind is never a terminal. */
                return major(st->st_rdev) != MEM_MAJOR && isatty(fd) ? FD_TTY : FD_DEVICE;
        default:
                return S_ISBLK(st->st_mode) ? FD_FILE : FD_OTHER;
        }
}

int sys_inspect(struct backend *b, int fd, struct fd_info *ret)
{
        struct fd_info info = { .size = -1 };
        struct statfs fs;
        struct stat st;

        (void)b;
        if (fstat(fd, &st) < 0)
                return -errno;
        info.flags = fcntl(fd, F_GETFL);
        if (info.flags < 0)
                return -errno;
        info.kind = kind_of(fd, &st);
        info.device = st.st_dev;
        info.inode = st.st_ino;
        info.mode = st.st_mode & 07777;
        info.names = (unsigned)st.st_nlink;
        if (info.kind == FD_FILE) {
                info.size = st.st_size;
                info.in_memory = fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
        } else if (info.kind == FD_SOCKET || info.kind == FD_LISTENER) {
                info.family = socket_number(fd, SO_DOMAIN);
                info.local = info.kind == FD_SOCKET && address_peer_is_local(fd);
        }
        *ret = info;
        return 0;
}

/* A host without standard streams gets 0, 1 or 2 for what it opens next; whoever then closes or replaces "its" stdin
 * would close ours, and a child's fds are placed there. The fd is taken over; -errno closes it. */
int sys_above_stdio(int fd)
{
        int high;

        if (fd < 0 || fd > STDERR_FILENO)
                return fd;
        high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (high < 0)
                high = -errno;
        close(fd);
        return high;
}

/* The size is asked for and then read back: a user over the quota gets 8 KiB and EPERM for more, or a part of it. */
int sys_pipe(struct backend *b, int ret[2], size_t bytes, size_t *ret_bytes)
{
        int granted;

        (void)b;
        if (pipe2(ret, O_CLOEXEC) < 0)
                return -errno;
        ret[0] = sys_above_stdio(ret[0]);
        ret[1] = sys_above_stdio(ret[1]);
        if (ret[0] < 0 || ret[1] < 0) {
                int error = ret[0] < 0 ? ret[0] : ret[1];

                for (int i = 0; i < 2; i++)
                        if (ret[i] >= 0)
                                close(ret[i]);
                return error;
        }
        granted = bytes == PIPE_BYTES_DEFAULT ? 0 : fcntl(ret[1], F_SETPIPE_SZ, (int)bytes); /* answers with what it gave */
        while (granted < 0 && bytes > PIPE_BYTES_DEFAULT)
                granted = fcntl(ret[1], F_SETPIPE_SZ, (int)(bytes /= 4));
        if (granted <= 0)
                granted = fcntl(ret[1], F_GETPIPE_SZ);
        *ret_bytes = granted > 0 ? (size_t)granted : 4096;
        return 0;
}

int sys_grow_pipe(struct backend *b, int fd, size_t bytes)
{
        int has = fcntl(fd, F_GETPIPE_SZ), r = -1;

        (void)b;
        for (; has >= 0 && r < 0 && bytes > (size_t)has; bytes /= 4)
                r = fcntl(fd, F_SETPIPE_SZ, (int)bytes);
        return has < 0 ? -errno : r < 0 ? has : r;
}

static int set_flag(int fd, int flag, bool on)
{
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        return fcntl(fd, F_SETFL, on ? flags | flag : flags & ~flag) < 0 ? -errno : 0;
}

int sys_set_nonblock(struct backend *b, int fd, bool on)
{
        (void)b;
        return set_flag(fd, O_NONBLOCK, on);
}

/* Not asked of open(2): a file system that refuses O_DIRECT does so when the file has been made already. */
int sys_set_direct(struct backend *b, int fd, bool on)
{
        (void)b;
        return set_flag(fd, O_DIRECT, on);
}

/* Never below 3: an engine fd with the number of a standard stream would be taken for one. */
int sys_dup(struct backend *b, int fd)
{
        int r = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        (void)b;
        return r < 0 ? -errno : r;
}

void sys_close(struct backend *b, int fd)
{
        (void)b;
        close(fd);
}

int sys_open_null(struct backend *b, bool write)
{
        int fd = open("/dev/null", (write ? O_WRONLY : O_RDONLY) | O_CLOEXEC);

        (void)b;
        return fd < 0 ? -errno : sys_above_stdio(fd);
}

int sys_socket(struct backend *b, int family, int type)
{
        int fd = socket(family, type | SOCK_CLOEXEC, 0);

        (void)b;
        return fd < 0 ? -errno : fd;
}

int sys_listen(struct backend *b, int fd, const struct sockaddr *address, socklen_t bytes, int backlog)
{
        (void)b;
        if (bind(fd, address, bytes) < 0 || listen(fd, backlog) < 0)
                return -errno;
        return 0;
}

int sys_option(struct backend *b, int fd, int level, int name, int value)
{
        const struct linger linger = { .l_onoff = value >= 0, .l_linger = value };
        bool lingers = level == SOL_SOCKET && name == SO_LINGER;
        const void *data = lingers ? (const void *)&linger : &value;

        (void)b;
        return setsockopt(fd, level, name, data, lingers ? sizeof(linger) : sizeof(value)) < 0 ? -errno : 0;
}

/* A connection that its kernel has given up is no connection any more: the socket still has the cause. */
int sys_shutdown(struct backend *b, int fd, int how)
{
        int r;

        (void)b;
        if (shutdown(fd, how) == 0)
                return 0;
        if (errno != ENOTCONN)
                return -errno;
        r = sys_socket_error(fd);
        return r < 0 ? r : -ENOTCONN;
}

int sys_reset(struct backend *b, int fd)
{
        const struct linger now = { .l_onoff = 1, .l_linger = 0 };

        (void)b;
        return setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0 ? -errno : 0;
}

int sys_chmod(struct backend *b, int fd, const char *path, mode_t mode)
{
        (void)b;
        /* Who may write the directory may have put a link in its place: then it is another's file. */
        return (path ? fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW) : fchmod(fd, mode)) < 0 ? -errno : 0;
}

int sys_socket_error(int fd)
{
        int error = 0;
        socklen_t bytes = sizeof(error);

        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0 ? -errno : -error;
}

/* Bytes that the peer's kernel has not acknowledged. */
int sys_unsent(struct backend *b, int fd)
{
        int bytes = 0;

        (void)b;
        return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? -errno : bytes;
}

int sys_seek(struct backend *b, int fd, int64_t relative)
{
        (void)b;
        return lseek(fd, relative, SEEK_CUR) < 0 ? -errno : 0;
}

int sys_cached(struct backend *b, struct slot *s, int64_t offset, uint32_t bytes)
{
        const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = (uint64_t)offset / page * page,
                       to = ((uint64_t)offset + bytes + page - 1) / page * page;
        struct uapi_cachestat_range range = { from, to - from };
        struct uapi_cachestat ret;

        (void)b;
        if (syscall(SYS_cachestat, s->fd, &range, &ret, 0) < 0)
                return -errno;
        return ret.nr_cache >= (to - from) / page;
}

/* By the magic link, so that it is the opened file that is watched, whatever its name names by now. */
int sys_watch(struct backend *b, int fd, uint32_t mask)
{
        char path[64];
        int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), r;

        (void)b;
        if (watch < 0)
                return -errno;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (inotify_add_watch(watch, path, mask) >= 0)
                return watch;
        r = -errno;
        close(watch);
        return r;
}

int sys_wait_child(struct backend *b, int pidfd, bool reap, struct child_status *ret)
{
        struct rusage used = { 0 };
        siginfo_t info = { 0 };

        (void)b;
        /* The system call has a fifth argument that libc's waitid() lacks: what the child has used. */
        if (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED | WNOHANG | (reap ? 0 : WNOWAIT), &used) < 0) {
                if (errno != ECHILD)
                        return -errno;
                *ret = (struct child_status){ .known = false }; /* the host took it: never pretend that it was 0 */
                return 0;
        }
        if (info.si_pid == 0)
                return -EAGAIN;
        *ret = (struct child_status){ .known = true };
        ret->cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
        ret->max_rss_bytes = (uint64_t)used.ru_maxrss << 10;
        if (info.si_code == CLD_EXITED)
                ret->exit_status = info.si_status;
        else
                ret->signal = info.si_status;
        return 0;
}

int sys_kill_child(struct backend *b, int pidfd, int signal)
{
        (void)b;
        return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int sys_kill_group(struct backend *b, pid_t group, int signal)
{
        (void)b;
        return kill(-group, signal) < 0 ? -errno : 0;
}

int sys_stopped_child(struct backend *b, int pidfd)
{
        siginfo_t info = { 0 };

        (void)b;
        if (waitid(P_PIDFD, (id_t)pidfd, &info, WSTOPPED | WNOHANG | WNOWAIT) < 0)
                return -errno;
        return info.si_pid ? info.si_status : 0;
}

/* Of one that is not our child: what /proc says. */
bool sys_process_is_stopped(struct backend *b, pid_t pid)
{
        char path[32], text[256], *end;
        ssize_t n;
        int fd;

        (void)b;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[n > 0 ? n : 0] = '\0';
        end = strrchr(text, ')');
        return end && strncmp(end, ") T", 3) == 0;
}

/* Why a process that was handed this fd may have failed on it. 0: nothing is seen to be wrong. */
int sys_probable_error(struct backend *b, int fd)
{
        struct pollfd p = { .fd = fd };
        struct statvfs fs;
        struct rlimit limit;
        struct stat st;

        (void)b;
        if (fstat(fd, &st) < 0)
                return 0;
        if (S_ISREG(st.st_mode)) {
                if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
                    (uint64_t)st.st_size >= limit.rlim_cur)
                        return -EFBIG;
                return fstatvfs(fd, &fs) == 0 && fs.f_bavail == 0 ? -ENOSPC : 0;
        }
        if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 7)) /* /dev/full */
                return -ENOSPC;
        if (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP)) {
                int error = S_ISSOCK(st.st_mode) ? socket_number(fd, SO_ERROR) : 0;

                return error > 0 ? -error : -EPIPE;
        }
        return 0;
}

/* Whether a process has this file behind that number. False too when it may not be looked at, or is gone. */
bool sys_process_holds(struct backend *b, pid_t pid, int fd, uint64_t inode)
{
        char path[64];
        struct stat st;

        (void)b;
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
        return stat(path, &st) == 0 && st.st_ino == inode;
}
