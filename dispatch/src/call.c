/* call.c: prepared kernels and their runs. */
#include "call.h"

#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "problem.h"
#include "scratch.h"

/* ---- Threads ------------------------------------------------------------------ */

kp_status core_threads_enter(core_process *process, int threads, int *before) {
  *before = omp_get_max_threads();
  if (threads > 1) {
    if (atomic_load_explicit(&process->forked, memory_order_relaxed)) {
      *before = threads;
      return KP_UNAVAILABLE;
    }
    if (!atomic_load_explicit(&process->used_threads, memory_order_relaxed))
      atomic_store_explicit(&process->used_threads, 1, memory_order_relaxed);
  }
  if (*before != threads) omp_set_num_threads(threads);
  return KP_OK;
}

void core_threads_leave(int threads, int before) {
  if (before != threads) omp_set_num_threads(before);
}

static kp_status refuse_fork(kp_error *error, int threads) {
  return core_fail(error, KP_UNAVAILABLE,
                   "this process was forked from one that ran kernels on several threads: only "
                   "threads=1 works here, got %d",
                   threads);
}

/* ---- Preparing ---------------------------------------------------------------- */

static kp_status check_problem(const kp_problem *problem, const void *const *constants,
                               kp_error *error) {
  for (uint32_t i = 0; i < problem->num_inputs + problem->num_outputs; i++) {
    int is_input = i < problem->num_inputs;
    uint32_t index = is_input ? i : i - problem->num_inputs;
    const kp_tensor *tensor = is_input ? &problem->inputs[index] : &problem->outputs[index];
    if (kp_is_absent(tensor)) continue;
    if (kp_is_layout(tensor, "any"))
      return core_fail(error, KP_INVALID_ARGUMENT, "%s[%u] must have a layout other than \"any\"",
                       is_input ? "inputs" : "outputs", index);
    if (is_input && kp_is_constant(tensor) && kp_bytes(tensor) && !(constants && constants[index]))
      return core_fail(error, KP_INVALID_ARGUMENT, "inputs[%u] is constant: its value is missing",
                       index);
  }
  return KP_OK;
}

static kp_status check_answer(const kp_kernel *kernel, const kp_problem *problem,
                              const kp_answer *answer, kp_error *error) {
  if (answer->code != KP_YES)
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "%s refuses this problem: %s must be %s (refusal %d)", kernel->name,
                     answer->subject ? answer->subject : "something",
                     answer->limit ? answer->limit : "otherwise", answer->code);
  if (answer->scratch_bytes > PTRDIFF_MAX)
    return core_fail(error, KP_OUT_OF_MEMORY, "%s asks for %" PRIu64 " bytes of scratch",
                     kernel->name, answer->scratch_bytes);
  for (uint32_t i = 0; i < problem->num_inputs + problem->num_outputs; i++) {
    const kp_tensor *tensor =
        i < problem->num_inputs ? &problem->inputs[i] : &problem->outputs[i - problem->num_inputs];
    const char *layout = answer->layouts[i];
    if (!kp_is_absent(tensor) && layout[0] && strcmp(layout, tensor->layout))
      return core_fail(error, KP_INTERNAL, "%s wants tensor %u in layout \"%s\", it is in \"%s\"",
                       kernel->name, i, layout, tensor->layout);
    if (i < problem->num_inputs && answer->packed_bytes[i] &&
        (kp_is_absent(tensor) || !kp_is_constant(tensor) || !kernel->pack_constant))
      return core_fail(error, KP_INTERNAL, "%s says that it packs input %u, which it can't",
                       kernel->name, i);
  }
  return KP_OK;
}

static kp_status prepare(core_call *call, const core_problem *problem, const void *const *constants,
                         kp_error *error) {
  const kp_problem *p = &problem->problem;
  int before;
  if (core_threads_enter(call->pack->process, p->threads, &before))
    return refuse_fork(error, p->threads);
  error->message[0] = 0;
  kp_status status =
      call->kernel->prepare(call->pack->handle, call->kernel, p, constants, &call->prepared, error);
  core_threads_leave(p->threads, before);
  if (status && !error->message[0])
    core_fail(error, status, "%s can't be prepared", call->kernel->name);
  return status;
}

kp_status core_call_prepare(const core_pack *pack, const kp_kernel *kernel,
                            const core_problem *problem, const void *const *constants,
                            core_call **call, kp_error *error) {
  kp_error unused;
  if (!error) error = &unused;
  *call = NULL;
  const kp_problem *p = &problem->problem;
  kp_status status = check_problem(p, constants, error);
  if (status) return status;
  core_call *result = calloc(1, sizeof *result);
  const void **none = constants ? NULL : calloc(p->num_inputs + 1, sizeof *none);
  if (!result || !(constants || none)) {
    free(result);
    free(none);
    return core_out_of_memory(error);
  }
  result->pack = pack;
  result->kernel = kernel;
  result->run = kernel->run;
  result->threads = p->threads;
  result->num_buffers = p->num_inputs + p->num_outputs;
  for (uint32_t i = 0; i < result->num_buffers && i < CORE_FEW_BUFFERS; i++) {
    const kp_tensor *tensor = i < p->num_inputs ? &p->inputs[i] : &p->outputs[i - p->num_inputs];
    result->misaligned[i] =
        (uint8_t)(tensor->dl.dtype.bits > 8 ? tensor->dl.dtype.bits / 8 - 1 : 0);
  }
  result->answer = core_query(pack, kernel, problem);
  status = result->answer ? check_answer(kernel, p, &result->answer->answer, error)
                          : core_out_of_memory(error);
  if (!status) {
    result->scratch_bytes = result->answer->answer.scratch_bytes;
    status = prepare(result, problem, constants ? constants : none, error);
  }
  free(none);
  if (status) {
    result->prepared = NULL;
    core_call_release(result);
    return status;
  }
  *call = result;
  return KP_OK;
}

void core_call_release(core_call *call) {
  if (!call) return;
  if (call->prepared) call->kernel->release(call->prepared);
  core_answer_free(call->answer);
  free(call);
}

const core_answer *core_call_answer(const core_call *call) { return call->answer; }

uint64_t core_call_packed_bytes(const core_call *call, uint32_t input) {
  return input < call->answer->num_inputs ? call->answer->answer.packed_bytes[input] : 0;
}

uint64_t core_call_scratch_bytes(const core_call *call) { return call->scratch_bytes; }

kp_status core_call_pack(const core_call *call, uint32_t input, const void *source,
                         void *destination, kp_error *error) {
  kp_error unused;
  if (!error) error = &unused;
  if (!core_call_packed_bytes(call, input))
    return core_fail(error, KP_INVALID_ARGUMENT, "%s doesn't pack input %u", call->kernel->name,
                     input);
  int before;
  if (core_threads_enter(call->pack->process, call->threads, &before))
    return refuse_fork(error, call->threads);
  error->message[0] = 0;
  kp_status status = call->kernel->pack_constant(call->prepared, input, source, destination, error);
  core_threads_leave(call->threads, before);
  if (status && !error->message[0])
    core_fail(error, status, "%s can't pack input %u", call->kernel->name, input);
  return status;
}

/* ---- Running ------------------------------------------------------------------ */

kp_status core_call_run(const core_call *call, void *const *buffers, void *queue) {
  int before;
  kp_status status = core_threads_enter(call->pack->process, call->threads, &before);
  if (__builtin_expect(status, 0)) return status;
  if (call->scratch_bytes) {
    void *scratch = core_scratch_take(call->scratch_bytes);
    status = scratch ? call->run(call->prepared, buffers, scratch, queue) : KP_OUT_OF_MEMORY;
    if (scratch) core_scratch_return(scratch);
  } else {
    status = call->run(call->prepared, buffers, NULL, queue);
  }
  core_threads_leave(call->threads, before);
  return status;
}

kp_status core_call_run_aligned(const core_call *call, void *const *buffers) {
  if (call->num_buffers > CORE_FEW_BUFFERS) return KP_INVALID_ARGUMENT;
  uintptr_t misaligned = 0;
  for (uint32_t i = 0; i < call->num_buffers; i++)
    misaligned |= (uintptr_t)buffers[i] & call->misaligned[i];
  if (__builtin_expect(misaligned != 0, 0)) return KP_INVALID_ARGUMENT;
  return core_call_run(call, buffers, NULL);
}

kp_status core_call_run_with(const core_call *call, void *const *buffers, void *scratch,
                             void *queue) {
  return call->run(call->prepared, buffers, scratch, queue);
}
