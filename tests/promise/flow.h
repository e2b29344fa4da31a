/* flow.h: for tests of graphs: sources that give a text in the pieces one wants, sinks that keep what comes and can be held,
 * and a loop that is turned until nothing moves any more: no test waits for time to pass. */
#ifndef SLUICE_TEST_FLOW_H
#define SLUICE_TEST_FLOW_H

#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>

#include "parts.h"

/* ---- text ---- */

/* Lines of up to `longest` bytes, each beginning with `mark`, its newline included; the last may lack it. Yours to free. */
static inline char *flow_lines(char mark, size_t bytes, size_t longest, unsigned *seed)
{
        char *text = malloc(bytes + 1);
        size_t left = 0;

        assert_non_null(text);
        for (size_t i = 0; i < bytes; i++) {
                if (i > 0 && text[i - 1] != '\n' && (left == 0 || i + 1 == bytes)) {
                        text[i] = '\n';
                        continue;
                }
                if (i == 0 || text[i - 1] == '\n') {
                        left = longest > 2 ? (size_t)rand_r(seed) % (longest - 1) : 0;
                        text[i] = mark;
                } else {
                        text[i] = (char)('a' + rand_r(seed) % 26);
                        left--;
                }
        }
        text[bytes] = '\0';
        return text;
}

/* Another one each time; SEED=N repeats it. */
static inline unsigned flow_seed(void)
{
        const char *given = getenv("SEED");
        unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL) ^ (unsigned)getpid() << 16;

        print_message("SEED=%u\n", seed);
        return seed;
}

/* A source of a text, `piece` bytes at most at a time: always as many, or with a seed a random number of them. */
struct flow_text {
        const char *data;
        size_t bytes, at, piece;
        unsigned seed;
        int error; /* instead of the end */
        int hold;  /* an eventfd: nothing is given behind `hold_at` before it is readable; 0: none */
        size_t hold_at;
};

static inline bool flow_is_up(int event)
{
        struct pollfd p = { .fd = event, .events = POLLIN };

        return poll(&p, 1, 0) == 1;
}

static inline ssize_t flow_read(void *arg, void *data, size_t cap)
{
        struct flow_text *t = arg;
        size_t left = t->bytes - t->at, n = t->piece ? t->piece : cap;

        if (t->hold && t->at >= t->hold_at && !flow_is_up(t->hold))
                return -EAGAIN;
        if (t->hold && t->at < t->hold_at && left > t->hold_at - t->at)
                left = t->hold_at - t->at;
        if (t->seed)
                n = 1 + (size_t)rand_r(&t->seed) % n;
        n = n < left ? n : left;
        n = n < cap ? n : cap;
        if (n == 0)
                return t->error;
        memcpy(data, t->data + t->at, n);
        t->at += n;
        return (ssize_t)n;
}

static inline int flow_add_text(struct sluice_pipeline *p, struct flow_text *t)
{
        return t_ok(sluice_add_reader(p, flow_read, t, t->hold ? t->hold : -1));
}

/* ---- what comes out ---- */

struct flow_sink {
        char *data;
        size_t bytes, cap;
        size_t pieces, broken; /* pieces that did not begin at the beginning of a line */
        bool open;             /* the last one ended within a line */
        size_t enough;         /* it wants no more after as many; 0: wants all */
        int hold;              /* an eventfd: behind `hold_at` bytes nothing is taken before it is readable; 0: none */
        size_t hold_at;
        bool ended; /* it was told the end */
};

static inline int flow_take(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out);

static inline void flow_woken(struct sluice_ctx *c, void *self, int64_t result)
{
        (void)self;
        if (result != -ECANCELED)
                sluice_ctx_ready(c);
}

static inline void flow_keep(struct flow_sink *k, const uint8_t *data, size_t bytes)
{
        if (bytes > k->cap - k->bytes) {
                k->cap = (k->cap + bytes) * 2;
                k->data = realloc(k->data, k->cap + 1);
                assert_non_null(k->data);
        }
        k->broken += k->open;
        k->open = data[bytes - 1] != '\n';
        k->pieces++;
        memcpy(k->data + k->bytes, data, bytes);
        k->bytes += bytes;
}

static inline int flow_take(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct flow_sink *k = t_arg(c);

        (void)self;
        (void)out;
        k->ended |= in->end;
        if (in->len == 0)
                return 0;
        if (k->hold && k->bytes >= k->hold_at && !flow_is_up(k->hold)) {
                int r = sluice_ctx_wait(c, k->hold, POLLIN, 0, flow_woken);

                return r < 0 ? r : -EAGAIN;
        }
        flow_keep(k, in->data, in->len);
        in->consumed = in->len;
        return k->enough && k->bytes >= k->enough ? SLUICE_FINISH_EARLY : 0;
}

static inline int flow_open(struct sluice_ctx *c, void *self)
{
        struct flow_sink *k = t_arg(c);

        (void)self;
        if (k->hold)
                sluice_ctx_adopt(c, k->hold);
        return 0;
}

static const struct sluice_stage_ops flow_sink_ops = {
        .size = sizeof(flow_sink_ops),
        .name = "keep",
        .instance_size = sizeof(int),
        .describe = t_function_describe,
        .open = flow_open,
        .process = flow_take,
        .close = t_function_close,
};

static inline int flow_add_sink(struct sluice_pipeline *p, struct flow_sink *k)
{
        return t_ok(sluice_pipeline_add(p, &flow_sink_ops, k, NULL));
}

/* A new eventfd. A sink's is closed by the run that waited for it; a text's is the test's to close. */
static inline int flow_event(void)
{
        return t_ok(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static inline void flow_raise(int event)
{
        uint64_t one = 1;

        assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
}

/* ---- runs ---- */

struct flow_run {
        struct sluice_loop *loop;
        struct sluice_pipeline *p;
        int result;
};

static inline void flow_done(void *arg, int result)
{
        *(int *)arg = result;
}

static inline void flow_start(struct flow_run *r, struct sluice_pipeline *p)
{
        *r = (struct flow_run){ .p = p, .result = 1 };
        assert_int_equal(sluice_loop_new(&r->loop, NULL), 0);
        assert_int_equal(sluice_pipeline_start(p, r->loop, flow_done, &r->result), 0);
}

/* Until nothing moves any more by itself. Only for graphs whose stages all live on the loop's thread. */
static inline void flow_settle(struct flow_run *r)
{
        for (int still = 0; still < 50 && r->result == 1;) {
                int n = sluice_loop_turn(r->loop, 0);

                assert_true(n >= 0);
                still = n ? 0 : still + 1;
        }
}

static inline void flow_finish(struct flow_run *r, int expected)
{
        while (r->result == 1)
                assert_true(sluice_loop_turn(r->loop, -1) >= 0);
        sluice_loop_free(r->loop);
        if (r->result != expected)
                fail_msg("run gave %d (%s), not %d: %s", r->result, strerror(-r->result), expected, sluice_pipeline_error(r->p));
        t_check_law(r->p);
}

static inline void flow_check(struct flow_sink *k, const char *text, size_t bytes)
{
        if (k->bytes != bytes || (bytes && memcmp(k->data, text, bytes) != 0)) {
                size_t same = 0;

                while (same < bytes && same < k->bytes && k->data[same] == text[same])
                        same++;
                fail_msg("%zu bytes came, not %zu; the first %zu are right", k->bytes, bytes, same);
        }
        free(k->data);
        *k = (struct flow_sink){ 0 };
}

#endif
