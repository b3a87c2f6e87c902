/* What kernels ask of a problem, and how they answer. */
#ifndef PORTABLE_PROBLEM_H
#define PORTABLE_PROBLEM_H

#include <stdlib.h>
#include <string.h>

#include "kernel.h"

/* Ranks that the kernels serve; NumPy's own limit. */
#define MAX_RANK 64

/* ---- Element types ------------------------------------------------------- */

typedef struct element {
  uint8_t code, bits;
  const char *name; /* NumPy's, for refusals */
} element;

#define ELEMENT_f32 {kDLFloat, 32, "float32"}
#define ELEMENT_f64 {kDLFloat, 64, "float64"}
#define ELEMENT_f16 {kDLFloat, 16, "float16"}
#define ELEMENT_bf16 {kDLBfloat, 16, "bfloat16"}
#define ELEMENT_i64 {kDLInt, 64, "int64"}
#define ELEMENT_i32 {kDLInt, 32, "int32"}
#define ELEMENT_i16 {kDLInt, 16, "int16"}
#define ELEMENT_i8 {kDLInt, 8, "int8"}
#define ELEMENT_u64 {kDLUInt, 64, "uint64"}
#define ELEMENT_u32 {kDLUInt, 32, "uint32"}
#define ELEMENT_u16 {kDLUInt, 16, "uint16"}
#define ELEMENT_u8 {kDLUInt, 8, "uint8"}
#define ELEMENT_bool {kDLBool, 8, "bool"}

/* X(short name, C type) for each. */
#define FOR_EACH_SIGNED(X) X(i64, int64_t) X(i32, int32_t) X(i16, int16_t) X(i8, int8_t)
#define FOR_EACH_UNSIGNED(X) X(u64, uint64_t) X(u32, uint32_t) X(u16, uint16_t) X(u8, uint8_t)
#define FOR_EACH_INTEGER(X) FOR_EACH_SIGNED(X) FOR_EACH_UNSIGNED(X)

/* X(short name, an unsigned C type of its size) for every element type: moving needs no more. */
// clang-format off
#define FOR_EACH_MOVED(X)                                                             \
  X(f32, uint32_t) X(f64, uint64_t) X(f16, uint16_t) X(bf16, uint16_t)                \
  X(i64, uint64_t) X(i32, uint32_t) X(i16, uint16_t) X(i8, uint8_t)                   \
  X(u64, uint64_t) X(u32, uint32_t) X(u16, uint16_t) X(u8, uint8_t) X(bool, uint8_t)
// clang-format on

static inline int has_element(const kp_tensor *t, const element *e) {
  return t->dl.dtype.code == e->code && t->dl.dtype.bits == e->bits;
}

static inline int element_size(const kp_tensor *t) { return (t->dl.dtype.bits + 7) / 8; }

/* ---- Tensors ------------------------------------------------------------- */

static inline uint32_t num_tensors(const kp_problem *problem) {
  return problem->num_inputs + problem->num_outputs;
}

/* Tensor `index` of the inputs, then the outputs. */
static inline const kp_tensor *problem_tensor(const kp_problem *problem, uint32_t index) {
  return index < problem->num_inputs ? &problem->inputs[index]
                                     : &problem->outputs[index - problem->num_inputs];
}

static inline int same_shape(const kp_tensor *a, const kp_tensor *b) {
  if (a->dl.ndim != b->dl.ndim) return 0;
  for (int32_t i = 0; i < a->dl.ndim; i++)
    if (a->dl.shape[i] != b->dl.shape[i]) return 0;
  return 1;
}

/* Product of the extents of dimensions [begin, end). */
static inline int64_t extent_product(const int64_t *shape, int begin, int end) {
  int64_t n = 1;
  for (int i = begin; i < end; i++) n *= shape[i];
  return n;
}

/* Elements that the tensor takes in memory, blocks filled up. */
static inline int64_t stored_elements(const kp_tensor *t) { return kp_bytes(t) / element_size(t); }

/* Bytes of all tensors together. */
static inline double problem_bytes(const kp_problem *problem) {
  double bytes = 0;
  for (uint32_t i = 0; i < num_tensors(problem); i++) {
    const kp_tensor *t = problem_tensor(problem, i);
    if (!kp_is_absent(t)) bytes += (double)kp_bytes(t);
  }
  return bytes;
}

/* ---- Attributes ---------------------------------------------------------- */

/* Integers of an attribute into `values`; those it lacks keep their value. */
static inline void integer_attribute(const kp_problem *problem, const char *name, int count,
                                     int64_t *values) {
  for (int i = 0; i < count; i++) values[i] = kp_integer(problem, name, (uint32_t)i, values[i]);
}

/* ---- Answers ------------------------------------------------------------- */

enum { LAYOUT_NCHW = 1, LAYOUT_NHWC = 2, LAYOUT_NCHW16C = 4, LAYOUT_NCHW8C = 8, LAYOUT_ALL = 15 };

static inline int layout_bit(const char *layout) {
  static const struct {
    const char *name;
    int bit;
  } layouts[] = {{"nchw", LAYOUT_NCHW},
                 {"nhwc", LAYOUT_NHWC},
                 {"nChw16c", LAYOUT_NCHW16C},
                 {"nChw8c", LAYOUT_NCHW8C}};
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
    if (strcmp(layouts[i].name, layout) == 0) return layouts[i].bit;
  return 0;
}

static inline void answer_layout(kp_answer *answer, uint32_t index, const char *layout) {
  memset(answer->layouts[index], 0, sizeof answer->layouts[index]);
  memcpy(answer->layouts[index], layout, strlen(layout));
}

/* The layout that the problem fixes by its first tensor that isn't "any"; else `otherwise`. */
static inline const char *problem_layout(const kp_problem *problem, const char *otherwise) {
  for (uint32_t i = 0; i < num_tensors(problem); i++) {
    const kp_tensor *t = problem_tensor(problem, i);
    if (!kp_is_absent(t) && !kp_is_layout(t, "any")) return t->layout;
  }
  return otherwise;
}

/* Settles one layout for all tensors, one of `allowed`. Returns 1 when it refuses. */
static inline int refuse_layouts(const kp_problem *problem, kp_answer *answer, int allowed) {
  const char *layout = problem_layout(problem, "nchw");
  if (!(layout_bit(layout) & allowed)) {
    kp_refuse(answer, KP_NO_LAYOUT, "layout", allowed == LAYOUT_NCHW ? "nchw" : "a served one");
    return 1;
  }
  for (uint32_t i = 0; i < num_tensors(problem); i++) {
    const kp_tensor *t = problem_tensor(problem, i);
    if (kp_is_absent(t)) continue;
    if (!kp_is_layout(t, "any") && !kp_is_layout(t, layout)) {
      kp_refuse(answer, KP_NO_LAYOUT, "layout", "one layout for all tensors");
      return 1;
    }
    if (t->dl.ndim != 4 && strcmp(layout, "nchw") != 0) {
      kp_refuse_number(answer, KP_NO_RANK, "rank", "4 in this layout", t->dl.ndim);
      return 1;
    }
    answer_layout(answer, i, layout);
  }
  return 0;
}

/* Refuses a tensor whose element type isn't `e`. Returns 1 when it does. */
static inline int refuse_element(const kp_tensor *t, kp_answer *answer, const char *subject,
                                 const element *e) {
  if (has_element(t, e)) return 0;
  kp_refuse(answer, KP_NO_DTYPE, subject, e->name);
  return 1;
}

/* Refuses what follows the operator: convolutions and products alone take that. Returns 1 when it
 * does. Quantised tensors and ranks past MAX_RANK are refused before, by the operators' rules. */
static inline int refuse_extras(const kp_problem *problem, kp_answer *answer) {
  if (!problem->num_epilogues) return 0;
  kp_refuse(answer, KP_NO_EPILOGUE, "epilogue", "none");
  return 1;
}

/* One thread's seconds for moving `bytes` and computing for `seconds`: what fits in a cache of
 * the core's own, in a shared one, and neither, as measured on a server's processor. */
static inline double work_seconds(double bytes, double seconds) {
  return bytes / (bytes < 1 << 20 ? 40e9 : bytes < 16 << 20 ? 25e9 : 12e9) + seconds;
}

/* Says yes at the cost of `work` seconds of one thread, spread over those worth using. */
static inline void answer_yes(const kp_problem *problem, kp_answer *answer, double work) {
  answer->code = KP_YES;
  int threads = kernel_threads(work, problem->threads);
  answer->cost = 0.2e-6 + kernel_team_seconds(threads) + work / threads;
}

/* ---- Preparing ----------------------------------------------------------- */

/* Zeroed memory for a prepared kernel of type T, which begins the kp_prepared. */
#define NEW_PREPARED(T) ((T *)calloc(1, sizeof(T)))

static inline void release_prepared(kp_prepared *prepared) { free(prepared); }

#endif
