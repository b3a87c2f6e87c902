#include "prepared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "rules.h"

enum { MAX_INPUTS = 8 };

struct kp_prepared {
  struct plan plan;
  struct pool pool;
  uint64_t y_offset; /* of y's copy in scratch */
};

/* Makes the plan; 0 after a refusal in `answer`. */
static int make_plan(struct plan *plan, const kp_pack *pack, const kp_kernel *kernel,
                     const kp_problem *problem, kp_answer *answer) {
  const struct kernel_row *row = kernel->context;
  *plan = (struct plan){.library = &pack->library,
                        .row = row,
                        .problem = problem,
                        .answer = answer,
                        .num_inputs = problem->num_inputs};
  plan->threads = problem->threads < 1            ? 1
                  : problem->threads > PLAN_PARTS ? PLAN_PARTS
                                                  : problem->threads;
  if (rules_refuse(row->operator_name, problem, answer)) return 0;
  if (problem->num_inputs > MAX_INPUTS)
    return plan_refuse_number(plan, KP_NO_SHAPE, "inputs", "at most 8", problem->num_inputs);
  if (!kp_is_dtype(problem->inputs, kDLUInt, 8))
    return plan_refuse(plan, KP_NO_DTYPE, "dtype of the first input", "uint8");
  if (!kp_is_dtype(problem->outputs, kDLUInt, 8))
    return plan_refuse(plan, KP_NO_DTYPE, "y.dtype", "uint8");
  return plan_check_sizes(plan) && row->build(plan);
}

void prepared_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                    kp_answer *answer) {
  struct plan plan;
  if (make_plan(&plan, pack, kernel, problem, answer)) {
    answer->code = KP_YES;
    answer->cost = plan.seconds;
    answer->scratch_bytes = plan_scratch_bytes(&plan);
    if (plan.binds_constants) answer->flags |= KP_ANSWER_BINDS_CONSTANTS;
  }
  plan_destroy(&plan);
}

/* An answer with room for what a plan writes. */
struct private_answer {
  kp_answer answer;
  kp_layout layouts[MAX_INPUTS + 1];
  uint64_t packed_bytes[MAX_INPUTS];
};

static kp_answer *clear_answer(struct private_answer *room) {
  memset(room, 0, sizeof *room);
  room->answer.struct_size = sizeof room->answer;
  room->answer.layouts = room->layouts;
  room->answer.packed_bytes = room->packed_bytes;
  return &room->answer;
}

kp_status prepared_make(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        const void *const *constants, kp_prepared **result, kp_error *error) {
  struct private_answer room;
  kp_prepared *prepared = calloc(1, sizeof *prepared);
  if (!prepared) {
    snprintf(error->message, sizeof error->message, "%s: no memory for a prepared kernel",
             kernel->name);
    return KP_OUT_OF_MEMORY;
  }
  struct plan *plan = &prepared->plan;
  if (!make_plan(plan, pack, kernel, problem, clear_answer(&room))) {
    snprintf(error->message, sizeof error->message,
             "%s can't be prepared for a problem that it refuses (%s: expected %s)", kernel->name,
             room.answer.subject ? room.answer.subject : "?",
             room.answer.limit ? room.answer.limit : "?");
    prepared_release(prepared);
    return KP_INVALID_ARGUMENT;
  }
  plan->problem = NULL;
  plan->answer = NULL;
  prepared->y_offset = plan_y_offset(plan);
  const qnnpack_status status =
      plan->parts ? pool_start(&prepared->pool, plan, constants) : QNNPACK_SUCCESS;
  if (status != QNNPACK_SUCCESS) {
    snprintf(error->message, sizeof error->message, "%s: QNNPACK made no operator: status %d",
             kernel->name, (int)status);
    prepared_release(prepared);
    return status == QNNPACK_OUT_OF_MEMORY ? KP_OUT_OF_MEMORY : KP_LIBRARY_FAILED;
  }
  *result = prepared;
  return KP_OK;
}

kp_status prepared_run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                       void *queue) {
  (void)queue;
  const struct plan *plan = &prepared->plan;
  if (!plan->parts) return KP_OK;
  struct pool *pool = &((kp_prepared *)prepared)->pool; /* it alone changes */
  uint8_t *const x = (uint8_t *)scratch + KP_ALIGNMENT; /* behind what the library may read */
  struct places places = {buffers[0], plan->second ? buffers[plan->second] : NULL,
                          buffers[plan->num_inputs]};
  if (plan->x.is_used) {
    image_in(&plan->x, buffers[0], x, plan->parts);
    places.x = x;
  }
  if (plan->y.is_used) places.y = (uint8_t *)scratch + prepared->y_offset;
  struct set *set = pool_take(pool, plan, &places, (const void *const *)buffers);
  const qnnpack_status status = pool_run(plan, set, &places);
  pool_put(set);
  if (status != QNNPACK_SUCCESS) return KP_LIBRARY_FAILED;
  if (plan->y.is_used) image_out(&plan->y, places.y, buffers[plan->num_inputs], plan->parts);
  return KP_OK;
}

void prepared_release(kp_prepared *prepared) {
  if (!prepared) return;
  pool_destroy(&prepared->pool, &prepared->plan);
  plan_destroy(&prepared->plan);
  free(prepared);
}
