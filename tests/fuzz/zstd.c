/* tests/fuzz/zstd.c: bytes through decompress:, in pieces and into small room, against libzstd over all of them at once: the same
 * bytes come out, and what is broken or cut is refused.
 *
 *      input = the length of a piece, then the bytes */
#include <errno.h>

#include <sluice/stages.h>
#include <zstd.h>

#include "fuzz.h"

const char *const fuzz_words[] = { "\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18\x04", NULL };

enum { OUT_MAX = 4 << 20, TURNS_MAX = 100000 };

struct flow {
        const uint8_t *data;
        size_t bytes, at, piece;
        size_t out_bytes;
        bool over;
        int result;
};

static uint8_t out[OUT_MAX], wanted[OUT_MAX];

static ssize_t give(void *arg, void *data, size_t cap)
{
        struct flow *f = arg;
        size_t bytes = f->bytes - f->at < f->piece ? f->bytes - f->at : f->piece;

        bytes = bytes < cap ? bytes : cap;
        if (bytes)
                memcpy(data, f->data + f->at, bytes);
        f->at += bytes;
        return (ssize_t)bytes;
}

static ssize_t take(void *arg, const void *data, size_t bytes)
{
        struct flow *f = arg;

        if (bytes > OUT_MAX - f->out_bytes)
                return -EFBIG;
        if (bytes)
                memcpy(out + f->out_bytes, data, bytes);
#ifdef FUZZ_PLANTED_BUG
        if (f->out_bytes && bytes > 9)
                out[f->out_bytes + 9] ^= 1;
#endif
        f->out_bytes += bytes;
        return (ssize_t)bytes;
}

static void done(void *arg, int result)
{
        struct flow *f = arg;

        f->over = true;
        f->result = result;
}

/* One loop for all: a ring for each would cost more than what is tested. */
static struct sluice_loop *the_loop(void)
{
        static struct sluice_loop *loop;

        if (!loop)
                CLAIM(sluice_loop_new(&loop, NULL) == 0);
        return loop;
}

static void run(struct flow *f)
{
        struct sluice_pipeline *p;

        CLAIM(sluice_pipeline_new(&p, NULL) == 0);
        CLAIM(sluice_add_reader(p, give, f, -1) == 0);
        CLAIM(sluice_add_decompress(p) == 1);
        CLAIM(sluice_add_writer(p, take, f, -1) == 2);
        CLAIM(sluice_pipeline_chain(p) == 0);
        CLAIM(sluice_pipeline_start(p, the_loop(), done, f) == 0);
        for (int i = 0; !f->over; i++) {
                CLAIM(i < TURNS_MAX);
                CLAIM(sluice_loop_turn(the_loop(), 1000) >= 0);
        }
        CLAIM(f->result == 0 || sluice_pipeline_error(p)[0]);
        sluice_pipeline_free(p);
}

/* What came out before an error counts too. */
static int at_once(const uint8_t *data, size_t bytes, size_t *ret_bytes)
{
        ZSTD_DCtx *d = ZSTD_createDCtx();
        ZSTD_inBuffer from = { data, bytes, 0 };
        ZSTD_outBuffer to = { wanted, sizeof(wanted), 0 };
        size_t left = 0;
        int r = 0;

        CLAIM(d);
        while (r == 0 && from.pos < from.size && to.pos < to.size) {
                left = ZSTD_decompressStream(d, &to, &from);
                r = ZSTD_isError(left) ? -EBADMSG : 0;
        }
        if (r == 0 && to.pos == to.size)
                r = -EFBIG;
        ZSTD_freeDCtx(d);
        *ret_bytes = to.pos;
        return r == 0 && left ? -EBADMSG : r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        struct flow f = { 0 };
        size_t wanted_bytes;
        int r;

        if (bytes == 0)
                return 0;
        f.piece = data[0] ? data[0] : SIZE_MAX;
        f.data = data + 1;
        f.bytes = bytes - 1;
        r = at_once(f.data, f.bytes, &wanted_bytes);
        if (r == -EFBIG)
                return 0;
        run(&f);
        CLAIM(f.result == r);
        CLAIM(r < 0 || f.out_bytes == wanted_bytes);
        CLAIM(memcmp(out, wanted, f.out_bytes < wanted_bytes ? f.out_bytes : wanted_bytes) == 0);
        return 0;
}
