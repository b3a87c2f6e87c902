/* Updates written to places of a tensor, or combined with what is there, in their order. */
#include "scatter.h"

#include "widen.h"

#define SCATTER(op, name, type, expression)                                             \
  static void write_##op##_##name(void *to, const void *updates, const int64_t *places, \
                                  const scatter_walk *walk) {                           \
    const scatter_walk w = *walk;                                                       \
    for (int64_t k = 0; k < w.count; k++) {                                             \
      const type *restrict from = (const type *)updates + k * w.update_step;            \
      const int64_t *place = places + k * w.place_step;                                 \
      if (w.place_next) {                                                               \
        for (int64_t j = 0; j < w.width; j++) {                                         \
          type *y = (type *)to + place[j];                                              \
          const type a = *y, b = from[j];                                               \
          (void)a;                                                                      \
          *y = (type)(expression);                                                      \
        }                                                                               \
      } else {                                                                          \
        type *restrict y = (type *)to + *place;                                         \
        for (int64_t j = 0; j < w.width; j++) {                                         \
          const type a = y[j], b = from[j];                                             \
          (void)a;                                                                      \
          y[j] = (type)(expression);                                                    \
        }                                                                               \
      }                                                                                 \
    }                                                                                   \
  }

/* Integers wrap around, as NumPy's do. NaN stays. */
#define INTEGERS(name, type)                          \
  SCATTER(add, name, type, (uint64_t)a + (uint64_t)b) \
  SCATTER(mul, name, type, (uint64_t)a *(uint64_t)b)  \
  SCATTER(max, name, type, a > b ? a : b)             \
  SCATTER(min, name, type, a < b ? a : b)
#define FLOATS(name, type)                          \
  SCATTER(add, name, type, a + b)                   \
  SCATTER(mul, name, type, a *b)                    \
  SCATTER(max, name, type, a > b || a != a ? a : b) \
  SCATTER(min, name, type, a < b || a != a ? a : b)
#define MOVED(name, type) SCATTER(none, name, type, b)
FOR_EACH_INTEGER(INTEGERS)
FLOATS(f32, float)
FLOATS(f64, double)
FOR_EACH_MOVED(MOVED)

#define SCATTER_KERNEL(op, short_name, ...)                                  \
  {KERNEL("portable." #op ".loop." #short_name),                             \
   .context = &(const scatter_context){ELEMENT_##short_name, {__VA_ARGS__}}, \
   .query = scatter_query,                                                   \
   .prepare = op##_prepare,                                                  \
   .run = op##_run,                                                          \
   .release = release_prepared},
#define NUMBERS(op, name)                                                         \
  SCATTER_KERNEL(op, name, write_none_##name, write_add_##name, write_mul_##name, \
                 write_max_##name, write_min_##name)
#define MOVES(op, name) SCATTER_KERNEL(op, name, write_none_##name)
#define ND(name, type) NUMBERS(scatter_nd, name)
#define ELEMENTS(name, type) NUMBERS(scatter_elements, name)

static const kp_kernel of_floats[] = {ND(f32, float) ELEMENTS(f32, float)};
static const kp_kernel list[] = {
    ND(f32, float) ND(f64, double) FOR_EACH_INTEGER(ND) MOVES(scatter_nd, bool)
        MOVES(scatter_nd, bf16) MOVES(scatter_nd, f16) ELEMENTS(f32, float) ELEMENTS(f64, double)
            FOR_EACH_INTEGER(ELEMENTS) MOVES(scatter_elements, bool) MOVES(scatter_elements, bf16)
                MOVES(scatter_elements, f16) WIDENED_HALVES("scatter_nd", of_floats[0]),
    WIDENED_HALVES("scatter_elements", of_floats[1])};
const kp_kernel_list LEVEL_NAME(scatter_kernels) = KERNEL_LIST(list);
