/* engine/function.c: stages that work on memory: feeding process() from the link before it and the link after it.
 *
 *      link before: its buffer is `in`        process()        link after: a MEM segment per buffer produced
 *
 * Called by links when there are bytes or there is room, and by run.c when the input has ended. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "run.h"

static struct run_link *in_link(struct sluice_ctx *c)
{
        return c->def->in_link >= 0 ? &c->run->links[c->def->in_link] : NULL;
}

static struct run_link *out_link(struct sluice_ctx *c)
{
        return c->def->out_link >= 0 ? &c->run->links[c->def->out_link] : NULL;
}

bool is_function(const struct sluice_ctx *c)
{
        return c->def->ops->process && !c->def->ops->fd && !c->def->ops->command;
}

/* The function is over: upstream is told that no more is wanted, downstream that no more comes. */
static void finish(struct sluice_ctx *c)
{
        struct run_link *before = in_link(c), *after = out_link(c);

        c->function_done = true;
        ctx_cancel_calls(c);
        if (before && !before->ended) {
                before->link.early = true;
                link_cancel(&before->link, 0);
        }
        if (after && after->link.state == LINK_MOVING)
                link_give_end(&after->link);
        run_wake(c->run);
}

/* Its failure ends it alone, as a command's does; the others meet a broken pipe and the end of their input. */
static void function_fail(struct sluice_ctx *c, int error)
{
        struct stage_outcome *o = &c->outcome;

        if (o->error == 0)
                snprintf(o->message, sizeof(o->message), "%s: %s", c->def->name, c->note[0] ? c->note : strerror(-error));
        stage_saw(c, error, c->note[0] && c->note_operation ? c->note_operation : "process");
        finish(c);
        run_may_fail_fast(c);
}

/* What takes its output has ended. Bytes on their way that were not taken: the function met a broken pipe. None: it meets
 * one when it gives more, as a command would; but a source, or one that waits for its host, may never. */
void function_cut_short(struct sluice_ctx *c)
{
        struct run_link *after = out_link(c);

        if (c->function_done)
                return;
        c->output_gone = true;
        c->outcome.ended = c->run->stopping;
        /* One that waits with input in hand meant to give it. */
        c->outcome.cut_short = !c->run->stopping && (link_inside(&after->link) > 0 || (c->function_waits && c->def->in_link >= 0));
        if (c->outcome.ended || c->outcome.cut_short || c->def->in_link < 0 || c->function_waits)
                finish(c);
        else
                function_kick(c);
}

void function_kick(struct sluice_ctx *c)
{
        struct run_link *before = in_link(c), *after = out_link(c);

        if (before && before->link.state == LINK_MOVING)
                loop_ready(c->run->loop, &before->link);
        if (after && after->link.state == LINK_MOVING)
                loop_ready(c->run->loop, &after->link);
        while (before && before->ended && function_step(c))
                continue;
}

struct call_bufs {
        struct sluice_buf in, out;
        struct buffer *memory;
};

/* False: nothing to do now. */
static bool prepare(struct sluice_ctx *c, struct call_bufs *bufs)
{
        struct run_link *before = in_link(c), *after = out_link(c);

        *bufs = (struct call_bufs){ .in.size = sizeof(bufs->in), .out.size = sizeof(bufs->out) };
        if (before) {
                if (before->link.state == LINK_MOVING)
                        bufs->in.len = link_peek(&before->link, &bufs->in.data);
                bufs->in.end = c->in_end;
                if (bufs->in.len == 0 && (!c->in_end || c->in_end_told))
                        return false;
        }
        if (!after)
                return true;
        /* One slot stays free for END. */
        if (!c->output_gone && (after->link.state != LINK_MOVING || after->link.segments.nr >= SEGMENTS_MAX - 1))
                return false;
        bufs->memory = buffer_get(&c->run->loop->buffers);
        if (!bufs->memory) {
                function_fail(c, -ENOMEM);
                return false;
        }
        bufs->out.data = bufs->memory->data;
        bufs->out.cap = BUFFER_BYTES;
        return true;
}

int sluice_forward(struct sluice_ctx *c, size_t bytes)
{
        if (!c->calling || !out_link(c) || bytes == 0 || bytes > c->calling->len)
                return -EINVAL;
        if (c->forward_bytes)
                return -EBUSY;
        c->forward_bytes = bytes;
        c->calling->consumed = bytes;
        return 0;
}

/* The input's buffer itself goes on: from link to link without a copy. */
static void forward(struct sluice_ctx *c)
{
        uint32_t at;
        struct buffer *b = link_lend(&in_link(c)->link, &at);

        link_give_memory(&out_link(c)->link, b, at, (uint32_t)c->forward_bytes);
}

/* What the call has given goes on; nobody to take it is a broken pipe. */
static bool pass_on(struct sluice_ctx *c, struct call_bufs *bufs)
{
        bool produced = bufs->out.len > 0 || c->forward_bytes > 0;

        if (produced && c->output_gone) {
                buffer_unref(bufs->memory);
                c->outcome.cut_short = true;
                finish(c);
                return false;
        }
        if (c->forward_bytes)
                forward(c);
        if (bufs->out.len)
                link_give_memory(&out_link(c)->link, bufs->memory, 0, (uint32_t)bufs->out.len);
        else
                buffer_unref(bufs->memory);
        return true;
}

static bool account(struct sluice_ctx *c, struct call_bufs *bufs, int r)
{
        struct run_link *before = in_link(c);
        bool idle = bufs->in.consumed == 0 && bufs->out.len == 0 && !bufs->out.end && r == 0;

        if (r == -EAGAIN) {
                c->function_waits = true;
                buffer_unref(bufs->memory);
                return false;
        }
        if (r >= 0 && (bufs->in.consumed > bufs->in.len || bufs->out.len > bufs->out.cap || (c->forward_bytes && bufs->out.len) ||
                       bufs->in.consumed < c->forward_bytes))
                r = -EPROTO;
        if (r >= 0 && idle && !bufs->in.end) {
                sluice_ctx_note(c, "process", "it neither consumed nor produced, with bytes and room at hand");
                r = -EPROTO;
        }
        if (r < 0) {
                buffer_unref(bufs->memory);
                function_fail(c, r);
                return false;
        }
        if (!pass_on(c, bufs))
                return true;
        if (bufs->in.consumed)
                link_consume(&before->link, (uint32_t)bufs->in.consumed);
        /* The end is told until a call produces nothing more. */
        if (bufs->in.end && bufs->in.consumed == bufs->in.len && bufs->out.len == 0 && c->forward_bytes == 0)
                c->in_end_told = true;
        if (r > 0 || bufs->out.end || c->in_end_told) {
                c->outcome.early = r == SLUICE_FINISH_EARLY || (r == SLUICE_END && before && !bufs->in.end);
                finish(c);
        }
        return true;
}

bool function_step(struct sluice_ctx *c)
{
        struct call_bufs bufs;
        int r;

        if (c->function_done || c->function_waits || c->run->stopping || c->run->phase != RUN_MOVING || !prepare(c, &bufs))
                return false;
        c->forward_bytes = 0;
        c->calling = in_link(c) ? &bufs.in : NULL;
        r = c->def->ops->process(c, c->self, c->calling, out_link(c) ? &bufs.out : NULL);
        c->calling = NULL;
        return account(c, &bufs, r);
}
