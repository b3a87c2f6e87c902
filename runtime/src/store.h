/* store.h: packed constants, each kept once. */
#ifndef REPLAY_STORE_H
#define REPLAY_STORE_H

#include "replay.h"

typedef struct store_entry store_entry;

/* Keeps the store until one more replay_store_free(). Returns it. */
replay_store *store_hold(replay_store *store);

/* Takes over `packed` (KP_ALIGNMENT, `bytes` of them), the packed form of the constant at
 * `source`: where an equal one of that constant is there already, `packed` is freed and the
 * other one returned. NULL when memory ran out; `packed` is then freed too. */
store_entry *store_add(replay_store *store, const void *source, void *packed, uint64_t bytes);
/* Gives one store_add() back; the last one frees the memory. */
void store_remove(replay_store *store, store_entry *entry);
void *store_data(const store_entry *entry);
uint64_t store_bytes(const store_entry *entry);

#endif
