/* uring/list.h: an intrusive doubly linked list; a node is in one list at most.
 * Owns nothing. A node that is in no list points at itself, so unlinking twice is harmless. */
#ifndef SLUICE_URING_LIST_H
#define SLUICE_URING_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
        struct list *next, *prev;
};

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
        l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
        return l->next == l;
}

static inline void list_push(struct list *head, struct list *node)
{
        node->prev = head->prev;
        node->next = head;
        head->prev->next = node;
        head->prev = node;
}

static inline void list_unlink(struct list *node)
{
        node->prev->next = node->next;
        node->next->prev = node->prev;
        list_init(node);
}

/* NULL when the list is empty. */
static inline struct list *list_pop(struct list *head)
{
        struct list *node = head->next;

        if (node == head)
                return NULL;
        list_unlink(node);
        return node;
}

/* All of `from` moves to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
        if (list_empty(from))
                return;
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
}

#endif
