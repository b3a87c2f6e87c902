/*
 * tiled.h: products by groups: each computes TILE_M x TILE_N results. Its work-items bring TILE_K
 * columns of a and rows of b to local memory together, then each adds up its own part: columns
 * ITEMS_N apart, so that neighbours read and write neighbours, of rows in runs of RUN, which are
 * read at once. Where results are few, ITEMS_K work-items share the sum of each.
 *
 * With DOT, what is brought are words of four neighbours along k, as they are stored; what they
 * are less is made good for in the sums.
 */
#define ITEMS (ITEMS_M * ITEMS_N * ITEMS_K)
#define PER_ITEM_M (TILE_M / ITEMS_M)
#define PER_ITEM_N (TILE_N / ITEMS_N)
#define RUN 4
#define OWN_ROW(i) ((i) / RUN * (RUN * ITEMS_M) + item_m * RUN + (i) % RUN)

#if DOT
#define WIDTH 4
typedef int part;
/* Bytes of words are signed: others are less 128, as are their zero points. */
#define BELOW_u8 128
#define BELOW_i8 0
#define A_POINT(row) (A_ZERO(row) - JOIN(BELOW_, TYPE_A))
#define B_POINT(column) (B_ZERO(column) - JOIN(BELOW_, TYPE_B))
#define A_BYTE(at) (LOAD(TYPE_A, a, at) - JOIN(BELOW_, TYPE_A))
#define B_BYTE(at) (LOAD(TYPE_B, b, at) - JOIN(BELOW_, TYPE_B))
#define ADD_PRODUCT(sum, a_part, b_part) sum = DOT_OF_BYTES(a_part, b_part, sum)
#else
#define WIDTH 1
typedef real part;
#define ADD_PRODUCT(sum, a_part, b_part) sum += (a_part) * (b_part)
#endif

#if CONVOLUTION
/* Where the taps of rows of b lie from a pixel's first one; NOWHERE below the last row. */
#define FIND_TAPS(first)                                                  \
  for (int t = item; t < TILE_K * WIDTH; t += ITEMS) {                    \
    const int row = (first) + t, channel = row / (p.size[0] * p.size[1]); \
    const int tap = row - channel * p.size[0] * p.size[1];                \
    const int down = tap / p.size[1] * p.dilations[0];                    \
    const int across = tap % p.size[1] * p.dilations[1];                  \
    downs[t] = row < p.k ? down : NOWHERE;                                \
    acrosses[t] = across;                                                 \
    places[t] = (channel * p.height + down) * p.width + across;           \
  }
/* Where the element lies that is so far below the tile's first row, and whether it exists. */
#define FIND_B(below, column)                                                               \
  const int h = top + downs[below], w = left + acrosses[below], at = pixel + places[below]; \
  const int inside = h >= 0 && h < p.height && w >= 0 && w < p.width;
#else
#define FIND_B(below, column)                                                             \
  const int row = first_k + (below), at = b_base + row * p.b_row + (column) * p.b_column; \
  const int inside = row < p.k && (column) < p.n;
#endif
#define FIND_A(row, beside)                                                               \
  const int column = first_k + (beside), at = a_base + (row) * a_row + column * a_column; \
  const int inside = (row) < p.m && column < p.k;

KERNEL void gemm(INPUT(TYPE_A) a, INPUT(TYPE_B) b,
                 POINTS BIAS_BUFFER EPILOGUE_BUFFERS OUTPUT(TYPE_Y) y, const gemm_parameters p) {
  /* Rows are longer than they need be, so that what lies in a column lies in several banks. */
  LOCAL part a_tile[TILE_K][TILE_M + RUN] ALIGNED(16);
  LOCAL part b_tile[TILE_K][TILE_N + 1];
  const int item = ITEM(0), item_k = item / (ITEMS_M * ITEMS_N);
  const int item_m = item / ITEMS_N % ITEMS_M, item_n = item % ITEMS_N;
  const int first_n = GROUP(0) % p.tiles_n * TILE_N;
  const int first_m = GROUP(0) / p.tiles_n % p.tiles_m * TILE_M;
  const int batch = GROUP(0) / p.tiles_n / p.tiles_m;
  FIND_BASES
#if CONVOLUTION
  LOCAL int downs[TILE_K * WIDTH], acrosses[TILE_K * WIDTH], places[TILE_K * WIDTH];
  const int own = first_n + item % TILE_N;
  const int top = own < p.n ? own / p.y_width * p.strides[0] - p.pads[0] : NOWHERE;
  const int left = own % p.y_width * p.strides[1] - p.pads[1];
  const int pixel = b_base + (own < p.n ? top : 0) * p.width + left;
  FIND_TAPS(0)
  BARRIER();
#endif
  real sums[PER_ITEM_M][PER_ITEM_N];
  UNROLL
  for (int i = 0; i < PER_ITEM_M; i++) {
    UNROLL
    for (int j = 0; j < PER_ITEM_N; j++) sums[i][j] = 0;
  }
#if DOT
  int words = 0, a_sums[PER_ITEM_M], b_sums[PER_ITEM_N];
  UNROLL
  for (int i = 0; i < PER_ITEM_M; i++) a_sums[i] = 0;
  UNROLL
  for (int j = 0; j < PER_ITEM_N; j++) b_sums[j] = 0;
#endif

  for (int first_k = 0; first_k < p.k; first_k += TILE_K * WIDTH) {
    /* Neighbours bring what lies side by side in memory. */
    UNROLL
    for (int e = item; e < TILE_M * TILE_K; e += ITEMS) {
      const int m = a_column == 1 ? e / TILE_K : e % TILE_M;
      const int k = a_column == 1 ? e % TILE_K : e / TILE_M;
#if DOT
      const int outside = first_m + m < p.m ? A_POINT(first_m + m) : 0;
      int word = 0;
      UNROLL
      for (int byte = 0; byte < WIDTH; byte++) {
        FIND_A(first_m + m, k * WIDTH + byte)
        word |= ((inside ? A_BYTE(at) : outside) & 255) << 8 * byte;
      }
      a_tile[k][m] = word;
#else
      FIND_A(first_m + m, k)
      a_tile[k][m] = inside ? A_VALUE(at, first_m + m) : 0;
#endif
    }
    UNROLL
    for (int e = item; e < TILE_K * TILE_N; e += ITEMS) {
#if CONVOLUTION
      const int n = item % TILE_N, k = e / TILE_N;
#else
      const int n = p.b_column == 1 ? e % TILE_N : e / TILE_K;
      const int k = p.b_column == 1 ? e / TILE_N : e % TILE_K;
#endif
#if DOT
      const int outside = first_n + n < p.n ? B_POINT(first_n + n) : 0;
      int word = 0;
      UNROLL
      for (int byte = 0; byte < WIDTH; byte++) {
        FIND_B(k * WIDTH + byte, first_n + n)
        word |= ((inside ? B_BYTE(at) : outside) & 255) << 8 * byte;
      }
      b_tile[k][n] = word;
#else
      FIND_B(k, first_n + n)
      b_tile[k][n] = inside ? B_VALUE(at, first_n + n) : 0;
#endif
    }
    BARRIER();
#if CONVOLUTION
    FIND_TAPS(first_k + TILE_K * WIDTH)
#endif
    for (int k = item_k; k < TILE_K; k += ITEMS_K) {
      part b_part[PER_ITEM_N];
      UNROLL
      for (int j = 0; j < PER_ITEM_N; j++) {
        b_part[j] = b_tile[k][item_n + j * ITEMS_N];
#if DOT
        b_sums[j] = DOT_OF_BYTES(b_part[j], 0x01010101, b_sums[j]);
#endif
      }
      UNROLL
      for (int i = 0; i < PER_ITEM_M; i++) {
        const part a_part = a_tile[k][OWN_ROW(i)];
#if DOT
        a_sums[i] = DOT_OF_BYTES(a_part, 0x01010101, a_sums[i]);
#endif
        UNROLL
        for (int j = 0; j < PER_ITEM_N; j++) ADD_PRODUCT(sums[i][j], a_part, b_part[j]);
      }
#if DOT
      words++;
#endif
    }
    BARRIER();
  }

#if DOT
  /* (a - a_point) * (b - b_point), summed; what wraps around on the way comes back. */
  UNROLL
  for (int i = 0; i < PER_ITEM_M; i++) {
    const int m = first_m + OWN_ROW(i);
    const uint a_point = (uint)(m < p.m ? A_POINT(m) : 0);
    UNROLL
    for (int j = 0; j < PER_ITEM_N; j++) {
      const int n = first_n + item_n + j * ITEMS_N;
      const uint b_point = (uint)(n < p.n ? B_POINT(n) : 0);
      const uint less = a_point * (uint)b_sums[j] + b_point * (uint)a_sums[i];
      sums[i][j] = (int)((uint)sums[i][j] - less + a_point * b_point * (uint)(WIDTH * words));
    }
  }
#endif
#if ITEMS_K > 1
  LOCAL real others[ITEMS_K][TILE_M * TILE_N];
  UNROLL
  for (int i = 0; i < PER_ITEM_M; i++) {
    UNROLL
    for (int j = 0; j < PER_ITEM_N; j++)
      others[item_k][OWN_ROW(i) * TILE_N + item_n + j * ITEMS_N] = sums[i][j];
  }
  BARRIER();
  for (int e = item; e < TILE_M * TILE_N; e += ITEMS) {
    const int m = first_m + e / TILE_N, n = first_n + e % TILE_N;
    real sum = 0;
    UNROLL
    for (int k = 0; k < ITEMS_K; k++) sum += others[k][e];
    if (m < p.m && n < p.n) FINISH(sum)
  }
#else
  /* Rows take turns at one code; registers have no index, so each is asked whether it is its. */
  ROLL for (int row = 0; row < PER_ITEM_M; row++) {
    UNROLL
    for (int j = 0; j < PER_ITEM_N; j++) {
      const int m = first_m + OWN_ROW(row), n = first_n + item_n + j * ITEMS_N;
      real sum = sums[0][j];
      UNROLL
      for (int i = 1; i < PER_ITEM_M; i++) sum = i == row ? sums[i][j] : sum;
      if (m < p.m && n < p.n) FINISH(sum)
    }
  }
#endif
}
