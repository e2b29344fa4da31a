/* stages/spill.c: what comes is taken at once, and passed on as fast as what follows takes it; what does not fit is kept in
 * files and replayed in order.
 *
 *      what feeds it --> [in] ----------- pass: splice, nothing is behind ----------> [out] --> what follows
 *                          |                                                           ^
 *                          +-- store --> part, part, part, part (files) -- replay -----+
 *
 *      part:  FREE --to be stored to--> USED --all replayed--> DONE --truncate--> EMPTYING --> FREE
 *                                            --nothing could be stored---------------------------> FREE
 *
 * Law: bytes in == bytes out + in the pipes + behind, behind == stored - replayed over all parts. While anything is behind,
 * nothing is passed: so the order is kept.
 *
 * No file is written a second time before it was truncated to nothing: what splice has replayed lies as the file's own
 * pages in a pipe or a socket, and would change there. (Nor is a hole punched: the kernel zeroes the part of a large page
 * that is in the hole, whoever else holds the page.) So room comes free a part at a time.
 *
 * Waits, of which each is asked for once and the end of one leads to pump():
 *      in readable     unless it has ended, or is stored from, or there is no room to store to
 *      out writable    while something is behind that is not being replayed, or there is no room
 *      out's reader    always: with it everything ends early
 *
 * Calls sluice_ctx_... only. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

enum { PARTS = 4, PASS_ROUNDS = 64, MOVE_BYTES = 1 << 20, MAX_LEAST = 64 << 10 };
#define MAX_DEFAULT (INT64_C(1) << 30)

struct spill_config {
        char *path;
        struct sluice_spill_options opt;
};

enum part_state { PART_FREE, PART_USED, PART_DONE, PART_EMPTYING };

struct part {
        int fd;
        enum part_state state;
        int64_t stored, replayed;
};

struct spill_self {
        int in_read, in_write, out_read, out_write; /* -1: let go of */
        char *directory, *temporary;
        unsigned opened;
        struct part parts[PARTS];
        struct part *store, *replay; /* the newest and the oldest in use; NULL: none */
        unsigned next;               /* the part to use then */
        int64_t behind;
        uint64_t spilled, waited;

        int waits_in, waits_out, storing, replaying, emptying; /* calls under way */
        int ended;                                             /* nothing more comes in */
        int full;                                              /* a file could not grow */
        int stuck;                                             /* there is input, and nowhere to put it */
        int draining, over, early, told;
};

static void pump(struct sluice_ctx *ctx, struct spill_self *self);

static void config_free(void *config)
{
        struct spill_config *c = config;

        free(c->path);
        free(c);
}

static int config_copy(void **ret, const void *config)
{
        const struct spill_config *from = config;
        struct spill_config *c = malloc(sizeof(*c));

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

/* ---- opening: pipes, then the files ---- */

static int open_next_file(struct sluice_ctx *ctx, struct spill_self *self);

static void file_opened(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        struct spill_self *self = self_;
        int r = fd < 0 ? (int)fd : 0;

        if (fd >= 0)
                self->parts[self->opened++].fd = (int)fd;
        if (r == 0 && self->opened < PARTS)
                r = open_next_file(ctx, self);
        if (r < 0 || self->opened == PARTS)
                sluice_ctx_opened(ctx, r);
}

static void named_opened(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        struct spill_self *self = self_;

        if (fd >= 0)
                sluice_ctx_unlink(ctx, self->temporary, NULL);
        file_opened(ctx, self, fd);
}

/* Where the file system has no nameless files, a name for as long as it takes to remove it. */
static int open_named(struct sluice_ctx *ctx, struct spill_self *self)
{
        static _Atomic unsigned counter;

        free(self->temporary);
        if (asprintf(&self->temporary, "%s/.spill.sluice-%d-%u", self->directory, (int)getpid(), atomic_fetch_add(&counter, 1)) < 0)
                self->temporary = NULL;
        return self->temporary ? sluice_ctx_open(ctx, self->temporary, O_RDWR | O_CREAT | O_EXCL, 0600, named_opened) : -ENOMEM;
}

static void nameless_opened(struct sluice_ctx *ctx, void *self, int64_t fd)
{
        int r;

        if (fd != -EOPNOTSUPP && fd != -EISDIR && fd != -EINVAL) {
                file_opened(ctx, self, fd);
                return;
        }
        r = open_named(ctx, self);
        if (r < 0)
                sluice_ctx_opened(ctx, r);
}

static int open_next_file(struct sluice_ctx *ctx, struct spill_self *self)
{
        if (self->temporary)
                return open_named(ctx, self);
        return sluice_ctx_open(ctx, self->directory, O_RDWR | O_TMPFILE | O_EXCL, 0600, nameless_opened);
}

static char *directory_of(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

static void looked_at(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        const struct spill_config *c = sluice_ctx_config(ctx);
        struct spill_self *self = self_;
        int64_t size;
        int r = fd < 0 ? (int)fd : sluice_ctx_size(ctx, (int)fd, &size);

        if (fd >= 0)
                sluice_ctx_close(ctx, (int)fd);
        if (fd >= 0 && r != -EISDIR) {
                sluice_ctx_note(ctx, "open", "is there already, and is no directory: name one, or what does not exist");
                sluice_ctx_opened(ctx, -EEXIST);
                return;
        }
        if (r == -EISDIR)
                self->directory = strdup(c->path);
        else if (r == -ENOENT)
                self->directory = directory_of(c->path);
        if (self->directory)
                r = open_next_file(ctx, self);
        else if (r == -EISDIR || r == -ENOENT)
                r = -ENOMEM;
        if (r < 0)
                sluice_ctx_opened(ctx, r);
}

static int spill_open(struct sluice_ctx *ctx, void *self_)
{
        const struct spill_config *c = sluice_ctx_config(ctx);
        struct spill_self *self = self_;
        int in[2] = { -1, -1 }, out[2] = { -1, -1 }, r;

        for (int i = 0; i < PARTS; i++)
                self->parts[i].fd = -1;
        r = sluice_ctx_pipe(ctx, in);
        r = r < 0 ? r : sluice_ctx_pipe(ctx, out);
        self->in_read = in[0];
        self->in_write = in[1];
        self->out_read = out[0];
        self->out_write = out[1];
        r = r < 0 ? r : sluice_ctx_nonblock(ctx, self->in_read);
        r = r < 0 ? r : sluice_ctx_nonblock(ctx, self->out_write);
        r = r < 0 ? r : sluice_ctx_open(ctx, c->path, O_PATH, 0, looked_at);
        return r < 0 ? r : -EINPROGRESS;
}

static void spill_close(struct sluice_ctx *ctx, void *self_, int error)
{
        struct spill_self *self = self_;

        (void)ctx;
        (void)error;
        free(self->directory);
        free(self->temporary);
}

/* ---- the end ---- */

static void let_go(struct sluice_ctx *ctx, int *fd)
{
        if (*fd >= 0)
                sluice_ctx_close(ctx, *fd);
        *fd = -1;
}

static void report(struct sluice_ctx *ctx, const char *name, uint64_t value)
{
        char text[24];

        snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
        sluice_ctx_report(ctx, name, text);
}

/* Only when no call holds its pipe any more would what feeds us find it closed. */
static void tell_upstream(struct sluice_ctx *ctx, struct spill_self *self)
{
        if (!self->early || self->told || self->waits_in || self->storing)
                return;
        self->told = 1;
        sluice_ctx_enough(ctx);
}

static void finish(struct sluice_ctx *ctx, struct spill_self *self, int early)
{
        if (self->over)
                return;
        self->over = 1;
        self->early = early && !self->draining;
        let_go(ctx, &self->out_read);
        let_go(ctx, &self->out_write);
        let_go(ctx, &self->in_write);
        let_go(ctx, &self->in_read);
        for (int i = 0; i < PARTS; i++)
                let_go(ctx, &self->parts[i].fd);
        tell_upstream(ctx, self);
        if (self->draining)
                sluice_ctx_drained(ctx, 0);
}

static void fail(struct sluice_ctx *ctx, struct spill_self *self, int error, const char *operation)
{
        sluice_ctx_note(ctx, operation, "%s: %s", operation, strerror(-error));
        sluice_ctx_fail(ctx, error);
        finish(ctx, self, 1);
}

static void fail_at_limit(struct sluice_ctx *ctx, struct spill_self *self)
{
        const struct spill_config *c = sluice_ctx_config(ctx);

        sluice_ctx_note(ctx, "store", "what follows is too slow: %lld bytes of %lld are behind", (long long)self->behind,
                        (long long)c->opt.max_bytes);
        sluice_ctx_fail(ctx, -ENOSPC);
        finish(ctx, self, 1);
}

/* Every way on begins with one of these results. True: there is one. */
static int goes_on(struct sluice_ctx *ctx, struct spill_self *self, int64_t result)
{
        if (self->over)
                tell_upstream(ctx, self);
        else if (result == -ECANCELED)
                finish(ctx, self, 0); /* the run is ended: what follows need not wait for us */
        return !self->over;
}

/* ---- parts ---- */

static int64_t part_bytes(struct sluice_ctx *ctx)
{
        const struct spill_config *c = sluice_ctx_config(ctx);

        return c->opt.max_bytes / PARTS;
}

/* Where to store to; NULL: nowhere now. */
static struct part *room(struct sluice_ctx *ctx, struct spill_self *self)
{
        struct part *p = &self->parts[self->next];

        if (self->full)
                return NULL;
        if (self->store && self->store->stored < part_bytes(ctx))
                return self->store;
        if (p->state != PART_FREE)
                return NULL;
        p->state = PART_USED;
        self->next = (self->next + 1) % PARTS;
        self->store = p;
        if (!self->replay)
                self->replay = p;
        return p;
}

static void emptied(struct sluice_ctx *ctx, void *self_, int64_t result);

/* One at a time: a call's end does not say whose it was. */
static int empty_next(struct sluice_ctx *ctx, struct spill_self *self)
{
        int r = 0;

        for (int i = 0; i < PARTS && !self->emptying; i++) {
                if (self->parts[i].state != PART_DONE)
                        continue;
                self->parts[i].state = PART_EMPTYING;
                r = sluice_ctx_truncate(ctx, self->parts[i].fd, 0, emptied);
                self->emptying = 1;
        }
        return r;
}

static void emptied(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct spill_self *self = self_;

        self->emptying = 0;
        if (!goes_on(ctx, self, result))
                return;
        if (result < 0) {
                fail(ctx, self, (int)result, "truncate");
                return;
        }
        for (int i = 0; i < PARTS; i++)
                if (self->parts[i].state == PART_EMPTYING)
                        self->parts[i] = (struct part){ .fd = self->parts[i].fd };
        self->full = 0;
        pump(ctx, self);
}

/* The oldest part has nothing more to give, and will be given nothing more. */
static void retire(struct spill_self *self)
{
        struct part *p = self->replay;

        if (!p || p->replayed < p->stored || self->replaying || (p == self->store && self->storing))
                return;
        p->state = p->stored ? PART_DONE : PART_FREE; /* the disk was full before its first byte: then it is the newest */
        if (p->stored == 0)
                self->next = (unsigned)(p - self->parts);
        self->replay = p == self->store ? NULL : &self->parts[(size_t)(p - self->parts + 1) % PARTS];
        if (p == self->store)
                self->store = NULL;
}

/* ---- the pump ---- */

/* A wait has ended. One that could not be held to its end would leave us deaf: that is a failure. */
static int waited(struct sluice_ctx *ctx, struct spill_self *self, int64_t result)
{
        if (!goes_on(ctx, self, result))
                return 0;
        if (result < 0)
                fail(ctx, self, (int)result, "wait");
        return result >= 0;
}

static void in_ready(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct spill_self *self = self_;

        self->waits_in = 0;
        if (waited(ctx, self, result))
                pump(ctx, self);
}

static void out_ready(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct spill_self *self = self_;

        self->waits_out = 0;
        if (waited(ctx, self, result))
                pump(ctx, self);
}

static void out_gone(struct sluice_ctx *ctx, void *self, int64_t result)
{
        if (waited(ctx, self, result) && result > 0)
                finish(ctx, self, 1);
}

static void stored(struct sluice_ctx *ctx, void *self_, int64_t n)
{
        const struct spill_config *c = sluice_ctx_config(ctx);
        struct spill_self *self = self_;
        int no_room = n == -ENOSPC || n == -EDQUOT || n == -EFBIG;

        self->storing = 0;
        if (!goes_on(ctx, self, n))
                return;
        if (n > 0) {
                self->store->stored += n;
                self->behind += n;
                self->spilled += (uint64_t)n;
                report(ctx, "spilled", self->spilled);
        } else if (n == 0) {
                self->ended = 1;
        } else if (no_room && !(c->opt.flags & SLUICE_SPILL_FAIL)) {
                self->full = 1;
        } else if (n != -EAGAIN && n != -EINTR) {
                fail(ctx, self, (int)n, "write");
                return;
        }
        pump(ctx, self);
}

static void replayed(struct sluice_ctx *ctx, void *self_, int64_t n)
{
        struct spill_self *self = self_;

        self->replaying = 0;
        if (!goes_on(ctx, self, n))
                return;
        if (n > 0) {
                self->replay->replayed += n;
                self->behind -= n;
        } else if (n == -EPIPE) {
                finish(ctx, self, 1);
                return;
        } else if (n != -EAGAIN && n != -EINTR) {
                fail(ctx, self, n < 0 ? (int)n : -EIO, "read"); /* 0: somebody has truncated it */
                return;
        }
        pump(ctx, self);
}

static int wait_in(struct sluice_ctx *ctx, struct spill_self *self)
{
        int r = self->waits_in ? 0 : sluice_ctx_wait(ctx, self->in_read, POLLIN, 0, in_ready);

        self->waits_in |= r == 0;
        return r;
}

/* From pipe to pipe, while nothing is behind. 1: there may be more at once. */
static int pass(struct sluice_ctx *ctx, struct spill_self *self)
{
        for (int i = 0; i < PASS_ROUNDS; i++) {
                ssize_t n;

                if (self->ended || self->behind > 0 || self->storing || self->replaying)
                        return 0;
                n = sluice_ctx_try_splice(ctx, self->in_read, self->out_write, MOVE_BYTES);
                if (n == 0)
                        self->ended = 1;
                if (n <= 0)
                        return n == -EAGAIN ? 0 : (int)n;
                self->full = self->stuck = 0;
        }
        return 1;
}

/* There is input, and nowhere to put it: the slowest rules. */
static int be_stuck(struct sluice_ctx *ctx, struct spill_self *self)
{
        const struct spill_config *c = sluice_ctx_config(ctx);

        if (c->opt.flags & SLUICE_SPILL_FAIL)
                return -ENOSPC;
        if (!self->stuck)
                report(ctx, "waited", ++self->waited);
        self->stuck = 1;
        return 0;
}

static int store(struct sluice_ctx *ctx, struct spill_self *self)
{
        int ready = self->ended || self->storing || self->waits_in ? 0 : sluice_ctx_is_ready(ctx, self->in_read, POLLIN), r;
        struct part *p;
        int64_t bytes;

        if (self->ended || self->storing || self->waits_in)
                return 0;
        if (!(ready & POLLIN)) {
                self->ended = ready & (POLLHUP | POLLERR) ? 1 : 0;
                return self->ended ? 0 : wait_in(ctx, self);
        }
        p = room(ctx, self);
        if (!p)
                return be_stuck(ctx, self);
        bytes = part_bytes(ctx) - p->stored;
        r = sluice_ctx_splice(ctx, self->in_read, -1, p->fd, p->stored, bytes < MOVE_BYTES ? (size_t)bytes : MOVE_BYTES, stored);
        self->storing = r == 0;
        self->stuck = 0;
        return r;
}

static int replay(struct sluice_ctx *ctx, struct spill_self *self)
{
        struct part *p = self->replay;
        int64_t bytes;
        int r;

        if (self->replaying || self->waits_out || (self->behind == 0 && !self->stuck))
                return 0;
        if (self->behind == 0 || !sluice_ctx_is_ready(ctx, self->out_write, POLLOUT)) {
                r = sluice_ctx_wait(ctx, self->out_write, POLLOUT, 0, out_ready);
                self->waits_out = r == 0;
                return r;
        }
        bytes = p->stored - p->replayed;
        if (bytes == 0) /* it is being stored to, or was full */
                return 0;
        r = sluice_ctx_splice(ctx, p->fd, p->replayed, self->out_write, -1, bytes < MOVE_BYTES ? (size_t)bytes : MOVE_BYTES,
                              replayed);
        self->replaying = r == 0;
        return r;
}

static void pump(struct sluice_ctx *ctx, struct spill_self *self)
{
        int r;

        retire(self);
        r = empty_next(ctx, self);
        r = r < 0 ? r : pass(ctx, self);
        if (r > 0)
                r = wait_in(ctx, self);
        else
                r = r < 0 ? r : store(ctx, self);
        r = r < 0 ? r : replay(ctx, self);
        if (r == -EPIPE)
                finish(ctx, self, 1);
        else if (r == -ECANCELED)
                finish(ctx, self, 0);
        else if (r == -ENOSPC)
                fail_at_limit(ctx, self);
        else if (r < 0)
                fail(ctx, self, r, "move");
        else if (self->ended && self->behind == 0 && !self->storing)
                finish(ctx, self, 0);
}

/* What follows has its end by now; ours would hide that it went away. */
static void spill_started(struct sluice_ctx *ctx, void *self_)
{
        struct spill_self *self = self_;
        int r;

        let_go(ctx, &self->out_read);
        r = wait_in(ctx, self);
        r = r < 0 ? r : sluice_ctx_wait(ctx, self->out_write, 0, 0, out_gone);
        if (r == -ECANCELED)
                finish(ctx, self, 0);
        else if (r < 0)
                fail(ctx, self, r, "wait");
}

static int spill_drained(struct sluice_ctx *ctx, void *self_)
{
        struct spill_self *self = self_;

        if (self->over)
                return 0;
        self->draining = 1;
        let_go(ctx, &self->in_write); /* the last writer: the end is met behind what is there */
        return -EINPROGRESS;
}

/* ---- sides ---- */

static int spill_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)self;
        (void)dir;
        if (!sluice_ctx_linked(ctx, SLUICE_INPUT) || !sluice_ctx_linked(ctx, SLUICE_OUTPUT)) {
                sluice_ctx_note(ctx, "describe", "stands between two stages");
                return -ENOTSUP;
        }
        ret->io = SLUICE_IO_FD | SLUICE_IO_LEND;
        ret->kind = SLUICE_KIND_PIPE;
        return 0;
}

static int spill_fd(struct sluice_ctx *ctx, void *self_, enum sluice_direction dir)
{
        const struct spill_self *self = self_;

        (void)ctx;
        return dir == SLUICE_INPUT ? self->in_write : self->out_read;
}

static const struct sluice_stage_ops spill_ops = {
        .size = sizeof(spill_ops),
        .name = "spill",
        .instance_size = sizeof(struct spill_self),
        .config_copy = config_copy,
        .config_free = config_free,
        .describe = spill_describe,
        .open = spill_open,
        .started = spill_started,
        .fd = spill_fd,
        .drained = spill_drained,
        .close = spill_close,
        .traits = SLUICE_ELASTIC,
};

int sluice_add_spill(struct sluice_pipeline *p, const char *path, const struct sluice_spill_options *opt)
{
        struct spill_config c = { .path = (char *)(uintptr_t)path };
        char *name;
        int r;

        if (!path || !*path)
                return -EINVAL;
        if (opt && (opt->size != sizeof(*opt) || opt->flags & ~(unsigned)SLUICE_SPILL_FAIL ||
                    (opt->max_bytes != 0 && opt->max_bytes < MAX_LEAST)))
                return -EINVAL;
        if (opt)
                c.opt = *opt;
        if (c.opt.max_bytes == 0)
                c.opt.max_bytes = MAX_DEFAULT;
        if (asprintf(&name, "spill:%s", path) < 0)
                return -ENOMEM;
        r = sluice_pipeline_add(p, &spill_ops, &c, name);
        free(name);
        return r;
}

/* ---- by name ---- */

struct spill_text {
        int64_t max;
        int full;
};

static const char *const full_names[] = { "block", "fail", NULL };
static const struct text_option spill_options[] = {
        { "max", TEXT_BYTES, offsetof(struct spill_text, max), 0, NULL },
        { "full", TEXT_CHOICE, offsetof(struct spill_text, full), 0, full_names },
};

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        struct sluice_spill_options opt = { .size = sizeof(opt) };
        struct spill_text text = { 0 };
        int r = text_options(spill_options, sizeof(spill_options) / sizeof(spill_options[0]), options, options_nr, &text, e);

        if (r < 0)
                return r;
        if (!*argument)
                return text_fail(e, 0, "spill: needs a directory, or a path in one");
        for (size_t i = 0; i < options_nr; i++)
                if (strcmp(options[i].name, "max") == 0 && text.max < MAX_LEAST)
                        return text_fail(e, (int)i + 1, "max= is at least 64k");
        opt.max_bytes = text.max;
        opt.flags = text.full ? SLUICE_SPILL_FAIL : 0;
        return sluice_add_spill(p, argument, &opt);
}

const struct text_type text_spill = { { "spill", "spill:PATH[,max=SIZE][,full=block|fail]",
                                        "takes all at once; what is not taken from it waits in files, up to SIZE" },
                                      add };
