/* functions.c: functions that a process of their own loads: well-behaved ones, and ones that do what they can to it. Without
 * any sanitizer: what loads them has none. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sluice/stage.h>

#define EXPORT __attribute__((visibility("default")))

typedef int function_fn(void *arg, struct sluice_stream *io);
EXPORT function_fn f_copy, f_say, f_returns, f_segfault, f_abort, f_exit, f_exit_group, f_until_cancelled, f_deaf, f_endless,
        f_lines, f_whines, f_crash_later, f_waits_for_input, f_pid, f_stops_reading, f_closes_everything, f_grandchild, f_floods,
        f_say_variable, f_eats, f_kills_itself, f_leaves_a_note, f_scribbles,
        f_with_a_name_that_is_longer_than_what_is_read_of_it_at_a_time_which_is_not_much_and_even_so_it_is_told_apart;
extern const int f_no_function;
extern function_fn *const f_hidden;
EXPORT const int f_no_function = 1;

static int hidden(void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        return 0;
}

/* Its address can be had, its name cannot. */
EXPORT function_fn *const f_hidden = hidden;

/* A sign of life: the file appears. */
static void appear(const char *path)
{
        FILE *f = path ? fopen(path, "we") : NULL;

        if (f)
                fclose(f);
}

/* Its input, and it is in no hurry. */
int f_copy(void *arg, struct sluice_stream *io)
{
        static char data[100000];
        ssize_t n;

        (void)arg;
        while ((n = sluice_read(io, data, sizeof(data))) > 0) {
                n = sluice_write(io, data, (size_t)n);
                if (n < 0)
                        break;
        }
        return (int)n;
}

/* Its argument. */
int f_say(void *arg, struct sluice_stream *io)
{
        ssize_t n = sluice_write(io, arg, strlen(arg));

        return n < 0 ? (int)n : 0;
}

int f_returns(void *arg, struct sluice_stream *io)
{
        (void)io;
        return atoi(arg);
}

static volatile int *volatile nowhere;

int f_segfault(void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        *nowhere = 1;
        return 0;
}

int f_abort(void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        abort();
}

int f_exit(void *arg, struct sluice_stream *io)
{
        (void)io;
        exit(atoi(arg));
}

int f_exit_group(void *arg, struct sluice_stream *io)
{
        (void)io;
        _exit(atoi(arg));
}

/* Neither reads nor writes. */
int f_until_cancelled(void *arg, struct sluice_stream *io)
{
        appear(arg);
        while (!sluice_cancelled(io))
                usleep(1000);
        return 0;
}

int f_deaf(void *arg, struct sluice_stream *io)
{
        (void)io;
        signal(SIGTERM, SIG_IGN);
        appear(arg);
        for (;;)
                pause();
}

int f_endless(void *arg, struct sluice_stream *io)
{
        static const char data[7777] = "endless";
        ssize_t n;

        appear(arg);
        do
                n = sluice_write(io, data, sizeof(data));
        while (n > 0);
        return (int)n;
}

/* Numbers its lines, of at most argument bytes. */
int f_lines(void *arg, struct sluice_stream *io)
{
        size_t cap = (size_t)atoi(arg) + 1;
        char *line = malloc(cap), text[32];
        ssize_t n;

        while ((n = sluice_readline(io, line, cap)) > 0) {
                int bytes = snprintf(text, sizeof(text), "%d ", (int)sluice_line_number(io));

                if (sluice_write(io, text, (size_t)bytes) < 0 || sluice_write(io, line, (size_t)n) < 0)
                        break;
        }
        free(line);
        return (int)n;
}

/* Says its argument on stderr, and fails. */
int f_whines(void *arg, struct sluice_stream *io)
{
        (void)io;
        fprintf(stderr, "first line\n%s\n", (const char *)arg);
        return -EIO;
}

static void crash(void)
{
        raise(SIGBUS);
}

int f_crash_later(void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        atexit(crash);
        return 0;
}

int f_waits_for_input(void *arg, struct sluice_stream *io)
{
        ssize_t n;
        char c;

        appear(arg);
        n = sluice_read(io, &c, 1);
        return n < 0 ? (int)n : 0;
}

int f_pid(void *arg, struct sluice_stream *io)
{
        char text[32];
        int n = snprintf(text, sizeof(text), "%d", getpid());

        (void)arg;
        return sluice_write(io, text, (size_t)n) < 0 ? -EIO : 0;
}

/* Has enough after a byte. */
int f_stops_reading(void *arg, struct sluice_stream *io)
{
        char c;

        (void)arg;
        sluice_read(io, &c, 1);
        return SLUICE_FINISH_EARLY;
}

/* Whatever it has that nobody gave it. */
int f_closes_everything(void *arg, struct sluice_stream *io)
{
        (void)arg;
        for (int fd = 3; fd < 64; fd++)
                close(fd);
        return sluice_write(io, "", 0) < 0 ? -EIO : -ENOTUNIQ;
}

/* Leaves a process behind that hears nothing, and says which. */
int f_grandchild(void *arg, struct sluice_stream *io)
{
        pid_t pid = fork();
        char text[32];

        (void)arg;
        if (pid == 0) {
                signal(SIGTERM, SIG_IGN);
                close(0);
                close(1);
                for (;;)
                        pause();
        }
        return sluice_write(io, text, (size_t)snprintf(text, sizeof(text), "%d", pid)) < 0 ? -EIO : 0;
}

int f_say_variable(void *arg, struct sluice_stream *io)
{
        char text[256], directory[100];
        int n = snprintf(text, sizeof(text), "%s in %s", getenv(arg), getcwd(directory, sizeof(directory)));

        return sluice_write(io, text, (size_t)n) < 0 ? -EIO : 0;
}

static void *volatile eaten; /* or clang sees that nobody looks at it, and does not eat */

int f_eats(void *arg, struct sluice_stream *io)
{
        (void)arg;
        for (;;) {
                eaten = memset(malloc(1 << 20), 1, 1 << 20);
                if (sluice_cancelled(io))
                        return -ECANCELED;
                usleep(1000);
        }
}

int f_kills_itself(void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        kill(getpid(), SIGKILL);
        return 0;
}

/* Takes its time to end well. */
int f_leaves_a_note(void *arg, struct sluice_stream *io)
{
        char c;
        FILE *f;

        appear(arg);
        while (!sluice_cancelled(io))
                usleep(1000);
        if (sluice_read(io, &c, 1) != -ECANCELED || sluice_write(io, "x", 1) != -ECANCELED)
                return -EPROTO;
        usleep(100000);
        f = fopen(arg, "we");
        fputs("cancelled\n", f);
        fclose(f);
        return -ECANCELED;
}

int f_floods(void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        for (int i = 0; i < 100000; i++)
                fprintf(stderr, "line %d\n", i);
        return 0;
}

int f_with_a_name_that_is_longer_than_what_is_read_of_it_at_a_time_which_is_not_much_and_even_so_it_is_told_apart(
        void *arg, struct sluice_stream *io)
{
        (void)arg;
        (void)io;
        return 0;
}

/* The sheet is memory that it shares with the host. */
static unsigned char *find_sheet(void)
{
        FILE *f = fopen("/proc/self/maps", "re");
        char line[512];
        unsigned long at = 0;

        while (f && !at && fgets(line, sizeof(line), f))
                if (strstr(line, "/memfd:sluice-sheet"))
                        at = strtoul(line, NULL, 16);
        if (f)
                fclose(f);
        return (unsigned char *)at;
}

/* Its argument: an exit status, or -1 to return; where; and bytes in hexadecimal digits for what it is to say of itself. */
int f_scribbles(void *arg, struct sluice_stream *io)
{
        unsigned char *sheet = find_sheet();
        int status = -1, at = 0, used = 0;
        unsigned byte;

        (void)io;
        sscanf(arg, "%d %d %n", &status, &at, &used);
        for (const char *hex = (const char *)arg + used; sheet && at < 4096 && sscanf(hex, "%2x", &byte) == 1; hex += 2)
                sheet[at++] = (unsigned char)byte;
        if (status >= 0)
                _exit(status);
        return sheet ? 0 : -ENXIO;
}
