/* model.h: the inside of a replay. */
#ifndef REPLAY_MODEL_H
#define REPLAY_MODEL_H

#include <stdatomic.h>

#include "call.h"
#include "match.h"
#include "store.h"

/* What one run needs of its own. `pointers` holds every step's buffers, one after the other. */
typedef struct frame {
  char *arena;
  void *scratch;
  void *pointers[];
} frame;

enum { KEPT_FRAMES = 8 };

/* A place in `pointers` that the caller's input or output number `index` goes to. */
typedef struct binding {
  uint32_t pointer, index;
} binding;

/* What the loop reads, and nothing else. */
typedef struct run_step {
  kp_status (*run)(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);
  const kp_prepared *prepared;
  uint32_t first_pointer;
  int32_t threads;
} run_step;

struct replay {
  plan plan;
  run_step *steps;
  core_call **calls; /* of each step; shared ones belong to the first step that has them */
  uint8_t *owns_call;
  replay_step *infos;
  const void **constants;   /* of each buffer: the constant's value, else NULL */
  uint8_t *reads;           /* of each buffer: a step reads the constant as it is, not packed */
  void **copies;            /* of each buffer: the aligned copy of a misaligned constant, or NULL */
  void **template_pointers; /* of the constants; arena and bindings are filled in for each frame */
  store_entry **packed;
  binding *input_bindings, *output_bindings;
  core_process **processes;
  size_t num_input_bindings, num_output_bindings, num_pointers, num_packed, num_processes;
  int32_t threads; /* the most that any step has */
  uint64_t scratch_bytes;
  replay_store *store;
  _Atomic(frame *) frames[KEPT_FRAMES];
};

/* create.c */
typedef struct creation {
  const replay_constant *constants;
  size_t num_constants;
  replay_pack *const *packs;
  size_t num_packs;
  replay_store *store;
} creation;

/* Takes over `p`, also on failure. */
replay_status model_create(plan *p, const creation *from, replay **result, replay_error *error);

/* frame.c: NULL when memory ran out. */
frame *frame_take(replay *model);
void frame_return(replay *model, frame *f);
void frame_free(frame *f);

#endif
