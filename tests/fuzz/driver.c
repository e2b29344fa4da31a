/* tests/fuzz/driver.c: runs a fuzz target without libFuzzer: every file of its corpus, then inputs made of those, the same ones
 * each time. Prints how many there were. An input that ends the program is kept in the directory that it ran in. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 20, MADE_MAX = 4096, CORPUS_MAX = 4096, STEPS_MAX = 8, SECONDS_MAX = 100 };

struct input {
        uint8_t *data;
        size_t bytes;
};

static struct input corpus[CORPUS_MAX];
static size_t corpus_nr;

/* The one under way, for whoever sees the program end. */
static struct input now;
static size_t executions;
static const char *name;

/* ---- the end of the program, by a signal or by a sanitizer ---- */

static void keep_input(void)
{
        char path[80], words[160];
        int fd, n;

        snprintf(path, sizeof(path), "found-%.40s", name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        n = snprintf(words, sizeof(words), "fuzz %s: found after %zu executions, by %zu bytes, kept in %s\n", name, executions,
                     now.bytes, path);
        if (fd >= 0 && write(fd, now.data, now.bytes) >= 0)
                close(fd);
        if (write(STDOUT_FILENO, words, (size_t)n) < 0)
                _exit(2);
}

static void on_end(int signal)
{
        (void)signal;
        keep_input();
        _exit(1);
}

/* An input that needs for ever is one that is found. */
static void watch_for_end(void)
{
        const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM };
        static uint8_t own[64 << 10]; /* a stack that has run over is none to run on */
        struct sigaction a = { .sa_handler = on_end, .sa_flags = SA_ONSTACK };
        const stack_t stack = { .ss_sp = own, .ss_size = sizeof(own) };

        sigaltstack(&stack, NULL);
        for (size_t i = 0; i < COUNT(signals); i++)
                sigaction(signals[i], &a, NULL);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* ---- the corpus ---- */

static void add_file(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat s;
        struct input *i = &corpus[corpus_nr];

        CLAIM(fd >= 0);
        CLAIM(fstat(fd, &s) == 0);
        CLAIM(s.st_size <= INPUT_MAX);
        CLAIM(corpus_nr < CORPUS_MAX);
        i->bytes = (size_t)s.st_size;
        i->data = malloc(i->bytes + 1);
        CLAIM(i->data);
        CLAIM(read(fd, i->data, i->bytes) == (ssize_t)i->bytes);
        close(fd);
        corpus_nr++;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_corpus(const char *directory)
{
        struct dirent **entries;
        int nr = scandir(directory, &entries, NULL, by_name);

        for (int i = 0; i < nr; i++) {
                char path[4096];

                snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
                if (entries[i]->d_name[0] != '.')
                        add_file(path);
                free(entries[i]);
        }
        CLAIM(corpus_nr > 0);
        free(entries);
}

/* ---- what is made of it ---- */

static uint64_t state = 0x9e3779b97f4a7c15;

static size_t below(size_t n)
{
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return n ? (size_t)((state >> 16) % n) : 0;
}

static void insert(struct input *i, size_t at, const void *data, size_t bytes)
{
        if (bytes > MADE_MAX - i->bytes)
                return;
        memmove(i->data + at + bytes, i->data + at, i->bytes - at);
        memmove(i->data + at, data, bytes);
        i->bytes += bytes;
}

static void drop(struct input *i, size_t at, size_t bytes)
{
        bytes = bytes < i->bytes - at ? bytes : i->bytes - at;
        memmove(i->data + at, i->data + at + bytes, i->bytes - at - bytes);
        i->bytes -= bytes;
}

/* A number at the edge of something, in some width. */
static void put_edge(struct input *i, size_t at)
{
        static const uint64_t edges[] = { 0,    1,    2,     63,        64,         127,       128,       255,
                                          4095, 4096, 65535, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX };
        uint64_t value = edges[below(COUNT(edges))] + below(3) - 1;
        size_t width = (size_t)1 << below(4);

        if (width <= i->bytes - at)
                memcpy(i->data + at, &value, width);
}

static void step(struct input *i, size_t words_nr)
{
        size_t at = below(i->bytes + 1);
        const struct input *other = &corpus[below(corpus_nr)];
        size_t from = below(other->bytes + 1);
        const char *word = words_nr ? fuzz_words[below(words_nr)] : "";
        uint8_t byte = (uint8_t)below(256);

        switch (below(8)) {
        case 0:
                if (at < i->bytes)
                        i->data[at] ^= (uint8_t)(1u << below(8));
                break;
        case 1:
                if (at < i->bytes)
                        i->data[at] = byte;
                break;
        case 2:
                insert(i, at, &byte, 1);
                break;
        case 3:
                drop(i, at, 1 + below(8));
                break;
        case 4:
                insert(i, at, word, strlen(word));
                break;
        case 5: /* some of another one */
                insert(i, at, other->data + from, below(other->bytes - from + 1));
                break;
        case 6:
                put_edge(i, at);
                break;
        case 7:
                insert(i, at, i->data + i->bytes / 2, i->bytes < 16 ? i->bytes / 2 : 0);
                drop(i, below(i->bytes + 1), 1);
                break;
        }
}

static void make(struct input *ret, size_t words_nr)
{
        const struct input *from = &corpus[below(corpus_nr)];

        ret->bytes = from->bytes < MADE_MAX ? from->bytes : MADE_MAX;
        memcpy(ret->data, from->data, ret->bytes);
        for (size_t n = 1 + below(STEPS_MAX); n > 0; n--)
                step(ret, words_nr);
}

/* In memory of its own length: a read beyond its end is seen. */
static void run(const struct input *i)
{
        uint8_t *copy = malloc(i->bytes ? i->bytes : 1);

        CLAIM(copy);
        if (i->bytes)
                memcpy(copy, i->data, i->bytes);
        now = *i;
        executions++;
        alarm(SECONDS_MAX); /* for this one: all of them may take longer on a slow machine */
        LLVMFuzzerTestOneInput(copy, i->bytes);
        free(copy);
}

int main(int argc, char **argv)
{
        struct input made = { malloc(MADE_MAX), 0 };
        size_t words_nr = 0, to_make = argc > 2 ? (size_t)atol(argv[2]) : 0;

        if (argc < 2 || !made.data) {
                fprintf(stderr, "usage: %s CORPUS [HOW-MANY-TO-MAKE]\n", argv[0]);
                return 2;
        }
        name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
        while (fuzz_words[words_nr])
                words_nr++;
        read_corpus(argv[1]);
        watch_for_end();
        if (__sanitizer_set_death_callback)
                __sanitizer_set_death_callback(keep_input);
        for (size_t i = 0; i < corpus_nr; i++)
                run(&corpus[i]);
        for (size_t i = 0; i < to_make; i++) {
                make(&made, words_nr);
                run(&made);
        }
        printf("fuzz %s: %zu executions: %zu of the corpus, %zu made of it\n", name, executions, corpus_nr, to_make);
        for (size_t i = 0; i < corpus_nr; i++)
                free(corpus[i].data);
        free(made.data);
        return 0;
}
