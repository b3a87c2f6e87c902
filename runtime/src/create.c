/* create.c: from a plan to a replay that is ready to run. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "model.h"
#include "scratch.h"

/* ---- Constants --------------------------------------------------------------- */

static int compare_constants(const void *a, const void *b) {
  return strcmp((*(const replay_constant *const *)a)->name,
                (*(const replay_constant *const *)b)->name);
}

static int compare_constant_name(const void *name, const void *constant) {
  return strcmp(name, (*(const replay_constant *const *)constant)->name);
}

/* Bytes that each buffer's address must be a multiple of. */
static uint8_t *find_alignments(const plan *p) {
  uint8_t *alignments = calloc(p->num_buffers + 1u, 1);
  for (uint32_t s = 0; alignments && s < p->num_steps; s++) {
    const kp_problem *problem = plan_problem(p, &p->steps[s]);
    for (uint32_t i = 0; i < problem->num_inputs + problem->num_outputs; i++) {
      uint8_t element = (uint8_t)((plan_tensor(problem, i)->dl.dtype.bits + 7) / 8);
      int32_t buffer = p->steps[s].buffers[i];
      if (buffer != PLAN_ABSENT && element > alignments[buffer]) alignments[buffer] = element;
    }
  }
  return alignments;
}

/* The constant's value, or an aligned copy of it. */
static replay_status place_constant(replay *model, uint32_t buffer, const void *data,
                                    uint8_t alignment, replay_error *error) {
  model->constants[buffer] = data;
  if (!alignment || (uintptr_t)data % alignment == 0) return REPLAY_OK;
  uint64_t bytes = model->plan.buffers[buffer].bytes;
  void *copy = core_aligned_alloc(bytes);
  if (!copy) return replay_out_of_memory(error);
  memcpy(copy, data, bytes);
  model->constants[buffer] = model->copies[buffer] = copy;
  return REPLAY_OK;
}

static replay_status place_constants(replay *model, const replay_constant *const *sorted,
                                     size_t count, const uint8_t *alignments, replay_error *error) {
  static const char nothing[KP_ALIGNMENT] __attribute__((aligned(KP_ALIGNMENT)));
  report missing = {0};
  for (uint32_t i = 0; i < model->plan.num_buffers; i++) {
    const plan_buffer *buffer = &model->plan.buffers[i];
    if (buffer->kind != PLAN_CONSTANT) continue;
    const replay_constant *const *found =
        bsearch(buffer->name, sorted, count, sizeof *sorted, compare_constant_name);
    if (!found) {
      report_add(&missing, "constant \"%.200s\" is missing", buffer->name);
    } else if ((*found)->bytes != buffer->bytes) {
      report_add(&missing, "constant \"%.200s\" has %" PRIu64 " bytes, the plan says %" PRIu64,
                 buffer->name, (*found)->bytes, buffer->bytes);
    } else {
      const void *data = buffer->bytes ? (*found)->data : nothing;
      replay_status status = place_constant(model, i, data, alignments[i], error);
      if (status) return status;
    }
  }
  if (!missing.used) return REPLAY_OK;
  return replay_fail(error, REPLAY_INVALID_ARGUMENT, "%s", missing.text);
}

static replay_status find_constants(replay *model, const creation *from, replay_error *error) {
  const replay_constant **sorted = calloc(from->num_constants + 1, sizeof *sorted);
  uint8_t *alignments = find_alignments(&model->plan);
  replay_status status = REPLAY_OUT_OF_MEMORY;
  if (sorted && alignments) {
    for (size_t i = 0; i < from->num_constants; i++) sorted[i] = &from->constants[i];
    qsort(sorted, from->num_constants, sizeof *sorted, compare_constants);
    status = place_constants(model, sorted, from->num_constants, alignments, error);
  } else {
    replay_out_of_memory(error);
  }
  free(sorted);
  free(alignments);
  return status;
}

/* ---- Kernels ----------------------------------------------------------------- */

static replay_status prepare_call(replay *model, uint32_t index, const match *found,
                                  replay_error *error) {
  const plan_step *step = &model->plan.steps[index];
  const kp_problem *problem = plan_problem(&model->plan, step);
  const void **constants = calloc(problem->num_inputs + 1u, sizeof *constants);
  if (!constants) return replay_out_of_memory(error);
  for (uint32_t i = 0; i < problem->num_inputs; i++)
    if (kp_is_constant(&problem->inputs[i])) constants[i] = model->constants[step->buffers[i]];
  kp_error inner;
  kp_status status =
      core_call_prepare(found->pack, found->kernel, model->plan.problems[step->problem], constants,
                        &model->calls[index], &inner);
  free(constants);
  if (!status) {
    model->owns_call[index] = 1;
    return REPLAY_OK;
  }
  core_fail_in(&inner, status, "step %.60s", step->node);
  return replay_fail_with(error, status, &inner);
}

static int serves_any_constants(const core_call *call) {
  return !(core_call_answer(call)->answer.flags & KP_ANSWER_BINDS_CONSTANTS);
}

/* `last`: for each problem, one more than the last step that prepared a call for it, or 0. */
static replay_status prepare_step(replay *model, uint32_t index, const match *found, uint32_t *last,
                                  replay_error *error) {
  const plan_step *step = &model->plan.steps[index];
  uint32_t *before = &last[step->problem];
  if (*before && model->calls[*before - 1]->kernel == found->kernel &&
      serves_any_constants(model->calls[*before - 1])) {
    model->calls[index] = model->calls[*before - 1];
  } else {
    replay_status status = prepare_call(model, index, found, error);
    if (status) return status;
    *before = index + 1;
  }
  const core_call *call = model->calls[index];
  kp_error inner;
  kp_status status =
      plan_check_overlap(&model->plan, step, core_call_answer(call)->answer.may_overwrite, &inner);
  if (status) return replay_fail_with(error, status, &inner);
  model->steps[index].run = call->run;
  model->steps[index].prepared = call->prepared;
  /* A device's work isn't the caller's threads'. */
  int32_t threads = model->device.memory ? 1 : call->threads;
  model->steps[index].threads = threads;
  model->infos[index] = (replay_step){.kernel = call->kernel->name,
                                      .node = step->node,
                                      .scratch_bytes = call->scratch_bytes,
                                      .threads = threads};
  if (threads > model->threads) model->threads = threads;
  if (call->scratch_bytes > model->scratch_bytes) model->scratch_bytes = call->scratch_bytes;
  return REPLAY_OK;
}

static void note_process(replay *model, core_process *process) {
  for (size_t i = 0; i < model->num_processes; i++)
    if (model->processes[i] == process) return;
  model->processes[model->num_processes++] = process;
}

static replay_status prepare_steps(replay *model, const creation *from, replay_error *error) {
  const plan *p = &model->plan;
  match *matches = calloc(p->num_steps + 1u, sizeof *matches);
  uint32_t *last = calloc(p->num_problems + 1u, sizeof *last);
  report missing = {0};
  replay_status status = matches && last ? REPLAY_OK : replay_out_of_memory(error);
  if (!status) match_plan(p, from->packs, from->num_packs, matches, &missing);
  if (missing.used) status = replay_fail(error, REPLAY_UNAVAILABLE, "%s", missing.text);
  if (!status) status = device_open(p, matches, &model->device, error);
  if (!status) status = find_constants(model, from, error);
  if (!status && model->device.memory)
    status = device_upload(&model->device, p, model->constants, error);
  for (uint32_t i = 0; !status && i < p->num_steps; i++) {
    note_process(model, matches[i].pack->process);
    status = prepare_step(model, i, &matches[i], last, error);
  }
  free(matches);
  free(last);
  return status;
}

/* ---- Pointers ---------------------------------------------------------------- */

static replay_status pack_on_device(replay *model, const core_call *call, uint32_t input,
                                    void **pointer, replay_error *error) {
  uint64_t bytes = core_call_packed_bytes(call, input);
  void *packed;
  replay_status status = device_hold(&model->device, bytes, &packed, error);
  if (status) return status;
  kp_error inner;
  kp_status made = core_call_pack(call, input, *pointer, packed, &inner);
  if (made) return replay_fail_with(error, made, &inner);
  model->device.packed_bytes += bytes;
  *pointer = packed;
  return REPLAY_OK;
}

static replay_status pack_on_host(replay *model, const core_call *call, uint32_t input,
                                  void **pointer, replay_error *error) {
  const void *source = *pointer;
  uint64_t bytes = core_call_packed_bytes(call, input);
  void *packed = core_aligned_alloc(bytes);
  if (!packed) return replay_out_of_memory(error);
  memset(packed, 0, bytes); /* padding is equal, too, when copies are compared */
  kp_error inner;
  kp_status status = core_call_pack(call, input, source, packed, &inner);
  if (status) {
    free(packed);
    return replay_fail_with(error, status, &inner);
  }
  store_entry *entry = store_add(model->store, source, packed, bytes);
  if (!entry) return replay_out_of_memory(error);
  model->packed[model->num_packed++] = entry;
  *pointer = store_data(entry);
  return REPLAY_OK;
}

static replay_status pack_constant(replay *model, uint32_t index, uint32_t input, void **pointer,
                                   replay_error *error) {
  const core_call *call = model->calls[index];
  if (!core_call_packed_bytes(call, input)) return REPLAY_OK;
  return model->device.memory ? pack_on_device(model, call, input, pointer, error)
                              : pack_on_host(model, call, input, pointer, error);
}

static replay_status place_pointers(replay *model, replay_error *error) {
  const plan *p = &model->plan;
  uint32_t next = 0;
  for (uint32_t s = 0; s < p->num_steps; s++) {
    const kp_problem *problem = plan_problem(p, &p->steps[s]);
    model->steps[s].first_pointer = next;
    for (uint32_t i = 0; i < problem->num_inputs + problem->num_outputs; i++, next++) {
      int32_t index = p->steps[s].buffers[i];
      if (index == PLAN_ABSENT) continue;
      const plan_buffer *buffer = &p->buffers[index];
      if (buffer->kind == PLAN_INPUT)
        model->input_bindings[model->num_input_bindings++] = (binding){next, buffer->index};
      if (buffer->kind == PLAN_OUTPUT)
        model->output_bindings[model->num_output_bindings++] = (binding){next, buffer->index};
      if (buffer->kind != PLAN_CONSTANT) continue;
      model->template_pointers[next] = (void *)model->constants[index];
      if (i >= problem->num_inputs || !kp_is_constant(&problem->inputs[i])) continue;
      replay_status status = pack_constant(model, s, i, &model->template_pointers[next], error);
      if (status) return status;
    }
  }
  return REPLAY_OK;
}

/* A constant that all its kernels packed isn't read again, nor one that was copied to a device.
 * One that they bound is: they may still be given it, and what they do with it is theirs. */
static void note_reads(replay *model) {
  const plan *p = &model->plan;
  for (uint32_t s = 0; !model->device.memory && s < p->num_steps; s++) {
    const kp_problem *problem = plan_problem(p, &p->steps[s]);
    const core_answer *answer = core_call_answer(model->calls[s]);
    for (uint32_t i = 0; i < problem->num_inputs; i++) {
      int32_t index = p->steps[s].buffers[i];
      if (index == PLAN_ABSENT || p->buffers[index].kind != PLAN_CONSTANT) continue;
      if (!answer->answer.packed_bytes[i]) model->reads[index] = 1;
    }
  }
  for (uint32_t i = 0; i < p->num_buffers; i++) {
    if (model->reads[i]) continue;
    free(model->copies[i]);
    model->copies[i] = NULL;
  }
}

/* ---- The whole --------------------------------------------------------------- */

static size_t count_pointers(const plan *p) {
  size_t count = 0;
  for (uint32_t s = 0; s < p->num_steps; s++) {
    const kp_problem *problem = plan_problem(p, &p->steps[s]);
    count += (size_t)problem->num_inputs + problem->num_outputs;
  }
  return count;
}

static int allocate_tables(replay *model, size_t num_packs) {
  const plan *p = &model->plan;
  size_t steps = p->num_steps + 1u, buffers = p->num_buffers + 1u;
  size_t pointers = model->num_pointers = count_pointers(p);
  return (model->steps = calloc(steps, sizeof *model->steps)) &&
         (model->calls = calloc(steps, sizeof *model->calls)) &&
         (model->owns_call = calloc(steps, 1)) &&
         (model->infos = calloc(steps, sizeof *model->infos)) &&
         (model->constants = calloc(buffers, sizeof *model->constants)) &&
         (model->copies = calloc(buffers, sizeof *model->copies)) &&
         (model->reads = calloc(buffers, 1)) &&
         (model->processes = calloc(num_packs + 1, sizeof *model->processes)) &&
         (model->template_pointers = calloc(pointers + 1, sizeof *model->template_pointers)) &&
         (model->packed = calloc(pointers + 1, sizeof *model->packed)) &&
         (model->input_bindings = calloc(pointers + 1, sizeof *model->input_bindings)) &&
         (model->output_bindings = calloc(pointers + 1, sizeof *model->output_bindings));
}

static replay_status fill(replay *model, const creation *from, replay_error *error) {
  if (!allocate_tables(model, from->num_packs)) return replay_out_of_memory(error);
  model->threads = 1;
  replay_status status = REPLAY_OK;
  if (from->store)
    model->store = store_hold(from->store);
  else
    status = replay_store_new(&model->store, error);
  if (!status) status = prepare_steps(model, from, error);
  if (!status) status = place_pointers(model, error);
  if (status) return status;
  note_reads(model);
  frame *first;
  status = frame_take(model, &first, error);
  if (!status) frame_return(model, first);
  return status;
}

replay_status model_create(plan *p, const creation *from, replay **result, replay_error *error) {
  *result = NULL;
  replay *model = calloc(1, sizeof *model);
  if (!model) {
    plan_free(p);
    return replay_out_of_memory(error);
  }
  model->plan = *p;
  *p = (plan){0};
  replay_status status = fill(model, from, error);
  if (status) {
    replay_free(model);
    return status;
  }
  *result = model;
  return REPLAY_OK;
}

void replay_free(replay *model) {
  if (!model) return;
  for (int i = 0; i < KEPT_FRAMES; i++) frame_free(model, model->frames[i]);
  for (size_t i = 0; i < model->num_packed; i++) store_remove(model->store, model->packed[i]);
  for (uint32_t i = 0; model->owns_call && i < model->plan.num_steps; i++)
    if (model->owns_call[i]) core_call_release(model->calls[i]);
  for (uint32_t i = 0; model->copies && i < model->plan.num_buffers; i++) free(model->copies[i]);
  device_close(&model->device);
  replay_store_free(model->store);
  free(model->steps);
  free(model->calls);
  free(model->owns_call);
  free(model->infos);
  free(model->constants);
  free(model->copies);
  free(model->reads);
  free(model->processes);
  free(model->template_pointers);
  free(model->packed);
  free(model->input_bindings);
  free(model->output_bindings);
  plan_free(&model->plan);
  free(model);
}
