/* device_frame.c: a frame whose memory is a device's. */
#include <stdlib.h>

#include "model.h"

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

/* As on the host: a plan that reads before it writes gets nobody else's data. */
static kp_status clear(const device *d, const frame *f, uint64_t bytes, kp_error *error) {
  void *zeros = calloc(1, bytes + 1);
  if (!zeros) return KP_OUT_OF_MEMORY;
  kp_status status =
      bytes ? d->memory->copy(d->pack, f->arena, zeros, bytes, KP_HOST_TO_DEVICE, f->queue, error)
            : KP_OK;
  kp_error second;
  kp_status waited = d->memory->synchronize(d->pack, f->queue, status ? &second : error);
  free(zeros);
  return status ? status : waited;
}

static kp_status hold_parts(const replay *model, frame *f, void **parts, kp_error *error) {
  const device *d = &model->device;
  device_frame *own = f->device;
  kp_status status = hold(d, own, model->plan.arena_bytes, &f->arena, error);
  if (!status) status = clear(d, f, model->plan.arena_bytes, error);
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

replay_status device_frame_make(const replay *model, void *queue, int owns_ends, frame **result,
                                replay_error *error) {
  frame *f = frame_allocate(model);
  void **parts = calloc(model->plan.num_buffers + 1u, sizeof *parts);
  kp_error inner = {"memory ran out"};
  kp_status status =
      f && parts ? place_on_device(model, f, queue, owns_ends, parts, &inner) : KP_OUT_OF_MEMORY;
  if (!status) {
    frame_point_into_arena(model, f, parts);
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

void device_frame_free(const device *d, frame *f) {
  device_frame *own = f->device;
  if (!device_check_process(d, NULL)) give_back(d, f);
  free(own->held);
  free(own->inputs);
  free(own->outputs);
  free(own);
}
