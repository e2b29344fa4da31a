/* engine/driver.h: which driver moves a link between two fds, and why. Pure. */
#ifndef SLUICE_ENGINE_DRIVER_H
#define SLUICE_ENGINE_DRIVER_H

#include <stdbool.h>

#include <sluice/sluice.h>

struct driver_facts {
        enum sluice_driver forced; /* AUTO: none */
        bool copy_only;            /* a side that cannot be spliced */
        bool may_block;            /* storage behind one of the fds */
        bool may_be_cached;        /* ... of the source alone, at a position of its own: it may be in memory */
        bool child_pipe;           /* a pipe whose other end a process of ours holds */
        bool foreign_pipe;         /* ... or a stranger: inherited standard input, a FIFO */
        bool sockets;              /* both sides are */
        bool forbid_copy;
        bool exclusive; /* the loop's thread serves nothing else */
};

struct driver_choice {
        enum sluice_driver driver; /* AUTO: between sockets by the link's chooser (chooser.h), from a file by link_by_ring() */
        const char *reason;        /* static; NULL when it was forced and nothing is to be said */
};

struct driver_choice driver_choose(const struct driver_facts *f);

#endif
