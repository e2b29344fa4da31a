/* bench/handover.c: what it costs to give bytes from function to function, uncopied and through pipes.
 *
 *      sluice-bench-handover [ROUNDS [MIB]]        (15 and 1024)
 *
 * Three functions in a row, MIB MiB in pieces of 64 KiB; each subject once a round, in an order that changes:
 *
 *      pipes       three threads, two pipes of 1 MiB, read(2) and write(2): nothing of sluice, the least that copying costs
 *      pipes again the null case
 *      threads     three functions on threads: reserve and put, acquire and pass, acquire and release
 *      loop        three on the loop: make, sluice_forward(), take
 *      mixed       a thread, one on the loop, a thread
 *
 * The first writes a word into each page of what it gives and the last adds these words up, so that the bytes are really
 * there; the memory is written once before, by all subjects alike. CPU is this process's, all threads; a run includes making
 * and freeing the pipeline. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sluice/sluice.h>
#include <sluice/stages.h>

#include "measure.h"

enum { PIECE = 64 << 10, PAGE = 4 << 10, PIPE = 1 << 20, ROUNDS = 15, MIB = 1024, USAGE = 2 };

struct job {
        uint64_t bytes, made, sum;
};

static void stamp(uint8_t *data, size_t bytes, uint64_t at)
{
        for (size_t i = 0; i < bytes; i += PAGE)
                memcpy(data + i, &(uint64_t){ at + i }, sizeof(uint64_t));
}

static uint64_t add_up(const uint8_t *data, size_t bytes, uint64_t at)
{
        uint64_t sum = 0, word;

        /* Pieces may arrive in other sizes than they were made. */
        for (size_t i = (PAGE - at % PAGE) % PAGE; i < bytes; i += PAGE) {
                memcpy(&word, data + i, sizeof(word));
                sum += word;
        }
        return sum;
}

/* ---- functions on threads ---- */

static int puts_pieces(void *arg, struct sluice_stream *io)
{
        struct job *j = arg;

        for (uint64_t at = 0; at < j->bytes; at += PIECE) {
                void *data;
                ssize_t room = sluice_reserve(io, &data);
                int r;

                if (room < 0)
                        return (int)room;
                stamp(data, PIECE, at);
                r = sluice_put(io, PIECE);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int passes(void *arg, struct sluice_stream *io)
{
        const void *data;
        ssize_t n;

        (void)arg;
        while ((n = sluice_acquire(io, &data)) > 0) {
                int r = sluice_pass(io, (size_t)n);

                if (r < 0)
                        return r;
        }
        return (int)n;
}

static int takes(void *arg, struct sluice_stream *io)
{
        struct job *j = arg;
        uint64_t at = 0;
        const void *data;
        ssize_t n;

        while ((n = sluice_acquire(io, &data)) > 0) {
                j->sum += add_up(data, (size_t)n, at);
                at += (uint64_t)n;
                sluice_release(io, (size_t)n);
        }
        return (int)n;
}

/* ---- functions on the loop ---- */

static int describe(struct sluice_ctx *c, void *self, enum sluice_direction dir, struct sluice_side *ret)
{
        (void)c;
        (void)self;
        (void)dir;
        ret->io = SLUICE_IO_MEM;
        ret->kind = SLUICE_KIND_FUNCTION;
        return 0;
}

static int open_nothing(struct sluice_ctx *c, void *self)
{
        (void)c;
        (void)self;
        return 0;
}

static void close_nothing(struct sluice_ctx *c, void *self, int error)
{
        (void)c;
        (void)self;
        (void)error;
}

static struct job *job_of(const struct sluice_ctx *c)
{
        return (struct job *)(uintptr_t)sluice_ctx_config(c);
}

static int loop_makes(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        struct job *j = job_of(c);

        (void)self;
        (void)in;
        stamp(out->data, PIECE, j->made);
        out->len = PIECE;
        j->made += PIECE;
        out->end = j->made >= j->bytes;
        return 0;
}

static int loop_forwards(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        (void)self;
        (void)out;
        return in->len ? sluice_forward(c, in->len) : 0;
}

static int loop_takes(struct sluice_ctx *c, void *self, struct sluice_buf *in, struct sluice_buf *out)
{
        uint64_t *at = self;

        (void)out;
        job_of(c)->sum += add_up(in->data, in->len, *at);
        *at += in->len;
        in->consumed = in->len;
        return 0;
}

#define ON_LOOP(fn)                                                                                                                \
        {                                                                                                                          \
                .size = sizeof(struct sluice_stage_ops), .name = #fn, .instance_size = sizeof(uint64_t), .describe = describe,     \
                .open = open_nothing, .process = fn, .close = close_nothing                                                        \
        }
static const struct sluice_stage_ops makes_ops = ON_LOOP(loop_makes), forwards_ops = ON_LOOP(loop_forwards),
                                     takes_ops = ON_LOOP(loop_takes);

enum { ON_THREADS, ON_LOOP_ALL, MIXED };

static int run_pipeline(struct job *j, int how)
{
        struct sluice_pipeline *p;
        int r = sluice_pipeline_new(&p, NULL);

        if (r < 0)
                return r;
        r = how == ON_LOOP_ALL ? sluice_pipeline_add(p, &makes_ops, j, NULL) : sluice_add_function(p, puts_pieces, j, NULL);
        r = r < 0               ? r
            : how == ON_THREADS ? sluice_add_function(p, passes, NULL, NULL)
                                : sluice_pipeline_add(p, &forwards_ops, NULL, NULL);
        r = r < 0 ? r : how == ON_LOOP_ALL ? sluice_pipeline_add(p, &takes_ops, j, NULL) : sluice_add_function(p, takes, j, NULL);
        for (int i = 0; i < 2 && r >= 0; i++)
                r = sluice_pipeline_link(p, i, i + 1);
        r = r < 0 ? r : sluice_pipeline_run(p);
        for (int i = 0; i < 2 && r >= 0; i++)
                if (sluice_pipeline_link_mode(p, i) != SLUICE_LINK_HANDOVER)
                        r = -ENOTSUP;
        sluice_pipeline_free(p);
        return r;
}

/* ---- pipes, and nothing else ---- */

struct end {
        struct job *job;
        int in, out;
        int error;
};

static bool write_all(int fd, const uint8_t *data, size_t bytes)
{
        for (size_t at = 0; at < bytes;) {
                ssize_t n = write(fd, data + at, bytes - at);

                if (n < 0 && errno != EINTR)
                        return false;
                at += n > 0 ? (size_t)n : 0;
        }
        return true;
}

static void *pipe_thread(void *arg)
{
        struct end *e = arg;
        uint8_t *data = calloc(1, PIECE);
        uint64_t at = 0;

        while (data && !e->error) {
                ssize_t n = PIECE;

                if (e->in < 0)
                        stamp(data, PIECE, at);
                else
                        n = read(e->in, data, PIECE);
                if (n == 0 || (e->in < 0 && at >= e->job->bytes))
                        break;
                if (n < 0 || (e->out >= 0 && !write_all(e->out, data, (size_t)n)))
                        e->error = -errno;
                else if (e->out < 0)
                        e->job->sum += add_up(data, (size_t)n, at);
                at += n > 0 ? (uint64_t)n : 0;
        }
        if (e->in >= 0)
                close(e->in);
        if (e->out >= 0)
                close(e->out);
        free(data);
        return NULL;
}

static int run_pipes(struct job *j)
{
        struct end ends[3] = { { .job = j }, { .job = j }, { .job = j } };
        pthread_t threads[3];
        int error = 0;

        ends[0].in = ends[2].out = -1;
        for (int i = 0; i < 2; i++) {
                int fds[2];

                if (pipe2(fds, O_CLOEXEC) < 0)
                        return -errno;
                fcntl(fds[0], F_SETPIPE_SZ, PIPE);
                ends[i].out = fds[1];
                ends[i + 1].in = fds[0];
        }
        for (int i = 0; i < 3; i++)
                if (pthread_create(&threads[i], NULL, pipe_thread, &ends[i]) != 0)
                        abort();
        for (int i = 0; i < 3; i++) {
                pthread_join(threads[i], NULL);
                error = error ? error : ends[i].error;
        }
        return error;
}

/* ---- rounds ---- */

enum { PIPES, PIPES_AGAIN, THREADS, LOOP, MIXED_BOTH, SUBJECTS };

static const struct subject subjects[SUBJECTS] = {
        [PIPES] = { "pipes", -1 },  [PIPES_AGAIN] = { "pipes again", PIPES }, [THREADS] = { "threads", PIPES },
        [LOOP] = { "loop", PIPES }, [MIXED_BOTH] = { "mixed", PIPES },
};

static int measure(void *arg, size_t subject, struct sample *ret)
{
        const uint64_t *bytes = arg;
        const uint64_t pages = *bytes / PAGE, sum = pages * (pages - 1) / 2 * PAGE;
        struct job j = { .bytes = *bytes };
        struct rusage before, after;
        double begun = clock_ms();
        int r;

        getrusage(RUSAGE_SELF, &before);
        r = subject <= PIPES_AGAIN ? run_pipes(&j) : run_pipeline(&j, (int)subject - THREADS);
        getrusage(RUSAGE_SELF, &after);
        ret->wall_ms = clock_ms() - begun;
        ret->cpu_ms = cpu_ms(&after) - cpu_ms(&before);
        if (r == 0 && j.sum != sum)
                r = -EIO;
        if (r < 0)
                fprintf(stderr, "sluice-bench-handover: %s: %s\n", subjects[subject].name, strerror(-r));
        return r;
}

int main(int argc, char **argv)
{
        size_t rounds = ROUNDS, mib = MIB;
        struct rounds r = { .subjects = subjects, .subjects_nr = SUBJECTS };
        uint64_t bytes;

        if (argc > 3 || (argc > 1 && !parse_count(argv[1], 1, &rounds)) || (argc > 2 && !parse_count(argv[2], 1, &mib))) {
                fputs("Usage: sluice-bench-handover [ROUNDS [MIB]]\n", stderr);
                return USAGE;
        }
        bytes = (uint64_t)mib << 20;
        r.rounds_nr = rounds;
        if (rounds_run(&r, measure, &bytes) < 0)
                return 1;
        printf("%zu MiB in pieces of %d KiB, through three functions\n", mib, PIECE >> 10);
        rounds_print(&r);
        free(r.samples);
        return 0;
}
