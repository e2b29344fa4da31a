/* uring/syscalls.h: the backend calls that are plain system calls and do not wait, for backends on a real kernel. */
#ifndef SLUICE_URING_SYSCALLS_H
#define SLUICE_URING_SYSCALLS_H

#include <errno.h>
#include <unistd.h>

#include "backend.h"

/* Takes `fd` over and returns one above the standard streams, or -errno. */
int sys_above_stdio(int fd);
/* Adds one to an eventfd that does not block, and leaves errno. A counter that is full has woken whoever reads it already.
 * Async-signal-safe. */
static inline void sys_raise_event(int fd)
{
        const uint64_t one = 1;
        int saved = errno;

        while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
                continue; /* no kernel says so; a tracer may, and a wake-up must not be lost to it */
        errno = saved;
}
uint64_t sys_now_ns(struct backend *b);
bool sys_never_waits(int fd); /* it is O_NONBLOCK */
ssize_t sys_try_splice(struct backend *b, struct slot *in, int64_t offset_in, struct slot *out, int64_t offset_out, size_t bytes,
                       bool more);
ssize_t sys_try_tee(struct backend *b, struct slot *in, struct slot *out, size_t bytes);
ssize_t sys_try_read(struct backend *b, struct slot *s, void *data, size_t bytes);
ssize_t sys_try_write(struct backend *b, struct slot *s, const void *data, size_t bytes);
int sys_ready(struct backend *b, struct slot *s, unsigned events);
int sys_inspect(struct backend *b, int fd, struct fd_info *ret);
int64_t sys_position(struct backend *b, int fd);
int sys_pipe(struct backend *b, int ret[2], size_t bytes, size_t *ret_bytes);
int sys_grow_pipe(struct backend *b, int fd, size_t bytes);
int sys_set_nonblock(struct backend *b, int fd, bool on);
int sys_set_direct(struct backend *b, int fd, bool on);
int sys_dup(struct backend *b, int fd);
void sys_close(struct backend *b, int fd);
int sys_open_null(struct backend *b, bool write);
int sys_socket(struct backend *b, int family, int type);
int sys_listen(struct backend *b, int fd, const struct sockaddr *address, socklen_t bytes, int backlog);
/* SO_LINGER takes seconds, or -1 for none. */
int sys_option(struct backend *b, int fd, int level, int name, int value);
/* The error that the socket has kept, which is then forgotten; 0: none. */
int sys_socket_error(int fd);
int sys_shutdown(struct backend *b, int fd, int how);
int sys_reset(struct backend *b, int fd);
int sys_chmod(struct backend *b, int fd, const char *path, mode_t mode);
int sys_unsent(struct backend *b, int fd);
int sys_seek(struct backend *b, int fd, int64_t relative);
/* Whether all of that range of a file is in the page cache: 1, 0; -ENOSYS (before 6.5), -EPERM (whose file it is not). */
int sys_cached(struct backend *b, struct slot *s, int64_t offset, uint32_t bytes);
int sys_watch(struct backend *b, int fd, uint32_t mask);
int sys_wait_child(struct backend *b, int pidfd, bool reap, struct child_status *ret);
int sys_kill_child(struct backend *b, int pidfd, int signal);
int sys_kill_group(struct backend *b, pid_t group, int signal);
int sys_stopped_child(struct backend *b, int pidfd);
bool sys_process_is_stopped(struct backend *b, pid_t pid);
int sys_probable_error(struct backend *b, int fd);
/* The number of a process as we count them, which in another PID namespace is not `otherwise`. */
pid_t sys_pid_of_pidfd(int pidfd, pid_t otherwise);
bool sys_process_holds(struct backend *b, pid_t pid, int fd, uint64_t inode);

#endif
