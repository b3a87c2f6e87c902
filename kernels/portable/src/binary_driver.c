#include "binary.h"

#include "blocked.h"
#include "parallel.h"

struct kp_prepared {
  broadcast walk;
  const binary_context *context;
  int threads, operand_size, y_size;
  blocked_padding padding;
};

enum { UNIT = 64 }; /* elements; what threads split */

static double binary_work(const binary_context *context, const kp_problem *problem) {
  return work_seconds(problem_bytes(problem),
                      context->seconds * (double)stored_elements(&problem->outputs[0]));
}

void binary_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const binary_context *context = kernel->context;
  broadcast walk;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "a.dtype", &context->operands) ||
      refuse_element(&problem->inputs[1], answer, "b.dtype", &context->operands) ||
      refuse_element(&problem->outputs[0], answer, "output.dtype", &context->y) ||
      broadcast_make(problem, 2, &walk, answer))
    return;
  if (context->operands.bits == context->y.bits) answer->may_overwrite = broadcast_dense(&walk);
  answer_yes(problem, answer, binary_work(context, problem));
}

kp_status binary_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *y = &problem->outputs[0];
  p->context = kernel->context;
  broadcast_make(problem, 2, &p->walk, NULL);
  p->threads = kernel_threads(binary_work(p->context, problem), problem->threads);
  p->operand_size = element_size(&problem->inputs[0]);
  p->y_size = element_size(y);
  p->padding = padding_of(y);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const char *a, *b;
  char *y;
} binary_job;

static void binary_rows(const void *context, const broadcast_rows *rows, const int64_t *offsets,
                        int64_t output_offset) {
  const binary_job *job = context;
  const kp_prepared *p = job->p;
  p->context->function(job->a + offsets[0] * p->operand_size, job->b + offsets[1] * p->operand_size,
                       job->y + output_offset * p->y_size, rows, p->context);
}

static void binary_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const binary_job *job = context;
  int64_t count = job->p->walk.count;
  broadcast_walk(&job->p->walk, begin * UNIT, end * UNIT < count ? end * UNIT : count, binary_rows,
                 job);
}

kp_status binary_run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  binary_job job = {p, buffers[0], buffers[1], buffers[2]};
  parallel_for(p->threads, (p->walk.count + UNIT - 1) / UNIT, binary_part, &job);
  if (p->padding.lanes) zero_padding(&p->padding, buffers[2]);
  return KP_OK;
}
