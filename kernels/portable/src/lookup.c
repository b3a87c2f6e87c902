/* A table of 256 results for 8-bit integers. */
#include "parallel.h"
#include "problem.h"

enum { CHUNK = 4096 }; /* elements that a thread takes at least */
enum { MANY = 2048 };  /* elements for which wide tables pay */

struct kp_prepared {
  int64_t count;
  uint8_t flip; /* what turns an element's byte into its place from the smallest */
  int threads;
};

typedef struct {
  const kp_prepared *p;
  const uint8_t *x, *table;
  uint8_t *y;
} lookup_job;

static double work(const kp_problem *problem) {
  return work_seconds(problem_bytes(problem), (double)kp_elements(problem->outputs) * 0.17e-9);
}

/* One layout for x and y; the table is a list. */
static int refuse_images(const kp_problem *problem, kp_answer *answer) {
  kp_tensor images[] = {problem->inputs[0], problem->outputs[0]};
  const kp_problem both = {
      .num_inputs = 1, .inputs = images, .num_outputs = 1, .outputs = images + 1};
  if (refuse_layouts(&both, answer, LAYOUT_NCHW | LAYOUT_NHWC)) return 1;
  memcpy(answer->layouts[2], answer->layouts[1], sizeof answer->layouts[2]);
  answer_layout(answer, 1, "nchw");
  return 0;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(problem->inputs, answer, "x.dtype", kernel->context) ||
      refuse_images(problem, answer))
    return;
  answer->may_overwrite = 1;
  answer_yes(problem, answer, work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  p->count = kp_elements(problem->outputs);
  p->flip = problem->inputs->dl.dtype.code == kDLInt ? 0x80 : 0;
  p->threads = kernel_threads(work(problem), problem->threads);
  *prepared = p;
  return KP_OK;
}

/* Eight at a time. `table` is by the stored byte. */
static void look_up(const uint8_t *x, uint8_t *y, int64_t count, const uint8_t *table) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t in, out = 0;
    memcpy(&in, x + i, sizeof in);
    for (int k = 0; k < 64; k += 8) out |= (uint64_t)table[in >> k & 0xFF] << k;
    memcpy(y + i, &out, sizeof out);
  }
  for (; i < count; i++) y[i] = table[x[i]];
}

/* An entry in the low byte and one in the next, joined without a shift. The compiler would make
 * vectors of them, entry by entry. */
static inline uint32_t pair_of(const uint32_t *low, const uint32_t *high, const uint8_t *x) {
  uint32_t pair = low[x[0]] | high[x[1]];
  __asm__("" : "+r"(pair));
  return pair;
}

/* By wide tables, whose entries are joined in pairs. */
static void look_up_many(const uint8_t *x, uint8_t *y, int64_t count, const uint8_t *table) {
  uint32_t low[256], high[256];
  for (int i = 0; i < 256; i++) low[i] = table[i], high[i] = low[i] << 8;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t out = 0;
    for (int k = 0; k < 8; k += 2) out |= (uint64_t)pair_of(low, high, x + i + k) << 8 * k;
    memcpy(y + i, &out, sizeof out);
  }
  look_up(x + i, y + i, count - i, table);
}

static void part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const lookup_job *job = context;
  const int64_t last = end * CHUNK < job->p->count ? end * CHUNK : job->p->count;
  const int64_t first = begin * CHUNK, count = last - first;
  /* A copy: a byte that is written might be an entry, for all that the compiler knows. */
  uint8_t table[256];
  for (int i = 0; i < 256; i++) table[i] = job->table[i ^ job->p->flip];
  (count < MANY ? look_up : look_up_many)(job->x + first, job->y + first, count, table);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const lookup_job job = {p, buffers[0], buffers[1], buffers[2]};
  parallel_for(p->threads, (p->count + CHUNK - 1) / CHUNK, part, &job);
  return KP_OK;
}

#define LOOKUP(short_name)                          \
  {KERNEL("portable.lookup.table." #short_name),    \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared}
static const kp_kernel list[] = {LOOKUP(u8), LOOKUP(i8)};
const kp_kernel_list lookup_kernels = KERNEL_LIST(list);
