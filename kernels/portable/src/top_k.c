/*
 * The k largest or smallest elements along an axis, and where they are.
 *
 * An element's key is an unsigned integer that is larger the earlier the element comes. A heap
 * keeps the best k so far, each a word of its key and, below that, its index's complement: the
 * worst is on top. Elements are taken in ascending order, so that one enters only by a larger key.
 */
#include <math.h>

#include "level.h"
#include "parallel.h"
#include "problem.h"

typedef struct {
  element type;
  int word_size;
  parallel_body *lines;
} top_k_context;

struct kp_prepared {
  const top_k_context *context;
  int smallest, threads;
  int64_t rows, count, inner, k; /* the axis has `count` entries, `inner` elements apart */
  int64_t heap_bytes;            /* of one thread */
};

static double top_k_work(const kp_problem *problem) {
  const double taken = (double)kp_elements(&problem->outputs[0]);
  const double k = (double)kp_integer(problem, "k", 0, 0);
  return work_seconds(problem_bytes(problem), 0.3e-9 * (double)kp_elements(&problem->inputs[0]) +
                                                  4e-9 * taken * log2(k + 1));
}

static int64_t heap_bytes(const kp_problem *problem, const top_k_context *context) {
  return kernel_round_up(kp_integer(problem, "k", 0, 0) * context->word_size, KP_ALIGNMENT);
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  const top_k_context *context = kernel->context;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", &context->type) ||
      refuse_layouts(problem, answer, LAYOUT_NCHW))
    return;
  const DLTensor *x = &problem->inputs[0].dl;
  const int64_t count = x->shape[kp_integer(problem, "axis", 0, 0)];
  if (count > UINT32_MAX) {
    kp_refuse_number(answer, KP_NO_SHAPE, "x.shape", "<= 4294967295 along the axis", count);
    return;
  }
  answer->scratch_bytes = (uint64_t)(heap_bytes(problem, context) * problem->threads);
  answer_yes(problem, answer, top_k_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const DLTensor *x = &problem->inputs[0].dl;
  const int axis = (int)kp_integer(problem, "axis", 0, 0);
  *p = (kp_prepared){.context = kernel->context,
                     .smallest = !kp_integer(problem, "largest", 0, 1),
                     .threads = kernel_threads(top_k_work(problem), problem->threads),
                     .rows = extent_product(x->shape, 0, axis),
                     .count = x->shape[axis],
                     .inner = extent_product(x->shape, axis + 1, x->ndim),
                     .k = kp_integer(problem, "k", 0, 0),
                     .heap_bytes = heap_bytes(problem, kernel->context)};
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const void *x;
  void *values;
  int64_t *indices;
  char *scratch;
} top_k_job;

enum { INDEX_BITS = 32 };
enum { BLOCK = 64 }; /* elements of which seldom one enters the heap */

typedef unsigned __int128 wide_word;

/* A heap of words whose top, the first one, is the smallest. */
#define HEAP(word)                                                                   \
  LEVEL_INLINE void sift_##word(word *heap, int64_t size, int64_t at, word entry) {  \
    for (int64_t child; (child = 2 * at + 1) < size; at = child) {                   \
      child += child + 1 < size && heap[child + 1] < heap[child];                    \
      if (entry <= heap[child]) break;                                               \
      heap[at] = heap[child];                                                        \
    }                                                                                \
    heap[at] = entry;                                                                \
  }                                                                                  \
  static void make_heap_##word(word *heap, int64_t size) {                           \
    for (int64_t i = size / 2 - 1; i >= 0; i--) sift_##word(heap, size, i, heap[i]); \
  }                                                                                  \
  static void sort_heap_##word(word *heap, int64_t size) {                           \
    while (size-- > 1) {                                                             \
      const word last = heap[size];                                                  \
      heap[size] = heap[0];                                                          \
      sift_##word(heap, size, 0, last);                                              \
    }                                                                                \
  }
HEAP(uint64_t)
HEAP(wide_word)

/* A NaN has the largest key, zeros have one; `invert` is all ones for the smallest elements. */
#define SIGN(type) ((type)((type)1 << (8 * sizeof(type) - 1)))
#define FLOAT_KEY(type, u, infinity)                             \
  ((type)(u & (type)~SIGN(type)) > (type)(infinity) ? (type) - 1 \
   : u == SIGN(type)                                ? SIGN(type) \
   : u & SIGN(type)                                 ? (type)~u   \
                                                    : (type)(u | SIGN(type)))
#define SIGNED_KEY(type, u, unused) (type)(u ^ SIGN(type))
#define UNSIGNED_KEY(type, u, unused) u

/* The elements' bits as an unsigned `type`; `stride` is 1 or the line's. */
#define SELECT(name, type, word, KEY, infinity)                                                  \
  LEVEL_INLINE type key_##name(type u, type invert) {                                            \
    return (type)(KEY(type, u, infinity) ^ invert);                                              \
  }                                                                                              \
  LEVEL_INLINE word word_##name(type key, int64_t index) {                                       \
    return (word)key << INDEX_BITS | (word)(UINT32_MAX - index);                                 \
  }                                                                                              \
  LEVEL_INLINE void take_best_##name(const type *x, int64_t count, int64_t stride, type invert,  \
                                     word *heap, int64_t k) {                                    \
    if (k == 1) {                                                                                \
      type best = 0;                                                                             \
      for (int64_t i = 0; i < count; i++) {                                                      \
        const type key = key_##name(x[i * stride], invert);                                      \
        best = key > best ? key : best;                                                          \
      }                                                                                          \
      int64_t at = 0;                                                                            \
      while (key_##name(x[at * stride], invert) != best) at++;                                   \
      heap[0] = word_##name(best, at);                                                           \
      return;                                                                                    \
    }                                                                                            \
    for (int64_t i = 0; i < k; i++) heap[i] = word_##name(key_##name(x[i * stride], invert), i); \
    make_heap_##word(heap, k);                                                                   \
    for (int64_t begin = k; begin < count; begin += BLOCK) {                                     \
      const int64_t end = kernel_min(begin + BLOCK, count);                                      \
      type worst = (type)(heap[0] >> INDEX_BITS), any = 0;                                       \
      for (int64_t i = begin; i < end; i++) any |= key_##name(x[i * stride], invert) > worst;    \
      if (!any) continue;                                                                        \
      for (int64_t i = begin; i < end; i++) {                                                    \
        const type key = key_##name(x[i * stride], invert);                                      \
        if (key <= worst) continue;                                                              \
        sift_##word(heap, k, 0, word_##name(key, i));                                            \
        worst = (type)(heap[0] >> INDEX_BITS);                                                   \
      }                                                                                          \
    }                                                                                            \
    sort_heap_##word(heap, k);                                                                   \
  }                                                                                              \
  static void lines_##name(const void *context, int64_t begin, int64_t end, int thread) {        \
    const top_k_job *job = context;                                                              \
    const kp_prepared *p = job->p;                                                               \
    const int64_t count = p->count, inner = p->inner, k = p->k;                                  \
    const type invert = p->smallest ? (type) - 1 : 0;                                            \
    word *heap = (word *)(job->scratch + thread * p->heap_bytes);                                \
    for (int64_t line = begin; line < end; line++) {                                             \
      const int64_t row = line / inner, column = line % inner;                                   \
      const type *x = (const type *)job->x + row * count * inner + column;                       \
      type *values = (type *)job->values + row * k * inner + column;                             \
      int64_t *indices = job->indices + row * k * inner + column;                                \
      if (inner == 1)                                                                            \
        take_best_##name(x, count, 1, invert, heap, k);                                          \
      else                                                                                       \
        take_best_##name(x, count, inner, invert, heap, k);                                      \
      for (int64_t i = 0; i < k; i++) {                                                          \
        const int64_t index = UINT32_MAX - (uint32_t)heap[i];                                    \
        values[i * inner] = x[index * inner];                                                    \
        indices[i * inner] = index;                                                              \
      }                                                                                          \
    }                                                                                            \
  }
SELECT(f32, uint32_t, uint64_t, FLOAT_KEY, 0x7f800000)
SELECT(f64, uint64_t, wide_word, FLOAT_KEY, 0x7ff0000000000000)
SELECT(f16, uint16_t, uint64_t, FLOAT_KEY, 0x7c00)
SELECT(bf16, uint16_t, uint64_t, FLOAT_KEY, 0x7f80)
SELECT(i64, uint64_t, wide_word, SIGNED_KEY, 0)
SELECT(i32, uint32_t, uint64_t, SIGNED_KEY, 0)
SELECT(i16, uint16_t, uint64_t, SIGNED_KEY, 0)
SELECT(i8, uint8_t, uint64_t, SIGNED_KEY, 0)
SELECT(u64, uint64_t, wide_word, UNSIGNED_KEY, 0)
SELECT(u32, uint32_t, uint64_t, UNSIGNED_KEY, 0)
SELECT(u16, uint16_t, uint64_t, UNSIGNED_KEY, 0)
SELECT(u8, uint8_t, uint64_t, UNSIGNED_KEY, 0)

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)queue;
  const top_k_job job = {p, buffers[0], buffers[1], buffers[2], scratch};
  if (p->k) parallel_for(p->threads, p->rows * p->inner, p->context->lines, &job);
  return KP_OK;
}

#define TOP_K(short_name, word)                                                               \
  {KERNEL("portable.top_k.heap." #short_name),                                                \
   .context = &(const top_k_context){ELEMENT_##short_name, sizeof(word), lines_##short_name}, \
   .query = query,                                                                            \
   .prepare = prepare,                                                                        \
   .run = run,                                                                                \
   .release = release_prepared}
static const kp_kernel list[] = {
    TOP_K(f32, uint64_t),  TOP_K(f64, wide_word), TOP_K(f16, uint64_t), TOP_K(bf16, uint64_t),
    TOP_K(i64, wide_word), TOP_K(i32, uint64_t),  TOP_K(i16, uint64_t), TOP_K(i8, uint64_t),
    TOP_K(u64, wide_word), TOP_K(u32, uint64_t),  TOP_K(u16, uint64_t), TOP_K(u8, uint64_t)};
const kp_kernel_list LEVEL_NAME(top_k_kernels) = KERNEL_LIST(list);
