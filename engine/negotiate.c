/* engine/negotiate.c: see negotiate.h. Pure: called by plan.c, wire.c and explain.c, tested over every input.
 *
 *      output \ input |  LEND      FD        INHERIT               COPY     MEM        thread
 *      LEND           |  SPLICE    SPLICE    DIRECT                CROSS    CROSS      DIRECT
 *      FD             |  SPLICE    SPLICE    SPLICE via a pipe     CROSS    CROSS      SPLICE* (a socket: DIRECT)
 *      INHERIT        |  DIRECT    SPLICE*   PIPE                  CROSS*   CROSS*     PIPE           * via a pipe
 *      COPY           |  CROSS     CROSS     CROSS via a pipe      CROSS    CROSS      CROSS*
 *      MEM            |  CROSS     CROSS     CROSS via a pipe      CROSS    HANDOVER   HANDOVER
 *      thread         |  DIRECT    SPLICE*   PIPE                  CROSS*   HANDOVER   HANDOVER
 *
 * (a file is LEND and FD; a terminal LEND and COPY: a process may have it, but the engine can only read and write it. A
 * function on a thread is INHERIT and MEM, which nothing else is; a socket is FD and BORROW: a thread of ours may have it,
 * though a process may not) */
#include "negotiate.h"

#include <errno.h>
#include <stdio.h>

static bool both(uint32_t out, uint32_t out_bit, uint32_t in, uint32_t in_bit)
{
        return (out & out_bit) && (in & in_bit);
}

static bool is_thread_of_ours(uint32_t io)
{
        return (io & SLUICE_IO_INHERIT) && (io & SLUICE_IO_MEM);
}

/* An fd that is good for a process or a thread only: the engine itself can do nothing with it. */
static bool is_lent_only(uint32_t io)
{
        return (io & ~(uint32_t)(SLUICE_IO_LEND | SLUICE_IO_BORROW)) == 0;
}

enum sluice_link_mode negotiate(uint32_t out, uint32_t in)
{
        const uint32_t spliced = SLUICE_IO_FD | SLUICE_IO_INHERIT;

        if (out == 0 || in == 0)
                return SLUICE_LINK_NONE;
        if (both(out, SLUICE_IO_LEND, in, SLUICE_IO_INHERIT) || both(out, SLUICE_IO_INHERIT, in, SLUICE_IO_LEND))
                return SLUICE_LINK_DIRECT;
        if ((out & SLUICE_IO_BORROW && is_thread_of_ours(in)) || (is_thread_of_ours(out) && in & SLUICE_IO_BORROW))
                return SLUICE_LINK_DIRECT;
        if (both(out, SLUICE_IO_MEM, in, SLUICE_IO_MEM))
                return SLUICE_LINK_HANDOVER;
        if (both(out, SLUICE_IO_INHERIT, in, SLUICE_IO_INHERIT))
                return SLUICE_LINK_PIPE;
        if (both(out, spliced, in, spliced))
                return SLUICE_LINK_SPLICE;
        if (is_lent_only(out) || is_lent_only(in))
                return SLUICE_LINK_NONE;
        return SLUICE_LINK_CROSS;
}

uint32_t negotiate_use(enum sluice_link_mode mode, uint32_t io)
{
        if (!is_thread_of_ours(io))
                return io;
        return io & ~(uint32_t)(mode == SLUICE_LINK_HANDOVER ? SLUICE_IO_INHERIT : SLUICE_IO_MEM);
}

enum sluice_link_mode negotiate_many(uint32_t out, uint32_t in)
{
        const uint32_t teed = SLUICE_IO_FD | SLUICE_IO_INHERIT;

        if (out == 0 || in == 0 || is_lent_only(out) || is_lent_only(in))
                return SLUICE_LINK_NONE;
        return both(out, teed, in, teed) ? SLUICE_LINK_TEE : SLUICE_LINK_CROSS;
}

bool negotiate_may_become(enum sluice_link_mode planned, enum sluice_link_mode now)
{
        if (now == planned)
                return true;
        switch (planned) {
        case SLUICE_LINK_DIRECT:
                return now == SLUICE_LINK_SPLICE || now == SLUICE_LINK_CROSS;
        case SLUICE_LINK_SPLICE:
        case SLUICE_LINK_TEE:
                return now == SLUICE_LINK_CROSS;
        default:
                return false;
        }
}

static const char *kind_name(uint32_t kind)
{
        static const char *const names[] = {
                [SLUICE_KIND_UNKNOWN] = "fd",      [SLUICE_KIND_FILE] = "file",         [SLUICE_KIND_PIPE] = "pipe",
                [SLUICE_KIND_SOCKET] = "socket",   [SLUICE_KIND_TTY] = "terminal",      [SLUICE_KIND_DEVICE] = "device",
                [SLUICE_KIND_PROCESS] = "process", [SLUICE_KIND_FUNCTION] = "function", [SLUICE_KIND_OTHER] = "fd",
        };

        return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "fd";
}

static bool is_process(uint32_t io)
{
        return io & SLUICE_IO_INHERIT;
}

static const char *splice_reason(const struct link_words *w)
{
        if (is_process(w->out_io))
                return "inside the kernel, from a pipe that the process writes";
        if (is_process(w->in_io))
                return "inside the kernel, into a pipe that the process reads";
        return "inside the kernel, no byte enters userspace";
}

static const char *cross_reason(const struct link_words *w)
{
        if ((w->out_io | w->in_io) & SLUICE_IO_MEM)
                return "one copy between the fd and a function's buffer";
        return "one read and one write through a pool buffer";
}

int negotiate_reason(const struct link_words *w, char *buf, size_t cap)
{
        const char *reason = "?", *note = w->out_note ? w->out_note : w->in_note;

        switch (w->mode) {
        case SLUICE_LINK_DIRECT:
                reason = is_process(w->in_io) ? "the process reads it itself, the engine moves nothing"
                                              : "the process writes it itself, the engine moves nothing";
                break;
        case SLUICE_LINK_PIPE:
                reason = "a kernel pipe joins the two, the engine moves nothing";
                break;
        case SLUICE_LINK_HANDOVER:
                reason = "the buffer itself passes on, no copy, no system call";
                break;
        case SLUICE_LINK_SPLICE:
                reason = splice_reason(w);
                break;
        case SLUICE_LINK_CROSS:
                reason = cross_reason(w);
                break;
        case SLUICE_LINK_TEE:
                reason = "the same pages to every branch, inside the kernel";
                break;
        case SLUICE_LINK_NONE:
                reason = "the two have no way in common";
                break;
        }
        return snprintf(buf, cap, "%s to %s: %s%s%s%s", kind_name(w->out_kind), kind_name(w->in_kind), reason, note ? " (" : "",
                        note ? note : "", note ? ")" : "");
}

const char *negotiate_refusal(const struct end_identity *source, const struct end_identity *sink, int *ret_error)
{
        *ret_error = -EINVAL;
        if (source && source->listener)
                return "a listening socket carries no bytes; use tcp-listen: or unix-listen:";
        if (sink && sink->listener)
                return "a listening socket takes no bytes; use tcp-listen: or unix-listen:";
        if ((source && source->directory) || (sink && sink->directory)) {
                *ret_error = -EISDIR;
                return "is a directory";
        }
        if (!source || !sink || source->device != sink->device || source->inode != sink->inode)
                return NULL;
        if (source->regular && sink->regular)
                return "is both source and sink: it would be overwritten while it is read; with ',atomic' at the sink it is "
                       "replaced at the end";
        if (source->pipe && sink->pipe)
                return "is the same pipe on both sides: it would feed itself";
        return NULL;
}

const char *negotiate_refusal_of_sinks(const struct end_identity *a, const struct end_identity *b, int *ret_error)
{
        if (!a->regular || !b->regular || a->device != b->device || a->inode != b->inode)
                return NULL;
        if (a->append && b->append)
                return NULL;
        if (!a->append && !b->append && a->offset != b->offset)
                return NULL;
        *ret_error = -EINVAL;
        return "is written by two stages at once: each would overwrite the other's bytes";
}
