/* engine/loop.c: turns, dispatch, posts; the only caller of the backend's wait.
 *
 * A turn: posts, then every ready link within its budget, then one wait (which does not wait when more is to be done, or
 * when a callback may have done what the host waits for), then the completions, then every run that something happened to.
 * Collect, then dispatch: nothing here is re-entered, and a callback may start, stop or free what it likes but the loop.
 * Called by hosts and run.c; calls backend.h, link.c and run.c. */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "link.h"
#include "pool.h"
#include "process_id.h"
#include "run.h"

static const enum backend_kind kinds[] = {
        [SLUICE_BACKEND_AUTO] = BACKEND_AUTO, [SLUICE_BACKEND_URING] = BACKEND_URING, [SLUICE_BACKEND_EPOLL] = BACKEND_EPOLL
};

/* A host that was built with older headers knows fewer fields: the rest are 0. */
static int read_options(const struct sluice_loop_options *opt, struct sluice_loop_options *ret)
{
        *ret = (struct sluice_loop_options){ .size = sizeof(*ret) };
        if (!opt)
                return 0;
        if (opt->size < offsetof(struct sluice_loop_options, pool) || opt->size > sizeof(*ret))
                return -EINVAL;
        memcpy(ret, opt, opt->size);
        if ((int)ret->backend < SLUICE_BACKEND_AUTO || ret->backend > SLUICE_BACKEND_EPOLL)
                return -EINVAL;
        if (ret->spread_nr && (ret->spread_index >= ret->spread_nr || ret->numa > SLUICE_NUMA_AUTO))
                return -EINVAL;
        return ret->numa < SLUICE_NUMA_OFF || (ret->pool && ret->pool->buffer_bytes < BUFFER_BYTES) ? -EINVAL : 0;
}

/* The host's, or one of its own, which costs nothing before the first buffer. */
static int take_pool(struct sluice_loop *l, const struct sluice_loop_options *opt)
{
        const struct sluice_pool_options own = { .size = sizeof(own), .numa = opt->numa };

        if (!opt->pool)
                return sluice_pool_new(&l->pool, &own);
        l->pool = pool_ref(opt->pool);
        return 0;
}

int loop_new_with_backend(struct sluice_loop **ret, const struct sluice_loop_options *opt, struct backend *b)
{
        struct sluice_loop_options o;
        int r = read_options(opt, &o);
        struct sluice_loop *l;

        if (r < 0)
                return r;
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->numa = o.numa;
        l->spread_nr = o.spread_nr;
        l->spread_index = o.spread_index;
        r = take_pool(l, &o);
        if (r < 0) {
                free(l);
                return r;
        }
        l->backend = b;
        pipe_cache_init(&l->pipes, l->backend);
        list_init(&l->ready);
        list_init(&l->advance);
        list_init(&l->posts);
        list_init(&l->later);
        list_init(&l->guards);
        list_init(&l->memory_watched);
        pthread_mutex_init(&l->posts_lock, NULL);
        *ret = l;
        return 0;
}

int sluice_loop_new(struct sluice_loop **ret, const struct sluice_loop_options *opt)
{
        struct sluice_loop_options o;
        struct backend *b;
        int r = read_options(opt, &o);

        r = r < 0 ? r : backend_new(&b, o.exclusive, kinds[o.backend]);
        if (r < 0)
                return r;
        r = loop_new_with_backend(ret, &o, b);
        if (r < 0)
                backend_free(b);
        return r;
}

static struct post *take_post(struct sluice_loop *l, struct list *from)
{
        struct list *node;

        pthread_mutex_lock(&l->posts_lock);
        node = list_pop(from);
        pthread_mutex_unlock(&l->posts_lock);
        return node ? container_of(node, struct post, node) : NULL;
}

void sluice_loop_free(struct sluice_loop *l)
{
        struct post *p;

        if (!l)
                return;
        ASSERT(l->runs == 0);
        guards_fini(l);
        pipe_cache_fini(&l->pipes);
        backend_free(l->backend);
        loop_unplace(l);
        sluice_pool_unref(l->pool);
        while ((p = take_post(l, &l->posts)))
                if (p->ours)
                        free(p);
        pthread_mutex_destroy(&l->posts_lock);
        free(l);
}

/* Work made between turns: only the host's next turn would find it. */
static void tell_host(struct sluice_loop *l)
{
        if (l->watched && !l->in_turn)
                backend_wake(l->backend);
}

void loop_later(struct sluice_loop *l, struct later *later)
{
        list_push(&l->later, &later->node);
        tell_host(l);
}

bool loop_exclusive(const struct sluice_loop *l)
{
        return l->backend->exclusive;
}

static const int held[] = { SIGPIPE, SIGXFSZ };
enum { HELD = sizeof(held) / sizeof(held[0]), ROUNDS_AT_ONCE = 64 };

/* Whether the thread has them blocked anyway. */
static bool holds_signals(void)
{
        sigset_t mask;

        if (pthread_sigmask(SIG_BLOCK, NULL, &mask) != 0)
                return false;
        for (int i = 0; i < HELD; i++)
                if (!sigismember(&mask, held[i]))
                        return false;
        return true;
}

int loop_check_thread(struct sluice_loop *l)
{
        if (!l->bound) {
                l->bound = true;
                l->thread = pthread_self();
                l->pid = process_id();
                l->signals_blocked = loop_exclusive(l) && holds_signals();
                loop_place(l);
                return 0;
        }
        if (l->pid != process_id())
                return -ECHILD;
        return pthread_equal(l->thread, pthread_self()) ? 0 : -EXDEV;
}

void loop_ready(struct sluice_loop *l, struct link *link)
{
        list_unlink(&link->node);
        list_push(&l->ready, &link->node);
        tell_host(l);
}

void loop_unready(struct link *link)
{
        list_unlink(&link->node);
}

void loop_advance(struct sluice_loop *l, struct run *run)
{
        list_unlink(&run->node);
        list_push(&l->advance, &run->node);
        tell_host(l);
}

/* An inline splice onto a pipe without a reader raises SIGPIPE, and splice has no MSG_NOSIGNAL; one that would exceed
 * RLIMIT_FSIZE raises SIGXFSZ. The host's dispositions are not ours to change: both are blocked for the turn, and one
 * that was not pending before is taken away. That is four system calls; a thread that serves nothing else and had both
 * blocked when its loop was bound to it is spared them. */
static void signals_hold(struct sluice_loop *l)
{
        sigset_t ours, pending;

        if (l->signals_blocked)
                return;
        sigemptyset(&ours);
        for (int i = 0; i < HELD; i++)
                sigaddset(&ours, held[i]);
        pthread_sigmask(SIG_BLOCK, &ours, &l->old_mask);
        sigpending(&pending);
        l->were_pending = pending;
}

static void signals_release(struct sluice_loop *l)
{
        const struct timespec now = { 0 };
        sigset_t raised;

        if (l->signals_blocked)
                return;
        sigemptyset(&raised);
        for (int i = 0; i < HELD; i++)
                if (!sigismember(&l->were_pending, held[i]))
                        sigaddset(&raised, held[i]);
        while (sigtimedwait(&raised, NULL, &now) > 0 || errno == EINTR)
                continue;
        pthread_sigmask(SIG_SETMASK, &l->old_mask, NULL);
}

/* Only those that were there when we began. */
static bool run_posts(struct sluice_loop *l)
{
        struct list todo;
        struct post *p;
        bool any;

        list_init(&todo);
        pthread_mutex_lock(&l->posts_lock);
        list_splice(&todo, &l->posts);
        pthread_mutex_unlock(&l->posts_lock);
        any = !list_empty(&todo);
        while ((p = take_post(l, &todo))) {
                bool ours = p->ours;

                p->fn(p->arg);
                if (ours)
                        free(p);
        }
        return any;
}

/* Only what was ready when we began: a link that still has work afterwards waits for its next turn (fairness). Whether the
 * host should look before there is a wait: somebody else's code ran, or its thread does other things, such as to read what
 * was just written. Else the same turn waits, too: what a step began is handed to the kernel by the wait itself, and a
 * message that is relayed costs one call less. */
static bool step_links(struct sluice_loop *l)
{
        struct list todo, *node;
        bool any = false;

        list_init(&todo);
        list_splice(&todo, &l->ready);
        while ((node = list_pop(&todo))) {
                struct link *link = container_of(node, struct link, node);

                any |= !loop_exclusive(l) || !link_moves_alone(link);
                link_step(link);
        }
        return any;
}

static bool advance_runs(struct sluice_loop *l)
{
        struct list *node;
        bool any = false;

        while ((node = list_pop(&l->advance))) {
                run_advance(container_of(node, struct run, node));
                any = true;
        }
        while ((node = list_pop(&l->later))) {
                struct later *later = container_of(node, struct later, node);

                later->fn(later);
                any = true;
        }
        return any;
}

static bool dispatch(struct list *done)
{
        bool any = !list_empty(done);
        struct list *node;

        while ((node = list_pop(done))) {
                struct op *op = container_of(node, struct op, node);

                if (op->done && !op->abandoned)
                        op->done(op);
                else
                        op_discard(op);
        }
        return any;
}

static bool posts_waiting(struct sluice_loop *l)
{
        bool any;

        pthread_mutex_lock(&l->posts_lock);
        any = !list_empty(&l->posts);
        pthread_mutex_unlock(&l->posts_lock);
        return any;
}

static bool work_left(struct sluice_loop *l)
{
        return !list_empty(&l->ready) || !list_empty(&l->advance) || !list_empty(&l->later) || posts_waiting(l);
}

/* What an exclusive loop did inline is done already: starting ten commands is one turn, not ten. Bounded: fairness. */
static void finish_at_once(struct sluice_loop *l)
{
        struct list done;

        for (int i = 0; i < ROUNDS_AT_ONCE && !list_empty(&l->backend->finished); i++) {
                list_init(&done);
                list_splice(&done, &l->backend->finished);
                dispatch(&done);
                advance_runs(l);
        }
}

static int turn(struct sluice_loop *l, int timeout_ms)
{
        int r = loop_check_thread(l);
        struct list done;
        bool any, moved;

        if (r < 0)
                return r;
        if (l->in_turn)
                return -EDEADLK;
        l->in_turn = true;
        signals_hold(l);
        list_init(&done);
        any = run_posts(l);
        moved = !list_empty(&l->ready);
        any |= step_links(l);
        any |= advance_runs(l);
        r = backend_wait(l->backend, &done, work_left(l) || any ? 0 : timeout_ms < 0 ? -1 : timeout_ms * INT64_C(1000000));
        any |= dispatch(&done) | moved;
        any |= advance_runs(l);
        finish_at_once(l);
        signals_release(l);
        l->in_turn = false;
        if (work_left(l) || backend_has_work(l->backend))
                tell_host(l);
        return r < 0 ? r : any;
}

/* errno is the host's: everything in here answers by its return value. */
int sluice_loop_turn(struct sluice_loop *l, int timeout_ms)
{
        int saved = errno, r = turn(l, timeout_ms);

        errno = saved;
        return r;
}

int sluice_loop_fd(struct sluice_loop *l)
{
        int r = loop_check_thread(l);

        if (r < 0)
                return r;
        l->watched = true;
        r = l->backend->ops->poll_fd(l->backend);
        backend_wake(l->backend); /* whatever was started before the host asked */
        return r;
}

void sluice_loop_wake(struct sluice_loop *l)
{
        backend_wake(l->backend);
}

void loop_post(struct sluice_loop *l, struct post *p)
{
        bool added;

        pthread_mutex_lock(&l->posts_lock);
        added = list_empty(&p->node);
        if (added)
                list_push(&l->posts, &p->node);
        pthread_mutex_unlock(&l->posts_lock);
        if (added)
                backend_wake(l->backend);
}

void loop_unpost(struct sluice_loop *l, struct post *p)
{
        pthread_mutex_lock(&l->posts_lock);
        list_unlink(&p->node);
        pthread_mutex_unlock(&l->posts_lock);
}

int sluice_loop_post(struct sluice_loop *l, sluice_task_fn *fn, void *arg)
{
        struct post *p = malloc(sizeof(*p));

        if (!p)
                return -ENOMEM;
        *p = (struct post){ .fn = fn, .arg = arg, .ours = true };
        list_init(&p->node);
        loop_post(l, p);
        return 0;
}
