/*
 * products.h: products of matrices, y[m][n] = sum over k of a[m][k] * b[k][n], many at once; and
 * convolutions as such products, whose b is the image seen through the window (implicit GEMM).
 *
 * BLOCKED is for devices whose work-items run one after the other: each computes BLOCK_M x TILE_N
 * results alone, ROWS x VECTORS vectors at a time. Else a group computes TILE_M x TILE_N results:
 * its ITEMS_M x ITEMS_N work-items bring TILE_K columns of a and rows of b to local memory
 * together, then each adds up its own part, which lies ITEMS_M and ITEMS_N apart so that
 * neighbours read neighbours.
 *
 * Operands of 8 bits, of dtypes TYPE_A and TYPE_B, are CENTRED when they are brought: less zero
 * points of the problem's, whose sums become stored values again, or of tensors'. A channel, of
 * which the result has one for each m of a convolution and each n else, may have a zero point and a
 * multiplier of its own.
 */
#define NOT_CENTRED 0
#define BY_PARAMETERS 1
#define BY_TENSORS 2

typedef struct {
  real numbers[NUMBERS];
  real alpha;
  int m, n, k, tiles_m, tiles_n;
#if CENTRED == BY_PARAMETERS
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

#if CONVOLUTION
#define TYPE_FIRST TYPE_B
#define TYPE_SECOND TYPE_A
#else
#define TYPE_FIRST TYPE_A
#define TYPE_SECOND TYPE_B
#endif

/* ZERO of the operand with one zero point, ZEROS of the other's channels. */
#if CENTRED == BY_PARAMETERS
#define POINTS GLOBAL const int *zeros, GLOBAL const float *multipliers,
#define ZERO p.zero
#define ZEROS(channel) zeros[channel]
#elif CENTRED == BY_TENSORS
#if HAS_POINT
#define FIRST_POINT INPUT(TYPE_FIRST) point,
#define ZERO LOAD(TYPE_FIRST, point, 0)
#else
#define FIRST_POINT
#define ZERO 0
#endif
#if HAS_POINTS
#define POINTS FIRST_POINT INPUT(TYPE_SECOND) points,
#define ZEROS(channel) LOAD(TYPE_SECOND, points, (channel) * POINTS_STEP)
#else
#define POINTS FIRST_POINT
#define ZEROS(channel) 0
#endif
#else
#define POINTS
#endif

#if CENTRED == NOT_CENTRED
#define A_VALUE(at, row) LOAD(TYPE_A, a, at)
#define B_VALUE(at, column) LOAD(TYPE_B, b, at)
#elif CONVOLUTION
#define A_VALUE(at, row) (LOAD(TYPE_A, a, at) - ZEROS(CHANNEL(batch, row, 0)))
#define B_VALUE(at, column) (LOAD(TYPE_B, b, at) - ZERO)
#else
#define A_VALUE(at, row) (LOAD(TYPE_A, a, at) - ZERO)
#define B_VALUE(at, column) (LOAD(TYPE_B, b, at) - ZEROS(CHANNEL(batch, 0, column)))
#endif

/* Where the matrices of a batch begin. */
#if CONVOLUTION
#define FIND_BASES                                            \
  const int a_base = batch % p.groups * p.m * p.k;            \
  const int b_base = batch * p.channels * p.height * p.width; \
  const int a_row = p.k, a_column = 1;
#else
#define FIND_BASES                                   \
  int a_base = 0, b_base = 0, rest_ = batch;         \
  const int a_row = p.a_row, a_column = p.a_column;  \
  for (int axis = RANK - 1; axis >= 0; axis--) {     \
    const int place = rest_ % p.batch_extents[axis]; \
    a_base += place * p.a_strides[axis];             \
    b_base += place * p.b_strides[axis];             \
    rest_ /= p.batch_extents[axis];                  \
  }
#endif

#if CENTRED == BY_PARAMETERS
#define REQUANTIZE                                                       \
  const float scaled = (float)value * multipliers[CHANNEL(batch, m, n)]; \
  value = stored_of(rint(scaled), p.y_zero, p.low, p.high);
#else
#define REQUANTIZE
#endif
#if HAS_BIAS
#define BIAS_BUFFER INPUT(COMPUTED) bias,
#define ADD_BIAS value += LOAD(COMPUTED, bias, CHANNEL(batch, m, n));
#else
#define BIAS_BUFFER
#define ADD_BIAS
#endif

/* Writes the result of row m and column n from its sum. */
#define FINISH(sum)                             \
  {                                             \
    const int at = (batch * p.m + m) * p.n + n; \
    real value = (sum) * p.alpha;               \
    ADD_BIAS                                    \
    REQUANTIZE                                  \
    EPILOGUE                                    \
    STORE(TYPE_Y, y, at, value);                \
  }

#if BLOCKED
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
#define NOWHERE (-(1 << 24))

KERNEL void gemm(INPUT(TYPE_A) a, INPUT(TYPE_B) b,
                 POINTS BIAS_BUFFER EPILOGUE_BUFFERS OUTPUT(TYPE_Y) y, const gemm_parameters p) {
  LOCAL real b_block[BLOCK_K * TILE_N], sums[BLOCK_M * TILE_N];
  const int first_n = GROUP(0) % p.tiles_n * TILE_N;
  const int first_m = GROUP(0) / p.tiles_n % p.tiles_m * BLOCK_M;
  const int batch = GROUP(0) / p.tiles_n / p.tiles_m;
  const int rows = p.m - first_m < BLOCK_M ? p.m - first_m : BLOCK_M;
  const int columns = p.n - first_n < TILE_N ? p.n - first_n : TILE_N;
  FIND_BASES
#if CONVOLUTION
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
#if CONVOLUTION
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
#else
#define PER_ITEM_M (TILE_M / ITEMS_M)
#define PER_ITEM_N (TILE_N / ITEMS_N)

KERNEL void gemm(INPUT(TYPE_A) a, INPUT(TYPE_B) b,
                 POINTS BIAS_BUFFER EPILOGUE_BUFFERS OUTPUT(TYPE_Y) y, const gemm_parameters p) {
  LOCAL real a_tile[TILE_K][TILE_M], b_tile[TILE_K][TILE_N];
  const int item = ITEM(0), item_m = item / ITEMS_N, item_n = item % ITEMS_N;
  const int first_n = GROUP(0) % p.tiles_n * TILE_N;
  const int first_m = GROUP(0) / p.tiles_n % p.tiles_m * TILE_M;
  const int batch = GROUP(0) / p.tiles_n / p.tiles_m;
  FIND_BASES
  real sums[PER_ITEM_M][PER_ITEM_N];
  UNROLL
  for (int i = 0; i < PER_ITEM_M; i++) {
    UNROLL
    for (int j = 0; j < PER_ITEM_N; j++) sums[i][j] = 0;
  }

  for (int first_k = 0; first_k < p.k; first_k += TILE_K) {
    for (int e = item; e < TILE_M * TILE_K; e += ITEMS_M * ITEMS_N) {
#if A_BY_COLUMNS
      const int m = e % TILE_M, k = e / TILE_M;
#else
      const int m = e / TILE_K, k = e % TILE_K;
#endif
      const int row = first_m + m, column = first_k + k;
      const int at = a_base + row * a_row + column * a_column;
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
      UNROLL
      for (int j = 0; j < PER_ITEM_N; j++) b_part[j] = b_tile[k][item_n + j * ITEMS_N];
      UNROLL
      for (int i = 0; i < PER_ITEM_M; i++) {
        const real a_part = a_tile[k][item_m + i * ITEMS_M];
        UNROLL
        for (int j = 0; j < PER_ITEM_N; j++) sums[i][j] += a_part * b_part[j];
      }
    }
    BARRIER();
  }

  UNROLL
  for (int i = 0; i < PER_ITEM_M; i++) {
    UNROLL
    for (int j = 0; j < PER_ITEM_N; j++) {
      const int m = first_m + item_m + i * ITEMS_M, n = first_n + item_n + j * ITEMS_N;
      if (m < p.m && n < p.n) FINISH(sums[i][j])
    }
  }
}
#endif
