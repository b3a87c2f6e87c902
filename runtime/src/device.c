#include "device.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- The device ---------------------------------------------------------------- */

static replay_status find_pack(const plan *p, const match *matches, const replay_pack **pack,
                               replay_error *error) {
  if (!p->num_steps)
    return replay_fail(error, REPLAY_INVALID_ARGUMENT, "the plan for device \"%.60s\" has no step",
                       p->device);
  *pack = matches[0].pack;
  for (uint32_t i = 0; i < p->num_steps; i++) {
    const char *name = core_pack_name(matches[i].pack);
    if (!core_pack_memory(matches[i].pack))
      return replay_fail(
          error, REPLAY_UNAVAILABLE,
          "the plan is for device \"%.60s\" with memory of its own, pack %s has none", p->device,
          name);
    if (matches[i].pack != *pack)
      return replay_fail(error, REPLAY_UNAVAILABLE,
                         "a plan on device \"%.60s\" must be of one pack's kernels, got %s and %s",
                         p->device, core_pack_name(*pack), name);
  }
  return REPLAY_OK;
}

replay_status device_open(const plan *p, const match *matches, device *result,
                          replay_error *error) {
  *result = (device){0};
  if (p->place.device_type == kDLCPU) return REPLAY_OK;
  const replay_pack *pack = NULL;
  replay_status status = find_pack(p, matches, &pack, error);
  if (status) return status;
  device d = {.pack = core_pack_handle(pack), .id = p->place, .process = getpid()};
  const kp_memory *memory = core_pack_memory(pack);
  d.held = calloc((size_t)p->num_buffers + 1u, sizeof *d.held);
  if (!d.held) return replay_out_of_memory(error);
  kp_error inner = {""};
  kp_status opened = memory->open_queue(d.pack, d.id, &d.queue, &inner);
  if (opened) {
    free(d.held);
    return replay_fail_with(error, opened, &inner);
  }
  d.memory = memory;
  *result = d;
  return REPLAY_OK;
}

void device_close(device *d) {
  if (!d->memory) return;
  if (!device_check_process(d, NULL)) {
    for (uint32_t i = 0; i < d->num_held; i++) d->memory->free(d->pack, d->id, d->held[i]);
    d->memory->close_queue(d->pack, d->queue);
  }
  free(d->held);
  *d = (device){0};
}

replay_status device_check_process(const device *d, replay_error *error) {
  if (d->process == getpid()) return REPLAY_OK;
  return replay_fail(error, REPLAY_UNAVAILABLE,
                     "this process was forked from the one that opened the device, which only that "
                     "one can use");
}

/* ---- Copies -------------------------------------------------------------------- */

replay_status device_copy(const device *d, void *destination, const void *source, uint64_t bytes,
                          kp_copy_kind kind, void *queue, replay_error *error) {
  if (!bytes) return REPLAY_OK;
  kp_error inner = {""};
  kp_status status = d->memory->copy(d->pack, destination, source, bytes, kind, queue, &inner);
  return status ? replay_fail_with(error, status, &inner) : REPLAY_OK;
}

replay_status device_synchronize(const device *d, void *queue, replay_error *error) {
  kp_error inner = {""};
  kp_status status = d->memory->synchronize(d->pack, queue, &inner);
  return status ? replay_fail_with(error, status, &inner) : REPLAY_OK;
}

/* ---- Constants ----------------------------------------------------------------- */

replay_status device_hold(device *d, uint64_t bytes, void **handle, replay_error *error) {
  void **held = realloc(d->held, ((size_t)d->num_held + 1u) * sizeof *held);
  if (!held) return replay_out_of_memory(error);
  d->held = held;
  kp_error inner = {""};
  kp_status status = d->memory->allocate(d->pack, d->id, bytes, handle, &inner);
  if (status) return replay_fail_with(error, status, &inner);
  d->held[d->num_held++] = *handle;
  return REPLAY_OK;
}

replay_status device_upload(device *d, const plan *p, const void **values, replay_error *error) {
  replay_status status = REPLAY_OK;
  for (uint32_t i = 0; !status && i < p->num_buffers; i++) {
    if (p->buffers[i].kind != PLAN_CONSTANT) continue;
    void *handle;
    status = device_hold(d, p->buffers[i].bytes, &handle, error);
    if (!status)
      status = device_copy(d, handle, values[i], p->buffers[i].bytes, KP_HOST_TO_DEVICE, d->queue,
                           error);
    if (!status) values[i] = handle;
  }
  /* Also after a failure: what was enqueued still reads the host's memory. */
  replay_status waited = device_synchronize(d, d->queue, status ? NULL : error);
  return status ? status : waited;
}
