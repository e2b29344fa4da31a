/* engine/serve.c: see serve.h. Called by worker_main.c, and by worker.c in a fork of the host; calls stream.c. Knows nothing
 * of runs. */
#include "serve.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stream.h"

/* For the handler, which is given nothing else. */
static struct sluice_stream *served;

int serve_refuse(struct worker_sheet *sheet, int error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(sheet->words, sizeof(sheet->words), format, args);
        va_end(args);
        sheet->result = error;
        sheet->state = WORKER_REFUSED;
        return WORKER_REFUSED_STATUS;
}

static void on_term(int signal)
{
        int saved = errno;

        (void)signal;
        stream_cancel(served);
        errno = saved;
}

/* A broken pipe and a file that has grown too large are errors of sluice_write(), as they are on a thread. */
static void set_signals(void)
{
        struct sigaction a = { .sa_handler = SIG_IGN };
        sigset_t term;

        sigaction(SIGPIPE, &a, NULL);
        sigaction(SIGXFSZ, &a, NULL);
        a.sa_handler = on_term;
        a.sa_flags = SA_RESTART;
        sigaction(SIGTERM, &a, NULL);
        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        sigprocmask(SIG_UNBLOCK, &term, NULL); /* held since the process began: one that came meanwhile is answered now */
}

int serve(struct worker_sheet *sheet, serve_fn *fn, void *arg)
{
        struct sluice_stream *io = stream_new();
        int r = io ? 0 : -ENOMEM;

        if (r == 0) {
                io->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                r = io->cancel_fd < 0 ? -errno : 0;
        }
        for (int i = 0; i < 2; i++)
                r = r < 0 ? r : stream_take(io, i, i, sheet->ours[i]);
        if (r < 0)
                return serve_refuse(sheet, r, "it cannot begin");
        served = io;
        set_signals();
        sheet->result = fn(arg, io);
        sheet->state = WORKER_RETURNED;
        return 0;
}
