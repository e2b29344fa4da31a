/* engine/chooser.c: see chooser.h. Called by link_lend.c; calls nothing.
 *
 * The bounds are from loopback on two CPUs (sluice-bench-load, 8 connections, --driver=copy and inline in turn, CPU seconds of
 * the relay and of all who have a part, for the same bytes):
 *
 *      bytes of a message     4 KiB        16 KiB       64 KiB       128 KiB      256 KiB
 *      relay, all: copied     0.82, 1.66   1.17, 2.36   0.50, 1.05   0.36, 0.78   0.30, 0.68
 *      relay, all: spliced    1.04, 2.06   1.09, 2.24   0.43, 0.94   0.25, 0.65   0.23, 0.64
 *
 * Below some 16 KiB three calls (in, out, and finding the socket empty) cost more than two and the copy; from 64 KiB on splicing
 * is cheaper for all together, though not for who reads: his part grows by a tenth to a half. */
#include "chooser.h"

static const struct {
        uint32_t bulk_bytes, small_bytes;
} bounds[] = {
        [SLUICE_PREFER_PATH] = { 64 << 10, 16 << 10 },
        [SLUICE_PREFER_RELAY_CPU] = { 32 << 10, 8 << 10 },
};

void chooser_init(struct chooser *c, enum sluice_driver forced, enum sluice_prefer prefer)
{
        *c = (struct chooser){
                .now = forced == SLUICE_DRIVER_INLINE ? SLUICE_DRIVER_INLINE : SLUICE_DRIVER_COPY,
                .fixed = forced != SLUICE_DRIVER_AUTO,
                .bulk_bytes = bounds[prefer].bulk_bytes,
                .small_bytes = bounds[prefer].small_bytes,
        };
}

static bool speaks_for_the_other(const struct chooser *c, uint32_t bytes)
{
        return c->now == SLUICE_DRIVER_COPY ? bytes >= c->bulk_bytes : bytes < c->small_bytes;
}

void chooser_saw(struct chooser *c, uint32_t bytes)
{
        const uint8_t enough = c->now == SLUICE_DRIVER_COPY ? BULK_MOVES : SMALL_MOVES;

        if (c->fixed)
                return;
        c->streak = speaks_for_the_other(c, bytes) ? (uint8_t)(c->streak + 1) : 0;
        if (c->streak < enough)
                return;
        c->now = c->now == SLUICE_DRIVER_COPY ? SLUICE_DRIVER_INLINE : SLUICE_DRIVER_COPY;
        c->streak = 0;
        c->changes++;
}

void chooser_refused(struct chooser *c)
{
        c->changes += c->now != SLUICE_DRIVER_COPY;
        c->now = SLUICE_DRIVER_COPY;
        c->fixed = true;
}
