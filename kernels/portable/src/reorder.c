#include "reorder.h"

int reorder_refuse(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  const char *from = kp_is_layout(x, "any") ? "nchw" : x->layout;
  const char *to = kp_is_layout(y, "any") ? from : y->layout;
  if ((layout_bit(from) | layout_bit(to)) != LAYOUT_NCHW && x->dl.ndim != 4) {
    kp_refuse_number(answer, KP_NO_RANK, "x.rank", "4 in this layout", x->dl.ndim);
    return 1;
  }
  if (!layout_bit(from) || !layout_bit(to)) {
    kp_refuse(answer, KP_NO_LAYOUT, "layout", "nchw, nhwc, nChw16c or nChw8c");
    return 1;
  }
  answer_layout(answer, 0, from);
  answer_layout(answer, 1, to);
  return 0;
}

/* Where a layout has the element of a channel and a pixel, in one image. */
typedef struct {
  int64_t block, channels, pixels;
  int is_last; /* channels lie together */
} addresses;

static addresses addresses_of(const kp_tensor *t) {
  return (addresses){kp_block(t), t->dl.shape[1], t->dl.shape[2] * t->dl.shape[3],
                     kp_is_layout(t, "nhwc")};
}

static int64_t channel_offset(const addresses *a, int64_t c) {
  return a->is_last ? c : c / a->block * a->block * a->pixels + c % a->block;
}

static int64_t pixel_step(const addresses *a) { return a->is_last ? a->channels : a->block; }

static int64_t image_step(const addresses *a) {
  return kernel_round_up(a->channels, a->block) * a->pixels;
}

static void add_dimension(strided_copy *c, int64_t extent, int64_t from, int64_t to) {
  c->extent[c->ndim] = extent;
  c->from[c->ndim] = from;
  c->to[c->ndim] = to;
  c->ndim++;
}

void reorder_make(const kp_problem *problem, int size, reorder_plan *plan) {
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  *plan = (reorder_plan){.count = 0};
  if (strcmp(x->layout, y->layout) == 0) {
    strided_copy *c = &plan->parts[plan->count++].copy;
    c->size = size;
    add_dimension(c, stored_elements(x), 1, 1);
    return;
  }
  const addresses from = addresses_of(x), to = addresses_of(y);
  const int64_t images = x->dl.shape[0], channels = x->dl.shape[1];
  /* `group` channels lie alike in both; `super` is a whole number of each one's blocks. */
  const int64_t super = from.block > to.block ? from.block : to.block;
  const int64_t inner = from.block < to.block ? from.block : to.block;
  const int64_t group = super == 1 ? channels : inner == 1 ? super : inner;
  const int64_t step = super == 1 ? channels : super, whole = step ? channels / step : 0;
  for (int64_t c = 0; c < channels; c += c == 0 && whole ? whole * step : group) {
    const int is_bulk = c == 0 && whole;
    const int64_t rest = channels - c, lanes = is_bulk || rest > group ? group : rest;
    strided_copy *copy = &plan->parts[plan->count].copy;
    plan->parts[plan->count].from = channel_offset(&from, c);
    plan->parts[plan->count++].to = channel_offset(&to, c);
    copy->size = size;
    add_dimension(copy, images, image_step(&from), image_step(&to));
    if (is_bulk) {
      add_dimension(copy, whole, channel_offset(&from, step), channel_offset(&to, step));
      add_dimension(copy, step / group, channel_offset(&from, group), channel_offset(&to, group));
    }
    add_dimension(copy, from.pixels, pixel_step(&from), pixel_step(&to));
    add_dimension(copy, lanes, lanes > 1 ? channel_offset(&from, 1) : 1,
                  lanes > 1 ? channel_offset(&to, 1) : 1);
    copy_simplify(copy);
  }
  plan->padding = padding_of_size(y, size);
}

void reorder_execute(const reorder_plan *plan, const void *from, void *to, int threads) {
  for (int i = 0; i < plan->count; i++) {
    const int size = plan->parts[i].copy.size;
    copy_run(&plan->parts[i].copy, (const char *)from + plan->parts[i].from * size,
             (char *)to + plan->parts[i].to * size, threads);
  }
  if (plan->padding.lanes) zero_padding(&plan->padding, to);
}

struct kp_prepared {
  reorder_plan plan;
  int threads;
};

static double plan_seconds(const kp_problem *problem, const reorder_plan *plan) {
  double piecemeal = 0;
  for (int i = 0; i < plan->count; i++) piecemeal += copy_piecemeal_seconds(&plan->parts[i].copy);
  return work_seconds(problem_bytes(problem), piecemeal);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const element *type = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", type) ||
      refuse_element(&problem->outputs[0], answer, "output.dtype", type) ||
      reorder_refuse(problem, answer))
    return;
  reorder_plan plan;
  reorder_make(problem, element_size(&problem->inputs[0]), &plan);
  answer_yes(problem, answer, plan_seconds(problem, &plan));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants, (void)kernel;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  reorder_make(problem, element_size(&problem->inputs[0]), &p->plan);
  p->threads = kernel_threads(plan_seconds(problem, &p->plan), problem->threads);
  *prepared = p;
  return KP_OK;
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  reorder_execute(&p->plan, buffers[0], buffers[1], p->threads);
  return KP_OK;
}

#define KERNELS(short_name, type)                   \
  {KERNEL("portable.reorder.copy." #short_name),    \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared},
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list reorder_kernels = KERNEL_LIST(list);
