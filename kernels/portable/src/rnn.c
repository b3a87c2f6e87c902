/* "rnn": a state that is a function of sums of the inputs and of itself. */
#include "activation.h"
#include "recurrence.h"

LEVEL_INLINE void update(const recurrence_way *w, int64_t row, const float *sums, float *y,
                         f32v (*function)(f32v)) {
  const int64_t count = w->prepared->hidden;
  float *hidden = w->states[0] + row * count;
  for (int64_t j = 0; j < count; j += F32_LANES) {
    const int64_t left = count - j;
    const f32v result = function(load_some(sums + j, left));
    store_some(hidden + j, result, left);
    store_some(y + j, result, left);
  }
}

LEVEL_INLINE f32v relu_f32(f32v x) { return max_f32((f32v){0}, x); }

static void update_tanh(const recurrence_way *w, int64_t row, const float *sums, float *y) {
  update(w, row, sums, y, tanh_f32);
}
static void update_relu(const recurrence_way *w, int64_t row, const float *sums, float *y) {
  update(w, row, sums, y, relu_f32);
}

static const recurrence_cell of_tanh = {.gates = 1,
                                        .inputs = RECURRENCE_STATES + 1,
                                        .states = 1,
                                        .unit_seconds = 0.4e-9,
                                        .update = update_tanh};
static const recurrence_cell of_relu = {.gates = 1,
                                        .inputs = RECURRENCE_STATES + 1,
                                        .states = 1,
                                        .unit_seconds = 0.1e-9,
                                        .update = update_relu};

static const recurrence_cell *cell_of(const kp_problem *problem) {
  return strcmp(kp_string(problem, "nonlinearity", "tanh"), "relu") == 0 ? &of_relu : &of_tanh;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  BASE_NAME(recurrence_query)(cell_of(problem), problem, answer);
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  return BASE_NAME(recurrence_prepare)(cell_of(problem), problem, prepared, error);
}

static const kp_kernel list[] = {
    {KERNEL("portable.rnn.gemm.f32"), .query = query, .prepare = prepare,
     .pack_constant = BASE_NAME(recurrence_pack_constant), .run = BASE_NAME(recurrence_run),
     .release = release_prepared},
};
const kp_kernel_list LEVEL_NAME(rnn_kernels) = KERNEL_LIST(list);
