/* serve_device.h: buffers of serve_pack on a device with memory of its own. */
#ifndef DISPATCH_SERVE_DEVICE_H
#define DISPATCH_SERVE_DEVICE_H

#include <pthread.h>

#include "core.h"

typedef struct device_side {
  const kp_memory *memory; /* NULL: the pack works in the host's memory */
  kp_pack *pack;
  DLDevice id;
  void *queue;
  pthread_mutex_t running; /* runs are one after the other, as on one queue */
} device_side;

/* A copy of the host's memory on the device, between guards. */
typedef struct mirror {
  void *whole, *part; /* `part`: what a kernel gets */
  unsigned char *staging;
  uint64_t size;
} mirror;

/* For the device that problems name; where the pack has no memory `side` stays empty. */
kp_status device_side_open(const core_pack *pack, DLDevice id, device_side *side, kp_error *error);
/* New memory with a copy of `data`; NULL: of what it is. */
kp_status device_side_copy(const device_side *side, const void *data, uint64_t size, void **handle,
                           kp_error *error);
void device_side_free(const device_side *side, void *handle);

kp_status mirror_make(const device_side *side, const void *data, uint64_t size, mirror *m,
                      kp_error *error);
/* Copies back what the kernel left; `broken`: whether it wrote outside. */
kp_status mirror_read(const device_side *side, mirror *m, void *data, int *broken, kp_error *error);
void mirror_free(const device_side *side, mirror *m);

#endif
