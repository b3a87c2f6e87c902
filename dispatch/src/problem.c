#include "problem.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

static const char *const problem_keys[] = {
    "operator", "inputs",    "operator_inputs", "outputs",   "attributes",    "epilogue",
    "device",   "device_id", "device_type",     "precision", "deterministic", "threads",
    NULL};

static kp_status read_string(arena *memory, const json_value *json, const char *key,
                             const char **result, kp_error *error) {
  const json_value *value;
  kp_status status = json_require(json, key, JSON_STRING, &value, error);
  if (status) return status;
  *result = arena_string(memory, value->string, value->count);
  return *result ? KP_OK : core_out_of_memory(error);
}

static kp_status read_tensors(arena *memory, const json_value *json, const char *key,
                              uint32_t *count, const kp_tensor **tensors, kp_error *error) {
  const json_value *list;
  kp_status status = json_require(json, key, JSON_ARRAY, &list, error);
  if (status) return status;
  if (list->count > CORE_MAX_TENSORS)
    return core_fail(error, KP_INVALID_ARGUMENT, "at most %d %s, got %u", CORE_MAX_TENSORS, key,
                     list->count);
  kp_tensor *result = arena_alloc(memory, list->count, sizeof *result);
  if (!result) return core_out_of_memory(error);
  for (uint32_t i = 0; i < list->count; i++) {
    status = core_tensor_read(memory, &list->items[i], &result[i], error);
    if (status) return core_fail_in(error, status, "%s[%u]", key, i);
  }
  *count = list->count;
  *tensors = result;
  return KP_OK;
}

static int same_tensor_type(const kp_tensor *a, const kp_tensor *b) {
  return a->dl.dtype.code == b->dl.dtype.code && a->dl.dtype.bits == b->dl.dtype.bits &&
         a->dl.ndim == b->dl.ndim &&
         !memcmp(a->dl.shape, b->dl.shape, (size_t)a->dl.ndim * sizeof *a->dl.shape);
}

/* A kernel indexes the inputs by what stands here, so it must be right. */
static kp_status check_epilogue(const kp_problem *problem, const kp_epilogue *epilogue,
                                kp_error *error) {
  int binary = !strcmp(epilogue->name, "add") || !strcmp(epilogue->name, "mul");
  if (!binary) {
    if (epilogue->input == -1) return KP_OK;
    return core_fail(error, KP_INVALID_ARGUMENT, "\"%.40s\" takes no input, got %d", epilogue->name,
                     epilogue->input);
  }
  if (epilogue->input < 0 || (uint32_t)epilogue->input >= problem->num_inputs)
    return core_fail(error, KP_INVALID_ARGUMENT, "the input of \"%s\" must be one of %u, got %d",
                     epilogue->name, problem->num_inputs, epilogue->input);
  const kp_tensor *input = &problem->inputs[epilogue->input];
  if (kp_is_absent(input) || !problem->num_outputs ||
      !same_tensor_type(input, &problem->outputs[0]))
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "the input of \"%s\" must have output 0's dtype and shape", epilogue->name);
  return KP_OK;
}

static kp_status read_epilogue(arena *memory, const json_value *json, const kp_problem *problem,
                               kp_epilogue *epilogue, kp_error *error) {
  static const char *const keys[] = {"name", "input", "alpha", "beta", NULL};
  const char *const numbers[] = {"alpha", "beta"};
  double *const places[] = {&epilogue->alpha, &epilogue->beta};
  int64_t input;
  kp_status status = json_only_keys(json, "an epilogue", keys, error);
  if (!status) status = read_string(memory, json, "name", &epilogue->name, error);
  if (!status) status = json_require_integer(json, "input", -1, INT32_MAX, &input, error);
  if (status) return status;
  epilogue->input = (int32_t)input;
  for (int i = 0; i < 2; i++) {
    const json_value *value = json_get(json, numbers[i]);
    if (!value || (value->type != JSON_REAL && value->type != JSON_INTEGER))
      return core_fail(error, KP_INVALID_ARGUMENT, "\"%s\" must be a number", numbers[i]);
    *places[i] = value->type == JSON_REAL ? value->real : (double)value->integer;
  }
  return check_epilogue(problem, epilogue, error);
}

static kp_status read_epilogues(arena *memory, const json_value *json, kp_problem *problem,
                                kp_error *error) {
  const json_value *list;
  kp_status status = json_require(json, "epilogue", JSON_ARRAY, &list, error);
  if (status) return status;
  kp_epilogue *result = arena_alloc(memory, list->count, sizeof *result);
  if (!result) return core_out_of_memory(error);
  for (uint32_t i = 0; i < list->count; i++) {
    status = read_epilogue(memory, &list->items[i], problem, &result[i], error);
    if (status) return core_fail_in(error, status, "epilogue[%u]", i);
  }
  problem->num_epilogues = list->count;
  problem->epilogues = result;
  return KP_OK;
}

static kp_status read_precision(const json_value *json, kp_problem *problem, kp_error *error) {
  static const char *const names[] = {"highest", "high", "medium"};
  const json_value *value;
  kp_status status = json_require(json, "precision", JSON_STRING, &value, error);
  if (status) return status;
  for (int i = 0; i < 3; i++) {
    if (strcmp(names[i], value->string)) continue;
    problem->precision = (kp_precision)i;
    return KP_OK;
  }
  return core_fail(error, KP_INVALID_ARGUMENT,
                   "precision must be highest, high or medium, got \"%.40s\"", value->string);
}

static kp_status read_conditions(arena *memory, const json_value *json, kp_problem *problem,
                                 kp_error *error) {
  const json_value *deterministic;
  int64_t type, id, threads;
  kp_status status = read_string(memory, json, "device", &problem->device_name, error);
  if (!status) status = json_require_integer(json, "device_type", 1, INT32_MAX, &type, error);
  if (!status) status = json_require_integer(json, "device_id", 0, INT32_MAX, &id, error);
  if (!status) status = json_require_integer(json, "threads", 1, CORE_MAX_THREADS, &threads, error);
  if (!status) status = json_require(json, "deterministic", JSON_BOOLEAN, &deterministic, error);
  if (!status) status = read_precision(json, problem, error);
  if (status) return status;
  problem->device = (DLDevice){(int32_t)type, (int32_t)id};
  problem->threads = (int32_t)threads;
  problem->deterministic = (int32_t)deterministic->integer;
  return KP_OK;
}

static void place_tensors(const kp_tensor *tensors, uint32_t count, DLDevice device) {
  for (uint32_t i = 0; i < count; i++)
    if (!kp_is_absent(&tensors[i])) ((kp_tensor *)tensors)[i].dl.device = device;
}

static kp_status fill(core_problem *result, const json_value *json, kp_error *error) {
  kp_problem *problem = &result->problem;
  arena *memory = &result->memory;
  int64_t operator_inputs;
  problem->struct_size = sizeof *problem;
  kp_status status = json_only_keys(json, "a problem", problem_keys, error);
  if (!status) status = read_string(memory, json, "operator", &problem->operator_name, error);
  if (!status)
    status = read_tensors(memory, json, "inputs", &problem->num_inputs, &problem->inputs, error);
  if (!status)
    status = read_tensors(memory, json, "outputs", &problem->num_outputs, &problem->outputs, error);
  if (!status)
    status = json_require_integer(json, "operator_inputs", 0, problem->num_inputs, &operator_inputs,
                                  error);
  if (status) return status;
  problem->num_operator_inputs = (uint32_t)operator_inputs;
  for (uint32_t i = 0; i < problem->num_outputs; i++)
    if (problem->outputs[i].flags)
      return core_fail(error, KP_INVALID_ARGUMENT,
                       "outputs[%u] must be neither absent nor constant", i);
  const json_value *attributes;
  status = json_require(json, "attributes", JSON_OBJECT, &attributes, error);
  if (!status) status = core_attributes_read(memory, attributes, problem, error);
  if (!status) status = read_epilogues(memory, json, problem, error);
  if (!status) status = read_conditions(memory, json, problem, error);
  if (status) return status;
  place_tensors(problem->inputs, problem->num_inputs, problem->device);
  place_tensors(problem->outputs, problem->num_outputs, problem->device);
  return KP_OK;
}

kp_status core_problem_read(const json_value *json, core_problem **problem, kp_error *error) {
  *problem = NULL;
  core_problem *result = calloc(1, sizeof *result);
  if (!result) return core_out_of_memory(error);
  kp_status status = fill(result, json, error);
  if (status) {
    core_problem_free(result);
    return status;
  }
  *problem = result;
  return KP_OK;
}

kp_status core_problem_parse(const char *json, size_t length, core_problem **problem,
                             kp_error *error) {
  json_document *document;
  *problem = NULL;
  kp_status status = json_parse(json, length, &document, error);
  if (!status) status = core_problem_read(json_root(document), problem, error);
  json_free(document);
  return status ? core_fail_in(error, status, "problem") : KP_OK;
}

void core_problem_free(core_problem *problem) {
  if (!problem) return;
  arena_free(&problem->memory);
  free(problem);
}

const kp_problem *core_problem_get(const core_problem *problem) { return &problem->problem; }
