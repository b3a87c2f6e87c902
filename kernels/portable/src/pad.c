/* Elements before and after each axis. */
#include "cast.h"
#include "mapped.h"

struct kp_prepared {
  int threads;
  mapped_copy copy;
  int64_t maps[];
};

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  answer_yes(problem, answer, work_seconds(problem_bytes(problem), 0));
}

/* Where the element at `at`, counted from the input's first, comes from. */
static int64_t source_of(int64_t at, int64_t extent, const char *mode) {
  if (at >= 0 && at < extent) return at;
  if (strcmp(mode, "edge") == 0) return at < 0 ? 0 : extent - 1;
  if (strcmp(mode, "wrap") == 0) return (at % extent + extent) % extent;
  if (strcmp(mode, "reflect") == 0) {
    const int64_t period = extent > 1 ? 2 * (extent - 1) : 1;
    const int64_t place = (at % period + period) % period;
    return place < extent ? place : period - place;
  }
  return MAP_FILL;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants, (void)kernel;
  const DLTensor *x = &problem->inputs[0].dl, *y = &problem->outputs[0].dl;
  int64_t entries = 1;
  for (int i = 0; i < y->ndim; i++) entries += y->shape[i];
  kp_prepared *p = calloc(1, sizeof *p + (size_t)entries * sizeof *p->maps);
  if (!p) return refuse_memory(error);
  const char *mode = kp_string(problem, "mode", "constant");
  const double value = kp_real(problem, "value", 0, 0);
  const int size = element_size(&problem->inputs[0]);
  p->threads = kernel_threads(work_seconds(problem_bytes(problem), 0), problem->threads);
  p->copy.unit = p->copy.fill_size = size;
  const kp_tensor number = {.dl.dtype = {kDLFloat, 64, 1}};
  BASE_NAME(cast_elements)(cast_type(&number), cast_type(&problem->inputs[0]), &value, p->copy.fill,
                           1);
  int64_t *map = p->maps;
  for (int i = 0; i < y->ndim; i++) {
    p->copy.axes[i] = (mapped_axis){x->shape[i], y->shape[i], map};
    const int64_t before = kp_integer(problem, "pads", (uint32_t)i, 0);
    for (int64_t k = 0; k < y->shape[i]; k++) *map++ = source_of(k - before, x->shape[i], mode);
  }
  p->copy.ndim = y->ndim;
  if (p->copy.ndim == 0) p->copy.axes[p->copy.ndim++] = (mapped_axis){1, 1, map};
  *prepared = p;
  return KP_OK;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  mapped_run(&p->copy, buffers[0], buffers[1], p->threads);
  return KP_OK;
}

#define KERNELS(short_name, type)                   \
  {KERNEL("portable.pad.copy." #short_name),        \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared},
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list LEVEL_NAME(pad_kernels) = KERNEL_LIST(list);
