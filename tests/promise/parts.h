/* parts.h: what several promises are made of: a command's options, scripts, functions, and what is known of each stage
 * when the run is over. */
#ifndef SLUICE_TEST_PARTS_H
#define SLUICE_TEST_PARTS_H

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sluice/stage.h>

#include "fixture.h"

/* ---- commands ---- */

#define T_COMMAND(...) (&(const struct sluice_command_options){ .size = sizeof(struct sluice_command_options), __VA_ARGS__ })

#define T_SET(n, v)                                                                                                                \
        {                                                                                                                          \
                .name = (n), .value = (v)                                                                                          \
        }
#define T_UNSET(n)                                                                                                                 \
        {                                                                                                                          \
                .name = (n)                                                                                                        \
        }
#define T_ASK(f, a)                                                                                                                \
        {                                                                                                                          \
                .fn = (f), .arg = (a)                                                                                              \
        }
#define T_ENV(...) ((const struct sluice_env[]){ __VA_ARGS__ })

static inline int t_sh(struct sluice_pipeline *p, const char *script, const struct sluice_command_options *opt)
{
        return t_ok(sluice_add_command(p, T_ARGV("sh", "-c", (char *)(uintptr_t)script), opt));
}

/* ---- functions: `config` is what process() finds by t_arg() ---- */

static inline int t_function_describe(struct sluice_ctx *c, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)c;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static inline int t_function_open(struct sluice_ctx *c, void *self)
{
        (void)c;
        (void)self;
        return 0;
}

static inline void t_function_close(struct sluice_ctx *c, void *self, int error)
{
        (void)c;
        (void)self;
        (void)error;
}

#define T_FUNCTION(fn)                                                                                                             \
        {                                                                                                                          \
                .size = sizeof(struct sluice_stage_ops), .name = #fn, .instance_size = sizeof(int),                                \
                .describe = t_function_describe, .open = t_function_open, .process = fn, .close = t_function_close                 \
        }

static inline void *t_arg(const struct sluice_ctx *c)
{
        return (void *)(uintptr_t)sluice_ctx_config(c);
}

/* ---- afterwards ---- */

static inline struct sluice_stage_result t_result(const struct sluice_pipeline *p, int stage)
{
        struct sluice_stage_result r = { .size = sizeof(r) };

        assert_int_equal(sluice_pipeline_stage_result(p, stage, &r), 0);
        return r;
}

static inline void t_verdict(const struct sluice_pipeline *p, int stage, enum sluice_verdict expected)
{
        struct sluice_stage_result r = t_result(p, stage);

        if (r.verdict != expected)
                fail_msg("stage %d: %s, not %s: %s", stage, sluice_verdict_name(r.verdict), sluice_verdict_name(expected),
                         r.message);
}

/* The failure that explains the others. */
static inline struct sluice_failure t_failure(const struct sluice_pipeline *p)
{
        struct sluice_failure f;

        assert_true(sluice_pipeline_failures(p, &f, 1) >= 1);
        return f;
}

/* Captures, saying the error when the result is not what it should be. The text is the caller's to free. */
static inline char *t_capture(struct sluice_pipeline *p, size_t limit, int expected, size_t *ret_bytes)
{
        char *text = NULL;
        size_t bytes = 0;
        int r = sluice_run_capture(p, limit, &text, &bytes);

        if (r != expected)
                fail_msg("capture gave %d (%s), not %d: %s", r, strerror(-r), expected, sluice_pipeline_error(p));
        if (text)
                assert_int_equal(text[bytes], '\0');
        *ret_bytes = bytes;
        return text;
}

/* Runs it, frees it, and it said exactly that. */
static inline void t_says(struct sluice_pipeline *p, const char *expected)
{
        size_t bytes;
        char *text = t_capture(p, 0, 0, &bytes);

        sluice_pipeline_free(p);
        assert_non_null(text);
        assert_string_equal(text, expected);
        assert_int_equal(bytes, strlen(expected));
        free(text);
}

/* ---- an end that is asked for ---- */

static inline void t_keep_result(void *arg, int result)
{
        *(int *)arg = result;
}

/* Runs it, as sluice_pipeline_run() does, until begun() says so and a moment longer, and asks it to end: what is to be ended is there, however slow the machine
 * is. Nothing hangs on the length of the moment: it makes it likely that the waits themselves have begun. */
static inline void t_run_and_stop(struct sluice_pipeline *p, bool (*begun)(void *arg), void *arg)
{
        struct sluice_loop *l;
        int result = 1;

        t_ok(sluice_loop_new(&l, &(struct sluice_loop_options){ .size = sizeof(struct sluice_loop_options), .exclusive = 1 }));
        t_ok(sluice_pipeline_start(p, l, t_keep_result, &result));
        while (result == 1 && !begun(arg))
                assert_true(sluice_loop_turn(l, 10) >= 0);
        for (int i = 0; result == 1 && i < 5; i++)
                assert_true(sluice_loop_turn(l, 10) >= 0);
        sluice_pipeline_stop(p);
        while (result == 1)
                assert_true(sluice_loop_turn(l, -1) >= 0);
        if (result != -ECANCELED)
                fail_msg("the run gave %d (%s): %s", result, strerror(-result), sluice_pipeline_error(p));
        sluice_loop_free(l);
}

/* Whether nobody holds the other end of this pipe any more. */
static inline bool t_hung_up(int fd, int timeout_ms)
{
        struct pollfd p = { .fd = fd };

        return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLHUP);
}

#endif
