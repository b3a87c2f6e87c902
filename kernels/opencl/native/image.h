/*
 * image.h: a file of kernels, which kernels/opencl/export.py writes: what was planned for each
 * problem, with the programs' text. It is code, to be trusted as this library is; what is checked
 * here is that it is whole.
 */
#ifndef KERNELS_OPENCL_IMAGE_H
#define KERNELS_OPENCL_IMAGE_H

#include "kernel_pack.h"

enum { IMAGE_VERSION = 1, IMAGE_MAX_AXES = 3, IMAGE_SCRATCH = -1 };

/* What a device must have. */
enum { IMAGE_F64 = 1, IMAGE_DOT = 2, IMAGE_SHUFFLE = 4 };

typedef struct image_bytes {
  const uint8_t *data;
  uint32_t size;
} image_bytes;

typedef struct image_program {
  const char *options, *text;
} image_program;

typedef struct image_launch {
  uint32_t program;
  const char *function;
  const int32_t *arguments; /* inputs, then outputs; IMAGE_SCRATCH; -2 - i: the kernel's table i */
  uint32_t num_arguments;
  image_bytes parameters; /* the last argument, by value */
  uint32_t axes;
  size_t global[IMAGE_MAX_AXES], local[IMAGE_MAX_AXES];
} image_launch;

/* One kernel for one problem. */
typedef struct image_entry {
  const char *kernel;
  image_bytes signature; /* of the problem: signature.h */
  double cost;
  uint64_t scratch_bytes, may_overwrite;
  const uint64_t *buffer_bytes; /* of inputs (0: absent, or empty), then of outputs */
  uint32_t num_buffers;
  const image_launch *launches;
  const uint32_t *tables; /* indices into image.tables */
  uint32_t num_launches, num_tables;
} image_entry;

typedef struct image {
  uint8_t *file;
  void **allocated; /* the lists below and in them */
  uint32_t num_allocated;
  uint32_t needs, max_items, alignment;
  const char *device; /* that it was planned for */
  image_program *programs;
  image_bytes *tables;
  image_entry *entries; /* those of one kernel one after the other */
  uint32_t num_programs, num_tables, num_entries;
} image;

kp_status image_read(const char *path, image *result, kp_error *error);
void image_free(image *i);

#endif
