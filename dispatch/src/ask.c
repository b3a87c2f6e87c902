/* ask.c: queries and their answers. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "error.h"
#include "problem.h"

/* One allocation: the answer, then packed bytes, then layouts. */
static core_answer *make_answer(const kp_problem *problem) {
  size_t num_tensors = (size_t)problem->num_inputs + problem->num_outputs;
  core_answer *result = calloc(
      1, sizeof *result + problem->num_inputs * sizeof(uint64_t) + num_tensors * sizeof(kp_layout));
  if (!result) return NULL;
  uint64_t *packed_bytes = (uint64_t *)(result + 1);
  result->num_inputs = problem->num_inputs;
  result->num_outputs = problem->num_outputs;
  result->answer.struct_size = sizeof result->answer;
  result->answer.packed_bytes = packed_bytes;
  result->answer.layouts = (kp_layout *)(packed_bytes + problem->num_inputs);
  return result;
}

core_answer *core_query(const core_pack *pack, const kp_kernel *kernel,
                        const core_problem *problem) {
  const kp_problem *p = &problem->problem;
  core_answer *result = make_answer(p);
  if (!result) return NULL;
  int before = omp_get_max_threads();
  if (before != p->threads) omp_set_num_threads(p->threads);
  kernel->query(pack->handle, kernel, p, &result->answer);
  core_threads_leave(p->threads, before);
  for (uint32_t i = 0; i < p->num_inputs + p->num_outputs; i++)
    result->answer.layouts[i][KP_LAYOUT_SIZE - 1] = 0;
  return result;
}

void core_answer_free(core_answer *answer) { free(answer); }

void core_reason(const core_pack *pack, const kp_kernel *kernel, const core_problem *problem,
                 char *text, size_t size) {
  if (!size) return;
  text[0] = 0;
  if (kernel->reason) kernel->reason(pack->handle, kernel, &problem->problem, text, size);
  text[size - 1] = 0;
}
