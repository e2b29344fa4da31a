/* engine/worker_main.c: sluice-worker: loads a shared object, runs one function of it between two fds, and says what came of
 * it (worker.h). Whatever the function does to its process, the host lives.
 *
 * It is started from memory and links no library of ours: the calls that a function makes (sluice_read() and the like) are
 * its own, from stream.c, which it exports. Calls serve.c. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve.h"

static struct worker_sheet *map_sheet(int fd)
{
        struct worker_sheet *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        return s == MAP_FAILED || s->bytes != sizeof(*s) ? NULL : s;
}

/* By the name that the file has, so that what the object itself needs beside it ($ORIGIN) is found; by its number where the
 * name is another file's by now, or out of this process's reach. */
static const char *path_of(int fd, char *path, size_t cap)
{
        struct stat opened, named;
        char self[32];
        ssize_t n;

        snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        n = readlink(self, path, cap - 1);
        if (n > 0) {
                path[n] = '\0';
                if (fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev &&
                    opened.st_ino == named.st_ino)
                        return path;
        }
        snprintf(path, cap, "%s", self);
        return path;
}

/* The loader begins with the path, which is said already, unless it speaks of another object. */
static const char *reason(const char *path, const char *said)
{
        size_t n = strlen(path);

        return strncmp(said, path, n) == 0 && strncmp(said + n, ": ", 2) == 0 ? said + n + 2 : said;
}

static serve_fn *load(struct worker_sheet *sheet, int fd, char **argv)
{
        char path[PATH_MAX];
        void *object = dlopen(path_of(fd, path, sizeof(path)), RTLD_NOW | RTLD_LOCAL);
        serve_fn *fn = NULL;

        if (!object) {
                serve_refuse(sheet, -ENOEXEC, "%.80s: %s", argv[WORKER_ARG_OBJECT], reason(path, dlerror()));
                return NULL;
        }
        *(void **)&fn = dlsym(object, argv[WORKER_ARG_SYMBOL]);
        if (!fn)
                serve_refuse(sheet, -ENOENT, "%.80s: no function '%s'", argv[WORKER_ARG_OBJECT], argv[WORKER_ARG_SYMBOL]);
        return fn;
}

int main(int argc, char **argv)
{
        int first = argc == WORKER_ARGS ? atoi(argv[WORKER_ARG_FD]) : 0;
        struct worker_sheet *sheet = first > STDERR_FILENO ? map_sheet(first + WORKER_FD_SHEET) : NULL;
        serve_fn *fn;

        if (!sheet) {
                fprintf(stderr, "sluice-worker: is started by libsluice of its own release, for a function of a shared object\n");
                return WORKER_REFUSED_STATUS;
        }
        prctl(PR_SET_NAME, "sluice-worker");
        fn = load(sheet, first + WORKER_FD_OBJECT, argv);
        /* Not the function's, nor what it starts'. */
        for (int i = 0; i < WORKER_FDS; i++)
                close(first + i);
        return fn ? serve(sheet, fn, argv[WORKER_ARG_ARGUMENT]) : WORKER_REFUSED_STATUS;
}
