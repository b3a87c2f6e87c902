#include "gemm.h"

#include "parallel.h"

/* A block that is packed stays in the second-level cache, and so do the sums of a block. */
#define BLOCK_BYTES (256 * 1024)
#define SUMS_BYTES (256 * 1024)
/* The longest k that is summed in one go, and what longer ones are cut to. */
#define WHOLE_K 768
#define BLOCK_K 512
/* Floating-point operations a second of one thread, for deciding how many to use. */
#define RATE 5e10

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

enum {
  SMALLEST_SHARE = 3, /* tiles of a task's finer cuts */
  FINEST = 4,         /* such cuts */
};

/* Cuts tasks further, so that a fast core may take more of them than a slow one: along columns or
 * rows, whichever has nothing packed again by it. */
static void split_finer(const gemm *g, gemm_plan *plan) {
  const int by_rows = g->packed_b != NULL;
  int64_t *tasks = by_rows ? &plan->task_rows : &plan->task_columns;
  const int64_t tiles = by_rows ? plan->row_tiles : plan->column_tiles;
  const int64_t cuts = kernel_min(FINEST, tiles / *tasks / SMALLEST_SHARE);
  if (cuts > 1) *tasks *= cuts;
}

/* Tasks along rows and columns so that every thread gets the same, else as near as it goes;
 * ties go to fewer cuts of the operand that is packed again in each task. */
static void split_tasks(const gemm *g, gemm_plan *plan) {
  plan->task_rows = plan->task_columns = 1;
  if (plan->threads == 1 || g->batch % plan->threads == 0 || g->batch >= 8 * plan->threads) return;
  double best = -1;
  for (int64_t rows = 1; rows <= plan->threads; rows++) {
    if (plan->threads % rows) continue;
    int64_t columns = plan->threads / rows;
    if (rows > plan->row_tiles || columns > plan->column_tiles) continue;
    double share =
        (double)divide_up(plan->row_tiles, rows) * (double)divide_up(plan->column_tiles, columns);
    double repacked = g->packed_a ? (double)rows : g->packed_b ? (double)columns : 1;
    double cost = share * (1 + 0.02 * repacked);
    if (best < 0 || cost < best) {
      best = cost;
      plan->task_rows = rows;
      plan->task_columns = columns;
    }
  }
  split_finer(g, plan);
}

gemm_plan REAL_BASE_NAME(gemm_make_plan)(const gemm *g) {
  gemm_plan plan = {.row_tiles = gemm_row_tiles(g->m, g->a_format),
                    .column_tiles = divide_up(g->n, NR),
                    .threads = 1};
  if (g->batch == 0 || g->m == 0 || g->n == 0) return plan;
  double work = 2.0 * (double)g->batch * (double)g->m * (double)g->n * (double)g->k / RATE;
  plan.threads = kernel_threads(work, g->threads);
  split_tasks(g, &plan);

  int64_t blocks = g->k <= WHOLE_K ? 1 : divide_up(g->k, BLOCK_K);
  plan.block_k = kernel_max(A_CHUNK, kernel_round_up(divide_up(g->k, blocks), A_CHUNK));
  int64_t rows = divide_up(plan.row_tiles, plan.task_rows);
  int64_t columns = divide_up(plan.column_tiles, plan.task_columns);
  int64_t row_bytes = plan.block_k * MR * (int64_t)sizeof(real);
  int64_t column_bytes = plan.block_k * NR * (int64_t)sizeof(real);
  plan.block_rows = g->packed_a ? rows : kernel_min(rows, kernel_max(1, BLOCK_BYTES / row_bytes));
  plan.block_columns =
      g->packed_b ? columns : kernel_min(columns, kernel_max(1, BLOCK_BYTES / column_bytes));
  int64_t tile_bytes = MR * NR * (int64_t)sizeof(real);
  if (blocks > 1) {
    int64_t tiles = SUMS_BYTES / tile_bytes;
    if (g->packed_a || !g->packed_b)
      plan.block_rows = kernel_min(plan.block_rows, kernel_max(1, tiles / plan.block_columns));
    else
      plan.block_columns = kernel_min(plan.block_columns, kernel_max(1, tiles / plan.block_rows));
    plan.sums_values = plan.block_rows * plan.block_columns * MR * NR;
  }
  plan.a_values = g->packed_a ? 0 : plan.block_rows * MR * plan.block_k;
  plan.b_values = g->packed_b ? 0 : plan.block_columns * NR * plan.block_k;
  int64_t line = KP_ALIGNMENT / sizeof(real);
  /* A row that is packed may be stored by whole vectors. */
  plan.a_values = kernel_round_up(plan.a_values + REAL_LANES, line);
  plan.b_values = kernel_round_up(plan.b_values + REAL_LANES, line);
  return plan;
}

int64_t REAL_BASE_NAME(gemm_scratch_bytes)(const gemm_plan *plan) {
  return plan->threads * (plan->a_values + plan->b_values + plan->sums_values) *
         (int64_t)sizeof(real);
}

/* ---- One task ------------------------------------------------------------ */

typedef struct {
  int64_t begin, end;
} range;

typedef struct {
  const gemm *g;
  const gemm_plan *plan;
  int64_t batch, packed; /* `packed`: where the packed operand of the product begins */
  real *a, *b, *sums;
} task;

/* Is the tile of columns read where it lies? */
static int is_direct(const gemm *g, int64_t j) { return g->direct_b && (j + 1) * NR <= g->n; }

/* A tile of rows, as it is packed. */
typedef struct {
  int64_t row;
  int rows;
  const real *a;
  int64_t a_stride;
} row_tile;

static row_tile tile_of_rows(const task *t, range rows, int64_t i, int64_t p) {
  const gemm *g = t->g;
  row_tile tile = {.row = gemm_tile_row(g->m, g->a_format, i)};
  tile.rows = (int)(gemm_tile_row(g->m, g->a_format, i + 1) - tile.row);
  tile.a_stride = (int64_t)tile.rows * A_CHUNK;
  tile.a = g->packed_a ? g->packed_a + t->packed + tile.row * gemm_packed_k(g->k, g->a_format) +
                             p * tile.rows
                       : t->a + (i - rows.begin) * MR * t->plan->block_k;
  return tile;
}

/* The sums of tile (i, j) of the range [p, p + count) of k. */
static void multiply_one(const task *t, range rows, range columns, const row_tile *a, int64_t i,
                         int64_t j, int64_t p, int64_t count) {
  const gemm *g = t->g;
  const gemm_plan *plan = t->plan;
  int64_t column = j * NR, b_stride = NR;
  int tile_columns = (int)kernel_min(NR, g->n - column), vectors = micro_vectors(tile_columns);
  int width = vectors * REAL_LANES;

  const real *b = t->b + (j - columns.begin) * NR * plan->block_k;
  if (g->packed_b) {
    b = g->packed_b + t->packed + column * g->k + p * NR;
  } else if (is_direct(g, j)) {
    b = g->direct_b(g->context, t->batch, column) + p * g->direct_stride;
    b_stride = g->direct_stride;
  }

  real here[MR * NR] __attribute__((aligned(KP_ALIGNMENT)));
  real *tile =
      count == g->k
          ? here
          : t->sums + ((i - rows.begin) * plan->block_columns + (j - columns.begin)) * MR * NR;
  int last = p + count == g->k;
  micro_output output = {.values = tile, .stride = width, .sums = p > 0 ? tile : NULL};
  int placed = last && tile_columns == width && g->place &&
               g->place(g->context, t->batch, a->row, column, &output);
  (*g->micro)[g->a_format][vectors - 1][a->rows - 1](count, a->a, a->a_stride, b, b_stride,
                                                     &output);
  if (last && !placed)
    g->finish(g->context, t->batch, a->row, a->rows, column, tile_columns, tile, width);
}

static void pack_rows(const task *t, range rows, int64_t p, int64_t count) {
  for (int64_t i = rows.begin; i < rows.end; i++) {
    int64_t row = gemm_tile_row(t->g->m, t->g->a_format, i);
    t->g->pack_a(t->g->context, t->batch, row,
                 (int)(gemm_tile_row(t->g->m, t->g->a_format, i + 1) - row), p, count,
                 t->a + (i - rows.begin) * MR * t->plan->block_k);
  }
}

static void pack_columns(const task *t, range columns, int64_t p, int64_t count) {
  for (int64_t j = columns.begin; j < columns.end; j++)
    if (!is_direct(t->g, j))
      t->g->pack_b(t->g->context, t->batch, j * NR, (int)kernel_min(NR, t->g->n - j * NR), p, count,
                   t->b + (j - columns.begin) * NR * t->plan->block_k);
}

/* All sums of a block. `fresh_a` and `fresh_b`: the packed block isn't the one that is wanted. */
static void multiply_block(const task *t, range rows, range columns, int fresh_a, int fresh_b) {
  const gemm *g = t->g;
  int64_t p = 0;
  do {
    int64_t count = kernel_min(t->plan->block_k, g->k - p);
    int whole = count == g->k;
    if (!g->packed_a && (fresh_a || !whole)) pack_rows(t, rows, p, count);
    if (!g->packed_b && (fresh_b || !whole)) pack_columns(t, columns, p, count);
    /* What was packed just now is in the cache: it belongs into the inner loop. */
    if (g->packed_a) {
      for (int64_t i = rows.begin; i < rows.end; i++) {
        row_tile a = tile_of_rows(t, rows, i, p);
        for (int64_t j = columns.begin; j < columns.end; j++)
          multiply_one(t, rows, columns, &a, i, j, p, count);
      }
    } else {
      for (int64_t j = columns.begin; j < columns.end; j++)
        for (int64_t i = rows.begin; i < rows.end; i++) {
          row_tile a = tile_of_rows(t, rows, i, p);
          multiply_one(t, rows, columns, &a, i, j, p, count);
        }
    }
    p += count;
  } while (p < g->k);
}

static void run_task(const task *t, range rows, range columns) {
  const gemm *g = t->g;
  int64_t step_rows = t->plan->block_rows, step_columns = t->plan->block_columns;
  if (g->packed_a) {
    for (int64_t j = columns.begin; j < columns.end; j += step_columns)
      for (int64_t i = rows.begin; i < rows.end; i += step_rows)
        multiply_block(t, (range){i, kernel_min(i + step_rows, rows.end)},
                       (range){j, kernel_min(j + step_columns, columns.end)}, 0, i == rows.begin);
  } else {
    for (int64_t i = rows.begin; i < rows.end; i += step_rows)
      for (int64_t j = columns.begin; j < columns.end; j += step_columns)
        multiply_block(t, (range){i, kernel_min(i + step_rows, rows.end)},
                       (range){j, kernel_min(j + step_columns, columns.end)}, j == columns.begin,
                       1);
  }
}

/* ---- All tasks ----------------------------------------------------------- */

typedef struct job {
  const gemm *g;
  const gemm_plan *plan;
  real *scratch;
} job;

static void run_tasks(const void *context, int64_t begin, int64_t end, int thread) {
  const job *whole = context;
  const gemm *g = whole->g;
  const gemm_plan *plan = whole->plan;
  int64_t per_thread = plan->a_values + plan->b_values + plan->sums_values;
  task t = {.g = g, .plan = plan, .a = whole->scratch + thread * per_thread};
  t.b = t.a + plan->a_values;
  t.sums = t.b + plan->b_values;
  int64_t tasks = plan->task_rows * plan->task_columns;
  for (int64_t index = begin; index < end; index++) {
    range rows, columns;
    int64_t part = index % tasks;
    t.batch = index / tasks;
    if (g->packed_a || g->packed_b) t.packed = t.batch % g->packed_count * g->packed_stride;
    kernel_split(plan->row_tiles, plan->task_rows, part / plan->task_columns, &rows.begin,
                 &rows.end);
    kernel_split(plan->column_tiles, plan->task_columns, part % plan->task_columns, &columns.begin,
                 &columns.end);
    run_task(&t, rows, columns);
  }
}

void REAL_BASE_NAME(gemm_run)(const gemm *g, const gemm_plan *plan, void *scratch) {
  const job whole = {g, plan, scratch};
  parallel_for(plan->threads, g->batch * plan->task_rows * plan->task_columns, run_tasks, &whole);
}

void REAL_BASE_NAME(gemm_pack_a)(const gemm *g, int64_t batch, real *destination) {
  int64_t packed_k = gemm_packed_k(g->k, g->a_format);
  for (int64_t i = 0; i < gemm_row_tiles(g->m, g->a_format); i++) {
    int64_t row = gemm_tile_row(g->m, g->a_format, i);
    g->pack_a(g->context, batch, row, (int)(gemm_tile_row(g->m, g->a_format, i + 1) - row), 0, g->k,
              destination + row * packed_k);
  }
}

void REAL_BASE_NAME(gemm_pack_b)(const gemm *g, int64_t batch, real *destination) {
  for (int64_t column = 0; column < g->n; column += NR)
    g->pack_b(g->context, batch, column, (int)kernel_min(NR, g->n - column), 0, g->k,
              destination + column * g->k);
}
