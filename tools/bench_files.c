/* tools/bench_files.c: the files that a side of `sluice bench` makes: those of the pipeline's `file:` and `append:` sinks, and those
 * that --output= names. Called by bench.c.
 *
 * What was there before is nobody's to lose: such a file is refused beforehand, unless --overwrite. So before a run none of them
 * is there, whatever is there after it was made by it, and that goes again. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "language.h"
#include "tools.h"

/* ---- which ---- */

static struct bench_file *find(struct bench *b, const char *path)
{
        for (size_t i = 0; i < b->files_nr; i++)
                if (strcmp(b->files[i].path, path) == 0)
                        return &b->files[i];
        return NULL;
}

static int add(struct bench *b, const char *path, bool compared)
{
        struct bench_file *f = find(b, path);

        if (f) {
                f->compared = f->compared || compared;
                return 0;
        }
        if (b->files_nr == BENCH_FILES_MAX)
                return usage_error("bench", "more than %d files are written", BENCH_FILES_MAX);
        f = &b->files[b->files_nr];
        f->path = strdup(path);
        if (!f->path)
                return usage_error("bench", "%s", strerror(ENOMEM));
        f->compared = compared;
        b->files_nr++;
        return 0;
}

int bench_files_add(struct bench *b, const char *path)
{
        struct stat st;

        if (!*path)
                return usage_error("bench", "--output= is the path of a file");
        if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
                return usage_error("bench", "--output=%s is no regular file: it cannot be compared", path);
        return add(b, path, true);
}

/* The path in the name of a stage that is a file; NULL: it is none. */
static const char *path_of(const struct sluice_pipeline *p, int stage)
{
        const char *name = sluice_pipeline_stage_name(p, stage);

        return strncmp(name, "file:", 5) == 0 ? name + 5 : strncmp(name, "append:", 7) == 0 ? name + 7 : NULL;
}

static bool is_sink(const struct sluice_pipeline *p, int stage)
{
        int from, to;

        for (int i = 0; i < sluice_pipeline_links(p); i++)
                if (sluice_pipeline_link_ends(p, i, &from, &to) == 0 && from == stage)
                        return false;
        return true;
}

static bool is_same_file(const char *a, const char *b)
{
        struct stat one, other;

        return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* A file that is read cannot be made anew for each run. */
static int refuse_read(const struct bench *b, const char *path)
{
        for (size_t i = 0; i < b->files_nr; i++)
                if (is_same_file(b->files[i].path, path))
                        return usage_error("bench", "%s is read, and would be written: write another file", path);
        return 0;
}

/* Devices, FIFOs and links to them stay, and are not compared: what is not there will be a file. */
static bool is_file(const char *path)
{
        struct stat st;

        return stat(path, &st) < 0 || S_ISREG(st.st_mode);
}

static int add_sinks(struct bench *b, const struct sluice_pipeline *p)
{
        const bool compared = b->files_nr == 0;
        int r = 0;

        for (int i = 0; r == 0 && i < sluice_pipeline_stages(p); i++) {
                const char *path = path_of(p, i);

                if (path && is_sink(p, i) && is_file(path))
                        r = add(b, path, compared);
        }
        for (int i = 0; r == 0 && i < sluice_pipeline_stages(p); i++) {
                const char *path = path_of(p, i);

                if (path && !is_sink(p, i))
                        r = refuse_read(b, path);
        }
        return r == 0 && b->input ? refuse_read(b, b->input) : r;
}

static int build(struct bench *b, struct sluice_pipeline *p)
{
        struct language_result where;
        int r = language_build_whole(p, b->pipeline, &where);

        if (r)
                return r;
        b->uses_stdout = where.uses_stdout;
        return add_sinks(b, p);
}

int bench_files_find(struct bench *b)
{
        struct sluice_pipeline *p;
        int r = sluice_pipeline_new(&p, NULL);

        if (r < 0)
                return bench_fail(b, "%s", strerror(-r));
        r = build(b, p);
        sluice_pipeline_free(p);
        return r;
}

/* ---- what is there ---- */

int bench_files_protect(const struct bench *b)
{
        struct stat st;

        for (size_t i = 0; i < b->files_nr; i++) {
                const char *path = b->files[i].path;

                if (lstat(path, &st) < 0)
                        continue;
                if (S_ISLNK(st.st_mode))
                        return usage_error("bench", "%s is a symbolic link: name a file that may be made and removed", path);
                if (!b->overwrite)
                        return usage_error(
                                "bench", "%s exists, and each run would replace it: name another file, or give --overwrite", path);
        }
        return 0;
}

int bench_files_clear(struct bench *b)
{
        struct stat st;

        for (size_t i = 0; i < b->files_nr; i++) {
                const char *path = b->files[i].path;

                if (lstat(path, &st) < 0)
                        continue;
                if (!b->overwrite || !S_ISREG(st.st_mode))
                        return bench_fail(b, "%s: somebody else has made it meanwhile; it is left as it is", path);
                if (unlink(path) < 0)
                        return bench_fail(b, "%s: unlink: %s", path, strerror(errno));
        }
        return 0;
}

void bench_files_drop(const struct bench *b)
{
        struct stat st;

        for (size_t i = 0; i < b->files_nr && !b->overwrite; i++)
                if (lstat(b->files[i].path, &st) == 0 && S_ISREG(st.st_mode))
                        unlink(b->files[i].path);
}

static int look_again(struct bench *b, const struct bench_file *f, enum bench_side side)
{
        const struct digest *first = &f->first[side];
        struct stat st;
        bool there = lstat(f->path, &st) == 0 && S_ISREG(st.st_mode);

        if (there == first->known && (!there || (uint64_t)st.st_size == first->bytes))
                return 0;
        return bench_fail(b, "%s made another %s than the first time: %lld bytes, and %llu before", bench_side_name(side), f->path,
                          there ? (long long)st.st_size : 0, (unsigned long long)first->bytes);
}

int bench_files_take(struct bench *b, enum bench_side side, bool quick)
{
        struct stat st;
        int r = 0;

        for (size_t i = 0; r == 0 && i < b->files_nr; i++) {
                struct bench_file *f = &b->files[i];

                if (!f->compared)
                        continue;
                if (quick)
                        r = look_again(b, f, side);
                else if (lstat(f->path, &st) == 0 && S_ISREG(st.st_mode))
                        r = bench_hash_file(f->path, &f->first[side]);
                if (r < 0 && r != -EINTR)
                        r = bench_fail(b, "%s cannot be compared: %s", f->path, strerror(-r));
        }
        return r;
}

void bench_files_free(struct bench *b)
{
        for (size_t i = 0; i < b->files_nr; i++)
                free(b->files[i].path);
}
