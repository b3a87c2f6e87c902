/* read.c: reading attributes and comparing tensors. */
#include "read.h"

static int no_attribute_number(kp_answer *answer, const char *name, const char *limit,
                               int64_t got) {
  kp_refuse_number(answer, KP_NO_ATTRIBUTE, name, limit, got);
  return 1;
}

int rules_no_shape(kp_answer *answer, const char *subject, const char *limit) {
  kp_refuse(answer, KP_NO_SHAPE, subject, limit);
  return 1;
}

int rules_no_attribute(kp_answer *answer, const char *subject, const char *limit) {
  kp_refuse(answer, KP_NO_ATTRIBUTE, subject, limit);
  return 1;
}

int rules_integers(const kp_problem *problem, kp_answer *answer, const char *name, int count,
                   int64_t least, int64_t most, int64_t *values) {
  const kp_attribute *a = kp_find_attribute(problem, name);
  if (!a) return rules_no_attribute(answer, name, "given");
  if (a->count != (uint32_t)count)
    return no_attribute_number(answer, name, "one entry for each", a->count);
  if (count && a->type != KP_INTEGERS) return rules_no_attribute(answer, name, "integers");
  for (int i = 0; i < count; i++) {
    if (a->integers[i] < least || a->integers[i] > most)
      return no_attribute_number(answer, name, "within its range", a->integers[i]);
    values[i] = a->integers[i];
  }
  return 0;
}

int rules_integer(const kp_problem *problem, kp_answer *answer, const char *name, int64_t least,
                  int64_t most, int64_t *value) {
  return rules_integers(problem, answer, name, 1, least, most, value);
}

int rules_flag(const kp_problem *problem, kp_answer *answer, const char *name, int64_t *value) {
  return rules_integer(problem, answer, name, 0, 1, value);
}

int rules_reals(const kp_problem *problem, kp_answer *answer, const char *name, int count,
                double *values) {
  const kp_attribute *a = kp_find_attribute(problem, name);
  if (!a) return rules_no_attribute(answer, name, "given");
  if (a->count != (uint32_t)count)
    return no_attribute_number(answer, name, "one entry for each", a->count);
  if (count && a->type == KP_STRING) return rules_no_attribute(answer, name, "numbers");
  for (int i = 0; values && i < count; i++) values[i] = kp_real(problem, name, (uint32_t)i, 0);
  return 0;
}

int rules_choice(const kp_problem *problem, kp_answer *answer, const char *name,
                 const char *const *choices, int *chosen) {
  const char *value = kp_string(problem, name, NULL);
  for (int i = 0; value && choices[i]; i++) {
    if (strcmp(value, choices[i]) != 0) continue;
    if (chosen) *chosen = i;
    return 0;
  }
  return rules_no_attribute(answer, name, choices[0]);
}

int rules_rank(kp_answer *answer, const kp_tensor *tensor, const char *subject, int32_t rank) {
  if (tensor->dl.ndim == rank) return 0;
  kp_refuse_number(answer, KP_NO_RANK, subject, "the operator's", tensor->dl.ndim);
  return 1;
}

int rules_shape(kp_answer *answer, const kp_tensor *tensor, const char *subject, int32_t rank,
                const int64_t *shape) {
  if (rules_rank(answer, tensor, subject, rank)) return 1;
  for (int32_t i = 0; i < rank; i++)
    if (tensor->dl.shape[i] != shape[i]) {
      kp_refuse_number(answer, KP_NO_SHAPE, subject, "the shape that the others give",
                       tensor->dl.shape[i]);
      return 1;
    }
  return 0;
}

int rules_same_dtype(kp_answer *answer, const kp_tensor *tensor, const char *subject,
                     const kp_tensor *other) {
  if (tensor->dl.dtype.code == other->dl.dtype.code &&
      tensor->dl.dtype.bits == other->dl.dtype.bits)
    return 0;
  kp_refuse(answer, KP_NO_DTYPE, subject, "the first input's");
  return 1;
}

int rules_same_shape(kp_answer *answer, const kp_tensor *tensor, const char *subject,
                     const kp_tensor *other) {
  return rules_shape(answer, tensor, subject, other->dl.ndim, other->dl.shape);
}

int rules_vector(kp_answer *answer, const kp_tensor *tensor, const char *subject, int64_t extent,
                 const kp_tensor *other) {
  return !kp_is_absent(tensor) && (rules_same_dtype(answer, tensor, subject, other) ||
                                   rules_shape(answer, tensor, subject, 1, &extent));
}

int64_t rules_filter_size(const int64_t *shape) {
  int64_t size = 1;
  for (int i = 1; i < 4; i++) {
    if (shape[i] == 0) return 0;
    if (__builtin_mul_overflow(size, shape[i], &size)) size = INT64_MAX;
  }
  return size;
}

/* Extent of dimension `axis` counted from the back, 1 beyond the first. */
static int64_t extent_from_back(const kp_tensor *tensor, int32_t axis) {
  return axis < tensor->dl.ndim ? tensor->dl.shape[tensor->dl.ndim - 1 - axis] : 1;
}

int rules_broadcast(kp_answer *answer, const kp_tensor *const *inputs, int count,
                    const kp_tensor *output, int32_t skipped) {
  int32_t rank = 0;
  for (int i = 0; i < count; i++)
    if (inputs[i]->dl.ndim > rank) rank = inputs[i]->dl.ndim;
  if (rules_rank(answer, output, "y", rank)) return 1;
  for (int32_t axis = skipped; axis < rank; axis++) {
    int64_t extent = 1;
    for (int i = 0; i < count; i++) {
      const int64_t own = extent_from_back(inputs[i], axis);
      if (extent == 1)
        extent = own;
      else if (own != 1 && own != extent)
        return rules_no_shape(answer, "inputs", "shapes that broadcast");
    }
    if (extent_from_back(output, axis) != extent)
      return rules_no_shape(answer, "y", "the shape that the inputs broadcast to");
  }
  return 0;
}
