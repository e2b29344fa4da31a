/* engine/poison.h: memory that is not lent is out of bounds for whoever kept a pointer to it; seen by AddressSanitizer. */
#ifndef SLUICE_ENGINE_POISON_H
#define SLUICE_ENGINE_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISON_SEEN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_SEEN 1
#endif
#endif

#ifdef POISON_SEEN
void __asan_poison_memory_region(const volatile void *at, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *at, size_t bytes);
#endif

static inline void poison(const void *data, size_t bytes)
{
#ifdef POISON_SEEN
        __asan_poison_memory_region(data, bytes);
#endif
        (void)data;
        (void)bytes;
}

static inline void unpoison(const void *data, size_t bytes)
{
#ifdef POISON_SEEN
        __asan_unpoison_memory_region(data, bytes);
#endif
        (void)data;
        (void)bytes;
}

#endif
