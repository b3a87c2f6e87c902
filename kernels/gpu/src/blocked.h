/*
 * blocked.h: products for devices whose work-items run one after the other: each computes
 * BLOCK_M x TILE_N results alone, ROWS x VECTORS vectors at a time, in OpenCL's vector types.
 */
#if VECTOR_WIDTH == 1
typedef real vector;
#define VECTOR_LOAD(p) (*(p))
#define VECTOR_STORE(value, p) (*(p) = (value))
#else
typedef JOIN(VECTOR_OF, VECTOR_WIDTH) vector;
#define VECTOR_LOAD(p) JOIN(vload, VECTOR_WIDTH)(0, p)
#define VECTOR_STORE(value, p) JOIN(vstore, VECTOR_WIDTH)(value, 0, p)
#endif
#define TILE_N (VECTORS * VECTOR_WIDTH)

KERNEL(1)
void gemm(INPUT(TYPE_A) a, INPUT(TYPE_B) b, POINTS BIAS_BUFFER EPILOGUE_BUFFERS OUTPUT(TYPE_Y) y,
          const gemm_parameters p) {
  LOCAL real b_block[BLOCK_K * TILE_N], sums[BLOCK_M * TILE_N];
  const int first_n = GROUP(0) % p.tiles_n * TILE_N;
  const int first_m = GROUP(0) / p.tiles_n % p.tiles_m * BLOCK_M;
  const int batch = GROUP(0) / p.tiles_n / p.tiles_m;
  const int rows = p.m - first_m < BLOCK_M ? p.m - first_m : BLOCK_M;
  const int columns = p.n - first_n < TILE_N ? p.n - first_n : TILE_N;
  FIND_BASES
#if WINDOW
  int tops[TILE_N], lefts[TILE_N];
  for (int n = 0; n < TILE_N; n++) {
    tops[n] = n < columns ? (first_n + n) / p.y_width * p.strides[0] - p.pads[0] : NOWHERE;
    lefts[n] = (first_n + n) % p.y_width * p.strides[1] - p.pads[1];
  }
#endif
  int first_k = 0;
  do {
    const int depth = p.k - first_k < BLOCK_K ? p.k - first_k : BLOCK_K;
    for (int k = 0; k < depth; k++) {
#if WINDOW
      const int window = p.size[0] * p.size[1], tap = (first_k + k) % window;
      const int down = tap / p.size[1] * p.dilations[0];
      const int across = tap % p.size[1] * p.dilations[1];
      const int channel = b_base + (first_k + k) / window * p.height * p.width;
      for (int n = 0; n < TILE_N; n++) {
        const int h = tops[n] + down, w = lefts[n] + across;
        const int inside = h >= 0 && h < p.height && w >= 0 && w < p.width;
        b_block[k * TILE_N + n] = inside ? B_VALUE(channel + h * p.width + w, 0) : 0;
      }
#else
      const int at = b_base + (first_k + k) * p.b_row + first_n * p.b_column;
      for (int n = 0; n < columns; n++)
        b_block[k * TILE_N + n] = B_VALUE(at + n * p.b_column, first_n + n);
      for (int n = columns; n < TILE_N; n++) b_block[k * TILE_N + n] = 0;
#endif
    }
    for (int m = 0; m < rows; m += ROWS) {
      vector part[ROWS][VECTORS];
      int a_at[ROWS], a_m[ROWS];
      UNROLL
      for (int i = 0; i < ROWS; i++) {
        a_m[i] = first_m + (m + i < rows ? m + i : rows - 1);
        a_at[i] = a_base + a_m[i] * a_row + first_k * a_column;
        UNROLL
        for (int j = 0; j < VECTORS; j++)
          part[i][j] =
              first_k == 0 ? (vector)0 : VECTOR_LOAD(sums + (m + i) * TILE_N + j * VECTOR_WIDTH);
      }
      for (int k = 0; k < depth; k++) {
        vector b_part[VECTORS];
        UNROLL
        for (int j = 0; j < VECTORS; j++)
          b_part[j] = VECTOR_LOAD(b_block + k * TILE_N + j * VECTOR_WIDTH);
        UNROLL
        for (int i = 0; i < ROWS; i++) {
          const vector a_part = (vector)A_VALUE(a_at[i] + k * a_column, a_m[i]);
          UNROLL
          for (int j = 0; j < VECTORS; j++) part[i][j] += a_part * b_part[j];
        }
      }
      UNROLL
      for (int i = 0; i < ROWS; i++) {
        UNROLL
        for (int j = 0; j < VECTORS; j++)
          VECTOR_STORE(part[i][j], sums + (m + i) * TILE_N + j * VECTOR_WIDTH);
      }
    }
    first_k += BLOCK_K;
  } while (first_k < p.k);
  for (int row = 0; row < rows; row++)
    for (int column = 0; column < columns; column++) {
      const int m = first_m + row, n = first_n + column;
      FINISH(sums[row * TILE_N + column])
    }
}
