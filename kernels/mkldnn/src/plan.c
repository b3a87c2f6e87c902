#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "tensor.h"

static const struct {
  const char *name;
  dnnl_format_tag_t tag;
} layouts_of_images[] = {
    {"nchw", dnnl_abcd}, {"nhwc", dnnl_acdb}, {"nChw16c", dnnl_aBcd16b}, {"nChw8c", dnnl_aBcd8b}};

enum { NUM_LAYOUTS = sizeof layouts_of_images / sizeof *layouts_of_images };

int plan_refuse(struct plan *plan, kp_answer_code code, const char *subject, const char *limit) {
  kp_refuse(plan->answer, code, subject, limit);
  return 0;
}

int plan_refuse_number(struct plan *plan, kp_answer_code code, const char *subject,
                       const char *limit, int64_t got) {
  kp_refuse_number(plan->answer, code, subject, limit, got);
  return 0;
}

static int check_tensor(struct plan *plan, const kp_tensor *tensor) {
  if (kp_is_absent(tensor)) return 1;
  if (tensor->quantization && !plan_is_quantized(plan))
    return plan_refuse(plan, KP_NO_QUANTIZATION, "quantization", "none");
  if (tensor_dtype(tensor) == dnnl_data_type_undef)
    return plan_refuse_number(plan, KP_NO_DTYPE, "bits of a tensor's dtype",
                              "float32, bfloat16, float16, int32, int8 or uint8",
                              tensor->dl.dtype.bits);
  if (tensor->dl.strides) return plan_refuse(plan, KP_NO_LAYOUT, "strides", "a dense layout");
  if (tensor->dl.ndim < 0 || tensor->dl.ndim > DNNL_MAX_NDIMS)
    return plan_refuse_number(plan, KP_NO_RANK, "rank", "<= 12", tensor->dl.ndim);
  if (tensor->dl.ndim != 4 && !tensor_has_layout(tensor, "nchw") && !tensor_is_any(tensor))
    return plan_refuse_number(plan, KP_NO_LAYOUT, "rank of a tensor in an image layout", "4",
                              tensor->dl.ndim);
  /* oneDNN's generated code holds many offsets in 32 bits. */
  int64_t elements = 1;
  for (int i = 0; i < tensor->dl.ndim; i++) {
    const int64_t extent = tensor->dl.shape[i];
    if (extent < 1)
      return plan_refuse_number(plan, KP_NO_SHAPE, "extent of a tensor", ">= 1", extent);
    /* 16: a block that is filled up. */
    if (extent > INT32_MAX / 16 || elements > INT32_MAX / 16 * 16 / extent)
      return plan_refuse(plan, KP_NO_MEMORY, "elements of a tensor", "fewer than 2^31");
    elements *= extent;
  }
  return 1;
}

static int check_layout(struct plan *plan, const kp_tensor *tensor) {
  if (kp_is_absent(tensor) || tensor_is_any(tensor)) return 1;
  for (int i = 0; i < NUM_LAYOUTS; i++)
    if (tensor_has_layout(tensor, layouts_of_images[i].name)) return 1;
  return plan_refuse(plan, KP_NO_LAYOUT, "layout", "nchw, nhwc, nChw16c or nChw8c");
}

int plan_check(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  if (problem->device.device_type != kDLCPU)
    return plan_refuse_number(plan, KP_NO_DEVICE, "device type", "the CPU (1)",
                              problem->device.device_type);
  if (problem->num_inputs > PLAN_INPUTS)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of inputs", "<= 40", problem->num_inputs);
  if (problem->num_outputs != 1)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of outputs", "1", problem->num_outputs);
  for (uint32_t i = 0; i < problem->num_inputs; i++)
    if (!check_tensor(plan, &problem->inputs[i]) || !check_layout(plan, &problem->inputs[i]))
      return 0;
  return check_tensor(plan, problem->outputs) && check_layout(plan, problem->outputs);
}

int plan_check_plain(struct plan *plan, uint32_t inputs) {
  const kp_problem *problem = plan->problem;
  if (problem->num_inputs != inputs)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of inputs", "the operator's",
                              problem->num_inputs);
  if (problem->num_epilogues)
    return plan_refuse_number(plan, KP_NO_EPILOGUE, "steps of the epilogue", "0",
                              problem->num_epilogues);
  if (tensor_dtype(problem->outputs) != plan->dtype)
    return plan_refuse(plan, KP_NO_DTYPE, "y.dtype", "x.dtype");
  return 1;
}

static int declined(struct plan *plan, const char *what, dnnl_status_t status) {
  snprintf(plan->words, sizeof plan->words, "%s: %s", what, plan->dnnl->status2str(status));
  return plan_refuse(plan, KP_NO_LIBRARY, what, "a case that oneDNN serves");
}

static const_dnnl_memory_desc_t keep_desc(struct plan *plan, dnnl_status_t status,
                                          dnnl_memory_desc_t desc) {
  if (status != dnnl_success) {
    declined(plan, "memory descriptor", status);
    return NULL;
  }
  if (plan->num_descs == PLAN_DESCS) {
    plan->dnnl->memory_desc_destroy(desc);
    plan_refuse(plan, KP_NO_SHAPE, "memory descriptors", "<= 96");
    return NULL;
  }
  plan->descs[plan->num_descs++] = desc;
  return desc;
}

const_dnnl_memory_desc_t plan_desc_strided(struct plan *plan, int rank, const int64_t *shape,
                                           dnnl_data_type_t dtype, const int64_t *strides) {
  dnnl_memory_desc_t desc = NULL;
  const dnnl_status_t status =
      plan->dnnl->memory_desc_create_with_strides(&desc, rank, shape, dtype, strides);
  return keep_desc(plan, status, desc);
}

static const_dnnl_memory_desc_t desc_with_tag(struct plan *plan, int rank, const int64_t *shape,
                                              dnnl_data_type_t dtype, dnnl_format_tag_t tag) {
  dnnl_memory_desc_t desc = NULL;
  const dnnl_status_t status =
      plan->dnnl->memory_desc_create_with_tag(&desc, rank, shape, dtype, tag);
  return keep_desc(plan, status, desc);
}

const_dnnl_memory_desc_t plan_desc_any(struct plan *plan, int rank, const int64_t *shape,
                                       dnnl_data_type_t dtype) {
  return desc_with_tag(plan, rank, shape, dtype, dnnl_format_tag_any);
}

const_dnnl_memory_desc_t plan_desc(struct plan *plan, int rank, const int64_t *shape,
                                   dnnl_data_type_t dtype, const char *layout) {
  static const int64_t one[1] = {1};
  if (rank == 0) return plan_desc_strided(plan, 1, one, dtype, one);
  if (strcmp(layout, "any") == 0) return plan_desc_any(plan, rank, shape, dtype);
  if (rank == 4)
    for (int i = 0; i < NUM_LAYOUTS; i++)
      if (strcmp(layout, layouts_of_images[i].name) == 0)
        return desc_with_tag(plan, rank, shape, dtype, layouts_of_images[i].tag);
  int64_t strides[DNNL_MAX_NDIMS], stride = 1;
  for (int i = rank - 1; i >= 0; i--) strides[i] = stride, stride *= shape[i];
  return plan_desc_strided(plan, rank, shape, dtype, strides);
}

const_dnnl_memory_desc_t plan_tensor_desc(struct plan *plan, const kp_tensor *tensor) {
  return plan_desc(plan, tensor->dl.ndim, tensor->dl.shape, tensor_dtype(tensor), tensor->layout);
}

const char *plan_layout_name(struct plan *plan, const kp_tensor *tensor,
                             const_dnnl_memory_desc_t desc) {
  if (tensor->dl.ndim != 4) return "nchw";
  for (int i = 0; i < NUM_LAYOUTS; i++) {
    dnnl_memory_desc_t candidate = NULL;
    if (plan->dnnl->memory_desc_create_with_tag(&candidate, 4, tensor->dl.shape,
                                                tensor_dtype(tensor), layouts_of_images[i].tag))
      continue;
    const int equal = plan->dnnl->memory_desc_equal(candidate, desc);
    plan->dnnl->memory_desc_destroy(candidate);
    if (equal) return layouts_of_images[i].name;
  }
  return NULL;
}

int plan_keep(struct plan *plan, dnnl_status_t status, dnnl_primitive_desc_t desc,
              const char *what) {
  if (status != dnnl_success) return declined(plan, what, status);
  if (plan->num_primitive_descs == PLAN_STEPS) {
    plan->dnnl->primitive_desc_destroy(desc);
    return plan_refuse(plan, KP_NO_SHAPE, "steps", "<= 16");
  }
  plan->primitive_descs[plan->num_primitive_descs++] = desc;
  return 1;
}

const_dnnl_memory_desc_t plan_query(dnnl_primitive_desc_t desc, const struct plan *plan,
                                    dnnl_query_t what, int index) {
  return plan->dnnl->primitive_desc_query_md(desc, what, index);
}

const char *plan_implementation(const struct plan *plan, dnnl_primitive_desc_t desc) {
  const char *text = NULL;
  if (plan->dnnl->primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &text)) return "";
  return text ? text : "";
}

struct place plan_buffer(uint32_t index, const_dnnl_memory_desc_t desc) {
  return (struct place){PLACE_BUFFER, index, 0, desc};
}

static uint64_t aligned(uint64_t bytes) {
  return (bytes + KP_ALIGNMENT - 1) / KP_ALIGNMENT * KP_ALIGNMENT;
}

struct place plan_scratch(struct plan *plan, const_dnnl_memory_desc_t desc) {
  const struct place place = {PLACE_SCRATCH, 0, plan->staged_bytes, desc};
  plan->staged_bytes += aligned(plan->dnnl->memory_desc_get_size(desc));
  return place;
}

struct place plan_input(struct plan *plan, uint32_t input, const_dnnl_memory_desc_t native,
                        const_dnnl_memory_desc_t wanted) {
  static const struct place none = {PLACE_NONE, 0, 0, NULL};
  if (!native || !wanted) return none;
  if (plan->dnnl->memory_desc_equal(native, wanted)) return plan_buffer(input, native);
  if (kp_is_constant(&plan->problem->inputs[input])) {
    plan->packing[input] = (struct packing){native, wanted, 0};
    return plan_buffer(input, wanted);
  }
  const struct place staged = plan_scratch(plan, wanted);
  return plan_reorder(plan, plan_buffer(input, native), staged) ? staged : none;
}

struct place plan_flipped_input(struct plan *plan, uint32_t input, const_dnnl_memory_desc_t native,
                                const_dnnl_memory_desc_t wanted) {
  if (!native || !wanted) return (struct place){PLACE_NONE, 0, 0, NULL};
  plan->packing[input] = (struct packing){native, wanted, 1};
  return plan_buffer(input, wanted);
}

struct place plan_values(struct plan *plan, const_dnnl_memory_desc_t desc, const void *values) {
  const size_t bytes = desc ? plan->dnnl->memory_desc_get_size(desc) : 0;
  void *copy = bytes && plan->num_values < PLAN_VALUES ? malloc(bytes) : NULL;
  if (!copy) {
    plan_refuse(plan, KP_NO_MEMORY, "scales", "memory for them");
    return (struct place){PLACE_NONE, 0, 0, NULL};
  }
  memcpy(copy, values, bytes);
  plan->values[plan->num_values] = copy;
  return (struct place){PLACE_VALUES, plan->num_values++, 0, desc};
}

struct place plan_output(struct plan *plan, const_dnnl_memory_desc_t native,
                         const_dnnl_memory_desc_t wanted) {
  if (plan->dnnl->memory_desc_equal(native, wanted)) return plan_buffer(plan->num_inputs, native);
  return plan_scratch(plan, wanted);
}

int plan_finish_output(struct plan *plan, struct place place, const_dnnl_memory_desc_t native) {
  return place.kind == PLACE_BUFFER ||
         plan_reorder(plan, place, plan_buffer(plan->num_inputs, native));
}

int plan_argument(struct plan *plan, int name, struct place place) {
  if (place.kind == PLACE_NONE) return 0; /* what made it has refused */
  if (plan->num_arguments == PLAN_ARGUMENTS)
    return plan_refuse(plan, KP_NO_SHAPE, "arguments of the primitives", "<= 64");
  plan->arguments[plan->num_arguments++] = (struct argument){name, place};
  plan->steps[plan->num_steps - 1].count++;
  return 1;
}

int plan_step(struct plan *plan, dnnl_primitive_desc_t desc) {
  /* plan_keep() bounds the number of primitive descriptors, hence of steps. */
  plan->steps[plan->num_steps++] = (struct step){.desc = desc, .first = plan->num_arguments};
  const_dnnl_memory_desc_t scratchpad = plan_query(desc, plan, dnnl_query_scratchpad_md, 0);
  const uint64_t bytes = scratchpad ? plan->dnnl->memory_desc_get_size(scratchpad) : 0;
  if (bytes == 0) return 1;
  if (bytes > plan->scratchpad_bytes) plan->scratchpad_bytes = bytes;
  return plan_argument(plan, DNNL_ARG_SCRATCHPAD,
                       (struct place){PLACE_SCRATCHPAD, 0, 0, scratchpad});
}

void plan_step_when(struct plan *plan, enum step_when when, uint32_t shared) {
  struct step *step = &plan->steps[plan->num_steps - 1];
  step->when = when;
  step->shared = shared;
}

dnnl_primitive_attr_t plan_attributes(struct plan *plan) {
  dnnl_primitive_attr_t attributes = NULL;
  if (plan->dnnl->primitive_attr_create(&attributes) == dnnl_success &&
      plan->dnnl->primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) ==
          dnnl_success)
    return attributes;
  if (attributes) plan->dnnl->primitive_attr_destroy(attributes);
  plan_refuse(plan, KP_NO_MEMORY, "attributes", "memory for a primitive's attributes");
  return NULL;
}

int plan_reorder(struct plan *plan, struct place from, struct place to) {
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t desc = NULL;
  const dnnl_status_t status = plan->dnnl->reorder_primitive_desc_create(
      &desc, from.desc, plan->engine, to.desc, plan->engine, attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, desc, "reorder") || !plan_step(plan, desc)) return 0;
  plan->steps[plan->num_steps - 1].is_reorder = 1;
  return plan_argument(plan, DNNL_ARG_FROM, from) && plan_argument(plan, DNNL_ARG_TO, to);
}

void plan_answer_layout(struct plan *plan, uint32_t tensor, const char *layout) {
  snprintf(plan->answer->layouts[tensor], KP_LAYOUT_SIZE, "%s", layout);
}

uint64_t plan_scratch_bytes(const struct plan *plan) {
  return plan->staged_bytes + aligned(plan->scratchpad_bytes);
}

void plan_finish(struct plan *plan, double flops, double efficiency) {
  kp_answer *answer = plan->answer;
  answer->code = KP_YES;
  answer->subject = answer->limit = NULL; /* left by a variant that was declined */
  answer->has_got = 0;
  answer->scratch_bytes = plan_scratch_bytes(plan);
  for (uint32_t i = 0; i < plan->num_inputs; i++)
    answer->packed_bytes[i] =
        plan->packing[i].to ? plan->dnnl->memory_desc_get_size(plan->packing[i].to) : 0;
  answer->cost = plan_cost(plan, flops, efficiency) + finish_seconds(&plan->finish);
}

void plan_destroy(struct plan *plan) {
  for (uint32_t i = 0; i < plan->num_primitive_descs; i++)
    plan->dnnl->primitive_desc_destroy(plan->primitive_descs[i]);
  for (uint32_t i = 0; i < plan->num_descs; i++) plan->dnnl->memory_desc_destroy(plan->descs[i]);
  for (uint32_t i = 0; i < plan->num_values; i++) free(plan->values[i]);
  plan->num_primitive_descs = plan->num_descs = plan->num_values = 0;
}
