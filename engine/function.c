/* engine/function.c: stages that work on memory: feeding process() from the links before it and giving what it makes to the
 * links after it.
 *
 *      link before: its buffer, or a buffer handed over, is `in`     process()     links after: a MEM segment each per buffer
 *
 * Of several inputs one is shown at a time: the one that the stage wants, else whichever has something, in turn. Of several
 * outputs each gets every buffer, by reference; the slowest rules, and one that is gone is left out.
 *
 * Called by links when there are bytes or there is room, and by run.c when an input has ended. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "run.h"

static struct run_link *input_of(struct sluice_ctx *c, unsigned i)
{
        return &c->run->links[c->def->in.links[i]];
}

static struct run_link *output_of(struct sluice_ctx *c, unsigned i)
{
        return &c->run->links[c->def->out.links[i]];
}

/* The input that process() is given, or was given last. NULL: a source. */
static struct run_link *in_link(struct sluice_ctx *c)
{
        return c->def->in.nr ? input_of(c, c->input) : NULL;
}

bool is_function(const struct sluice_ctx *c)
{
        return c->def->ops->process && !c->def->ops->command && (c->def->memory || (!c->def->ops->fd && !c->def->ops->output));
}

static bool outputs_are_gone(struct sluice_ctx *c)
{
        for (unsigned i = 0; i < c->def->out.nr; i++)
                if (!output_of(c, i)->output_gone)
                        return false;
        return c->def->out.nr > 0;
}

static bool inputs_have_ended(struct sluice_ctx *c)
{
        for (unsigned i = 0; i < c->def->in.nr; i++)
                if (!input_of(c, i)->in_end)
                        return false;
        return true;
}

static bool inputs_are_told(struct sluice_ctx *c)
{
        for (unsigned i = 0; i < c->def->in.nr; i++)
                if (!input_of(c, i)->in_end_told)
                        return false;
        return true;
}

/* The function is over: everything upstream is told that no more is wanted, downstream that no more comes. */
static void finish(struct sluice_ctx *c)
{
        c->function_done = true;
        ctx_cancel_calls(c);
        for (unsigned i = 0; i < c->def->in.nr; i++) {
                struct run_link *before = input_of(c, i);

                if (before->ended)
                        continue;
                before->link.early = true;
                link_cancel(&before->link, 0);
        }
        for (unsigned i = 0; i < c->def->out.nr; i++)
                if (output_of(c, i)->link.state == LINK_MOVING)
                        link_give_end(&output_of(c, i)->link);
        run_wake(c->run);
}

/* Its failure ends it alone, as a command's does; the others meet a broken pipe and the end of their input. */
static void function_fail(struct sluice_ctx *c, int error)
{
        struct stage_outcome *o = &c->outcome;

        if (o->error == 0)
                words_say(&o->message, MESSAGE_BYTES, "%s: %s", c->def->name, words_any(c->note) ? c->note : strerror(-error));
        stage_saw(c, error, words_any(c->note) && c->note_operation ? c->note_operation : "process");
        finish(c);
        run_may_fail_fast(c);
}

/* What takes its output has ended. One of several: it goes on without. Bytes on their way that were not taken: the function met
 * a broken pipe. None: it meets one when it gives more, as a command would; but a source, or one that waits for its host, may
 * never. */
void function_cut_short(struct sluice_ctx *c, struct run_link *after)
{
        bool source = c->def->in.nr == 0;

        after->output_gone = true;
        if (c->function_done)
                return;
        if (!outputs_are_gone(c)) {
                function_kick(c);
                return;
        }
        c->outcome.ended = c->run->stopping;
        if (c->def->ops->traits & SLUICE_MANY_OUTPUTS) {
                c->outcome.early = !c->run->stopping;
                finish(c);
                return;
        }
        /* One that waits with input in hand meant to give it. */
        c->outcome.cut_short = !c->run->stopping && (link_inside(&after->link) > 0 || (c->function_waits && !source));
        if (c->outcome.ended || c->outcome.cut_short || source || c->function_waits)
                finish(c);
        else
                function_kick(c);
}

void function_kick(struct sluice_ctx *c)
{
        bool ended = false;

        for (unsigned i = 0; i < c->def->in.nr; i++) {
                ended |= input_of(c, i)->ended;
                if (input_of(c, i)->link.state == LINK_MOVING)
                        loop_ready(c->run->loop, &input_of(c, i)->link);
        }
        for (unsigned i = 0; i < c->def->out.nr; i++)
                if (output_of(c, i)->link.state == LINK_MOVING)
                        loop_ready(c->run->loop, &output_of(c, i)->link);
        if (!is_function(c) || (!ended && !c->asked))
                return;
        c->kicked = true;
        run_wake(c->run);
}

/* An input that has ended steps no more, and a stage that asked may have none that does. */
void functions_kicked(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i];

                if (!c->kicked)
                        continue;
                c->kicked = false;
                while (function_step(c))
                        continue;
        }
}

/* ---- one call ---- */

struct call_bufs {
        struct sluice_buf in, out;
        struct buffer *memory;
        bool overflow; /* nothing can be taken from it now: it may drop its input */
};

static bool has_news(struct run_link *l)
{
        uint8_t *data;

        if (l->link.state == LINK_MOVING && (link_peek(&l->link, &data) > 0 || link_flush_is_next(&l->link)))
                return true;
        return l->in_end ? !l->in_end_told : l->flush;
}

/* False: none has anything. */
static bool choose_input(struct sluice_ctx *c)
{
        unsigned nr = c->def->in.nr;

        for (unsigned k = 1; k <= nr; k++) {
                unsigned i = (c->input + k) % nr;

                if ((c->want >= 0 && (unsigned)c->want != i) || !has_news(input_of(c, i)))
                        continue;
                c->input = i;
                return true;
        }
        return false;
}

static void show_input(struct run_link *l, struct sluice_buf *in)
{
        if (l->link.state == LINK_MOVING) {
                in->len = link_peek(&l->link, &in->data);
                in->flush = in->len == 0 && (l->flush || link_flush_is_next(&l->link));
        }
        in->end = l->in_end;
}

/* Whether every output that is still taken has room for another buffer. */
static bool outputs_have_room(struct sluice_ctx *c)
{
        for (unsigned i = 0; i < c->def->out.nr; i++) {
                struct run_link *l = output_of(c, i);

                if (!l->output_gone && (l->link.state != LINK_MOVING || !link_has_room(&l->link)))
                        return false;
        }
        return true;
}

/* False: nothing to do now. */
static bool prepare(struct sluice_ctx *c, struct call_bufs *bufs)
{
        *bufs = (struct call_bufs){ .in.size = sizeof(bufs->in), .out.size = sizeof(bufs->out) };
        if (c->def->in.nr) {
                if (choose_input(c))
                        show_input(in_link(c), &bufs->in);
                else if (!c->asked)
                        return false;
        }
        if (c->def->out.nr == 0)
                return true;
        if (!outputs_have_room(c)) {
                bufs->overflow = c->def->ops->traits & SLUICE_OVERFLOW && bufs->in.len > 0;
                return bufs->overflow;
        }
        bufs->memory = buffer_get(c->run->loop->pool);
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
        if (!c->calling || c->def->out.nr == 0 || bytes == 0 || bytes > c->calling->len)
                return -EINVAL;
        if (c->forward_bytes)
                return -EBUSY;
        c->forward_bytes = bytes;
        c->calling->consumed = bytes;
        return 0;
}

unsigned sluice_ctx_input(const struct sluice_ctx *c)
{
        return c->input;
}

void sluice_ctx_want(struct sluice_ctx *c, int input)
{
        c->want = input;
}

/* To every output that is taken, a reference each; takes over the caller's. */
static void give(struct sluice_ctx *c, struct buffer *b, uint32_t at, uint32_t bytes)
{
        for (unsigned i = 0; i < c->def->out.nr; i++) {
                struct run_link *l = output_of(c, i);

                if (l->output_gone)
                        continue;
                pin_ref(&b->pin);
                link_give_memory(&l->link, b, at, bytes);
        }
        buffer_unref(b);
}

static void give_flush(struct sluice_ctx *c)
{
        for (unsigned i = 0; i < c->def->out.nr; i++)
                if (!output_of(c, i)->output_gone && output_of(c, i)->link.state == LINK_MOVING)
                        link_give_flush(&output_of(c, i)->link);
}

/* The input's buffer itself goes on: from link to link without a copy. */
static void forward(struct sluice_ctx *c)
{
        uint32_t at;
        struct buffer *b = link_lend(&in_link(c)->link, &at);

        give(c, b, at, (uint32_t)c->forward_bytes);
}

/* What the call has given goes on; nobody to take it is a broken pipe. */
static bool pass_on(struct sluice_ctx *c, struct call_bufs *bufs)
{
        bool produced = bufs->out.len > 0 || c->forward_bytes > 0;

        if (produced && outputs_are_gone(c)) {
                buffer_unref(bufs->memory);
                c->outcome.cut_short = true;
                finish(c);
                return false;
        }
        if (c->forward_bytes)
                forward(c);
        if (bufs->out.len)
                give(c, bufs->memory, 0, (uint32_t)bufs->out.len);
        else
                buffer_unref(bufs->memory);
        return true;
}

/* What a call may not say of itself. */
static bool breaks_protocol(const struct sluice_ctx *c, const struct call_bufs *bufs)
{
        return bufs->in.consumed > bufs->in.len || bufs->out.len > bufs->out.cap || (c->forward_bytes && bufs->out.len) ||
               (c->forward_bytes && bufs->overflow) || bufs->in.consumed < c->forward_bytes;
}

/* The end, and a flush, are told until a call gives nothing more. */
static void told(struct sluice_ctx *c, const struct call_bufs *bufs)
{
        struct run_link *before = in_link(c);

        if (!before || bufs->in.consumed < bufs->in.len || bufs->out.len > 0 || c->forward_bytes > 0)
                return;
        if (bufs->in.end)
                before->in_end_told = true;
        if (!bufs->in.flush)
                return;
        if (link_flush_is_next(&before->link))
                link_flush_passed(&before->link);
        before->flush = false;
        give_flush(c);
}

static bool account(struct sluice_ctx *c, struct call_bufs *bufs, int r)
{
        struct run_link *before = in_link(c);
        bool idle = bufs->in.consumed == 0 && bufs->out.len == 0 && !bufs->out.end && !bufs->out.flush && r == 0;

        if (r == -EAGAIN) {
                c->function_waits = true;
                c->asked = false;
                buffer_unref(bufs->memory);
                return false;
        }
        if (idle)
                c->asked = false;
        if (idle && (bufs->overflow || (before && bufs->in.len == 0 && !bufs->in.end && !bufs->in.flush))) {
                buffer_unref(bufs->memory);
                return false;
        }
        if (r >= 0 && breaks_protocol(c, bufs))
                r = -EPROTO;
        if (r >= 0 && idle && !bufs->in.end && !bufs->in.flush) {
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
        if (bufs->out.flush)
                give_flush(c);
        told(c, bufs);
        if (r > 0 || bufs->out.end || (before && inputs_are_told(c))) {
                c->outcome.early = r == SLUICE_FINISH_EARLY || (r == SLUICE_END && before && !inputs_have_ended(c));
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
        c->calling = c->def->in.nr ? &bufs.in : NULL;
        r = c->def->ops->process(c, c->self, c->calling, c->def->out.nr ? &bufs.out : NULL);
        c->calling = NULL;
        return account(c, &bufs, r);
}
