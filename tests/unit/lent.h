/* tests/unit/lent.h: what of a pool is out, in buffers; and that its laws hold. */
#ifndef SLUICE_TESTS_UNIT_LENT_H
#define SLUICE_TESTS_UNIT_LENT_H

#include "pool.h"

static inline unsigned lent(struct sluice_pool *p)
{
        struct sluice_pool_stats s = { .size = sizeof(s) };

        pool_check(p);
        assert_int_equal(sluice_pool_stats(p, &s), 0);
        assert_int_equal(s.free_bytes + s.lent_bytes + s.in_kernel_bytes, s.total_bytes);
        return (unsigned)((s.lent_bytes + s.in_kernel_bytes) / p->buffer_bytes);
}

static inline struct sluice_pool *new_pool(void)
{
        struct sluice_pool *p;

        assert_int_equal(sluice_pool_new(&p, NULL), 0);
        return p;
}

#endif
