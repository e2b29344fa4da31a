/* bench/load_find.c: which processes are the relay, when nobody says: those that listen where the clients connect to, without those
 * that another of them has forked. Reads /proc; of other users' processes it sees nothing. */
#include "load.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOCKETS_MAX = 256, LISTENS = 0x0a };

struct sockets {
        unsigned long inodes[SOCKETS_MAX];
        size_t nr;
};

/* Of any address: two relays on one port are more than anybody needs. */
static void sockets_add(struct sockets *s, const char *table, unsigned port)
{
        FILE *f = fopen(table, "re");
        char line[512];

        while (f && fgets(line, sizeof(line), f)) {
                unsigned at = 0, state = 0;
                unsigned long inode = 0;

                if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu", &at, &state, &inode) != 3)
                        continue;
                if (at == port && state == LISTENS && s->nr < SOCKETS_MAX)
                        s->inodes[s->nr++] = inode;
        }
        if (f)
                fclose(f);
}

static bool sockets_hold(const struct sockets *s, const char *link)
{
        unsigned long inode;

        if (sscanf(link, "socket:[%lu]", &inode) != 1)
                return false;
        for (size_t i = 0; i < s->nr; i++)
                if (s->inodes[i] == inode)
                        return true;
        return false;
}

static bool process_holds(pid_t pid, const struct sockets *s)
{
        char folder[64], link[64];
        struct dirent *entry;
        bool holds = false;
        DIR *fds;

        snprintf(folder, sizeof(folder), "/proc/%d/fd", pid);
        fds = opendir(folder);
        while (fds && !holds && (entry = readdir(fds))) {
                ssize_t n = readlinkat(dirfd(fds), entry->d_name, link, sizeof(link) - 1);

                link[n > 0 ? n : 0] = 0;
                holds = sockets_hold(s, link);
        }
        if (fds)
                closedir(fds);
        return holds;
}

/* Negative: the process has ended. */
static pid_t parent_of(pid_t pid)
{
        char path[64], text[512], *name_end;
        int parent = -1;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        f = fopen(path, "re");
        if (!f)
                return -1;
        name_end = fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
        if (!name_end || sscanf(name_end + 1, " %*c %d", &parent) != 1)
                parent = -1;
        fclose(f);
        return parent;
}

static bool is_among(pid_t pid, const pid_t *pids, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                if (pids[i] == pid)
                        return true;
        return false;
}

/* All that hold one of the sockets: as many as there is room for. */
static size_t holders_find(const struct sockets *s, pid_t *ret, size_t cap)
{
        DIR *processes = opendir("/proc");
        struct dirent *entry;
        size_t nr = 0;

        while (processes && nr < cap && (entry = readdir(processes))) {
                pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

                if (pid > 0 && pid != getpid() && process_holds(pid, s))
                        ret[nr++] = pid;
        }
        if (processes)
                closedir(processes);
        return nr;
}

int relay_find(struct load_options *o)
{
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&o->connect.where; /* the port lies where v6 has it */
        struct sockets sockets = { .nr = 0 };
        pid_t holders[LOAD_PIDS_MAX];
        size_t nr;

        sockets_add(&sockets, "/proc/net/tcp", ntohs(v4->sin_port));
        sockets_add(&sockets, "/proc/net/tcp6", ntohs(v4->sin_port));
        nr = holders_find(&sockets, holders, LOAD_PIDS_MAX);
        for (size_t i = 0; i < nr && o->pids_nr < LOAD_PIDS_MAX; i++) {
                pid_t parent = parent_of(holders[i]);

                /* What ends meanwhile was forked for a connection, as net_wait() made one: later it would be a relay that is gone. */
                if (parent >= 0 && !is_among(parent, holders, nr))
                        o->pids[o->pids_nr++] = holders[i];
        }
        return o->pids_nr ? 0 : -ESRCH;
}
