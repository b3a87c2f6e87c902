#include "serve_device.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

/* A part may begin there on any device. */
enum { GUARD = 4096, PATTERN = 0xA5 };

kp_status device_side_open(const core_pack *pack, DLDevice id, device_side *side, kp_error *error) {
  const kp_memory *memory = core_pack_memory(pack);
  if (!memory || side->memory) return KP_OK;
  side->pack = core_pack_handle(pack);
  side->id = id;
  kp_status status = memory->open_queue(side->pack, id, &side->queue, error);
  if (status) return status;
  pthread_mutex_init(&side->running, NULL);
  side->memory = memory;
  return KP_OK;
}

static kp_status copy(const device_side *side, void *to, const void *from, uint64_t size,
                      kp_copy_kind kind, kp_error *error) {
  if (!size) return KP_OK;
  kp_status status = side->memory->copy(side->pack, to, from, size, kind, side->queue, error);
  kp_error second;
  kp_status waited = side->memory->synchronize(side->pack, side->queue, status ? &second : error);
  return status ? status : waited;
}

kp_status device_side_copy(const device_side *side, const void *data, uint64_t size, void **handle,
                           kp_error *error) {
  kp_status status = side->memory->allocate(side->pack, side->id, size, handle, error);
  if (status || !data) return status;
  status = copy(side, *handle, data, size, KP_HOST_TO_DEVICE, error);
  if (status) device_side_free(side, *handle);
  return status;
}

void device_side_free(const device_side *side, void *handle) {
  side->memory->free(side->pack, side->id, handle);
}

kp_status mirror_make(const device_side *side, const void *data, uint64_t size, mirror *m,
                      kp_error *error) {
  *m = (mirror){.size = size};
  uint64_t whole;
  if (__builtin_add_overflow(size, 2 * (uint64_t)GUARD, &whole))
    return core_fail(error, KP_OUT_OF_MEMORY, "a buffer is too large");
  m->staging = malloc(whole);
  if (!m->staging) return core_out_of_memory(error);
  memset(m->staging, PATTERN, whole);
  if (size) memcpy(m->staging + GUARD, data, size);
  kp_status status = device_side_copy(side, m->staging, whole, &m->whole, error);
  if (status) {
    m->whole = NULL;
    return status;
  }
  return side->memory->view(side->pack, m->whole, GUARD, size ? size : 1, &m->part, error);
}

kp_status mirror_read(const device_side *side, mirror *m, void *data, int *broken,
                      kp_error *error) {
  uint64_t whole = m->size + 2 * GUARD;
  kp_status status = copy(side, m->staging, m->whole, whole, KP_DEVICE_TO_HOST, error);
  *broken = 0;
  if (status) return status;
  for (uint64_t i = 0; i < whole; i++)
    if ((i < GUARD || i >= GUARD + m->size) && m->staging[i] != PATTERN) *broken = 1;
  if (m->size) memcpy(data, m->staging + GUARD, m->size);
  return KP_OK;
}

void mirror_free(const device_side *side, mirror *m) {
  if (m->part) device_side_free(side, m->part);
  if (m->whole) device_side_free(side, m->whole);
  free(m->staging);
  *m = (mirror){0};
}
