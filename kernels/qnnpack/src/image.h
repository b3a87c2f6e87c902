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

/* The padding behind an image's rows (or columns) that `count` steps of a window need. */
static inline int64_t image_padding_behind(int64_t extent, int64_t before, int64_t span,
                                           int64_t stride, int64_t count) {
  const int64_t behind = (count - 1) * stride + span - extent - before;
  return behind > 0 ? behind : 0;
}

/* Bytes of the copy. */
int64_t image_bytes(const struct image_copy *copy);

/* Makes the copy of the caller's image. */
void image_in(const struct image_copy *copy, const uint8_t *image, uint8_t *to, int threads);

/* Brings an unpadded copy to the caller's image. */
void image_out(const struct image_copy *copy, const uint8_t *from, uint8_t *image, int threads);

#endif
