/* stages/plugin.c: so:PATH: a stage from a shared object, which is loaded when the stage is added and never unloaded: its
 * hooks may be called as long as a pipeline lives. What does not fit is refused by name before any of its code runs (but
 * for constructors of its own, which the loader runs: load only what you would run). Calls library.c. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <sluice/stages.h>

#include "library.h"
#include "text.h"

enum { PATH_SHOWN = 50 };

/* A path may be longer than the line that has room for it: its end tells more than its beginning. */
static const char *short_path(const char *path)
{
        size_t bytes = strlen(path);

        return bytes > PATH_SHOWN ? path + bytes - PATH_SHOWN : path;
}

static int has_hooks(const struct sluice_stage_ops *ops)
{
        return ops->name && ops->config_copy && ops->describe && ops->open && ops->close;
}

/* What is wrong with it goes to `why`; 0: nothing. */
static int check(const char *path, const struct sluice_plugin *p, char *why, size_t cap)
{
        path = short_path(path);
        if (!p)
                snprintf(why, cap, "%s has no symbol 'sluice_plugin' (the macro SLUICE_PLUGIN makes it)", path);
        else if (p->abi != SLUICE_PLUGIN_ABI)
                snprintf(why, cap, "%s is built for version %zu of the plug-in interface, this is version %d: build it anew", path,
                         p->abi, SLUICE_PLUGIN_ABI);
        else if (p->size != sizeof(*p))
                snprintf(why, cap, "%s says of itself in %zu bytes what this sluice wants in %zu: build it anew", path, p->size,
                         sizeof(*p));
        else if (!p->ops || p->ops->size != sizeof(*p->ops))
                snprintf(why, cap, "%s has a table of hooks of %zu bytes, this sluice one of %zu: build it anew", path,
                         p->ops ? p->ops->size : 0, sizeof(*p->ops));
        else if (!has_hooks(p->ops))
                snprintf(why, cap, "%s lacks a hook that is required (name, config_copy, describe, open, close)", path);
        else
                return 0;
        return -ENOEXEC;
}

int sluice_add_plugin(struct sluice_pipeline *p, const char *path, const char *arguments, char *why, size_t cap)
{
        const struct sluice_plugin *plugin = NULL;
        const struct library_symbol symbol = { &plugin, "sluice_plugin" };
        const char *reason = "";
        int r = library_load(path, &symbol, 1, &reason);

        if (r == -ENOENT) {
                /* The loader begins with the path, which is said already. */
                const char *cause = strstr(reason, ": ");

                snprintf(why, cap, "%s: %.90s", short_path(path), cause ? cause + 2 : reason);
                return r;
        }
        r = check(path, plugin, why, cap);
        if (r < 0)
                return r;
        if (cap)
                why[0] = '\0';
        r = sluice_pipeline_add(p, plugin->ops, arguments ? arguments : "", plugin->ops->name);
        if (r == -EINVAL)
                snprintf(why, cap, "%s does not take '%.60s'", short_path(path), arguments ? arguments : "");
        return r;
}

/* Options are the plug-in's own: they reach it as they were written, joined by commas. */
/* Whether all of it has room. */
static bool join(const struct sluice_option *options, size_t nr, char *buf, size_t cap)
{
        size_t at = 0;

        buf[0] = '\0';
        for (size_t i = 0; i < nr && at < cap; i++)
                at += (size_t)snprintf(buf + at, cap - at, "%s%s%s%s", i ? "," : "", options[i].name, options[i].value ? "=" : "",
                                       options[i].value ? options[i].value : "");
        return at < cap;
}

static int add(struct sluice_pipeline *p, const char *argument, const struct sluice_option *options, size_t options_nr,
               struct sluice_text_error *e)
{
        char path[4096], arguments[1024], why[160];
        int r;

        if (!*argument)
                return text_fail(e, 0, "so: takes the path of a shared object");
        /* Without a slash dlopen() would look everywhere but here. */
        if (snprintf(path, sizeof(path), "%s%s", strchr(argument, '/') ? "" : "./", argument) >= (int)sizeof(path))
                return text_fail(e, 0, "so: %s", strerror(ENAMETOOLONG)); /* cut, it would be another's */
        if (!join(options, options_nr, arguments, sizeof(arguments)))
                return text_fail(e, 1, "so: the arguments are longer than %zu bytes", sizeof(arguments) - 1);
        r = sluice_add_plugin(p, path, arguments, why, sizeof(why));
        return r < 0 && why[0] ? text_fail(e, 0, "%s", why) : r;
}

const struct text_type text_plugin = { { "so", "so:PATH[,ARGUMENTS]", "a stage from a shared object" }, add };
