/* tools/relay_threads.c: see relay_threads.h. Called by relay.c; calls the library. */
#include "relay_threads.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { BUFFER_BYTES = 256 << 10, BUDGET_BYTES = 1 << 30 }; /* of the pool that a loop makes for itself */

/* ---- on each thread ---- */

/* For the owner, who adds them up. Locked. */
static void write_down(struct relay_thread *self)
{
        if (self->relay)
                sluice_relay_stats(self->relay, &self->stats);
}

static void ended(void *arg, int result)
{
        struct relay_thread *self = arg;

        pthread_mutex_lock(&self->all->lock);
        write_down(self);
        pthread_mutex_unlock(&self->all->lock);
        self->result = result;
        sluice_relay_free(self->relay);
        self->relay = NULL;
}

/* A direction whose reader does not read keeps a buffer, and who finds none waits for one: as many as there may be connections
 * must not stop those that move. The pool takes memory as it is needed. */
static int pool_for(struct sluice_pool **ret, unsigned connections_max)
{
        const struct sluice_pool_options o = { .size = sizeof(o), .budget_bytes = (uint64_t)connections_max * 2 * BUFFER_BYTES };

        *ret = NULL;
        return o.budget_bytes > BUDGET_BYTES ? sluice_pool_new(ret, &o) : 0;
}

static int begin(struct relay_thread *self)
{
        struct relay_threads *t = self->all;
        struct sluice_loop_options opt = { .size = sizeof(opt),
                                           .exclusive = 1,
                                           .backend = t->backend,
                                           .spread_nr = t->bind ? t->nr : 0,
                                           .spread_index = t->bind ? self->index : 0 };
        struct sluice_relay_options relay = t->options;
        const unsigned most = relay.connections_max;
        int r;

        relay.listener = t->listeners[self->index];
        relay.connections_max = most / t->nr + (self->index < most % t->nr);
        r = pool_for(&opt.pool, relay.connections_max);
        r = r < 0 ? r : sluice_loop_new(&self->loop, &opt);
        sluice_pool_unref(opt.pool); /* the loop has its own reference */
        return r < 0 ? r : sluice_relay_start(&self->relay, self->loop, &relay, ended, self);
}

/* Whether all could; nobody takes a connection that it would have to drop. */
static bool all_have_begun(struct relay_thread *self, int r)
{
        struct relay_threads *t = self->all;
        bool all;

        pthread_mutex_lock(&t->lock);
        t->starting--;
        if (r < 0) {
                t->given_up = true;
                t->error = t->error ? t->error : r;
        }
        pthread_cond_broadcast(&t->changed);
        while (t->starting)
                pthread_cond_wait(&t->changed, &t->lock);
        all = !t->given_up;
        pthread_mutex_unlock(&t->lock);
        return all;
}

static void end(struct relay_thread *self, int r)
{
        struct relay_threads *t = self->all;

        pthread_mutex_lock(&t->lock);
        if (!self->relay) /* else its ring is broken: nothing that it names may be freed */
                sluice_loop_free(self->loop);
        self->loop = NULL;
        t->running--;
        if (r < 0 && r != -ECANCELED && !t->error)
                t->error = r;
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->lock);
        pthread_kill(t->owner, SIGUSR2);
}

static void *serve(void *arg)
{
        struct relay_thread *self = arg;
        int r = begin(self);

        if (!all_have_begun(self, r) && self->relay)
                sluice_relay_cancel(self->relay);
        while (self->relay && r >= 0)
                r = sluice_loop_turn(self->loop, -1);
        end(self, r < 0 ? r : self->result);
        return NULL;
}

/* ---- asked of each, by the owner ---- */

static void drain(void *arg)
{
        struct relay_thread *self = arg;

        if (self->relay)
                sluice_relay_drain(self->relay);
}

static void cancel(void *arg)
{
        struct relay_thread *self = arg;

        if (self->relay)
                sluice_relay_cancel(self->relay);
}

static void answer(void *arg)
{
        struct relay_thread *self = arg;
        struct relay_threads *t = self->all;

        pthread_mutex_lock(&t->lock);
        write_down(self);
        self->answered = self->asked;
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->lock);
}

/* A loop is freed under the lock: what is posted here goes to one that lives. Locked. */
static void post_to_all(struct relay_threads *t, sluice_task_fn *fn)
{
        for (unsigned i = 0; i < t->nr; i++)
                if (t->threads[i].loop && sluice_loop_post(t->threads[i].loop, fn, &t->threads[i]) == 0)
                        t->threads[i].asked += fn == answer;
}

void relay_threads_drain(struct relay_threads *t)
{
        pthread_mutex_lock(&t->lock);
        post_to_all(t, drain);
        pthread_mutex_unlock(&t->lock);
}

void relay_threads_cancel(struct relay_threads *t)
{
        pthread_mutex_lock(&t->lock);
        post_to_all(t, cancel);
        pthread_mutex_unlock(&t->lock);
}

bool relay_threads_running(struct relay_threads *t)
{
        bool running;

        pthread_mutex_lock(&t->lock);
        running = t->running > 0;
        pthread_mutex_unlock(&t->lock);
        return running;
}

static void add(struct sluice_relay_stats *sum, const struct sluice_relay_stats *s)
{
        sum->accepted += s->accepted;
        sum->active += s->active;
        sum->active_peak += s->active_peak;
        sum->connect_failed += s->connect_failed;
        sum->reset += s->reset;
        sum->idle += s->idle;
        sum->paused += s->paused;
        sum->bytes_up += s->bytes_up;
        sum->bytes_down += s->bytes_down;
        sum->bytes_spliced += s->bytes_spliced;
        sum->bytes_copied += s->bytes_copied;
        sum->driver_changes += s->driver_changes;
        sum->calls += s->calls;
}

/* One that has ended, also while it is asked, has left its last numbers. */
static bool all_have_answered(const struct relay_threads *t)
{
        for (unsigned i = 0; i < t->nr; i++)
                if (t->threads[i].loop && t->threads[i].answered != t->threads[i].asked)
                        return false;
        return true;
}

struct sluice_relay_stats relay_threads_stats(struct relay_threads *t)
{
        struct sluice_relay_stats sum = { .size = sizeof(sum) };

        pthread_mutex_lock(&t->lock);
        post_to_all(t, answer);
        while (!all_have_answered(t))
                pthread_cond_wait(&t->changed, &t->lock);
        for (unsigned i = 0; i < t->nr; i++)
                add(&sum, &t->threads[i].stats);
        pthread_mutex_unlock(&t->lock);
        return sum;
}

/* ---- life ---- */

static int start_thread(struct relay_threads *t, unsigned i)
{
        struct relay_thread *self = &t->threads[i];
        int r;

        *self = (struct relay_thread){ .all = t, .index = i, .stats = { .size = sizeof(self->stats) } };
        r = pthread_create(&self->thread, NULL, serve, self);
        self->started = r == 0;
        return -r;
}

int relay_threads_start(struct relay_threads *t)
{
        int r = 0;

        pthread_mutex_init(&t->lock, NULL);
        pthread_cond_init(&t->changed, NULL);
        t->owner = pthread_self();
        t->threads = calloc(t->nr, sizeof(*t->threads));
        if (!t->threads)
                return -ENOMEM;
        t->starting = t->running = t->nr;
        for (unsigned i = 0; i < t->nr && r == 0; i++) {
                r = start_thread(t, i);
                if (r == 0)
                        continue;
                pthread_mutex_lock(&t->lock);
                t->given_up = true;
                t->error = r;
                t->starting -= t->nr - i;
                t->running -= t->nr - i;
                pthread_cond_broadcast(&t->changed);
                pthread_mutex_unlock(&t->lock);
        }
        pthread_mutex_lock(&t->lock);
        while (t->starting)
                pthread_cond_wait(&t->changed, &t->lock);
        r = t->given_up ? t->error : 0;
        pthread_mutex_unlock(&t->lock);
        return r < 0 ? relay_threads_join(t) : 0;
}

int relay_threads_join(struct relay_threads *t)
{
        for (unsigned i = 0; i < t->nr; i++)
                if (t->threads[i].started)
                        pthread_join(t->threads[i].thread, NULL);
        free(t->threads);
        t->threads = NULL;
        pthread_cond_destroy(&t->changed);
        pthread_mutex_destroy(&t->lock);
        return t->error;
}
