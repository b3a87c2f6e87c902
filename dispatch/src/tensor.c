/* tensor.c: one tensor of a problem. */
#include <math.h>
#include <string.h>

#include "dtype.h"
#include "error.h"
#include "problem.h"

static const struct {
  const char *name;
  int32_t rank; /* 0: any */
} layouts[] = {{"nchw", 0}, {"nhwc", 4}, {"nChw16c", 4}, {"nChw8c", 4}, {"any", 0}};

/* Every extent counts as one at least, so that no partial product overflows either. */
static int bytes_fit(const kp_tensor *tensor) {
  int64_t bytes = (tensor->dl.dtype.bits + 7) / 8, block = 16;
  for (int32_t i = 0; i < tensor->dl.ndim; i++) {
    int64_t extent = tensor->dl.shape[i] > 0 ? tensor->dl.shape[i] : 1;
    if (i == 1) { /* as the widest blocked layout would fill it up */
      if (__builtin_add_overflow(extent, block - 1, &extent)) return 0;
      extent = extent / block * block;
    }
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return 0;
  }
  return 1;
}

kp_status core_shape_read(arena *memory, const json_value *json, kp_tensor *tensor,
                          kp_error *error) {
  const json_value *dtype, *shape;
  kp_status status = json_require(json, "dtype", JSON_STRING, &dtype, error);
  if (!status) status = json_require(json, "shape", JSON_ARRAY, &shape, error);
  if (status) return status;
  if (!core_dtype_from_name(dtype->string, &tensor->dl.dtype))
    return core_fail(error, KP_INVALID_ARGUMENT, "unknown dtype \"%.40s\"", dtype->string);
  if (shape->count > CORE_MAX_RANK)
    return core_fail(error, KP_INVALID_ARGUMENT, "at most %d dimensions, got %u", CORE_MAX_RANK,
                     shape->count);
  tensor->dl.ndim = (int32_t)shape->count;
  tensor->dl.shape = arena_alloc(memory, shape->count, sizeof *tensor->dl.shape);
  if (!tensor->dl.shape) return core_out_of_memory(error);
  for (uint32_t i = 0; i < shape->count; i++) {
    const json_value *extent = &shape->items[i];
    if (extent->type != JSON_INTEGER || extent->integer < 0)
      return core_fail(error, KP_INVALID_ARGUMENT, "extent %u must be an integer >= 0", i);
    tensor->dl.shape[i] = extent->integer;
  }
  if (!bytes_fit(tensor))
    return core_fail(error, KP_INVALID_ARGUMENT, "the tensor's size in bytes is more than int64");
  return KP_OK;
}

static kp_status read_layout(const json_value *json, kp_tensor *tensor, kp_error *error) {
  const json_value *layout;
  kp_status status = json_require(json, "layout", JSON_STRING, &layout, error);
  if (status) return status;
  for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
    if (strcmp(layouts[i].name, layout->string)) continue;
    if (layouts[i].rank && layouts[i].rank != tensor->dl.ndim)
      return core_fail(error, KP_INVALID_ARGUMENT, "layout \"%s\" is of rank %d, got rank %d",
                       layouts[i].name, layouts[i].rank, tensor->dl.ndim);
    memcpy(tensor->layout, layouts[i].name, strlen(layouts[i].name) + 1);
    return KP_OK;
  }
  return core_fail(error, KP_INVALID_ARGUMENT, "unknown layout \"%.40s\"", layout->string);
}

static kp_status read_scales(arena *memory, const json_value *json, kp_quantization *result,
                             kp_error *error) {
  const json_value *scales;
  kp_status status = json_require(json, "scales", JSON_ARRAY, &scales, error);
  if (status) return status;
  if (scales->count != result->count)
    return core_fail(error, KP_INVALID_ARGUMENT, "expected %lld scales, got %u",
                     (long long)result->count, scales->count);
  const double *reals;
  status = core_reals_read(memory, scales, scales->count, &reals, error);
  if (status) return status;
  float *values = arena_alloc(memory, scales->count, sizeof *values);
  if (!values) return core_out_of_memory(error);
  for (uint32_t i = 0; i < scales->count; i++) {
    values[i] = (float)reals[i];
    if (!isfinite(values[i]) || !(values[i] > 0))
      return core_fail(error, KP_INVALID_ARGUMENT, "scale %u must be a positive float32, got %g", i,
                       reals[i]);
  }
  result->scales = values;
  return KP_OK;
}

static kp_status read_zero_points(arena *memory, const json_value *json, kp_quantization *result,
                                  kp_error *error) {
  const json_value *points;
  kp_status status = json_require(json, "zero_points", JSON_ARRAY, &points, error);
  if (status) return status;
  if (points->count != result->count)
    return core_fail(error, KP_INVALID_ARGUMENT, "expected %lld zero points, got %u",
                     (long long)result->count, points->count);
  int32_t *values = arena_alloc(memory, points->count, sizeof *values);
  if (!values) return core_out_of_memory(error);
  for (uint32_t i = 0; i < points->count; i++) {
    const json_value *point = &points->items[i];
    if (point->type != JSON_INTEGER || point->integer < INT32_MIN || point->integer > INT32_MAX)
      return core_fail(error, KP_INVALID_ARGUMENT, "zero point %u must be an int32", i);
    values[i] = (int32_t)point->integer;
  }
  result->zero_points = values;
  return KP_OK;
}

static kp_status read_quantization(arena *memory, const json_value *json, kp_tensor *tensor,
                                   kp_error *error) {
  static const char *const keys[] = {"axis", "scales", "zero_points", NULL};
  int64_t axis;
  kp_status status = json_only_keys(json, "quantization", keys, error);
  if (!status) status = json_require_integer(json, "axis", -1, tensor->dl.ndim - 1, &axis, error);
  if (status) return status;
  kp_quantization *result = arena_alloc(memory, 1, sizeof *result);
  if (!result) return core_out_of_memory(error);
  result->struct_size = sizeof *result;
  result->axis = (int32_t)axis;
  result->count = axis < 0 ? 1 : tensor->dl.shape[axis];
  status = read_scales(memory, json, result, error);
  if (!status) status = read_zero_points(memory, json, result, error);
  tensor->quantization = result;
  return status;
}

kp_status core_tensor_read(arena *memory, const json_value *json, kp_tensor *tensor,
                           kp_error *error) {
  static const char *const keys[] = {"dtype", "shape", "layout", "constant", "quantization", NULL};
  tensor->struct_size = sizeof *tensor;
  if (json->type == JSON_NULL) {
    tensor->flags = KP_TENSOR_ABSENT;
    return KP_OK;
  }
  kp_status status = json_only_keys(json, "a tensor", keys, error);
  if (!status) status = core_shape_read(memory, json, tensor, error);
  if (!status) status = read_layout(json, tensor, error);
  const json_value *constant = status ? NULL : json_get(json, "constant");
  if (constant) {
    status = json_require(json, "constant", JSON_BOOLEAN, &constant, error);
    if (!status && constant->integer) tensor->flags |= KP_TENSOR_CONSTANT;
  }
  const json_value *quantization = status ? NULL : json_get(json, "quantization");
  if (quantization && quantization->type != JSON_NULL)
    status = read_quantization(memory, quantization, tensor, error);
  return status;
}
