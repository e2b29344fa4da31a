/* engine/meter.c: how far a process is in a file that it was handed: read from outside, without touching the file.
 * The position comes from /proc/self/fdinfo: lseek() would wait for the child's write. Called by stats.c and run.c. */
#include <fcntl.h>

#include "run.h"

void meter_read(struct run_link *l)
{
        struct fd_info info;
        struct backend *b;
        int64_t at;

        if (!l->meter || l->run->phase == RUN_DONE) /* the loop of a run that is over may be gone */
                return;
        b = l->run->loop->backend;
        at = b->ops->position(b, l->meter->fd);
        /* A program that reads with pread() or copy_file_range() leaves the position behind: while it runs the number
         * is an estimate. One that seeked back has made it meaningless. */
        if (at == 0 && l->writes && b->ops->inspect(b, l->meter->fd, &info) == 0 && info.flags & O_APPEND)
                at = info.size;
        if (at < 0 || (uint64_t)at < l->meter_start)
                return;
        l->metered = (struct sluice_number){ (uint64_t)at - l->meter_start, SLUICE_ESTIMATE };
}
