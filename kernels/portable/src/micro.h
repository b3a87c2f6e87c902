/*
 * The multiplication of one tile: output[rows][vectors] = a[rows][k] * b[k][vectors] + ...
 *
 * The rows' operand comes in one of two formats:
 *   A_COLUMNS  [k][rows]: element (i, p) at a[p * rows + i]
 *   A_CHUNKS   chunks of A_CHUNK values of k, a_stride apart: element (i, p) at
 *              a[p / A_CHUNK * a_stride + i * A_CHUNK + p % A_CHUNK]
 * The other operand is rows of whole vectors, b_stride apart.
 */
#ifndef PORTABLE_MICRO_H
#define PORTABLE_MICRO_H

#include "real.h"

/* The most rows and vectors of a tile, and its columns. */
#define MR LEVEL_TILE_ROWS
#define NV LEVEL_TILE_VECTORS
#define NR (NV * REAL_LANES)

enum { A_COLUMNS = 0, A_CHUNKS = 1, A_FORMATS = 2 };
#ifdef LEVEL_LANE_PRODUCTS
#define A_CHUNK REAL_LANES
#else
#define A_CHUNK 16
#endif

/* The most rows of a tile in a format. */
static inline int micro_rows(int format) {
  return format == A_CHUNKS ? LEVEL_TILE_ROWS_CHUNKED : LEVEL_TILE_ROWS;
}

/* Vectors that hold so many columns of a tile. */
static inline int micro_vectors(int64_t columns) {
  return columns >= NR ? NV : (int)((columns + REAL_LANES - 1) / REAL_LANES);
}

typedef enum micro_activation { MICRO_NONE, MICRO_RELU, MICRO_CLIP } micro_activation;

/* Where the products go, and what else is added on the way; a NULL adds nothing. */
typedef struct micro_output {
  real *values; /* rows of whole vectors */
  int64_t stride;
  const real *sums;        /* products so far: dense rows */
  const real *row_bias;    /* a value for each row */
  const real *column_bias; /* a value for each column */
  const real *addend;      /* of the output's stride */
  micro_activation activation;
  real low, high; /* of MICRO_CLIP */
} micro_output;

typedef void (*micro_kernel)(int64_t k, const real *a, int64_t a_stride, const real *b,
                             int64_t b_stride, const micro_output *output);

/* By format, number of vectors - 1, number of rows - 1. */
typedef micro_kernel micro_table[A_FORMATS][NV][MR];
extern const micro_table REAL_NAME(micro);

#endif
