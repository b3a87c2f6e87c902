/* run.c: one run of a replay. */
#include <omp.h>
#include <stdlib.h>
#include <time.h>

#include "model.h"
#include "scratch.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Returns the number of the step that failed, or num_steps. */
static uint32_t run_steps(const replay *model, const frame *f, kp_status *status) {
  const run_step *steps = model->steps;
  uint32_t count = model->plan.num_steps;
  int32_t threads = -1;
  for (uint32_t i = 0; i < count; i++) {
    if (steps[i].threads != threads) omp_set_num_threads(threads = steps[i].threads);
    *status =
        steps[i].run(steps[i].prepared, f->pointers + steps[i].first_pointer, f->scratch, f->queue);
    if (__builtin_expect(*status, 0)) return i;
  }
  return count;
}

static uint32_t run_steps_timed(const replay *model, const frame *f, double *seconds,
                                kp_status *status) {
  const run_step *steps = model->steps;
  uint32_t count = model->plan.num_steps;
  double start = now();
  for (uint32_t i = 0; i < count; i++) {
    omp_set_num_threads(steps[i].threads);
    *status =
        steps[i].run(steps[i].prepared, f->pointers + steps[i].first_pointer, f->scratch, f->queue);
    if (!*status && f->queue)
      *status = (kp_status)device_synchronize(&model->device, f->queue, NULL);
    if (*status) return i;
    double end = now();
    seconds[i] = end - start;
    start = end;
  }
  return count;
}

/* ---- Inputs and outputs ------------------------------------------------------ */

static replay_status check_pointer(const replay_tensor *tensor, const void *pointer,
                                   const char *what, replay_error *error) {
  if (!pointer && tensor->bytes)
    return replay_fail(error, REPLAY_INVALID_ARGUMENT, "%s \"%.100s\" is NULL", what, tensor->name);
  if ((uintptr_t)pointer & ((uintptr_t)tensor->element_bytes - 1))
    return replay_fail(error, REPLAY_INVALID_ARGUMENT,
                       "%s \"%.100s\" must be aligned to its element's %d bytes", what,
                       tensor->name, tensor->element_bytes);
  return REPLAY_OK;
}

static void free_outputs(const replay *model, void **outputs, const uint8_t *allocated) {
  for (uint32_t i = 0; i < model->plan.num_outputs; i++) {
    if (!allocated[i]) continue;
    free(outputs[i]);
    outputs[i] = NULL;
  }
}

static replay_status allocate_outputs(const replay *model, void **outputs, uint8_t *allocated,
                                      replay_error *error) {
  for (uint32_t i = 0; i < model->plan.num_outputs; i++) {
    if (outputs[i]) continue;
    outputs[i] = core_aligned_alloc(model->plan.outputs[i].bytes);
    if (!outputs[i]) return replay_out_of_memory(error);
    allocated[i] = 1;
  }
  return REPLAY_OK;
}

static replay_status check_pointers(const replay *model, const void *const *inputs,
                                    void *const *outputs, replay_error *error) {
  const plan *p = &model->plan;
  replay_status status = REPLAY_OK;
  for (uint32_t i = 0; !status && i < p->num_inputs; i++)
    status = check_pointer(&p->inputs[i], inputs[i], "input", error);
  for (uint32_t i = 0; !status && i < p->num_outputs; i++)
    status = check_pointer(&p->outputs[i], outputs[i], "output", error);
  return status;
}

/* ---- Runs -------------------------------------------------------------------- */

static replay_status run_frame(replay *model, const frame *f, double *seconds,
                               replay_error *error) {
  int before;
  kp_status status = KP_OK;
  for (size_t i = 0; i < model->num_processes; i++) {
    status = core_threads_enter(model->processes[i], model->threads, &before);
    core_threads_leave(model->threads, before);
    if (status)
      return replay_fail(error, REPLAY_UNAVAILABLE,
                         "this process was forked from one that ran kernels on several threads: "
                         "only a plan of one thread works here, got %d",
                         model->threads);
  }
  before = omp_get_max_threads();
  uint32_t last =
      seconds ? run_steps_timed(model, f, seconds, &status) : run_steps(model, f, &status);
  omp_set_num_threads(before);
  if (last == model->plan.num_steps) return REPLAY_OK;
  return replay_fail(error, (replay_status)status, "%s failed with status %d in step %.100s",
                     model->infos[last].kernel, (int)status, model->infos[last].node);
}

static replay_status check_process(const replay *model, replay_error *error) {
  return model->device.memory ? device_check_process(&model->device, error) : REPLAY_OK;
}

/* The host's inputs and outputs go to the frame's own on the device and back. */
static replay_status run_with_copies(replay *model, const frame *f, const void *const *inputs,
                                     void **outputs, double *seconds, replay_error *error) {
  const device *d = &model->device;
  const plan *p = &model->plan;
  replay_status status = REPLAY_OK;
  for (uint32_t i = 0; !status && i < p->num_inputs; i++)
    status = device_copy(d, f->device->inputs[i], inputs[i], p->inputs[i].bytes, KP_HOST_TO_DEVICE,
                         f->queue, error);
  if (!status) status = run_frame(model, f, seconds, error);
  for (uint32_t i = 0; !status && i < p->num_outputs; i++)
    status = device_copy(d, outputs[i], f->device->outputs[i], p->outputs[i].bytes,
                         KP_DEVICE_TO_HOST, f->queue, error);
  /* Also after a failure: what was enqueued still uses the host's memory. */
  replay_status waited = device_synchronize(d, f->queue, status ? NULL : error);
  return status ? status : waited;
}

static replay_status run(replay *model, const void *const *inputs, void **outputs, double *seconds,
                         replay_error *error) {
  frame *f;
  replay_status status = check_process(model, error);
  if (!status) status = frame_take(model, &f, error);
  if (status) return status;
  uint8_t few[64] = {0};
  uint8_t *allocated =
      model->plan.num_outputs <= sizeof few ? few : calloc(model->plan.num_outputs, 1);
  status =
      allocated ? allocate_outputs(model, outputs, allocated, error) : replay_out_of_memory(error);
  if (!status) status = check_pointers(model, inputs, outputs, error);
  if (!status && f->device) {
    status = run_with_copies(model, f, inputs, outputs, seconds, error);
  } else if (!status) {
    frame_bind(model, f, inputs, outputs);
    status = run_frame(model, f, seconds, error);
  }
  if (status && allocated) free_outputs(model, outputs, allocated);
  if (allocated != few) free(allocated);
  frame_return(model, f);
  return status;
}

replay_status replay_run(replay *model, const void *const *inputs, void **outputs,
                         replay_error *error) {
  return run(model, inputs, outputs, NULL, error);
}

replay_status replay_run_timed(replay *model, const void *const *inputs, void **outputs,
                               double *seconds, replay_error *error) {
  return run(model, inputs, outputs, seconds, error);
}

/* ---- Bound runs ---------------------------------------------------------------- */

struct replay_bound {
  replay *model;
  frame *frame;
};

static replay_status check_handles(const replay *model, const void *const *inputs,
                                   void *const *outputs, replay_error *error) {
  const plan *p = &model->plan;
  for (uint32_t i = 0; i < p->num_inputs + p->num_outputs; i++) {
    int is_input = i < p->num_inputs;
    const void *handle = is_input ? inputs[i] : outputs[i - p->num_inputs];
    const replay_tensor *end = is_input ? &p->inputs[i] : &p->outputs[i - p->num_inputs];
    if (!handle && end->bytes)
      return replay_fail(error, REPLAY_INVALID_ARGUMENT, "%s \"%.100s\" is NULL",
                         is_input ? "input" : "output", end->name);
  }
  return REPLAY_OK;
}

static replay_status check_bound(const replay *model, const void *queue, const void *const *inputs,
                                 void *const *outputs, replay_error *error) {
  if (!model->device.memory && queue)
    return replay_fail(error, REPLAY_INVALID_ARGUMENT,
                       "the plan is for the host, which has no queue: expected NULL");
  if (!model->device.memory) return check_pointers(model, inputs, outputs, error);
  replay_status status = device_check_process(&model->device, error);
  return status ? status : check_handles(model, inputs, outputs, error);
}

replay_status replay_bind(replay *model, void *queue, const void *const *inputs,
                          void *const *outputs, replay_bound **result, replay_error *error) {
  *result = NULL;
  replay_status status = check_bound(model, queue, inputs, outputs, error);
  if (status) return status;
  replay_bound *bound = calloc(1, sizeof *bound);
  if (!bound) return replay_out_of_memory(error);
  bound->model = model;
  status = frame_make_bound(model, queue, inputs, outputs, &bound->frame, error);
  if (status)
    free(bound);
  else
    *result = bound;
  return status;
}

replay_status replay_bound_run(replay_bound *bound, replay_error *error) {
  replay_status status = check_process(bound->model, error);
  return status ? status : run_frame(bound->model, bound->frame, NULL, error);
}

replay_status replay_bound_wait(replay_bound *bound, replay_error *error) {
  replay_status status = check_process(bound->model, error);
  if (status || !bound->frame->device) return status;
  return device_synchronize(&bound->model->device, bound->frame->queue, error);
}

void replay_bound_free(replay_bound *bound) {
  if (!bound) return;
  frame_free(bound->model, bound->frame);
  free(bound);
}

/* ---- Memory -------------------------------------------------------------------- */

void *replay_memory_allocate(uint64_t bytes) { return core_aligned_alloc(bytes); }

void replay_memory_free(void *memory) { free(memory); }
