#include "cast.h"

#include "parallel.h"

enum { CHUNK = 256 };

/* Elements on their way: each type is read as one of these and written from any of the last
 * three, so that 13 types take 13 readers and not 169 loops. */
typedef union {
  float f32[CHUNK];
  double f64[CHUNK];
  int64_t i64[CHUNK];
  uint64_t u64[CHUNK];
} chunk;
typedef enum { AS_F64, AS_I64, AS_U64, AS_F32 } form;

/* ---- Readers --------------------------------------------------------------- */

#define READER(name, type, form)                                       \
  static void read_##name(const void *x, chunk *c, int64_t n) {        \
    for (int64_t i = 0; i < n; i++) c->form[i] = ((const type *)x)[i]; \
  }
#define INTEGER_READER(name, type) READER(name, type, i64)
READER(f64, double, f64)
READER(f32, float, f32)
READER(u64, uint64_t, u64)
READER(u32, uint32_t, i64)
READER(u16, uint16_t, i64)
READER(u8, uint8_t, i64)
FOR_EACH_SIGNED(INTEGER_READER)

#define HALF_READER(name)                                                         \
  static void read_##name(const void *x, chunk *c, int64_t n) {                   \
    for (int64_t i = 0; i < n; i += F32_LANES) {                                  \
      const int lanes = n - i < (int)F32_LANES ? (int)(n - i) : (int)F32_LANES;   \
      store_f32(c->f32 + i, load_##name##_first((const uint16_t *)x + i, lanes)); \
    }                                                                             \
  }
HALF_READER(f16)
HALF_READER(bf16)

/* ---- Writers --------------------------------------------------------------- */

typedef void writer(const chunk *c, void *y, int64_t n);

/* Not outside int64's range, where C leaves open what comes. */
LEVEL_INLINE int64_t whole(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }

#define INTEGER_WRITERS(name, type)                                          \
  static void write_##name##_f64(const chunk *c, void *y, int64_t n) {       \
    for (int64_t i = 0; i < n; i++) ((type *)y)[i] = (type)whole(c->f64[i]); \
  }                                                                          \
  static void write_##name##_i64(const chunk *c, void *y, int64_t n) {       \
    for (int64_t i = 0; i < n; i++) ((type *)y)[i] = (type)c->i64[i];        \
  }
FOR_EACH_SIGNED(INTEGER_WRITERS)
INTEGER_WRITERS(u32, uint32_t)
INTEGER_WRITERS(u16, uint16_t)
INTEGER_WRITERS(u8, uint8_t)

static void write_u64_f64(const chunk *c, void *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const double x = c->f64[i];
    ((uint64_t *)y)[i] = x >= 0x1p63 && x < 0x1p64 ? (uint64_t)x : (uint64_t)whole(x);
  }
}

#define PLAIN_WRITER(name, type, form, expression)                        \
  static void write_##name##_##form(const chunk *c, void *y, int64_t n) { \
    for (int64_t i = 0; i < n; i++) {                                     \
      const __typeof__(c->form[0]) x = c->form[i];                        \
      ((type *)y)[i] = (expression);                                      \
    }                                                                     \
  }
PLAIN_WRITER(bool, uint8_t, f64, x != 0)
PLAIN_WRITER(bool, uint8_t, i64, x != 0)
PLAIN_WRITER(f64, double, f64, x)
PLAIN_WRITER(f64, double, i64, (double)x)
PLAIN_WRITER(f64, double, u64, (double)x)
PLAIN_WRITER(f32, float, f64, (float)x)
PLAIN_WRITER(f32, float, i64, (float)x)
PLAIN_WRITER(f32, float, u64, (float)x)

#define FLOAT_WRITER(name)                                                      \
  static void write_##name##_f32(const chunk *c, void *y, int64_t n) {          \
    for (int64_t i = 0; i < n; i += F32_LANES) {                                \
      const int lanes = n - i < (int)F32_LANES ? (int)(n - i) : (int)F32_LANES; \
      store_##name##_first((uint16_t *)y + i, load_f32(c->f32 + i), lanes);     \
    }                                                                           \
  }
FLOAT_WRITER(f16)
FLOAT_WRITER(bf16)
static void write_f32_f32(const chunk *c, void *y, int64_t n) {
  memcpy(y, c->f32, (size_t)n * sizeof(float));
}

/* Rounds to odd: what is rounded again, to fewer bits, comes out as if rounded once. */
LEVEL_INLINE float to_odd(double x) {
  float nearest = (float)x;
  uint32_t bits;
  memcpy(&bits, &nearest, sizeof bits);
  if ((double)nearest == x || x != x || bits & 1) return nearest;
  bits += (double)nearest < x ? (x > 0 ? 1 : -1) : (x > 0 ? -1 : 1);
  memcpy(&nearest, &bits, sizeof bits);
  return nearest;
}

#define HALF_WRITERS(name)                                             \
  static void write_##name##_f64(const chunk *c, void *y, int64_t n) { \
    chunk odd;                                                         \
    for (int64_t i = 0; i < n; i++) odd.f32[i] = to_odd(c->f64[i]);    \
    write_##name##_f32(&odd, y, n);                                    \
  }                                                                    \
  static void write_##name##_i64(const chunk *c, void *y, int64_t n) { \
    chunk real;                                                        \
    write_f64_i64(c, real.f64, n);                                     \
    write_##name##_f64(&real, y, n);                                   \
  }                                                                    \
  static void write_##name##_u64(const chunk *c, void *y, int64_t n) { \
    chunk real;                                                        \
    write_f64_u64(c, real.f64, n);                                     \
    write_##name##_f64(&real, y, n);                                   \
  }
HALF_WRITERS(f16)
HALF_WRITERS(bf16)

/* ---- The table -------------------------------------------------------------- */

typedef struct {
  void (*read)(const void *x, chunk *c, int64_t n);
  form form;
  writer *from_f64, *from_i64, *from_u64, *from_f32; /* the last: NULL: through double */
} conversions;

/* For an integer's bits it is one whether 64 of them had a sign. */
#define INTEGER_ENTRY(name, form) \
  {read_##name, form, write_##name##_f64, write_##name##_i64, write_##name##_i64, NULL}
#define REAL_ENTRY(name, form, from_f32) \
  {read_##name, form, write_##name##_f64, write_##name##_i64, write_##name##_u64, from_f32}

#define write_u64_i64 write_i64_i64
#define read_bool read_u8

/* X(name, entry) */
#define FOR_EACH_TYPE(X)                            \
  X(f32, REAL_ENTRY(f32, AS_F32, write_f32_f32))    \
  X(f64, REAL_ENTRY(f64, AS_F64, NULL))             \
  X(f16, REAL_ENTRY(f16, AS_F32, write_f16_f32))    \
  X(bf16, REAL_ENTRY(bf16, AS_F32, write_bf16_f32)) \
  X(i64, INTEGER_ENTRY(i64, AS_I64))                \
  X(i32, INTEGER_ENTRY(i32, AS_I64))                \
  X(i16, INTEGER_ENTRY(i16, AS_I64))                \
  X(i8, INTEGER_ENTRY(i8, AS_I64))                  \
  X(u64, INTEGER_ENTRY(u64, AS_U64))                \
  X(u32, INTEGER_ENTRY(u32, AS_I64))                \
  X(u16, INTEGER_ENTRY(u16, AS_I64))                \
  X(u8, INTEGER_ENTRY(u8, AS_I64))                  \
  X(bool, INTEGER_ENTRY(bool, AS_I64))

#define TYPE(name, ...) ELEMENT_##name,
#define ENTRY(name, ...) __VA_ARGS__,
const element BASE_NAME(cast_types)[CAST_TYPES] = {FOR_EACH_TYPE(TYPE)};
static const conversions table[CAST_TYPES] = {FOR_EACH_TYPE(ENTRY)};

void BASE_NAME(cast_elements)(int from, int to, const void *x, void *y, int64_t n) {
  const conversions *source = &table[from], *target = &table[to];
  const int64_t x_size = BASE_NAME(cast_types)[from].bits / 8;
  const int64_t y_size = BASE_NAME(cast_types)[to].bits / 8;
  if (from == to) {
    memmove(y, x, (size_t)(n * x_size));
    return;
  }
  const int direct = source->form == AS_F32 && target->from_f32;
  for (int64_t i = 0; i < n; i += CHUNK) {
    const int64_t count = n - i < CHUNK ? n - i : CHUNK;
    chunk c, wide;
    void *destination = (char *)y + i * y_size;
    source->read((const char *)x + i * x_size, &c, count);
    if (direct) {
      target->from_f32(&c, destination, count);
    } else if (source->form == AS_F32) {
      for (int64_t k = 0; k < count; k++) wide.f64[k] = c.f32[k];
      target->from_f64(&wide, destination, count);
    } else {
      (source->form == AS_F64   ? target->from_f64
       : source->form == AS_I64 ? target->from_i64
                                : target->from_u64)(&c, destination, count);
    }
  }
}

/* ---- The operator ------------------------------------------------------------ */

struct kp_prepared {
  int from, to, threads, x_size, y_size;
  int64_t count;
};

static double cast_work(const kp_problem *problem) {
  return work_seconds(problem_bytes(problem), 0.5e-9 * (double)kp_elements(&problem->inputs[0]));
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (refuse_extras(problem, answer) ||
      refuse_element(&problem->inputs[0], answer, "x.dtype", kernel->context) ||
      refuse_layouts(problem, answer, LAYOUT_ALL))
    return;
  answer->may_overwrite = problem->inputs[0].dl.dtype.bits == problem->outputs[0].dl.dtype.bits;
  answer_yes(problem, answer, cast_work(problem));
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants;
  kp_prepared *p = NEW_PREPARED(kp_prepared);
  if (!p) return refuse_memory(error);
  const kp_tensor *x = &problem->inputs[0], *y = &problem->outputs[0];
  *p = (kp_prepared){.from = cast_type(x),
                     .to = cast_type(y),
                     .threads = kernel_threads(cast_work(problem), problem->threads),
                     .x_size = element_size(x),
                     .y_size = element_size(y),
                     .count = stored_elements(y)};
  *prepared = p;
  return KP_OK;
}

typedef struct {
  const kp_prepared *p;
  const char *x;
  char *y;
} cast_job;

static void cast_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const cast_job *job = context;
  const kp_prepared *p = job->p;
  begin *= CHUNK;
  end = end * CHUNK < p->count ? end * CHUNK : p->count;
  BASE_NAME(cast_elements)(p->from, p->to, job->x + begin * p->x_size, job->y + begin * p->y_size,
                           end - begin);
}

static kp_status run(const kp_prepared *p, void *const *buffers, void *scratch, void *queue) {
  (void)scratch, (void)queue;
  const cast_job job = {p, buffers[0], buffers[1]};
  parallel_for(p->threads, (p->count + CHUNK - 1) / CHUNK, cast_part, &job);
  return KP_OK;
}

#define KERNELS(short_name, ...)                    \
  {KERNEL("portable.cast.convert." #short_name),    \
   .context = &(const element)ELEMENT_##short_name, \
   .query = query,                                  \
   .prepare = prepare,                              \
   .run = run,                                      \
   .release = release_prepared},
static const kp_kernel list[] = {FOR_EACH_TYPE(KERNELS)};
const kp_kernel_list LEVEL_NAME(cast_kernels) = KERNEL_LIST(list);
