#include "widen.h"

#include "parallel.h"

enum { MAX_TENSORS = 16 }; /* more than any operator that is widened has */

struct kp_prepared {
  const kp_kernel *base;
  kp_prepared *base_prepared;
  uint32_t num_inputs, num_tensors;
  int is_bfloat, threads;
  int64_t base_scratch;
  int64_t elements[MAX_TENSORS]; /* of each tensor that is converted; -1: as it is */
};

/* The problem with float in place of the narrow type. */
typedef struct {
  kp_problem problem;
  kp_tensor tensors[MAX_TENSORS];
} float_problem;

static void make_float_problem(const kp_problem *problem, const element *narrow,
                               float_problem *wide) {
  for (uint32_t i = 0; i < num_tensors(problem); i++) {
    wide->tensors[i] = *problem_tensor(problem, i);
    if (has_element(&wide->tensors[i], narrow))
      wide->tensors[i].dl.dtype = (DLDataType){kDLFloat, 32, 1};
  }
  wide->problem = *problem;
  wide->problem.inputs = wide->tensors;
  wide->problem.outputs = wide->tensors + problem->num_inputs;
}

static int64_t buffer_bytes(int64_t elements) {
  return kernel_round_up(elements * (int64_t)sizeof(float), KP_ALIGNMENT);
}

/* Layouts settled in an answer, else the problem's own. */
static int64_t settled_elements(const kp_tensor *tensor, const char *settled) {
  kp_tensor t = *tensor;
  if (*settled) memcpy(t.layout, settled, sizeof t.layout);
  return stored_elements(&t);
}

void BASE_NAME(widen_query)(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                            kp_answer *answer) {
  const widen_context *context = kernel->context;
  if (refuse_element(&problem->inputs[0], answer, "x.dtype", &context->narrow)) return;
  if (num_tensors(problem) > MAX_TENSORS) {
    kp_refuse_number(answer, KP_NO_SHAPE, "inputs", "<= 16 tensors", num_tensors(problem));
    return;
  }
  float_problem wide;
  make_float_problem(problem, &context->narrow, &wide);
  context->base->query(pack, context->base, &wide.problem, answer);
  if (answer->code != KP_YES) return;
  answer->may_overwrite = 0;
  int64_t bytes = kernel_round_up((int64_t)answer->scratch_bytes, KP_ALIGNMENT);
  double converted = 0;
  for (uint32_t i = 0; i < num_tensors(problem); i++) {
    const kp_tensor *t = problem_tensor(problem, i);
    if (kp_is_absent(t) || !has_element(t, &context->narrow)) continue;
    int64_t buffer = buffer_bytes(settled_elements(t, answer->layouts[i]));
    bytes += buffer;
    converted += (double)buffer;
  }
  answer->scratch_bytes = (uint64_t)bytes;
  answer->cost += work_seconds(1.5 * converted, 0) / problem->threads;
}

kp_status BASE_NAME(widen_prepare)(kp_pack *pack, const kp_kernel *kernel,
                                   const kp_problem *problem, const void *const *constants,
                                   kp_prepared **prepared, kp_error *error) {
  (void)constants; /* they are in the narrow type; no float kernel that is widened binds them */
  const widen_context *context = kernel->context;
  const uint32_t count = num_tensors(problem);
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  float_problem wide;
  make_float_problem(problem, &context->narrow, &wide);
  kp_layout layouts[MAX_TENSORS] = {{0}};
  uint64_t packed_bytes[MAX_TENSORS] = {0};
  const void *no_constants[MAX_TENSORS] = {NULL};
  kp_answer answer = {
      .struct_size = sizeof answer, .layouts = layouts, .packed_bytes = packed_bytes};
  context->base->query(pack, context->base, &wide.problem, &answer);
  p->base_scratch = kernel_round_up((int64_t)answer.scratch_bytes, KP_ALIGNMENT);
  kp_status status = context->base->prepare(pack, context->base, &wide.problem, no_constants,
                                            &p->base_prepared, error);
  if (status != KP_OK) {
    free(p);
    return status;
  }
  p->base = context->base;
  p->num_inputs = problem->num_inputs;
  p->num_tensors = count;
  p->is_bfloat = context->narrow.code == kDLBfloat;
  p->threads = kernel_threads(work_seconds(problem_bytes(problem), 0), problem->threads);
  for (uint32_t i = 0; i < count; i++) {
    const kp_tensor *t = problem_tensor(problem, i);
    const int converts = !kp_is_absent(t) && has_element(t, &context->narrow);
    p->elements[i] = converts ? stored_elements(t) : -1;
  }
  *prepared = p;
  return KP_OK;
}

typedef struct {
  uint16_t *narrow;
  float *wide;
  int64_t count;
  int is_bfloat;
} conversion;

static void widen_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const conversion *c = context;
  for (int64_t i = begin * F32_LANES; i < end * (int64_t)F32_LANES; i += F32_LANES) {
    const int64_t rest = c->count - i;
    const int lanes = rest < (int64_t)F32_LANES ? (int)rest : (int)F32_LANES;
    f32v v =
        c->is_bfloat ? load_bf16_first(c->narrow + i, lanes) : load_f16_first(c->narrow + i, lanes);
    store_f32_first(c->wide + i, v, lanes);
  }
}

static void narrow_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const conversion *c = context;
  for (int64_t i = begin * F32_LANES; i < end * (int64_t)F32_LANES; i += F32_LANES) {
    const int64_t rest = c->count - i;
    const int lanes = rest < (int64_t)F32_LANES ? (int)rest : (int)F32_LANES;
    f32v v = load_f32_first(c->wide + i, lanes);
    if (c->is_bfloat)
      store_bf16_first(c->narrow + i, v, lanes);
    else
      store_f16_first(c->narrow + i, v, lanes);
  }
}

static void convert(const kp_prepared *p, uint32_t tensor, void *narrow, float *wide,
                    parallel_body *body) {
  conversion c = {narrow, wide, p->elements[tensor], p->is_bfloat};
  parallel_for(p->threads, (c.count + F32_LANES - 1) / (int64_t)F32_LANES, body, &c);
}

kp_status BASE_NAME(widen_run)(const kp_prepared *p, void *const *buffers, void *scratch,
                               void *queue) {
  void *wide[MAX_TENSORS];
  char *next = (char *)scratch + p->base_scratch;
  for (uint32_t i = 0; i < p->num_tensors; i++) {
    wide[i] = buffers[i];
    if (p->elements[i] < 0) continue;
    wide[i] = next;
    next += buffer_bytes(p->elements[i]);
    if (i < p->num_inputs) convert(p, i, buffers[i], wide[i], widen_part);
  }
  kp_status status = p->base->run(p->base_prepared, wide, scratch, queue);
  if (status != KP_OK) return status;
  for (uint32_t i = p->num_inputs; i < p->num_tensors; i++)
    if (p->elements[i] >= 0) convert(p, i, buffers[i], wide[i], narrow_part);
  return KP_OK;
}

void BASE_NAME(widen_release)(kp_prepared *p) {
  p->base->release(p->base_prepared);
  free(p);
}
