#include "qgemm.h"

#include "parallel.h"
#include "requantise.h"

/* Packed rows of `a` stay in the second-level cache beside a tile of b. */
#define BLOCK_BYTES (96 * 1024)
/* As measured, of one thread: products a second, and what a row's results of a vector take behind
 * their sums, in products of each column; seconds of a value that is packed. */
#if DOT_VALUES == 4
#define RATE (F32_LANES == 16 ? 2.5e11 : 5e10)
#else
#define RATE (F32_LANES >= 8 ? 9.3e10 : 4e9)
#endif
#define LAST_STEPS (F32_LANES == 16 && DOT_VALUES == 2 ? 13 : 26)
#define PACK_SECONDS (F32_LANES >= 8 ? 4e-11 : 1e-10)

enum {
  SMALLEST_SHARE = 12, /* tiles of rows in a task's finer cuts */
  FINEST = 4,          /* such cuts */
};

#define UNROLL _Pragma("GCC unroll 16")

/* ---- Plans ------------------------------------------------------------------------------ */

double LEVEL_NAME(qgemm_seconds)(const qgemm *g) {
  const double rows = (double)g->batch * (double)g->m, k = (double)g->k;
  const double columns = (double)kernel_round_up(g->n, F32_LANES);
  return rows * columns * (k + LAST_STEPS) / RATE + (g->place_rows ? 0 : rows * k * PACK_SECONDS);
}

/* More than one for each thread where they stay large, so that a fast core may take more of them
 * than a slow one. */
static int64_t cuts_of_rows(int64_t tiles, int threads) {
  const int64_t worth = kernel_min(FINEST, tiles / threads / SMALLEST_SHARE);
  return kernel_max(1, kernel_min(tiles, threads * kernel_max(1, worth)));
}

qgemm_plan LEVEL_NAME(qgemm_make_plan)(const qgemm *g) {
  /* Rows a cache line past each other don't meet in one set. */
  const int64_t line = QGEMM_SLACK;
  const int64_t stride = kernel_round_up(qgemm_lanes(g->k) * DOT_VALUES, line) + line;
  int64_t rows = BLOCK_BYTES / (stride * (int64_t)sizeof(dot_value)) / QGEMM_ROWS * QGEMM_ROWS;
  rows = kernel_min(kernel_max(rows, QGEMM_ROWS), kernel_round_up(g->m, QGEMM_ROWS));
  qgemm_plan plan = {.block_rows = kernel_max(rows, QGEMM_ROWS), .row_stride = stride};
  plan.task_rows = plan.task_columns = 1;
  plan.threads = kernel_threads(LEVEL_NAME(qgemm_seconds)(g), g->threads);
  const int64_t row_tiles = (g->m + QGEMM_ROWS - 1) / QGEMM_ROWS;
  const int64_t column_tiles = qgemm_columns_count(g->n) / QGEMM_COLUMNS;
  if (g->batch % plan.threads && g->batch < 8 * plan.threads) {
    if (row_tiles >= 4 * plan.threads || row_tiles >= column_tiles)
      plan.task_rows = cuts_of_rows(row_tiles, plan.threads);
    else
      plan.task_columns = kernel_min(plan.threads, column_tiles);
  }
  return plan;
}

static int64_t thread_bytes(const qgemm_plan *plan) {
  const int64_t values = plan->block_rows * plan->row_stride * (int64_t)sizeof(dot_value);
  return kernel_round_up(values + plan->block_rows * (int64_t)sizeof(int32_t), KP_ALIGNMENT);
}

int64_t LEVEL_NAME(qgemm_scratch_bytes)(const qgemm_plan *plan) {
  return plan->threads * thread_bytes(plan);
}

/* ---- Packing b -------------------------------------------------------------------------- */

/* Where value p of a column lies in a tile: in lane `lane` of vector `vector`. */
static int64_t b_place(int64_t p, int vector, int lane) {
#ifdef LEVEL_MATRIX_I8
  /* For each eight values of k [pair of columns][column][value]. */
  return (p / 8 * QGEMM_COLUMNS + vector * (int)F32_LANES + lane) * 8 + p % 8;
#else
  const int64_t first = p / DOT_VALUES * QGEMM_COLUMNS + vector * (int)F32_LANES;
  return first * DOT_VALUES + dot_b_place(lane, (int)(p % DOT_VALUES));
#endif
}

static int32_t pack_column(const qgemm *g, const qgemm_b *b, int64_t column, dot_value *tile) {
  const int place = (int)(column % QGEMM_COLUMNS), vector = place / (int)F32_LANES;
  const dot_source s = {g->columns.b_flip, b->zeros ? b->zeros[column] : b->zero};
  const uint8_t *from = b->values + column * b->column_stride;
  uint32_t sum = 0;
  for (int64_t p = 0; p < g->k; p++) {
    const int64_t tap = p / b->channels;
    const int64_t at = p % b->channels * b->channel_stride + tap % b->row_taps * b->tap_stride +
                       tap / b->row_taps * b->row_stride;
    const dot_value value = dot_value_of(from[at], s);
    tile[b_place(p, vector, place % (int)F32_LANES)] = value;
    sum += (uint32_t)(int8_t)value;
  }
  return (int32_t)sum;
}

void LEVEL_NAME(qgemm_pack_b)(const qgemm *g, const qgemm_b *b, void *destination) {
  const int64_t columns = qgemm_columns_count(g->n);
  const int64_t tile_values = qgemm_lanes(g->k) * QGEMM_COLUMNS * DOT_VALUES;
  int32_t *sums = destination;
  dot_value *tiles = (dot_value *)(sums + columns);
  memset(destination, 0, (size_t)qgemm_packed_bytes(g->n, g->k));
  for (int64_t column = 0; column < g->n; column++)
    sums[column] = pack_column(g, b, column, tiles + column / QGEMM_COLUMNS * tile_values);
}

/* ---- One tile ----------------------------------------------------------------------------- */

typedef struct tile {
  int64_t lanes;
  u32v flip; /* of a's rows as they are loaded */
  const dot_value *a;
  int64_t a_stride;
  const dot_value *b;
  const int32_t *initial;  /* what the columns' sums begin with */
  const int32_t *zeros;    /* of the columns, or NULL */
  const int32_t *row_sums; /* of a's values, where there are zeros */
  const float *multipliers;
  requantisation to;
  uint8_t *y;
  int32_t *sums; /* or NULL */
  int64_t y_stride;
  int columns; /* that are stored */
} tile;

LEVEL_INLINE void store_sums(int vectors, const i32v *sum, int32_t *to, int count) {
  const int last = vectors - 1, left = count - last * (int)F32_LANES;
  UNROLL for (int v = 0; v < last; v++) store_i32(to + v * F32_LANES, sum[v]);
  to += last * F32_LANES;
  if (left >= (int)F32_LANES)
    store_i32(to, sum[last]);
  else
    /* An index that isn't known, or a call, would send all sums through memory. */
    UNROLL for (int i = 0; i < (int)F32_LANES; i++) if (i < left) to[i] = sum[last][i];
}

LEVEL_INLINE void finish(int rows, int vectors, const tile *t, i32v sum[][QGEMM_VECTORS]) {
  const int64_t stride = t->y_stride;
  const int columns = t->columns;
  if (t->zeros) UNROLL for (int v = 0; v < vectors; v++) {
      const u32v zeros = (u32v)load_i32(t->zeros + v * F32_LANES);
      UNROLL for (int r = 0; r < rows; r++) sum[r][v] =
          (i32v)((u32v)sum[r][v] - zeros * (uint32_t)t->row_sums[r]);
    }
  if (t->sums) {
    int32_t *to = t->sums;
    UNROLL for (int r = 0; r < rows; r++, to += stride) store_sums(vectors, sum[r], to, columns);
    return;
  }
  const requantisation to = t->to;
  f32v multipliers[QGEMM_VECTORS];
  UNROLL for (int v = 0; v < vectors; v++) multipliers[v] =
      load_f32(t->multipliers + v * F32_LANES);
  uint8_t *y = t->y;
  UNROLL for (int r = 0; r < rows; r++, y += stride)
      requantise_row(vectors, sum[r], multipliers, &to, y, columns);
}

#ifdef LEVEL_MATRIX_I8

/* Pairs of rows by pairs of columns, eight values of k at a time; an odd row is paired with
 * itself. */
LEVEL_INLINE void multiply(int rows, int vectors, const tile *t) {
  i32v sum[QGEMM_ROWS / 2][2 * QGEMM_VECTORS];
  const int pairs = (rows + 1) / 2;
  UNROLL for (int r = 0; r < pairs; r++) UNROLL for (int v = 0; v < 2 * vectors; v++) sum[r][v] =
      (i32v){0};
  const dot_value *b = t->b;
  for (int64_t p = 0; p < t->lanes * DOT_VALUES; p += 8, b += 8 * QGEMM_COLUMNS) {
    u32v row[QGEMM_ROWS / 2];
    UNROLL for (int r = 0; r < pairs; r++) {
      const dot_value *first = t->a + 2 * r * t->a_stride + p;
      row[r] = load_pair_i8(first, 2 * r + 1 < rows ? first + t->a_stride : first) ^ t->flip;
    }
    UNROLL for (int v = 0; v < 2 * vectors; v++) {
      const u32v column = load_u32(b + v * 16);
      UNROLL for (int r = 0; r < pairs; r++) sum[r][v] = matrix_i8(sum[r][v], row[r], column);
    }
  }
  i32v total[QGEMM_ROWS][QGEMM_VECTORS];
  UNROLL for (int v = 0; v < vectors; v++) {
    const u32v initial = (u32v)load_i32(t->initial + v * F32_LANES);
    UNROLL for (int r = 0; r < rows; r++) {
      const i32v *pair = &sum[r / 2][2 * v];
      total[r][v] = (i32v)((u32v)matrix_row(pair[0], pair[1], r % 2) + initial);
    }
  }
  finish(rows, vectors, t, total);
}

#else

/* The products of `lanes` lanes, 1, 2 or DOT_ROW_LANES. */
LEVEL_INLINE void multiply_lanes(int lanes, int rows, int vectors, const tile *t,
                                 const dot_value *a, const dot_value *b,
                                 i32v sum[][QGEMM_VECTORS]) {
#if DOT_ROW_LANES == 1
  u32v column[QGEMM_VECTORS];
  UNROLL for (int v = 0; v < vectors; v++) column[v] = load_u32(b + v * F32_LANES * DOT_VALUES);
  UNROLL for (int r = 0; r < rows; r++) {
    const dot_row row = load_dot_row(a + r * t->a_stride, lanes, t->flip);
    UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = dot_by_lane(sum[r][v], row, 0, column[v]);
  }
#else
  dot_row row[QGEMM_ROWS];
  UNROLL for (int r = 0; r < rows; r++) row[r] = load_dot_row(a + r * t->a_stride, lanes, t->flip);
  UNROLL for (int q = 0; q < lanes; q++, b += QGEMM_COLUMNS * DOT_VALUES)
      UNROLL for (int v = 0; v < vectors; v++) {
    const u32v column = load_u32(b + v * F32_LANES * DOT_VALUES);
    UNROLL for (int r = 0; r < rows; r++) sum[r][v] = dot_by_lane(sum[r][v], row[r], q, column);
    LEVEL_KEEP_LOADS;
  }
#endif
}

LEVEL_INLINE void multiply(int rows, int vectors, const tile *t) {
  i32v sum[QGEMM_ROWS][QGEMM_VECTORS];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
      load_i32(t->initial + v * F32_LANES);
  const dot_value *a = t->a, *b = t->b;
  enum { A_STEP = DOT_VALUES, B_STEP = QGEMM_COLUMNS * DOT_VALUES };
  int64_t left = t->lanes;
  for (; left >= DOT_ROW_LANES; left -= DOT_ROW_LANES) {
    multiply_lanes(DOT_ROW_LANES, rows, vectors, t, a, b, sum);
    a += DOT_ROW_LANES * A_STEP, b += DOT_ROW_LANES * B_STEP;
  }
  if (DOT_ROW_LANES > 2 && left >= 2) {
    multiply_lanes(2, rows, vectors, t, a, b, sum);
    a += 2 * A_STEP, b += 2 * B_STEP, left -= 2;
  }
  if (DOT_ROW_LANES > 1 && left) multiply_lanes(1, rows, vectors, t, a, b, sum);
  finish(rows, vectors, t, sum);
}

#endif

typedef void micro(const tile *t);
#define MICRO(rows, vectors) \
  static void multiply_##rows##_##vectors(const tile *t) { multiply(rows, vectors, t); }
#if QGEMM_VECTORS == 4
#define EACH_VECTORS(X, rows) X(rows, 1) X(rows, 2) X(rows, 3) X(rows, 4)
#else
#define EACH_VECTORS(X, rows) X(rows, 1) X(rows, 2)
#endif
EACH_VECTORS(MICRO, 1)
EACH_VECTORS(MICRO, 2)
EACH_VECTORS(MICRO, 3)
EACH_VECTORS(MICRO, 4)
EACH_VECTORS(MICRO, 5)
EACH_VECTORS(MICRO, 6)

#define ENTRY(rows, vectors) multiply_##rows##_##vectors,
static micro *const micros[QGEMM_ROWS][QGEMM_VECTORS] = {
    {EACH_VECTORS(ENTRY, 1)}, {EACH_VECTORS(ENTRY, 2)}, {EACH_VECTORS(ENTRY, 3)},
    {EACH_VECTORS(ENTRY, 4)}, {EACH_VECTORS(ENTRY, 5)}, {EACH_VECTORS(ENTRY, 6)},
};

/* ---- Blocks ------------------------------------------------------------------------------- */

typedef struct range {
  int64_t begin, end;
} range;

static void sum_rows(const qgemm *g, const dot_value *a, int64_t stride, int64_t rows,
                     int32_t *sums) {
  const dot_value flip = dot_row_flip(g->a);
  for (int64_t r = 0; r < rows; r++, a += stride) {
    uint32_t sum = 0;
#if DOT_A_SIGNED
    for (int64_t p = 0; p < g->k; p++) sum += (uint32_t)(int8_t)(a[p] ^ flip);
#else
    for (int64_t p = 0; p < g->k; p++) sum += (uint32_t)(a[p] ^ flip);
#endif
    sums[r] = (int32_t)sum;
  }
}

/* What a's zero point brings into the columns' sums is taken out again; their bias. */
static void make_initial(const qgemm *g, int64_t batch, int64_t column, const int32_t *sums,
                         int32_t *initial) {
#if DOT_VALUES == 4
  const int32_t *zeros = g->columns.zeros + batch * g->columns_stride + column;
  const uint32_t k = (uint32_t)g->k, zero = (uint32_t)g->a.zero;
  for (int i = 0; i < QGEMM_COLUMNS; i++)
    initial[i] = (int32_t)(zero * (k * (uint32_t)zeros[i] - (uint32_t)sums[column + i]));
#else
  (void)sums;
  memset(initial, 0, QGEMM_COLUMNS * sizeof *initial);
#endif
  if (!g->bias) return;
  const int32_t *bias = g->bias + batch * g->bias_stride;
  const int64_t count = kernel_min(QGEMM_COLUMNS, g->n - column);
  for (int64_t i = 0; i < count; i++)
    initial[i] = (int32_t)((uint32_t)initial[i] + (uint32_t)bias[column + i]);
}

static void multiply_block(const qgemm *g, int64_t batch, range rows, range columns,
                           const dot_value *a, int64_t a_stride, const int32_t *row_sums) {
  const char *packed = g->packed_b + batch % g->packed_count * g->packed_stride;
  const int32_t *sums = (const int32_t *)packed;
  const dot_value *tiles = (const dot_value *)(sums + g->columns.count);
  const int64_t lanes = qgemm_lanes(g->k), tile_values = lanes * QGEMM_COLUMNS * DOT_VALUES;
  const int64_t own = batch * g->columns_stride;
  tile t = {.lanes = lanes,
            .flip = (uint32_t)(0x01010101u * dot_row_flip(g->a)) - (u32v){0},
            .a_stride = a_stride,
            .to = make_requantisation(g->y_range, g->y_zero),
            .y_stride = g->y_row_stride};
  for (int64_t j = columns.begin; j < columns.end; j++) {
    const int64_t column = j * QGEMM_COLUMNS;
    int32_t initial[QGEMM_COLUMNS];
    make_initial(g, batch, column, sums, initial);
    t.b = tiles + j * tile_values;
    t.initial = initial;
    t.columns = (int)kernel_min(QGEMM_COLUMNS, g->n - column);
    if (!g->sums) t.multipliers = g->columns.multipliers + own + column;
    t.zeros = g->columns.corrects ? g->columns.zeros + own + column : NULL;
    const int vectors = (t.columns + (int)F32_LANES - 1) / (int)F32_LANES;
    for (int64_t row = rows.begin; row < rows.end; row += QGEMM_ROWS) {
      t.a = a + (row - rows.begin) * a_stride;
      t.row_sums = row_sums + (row - rows.begin);
      const int64_t at = batch * g->y_batch_stride + row * g->y_row_stride + column;
      if (g->sums)
        t.sums = g->sums + at;
      else
        t.y = g->y + at;
      micros[kernel_min(QGEMM_ROWS, rows.end - row) - 1][vectors - 1](&t);
    }
  }
}

static void run_task(const qgemm *g, const qgemm_plan *plan, int64_t batch, range rows,
                     range columns, void *scratch) {
  dot_value *packed = scratch;
  int32_t *row_sums = (int32_t *)(packed + plan->block_rows * plan->row_stride);
  for (int64_t row = rows.begin; row < rows.end; row += plan->block_rows) {
    const range block = {row, kernel_min(row + plan->block_rows, rows.end)};
    const int64_t count = block.end - block.begin;
    const dot_value *a = packed;
    int64_t stride = plan->row_stride;
    if (g->place_rows) {
      a = (const dot_value *)g->place_rows(g->context, batch, row);
      stride = g->rows_stride;
    } else {
      g->pack_rows(g->context, batch, row, (int)count, packed, stride);
    }
    if (g->columns.corrects) sum_rows(g, a, stride, count, row_sums);
    multiply_block(g, batch, block, columns, a, stride, row_sums);
  }
}

typedef struct job {
  const qgemm *g;
  const qgemm_plan *plan;
  char *scratch;
} job;

static void run_tasks(const void *context, int64_t begin, int64_t end, int thread) {
  const job *whole = context;
  const qgemm *g = whole->g;
  const qgemm_plan *plan = whole->plan;
  const int64_t tasks = plan->task_rows * plan->task_columns;
  void *own = whole->scratch + thread * thread_bytes(plan);
  for (int64_t index = begin; index < end; index++) {
    const int64_t part = index % tasks;
    range rows, columns;
    kernel_split((g->m + QGEMM_ROWS - 1) / QGEMM_ROWS, plan->task_rows, part / plan->task_columns,
                 &rows.begin, &rows.end);
    rows = (range){rows.begin * QGEMM_ROWS, kernel_min(rows.end * QGEMM_ROWS, g->m)};
    kernel_split(qgemm_columns_count(g->n) / QGEMM_COLUMNS, plan->task_columns,
                 part % plan->task_columns, &columns.begin, &columns.end);
    run_task(g, plan, index / tasks, rows, columns, own);
  }
}

void LEVEL_NAME(qgemm_run)(const qgemm *g, const qgemm_plan *plan, void *scratch) {
  if (g->m == 0 || g->n == 0) return;
  const job whole = {g, plan, scratch};
  parallel_for(plan->threads, g->batch * plan->task_rows * plan->task_columns, run_tasks, &whole);
}
