/* stages/merge.c: several inputs into one output, in whole batches: by reference, nothing is copied but a line that two pieces
 * share.
 *
 *      MERGE_LINES    as they come, whole lines (the last line of an input is given the newline that it lacks)
 *      MERGE_BATCHES  as they come, whatever a buffer holds: what lines: or par() made stays whole
 *      MERGE_TURNS    a batch of whole lines from each in turn; one that has ended is left out
 *      MERGE_CONCAT   the first to its end, then the second
 *
 * The engine shows the input that we want, or any that has something, in turn (engine/function.c); an output that wants no
 * more ends all inputs at once. */
#include <errno.h>
#include <stdlib.h>

#include "cutter.h"
#include "plain.h"

struct merge_input {
        struct cutter cutter;
        int ended;
};

struct merge_self {
        unsigned nr;
        struct merge_input *inputs;
};

struct merge_config {
        enum sluice_merge how;
        size_t max_bytes;
};

static int keeps_lines(const struct merge_config *c)
{
        return c->how == SLUICE_MERGE_LINES || c->how == SLUICE_MERGE_TURNS;
}

static int merge_open(struct sluice_ctx *ctx, void *self_)
{
        const struct merge_config *c = sluice_ctx_config(ctx);
        struct merge_self *self = self_;

        self->nr = sluice_ctx_inputs(ctx);
        self->inputs = calloc(self->nr + 1, sizeof(*self->inputs));
        if (!self->inputs)
                return -ENOMEM;
        for (unsigned i = 0; keeps_lines(c) && i < self->nr; i++) {
                if (cutter_init(&self->inputs[i].cutter, c->max_bytes) < 0)
                        return -ENOMEM;
                self->inputs[i].cutter.adds_newlines = 1;
        }
        if (c->how == SLUICE_MERGE_TURNS || c->how == SLUICE_MERGE_CONCAT)
                sluice_ctx_want(ctx, 0);
        return 0;
}

static void merge_close(struct sluice_ctx *ctx, void *self_, int error)
{
        struct merge_self *self = self_;

        (void)ctx;
        (void)error;
        for (unsigned i = 0; self->inputs && i < self->nr; i++)
                cutter_fini(&self->inputs[i].cutter);
        free(self->inputs);
}

/* The next that has not ended; -1: none. */
static int next_after(const struct merge_self *self, unsigned i)
{
        for (unsigned k = 1; k <= self->nr; k++)
                if (!self->inputs[(i + k) % self->nr].ended)
                        return (int)((i + k) % self->nr);
        return -1;
}

static int merge_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct merge_config *c = sluice_ctx_config(ctx);
        struct merge_self *self = self_;
        unsigned i = sluice_ctx_input(ctx);
        struct merge_input *input = &self->inputs[i];
        int r = 0;

        if (in->flush)
                return 0;
        if (keeps_lines(c) && (in->len || input->cutter.held_bytes))
                r = cutter_pass(ctx, &input->cutter, in, out);
        else if (in->len)
                r = sluice_forward(ctx, in->len);
        if (r < 0)
                return r;
        input->ended = in->end && in->consumed == in->len && input->cutter.held_bytes == 0;
        if (input->ended && c->how >= SLUICE_MERGE_TURNS)
                sluice_ctx_want(ctx, next_after(self, i));
        else if (c->how == SLUICE_MERGE_TURNS && input->cutter.held_bytes == 0)
                sluice_ctx_want(ctx, next_after(self, i));
        return 0;
}

static int merge_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        if (!sluice_ctx_linked(ctx, SLUICE_INPUT) || !sluice_ctx_linked(ctx, SLUICE_OUTPUT)) {
                sluice_ctx_note(ctx, "describe", "has one input or more, and an output");
                return -ENOTSUP;
        }
        return plain_describe(ctx, self, dir, ret);
}

#define MERGE_OPS(how, more)                                                                                                       \
        {                                                                                                                          \
                .size = sizeof(struct sluice_stage_ops), .name = (how), .instance_size = sizeof(struct merge_self),                \
                .config_size = sizeof(struct merge_config), .describe = merge_describe, .open = merge_open,                        \
                .process = merge_process, .close = merge_close, .traits = SLUICE_MANY_INPUTS | (more),                             \
        }

static const struct sluice_stage_ops ops[] = {
        [SLUICE_MERGE_LINES] = MERGE_OPS("merge", 0),
        [SLUICE_MERGE_BATCHES] = MERGE_OPS("merge-raw", 0),
        [SLUICE_MERGE_TURNS] = MERGE_OPS("merge-turns", SLUICE_ORDERED | SLUICE_IN_TURNS),
        [SLUICE_MERGE_CONCAT] = MERGE_OPS("concat", SLUICE_ORDERED),
};

int sluice_add_merge(struct sluice_pipeline *p, enum sluice_merge how, size_t max_bytes)
{
        const struct merge_config c = { .how = how, .max_bytes = max_bytes };

        if ((int)how < SLUICE_MERGE_LINES || how > SLUICE_MERGE_CONCAT || max_bytes > LINE_MAX_MAX)
                return -EINVAL;
        return sluice_pipeline_add(p, &ops[how], &c, NULL);
}
