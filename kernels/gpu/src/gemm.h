/*
 * gemm.h: products of matrices, c[m][n] = sum over k of a[m][k] * b[k][n], many at once; and
 * convolutions as such products, whose b is the image seen through the window (implicit GEMM).
 *
 * A group computes TILE_M x TILE_N results. Its ITEMS_M x ITEMS_N work-items bring TILE_K columns
 * of a and rows of b to local memory together, then each adds up its own part, which lies ITEMS_M
 * and ITEMS_N apart so that neighbours read neighbours.
 *
 * Quantised operands of dtypes TYPE_A and TYPE_B are centred when they are brought; a channel, of
 * which the result has one for each m of a convolution and each n else, has a zero point and a
 * multiplier of its own.
 */
typedef struct {
  real numbers[NUMBERS];
  real alpha;
  int m, n, k, tiles_m, tiles_n;
#if QUANTIZED
  int zero, y_zero, low, high;
#endif
#if CONVOLUTION
  int groups, channels, height, width, y_width;
  int size[2], strides[2], pads[2], dilations[2];
#else
  int a_row, a_column, b_row, b_column;
  int batch_extents[RANK], a_strides[RANK], b_strides[RANK];
#endif
} gemm_parameters;

#if CONVOLUTION
#define CHANNEL(batch, down, across) ((batch) % p.groups * p.m + (down))
#else
#define CHANNEL(batch, down, across) (across)
#endif

#if !QUANTIZED
#define A_VALUE(at, row) LOAD(TYPE_A, a, at)
#define B_VALUE(at, column) LOAD(TYPE_B, b, at)
#elif CONVOLUTION
#define A_VALUE(at, row) (LOAD(TYPE_A, a, at) - zeros[CHANNEL(batch, row, 0)])
#define B_VALUE(at, column) (LOAD(TYPE_B, b, at) - p.zero)
#else
#define A_VALUE(at, row) (LOAD(TYPE_A, a, at) - p.zero)
#define B_VALUE(at, column) (LOAD(TYPE_B, b, at) - zeros[CHANNEL(batch, 0, column)])
#endif

#define PER_ITEM_M (TILE_M / ITEMS_M)
#define PER_ITEM_N (TILE_N / ITEMS_N)

KERNEL void gemm(INPUT(TYPE_A) a, INPUT(TYPE_B) b,
#if QUANTIZED
                 GLOBAL const int *zeros, GLOBAL const float *multipliers,
#endif
#if HAS_BIAS
                 INPUT(COMPUTED) bias,
#endif
                 EPILOGUE_BUFFERS OUTPUT(TYPE_Y) y, const gemm_parameters p) {
  LOCAL real a_tile[TILE_K][TILE_M], b_tile[TILE_K][TILE_N];
  const int item = ITEM(0), item_m = item / ITEMS_N, item_n = item % ITEMS_N;
  const int first_n = GROUP(0) % p.tiles_n * TILE_N;
  const int first_m = GROUP(0) / p.tiles_n % p.tiles_m * TILE_M;
  const int batch = GROUP(0) / p.tiles_n / p.tiles_m;
#if CONVOLUTION
  const int a_base = batch % p.groups * p.m * p.k;
  const int b_base = batch * p.channels * p.height * p.width;
#else
  int a_base = 0, b_base = 0, rest = batch;
  for (int axis = RANK - 1; axis >= 0; axis--) {
    const int place = rest % p.batch_extents[axis];
    a_base += place * p.a_strides[axis];
    b_base += place * p.b_strides[axis];
    rest /= p.batch_extents[axis];
  }
#endif
  real sums[PER_ITEM_M][PER_ITEM_N];
  for (int i = 0; i < PER_ITEM_M; i++)
    for (int j = 0; j < PER_ITEM_N; j++) sums[i][j] = 0;

  for (int first_k = 0; first_k < p.k; first_k += TILE_K) {
    for (int e = item; e < TILE_M * TILE_K; e += ITEMS_M * ITEMS_N) {
#if A_BY_COLUMNS
      const int m = e % TILE_M, k = e / TILE_M;
#else
      const int m = e / TILE_K, k = e % TILE_K;
#endif
      const int row = first_m + m, column = first_k + k;
#if CONVOLUTION
      const int at = a_base + row * p.k + column;
#else
      const int at = a_base + row * p.a_row + column * p.a_column;
#endif
      a_tile[k][m] = row < p.m && column < p.k ? A_VALUE(at, row) : 0;
    }
    for (int e = item; e < TILE_K * TILE_N; e += ITEMS_M * ITEMS_N) {
#if B_BY_COLUMNS
      const int n = e / TILE_K, k = e % TILE_K;
#else
      const int n = e % TILE_N, k = e / TILE_N;
#endif
      const int row = first_k + k, column = first_n + n;
      int inside = row < p.k && column < p.n;
#if CONVOLUTION
      const int window = p.size[0] * p.size[1], tap = row % window;
      const int h =
          column / p.y_width * p.strides[0] - p.pads[0] + tap / p.size[1] * p.dilations[0];
      const int w =
          column % p.y_width * p.strides[1] - p.pads[1] + tap % p.size[1] * p.dilations[1];
      const int at = b_base + (row / window * p.height + h) * p.width + w;
      inside = inside && h >= 0 && h < p.height && w >= 0 && w < p.width;
#else
      const int at = b_base + row * p.b_row + column * p.b_column;
#endif
      b_tile[k][n] = inside ? B_VALUE(at, column) : 0;
    }
    BARRIER();
    for (int k = 0; k < TILE_K; k++) {
      real b_part[PER_ITEM_N];
      for (int j = 0; j < PER_ITEM_N; j++) b_part[j] = b_tile[k][item_n + j * ITEMS_N];
      for (int i = 0; i < PER_ITEM_M; i++) {
        const real a_part = a_tile[k][item_m + i * ITEMS_M];
        for (int j = 0; j < PER_ITEM_N; j++) sums[i][j] += a_part * b_part[j];
      }
    }
    BARRIER();
  }

  for (int i = 0; i < PER_ITEM_M; i++)
    for (int j = 0; j < PER_ITEM_N; j++) {
      const int m = first_m + item_m + i * ITEMS_M, n = first_n + item_n + j * ITEMS_N;
      if (m >= p.m || n >= p.n) continue;
      const int at = (batch * p.m + m) * p.n + n;
      real value = sums[i][j] * p.alpha;
#if HAS_BIAS
      value += LOAD(COMPUTED, bias, CHANNEL(batch, m, n));
#endif
#if QUANTIZED
      const float scaled = (float)value * multipliers[CHANNEL(batch, m, n)];
      value = stored_of(rint(scaled), p.y_zero, p.low, p.high);
#endif
      EPILOGUE
      STORE(TYPE_Y, y, at, value);
    }
}
