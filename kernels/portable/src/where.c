/* One of two elements, as a bool says. */
#include "blocked.h"
#include "broadcast.h"
#include "parallel.h"

typedef void where_function(const uint8_t *condition, const void *a, const void *b, void *y,
                            const broadcast_rows *r);

struct kp_prepared {
  broadcast walk;
  where_function *rows;
  int threads, size;
  blocked_padding padding;
};

static const element element_bool = ELEMENT_bool;

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  const kp_tensor *a = &problem->inputs[1], *y = &problem->outputs[0];
  const element type = {a->dl.dtype.code, a->dl.dtype.bits, "a's"};
  broadcast walk;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "condition.dtype", &element_bool) ||
      refuse_element(&problem->inputs[2], answer, "b.dtype", &type) ||
      refuse_element(y, answer, "output.dtype", &type) || broadcast_make(problem, 3, &walk, answer))
    return;
  answer->may_overwrite = broadcast_dense(&walk) & (element_size(y) == 1 ? 7 : 6);
  answer_yes(problem, answer, work_seconds(problem_bytes(problem), 0));
}

/* Steps that are numbers when this is compiled make vectors of it. */
#define CHOOSE(a_step, b_step)                               \
  _Pragma("GCC ivdep") for (int64_t i = 0; i < count; i++) { \
    const __typeof__(*y) yes = a[i * (a_step)];              \
    const __typeof__(*y) no = b[i * (b_step)];               \
    y[i] = condition[i] ? yes : no;                          \
  }

#define ROWS(bits)                                                                         \
  static void rows_##bits(const uint8_t *condition, const void *first, const void *second, \
                          void *to, const broadcast_rows *r) {                             \
    const uint##bits##_t *a = first, *b = second;                                          \
    uint##bits##_t *y = to;                                                                \
    const int c_step = r->inner[0], a_step = r->inner[1], b_step = r->inner[2];            \
    const int64_t count = r->count;                                                        \
    for (int64_t j = 0; j < r->rows; j++) {                                                \
      if (c_step && a_step && b_step) {                                                    \
        CHOOSE(1, 1)                                                                       \
      } else if (c_step && b_step) {                                                       \
        CHOOSE(0, 1)                                                                       \
      } else if (c_step && a_step) {                                                       \
        CHOOSE(1, 0)                                                                       \
      } else {                                                                             \
        for (int64_t i = 0; i < count; i++)                                                \
          y[i] = condition[i * c_step] ? a[i * a_step] : b[i * b_step];                    \
      }                                                                                    \
      condition += r->row[0], a += r->row[1], b += r->row[2], y += count;                  \
    }                                                                                      \
  }
ROWS(8)
ROWS(16)
ROWS(32)
ROWS(64)

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  broadcast_make(problem, 3, &p->walk, NULL);
  p->threads = kernel_threads(work_seconds(problem_bytes(problem), 0), problem->threads);
  p->size = element_size(&problem->outputs[0]);
  p->rows = p->size == 1 ? rows_8 : p->size == 2 ? rows_16 : p->size == 4 ? rows_32 : rows_64;
  p->padding = padding_of(&problem->outputs[0]);
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const uint8_t *condition;
  const char *a, *b;
  char *y;
} where_job;

static void where_rows(const void *context, const broadcast_rows *rows, const int64_t *offsets,
                       int64_t output_offset) {
  const where_job *job = context;
  const int64_t size = job->p->size;
  job->p->rows(job->condition + offsets[0], job->a + offsets[1] * size, job->b + offsets[2] * size,
               job->y + output_offset * size, rows);
}

enum { UNIT = 64 }; /* elements; what threads split */

static void where_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const where_job *job = context;
  const int64_t count = job->p->walk.count;
  broadcast_walk(&job->p->walk, begin * UNIT, end * UNIT < count ? end * UNIT : count, where_rows,
                 job);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const where_job job = {p, buffers[0], buffers[1], buffers[2], buffers[3]};
  parallel_for(p->threads, (p->walk.count + UNIT - 1) / UNIT, where_part, &job);
  if (p->padding.lanes) zero_padding(&p->padding, buffers[3]);
  return KP_OK;
}

static const kp_kernel list[] = {{KERNEL("portable.where.loop.bool"), .query = query,
                                  .prepare = prepare, .run = run, .release = release_prepared}};
const kp_kernel_list where_kernels = KERNEL_LIST(list);
