/* sluice/stages.h: the stages that come with sluice, and the table that names them in the pipeline language.
 *
 * Every sluice_add_...() returns the stage's index in the pipeline, or a negative errno: -ENOMEM, -EBUSY (built
 * already), -EINVAL (an option that can never work). Nothing is opened before the run. Strings are copied.
 * A stage's place decides what it is: with an output only a source, with an input only a sink. */
#ifndef SLUICE_STAGES_H
#define SLUICE_STAGES_H

#include <sluice/sluice.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sluice_fd_flags {
        SLUICE_OWN = 1 << 0,     /* from success on, the pipeline's to close: once, when the stage that uses it is over or a
                                  * process has it; at the latest, and when it never ran, with the pipeline. For one run */
        SLUICE_REPLACE = 1 << 1, /* taken over when the run opens; the number then is /dev/null: for a tool's stdin */
        SLUICE_OBSERVE = 1 << 2, /* a sink is never handed to a process: its errors are seen exactly */
};
/* An open fd. Borrowed unless flagged: a private duplicate is used, the fd's flags stay as they are. */
int sluice_add_fd(struct sluice_pipeline *p, int fd, unsigned flags);

/* A source: the bytes of a buffer, which must stay until the run has ended. */
int sluice_add_memory(struct sluice_pipeline *p, const void *data, size_t bytes);

/* A source that asks the host: fills at most `cap` bytes of `data` and returns how many; 0: the end; -EAGAIN: nothing
 * now; another negative errno: the stage's failure. On the loop's thread: must not block. */
typedef ssize_t sluice_reader_fn(void *arg, void *data, size_t cap);
/* A sink that gives to the host: takes up to `bytes` of `data` and returns how many, at least 1; -EAGAIN: none now; another
 * negative errno: the failure. With bytes == 0: the end of a whole stream, what it returns is its verdict (0: success).
 * SLUICE_WRITER_ENOUGH: it wants no more. */
typedef ssize_t sluice_writer_fn(void *arg, const void *data, size_t bytes);
/* After -EAGAIN the callback is called again when `wake_fd` is ready: readable for a reader, writable for a writer; an
 * eventfd of the host's will do (its counter stays the host's to read). -1: it never says -EAGAIN (-EPROTO if it does).
 * The fd is borrowed: a private duplicate is used. A command that ends ends what feeds it, however long the source of that
 * is silent. */
int sluice_add_reader(struct sluice_pipeline *p, sluice_reader_fn *fn, void *arg, int wake_fd);
int sluice_add_writer(struct sluice_pipeline *p, sluice_writer_fn *fn, void *arg, int wake_fd);
/* What a writer returns when it has had enough: the stage finished early. */
#define SLUICE_WRITER_ENOUGH (-125) /* -ECANCELED */

enum sluice_sync { SLUICE_SYNC_NONE, SLUICE_SYNC_DATA, SLUICE_SYNC_FULL };
enum sluice_until { SLUICE_UNTIL_EOF, SLUICE_UNTIL_SIZE_AT_OPEN };
enum sluice_file_flags {
        SLUICE_FILE_APPEND = 1 << 0,   /* sink: at the end of whatever is there (O_APPEND) */
        SLUICE_FILE_ATOMIC = 1 << 1,   /* sink: an unnamed file, renamed over the old one when whole, directory synced */
        SLUICE_FILE_OBSERVE = 1 << 2,  /* sink: not handed to a process, so that its errors are seen exactly */
        SLUICE_FILE_SNAPSHOT = 1 << 3, /* source: copied, since splice passes on what is written underneath later */
        SLUICE_FILE_RANGE = 1 << 4,    /* source: `length` counts, 0 included */
        SLUICE_FILE_DIRECT = 1 << 5,   /* sink: past the page cache (O_DIRECT) while what comes fills whole blocks, through it
                                        * from then on. -EINVAL: the file system has no such way */
};
struct sluice_file_options {
        size_t size;
        unsigned flags;          /* enum sluice_file_flags */
        int64_t offset;          /* source: first byte. sink: written from here, not truncated */
        int64_t length;          /* source, with FILE_RANGE: bytes; an earlier end of file is an end */
        enum sluice_until until; /* source: EOF, or its size at open, and -ESTALE when it ends before */
        enum sluice_sync sync;   /* sink: before success is reported */
        mode_t mode;             /* sink, when made; 0: 0666, less the umask; ATOMIC: that of the file it replaces */
};
/* A file: read whole or in part, or made, or truncated once every other stage is open. */
int sluice_add_file(struct sluice_pipeline *p, const char *path, const struct sluice_file_options *opt);

enum sluice_tail_flags {
        SLUICE_TAIL_END = 1 << 0,           /* begins with what is written after the run has opened it */
        SLUICE_TAIL_UNTIL_DELETED = 1 << 1, /* ends when the file's last name is gone and all was read */
};
struct sluice_tail_options {
        size_t size;
        unsigned flags;  /* enum sluice_tail_flags */
        int64_t idle_ms; /* ends when nothing was added for so long; 0: never */
};
/* A source: a regular file that grows. Its end is waited at, by inotify(7), for more. Truncated below what was read, it is
 * read from its start again, and "truncated" reports how often. It is the opened file that is followed, whatever its name
 * comes to name. NULL: from its start, for ever.
 * From a run: -ESPIPE: no regular file; -EMFILE, -ENOSPC: the user's inotify instances or watches are used up. */
int sluice_add_tail(struct sluice_pipeline *p, const char *path, const struct sluice_tail_options *opt);

/* Where bytes go to vanish. As a source: empty. */
int sluice_add_null(struct sluice_pipeline *p);
/* `length` zero bytes; -1: without end. */
int sluice_add_zero(struct sluice_pipeline *p, int64_t length);

/* A command: argv[0] is looked for in PATH, no shell is involved. sluice/stage.h has its options.
 * Further errors: -EINVAL (an fd or option that can never be). */
int sluice_add_command(struct sluice_pipeline *p, char *const argv[], const struct sluice_command_options *opt);

enum sluice_socket_flags {
        SLUICE_SOCKET_LEND = 1 << 0,  /* may be handed to a process */
        SLUICE_SOCKET_DELAY = 1 << 1, /* TCP: leave Nagle's algorithm on */
};
struct sluice_socket_options {
        size_t size;
        unsigned flags;     /* enum sluice_socket_flags */
        int64_t timeout_ms; /* to connect, or to be connected to; 0: 30 s to connect, for ever to accept */
        int64_t linger_ms;  /* after the last byte, how long to wait for the peer's end of stream before only
                                        * the acknowledgement of its kernel counts; 0: 100 ms */
        mode_t mode;        /* unix-listen: of the socket file; 0: 0600 */
};
/* A TCP connection to HOST:PORT ([HOST]:PORT for IPv6), or one accepted on [HOST]:PORT. Between two stages it sends
 * what comes in, shuts down its sending side at the end, and gives what the peer answers. */
int sluice_add_tcp(struct sluice_pipeline *p, const char *address, const struct sluice_socket_options *opt);
int sluice_add_tcp_listen(struct sluice_pipeline *p, const char *address, const struct sluice_socket_options *opt);
/* The same over a unix stream socket. unix-listen makes the file, replaces a dead one, and removes it. */
int sluice_add_unix(struct sluice_pipeline *p, const char *path, const struct sluice_socket_options *opt);
int sluice_add_unix_listen(struct sluice_pipeline *p, const char *path, const struct sluice_socket_options *opt);

/* ---- functions that come with it: they work on memory, and pass on uncopied what they do not change ---- */

/* Whole lines only: what goes on ends with a newline, but for the last line of an input that lacks it. A line longer than
 * max_bytes (0: 64 KiB; 128 KiB at most) is -EMSGSIZE, with its number. */
int sluice_add_lines(struct sluice_pipeline *p, size_t max_bytes);
/* Lines for which `keep` is not 0 go on. It gets one line, its newline included, on the loop's thread. */
typedef int sluice_line_fn(void *arg, const char *line, size_t bytes);
int sluice_add_filter(struct sluice_pipeline *p, sluice_line_fn *keep, void *arg, size_t max_bytes);
/* Reports "bytes" and "lines" (sluice_stage_result.reports). */
int sluice_add_count(struct sluice_pipeline *p);
enum sluice_checksum { SLUICE_CHECKSUM_XXH3, SLUICE_CHECKSUM_SHA256 };
/* Reports "xxh3" (128 bits) or "sha256" in hexadecimal digits. -ENOPKG: sha256 needs libnettle.so.8. */
int sluice_add_checksum(struct sluice_pipeline *p, enum sluice_checksum kind);
/* zstd, level 1 to 19, -1 to -7, or 0 for 3; frames carry a checksum. -EBADMSG from a run: what came was not zstd, or was
 * cut. -ENOPKG: libzstd.so.1 is not there. */
int sluice_add_compress(struct sluice_pipeline *p, int level);
int sluice_add_decompress(struct sluice_pipeline *p);
/* At most so many bytes a second, in bursts of a tenth of a second. */
int sluice_add_throttle(struct sluice_pipeline *p, int64_t bytes_per_s);
/* A source of `length` bytes that say where they are (-1: without end): word i is a hash of i. For tests. */
int sluice_add_generate(struct sluice_pipeline *p, int64_t length);

/* ---- graphs ---- */

/* Every stage that is linked behind it gets every byte: by tee(2), so that none is copied or enters userspace; where what feeds
 * it or reads from it works on memory, by reference to the same buffer. The slowest rules, unless drop or spill stands first
 * in its branch. A branch that fails is left out and reported: the run's result is its failure; with `strict` it ends the
 * others. When none is left that wants more, what feeds the tee is told so. */
int sluice_add_tee(struct sluice_pipeline *p, int strict);

/* Lines that what follows does not take at once are dropped whole, and counted: it reports "dropped" (bytes) and
 * "dropped_lines". What feeds it is never kept waiting. */
struct sluice_drop_options {
        size_t size;
        int no_records;   /* whole buffers are dropped, wherever their lines end */
        size_t max_bytes; /* of a line, as for sluice_add_lines() */
};
int sluice_add_drop(struct sluice_pipeline *p, const struct sluice_drop_options *opt);

/* Every stage that is linked to it is an input, in the order of the links. When its reader wants no more, all are told so. Where
 * the last two would wait for ever, because a tee above gives at once what they read one after the other, build() refuses
 * (-EDEADLK), unless a drop stands in the later branches (for turns: in all). A line longer than max_bytes (as for
 * sluice_add_lines()) is -EMSGSIZE. */
enum sluice_merge {
        SLUICE_MERGE_LINES,   /* as they come, line by line: an input's last line is given the newline that it lacks */
        SLUICE_MERGE_BATCHES, /* as they come, in whatever batches: those of lines: stay whole */
        SLUICE_MERGE_TURNS,   /* a batch of whole lines from each in turn */
        SLUICE_MERGE_CONCAT,  /* one after the other */
};
int sluice_add_merge(struct sluice_pipeline *p, enum sluice_merge how, size_t max_bytes);

/* `copies` (1 to 256) of the pipeline `inner` at work at once, each on another part of the input: its first stage without an
 * input reads the part, what its last one gives is the result; results go on in the order of the parts. Parts are cut at
 * newlines; for each a run of `inner` is started (a process for a command), so what it writes at its beginning and end it
 * writes for each part: gzip's and zstd's are made to be joined. At most 2 * copies parts exist, and of the result of each
 * twice part_bytes; more waits. A copy that fails fails the stage, and the others are ended.
 * `inner` stays as it is; its options do not count. `why` (may be NULL): cap bytes for what is wrong with it in words.
 * Further errors: those of sluice_pipeline_build() for `inner`. From a run: -EMSGSIZE, a line of eight parts or more. */
struct sluice_par_options {
        size_t size;
        size_t part_bytes; /* 4 KiB to 256 MiB; 0: 1 MiB */
        int no_records;    /* parts are cut wherever they are full */
        int unordered;     /* results go on as parts end, each whole */
};
int sluice_add_par(struct sluice_pipeline *p, unsigned copies, const struct sluice_pipeline *inner,
                   const struct sluice_par_options *opt, char *why, size_t cap);

enum sluice_spill_flags { SLUICE_SPILL_FAIL = 1 << 0 /* when there is no room it fails (-ENOSPC, -EDQUOT) instead of waiting */ };
struct sluice_spill_options {
        size_t size;
        unsigned flags;    /* enum sluice_spill_flags */
        int64_t max_bytes; /* on disk, at most; 0: 1 GiB; at least 64 KiB. Room comes free a quarter of it at a time */
};
/* Takes what comes at once and passes it on as fast as what follows takes it. What does not fit goes to nameless files in
 * the directory `path` (or, when nothing of that name exists, in the directory that it would be made in) and is replayed in
 * order. Without room it waits for what follows, as if it were not there. Reports "spilled" (bytes) and "waited" (times).
 * From a run: -EEXIST: path is there and no directory; or what making a file there gives. */
int sluice_add_spill(struct sluice_pipeline *p, const char *path, const struct sluice_spill_options *opt);

/* A function of the host's that may block, on a thread of its own: it reads and writes by sluice_read(), sluice_write() and
 * their kin in sluice/stage.h. Next to a file, a socket or a command it has that very fd; next to a function, on a thread or on
 * the loop, buffers are handed over, uncopied by sluice_acquire() and sluice_put(). Returns as run() in sluice/stage.h.
 * `name` is what failures call it; NULL: "function". Cancelled, it is given -ECANCELED, and waited for. */
typedef int sluice_function_fn(void *arg, struct sluice_stream *io);
int sluice_add_function(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg, const char *name);

/* Where a function runs, if not on a thread. */
enum sluice_function_flags {
        SLUICE_ISOLATED = 1 << 0, /* in a process of its own, which has loaded `symbol` from `object` and nothing of the host: a
                                   * crash is that stage's failure (-ECHILD) with the signal's name, and the host lives */
        SLUICE_FORKED = 1 << 1,   /* in a fork of the host, with a copy of all it has. Only while there is no other thread: the
                                   * kernel's io_uring workers do not count, those that a loop has for name look-ups and slow
                                   * files do */
};
struct sluice_function_options {
        size_t size;
        unsigned flags;       /* enum sluice_function_flags; 0: on a thread */
        const char *name;     /* what failures call it; NULL: "function", "isolated" or "forked" */
        const char *object;   /* ISOLATED: path of a shared object, as the host finds it when the run opens */
        const char *symbol;   /* ISOLATED: a function that it defines, a sluice_function_fn */
        const char *argument; /* ISOLATED: its `arg` is this text, in its own memory; NULL: "" */
        const struct sluice_command_options *process; /* ISOLATED: how its process runs; NULL: nothing special */
};
/* As sluice_add_function(), where the options say. To its neighbours a function in a process is a command: it has the very fd
 * of a file or pipe, and its stderr, its limits and its containment are a command's. A run that ends tells it by SIGTERM,
 * which its stream turns into -ECANCELED, and kills it after the grace. What it returns is exact, as on a thread. One that
 * crashes, is killed or exits before it has returned fails with -ECHILD; one that cannot be loaded with -ENOENT (there is no
 * such object, or no such symbol in it) or -ENOEXEC, in the loader's words.
 *
 * ISOLATED wants object and symbol, and fn and arg NULL; or fn alone, the address of a function that a shared object which is
 * loaded here exports: -EINVAL when it lies in the program itself, or is static. FORKED wants fn; arg is as it is in the
 * host at the fork; what fn changes, the host does not see. Its exit is _exit(): the host's exit handlers and buffered output
 * stay the host's. What it starts itself is found by CONTAIN_CGROUP and WALK only.
 * Further errors: -EINVAL (flags that exclude each other, an option of the other kind, or one that can never work); -ENOTSUP
 * (FORKED, and there is another thread; a run that finds one fails with it too). */
int sluice_add_function_with(struct sluice_pipeline *p, sluice_function_fn *fn, void *arg,
                             const struct sluice_function_options *opt);

/* A stage from a shared object (SLUICE_PLUGIN in sluice/stage.h; stages/skeleton.c is one to copy from). `why` (cap bytes)
 * says in words what is wrong. -ENOENT: it cannot be loaded; -ENOEXEC: it does not fit this release. */
int sluice_add_plugin(struct sluice_pipeline *p, const char *path, const char *arguments, char *why, size_t cap);

/* ---- text ---- */

/* "4096", "64k", "1.5G" (powers of 1024). -EINVAL; -ERANGE. Any thread. */
int sluice_parse_bytes(const char *text, int64_t *ret);
/* "500ms", "2s", "1.5m", "1h"; a bare number is seconds. -EINVAL; -ERANGE. Any thread. */
int sluice_parse_duration(const char *text, int64_t *ret_ms);

/* ---- by name ---- */

struct sluice_option {
        const char *name, *value; /* value: NULL for a bare name */
};

/* One kind of stage that the pipeline language can name. */
struct sluice_stage_type {
        const char *name;
        const char *usage;   /* "file:PATH[,offset=N]..." */
        const char *summary; /* one line */
};
/* The table, by index; NULL past its end. */
const struct sluice_stage_type *sluice_stage_type(size_t index);

/* What is wrong with a stage's text, and where: part -1 is the name, 0 the argument, i the i-th option (from 1). */
struct sluice_text_error {
        int part;
        char message[160];
};
/* Adds the stage `name` with its argument and options as text. -ENOENT: no such name. -EINVAL: *ret_error says what. */
int sluice_add_named(struct sluice_pipeline *p, const char *name, const char *argument, const struct sluice_option *options,
                     size_t options_nr, struct sluice_text_error *ret_error);

#ifdef __cplusplus
}
#endif

#endif
