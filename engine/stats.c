/* engine/stats.c: the numbers of a link and of a run, each with its certainty. Called by hosts. */
#include <errno.h>
#include <string.h>

#include "handover.h"
#include "pipeline.h"
#include "run.h"

static struct sluice_number exact(uint64_t value)
{
        return (struct sluice_number){ value, SLUICE_EXACT };
}

static void fill_driven(const struct run_link *l, struct sluice_stats *s)
{
        const struct link_counts *c = &l->link.counts;

        s->driver = link_driver(&l->link);
        s->driver_changes = link_driver_changes(&l->link);
        s->bytes = exact(c->delivered);
        s->bytes_direct = s->bytes_piped = exact(0);
        s->bytes_spliced = exact(c->spliced);
        s->bytes_copied = exact(c->copied);
        s->bytes_uncached = c->uncached;
        s->bytes_taken = c->taken;
        s->bytes_inside = link_inside(&l->link);
        s->ops_splice = c->ops[OP_SPLICE];
        s->ops_tee = c->ops[OP_TEE];
        s->ops_read = c->ops[OP_READ];
        s->ops_write = c->ops[OP_WRITE];
        s->ops_recv = c->ops[OP_RECV];
        s->ops_send = c->ops[OP_SEND];
        s->ops_poll = c->ops[OP_POLL];
        s->ops_inline = c->ops_inline;
        s->ops_ring = c->ops_ring;
        s->ops_short = c->ops_short;
        s->ops_retried = c->ops_retried;
        s->waits_upstream = c->waits_upstream;
        s->waits_downstream = c->waits_downstream;
        s->pipe_bytes = l->link.pipe_bytes;
        s->abandoned = l->link.abandoned;
}

/* The engine moved nothing: what is known of it was seen from outside. */
static void fill_watched(struct run_link *l, struct sluice_stats *s)
{
        meter_read(l);
        s->bytes = l->metered;
        s->bytes_spliced = s->bytes_copied = exact(0);
        if (l->mode == SLUICE_LINK_DIRECT) {
                s->bytes_direct = l->metered;
                s->bytes_piped = exact(0);
        } else {
                s->bytes_direct = exact(0);
                s->pipe_bytes = l->process_pipe_bytes;
        }
        s->position = l->metered.value;
}

int sluice_pipeline_stats(const struct sluice_pipeline *p, int link, struct sluice_stats *ret)
{
        struct run_link *l = pipeline_run_link(p, link);
        struct sluice_stats s = { .size = sizeof(s) };

        if (!l || ret->size != sizeof(*ret))
                return -EINVAL;
        s.mode = l->mode;
        s.length = l->length;
        if (l->link.ring)
                handover_count(&l->link);
        if (l->driven || l->mode == SLUICE_LINK_HANDOVER)
                fill_driven(l, &s);
        else
                fill_watched(l, &s);
        *ret = s;
        return 0;
}

int sluice_pipeline_usage(const struct sluice_pipeline *p, struct sluice_usage *ret)
{
        const struct run *r = p->run;
        const size_t first_release = offsetof(struct sluice_usage, pool_total_bytes);
        const struct run_counts *end, *start;
        size_t bytes = ret->size; /* a host that was built with older headers has room for fewer */
        struct sluice_usage u;

        if (!r || bytes < first_release || bytes > sizeof(u) || r->phase != RUN_DONE)
                return -EINVAL;
        end = &r->counts_end;
        start = &r->counts_start;
        u = (struct sluice_usage){
                .size = bytes,
                .wall_s = (double)(r->ended_ns - r->started_ns) / 1e9,
                .cpu_self_s = r->cpu_self_s,
                .cpu_children_s = r->cpu_children_s,
                .ring_ops = end->ring_ops - start->ring_ops,
                .waits = end->waits - start->waits,
                .waits_for_ring = end->waits_for_ring - start->waits_for_ring,
                .overflows = end->overflows,
                .abandoned = r->abandoned,
                .contain = r->contain.kind == SLUICE_CONTAIN_AUTO ? SLUICE_CONTAIN_NONE : r->contain.kind,
                .guard = r->contain.guarded,
                .strays = r->contain.strays,
                .pool_total_bytes = r->pool_end.total_bytes,
                .pool_lent_peak_bytes = r->pool_end.lent_peak_bytes,
                .pool_frees_local = r->pool_end.frees_local,
                .pool_frees_remote = r->pool_end.frees_remote,
                .unbound = r->pool_end.unbound,
                .backend = r->backend_end == BACKEND_URING   ? SLUICE_BACKEND_URING
                           : r->backend_end == BACKEND_EPOLL ? SLUICE_BACKEND_EPOLL
                                                             : SLUICE_BACKEND_AUTO,
                .ring_error = r->ring_error,
        };
        memcpy(ret, &u, bytes);
        return 0;
}
