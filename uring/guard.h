/* uring/guard.h: the host's side of the guard (guard_main.c): a process that is the parent of commands in our place.
 *
 * What it is for: it ends them when we die; what they leave behind becomes its child and can be found; the host's own
 * children, its SIGCHLD and its waitpid(-1) are out of the game.
 *
 * Requests are short and synchronous (about 40 us for a command); events come by a socket to be polled. */
#ifndef SLUICE_URING_GUARD_H
#define SLUICE_URING_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "guard_wire.h"

struct guard;

/* Starts one (~0.4 ms). `pidns`: as init of a PID namespace of its own. -EPERM (pidns without CAP_SYS_ADMIN), -ENOMEM,
 * -EMFILE, -EACCES (its program may not be executed: vm.memfd_noexec, and none is installed). */
int guard_new(struct guard **ret, bool pidns);
/* It leaves: commands that still run die with it, what they left behind is left alone (PID namespace: killed). Waits for its end. NULL is allowed. */
void guard_free(struct guard *g);
/* As spawn_direct(), by the guard; s->id is the batch's and the member's (guard_wire.h). -EPIPE with SPAWN_GUARD: it is gone. Any thread.
 * With s->async nothing is waited for: s->pid, pidfd and error are known after guard_confirm(), and *s must stay. One
 * thread; the members of a batch are all begun so, or none. */
int guard_spawn(struct guard *g, struct spawn *s);
/* What came of the commands of a batch that were begun. 0: all run. 1: *ret_member has failed, with *ret_error at
 * *ret_failed; ask again for the next. -EPIPE. */
int guard_confirm(struct guard *g, uint64_t batch, int *ret_member, int *ret_error, enum spawn_step *ret_failed);
/* Tells it something that is not answered: SIGNAL, KILL, TELL, REAP, FORGET. -EPIPE: it is gone. */
int guard_tell(struct guard *g, enum guard_kind kind, uint64_t id, int signal);
/* A cgroup that is to end with us, by its name in the directory `parent`. To be told before it is made. */
int guard_leaf(struct guard *g, uint64_t id, int parent, const char *name);
/* Readable when guard_next() has something to say. The guard's to close. */
int guard_fd(const struct guard *g);
/* 1: *ret is the next event. 0: there is none now. -EPIPE: it is gone. Never waits. */
int guard_next(struct guard *g, struct guard_event *ret);
pid_t guard_pid(const struct guard *g);

#endif
