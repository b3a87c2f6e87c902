/* machine.c: peak rates of arithmetic and of memory. */
#include "machine.h"

#include <omp.h>
#include <stddef.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_time_calls(bench_function run, const void *handle, void *const *buffers, void *queue,
                        int64_t iterations) {
  const double start = now();
  for (int64_t i = 0; i < iterations; i++)
    if (run(handle, buffers, queue)) return -1;
  return now() - start;
}

/* ---- Arithmetic --------------------------------------------------------------- */

enum { CHAINS = 12, INNER = 20000 };

/* Twelve independent chains hide the latency of two units, four to five cycles each. Each is a
 * variable of its own that the barrier keeps in a register. */
#define EACH_CHAIN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define START_CHAIN(j) vector chain##j = x + (float)j;
#define STEP_CHAIN(j)          \
  chain##j = chain##j * x + y; \
  __asm__("" : "+" VECTOR_REGISTER(chain##j));
#define ADD_CHAIN(j) sum += chain##j;
#define MULTIPLY_ADD(name, lanes, attributes)                       \
  attributes static float name(float factor, float term) {          \
    typedef float vector __attribute__((vector_size(4 * (lanes)))); \
    const vector x = factor - (vector){0}, y = term - (vector){0};  \
    EACH_CHAIN(START_CHAIN)                                         \
    for (int i = 0; i < INNER; i++) {                               \
      EACH_CHAIN(STEP_CHAIN)                                        \
    }                                                               \
    vector sum = {0};                                               \
    EACH_CHAIN(ADD_CHAIN)                                           \
    return sum[0];                                                  \
  }

#if defined(__x86_64__)
#define VECTOR_REGISTER(value) "v"(value)
MULTIPLY_ADD(multiply_add_16, 16, __attribute__((target("avx512f,prefer-vector-width=512"))))
MULTIPLY_ADD(multiply_add_8, 8, __attribute__((target("avx2,fma"))))
MULTIPLY_ADD(multiply_add_4, 4, )
int bench_vector_lanes(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return 16;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 8 : 4;
}
static float (*multiply_add(int lanes))(float, float) {
  return lanes == 16 ? multiply_add_16 : lanes == 8 ? multiply_add_8 : multiply_add_4;
}
#else
#if defined(__aarch64__)
#define VECTOR_REGISTER(value) "w"(value)
#else
#define VECTOR_REGISTER(value) "m"(value)
#endif
MULTIPLY_ADD(multiply_add_4, 4, )
int bench_vector_lanes(void) { return 4; }
static float (*multiply_add(int lanes))(float, float) {
  (void)lanes;
  return multiply_add_4;
}
#endif

double bench_multiply_add_rate(int lanes, int threads, double seconds) {
  float (*const burst)(float, float) = multiply_add(lanes);
  const double flops = 2.0 * CHAINS * INNER * lanes * threads;
  const double end = now() + seconds;
  volatile float factor = 0.999f, term = 0.001f, sink = 0;
  double best = 0;
  do {
    double slowest = 0;
    float sum = 0;
#pragma omp parallel num_threads(threads) reduction(max : slowest) reduction(+ : sum)
    {
      const float x = factor, y = term;
#pragma omp barrier
      const double start = now();
      sum += burst(x, y);
      slowest = now() - start;
    }
    sink = sink + sum;
    if (slowest > 0 && flops / slowest > best) best = flops / slowest;
  } while (now() < end);
  return best;
}

/* ---- Memory ------------------------------------------------------------------- */

/* 128 bytes a step; eight sums, so that the loads alone bind. */
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static float read_all(const float *memory, int64_t count) {
  typedef float vector __attribute__((vector_size(64), aligned(4)));
  vector a = {0}, b = {0}, c = {0}, d = {0};
  int64_t i = 0;
  for (; i + 64 <= count; i += 64) {
    a += *(const vector *)(memory + i);
    b += *(const vector *)(memory + i + 16);
    c += *(const vector *)(memory + i + 32);
    d += *(const vector *)(memory + i + 48);
  }
  a += b + c + d;
  float sum = 0;
  for (int j = 0; j < 16; j++) sum += a[j];
  return sum;
}

double bench_read_rate(const void *memory, int64_t bytes, int threads, double seconds) {
  const int64_t each = bytes / 4 / threads / 64 * 64;
  const int64_t passes = 1 + (1 << 22) / (bytes + 1);
  const double end = now() + seconds;
  volatile float sink = 0;
  double best = 0;
  do {
    double slowest = 0;
    float sum = 0;
#pragma omp parallel num_threads(threads) reduction(max : slowest) reduction(+ : sum)
    {
      const float *own = (const float *)memory + each * omp_get_thread_num();
#pragma omp barrier
      const double start = now();
      for (int64_t pass = 0; pass < passes; pass++) {
        sum += read_all(own, each);
        __asm__ volatile("" ::: "memory");
      }
      slowest = now() - start;
    }
    sink = sink + sum;
    const double rate = 4.0 * (double)each * threads * (double)passes / slowest;
    if (slowest > 0 && rate > best) best = rate;
  } while (now() < end);
  return best;
}
