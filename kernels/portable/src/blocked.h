/* The lanes that fill up the last block of channels: whoever writes a tensor zeroes them. */
#ifndef PORTABLE_BLOCKED_H
#define PORTABLE_BLOCKED_H

#include "problem.h"

typedef struct blocked_padding {
  int64_t images, stride; /* bytes from one image's last block to the next's */
  int64_t offset, pixels; /* bytes to the first image's last block; pixels of a block */
  int64_t pixel, lanes;   /* bytes of a pixel's block, and of its lanes to zero */
} blocked_padding;

/* All zero where the tensor's channels fill their blocks; for elements of `size` bytes. */
static inline blocked_padding padding_of_size(const kp_tensor *t, int64_t size) {
  int64_t block = kp_block(t);
  if (block == 1 || t->dl.shape[1] % block == 0) return (blocked_padding){0};
  int64_t channels = t->dl.shape[1], blocks = (channels + block - 1) / block;
  int64_t pixels = t->dl.shape[2] * t->dl.shape[3], pixel = block * size;
  return (blocked_padding){.images = t->dl.shape[0],
                           .stride = blocks * pixels * pixel,
                           .offset = (blocks - 1) * pixels * pixel,
                           .pixels = pixels,
                           .pixel = pixel,
                           .lanes = (blocks * block - channels) * size};
}

static inline blocked_padding padding_of(const kp_tensor *t) {
  return padding_of_size(t, element_size(t));
}

static inline void zero_padding(const blocked_padding *padding, void *data) {
  for (int64_t n = 0; n < padding->images; n++) {
    char *block = (char *)data + padding->offset + n * padding->stride;
    for (int64_t i = 0; i < padding->pixels; i++)
      memset(block + (i + 1) * padding->pixel - padding->lanes, 0, (size_t)padding->lanes);
  }
}

#endif
