/* engine/contain.h: how a run finds every process that its commands made, and knows that none is left. */
#ifndef SLUICE_ENGINE_CONTAIN_H
#define SLUICE_ENGINE_CONTAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/sluice.h>

#include "cgroup.h"
#include "list.h"
#include "spawn.h"

struct run;
struct sluice_ctx;
struct sluice_loop;
struct loop_guard;

enum { CONTAIN_SEEN_MAX = 256 };

struct contain {
        enum sluice_contain kind; /* in use; AUTO: nothing was started yet */
        struct cgroup leaf;
        bool decided;
        bool split; /* every command has a cgroup of its own below the leaf: memory is watched */
        struct loop_guard *guard;
        struct list node; /* in the guard's runs */
        uint64_t id;
        bool asked, empty; /* GUARD: told to say when nothing is below it; it has */
        bool told;         /* ... and was given a moment to */
        int *seen;         /* WALK: pidfds of the descendants that were found; NULL: none was */
        unsigned seen_nr;
        bool guarded, strays; /* for the statistics */
};

void contain_init(struct contain *c);
/* Before the first command starts. -ENOTSUP and the like where what was asked for cannot be had. */
int contain_begin(struct run *r);
/* Where this command starts, and whose child it is. */
int contain_spawn(struct sluice_ctx *c, struct spawn *s);
/* What came of the commands that the guard has begun: as guard_confirm(). */
int contain_confirm(struct run *r, int *ret_stage, int *ret_error, enum spawn_step *ret_failed);
/* The leader of the commands' process group, a child of the guard, may go. */
void contain_reap(struct sluice_ctx *c);
/* WALK: finds what descends from the commands now. Before they are signalled: what they leave is found no more. */
void contain_look(struct run *r);
/* A signal to everything that is contained. */
void contain_signal(struct run *r, int signal);
/* Whether nothing that is contained lives. May be asked again and again. */
bool contain_is_empty(struct run *r);
/* Lets go of everything but what is still in the kernel; then, once that is quiet, of the rest. */
void contain_end(struct run *r);
bool contain_is_quiet(const struct run *r);
void contain_fini(struct run *r);
/* The commands are reached by contain_signal(): no need to signal each. */
bool contain_reaches(const struct sluice_ctx *c);

/* Below which process all is found that descends from a command: below the guard, when it has that command alone. */
pid_t contain_tree_root(const struct sluice_ctx *c);

/* Guards of a loop. */
void guards_fini(struct sluice_loop *l);

/* The best that can be had here, for `sluice doctor`: in words. */
enum sluice_contain contain_probe(char *ret_why, size_t cap);

#endif
