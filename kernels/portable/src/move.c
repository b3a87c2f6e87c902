#include "move.h"

struct kp_prepared {
  int threads;
  uint32_t count;
  move moves[];
};

/* Fills in the copies of `count` moves. */
static void make_moves(const move_context *context, const kp_problem *problem, uint32_t count,
                       move *moves) {
  for (uint32_t i = 0; i < count; i++) moves[i] = (move){.copy.size = context->element.bits / 8};
  context->operator->make(problem, moves);
  for (uint32_t i = 0; i < count; i++) copy_simplify(&moves[i].copy);
}

static double move_seconds(const move_context *context, const kp_problem *problem) {
  double piecemeal = 0;
  if (context->operator->moves_pieces) {
    move only;
    make_moves(context, problem, 1, &only);
    piecemeal = copy_piecemeal_seconds(&only.copy);
  }
  return work_seconds(problem_bytes(problem), piecemeal);
}

void move_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                kp_answer *answer) {
  (void)pack;
  const move_context *context = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &context->element) ||
      refuse_element(&problem->outputs[0], answer, "output.dtype", &context->element) ||
      context->operator->refuse(problem, answer))
    return;
  if (context->operator->in_place) answer->may_overwrite = 1;
  answer_yes(problem, answer, move_seconds(context, problem));
}

kp_status move_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                       const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  const move_context *context = kernel->context;
  const uint32_t count = context->operator->count(problem);
  kp_prepared *p = calloc(1, sizeof *p + count * sizeof *p->moves);
  if (!p) return refuse_memory(error);
  p->count = count;
  p->threads = kernel_threads(move_seconds(context, problem), problem->threads);
  make_moves(context, problem, count, p->moves);
  *prepared = p;
  return KP_OK;
}

kp_status move_run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  for (uint32_t i = 0; i < p->count; i++) {
    const move *m = &p->moves[i];
    if (buffers[m->source] == buffers[m->destination]) continue;
    const char *from = (const char *)buffers[m->source] + m->source_offset * m->copy.size;
    char *to = (char *)buffers[m->destination] + m->destination_offset * m->copy.size;
    copy_run(&m->copy, from, to, p->threads);
  }
  return KP_OK;
}
