/* engine/buffer.c: see buffer.h. Called by links; calls malloc. (Per-node pools take its place later.) */
#include "buffer.h"

#include <stdlib.h>

#include "check.h"

static void buffer_drop(struct pin *pin)
{
        struct buffer *b = container_of(pin, struct buffer, pin);
        struct buffers *home = b->home;

        ASSERT(home->lent > 0);
        home->lent--;
        if (home->idle_nr >= BUFFER_IDLE_MAX) {
                free(b);
                return;
        }
        list_push(&home->idle, &b->node);
        home->idle_nr++;
}

void buffers_init(struct buffers *b)
{
        *b = (struct buffers){ 0 };
        list_init(&b->idle);
}

void buffers_fini(struct buffers *b)
{
        struct list *node;

        while ((node = list_pop(&b->idle)))
                free(container_of(node, struct buffer, node));
        b->idle_nr = 0;
}

struct buffer *buffer_get(struct buffers *home)
{
        struct list *node = list_pop(&home->idle);
        struct buffer *b;

        if (node) {
                b = container_of(node, struct buffer, node);
                home->idle_nr--;
        } else {
                b = malloc(sizeof(*b) + BUFFER_BYTES);
                if (!b)
                        return NULL;
        }
        b->pin = (struct pin){ .refs = 1, .drop = buffer_drop };
        list_init(&b->node);
        b->home = home;
        home->lent++;
        return b;
}

void buffer_unref(struct buffer *b)
{
        if (b)
                pin_unref(&b->pin);
}
