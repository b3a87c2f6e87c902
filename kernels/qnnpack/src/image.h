/*
 * Images copied for the library: channels last, with padding that it can't make by itself, and
 * behind memory that it may read. Back, channels first again.
 */
#ifndef QNNPACK_IMAGE_H
#define QNNPACK_IMAGE_H

#include <stdint.h>

struct image_copy {
  int is_used;           /* 0: the library works on the caller's memory */
  int is_channels_first; /* the caller's image */
  int64_t batch, height, width, channels;
  int64_t top, left, bottom, right; /* padding in the copy */
  uint8_t fill;                     /* of the padding */
};

/* Bytes of the copy. */
int64_t image_bytes(const struct image_copy *copy);

/* Makes the copy of the caller's image. */
void image_in(const struct image_copy *copy, const uint8_t *image, uint8_t *to, int threads);

/* Brings an unpadded copy to the caller's image. */
void image_out(const struct image_copy *copy, const uint8_t *from, uint8_t *image, int threads);

#endif
