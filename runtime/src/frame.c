/* frame.c: working memory for one run at a time, kept between runs without a lock: a lock could
 * be held by a thread that a fork leaves behind. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "scratch.h"

/* ---- Pointers ------------------------------------------------------------------ */

static frame *allocate(const replay *model) {
  frame *f = malloc(sizeof *f + model->num_pointers * sizeof *f->pointers);
  if (!f) return NULL;
  *f = (frame){0};
  memcpy(f->pointers, model->template_pointers, model->num_pointers * sizeof *f->pointers);
  return f;
}

/* `parts`: of each buffer in the arena, its address. */
static void point_into_arena(const replay *model, frame *f, void *const *parts) {
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
  frame *f = allocate(model);
  void **parts = calloc(model->plan.num_buffers + 1u, sizeof *parts);
  int placed = f && parts && place_on_host(model, f, parts);
  if (placed) {
    point_into_arena(model, f, parts);
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

/* ---- On a device --------------------------------------------------------------- */

static kp_status hold(const device *d, device_frame *own, uint64_t bytes, void **handle,
                      kp_error *error) {
  kp_status status = d->memory->allocate(d->pack, d->id, bytes, handle, error);
  if (!status) own->held[own->num_held++] = *handle;
  return status;
}

static kp_status hold_ends(const device *d, device_frame *own, const replay_tensor *ends,
                           uint32_t count, void ***handles, kp_error *error) {
  *handles = calloc(count + 1u, sizeof **handles);
  kp_status status = *handles ? KP_OK : KP_OUT_OF_MEMORY;
  for (uint32_t i = 0; !status && i < count; i++)
    status = hold(d, own, ends[i].bytes, &(*handles)[i], error);
  return status;
}

static kp_status hold_parts(const replay *model, frame *f, void **parts, kp_error *error) {
  const device *d = &model->device;
  device_frame *own = f->device;
  kp_status status = hold(d, own, model->plan.arena_bytes, &f->arena, error);
  if (!status && model->scratch_bytes)
    status = hold(d, own, model->scratch_bytes, &f->scratch, error);
  for (uint32_t i = 0; !status && i < model->plan.num_buffers; i++) {
    const plan_buffer *buffer = &model->plan.buffers[i];
    if (buffer->kind != PLAN_ARENA) continue;
    /* Of no bytes and at the arena's end, perhaps: any handle will do. */
    if (buffer->bytes)
      status = d->memory->view(d->pack, f->arena, buffer->offset, buffer->bytes, &parts[i], error);
    else
      parts[i] = f->arena;
    if (!status && buffer->bytes) own->held[own->num_held++] = parts[i];
  }
  return status;
}

/* Without `queue` one of its own, without `inputs` and `outputs` room for copies of them. */
static kp_status place_on_device(const replay *model, frame *f, void *queue, int owns_ends,
                                 void **parts, kp_error *error) {
  const device *d = &model->device;
  const plan *p = &model->plan;
  device_frame *own = f->device = calloc(1, sizeof *own);
  if (!own) return KP_OUT_OF_MEMORY;
  size_t most = (size_t)p->num_inputs + p->num_outputs + p->num_buffers + 2;
  own->held = calloc(most, sizeof *own->held);
  if (!own->held) return KP_OUT_OF_MEMORY;
  f->queue = queue;
  kp_status status = queue ? KP_OK : d->memory->open_queue(d->pack, d->id, &f->queue, error);
  own->owns_queue = !queue && !status;
  if (!status && owns_ends)
    status = hold_ends(d, own, p->inputs, p->num_inputs, &own->inputs, error);
  if (!status && owns_ends)
    status = hold_ends(d, own, p->outputs, p->num_outputs, &own->outputs, error);
  return status ? status : hold_parts(model, f, parts, error);
}

static replay_status make_on_device(const replay *model, void *queue, int owns_ends, frame **result,
                                    replay_error *error) {
  frame *f = allocate(model);
  void **parts = calloc(model->plan.num_buffers + 1u, sizeof *parts);
  kp_error inner = {"memory ran out"};
  kp_status status =
      f && parts ? place_on_device(model, f, queue, owns_ends, parts, &inner) : KP_OUT_OF_MEMORY;
  if (!status) {
    point_into_arena(model, f, parts);
    if (owns_ends) frame_bind(model, f, (const void *const *)f->device->inputs, f->device->outputs);
    *result = f;
  } else {
    frame_free(model, f);
  }
  free(parts);
  return status ? replay_fail_with(error, status, &inner) : REPLAY_OK;
}

static void give_back(const device *d, const frame *f) {
  device_frame *own = f->device;
  /* Nothing that is freed may still be in use. */
  if (f->queue) device_synchronize(d, f->queue, NULL);
  while (own->num_held) d->memory->free(d->pack, d->id, own->held[--own->num_held]);
  if (own->owns_queue) d->memory->close_queue(d->pack, f->queue);
}

static void free_device_frame(const device *d, frame *f) {
  device_frame *own = f->device;
  if (!device_check_process(d, NULL)) give_back(d, f);
  free(own->held);
  free(own->inputs);
  free(own->outputs);
  free(own);
}

/* ---- Taking and giving back ---------------------------------------------------- */

replay_status frame_take(replay *model, frame **result, replay_error *error) {
  for (int i = 0; i < KEPT_FRAMES; i++) {
    if (!atomic_load_explicit(&model->frames[i], memory_order_relaxed)) continue;
    *result = atomic_exchange_explicit(&model->frames[i], NULL, memory_order_acquire);
    if (*result) return REPLAY_OK;
  }
  return model->device.memory ? make_on_device(model, NULL, 1, result, error)
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
  replay_status status = model->device.memory ? make_on_device(model, queue, 0, result, error)
                                              : make_on_host(model, result, error);
  if (!status) frame_bind(model, *result, inputs, outputs);
  return status;
}

void frame_free(const replay *model, frame *f) {
  if (!f) return;
  if (f->device)
    free_device_frame(&model->device, f);
  else
    free(f->arena);
  free(f);
}
