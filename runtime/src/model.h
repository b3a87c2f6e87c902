/* model.h: the inside of a replay. */
#ifndef REPLAY_MODEL_H
#define REPLAY_MODEL_H

#include <stdatomic.h>

#include "call.h"
#include "device.h"
#include "match.h"
#include "store.h"

/* What one run needs of its own. `pointers` holds every step's buffers, one after the other: on a
 * device with memory of its own the pack's handles, as arena and scratch are. */
typedef struct frame {
  void *arena, *scratch;
  device_frame *device; /* NULL on the host */
  void *queue;          /* likewise */
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
  device device; /* what its constants and frames are on, where that isn't the host */
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

/* frame.c */
replay_status frame_take(replay *model, frame **result, replay_error *error);
void frame_return(replay *model, frame *f);
void frame_free(const replay *model, frame *f);
/* One that stays with its caller, for inputs and outputs that stay the same. On a device: for a
 * queue of the caller's; without one it has its own. */
replay_status frame_make_bound(const replay *model, void *queue, const void *const *inputs,
                               void *const *outputs, frame **result, replay_error *error);
/* One without memory, its constants in place. */
frame *frame_allocate(const replay *model);
/* `parts`: of each buffer in the arena, its address. */
void frame_point_into_arena(const replay *model, frame *f, void *const *parts);
/* Puts inputs and outputs in their places. */
void frame_bind(const replay *model, frame *f, const void *const *inputs, void *const *outputs);

/* device_frame.c. Without `queue` one of its own; `owns_ends`: with room for copies of inputs and
 * outputs, which stay bound to it. */
replay_status device_frame_make(const replay *model, void *queue, int owns_ends, frame **result,
                                replay_error *error);
void device_frame_free(const device *d, frame *f);

#endif
