/* tests/sim/sim_names.c: what is about names and not about bytes: files in one flat directory, programs, addresses.
 * Called by sim_ops.c. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "sim_kernel.h"
#include "spawn.h"

static int device(struct sim *k, const char *path)
{
        if (strcmp(path, "/dev/null") == 0)
                return sim_fd_new(k, sim_desc_new(k, SIM_NULL));
        if (strcmp(path, "/dev/zero") == 0)
                return sim_fd_new(k, sim_desc_new(k, SIM_ZERO));
        return -ENOENT;
}

static struct sim_desc *open_inode(struct sim_inode *i, int flags)
{
        int access = flags & O_ACCMODE;
        struct sim_desc *d = sim_make_file(i, access != O_WRONLY, access != O_RDONLY);

        d->append = flags & O_APPEND;
        d->direct = flags & O_DIRECT;
        return d;
}

static int unnamed(struct sim *k, int flags, mode_t mode)
{
        struct sim_inode *i;

        if (sim_strikes(k, SIM_REFUSE)) /* a file system without O_TMPFILE */
                return -EOPNOTSUPP;
        i = sim_inode_new(k, NULL);
        i->mode = mode;
        return sim_fd_new(k, open_inode(i, flags));
}

static int do_open(struct sim *k, const char *path, int flags, mode_t mode)
{
        struct sim_inode *i = sim_inode_find(k, path);

        if ((flags & O_TMPFILE) == O_TMPFILE)
                return unnamed(k, flags, mode);
        if (flags & O_DIRECTORY)
                return sim_fd_new(k, sim_desc_new(k, SIM_DIRECTORY));
        if (strncmp(path, "/dev/", 5) == 0)
                return device(k, path);
        if (i && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
                return -EEXIST;
        if (!i && !(flags & O_CREAT))
                return -ENOENT;
        if (!i) {
                i = sim_inode_new(k, path);
                i->mode = mode;
        }
        if (flags & O_TRUNC)
                sim_file_truncate(i, 0);
        return sim_fd_new(k, open_inode(i, flags));
}

static void give_name(struct sim_inode *i, const char *name)
{
        strncpy(i->name, name, sizeof(i->name) - 1);
        i->refs++;
        i->next = i->sim->inodes;
        i->sim->inodes = i;
}

static int do_link(struct sim *k, const struct op *op)
{
        struct sim_desc *d = sim_fd(k, op->in->fd);

        if (sim_inode_find(k, op->name.to))
                return -EEXIST;
        if (d->kind != SIM_FILE)
                return -EINVAL;
        give_name(d->inode, op->name.to);
        return 0;
}

static int do_rename(struct sim *k, const struct op *op)
{
        struct sim_inode *from = sim_inode_find(k, op->name.from), *to = sim_inode_find(k, op->name.to);

        if (!from)
                return -ENOENT;
        if (to && to != from)
                sim_inode_unname(to);
        strncpy(from->name, op->name.to, sizeof(from->name) - 1);
        return 0;
}

static int do_unlink(struct sim *k, const struct op *op)
{
        struct sim_inode *i = sim_inode_find(k, op->name.from);

        if (!i)
                return -ENOENT;
        sim_inode_unname(i);
        return 0;
}

static int do_close(struct sim *k, const struct op *op)
{
        struct sim_desc *d = sim_fd(k, op->close.fd);
        bool file = d && d->kind == SIM_FILE;

        sim_fd_close(k, op->close.fd);
        return file && sim_strikes(k, SIM_EIO) ? -EIO : 0;
}

/* Numbers only: nothing is asked of anybody. */
static int do_resolve(struct op *op)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | op->resolve.flags };

        op->resolve.error = getaddrinfo(op->resolve.host, op->resolve.port, &hints, &op->resolve.ret);
        return op->resolve.error ? -ENOENT : 0;
}

static int do_find(struct sim *k, struct op *op)
{
        struct sim_behaviour b;

        if (!k->program || !k->program(k->arg, op->find.file, &b))
                return -ENOENT;
        op->find.ret = strdup(op->find.file);
        return op->find.ret ? 0 : -ENOMEM;
}

static int do_spawn(struct sim *k, struct op *op)
{
        struct spawn *s = op->spawn.spec;
        struct sim_behaviour b = { 0 };
        struct sim_desc *d;
        struct sim_task *t;

        s->failed = SPAWN_EXEC;
        if (!k->program || !k->program(k->arg, s->argv[0], &b))
                return -ENOENT;
        t = sim_task_new(k, &b);
        t->child = true;
        for (int i = 0; i < 3; i++) {
                d = sim_fd(k, s->fds[i]);
                if (!d)
                        sim_fail(k, "a process inherits fd %d, which is not open", s->fds[i]);
                if (d->nonblock && (d->kind == SIM_PIPE || d->kind == SIM_SOCKET))
                        sim_fail(k, "a process inherits an fd that is O_NONBLOCK");
                sim_task_set_fd(t, i, d);
        }
        d = sim_desc_new(k, SIM_PIDFD);
        d->task = t;
        s->pid = t->pid;
        s->pidfd = sim_fd_new(k, d);
        s->failed = SPAWN_OK;
        s->async = false; /* done, not only begun */
        return 0;
}

int sim_name_op(struct sim *k, struct op *op)
{
        struct sim_desc *d = op->in ? sim_fd(k, op->in->fd) : NULL;

        switch (op->kind) {
        case OP_OPEN:
                return do_open(k, op->open.path, op->open.flags, op->open.mode);
        case OP_CLOSE:
                return do_close(k, op);
        case OP_FSYNC:
                return sim_strikes(k, SIM_EIO) ? -EIO : d->kind == SIM_FILE || d->kind == SIM_DIRECTORY ? 0 : -EINVAL;
        case OP_TRUNCATE:
                return d->kind == SIM_FILE ? sim_file_truncate(d->inode, op->truncate.length) : -EINVAL;
        case OP_RENAME:
                return do_rename(k, op);
        case OP_UNLINK:
                return do_unlink(k, op);
        case OP_LINK:
                return do_link(k, op);
        case OP_RESOLVE:
                return do_resolve(op);
        case OP_FIND:
                return do_find(k, op);
        case OP_SPAWN:
                return do_spawn(k, op);
        default:
                return -ENOSYS;
        }
}
