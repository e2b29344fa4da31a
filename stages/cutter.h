/* stages/cutter.h: one input cut at its newlines: whole lines go on uncopied, a line that the end of a piece cuts waits here
 * for its rest, `max` bytes of it at most. The last line may lack its newline.
 *
 * Law: bytes that came in == bytes that were passed on or skipped + held_bytes. */
#ifndef SLUICE_STAGES_CUTTER_H
#define SLUICE_STAGES_CUTTER_H

#include <stddef.h>
#include <stdint.h>

#include <sluice/stage.h>

enum { LINE_MAX_DEFAULT = 64 << 10, LINE_MAX_MAX = 128 << 10 }; /* a held line and its end fit into one output buffer */

struct cutter {
        uint8_t *held;
        size_t held_bytes, max;
        uint64_t line;     /* of the one being read, from 1 */
        int adds_newlines; /* the last line is given the newline that it lacks: another's line will follow it */
};

int cutter_init(struct cutter *c, size_t max);
void cutter_fini(struct cutter *c);

/* What process() is to do with `in`: passes on the whole lines of it, in one piece, or the one line that was held. 0; or
 * -EMSGSIZE for a line beyond max, noted with its number. */
int cutter_pass(struct sluice_ctx *ctx, struct cutter *c, struct sluice_buf *in, struct sluice_buf *out);
/* ... consumes them without passing them on; how many lines, or -EMSGSIZE. A line that has begun to be held is held on. */
int64_t cutter_skip(struct sluice_ctx *ctx, struct cutter *c, struct sluice_buf *in);
/* Takes `bytes` of `in` to what is held. */
int cutter_hold(struct sluice_ctx *ctx, struct cutter *c, struct sluice_buf *in, size_t bytes);
/* Takes the rest of a line that is held, up to its newline. 1: it is whole, its bytes are in `held`: the caller uses them and
 * sets held_bytes to 0. 0: more is needed. -EMSGSIZE. */
int cutter_complete(struct sluice_ctx *ctx, struct cutter *c, struct sluice_buf *in);
int cutter_too_long(struct sluice_ctx *ctx, const struct cutter *c);

#endif
