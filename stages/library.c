/* stages/library.c: see library.h. The one place where stages load code. */
#include "library.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>

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

int library_find(const void *address, const char **ret_object, const char **ret_symbol)
{
        struct link_map *map;
        Dl_info info;

        if (dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) == 0 || !map->l_name[0])
                return -EINVAL; /* nobody's; the program's */
        if (info.dli_saddr != address)
                return -EINVAL;
        *ret_object = map->l_name;
        *ret_symbol = info.dli_sname;
        return 0;
}
