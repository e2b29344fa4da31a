/* uring/helper.c: see helper.h. Called by backends; calls libc's blocking functions, each from one place. */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attempt.h"
#include "check.h"
#include "guard.h"
#include "ids.h"
#include "object.h"
#include "spawn.h"

enum { STUCK_TIMES = 4 };

/* A task is a copy: the operation it came from may be given back while the thread still works. */
struct task {
        struct list node;
        struct op *op; /* NULL: it was completed without us */
        bool left;     /* abandoned: nobody waits for it, but it completes if it ever ends */
        enum op_kind kind;
        void *owned; /* what the copy's pointers lead into, once its operation was given back without it */
        struct op copy;
        int res;
};

struct helper {
        pthread_mutex_t lock;
        pthread_cond_t work, idle;
        struct list queue, running, done;
        unsigned threads, threads_max, abandoned;
        unsigned waiting, queued; /* threads without a task, a signalled one included until it wakes; tasks without a thread */
        bool closing;
        unsigned refs; /* the owner's and each thread's */
        void (*wake)(void *);
        void *arg;
};

static int resolve(struct op *op)
{
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = op->resolve.flags };
        int r = getaddrinfo(op->resolve.host, op->resolve.port, &hints, &op->resolve.ret);

        op->resolve.error = r;
        if (r == 0)
                return 0;
        op->resolve.ret = NULL;
        return r == EAI_SYSTEM ? -errno : r == EAI_AGAIN ? -EAGAIN : r == EAI_MEMORY ? -ENOMEM : -ENOENT;
}

static bool is_program(int directory, const char *path)
{
        struct stat st;

        return fstatat(directory, path, &st, 0) == 0 && S_ISREG(st.st_mode);
}

/* As execvp() searches: a name with a slash is a path; an entry that may not be executed is remembered, since
 * "permission denied" tells more than "not found". */
static int find(struct op *op)
{
        const char *file = op->find.file, *at = op->find.path, *end;
        int result = -ENOENT, directory = op->in ? op->in->fd : AT_FDCWD;
        char path[PATH_MAX];

        if (!*file)
                return -ENOENT;
        if (strchr(file, '/'))
                at = NULL;
        else if (!at || !*at)
                at = "/usr/local/bin:/usr/bin:/bin";
        do {
                end = at ? strchrnul(at, ':') : NULL;
                int n = !at        ? snprintf(path, sizeof(path), "%s", file)
                        : end > at ? snprintf(path, sizeof(path), "%.*s/%s", (int)(end - at), at, file)
                                   : snprintf(path, sizeof(path), "./%s", file);

                if (n > 0 && (size_t)n < sizeof(path)) {
                        errno = EACCES; /* what a directory is, which may be "executed" */
                        if (faccessat(directory, path, X_OK, 0) == 0 && is_program(directory, path)) {
                                op->find.ret = strdup(path);
                                return op->find.ret ? 0 : -ENOMEM;
                        }
                        if (errno == EACCES && faccessat(directory, path, F_OK, 0) == 0)
                                result = -EACCES;
                }
                at = end && *end ? end + 1 : NULL;
        } while (at);
        return result;
}

/* A file made with O_TMPFILE gets its name only when it is whole. */
static int give_name(struct op *op)
{
        char self[64];

        snprintf(self, sizeof(self), "/proc/self/fd/%d", op->in->fd);
        return linkat(AT_FDCWD, self, AT_FDCWD, op->name.to, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int helper_perform(struct op *op)
{
        int r;

        switch (op->kind) {
        case OP_RESOLVE:
                return resolve(op);
        case OP_FIND:
                return find(op);
        case OP_IDS:
                return ids_look_up(op->ids.user, op->ids.group, op->ids.ret);
        case OP_SYMBOL:
                return object_defines(op->in->fd, op->symbol.name);
        case OP_SPAWN:
                return op->spawn.spec->guard ? guard_spawn(op->spawn.spec->guard, op->spawn.spec) : spawn_direct(op->spawn.spec);
        case OP_OPEN:
                r = open(op->open.path, op->open.flags | O_CLOEXEC, op->open.mode);
                return r < 0 ? -errno : r;
        case OP_CLOSE:
                return close(op->close.fd) < 0 ? -errno : 0;
        case OP_TRUNCATE:
                return ftruncate(op->in->fd, op->truncate.length) < 0 ? -errno : 0;
        case OP_FSYNC:
                return (op->fsync.data_only ? fdatasync(op->in->fd) : fsync(op->in->fd)) < 0 ? -errno : 0;
        case OP_RENAME:
                return rename(op->name.from, op->name.to) < 0 ? -errno : 0;
        case OP_UNLINK:
                return unlink(op->name.from) < 0 ? -errno : 0;
        case OP_LINK:
                return give_name(op);
        default:
                return attempt_slowly(op);
        }
}

static void helper_unref(struct helper *h) /* with the lock held; drops it */
{
        bool last = --h->refs == 0;

        pthread_cond_broadcast(&h->idle);
        pthread_mutex_unlock(&h->lock);
        if (!last)
                return;
        pthread_mutex_destroy(&h->lock);
        pthread_cond_destroy(&h->work);
        pthread_cond_destroy(&h->idle);
        free(h);
}

static void task_free(struct task *t)
{
        free(t->owned);
        free(t);
}

/* What it made is unmade. */
static void task_discard(struct task *t)
{
        if (t->kind == OP_RESOLVE && t->res == 0)
                freeaddrinfo(t->copy.resolve.ret);
        if (t->kind == OP_FIND && t->res == 0)
                free(t->copy.find.ret);
        if (t->kind == OP_OPEN && t->res >= 0)
                close(t->res);
        task_free(t);
}

/* Whether somebody will reap it. If not, it is gone. */
static bool is_awaited(struct helper *h, struct task *t)
{
        if (t->left || !t->op)
                h->abandoned--;
        if (t->op && !h->closing)
                return true;
        task_discard(t);
        return false;
}

static void *helper_thread(void *arg)
{
        struct helper *h = arg;

        pthread_mutex_lock(&h->lock);
        while (!h->closing) {
                struct list *node = list_pop(&h->queue);
                struct task *t;

                if (!node) {
                        h->waiting++;
                        pthread_cond_wait(&h->work, &h->lock);
                        h->waiting--;
                        continue;
                }
                h->queued--;
                t = container_of(node, struct task, node);
                list_push(&h->running, &t->node);
                pthread_mutex_unlock(&h->lock);
                t->res = helper_perform(&t->copy);
                pthread_mutex_lock(&h->lock);
                list_unlink(&t->node);
                if (!is_awaited(h, t))
                        continue;
                list_push(&h->done, &t->node);
                h->wake(h->arg);
        }
        h->threads--;
        helper_unref(h);
        return NULL;
}

/* Threads take no signals: a handler of the host runs on the host's threads. */
static int add_thread(struct helper *h)
{
        pthread_attr_t attr;
        sigset_t all, old;
        pthread_t thread;
        int r;

        sigfillset(&all);
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attr, 256 << 10);
        pthread_sigmask(SIG_BLOCK, &all, &old);
        r = pthread_create(&thread, &attr, helper_thread, h);
        if (r == EINVAL) { /* the host's thread-local data does not fit into so small a stack */
                pthread_attr_destroy(&attr);
                pthread_getattr_default_np(&attr);
                pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
                r = pthread_create(&thread, &attr, helper_thread, h);
        }
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
        if (r != 0)
                return -EUSERS; /* -EAGAIN would say: ask again */
        h->threads++;
        h->refs++;
        return 0;
}

int helper_new(struct helper **ret, void (*wake)(void *), void *arg)
{
        struct helper *h = calloc(1, sizeof(*h));

        if (!h)
                return -ENOMEM;
        pthread_mutex_init(&h->lock, NULL);
        pthread_cond_init(&h->work, NULL);
        pthread_cond_init(&h->idle, NULL);
        list_init(&h->queue);
        list_init(&h->running);
        list_init(&h->done);
        h->refs = 1;
        h->wake = wake;
        h->arg = arg;
        *ret = h;
        return 0;
}

void helper_free(struct helper *h)
{
        struct list *node;

        if (!h)
                return;
        pthread_mutex_lock(&h->lock);
        h->closing = true;
        pthread_cond_broadcast(&h->work);
        while (h->threads > h->abandoned)
                pthread_cond_wait(&h->idle, &h->lock);
        while ((node = list_pop(&h->queue)))
                task_free(container_of(node, struct task, node));
        while ((node = list_pop(&h->done)))
                task_discard(container_of(node, struct task, node));
        helper_unref(h);
}

static struct task *task_new(struct op *op)
{
        struct task *t = calloc(1, sizeof(*t));

        if (!t)
                return NULL;
        t->op = op;
        t->kind = op->kind;
        t->copy = *op;
        return t;
}

/* Not "nobody waits": a thread that was signalled still counts as waiting until it wakes, and two tasks that wait for each
 * other (both ends of a FIFO) need two threads. One that is stuck in a task that was given up is replaced, to a limit. */
static bool wants_thread(const struct helper *h, unsigned queued)
{
        unsigned most_stuck = h->threads_max * STUCK_TIMES;

        return h->waiting < queued && h->threads < h->threads_max + (h->abandoned < most_stuck ? h->abandoned : most_stuck);
}

static void given_up(struct helper *h)
{
        h->abandoned++;
        if (wants_thread(h, h->queued))
                add_thread(h); /* when none is to be had, a later one serves the queue */
}

int helper_submit(struct helper *h, struct op *op, unsigned threads_max)
{
        struct task *t = task_new(op);
        int r = 0;

        if (!t)
                return -ENOMEM;
        pthread_mutex_lock(&h->lock);
        h->threads_max = threads_max;
        if (wants_thread(h, h->queued + 1))
                r = add_thread(h);
        if (r < 0 && h->threads == 0) {
                pthread_mutex_unlock(&h->lock);
                task_free(t);
                return r;
        }
        list_push(&h->queue, &t->node);
        h->queued++;
        pthread_cond_signal(&h->work);
        pthread_mutex_unlock(&h->lock);
        return 0;
}

static struct task *task_of(struct list *head, struct op *op)
{
        for (struct list *n = head->next; n != head; n = n->next)
                if (container_of(n, struct task, node)->op == op)
                        return container_of(n, struct task, node);
        return NULL;
}

static void forget(struct helper *h, struct task *t)
{
        t->op = NULL;
        given_up(h);
}

/* These name nothing but their own memory: the thread may finish them alone, and undo what it made. */
static bool can_finish_alone(const struct op *op)
{
        return op->kind == OP_RESOLVE || op->kind == OP_OPEN || (op->kind == OP_FIND && !op->in);
}

bool helper_cancel(struct helper *h, struct op *op)
{
        bool ours = false;
        struct task *t;

        pthread_mutex_lock(&h->lock);
        t = task_of(&h->queue, op);
        if (t) {
                list_unlink(&t->node);
                h->queued--;
                task_free(t);
                ours = true;
        } else if (can_finish_alone(op) && (t = task_of(&h->running, op)) != NULL) {
                t->owned = op->owned;
                op->owned = NULL;
                forget(h, t);
                ours = true;
        }
        pthread_mutex_unlock(&h->lock);
        return ours;
}

void helper_abandon(struct helper *h, struct op *op)
{
        struct task *t;

        pthread_mutex_lock(&h->lock);
        t = task_of(&h->running, op);
        if (t && !t->left) {
                t->left = true;
                given_up(h);
        }
        pthread_mutex_unlock(&h->lock);
}

struct op *helper_reap(struct helper *h)
{
        struct list *node;
        struct op *op;
        struct task *t;

        pthread_mutex_lock(&h->lock);
        node = list_pop(&h->done);
        pthread_mutex_unlock(&h->lock);
        if (!node)
                return NULL;
        t = container_of(node, struct task, node);
        op = t->op;
        op->res = t->res;
        if (op->kind == OP_RESOLVE) {
                op->resolve.ret = t->copy.resolve.ret;
                op->resolve.error = t->copy.resolve.error;
        } else if (op->kind == OP_FIND) {
                op->find.ret = t->copy.find.ret;
        }
        task_free(t);
        return op;
}
