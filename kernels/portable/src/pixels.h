/*
 * The pixels that a kernel's taps see, row by row of the implicit matrix: for tap (i, j) and
 * channel c, `width` consecutive output pixels. The matrix's row number is
 * (i * kernel_w + j) * group_channels + c.
 */
#ifndef PORTABLE_PIXELS_H
#define PORTABLE_PIXELS_H

#include "conv2d_problem.h"

/*
 * Writes rows [p, p + count) of the matrix for the output pixels [pixel, pixel + pixels) of one
 * image's group, whose first element is `offset`; `width` values a row, those past `pixels` zero.
 * Stores whole vectors: up to REAL_LANES - 1 values past the end are overwritten.
 *
 * With REAL_PAIRS, a row holds pairs of bfloat16 for channels 2 c and 2 c + 1, and is number
 * (i * kernel_w + j) * pairs of channels + c.
 */
void REAL_NAME(pixels_pack)(const conv2d *s, storage stored, const void *x, int64_t offset,
                            int64_t pixel, int pixels, int width, int64_t p, int64_t count,
                            real *destination);

#endif
