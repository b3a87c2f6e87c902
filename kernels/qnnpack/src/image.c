#include "image.h"

#include <string.h>

enum { TILE = 32 };

int64_t image_bytes(const struct image_copy *copy) {
  return copy->batch * (copy->top + copy->height + copy->bottom) *
         (copy->left + copy->width + copy->right) * copy->channels;
}

/* to[c * to_step + r] = from[r * from_step + c] */
static void transpose(const uint8_t *from, int64_t from_step, uint8_t *to, int64_t to_step,
                      int64_t rows, int64_t columns) {
  for (int64_t r0 = 0; r0 < rows; r0 += TILE)
    for (int64_t c0 = 0; c0 < columns; c0 += TILE) {
      const int64_t r1 = r0 + TILE < rows ? r0 + TILE : rows;
      const int64_t c1 = c0 + TILE < columns ? c0 + TILE : columns;
      for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < c1; c++) to[c * to_step + r] = from[r * from_step + c];
    }
}

typedef void row_copy(const struct image_copy *copy, const uint8_t *from, uint8_t *to, int64_t n,
                      int64_t y);

/* Row `y` of the padded copy of image `n`. */
static void row_in(const struct image_copy *copy, const uint8_t *image, uint8_t *to, int64_t n,
                   int64_t y) {
  const int64_t channels = copy->channels, width = copy->width, row = y - copy->top;
  const int64_t rows = copy->top + copy->height + copy->bottom;
  const int64_t whole = (copy->left + width + copy->right) * channels;
  to += (n * rows + y) * whole;
  if (row < 0 || row >= copy->height) {
    memset(to, copy->fill, (size_t)whole);
    return;
  }
  uint8_t *pixels = to + copy->left * channels;
  memset(to, copy->fill, (size_t)(copy->left * channels));
  memset(pixels + width * channels, copy->fill, (size_t)(copy->right * channels));
  if (copy->is_channels_first)
    transpose(image + (n * channels * copy->height + row) * width, copy->height * width, pixels,
              channels, channels, width);
  else
    memcpy(pixels, image + (n * copy->height + row) * width * channels, (size_t)(width * channels));
}

/* Row `y` of image `n`, from its unpadded copy. */
static void row_out(const struct image_copy *copy, const uint8_t *from, uint8_t *image, int64_t n,
                    int64_t y) {
  const int64_t channels = copy->channels, width = copy->width, height = copy->height;
  transpose(from + (n * height + y) * width * channels, channels,
            image + (n * channels * height + y) * width, height * width, width, channels);
}

static void each_row(const struct image_copy *copy, int64_t rows, const uint8_t *from, uint8_t *to,
                     int threads, row_copy *row) {
  const int64_t count = copy->batch * rows;
  if (threads == 1) { /* OpenMP would allocate a team of one thread */
    for (int64_t i = 0; i < count; i++) row(copy, from, to, i / rows, i % rows);
    return;
  }
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < count; i++) row(copy, from, to, i / rows, i % rows);
}

void image_in(const struct image_copy *copy, const uint8_t *image, uint8_t *to, int threads) {
  each_row(copy, copy->top + copy->height + copy->bottom, image, to, threads, row_in);
}

void image_out(const struct image_copy *copy, const uint8_t *from, uint8_t *image, int threads) {
  each_row(copy, copy->height, from, image, threads, row_out);
}
