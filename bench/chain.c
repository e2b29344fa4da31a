/* bench/chain.c: what a link between two functions costs, and whether it costs the same in a chain of a thousand.
 *
 *      sluice-bench-chain [ROUNDS [MIB]]
 *              a source hands MIB MiB (256) in buffers of 256 KiB through 0, 1, 10, 100 and 1000 functions that pass on what
 *              they get (sluice_forward), into a sink that looks at nothing; the chain of 1 once more is the null case.
 *              In the same rounds the same bytes are copied once per link, by memcpy from buffer to buffer: what a chain of
 *              1 and 10 would cost if it copied.
 *
 * A run includes making and freeing the pipeline. Per link and buffer: (CPU of the chain - CPU of the chain of 0) / links /
 * buffers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>
#include <sluice/stages.h>

#include "measure.h"

enum { ROUNDS = 15, MIB = 256, PIECE_BYTES = 256 << 10, USAGE = 2 };

enum subject_index { CHAIN_0, CHAIN_1, CHAIN_1_AGAIN, CHAIN_10, CHAIN_100, CHAIN_1000, COPY_1, COPY_10, SUBJECTS };

static const struct subject subjects[SUBJECTS] = {
        [CHAIN_0] = { "0 functions between", -1 },
        [CHAIN_1] = { "1 function", CHAIN_0 },
        [CHAIN_1_AGAIN] = { "1 function again (null case)", CHAIN_1 },
        [CHAIN_10] = { "10 functions", CHAIN_1 },
        [CHAIN_100] = { "100 functions", CHAIN_10 },
        [CHAIN_1000] = { "1000 functions", CHAIN_100 },
        [COPY_1] = { "1 memcpy", CHAIN_1 },
        [COPY_10] = { "10 memcpy", CHAIN_10 },
};
static const unsigned length_of[SUBJECTS] = {
        [CHAIN_0] = 0,     [CHAIN_1] = 1,       [CHAIN_1_AGAIN] = 1, [CHAIN_10] = 10,
        [CHAIN_100] = 100, [CHAIN_1000] = 1000, [COPY_1] = 1,        [COPY_10] = 10,
};

struct bench {
        size_t bytes;
};

struct counter {
        size_t left;
};

static int describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)ctx;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static int open_source(struct sluice_ctx *ctx, void *self)
{
        ((struct counter *)self)->left = *(const size_t *)sluice_ctx_config(ctx);
        return 0;
}

static int open_nothing(struct sluice_ctx *ctx, void *self)
{
        (void)ctx;
        (void)self;
        return 0;
}

static void close_nothing(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

/* The bytes are what the buffer held before: the cost of making them is not what is measured. */
static int give(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct counter *c = self;
        size_t bytes = c->left < out->cap ? c->left : out->cap;

        (void)ctx;
        (void)in;
        out->data[0] = 1;
        out->len = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        c->left -= out->len;
        return c->left ? 0 : SLUICE_END;
}

static int pass(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        return in->len ? sluice_forward(ctx, in->len) : 0;
}

static int take(struct sluice_ctx *ctx, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)ctx;
        (void)self;
        (void)out;
        in->consumed = in->len;
        return 0;
}

#define OPS(what, opens, does)                                                                                                     \
        {                                                                                                                          \
                .size = sizeof(struct sluice_stage_ops), .name = (what), .instance_size = sizeof(struct counter),                  \
                .describe = describe, .open = (opens), .process = (does), .close = close_nothing,                                  \
        }
static const struct sluice_stage_ops source = OPS("source", open_source, give), between = OPS("pass", open_nothing, pass),
                                     sink = OPS("sink", open_nothing, take);

static int run_chain(size_t bytes, unsigned functions)
{
        struct sluice_pipeline *p;
        int r = sluice_pipeline_new(&p, NULL);

        if (r < 0)
                return r;
        r = sluice_pipeline_add(p, &source, &bytes, NULL);
        for (unsigned i = 0; i < functions && r >= 0; i++)
                r = sluice_pipeline_add(p, &between, NULL, NULL);
        r = r < 0 ? r : sluice_pipeline_add(p, &sink, NULL, NULL);
        r = r < 0 ? r : sluice_pipeline_chain(p);
        r = r < 0 ? r : sluice_pipeline_run(p);
        if (r < 0)
                fprintf(stderr, "sluice-bench-chain: %s\n", sluice_pipeline_error(p));
        sluice_pipeline_free(p);
        return r;
}

static int run_copies(size_t bytes, unsigned copies)
{
        uint8_t *from = malloc(PIECE_BYTES), *to = malloc(PIECE_BYTES);

        if (!from || !to) {
                free(from);
                free(to);
                return -1;
        }
        memset(from, 1, PIECE_BYTES);
        for (size_t at = 0; at < bytes; at += PIECE_BYTES)
                for (unsigned i = 0; i < copies; i++) {
                        memcpy(to, from, PIECE_BYTES);
                        __asm__ volatile("" : : "r"(to), "r"(from) : "memory"); /* the copy is made, though nobody looks */
                }
        free(from);
        free(to);
        return 0;
}

static int measure(void *arg, size_t subject, struct sample *ret)
{
        const struct bench *b = arg;
        struct rusage before, after;
        double begun = clock_ms();
        int r;

        getrusage(RUSAGE_SELF, &before);
        r = subject >= COPY_1 ? run_copies(b->bytes, length_of[subject]) : run_chain(b->bytes, length_of[subject]);
        getrusage(RUSAGE_SELF, &after);
        *ret = (struct sample){ clock_ms() - begun, cpu_ms(&after) - cpu_ms(&before) };
        return r;
}

/* Of the medians: the runs of a round differ by what the machine does meanwhile. */
static void print_link_costs(const struct rounds *r, const struct bench *b)
{
        double none = rounds_estimate(r, CHAIN_0, CPU).median, buffers = (double)((b->bytes + PIECE_BYTES - 1) / PIECE_BYTES);

        for (size_t i = CHAIN_1; i <= CHAIN_1000; i++)
                printf("  %-30s %8.0f ns a link and buffer\n", subjects[i].name,
                       (rounds_estimate(r, i, CPU).median - none) * 1e6 / length_of[i] / buffers);
}

int main(int argc, char **argv)
{
        size_t rounds = ROUNDS, mib = MIB;
        struct rounds r = { .subjects = subjects, .subjects_nr = SUBJECTS };
        struct bench b;

        if (argc > 3 || (argc > 1 && !parse_count(argv[1], 1, &rounds)) || (argc > 2 && !parse_count(argv[2], 1, &mib))) {
                fputs("usage: sluice-bench-chain [ROUNDS [MIB]]\n", stderr);
                return USAGE;
        }
        b.bytes = mib << 20;
        r.rounds_nr = rounds;
        if (rounds_run(&r, measure, &b) < 0)
                return 1;
        printf("%zu MiB in buffers of %d KiB, %zu rounds\n", mib, PIECE_BYTES >> 10, rounds);
        rounds_print(&r);
        print_link_costs(&r, &b);
        free(r.samples);
        return 0;
}
