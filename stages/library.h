/* stages/library.h: shared objects that are loaded when a stage that needs one is added: no other start pays for them. */
#ifndef SLUICE_STAGES_LIBRARY_H
#define SLUICE_STAGES_LIBRARY_H

#include <stddef.h>

struct library_symbol {
        void *at; /* where its address goes: a pointer to a pointer */
        const char *name;
};

/* On the thread that adds the stage, never from a hook: it reads files. The object is never unloaded. -ENOENT: it cannot be
 * loaded, and *ret_why (until the next call) says why; -ENOPKG: it lacks a symbol. */
int library_load(const char *file, const struct library_symbol *symbols, size_t nr, const char **ret_why);

/* Which loaded object has `address`, and by what name; both stay as long as the object. -EINVAL: it is the program's, or it
 * has no name that others could find it by (static). */
int library_find(const void *address, const char **ret_object, const char **ret_symbol);

#endif
