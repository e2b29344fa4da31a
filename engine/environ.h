/* engine/environ.h: an environment while it is made. */
#ifndef SLUICE_ENGINE_ENVIRON_H
#define SLUICE_ENGINE_ENVIRON_H

#include <stddef.h>

#include <sluice/sluice.h>

struct sluice_environ {
        char **v; /* "NAME=VALUE", NULL at the end; ours */
        size_t nr, cap;
};

/* Starts from `base`: entries without '=' pass through, of two with one name the last counts. -ENOMEM. */
int environ_init(struct sluice_environ *e, char *const *base);
/* In order; later wins. */
int environ_apply(struct sluice_environ *e, const struct sluice_env *changes, size_t nr);
void environ_fini(struct sluice_environ *e);

/* Copies of changes, for who keeps them longer than they were lent. */
int env_copy(struct sluice_env **ret, const struct sluice_env *changes, size_t nr);
void env_free(struct sluice_env *changes, size_t nr);
/* -EINVAL for a change that can never be made. */
int env_check(const struct sluice_env *changes, size_t nr);

#endif
