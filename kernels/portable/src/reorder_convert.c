/* A tensor in another layout and another floating type: float to a half-width one, or back. The
 * half-width form is the one that is reordered. */
#include "level.h"
#include "parallel.h"
#include "reorder.h"

typedef enum { FROM_BF16, FROM_F16, TO_BF16, TO_F16, NO_CONVERSION } direction;

static direction direction_of(const kp_problem *problem) {
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  const int from_float = kp_is_dtype(x, kDLFloat, 32), to_float = kp_is_dtype(y, kDLFloat, 32);
  if (from_float && kp_is_dtype(y, kDLBfloat, 16)) return TO_BF16;
  if (from_float && kp_is_dtype(y, kDLFloat, 16)) return TO_F16;
  if (to_float && kp_is_dtype(x, kDLBfloat, 16)) return FROM_BF16;
  if (to_float && kp_is_dtype(x, kDLFloat, 16)) return FROM_F16;
  return NO_CONVERSION;
}

struct kp_prepared {
  direction direction;
  int reorders, threads;
  int64_t count; /* elements to convert */
  reorder_plan plan;
};

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  if (refuse_extras(problem, answer) || refuse_element(x, answer, "x.dtype", kernel->context))
    return;
  const direction d = direction_of(problem);
  if (d == NO_CONVERSION) {
    kp_refuse(answer, KP_NO_DTYPE, "output.dtype", "float32 to or from float16 or bfloat16");
    return;
  }
  if (reorder_refuse(problem, answer)) return;
  kp_tensor kept = d == TO_BF16 || d == TO_F16 ? *x : *y;
  memcpy(kept.layout, answer->layouts[d == TO_BF16 || d == TO_F16 ? 0 : 1], sizeof kept.layout);
  if (strcmp(answer->layouts[0], answer->layouts[1]) != 0)
    answer->scratch_bytes = (uint64_t)stored_elements(&kept) * sizeof(uint16_t);
  answer_yes(problem, answer, work_seconds(2 * problem_bytes(problem), 0));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants, (void)kernel;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  p->direction = direction_of(problem);
  p->reorders = strcmp(x->layout, y->layout) != 0;
  p->count = stored_elements(p->direction == TO_BF16 || p->direction == TO_F16 ? x : y);
  p->threads = kernel_threads(work_seconds(problem_bytes(problem), 0), problem->threads);
  if (p->reorders) reorder_make(problem, sizeof(uint16_t), &p->plan);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const void *x;
  void *y;
} conversion;

static void convert_part(const void *context, int64_t begin, int64_t end, int part) {
  (void)part;
  const conversion *c = context;
  for (int64_t i = begin * F32_LANES; i < end * (int64_t)F32_LANES; i += F32_LANES) {
    const int64_t rest = c->p->count - i;
    const int n = rest < (int64_t)F32_LANES ? (int)rest : (int)F32_LANES;
    const float *wide = (const float *)c->x + i;
    const uint16_t *narrow = (const uint16_t *)c->x + i;
    switch (c->p->direction) {
      case TO_BF16:
        store_bf16_first((uint16_t *)c->y + i, load_f32_first(wide, n), n);
        break;
      case TO_F16:
        store_f16_first((uint16_t *)c->y + i, load_f32_first(wide, n), n);
        break;
      case FROM_BF16:
        store_f32_first((float *)c->y + i, load_bf16_first(narrow, n), n);
        break;
      default:
        store_f32_first((float *)c->y + i, load_f16_first(narrow, n), n);
        break;
    }
  }
}

static void convert(const kp_prepared *p, const void *x, void *y) {
  const conversion c = {p, x, y};
  parallel_for(p->threads, (p->count + F32_LANES - 1) / (int64_t)F32_LANES, convert_part, &c);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const int narrows = p->direction == TO_BF16 || p->direction == TO_F16;
  if (!p->reorders) {
    convert(p, buffers[0], buffers[1]);
  } else if (narrows) {
    convert(p, buffers[0], scratch);
    reorder_execute(&p->plan, scratch, buffers[1], p->threads);
  } else {
    reorder_execute(&p->plan, buffers[0], scratch, p->threads);
    convert(p, scratch, buffers[1]);
  }
  return KP_OK;
}

#define CONVERTING(short_name)                      \
  {KERNEL("portable.reorder.convert." #short_name), \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared}
static const kp_kernel list[] = {CONVERTING(f32), CONVERTING(bf16), CONVERTING(f16)};
const kp_kernel_list LEVEL_NAME(reorder_convert_kernels) = KERNEL_LIST(list);
