/* info.c: what a replay is. */
#include <string.h>

#include "model.h"

size_t replay_num_inputs(const replay *model) { return model->plan.num_inputs; }

size_t replay_num_outputs(const replay *model) { return model->plan.num_outputs; }

size_t replay_num_steps(const replay *model) { return model->plan.num_steps; }

const replay_tensor *replay_input(const replay *model, size_t index) {
  return index < model->plan.num_inputs ? &model->plan.inputs[index] : NULL;
}

const replay_tensor *replay_output(const replay *model, size_t index) {
  return index < model->plan.num_outputs ? &model->plan.outputs[index] : NULL;
}

const replay_step *replay_step_info(const replay *model, size_t index) {
  return index < model->plan.num_steps ? &model->infos[index] : NULL;
}

replay_sizes replay_memory(const replay *model) {
  replay_sizes sizes = {model->plan.arena_bytes, model->scratch_bytes, model->device.packed_bytes};
  for (size_t i = 0; i < model->num_packed; i++) {
    size_t before = 0; /* a copy that several steps share counts once */
    while (model->packed[before] != model->packed[i]) before++;
    if (before == i) sizes.packed_bytes += store_bytes(model->packed[i]);
  }
  return sizes;
}

void *replay_queue(const replay *model) { return model->device.queue; }

int replay_reads_constant(const replay *model, const char *name) {
  for (uint32_t i = 0; i < model->plan.num_buffers; i++) {
    const plan_buffer *buffer = &model->plan.buffers[i];
    if (buffer->kind == PLAN_CONSTANT && model->reads[i] &&
        model->constants[i] != model->copies[i] && !strcmp(buffer->name, name))
      return 1;
  }
  return 0;
}
