/* tests/unit/pump.h: operations submitted by number, waited for, and counted as they complete. */
#ifndef SLUICE_TESTS_UNIT_PUMP_H
#define SLUICE_TESTS_UNIT_PUMP_H

#include <time.h>

#include "backend.h"

enum { PUMP_MAX = 1100 };

struct pump {
        struct backend *b;
        struct op *op[PUMP_MAX]; /* NULL once done */
        int result[PUMP_MAX];
        unsigned times[PUMP_MAX]; /* completions seen: 1 at the end */
        unsigned order[PUMP_MAX], done;
};

/* A new operation with the given number, not submitted. */
static inline struct op *pump_op(struct pump *p, unsigned number, enum op_kind kind, struct slot *in, struct slot *out)
{
        struct op *op = op_new(p->b, kind, NULL, NULL);

        assert_non_null(op);
        op->tag = number;
        op_pin(op, in, out, NULL);
        p->op[number] = op;
        return op;
}

static inline void pump_poll(struct pump *p, unsigned number, struct slot *s, uint32_t events)
{
        pump_op(p, number, OP_POLL, s, NULL)->poll.events = events;
        backend_submit(p->b, p->op[number]);
}

static inline void pump_timer(struct pump *p, unsigned number, uint64_t at_ns)
{
        pump_op(p, number, OP_TIMER, NULL, NULL)->timer.at_ns = at_ns;
        backend_submit(p->b, p->op[number]);
}

/* One wait; takes what it gives. Returns how many. */
static inline unsigned pump_turn(struct pump *p, int64_t timeout_ns)
{
        struct list done, *node;
        unsigned n = 0;

        list_init(&done);
        assert_int_equal(backend_wait(p->b, &done, timeout_ns), 0);
        while ((node = list_pop(&done))) {
                struct op *op = container_of(node, struct op, node);

                p->result[op->tag] = op_result(op);
                p->times[op->tag]++;
                p->order[p->done++] = (unsigned)op->tag;
                p->op[op->tag] = NULL;
                op_free(op);
                n++;
        }
        return n;
}

/* Until `total` operations are done in all. False: they were not, within the patience of a test. */
static inline bool pump_until(struct pump *p, unsigned total, int64_t patience_ms)
{
        const uint64_t end = backend_now_ns(p->b) + (uint64_t)patience_ms * 1000000u;

        while (p->done < total && backend_now_ns(p->b) < end)
                pump_turn(p, patience_ms * 1000000 / 10);
        return p->done == total;
}

#endif
