/* tools/job.c: what a shell expects of a job: Ctrl-C, Ctrl-Z, fg, and a signal that ends everything.
 *
 * The commands of a pipeline are in a process group of their own. When one of them has the terminal, the terminal's
 * keys reach that group and not us: we learn of its stop by SIGCHLD, stop ourselves, so that the shell sees its job
 * stop, and start the group again when we are continued. When none has it, the keys reach us and we pass them on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools.h"

static struct sluice_loop *loop;
static struct sluice_cancel *cancel;
static int terminal = -1;
static pid_t handed_to;
static bool guarded;
static sigset_t handled; /* signals whose handler is ours now */
static bool handed;      /* a command has the terminal from us */
static bool rest_told;   /* of this stop */
static volatile sig_atomic_t ended_by, child_changed, stop_asked, ends_seen;

static void on_end(int signal)
{
        if (!ended_by)
                ended_by = signal;
        /* Whoever asks three times means it: a thread of ours may hang in a lock that a stranger holds. */
        if (++ends_seen >= 3)
                _exit(EXIT_SIGNAL + signal);
        sluice_cancel_fire(cancel);
}

static void on_child(int signal)
{
        (void)signal;
        child_changed = 1;
        sluice_loop_wake(loop);
}

static void on_stop(int signal)
{
        stop_asked = signal;
        sluice_loop_wake(loop);
}

static void handle(int signal, void (*handler)(int))
{
        struct sigaction now, sa = { .sa_handler = handler, .sa_flags = SA_RESTART };

        /* What we were started to ignore (nohup, a background job of an old shell) stays ignored. */
        if (sigaction(signal, NULL, &now) == 0 && now.sa_handler == SIG_IGN && handler != on_child)
                return;
        sigfillset(&sa.sa_mask);
        if (sigaction(signal, &sa, NULL) == 0)
                sigaddset(&handled, signal);
}

void job_begin(struct sluice_loop *l, struct sluice_cancel *c, bool has_guard)
{
        guarded = has_guard;
        loop = l;
        cancel = c;
        handle(SIGINT, on_end);
        handle(SIGTERM, on_end);
        handle(SIGHUP, on_end);
        handle(SIGQUIT, on_end);
        handle(SIGCHLD, on_child);
        handle(SIGTSTP, on_stop);
}

int job_signal(void)
{
        return ended_by;
}

static void give_terminal(pid_t group)
{
        sigset_t ttou, saved;

        sigemptyset(&ttou);
        sigaddset(&ttou, SIGTTOU);
        sigprocmask(SIG_BLOCK, &ttou, &saved);
        tcsetpgrp(terminal, group);
        sigprocmask(SIG_SETMASK, &saved, NULL);
}

/* Only from our own commands: a shell that has it by now keeps it. */
static void take_terminal_back(void)
{
        if (handed && terminal >= 0 && tcgetpgrp(terminal) == handed_to)
                give_terminal(getpgrp());
        handed = false;
}

void job_end(void)
{
        static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGTSTP };

        take_terminal_back();
        if (terminal >= 0)
                close(terminal);
        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
                if (sigismember(&handled, ours[i]))
                        signal(ours[i], SIG_DFL);
        sigemptyset(&handled);
}

/* Stops this process as `signal` would have, and returns when it is continued. */
static void stop_self(int signal)
{
        struct sigaction sa = { .sa_handler = SIG_DFL }, old;
        sigset_t set, saved;

        sigemptyset(&set);
        sigaddset(&set, signal);
        sigaction(signal, &sa, &old);
        kill(0, signal); /* the whole group: a script that runs us is a part of the job */
        sigprocmask(SIG_UNBLOCK, &set, &saved);
        sigprocmask(SIG_SETMASK, &saved, NULL);
        sigaction(signal, &old, NULL);
}

/* The job stops as a whole and, when it is continued in the foreground, its commands have the terminal again. Told to
 * end meanwhile ("kill %1"), it has no use for it: in the background its readers would only stop once more. */
static void stop_job(pid_t group, int signal, bool wants_terminal)
{
        take_terminal_back();
        stop_self(signal);
        rest_told = false;
        handed = wants_terminal && !ended_by && tcgetpgrp(terminal) == getpgrp();
        handed_to = group;
        if (handed)
                give_terminal(group);
        if (group > 0)
                kill(-group, SIGCONT);
}

struct stops {
        int running, stopped;
        int by; /* the signal that stopped the last of them */
};

static struct stops count_stops(const struct sluice_pipeline *p)
{
        struct stops s = { 0 };

        for (int i = 0; i < sluice_pipeline_stages(p); i++) {
                int by = sluice_pipeline_stage_stopped(p, i);

                if (by == -ESRCH)
                        continue;
                s.running += by <= 0;
                s.stopped += by > 0;
                s.by = by > 0 ? by : s.by;
        }
        return s;
}

static bool for_want_of_terminal(int signal)
{
        return signal == SIGTTIN || signal == SIGTTOU;
}

static bool from_terminal(int signal)
{
        return signal == SIGTSTP || for_want_of_terminal(signal);
}

/* A key that came while the commands were being started reached those that were in their group by then: the others are
 * stopped too, or the one half would wait for the other and no shell would have its terminal back. Once: there are
 * programs that do not stop, and then the job does not. */
static void stop_the_rest(const struct sluice_pipeline *p, pid_t group, int by)
{
        if (rest_told || by != SIGTSTP || !sluice_pipeline_has_terminal(p) || tcgetpgrp(terminal) != group)
                return;
        rest_told = true;
        kill(-group, SIGTSTP);
}

/* A shell gives its terminal to our group at about the time at which we give it to theirs, and may be the later one. */
static bool hand_again(const struct sluice_pipeline *p, pid_t group, int by)
{
        if (!for_want_of_terminal(by) || !sluice_pipeline_has_terminal(p) || tcgetpgrp(terminal) != getpgrp())
                return false;
        give_terminal(group);
        kill(-group, SIGCONT);
        return true;
}

/* The commands were stopped by the terminal: the job stops with them. As a shell does, it waits for all of them: one that
 * has its SIGTSTP still before it may take the next line typed, which is the shell's. What stopped for want of the terminal
 * (started with "&", then brought to the front) is given it when we are continued in the foreground. Stopped otherwise, or
 * without a terminal from which anybody could go on with us, they are only waited for: a deadline must still pass. */
static void follow_stop(const struct sluice_pipeline *p, pid_t group)
{
        const struct stops s = count_stops(p);
        int by = s.by;

        if (s.stopped == 0) {
                rest_told = false;
                return;
        }
        if (ended_by) { /* it is being ended: nothing of it may wait for a terminal */
                kill(-group, SIGCONT);
                return;
        }
        if (terminal < 0)
                terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
        if (terminal < 0 || !from_terminal(by) || hand_again(p, group, by))
                return;
        if (s.running > 0) {
                stop_the_rest(p, group, by);
                return;
        }
        if (sluice_pipeline_has_terminal(p)) {
                handed = true;
                handed_to = group;
        }
        stop_job(group, SIGTSTP, handed || by == SIGTTIN || by == SIGTTOU);
}

static void pass_stop(pid_t group)
{
        if (group > 0)
                kill(-group, SIGTSTP);
        stop_job(group, SIGTSTP, handed);
}

void job_step(const struct sluice_pipeline *p)
{
        pid_t group = sluice_pipeline_group(p);

        /* A command whose parent is the guard raises no SIGCHLD here: the guard's word has ended the wait instead. */
        if (child_changed || guarded) {
                child_changed = 0;
                if (group > 0)
                        follow_stop(p, group);
        }
        if (stop_asked) {
                stop_asked = 0;
                pass_stop(group);
        }
}
