/* tools/children.c: see children.h. */
#include "children.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STRANGERS_MAX = 64 };

static pid_t strangers[STRANGERS_MAX];
static size_t strangers_nr;

/* Of a process, from /proc: the field behind its name in parentheses and its state. */
static pid_t parent_of(pid_t pid)
{
        char path[64], text[512], *after;
        int parent = -1;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return -1;
        if (fgets(text, sizeof(text), f) && (after = strrchr(text, ')')) && sscanf(after + 1, " %*c %d", &parent) != 1)
                parent = -1;
        fclose(f);
        return parent;
}

bool children_is_stranger(pid_t pid)
{
        for (size_t i = 0; i < strangers_nr; i++)
                if (strangers[i] == pid)
                        return true;
        return false;
}

size_t children_each(bool (*fn)(pid_t pid, const void *arg), const void *arg)
{
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        size_t n = 0;

        while (proc && (entry = readdir(proc))) {
                pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

                if (pid > 0 && parent_of(pid) == getpid() && !children_is_stranger(pid) && fn(pid, arg))
                        n++;
        }
        if (proc)
                closedir(proc);
        return n;
}

static bool add_stranger(pid_t pid, const void *arg)
{
        (void)arg;
        if (strangers_nr < STRANGERS_MAX)
                strangers[strangers_nr++] = pid;
        return true;
}

int children_begin(void)
{
        return children_each(add_stranger, NULL) > STRANGERS_MAX ? -E2BIG : 0;
}

bool children_has_strangers(void)
{
        return strangers_nr > 0;
}
