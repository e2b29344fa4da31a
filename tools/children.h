/* tools/children.h: the children of this process, by /proc: a subreaper's orphans, too. Called by bench_run.c. */
#ifndef SLUICE_CHILDREN_H
#define SLUICE_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Those who are there now are strangers: a shell that became this program leaves it what it had started. 0, or -E2BIG: too many. */
int children_begin(void);
bool children_is_stranger(pid_t pid);
bool children_has_strangers(void);
/* Calls `fn` for every child that is no stranger; for how many it said true. */
size_t children_each(bool (*fn)(pid_t pid, const void *arg), const void *arg);

#endif
