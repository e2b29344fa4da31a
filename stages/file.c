/* stages/file.c: a file: read whole or in part, made, truncated, appended to, or replaced as a whole.
 *
 *   sink:  open without O_TRUNC ---> commit: truncate ---> (bytes) ---> drained: flush, fsync ---> close
 *          [made here? removed again if the run never gets to commit]
 *
 *   atomic: O_TMPFILE in the target's directory ---> (bytes) ---> drained: fsync, link under a temporary name, rename over
 *          the target, fsync the directory. Without a name until it is whole, a killed run leaves nothing behind.
 *          Where the file system has no O_TMPFILE, a named temporary file, removed if the run fails.
 *
 * Borrowed by the engine: its fd. Calls sluice_ctx_... only. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

#ifndef O_TMPFILE
#define O_TMPFILE 020200000
#endif

struct file_config {
        char *path;
        struct sluice_file_options opt;
};

struct file_self {
        int fd, directory_fd;
        int made; /* we created it: it is ours to remove until commit */
        int committed;
        int named_temporary; /* `temporary` has a name in the file system */
        int keeps_mode;      /* of the file that it replaces: `mode` */
        mode_t mode;
        char *temporary, *directory;
        int64_t size_at_open;
};

static void file_config_free(void *config)
{
        struct file_config *c = config;

        free(c->path);
        free(c);
}

static int file_config_copy(void **ret, const void *config)
{
        const struct file_config *from = config;
        struct file_config *c = malloc(sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = *from;
        c->path = strdup(from->path);
        if (!c->path) {
                free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

static unsigned flags_of(const struct file_config *c)
{
        return c->opt.flags;
}

/* ---- what it can do ---- */

static int describe_source(struct sluice_ctx *ctx, const struct file_self *self, struct sluice_side *ret)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        const int ranged = c->opt.offset > 0 || flags_of(c) & SLUICE_FILE_RANGE || c->opt.until == SLUICE_UNTIL_SIZE_AT_OPEN;

        if (flags_of(c) & (SLUICE_FILE_APPEND | SLUICE_FILE_ATOMIC | SLUICE_FILE_OBSERVE | SLUICE_FILE_DIRECT) ||
            c->opt.sync != SLUICE_SYNC_NONE) {
                sluice_ctx_note(ctx, "describe", "append, atomic, direct, observe and sync are for sinks; here it is a source");
                return -ENOTSUP;
        }
        ret->io = SLUICE_IO_FD | (ranged ? 0 : SLUICE_IO_LEND);
        ret->note = ranged ? "only a part of it is meant, so no process is handed it" : NULL;
        ret->offset = c->opt.offset;
        if (flags_of(c) & SLUICE_FILE_RANGE)
                ret->length = c->opt.length;
        if (flags_of(c) & SLUICE_FILE_SNAPSHOT) {
                ret->io = SLUICE_IO_COPY | (ranged ? 0 : SLUICE_IO_LEND);
                ret->note = "snapshot: splice would pass on what is written underneath later";
        }
        if (self && c->opt.until == SLUICE_UNTIL_SIZE_AT_OPEN && self->size_at_open >= 0) {
                int64_t left = self->size_at_open > c->opt.offset ? self->size_at_open - c->opt.offset : 0;

                ret->length = ret->length >= 0 && ret->length < left ? ret->length : left;
                ret->exact = 1;
        }
        return 0;
}

static int describe_sink(struct sluice_ctx *ctx, struct sluice_side *ret)
{
        const struct file_config *c = sluice_ctx_config(ctx);

        if (flags_of(c) & (SLUICE_FILE_SNAPSHOT | SLUICE_FILE_RANGE) || c->opt.until != SLUICE_UNTIL_EOF) {
                sluice_ctx_note(ctx, "describe", "length, until and snapshot are for sources; here it is a sink");
                return -ENOTSUP;
        }
        ret->io = SLUICE_IO_FD | SLUICE_IO_LEND;
        ret->offset = c->opt.offset;
        if (c->opt.offset > 0) {
                ret->io = SLUICE_IO_FD;
                ret->note = "only a part of it is meant, so no process is handed it";
        }
        if (flags_of(c) & SLUICE_FILE_APPEND) {
                ret->io = SLUICE_IO_COPY | SLUICE_IO_LEND;
                ret->offset = -1;
                ret->note = "an O_APPEND file cannot be spliced to";
        }
        if (flags_of(c) & SLUICE_FILE_DIRECT) {
                ret->io &= ~(uint32_t)SLUICE_IO_LEND;
                ret->note = "direct: a process that is handed it would have to write whole blocks";
        }
        if (flags_of(c) & SLUICE_FILE_OBSERVE) {
                ret->io &= ~(uint32_t)SLUICE_IO_LEND;
                ret->note = ret->note ? ret->note : "observed: the engine writes it itself, to see its errors";
        }
        return 0;
}

static int file_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        if (sluice_ctx_linked(ctx, SLUICE_INPUT) && sluice_ctx_linked(ctx, SLUICE_OUTPUT)) {
                sluice_ctx_note(ctx, "describe", "a file can only be the first or the last stage");
                return -ENOTSUP;
        }
        ret->kind = SLUICE_KIND_FILE;
        return dir == SLUICE_OUTPUT ? describe_source(ctx, self, ret) : describe_sink(ctx, ret);
}

/* ---- opening ---- */

static mode_t mode_of(const struct file_config *c)
{
        return c->opt.mode ? c->opt.mode : 0666;
}

/* Of a FIFO the same flag means something else (pipe(2), packets). */
static int go_direct(struct sluice_ctx *ctx, struct file_self *self)
{
        int r = self->size_at_open < 0 ? -ESPIPE : sluice_ctx_direct(ctx, self->fd);

        if (r == -ESPIPE)
                sluice_ctx_note(ctx, "open", "direct is for regular files, and this is none");
        else if (r == -EINVAL)
                sluice_ctx_note(ctx, "open", "its file system has no way past the page cache: leave 'direct' out");
        return r;
}

static void opened(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;
        int r;

        if (fd < 0) {
                sluice_ctx_opened(ctx, (int)fd);
                return;
        }
        self->fd = (int)fd;
        r = sluice_ctx_size(ctx, self->fd, &self->size_at_open);
        if (r == -ESPIPE) /* a FIFO or a device: no size, no matter */
                r = 0;
        if (r == 0 && flags_of(c) & SLUICE_FILE_DIRECT)
                r = go_direct(ctx, self);
        sluice_ctx_opened(ctx, r);
}

/* A symbolic link that leads nowhere exists for O_EXCL and does not exist for open: what it names is made. */
static void opened_or_dangling(struct sluice_ctx *ctx, void *self, int64_t fd)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        int append = flags_of(c) & SLUICE_FILE_APPEND ? O_APPEND : 0, r;

        if (fd != -ENOENT) {
                opened(ctx, self, fd);
                return;
        }
        r = sluice_ctx_open(ctx, c->path, O_WRONLY | O_CREAT | append, mode_of(c), opened);
        if (r < 0)
                sluice_ctx_opened(ctx, r);
}

/* It was there: open it as it is. It was not: made here, and removed again if the run never gets to write. */
static void made(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;
        int append = flags_of(c) & SLUICE_FILE_APPEND ? O_APPEND : 0, r;

        if (fd == -EEXIST) {
                r = sluice_ctx_open(ctx, c->path, O_WRONLY | append, 0, opened_or_dangling);
                if (r < 0)
                        sluice_ctx_opened(ctx, r);
                return;
        }
        self->made = fd >= 0;
        opened(ctx, self, fd);
}

static int name_temporary(struct file_self *self, const char *path)
{
        static _Atomic unsigned counter;
        char *copy = strdup(path), *directory = strdup(path);

        if (!copy || !directory || asprintf(&self->directory, "%s", dirname(directory)) < 0)
                self->directory = NULL;
        if (self->directory && asprintf(&self->temporary, "%s/.%s.sluice-%d-%u", self->directory, basename(copy), (int)getpid(),
                                        atomic_fetch_add(&counter, 1)) < 0)
                self->temporary = NULL;
        free(copy);
        free(directory);
        return self->temporary ? 0 : -ENOMEM;
}

/* What replaces a file that others may not read is at no time one that they may; the umask is not asked again. */
static mode_t first_mode(const struct file_self *self, const struct file_config *c)
{
        return self->keeps_mode ? 0600 : mode_of(c);
}

static void temporary_is_open(struct sluice_ctx *ctx, struct file_self *self, int64_t fd)
{
        int r = fd >= 0 && self->keeps_mode ? sluice_ctx_chmod(ctx, (int)fd, NULL, self->mode) : 0;

        if (r < 0)
                sluice_ctx_close(ctx, (int)fd);
        opened(ctx, self, r < 0 ? r : fd);
}

static void temporary_named(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        struct file_self *self = self_;

        self->named_temporary = fd >= 0;
        temporary_is_open(ctx, self, fd);
}

static void temporary_opened(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;
        int r;

        if (fd == -EOPNOTSUPP || fd == -EISDIR || fd == -EINVAL) { /* no O_TMPFILE on this file system */
                r = sluice_ctx_open(ctx, self->temporary, O_WRONLY | O_CREAT | O_EXCL, first_mode(self, c), temporary_named);
                if (r < 0)
                        sluice_ctx_opened(ctx, r);
                return;
        }
        temporary_is_open(ctx, self, fd);
}

static int open_temporary(struct sluice_ctx *ctx, struct file_self *self, const struct file_config *c)
{
        int r = name_temporary(self, c->path);

        return r < 0 ? r : sluice_ctx_open(ctx, self->directory, O_WRONLY | O_TMPFILE, first_mode(self, c), temporary_opened);
}

static int look_at(struct sluice_ctx *ctx, struct file_self *self, int fd)
{
        int64_t size;
        int r = sluice_ctx_size(ctx, fd, &size);

        if (r == 0)
                r = sluice_ctx_mode(ctx, fd);
        if (r < 0)
                return r;
        self->mode = (mode_t)r & 0777; /* it is ours, whoever's the old one was: no set-user-ID */
        return 0;
}

/* A rename would put a plain file in the place of a device, for everybody. */
static void target_looked_at(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;
        int r = 0;

        if (fd >= 0) {
                r = look_at(ctx, self, (int)fd);
                self->keeps_mode = c->opt.mode == 0;
                sluice_ctx_close(ctx, (int)fd);
        } else if (fd != -ENOENT) {
                r = (int)fd;
        }
        if (r == -ESPIPE) {
                sluice_ctx_note(ctx, "open", "atomic replaces a regular file, and this is none");
                r = -EINVAL;
        }
        if (r == 0)
                r = open_temporary(ctx, self, c);
        if (r < 0)
                sluice_ctx_opened(ctx, r);
}

static int open_sink(struct sluice_ctx *ctx, const struct file_config *c)
{
        int append = flags_of(c) & SLUICE_FILE_APPEND ? O_APPEND : 0;

        if (flags_of(c) & SLUICE_FILE_ATOMIC)
                return sluice_ctx_open(ctx, c->path, O_PATH, 0, target_looked_at);
        return sluice_ctx_open(ctx, c->path, O_WRONLY | O_CREAT | O_EXCL | append, mode_of(c), made);
}

static int file_open(struct sluice_ctx *ctx, void *self_)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;
        int r;

        self->fd = self->directory_fd = -1;
        self->size_at_open = -1;
        r = sluice_ctx_linked(ctx, SLUICE_INPUT) ? open_sink(ctx, c) : sluice_ctx_open(ctx, c->path, O_RDONLY, 0, opened);
        return r < 0 ? r : -EINPROGRESS;
}

/* ---- commit: the old contents go only now ---- */

static void truncated(struct sluice_ctx *ctx, void *self, int64_t result)
{
        (void)self;
        /* Devices and FIFOs have nothing to truncate. */
        sluice_ctx_committed(ctx, result == -EINVAL ? 0 : (int)result);
}

static int file_commit(struct sluice_ctx *ctx, void *self_)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;
        int keeps = flags_of(c) & (SLUICE_FILE_APPEND | SLUICE_FILE_ATOMIC) || c->opt.offset > 0, r;

        self->committed = 1;
        if (!sluice_ctx_linked(ctx, SLUICE_INPUT) || keeps || self->size_at_open <= 0)
                return 0;
        r = sluice_ctx_truncate(ctx, self->fd, 0, truncated);
        return r < 0 ? r : -EINPROGRESS;
}

static int file_fd(struct sluice_ctx *ctx, void *self, enum sluice_direction dir)
{
        (void)ctx;
        (void)dir;
        return ((struct file_self *)self)->fd;
}

/* ---- drained: durable as asked, then under its name ---- */

static void step_over(struct sluice_ctx *ctx, int r)
{
        if (r < 0)
                sluice_ctx_drained(ctx, r);
}

static void directory_synced(struct sluice_ctx *ctx, void *self, int64_t result)
{
        (void)self;
        sluice_ctx_drained(ctx, result == -EINVAL ? 0 : (int)result);
}

static void directory_opened(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        struct file_self *self = self_;

        self->directory_fd = (int)fd;
        step_over(ctx, fd < 0 ? (int)fd : sluice_ctx_sync(ctx, self->directory_fd, 0, directory_synced));
}

static void renamed(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct file_self *self = self_;

        if (result == 0)
                self->named_temporary = 0;
        step_over(ctx,
                  result < 0 ? (int)result : sluice_ctx_open(ctx, self->directory, O_RDONLY | O_DIRECTORY, 0, directory_opened));
}

static void linked(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;

        if (result == 0)
                self->named_temporary = 1;
        step_over(ctx, result < 0 ? (int)result : sluice_ctx_rename(ctx, self->temporary, c->path, renamed));
}

static void flushed(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;

        if (result < 0 || !(flags_of(c) & SLUICE_FILE_ATOMIC)) {
                if (result < 0)
                        sluice_ctx_note(ctx, "close", "close: %s", strerror((int)-result));
                sluice_ctx_drained(ctx, (int)result);
        } else if (self->named_temporary) {
                linked(ctx, self, 0);
        } else {
                step_over(ctx, sluice_ctx_link(ctx, self->fd, self->temporary, linked));
        }
}

static void synced(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct file_self *self = self_;

        /* EINVAL: a FIFO or a device, where there is nothing to be durable. */
        if (result < 0 && result != -EINVAL) {
                sluice_ctx_note(ctx, "fsync", "fsync: %s", strerror((int)-result));
                sluice_ctx_drained(ctx, (int)result);
                return;
        }
        step_over(ctx, sluice_ctx_flush(ctx, self->fd, flushed));
}

static int file_drained(struct sluice_ctx *ctx, void *self_)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;
        /* A rename that outlives its data in a crash would replace the old file by an empty one. */
        int data = c->opt.sync == SLUICE_SYNC_DATA, none = c->opt.sync == SLUICE_SYNC_NONE && !(flags_of(c) & SLUICE_FILE_ATOMIC),
            r;

        if (none)
                r = sluice_ctx_flush(ctx, self->fd, flushed);
        else
                r = sluice_ctx_sync(ctx, self->fd, data, synced);
        return r < 0 ? r : -EINPROGRESS;
}

static void file_close(struct sluice_ctx *ctx, void *self_, int error)
{
        const struct file_config *c = sluice_ctx_config(ctx);
        struct file_self *self = self_;

        if (self->named_temporary)
                sluice_ctx_unlink(ctx, self->temporary, NULL);
        else if (error && self->made && !self->committed)
                sluice_ctx_unlink(ctx, c->path, NULL);
        free(self->temporary);
        free(self->directory);
        self->temporary = self->directory = NULL;
}

static const struct sluice_stage_ops file_ops = {
        .size = sizeof(file_ops),
        .name = "file",
        .instance_size = sizeof(struct file_self),
        .config_copy = file_config_copy,
        .config_free = file_config_free,
        .describe = file_describe,
        .open = file_open,
        .commit = file_commit,
        .fd = file_fd,
        .drained = file_drained,
        .close = file_close,
};

static int check_options(const struct sluice_file_options *o)
{
        const unsigned known = SLUICE_FILE_APPEND | SLUICE_FILE_ATOMIC | SLUICE_FILE_OBSERVE | SLUICE_FILE_SNAPSHOT |
                               SLUICE_FILE_RANGE | SLUICE_FILE_DIRECT;

        if (o->size != sizeof(*o) || o->flags & ~known || o->offset < 0 || o->length < 0 || o->mode & ~(mode_t)07777)
                return -EINVAL;
        /* Each of these would write somewhere else than the other says. */
        if (o->flags & SLUICE_FILE_APPEND && (o->flags & SLUICE_FILE_ATOMIC || o->offset))
                return -EINVAL;
        if (o->flags & SLUICE_FILE_APPEND && o->flags & SLUICE_FILE_DIRECT) /* where the end is, is seldom where a block begins */
                return -EINVAL;
        return o->flags & SLUICE_FILE_ATOMIC && o->offset ? -EINVAL : 0;
}

int sluice_add_file(struct sluice_pipeline *p, const char *path, const struct sluice_file_options *opt)
{
        struct file_config c = { .path = (char *)(uintptr_t)path };
        const char *prefix;
        char *name;
        int r = opt ? check_options(opt) : 0;

        if (r < 0 || !path || !*path)
                return -EINVAL;
        if (opt)
                c.opt = *opt;
        prefix = c.opt.flags & SLUICE_FILE_APPEND ? "append" : "file";
        if (asprintf(&name, "%s:%s", prefix, path) < 0)
                return -ENOMEM;
        r = sluice_pipeline_add(p, &file_ops, &c, name);
        free(name);
        return r;
}

/* ---- by name ---- */

static const char *const until_names[] = { "eof", "size-at-open", NULL };
static const char *const sync_names[] = { "none", "data", "full", NULL };

#define AT(field) offsetof(struct sluice_file_options, field)
static const struct text_option file_options[] = {
        { "offset", TEXT_BYTES, AT(offset), 0, NULL },
        { "length", TEXT_BYTES, AT(length), 0, NULL },
        { "until", TEXT_CHOICE, AT(until), 0, until_names },
        { "sync", TEXT_CHOICE, AT(sync), 0, sync_names },
        { "atomic", TEXT_FLAG, AT(flags), SLUICE_FILE_ATOMIC, NULL },
        { "mode", TEXT_MODE, AT(mode), 0, NULL },
        { "observe", TEXT_FLAG, AT(flags), SLUICE_FILE_OBSERVE, NULL },
        { "snapshot", TEXT_FLAG, AT(flags), SLUICE_FILE_SNAPSHOT, NULL },
        { "direct", TEXT_FLAG, AT(flags), SLUICE_FILE_DIRECT, NULL },
};
static const struct text_option append_options[] = {
        { "sync", TEXT_CHOICE, AT(sync), 0, sync_names },
        { "mode", TEXT_MODE, AT(mode), 0, NULL },
        { "observe", TEXT_FLAG, AT(flags), SLUICE_FILE_OBSERVE, NULL },
};

static int add_path(struct sluice_pipeline *p, const char *kind, const char *path, struct sluice_file_options *opt,
                    struct sluice_text_error *e)
{
        int r;

        if (!*path)
                return text_fail(e, 0, "%s: needs a path", kind);
        r = sluice_add_file(p, path, opt);
        return r == -EINVAL ? text_fail(e, 0, "these options do not go together") : r;
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        struct sluice_file_options opt = { .size = sizeof(opt) };
        int r = text_options(file_options, sizeof(file_options) / sizeof(file_options[0]), options, options_nr, &opt, e);

        for (size_t i = 0; r == 0 && i < options_nr; i++) {
                if (strcmp(options[i].name, "length") == 0)
                        opt.flags |= SLUICE_FILE_RANGE;
                if (strcmp(options[i].name, "offset") == 0 && opt.offset && opt.flags & SLUICE_FILE_ATOMIC)
                        return text_fail(e, (int)i + 1, "atomic replaces the whole file: offset= does not go with it");
        }
        return r < 0 ? r : add_path(p, "file", argument, &opt, e);
}

static int add_append(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
                      struct sluice_text_error *e)
{
        struct sluice_file_options opt = { .size = sizeof(opt), .flags = SLUICE_FILE_APPEND };
        int r = text_options(append_options, sizeof(append_options) / sizeof(append_options[0]), options, options_nr, &opt, e);

        return r < 0 ? r : add_path(p, "append", argument, &opt, e);
}

const struct text_type text_file = { { "file",
                                       "file:PATH[,offset=N][,length=N][,until=eof|size-at-open][,snapshot][,sync=none|data|full][,"
                                       "atomic][,mode=OCTAL][,observe][,direct]",
                                       "a file: read as a source, made or truncated as a sink" },
                                     add };
const struct text_type text_append = {
        { "append", "append:PATH[,sync=none|data|full][,mode=OCTAL][,observe]", "a file, written at its end" }, add_append
};
