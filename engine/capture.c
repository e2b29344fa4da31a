/* engine/capture.c: sluice_run_capture(): a pipeline whose last stage writes to memory. A stage of its own, as any author
 * could write it; its buffer is the caller's and grows up to the limit. Calls the public API only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

enum { FIRST_BYTES = 4096 };

struct capture {
        char *data;
        size_t bytes, cap, limit;
};

static int capture_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)ctx;
        (void)self;
        if (dir == SLUICE_OUTPUT)
                return 0;
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static int capture_open(struct sluice_ctx *ctx, void *self)
{
        (void)ctx;
        (void)self;
        return 0;
}

/* One byte more than asked for: the NUL behind. */
static int grow(struct capture *k, size_t bytes)
{
        size_t cap = k->cap ? k->cap : FIRST_BYTES;
        char *more;

        while (cap <= k->bytes + bytes)
                cap *= 2;
        if (cap == k->cap)
                return 0;
        more = realloc(k->data, cap);
        if (!more)
                return -ENOMEM;
        k->data = more;
        k->cap = cap;
        return 0;
}

static int capture_process(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct capture *k = *(struct capture *const *)sluice_ctx_config(ctx);
        size_t bytes = in->len;
        bool over = k->limit && bytes > k->limit - k->bytes;

        (void)self;
        (void)out;
        if (over)
                bytes = k->limit - k->bytes;
        if (grow(k, bytes) < 0)
                return -ENOMEM;
        if (bytes)
                memcpy(k->data + k->bytes, in->data, bytes);
        k->bytes += bytes;
        in->consumed = in->len;
        if (over) {
                sluice_ctx_note(ctx, "capture", "more than the limit of %zu bytes", k->limit);
                return -EFBIG;
        }
        return 0;
}

static void capture_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

static int pointer_copy(void **ret, const void *config)
{
        struct capture **copy = malloc(sizeof(*copy));

        if (!copy)
                return -ENOMEM;
        *copy = (struct capture *)(uintptr_t)config;
        *ret = copy;
        return 0;
}

static const struct sluice_stage_ops capture_ops = {
        .size = sizeof(capture_ops),
        .name = "capture",
        .config_copy = pointer_copy,
        .config_free = free,
        .describe = capture_describe,
        .open = capture_open,
        .process = capture_process,
        .close = capture_close,
};

int sluice_run_capture(struct sluice_pipeline *p, size_t limit, char **ret, size_t *ret_bytes)
{
        struct capture k = { .limit = limit };
        int last = (int)p->plan->stages_nr - 1, to, r = grow(&k, 0);

        if (r < 0)
                return r;
        if (p->plan->frozen || (last >= 0 && p->plan->stages[last].out_link >= 0)) {
                free(k.data);
                return -EEXIST;
        }
        if (last >= 0) {
                to = sluice_pipeline_add(p, &capture_ops, &k, "capture");
                r = to < 0 ? to : sluice_pipeline_link(p, last, to);
                r = r < 0 ? r : sluice_pipeline_run(p);
        }
        if (r < 0 && !(p->run && p->run->began)) {
                free(k.data);
                k.data = NULL;
        } else {
                k.data[k.bytes] = '\0';
        }
        *ret = k.data;
        *ret_bytes = k.bytes;
        return r;
}
