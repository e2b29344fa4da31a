/* tests/sim/laws.c: see laws.h. Called by the worlds; calls the model and looks into the engine. */
#include "laws.h"

#include "link.h"

static bool is_moving_in_kernel(const struct link *l)
{
        return l->fill.state == MOVER_BUSY || l->drain.state == MOVER_BUSY;
}

void law_link(struct sim *k, const struct link *l)
{
        struct sim_desc *d;

        if (l->state != LINK_MOVING)
                return;
        link_check(l);
        if (!l->pipe || is_moving_in_kernel(l) || l->abandoned)
                return;
        d = sim_fd(k, l->pipe->read->fd);
        if (!d || (int64_t)d->pipe->bytes != l->pipe->bytes)
                sim_fail(k, "link %d: its pipe holds %lld, it thinks %lld", l->index, d ? (long long)d->pipe->bytes : -1,
                         (long long)l->pipe->bytes);
}

/* The next user of a pipe from the cache would send what somebody left in it. */
void law_cache(struct sim *k, struct sluice_loop *loop)
{
        const struct list *idle = &loop->pipes.idle;

        for (const struct list *n = idle->next; n != idle; n = n->next) {
                struct sim_desc *d = sim_fd(k, container_of(n, struct pipe, node)->read->fd);

                if (!d || d->pipe->bytes)
                        sim_fail(k, "a pipe in the cache is not empty");
        }
}

void laws_faults(struct sim *k, const struct world_limits *limits)
{
        struct sim_config *c = &k->config;
        static const uint16_t rates[] = { 5, 20, 60, 150, 300, 500 };

        for (int f = 0; f < SIM_FAULTS; f++) {
                bool on = sim_below(k, 3) == 0;
                uint16_t rate = rates[sim_below(k, 6)];

                if (on && limits->faults & 1u << f)
                        c->faults |= 1u << f;
                c->rate[f] = SIM_HARD & 1u << f ? (uint16_t)(1 + rate / 20) : rate;
        }
        c->patient = sim_below(k, 2);
        c->workers_max = c->faults & 1u << SIM_WORKERS ? 1 : 32;
        c->disk_bytes = (int64_t)sim_below(k, limits->bytes + 1);
        if (!(c->faults & 1u << SIM_NOSPACE))
                c->disk_bytes = -1;
}
