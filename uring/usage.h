/* uring/usage.h: how much memory processes use. */
#ifndef SLUICE_URING_USAGE_H
#define SLUICE_URING_USAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* RssAnon in bytes, from the text of /proc/PID/status: what nobody else shares and no file can give back. -ENOENT: there is
 * no such line (a kernel thread, a zombie). */
int usage_parse_rss_anon(const char *status, uint64_t *ret);
/* Of one process. -ENOENT, -ESRCH: it has gone. */
int usage_rss_anon(pid_t pid, uint64_t *ret);
/* Of `root` and all its descendants. */
uint64_t usage_tree_rss_anon(pid_t root);

#endif
