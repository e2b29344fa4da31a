/* engine/environ.c: see environ.h. Called by prepare.c, pipeline.c, plan.c and by functions of the host. Names are
 * unique at every step. */
#include "environ.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_name(const char *entry, const char *name, size_t bytes)
{
        return strncmp(entry, name, bytes) == 0 && entry[bytes] == '=';
}

static size_t find(const struct sluice_environ *e, const char *name, size_t bytes)
{
        for (size_t i = 0; i < e->nr; i++)
                if (has_name(e->v[i], name, bytes))
                        return i;
        return e->nr;
}

/* Takes `entry` over. */
static int add(struct sluice_environ *e, char *entry)
{
        if (!entry)
                return -ENOMEM;
        if (e->nr + 1 >= e->cap) {
                size_t cap = e->cap ? e->cap * 2 : 64;
                char **more = realloc(e->v, cap * sizeof(*more));

                if (!more) {
                        free(entry);
                        return -ENOMEM;
                }
                e->v = more;
                e->cap = cap;
        }
        e->v[e->nr++] = entry;
        e->v[e->nr] = NULL;
        return 0;
}

static void drop(struct sluice_environ *e, size_t i)
{
        if (i == e->nr)
                return;
        free(e->v[i]);
        memmove(&e->v[i], &e->v[i + 1], (e->nr - i) * sizeof(*e->v)); /* the NULL too */
        e->nr--;
}

int environ_init(struct sluice_environ *e, char *const *base)
{
        int r = 0;

        *e = (struct sluice_environ){ 0 };
        for (size_t i = 0; r == 0 && base && base[i]; i++) {
                const char *equals = strchr(base[i], '=');

                if (equals)
                        drop(e, find(e, base[i], (size_t)(equals - base[i])));
                r = add(e, strdup(base[i]));
        }
        if (r == 0 && !e->v) {
                e->v = calloc(1, sizeof(*e->v));
                e->cap = 1;
                r = e->v ? 0 : -ENOMEM;
        }
        if (r < 0)
                environ_fini(e);
        return r;
}

void environ_fini(struct sluice_environ *e)
{
        for (size_t i = 0; i < e->nr; i++)
                free(e->v[i]);
        free(e->v);
        *e = (struct sluice_environ){ 0 };
}

static bool is_name(const char *name)
{
        return name && *name && !strchr(name, '=');
}

const char *sluice_environ_get(const struct sluice_environ *e, const char *name)
{
        size_t bytes = strlen(name), i = find(e, name, bytes);

        return i < e->nr ? e->v[i] + bytes + 1 : NULL;
}

int sluice_environ_set(struct sluice_environ *e, const char *name, const char *value)
{
        char *entry = NULL;

        if (!is_name(name))
                return -EINVAL;
        if (value && asprintf(&entry, "%s=%s", name, value) < 0)
                return -ENOMEM;
        drop(e, find(e, name, strlen(name)));
        return value ? add(e, entry) : 0;
}

int environ_apply(struct sluice_environ *e, const struct sluice_env *changes, size_t nr)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < nr; i++)
                r = changes[i].name ? sluice_environ_set(e, changes[i].name, changes[i].value) : changes[i].fn(changes[i].arg, e);
        return r < 0 ? r : 0;
}

/* ---- changes ---- */

int env_check(const struct sluice_env *changes, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                if (changes[i].name ? !is_name(changes[i].name) : !changes[i].fn)
                        return -EINVAL;
        return 0;
}

void env_free(struct sluice_env *changes, size_t nr)
{
        for (size_t i = 0; changes && i < nr; i++) {
                free((void *)(uintptr_t)changes[i].name);
                free((void *)(uintptr_t)changes[i].value);
        }
        free(changes);
}

int env_copy(struct sluice_env **ret, const struct sluice_env *changes, size_t nr)
{
        struct sluice_env *copy = nr ? calloc(nr, sizeof(*copy)) : NULL;

        if (nr && !copy)
                return -ENOMEM;
        for (size_t i = 0; i < nr; i++) {
                copy[i].fn = changes[i].fn;
                copy[i].arg = changes[i].arg;
                copy[i].name = changes[i].name ? strdup(changes[i].name) : NULL;
                copy[i].value = changes[i].value ? strdup(changes[i].value) : NULL;
                if ((changes[i].name && !copy[i].name) || (changes[i].value && !copy[i].value)) {
                        env_free(copy, nr);
                        return -ENOMEM;
                }
        }
        *ret = copy;
        return 0;
}
