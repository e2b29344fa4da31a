/* tests/cost/seam.c: see seam.h. Called by cases.c and, through struct backend, by the engine; calls the simulated backend. */
#include "seam.h"

#include <poll.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_TOGGLE_COLLECT      ((void)0)
#define CALLGRIND_DUMP_STATS_AT(name) ((void)(name))
#define BUILT_WITHOUT_VALGRIND
#endif

enum { PIPE_BYTES = 1 << 20 }; /* what the real backends get where nothing limits them */

static struct {
        const struct backend_ops *inner;
        struct sim *sim;
        seam_peers_fn *peers;
        void *arg;
        struct seam_counts counts;
        unsigned outside; /* calls that are under way, one inside the other */
        bool measuring, wasteful;
} seam;

/* ---- the turnstile ---- */

/* Out of the engine. */
static void out(void)
{
        if (seam.outside++ == 0 && seam.measuring)
                CALLGRIND_TOGGLE_COLLECT;
}

static void back(void)
{
        if (--seam.outside == 0 && seam.measuring)
                CALLGRIND_TOGGLE_COLLECT;
}

static void call(void)
{
        out();
        seam.counts.calls++;
}

void seam_begin(void)
{
        seam.counts = (struct seam_counts){ 0 };
        seam.measuring = true;
        CALLGRIND_TOGGLE_COLLECT;
}

struct seam_counts seam_end(void)
{
        CALLGRIND_TOGGLE_COLLECT;
        seam.measuring = false;
        return seam.counts;
}

void seam_dump(const char *name)
{
        CALLGRIND_DUMP_STATS_AT(name);
}

bool seam_can_collect(void)
{
#ifdef BUILT_WITHOUT_VALGRIND
        return false;
#else
        return true;
#endif
}

/* ---- waits: the only place where the kernel and the peers go on ---- */

static bool run_operations(void)
{
        bool any = false, again = true;

        while (again) {
                again = false;
                for (unsigned i = 0; i < seam.sim->ops_nr; i++) {
                        if (!sim_op_may_run(seam.sim, &seam.sim->ops[i]))
                                continue;
                        sim_step(seam.sim);
                        sim_op_run(seam.sim, &seam.sim->ops[i]);
                        again = any = true;
                }
        }
        return any;
}

static void go_on(struct backend *b, int64_t timeout_ns)
{
        uint64_t until = timeout_ns < 0 ? UINT64_MAX : seam.sim->now_ns + (uint64_t)timeout_ns;

        run_operations();
        while (timeout_ns != 0 && list_empty(&b->finished) && seam.sim->now_ns < until) {
                bool any = seam.peers(seam.arg);

                any |= run_operations();
                if (!any && !sim_skip_time(seam.sim, until))
                        sim_fail(seam.sim, "nothing can happen any more");
        }
}

static int wait(struct backend *b, struct list *done, int64_t timeout_ns)
{
        bool woken = seam.sim->woken;
        int r;

        call();
        r = seam.inner->wait(b, done, timeout_ns);
        go_on(b, woken ? 0 : timeout_ns);
        back();
        return r;
}

/* ---- everything else goes through ---- */

static void submit(struct backend *b, struct op *op)
{
        out();
        seam.counts.operations++;
        if (seam.wasteful && (op->kind == OP_SPLICE || op->kind == OP_TEE) && op->move.bytes > 1)
                op->move.bytes /= 2;
        seam.inner->submit(b, op);
        back();
}

static void cancel(struct backend *b, struct op *op)
{
        out();
        seam.counts.operations++;
        seam.inner->cancel(b, op);
        back();
}

static uint64_t now_ns(struct backend *b) /* the vDSO's: no system call */
{
        uint64_t r;

        out();
        r = seam.inner->now_ns(b);
        back();
        return r;
}

static size_t offered(size_t bytes)
{
        return seam.wasteful && bytes > 1 ? bytes / 2 : bytes;
}

static ssize_t try_splice(struct backend *b, struct slot *in, int64_t at_in, struct slot *to, int64_t at_out, size_t bytes,
                          bool more)
{
        ssize_t r;

        call();
        r = seam.inner->try_splice(b, in, at_in, to, at_out, offered(bytes), more);
        back();
        return r;
}

static ssize_t try_tee(struct backend *b, struct slot *in, struct slot *to, size_t bytes)
{
        ssize_t r;

        call();
        r = seam.inner->try_tee(b, in, to, offered(bytes));
        back();
        return r;
}

/* The model's are small on purpose. */
static int make_pipe(struct backend *b, int ret[2], size_t bytes, size_t *ret_bytes)
{
        struct sim_desc *ends[2];

        (void)b;
        call();
        bytes = bytes < PIPE_BYTES ? bytes : PIPE_BYTES;
        sim_make_pipe(seam.sim, ends, (unsigned)(bytes / seam.sim->config.page_bytes));
        ret[0] = sim_fd_new(seam.sim, ends[0]);
        ret[1] = sim_fd_new(seam.sim, ends[1]);
        *ret_bytes = bytes;
        back();
        return 0;
}

static void close_fd(struct backend *b, int fd)
{
        call();
        seam.inner->close(b, fd);
        back();
}

static void wake(struct backend *b)
{
        call();
        seam.inner->wake(b);
        back();
}

static void free_backend(struct backend *b)
{
        out();
        seam.inner->free(b);
        back();
}

#define GOES_THROUGH(type, name, parameters, ...)                                                                                  \
        static type through_##name parameters                                                                                      \
        {                                                                                                                          \
                type r;                                                                                                            \
                                                                                                                                   \
                call();                                                                                                            \
                r = seam.inner->name(__VA_ARGS__);                                                                                 \
                back();                                                                                                            \
                return r;                                                                                                          \
        }

GOES_THROUGH(ssize_t, try_read, (struct backend * b, struct slot *s, void *data, size_t bytes), b, s, data, bytes)
GOES_THROUGH(ssize_t, try_write, (struct backend * b, struct slot *s, const void *data, size_t bytes), b, s, data, bytes)
GOES_THROUGH(int, ready, (struct backend * b, struct slot *s, unsigned events), b, s, events)
GOES_THROUGH(int, inspect, (struct backend * b, int fd, struct fd_info *ret), b, fd, ret)
GOES_THROUGH(int64_t, position, (struct backend * b, int fd), b, fd)
GOES_THROUGH(int, grow_pipe, (struct backend * b, int fd, size_t bytes), b, fd, bytes)
GOES_THROUGH(int, set_nonblock, (struct backend * b, int fd, bool on), b, fd, on)
GOES_THROUGH(int, set_direct, (struct backend * b, int fd, bool on), b, fd, on)
GOES_THROUGH(int, dup, (struct backend * b, int fd), b, fd)
GOES_THROUGH(int, open_null, (struct backend * b, bool write), b, write)
GOES_THROUGH(int, option, (struct backend * b, int fd, int level, int name, int value), b, fd, level, name, value)
GOES_THROUGH(int, shutdown, (struct backend * b, int fd, int how), b, fd, how)
GOES_THROUGH(int, unsent, (struct backend * b, int fd), b, fd)
GOES_THROUGH(int, seek, (struct backend * b, int fd, int64_t relative), b, fd, relative)
GOES_THROUGH(int, probable_error, (struct backend * b, int fd), b, fd)

void seam_install(struct backend *b, struct sim *k, seam_peers_fn *peers, void *arg, bool wasteful)
{
        static struct backend_ops ops; /* what no world here uses (children, names, listeners) stays the model's */

        seam.inner = b->ops;
        seam.sim = k;
        seam.peers = peers;
        seam.arg = arg;
        seam.wasteful = wasteful;
        ops = *b->ops;
        ops.free = free_backend;
        ops.submit = submit;
        ops.cancel = cancel;
        ops.wait = wait;
        ops.wake = wake;
        ops.now_ns = now_ns;
        ops.try_splice = try_splice;
        ops.try_tee = try_tee;
        ops.try_read = through_try_read;
        ops.try_write = through_try_write;
        ops.ready = through_ready;
        ops.inspect = through_inspect;
        ops.position = through_position;
        ops.pipe = make_pipe;
        ops.grow_pipe = through_grow_pipe;
        ops.set_nonblock = through_set_nonblock;
        ops.set_direct = through_set_direct;
        ops.dup = through_dup;
        ops.close = close_fd;
        ops.open_null = through_open_null;
        ops.option = through_option;
        ops.shutdown = through_shutdown;
        ops.unsent = through_unsent;
        ops.seek = through_seek;
        ops.probable_error = through_probable_error;
        b->ops = &ops;
}
