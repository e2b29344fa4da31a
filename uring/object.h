/* uring/object.h: what a shared object defines, without loading it: no code of it runs, and nothing of it stays. */
#ifndef SLUICE_URING_OBJECT_H
#define SLUICE_URING_OBJECT_H

/* Whether the file is a shared object of this machine that defines a function `name` for others. 0; -ENOEXEC: it is none;
 * -ENOENT: it does not; -errno of reading it. Reads the file, so it may wait for storage. Leaves the fd's position alone. */
int object_defines(int fd, const char *name);

#endif
