/* tools/relay_threads.h: the threads of a relay: a loop and a relay on each, and what is asked of them by the thread that has the
 * signals. Nothing is shared between them while bytes move. */
#ifndef SLUICE_TOOLS_RELAY_THREADS_H
#define SLUICE_TOOLS_RELAY_THREADS_H

#include <pthread.h>
#include <stdbool.h>

#include <sluice/relay.h>

struct relay_threads;

struct relay_thread {
        struct relay_threads *all;
        pthread_t thread;
        bool started;
        unsigned index;
        struct sluice_loop *loop;
        struct sluice_relay *relay;      /* NULL before its start and after its end. The thread's */
        struct sluice_relay_stats stats; /* as of its last answer, or its end */
        unsigned asked, answered;        /* for them, so many times */
        int result;
};

struct relay_threads {
        struct relay_thread *threads;
        unsigned nr;
        struct sluice_relay_options options; /* without the listener; connections_max is that of all, and nr at least, or 0 */
        const int *listeners;                /* one for each */
        bool bind;                           /* each thread to a CPU */
        enum sluice_backend backend;
        pthread_t owner; /* gets SIGUSR2 whenever a thread has ended */

        pthread_mutex_t lock;
        pthread_cond_t changed;
        unsigned running, starting;
        bool given_up; /* one could not start: all end */
        int error;     /* of the first that could not start, or whose listener failed */
};

/* All begin to take connections, or none and -errno. SIGUSR2 must be blocked. */
int relay_threads_start(struct relay_threads *t);
void relay_threads_drain(struct relay_threads *t);
void relay_threads_cancel(struct relay_threads *t);
bool relay_threads_running(struct relay_threads *t);
/* Asks each, and waits for its answer. */
struct sluice_relay_stats relay_threads_stats(struct relay_threads *t);
/* Waits until all have ended, and gives back what they had. 0, or the first error. */
int relay_threads_join(struct relay_threads *t);

#endif
