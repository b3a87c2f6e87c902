/* "lstm": long short-term memory. */
#include "activation.h"
#include "recurrence.h"

enum { PEEPHOLES = RECURRENCE_STATES + 2, INPUTS };
enum { INPUT_GATE, OUTPUT_GATE, FORGET_GATE, CELL_GATE, GATES };

/* `gate` of [j, j + left), seen through the peephole that it has at the cell. */
LEVEL_INLINE f32v gate_at(const float *gates, const float *peepholes, int64_t at, int64_t left,
                          f32v cell) {
  const f32v sum = load_some(gates + at, left);
  return peepholes ? sum + load_some(peepholes + at, left) * cell : sum;
}

static void update(const recurrence_way *w, int64_t row, const float *gates, float *y) {
  const int64_t count = w->prepared->hidden;
  float *hidden = w->states[0] + row * count, *cell = w->states[1] + row * count;
  const float *peepholes = w->buffers[PEEPHOLES];
  if (peepholes) peepholes += w->direction * CELL_GATE * count; /* the other gates have one */
  for (int64_t j = 0; j < count; j += F32_LANES) {
    const int64_t left = count - j;
    const f32v before = load_some(cell + j, left);
    const f32v in = sigmoid_f32(gate_at(gates, peepholes, INPUT_GATE * count + j, left, before));
    const f32v forget =
        sigmoid_f32(gate_at(gates, peepholes, FORGET_GATE * count + j, left, before));
    const f32v candidate = tanh_f32(load_some(gates + CELL_GATE * count + j, left));
    const f32v after = forget * before + in * candidate;
    const f32v out = sigmoid_f32(gate_at(gates, peepholes, OUTPUT_GATE * count + j, left, after));
    const f32v result = out * tanh_f32(after);
    store_some(cell + j, after, left);
    store_some(hidden + j, result, left);
    store_some(y + j, result, left);
  }
}

static const recurrence_cell cell = {
    .gates = GATES, .inputs = INPUTS, .states = 2, .unit_seconds = 2e-9, .update = update};

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  BASE_NAME(recurrence_query)(&cell, problem, answer);
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  return BASE_NAME(recurrence_prepare)(&cell, problem, prepared, error);
}

static const kp_kernel list[] = {
    {KERNEL("portable.lstm.gemm.f32"), .query = query, .prepare = prepare,
     .pack_constant = BASE_NAME(recurrence_pack_constant), .run = BASE_NAME(recurrence_run),
     .release = release_prepared},
};
const kp_kernel_list LEVEL_NAME(lstm_kernels) = KERNEL_LIST(list);
