/* frame.c: working memory for one run at a time, kept between runs without a lock: a lock could
 * be held by a thread that a fork leaves behind. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "scratch.h"

/* ---- Pointers ------------------------------------------------------------------ */

frame *frame_allocate(const replay *model) {
  frame *f = malloc(sizeof *f + model->num_pointers * sizeof *f->pointers);
  if (!f) return NULL;
  *f = (frame){0};
  memcpy(f->pointers, model->template_pointers, model->num_pointers * sizeof *f->pointers);
  return f;
}

void frame_point_into_arena(const replay *model, frame *f, void *const *parts) {
  const plan *p = &model->plan;
  for (uint32_t s = 0; s < p->num_steps; s++) {
    const kp_problem *problem = plan_problem(p, &p->steps[s]);
    void **pointers = f->pointers + model->steps[s].first_pointer;
    for (uint32_t i = 0; i < problem->num_inputs + problem->num_outputs; i++) {
      int32_t index = p->steps[s].buffers[i];
      if (index != PLAN_ABSENT && p->buffers[index].kind == PLAN_ARENA) pointers[i] = parts[index];
    }
  }
}

void frame_bind(const replay *model, frame *f, const void *const *inputs, void *const *outputs) {
  for (size_t i = 0; i < model->num_input_bindings; i++) {
    binding b = model->input_bindings[i];
    /* Kernels take NULL for an absent tensor; one of no bytes is there. */
    f->pointers[b.pointer] = inputs[b.index] ? (void *)inputs[b.index] : f->arena;
  }
  for (size_t i = 0; i < model->num_output_bindings; i++)
    f->pointers[model->output_bindings[i].pointer] = outputs[model->output_bindings[i].index];
}

/* ---- On the host --------------------------------------------------------------- */

static int place_on_host(const replay *model, frame *f, void **parts) {
  uint64_t arena = model->plan.arena_bytes, bytes;
  if (__builtin_add_overflow(arena, (uint64_t)KP_ALIGNMENT, &bytes)) return 0;
  uint64_t scratch_offset = bytes / KP_ALIGNMENT * KP_ALIGNMENT;
  if (__builtin_add_overflow(scratch_offset, model->scratch_bytes, &bytes)) return 0;
  char *memory = core_aligned_alloc(bytes);
  if (!memory) return 0;
  memset(memory, 0, arena); /* a plan that reads before it writes gets nobody else's data */
  f->arena = memory;
  f->scratch = memory + scratch_offset;
  for (uint32_t i = 0; i < model->plan.num_buffers; i++)
    if (model->plan.buffers[i].kind == PLAN_ARENA)
      parts[i] = memory + model->plan.buffers[i].offset;
  return 1;
}

static replay_status make_on_host(const replay *model, frame **result, replay_error *error) {
  frame *f = frame_allocate(model);
  void **parts = calloc(model->plan.num_buffers + 1u, sizeof *parts);
  int placed = f && parts && place_on_host(model, f, parts);
  if (placed) {
    frame_point_into_arena(model, f, parts);
    *result = f;
  } else {
    free(f);
  }
  free(parts);
  if (placed) return REPLAY_OK;
  return replay_fail(error, REPLAY_OUT_OF_MEMORY,
                     "the plan needs %" PRIu64 " bytes of working memory, which aren't there",
                     model->plan.arena_bytes + model->scratch_bytes);
}

/* ---- Taking and giving back ---------------------------------------------------- */

replay_status frame_take(replay *model, frame **result, replay_error *error) {
  for (int i = 0; i < KEPT_FRAMES; i++) {
    if (!atomic_load_explicit(&model->frames[i], memory_order_relaxed)) continue;
    *result = atomic_exchange_explicit(&model->frames[i], NULL, memory_order_acquire);
    if (*result) return REPLAY_OK;
  }
  return model->device.memory ? device_frame_make(model, NULL, 1, result, error)
                              : make_on_host(model, result, error);
}

void frame_return(replay *model, frame *f) {
  for (int i = 0; i < KEPT_FRAMES; i++) {
    frame *empty = NULL;
    if (atomic_compare_exchange_strong_explicit(&model->frames[i], &empty, f, memory_order_release,
                                                memory_order_relaxed))
      return;
  }
  frame_free(model, f);
}

replay_status frame_make_bound(const replay *model, void *queue, const void *const *inputs,
                               void *const *outputs, frame **result, replay_error *error) {
  replay_status status = model->device.memory ? device_frame_make(model, queue, 0, result, error)
                                              : make_on_host(model, result, error);
  if (!status) frame_bind(model, *result, inputs, outputs);
  return status;
}

void frame_free(const replay *model, frame *f) {
  if (!f) return;
  if (f->device)
    device_frame_free(&model->device, f);
  else
    free(f->arena);
  free(f);
}
