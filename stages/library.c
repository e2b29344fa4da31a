/* stages/library.c: see library.h. The one place where stages load code. */
#include "library.h"

#include <dlfcn.h>
#include <errno.h>

int library_load(const char *file, const struct library_symbol *symbols, size_t nr, const char **ret_why)
{
        void *object = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        int r = 0;

        if (!object) {
                *ret_why = dlerror();
                return -ENOENT;
        }
        for (size_t i = 0; i < nr; i++) {
                *(void **)symbols[i].at = dlsym(object, symbols[i].name);
                if (!*(void **)symbols[i].at)
                        r = -ENOPKG;
        }
        dlclose(object); /* it stays: RTLD_NODELETE */
        return r;
}
