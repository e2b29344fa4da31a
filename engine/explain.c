/* engine/explain.c: why a link moves as it does, in words: planned, and afterwards as it was. Called by hosts. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pipeline.h"
#include "run.h"

const char *sluice_link_mode_name(enum sluice_link_mode mode)
{
        static const char *const names[] = {
                [SLUICE_LINK_NONE] = "none",         [SLUICE_LINK_DIRECT] = "direct", [SLUICE_LINK_PIPE] = "pipe",
                [SLUICE_LINK_HANDOVER] = "handover", [SLUICE_LINK_SPLICE] = "splice", [SLUICE_LINK_CROSS] = "cross",
                [SLUICE_LINK_TEE] = "tee",
        };

        return (unsigned)mode < sizeof(names) / sizeof(names[0]) ? names[mode] : "?";
}

const char *sluice_driver_name(enum sluice_driver driver)
{
        static const char *const names[] = {
                [SLUICE_DRIVER_AUTO] = "auto",
                [SLUICE_DRIVER_INLINE] = "inline",
                [SLUICE_DRIVER_RING] = "ring",
                [SLUICE_DRIVER_COPY] = "copy",
        };

        return (unsigned)driver < sizeof(names) / sizeof(names[0]) ? names[driver] : "?";
}

static void size_words(uint64_t bytes, char *buf, size_t cap)
{
        if (bytes >= 1 << 20)
                snprintf(buf, cap, "%" PRIu64 " MiB", bytes >> 20);
        else
                snprintf(buf, cap, "%" PRIu64 " KiB", bytes >> 10);
}

/* What it really did; nothing when it did not come to that. */
static int afterwards(const struct run_link *l, char *buf, size_t cap)
{
        const struct link_counts *c = &l->link.counts;
        char pipe[32] = "";
        int n = 0;

        buf[0] = '\0';
        if (l->mode == SLUICE_LINK_PIPE && l->process_pipe_bytes == 0)
                return 0; /* it did not come to that */
        if (l->mode == SLUICE_LINK_PIPE) {
                size_words(l->process_pipe_bytes, pipe, sizeof(pipe));
                return snprintf(buf, cap, "; a %s pipe%s", pipe,
                                l->process_pipe_bytes < PIPE_BYTES_MEDIUM
                                        ? ", small because the pipe budget or the user's quota is used up"
                                        : "");
        }
        if (l->mode == SLUICE_LINK_DIRECT)
                return l->metered.certainty ? snprintf(buf, cap, "; about %" PRIu64 " bytes", l->metered.value) : 0;
        if (l->mode == SLUICE_LINK_HANDOVER && l->run->phase == RUN_DONE)
                return snprintf(buf, cap, "; %" PRIu64 " bytes", c->delivered);
        if (!l->driven || l->link.state != LINK_ENDED)
                return 0;
        if (l->link.pipe_bytes && l->link.driver != SLUICE_DRIVER_COPY)
                size_words(l->link.pipe_bytes, pipe, sizeof(pipe));
        n = snprintf(buf, cap, "; driver %s (%s)%s%s%s", sluice_driver_name(link_driver(&l->link)),
                     l->link.fallback   ? l->link.fallback
                     : l->driver_reason ? l->driver_reason
                                        : "chosen",
                     pipe[0] ? ", through a " : "", pipe, pipe[0] ? " pipe" : "");
        if (n >= 0 && (size_t)n < cap && link_driver_changes(&l->link))
                n += snprintf(buf + n, cap - (size_t)n, ", changed %u times", link_driver_changes(&l->link));
        if (n >= 0 && (size_t)n < cap)
                n += snprintf(buf + n, cap - (size_t)n, "; %" PRIu64 " bytes spliced, %" PRIu64 " copied", c->spliced, c->copied);
        if (n >= 0 && (size_t)n < cap && c->uncached)
                n += snprintf(buf + n, cap - (size_t)n, ", %" PRIu64 " of them past the page cache", c->uncached);
        return n;
}

int sluice_pipeline_explain(const struct sluice_pipeline *p, int link, char *buf, size_t cap)
{
        const struct run_link *l = pipeline_run_link(p, link);
        char reason[256], after[384] = "";
        const struct link_words *w;
        enum sluice_link_mode mode;

        if (link < 0 || (size_t)link >= p->plan->links_nr || !p->plan->frozen)
                return -EINVAL;
        w = l ? &l->words : &p->plan->links[link].words;
        mode = l ? l->mode : p->plan->links[link].mode;
        negotiate_reason(w, reason, sizeof(reason));
        if (l)
                afterwards(l, after, sizeof(after));
        return snprintf(buf, cap, "%s: %s%s", sluice_link_mode_name(mode), reason, after);
}
