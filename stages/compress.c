/* stages/compress.c: compress: and decompress:, by libzstd, which is loaded when one is added: no other start pays for it.
 * Owns a stream for each instance. Zlib-like: as much as fits per call, the rest in the next. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "library.h"
#include "plain.h"
#include "text.h"

struct zstd {
        ZSTD_CCtx *(*create_c)(void);
        size_t (*free_c)(ZSTD_CCtx *);
        size_t (*set)(ZSTD_CCtx *, ZSTD_cParameter, int);
        size_t (*compress)(ZSTD_CCtx *, ZSTD_outBuffer *, ZSTD_inBuffer *, ZSTD_EndDirective);
        ZSTD_DCtx *(*create_d)(void);
        size_t (*free_d)(ZSTD_DCtx *);
        size_t (*decompress)(ZSTD_DCtx *, ZSTD_outBuffer *, ZSTD_inBuffer *);
        unsigned (*is_error)(size_t);
        const char *(*error_name)(size_t);
};

struct zstd_config {
        struct zstd zstd;
        int level;
};

struct zstd_self {
        ZSTD_CCtx *compressor;
        ZSTD_DCtx *decompressor;
        int in_frame; /* decompressing: the end would cut one */
};

static int load(struct zstd *ret)
{
        const struct library_symbol symbols[] = {
                { &ret->create_c, "ZSTD_createCCtx" },         { &ret->free_c, "ZSTD_freeCCtx" },
                { &ret->set, "ZSTD_CCtx_setParameter" },       { &ret->compress, "ZSTD_compressStream2" },
                { &ret->create_d, "ZSTD_createDCtx" },         { &ret->free_d, "ZSTD_freeDCtx" },
                { &ret->decompress, "ZSTD_decompressStream" }, { &ret->is_error, "ZSTD_isError" },
                { &ret->error_name, "ZSTD_getErrorName" },
        };
        const char *why;

        return library_load("libzstd.so.1", symbols, sizeof(symbols) / sizeof(symbols[0]), &why) < 0 ? -ENOPKG : 0;
}

static int failed(struct sluice_ctx *ctx, const struct zstd_config *c, size_t code)
{
        sluice_ctx_note(ctx, "zstd", "%s", c->zstd.error_name(code));
        return -EBADMSG;
}

/* ---- compress ---- */

static int compress_open(struct sluice_ctx *ctx, void *self_)
{
        const struct zstd_config *c = sluice_ctx_config(ctx);
        struct zstd_self *self = self_;

        self->compressor = c->zstd.create_c();
        if (!self->compressor)
                return -ENOMEM;
        c->zstd.set(self->compressor, ZSTD_c_compressionLevel, c->level);
        c->zstd.set(self->compressor, ZSTD_c_checksumFlag, 1);
        return 0;
}

static int compress_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct zstd_config *c = sluice_ctx_config(ctx);
        struct zstd_self *self = self_;
        ZSTD_inBuffer from = { in->data, in->len, 0 };
        ZSTD_outBuffer to = { out->data, out->cap, 0 };
        size_t left = c->zstd.compress(self->compressor, &to, &from,
                                       in->end     ? ZSTD_e_end
                                       : in->flush ? ZSTD_e_flush
                                                   : ZSTD_e_continue);

        if (c->zstd.is_error(left))
                return failed(ctx, c, left);
        in->consumed = from.pos;
        out->len = to.pos;
        return in->end && left == 0 && from.pos == in->len ? SLUICE_END : 0;
}

static void compress_close(struct sluice_ctx *ctx, void *self, int error)
{
        const struct zstd_config *c = sluice_ctx_config(ctx);

        (void)error;
        c->zstd.free_c(((struct zstd_self *)self)->compressor);
}

/* ---- decompress ---- */

static int decompress_open(struct sluice_ctx *ctx, void *self_)
{
        const struct zstd_config *c = sluice_ctx_config(ctx);
        struct zstd_self *self = self_;

        self->decompressor = c->zstd.create_d();
        return self->decompressor ? 0 : -ENOMEM;
}

/* Frames may follow each other, as `cat a.zst b.zst` makes them. */
static int decompress_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct zstd_config *c = sluice_ctx_config(ctx);
        struct zstd_self *self = self_;
        ZSTD_inBuffer from = { in->data, in->len, 0 };
        ZSTD_outBuffer to = { out->data, out->cap, 0 };
        size_t left = in->len || self->in_frame ? c->zstd.decompress(self->decompressor, &to, &from) : 0;

        if (c->zstd.is_error(left))
                return failed(ctx, c, left);
        in->consumed = from.pos;
        out->len = to.pos;
        self->in_frame = left != 0;
        if (!in->end || from.pos < in->len || to.pos > 0)
                return 0;
        if (!self->in_frame)
                return SLUICE_END;
        sluice_ctx_note(ctx, "zstd", "the input ends in the middle of a frame");
        return -EBADMSG;
}

static void decompress_close(struct sluice_ctx *ctx, void *self, int error)
{
        const struct zstd_config *c = sluice_ctx_config(ctx);

        (void)error;
        c->zstd.free_d(((struct zstd_self *)self)->decompressor);
}

/* ---- both ---- */

/* Between two others only: compressed bytes that go nowhere are a mistake. */
static int between_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        if (!sluice_ctx_linked(ctx, SLUICE_INPUT) || !sluice_ctx_linked(ctx, SLUICE_OUTPUT)) {
                sluice_ctx_note(ctx, "describe", "stands between two stages: it has an input and an output");
                return -ENOTSUP;
        }
        return plain_describe(ctx, self, dir, ret);
}

static const struct sluice_stage_ops compress_ops = {
        .size = sizeof(compress_ops),
        .name = "compress",
        .instance_size = sizeof(struct zstd_self),
        .config_size = sizeof(struct zstd_config),
        .describe = between_describe,
        .open = compress_open,
        .process = compress_process,
        .close = compress_close,
};

static const struct sluice_stage_ops decompress_ops = {
        .size = sizeof(decompress_ops),
        .name = "decompress",
        .instance_size = sizeof(struct zstd_self),
        .config_size = sizeof(struct zstd_config),
        .describe = between_describe,
        .open = decompress_open,
        .process = decompress_process,
        .close = decompress_close,
};

int sluice_add_compress(struct sluice_pipeline *p, int level)
{
        struct zstd_config c = { .level = level ? level : 3 };
        int r = level < -7 || level > 19 ? -EINVAL : load(&c.zstd);

        return r < 0 ? r : sluice_pipeline_add(p, &compress_ops, &c, "compress");
}

int sluice_add_decompress(struct sluice_pipeline *p)
{
        struct zstd_config c = { 0 };
        int r = load(&c.zstd);

        return r < 0 ? r : sluice_pipeline_add(p, &decompress_ops, &c, "decompress");
}

static int explain(int r, struct sluice_text_error *e)
{
        return r == -ENOPKG ? text_fail(e, -1, "needs libzstd.so.1: apt-get install libzstd1") : r;
}

static int add_compress(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
                        struct sluice_text_error *e)
{
        int r = text_options(NULL, 0, options, options_nr, NULL, e), level = 0;
        char *end;

        if (r < 0)
                return r;
        if (*argument) {
                level = (int)strtol(argument, &end, 10);
                if (*end || level < 1 || level > 19)
                        return text_fail(e, 0, "compress: takes a level from 1 to 19, not '%.40s'", argument);
        }
        return explain(sluice_add_compress(p, level), e);
}

static int add_decompress(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
                          struct sluice_text_error *e)
{
        int r = text_options(NULL, 0, options, options_nr, NULL, e);

        if (r < 0)
                return r;
        return *argument ? text_fail(e, 0, "decompress: takes no argument") : explain(sluice_add_decompress(p), e);
}

const struct text_type text_compress = { { "compress", "compress:[LEVEL]", "compresses by zstd, in this process" }, add_compress };
const struct text_type text_decompress = { { "decompress", "decompress:", "decompresses what zstd compressed" }, add_decompress };
