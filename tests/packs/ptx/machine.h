/*
 * machine.h: what programs that were PTX need in C: a block of threads, its memory, instructions
 * that C has no word for. A program defines PTX_SHARED_BYTES before, and includes this once.
 *
 * A thread is a function that runs until the thread ends or waits, and that goes on where it
 * waited when it is called again. Whatever the PTX manual leaves undefined ends the launch.
 */
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARP = 32, FUEL = 1 << 28 };
enum status { RUNNING, AT_BARRIER, AT_SHUFFLE, DONE };

struct thread {
  /* Where to go on, 0 at the start: the number of what it waits at. */
  int next;
  enum status status;
  /* Turns that it may take of loops, so that a program that doesn't end is ended. */
  uint32_t fuel;
  uint32_t id[3], number;
  /* What it gives and gets by a shuffle: a lane's number is in source. */
  uint32_t given, source, members, received;
};

/* Uses of four bytes of shared memory since the last barrier; threads count from 1. */
struct uses {
  uint32_t wrote, written_in, read, read_in;
};

struct block {
  uint32_t extent[3], grid[3], id[3];
  /* How many barriers all threads have passed, from 1. */
  uint32_t epoch;
};

static struct block block;
static _Alignas(16) unsigned char shared_memory[PTX_SHARED_BYTES + 16];
static struct uses shared_uses[PTX_SHARED_BYTES / 4 + 4];
static jmp_buf on_failure;
static char *failure;
static size_t failure_size;

/* Live allocations [start, end), by start; who launches sets them. */
const uintptr_t (*ptx_spans)[2];
size_t ptx_span_count;

__attribute__((noreturn, noinline, format(printf, 2, 3))) static void fail(
    const struct thread *thread, const char *format, ...) {
  va_list arguments;
  int used = 0;
  if (thread)
    used = snprintf(failure, failure_size,
                    "thread (%u, %u, %u) of block (%u, %u, %u): ", thread->id[0], thread->id[1],
                    thread->id[2], block.id[0], block.id[1], block.id[2]);
  va_start(arguments, format);
  if (used >= 0 && (size_t)used < failure_size)
    vsnprintf(failure + used, failure_size - (size_t)used, format, arguments);
  va_end(arguments);
  longjmp(on_failure, 1);
}

/* ---- Numbers ------------------------------------------------------------------------------- */

#define BITS_OF(T, type, bits)              \
  static inline type as_##T(bits given) {   \
    type value;                             \
    memcpy(&value, &given, sizeof value);   \
    return value;                           \
  }                                         \
  static inline bits bits_##T(type given) { \
    bits value;                             \
    memcpy(&value, &given, sizeof value);   \
    return value;                           \
  }
BITS_OF(f16, _Float16, uint16_t)
BITS_OF(f32, float, uint32_t)
BITS_OF(f64, double, uint64_t)

#define a_divisor(value, thread)                                      \
  __extension__({                                                     \
    const __typeof__(value) divisor_ = (value);                       \
    if (divisor_ == 0) fail(thread, "a division of an integer by 0"); \
    divisor_;                                                         \
  })

static inline int64_t div_s64(int64_t a, int64_t b) {
  return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}
static inline int64_t rem_s64(int64_t a, int64_t b) { return b == -1 ? 0 : a % b; }

/* Integers that a number is cut to: what is too large becomes the largest, NaN 0. */
#define CUT_TO(T, type, low, high)               \
  static inline type T##_of_f64(double x) {      \
    if (isnan(x)) return 0;                      \
    if (x <= (double)(low)) return low;          \
    return x >= (double)(high) ? high : (type)x; \
  }
CUT_TO(s32, int32_t, INT32_MIN, INT32_MAX)
CUT_TO(u32, uint32_t, 0, UINT32_MAX)
CUT_TO(s64, int64_t, INT64_MIN, INT64_MAX)
CUT_TO(u64, uint64_t, 0, UINT64_MAX)

static inline float saturated_f32(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }

static inline float flushed(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x; }
static inline float ex2_approx_f32(float x) { return exp2f(x); }
static inline float ex2_approx_ftz_f32(float x) { return flushed(exp2f(flushed(x))); }
static inline float rcp_approx_ftz_f32(float x) { return flushed(1 / flushed(x)); }

/* The upper half of the bits alone is given, and looked at. */
static inline double rcp_approx_ftz_f64(double x) {
  const double upper = as_f64(bits_f64(x) & 0xffffffff00000000ull);
  const double flat = fpclassify(upper) == FP_SUBNORMAL ? copysign(0, upper) : upper;
  const double found = as_f64(bits_f64(1 / flat) & 0xffffffff00000000ull);
  return fpclassify(found) == FP_SUBNORMAL ? copysign(0, found) : found;
}

__attribute__((noinline, unused)) static float fma_rm_f32(float a, float b, float c) {
  volatile float x = a, y = b, z = c, found;
  const int before = fegetround();
  fesetround(FE_DOWNWARD);
  found = fmaf(x, y, z);
  fesetround(before);
  return found;
}

static inline uint32_t dp4a_s32(uint32_t a, uint32_t b, uint32_t sum) {
  for (int i = 0; i < 4; ++i) sum += (uint32_t)((int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i));
  return sum;
}

static inline uint32_t prmt_b32(uint32_t a, uint32_t b, uint32_t selected) {
  const uint64_t both = (uint64_t)b << 32 | a;
  uint32_t found = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t choice = selected >> 4 * i & 15;
    const uint8_t byte = (uint8_t)(both >> 8 * (choice & 7));
    found |= (uint32_t)(uint8_t)(choice & 8 ? (byte & 0x80 ? 0xff : 0) : byte) << 8 * i;
  }
  return found;
}

/* Bits of a put into b, from `start` on, so many of them. */
#define BIT_FIELD_INSERT(T, type)                                              \
  static inline type bfi_##T(type a, type b, uint32_t start, uint32_t count) { \
    const uint32_t width = 8 * sizeof(type);                                   \
    start &= 255, count &= 255;                                                \
    if (start >= width || count == 0) return b;                                \
    const type ones = count >= width ? (type) - 1 : ((type)1 << count) - 1;    \
    return (b & ~(ones << start)) | (a & ones) << start;                       \
  }
BIT_FIELD_INSERT(b32, uint32_t)
BIT_FIELD_INSERT(b64, uint64_t)

/* ---- Memory -------------------------------------------------------------------------------- */

#ifdef PTX_LOGS
/* Each use of memory, in the order in which threads are run. */
struct use {
  uint64_t address;
  uint32_t site, thread, block;
  uint16_t size;
  uint8_t is_shared, writes;
};
struct use *ptx_log;
size_t ptx_log_count;
static size_t log_size;

static void note(const struct thread *thread, uint32_t site, uint64_t address, uint32_t size,
                 int is_shared, int writes) {
  if (ptx_log_count == log_size) {
    log_size = 2 * log_size + 4096;
    struct use *grown = realloc(ptx_log, log_size * sizeof *grown);
    if (!grown) fail(thread, "no memory for the log of its uses of memory");
    ptx_log = grown;
  }
  ptx_log[ptx_log_count++] = (struct use){
      address,        site,
      thread->number, block.id[0] + block.grid[0] * (block.id[1] + block.grid[1] * block.id[2]),
      (uint16_t)size, (uint8_t)is_shared,
      (uint8_t)writes};
}
#define NOTE(...) note(__VA_ARGS__)
#else
#define NOTE(...)
#endif

static inline void aligned(const struct thread *thread, uint64_t address, uint32_t size,
                           const char *what) {
  if (address % size)
    fail(thread, "%s of %u bytes at %#llx, which isn't aligned", what, size,
         (unsigned long long)address);
}

static inline void *global(const struct thread *thread, uint32_t site, uint64_t address,
                           uint32_t size, int writes) {
  static size_t last;
  const char *what = writes ? "a store" : "a load";
  aligned(thread, address, size, what);
  NOTE(thread, site, address, size, 0, writes);
  if (last < ptx_span_count && address >= ptx_spans[last][0] &&
      address + size <= ptx_spans[last][1])
    return (void *)(uintptr_t)address;
  size_t low = 0, high = ptx_span_count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (ptx_spans[middle][1] <= address)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == ptx_span_count || address < ptx_spans[low][0] || address + size > ptx_spans[low][1])
    fail(thread, "%s of %u bytes at %#llx, outside of all memory", what, size,
         (unsigned long long)address);
  last = low;
  return (void *)(uintptr_t)address;
}

static inline void *shared(const struct thread *thread, uint32_t site, uint64_t address,
                           uint32_t size, int writes) {
  const char *what = writes ? "a store to shared memory" : "a load from shared memory";
  aligned(thread, address, size, what);
  NOTE(thread, site, address, size, 1, writes);
  if (address > PTX_SHARED_BYTES || address + size > PTX_SHARED_BYTES)
    fail(thread, "%s of %u bytes at %llu of its %d", what, size, (unsigned long long)address,
         PTX_SHARED_BYTES);
  const uint32_t me = thread->number + 1, many = UINT32_MAX;
  int known = writes;
  for (uint64_t i = address / 4; i <= (address + size - 1) / 4; ++i) {
    struct uses *uses = shared_uses + i;
    if (uses->written_in == block.epoch && uses->wrote != me)
      fail(thread, "%s at %llu, where thread %u wrote since the last barrier", what,
           (unsigned long long)(4 * i), uses->wrote - 1);
    if (writes) {
      if (uses->read_in == block.epoch && uses->read != me)
        fail(thread, "%s at %llu, where another thread read since the last barrier", what,
             (unsigned long long)(4 * i));
      uses->wrote = me;
      uses->written_in = block.epoch;
    } else {
      known |= uses->written_in != 0;
      uses->read = uses->read_in == block.epoch && uses->read != me ? many : me;
      uses->read_in = block.epoch;
    }
  }
  /* Of a vector, a part may be a gap in a row. */
  if (!known) fail(thread, "%s at %llu, where nobody wrote", what, (unsigned long long)address);
  return shared_memory + address;
}

/* Where a part of a kernel's parameters lies, whose address was computed. */
static inline const void *parameter(const struct thread *thread, uint64_t address, uint32_t size,
                                    void *const *parameters, const unsigned *sizes) {
  for (int i = 0; sizes[i]; ++i) {
    const uint64_t offset = address - (uintptr_t)parameters[i];
    if (offset < sizes[i] && offset + size <= sizes[i] && offset % size == 0)
      return (const void *)(uintptr_t)address;
  }
  fail(thread, "a load of %u bytes of no parameter", size);
}

#define LOAD_AT(type, address, i)                                                 \
  __extension__({                                                                 \
    type value_;                                                                  \
    memcpy(&value_, (const char *)(address) + (i) * sizeof(type), sizeof value_); \
    value_;                                                                       \
  })
#define STORE_AT(type, address, i, given)                                   \
  do {                                                                      \
    const type value_ = (type)(given);                                      \
    memcpy((char *)(address) + (i) * sizeof(type), &value_, sizeof value_); \
  } while (0)

/* ---- Blocks -------------------------------------------------------------------------------- */

typedef enum status run_thread(struct thread *thread, void *const *parameters);

/* Let lanes that wait at the same shuffle have each other's values. */
static int shuffle(char *threads, size_t size, uint32_t first, uint32_t count) {
  const struct thread *leader = NULL;
  for (uint32_t i = first; i < first + count; ++i) {
    const struct thread *thread = (struct thread *)(threads + i * size);
    if (thread->status == AT_SHUFFLE) {
      if (!leader) leader = thread;
    } else if (thread->status == RUNNING) {
      return 0;
    }
  }
  if (!leader) return 0;
  for (uint32_t lane = 0; lane < WARP; ++lane) {
    const struct thread *thread = (struct thread *)(threads + (first + lane) * size);
    const int is_member = leader->members >> lane & 1;
    if (is_member &&
        (lane >= count || thread->status != AT_SHUFFLE || thread->next != leader->next))
      fail(leader, "a shuffle of lanes %#x, of which %u isn't there", leader->members, lane);
    if (!is_member && lane < count && thread->status == AT_SHUFFLE)
      fail(thread, "a shuffle of lanes %#x, of which %u isn't one", leader->members, lane);
  }
  for (uint32_t i = first; i < first + count; ++i) {
    struct thread *thread = (struct thread *)(threads + i * size);
    if (thread->status == AT_SHUFFLE)
      thread->received = ((struct thread *)(threads + (first + thread->source) * size))->given;
  }
  for (uint32_t i = first; i < first + count; ++i) {
    struct thread *thread = (struct thread *)(threads + i * size);
    if (thread->status == AT_SHUFFLE) thread->status = RUNNING;
  }
  return 1;
}

/* Let all threads on that are left, if they wait at one barrier. */
static int pass_barrier(char *threads, size_t size, uint32_t count) {
  const struct thread *first = NULL;
  for (uint32_t i = 0; i < count; ++i) {
    const struct thread *thread = (struct thread *)(threads + i * size);
    if (thread->status == DONE) continue;
    if (thread->status != AT_BARRIER) return 0;
    if (!first) first = thread;
    if (thread->next != first->next)
      fail(thread, "a barrier that others, as thread %u, don't wait at", first->number);
  }
  if (!first) return 0;
  ++block.epoch;
  for (uint32_t i = 0; i < count; ++i) {
    struct thread *thread = (struct thread *)(threads + i * size);
    if (thread->status == AT_BARRIER) thread->status = RUNNING;
  }
  return 1;
}

static void run_block(run_thread *run, char *threads, size_t size, uint32_t count,
                      void *const *parameters) {
  uint32_t left = count;
  block.epoch = 1;
  memset(shared_uses, 0, sizeof shared_uses);
  memset(threads, 0, size * count);
  for (uint32_t i = 0; i < count; ++i) {
    struct thread *thread = (struct thread *)(threads + i * size);
    const uint32_t x = block.extent[0], y = block.extent[1];
    thread->number = i;
    thread->fuel = FUEL;
    thread->id[0] = i % x;
    thread->id[1] = i / x % y;
    thread->id[2] = i / x / y;
  }
  while (left) {
    int went_on = 0;
    for (uint32_t first = 0; first < count; first += WARP) {
      const uint32_t lanes = count - first < WARP ? count - first : WARP;
      do {
        for (uint32_t i = first; i < first + lanes; ++i) {
          struct thread *thread = (struct thread *)(threads + i * size);
          if (thread->status != RUNNING) continue;
          thread->status = run(thread, parameters);
          left -= thread->status == DONE;
          went_on = 1;
        }
      } while (shuffle(threads, size, first, lanes));
    }
    if (left && !pass_barrier(threads, size, count) && !went_on)
      fail(NULL, "block (%u, %u, %u): its threads wait for each other", block.id[0], block.id[1],
           block.id[2]);
  }
}

static int launch(run_thread *run, size_t size, void *const *parameters, const unsigned grid[3],
                  const unsigned extent[3], char *message, size_t message_size) {
  const uint32_t count = extent[0] * extent[1] * extent[2];
  char *volatile threads = calloc(count, size);
  failure = message;
  failure_size = message_size;
  if (!threads) return 1;
  if (setjmp(on_failure)) {
    free(threads);
    return 1;
  }
  memcpy(block.grid, grid, sizeof block.grid);
  memcpy(block.extent, extent, sizeof block.extent);
  for (uint32_t z = 0; z < grid[2]; ++z)
    for (uint32_t y = 0; y < grid[1]; ++y)
      for (uint32_t x = 0; x < grid[0]; ++x) {
        block.id[0] = x, block.id[1] = y, block.id[2] = z;
        run_block(run, threads, size, count, parameters);
      }
  free(threads);
  return 0;
}

#define LAUNCHED_AS(name)                                                                     \
  int ptx_##name(void *const *parameters, const unsigned grid[3], const unsigned extent[3],   \
                 char *message, size_t size) {                                                \
    return launch(run_##name, sizeof(struct name##_state), parameters, grid, extent, message, \
                  size);                                                                      \
  }
