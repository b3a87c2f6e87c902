#include "arena.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 4096, UNIT = 16 };

struct arena_block {
  struct arena_block *next;
  _Alignas(UNIT) char bytes[];
};

void *arena_alloc(arena *a, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  if (__builtin_add_overflow(bytes, (size_t)UNIT - 1, &bytes)) return NULL;
  bytes &= ~(size_t)(UNIT - 1);
  if (!a->head || bytes > a->size - a->used) {
    size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES, total;
    if (__builtin_add_overflow(room, sizeof(struct arena_block), &total)) return NULL;
    struct arena_block *block = calloc(1, total);
    if (!block) return NULL;
    block->next = a->head;
    a->head = block;
    a->used = 0;
    a->size = room;
  }
  void *result = a->head->bytes + a->used;
  a->used += bytes;
  return result;
}

char *arena_string(arena *a, const char *text, size_t length) {
  if (length == SIZE_MAX) return NULL;
  char *copy = arena_alloc(a, length + 1, 1);
  if (copy) memcpy(copy, text, length);
  return copy;
}

void arena_free(arena *a) {
  for (struct arena_block *block = a->head; block;) {
    struct arena_block *next = block->next;
    free(block);
    block = next;
  }
  *a = (arena){0};
}
