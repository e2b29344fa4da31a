/* stages/generate.c: a source of bytes that say where they are, for tests: every eight bytes are a hash of their place, so
 * that a hole, a repeat, a swap or a shift shows. */
#include <errno.h>
#include <string.h>

#include "plain.h"
#include "text.h"

struct generate_self {
        uint64_t at;
};

static uint64_t word_at(uint64_t index)
{
        uint64_t z = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        return z ^ (z >> 29);
}

/* `at` is a multiple of 8 but for the end. */
static void fill(uint8_t *data, size_t bytes, uint64_t at)
{
        for (size_t i = 0; i < bytes; i += 8) {
                uint64_t word = word_at((at + i) / 8);

                memcpy(data + i, &word, bytes - i < 8 ? bytes - i : 8);
        }
}

static int generate_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        int64_t length = *(const int64_t *)sluice_ctx_config(ctx);
        struct generate_self *self = self_;
        size_t bytes = out->cap & ~(size_t)7;

        (void)in;
        if (length >= 0 && (uint64_t)length - self->at < bytes)
                bytes = (size_t)((uint64_t)length - self->at);
        fill(out->data, bytes, self->at);
        self->at += bytes;
        out->len = bytes;
        return length >= 0 && self->at == (uint64_t)length ? SLUICE_END : 0;
}

static const struct sluice_stage_ops generate_ops = {
        .size = sizeof(generate_ops),
        .name = "generate",
        .instance_size = sizeof(struct generate_self),
        .config_size = sizeof(int64_t),
        .describe = plain_describe_source,
        .open = plain_open,
        .process = generate_process,
        .close = plain_close,
};

int sluice_add_generate(struct sluice_pipeline *p, int64_t length)
{
        return length < -1 ? -EINVAL : sluice_pipeline_add(p, &generate_ops, &length, "generate");
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        int r = text_options(NULL, 0, options, options_nr, NULL, e);
        int64_t length = -1;

        if (r < 0)
                return r;
        if (*argument && sluice_parse_bytes(argument, &length) < 0)
                return text_fail(e, 0, "generate: takes a number of bytes (64k, 1.5G), not '%.40s'", argument);
        return sluice_add_generate(p, length);
}

const struct text_type text_generate = { { "generate", "generate:[LENGTH]", "bytes that say where they are, for tests" }, add };
