/* stages/tail.c: a file that grows, followed to wherever its end is. The engine moves its bytes as those of any file; this
 * stage is asked at each end that is met whether it is the last.
 *
 *      end met --> names, then size --larger than what was read--> read on
 *                                   --smaller: truncated---------> read from 0
 *                                   --the same, no name left------> over   (until=deleted)
 *                                   --the same, idle for too long-> over   (until=idle)
 *                                   --the same--> WAITING --inotify, or the time is up--> ask again
 *
 * No growth is missed: the watch is older than the first look at the size, and its events are taken away before each look,
 * so that what comes after the look is an event again. The names are looked at before the size: whoever writes and then
 * removes the file has his bytes read.
 *
 * A process is never lent the file: it would take the end of the moment for the last. Calls sluice_ctx_... only. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>

#include "text.h"

enum { MS_NS = 1000000, S_MS = 1000, EVENT_READS = 16 };

struct tail_config {
        char *path;
        struct sluice_tail_options opt;
};

struct tail_self {
        int fd, watch;
        int waiting;
        int64_t start; /* the first byte that is wanted */
        int64_t quiet_since_ms;
        int64_t quiet_at; /* the size then; -1: it was never quiet */
        unsigned truncated;
};

static void config_free(void *config)
{
        struct tail_config *c = config;

        free(c->path);
        free(c);
}

static int config_copy(void **ret, const void *config)
{
        const struct tail_config *from = config;
        struct tail_config *c = malloc(sizeof(*c));

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

static int tail_describe(struct sluice_ctx *ctx, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        if (dir == SLUICE_INPUT)
                return 0;
        (void)ctx;
        ret->io = SLUICE_IO_FD;
        ret->kind = SLUICE_KIND_FILE;
        ret->offset = self ? ((struct tail_self *)self)->start : 0;
        ret->note = "it grows: a process would take the end of the moment for the last";
        return 0;
}

/* ---- opening ---- */

static int start_watching(struct sluice_ctx *ctx, struct tail_self *self)
{
        self->watch = sluice_ctx_watch(ctx, self->fd, IN_MODIFY | IN_ATTRIB);
        if (self->watch == -EMFILE)
                sluice_ctx_note(ctx, "inotify", "no inotify instance left (fs.inotify.max_user_instances)");
        else if (self->watch == -ENOSPC)
                sluice_ctx_note(ctx, "inotify", "no inotify watch left (fs.inotify.max_user_watches)");
        else if (self->watch < 0)
                sluice_ctx_note(ctx, "inotify", "inotify: %s", strerror(-self->watch));
        return self->watch < 0 ? self->watch : 0;
}

static void opened(struct sluice_ctx *ctx, void *self_, int64_t fd)
{
        const struct tail_config *c = sluice_ctx_config(ctx);
        struct tail_self *self = self_;
        int64_t size = 0;
        int r;

        self->fd = (int)fd;
        r = fd < 0 ? (int)fd : start_watching(ctx, self);
        r = r < 0 ? r : sluice_ctx_size(ctx, self->fd, &size);
        if (c->opt.flags & SLUICE_TAIL_END)
                self->start = size;
        sluice_ctx_opened(ctx, r);
}

/* Opening a FIFO would wait for its writer, only to be refused then. */
static void looked_at(struct sluice_ctx *ctx, void *self, int64_t fd)
{
        const struct tail_config *c = sluice_ctx_config(ctx);
        int64_t size;
        int r = fd < 0 ? (int)fd : sluice_ctx_size(ctx, (int)fd, &size);

        (void)self;
        if (fd >= 0)
                sluice_ctx_close(ctx, (int)fd);
        if (r == -ESPIPE)
                sluice_ctx_note(ctx, "open", "follows regular files, and this is none: file: reads it to its end");
        if (r == 0)
                r = sluice_ctx_open(ctx, c->path, O_RDONLY, 0, opened);
        if (r < 0)
                sluice_ctx_opened(ctx, r);
}

static int tail_open(struct sluice_ctx *ctx, void *self_)
{
        const struct tail_config *c = sluice_ctx_config(ctx);
        struct tail_self *self = self_;
        int r;

        self->fd = self->watch = -1;
        self->quiet_at = -1;
        r = sluice_ctx_open(ctx, c->path, O_PATH, 0, looked_at);
        return r < 0 ? r : -EINPROGRESS;
}

static int tail_fd(struct sluice_ctx *ctx, void *self, enum sluice_direction dir)
{
        (void)ctx;
        (void)dir;
        return ((struct tail_self *)self)->fd;
}

static void tail_close(struct sluice_ctx *ctx, void *self, int error)
{
        (void)ctx;
        (void)self;
        (void)error;
}

/* ---- at the end ---- */

static int64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * S_MS + t.tv_nsec / MS_NS;
}

/* True: the watch is over. The kernel ends it when the last name goes that is not the one it was opened by. */
static int says_over(const char *events, ssize_t bytes)
{
        const struct inotify_event *e;

        for (ssize_t at = 0; at < bytes; at += (ssize_t)(sizeof(*e) + e->len)) {
                e = (const void *)(events + at);
                if (e->mask & IN_IGNORED)
                        return 1;
        }
        return 0;
}

static int forget_events(struct sluice_ctx *ctx, const struct tail_self *self)
{
        char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        ssize_t n = 1;
        int over = 0;

        for (int i = 0; i < EVENT_READS && n > 0; i++) {
                n = sluice_ctx_try_read(ctx, self->watch, events, sizeof(events));
                over |= says_over(events, n);
        }
        return over;
}

static int watch_again(struct sluice_ctx *ctx, struct tail_self *self)
{
        sluice_ctx_close(ctx, self->watch);
        return start_watching(ctx, self);
}

static void report_truncated(struct sluice_ctx *ctx, struct tail_self *self)
{
        char text[16];

        snprintf(text, sizeof(text), "%u", ++self->truncated);
        sluice_ctx_report(ctx, "truncated", text);
}

static void woken(struct sluice_ctx *ctx, void *self_, int64_t result)
{
        struct tail_self *self = self_;

        self->waiting = 0;
        if (result != -ECANCELED)
                sluice_ctx_ready(ctx);
}

/* How long it may still be idle; 0: for ever; < 0: it was for long enough. */
static int64_t patience_ms(struct tail_self *self, const struct tail_config *c, int64_t size)
{
        int64_t left;

        if (self->quiet_at != size) {
                self->quiet_at = size;
                self->quiet_since_ms = now_ms();
        }
        if (c->opt.idle_ms == 0)
                return 0;
        left = c->opt.idle_ms - (now_ms() - self->quiet_since_ms);
        return left > 0 ? left : -1;
}

static int wait_for_growth(struct sluice_ctx *ctx, struct tail_self *self, int64_t timeout_ms)
{
        int r = sluice_ctx_wait(ctx, self->watch, POLLIN, timeout_ms, woken);

        self->waiting = r == 0;
        return r < 0 ? r : -EAGAIN;
}

static int tail_more(struct sluice_ctx *ctx, void *self_, int64_t *offset)
{
        const struct tail_config *c = sluice_ctx_config(ctx);
        struct tail_self *self = self_;
        int64_t size, left_ms;
        int names, r;

        if (self->waiting)
                return -EAGAIN;
        r = forget_events(ctx, self) ? watch_again(ctx, self) : 0;
        if (r < 0)
                return r;
        names = sluice_ctx_names(ctx, self->fd);
        r = sluice_ctx_size(ctx, self->fd, &size);
        if (r < 0 || names < 0)
                return r < 0 ? r : names;
        if (size < *offset) {
                report_truncated(ctx, self);
                *offset = 0;
                self->quiet_at = -1;
        }
        if (size > *offset)
                return 1;
        left_ms = patience_ms(self, c, size);
        if (left_ms < 0 || (names == 0 && c->opt.flags & SLUICE_TAIL_UNTIL_DELETED))
                return 0;
        return wait_for_growth(ctx, self, left_ms);
}

static const struct sluice_stage_ops tail_ops = {
        .size = sizeof(tail_ops),
        .name = "tail",
        .instance_size = sizeof(struct tail_self),
        .config_copy = config_copy,
        .config_free = config_free,
        .describe = tail_describe,
        .open = tail_open,
        .fd = tail_fd,
        .more = tail_more,
        .close = tail_close,
};

int sluice_add_tail(struct sluice_pipeline *p, const char *path, const struct sluice_tail_options *opt)
{
        struct tail_config c = { .path = (char *)(uintptr_t)path };
        char *name;
        int r;

        if (!path || !*path)
                return -EINVAL;
        if (opt && (opt->size != sizeof(*opt) || opt->flags & ~(unsigned)(SLUICE_TAIL_END | SLUICE_TAIL_UNTIL_DELETED) ||
                    opt->idle_ms < 0))
                return -EINVAL;
        if (opt)
                c.opt = *opt;
        if (asprintf(&name, "tail:%s", path) < 0)
                return -ENOMEM;
        r = sluice_pipeline_add(p, &tail_ops, &c, name);
        free(name);
        return r;
}

/* ---- by name ---- */

struct tail_text {
        int from;
        const char *until;
};

static const char *const from_names[] = { "start", "end", NULL };
static const struct text_option tail_options[] = {
        { "from", TEXT_CHOICE, offsetof(struct tail_text, from), 0, from_names },
        { "until", TEXT_STRING, offsetof(struct tail_text, until), 0, NULL },
};

static int read_until(const char *text, struct sluice_tail_options *ret)
{
        if (strcmp(text, "deleted") == 0)
                ret->flags |= SLUICE_TAIL_UNTIL_DELETED;
        else if (strncmp(text, "idle:", 5) == 0)
                return sluice_parse_duration(text + 5, &ret->idle_ms) < 0 || ret->idle_ms == 0 ? -EINVAL : 0;
        else if (strcmp(text, "forever") != 0)
                return -EINVAL;
        return 0;
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        struct sluice_tail_options opt = { .size = sizeof(opt) };
        struct tail_text text = { 0 };
        int r = text_options(tail_options, sizeof(tail_options) / sizeof(tail_options[0]), options, options_nr, &text, e);

        if (r < 0)
                return r;
        if (!*argument)
                return text_fail(e, 0, "tail: needs a path");
        opt.flags = text.from ? SLUICE_TAIL_END : 0;
        for (size_t i = 0; i < options_nr; i++)
                if (strcmp(options[i].name, "until") == 0 && read_until(options[i].value, &opt) < 0)
                        return text_fail(e, (int)i + 1, "until= is forever, deleted or idle:TIME (idle:5s), not '%.40s'",
                                         options[i].value);
        return sluice_add_tail(p, argument, &opt);
}

const struct text_type text_tail = {
        { "tail", "tail:PATH[,from=start|end][,until=forever|deleted|idle:TIME]", "a file that grows, followed at its end" }, add
};
