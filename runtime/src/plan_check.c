/* plan_check.c: whether a plan's steps and buffers go together. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dtype.h"
#include "error.h"
#include "plan.h"

static kp_status check_output_kind(const plan_buffer *buffer, kp_error *error) {
  if (buffer->kind == PLAN_ARENA || buffer->kind == PLAN_OUTPUT) return KP_OK;
  return core_fail(error, KP_INVALID_ARGUMENT,
                   "a step may write to the arena and to outputs, not to %s",
                   buffer->kind == PLAN_INPUT ? "an input" : "a constant");
}

/* What is exchanged with the outside has its dtype there, and so its alignment. */
static kp_status check_dtype(const plan *p, const plan_buffer *buffer, const kp_tensor *tensor,
                             kp_error *error) {
  if (buffer->kind != PLAN_INPUT && buffer->kind != PLAN_OUTPUT) return KP_OK;
  const replay_tensor *end =
      buffer->kind == PLAN_INPUT ? &p->inputs[buffer->index] : &p->outputs[buffer->index];
  const char *dtype = core_dtype_name(tensor->dl.dtype);
  if (!strcmp(dtype, end->dtype)) return KP_OK;
  return core_fail(error, KP_INVALID_ARGUMENT, "the tensor is %s, \"%.60s\" is %s", dtype,
                   end->name, end->dtype);
}

/* What is exchanged with the outside or packed has exactly its tensor's bytes. */
static kp_status check_size(const plan_buffer *buffer, const kp_tensor *tensor, kp_error *error) {
  uint64_t bytes = (uint64_t)kp_bytes(tensor);
  int fits = buffer->kind == PLAN_ARENA ? bytes <= buffer->bytes : bytes == buffer->bytes;
  if (fits) return KP_OK;
  return core_fail(error, KP_INVALID_ARGUMENT,
                   "the tensor takes %" PRIu64 " bytes, its buffer has %" PRIu64, bytes,
                   buffer->bytes);
}

/* A part of another tensor lies where that puts it: kernels want no more than whole elements. */
static kp_status check_offset(const plan_buffer *buffer, const kp_tensor *tensor, kp_error *error) {
  const int element = (tensor->dl.dtype.bits + 7) / 8;
  if (buffer->kind != PLAN_ARENA || buffer->offset % (uint64_t)element == 0) return KP_OK;
  return core_fail(error, KP_INVALID_ARGUMENT,
                   "its buffer's offset must be a multiple of the element's %d bytes, got %" PRIu64,
                   element, buffer->offset);
}

static kp_status check_place(const plan *p, const kp_tensor *tensor, int32_t index, int is_output,
                             kp_error *error) {
  if (kp_is_absent(tensor)) {
    if (index == PLAN_ABSENT) return KP_OK;
    return core_fail(error, KP_INVALID_ARGUMENT, "the tensor is absent, yet has buffer %d", index);
  }
  if (index == PLAN_ABSENT)
    return core_fail(error, KP_INVALID_ARGUMENT, "the tensor has no buffer");
  const plan_buffer *buffer = &p->buffers[index];
  kp_status status = is_output ? check_output_kind(buffer, error) : KP_OK;
  if (status) return status;
  if (!is_output && kp_is_constant(tensor) && buffer->kind != PLAN_CONSTANT)
    return core_fail(error, KP_INVALID_ARGUMENT, "the tensor is constant, its buffer %d isn't",
                     index);
  if (kp_is_layout(tensor, "any"))
    return core_fail(error, KP_INVALID_ARGUMENT, "a planned tensor's layout can't be \"any\"");
  status = check_dtype(p, buffer, tensor, error);
  if (!status) status = check_offset(buffer, tensor, error);
  return status ? status : check_size(buffer, tensor, error);
}

static kp_status check_step(const plan *p, const plan_step *step, uint8_t *written,
                            kp_error *error) {
  const kp_problem *problem = plan_problem(p, step);
  for (uint32_t i = 0; i < problem->num_inputs + problem->num_outputs; i++) {
    int is_output = i >= problem->num_inputs;
    kp_status status = check_place(p, plan_tensor(problem, i), step->buffers[i], is_output, error);
    if (status)
      return core_fail_in(error, status, "%s[%u]", is_output ? "outputs" : "inputs",
                          is_output ? i - problem->num_inputs : i);
    const plan_buffer *buffer = is_output ? &p->buffers[step->buffers[i]] : NULL;
    if (buffer && buffer->kind == PLAN_OUTPUT) written[buffer->index] = 1;
  }
  return KP_OK;
}

kp_status plan_check_steps(const plan *p, kp_error *error) {
  uint8_t *written = calloc(p->num_outputs + 1u, 1);
  if (!written) return core_out_of_memory(error);
  kp_status status = KP_OK;
  for (uint32_t i = 0; !status && i < p->num_steps; i++) {
    status = check_step(p, &p->steps[i], written, error);
    if (status) core_fail_in(error, status, "steps[%u] (%.60s)", i, p->steps[i].node);
  }
  for (uint32_t i = 0; !status && i < p->num_outputs; i++)
    if (!written[i])
      status = core_fail(error, KP_INVALID_ARGUMENT, "no step writes output \"%.60s\"",
                         p->outputs[i].name);
  free(written);
  return status;
}

/* ---- Overlap ----------------------------------------------------------------- */

static int overlap(const plan_buffer *a, const plan_buffer *b) {
  if (a->kind != b->kind || !a->bytes || !b->bytes) return 0;
  if (a->kind == PLAN_OUTPUT) return a->index == b->index;
  return a->kind == PLAN_ARENA && a->offset < b->offset + b->bytes &&
         b->offset < a->offset + a->bytes;
}

static int is_in_place(const plan_buffer *input, const plan_buffer *output) {
  return input->kind == PLAN_OUTPUT || input->offset == output->offset;
}

kp_status plan_check_overlap(const plan *p, const plan_step *step, uint64_t may_overwrite,
                             kp_error *error) {
  const kp_problem *problem = plan_problem(p, step);
  uint32_t num_inputs = problem->num_inputs, end = num_inputs + problem->num_outputs;
  for (uint32_t i = num_inputs; i < end; i++) {
    const plan_buffer *output = &p->buffers[step->buffers[i]];
    for (uint32_t j = 0; j < i; j++) {
      if (step->buffers[j] == PLAN_ABSENT) continue;
      const plan_buffer *other = &p->buffers[step->buffers[j]];
      if (!overlap(output, other)) continue;
      int allowed = i == num_inputs && j < num_inputs && j < 64 && (may_overwrite >> j & 1) &&
                    is_in_place(other, output);
      if (!allowed)
        return core_fail(error, KP_INVALID_ARGUMENT,
                         "%s (%.60s): output %u shares memory with %s %u, which the kernel "
                         "doesn't allow",
                         step->kernel, step->node, i - num_inputs,
                         j < num_inputs ? "input" : "output", j < num_inputs ? j : j - num_inputs);
    }
  }
  return KP_OK;
}
