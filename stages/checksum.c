/* stages/checksum.c: passes everything on, uncopied, and reports its checksum: xxh3 (128 bits, for accidents; xxHash's own
 * code, compiled in) or sha256 (for the rest; nettle's, loaded when one is added, so that no other start pays for it).
 * Owns nothing that outlives the instance. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nettle/sha2.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "library.h"
#include "plain.h"
#include "text.h"

/* nettle renames its functions by macros; what dlsym() wants is the name behind them. */
#define TEXT_OF(x)   #x
#define SYMBOL_OF(x) TEXT_OF(x)

struct sha256 {
        void (*init)(struct sha256_ctx *);
        void (*update)(struct sha256_ctx *, size_t, const uint8_t *);
        void (*digest)(struct sha256_ctx *, size_t, uint8_t *);
};

struct checksum_config {
        enum sluice_checksum kind;
        struct sha256 sha256;
};

struct checksum_self {
        int begun;
        union {
                XXH3_state_t xxh3;
                struct sha256_ctx sha256;
        };
};

static int load_sha256(struct sha256 *ret)
{
        const struct library_symbol symbols[] = { { &ret->init, SYMBOL_OF(nettle_sha256_init) },
                                                  { &ret->update, SYMBOL_OF(nettle_sha256_update) },
                                                  { &ret->digest, SYMBOL_OF(nettle_sha256_digest) } };
        const char *why;

        return library_load("libnettle.so.8", symbols, 3, &why) < 0 ? -ENOPKG : 0;
}

static void begin(const struct checksum_config *c, struct checksum_self *self)
{
        self->begun = 1;
        if (c->kind == SLUICE_CHECKSUM_XXH3)
                XXH3_128bits_reset(&self->xxh3);
        else
                c->sha256.init(&self->sha256);
}

static void update(const struct checksum_config *c, struct checksum_self *self, const struct sluice_buf *in)
{
        if (!self->begun)
                begin(c, self);
        if (in->len == 0)
                return;
        if (c->kind == SLUICE_CHECKSUM_XXH3)
                XXH3_128bits_update(&self->xxh3, in->data, in->len);
        else
                c->sha256.update(&self->sha256, in->len, in->data);
}

static void report(struct sluice_ctx *ctx, const struct checksum_config *c, struct checksum_self *self)
{
        uint8_t digest[SHA256_DIGEST_SIZE];
        char text[2 * SHA256_DIGEST_SIZE + 1];
        size_t bytes = sizeof(digest);

        if (c->kind == SLUICE_CHECKSUM_XXH3) {
                XXH128_canonicalFromHash((XXH128_canonical_t *)(void *)digest, XXH3_128bits_digest(&self->xxh3));
                bytes = sizeof(XXH128_canonical_t);
        } else {
                c->sha256.digest(&self->sha256, sizeof(digest), digest);
        }
        for (size_t i = 0; i < bytes; i++)
                snprintf(text + 2 * i, 3, "%02x", digest[i]);
        sluice_ctx_report(ctx, c->kind == SLUICE_CHECKSUM_XXH3 ? "xxh3" : "sha256", text);
}

static int checksum_process(struct sluice_ctx *ctx, void *self_, struct sluice_buf *in, struct sluice_buf *out)
{
        const struct checksum_config *c = sluice_ctx_config(ctx);
        struct checksum_self *self = self_;

        update(c, self, in);
        if (in->len > 0 && out)
                return sluice_forward(ctx, in->len);
        in->consumed = in->len;
        if (!in->end)
                return 0;
        report(ctx, c, self);
        return SLUICE_END;
}

static const struct sluice_stage_ops checksum_ops = {
        .size = sizeof(checksum_ops),
        .name = "checksum",
        .instance_size = sizeof(struct checksum_self) + 64,
        .config_size = sizeof(struct checksum_config),
        .describe = plain_describe,
        .open = plain_open,
        .process = checksum_process,
        .close = plain_close,
};

int sluice_add_checksum(struct sluice_pipeline *p, enum sluice_checksum kind)
{
        struct checksum_config c = { .kind = kind };
        int r = kind == SLUICE_CHECKSUM_SHA256 ? load_sha256(&c.sha256) : kind == SLUICE_CHECKSUM_XXH3 ? 0 : -EINVAL;

        return r < 0 ? r : sluice_pipeline_add(p, &checksum_ops, &c, "checksum");
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        int r = text_options(NULL, 0, options, options_nr, NULL, e);
        int sha256 = strcmp(argument, "sha256") == 0;

        if (r < 0)
                return r;
        if (*argument && !sha256 && strcmp(argument, "xxh3") != 0)
                return text_fail(e, 0, "checksum: is one of xxh3, sha256, not '%.40s'", argument);
        r = sluice_add_checksum(p, sha256 ? SLUICE_CHECKSUM_SHA256 : SLUICE_CHECKSUM_XXH3);
        return r == -ENOPKG ? text_fail(e, 0, "checksum:sha256 needs libnettle.so.8: apt-get install libnettle8") : r;
}

const struct text_type text_checksum = { { "checksum", "checksum:[xxh3|sha256]", "passes on, and reports the checksum" }, add };
