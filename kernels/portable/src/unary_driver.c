#include "unary.h"

#include "blocked.h"
#include "parallel.h"

struct kp_prepared {
  unary_function *function;
  unary_call call;
  int64_t count, x_size, y_size;
  int threads;
  blocked_padding padding; /* to be zeroed again, where the function of 0 isn't 0 */
};

enum { UNIT = 64 }; /* elements; what threads split */

static double unary_work(const unary_context *context, const kp_problem *problem) {
  return work_seconds(problem_bytes(problem),
                      context->seconds * (double)stored_elements(&problem->outputs[0]));
}

void unary_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                 kp_answer *answer) {
  (void)pack;
  const unary_context *context = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &context->x) ||
      refuse_element(&problem->outputs[0], answer, "output.dtype", &context->y) ||
      refuse_layouts(problem, answer, LAYOUT_ALL))
    return;
  answer->may_overwrite = context->x.bits == context->y.bits;
  answer_yes(problem, answer, unary_work(context, problem));
}

kp_status unary_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  const unary_context *context = kernel->context;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *y = &problem->outputs[0];
  unary_function *first = context->inner ? context->inner : context->function;
  if (context->choice && strcmp(kp_string(problem, context->choice, ""), context->chosen) == 0)
    first = context->alternative;
  p->function = context->inner ? context->function : first;
  p->call.inner = first;
  p->call.alpha = context->alpha ? kp_real(problem, context->alpha, 0, 0) : 0;
  p->call.beta = context->beta ? kp_real(problem, context->beta, 0, 0) : 0;
  p->count = stored_elements(y);
  p->x_size = context->x.bits / 8;
  p->y_size = context->y.bits / 8;
  p->threads = kernel_threads(unary_work(context, problem), problem->threads);
  uint64_t zero = 0, image = 0;
  p->function(&zero, &image, 1, &p->call);
  if (image) p->padding = padding_of(y);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const char *x;
  char *y;
} unary_job;

static void unary_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const unary_job *job = context;
  const kp_prepared *p = job->p;
  begin *= UNIT;
  end = end * UNIT < p->count ? end * UNIT : p->count;
  p->function(job->x + begin * p->x_size, job->y + begin * p->y_size, end - begin, &p->call);
}

kp_status unary_run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  if (p->threads == 1) {
    p->function(buffers[0], buffers[1], p->count, &p->call);
  } else {
    unary_job job = {p, buffers[0], buffers[1]};
    parallel_for(p->threads, (p->count + UNIT - 1) / UNIT, unary_part, &job);
  }
  if (p->padding.lanes) zero_padding(&p->padding, buffers[1]);
  return KP_OK;
}
