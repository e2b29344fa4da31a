/* engine/driver.c: see driver.h. Called by wire.c and transfer.c.
 *
 * A foreign pipe can be locked for as long as its other holder blocks inside a splice; our own non-blocking call then
 * waits for that lock too. So a child's pipe is driven by the ring, whose workers may wait while the loop goes on to
 * cancel, to time out and to end the child. A stranger's pipe may be driven inline by a thread that has nothing else
 * to do: there is nobody whom we could end to get the lock, and cat would wait just the same. */
#include "driver.h"

struct driver_choice driver_choose(const struct driver_facts *f)
{
        const bool lockable = f->child_pipe || (f->foreign_pipe && !f->exclusive);

        if (f->copy_only)
                return (struct driver_choice){ SLUICE_DRIVER_COPY, "one side cannot be spliced" };
        if (f->forced == SLUICE_DRIVER_INLINE && lockable && !f->exclusive)
                return (struct driver_choice){ SLUICE_DRIVER_RING, "on a shared loop a process's pipe is never touched inline" };
        if (f->forced != SLUICE_DRIVER_AUTO)
                return (struct driver_choice){ f->forced, "asked for" };
        if (lockable)
                return (struct driver_choice){ SLUICE_DRIVER_RING, "a process may hold the pipe's lock" };
        if (f->may_block && f->may_be_cached)
                return (struct driver_choice){ SLUICE_DRIVER_AUTO, "inline what is in the page cache, by the ring what is not" };
        if (f->may_block)
                return (struct driver_choice){ SLUICE_DRIVER_RING, "storage may block" };
        if (f->sockets && !f->forbid_copy)
                return (struct driver_choice){ SLUICE_DRIVER_AUTO, "between sockets it is seen while they move" };
        return (struct driver_choice){ SLUICE_DRIVER_INLINE, "neither side blocks" };
}
