/* engine/wire.c: from descriptions to fds: confirms each link on what was really opened, then joins the ends.
 * Called by run.c between its phases, and by child.c for a stage's fd; calls negotiate.c, driver.c and the backend. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "handover.h"
#include "run.h"

static struct backend *backend_of(const struct run *r)
{
        return r->loop->backend;
}

/* ---- confirm ---- */

/* The fd of a side; of which output, where there are several. */
int stage_fd(struct sluice_ctx *c, enum sluice_direction dir, unsigned branch)
{
        if (is_function(c))
                return -EBADF;
        if (dir == SLUICE_OUTPUT && c->def->ops->output)
                return c->def->ops->output(c, c->self, branch);
        return c->def->ops->fd ? c->def->ops->fd(c, c->self, dir) : -EBADF;
}

/* What the kernel says of a side corrects what its stage says. */
static int look_at(struct run *r, struct sluice_ctx *c, enum sluice_direction dir, unsigned branch, struct sluice_side *side,
                   struct fd_info *info)
{
        struct backend *b = backend_of(r);
        int fd, e;

        e = plan_describe(c->def, c, c->self, dir, side);
        if (e < 0)
                return e;
        *info = (struct fd_info){ .kind = FD_OTHER, .size = -1 };
        if (!(side->io & (SLUICE_IO_FD | SLUICE_IO_LEND | SLUICE_IO_COPY)))
                return 0;
        fd = stage_fd(c, dir, branch);
        if (fd < 0)
                return fd;
        e = b->ops->inspect(b, fd, info);
        if (e < 0)
                return e;
        switch (info->kind) {
        case FD_TTY:
                side->io = (side->io & SLUICE_IO_LEND) | SLUICE_IO_COPY;
                side->kind = SLUICE_KIND_TTY;
                side->note = side->note ? side->note : "a terminal is read and written, never spliced";
                break;
        case FD_FILE:
                side->kind = SLUICE_KIND_FILE;
                if (dir == SLUICE_INPUT && info->flags & O_APPEND && side->io & SLUICE_IO_FD) {
                        side->io = (side->io & ~(uint32_t)SLUICE_IO_FD) | SLUICE_IO_COPY;
                        side->note = side->note ? side->note : "an O_APPEND file cannot be spliced to";
                }
                break;
        case FD_PIPE:
                side->kind = SLUICE_KIND_PIPE;
                break;
        case FD_SOCKET:
                /* One that its stage did not know to be a socket was inherited: not ours to lend, nor to make
                 * O_NONBLOCK, without which a splice would wait inside it. */
                if (side->kind != SLUICE_KIND_SOCKET) {
                        side->io &= ~(uint32_t)SLUICE_IO_LEND;
                        if (!(info->flags & O_NONBLOCK)) {
                                side->io = SLUICE_IO_COPY;
                                side->note = side->note ? side->note : "an inherited blocking socket is copied";
                        }
                }
                side->kind = SLUICE_KIND_SOCKET;
                break;
        case FD_DEVICE:
                side->kind = SLUICE_KIND_DEVICE;
                break;
        default:
                break;
        }
        /* What is lent must block: a program that meets EAGAIN on its standard input breaks. */
        if (info->flags & O_NONBLOCK && side->io & SLUICE_IO_LEND && info->kind != FD_FILE && info->kind != FD_SOCKET) {
                side->io &= ~(uint32_t)SLUICE_IO_LEND;
                side->note = side->note ? side->note : "its O_NONBLOCK would break a process that inherits it";
        }
        return 0;
}

/* Only a file has places: a FIFO, a device or a socket behind a path is read and written where it is. */
static int fit_offset(struct sluice_ctx *c, struct sluice_side *side, const struct fd_info *info)
{
        if (info->kind == FD_FILE || side->offset < 0)
                return 0;
        if (side->offset > 0) {
                sluice_ctx_note(c, "open", "has no positions: offset= is for files");
                return -ESPIPE;
        }
        side->offset = -1;
        return 0;
}

/* How much the source of this link has left. */
static int64_t expected_length(struct sluice_ctx *from, unsigned branch, const struct sluice_side *side, const struct fd_info *info)
{
        struct backend *b = backend_of(from->run);
        int64_t at = side->offset, left;

        if (info->kind != FD_FILE)
                return side->length;
        if (at < 0)
                at = b->ops->position(b, stage_fd(from, SLUICE_OUTPUT, branch));
        if (at < 0)
                at = 0;
        /* Files of /proc say 0 and give more. */
        left = info->size > at ? info->size - at : info->size == 0 ? -1 : 0;
        return side->length >= 0 && (left < 0 || side->length < left) ? side->length : left;
}

static void fill_end(struct end *e, const struct sluice_side *side, const struct fd_info *info)
{
        e->kind = side->kind;
        e->pipe = info->kind == FD_PIPE;
        e->foreign = e->pipe;
        e->socket = info->kind == FD_SOCKET;
        e->regular = info->kind == FD_FILE;
        e->local = info->local;
        e->offset = side->offset;
        e->shared_position = info->kind == FD_FILE && side->offset < 0;
}

static struct driver_choice choose_driver(struct run *r, const struct run_link *l, const struct fd_info *out,
                                          const struct fd_info *in, int64_t out_offset)
{
        const struct driver_facts facts = {
                .forced = r->opt->driver,
                .copy_only = l->mode == SLUICE_LINK_CROSS,
                .may_block = (out->kind == FD_FILE && !out->in_memory) || (in->kind == FD_FILE && !in->in_memory),
                .may_be_cached = out->kind == FD_FILE && in->kind != FD_FILE && l->words.out_io & SLUICE_IO_FD && out_offset >= 0,
                .child_pipe = (l->words.out_io | l->words.in_io) & SLUICE_IO_INHERIT,
                .foreign_pipe = out->kind == FD_PIPE || in->kind == FD_PIPE,
                .sockets = out->kind == FD_SOCKET && in->kind == FD_SOCKET,
                .forbid_copy = r->opt->flags & SLUICE_FORBID_COPY,
                .exclusive = loop_exclusive(r->loop),
        };

        return driver_choose(&facts);
}

static bool confirm_fail(struct sluice_ctx *c, int error, const char *what)
{
        if (!words_any(c->note) && what)
                sluice_ctx_note(c, "open", "%s", what);
        stage_fail(c, error, "open");
        return false;
}

static bool confirm_link(struct run *r, struct run_link *l)
{
        struct sluice_ctx *from = &r->stages[l->plan->from], *to = &r->stages[l->plan->to];
        struct sluice_side out, in;
        struct fd_info out_info, in_info;
        struct driver_choice choice;
        int e;

        e = look_at(r, from, SLUICE_OUTPUT, l->plan->branch, &out, &out_info);
        e = e < 0 ? e : fit_offset(from, &out, &out_info);
        if (e < 0)
                return confirm_fail(from, e, NULL);
        e = look_at(r, to, SLUICE_INPUT, 0, &in, &in_info);
        e = e < 0 ? e : fit_offset(to, &in, &in_info);
        if (e < 0)
                return confirm_fail(to, e, NULL);
        l->mode = negotiate(out.io, in.io);
        out.io = negotiate_use(l->mode, out.io);
        in.io = negotiate_use(l->mode, in.io);
        l->words = (struct link_words){ l->mode, out.kind, in.kind, out.io, in.io, out.note, in.note };
        if (!negotiate_may_become(l->plan->mode, l->mode))
                return confirm_fail(to, -ENOTSUP, "once open, the two have no way in common");
        l->length = expected_length(from, l->plan->branch, &out, &out_info);
        l->driven = l->mode == SLUICE_LINK_SPLICE || l->mode == SLUICE_LINK_CROSS ||
                    (l->mode == SLUICE_LINK_HANDOVER && !(is_thread(from) && is_thread(to)));
        if (out.io & SLUICE_IO_MEM && segments_grow(&l->link.segments) < 0)
                return confirm_fail(from, -ENOMEM, NULL);
        if (!l->driven || l->mode == SLUICE_LINK_HANDOVER)
                return true;
        choice = choose_driver(r, l, &out_info, &in_info, out.offset);
        l->driver_reason = choice.reason;
        l->link.driver = choice.driver;
        if (choice.driver == SLUICE_DRIVER_COPY)
                run_link_is_copied(l);
        l->link.forbid_copy = r->opt->flags & SLUICE_FORBID_COPY;
        if (l->link.forbid_copy && choice.driver == SLUICE_DRIVER_COPY)
                return confirm_fail(to, -EOPNOTSUPP, "its input would be copied through userspace, which is forbidden");
        if (from->def->ops->more) {
                l->link.grows = true;
                l->length = -1;
        }
        fill_end(&l->link.source, &out, &out_info);
        l->link.source_bytes = out_info.size;
        fill_end(&l->link.sink, &in, &in_info);
        segments_add(&l->link.segments,
                     (struct segment){ .kind = SEGMENT_FD, .offset = out.offset, .length = out.length, .exact = out.exact });
        segments_add(&l->link.segments, (struct segment){ .kind = SEGMENT_END });
        if (out.io & SLUICE_IO_MEM)
                segments_clear(&l->link.segments); /* a function adds its own */
        return true;
}

/* ---- refusals over the whole graph: `file:a | cat | file:a` eats itself as surely as `file:a | file:a` ---- */

static bool identity(struct run *r, struct sluice_ctx *c, enum sluice_direction dir, struct end_identity *ret)
{
        struct backend *b = backend_of(r);
        struct sluice_side side;
        struct fd_info info;
        int fd = sluice_ctx_linked(c, dir) ? stage_fd(c, dir, 0) : -1;

        if (fd < 0 || b->ops->inspect(b, fd, &info) < 0)
                return false;
        *ret = (struct end_identity){ .regular = info.kind == FD_FILE,
                                      .pipe = info.kind == FD_PIPE,
                                      .listener = info.kind == FD_LISTENER,
                                      .directory = info.kind == FD_DIRECTORY,
                                      .device = info.device,
                                      .inode = info.inode,
                                      .append = info.flags & O_APPEND,
                                      .offset = plan_describe(c->def, c, c->self, dir, &side) < 0 ? -1 : side.offset };
        return true;
}

static bool refuse_pairs(struct run *r, struct sluice_ctx *source, const struct end_identity *from)
{
        int error;

        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct end_identity to;
                const char *why;

                if (!identity(r, &r->stages[i], SLUICE_INPUT, &to))
                        continue;
                why = &r->stages[i] == source ? NULL : negotiate_refusal(from, &to, &error);
                if (why)
                        return confirm_fail(&r->stages[i], error, why);
        }
        return true;
}

/* Each pair once: `sink` with those before it. */
static bool refuse_sinks(struct run *r, struct sluice_ctx *sink, const struct end_identity *id)
{
        for (int i = 0; i < sink->index; i++) {
                struct end_identity other;
                const char *why;
                int error;

                if (!identity(r, &r->stages[i], SLUICE_INPUT, &other))
                        continue;
                why = negotiate_refusal_of_sinks(id, &other, &error);
                if (why)
                        return confirm_fail(sink, error, why);
        }
        return true;
}

static bool refuse(struct run *r)
{
        for (size_t i = 0; i < r->plan->stages_nr; i++) {
                struct sluice_ctx *c = &r->stages[i];
                struct end_identity id;
                const char *why;
                int error;

                if (identity(r, c, SLUICE_INPUT, &id)) {
                        why = negotiate_refusal(NULL, &id, &error);
                        if (why)
                                return confirm_fail(c, error, why);
                        if (!refuse_sinks(r, c, &id))
                                return false;
                }
                if (!identity(r, c, SLUICE_OUTPUT, &id))
                        continue;
                why = negotiate_refusal(&id, NULL, &error);
                if (why)
                        return confirm_fail(c, error, why);
                if (!refuse_pairs(r, c, &id))
                        return false;
        }
        return true;
}

bool wire_confirm(struct run *r)
{
        if (!refuse(r))
                return false;
        for (size_t i = 0; i < r->plan->links_nr; i++)
                if (!confirm_link(r, &r->links[i]))
                        return false;
        return true;
}

/* ---- join ---- */

static bool wire_fail(struct run *r, int error, const char *operation)
{
        run_fail(r, failure_new(r, FAILURE_ENGINE, -1, -1, error, operation, "%s: %s", operation, strerror(-error)));
        return false;
}

static struct slot *stage_slot(struct sluice_ctx *c, enum sluice_direction dir, unsigned branch)
{
        int fd = stage_fd(c, dir, branch);
        struct slot *s = fd >= 0 ? ctx_slot(c, fd) : NULL;

        return s ? slot_ref(s) : NULL;
}

/* A regular file that a process moves itself is watched by its position; it keeps no other process waiting. */
static void meter_direct(struct run *r, struct run_link *l, struct slot *s, bool writes)
{
        struct backend *b = backend_of(r);
        struct fd_info info;
        int64_t at;

        if (b->ops->inspect(b, s->fd, &info) < 0 || info.kind != FD_FILE)
                return;
        at = info.flags & O_APPEND ? info.size : b->ops->position(b, s->fd);
        l->meter = slot_ref(s);
        l->writes = writes;
        l->meter_start = at > 0 ? (uint64_t)at : 0;
}

static bool wire_direct(struct run *r, struct run_link *l)
{
        struct sluice_ctx *from = &r->stages[l->plan->from], *to = &r->stages[l->plan->to];
        bool reads = l->words.in_io & SLUICE_IO_INHERIT && l->words.out_io & (SLUICE_IO_LEND | SLUICE_IO_BORROW);
        struct sluice_ctx *process = reads ? to : from, *lender = reads ? from : to;
        struct slot *s = stage_slot(lender, reads ? SLUICE_OUTPUT : SLUICE_INPUT, l->plan->branch);

        if (!s)
                return wire_fail(r, -EBADF, "lend");
        process->child->fds[reads ? 0 : 1] = s;
        if ((reads ? l->words.out_kind : l->words.in_kind) == SLUICE_KIND_SOCKET && !is_thread(process))
                backend_of(r)->ops->set_nonblock(backend_of(r), s->fd, false);
        if (l->words.out_kind == SLUICE_KIND_TTY || l->words.in_kind == SLUICE_KIND_TTY)
                r->terminal_taken = true;
        meter_direct(r, l, s, !reads);
        return true;
}

static bool wire_pipe(struct run *r, struct run_link *l)
{
        struct slot **read_end = &r->stages[l->plan->to].child->fds[0], **write_end = &r->stages[l->plan->from].child->fds[1];
        int e = pipe_for_process(backend_of(r), read_end, write_end, &l->process_pipe_bytes);
        struct fd_info info;

        if (e < 0)
                return wire_fail(r, e, "pipe");
        if (backend_of(r)->ops->inspect(backend_of(r), (*read_end)->fd, &info) == 0)
                l->pipe_inode = info.inode;
        return true;
}

/* A pipe between a process and the engine: the process's end blocks, ours does not (the flag is per end). */
static bool pipe_to_child(struct run *r, struct run_link *l, struct sluice_ctx *process, bool child_reads)
{
        struct backend *b = backend_of(r);
        struct end *ours = child_reads ? &l->link.sink : &l->link.source;
        struct slot *rd, *wr;
        int e = pipe_for_process(b, &rd, &wr, &l->process_pipe_bytes);

        if (e < 0)
                return wire_fail(r, e, "pipe");
        ours->slot = child_reads ? wr : rd;
        process->child->fds[child_reads ? 0 : 1] = child_reads ? rd : wr;
        ours->slot->foreign = true;
        b->ops->set_nonblock(b, ours->slot->fd, true);
        ours->kind = SLUICE_KIND_PIPE;
        ours->pipe = ours->child_pipe = ours->foreign = true;
        ours->offset = -1;
        return true;
}

static bool wire_ring(struct run *r, struct run_link *l)
{
        bool from_thread = is_thread(&r->stages[l->plan->from]), to_thread = is_thread(&r->stages[l->plan->to]);
        int e = from_thread || to_thread ? handover_init(&l->link, r->plan->queue_depth, from_thread, to_thread) : 0;

        return e < 0 ? wire_fail(r, e, "ring") : true;
}

/* By 64 KiB at a time both sides of an inherited pipe are waked for each other: six times the moves of a MiB. Whoever holds its
 * lock keeps this call waiting, as it would the first splice: for a thread that serves nothing else (driver.c). */
static void grow_inherited(struct run *r, const struct sluice_ctx *c, const struct end *e)
{
        struct backend *b = backend_of(r);

        if (e->slot && e->pipe && !e->child_pipe && c->pipe_bytes == 0 && loop_exclusive(r->loop))
                b->ops->grow_pipe(b, e->slot->fd, PIPE_BYTES_LARGE);
}

static bool wire_driven(struct run *r, struct run_link *l)
{
        struct sluice_ctx *from = &r->stages[l->plan->from], *to = &r->stages[l->plan->to];
        bool from_process = l->words.out_io & SLUICE_IO_INHERIT, to_process = l->words.in_io & SLUICE_IO_INHERIT;

        if (from_process && !pipe_to_child(r, l, from, false))
                return false;
        if (to_process && !pipe_to_child(r, l, to, true))
                return false;
        if (!from_process && !(l->words.out_io & SLUICE_IO_MEM)) {
                l->link.source.slot = stage_slot(from, SLUICE_OUTPUT, l->plan->branch);
                if (!l->link.source.slot)
                        return wire_fail(r, -EBADF, "lend");
        }
        if (!to_process && !(l->words.in_io & SLUICE_IO_MEM)) {
                l->link.sink.slot = stage_slot(to, SLUICE_INPUT, 0);
                if (!l->link.sink.slot)
                        return wire_fail(r, -EBADF, "lend");
                /* A stage that passes on what comes by a pipe of its own: EPIPE there is its early end. */
                l->link.sink.child_pipe = to->def->out_link >= 0 && l->link.sink.pipe;
        }
        grow_inherited(r, from, &l->link.source);
        grow_inherited(r, to, &l->link.sink);
        l->link.pipe_bytes = l->process_pipe_bytes;
        return true;
}

/* What is linked to nothing reads as empty and writes to nowhere. */
static bool wire_null(struct run *r, struct sluice_ctx *c)
{
        struct backend *b = backend_of(r);

        for (int i = 0; i < 2; i++) {
                int fd;

                if (c->child->fds[i])
                        continue;
                fd = b->ops->open_null(b, i == 1);
                if (fd < 0)
                        return wire_fail(r, fd, "open /dev/null");
                if (slot_new(&c->child->fds[i], b, fd) < 0) {
                        b->ops->close(b, fd);
                        return wire_fail(r, -ENOMEM, "open /dev/null");
                }
        }
        return true;
}

bool wire_links(struct run *r)
{
        for (size_t i = 0; i < r->plan->links_nr; i++) {
                struct run_link *l = &r->links[i];
                bool ok = l->mode == SLUICE_LINK_DIRECT     ? wire_direct(r, l)
                          : l->mode == SLUICE_LINK_PIPE     ? wire_pipe(r, l)
                          : l->mode == SLUICE_LINK_HANDOVER ? wire_ring(r, l)
                                                            : wire_driven(r, l);

                if (!ok)
                        return false;
        }
        for (size_t i = 0; i < r->plan->stages_nr; i++)
                if (is_command(&r->stages[i]) && !is_thread(&r->stages[i]) && !wire_null(r, &r->stages[i]))
                        return false;
        return true;
}

void wire_start_links(struct run *r)
{
        for (size_t i = 0; i < r->plan->links_nr; i++)
                if (r->links[i].driven && !r->links[i].ended)
                        link_start(&r->links[i].link);
}
