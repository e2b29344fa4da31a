/* bench/bare.h: what the bare loops share. Nothing of sluice is called by them. */
#ifndef SLUICE_BENCH_BARE_H
#define SLUICE_BENCH_BARE_H

#include <stddef.h>
#include <stdint.h>

enum { PIPE_BYTES = 1 << 20, BLOCK_BYTES = 256 << 10, PATH_CAP = 4096 };

/* Every loop: argv[0] is its own name, and as many words follow as the table in bare.c says. 0, or -1 when it has said why. */
int bare_splice(int argc, char **argv);
int bare_copy(int argc, char **argv);
int bare_tee(int argc, char **argv);
int bare_tee_files(int argc, char **argv);
int bare_tee_direct(int argc, char **argv);
int bare_read(int argc, char **argv);
int bare_memcpy(int argc, char **argv);
int bare_send(int argc, char **argv);
int bare_discard(int argc, char **argv);
int bare_receive(int argc, char **argv);
int bare_receive_file(int argc, char **argv);
int bare_fetch(int argc, char **argv);

int complain(const char *what);    /* with what errno says; -1 */
int open_input(const char *path);  /* "-" is standard input */
int open_output(const char *path); /* "-" is standard output */
int make_pipe(int fds[2]);         /* of PIPE_BYTES */
int write_all(int fd, const char *from, size_t bytes);
void *block_new(size_t bytes); /* aligned; NULL: it has said why */

/* What a sink has seen. The sum is taken when SLUICE_BENCH_SUM is set: it costs more than reading does. It does not depend on
 * how the bytes were cut. */
struct seen {
        uint64_t bytes, sum, word;
        unsigned in_word;
        int sums;
};
void seen_begin(struct seen *s);
void seen_add(struct seen *s, const char *from, size_t bytes);
int seen_write(const struct seen *s, const char *path); /* a JSON object, into that file; "-" is standard output */

#endif
