/* Resizing by nearest neighbours. */
#include <math.h>

#include "mapped.h"
#include "resize.h"

static int64_t nearest(double at, int64_t extent, const char *mode) {
  const double rounded = strcmp(mode, "floor") == 0               ? floor(at)
                         : strcmp(mode, "ceil") == 0              ? ceil(at)
                         : strcmp(mode, "round_prefer_ceil") == 0 ? floor(at + 0.5)
                                                                  : ceil(at - 0.5);
  return rounded<0 ? 0 : rounded>(double)(extent - 1) ? extent - 1 : (int64_t)rounded;
}

struct kp_prepared {
  int threads;
  mapped_copy copy;
  int64_t maps[];
};

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", kernel->context))
    return;
  if (strcmp(kp_string(problem, "mode", "nearest"), "nearest") != 0) {
    kp_refuse(answer, KP_NO_ATTRIBUTE, "mode", "nearest");
    return;
  }
  if (resize_refuse(problem, answer)) return;
  answer_yes(problem, answer, work_seconds(problem_bytes(problem), 0));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants, (void)kernel;
  resize_axes r;
  resize_read(problem, problem->inputs[0].layout, &r);
  int64_t entries = 1;
  for (int i = 0; i < r.ndim; i++) entries += r.axes[i].out;
  kp_prepared *p = calloc(1, sizeof *p + (size_t)entries * sizeof *p->maps);
  if (!p) return refuse_memory(error);
  const char *coordinates = kp_string(problem, "coordinate_mode", "half_pixel");
  const char *rounding = kp_string(problem, "nearest_mode", "round_prefer_floor");
  p->threads = kernel_threads(work_seconds(problem_bytes(problem), 0), problem->threads);
  p->copy.unit = r.lanes * element_size(&problem->inputs[0]);
  /* Axes behind the last that changes belong to the unit. */
  while (r.ndim > 1 && resize_stays(&r.axes[r.ndim - 1])) p->copy.unit *= r.axes[--r.ndim].in;
  int64_t *map = p->maps;
  for (int i = 0; i < r.ndim; i++) {
    const resize_axis *axis = &r.axes[i];
    p->copy.axes[i] = (mapped_axis){axis->in, axis->out, map};
    for (int64_t k = 0; k < axis->out; k++)
      *map++ = resize_stays(axis)
                   ? k
                   : nearest(resize_coordinate(axis, coordinates, k), axis->in, rounding);
  }
  p->copy.ndim = r.ndim;
  if (p->copy.ndim == 0) p->copy.axes[p->copy.ndim++] = (mapped_axis){1, 1, map};
  *prepared = p;
  return KP_OK;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  mapped_run(&p->copy, buffers[0], buffers[1], p->threads);
  return KP_OK;
}

#define NEAREST(short_name)                         \
  {KERNEL("portable.resize.nearest." #short_name),  \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared}
static const kp_kernel list[] = {NEAREST(f32),  NEAREST(f64), NEAREST(f16),
                                 NEAREST(bf16), NEAREST(u8),  NEAREST(i8)};
const kp_kernel_list resize_nearest_kernels = KERNEL_LIST(list);
