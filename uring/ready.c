/* uring/ready.c: see ready.h. Called by uring/backend_kernel.c and uring/ringless.c; calls epoll. */
#include "ready.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "syscalls.h"

enum { MARKS_END = 1 << 3 }; /* below it an event's data is a mark, above it a slot's address */

int ready_init(struct ready *r)
{
        int fd = epoll_create1(EPOLL_CLOEXEC);

        fd = fd < 0 ? -errno : sys_above_stdio(fd);
        if (fd < 0)
                return fd;
        *r = (struct ready){ .epoll_fd = fd };
        list_init(&r->slots);
        return 0;
}

void ready_fini(struct ready *r)
{
        close(r->epoll_fd);
}

int ready_mark(struct ready *r, int fd, enum ready_mark mark)
{
        struct epoll_event e = { .events = EPOLLIN, .data.u64 = mark };

        return epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* The kernel knows a registration by file and number. One of an earlier slot with the same number may be left, when both
 * were copies of one description. */
static int arm(struct ready *r, struct slot *s, uint32_t events)
{
        struct epoll_event e = { .events = events | EPOLLONESHOT, .data.ptr = s };

        if (epoll_ctl(r->epoll_fd, s->known_to_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &e) == 0)
                return 0;
        if (errno == EEXIST && epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, s->fd, &e) == 0)
                return 0;
        return errno == ENOSPC ? -ENOMEM : -errno; /* fs.epoll.max_user_watches: no disk is full */
}

static uint32_t events_wanted(const struct slot *s)
{
        uint32_t events = 0;

        for (const struct list *n = s->waiting.next; n != &s->waiting; n = n->next)
                events |= container_of(n, struct op, node)->wait_events;
        return events;
}

int ready_add(struct ready *r, struct op *op, uint32_t events)
{
        struct slot *s = op->waits_for_out ? op->out : op->in;
        bool first = list_empty(&s->waiting);
        int error = 0;

        if (s->always_ready)
                return 1;
        if (first || (s->armed & events) != events)
                error = arm(r, s, s->armed | events);
        if (error == -EPERM) {
                s->always_ready = true;
                return 1;
        }
        if (error < 0)
                return error;
        s->known_to_epoll = true;
        s->armed |= events;
        op->wait_events = events;
        list_push(&s->waiting, &op->node);
        if (first)
                list_push(&r->slots, &s->node);
        return 0;
}

static void disarm(struct ready *r, struct slot *s)
{
        list_unlink(&s->node);
        s->armed = 0;
        s->known_to_epoll = false;
        epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
}

void ready_remove(struct ready *r, struct op *op)
{
        struct slot *s = op->waits_for_out ? op->out : op->in;

        list_unlink(&op->node);
        if (list_empty(&s->waiting))
                disarm(r, s);
}

void ready_take_all(struct ready *r, struct list *ret)
{
        while (!list_empty(&r->slots)) {
                struct slot *s = container_of(r->slots.next, struct slot, node);

                list_splice(ret, &s->waiting);
                disarm(r, s);
        }
}

/* A one-shot event has disarmed the slot: those it was not for arm it again. */
static void slot_fired(struct ready *r, struct slot *s, uint32_t events, struct list *ret)
{
        struct list *n, *next;

        ASSERT(!list_empty(&s->waiting));
        s->armed = 0;
        for (n = s->waiting.next; n != &s->waiting; n = next) {
                struct op *op = container_of(n, struct op, node);
                uint32_t seen = events & (op->wait_events | EPOLLERR | EPOLLHUP);

                next = n->next;
                if (!seen)
                        continue;
                op->res = (int)seen;
                list_unlink(n);
                list_push(ret, n);
        }
        if (list_empty(&s->waiting)) {
                list_unlink(&s->node);
                return;
        }
        s->armed = events_wanted(s);
        if (arm(r, s, s->armed) == 0)
                return;
        /* Cannot be: it is registered. Nobody is left to wait for ever. */
        list_unlink(&s->node);
        list_splice(ret, &s->waiting);
}

/* epoll_pwait2() is of 5.11, and filters that are older than it answer EPERM. Rounded up: a timer is never early. */
static int wait_for(struct ready *r, struct epoll_event *events, int64_t timeout_ns)
{
        struct timespec ts = { .tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000 };
        int64_t ms = timeout_ns < 0 ? -1 : timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
        int n;

        if (timeout_ns > 0 && !r->coarse) {
                n = epoll_pwait2(r->epoll_fd, events, READY_SLOTS_ONCE, &ts, NULL);
                if (n >= 0 || (errno != ENOSYS && errno != EPERM))
                        return n < 0 ? -errno : n;
                r->coarse = true;
        }
        n = epoll_wait(r->epoll_fd, events, READY_SLOTS_ONCE, ms > INT_MAX ? INT_MAX : (int)ms);
        return n < 0 ? -errno : n;
}

int ready_wait(struct ready *r, struct list *ret, int64_t timeout_ns)
{
        struct epoll_event events[READY_SLOTS_ONCE];
        int n = wait_for(r, events, timeout_ns), marks = 0;

        for (int i = 0; i < n; i++) {
                if (events[i].data.u64 < MARKS_END)
                        marks |= (int)events[i].data.u64;
                else
                        slot_fired(r, events[i].data.ptr, events[i].events, ret);
        }
        return n < 0 ? n : marks;
}
