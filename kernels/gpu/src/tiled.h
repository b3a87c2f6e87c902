/*
 * tiled.h: products by groups: each computes TILE_M x TILE_N results. Its work-items bring TILE_K
 * columns of a and rows of b to local memory together, then each adds up its own part: columns
 * ITEMS_N apart, of rows in runs of RUN. Where results are few, ITEMS_K work-items share the sum of
 * each.
 *
 * With DOT, what is brought are words of four neighbours along k, as they are stored; what they
 * are less is made good for in the sums.
 */
#define ITEMS (ITEMS_M * ITEMS_N * ITEMS_K)
#define PER_ITEM_M (TILE_M / ITEMS_M)
#define PER_ITEM_N (TILE_N / ITEMS_N)
#define RUN 4
#define OWN_ROW(i) ((i) / RUN * (RUN * ITEMS_M) + item_m * RUN + (i) % RUN)
/* In the tile of b a work-item's columns lie side by side, in runs that it reads at once; in memory
 * they are ITEMS_N apart, so that neighbours read and write neighbours. */
#define RUN_N (PER_ITEM_N < RUN ? PER_ITEM_N : RUN)
#define PLACE_OF(column)                                                           \
  ((column) / (RUN_N * ITEMS_N) * (RUN_N * ITEMS_N) + (column) % ITEMS_N * RUN_N + \
   (column) / ITEMS_N % RUN_N)
#define OWN_PLACE(j) ((j) / RUN_N * (RUN_N * ITEMS_N) + item_n * RUN_N + (j) % RUN_N)

/* Local memory has BANKS words side by side. Rows of a tile begin RUN words further along them
 * than the row before, so that neighbours who write down a column write to several. */
#define BANKS 32
#define PITCH(width) ((width) % BANKS ? (width) : (width) + RUN)
/* Where operands lie along the sum, neighbours bring ALONG of it side by side, of few rows; of b
 * those whose places lie side by side, and as many of each run of columns. */
#define ALONG (TILE_K < 16 ? TILE_K : 16)
#define ALONG_K (item % ALONG + item / BANKS % (TILE_K / ALONG) * ALONG)
#define ALONG_ROW (item % BANKS / ALONG + item / BANKS / (TILE_K / ALONG) * (BANKS / ALONG))
#define AT_ONCE (ITEMS / TILE_K * RUN_N * ITEMS_N / TILE_N)
#define ALONG_COLUMN                                                     \
  (ALONG_ROW % RUN_N * ITEMS_N + ALONG_ROW / RUN_N % (AT_ONCE / RUN_N) + \
   ALONG_ROW / AT_ONCE * (RUN_N * ITEMS_N))

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

/* Elements along the sum that are brought at a time. */
#define STEP (TILE_K * WIDTH)
/* How many words of each operand a work-item brings, all of them before any is stored. */
#define BROUGHT_A (TILE_M * TILE_K / ITEMS)
#define BROUGHT_B (TILE_K * TILE_N / ITEMS)

#if WINDOW
/* Where the taps of rows of b lie from a pixel's first one; NOWHERE below the last row. */
#define FIND_TAPS(first)                                                 \
  if (item < STEP) {                                                     \
    const uint row = (uint)((first) + item), width = (uint)p.size[1];    \
    const uint channel = row / (uint)(p.size[0] * p.size[1]);            \
    const uint tap = row - channel * (uint)(p.size[0] * p.size[1]);      \
    const int down = (int)(tap / width) * p.dilations[0];                \
    const int across = (int)(tap % width) * p.dilations[1];              \
    taps[item][0] = row < (uint)p.k ? down : NOWHERE;                    \
    taps[item][1] = across;                                              \
    taps[item][2] = ((int)channel * p.height + down) * p.width + across; \
    taps[item][3] = 0; /* the four are written at once */                \
  }
/* Where a byte of the word lies, or the element, and whether it exists. */
#define FIND_B(byte)                                                       \
  const int h = top + taps[k + (byte)][0], w = left + taps[k + (byte)][1]; \
  const int at = pixel + taps[k + (byte)][2];                              \
  const int inside = (uint)h < (uint)p.height && (uint)w < (uint)p.width;
#else
#define FIND_TAPS(first)
#define FIND_B(byte)                                   \
  const int at = b_at + t * b_step + (byte) * p.b_row; \
  const int inside = n < p.n && first_k + k + (byte) < p.k;
#endif

KERNEL(ITEMS)
void gemm(INPUT(TYPE_A) a, INPUT(TYPE_B) b, POINTS BIAS_BUFFER EPILOGUE_BUFFERS OUTPUT(TYPE_Y) y,
          const gemm_parameters p) {
  LOCAL part a_tile[TILE_K][PITCH(TILE_M)] ALIGNED(16);
  LOCAL part b_tile[TILE_K][PITCH(TILE_N)] ALIGNED(16);
  const int item = ITEM(0), item_k = item / (ITEMS_M * ITEMS_N);
  const int item_m = item / ITEMS_N % ITEMS_M, item_n = item % ITEMS_N;
  const int first_n = GROUP(0) % p.tiles_n * TILE_N;
  const int first_m = GROUP(0) / p.tiles_n % p.tiles_m * TILE_M;
  const int batch = GROUP(0) / p.tiles_n / p.tiles_m;
  FIND_BASES
  /* Neighbours bring what lies side by side in memory; a work-item's own are a step apart. */
  const int a_along = a_column == 1;
  const int a_m = a_along ? ALONG_ROW : item % TILE_M;
  const int a_k = a_along ? ALONG_K : item / TILE_M;
  const int a_m_step = a_along ? ITEMS / TILE_K : 0, a_k_step = a_along ? 0 : ITEMS / TILE_M;
  const int a_step = a_m_step * a_row + a_k_step * WIDTH * a_column;
  int a_at = a_base + (first_m + a_m) * a_row + a_k * WIDTH * a_column;
#if WINDOW
  LOCAL int taps[STEP][4] ALIGNED(16);
  const int b_n = item % TILE_N, b_k = item / TILE_N, b_n_step = 0, b_k_step = ITEMS / TILE_N;
  const int own = first_n + b_n;
  const int top = own < p.n ? own / p.y_width * p.strides[0] - p.pads[0] : NOWHERE;
  const int left = own % p.y_width * p.strides[1] - p.pads[1];
  const int pixel = b_base + (own < p.n ? top : 0) * p.width + left;
  FIND_TAPS(0)
  BARRIER();
#else
  const int b_along = p.b_column != 1;
  const int b_n = b_along ? ALONG_COLUMN : item % TILE_N;
  const int b_k = b_along ? ALONG_K : item / TILE_N;
  const int b_n_step = b_along ? AT_ONCE / RUN_N : 0, b_k_step = b_along ? 0 : ITEMS / TILE_N;
  const int b_step = b_n_step * p.b_column + b_k_step * WIDTH * p.b_row;
  int b_at = b_base + (first_n + b_n) * p.b_column + b_k * WIDTH * p.b_row;
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

  for (int first_k = 0; first_k < p.k; first_k += STEP) {
    part a_brought[BROUGHT_A], b_brought[BROUGHT_B];
    UNROLL
    for (int t = 0; t < BROUGHT_A; t++) {
      const int m = first_m + a_m + t * a_m_step;
      const int k = first_k + (a_k + t * a_k_step) * WIDTH;
      const int at = a_at + t * a_step;
#if DOT
      const int outside = m < p.m ? A_POINT(m) : 0;
      a_brought[t] = 0;
      UNROLL
      for (int byte = 0; byte < WIDTH; byte++) {
        const int inside = m < p.m && k + byte < p.k;
        a_brought[t] |= ((inside ? A_BYTE(at + byte * a_column) : outside) & 255) << 8 * byte;
      }
#else
      a_brought[t] = m < p.m && k < p.k ? A_VALUE(at, m) : 0;
#endif
    }
    UNROLL
    for (int t = 0; t < BROUGHT_A; t++)
      a_tile[a_k + t * a_k_step][a_m + t * a_m_step] = a_brought[t];
    a_at += STEP * a_column;
    UNROLL
    for (int t = 0; t < BROUGHT_B; t++) {
      const int n = first_n + b_n + t * b_n_step, k = (b_k + t * b_k_step) * WIDTH;
#if DOT
      const int outside = n < p.n ? B_POINT(n) : 0;
      b_brought[t] = 0;
      UNROLL
      for (int byte = 0; byte < WIDTH; byte++) {
        FIND_B(byte)
        b_brought[t] |= ((inside ? B_BYTE(at) : outside) & 255) << 8 * byte;
      }
#else
      FIND_B(0)
      b_brought[t] = inside ? B_VALUE(at, n) : 0;
#endif
    }
    UNROLL
    for (int t = 0; t < BROUGHT_B; t++)
      b_tile[b_k + t * b_k_step][PLACE_OF(b_n + t * b_n_step)] = b_brought[t];
#if !WINDOW
    b_at += STEP * p.b_row;
#endif
    BARRIER();
    FIND_TAPS(first_k + STEP)
    UNROLL_BY_4
    for (int t = 0; t < TILE_K / ITEMS_K; t++) {
      const int k = item_k + t * ITEMS_K;
      part b_part[PER_ITEM_N];
      UNROLL
      for (int j = 0; j < PER_ITEM_N; j++) {
        b_part[j] = b_tile[k][OWN_PLACE(j)];
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
