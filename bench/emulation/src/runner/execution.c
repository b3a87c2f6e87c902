#include "execution.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complain.h"
#include "files.h"
#include "scratch.h"

#if defined(__aarch64__)
#define START_MARKER() __asm__ volatile("hint #0x60" ::: "memory")
#define STOP_MARKER() __asm__ volatile("hint #0x61" ::: "memory")
#else
#define START_MARKER() __asm__ volatile("" ::: "memory")
#define STOP_MARKER() __asm__ volatile("" ::: "memory")
#endif

/* Inputs as they are, then inputs as the kernel gets them, then outputs. */
typedef struct tensors {
  uint32_t num_inputs, num_outputs;
  void **given, **buffers;
} tensors;

static void free_tensors(tensors *t) {
  for (uint32_t i = 0; t->given && i < t->num_inputs; i++) {
    if (t->buffers && t->buffers[i] != t->given[i]) free(t->buffers[i]);
    free(t->given[i]);
  }
  for (uint32_t i = 0; t->buffers && i < t->num_outputs; i++) free(t->buffers[t->num_inputs + i]);
  free(t->given);
  free(t->buffers);
}

static void *allocate(uint64_t bytes) {
  void *data = core_aligned_alloc(bytes);
  if (!data) complain("no memory for a tensor of %" PRIu64 " bytes", bytes);
  return data;
}

static int is_absent_file(const char *path) { return !strcmp(path, "-"); }

static int read_inputs(const arguments *a, const kp_problem *problem, tensors *t) {
  for (uint32_t i = 0; i < problem->num_inputs; i++) {
    const kp_tensor *tensor = &problem->inputs[i];
    if (kp_is_absent(tensor) != is_absent_file(a->inputs[i]))
      return complain("input %u is %s in the problem, got --input %s", i,
                      kp_is_absent(tensor) ? "absent" : "present", a->inputs[i]);
    if (kp_is_absent(tensor)) continue;
    uint64_t bytes = (uint64_t)kp_bytes(tensor);
    t->given[i] = allocate(bytes);
    if (!t->given[i] || !file_read(a->inputs[i], t->given[i], bytes)) return 0;
  }
  return 1;
}

static int allocate_outputs(const kp_problem *problem, tensors *t) {
  for (uint32_t i = 0; i < problem->num_outputs; i++) {
    t->buffers[t->num_inputs + i] = allocate((uint64_t)kp_bytes(&problem->outputs[i]));
    if (!t->buffers[t->num_inputs + i]) return 0;
  }
  return 1;
}

/* So that what a run doesn't write shows: a NaN of every floating dtype. */
static void poison_outputs(const kp_problem *problem, tensors *t) {
  for (uint32_t i = 0; i < problem->num_outputs; i++)
    memset(t->buffers[t->num_inputs + i], 0xFF, (size_t)kp_bytes(&problem->outputs[i]));
}

static int pack_constants(const core_call *call, tensors *t, kp_error *error) {
  for (uint32_t i = 0; i < t->num_inputs; i++) {
    uint64_t bytes = core_call_packed_bytes(call, i);
    t->buffers[i] = t->given[i];
    if (!bytes) continue;
    void *packed = allocate(bytes);
    if (!packed) return complain("memory ran out");
    t->buffers[i] = packed;
    if (core_call_pack(call, i, t->given[i], packed, error)) return complain("%s", error->message);
  }
  return 1;
}

static int run_between_markers(const core_call *call, const kp_problem *problem, tensors *t,
                               long runs) {
  poison_outputs(problem, t);
  kp_status status = core_call_run(call, t->buffers, NULL); /* warms up */
  poison_outputs(problem, t);
  for (long i = 0; !status && i < runs; i++) {
    START_MARKER();
    status = core_call_run(call, t->buffers, NULL);
    STOP_MARKER();
  }
  if (status) complain("the kernel reported status %d", (int)status);
  return !status;
}

static int write_outputs(const arguments *a, const kp_problem *problem, const tensors *t) {
  for (uint32_t i = 0; i < problem->num_outputs; i++)
    if (!file_write(a->outputs[i], t->buffers[t->num_inputs + i],
                    (uint64_t)kp_bytes(&problem->outputs[i])))
      return 0;
  return 1;
}

static int run_prepared(const arguments *a, const kp_problem *problem, const core_call *call,
                        tensors *t) {
  kp_error error = {""};
  return pack_constants(call, t, &error) && allocate_outputs(problem, t) &&
         run_between_markers(call, problem, t, a->runs) && write_outputs(a, problem, t);
}

static int prepare_and_run(const arguments *a, const core_pack *pack, const kp_kernel *kernel,
                           const core_problem *problem, tensors *t) {
  const kp_problem *p = core_problem_get(problem);
  core_call *call;
  kp_error error = {""};
  if (!read_inputs(a, p, t)) return 0;
  if (core_call_prepare(pack, kernel, problem, (const void *const *)t->given, &call, &error))
    return complain("%s", error.message);
  int right = run_prepared(a, p, call, t);
  core_call_release(call);
  return right;
}

int execution_run(const arguments *a, const core_pack *pack, const core_problem *problem) {
  const kp_problem *p = core_problem_get(problem);
  const kp_kernel *kernel = core_pack_find(pack, a->kernel);
  if (!kernel) return complain("pack \"%s\" has no kernel \"%s\"", core_pack_name(pack), a->kernel);
  if (a->num_inputs != p->num_inputs || a->num_outputs != p->num_outputs)
    return complain("the problem has %u inputs and %u outputs, got %zu --input and %zu --output",
                    p->num_inputs, p->num_outputs, a->num_inputs, a->num_outputs);
  tensors t = {p->num_inputs, p->num_outputs, NULL, NULL};
  t.given = calloc((size_t)p->num_inputs + 1, sizeof *t.given);
  t.buffers = calloc((size_t)p->num_inputs + p->num_outputs + 1, sizeof *t.buffers);
  int right = t.given && t.buffers ? prepare_and_run(a, pack, kernel, problem, &t)
                                   : complain("memory ran out");
  free_tensors(&t);
  return right;
}
