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

/* Row `y` of the padded copy of image `n`. */
static void row_in(const struct image_copy *copy, const uint8_t *image, uint8_t *to, int64_t n,
                   int64_t y) {
  const int64_t channels = copy->channels, width = copy->width;
  const int64_t whole = (copy->left + width + copy->right) * channels;
  const int64_t row = y - copy->top;
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
    memcpy(pixels, image + (n * copy->height + row) * width * channels,
           (size_t)(width * channels));
}

void image_in(const struct image_copy *copy, const uint8_t *image, uint8_t *to, int threads) {
  const int64_t rows = copy->top + copy->height + copy->bottom;
  const int64_t bytes = (copy->left + copy->width + copy->right) * copy->channels;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < copy->batch * rows; i++)
    row_in(copy, image, to + i * bytes, i / rows, i % rows);
}

void image_out(const struct image_copy *copy, const uint8_t *from, uint8_t *image, int threads) {
  const int64_t channels = copy->channels, width = copy->width, height = copy->height;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t i = 0; i < copy->batch * height; i++) {
    const int64_t n = i / height, row = i % height;
    transpose(from + i * width * channels, channels, image + (n * channels * height + row) * width,
              height * width, width, channels);
  }
}
