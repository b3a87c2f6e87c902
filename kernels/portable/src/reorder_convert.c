/* A tensor in another element type, and perhaps in another layout too: the narrower of both forms
 * is the one that is reordered. */
#include "cast.h"
#include "parallel.h"
#include "reorder.h"

struct kp_prepared {
  int from, to, reorders, converts_first, threads, x_size, y_size;
  int64_t count; /* elements to convert */
  reorder_plan plan;
};

static int converts_first(const kp_problem *problem) {
  return element_size(&problem->outputs[0]) <= element_size(&problem->inputs[0]);
}

static double convert_work(const kp_problem *problem) {
  return work_seconds(2 * problem_bytes(problem), 0);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  if (refuse_extras(problem, answer) || refuse_element(x, answer, "x.dtype", kernel->context))
    return;
  if (has_element(y, kernel->context)) {
    kp_refuse(answer, KP_NO_DTYPE, "output.dtype", "another than x's");
    return;
  }
  if (reorder_refuse(problem, answer)) return;
  if (strcmp(answer->layouts[0], answer->layouts[1]) != 0) {
    /* The converted x, or the reordered one. */
    kp_tensor between = converts_first(problem) ? *x : *y;
    memcpy(between.layout, answer->layouts[converts_first(problem) ? 0 : 1], KP_LAYOUT_SIZE);
    const int size = converts_first(problem) ? element_size(y) : element_size(x);
    answer->scratch_bytes = (uint64_t)(stored_elements(&between) * size);
  }
  answer_yes(problem, answer, convert_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants, (void)kernel;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  p->from = cast_type(x);
  p->to = cast_type(y);
  p->x_size = element_size(x);
  p->y_size = element_size(y);
  p->reorders = strcmp(x->layout, y->layout) != 0;
  p->converts_first = converts_first(problem);
  p->count = stored_elements(p->converts_first ? x : y);
  p->threads = kernel_threads(convert_work(problem), problem->threads);
  if (p->reorders) reorder_make(problem, p->converts_first ? p->y_size : p->x_size, &p->plan);
  *prepared = p;
  return KP_OK;
}

enum { UNIT = 256 }; /* elements; what threads split */

typedef struct {
  const kp_prepared *p;
  const char *x;
  char *y;
} conversion;

static void convert_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const conversion *c = context;
  const kp_prepared *p = c->p;
  begin *= UNIT;
  end = end * UNIT < p->count ? end * UNIT : p->count;
  BASE_NAME(cast_elements)(p->from, p->to, c->x + begin * p->x_size, c->y + begin * p->y_size,
                           end - begin);
}

static void convert(const kp_prepared *p, const void *x, void *y) {
  const conversion c = {p, x, y};
  parallel_for(p->threads, (p->count + UNIT - 1) / UNIT, convert_part, &c);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  if (!p->reorders) {
    convert(p, buffers[0], buffers[1]);
  } else if (p->converts_first) {
    convert(p, buffers[0], scratch);
    reorder_execute(&p->plan, scratch, buffers[1], p->threads);
  } else {
    reorder_execute(&p->plan, buffers[0], scratch, p->threads);
    convert(p, scratch, buffers[1]);
  }
  return KP_OK;
}

#define KERNELS(short_name, type)                   \
  {KERNEL("portable.reorder.convert." #short_name), \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared},
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list LEVEL_NAME(reorder_convert_kernels) = KERNEL_LIST(list);
