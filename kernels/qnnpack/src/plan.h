/*
 * A plan: how the library serves one problem. Every operator's file is one function that makes a
 * plan, and two that make and set up an operator of the library; query() reads the answer off the
 * plan, prepare() keeps it.
 *
 * A plan has one part for each thread: an operator of the library, which computes some of the
 * channels, images, rows or elements. So no thread pool but OpenMP's is needed, and a result has
 * the same bits on any number of threads.
 */
#ifndef QNNPACK_PLAN_H
#define QNNPACK_PLAN_H

#include "image.h"
#include "library.h"

enum { PLAN_PARTS = 64 };

/* Channels that the library takes at a time. Of a pixel with fewer it loads as many bytes, which
 * end with the pixel and so begin before it. */
enum { PLAN_VECTOR = 8 };

/* Addresses of taps that the library lists for an operator, at most. */
#define PLAN_ADDRESSES ((int64_t)1 << 28)

struct plan;

/* Where a run's data lies: channels last. */
struct places {
  const uint8_t *x, *second; /* of the plan's second input, where it has one */
  uint8_t *y;
};

/* One line of an operator's list: one kernel, on uint8. */
struct kernel_row {
  const char *operator_name;
  const char *algorithm;
  /* Makes the plan of a problem that keeps to the operator's rule, or refuses and returns 0. */
  int (*build)(struct plan *plan);
  /* Makes the operator of a part; `constants` has an entry for each input. */
  qnnpack_status (*create)(const struct plan *plan, int part, const void *const *constants,
                           qnnpack_operator **made);
  qnnpack_status (*setup)(const struct plan *plan, int part, qnnpack_operator *made,
                          const struct places *places);
  int parameter; /* the file's own */
  const char *source;
};

#define SOURCE_LINE_(line) #line
#define SOURCE_LINE(line) SOURCE_LINE_(line)
#define SOURCE __FILE__ ":" SOURCE_LINE(__LINE__)

struct plan {
  const struct library *library;
  const struct kernel_row *row;
  const kp_problem *problem; /* while it is made */
  kp_answer *answer;         /* likewise */
  uint32_t num_inputs;
  int threads; /* upper bound of parts */

  /* What build() fills in. */
  int parts; /* 0: there is nothing to compute */
  int binds_constants;
  uint32_t second;        /* the input that a run computes with beside the first; 0: none */
  struct image_copy x, y; /* how images come into the library's order and back, in scratch */
  double seconds;
  void *own; /* the file's own, one block for free() */
};

/* Refuses; returns 0. */
int plan_refuse(struct plan *plan, kp_answer_code code, const char *subject, const char *limit);
int plan_refuse_number(struct plan *plan, kp_answer_code code, const char *subject,
                       const char *limit, int64_t got);

/* Settles the layouts: images (what isn't constant and of rank 4, where there are any) that are
 * free lie channels last, all else is in its only one. Returns 0 after a refusal. */
int plan_layouts(struct plan *plan, int of_images);

/* Settles on one layout for all tensors: the first concrete one, else channels last. Returns 0
 * after a refusal. */
int plan_layouts_alike(struct plan *plan);

/* Where a part begins among `all` channels, groups or rows, divided into whole blocks. */
int64_t plan_first(const struct plan *plan, int64_t all, int64_t block, int part);

/* Tensors so small that the library's 32-bit sizes hold them. Returns 0 after a refusal. */
int plan_check_sizes(struct plan *plan);

/* The copy that the image of an input (or of the output: num_inputs) needs to lie channels last,
 * used where it doesn't. Layouts are settled. */
struct image_copy plan_image(const struct plan *plan, uint32_t index);
/* A copy with padding that isn't too large. Returns 0 after a refusal. */
int plan_check_image(struct plan *plan, const struct image_copy *copy);

/* Scratch holds x's copy, KP_ALIGNMENT bytes from the start, then y's. */
uint64_t plan_y_offset(const struct plan *plan);
uint64_t plan_scratch_bytes(const struct plan *plan);

void plan_destroy(struct plan *plan);

#endif
