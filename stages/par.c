/* stages/par.c: copies of a pipeline at work on parts of the input at once: a run of its own for every part, n at a time.
 *
 *      input --cut at newlines--> part 0 --[source | pipeline | sink]--> its output --+
 *                                 part 1 --[source | pipeline | sink]--> ...          +--in the order of the parts--> output
 *                                 part 2 ...                                          |  (or of their ends)
 *
 *      part:  FILLING --part_bytes, or the end--> FULL --fewer than n run--> RUNNING --its run has ended--> OVER --given--> gone
 *
 * A run for each part, as `parallel --pipe` starts a process for each: so it is known where its output ends. At most 2n parts
 * exist beside the one that is filled. One of them is current: its output goes on as it comes. Of each at most
 * HELD_PARTS * part_bytes are held, then its run waits: the current one for our reader, never for another part. So all of it is
 * bounded.
 * A part that fails fails the stage, which ends the others.
 *
 * Law: bytes in == the bytes of all parts; a part's output is given whole. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"

enum {
        PART_BYTES = 1 << 20,
        PART_BYTES_MIN = 4 << 10,
        PART_BYTES_MAX = 256 << 20,
        LINE_PARTS = 8,
        HELD_PARTS = 2,
        CHUNK_BYTES = 16 << 10,
        COPIES_MAX = 256
};

enum part_state { PART_FILLING, PART_FULL, PART_RUNNING, PART_OVER };

/* A piece of output. Small pieces that come one by one share it: a copy that writes single bytes would else cost an allocation,
 * and 50 times its bytes, for each. */
struct chunk {
        struct chunk *next;
        size_t bytes, cap;
        uint8_t data[];
};

struct par_config {
        unsigned copies;
        struct sluice_par_options opt;
        struct sluice_plan *plan;
        int source, sink; /* in the plan */
};

struct part {
        struct part *next;
        struct par_self *par;
        enum part_state state;
        uint8_t *data;
        size_t bytes, cap, at;
        struct chunk *output, *last;
        size_t held, given;      /* bytes of output; of its first chunk */
        struct sluice_ctx *sink; /* waits until its output may grow; NULL: it does not */
};

struct par_self {
        struct sluice_ctx *ctx;
        const struct par_config *config;
        struct part *parts;   /* in order; a FILLING one is the last */
        struct part *current; /* whose output goes on; NULL: none's */
        unsigned cut_nr;      /* parts that are not FILLING */
        unsigned running;
        bool any; /* part was ever cut */
        int error;
};

/* ---- parts ---- */

static void part_free(struct part *p)
{
        struct chunk *c;

        while ((c = p->output)) {
                p->output = c->next;
                free(c);
        }
        free(p->data);
        free(p);
}

static struct part *part_new(struct par_self *self)
{
        struct part *p = calloc(1, sizeof(*p)), **at = &self->parts;

        if (!p)
                return NULL;
        p->par = self;
        while (*at)
                at = &(*at)->next;
        *at = p;
        return p;
}

static void part_drop(struct par_self *self, struct part *p)
{
        struct part **at = &self->parts;

        while (*at != p)
                at = &(*at)->next;
        *at = p->next;
        self->cut_nr--;
        part_free(p);
}

static int part_add(struct part *p, const uint8_t *data, size_t bytes)
{
        size_t cap = p->cap ? p->cap : 64 << 10;
        uint8_t *more;

        while (cap < p->bytes + bytes)
                cap *= 2;
        if (cap > p->cap) {
                more = realloc(p->data, cap);
                if (!more)
                        return -ENOMEM;
                p->data = more;
                p->cap = cap;
        }
        if (bytes)
                memcpy(p->data + p->bytes, data, bytes);
        p->bytes += bytes;
        return 0;
}

/* ---- the two ends of a part's run; their configuration is the part ---- */

static struct part *part_of(struct sluice_ctx *ctx)
{
        return (struct part *)(uintptr_t)sluice_ctx_config(ctx);
}

static int source_process(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct part *p = part_of(ctx);
        size_t bytes = p->bytes - p->at < out->cap ? p->bytes - p->at : out->cap;

        (void)self;
        (void)in;
        if (bytes)
                memcpy(out->data, p->data + p->at, bytes);
        p->at += bytes;
        out->len = bytes;
        return p->at == p->bytes ? SLUICE_END : 0;
}

static bool may_grow(const struct part *p)
{
        return p->held < HELD_PARTS * p->par->config->opt.part_bytes;
}

static void chunk_add(struct chunk *c, const uint8_t *data, size_t bytes)
{
        memcpy(c->data + c->bytes, data, bytes);
        c->bytes += bytes;
}

static int chunk_new(struct part *p, size_t cap)
{
        struct chunk *c = malloc(sizeof(*c) + cap);

        if (!c)
                return -ENOMEM;
        *c = (struct chunk){ .cap = cap };
        *(p->last ? &p->last->next : &p->output) = c;
        p->last = c;
        return 0;
}

/* Into the last chunk as far as it has room, the rest into a new one. Nothing is held after an error. */
static int part_hold(struct part *p, const uint8_t *data, size_t bytes)
{
        struct chunk *last = p->last;
        size_t room = last ? last->cap - last->bytes : 0, here = bytes < room ? bytes : room, rest = bytes - here;
        int r = rest ? chunk_new(p, rest > CHUNK_BYTES ? rest : CHUNK_BYTES) : 0;

        if (r < 0)
                return r;
        if (here)
                chunk_add(last, data, here);
        if (rest)
                chunk_add(p->last, data + here, rest);
        p->held += bytes;
        return 0;
}

static int sink_process(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct part *p = part_of(ctx);
        int r;

        (void)self;
        (void)out;
        if (in->len == 0)
                return 0;
        if (!may_grow(p)) {
                p->sink = ctx;
                sluice_ctx_ready(p->par->ctx); /* where they come in any order, it may become the current one */
                return -EAGAIN;
        }
        r = part_hold(p, in->data, in->len);
        if (r < 0)
                return r;
        in->consumed = in->len;
        sluice_ctx_ready(p->par->ctx);
        return 0;
}

static const struct sluice_stage_ops source_ops = {
        .size = sizeof(source_ops),
        .name = "part",
        .describe = plain_describe_source,
        .open = plain_open,
        .process = source_process,
        .close = plain_close,
};

static const struct sluice_stage_ops sink_ops = {
        .size = sizeof(sink_ops),
        .name = "result",
        .describe = plain_describe,
        .open = plain_open,
        .process = sink_process,
        .close = plain_close,
};

/* ---- giving ---- */

static void wake_sink(struct part *p)
{
        struct sluice_ctx *sink = p->sink;

        if (!sink || !may_grow(p))
                return;
        p->sink = NULL;
        sluice_ctx_ready(sink);
}

/* In order: the first. As they come: one that is over, else one that may hold no more. */
static struct part *choose_current(const struct par_self *self)
{
        struct part *first = self->parts, *full = NULL;

        if (!self->config->opt.unordered)
                return first && first->state >= PART_RUNNING ? first : NULL;
        for (struct part *p = first; p; p = p->next) {
                if (p->state == PART_OVER)
                        return p;
                if (!full && p->sink)
                        full = p;
        }
        return full;
}

static void give_chunk(struct part *p, struct sluice_buf *out)
{
        struct chunk *c = p->output;
        size_t left = c->bytes - p->given, room = out->cap - out->len, bytes = left < room ? left : room;

        memcpy(out->data + out->len, c->data + p->given, bytes);
        out->len += bytes;
        p->given += bytes;
        p->held -= bytes;
        if (p->given < c->bytes)
                return;
        p->given = 0;
        p->output = c->next;
        if (!p->output)
                p->last = NULL;
        free(c);
}

/* As much of the current part's output as fits, and of the next one's if that is all. */
static void give(struct par_self *self, struct sluice_buf *out)
{
        while (out->len < out->cap) {
                struct part *p = self->current;

                if (!p) {
                        self->current = p = choose_current(self);
                        if (!p)
                                return;
                        wake_sink(p);
                }
                while (p->output && out->len < out->cap)
                        give_chunk(p, out);
                wake_sink(p);
                if (p->output || p->state != PART_OVER)
                        return;
                self->current = NULL;
                part_drop(self, p);
        }
}

/* ---- taking ---- */

static void part_over(struct sluice_ctx *ctx, void *self_, void *arg, int result)
{
        struct par_self *self = self_;
        struct part *p = arg;

        p->state = PART_OVER;
        p->sink = NULL;
        self->running--;
        if (result < 0 && self->error == 0)
                self->error = result;
        sluice_ctx_ready(ctx);
}

static int start_parts(struct sluice_ctx *ctx, struct par_self *self)
{
        const struct par_config *c = self->config;

        for (struct part *p = self->parts; p && self->running < c->copies; p = p->next) {
                struct sluice_binding b[] = { { c->source, p }, { c->sink, p } };
                int r;

                if (p->state != PART_FULL)
                        continue;
                r = sluice_ctx_run(ctx, c->plan, b, 2, part_over, p);
                if (r < 0)
                        return r;
                p->state = PART_RUNNING;
                self->running++;
        }
        return 0;
}

static struct part *filling(const struct par_self *self)
{
        struct part *p = self->parts;

        while (p && p->next)
                p = p->next;
        return p && p->state == PART_FILLING ? p : NULL;
}

static bool may_cut(const struct par_self *self)
{
        return self->cut_nr < 2 * self->config->copies;
}

/* The part is whole up to its last newline; the rest begins the next. 1: cut; 0: it has no newline yet. */
static int cut(struct par_self *self, struct part *p)
{
        bool anywhere = self->config->opt.no_records;
        const uint8_t *newline = anywhere ? p->data + p->bytes - 1 : memrchr(p->data, '\n', p->bytes);
        size_t bytes = newline ? (size_t)(newline - p->data) + 1 : 0;
        struct part *rest;
        int r;

        if (!newline)
                return 0;
        rest = p->bytes > bytes ? part_new(self) : NULL;
        if (p->bytes > bytes && !rest)
                return -ENOMEM;
        r = rest ? part_add(rest, p->data + bytes, p->bytes - bytes) : 0;
        p->bytes = bytes;
        p->state = PART_FULL;
        self->cut_nr++;
        self->any = true;
        return r < 0 ? r : 1;
}

static bool is_full(const struct par_self *self, const struct part *p)
{
        return p && p->bytes >= self->config->opt.part_bytes;
}

/* Only a part that is a single line grows beyond its size. */
static int cut_full(struct sluice_ctx *ctx, struct par_self *self, struct part *p)
{
        size_t max = LINE_PARTS * self->config->opt.part_bytes;

        if (p->bytes < max)
                return cut(self, p);
        sluice_ctx_note(ctx, "read", "a line has %zu bytes or more (part=, or records=none for bytes without lines)", max);
        return -EMSGSIZE;
}

/* How much of `data` belongs to the part: what it has room for, or the rest of the line that fills it. */
static size_t share_of(const struct par_self *self, const struct part *p, const uint8_t *data, size_t bytes)
{
        size_t part_bytes = self->config->opt.part_bytes;
        const uint8_t *newline;

        if (p->bytes < part_bytes)
                return part_bytes - p->bytes < bytes ? part_bytes - p->bytes : bytes;
        newline = memchr(data, '\n', bytes);
        return newline ? (size_t)(newline - data) + 1 : bytes;
}

static int take(struct sluice_ctx *ctx, struct par_self *self, struct sluice_buf *in)
{
        struct part *p;
        int r;

        while (in->consumed < in->len) {
                size_t bytes;

                p = filling(self);
                if (is_full(self, p) && !may_cut(self))
                        return 0;
                r = is_full(self, p) ? cut_full(ctx, self, p) : 0;
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (!p && !(p = part_new(self)))
                        return -ENOMEM;
                bytes = share_of(self, p, in->data + in->consumed, in->len - in->consumed);
                r = part_add(p, in->data + in->consumed, bytes);
                if (r < 0)
                        return r;
                in->consumed += bytes;
        }
        p = filling(self);
        r = is_full(self, p) && may_cut(self) ? cut_full(ctx, self, p) : 0;
        return r < 0 ? r : 0;
}

/* The last part may lack its newline; an empty input is one empty part, so that `par(4, gzip -c)` of nothing is a gzip file. */
static int take_end(struct par_self *self)
{
        struct part *p = filling(self);

        if (!p && !self->any && !(p = part_new(self)))
                return -ENOMEM;
        if (p && may_cut(self)) {
                p->state = PART_FULL;
                self->cut_nr++;
                self->any = true;
        }
        return 0;
}

static int take_flush(struct par_self *self)
{
        struct part *p = filling(self);

        return p && may_cut(self) ? cut(self, p) : 0;
}

static int par_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        struct par_self *self = self_;
        bool whole;
        int r = self->error;

        if (r < 0)
                return r;
        give(self, out);
        r = take(ctx, self, in);
        whole = in->consumed == in->len;
        if (r >= 0 && whole && in->end)
                r = take_end(self);
        if (r >= 0 && in->flush)
                r = take_flush(self);
        r = r < 0 ? r : start_parts(ctx, self);
        if (r < 0)
                return r;
        if (out->len || in->consumed)
                return 0;
        if (in->len || (in->end && self->parts) || (in->flush && self->cut_nr))
                return -EAGAIN;
        return 0;
}

/* ---- life ---- */

static int par_open(struct sluice_ctx *ctx, void *self_)
{
        struct par_self *self = self_;

        self->ctx = ctx;
        self->config = sluice_ctx_config(ctx);
        return 0;
}

static void par_close(struct sluice_ctx *ctx, void *self_, int error)
{
        struct par_self *self = self_;
        struct part *p;

        (void)ctx;
        (void)error;
        while ((p = self->parts)) {
                self->parts = p->next;
                part_free(p);
        }
}

static int par_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        if (!sluice_ctx_linked(ctx, SLUICE_INPUT) || !sluice_ctx_linked(ctx, SLUICE_OUTPUT)) {
                sluice_ctx_note(ctx, "describe", "stands between two stages");
                return -ENOTSUP;
        }
        return plain_describe(ctx, self, dir, ret);
}

static int config_copy(void **ret, const void *config)
{
        struct par_config *c = malloc(sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = *(const struct par_config *)config;
        sluice_plan_ref(c->plan);
        *ret = c;
        return 0;
}

static void config_free(void *config)
{
        sluice_plan_free(((struct par_config *)config)->plan);
        free(config);
}

static uint64_t par_holds(const void *config)
{
        const struct par_config *c = config;

        return (UINT64_C(2) * c->copies * (1 + HELD_PARTS) + LINE_PARTS) * c->opt.part_bytes; /* one is being filled */
}

static unsigned par_runs(const void *config, const struct sluice_plan **ret)
{
        const struct par_config *c = config;

        *ret = c->plan;
        return c->copies;
}

static const struct sluice_stage_ops par_ops = {
        .size = sizeof(par_ops),
        .name = "par",
        .instance_size = sizeof(struct par_self),
        .config_copy = config_copy,
        .config_free = config_free,
        .describe = par_describe,
        .open = par_open,
        .process = par_process,
        .holds = par_holds,
        .runs = par_runs,
        .close = par_close,
};

/* The pipeline between a part and its result. */
static int make_plan(struct par_config *c, const struct sluice_pipeline *inner, char *why, size_t cap)
{
        struct sluice_pipeline *p;
        int r = sluice_pipeline_new(&p, NULL), stage;

        if (r < 0)
                return r;
        c->source = sluice_pipeline_add(p, &source_ops, NULL, NULL);
        stage = sluice_pipeline_add_pipeline(p, inner);
        c->sink = sluice_pipeline_add(p, &sink_ops, NULL, NULL);
        r = c->source < 0 ? c->source : stage < 0 ? stage : c->sink < 0 ? c->sink : 0;
        r = r < 0 ? r : sluice_pipeline_link(p, c->source, stage);
        r = r < 0 ? r : sluice_pipeline_link(p, stage, c->sink);
        /* A copy may leave of its part what it likes, as of a file: whether that was noticed is a matter of time. */
        r = r < 0 ? r : sluice_pipeline_ignore(p, c->source, SLUICE_IGNORE_PIPE, 0);
        r = r < 0 ? r : sluice_plan_new(&c->plan, p);
        if (why && cap)
                snprintf(why, cap, "%s", r < 0 ? sluice_pipeline_error(p) : "");
        sluice_pipeline_free(p);
        return r;
}

int sluice_add_par(struct sluice_pipeline *p, unsigned copies, const struct sluice_pipeline *inner,
                   const struct sluice_par_options *opt, char *why, size_t cap)
{
        struct par_config c = { .copies = copies };
        int r;

        if (why && cap)
                why[0] = '\0';
        if (opt && opt->size != sizeof(*opt))
                return -EINVAL;
        if (opt)
                c.opt = *opt;
        c.opt.part_bytes = c.opt.part_bytes ? c.opt.part_bytes : PART_BYTES;
        if (copies < 1 || copies > COPIES_MAX || c.opt.part_bytes < PART_BYTES_MIN || c.opt.part_bytes > PART_BYTES_MAX)
                return -EINVAL;
        r = make_plan(&c, inner, why, cap);
        if (r < 0)
                return r;
        r = sluice_pipeline_add(p, &par_ops, &c, NULL);
        sluice_plan_free(c.plan);
        return r;
}
