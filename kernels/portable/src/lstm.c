/*
 * "lstm": the products with the inputs of all steps at once, then step by step those with the
 * hidden state. Two directions run beside each other where there are threads.
 */
#include <omp.h>

#include "activation.h"
#include "gemm.h"
#include "problem.h"

#define OVERHEAD 0.5e-6
#define STEP_SECONDS 0.5e-6
#define GATE_SECONDS 2e-9 /* of an element of the hidden state in a step */

enum { X, W, R, BIAS, LENGTHS, HIDDEN, CELL, PEEPHOLES, Y, Y_HIDDEN, Y_CELL };
enum { INPUT_GATE, OUTPUT_GATE, FORGET_GATE, CELL_GATE, GATES };

struct kp_prepared {
  int64_t steps, batch, inputs, hidden;
  int directions, is_reverse;
  int beside;    /* directions at the same time */
  gemm of_input; /* every step's inputs by w */
  gemm of_state; /* the hidden state by r */
  gemm_plan input_plan, state_plan;
  int packed[2]; /* w, r */
};

/* ---- Products ------------------------------------------------------------------------------ */

typedef struct {
  int64_t k;
  const float *a, *b; /* rows of k; the columns of b too */
  const float *bias;  /* of the inputs' and of the state's products, or NULL */
  float *gates;
  int64_t columns;
  int adds; /* to what is there */
} product;

static void pack_a(const void *context, int64_t batch, int64_t row, int rows, int64_t p,
                   int64_t count, float *destination) {
  (void)batch;
  const product *r = context;
  for (int64_t q = 0; q < count; q += A_CHUNK)
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < A_CHUNK; j += F32_LANES, destination += F32_LANES) {
        const int64_t left = count - q - j;
        const float *from = r->a + (row + i) * r->k + p + q + j;
        store_f32(destination, left <= 0          ? (f32v){0}
                               : left < F32_LANES ? load_f32_first(from, (int)left)
                                                  : load_f32(from));
      }
}

static void pack_b(const void *context, int64_t batch, int64_t column, int columns, int64_t p,
                   int64_t count, float *destination) {
  (void)batch;
  const product *r = context;
  for (int64_t q = 0; q < count; q += F32_LANES) {
    const int lanes = count - q < F32_LANES ? (int)(count - q) : (int)F32_LANES;
    for (int j = 0; j < NR; j += F32_LANES) {
      f32v rows[F32_LANES];
      for (int i = 0; i < F32_LANES; i++)
        rows[i] = j + i < columns ? load_f32_first(r->b + (column + j + i) * r->k + p + q, lanes)
                                  : (f32v){0};
      transpose_f32(rows);
      for (int i = 0; i < lanes; i++) store_f32(destination + (q + i) * NR + j, rows[i]);
    }
  }
}

static void finish(const void *context, int64_t batch, int64_t row, int rows, int64_t column,
                   int columns, float *tile, int width) {
  (void)batch;
  const product *r = context;
  for (int i = 0; i < rows; i++, tile += width) {
    float *to = r->gates + (row + i) * r->columns + column;
    if (r->adds)
      for (int j = 0; j < columns; j++) to[j] += tile[j];
    else if (r->bias)
      for (int j = 0; j < columns; j++)
        to[j] = tile[j] + (r->bias[column + j] + r->bias[r->columns + column + j]);
    else
      for (int j = 0; j < columns; j++) to[j] = tile[j];
  }
}

static gemm make_gemm(const kp_prepared *p, int64_t m, int64_t k, int threads) {
  return (gemm){.batch = 1,
                .m = m,
                .n = GATES * p->hidden,
                .k = k,
                .a_format = A_CHUNKS,
                .micro = &REAL_NAME(micro),
                .threads = threads,
                .packed_count = 1,
                .packed_stride = gemm_packed_b_values(GATES * p->hidden, k),
                .pack_a = pack_a,
                .pack_b = pack_b,
                .finish = finish};
}

static void multiply(const gemm *g, const gemm_plan *plan, const product *r, const float *packed,
                     void *scratch) {
  gemm own = *g;
  own.context = r;
  own.packed_b = packed;
  if (g->m > 0 && g->n > 0) REAL_BASE_NAME(gemm_run)(&own, plan, scratch);
}

/* ---- The problem ----------------------------------------------------------------------------- */

/* Returns 0 where it has refused. */
static int read_problem(const kp_problem *problem, kp_prepared *p, kp_answer *answer) {
  const int64_t *x = problem->inputs[X].dl.shape, *r = problem->inputs[R].dl.shape;
  const char *direction = kp_string(problem, "direction", "forward");
  *p = (kp_prepared){.steps = x[0], .batch = x[1], .inputs = x[2], .hidden = r[2]};
  p->directions = (int)r[0];
  p->is_reverse = strcmp(direction, "reverse") == 0;
  p->beside = p->directions > 1 && problem->threads > 1;
  const int64_t columns = kernel_multiply(GATES * p->directions, p->hidden);
  const int64_t rows = kernel_multiply(p->steps, p->batch);
  const int64_t k = p->inputs > p->hidden ? p->inputs : p->hidden;
  const int64_t values = kernel_multiply(kernel_multiply(rows + 1, columns), k + 1);
  if (kernel_multiply(values, 64) == INT64_MAX) {
    kp_refuse(answer, KP_NO_MEMORY, "x.shape", "fewer than 2^57 products");
    return 0;
  }
  p->of_input = make_gemm(p, rows, p->inputs, problem->threads);
  p->of_state = make_gemm(p, p->batch, p->hidden, p->beside ? 1 : problem->threads);
  for (int i = 0; i < 2; i++) p->packed[i] = kp_is_constant(&problem->inputs[W + i]);
  /* Plans differ by which operands come packed. */
  if (p->packed[0]) p->of_input.packed_b = (const float *)problem;
  if (p->packed[1]) p->of_state.packed_b = (const float *)problem;
  p->input_plan = REAL_BASE_NAME(gemm_make_plan)(&p->of_input);
  p->state_plan = REAL_BASE_NAME(gemm_make_plan)(&p->of_state);
  return 1;
}

/* Scratch: every step's gates in each direction, then the products' own, that of the state's
 * products for each direction. */
static int64_t gates_values(const kp_prepared *p) {
  return kernel_round_up(p->steps * p->batch * GATES * p->hidden, KP_ALIGNMENT / sizeof(float));
}
static int64_t state_bytes(const kp_prepared *p) {
  return kernel_round_up(REAL_BASE_NAME(gemm_scratch_bytes)(&p->state_plan), KP_ALIGNMENT);
}
static int64_t scratch_bytes(const kp_prepared *p) {
  const int64_t input = REAL_BASE_NAME(gemm_scratch_bytes)(&p->input_plan);
  const int64_t state = p->directions * state_bytes(p);
  return p->directions * gates_values(p) * (int64_t)sizeof(float) + (input > state ? input : state);
}

static double seconds(const kp_prepared *p) {
  const double columns = (double)GATES * (double)p->hidden * p->directions;
  const double rows = (double)p->steps * (double)p->batch, steps = (double)p->steps;
  const double flops = 2.0 * rows * columns * (double)(p->inputs + p->hidden);
  return flops / LEVEL_RATE + steps * columns * (double)p->hidden * 2e-10 +
         rows * columns / GATES * GATE_SECONDS + steps * p->directions * STEP_SECONDS;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  kp_prepared p;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[X], answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW) || !read_problem(problem, &p, answer))
    return;
  answer->code = KP_YES;
  const int threads = p.beside ? 2 : p.state_plan.threads;
  answer->cost = OVERHEAD + seconds(&p) / threads;
  answer->scratch_bytes = (uint64_t)scratch_bytes(&p);
  if (!answer->packed_bytes) return;
  const gemm *products[] = {&p.of_input, &p.of_state};
  for (int i = 0; i < 2; i++)
    if (p.packed[i])
      answer->packed_bytes[W + i] =
          (uint64_t)(products[i]->packed_stride * p.directions) * sizeof(float);
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  read_problem(problem, p, &ignored);
  *prepared = p;
  return KP_OK;
}

static kp_status pack_constant(const kp_prepared *p, uint32_t input, const void *source,
                               void *destination, kp_error *error) {
  (void)error;
  gemm g = input == W ? p->of_input : p->of_state;
  for (int i = 0; i < p->directions; i++) {
    const product r = {.k = g.k, .b = (const float *)source + i * g.n * g.k};
    g.context = &r;
    REAL_BASE_NAME(gemm_pack_b)(&g, 0, (float *)destination + i * g.packed_stride);
  }
  return KP_OK;
}

/* ---- Steps -------------------------------------------------------------------------------------
 */

/* A direction's part of every tensor. */
typedef struct {
  const kp_prepared *p;
  const float *r, *packed_r, *peepholes;
  const int32_t *lengths;
  float *gates;         /* [steps][batch][GATES][hidden] */
  float *hidden, *cell; /* the state: [batch][hidden] */
  float *y;             /* [batch][hidden] of step 0 */
  int64_t y_step;       /* from a step's to the next's */
  int is_reverse;
} way;

LEVEL_INLINE f32v load_some(const float *p, int64_t count) {
  return count >= F32_LANES ? load_f32(p) : load_f32_first(p, (int)count);
}
LEVEL_INLINE void store_some(float *p, f32v v, int64_t count) {
  if (count >= F32_LANES)
    store_f32(p, v);
  else
    store_f32_first(p, v, (int)count);
}

/* `gate` of [j, j + left), seen through the peephole that it has at the cell. */
LEVEL_INLINE f32v gate_at(const way *w, const float *gates, int gate, int64_t j, int64_t left,
                          f32v cell) {
  const int64_t at = gate * w->p->hidden + j;
  const f32v sum = load_some(gates + at, left);
  return w->peepholes && gate != CELL_GATE ? sum + load_some(w->peepholes + at, left) * cell : sum;
}

static void update(const way *w, const float *gates, int64_t row, float *y) {
  const int64_t count = w->p->hidden;
  float *cell = w->cell + row * count, *hidden = w->hidden + row * count;
  y += row * count;
  for (int64_t j = 0; j < count; j += F32_LANES) {
    const int64_t left = count - j;
    const f32v before = load_some(cell + j, left);
    const f32v in = sigmoid_f32(gate_at(w, gates, INPUT_GATE, j, left, before));
    const f32v forget = sigmoid_f32(gate_at(w, gates, FORGET_GATE, j, left, before));
    const f32v candidate = tanh_f32(gate_at(w, gates, CELL_GATE, j, left, before));
    const f32v after = forget * before + in * candidate;
    const f32v out = sigmoid_f32(gate_at(w, gates, OUTPUT_GATE, j, left, after));
    const f32v result = out * tanh_f32(after);
    store_some(cell + j, after, left);
    store_some(hidden + j, result, left);
    store_some(y + j, result, left);
  }
}

static void run_way(const way *w, void *scratch) {
  const kp_prepared *p = w->p;
  const int64_t columns = GATES * p->hidden;
  for (int64_t i = 0; i < p->steps; i++) {
    const int64_t step = w->is_reverse ? p->steps - 1 - i : i;
    float *gates = w->gates + step * p->batch * columns, *y = w->y + step * w->y_step;
    const product r = {
        .k = p->hidden, .a = w->hidden, .b = w->r, .gates = gates, .columns = columns, .adds = 1};
    multiply(&p->of_state, &p->state_plan, &r, w->packed_r, scratch);
    for (int64_t row = 0; row < p->batch; row++)
      if (!w->lengths || step < w->lengths[row])
        update(w, gates + row * columns, row, y);
      else
        memset(y + row * p->hidden, 0, (size_t)p->hidden * sizeof *y);
  }
}

static void start_state(float *state, const float *initial, int64_t count) {
  if (initial)
    memcpy(state, initial, (size_t)count * sizeof *state);
  else
    memset(state, 0, (size_t)count * sizeof *state);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const int64_t state = p->batch * p->hidden, columns = GATES * p->hidden;
  float *gates = scratch;
  char *rest = (char *)(gates + p->directions * gates_values(p));
  way ways[2];
  start_state(buffers[Y_HIDDEN], buffers[HIDDEN], p->directions * state);
  start_state(buffers[Y_CELL], buffers[CELL], p->directions * state);
  for (int d = 0; d < p->directions; d++) {
    const float *weights[2] = {buffers[W], buffers[R]};
    const gemm *products[2] = {&p->of_input, &p->of_state};
    const float *packed[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
      if (p->packed[i]) packed[i] = weights[i] + d * products[i]->packed_stride;
      weights[i] += d * columns * products[i]->k;
    }
    ways[d] = (way){.p = p,
                    .r = weights[1],
                    .packed_r = packed[1],
                    .lengths = buffers[LENGTHS],
                    .gates = gates + d * gates_values(p),
                    .hidden = (float *)buffers[Y_HIDDEN] + d * state,
                    .cell = (float *)buffers[Y_CELL] + d * state,
                    .y = (float *)buffers[Y] + d * state,
                    .y_step = p->directions * state,
                    .is_reverse = p->is_reverse || d == 1};
    if (buffers[PEEPHOLES])
      ways[d].peepholes = (const float *)buffers[PEEPHOLES] + d * (GATES - 1) * p->hidden;
    const float *bias = buffers[BIAS];
    const product r = {.k = p->inputs,
                       .a = buffers[X],
                       .b = weights[0],
                       .bias = bias ? bias + d * 2 * columns : NULL,
                       .gates = ways[d].gates,
                       .columns = columns};
    multiply(&p->of_input, &p->input_plan, &r, packed[0], rest);
  }
#pragma omp parallel for num_threads(2) schedule(static, 1) if (p->beside)
  for (int d = 0; d < p->directions; d++) run_way(&ways[d], rest + d * state_bytes(p));
  return KP_OK;
}

static const kp_kernel list[] = {
    {KERNEL("portable.lstm.gemm.f32"), .context = &(const element)ELEMENT_f32, .query = query,
     .prepare = prepare, .pack_constant = pack_constant, .run = run, .release = release_prepared},
};
const kp_kernel_list LEVEL_NAME(lstm_kernels) = KERNEL_LIST(list);
