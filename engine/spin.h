/* engine/spin.h: a lock that one thread takes all the time and others hardly ever.
 * Taken and given back it costs one atomic operation (a mutex: two, which was a third of a buffer's get and put). Who finds it
 * taken sleeps a little rather than spin: its holder may be a thread of lower priority on the same CPU. */
#ifndef SLUICE_ENGINE_SPIN_H
#define SLUICE_ENGINE_SPIN_H

#include <stdatomic.h>
#include <time.h>

enum { SPIN_TRIES = 100, SPIN_SLEEP_NS = 20000 };

struct spin {
        atomic_uint taken;
};

static inline void spin_lock(struct spin *s)
{
        const struct timespec pause = { .tv_nsec = SPIN_SLEEP_NS };

        for (unsigned tries = 1; atomic_exchange_explicit(&s->taken, 1, memory_order_acquire); tries++)
                while (atomic_load_explicit(&s->taken, memory_order_relaxed))
                        if (tries++ > SPIN_TRIES)
                                nanosleep(&pause, NULL);
}

static inline void spin_unlock(struct spin *s)
{
        atomic_store_explicit(&s->taken, 0, memory_order_release);
}

#endif
