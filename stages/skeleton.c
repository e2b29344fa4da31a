/* stages/skeleton.c: a whole stage to copy from. It passes text on in capitals, and reports how many letters it changed.
 *
 * Built as a plug-in:      cc -shared -fPIC -Iengine/include stages/skeleton.c -o capitals.so
 * and used as such:        sluice run 'file:in.txt | so:./capitals.so,limit=100 | -'
 * or compiled into a host: sluice_pipeline_add(p, &skeleton_ops, "limit=100", "capitals")
 *
 * Every hook says: Required or Optional, when it is called, what it must return. All are called on the loop's thread, one
 * at a time, and none may wait: what may take time is a sluice_ctx_...() call with a callback (sluice/stage.h). */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/stage.h>

/* What the user asked for: made once, when the stage is added; shared by all runs, so never changed. */
struct skeleton_config {
        uint64_t limit; /* letters; then it wants no more input. 0: none */
};

/* One run's state. The engine allocates it, zeroed (instance_size). */
struct skeleton {
        uint64_t changed;
};

/* Optional. Called by sluice_pipeline_add(), on any thread: takes a copy of the configuration, here from a plug-in's
 * argument text, so that the caller's may go.
 * Returns 0 and *ret, -ENOMEM, or -EINVAL for what can never work. */
static int skeleton_config_copy(void **ret, const void *config)
{
        const char *text = config;
        struct skeleton_config *c = calloc(1, sizeof(*c));
        char *end;

        if (!c)
                return -ENOMEM;
        if (strncmp(text, "limit=", 6) == 0) {
                c->limit = strtoull(text + 6, &end, 10);
                text = end;
        }
        if (*text) {
                free(c);
                return -EINVAL;
        }
        *ret = c;
        return 0;
}

/* Optional; with config_copy. Called when the last pipeline or plan that has it is freed. */
static void skeleton_config_free(void *config)
{
        free(config);
}

/* Required. Called from build(), with self NULL and nothing open, and again after open(): what can this side do?
 * Returns 0 with ret->io set (0 there: there is no such side), or -ENOTSUP after a sluice_ctx_note(). The second answer
 * may only be smaller than the first. */
static int skeleton_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)ctx;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_MEM; /* it works on memory: process() */
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

/* Required. Called once a run, before a byte moves: open what is needed, destroy nothing yet.
 * Returns 0; -EINPROGRESS, and sluice_ctx_opened() follows from a callback; or an error, which ends the run. */
static int skeleton_open(struct sluice_ctx *ctx, void *self)
{
        (void)ctx;
        (void)self;
        return 0;
}

/* Optional. Every stage is open: now old contents may go. Returns as open(), with sluice_ctx_committed(). */
static int skeleton_commit(struct sluice_ctx *ctx, void *self)
{
        (void)ctx;
        (void)self;
        return 0;
}

/* Required with SLUICE_IO_MEM. Called while there are bytes in `in` and room in `out`, and with in->end once no more
 * follow, until a call with in->end gives nothing. Sets in->consumed and out->len; `in` is NULL for a source, `out` for a
 * sink. What it leaves unchanged it need not copy: sluice_forward(). With in->flush (in->len is 0) it gives what it holds back,
 * in as many calls as that takes. With several inputs sluice_ctx_input() says which `in` is.
 * Returns 0; SLUICE_END when it wants no more; SLUICE_FINISH_EARLY to excuse whatever upstream says of it; -EAGAIN after
 * it has arranged for a sluice_ctx_ready(); or an error, its failure. Neither consumed nor produced: -EPROTO. */
static int skeleton_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct skeleton_config *c = sluice_ctx_config(ctx);
        struct skeleton *self = self_;
        size_t bytes;
        char text[32];

        if (!in || !out) {
                sluice_ctx_note(ctx, "process", "stands between two stages");
                return -EINVAL;
        }
        bytes = in->len < out->cap ? in->len : out->cap;
        for (size_t i = 0; i < bytes; i++) {
                int small = in->data[i] >= 'a' && in->data[i] <= 'z';

                out->data[i] = small ? (uint8_t)(in->data[i] - 'a' + 'A') : in->data[i];
                self->changed += (uint64_t)small;
        }
        in->consumed = out->len = bytes;
        snprintf(text, sizeof(text), "%llu", (unsigned long long)self->changed);
        sluice_ctx_report(ctx, "letters", text);
        return c->limit && self->changed >= c->limit ? SLUICE_END : 0;
}

/* Optional. All that comes from upstream has been delivered: flush, sync, rename.
 * Returns as open(), with sluice_ctx_drained(); an error is the stage's failure. */
static int skeleton_drained(struct sluice_ctx *ctx, void *self)
{
        (void)ctx;
        (void)self;
        return 0;
}

/* Required. Exactly once for every open(), after the last completion that concerns the stage; `error` is the run's. */
static void skeleton_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

static const struct sluice_stage_ops skeleton_ops = {
        .size = sizeof(skeleton_ops), /* which release's table this is: the engine refuses one that it does not know */
        .name = "skeleton",
        .instance_size = sizeof(struct skeleton),
        .config_size = 0, /* Optional, in place of config_copy and config_free: it is so many bytes that point to nothing */
        .config_copy = skeleton_config_copy,
        .config_free = skeleton_config_free,
        .describe = skeleton_describe,
        .open = skeleton_open,
        .commit = skeleton_commit,
        .started = NULL, /* Optional: every command runs, and links begin to move */
        .fd = NULL,      /* Required with IO_FD, IO_LEND or IO_COPY: lends the fd of a side */
        .command = NULL, /* Required with IO_INHERIT: what to start */
        .process = skeleton_process,
        .drained = skeleton_drained,
        .close = skeleton_close,
        .run = NULL,    /* Required with IO_INHERIT without command(): the work, on a thread of its own, where it may block */
        .output = NULL, /* Required for several outputs that are fds: lends that of one */
        .holds = NULL,  /* Optional: how many bytes it may hold in memory of its own, for the sum that build() makes */
        .runs = NULL,   /* Required for sluice_ctx_run(): of which plan how many at once */
        .traits = 0,    /* what is special: several inputs or outputs, ... (enum sluice_traits) */
};

SLUICE_PLUGIN(skeleton_ops);
