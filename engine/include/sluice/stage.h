/* sluice/stage.h: for people who write stages.
 *
 * A stage is a table of hooks and an instance that the engine allocates. It describes its sides; the engine negotiates
 * how each link moves its bytes and, for most links, moves them without asking the stage again.
 *
 * All hooks are called on the loop's thread, one at a time, never from inside a call that the stage makes. No hook may
 * block: what may (opening, resolving, connecting, fsync, rename) is a sluice_ctx_... call, which returns at once and
 * ends in a callback. A hook that is named Required must be set; NULL means "nothing to do" for an Optional one.
 *
 * Errors are negative errno values; errno itself means nothing. */
#ifndef SLUICE_STAGE_H
#define SLUICE_STAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <sluice/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sluice_plan;
struct sluice_binding;
struct sluice_ctx; /* one stage of one run, as the engine sees it */
struct sluice_pipeline;

/* What a side can work with: a mask of what it offers, not of what it wants. */
enum sluice_io {
        SLUICE_IO_FD = 1 << 0,      /* it has an fd whose bytes the engine may splice */
        SLUICE_IO_LEND = 1 << 1,    /* ... an fd that a process may inherit: never one with a range, limit or framing */
        SLUICE_IO_INHERIT = 1 << 2, /* it is a process: it inherits whatever fd it is handed */
        SLUICE_IO_MEM = 1 << 3,     /* it works on memory: process(); with INHERIT, run() on a thread: buffers are handed over */
        SLUICE_IO_COPY = 1 << 4,    /* it has an fd that can only be read or written: a terminal, O_APPEND, a snapshot */
        SLUICE_IO_BORROW = 1 << 5,  /* it has an fd that a thread of ours may read or write itself, whoever may inherit it */
};

/* What is behind a side, for explanations and for the choice of a driver. */
enum sluice_kind {
        SLUICE_KIND_UNKNOWN,
        SLUICE_KIND_FILE,
        SLUICE_KIND_PIPE,
        SLUICE_KIND_SOCKET,
        SLUICE_KIND_TTY,
        SLUICE_KIND_DEVICE,
        SLUICE_KIND_PROCESS,
        SLUICE_KIND_FUNCTION,
        SLUICE_KIND_OTHER,
};

enum sluice_direction { SLUICE_INPUT, SLUICE_OUTPUT };

/* One side, described. The engine zeroes it and sets `size` before describe(). */
struct sluice_side {
        size_t size;
        uint32_t io;      /* enum sluice_io; 0: this stage has no such side */
        uint32_t kind;    /* enum sluice_kind */
        int64_t offset;   /* where the bytes are in the fd; -1: at its own position */
        int64_t length;   /* how many; -1: until its end */
        int exact;        /* an end before `length` is -ESTALE */
        const char *note; /* why the io mask is smaller than one would expect; static storage; or NULL */
};

/* Memory handed to process(). */
struct sluice_buf {
        size_t size;
        uint8_t *data;
        size_t len;      /* in: bytes to read. out: set by the stage, bytes written */
        size_t cap;      /* out: room */
        size_t consumed; /* in: set by the stage */
        int end;         /* in: no more follows. out: set by the stage, no more follows */
        int flush;       /* in: nothing more is at hand; what was held back is to be given now, and is asked for until a call
                          * gives nothing; then the flush goes on downstream. out: set by the stage, begins one here */
};

/* process() returns it when the stage is over. Before its input has ended that means that it wants no more: the pipeline
 * upstream ends, and the broken pipes that it causes there are no failures. */
#define SLUICE_END 1
/* The same, also when the input has ended by then: what upstream says of broken pipes is excused. */
#define SLUICE_FINISH_EARLY 2

struct sluice_env;

/* Where a command's stderr goes. */
enum sluice_stderr {
        SLUICE_STDERR_DEFAULT, /* as the pipeline's flags say: kept, forwarded or inherited */
        SLUICE_STDERR_KEEP,    /* the last `stderr_bytes` are kept for the failure */
        SLUICE_STDERR_PASS,    /* ... and all of it goes on to this process's stderr */
        SLUICE_STDERR_OURS,    /* it is this process's stderr itself */
        SLUICE_STDERR_FILE,    /* `stderr_path`, made or truncated (0666 less the umask) */
        SLUICE_STDERR_APPEND,  /* `stderr_path`, at its end */
        SLUICE_STDERR_NULL,    /* discarded */
};
enum sluice_command_flags {
        SLUICE_COMMAND_UMASK = 1 << 0,          /* `umask` counts, 0 included */
        SLUICE_COMMAND_OBSERVE_MEMORY = 1 << 1, /* its peak is in the result and an event */
};
/* An fd that the command has under a number of its own. */
struct sluice_command_fd {
        int fd; /* the host's: a private duplicate is used, taken when the run opens */
        int as; /* >= 3 */
};
struct sluice_command_rlimit {
        int resource; /* RLIMIT_... */
        uint64_t soft, hard;
};
/* How a command runs. All of it is checked before anything starts. Copied. */
struct sluice_command_options {
        size_t size;
        char *const *env;      /* replaces the host's environment as it is when the run starts; NULL: inherited */
        const char *directory; /* NULL: the pipeline's, else the host's. A relative argv[0] with a slash is relative to it */
        unsigned flags;        /* enum sluice_command_flags */
        const struct sluice_env *changes; /* after the pipeline's */
        size_t changes_nr;
        mode_t umask;
        int nice;   /* added to the host's; below 0 needs CAP_SYS_NICE */
        int ioprio; /* as ioprio_set(2) takes it; 0: unchanged */
        const struct sluice_command_fd *fds;
        size_t fds_nr; /* 32 at most */
        const struct sluice_command_rlimit *rlimits;
        size_t rlimits_nr;  /* 16 at most */
        const char *user;   /* name or number; with its groups. Needs CAP_SETUID and CAP_SETGID */
        const char *group;  /* name or number; NULL: the user's */
        const char *cgroup; /* an existing cgroup v2 directory, which the command starts in instead of the run's own */
        enum sluice_stderr stderr_to;
        const char *stderr_path;
        size_t stderr_bytes;   /* 0: 4096; 1 MiB at most */
        uint64_t memory_bytes; /* of it and all its descendants; beyond it they are killed. 0: no limit */
};

/* A command to start, filled in by command(). All memory stays the stage's until close(). */
struct sluice_command {
        size_t size;
        const char *path; /* found, as sluice_ctx_prepare() gives it */
        char *const *argv;
        const struct sluice_command_options *options; /* the ones that were prepared; NULL: none */

        /* Not a program but a function, in a process of its own: what it returns is the stage's answer, as run()'s is. With
         * `symbol`: that of the object which sluice_ctx_prepare_function() opened, called in sluice-worker with `argument`
         * (NULL: "") and its stream. With `forked`: the table's run(), in a fork of this process, which must have no other
         * thread by then (-ENOTSUP). path and argv are not looked at. */
        const char *symbol, *argument;
        int forked;
};

/* What a function on a thread of its own reads and writes. */
struct sluice_stream;

/* What is special about a stage. */
enum sluice_traits {
        SLUICE_MANY_INPUTS = 1 << 0,      /* it may be linked to several times */
        SLUICE_MANY_OUTPUTS = 1 << 1,     /* several stages may be linked behind it: each gets every byte it gives */
        SLUICE_OUTPUTS_MAY_FAIL = 1 << 2, /* ... and what fails behind one of them is reported, and the others go on */
        SLUICE_ORDERED = 1 << 3,          /* it reads its inputs one after the other: where that would keep waiting what the
                                           * others need (a stage with several outputs above), build() refuses (-EDEADLK) */
        SLUICE_ELASTIC = 1 << 4,          /* it takes its input however slow what follows it is */
        SLUICE_OVERFLOW = 1 << 5,         /* process() is also called when what follows takes nothing: out->cap is 0 then, and
                                           * it need not consume */
        SLUICE_IN_TURNS = 1 << 6,         /* with ORDERED: it comes back to each input before it has ended */
};

struct sluice_stage_ops {
        size_t size;          /* sizeof(struct sluice_stage_ops) */
        const char *name;     /* "file", "tcp": the kind of stage; a run's failures name it */
        size_t instance_size; /* the engine allocates `self`, zeroed */

        /* Optional: the configuration given to sluice_pipeline_add() is so many bytes that point to nothing: copied. */
        size_t config_size;
        /* Optional, instead. Copies the configuration, so that the caller's may go; config_free() frees the copy. Without any of
         * these, the configuration must outlive the pipeline. Called on add; any thread.
         * Errors: -ENOMEM, -EINVAL for a configuration that can never work. */
        int (*config_copy)(void **ret, const void *config);
        void (*config_free)(void *config);

        /* Required. Fills what the side can do. Called from build() with the configuration alone (self is NULL, nothing
         * is open) and again after open(). The second answer may only be smaller.
         * Errors: -ENOTSUP with a note: this stage cannot stand here. */
        int (*describe)(struct sluice_ctx *, void *self, enum sluice_direction, struct sluice_side *ret);

        /* Required. Opens everything but destroys nothing: a file is not truncated yet, since another stage may still
         * fail to open. 0, or -EINPROGRESS and later sluice_ctx_opened(). */
        int (*open)(struct sluice_ctx *, void *self);

        /* Optional. Every stage is open and no byte has moved: now the old contents may go.
         * 0, or -EINPROGRESS and later sluice_ctx_committed(). */
        int (*commit)(struct sluice_ctx *, void *self);

        /* Optional. Every command runs, and links begin to move: whoever was lent an fd of the stage has it. */
        void (*started)(struct sluice_ctx *, void *self);

        /* Required with IO_FD, IO_LEND or IO_COPY: lends the fd of a side. It stays the stage's. */
        int (*fd)(struct sluice_ctx *, void *self, enum sluice_direction);

        /* Required with IO_INHERIT: what to start. Called once, after every stage was opened. */
        int (*command)(struct sluice_ctx *, void *self, struct sluice_command *ret);

        /* Required with IO_MEM when there is no run(). Reads `in` (NULL for a source), writes `out` (NULL for a sink), sets the counts.
         * Called again while it makes progress; a call that consumes nothing and produces nothing, with bytes and room
         * at hand, fails the stage with -EPROTO. 0, SLUICE_END, SLUICE_FINISH_EARLY, -EAGAIN (nothing was consumed or
         * produced: it is called again after sluice_ctx_ready()), or an error, with which the stage ends: upstream meets
         * a broken pipe, downstream the end. */
        int (*process)(struct sluice_ctx *, void *self, struct sluice_buf *in, struct sluice_buf *out);

        /* Optional. All that comes from upstream has been delivered to the fd: flush, fsync, shut down, rename. Of a sink it
         * is not called when something upstream failed.
         * 0, or -EINPROGRESS and later sluice_ctx_drained(). Errors are the stage's failure. */
        int (*drained)(struct sluice_ctx *, void *self);

        /* Required. Exactly once for every stage whose open() was called, after the last completion of its calls and
         * links. `error` is 0 when the run succeeded. sluice_ctx_unlink() may still be called; it has no callback. */
        void (*close)(struct sluice_ctx *, void *self, int error);

        /* Required with IO_INHERIT when there is no command(): the stage's work, on a thread of its own, where it may
         * block in sluice_read() and sluice_write(). It is given fds as a process is: a file, a pipe or a socket itself
         * where that can be; with IO_MEM too, other functions hand it their buffers. It must not call sluice_ctx_...().
         * 0, SLUICE_FINISH_EARLY, or a negative errno: its failure (below -4095: -EPROTO). */
        int (*run)(void *self, const void *config, struct sluice_stream *io);

        /* Required for a stage with several outputs that has fds: lends that of output `index` (in the order in which they
         * were linked). Its fd() is asked for the input only. A stage that has both fds and process() may work either way,
         * and does so on memory when a neighbour has nothing else: sluice_ctx_memory(). */
        int (*output)(struct sluice_ctx *, void *self, unsigned index);
        unsigned traits; /* enum sluice_traits */

        /* Optional. How many bytes of its input and output the stage may hold at most in memory of its own, for the sum that
         * build() makes. Any thread. */
        uint64_t (*holds)(const void *config);
        /* Optional. Of which plan it may have how many runs at once by sluice_ctx_run(): their buffers are part of that sum.
         * Required for sluice_ctx_run(). */
        unsigned (*runs)(const void *config, const struct sluice_plan **ret);

        /* Required for a source whose fd may grow: its end was met at *offset (-1: at its own position) and all before it
         * is delivered. 1: there is more, from *offset, which may be another; 0: that was the end; -EAGAIN: not yet:
         * sluice_ctx_ready() follows, and it is asked again (it may be earlier, and must not begin to wait twice); or its
         * failure. When nobody wants more, the calls that it waits in are cancelled. */
        int (*more)(struct sluice_ctx *, void *self, int64_t *offset);
};

/* ---- calls for run(): from its thread only ---- */

/* At most `bytes`; waits for the first one. 0: the end. -ECANCELED: the run is being ended; everything answers so from then
 * on. Or the fd's error. A stage without an input reads the end. */
ssize_t sluice_read(struct sluice_stream *io, void *data, size_t bytes);
/* All of it; returns `bytes`. Whoever reads it can have it from then on, or half a millisecond later at most. -EPIPE: nobody
 * reads any more (no signal is raised); -ECANCELED; -ENOMEM; or the fd's error. A stage without an output writes to nowhere. */
ssize_t sluice_write(struct sluice_stream *io, const void *data, size_t bytes);
/* One line with its newline, if the input did not end without; NUL-terminated, so of at most cap - 1 bytes. Its length; 0:
 * the end. -EMSGSIZE: it is longer; sluice_line_number() says which it is, and reading on begins with its rest. May be mixed
 * with sluice_read(). */
ssize_t sluice_readline(struct sluice_stream *io, char *line, size_t cap);
/* What comes next, without reading it: *data is the stream's, at least one byte, and is not to be changed; from a function it
 * is the buffer that was written there. Waits for it. Its length; 0: the end. Errors as sluice_read(). It is valid until as
 * much was released or passed on, or until the next call that reads; what was not released comes next again. */
ssize_t sluice_acquire(struct sluice_stream *io, const void **data);
/* The first `bytes` of what was acquired were read; the rest stays acquired. -EINVAL: more than there are. */
int sluice_release(struct sluice_stream *io, size_t bytes);
/* Room to write into, for sluice_put(): waits until somebody can take it. Its length, which is 64 KiB at least. It is valid
 * until the next call that writes. Errors as sluice_write(). */
ssize_t sluice_reserve(struct sluice_stream *io, void **data);
/* The first `bytes` of what was reserved go on, to a function without a copy. 0. -EINVAL: more than there are; else as
 * sluice_write(). */
int sluice_put(struct sluice_stream *io, size_t bytes);
/* The first `bytes` of what was acquired go on as they are, and are released: from function to function by reference (under
 * 1 KiB by a copy), else written. 0. -EINVAL: more than there are; else as sluice_write(), and nothing was released. */
int sluice_pass(struct sluice_stream *io, size_t bytes);
/* Functions downstream are asked to give out what they hold of what was written so far; one on a thread passes this on when
 * it reads next. 0. Nothing to do for an fd. Errors as sluice_write(). */
int sluice_flush(struct sluice_stream *io);
/* Of the line that was read last, or is too long; from 1. */
uint64_t sluice_line_number(const struct sluice_stream *io);
/* Whether the run is being ended: for work that neither reads nor writes for long. The run waits for the thread. */
int sluice_cancelled(const struct sluice_stream *io);

/* Whether a fork of this process is whole: 0, or -ENOTSUP: it has another thread than the caller's. Any thread. */
int sluice_may_fork(void);

/* ---- plug-ins ---- */

/* What a shared object says of itself, in a symbol named sluice_plugin. Its stage's configuration, as config_copy() gets it
 * (here a required hook), is its argument text (const char *, "" for none). */
enum { SLUICE_PLUGIN_ABI = 1 };
struct sluice_plugin {
        size_t size; /* sizeof(struct sluice_plugin) */
        size_t abi;  /* SLUICE_PLUGIN_ABI */
        const struct sluice_stage_ops *ops;
};
#define SLUICE_PLUGIN(stage_ops)                                                                                                   \
        __attribute__((visibility("default"))) extern const struct sluice_plugin sluice_plugin;                                    \
        const struct sluice_plugin sluice_plugin = { sizeof(struct sluice_plugin), SLUICE_PLUGIN_ABI, &(stage_ops) }

/* ---- calls for hooks. All: loop's thread; `self` and the configuration come back in callbacks ---- */

/* result: >= 0 or a negative errno; -ECANCELED when the run ends first, -ETIMEDOUT after timeout_ms. */
typedef void sluice_then_fn(struct sluice_ctx *, void *self, int64_t result);

/* The (copied) configuration. Also valid in describe() before open. */
const void *sluice_ctx_config(const struct sluice_ctx *);
/* Whether a link is attached to that side: a stage may be a source, a sink or both. */
int sluice_ctx_linked(const struct sluice_ctx *, enum sluice_direction);

/* The asynchronous answers to open(), commit() and drained(): 0 or a negative errno. Once each. */
void sluice_ctx_opened(struct sluice_ctx *, int result);
void sluice_ctx_committed(struct sluice_ctx *, int result);
void sluice_ctx_drained(struct sluice_ctx *, int result);

/* For process() of a stage with several inputs: which of them `in` is, in the order in which they were linked, from 0. */
unsigned sluice_ctx_input(const struct sluice_ctx *);
/* ... how many there are. */
unsigned sluice_ctx_inputs(const struct sluice_ctx *);
/* ... and from which alone it wants to be given something from now on; -1: from any, in turn (as in the beginning). */
void sluice_ctx_want(struct sluice_ctx *, int input);
/* Of a stage that could work on fds or on memory: 1: on memory, it needs no fds. Known from build() on. */
int sluice_ctx_memory(const struct sluice_ctx *);

/* After process() or more() said -EAGAIN, or whenever there is something to give: it is called again, also without input (in->len 0), as
 * long as it makes progress. From a hook or a callback, of this stage or another of the same loop; never calls it itself. */
void sluice_ctx_ready(struct sluice_ctx *);
/* From process() only, once in a call that leaves out->len at 0: passes the first `bytes` of `in` on as they are, without a
 * copy: the buffer itself goes to the next stage. They count as consumed. -EINVAL: more than there are, or no input or no
 * output; -EBUSY: a second time. */
int sluice_forward(struct sluice_ctx *, size_t bytes);
/* Says something about the run that belongs into its report ("xxh3" -> "2f0c..."): in the stage's result, on the command's
 * stderr and in its JSON. `name` is static text, `value` is copied. A name that was used is replaced. -ENOSPC: more than
 * SLUICE_REPORTS_MAX. */
enum { SLUICE_REPORTS_MAX = 8 };
int sluice_ctx_report(struct sluice_ctx *, const char *name, const char *value);

/* Says in words what failed, for the failure that a following error return becomes: `operation` is static text
 * ("connect"), the rest is printf's. The last note before the error counts. */
void sluice_ctx_note(struct sluice_ctx *, const char *operation, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Each starts one call and returns 0 (its callback comes, once, never from inside) or -ENOMEM (it does not).
 * Strings and addresses are copied. An fd made by a call belongs to the engine, which closes it after close(), or
 * when sluice_ctx_close() is called, but never while an operation names it. */
int sluice_ctx_open(struct sluice_ctx *, const char *path, int flags, mode_t mode, sluice_then_fn *); /* -> fd */
int sluice_ctx_truncate(struct sluice_ctx *, int fd, int64_t length, sluice_then_fn *);
int sluice_ctx_sync(struct sluice_ctx *, int fd, int data_only, sluice_then_fn *);
int sluice_ctx_flush(struct sluice_ctx *, int fd, sluice_then_fn *);                  /* what close() would say of it */
int sluice_ctx_link(struct sluice_ctx *, int fd, const char *path, sluice_then_fn *); /* names an O_TMPFILE file */
int sluice_ctx_rename(struct sluice_ctx *, const char *from, const char *to, sluice_then_fn *);
int sluice_ctx_unlink(struct sluice_ctx *, const char *path, sluice_then_fn *); /* NULL callback allowed */
/* For a stage with command(): opens and looks up all that `o` (NULL: nothing special) names, makes its environment, and
 * finds `command` in that environment's PATH. `o` must stay until close(). Errors: -ENOENT, -EACCES, ..., noted. */
int sluice_ctx_prepare(struct sluice_ctx *, const char *command, const struct sluice_command_options *o, sluice_then_fn *);
/* The same for a function. `object` is opened, as the host finds it, and must define the function `symbol`: -ENOENT (also: it
 * does not), -ENOEXEC (it is no shared object of this machine), noted; both stay until close(). NULL and NULL: a forked one.
 * 1: done, there will be no callback. */
int sluice_ctx_prepare_function(struct sluice_ctx *, const char *object, const char *symbol, const struct sluice_command_options *o,
                                sluice_then_fn *);
int sluice_ctx_resolve(struct sluice_ctx *, const char *host, const char *port, int flags, sluice_then_fn *); /* -> count */
int sluice_ctx_connect(struct sluice_ctx *, int fd, const struct sockaddr *, socklen_t, int64_t timeout_ms, sluice_then_fn *);
int sluice_ctx_accept(struct sluice_ctx *, int fd, int64_t timeout_ms, sluice_then_fn *); /* -> fd */
int sluice_ctx_sleep(struct sluice_ctx *, int64_t timeout_ms, sluice_then_fn *);          /* -> 0, when it has passed */
int sluice_ctx_wait(struct sluice_ctx *, int fd, unsigned events, int64_t timeout_ms, sluice_then_fn *); /* -> poll's revents */

/* Starts a run of `plan` as a part of this stage's work: on the same loop, with the options of this run, ended when this run is
 * ended or the stage is over. `then` comes once, when nothing of the part is left; what failed in it is noted by then. Bindings
 * as for sluice_plan_start(). -EINVAL, -ENOMEM; -ECANCELED: the run is being ended. */
typedef void sluice_part_fn(struct sluice_ctx *, void *self, void *arg, int result);
int sluice_ctx_run(struct sluice_ctx *, struct sluice_plan *plan, const struct sluice_binding *b, size_t n, sluice_part_fn *then,
                   void *arg);

/* What sluice_ctx_prepare() and sluice_ctx_resolve() found; valid until the next of the kind or close(). */
const char *sluice_ctx_found(const struct sluice_ctx *);
int sluice_ctx_address(const struct sluice_ctx *, int index, const struct sockaddr **ret, socklen_t *ret_bytes);

/* Immediate, non-blocking. */
int sluice_ctx_socket(struct sluice_ctx *, int family, int type); /* fd; O_NONBLOCK once connected */
int sluice_ctx_listen(struct sluice_ctx *, int fd, const struct sockaddr *, socklen_t, int backlog);
int sluice_ctx_option(struct sluice_ctx *, int fd, int level, int name, int value); /* SO_LINGER: seconds, or -1 for off */
ssize_t sluice_ctx_try_read(struct sluice_ctx *, int fd, void *data, size_t bytes); /* -EAGAIN: nothing there */
int sluice_ctx_shutdown(struct sluice_ctx *, int fd, int how);
int sluice_ctx_unsent(struct sluice_ctx *, int fd); /* bytes the peer's kernel has not acknowledged */
int sluice_ctx_reset(struct sluice_ctx *, int fd);  /* closing it will reset the connection (TCP) */
int sluice_ctx_chmod(struct sluice_ctx *, int fd, const char *path,
                     mode_t mode);                              /* of the path, not a link's; of the fd when NULL */
int sluice_ctx_kind(struct sluice_ctx *, int fd);               /* enum sluice_kind; of an O_PATH fd: what the path names */
int sluice_ctx_size(struct sluice_ctx *, int fd, int64_t *ret); /* of a regular file; -ESPIPE for others */
int sluice_ctx_dup(struct sluice_ctx *, int fd);                /* a private copy: a host that closes its own does no harm */
int sluice_ctx_replace(struct sluice_ctx *, int fd);            /* the number `fd` becomes /dev/null */
/* How many names a file has; 0: the last one was removed. */
int sluice_ctx_names(struct sluice_ctx *, int fd);
/* Its permission bits; -EBADF. */
int sluice_ctx_mode(struct sluice_ctx *, int fd);
/* An fd that is readable when inotify(7) has events of `mask` for what `fd` is: sluice_ctx_wait() and sluice_ctx_try_read().
 * -EMFILE, -ENOSPC: the user's instances or watches are used up. */
int sluice_ctx_watch(struct sluice_ctx *, int fd, unsigned mask);
/* For stages with several outputs. How many are linked. */
unsigned sluice_ctx_outputs(const struct sluice_ctx *);
/* A pipe as large as the limits allow: ret[0] to read, ret[1] to write. Both ends block: see sluice_ctx_nonblock(). */
int sluice_ctx_pipe(struct sluice_ctx *, int ret[2]);
int sluice_ctx_nonblock(struct sluice_ctx *, int fd);
/* A regular file of this stage's own is written past the page cache from now on, and through it again from the first move that
 * the kernel refuses for not being whole blocks (open(2), O_DIRECT). -EINVAL: its file system has no such way. */
int sluice_ctx_direct(struct sluice_ctx *, int fd);
/* splice(2) by the ring, whose workers may wait for storage: at most `bytes`, one of the two a pipe, at an offset of the other
 * (-1 for pipes). -> bytes; 0: the end; -EAGAIN: the pipe is empty or full, which it does not wait for. */
int sluice_ctx_splice(struct sluice_ctx *, int from, int64_t offset_from, int to, int64_t offset_to, size_t bytes,
                      sluice_then_fn *);
/* The same for tee(2), from pipe to pipe. */
int sluice_ctx_tee(struct sluice_ctx *, int from, int to, size_t bytes, sluice_then_fn *);
/* Ends all the calls of this stage that are under way: their callbacks come, with -ECANCELED where it was in time. */
void sluice_ctx_cancel(struct sluice_ctx *);
/* 1: a pipe whose other end a process holds is moved by the two above: its lock may be held for long, and a try would keep the
 * whole loop waiting. 0: the loop has nothing else to do, and tries are cheaper. */
int sluice_ctx_may_block(const struct sluice_ctx *);
/* From pipe to pipe: tee(2) leaves the bytes where they are, splice(2) does not. -EAGAIN: the one is empty or the other is
 * full; 0: the end. */
ssize_t sluice_ctx_try_tee(struct sluice_ctx *, int from, int to, size_t bytes);
ssize_t sluice_ctx_try_splice(struct sluice_ctx *, int from, int to, size_t bytes);
/* poll(2)'s answer of this moment. */
int sluice_ctx_is_ready(struct sluice_ctx *, int fd, unsigned events);
/* The stage has failed where no hook can say so, as its last note says. It lets go of its fds itself: others may go on. */
void sluice_ctx_fail(struct sluice_ctx *, int error);
/* The stage wants no more input: what feeds it is told, and excused. */
void sluice_ctx_enough(struct sluice_ctx *);
void sluice_ctx_adopt(struct sluice_ctx *, int fd); /* from now on the engine's to close */
void sluice_ctx_close(struct sluice_ctx *, int fd); /* earlier than close() would; waits for it end with -ECANCELED */

#ifdef __cplusplus
}
#endif

#endif
