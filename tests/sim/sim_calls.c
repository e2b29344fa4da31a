/* tests/sim/sim_calls.c: open file descriptions, the engine's fd table, and the calls on them as the kernel answers them.
 *
 * A call never waits: -EAGAIN is "would wait", whatever the description's flags; who may wait is the caller's to say.
 * Called by the backend, by operations and by tasks; calls the objects. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "sim_kernel.h"

/* ---- descriptions ---- */

struct sim_desc *sim_desc_new(struct sim *k, enum sim_kind kind)
{
        struct sim_desc *d = calloc(1, sizeof(*d));

        if (!d)
                sim_fail(k, "no memory");
        *d = (struct sim_desc){ .refs = 1, .kind = kind, .sim = k, .reads = true, .writes = true };
        k->descs++;
        return d;
}

struct sim_desc *sim_desc_ref(struct sim_desc *d)
{
        d->refs++;
        return d;
}

static void let_go_of_pipe(struct sim_desc *d)
{
        struct sim_pipe *p = d->pipe;

        p->readers -= d->reads;
        p->writers -= d->writes;
        if (p->readers + p->writers == 0)
                sim_pipe_free(p);
}

void sim_desc_unref(struct sim_desc *d)
{
        struct sim *k = d->sim;

        if (--d->refs > 0)
                return;
        if (d->kind == SIM_PIPE)
                let_go_of_pipe(d);
        else if (d->kind == SIM_SOCKET)
                sim_socket_close(d->socket);
        else if (d->kind == SIM_FILE)
                sim_inode_unref(d->inode);
        free(d);
        k->descs--;
        sim_changed(k);
}

void sim_make_pipe(struct sim *k, struct sim_desc *ret[2], unsigned slots)
{
        struct sim_pipe *p = sim_pipe_new(k, slots);

        for (int i = 0; i < 2; i++) {
                ret[i] = sim_desc_new(k, SIM_PIPE);
                ret[i]->pipe = p;
                ret[i]->reads = i == 0;
                ret[i]->writes = i == 1;
        }
        p->readers = p->writers = 1;
}

void sim_make_sockets(struct sim *k, struct sim_desc *ret[2], uint64_t room, bool local)
{
        struct sim_socket *pair[2];

        sim_socket_pair(k, pair, room, local);
        for (int i = 0; i < 2; i++) {
                ret[i] = sim_desc_new(k, SIM_SOCKET);
                ret[i]->socket = pair[i];
        }
}

struct sim_desc *sim_make_file(struct sim_inode *i, bool reads, bool writes)
{
        struct sim_desc *d = sim_desc_new(i->sim, SIM_FILE);

        i->refs++;
        d->inode = i;
        d->reads = reads;
        d->writes = writes;
        return d;
}

/* ---- the engine's table: the lowest free number, as the kernel gives it, so that numbers are reused at once ---- */

int sim_fd_new(struct sim *k, struct sim_desc *d)
{
        unsigned i = 0;

        while (i < k->fds_nr && k->fds[i])
                i++;
        if (i == k->fds_nr) {
                struct sim_desc **more = realloc(k->fds, (k->fds_nr + 16) * sizeof(*more));

                if (!more)
                        sim_fail(k, "no memory");
                memset(more + k->fds_nr, 0, 16 * sizeof(*more));
                k->fds = more;
                k->fds_nr += 16;
        }
        k->fds[i] = d;
        return SIM_FD_FIRST + (int)i;
}

struct sim_desc *sim_fd(struct sim *k, int fd)
{
        return fd >= SIM_FD_FIRST && fd < SIM_FD_FIRST + (int)k->fds_nr ? k->fds[fd - SIM_FD_FIRST] : NULL;
}

void sim_fd_close(struct sim *k, int fd)
{
        struct sim_desc *d = sim_fd(k, fd);

        if (!d)
                sim_fail(k, "fd %d is closed twice", fd);
        if (sim_fd_is_named(k, fd))
                sim_fail(k, "fd %d is closed while an operation names it", fd);
        k->fds[fd - SIM_FD_FIRST] = NULL;
        sim_desc_unref(d);
}

/* ---- locks ---- */

struct sim_pipe *sim_locked(const struct sim_desc *d, const void *me)
{
        return d && d->kind == SIM_PIPE && d->pipe->locked_by && d->pipe->locked_by != me ? d->pipe : NULL;
}

struct sim_pipe *sim_locks_while_waiting(const struct sim_move *m)
{
        if (sim_is(m->in->sim, SIM_BAD_LOCK_IS_DROPPED))
                return NULL;
        if (m->in->kind == SIM_PIPE && m->out->kind == SIM_SOCKET && m->in->pipe->nr)
                return m->in->pipe;
        if (m->in->kind == SIM_SOCKET && m->out->kind == SIM_PIPE && !sim_pipe_full(m->out->pipe))
                return m->out->pipe;
        return NULL;
}

/* SPLICE_F_NONBLOCK covers the pipe; of sockets only a unix one that is read from. */
bool sim_waits_in_socket(const struct sim_move *m)
{
        return (m->in->kind == SIM_SOCKET && !m->in->nonblock && !m->in->socket->local) ||
               (m->out->kind == SIM_SOCKET && !m->out->nonblock);
}

/* ---- splice ---- */

/* For O_DIRECT: all that would be written at once must be whole pages for a whole page's place. */
static bool misaligned(const struct sim_desc *d, int64_t at, const struct sim_pipe *from, size_t bytes)
{
        uint32_t page = d->sim->config.page_bytes;

        if (at % page)
                return true;
        for (uint32_t i = 0; i < from->nr && bytes; i++) {
                const struct sim_slot *s = &from->slots[(from->head + i) % from->ring];

                if (s->at % page || s->bytes % page || bytes < s->bytes)
                        return true;
                bytes -= s->bytes;
        }
        return false;
}

static ssize_t pipe_to_null(struct sim_pipe *from, size_t bytes)
{
        size_t done = 0;

        if (from->nr == 0)
                return from->writers ? -EAGAIN : 0;
        while (done < bytes && from->nr) {
                uint32_t have = sim_pipe_first(from)->bytes, n = bytes - done < have ? (uint32_t)(bytes - done) : have;

                sim_pipe_drop(from, n);
                done += n;
        }
        return (ssize_t)done;
}

static ssize_t from_pipe(const struct sim_move *m)
{
        int64_t *at = m->at_out ? m->at_out : &m->out->position;
        ssize_t n;

        switch (m->out->kind) {
        case SIM_SOCKET:
                return m->at_out ? -ESPIPE : sim_socket_from_pipe(m->out->socket, m->in->pipe, m->bytes);
        case SIM_NULL:
                return pipe_to_null(m->in->pipe, m->bytes);
        case SIM_FILE:
                if (m->out->append && !sim_is(m->in->sim, SIM_BAD_APPEND_SPLICES))
                        return -EINVAL;
                if (m->out->direct && misaligned(m->out, *at, m->in->pipe, m->bytes))
                        return -EINVAL;
                n = sim_file_from_pipe(m->out->inode, *at, m->in->pipe, m->bytes);
                *at += n > 0 ? n : 0;
                return n;
        default:
                return -EINVAL;
        }
}

static ssize_t zeros_to_pipe(struct sim *k, struct sim_pipe *to, size_t bytes)
{
        size_t done = 0;

        if (!to->readers)
                return -EPIPE;
        while (done < bytes && !sim_pipe_full(to)) {
                struct sim_page *page = sim_page_new(k, k->config.page_bytes);
                uint32_t n = bytes - done < page->bytes ? (uint32_t)(bytes - done) : page->bytes;

                memset(page->data, 0, page->bytes);
                sim_pipe_push(to, page, 0, n, false);
                done += n;
        }
        return done ? (ssize_t)done : -EAGAIN;
}

static ssize_t to_pipe(struct sim *k, const struct sim_move *m)
{
        int64_t *at = m->at_in ? m->at_in : &m->in->position;
        ssize_t n;

        switch (m->in->kind) {
        case SIM_SOCKET:
                return m->at_in ? -ESPIPE : sim_socket_to_pipe(m->in->socket, m->out->pipe, m->bytes);
        case SIM_ZERO:
                return zeros_to_pipe(k, m->out->pipe, m->bytes);
        case SIM_FILE:
                n = sim_file_to_pipe(m->in->inode, *at, m->out->pipe, m->bytes, m->in->direct);
                *at += n > 0 ? n : 0;
                return n;
        default:
                return -EINVAL;
        }
}

ssize_t sim_do_splice(struct sim *k, const struct sim_move *m)
{
        bool in = m->in->kind == SIM_PIPE, out = m->out->kind == SIM_PIPE;

        if (m->bytes == 0)
                return 0;
        if (!m->in->reads || !m->out->writes)
                return -EBADF;
        if ((in && m->at_in) || (out && m->at_out))
                return -ESPIPE;
        if (in && out)
                return m->in->pipe == m->out->pipe ? -EINVAL : sim_pipe_move(m->in->pipe, m->out->pipe, m->bytes);
        if (in)
                return from_pipe(m);
        return out ? to_pipe(k, m) : -EINVAL;
}

ssize_t sim_do_tee(struct sim *k, const struct sim_move *m)
{
        (void)k;
        if (m->bytes == 0)
                return 0;
        if (m->in->kind != SIM_PIPE || m->out->kind != SIM_PIPE || m->in->pipe == m->out->pipe)
                return -EINVAL;
        if (!m->in->reads || !m->out->writes)
                return -EBADF;
        return sim_pipe_tee(m->in->pipe, m->out->pipe, m->bytes);
}

/* ---- read, write, poll ---- */

ssize_t sim_do_read(struct sim *k, struct sim_desc *d, int64_t at, void *data, size_t bytes)
{
        ssize_t n;

        if (!d->reads)
                return -EBADF;
        switch (d->kind) {
        case SIM_PIPE:
                return at >= 0 ? -ESPIPE : bytes ? sim_pipe_read(d->pipe, data, bytes) : 0;
        case SIM_SOCKET:
                return sim_socket_recv(d->socket, data, bytes);
        case SIM_FILE:
                n = sim_file_read(d->inode, at < 0 ? d->position : at, data, bytes);
                if (at < 0 && n > 0)
                        d->position += n;
                return n;
        case SIM_ZERO:
                memset(data, 0, bytes);
                return (ssize_t)bytes;
        case SIM_NULL:
                return 0;
        case SIM_DIRECTORY:
                return -EISDIR;
        default:
                (void)k;
                return -EINVAL;
        }
}

ssize_t sim_do_write(struct sim *k, struct sim_desc *d, int64_t at, const void *data, size_t bytes)
{
        ssize_t n;

        if (!d->writes)
                return -EBADF;
        switch (d->kind) {
        case SIM_PIPE:
                return at >= 0 ? -ESPIPE : sim_pipe_write(d->pipe, data, bytes);
        case SIM_SOCKET:
                return sim_socket_send(d->socket, data, bytes);
        case SIM_FILE:
                if (d->append)
                        at = d->inode->size;
                if (d->direct && ((at < 0 ? d->position : at) % k->config.page_bytes || bytes % k->config.page_bytes))
                        return -EINVAL;
                n = sim_file_write(d->inode, at < 0 ? d->position : at, data, bytes);
                if (n > 0 && (at < 0 || d->append))
                        d->position = (d->append ? at : d->position) + n;
                return n;
        case SIM_NULL:
        case SIM_ZERO:
                return (ssize_t)bytes;
        default:
                return -EINVAL;
        }
}

unsigned sim_do_poll(const struct sim_desc *d)
{
        switch (d->kind) {
        case SIM_PIPE:
                return sim_pipe_poll(d->pipe, d->writes);
        case SIM_SOCKET:
                return sim_socket_poll(d->socket);
        case SIM_EVENT:
                return *d->event ? POLLIN : 0;
        case SIM_PIDFD:
                return d->task->state >= SIM_DEAD ? POLLIN : 0;
        default:
                return POLLIN | POLLOUT;
        }
}
