#include "recurrence.h"

#define OVERHEAD 0.5e-6
#define STEP_SECONDS 0.5e-6

/* ---- Products ------------------------------------------------------------------------------ */

typedef struct {
  int64_t k;
  const float *a, *b;   /* rows of k; the columns of b too */
  const float *bias[2]; /* added up; NULL where absent, the first one first */
  float *to;
  int64_t columns; /* of a whole row there */
  int adds;        /* to what is there */
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
        store_f32(destination, left <= 0 ? (f32v){0} : load_some(from, left));
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
  const float *first = r->bias[0] ? r->bias[0] + column : NULL;
  const float *second = r->bias[1] ? r->bias[1] + column : NULL;
  for (int i = 0; i < rows; i++, tile += width) {
    float *to = r->to + (row + i) * r->columns + column;
    if (r->adds)
      for (int j = 0; j < columns; j++) to[j] += tile[j];
    else if (second)
      for (int j = 0; j < columns; j++) to[j] = tile[j] + (first[j] + second[j]);
    else if (first)
      for (int j = 0; j < columns; j++) to[j] = tile[j] + first[j];
    else
      for (int j = 0; j < columns; j++) to[j] = tile[j];
  }
}

static recurrence_product make_product(int64_t m, int64_t n, int64_t k, const kp_tensor *weights,
                                       int threads) {
  recurrence_product made = {.of = {.batch = 1,
                                    .m = m,
                                    .n = n,
                                    .k = k,
                                    .a_format = A_CHUNKS,
                                    .micro = &REAL_NAME(micro),
                                    .threads = threads,
                                    .packed_count = 1,
                                    .packed_stride = gemm_packed_b_values(n, k),
                                    .pack_a = pack_a,
                                    .pack_b = pack_b,
                                    .finish = finish}};
  /* Plans differ by which operands come packed. */
  if (kp_is_constant(weights)) made.of.packed_b = (const float *)weights;
  made.plan = REAL_BASE_NAME(gemm_make_plan)(&made.of);
  return made;
}

static int is_packed(const recurrence_product *p) { return p->of.packed_b != NULL; }

static void multiply(const recurrence_product *p, const product *r, const float *packed,
                     void *scratch) {
  gemm own = p->of;
  own.context = r;
  own.packed_b = packed;
  if (own.m > 0 && own.n > 0) REAL_BASE_NAME(gemm_run)(&own, &p->plan, scratch);
}

/* Rows of r that the later gates have, and the other ones. */
static int64_t later_rows(const kp_prepared *p) { return p->cell->later_gates * p->hidden; }
static int64_t first_rows(const kp_prepared *p) {
  return p->cell->gates * p->hidden - later_rows(p);
}

/* ---- The problem ----------------------------------------------------------------------------- */

/* Returns 0 where it has refused. */
static int read_problem(const recurrence_cell *cell, const kp_problem *problem, kp_prepared *p,
                        kp_answer *answer) {
  const kp_tensor *inputs = problem->inputs;
  const int64_t *x = inputs[RECURRENCE_X].dl.shape, *r = inputs[RECURRENCE_R].dl.shape;
  const char *direction = kp_string(problem, "direction", "forward");
  *p = (kp_prepared){.cell = cell, .steps = x[0], .batch = x[1], .inputs = x[2], .hidden = r[2]};
  p->directions = (int)r[0];
  p->is_reverse = strcmp(direction, "reverse") == 0;
  p->beside = p->directions > 1 && problem->threads > 1;
  const int64_t columns = kernel_multiply(cell->gates * p->directions, p->hidden);
  const int64_t rows = kernel_multiply(p->steps, p->batch);
  const int64_t k = kernel_max(p->inputs, p->hidden);
  const int64_t values = kernel_multiply(kernel_multiply(rows + 1, columns), k + 1);
  if (kernel_multiply(values, 64) == INT64_MAX) {
    kp_refuse(answer, KP_NO_MEMORY, "x.shape", "fewer than 2^57 products");
    return 0;
  }
  const int threads = p->beside ? 1 : problem->threads;
  const kp_tensor *weights = &inputs[RECURRENCE_R];
  p->products[OF_INPUTS] = make_product(rows, cell->gates * p->hidden, p->inputs,
                                        &inputs[RECURRENCE_W], problem->threads);
  p->products[OF_STATE] = make_product(p->batch, first_rows(p), p->hidden, weights, threads);
  p->products[OF_LATER] = make_product(p->batch, later_rows(p), p->hidden, weights, threads);
  return 1;
}

/* Values of r's packed form in one direction. */
static int64_t packed_r_values(const kp_prepared *p) {
  return p->products[OF_STATE].of.packed_stride + p->products[OF_LATER].of.packed_stride;
}

/* Scratch: every step's gates in each direction; then the inputs' products' own, and after those
 * what is put aside and the state's products' own, in each direction. */
static int64_t gates_values(const kp_prepared *p) {
  return kernel_round_up(p->steps * p->batch * p->cell->gates * p->hidden,
                         KP_ALIGNMENT / sizeof(float));
}
static int64_t aside_bytes(const kp_prepared *p) {
  const int64_t units = p->cell->keeps_apart ? p->cell->gates : p->cell->later_gates > 0;
  return kernel_round_up(p->batch * units * p->hidden * (int64_t)sizeof(float), KP_ALIGNMENT);
}
static int64_t way_bytes(const kp_prepared *p) {
  const int64_t state = REAL_BASE_NAME(gemm_scratch_bytes)(&p->products[OF_STATE].plan);
  const int64_t later = REAL_BASE_NAME(gemm_scratch_bytes)(&p->products[OF_LATER].plan);
  return aside_bytes(p) + kernel_round_up(kernel_max(state, later), KP_ALIGNMENT);
}
static int64_t scratch_bytes(const kp_prepared *p) {
  const int64_t inputs = REAL_BASE_NAME(gemm_scratch_bytes)(&p->products[OF_INPUTS].plan);
  return p->directions * gates_values(p) * (int64_t)sizeof(float) +
         kernel_max(inputs, p->directions * way_bytes(p));
}

static double seconds(const kp_prepared *p) {
  const double units = (double)p->hidden * p->directions, columns = p->cell->gates * units;
  const double rows = (double)p->steps * (double)p->batch, steps = (double)p->steps;
  const double flops = 2.0 * rows * columns * (double)(p->inputs + p->hidden);
  const double products = steps * p->directions * (p->cell->later_gates ? 2 : 1);
  return flops / LEVEL_RATE + steps * columns * (double)p->hidden * 2e-10 +
         rows * units * p->cell->unit_seconds + products * STEP_SECONDS;
}

void BASE_NAME(recurrence_query)(const recurrence_cell *cell, const kp_problem *problem,
                                 kp_answer *answer) {
  kp_prepared p;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[RECURRENCE_X], answer, "x.dtype",
                     &(const element)ELEMENT_f32) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW) || !read_problem(cell, problem, &p, answer))
    return;
  answer->code = KP_YES;
  answer->cost = OVERHEAD + seconds(&p) / (p.beside ? 2 : p.products[OF_STATE].plan.threads);
  answer->scratch_bytes = (uint64_t)scratch_bytes(&p);
  if (!answer->packed_bytes) return;
  const recurrence_product *of_inputs = &p.products[OF_INPUTS];
  if (is_packed(of_inputs))
    answer->packed_bytes[RECURRENCE_W] =
        (uint64_t)(of_inputs->of.packed_stride * p.directions) * sizeof(float);
  if (is_packed(&p.products[OF_STATE]))
    answer->packed_bytes[RECURRENCE_R] =
        (uint64_t)(packed_r_values(&p) * p.directions) * sizeof(float);
}

kp_status BASE_NAME(recurrence_prepare)(const recurrence_cell *cell, const kp_problem *problem,
                                        kp_prepared **prepared, kp_error *error) {
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  kp_answer ignored = {.struct_size = sizeof ignored};
  read_problem(cell, problem, p, &ignored);
  *prepared = p;
  return KP_OK;
}

/* Packs rows of weights; returns how many values they became. */
static int64_t pack_rows(const recurrence_product *p, const float *rows, float *destination) {
  gemm g = p->of;
  const product r = {.k = g.k, .b = rows};
  g.context = &r;
  REAL_BASE_NAME(gemm_pack_b)(&g, 0, destination);
  return g.packed_stride;
}

kp_status BASE_NAME(recurrence_pack_constant)(const kp_prepared *p, uint32_t input,
                                              const void *source, void *destination,
                                              kp_error *error) {
  (void)error;
  const int first = input == RECURRENCE_W ? OF_INPUTS : OF_STATE;
  const int last = input == RECURRENCE_W ? OF_INPUTS : OF_LATER;
  const float *rows = source;
  float *to = destination;
  for (int d = 0; d < p->directions; d++)
    for (int i = first; i <= last; i++) {
      const recurrence_product *one = &p->products[i];
      to += pack_rows(one, rows, to);
      rows += one->of.n * one->of.k;
    }
  return KP_OK;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static void multiply_state(const recurrence_way *w, float *gates, void *scratch) {
  const kp_prepared *p = w->prepared;
  const int64_t columns = p->cell->gates * p->hidden;
  const product first = {.k = p->hidden,
                         .a = w->states[0],
                         .b = w->r[0],
                         .bias = {w->state_bias},
                         .to = p->cell->keeps_apart ? w->aside : gates,
                         .columns = columns,
                         .adds = !p->cell->keeps_apart};
  multiply(&p->products[OF_STATE], &first, w->packed_r[0], scratch);
  if (!p->cell->later_gates) return;
  for (int64_t row = 0; row < p->batch; row++)
    p->cell->replace_state(w, row, gates + row * columns);
  const product later = {.k = p->hidden,
                         .a = w->aside,
                         .b = w->r[1],
                         .to = gates + first_rows(p),
                         .columns = columns,
                         .adds = 1};
  multiply(&p->products[OF_LATER], &later, w->packed_r[1], scratch);
}

static void run_way(const recurrence_way *w, void *scratch) {
  const kp_prepared *p = w->prepared;
  const int64_t columns = p->cell->gates * p->hidden, state = p->batch * p->hidden;
  float *ys = w->buffers[p->cell->inputs];
  for (int64_t i = 0; i < p->steps; i++) {
    const int64_t step = w->is_reverse ? p->steps - 1 - i : i;
    float *gates = w->gates + step * p->batch * columns;
    float *y = ys + (step * p->directions + w->direction) * state;
    multiply_state(w, gates, scratch);
    for (int64_t row = 0; row < p->batch; row++, gates += columns, y += p->hidden)
      if (!w->lengths || step < w->lengths[row])
        p->cell->update(w, row, gates, y);
      else
        memset(y, 0, (size_t)p->hidden * sizeof *y);
  }
}

static void start_state(float *state, const float *initial, int64_t count) {
  if (initial)
    memcpy(state, initial, (size_t)count * sizeof *state);
  else
    memset(state, 0, (size_t)count * sizeof *state);
}

static recurrence_way make_way(const kp_prepared *p, void *const *buffers, int direction,
                               float *gates, void *own) {
  const recurrence_cell *cell = p->cell;
  const int64_t state = p->batch * p->hidden, columns = cell->gates * p->hidden;
  recurrence_way w = {.prepared = p,
                      .buffers = buffers,
                      .direction = direction,
                      .is_reverse = p->is_reverse || direction == 1,
                      .lengths = buffers[RECURRENCE_LENGTHS],
                      .gates = gates,
                      .aside = own};
  const float *r = buffers[RECURRENCE_R];
  if (is_packed(&p->products[OF_STATE])) {
    w.packed_r[0] = r + direction * packed_r_values(p);
    w.packed_r[1] = w.packed_r[0] + p->products[OF_STATE].of.packed_stride;
  } else {
    w.r[0] = r + direction * columns * p->hidden;
    w.r[1] = w.r[0] + first_rows(p) * p->hidden;
  }
  if (cell->keeps_apart && buffers[RECURRENCE_BIAS])
    w.state_bias = (const float *)buffers[RECURRENCE_BIAS] + (2 * direction + 1) * columns;
  for (int i = 0; i < cell->states; i++)
    w.states[i] = (float *)buffers[cell->inputs + 1 + i] + direction * state;
  return w;
}

/* Every step's inputs by a direction's weights. */
static void multiply_inputs(const recurrence_way *w, void *scratch) {
  const kp_prepared *p = w->prepared;
  const recurrence_product *of_inputs = &p->products[OF_INPUTS];
  const int64_t columns = of_inputs->of.n;
  const float *weights = w->buffers[RECURRENCE_W], *packed = NULL;
  if (is_packed(of_inputs))
    packed = weights + w->direction * of_inputs->of.packed_stride;
  else
    weights += w->direction * columns * p->inputs;
  product r = {.k = p->inputs,
               .a = w->buffers[RECURRENCE_X],
               .b = weights,
               .to = w->gates,
               .columns = columns};
  if (w->buffers[RECURRENCE_BIAS]) {
    r.bias[0] = (const float *)w->buffers[RECURRENCE_BIAS] + 2 * w->direction * columns;
    r.bias[1] = w->state_bias ? NULL : r.bias[0] + columns;
  }
  multiply(of_inputs, &r, packed, scratch);
}

kp_status BASE_NAME(recurrence_run)(const kp_prepared *p, void *const *buffers, void *scratch,
                                    void *queue) {
  (void)queue;
  const int64_t state = p->batch * p->hidden, aside = aside_bytes(p), bytes = way_bytes(p);
  float *gates = scratch;
  char *rest = (char *)(gates + p->directions * gates_values(p));
  recurrence_way ways[2];
  for (int i = 0; i < p->cell->states; i++)
    start_state(buffers[p->cell->inputs + 1 + i], buffers[RECURRENCE_STATES + i],
                p->directions * state);
  for (int d = 0; d < p->directions; d++) {
    ways[d] = make_way(p, buffers, d, gates + d * gates_values(p), rest + d * bytes);
    multiply_inputs(&ways[d], rest);
  }
#pragma omp parallel for num_threads(2) schedule(static, 1) if (p->beside)
  for (int d = 0; d < p->directions; d++) run_way(&ways[d], rest + d * bytes + aside);
  return KP_OK;
}
