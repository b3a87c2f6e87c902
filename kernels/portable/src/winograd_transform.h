/*
 * Winograd's minimal filtering F(4x4, 3x3) on vectors of channels: Y = A' [(G g G') . (B' d B)] A
 * with the interpolation points 0, 1, -1, 2, -2 and infinity (Lavin and Gray, 2015).
 */
#ifndef PORTABLE_WINOGRAD_TRANSFORM_H
#define PORTABLE_WINOGRAD_TRANSFORM_H

#include "level.h"

enum { WINOGRAD_OUT = 4, WINOGRAD_IN = 6, WINOGRAD_POINTS = 36 };

#define WINOGRAD_UNROLL _Pragma("GCC unroll 6")

/* B' d of one column. */
LEVEL_INLINE void winograd_input_column(const f32v d[6], f32v out[6]) {
  const f32v two = broadcast_f32(2), four = broadcast_f32(4), five = broadcast_f32(5);
  f32v even = fma_f32(-four, d[2], d[4]), odd = fma_f32(-four, d[1], d[3]);
  f32v near = d[4] - d[2], far = d[3] - d[1];
  out[0] = fma_f32(four, d[0], fma_f32(-five, d[2], d[4]));
  out[1] = even + odd;
  out[2] = even - odd;
  out[3] = fma_f32(two, far, near);
  out[4] = fma_f32(-two, far, near);
  out[5] = fma_f32(four, d[1], fma_f32(-five, d[3], d[5]));
}

/* A' m of one column. */
LEVEL_INLINE void winograd_output_column(const f32v m[6], f32v out[4]) {
  const f32v two = broadcast_f32(2), four = broadcast_f32(4), eight = broadcast_f32(8);
  f32v sum = m[1] + m[2], difference = m[1] - m[2];
  f32v far_sum = m[3] + m[4], far_difference = m[3] - m[4];
  out[0] = m[0] + sum + far_sum;
  out[1] = fma_f32(two, far_difference, difference);
  out[2] = fma_f32(four, far_sum, sum);
  out[3] = fma_f32(eight, far_difference, difference) + m[5];
}

/* 6x6 pixels, `pixel` floats from one to the next and `line` from a line to the next, to the 36
 * points, `point` floats apart. */
LEVEL_INLINE void winograd_input(const float *in, int64_t line, int64_t pixel, float *out,
                                 int64_t point) {
  f32v half[6][6];
  WINOGRAD_UNROLL for (int x = 0; x < 6; x++) {
    f32v d[6], column[6];
    WINOGRAD_UNROLL for (int y = 0; y < 6; y++) d[y] = load_f32(in + y * line + x * pixel);
    winograd_input_column(d, column);
    WINOGRAD_UNROLL for (int y = 0; y < 6; y++) half[y][x] = column[y];
  }
  WINOGRAD_UNROLL for (int y = 0; y < 6; y++) {
    f32v row[6];
    winograd_input_column(half[y], row);
    WINOGRAD_UNROLL for (int x = 0; x < 6; x++) store_f32(out + (y * 6 + x) * point, row[x]);
  }
}

/* The 36 points to 4x4 pixels. */
LEVEL_INLINE void winograd_output(const float *in, int64_t point, float *out, int64_t line,
                                  int64_t pixel) {
  f32v half[4][6];
  WINOGRAD_UNROLL for (int x = 0; x < 6; x++) {
    f32v m[6], column[4];
    WINOGRAD_UNROLL for (int y = 0; y < 6; y++) m[y] = load_f32(in + (y * 6 + x) * point);
    winograd_output_column(m, column);
    WINOGRAD_UNROLL for (int y = 0; y < 4; y++) half[y][x] = column[y];
  }
  WINOGRAD_UNROLL for (int y = 0; y < 4; y++) {
    f32v row[4];
    winograd_output_column(half[y], row);
    WINOGRAD_UNROLL for (int x = 0; x < 4; x++) store_f32(out + y * line + x * pixel, row[x]);
  }
}

/* G g G' of one filter's 3x3 taps. */
static inline void winograd_filter(const double g[9], double u[WINOGRAD_POINTS]) {
  static const double rows[6][3] = {{1.0 / 4, 0, 0},
                                    {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                    {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                    {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                    {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                    {0, 0, 1}};
  double half[6][3];
  for (int i = 0; i < 6; i++)
    for (int x = 0; x < 3; x++)
      half[i][x] = rows[i][0] * g[x] + rows[i][1] * g[3 + x] + rows[i][2] * g[6 + x];
  for (int i = 0; i < 6; i++)
    for (int j = 0; j < 6; j++)
      u[i * 6 + j] = half[i][0] * rows[j][0] + half[i][1] * rows[j][1] + half[i][2] * rows[j][2];
}

#endif
