/*
 * Pixels' taps as the rows of a qgemm: [tap][channel] for each output pixel of a convolution whose
 * image lies channels last.
 */
#ifndef PORTABLE_QPIXELS_H
#define PORTABLE_QPIXELS_H

#include "conv2d_problem.h"
#include "dot.h"

typedef struct qpixels {
  const conv2d *shape; /* padding may be negative: the window begins within the image */
  const uint8_t *x, *x_end;
  dot_source source;
} qpixels;

/* qgemm's pack_rows, of a qpixels; a product is a group. */
void LEVEL_NAME(qpixels_pack)(const void *context, int64_t group, int64_t row, int rows,
                              dot_value *to, int64_t stride);

/* qgemm's place_rows, of a qpixels whose rows are the image's pixels. */
static inline const uint8_t *qpixels_place(const void *context, int64_t group, int64_t row) {
  const qpixels *r = context;
  return r->x + row * r->shape->channels + group * r->shape->group_channels;
}

#endif
