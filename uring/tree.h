/* uring/tree.h: the descendants of a process, as /proc shows them. Without libc: the guard uses it too. */
#ifndef SLUICE_URING_TREE_H
#define SLUICE_URING_TREE_H

#include <stddef.h>
#include <sys/types.h>

/* Fills `ret` with the descendants of `root` (itself not included), parents before children; at most `cap`, which is the
 * bound of the walk too. A moving tree is seen as it passes: whoever wants all of it asks again until it stands still.
 * root 0: the caller. Returns their number. */
size_t tree_walk(pid_t root, pid_t *ret, size_t cap);
/* Its children alone, dead ones that nobody has reaped included. */
size_t tree_children(pid_t root, pid_t *ret, size_t cap);

#endif
