/* tests/sim/sim_file.c: files: pages that a splice shares with a pipe, so that what is written underneath later arrives.
 *
 * Into a file everything is copied. A full disk takes what it can; what it did not take stays where it was.
 * Called by sim_calls.c and backend_sim.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_kernel.h"

struct sim_inode *sim_inode_new(struct sim *k, const char *name)
{
        struct sim_inode *i = calloc(1, sizeof(*i));

        if (!i)
                sim_fail(k, "no memory");
        i->sim = k;
        i->number = ++k->inodes_made;
        if (name) {
                snprintf(i->name, sizeof(i->name), "%s", name);
                i->refs = 1;
                i->next = k->inodes;
                k->inodes = i;
        }
        return i;
}

struct sim_inode *sim_inode_find(struct sim *k, const char *name)
{
        struct sim_inode *i = k->inodes;

        while (i && strcmp(i->name, name) != 0)
                i = i->next;
        return i;
}

void sim_inode_unref(struct sim_inode *i)
{
        if (--i->refs > 0)
                return;
        for (size_t p = 0; p < i->pages_nr; p++)
                if (i->pages[p])
                        sim_page_unref(i->sim, i->pages[p]);
        free(i->pages);
        free(i);
}

void sim_inode_unname(struct sim_inode *i)
{
        struct sim_inode **at = &i->sim->inodes;

        while (*at != i)
                at = &(*at)->next;
        *at = i->next;
        i->name[0] = '\0';
        sim_inode_unref(i);
}

static struct sim_page *page_of(struct sim_inode *i, int64_t at)
{
        struct sim *k = i->sim;
        size_t index = (size_t)at / k->config.page_bytes;

        if (index >= i->pages_nr) {
                size_t nr = index + 1 + i->pages_nr / 2;
                struct sim_page **more = realloc(i->pages, nr * sizeof(*more));

                if (!more)
                        sim_fail(k, "no memory");
                memset(more + i->pages_nr, 0, (nr - i->pages_nr) * sizeof(*more));
                i->pages = more;
                i->pages_nr = nr;
        }
        if (!i->pages[index]) {
                i->pages[index] = sim_page_new(k, k->config.page_bytes);
                memset(i->pages[index]->data, 0, k->config.page_bytes);
        }
        return i->pages[index];
}

/* Bytes from `at` on that lie in one page, and before the end. */
static uint32_t run_at(const struct sim_inode *i, int64_t at, size_t bytes, int64_t end)
{
        uint32_t in_page = i->sim->config.page_bytes - (uint32_t)(at % i->sim->config.page_bytes);

        if (bytes < in_page)
                in_page = (uint32_t)bytes;
        return end - at < in_page ? (uint32_t)(end - at) : in_page;
}

ssize_t sim_file_read(struct sim_inode *i, int64_t at, void *data, size_t bytes)
{
        size_t done = 0;

        while (done < bytes && at < i->size) {
                uint32_t n = run_at(i, at, bytes - done, i->size);

                memcpy((uint8_t *)data + done, page_of(i, at)->data + at % i->sim->config.page_bytes, n);
                done += n;
                at += n;
        }
        return (ssize_t)done;
}

/* How many of these bytes the disk takes. */
static int64_t disk_takes(struct sim_inode *i, int64_t at, size_t bytes)
{
        int64_t more = at + (int64_t)bytes - i->size, left = i->sim->config.disk_bytes;

        if (left < 0 || more <= left)
                return (int64_t)bytes;
        return more - left >= (int64_t)bytes ? -ENOSPC : (int64_t)bytes - (more - left);
}

static void put(struct sim_inode *i, int64_t at, const uint8_t *data, size_t bytes)
{
        size_t done = 0;

        while (done < bytes) {
                uint32_t n = run_at(i, at, bytes - done, INT64_MAX);

                memcpy(page_of(i, at)->data + at % i->sim->config.page_bytes, data + done, n);
                done += n;
                at += n;
        }
        if (at > i->size) {
                if (i->sim->config.disk_bytes >= 0)
                        i->sim->config.disk_bytes -= at - i->size;
                i->size = at;
        }
        sim_changed(i->sim);
}

static void note_full(struct sim *k)
{
        k->struck |= 1u << SIM_NOSPACE;
}

ssize_t sim_file_write(struct sim_inode *i, int64_t at, const void *data, size_t bytes)
{
        int64_t n = disk_takes(i, at, bytes);

        if (n < (int64_t)bytes)
                note_full(i->sim);
        if (n > 0)
                put(i, at, data, (size_t)n);
        return n;
}

ssize_t sim_file_to_pipe(struct sim_inode *i, int64_t at, struct sim_pipe *to, size_t bytes, bool direct)
{
        size_t done = 0;

        if (!to->readers)
                return -EPIPE;
        if (sim_is(i->sim, SIM_BAD_EOF_BEFORE_FULL) && at >= i->size)
                return 0;
        if (sim_pipe_full(to))
                return -EAGAIN;
        while (done < bytes && at < i->size && !sim_pipe_full(to)) {
                uint32_t n = run_at(i, at, bytes - done, i->size);
                struct sim_page *page = page_of(i, at);

                if (direct || sim_is(i->sim, SIM_BAD_SNAPSHOT)) {
                        struct sim_page *copy = sim_page_new(i->sim, page->bytes);

                        memcpy(copy->data, page->data, page->bytes);
                        page = copy;
                } else {
                        sim_page_ref(page);
                }
                sim_pipe_push(to, page, (uint32_t)(at % i->sim->config.page_bytes), n, false);
                done += n;
                at += n;
        }
        return (ssize_t)done;
}

ssize_t sim_file_from_pipe(struct sim_inode *i, int64_t at, struct sim_pipe *from, size_t bytes)
{
        size_t done = 0;

        if (from->nr == 0)
                return from->writers ? -EAGAIN : 0;
        while (done < bytes && from->nr) {
                struct sim_slot *s = sim_pipe_first(from);
                uint32_t n = bytes - done < s->bytes ? (uint32_t)(bytes - done) : s->bytes;
                ssize_t w = sim_file_write(i, at, s->page->data + s->at, n);

                if (w < 0)
                        return done ? (ssize_t)done : w;
                if (w < n && sim_is(i->sim, SIM_BAD_SHORT_DROPS))
                        sim_pipe_drop(from, n - (uint32_t)w);
                sim_pipe_drop(from, (uint32_t)w);
                done += (size_t)w;
                at += w;
                if (w < n)
                        break;
        }
        return (ssize_t)done;
}

int sim_file_truncate(struct sim_inode *i, int64_t length)
{
        uint32_t page_bytes = i->sim->config.page_bytes;

        for (size_t p = (size_t)((length + page_bytes - 1) / page_bytes); p < i->pages_nr; p++) {
                if (i->pages[p])
                        sim_page_unref(i->sim, i->pages[p]);
                i->pages[p] = NULL;
        }
        if (length % page_bytes && length < i->size)
                memset(page_of(i, length)->data + length % page_bytes, 0, page_bytes - (uint32_t)(length % page_bytes));
        i->size = length;
        sim_changed(i->sim);
        return 0;
}
