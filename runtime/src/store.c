#include "store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

struct store_entry {
  store_entry *next;
  const void *source;
  void *packed;
  uint64_t bytes;
  size_t users;
};

struct replay_store {
  pthread_mutex_t mutex;
  size_t holders; /* its maker, and each replay made with it */
  store_entry *entries;
};

replay_status replay_store_new(replay_store **store, replay_error *error) {
  *store = calloc(1, sizeof **store);
  if (!*store) return replay_out_of_memory(error);
  pthread_mutex_init(&(*store)->mutex, NULL);
  (*store)->holders = 1;
  return REPLAY_OK;
}

replay_store *store_hold(replay_store *store) {
  pthread_mutex_lock(&store->mutex);
  store->holders++;
  pthread_mutex_unlock(&store->mutex);
  return store;
}

void replay_store_free(replay_store *store) {
  if (!store) return;
  pthread_mutex_lock(&store->mutex);
  int held = --store->holders > 0;
  pthread_mutex_unlock(&store->mutex);
  if (held) return;
  pthread_mutex_destroy(&store->mutex);
  free(store);
}

static store_entry *find_equal(const replay_store *store, const void *source, const void *packed,
                               uint64_t bytes) {
  for (store_entry *entry = store->entries; entry; entry = entry->next)
    if (entry->source == source && entry->bytes == bytes && !memcmp(entry->packed, packed, bytes))
      return entry;
  return NULL;
}

store_entry *store_add(replay_store *store, const void *source, void *packed, uint64_t bytes) {
  pthread_mutex_lock(&store->mutex);
  store_entry *entry = find_equal(store, source, packed, bytes);
  if (entry) {
    free(packed);
  } else if ((entry = calloc(1, sizeof *entry))) {
    *entry =
        (store_entry){.next = store->entries, .source = source, .packed = packed, .bytes = bytes};
    store->entries = entry;
  } else {
    free(packed);
  }
  if (entry) entry->users++;
  pthread_mutex_unlock(&store->mutex);
  return entry;
}

void store_remove(replay_store *store, store_entry *entry) {
  pthread_mutex_lock(&store->mutex);
  if (--entry->users == 0) {
    store_entry **link = &store->entries;
    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    free(entry->packed);
    free(entry);
  }
  pthread_mutex_unlock(&store->mutex);
}

void *store_data(const store_entry *entry) { return entry->packed; }

uint64_t store_bytes(const store_entry *entry) { return entry->bytes; }
