/* What follows an operator, as oneDNN's post-operations. */
#ifndef MKLDNN_EPILOGUE_H
#define MKLDNN_EPILOGUE_H

#include "plan.h"

/* How the operator sees output 0: its shape may be folded, its layout chosen by oneDNN. */
struct output_view {
  int rank;
  const int64_t *shape;
  const char *layout; /* "any": whatever the primitive chooses */
  /* What comes before the epilogue: a factor, unless it is 1, and a term that
   * broadcasts, unless its descriptor is NULL, from an input of the operator. */
  float factor;
  const_dnnl_memory_desc_t term;
  uint32_t term_input;
};

/*
 * Attributes of a primitive with the problem's epilogue, or NULL after a
 * refusal; the caller destroys them once the primitive descriptor is made.
 * Step `in_place`, an "add" (-1: none), adds to what the output's memory holds.
 */
dnnl_primitive_attr_t epilogue_attributes(struct plan *plan, const struct output_view *view,
                                          int in_place);

/* Where each step's own input lies, for the primitive that was made with the attributes. */
struct epilogue_places {
  uint32_t count;
  struct argument arguments[9];
};
/* May add reorders to the plan; to be called before the primitive's own step. */
int epilogue_inputs(struct plan *plan, const struct output_view *view,
                    dnnl_primitive_desc_t primitive, struct epilogue_places *places);
int epilogue_arguments(struct plan *plan, const struct epilogue_places *places, int in_place);

/*
 * The step whose input the output may overwrite, or -1: the first "add" whose
 * input nothing else reads.
 */
int epilogue_in_place(const kp_problem *problem);

/* The layout of the first input of the epilogue that has one, or "any". */
const char *epilogue_layout(const kp_problem *problem);

#endif
