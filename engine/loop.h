/* engine/loop.h: one thread, one backend, and everything that runs on it. */
#ifndef SLUICE_ENGINE_LOOP_H
#define SLUICE_ENGINE_LOOP_H

#include <pthread.h>
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
        struct buffers buffers;
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
        bool watched; /* a host polls its fd: it must be told of work that no completion tells of */
        pthread_t thread;
        pid_t pid;
        sigset_t old_mask, were_pending;

        pthread_mutex_t posts_lock; /* the one thing other threads touch */
        struct list posts;
};

struct link;
struct run;

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
bool loop_exclusive(const struct sluice_loop *l);
/* -EXDEV, -ECHILD or 0; binds an unbound loop to the calling thread. */
int loop_check_thread(struct sluice_loop *l);

#endif
