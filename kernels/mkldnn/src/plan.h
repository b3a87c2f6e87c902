/*
 * A plan: the oneDNN primitives that serve one problem, in order, and where
 * each of their arguments lies. Every operator's file is one function that
 * makes a plan; query() reads the answer off it, prepare() keeps it.
 */
#ifndef MKLDNN_PLAN_H
#define MKLDNN_PLAN_H

#include "finish.h"
#include "library.h"

enum {
  PLAN_INPUTS = 40,
  PLAN_STEPS = 16,
  PLAN_ARGUMENTS = 64,
  PLAN_DESCS = 96,
  PLAN_VALUES = 8,
  PLAN_RANK = 6
};

/* Where an argument's bytes lie when a step runs. */
enum place_kind {
  PLACE_NONE = 0,   /* there is no such argument */
  PLACE_BUFFER,     /* run()'s buffers[index] */
  PLACE_SCRATCH,    /* run()'s scratch + offset */
  PLACE_SCRATCHPAD, /* oneDNN's own scratch space, behind all the others */
  PLACE_VALUES,     /* the plan's own values[index] */
};

struct place {
  enum place_kind kind;
  uint32_t index;
  uint64_t offset;
  const_dnnl_memory_desc_t desc;
};

struct argument {
  int name; /* DNNL_ARG_... */
  struct place place;
};

/*
 * Which runs a step belongs to. Two primitives may serve a step, one for an output that shares
 * an input's memory; and some of oneDNN's store past the cache, which an address that is no
 * multiple of KP_ALIGNMENT doesn't bear: there the output is made in scratch and copied.
 */
enum step_when { STEP_ALWAYS = 0, STEP_IN_PLACE, STEP_NOT_IN_PLACE, STEP_ALIGNED, STEP_MISALIGNED };

struct step {
  dnnl_primitive_desc_t desc;
  uint32_t first, count; /* its arguments */
  enum step_when when;
  uint32_t shared; /* the input whose memory the output may share */
  int is_reorder;
};

/* How a constant input is packed; both NULL: it isn't. */
struct packing {
  const_dnnl_memory_desc_t from, to;
  int flips; /* its bytes' highest bits first: uint8 becomes int8, 128 less */
};

struct kernel_row;

struct plan {
  const struct library *dnnl;
  dnnl_engine_t engine;
  const struct kernel_row *row;
  const kp_problem *problem; /* NULL once the plan is kept */
  kp_answer *answer;         /* likewise */
  dnnl_data_type_t dtype;    /* of the kernel's name */

  uint32_t num_inputs;
  uint32_t num_steps, num_arguments, num_descs, num_primitive_descs, num_values;
  struct step steps[PLAN_STEPS];
  struct argument arguments[PLAN_ARGUMENTS];
  struct packing packing[PLAN_INPUTS];
  dnnl_memory_desc_t descs[PLAN_DESCS];              /* owned */
  dnnl_primitive_desc_t primitive_descs[PLAN_STEPS]; /* owned */
  void *values[PLAN_VALUES];                         /* owned: what the problem says in numbers */
  struct finish finish;
  uint64_t staged_bytes, scratchpad_bytes;
  char words[96]; /* the library's, on a refusal */
};

/* One line of an operator's list: with each dtype it makes one kernel. */
struct kernel_row {
  const char *operator_name;
  const char *algorithm;
  unsigned dtypes; /* bits of enum kernel_dtype; QUANTIZED beside them */
  uint32_t flags;  /* of kp_kernel */
  int (*build)(struct plan *plan);
  int parameter; /* the file's own: an algorithm of oneDNN's */
  const char *source;
};

enum kernel_dtype {
  F32 = 1,
  BF16 = 2,
  F16 = 4,
  S32 = 8,
  S8 = 16,
  U8 = 32,
  FLOATS = 7,
  EVERY_DTYPE = 63,
  QUANTIZED = 64 /* tensors may be quantised, as the operator's rule has it */
};

static inline int plan_is_quantized(const struct plan *plan) {
  return (plan->row->dtypes & QUANTIZED) != 0;
}

#define SOURCE_LINE_(line) #line
#define SOURCE_LINE(line) SOURCE_LINE_(line)
#define SOURCE __FILE__ ":" SOURCE_LINE(__LINE__)

/*
 * The functions below return 1, or 0 after a refusal was written to
 * plan->answer. Memory descriptors and primitive descriptors belong to the plan.
 */

/* Common refusals: devices, quantisation, ranks, empty and oversized tensors. */
int plan_check(struct plan *plan);
/* `inputs` inputs, no epilogue, and an output of the kernel's dtype. */
int plan_check_plain(struct plan *plan, uint32_t inputs);
int plan_refuse(struct plan *plan, kp_answer_code code, const char *subject, const char *limit);
int plan_refuse_number(struct plan *plan, kp_answer_code code, const char *subject,
                       const char *limit, int64_t got);

/* Descriptors; NULL (after a refusal) when oneDNN declines. */
const_dnnl_memory_desc_t plan_desc(struct plan *plan, int rank, const int64_t *shape,
                                   dnnl_data_type_t dtype, const char *layout);
const_dnnl_memory_desc_t plan_desc_strided(struct plan *plan, int rank, const int64_t *shape,
                                           dnnl_data_type_t dtype, const int64_t *strides);
const_dnnl_memory_desc_t plan_desc_any(struct plan *plan, int rank, const int64_t *shape,
                                       dnnl_data_type_t dtype);
/* In `tensor`'s own shape, dtype and layout ("any" included). */
const_dnnl_memory_desc_t plan_tensor_desc(struct plan *plan, const kp_tensor *tensor);
/* The contract's name for `desc`'s layout, or NULL. */
const char *plan_layout_name(struct plan *plan, const kp_tensor *tensor,
                             const_dnnl_memory_desc_t desc);

/* Attributes that put oneDNN's scratch space into the caller's hands; the caller destroys them. */
dnnl_primitive_attr_t plan_attributes(struct plan *plan);
/* Takes over what a ..._primitive_desc_create call made. */
int plan_keep(struct plan *plan, dnnl_status_t status, dnnl_primitive_desc_t desc,
              const char *what);
const_dnnl_memory_desc_t plan_query(dnnl_primitive_desc_t desc, const struct plan *plan,
                                    dnnl_query_t what, int index);
const char *plan_implementation(const struct plan *plan, dnnl_primitive_desc_t desc);

/* The input as `wanted`: itself, packed if it is constant, or reordered into scratch at run. */
struct place plan_input(struct plan *plan, uint32_t input, const_dnnl_memory_desc_t native,
                        const_dnnl_memory_desc_t wanted);
/* The output as `wanted`: itself, or a place in scratch that plan_finish_output() reorders. */
struct place plan_output(struct plan *plan, const_dnnl_memory_desc_t native,
                         const_dnnl_memory_desc_t wanted);
int plan_finish_output(struct plan *plan, struct place place, const_dnnl_memory_desc_t native);
/* As plan_input, of a constant whose bytes are flipped before (struct packing). */
struct place plan_flipped_input(struct plan *plan, uint32_t input, const_dnnl_memory_desc_t native,
                                const_dnnl_memory_desc_t wanted);
/* A copy of values of the problem's, as many as `desc` has. */
struct place plan_values(struct plan *plan, const_dnnl_memory_desc_t desc, const void *values);
struct place plan_buffer(uint32_t index, const_dnnl_memory_desc_t desc);
struct place plan_scratch(struct plan *plan, const_dnnl_memory_desc_t desc);

/* Adds a step that runs `desc`, which plan_keep() took; its arguments follow. */
int plan_step(struct plan *plan, dnnl_primitive_desc_t desc);
/* Restricts the last step to some runs; `shared`: the input whose memory the output may share. */
void plan_step_when(struct plan *plan, enum step_when when, uint32_t shared);
int plan_argument(struct plan *plan, int name, struct place place);
/* Adds a step that copies between two places, whatever their dtypes and layouts. */
int plan_reorder(struct plan *plan, struct place from, struct place to);

/* The answer's layouts. */
void plan_answer_layout(struct plan *plan, uint32_t tensor, const char *layout);
/* Fills in scratch, packing, flags and the cost. */
void plan_finish(struct plan *plan, double flops, double efficiency);

uint64_t plan_scratch_bytes(const struct plan *plan);

void plan_destroy(struct plan *plan);

#endif
