/* arena.h: many small allocations that live and die together. */
#ifndef DISPATCH_ARENA_H
#define DISPATCH_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct arena {
  struct arena_block *head;
  size_t used, size; /* of the head block */
} arena;

/* `count` zeroed elements of `size` bytes, aligned to 16; NULL when memory ran
 * out or the product overflows. A request for nothing gives a valid pointer. */
void *arena_alloc(arena *a, size_t count, size_t size);
char *arena_string(arena *a, const char *text, size_t length);
void arena_free(arena *a);

#endif
