/*
 * log.c: what was called and launched, for tests to ask, and what went wrong as JSON lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcuda.h"

enum { MOST_NAMES = 4096, NAME_BYTES = 512 };

typedef struct counter {
  char name[NAME_BYTES];
  uint64_t count;
} counter;

typedef struct counters {
  counter each[MOST_NAMES];
  size_t used;
} counters;

static counters calls, launches;

static uint64_t counted(const counters *all, const char *name) {
  for (size_t i = 0; i < all->used; i++)
    if (strcmp(all->each[i].name, name) == 0) return all->each[i].count;
  return 0;
}

static void count(counters *all, const char *name) {
  size_t i = 0;
  while (i < all->used && strcmp(all->each[i].name, name) != 0) i++;
  if (i == MOST_NAMES) return;
  if (i == all->used) snprintf(all->each[all->used++].name, NAME_BYTES, "%s", name);
  all->each[i].count++;
}

void note_call(const char *function) { count(&calls, function); }

void note_launch(const char *kernel) { count(&launches, kernel); }

void note(const char *kind, const char *text) {
  const char *path = getenv("LIBCUDA_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (file == NULL) return;
  fprintf(file, "{\"%s\": \"", kind);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') fputc('\\', file);
    fputc((unsigned char)*text < ' ' ? ' ' : *text, file);
  }
  fputs("\"}\n", file);
  fclose(file);
}

/** Return how often a function of the driver was called. */
API uint64_t fake_calls(const char *function) {
  pthread_mutex_lock(&driver_lock);
  uint64_t found = counted(&calls, function);
  pthread_mutex_unlock(&driver_lock);
  return found;
}

/** Return how often a kernel ran, or would have run; of any kernel if `kernel` is NULL. */
API uint64_t fake_launches(const char *kernel) {
  pthread_mutex_lock(&driver_lock);
  uint64_t found = kernel ? counted(&launches, kernel) : 0;
  for (size_t i = 0; kernel == NULL && i < launches.used; i++) found += launches.each[i].count;
  pthread_mutex_unlock(&driver_lock);
  return found;
}
