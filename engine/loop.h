/* engine/loop.h: one thread, one backend, and everything that runs on it. */
#ifndef SLUICE_ENGINE_LOOP_H
#define SLUICE_ENGINE_LOOP_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include <sluice/sluice.h>

#include "backend.h"
#include "buffer.h"
#include "list.h"
#include "pipe.h"

struct sluice_loop {
        struct backend *backend;
        struct pipe_cache pipes;
        struct sluice_pool *pool; /* its buffers; shared with whom the host likes */
        int numa;                 /* SLUICE_NUMA_...: where it belongs */
        bool placed, unplaced;    /* its thread was bound to a node; could not be */
        cpu_set_t affinity, cpus; /* what it had before, and has since */
        unsigned spread_nr, spread_index;
        struct list ready;   /* struct link: have work and budget */
        struct list advance; /* struct run: something of theirs changed */
        struct list later;   /* struct later */
        struct list guards;  /* struct loop_guard */
        uint64_t contain_ids;
        int no_cgroup;              /* -errno: why none can be made here; 0: not tried, or it can */
        struct list memory_watched; /* struct watched: commands whose memory is sampled, by one timer for all */
        struct op *memory_timer;
        unsigned runs; /* alive on this loop */
        bool bound, in_turn;
        bool signals_blocked; /* SIGPIPE and SIGXFSZ are, for good: its thread is ours alone */
        bool watched;         /* a host polls its fd: it must be told of work that no completion tells of */
        pthread_t thread;
        pid_t pid;
        sigset_t old_mask, were_pending;

        pthread_mutex_t posts_lock; /* the one thing other threads touch */
        struct list posts;
};

struct link;
struct run;

/* A call that any thread asks for, in memory of whoever asks: it is under way once at most. */
struct post {
        struct list node; /* changed under posts_lock */
        sluice_task_fn *fn;
        void *arg;
        bool ours; /* made by sluice_loop_post(): freed */
};
/* Any thread; nothing happens when it is under way already. */
void loop_post(struct sluice_loop *l, struct post *p);
/* It is not called any more. Loop's thread. */
void loop_unpost(struct sluice_loop *l, struct post *p);

/* What is done once nothing of a turn is on the stack any more: freeing what a callback was called from. */
struct later {
        struct list node;
        void (*fn)(struct later *l);
};
void loop_later(struct sluice_loop *l, struct later *later);

/* The link is stepped in this turn or the next. */
void loop_ready(struct sluice_loop *l, struct link *link);
void loop_unready(struct link *link);
void loop_advance(struct sluice_loop *l, struct run *run);
/* Over a backend of the caller's, which is the loop's from success on: the simulated kernel's way in. Errors: those of
 * sluice_loop_new(). */
int loop_new_with_backend(struct sluice_loop **ret, const struct sluice_loop_options *opt, struct backend *b);
bool loop_exclusive(const struct sluice_loop *l);
/* loop_place.c. On its thread: from the binding to it until the loop is freed. */
void loop_place(struct sluice_loop *l);
void loop_unplace(struct sluice_loop *l);
/* -EXDEV, -ECHILD or 0; binds an unbound loop to the calling thread. */
int loop_check_thread(struct sluice_loop *l);

#endif
