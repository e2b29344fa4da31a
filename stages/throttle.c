/* stages/throttle.c: passes on so many bytes a second and no more: a token bucket that holds a tenth of a second's worth,
 * so that a pause is not made up for by a burst. Nothing is copied; while there are no tokens, nothing runs.
 *
 *      tokens = min(burst, tokens + rate * elapsed);  a call forwards at most `tokens`;  none: sleep until some are there */
#include <errno.h>
#include <time.h>

#include "plain.h"
#include "text.h"

enum { BURST_PARTS = 10, NS = 1000000000, MS_NS = 1000000, SLEEP_MS_MAX = 100 };

struct throttle_self {
        double tokens;
        int64_t last_ns;
};

static int64_t now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * NS + t.tv_nsec;
}

static double burst_of(int64_t rate)
{
        double burst = (double)rate / BURST_PARTS;

        return burst < 1 ? 1 : burst;
}

static void refill(struct throttle_self *self, int64_t rate)
{
        int64_t now = now_ns();

        self->tokens += self->last_ns ? (double)rate * (double)(now - self->last_ns) / NS : burst_of(rate);
        self->last_ns = now;
        if (self->tokens > burst_of(rate))
                self->tokens = burst_of(rate);
}

static void slept(struct sluice_ctx *ctx, void *self, int64_t result)
{
        (void)self;
        if (result != -ECANCELED)
                sluice_ctx_ready(ctx);
}

/* Until half a burst is there: few wake-ups, and never a long silence. */
static int sleep_a_little(struct sluice_ctx *ctx, const struct throttle_self *self, int64_t rate)
{
        const int64_t longest = SLEEP_MS_MAX * INT64_C(10);
        double missing = burst_of(rate) / 2 + 1 - self->tokens;
        int64_t ms = (int64_t)(missing * 1000 / (double)rate) + 1;
        int r = sluice_ctx_sleep(ctx, ms > longest ? longest : ms, slept);

        return r < 0 ? r : -EAGAIN;
}

static int throttle_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        int64_t rate = *(const int64_t *)sluice_ctx_config(ctx);
        struct throttle_self *self = self_;
        size_t bytes;

        if (in->len == 0)
                return 0;
        refill(self, rate);
        if (self->tokens < 1)
                return sleep_a_little(ctx, self, rate);
        bytes = (double)in->len < self->tokens ? in->len : (size_t)self->tokens;
        self->tokens -= (double)bytes;
        if (out)
                return sluice_forward(ctx, bytes);
        in->consumed = bytes;
        return 0;
}

static const struct sluice_stage_ops throttle_ops = {
        .size = sizeof(throttle_ops),
        .name = "throttle",
        .instance_size = sizeof(struct throttle_self),
        .config_size = sizeof(int64_t),
        .describe = plain_describe,
        .open = plain_open,
        .process = throttle_process,
        .close = plain_close,
};

int sluice_add_throttle(struct sluice_pipeline *p, int64_t bytes_per_s)
{
        return bytes_per_s <= 0 ? -EINVAL : sluice_pipeline_add(p, &throttle_ops, &bytes_per_s, "throttle");
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        int r = text_options(NULL, 0, options, options_nr, NULL, e);
        int64_t rate;

        if (r < 0)
                return r;
        if (sluice_parse_bytes(argument, &rate) < 0 || rate == 0)
                return text_fail(e, 0, "throttle: takes bytes a second (64k, 10M), not '%.40s'", argument);
        return sluice_add_throttle(p, rate);
}

const struct text_type text_throttle = { { "throttle", "throttle:RATE", "passes on at most RATE bytes a second" }, add };
