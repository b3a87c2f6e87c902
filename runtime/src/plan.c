#include "plan.h"

#include <string.h>

#include "dtype.h"
#include "error.h"

static const char *const plan_keys[] = {"version", "device",      "threads", "problems",
                                        "buffers", "arena_bytes", "steps",   "inputs",
                                        "outputs", "packs",       NULL};

static kp_status read_name(plan *p, const json_value *json, const char *key, const char **name,
                           kp_error *error) {
  const json_value *value;
  kp_status status = json_require(json, key, JSON_STRING, &value, error);
  if (status) return status;
  *name = arena_string(&p->memory, value->string, value->count);
  return *name ? KP_OK : core_out_of_memory(error);
}

/* The list of that key and room for as many elements. */
static kp_status read_list(plan *p, const json_value *json, const char *key, size_t element,
                           const json_value **list, void *elements, kp_error *error) {
  kp_status status = json_require(json, key, JSON_ARRAY, list, error);
  if (status) return status;
  void *memory = arena_alloc(&p->memory, (*list)->count, element);
  if (!memory) return core_out_of_memory(error);
  memcpy(elements, &memory, sizeof memory);
  return KP_OK;
}

/* ---- Problems ---------------------------------------------------------------- */

static kp_status check_conditions(const plan *p, const kp_problem *problem, kp_error *error) {
  DLDevice first = p->place, own = problem->device;
  if (own.device_type != first.device_type || own.device_id != first.device_id)
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "its device %d of DLPack's type %d isn't the others', %d of type %d",
                     own.device_id, own.device_type, first.device_id, first.device_type);
  if (problem->threads > p->threads)
    return core_fail(error, KP_INVALID_ARGUMENT, "its %d threads are more than the plan's %d",
                     problem->threads, p->threads);
  return KP_OK;
}

static kp_status read_problems(plan *p, const json_value *json, kp_error *error) {
  const json_value *list;
  kp_status status =
      read_list(p, json, "problems", sizeof *p->problems, &list, &p->problems, error);
  for (uint32_t i = 0; !status && i < list->count; i++) {
    status = core_problem_read(&list->items[i], &p->problems[i], error);
    if (!status) {
      if (!p->num_problems++) p->place = core_problem_get(p->problems[i])->device;
      status = check_conditions(p, core_problem_get(p->problems[i]), error);
    }
    if (status) core_fail_in(error, status, "problems[%u]", i);
  }
  return status;
}

/* ---- Inputs, outputs, buffers ------------------------------------------------ */

static kp_status read_end(plan *p, const json_value *json, replay_tensor *end, kp_error *error) {
  static const char *const keys[] = {"name", "dtype", "shape", NULL};
  kp_tensor tensor = {.layout = "nchw"};
  kp_status status = json_only_keys(json, "an input or output", keys, error);
  if (!status) status = read_name(p, json, "name", &end->name, error);
  if (!status) status = core_shape_read(&p->memory, json, &tensor, error);
  if (status) return status;
  end->dtype = core_dtype_name(tensor.dl.dtype);
  end->num_dimensions = tensor.dl.ndim;
  end->shape = tensor.dl.shape;
  end->element_bytes = tensor.dl.dtype.bits / 8;
  end->bytes = (uint64_t)kp_bytes(&tensor);
  return KP_OK;
}

static kp_status read_ends(plan *p, const json_value *json, const char *key, replay_tensor **ends,
                           uint32_t *count, kp_error *error) {
  const json_value *list;
  kp_status status = read_list(p, json, key, sizeof **ends, &list, ends, error);
  for (uint32_t i = 0; !status && i < list->count; i++) {
    status = read_end(p, &list->items[i], &(*ends)[i], error);
    if (status) core_fail_in(error, status, "%s[%u]", key, i);
  }
  *count = status ? 0 : list->count;
  return status;
}

static kp_status read_end_index(const json_value *json, const replay_tensor *ends, uint32_t count,
                                plan_buffer *buffer, kp_error *error) {
  static const char *const keys[] = {"kind", "index", "bytes", NULL};
  int64_t index;
  kp_status status = json_only_keys(json, "an input's or output's buffer", keys, error);
  if (!status) status = json_require_integer(json, "index", 0, (int64_t)count - 1, &index, error);
  if (status) return status;
  buffer->index = (uint32_t)index;
  if (ends[index].bytes == buffer->bytes) return KP_OK;
  return core_fail(error, KP_INVALID_ARGUMENT, "\"bytes\" must be \"%.60s\"'s %llu, got %llu",
                   ends[index].name, (unsigned long long)ends[index].bytes,
                   (unsigned long long)buffer->bytes);
}

static kp_status read_arena_place(const plan *p, const json_value *json, plan_buffer *buffer,
                                  kp_error *error) {
  static const char *const keys[] = {"kind", "offset", "bytes", NULL};
  int64_t offset;
  kp_status status = json_only_keys(json, "a buffer in the arena", keys, error);
  if (!status)
    status = json_require_integer(json, "offset", 0, (int64_t)p->arena_bytes, &offset, error);
  if (status) return status;
  buffer->offset = (uint64_t)offset;
  if (buffer->bytes > p->arena_bytes - buffer->offset)
    return core_fail(error, KP_INVALID_ARGUMENT, "it goes beyond the arena's %llu bytes",
                     (unsigned long long)p->arena_bytes);
  return KP_OK;
}

static kp_status read_buffer(plan *p, const json_value *json, plan_buffer *buffer,
                             kp_error *error) {
  static const char *const constant_keys[] = {"kind", "name", "bytes", NULL};
  const json_value *kind;
  int64_t bytes;
  kp_status status = json_require(json, "kind", JSON_STRING, &kind, error);
  if (!status) status = json_require_integer(json, "bytes", 0, INT64_MAX, &bytes, error);
  if (status) return status;
  buffer->bytes = (uint64_t)bytes;
  if (!strcmp(kind->string, "input")) {
    buffer->kind = PLAN_INPUT;
    return read_end_index(json, p->inputs, p->num_inputs, buffer, error);
  }
  if (!strcmp(kind->string, "output")) {
    buffer->kind = PLAN_OUTPUT;
    return read_end_index(json, p->outputs, p->num_outputs, buffer, error);
  }
  if (!strcmp(kind->string, "arena")) {
    buffer->kind = PLAN_ARENA;
    return read_arena_place(p, json, buffer, error);
  }
  if (!strcmp(kind->string, "constant")) {
    buffer->kind = PLAN_CONSTANT;
    status = json_only_keys(json, "a constant's buffer", constant_keys, error);
    return status ? status : read_name(p, json, "name", &buffer->name, error);
  }
  return core_fail(error, KP_INVALID_ARGUMENT, "unknown kind \"%.40s\"", kind->string);
}

static kp_status read_buffers(plan *p, const json_value *json, kp_error *error) {
  const json_value *list;
  kp_status status = read_list(p, json, "buffers", sizeof *p->buffers, &list, &p->buffers, error);
  for (uint32_t i = 0; !status && i < list->count; i++) {
    status = read_buffer(p, &list->items[i], &p->buffers[i], error);
    if (status) core_fail_in(error, status, "buffers[%u]", i);
  }
  p->num_buffers = status ? 0 : list->count;
  return status;
}

/* ---- Steps ------------------------------------------------------------------- */

static kp_status read_indices(const plan *p, const json_value *json, const char *key,
                              uint32_t expected, int32_t *indices, kp_error *error) {
  const json_value *list;
  kp_status status = json_require(json, key, JSON_ARRAY, &list, error);
  if (status) return status;
  if (list->count != expected)
    return core_fail(error, KP_INVALID_ARGUMENT, "the problem has %u %s, got %u", expected, key,
                     list->count);
  for (uint32_t i = 0; i < expected; i++) {
    const json_value *index = &list->items[i];
    if (index->type != JSON_INTEGER || index->integer < PLAN_ABSENT ||
        index->integer >= p->num_buffers)
      return core_fail(error, KP_INVALID_ARGUMENT, "%s[%u] must be one of %u buffers", key, i,
                       p->num_buffers);
    indices[i] = (int32_t)index->integer;
  }
  return KP_OK;
}

static kp_status read_step(plan *p, const json_value *json, plan_step *step, kp_error *error) {
  static const char *const keys[] = {"kernel", "problem", "inputs", "outputs", "node", NULL};
  int64_t index;
  kp_status status = json_only_keys(json, "a step", keys, error);
  if (!status) status = read_name(p, json, "kernel", &step->kernel, error);
  if (!status) status = read_name(p, json, "node", &step->node, error);
  if (!status)
    status = json_require_integer(json, "problem", 0, (int64_t)p->num_problems - 1, &index, error);
  if (status) return status;
  step->problem = (uint32_t)index;
  const kp_problem *problem = plan_problem(p, step);
  int32_t *buffers =
      arena_alloc(&p->memory, problem->num_inputs + problem->num_outputs, sizeof *buffers);
  if (!buffers) return core_out_of_memory(error);
  step->buffers = buffers;
  status = read_indices(p, json, "inputs", problem->num_inputs, buffers, error);
  if (status) return status;
  return read_indices(p, json, "outputs", problem->num_outputs, buffers + problem->num_inputs,
                      error);
}

static kp_status read_steps(plan *p, const json_value *json, kp_error *error) {
  const json_value *list;
  kp_status status = read_list(p, json, "steps", sizeof *p->steps, &list, &p->steps, error);
  for (uint32_t i = 0; !status && i < list->count; i++) {
    status = read_step(p, &list->items[i], &p->steps[i], error);
    if (status) core_fail_in(error, status, "steps[%u]", i);
  }
  p->num_steps = status ? 0 : list->count;
  return status;
}

/* ---- The whole --------------------------------------------------------------- */

static kp_status read_header(plan *p, const json_value *json, kp_error *error) {
  const json_value *packs;
  int64_t number;
  if (json->type != JSON_OBJECT)
    return core_fail(error, KP_INVALID_ARGUMENT, "it must be an object, got %s",
                     json_type_name(json->type));
  kp_status status = json_require_integer(json, "version", 0, INT64_MAX, &number, error);
  if (status) return status;
  if (number != PLAN_VERSION)
    return core_fail(error, KP_WRONG_VERSION, "it is of version %lld, version %d is read here",
                     (long long)number, PLAN_VERSION);
  status = json_only_keys(json, "it", plan_keys, error);
  if (!status) status = read_name(p, json, "device", &p->device, error);
  if (!status) status = json_require_integer(json, "threads", 1, CORE_MAX_THREADS, &number, error);
  if (!status) p->threads = (int32_t)number;
  if (!status) status = json_require(json, "packs", JSON_OBJECT, &packs, error);
  if (!status)
    status = json_require_integer(json, "arena_bytes", 0, PTRDIFF_MAX / 2, &number, error);
  if (!status) p->arena_bytes = (uint64_t)number;
  return status;
}

static kp_status read_all(plan *p, const json_value *json, kp_error *error) {
  kp_status status = read_header(p, json, error);
  if (!status) status = read_problems(p, json, error);
  if (!status) status = read_ends(p, json, "inputs", &p->inputs, &p->num_inputs, error);
  if (!status) status = read_ends(p, json, "outputs", &p->outputs, &p->num_outputs, error);
  if (!status) status = read_buffers(p, json, error);
  if (!status) status = read_steps(p, json, error);
  return status ? status : plan_check_steps(p, error);
}

kp_status plan_read(const json_value *json, plan *result, kp_error *error) {
  *result = (plan){.place = {.device_type = kDLCPU}};
  kp_status status = read_all(result, json, error);
  if (!status) return KP_OK;
  plan_free(result);
  return core_fail_in(error, status, "plan");
}

kp_status plan_parse(const char *json, size_t length, plan *result, kp_error *error) {
  json_document *document;
  *result = (plan){0};
  kp_status status = json_parse(json, length, &document, error);
  if (status) return core_fail_in(error, status, "plan");
  status = plan_read(json_root(document), result, error);
  json_free(document);
  return status;
}

void plan_free(plan *p) {
  for (uint32_t i = 0; i < p->num_problems; i++) core_problem_free(p->problems[i]);
  arena_free(&p->memory);
  *p = (plan){0};
}
