/* bench/load_usage.h: what a run costs: the two ends of it, the relay between them, the whole machine. */
#ifndef SLUICE_BENCH_LOAD_USAGE_H
#define SLUICE_BENCH_LOAD_USAGE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* This process. User and system are the kernel's estimate of how the rest divides. */
struct usage_ends {
        double user_s, system_s, clients_s, sink_s;
        uint64_t switches_voluntary, switches_involuntary;
};

/* Processes and all below them; each figure is their sum. What has ended and been waited for counts as its parent's time. */
struct usage_relay {
        unsigned processes, threads;
        double cpu_s, user_s, system_s; /* the first to the nanosecond, the others to the tick */
        uint64_t switches_voluntary, switches_involuntary;
        uint64_t rss_kib, rss_most_kib, pss_kib; /* `most` is VmHWM */
};

/* Everybody on it; softirq is where loopback traffic lands that nobody is charged for. */
struct usage_machine {
        double user_s, system_s, irq_s, softirq_s, steal_s, idle_s;
        uint64_t switches;
        int64_t available_kib, socket_kib; /* at that moment; sockets hold what no RSS shows */
};

int64_t usage_thread_ns(pthread_t thread);
void usage_ends_read(struct usage_ends *ret);
/* -ESRCH: a process of `pids` is no more. */
int usage_relay_read(const pid_t *pids, size_t nr, struct usage_relay *ret);
void usage_machine_read(struct usage_machine *ret);

void usage_ends_since(struct usage_ends *now, const struct usage_ends *then);
/* Of what is counted up only; memory stays what it is. */
void usage_relay_since(struct usage_relay *now, const struct usage_relay *then);
void usage_machine_since(struct usage_machine *now, const struct usage_machine *then);

#endif
