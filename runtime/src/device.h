/* device.h: memory that isn't the host's, by the functions of the pack that knows it. */
#ifndef REPLAY_DEVICE_H
#define REPLAY_DEVICE_H

#include <sys/types.h>

#include "match.h"

typedef struct device {
  const kp_memory *memory; /* NULL: the plan works in the host's memory */
  kp_pack *pack;
  DLDevice id;
  pid_t process; /* a child that was forked from it has no device */
  void *queue;   /* that constants are copied on */
  void **held;   /* all handles of constants */
  uint32_t num_held;
  uint64_t packed_bytes; /* of constants that kernels packed */
} device;

/* Handles that one run has to itself. */
typedef struct device_frame {
  void **inputs, **outputs; /* its own copies; NULL where they are the caller's */
  void **held;              /* what is freed with it, the last one first */
  uint32_t num_held;
  int owns_queue;
} device_frame;

/* For a plan on a CPU the empty device. Otherwise that of the one pack that the plan's steps are
 * of, which must have a memory. */
replay_status device_open(const plan *p, const match *matches, device *result, replay_error *error);
void device_close(device *d);
/* Allocates a constant. */
replay_status device_hold(device *d, uint64_t bytes, void **handle, replay_error *error);
/* Replaces the values of constant buffers by handles that hold them. */
replay_status device_upload(device *d, const plan *p, const void **values, replay_error *error);

replay_status device_copy(const device *d, void *destination, const void *source, uint64_t bytes,
                          kp_copy_kind kind, void *queue, replay_error *error);
replay_status device_synchronize(const device *d, void *queue, replay_error *error);
replay_status device_check_process(const device *d, replay_error *error);

#endif
