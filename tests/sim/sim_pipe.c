/* tests/sim/sim_pipe.c: pages, and pipes as rings of slots that hold references to them.
 *
 * Law: taken == given + bytes, bytes == the sum of the slots; a page lives as long as a slot, a fragment or a file names it.
 * Only a write merges, and only behind what a write has put there; a slot that moved whole keeps that right, a part of one and
 * what tee made do not (kernel: splice_pipe_to_pipe, link_pipe). Called by sim_calls.c. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "sim_kernel.h"

/* ---- pages ---- */

struct sim_page *sim_page_new(struct sim *k, uint32_t bytes)
{
        struct sim_page *p = malloc(sizeof(*p) + bytes);

        if (!p)
                sim_fail(k, "no memory");
        p->refs = 1;
        p->bytes = bytes;
        k->pages++;
        return p;
}

struct sim_page *sim_page_ref(struct sim_page *p)
{
        p->refs++;
        return p;
}

void sim_page_unref(struct sim *k, struct sim_page *p)
{
        if (--p->refs > 0)
                return;
        k->pages--;
        free(p);
}

/* ---- slots ---- */

struct sim_pipe *sim_pipe_new(struct sim *k, unsigned slots)
{
        struct sim_pipe *p = calloc(1, sizeof(*p));

        if (p) {
                p->ring = sim_is(k, SIM_BAD_SLOTS_ARE_BYTES) ? slots * k->config.page_bytes : slots;
                p->slots = calloc(p->ring, sizeof(*p->slots));
        }
        if (!p || !p->slots)
                sim_fail(k, "no memory");
        p->sim = k;
        p->max = slots;
        p->id = ++k->pipes_made;
        k->pipes++;
        k->pipe_bytes += (uint64_t)slots * k->config.page_bytes;
        return p;
}

void sim_pipe_free(struct sim_pipe *p)
{
        struct sim *k = p->sim;

        while (p->nr)
                sim_pipe_drop(p, sim_pipe_first(p)->bytes);
        if (p->taken != p->given || p->bytes)
                sim_fail(k, "pipe %u: taken %llu, given %llu", p->id, (unsigned long long)p->taken, (unsigned long long)p->given);
        k->pipe_bytes -= (uint64_t)p->max * k->config.page_bytes;
        k->pipes--;
        free(p->slots);
        free(p);
}

bool sim_pipe_full(const struct sim_pipe *p)
{
        if (sim_is(p->sim, SIM_BAD_SLOTS_ARE_BYTES))
                return p->bytes >= (uint64_t)p->max * p->sim->config.page_bytes || p->nr == p->ring;
        return p->nr >= p->max;
}

static struct sim_slot *last(struct sim_pipe *p)
{
        return &p->slots[(p->head + p->nr - 1) % p->ring];
}

void sim_pipe_push(struct sim_pipe *p, struct sim_page *page, uint32_t at, uint32_t bytes, bool merge)
{
        if (p->nr == p->ring)
                sim_fail(p->sim, "pipe %u: more than its %u slots", p->id, p->max);
        p->slots[(p->head + p->nr++) % p->ring] = (struct sim_slot){ page, at, bytes, merge };
        p->bytes += bytes;
        p->taken += bytes;
        sim_changed(p->sim);
}

void sim_pipe_drop(struct sim_pipe *p, uint32_t bytes)
{
        struct sim_slot *s = sim_pipe_first(p);

        s->at += bytes;
        s->bytes -= bytes;
        p->bytes -= bytes;
        p->given += bytes;
        if (s->bytes == 0) {
                sim_page_unref(p->sim, s->page);
                p->head = (p->head + 1) % p->ring;
                p->nr--;
        }
        sim_changed(p->sim);
}

int sim_pipe_resize(struct sim_pipe *p, unsigned slots)
{
        struct sim_slot *more;

        if (slots < p->nr)
                return -EBUSY;
        more = calloc(slots, sizeof(*more));
        if (!more)
                return -ENOMEM;
        for (unsigned i = 0; i < p->nr; i++)
                more[i] = p->slots[(p->head + i) % p->ring];
        free(p->slots);
        p->sim->pipe_bytes += ((uint64_t)slots - p->max) * p->sim->config.page_bytes;
        p->slots = more;
        p->head = 0;
        p->max = p->ring = slots;
        sim_changed(p->sim);
        return 0;
}

/* ---- read and write ---- */

ssize_t sim_pipe_read(struct sim_pipe *p, void *data, size_t bytes)
{
        size_t done = 0;

        if (p->nr == 0)
                return p->writers ? -EAGAIN : 0;
        while (done < bytes && p->nr) {
                struct sim_slot *s = sim_pipe_first(p);
                uint32_t n = bytes - done < s->bytes ? (uint32_t)(bytes - done) : s->bytes;

                memcpy((uint8_t *)data + done, s->page->data + s->at, n);
                sim_pipe_drop(p, n);
                done += n;
        }
        return (ssize_t)done;
}

/* What does not fill a page goes behind the last write, when it fits there whole. */
static size_t merge(struct sim_pipe *p, const uint8_t *data, size_t bytes)
{
        uint32_t odd = (uint32_t)(bytes % p->sim->config.page_bytes);
        struct sim_slot *s = p->nr ? last(p) : NULL;

        if (!s || !odd || !s->merge || s->at + s->bytes + odd > s->page->bytes || sim_is(p->sim, SIM_BAD_NO_MERGE))
                return 0;
        memcpy(s->page->data + s->at + s->bytes, data, odd);
        s->bytes += odd;
        p->bytes += odd;
        p->taken += odd;
        sim_changed(p->sim);
        return odd;
}

ssize_t sim_pipe_write(struct sim_pipe *p, const void *data_, size_t bytes)
{
        const uint8_t *data = data_;
        size_t done;

        if (!p->readers)
                return -EPIPE;
        done = merge(p, data, bytes);
        while (done < bytes && !sim_pipe_full(p)) {
                uint32_t room = p->sim->config.page_bytes;
                struct sim_page *page = sim_page_new(p->sim, room);
                uint32_t n = bytes - done < room ? (uint32_t)(bytes - done) : room;

                memcpy(page->data, data + done, n);
                sim_pipe_push(p, page, 0, n, true);
                done += n;
        }
        return done || bytes == 0 ? (ssize_t)done : -EAGAIN;
}

/* ---- pipe to pipe ---- */

/* 1: go on. The order of the questions is the kernel's, and shows. */
static int look_at_both(const struct sim_pipe *from, const struct sim_pipe *to)
{
        if (from->nr == 0 && from->writers)
                return -EAGAIN;
        if (sim_is(from->sim, SIM_BAD_EOF_BEFORE_FULL) && from->nr == 0)
                return 0;
        if (sim_pipe_full(to))
                return to->readers ? -EAGAIN : -EPIPE;
        if (!to->readers)
                return -EPIPE;
        return from->nr ? 1 : 0;
}

ssize_t sim_pipe_move(struct sim_pipe *from, struct sim_pipe *to, size_t bytes)
{
        int r = look_at_both(from, to);
        size_t done = 0;

        if (r <= 0)
                return r;
        while (done < bytes && from->nr && !sim_pipe_full(to)) {
                struct sim_slot *s = sim_pipe_first(from);
                bool whole = bytes - done >= s->bytes;
                uint32_t n = whole ? s->bytes : (uint32_t)(bytes - done);

                sim_pipe_push(to, sim_page_ref(s->page), s->at, n, whole && s->merge);
                sim_pipe_drop(from, n);
                done += n;
        }
        return (ssize_t)done;
}

ssize_t sim_pipe_tee(struct sim_pipe *from, struct sim_pipe *to, size_t bytes)
{
        int r = look_at_both(from, to);
        size_t done = 0;

        if (r <= 0)
                return r;
        for (unsigned i = 0; i < from->nr && done < bytes && !sim_pipe_full(to); i++) {
                struct sim_slot *s = &from->slots[(from->head + i) % from->ring];
                uint32_t n = bytes - done < s->bytes ? (uint32_t)(bytes - done) : s->bytes;

                sim_pipe_push(to, sim_page_ref(s->page), s->at, n, false);
                done += n;
        }
        for (size_t left = sim_is(from->sim, SIM_BAD_TEE_CONSUMES) ? done : 0; left > 0;) {
                uint32_t n = left < sim_pipe_first(from)->bytes ? (uint32_t)left : sim_pipe_first(from)->bytes;

                sim_pipe_drop(from, n);
                left -= n;
        }
        return (ssize_t)done;
}

unsigned sim_pipe_poll(const struct sim_pipe *p, bool writes)
{
        unsigned r = 0;

        if (writes)
                return (sim_pipe_full(p) ? 0 : POLLOUT) | (p->readers ? 0 : POLLERR);
        if (p->nr)
                r |= POLLIN;
        if (!p->writers)
                r |= POLLHUP | (sim_is(p->sim, SIM_BAD_HUP_IS_IN) ? POLLIN : 0);
        return r;
}
