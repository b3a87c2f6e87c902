/* "gru": gated recurrent units, which reset the state before or after its products. */
#include "activation.h"
#include "recurrence.h"

enum { UPDATE_GATE, RESET_GATE, CANDIDATE, GATES };

/* h' = (1 - update) candidate + update h */
LEVEL_INLINE void store_state(const recurrence_way *w, int64_t row, int64_t j, f32v update,
                              f32v candidate, float *y) {
  const int64_t count = w->prepared->hidden, left = count - j;
  float *hidden = w->states[0] + row * count + j;
  const f32v result = (1.0f - update) * candidate + update * load_some(hidden, left);
  store_some(hidden, result, left);
  store_some(y + j, result, left);
}

static void reset_before(const recurrence_way *w, int64_t row, const float *gates) {
  const int64_t count = w->prepared->hidden;
  const float *hidden = w->states[0] + row * count;
  float *seen = w->aside + row * count;
  gates += RESET_GATE * count;
  for (int64_t j = 0; j < count; j += F32_LANES) {
    const int64_t left = count - j;
    store_some(seen + j, sigmoid_f32(load_some(gates + j, left)) * load_some(hidden + j, left),
               left);
  }
}

static void update_reset_before(const recurrence_way *w, int64_t row, const float *gates,
                                float *y) {
  const int64_t count = w->prepared->hidden;
  for (int64_t j = 0; j < count; j += F32_LANES) {
    const int64_t left = count - j;
    const f32v update = sigmoid_f32(load_some(gates + UPDATE_GATE * count + j, left));
    const f32v candidate = tanh_f32(load_some(gates + CANDIDATE * count + j, left));
    store_state(w, row, j, update, candidate, y);
  }
}

static void update_reset_after(const recurrence_way *w, int64_t row, const float *gates, float *y) {
  const int64_t count = w->prepared->hidden;
  const float *seen = w->aside + row * GATES * count;
  for (int64_t j = 0; j < count; j += F32_LANES) {
    const int64_t left = count - j;
    f32v of_inputs[GATES], of_state[GATES];
    for (int i = 0; i < GATES; i++) {
      of_inputs[i] = load_some(gates + i * count + j, left);
      of_state[i] = load_some(seen + i * count + j, left);
    }
    const f32v update = sigmoid_f32(of_inputs[UPDATE_GATE] + of_state[UPDATE_GATE]);
    const f32v reset = sigmoid_f32(of_inputs[RESET_GATE] + of_state[RESET_GATE]);
    store_state(w, row, j, update, tanh_f32(of_inputs[CANDIDATE] + reset * of_state[CANDIDATE]), y);
  }
}

static const recurrence_cell before = {.gates = GATES,
                                       .inputs = RECURRENCE_STATES + 1,
                                       .states = 1,
                                       .unit_seconds = 1.2e-9,
                                       .later_gates = 1,
                                       .replace_state = reset_before,
                                       .update = update_reset_before};
static const recurrence_cell after = {.gates = GATES,
                                      .inputs = RECURRENCE_STATES + 1,
                                      .states = 1,
                                      .unit_seconds = 1.2e-9,
                                      .keeps_apart = 1,
                                      .update = update_reset_after};

static const recurrence_cell *cell_of(const kp_problem *problem) {
  return kp_integer(problem, "linear_before_reset", 0, 0) ? &after : &before;
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
    {KERNEL("portable.gru.gemm.f32"), .query = query, .prepare = prepare,
     .pack_constant = BASE_NAME(recurrence_pack_constant), .run = BASE_NAME(recurrence_run),
     .release = release_prepared},
};
const kp_kernel_list LEVEL_NAME(gru_kernels) = KERNEL_LIST(list);
