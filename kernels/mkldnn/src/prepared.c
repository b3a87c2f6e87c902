#include "prepared.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"
#include "tensor.h"

/*
 * A memory object holds the address of its bytes, so that two runs at a time
 * can't share one. A call takes a state, which has a memory object for each
 * argument, and puts it back; addresses that haven't changed since the state's
 * last run cost nothing. States are made when more runs overlap than ever
 * before, and RESTING_STATES of them are kept.
 */
enum { RESTING_STATES = 16 };

struct state {
  dnnl_stream_t stream;
  void *addresses[PLAN_ARGUMENTS];
  dnnl_exec_arg_t arguments[PLAN_ARGUMENTS]; /* as in the plan; those of a step lie together */
};

struct kp_prepared {
  struct plan plan;
  dnnl_primitive_t primitives[PLAN_STEPS];
  uint64_t scratchpad_offset;
  _Atomic(struct state *) states[RESTING_STATES];
};

static void destroy_state(const struct plan *plan, struct state *state) {
  if (!state) return;
  for (uint32_t i = 0; i < plan->num_arguments; i++)
    if (state->arguments[i].memory) plan->dnnl->memory_destroy(state->arguments[i].memory);
  if (state->stream) plan->dnnl->stream_destroy(state->stream);
  free(state);
}

static struct state *make_state(const struct plan *plan) {
  struct state *state = calloc(1, sizeof *state);
  if (!state) return NULL;
  dnnl_status_t status =
      plan->dnnl->stream_create(&state->stream, plan->engine, dnnl_stream_default_flags);
  for (uint32_t i = 0; i < plan->num_arguments && status == dnnl_success; i++) {
    state->arguments[i].arg = plan->arguments[i].name;
    status = plan->dnnl->memory_create(&state->arguments[i].memory, plan->arguments[i].place.desc,
                                       plan->engine, DNNL_MEMORY_NONE);
  }
  if (status == dnnl_success) return state;
  destroy_state(plan, state);
  return NULL;
}

static struct state *take_state(kp_prepared *prepared) {
  for (int i = 0; i < RESTING_STATES; i++) {
    /* Reading first keeps a line that others hold from bouncing. */
    if (!atomic_load_explicit(&prepared->states[i], memory_order_relaxed)) continue;
    struct state *state =
        atomic_exchange_explicit(&prepared->states[i], NULL, memory_order_acquire);
    if (state) return state;
  }
  return make_state(&prepared->plan);
}

static void put_state(kp_prepared *prepared, struct state *state) {
  for (int i = 0; i < RESTING_STATES; i++) {
    struct state *expected = NULL;
    if (atomic_compare_exchange_strong_explicit(&prepared->states[i], &expected, state,
                                                memory_order_release, memory_order_relaxed))
      return;
  }
  destroy_state(&prepared->plan, state);
}

static void *address_of(const kp_prepared *prepared, const struct place *place,
                        void *const *buffers, void *scratch) {
  switch (place->kind) {
    case PLACE_BUFFER:
      return buffers[place->index];
    case PLACE_SCRATCH:
      return (char *)scratch + place->offset;
    case PLACE_SCRATCHPAD:
      return (char *)scratch + prepared->scratchpad_offset;
    case PLACE_VALUES:
      return prepared->plan.values[place->index];
    default:
      return NULL;
  }
}

static int belongs(const struct step *step, void *const *buffers, const void *output) {
  const int aligned = (uintptr_t)output % KP_ALIGNMENT == 0;
  switch (step->when) {
    case STEP_IN_PLACE:
      return buffers[step->shared] == output;
    case STEP_NOT_IN_PLACE:
      return buffers[step->shared] != output;
    case STEP_ALIGNED:
      return aligned;
    case STEP_MISALIGNED:
      return !aligned;
    default:
      return 1;
  }
}

static dnnl_status_t run_steps(const kp_prepared *prepared, struct state *state,
                               void *const *buffers, void *scratch) {
  const struct plan *plan = &prepared->plan;
  const struct library *dnnl = plan->dnnl;
  for (uint32_t i = 0; i < plan->num_arguments; i++) {
    void *address = address_of(prepared, &plan->arguments[i].place, buffers, scratch);
    if (address == state->addresses[i]) continue;
    const dnnl_status_t status = dnnl->memory_set_data_handle(state->arguments[i].memory, address);
    if (status != dnnl_success) return status;
    state->addresses[i] = address;
  }
  for (uint32_t i = 0; i < plan->num_steps; i++) {
    const struct step *step = &plan->steps[i];
    if (!belongs(step, buffers, buffers[plan->num_inputs])) continue;
    const dnnl_status_t status = dnnl->primitive_execute(
        prepared->primitives[i], state->stream, (int)step->count, state->arguments + step->first);
    if (status != dnnl_success) return status;
  }
  return dnnl_success;
}

kp_status prepared_run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                       void *queue) {
  (void)queue;
  kp_prepared *shared = (kp_prepared *)prepared; /* its states alone change */
  struct state *state = take_state(shared);
  if (!state) return KP_OUT_OF_MEMORY;
  const dnnl_status_t status = run_steps(prepared, state, buffers, scratch);
  const struct plan *plan = &prepared->plan;
  if (status == dnnl_success && plan->finish.is_used)
    finish_run(&plan->finish, buffers[plan->num_inputs]);
  put_state(shared, state);
  return status == dnnl_success ? KP_OK : KP_LIBRARY_FAILED;
}

/* What the processor must have for arithmetic in 16 bits; NULL: it has it, or needs nothing. */
static const char *missing_feature(const struct plan *plan) {
  const dnnl_cpu_isa_t isa = plan->dnnl->isa;
  if (plan->row->dtypes & S32) return NULL; /* it moves data only */
  if (plan->dtype == dnnl_f16 &&
      (isa & dnnl_cpu_isa_avx512_core_fp16) != dnnl_cpu_isa_avx512_core_fp16)
    return "AVX-512 FP16 for float16";
  if (plan->dtype == dnnl_bf16 && (isa & dnnl_cpu_isa_avx512_core) != dnnl_cpu_isa_avx512_core)
    return "AVX-512 for bfloat16";
  return NULL;
}

/* Makes the plan; 0 after a refusal in `answer`. */
static int make_plan(struct plan *plan, const kp_pack *pack, const kp_kernel *kernel,
                     const kp_problem *problem, kp_answer *answer) {
  const struct kernel_context *context = kernel->context;
  memset(plan, 0, sizeof *plan);
  plan->dnnl = &pack->dnnl;
  plan->engine = pack->engine;
  plan->row = context->row;
  plan->dtype = context->dtype;
  plan->problem = problem;
  plan->answer = answer;
  plan->num_inputs = problem->num_inputs;
  if (rules_refuse(plan->row->operator_name, problem, answer)) return 0;
  if (!plan_check(plan)) return 0;
  if (plan->num_inputs == 0 || tensor_dtype(problem->inputs) != plan->dtype)
    return plan_refuse(plan, KP_NO_DTYPE, "dtype of the first input", context->dtype_name);
  for (uint32_t i = 0; i < plan->num_inputs; i++)
    plan_answer_layout(plan, i, problem->inputs[i].layout);
  plan_answer_layout(plan, plan->num_inputs, problem->outputs[0].layout);
  if (plan->row->build(plan)) return 1;
  const char *feature = answer->code == KP_NO_LIBRARY ? missing_feature(plan) : NULL;
  return feature ? plan_refuse(plan, KP_NO_CPU_FEATURE, "processor", feature) : 0;
}

void prepared_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                    kp_answer *answer) {
  struct plan plan;
  make_plan(&plan, pack, kernel, problem, answer);
  plan_destroy(&plan);
}

/* An answer with room for what a plan writes. */
struct private_answer {
  kp_answer answer;
  kp_layout layouts[PLAN_INPUTS + 1];
  uint64_t packed_bytes[PLAN_INPUTS];
};

static kp_answer *clear_answer(struct private_answer *room) {
  memset(room, 0, sizeof *room);
  room->answer.struct_size = sizeof room->answer;
  room->answer.layouts = room->layouts;
  room->answer.packed_bytes = room->packed_bytes;
  return &room->answer;
}

void prepared_reason(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem, char *text,
                     size_t size) {
  struct plan plan;
  struct private_answer room;
  make_plan(&plan, pack, kernel, problem, clear_answer(&room));
  snprintf(text, size, "%s", plan.words);
  plan_destroy(&plan);
}

kp_status prepared_make(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        const void *const *constants, kp_prepared **result, kp_error *error) {
  (void)constants; /* their values are read by prepared_pack() alone */
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
  prepared->scratchpad_offset = plan->staged_bytes;
  dnnl_status_t status = dnnl_success;
  for (uint32_t i = 0; i < plan->num_steps && status == dnnl_success; i++)
    status = plan->dnnl->primitive_create(&prepared->primitives[i], plan->steps[i].desc);
  struct state *state = status == dnnl_success ? make_state(plan) : NULL;
  if (!state) {
    snprintf(error->message, sizeof error->message, "%s: oneDNN couldn't make the primitive: %s",
             kernel->name,
             plan->dnnl->status2str(status == dnnl_success ? dnnl_out_of_memory : status));
    prepared_release(prepared);
    return KP_LIBRARY_FAILED;
  }
  atomic_init(&prepared->states[0], state);
  *result = prepared;
  return KP_OK;
}

void prepared_release(kp_prepared *prepared) {
  if (!prepared) return;
  struct plan *plan = &prepared->plan;
  for (int i = 0; i < RESTING_STATES; i++) destroy_state(plan, atomic_load(&prepared->states[i]));
  for (uint32_t i = 0; i < plan->num_steps; i++)
    if (prepared->primitives[i]) plan->dnnl->primitive_destroy(prepared->primitives[i]);
  plan_destroy(plan);
  free(prepared);
}

/* A copy of `bytes` bytes with their highest bits turned. */
static void *flipped(const void *source, size_t bytes) {
  const uint8_t *from = source;
  uint8_t *copy = malloc(bytes);
  for (size_t i = 0; copy && i < bytes; i++) copy[i] = from[i] ^ 0x80;
  return copy;
}

kp_status prepared_pack(const kp_prepared *prepared, uint32_t input, const void *source,
                        void *destination, kp_error *error) {
  const struct plan *kept = &prepared->plan;
  if (input >= kept->num_inputs || !kept->packing[input].to) {
    snprintf(error->message, sizeof error->message, "%s: input %u isn't packed",
             kept->row->operator_name, input);
    return KP_INVALID_ARGUMENT;
  }
  /* A plan of one reorder, run once. */
  kp_answer answer = {.struct_size = sizeof answer};
  kp_prepared *once = calloc(1, sizeof *once);
  if (!once) return KP_OUT_OF_MEMORY;
  struct plan *plan = &once->plan;
  plan->dnnl = kept->dnnl;
  plan->engine = kept->engine;
  plan->answer = &answer;
  const struct packing *packing = &kept->packing[input];
  void *copy =
      packing->flips ? flipped(source, kept->dnnl->memory_desc_get_size(packing->from)) : NULL;
  void *buffers[2] = {copy ? copy : (void *)source, destination};
  void *scratch = NULL;
  kp_status status = KP_LIBRARY_FAILED;
  if ((copy || !packing->flips) &&
      plan_reorder(plan, plan_buffer(0, packing->from), plan_buffer(1, packing->to)) &&
      plan->dnnl->primitive_create(&once->primitives[0], plan->steps[0].desc) == dnnl_success &&
      (plan->scratchpad_bytes == 0 ||
       (scratch = aligned_alloc(KP_ALIGNMENT, plan_scratch_bytes(plan)))))
    status = prepared_run(once, buffers, scratch, NULL);
  free(scratch);
  free(copy);
  prepared_release(once);
  if (status != KP_OK)
    snprintf(error->message, sizeof error->message, "%s: oneDNN couldn't pack constant input %u",
             kept->row->operator_name, input);
  return status;
}
